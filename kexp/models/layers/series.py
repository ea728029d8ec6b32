"""Series: augmentation, and what a forecast starts from."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from kexp.forecasts import places
from kexp.models.layers.augmentation import Augmentation


@keras.saving.register_keras_serializable(package="kexp")
class SeriesAugment(Augmentation):
    """Shift, scale and disturb standardised series (n, steps, channels) at random.

    `shift` is a share of the steps, the ends repeated; `scale` a share of the values, `noise` in standard deviations
    (Um et al. 2017, "Data Augmentation of Wearable Sensor Data", jittering and scaling); each uniform in +-, but for
    the noise, which is normal.
    """

    def __init__(
        self, shift: float = 0.0, scale: float = 0.0, noise: float = 0.0, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(seed, **kwargs)
        self.shift, self.scale, self.noise = shift, scale, noise

    def call(self, x: Any, training: bool = False) -> Any:
        """(n, steps, channels) -> the same shape."""
        if not training:
            return x
        n, steps = ops.shape(x)[0], x.shape[1]
        if self.shift:
            x = shifted(x, keras.random.uniform((n,), -1.0, 1.0, seed=self.generator) * (self.shift * steps))
        if self.scale:
            x = x * (1.0 + keras.random.uniform((n, 1, 1), -self.scale, self.scale, seed=self.generator))
        if self.noise:
            x = x + keras.random.normal(ops.shape(x), stddev=self.noise, seed=self.generator)
        return x

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs."""
        return {**super().get_config(), "shift": self.shift, "scale": self.scale, "noise": self.noise}


def shifted(x: Any, steps: Any) -> Any:
    """(n, t, ...) moved by `steps` (n,), rounded, along its second axis; the first or last value fills the gap."""
    t = x.shape[1]
    places = ops.arange(t)[None, :] - ops.cast(ops.round(steps), "int32")[:, None]
    places = ops.clip(places, 0, t - 1)
    places = ops.reshape(places, (-1, t, *[1] * (len(x.shape) - 2)))
    return ops.take_along_axis(x, ops.broadcast_to(places, ops.shape(x)), axis=1)


@keras.saving.register_keras_serializable(package="kexp")
class FromLast(keras.layers.Layer):  # type: ignore[misc]
    """(n, steps, channels) as it was measured -> how far each step is from the last one, in units of `scale`.

    What is to come is looked at from where the series stands, so that a trend leads to no values never seen.
    """

    def __init__(self, scale: list[float], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = scale

    def call(self, x: Any) -> Any:
        """(n, steps, channels) -> the same shape."""
        return (x - x[:, -1:]) / ops.convert_to_tensor(np.array(self.scale, np.float32))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs."""
        return {**super().get_config(), "scale": self.scale}


@keras.saving.register_keras_serializable(package="kexp")
class Naive(keras.layers.Layer):  # type: ignore[misc]
    """(n, steps, channels) -> (n, outputs): the naive forecast, see kexp.forecasts."""

    def __init__(self, horizon: int, season: int, channels: list[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.horizon, self.season, self.channels = horizon, season, channels

    def call(self, x: Any) -> Any:
        """(n, steps, channels) -> (n, outputs)."""
        chosen = places(x.shape[1], self.horizon, self.season, tuple(self.channels))
        return ops.concatenate([x[:, step, channel : channel + 1] for step, channel in chosen], axis=1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(n, outputs)."""
        return (input_shape[0], self.horizon * len(self.channels))

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs."""
        config = {"horizon": self.horizon, "season": self.season, "channels": self.channels}
        return {**super().get_config(), **config}
