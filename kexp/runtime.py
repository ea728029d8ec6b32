"""Who can run a file: one class per kind of file, and nothing else in kexp knows LiteRT.

A runtime takes raw samples (n, *shape) as the model wants them (pictures 0..255, encoded rows) and returns
(n, outputs) float32. Requirements: `import kexp.runtime` costs numpy alone, LiteRT is loaded by the first
.tflite (0.02 s) and TensorFlow only by .keras and SavedModel; a file that is damaged is an ExportError, never
a crash of the process.
"""

from __future__ import annotations

import importlib
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexp.errors import DataError, ExportError
from kexp.records import Experiment

Array = NDArray[Any]
CUSTOM = "CUSTOM "  # before the name of an operator that is not built in


class AbstractRuntime(ABC):
    """An opened model. `shape` is of one raw sample, `dtype` what the file takes."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @abstractmethod
    def predict(self, x: Array) -> NDArray[np.float32]:
        """Outputs (n, outputs) of raw samples (n, *shape)."""

    def latency(self, x: Array, runs: int) -> list[float]:
        """Milliseconds of each of `runs` predictions of one sample, taken from `x` (n, *shape) in turn."""
        self.predict(x[:1])  # the first one allocates
        times = []
        for run in range(runs):
            sample = x[run % len(x)][None]
            start = time.perf_counter()
            self.predict(sample)
            times.append((time.perf_counter() - start) * 1000)
        return times


class LiteRTRuntime(AbstractRuntime):
    """A .tflite file of batch 1: samples go through it one by one, a resized batch crashes some graphs.

    Raises ExportError for a file that is no TFLite model, is damaged, or needs operators that are not built
    in.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        from ai_edge_litert.interpreter import Interpreter

        content = _content(path)
        try:
            # From memory, not by path: LiteRT verifies the whole structure of a buffer before it reads it.
            self._interpreter = Interpreter(model_content=content, num_threads=threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ExportError(f"{path} cannot be run by LiteRT: {_brief(error)}. Export it again.") from error
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        if len(inputs) != 1 or len(outputs) != 1 or inputs[0]["shape"][0] != 1:
            raise ExportError(
                f"{path} has {len(inputs)} inputs and {len(outputs)} outputs, of shape "
                f"{[d['shape'].tolist() for d in inputs + outputs]}: one of each and batch 1 are expected."
            )
        self._input, self._output = inputs[0], outputs[0]
        self.shape = tuple(int(n) for n in self._input["shape"][1:])
        self.dtype = np.dtype(self._input["dtype"])

    def predict(self, x: Array) -> NDArray[np.float32]:
        """Outputs (n, outputs) of raw samples (n, *shape); those of an integer file are rounded."""
        _check_shape(x, self.shape)
        out = np.empty((len(x), int(np.prod(self._output["shape"][1:]))), np.float32)
        for row, sample in enumerate(x):
            self._interpreter.set_tensor(self._input["index"], _quantise(sample, self._input)[None])
            self._interpreter.invoke()
            out[row] = _dequantise(self._interpreter.get_tensor(self._output["index"]), self._output).reshape(-1)
        return out


class KerasRuntime(AbstractRuntime):
    """A .keras file, by TensorFlow. Raises ExportError where Keras cannot open it."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        import keras

        import kexp.models.layers  # noqa: F401 - the file names layers that this registers

        if not path.is_file():
            raise ExportError(f"{path} does not exist. kexp export writes it.")
        try:
            self._model = keras.saving.load_model(path, compile=False)
        except (ValueError, OSError, TypeError, KeyError) as error:
            raise ExportError(f"{path} cannot be opened by Keras: {_brief(error)}") from error
        self.shape = tuple(int(n) for n in self._model.input_shape[1:])
        self.dtype = np.dtype(np.float32)

    def predict(self, x: Array) -> NDArray[np.float32]:
        """Outputs (n, outputs) of raw samples (n, *shape)."""
        _check_shape(x, self.shape)
        parts = [np.asarray(self._model(x[i : i + 256].astype(np.float32), training=False)) for i in _starts(x, 256)]
        return np.concatenate(parts).astype(np.float32)


class SavedModelRuntime(AbstractRuntime):
    """A SavedModel folder, by TensorFlow. Raises ExportError where there is none."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        import tensorflow as tf

        try:
            self._loaded = tf.saved_model.load(str(path))  # its weights live as long as it does
        except (OSError, ValueError) as error:
            raise ExportError(f"{path} is no SavedModel: {_brief(error)}") from error
        self._serve = self._loaded.signatures["serving_default"]
        _, named = self._serve.structured_input_signature
        (self._name, wanted), *_ = named.items()
        self.shape = tuple(int(n) for n in wanted.shape[1:])
        self.dtype = np.dtype(np.float32)

    def predict(self, x: Array) -> NDArray[np.float32]:
        """Outputs (n, outputs) of raw samples (n, *shape)."""
        import tensorflow as tf

        _check_shape(x, self.shape)
        parts = []
        for i in _starts(x, 256):
            (answer,) = self._serve(**{self._name: tf.constant(x[i : i + 256].astype(np.float32))}).values()
            parts.append(answer.numpy())
        return np.concatenate(parts).astype(np.float32)


def modules(question: Experiment) -> list[str]:
    """What must be imported before a .keras file of this experiment opens: it registers the layers in the file."""
    own = question.factory.partition(":")[0] if ":" in question.factory else ""
    return ["kexp.models.layers", *([own] if own else [])]


def import_modules(names: Iterable[str]) -> None:
    """Import `names`, a user's own module from the current folder too. Raises ExportError where one is not there."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ExportError(
                f"the model needs the module {name!r}, which cannot be imported in {here}: {error}. "
                "Run the command in the folder where that module lies."
            ) from error


RUNTIMES: dict[str, type[AbstractRuntime]] = {  # by the end of the file's name; a folder has none
    ".tflite": LiteRTRuntime,
    ".keras": KerasRuntime,
    "": SavedModelRuntime,
}


def open_runtime(path: Path, threads: int = 1) -> AbstractRuntime:
    """The model in `path`, by the runtime of its kind. Raises ExportError for a file that none can open."""
    if path.suffix not in RUNTIMES or (path.suffix == "" and path.is_file()):
        kinds = ", ".join(suffix or "a SavedModel folder" for suffix in RUNTIMES)
        raise ExportError(f"{path} is no model that kexp can run: {kinds} is expected.")
    return RUNTIMES[path.suffix](path, threads)  # type: ignore[call-arg]  # all take (path, threads)


def schema() -> Any:
    """The classes of the TFLite file format (a flatbuffer) that LiteRT ships, as a module."""
    from ai_edge_litert import schema_py_generated

    return schema_py_generated


def operators(path: Path) -> list[str]:
    """Names of the operators that a .tflite needs, sorted; "CUSTOM FlexRFFT" for one that is not built in.

    Nothing is run, so this tells why a file cannot be loaded. Raises ExportError for a damaged file.
    """
    import struct

    fb = schema()
    content = _content(path)
    try:
        model = fb.Model.GetRootAs(content)
        codes = [model.OperatorCodes(i) for i in range(model.OperatorCodesLength())]
        numbers = [(max(c.BuiltinCode(), c.DeprecatedBuiltinCode()), c.CustomCode()) for c in codes]
    except (struct.error, ValueError, IndexError, TypeError) as error:
        raise ExportError(f"{path} is a damaged .tflite: {_brief(error)}. Export it again.") from error
    names = {value: name for name, value in vars(fb.BuiltinOperator).items() if isinstance(value, int)}
    return sorted(
        {
            CUSTOM + custom.decode("utf-8", "replace") if custom else names.get(n, f"{CUSTOM}{n}")
            for n, custom in numbers
        }
    )


def _content(path: Path) -> bytes:
    """The bytes of a .tflite; ExportError unless they begin like one."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ExportError(f"{path} cannot be read: {error.strerror}. kexp export writes such files.") from error
    if content[4:8] != b"TFL3":
        raise ExportError(
            f"{path} is no TFLite model ({len(content)} bytes, without the mark TFL3). "
            "Give a .tflite file that kexp export wrote."
        )
    return content


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:300].rstrip(".") or type(error).__name__


def _starts(x: Array, step: int) -> range:
    return range(0, max(len(x), 1), step)


def _check_shape(x: Array, shape: tuple[int, ...]) -> None:
    if x.shape[1:] != shape:
        raise DataError(f"samples are of shape {x.shape[1:]}, the model takes {shape}. Give one array (n, {shape}).")


def _quantise(sample: Array, detail: dict[str, Any]) -> Array:
    kind = np.dtype(detail["dtype"])
    if kind.kind == "f":
        return sample.astype(kind)
    scale, zero = detail["quantization"]
    values = sample.astype(np.float32) / scale + zero if scale else sample
    limits = np.iinfo(kind)
    return np.clip(np.rint(values), limits.min, limits.max).astype(kind)


def _dequantise(values: Array, detail: dict[str, Any]) -> NDArray[np.float32]:
    scale, zero = detail["quantization"]
    if values.dtype.kind == "f" or not scale:
        return values.astype(np.float32)
    floats: NDArray[np.float32] = (values.astype(np.float32) - zero) * np.float32(scale)
    return floats
