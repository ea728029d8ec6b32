"""The front end of a table."""

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
