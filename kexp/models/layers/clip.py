"""Clips: frames as a batch of pictures and back, and augmentation that treats all frames of a clip alike."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from kexp.models.layers.pictures import Augment
from kexp.models.layers.series import shifted


@keras.saving.register_keras_serializable(package="kexp")
class Folded(keras.layers.Layer):  # type: ignore[misc]
    """(n, frames, height, width, channels) -> (n * frames, height, width, channels): each frame a picture."""

    def call(self, x: Any) -> Any:
        """As the class says."""
        return ops.reshape(x, (-1, *x.shape[2:]))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(n * frames, height, width, channels)."""
        n, frames = input_shape[:2]
        return (None if n is None else n * frames, *input_shape[2:])


@keras.saving.register_keras_serializable(package="kexp")
class Unfolded(keras.layers.Layer):  # type: ignore[misc]
    """(n * frames, features) -> (n, frames, features): the frames of a clip side by side again."""

    def __init__(self, frames: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.frames = frames

    def call(self, x: Any) -> Any:
        """As the class says."""
        return ops.reshape(x, (-1, self.frames, *x.shape[1:]))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(n, frames, features)."""
        n = input_shape[0]
        return (None if n is None else n // self.frames, self.frames, *input_shape[1:])

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs."""
        return {**super().get_config(), "frames": self.frames}


@keras.saving.register_keras_serializable(package="kexp")
class ClipAugment(Augment):
    """`Augment` for clips (n, frames, height, width, channels), all frames alike; `time` is a share of them."""

    def __init__(self, time: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.time = time

    def call(self, x: Any, training: bool = False) -> Any:
        """(n, frames, height, width, channels) -> the same shape."""
        if not training:
            return x
        n, (frames, height, width, channels) = ops.shape(x)[0], x.shape[1:]
        if self.time:
            x = shifted(x, keras.random.uniform((n,), -1.0, 1.0, seed=self.generator) * (self.time * frames))
        x = ops.reshape(ops.transpose(x, (0, 2, 3, 1, 4)), (-1, height, width, frames * channels))
        x = super().call(x, training=True)
        return ops.transpose(ops.reshape(x, (-1, height, width, frames, channels)), (0, 3, 1, 2, 4))

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs."""
        return {**super().get_config(), "time": self.time}
