"""Which rows an export reads: training rows calibrate, validation rows decide; never a test row."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kexp.data.dataset import Dataset

CALIBRATION_ROWS = 256
GATE_ROWS = 4000  # validation rows, evenly spaced, where there are more: int16x8 takes milliseconds for each

Rows = NDArray[np.int64]


def calibrating(dataset: Dataset, fold: int = 0) -> Rows:
    """Indices of the training rows that the ranges of activations are told from; `fold` as in `Dataset.rows`.

    Of EVERY fold no row that decides: those of the training part.
    """
    return _spaced(dataset.rows("train", max(fold, 0)), CALIBRATION_ROWS)


def judging(dataset: Dataset, fold: int = 0) -> Rows:
    """Indices of the validation rows that a file is measured on."""
    return _spaced(dataset.rows("validation", fold), GATE_ROWS)


def _spaced(rows: Rows, count: int) -> Rows:
    """At most `count` of `rows`, evenly spaced."""
    chosen: Rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int))]
    return chosen
