"""What all augmentations have in common."""

from __future__ import annotations

from typing import Any

import keras


class Augmentation(keras.layers.Layer):  # type: ignore[misc]
    """Changes samples at random while a network trains, and nothing at inference; exports leave it out.

    Without a `seed` it is drawn from Keras's global one (`keras.utils.set_random_seed`), as that of a Dropout is.
    """

    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs."""
        return {**super().get_config(), "seed": self.seed}
