"""Layers of kexp's own: the front end of a table, and augmentation of pictures.

Both are registered with Keras, so a saved `.keras` file opens after `import kexp.models.layers`.
"""

from __future__ import annotations

import itertools
from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="kexp")
class TableEncoder(keras.layers.Layer):  # type: ignore[misc]
    """Turns (n, columns) raw row vectors into (n, features): no trainable weight, built-in TFLite ops only.

    Numbers: missing (NaN) becomes the mean, then (x - mean) / std, cut off at +-`clip`; with `piecewise`, also one
    feature per quantile bin, clip((x - low) / (high - low), 0, 1) (Gorishniy et al. 2022, "On Embeddings for
    Numerical Features in Tabular Deep Learning", eq. 1). Categories: one-hot; unknown and missing are all zeros.
    Columns that had missing values in training get an indicator.

    `columns` is a list of dicts with kind, mean, std, edges, choices (their number), missing.
    """

    clip = 10.0  # standard deviations; a longer tail only makes the int8 scale coarse

    def __init__(self, columns: list[dict[str, Any]], piecewise: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.columns = columns
        self.piecewise = piecewise
        numbers = [i for i, c in enumerate(columns) if c["kind"] != "category"]
        self._numbers = numbers
        self._categories = [i for i, c in enumerate(columns) if c["kind"] == "category"]
        self._missing = [i for i in numbers if columns[i]["missing"]]
        self._mean = np.array([columns[i]["mean"] for i in numbers], np.float32)
        self._std = np.array([columns[i]["std"] or 1.0 for i in numbers], np.float32)
        bins = [(k, low, high) for k, i in enumerate(numbers) for low, high in _bins(columns[i])] if piecewise else []
        self._bin_of = [k for k, _, _ in bins]
        # Both as numbers of the standardised value, so that large units (days, euros) lose no float32 digits.
        self._low = np.array([(low - self._mean[k]) / self._std[k] for k, low, _ in bins], np.float32)
        self._width = np.array([(high - low) / self._std[k] for k, low, high in bins], np.float32)

    def call(self, x: Any) -> Any:
        """(n, columns) -> (n, features)."""
        features = []
        if self._numbers:
            # Not NumPy's arrays: what torch.export traces with cannot be added to them.
            mean, std, low, width = map(ops.convert_to_tensor, (self._mean, self._std, self._low, self._width))
            raw = _select(x, self._numbers)
            absent = ops.not_equal(raw, raw)  # NaN is the only number that is not itself
            known = ops.where(absent, ops.zeros_like(raw) + mean, raw)
            z = (known - mean) / std
            features.append(ops.clip(z, -self.clip, self.clip))
            if self._bin_of:
                features.append(ops.clip((_select(z, self._bin_of) - low) / width, 0.0, 1.0))
            if self._missing:
                gone = _select(x, self._missing)
                features.append(ops.cast(ops.not_equal(gone, gone), "float32"))
        for i in self._categories:
            codes = np.arange(self.columns[i]["choices"], dtype=np.float32)
            features.append(ops.cast(ops.equal(x[:, i : i + 1], codes), "float32"))
        return ops.concatenate(features, axis=-1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(n, features)."""
        one_hot = sum(int(self.columns[i]["choices"]) for i in self._categories)
        return (input_shape[0], len(self._numbers) + len(self._bin_of) + len(self._missing) + one_hot)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs."""
        return {**super().get_config(), "columns": self.columns, "piecewise": self.piecewise}


def _select(x: Any, columns: list[int]) -> Any:
    """Columns of (n, m) as (n, len(columns)); nothing to do where they are all of them, in order."""
    if columns == list(range(x.shape[-1])):
        return x
    if keras.backend.backend() == "torch":  # there Keras's take writes the batch of the trace into the graph
        return x[:, columns]
    return ops.take(x, np.array(columns, np.int32), axis=1)


def _bins(column: dict[str, Any]) -> list[tuple[float, float]]:
    """(low, high) of each quantile bin; none where there is only one."""
    edges = column["edges"]
    return list(itertools.pairwise(edges)) if len(edges) > 2 else []


@keras.saving.register_keras_serializable(package="kexp")
class Augment(keras.layers.Layer):  # type: ignore[misc]
    """Flip, shift, rotate and zoom pictures (n, h, w, c) at random in one resampling; nothing at inference.

    `shift` and `zoom` are shares of the side, `rotate` is in degrees, each uniform in +-. Border pixels are repeated.
    A rectangle anywhere, its sides up to `erase` of the picture's, becomes 0, the mean of standardised pictures
    (Zhong et al. 2017, "Random Erasing Data Augmentation"; of every picture, and without their limits to its shape).
    Without a `seed` it is drawn from Keras's global one (`keras.utils.set_random_seed`), as that of a Dropout is.
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
        super().__init__(**kwargs)
        self.flip, self.shift, self.rotate, self.zoom, self.erase, self.seed = flip, shift, rotate, zoom, erase, seed
        self.generator = keras.random.SeedGenerator(seed)

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

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs."""
        config = {
            "flip": self.flip,
            "shift": self.shift,
            "rotate": self.rotate,
            "zoom": self.zoom,
            "erase": self.erase,
            "seed": self.seed,
        }
        return {**super().get_config(), **config}
