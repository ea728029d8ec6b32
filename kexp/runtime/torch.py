"""PyTorch: .pt2 (torch.export) and .pt (TorchScript) files, run without Keras and TensorFlow."""

from __future__ import annotations

import importlib
import struct
import zipfile
from abc import abstractmethod
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexp.errors import ExportError
from kexp.export import metadata
from kexp.runtime.protocol import AbstractRuntime, Array, brief, check_shape, starts

VERSION = "2.13.*"  # as the extra in pyproject.toml
# What PyTorch was seen to raise on files cut off or overwritten at every place.
_DAMAGE = (
    RuntimeError, ValueError, KeyError, TypeError, AttributeError, IndexError, AssertionError, OSError, EOFError,
    UnpicklingError, struct.error, zipfile.BadZipFile,
)  # fmt: skip


def library() -> Any:
    """PyTorch. Raises ExportError, with the line that installs it, where it is missing."""
    try:
        return importlib.import_module("torch")
    except ImportError as error:
        raise ExportError(
            f"this format needs PyTorch, which cannot be imported ({error}). "
            f"Install it: pip install 'kexp[torch]', or pip install 'torch=={VERSION}'."
        ) from error


class AbstractTorchRuntime(AbstractRuntime):
    """A file of PyTorch's on the CPU. Raises ExportError for a file that is damaged or not of kexp's making."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        self.threads = threads
        self._torch = library()
        self._torch.set_num_threads(threads)  # of the whole process: PyTorch knows no other
        if not path.is_file():
            raise ExportError(f"{path} does not exist. kexp export writes it.")
        texts: dict[str, str | bytes] = {metadata.SPEC: "", metadata.LABELS: ""}
        try:
            self._module = self._load(path, texts)
        except _DAMAGE as error:
            raise ExportError(f"{path} cannot be opened by PyTorch: {brief(error)}. Export it again.") from error
        found = {name: text.decode() if isinstance(text, bytes) else text for name, text in texts.items()}
        if not found[metadata.SPEC]:
            raise ExportError(f"{path} does not say what it takes. Give a file that kexp export wrote.")
        self.texts = found
        self.shape = metadata.parse(found[metadata.SPEC], path).shape
        self.dtype = np.dtype(np.float32)

    @abstractmethod
    def _load(self, path: Path, texts: dict[str, str | bytes]) -> Any:
        """The module in `path`; fills `texts` by the names in it."""

    def predict(self, x: Array) -> NDArray[np.float32]:
        """Outputs (n, outputs) of raw samples (n, *shape)."""
        check_shape(x, self.shape)
        parts = []
        with self._torch.inference_mode():
            for i in starts(x, 256):
                batch = np.array(x[i : i + 256], np.float32)  # a copy: PyTorch warns of memory it may not write to
                parts.append(self._module(self._torch.from_numpy(batch)).numpy())
        return np.concatenate(parts).astype(np.float32)


class TorchExportRuntime(AbstractTorchRuntime):
    """A .pt2 file."""

    def _load(self, path: Path, texts: dict[str, str | bytes]) -> Any:
        return self._torch.export.load(path, extra_files=texts).module()


class TorchScriptRuntime(AbstractTorchRuntime):
    """A .pt file."""

    def _load(self, path: Path, texts: dict[str, str | bytes]) -> Any:
        return self._torch.jit.load(str(path), map_location="cpu", _extra_files=texts).eval()
