"""An Android project: the .tflite in its assets, run by LiteRT on this computer. A phone is not seen by this."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kexp.runtime.litert import LiteRTRuntime
from kexp.runtime.protocol import AbstractRuntime, Array

ASSETS = Path("app/src/main/assets")
MODEL = "model.tflite"


class AndroidRuntime(AbstractRuntime):
    """The network of a project as this computer's LiteRT runs it; raises ExportError as LiteRTRuntime does."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        self._inside = LiteRTRuntime(path / ASSETS / MODEL, threads)
        self.shape, self.dtype = self._inside.shape, self._inside.dtype

    def predict(self, x: Array) -> NDArray[np.float32]:
        """Outputs (n, outputs) of raw samples (n, *shape)."""
        return self._inside.predict(x)
