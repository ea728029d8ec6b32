"""What every converter reads: the trained model, loaded when first used, and rows to calibrate with."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexp.records import DatasetSpec
from kexp.runtime import import_modules


@dataclass(frozen=True, eq=False, kw_only=True)
class Source:
    """A .keras file and what belongs to it.

    `calibration` are raw training samples (n, *shape); `modules` register the layers that the file names;
    `scratch` is a folder for intermediate files; `clip` the share of calibration samples whose outermost values do not
    count where activations are quantised.
    """

    path: Path
    spec: DatasetSpec
    calibration: NDArray[Any]
    scratch: Path
    modules: tuple[str, ...] = ()
    clip: float = 0.0

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
