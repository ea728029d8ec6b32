"""Run by the ARM64 Python of arm64.py: `arm64_predict.py FOLDER` answers FOLDER/x.npy with each .tflite in it."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import numpy as np

from kexp.runtime import open_runtime

folder = Path(sys.argv[1])
x = np.load(folder / "x.npy")
np.savez(
    folder / "outputs.npz", **{file.stem: open_runtime(file).predict(x) for file in sorted(folder.glob("*.tflite"))}
)
print(platform.machine())
