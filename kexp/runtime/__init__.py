"""RUNTIMES, who can run a file: one row per kind, each in a module that alone knows its library.

A runtime takes raw samples (n, *shape) as the model wants them (pictures 0..255, encoded rows) and returns
(n, outputs) float32. Requirements: `import kexp.runtime` costs numpy alone; LiteRT is loaded by the first .tflite
(0.02 s), TensorFlow only by .keras and SavedModel, and so on; a file that is damaged is an ExportError, never a crash
of the process.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from kexp.errors import ExportError
from kexp.records import Experiment
from kexp.runtime.protocol import AbstractRuntime


class Row(NamedTuple):
    """`mark` is the end of the file's name, or the file that tells what a folder is; `opens` is "module:Class".

    `package` is the Python package whose version is the runtime's, where there is one.
    """

    mark: str
    opens: str
    package: str = ""


RUNTIMES: dict[str, Row] = {
    "LiteRT": Row(".tflite", "kexp.runtime.litert:LiteRTRuntime", "ai-edge-litert"),
    "Keras": Row(".keras", "kexp.runtime.tensorflow:KerasRuntime", "keras"),
    "ONNX Runtime": Row(".onnx", "kexp.runtime.onnx:OnnxRuntime", "onnxruntime"),
    "PyTorch": Row(".pt2", "kexp.runtime.torch:TorchExportRuntime", "torch"),
    "TorchScript": Row(".pt", "kexp.runtime.torch:TorchScriptRuntime", "torch"),
    "TensorFlow.js": Row("model.json", "kexp.runtime.tfjs:TensorFlowJsRuntime"),
    "TensorFlow": Row("saved_model.pb", "kexp.runtime.tensorflow:SavedModelRuntime", "tensorflow"),
    "LiteRT's C API": Row("model.h", "kexp.runtime.c:CRuntime", "ai-edge-litert"),
    "Android project": Row("settings.gradle.kts", "kexp.runtime.inside:InsideRuntime"),
    "Phone page": Row("sw.js", "kexp.runtime.inside:InsideRuntime"),
}


def title(path: Path, note: str = "") -> str:
    """Who runs a file, with the version: "LiteRT 2.3.0 (XNNPACK)". Raises ExportError where nobody does."""
    name = runtime_of(path)
    package = RUNTIMES[name].package
    number = f" {version(package).partition('+')[0]}" if package else ""  # PyTorch's ends with +cpu
    return f"{name}{number}{f' ({note})' if note else ''}"


def open_runtime(path: Path, threads: int = 1) -> AbstractRuntime:
    """The model in `path`, by the runtime of its kind. Raises ExportError for a file that none can open."""
    module, _, name = RUNTIMES[runtime_of(path)].opens.partition(":")
    opened: AbstractRuntime = getattr(importlib.import_module(module), name)(path, threads)
    return opened


def runtime_of(path: Path) -> str:
    """The row of RUNTIMES for a file or a folder. Raises ExportError where there is none."""
    for name, row in RUNTIMES.items():
        if path.suffix == row.mark or (path.is_dir() and (path / row.mark).is_file()):
            return name
    kinds = ", ".join(row.mark for row in RUNTIMES.values())
    raise ExportError(f"{path} is no model that kexp can run: {kinds} is expected, or a folder with such a file.")


def modules(question: Experiment) -> list[str]:
    """What must be imported before a .keras file of this experiment opens: it registers the layers in the file."""
    module, _, function = question.factory.partition(":")
    own = question.factory if module == "kexp.handed" else module  # whose layers are in a file of their own
    return ["kexp.models.layers", *([own] if function else [])]


def import_modules(names: Iterable[str]) -> None:
    """Import `names`, a user's own module from the current folder too. Raises ExportError where one is not there."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    for name in names:
        module, _, file = name.partition(":")
        try:
            found = importlib.import_module(module)
        except (ImportError, TypeError, ValueError) as error:  # the latter for "./layers.py" and ""
            raise ExportError(
                f"the model needs the module {name!r}, which cannot be imported in {here}: {error}. "
                "Run the command in the folder where that module lies."
            ) from error
        if file:
            with contextlib.suppress(AttributeError):  # it is gone: layers that it had are missed where they are met
                getattr(found, file)
