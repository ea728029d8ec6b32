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
    `first_float` whether the first trained operator, and what follows it, stays float.
    """

    clip: float = 0.0
    first_float: bool = False


NO_CARE = Care()
# Tried in turn where int8 loses too much. Ranges that a few rows stretch leave coarse steps to all others (trashnet,
# mean difference of the outputs .0037, .0030, .0029). The first block sees what no normalisation has tamed: float, it
# costs bytes and time (a Conv1D network on uci_har: largest difference .78, clipped .71, with a float first block .28).
CARES = (Care(0.01), Care(0.05), Care(0.01, first_float=True))


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
