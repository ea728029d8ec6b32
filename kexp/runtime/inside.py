"""A folder with an app in it (an Android project, the page of a phone): its .tflite, run by LiteRT on this computer.

No phone is seen by this. What a phone answers, it says itself: its self-test replays the golden vectors.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kexp.errors import ExportError
from kexp.runtime.litert import LiteRTRuntime
from kexp.runtime.protocol import AbstractRuntime, Array


class InsideRuntime(AbstractRuntime):
    """The int8 file in a folder, or the first where there is none. Raises ExportError as LiteRTRuntime does."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        files = [
            file for file in path.rglob("*.tflite") if "build" not in file.relative_to(path).parts
        ]  # Gradle copies
        files.sort(key=lambda file: ("int8" not in file.name, file))
        if not files:
            raise ExportError(f"{path} holds no .tflite. Export it again.")
        self._inside = LiteRTRuntime(files[0], threads)
        self.shape, self.dtype, self.threads = self._inside.shape, self._inside.dtype, threads
        self.note = f"{files[0].name} by LiteRT, here"

    def predict(self, x: Array) -> NDArray[np.float32]:
        """Outputs (n, outputs) of raw samples (n, *shape)."""
        return self._inside.predict(x)
