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
