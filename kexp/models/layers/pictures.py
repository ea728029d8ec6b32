"""Pictures: their brightness, and their augmentation."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from kexp.models.layers.augmentation import Augmentation

LUMA = (0.299, 0.587, 0.114)  # ITU-R 601, as Pillow's convert("L")


@keras.saving.register_keras_serializable(package="kexp")
class Grey(keras.layers.Layer):  # type: ignore[misc]
    """Pictures in colour (n, h, w, 3) -> how bright they are (n, h, w, 1), on the same scale."""

    def call(self, x: Any) -> Any:
        """(n, h, w, 3) -> (n, h, w, 1)."""
        return ops.sum(x * ops.convert_to_tensor(LUMA, x.dtype), axis=-1, keepdims=True)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """One channel."""
        return (*input_shape[:-1], 1)


@keras.saving.register_keras_serializable(package="kexp")
class Augment(Augmentation):
    """Flip, shift, rotate and zoom pictures (n, h, w, c) at random in one resampling; nothing at inference.

    `shift` and `zoom` are shares of the side, `rotate` is in degrees, each uniform in +-. Border pixels are repeated.
    A rectangle anywhere, its sides up to `erase` of the picture's, becomes 0, the mean of standardised pictures
    (Zhong et al. 2017, "Random Erasing Data Augmentation"; of every picture, and without their limits to its shape).
    """

    def __init__(
        self,
        flip: bool = False,
        shift: float = 0.0,
        rotate: float = 0.0,
        zoom: float = 0.0,
        erase: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, **kwargs)
        self.flip, self.shift, self.rotate, self.zoom, self.erase = flip, shift, rotate, zoom, erase

    def call(self, x: Any, training: bool = False) -> Any:
        """(n, h, w, c) -> the same shape."""
        if not training:
            return x
        if self.flip or self.shift or self.rotate or self.zoom:
            x = self._moved(x)
        return self._erased(x) if self.erase else x

    def _moved(self, x: Any) -> Any:
        import tensorflow as tf  # the only backend that trains here

        n, h, w = tf.shape(x)[0], x.shape[1], x.shape[2]
        draw = keras.random.uniform((5, n), -1.0, 1.0, seed=self.generator)
        mirror = tf.where(draw[0] < 0.0, -1.0, 1.0) if self.flip else tf.ones([n])
        angle = draw[1] * (self.rotate * np.pi / 180.0)
        scale = 1.0 + draw[2] * self.zoom
        dx, dy = draw[3] * (self.shift * w), draw[4] * (self.shift * h)
        if not self.rotate and not self.zoom:
            dx, dy = tf.round(dx), tf.round(dy)  # whole pixels: nothing is blurred
        cos, sin = tf.cos(angle) * scale, tf.sin(angle) * scale
        cx, cy = (w - 1) / 2.0, (h - 1) / 2.0
        a0, a1, b0, b1 = cos * mirror, -sin, sin * mirror, cos  # output (x, y) -> input, about the centre
        a2 = cx - a0 * cx - a1 * cy + dx
        b2 = cy - b0 * cx - b1 * cy + dy
        zero = tf.zeros([n])
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=x,
            transforms=tf.stack([a0, a1, a2, b0, b1, b2, zero, zero], axis=1),
            output_shape=[h, w],
            interpolation="BILINEAR" if self.rotate or self.zoom else "NEAREST",
            fill_mode="NEAREST",
            fill_value=0.0,
        )

    def _erased(self, x: Any) -> Any:
        n, h, w = ops.shape(x)[0], x.shape[1], x.shape[2]
        row, column, tall, wide = ops.unstack(keras.random.uniform((4, n, 1, 1, 1), seed=self.generator), 4)
        above = ops.abs(np.arange(h, dtype=np.float32).reshape(h, 1, 1) + 0.5 - row * h)
        beside = ops.abs(np.arange(w, dtype=np.float32).reshape(w, 1) + 0.5 - column * w)
        kept = ops.logical_or(above > self.erase * h / 2 * tall, beside > self.erase * w / 2 * wide)
        return x * ops.cast(kept, x.dtype)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs."""
        config = {
            "flip": self.flip,
            "shift": self.shift,
            "rotate": self.rotate,
            "zoom": self.zoom,
            "erase": self.erase,
        }
        return {**super().get_config(), **config}
