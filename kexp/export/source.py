"""What every converter reads: the trained model, loaded when first used, and rows to calibrate with."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kexp.records import DatasetSpec
from kexp.runtime import import_modules


class Care(NamedTuple):
    """What is done where int8 loses too much.

    `clip` is the share of calibration samples whose outermost values do not count in the ranges of activations;
    `floats` how many trained operators, from the first on, stay float with what follows each of them.
    """

    clip: float = 0.0
    floats: int = 0


NO_CARE = Care()
# Tried in turn where int8 loses too much. Ranges that a few rows stretch leave coarse steps to all others (trashnet,
# mean difference of the outputs .0037, .0030, .0029). The first blocks see what no normalisation has tamed: float, they
# cost bytes and time. Largest differences of Conv1D networks on uci_har, where standing and sitting differ by little
# beside the strides of walking: one .78, clipped .71, with a float first block .28; a separable one .90, clipped .56,
# with a float first block .74, with two .13 (30.2 kB instead of 27.6).
CARES = (Care(0.01), Care(0.05), Care(0.01, floats=1), Care(0.01, floats=2))


@dataclass(frozen=True, eq=False, kw_only=True)
class Source:
    """A .keras file and what belongs to it.

    `calibration` are raw training samples (n, *shape); `modules` register the layers that the file names;
    `scratch` is a folder for intermediate files; `care` is what is done where int8 loses too much.
    """

    path: Path
    spec: DatasetSpec
    calibration: NDArray[Any]
    scratch: Path
    modules: tuple[str, ...] = ()
    care: Care = NO_CARE

    @functools.cached_property
    def model(self) -> Any:
        """The keras.Model."""
        import_modules(self.modules)
        import keras

        return keras.saving.load_model(self.path, compile=False)

    @property
    def samples(self) -> NDArray[np.float32]:
        """`calibration` as the network's input takes it."""
        return self.calibration.astype(np.float32)
