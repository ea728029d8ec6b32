"""LiteRT: .tflite files, run and looked into. The only module that knows LiteRT's Python package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexp.errors import ExportError
from kexp.runtime.protocol import AbstractRuntime, Array, brief, check_shape

CUSTOM = "CUSTOM "  # before the name of an operator that is not built in


class LiteRTRuntime(AbstractRuntime):
    """A .tflite file of batch 1: samples go through it one by one, a resized batch crashes some graphs.

    Raises ExportError for a file that is no TFLite model, is damaged, or needs operators that are not built
    in.
    """

    note = "XNNPACK"  # which LiteRT applies wherever it can

    def __init__(self, path: Path, threads: int = 1) -> None:
        self.threads = threads
        from ai_edge_litert.interpreter import Interpreter

        content = _content(path)
        try:
            # From memory, not by path: LiteRT verifies the whole structure of a buffer before it reads it.
            self._interpreter = Interpreter(model_content=content, num_threads=threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ExportError(f"{path} cannot be run by LiteRT: {brief(error)}. Export it again.") from error
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
        check_shape(x, self.shape)
        out = np.empty((len(x), int(np.prod(self._output["shape"][1:]))), np.float32)
        for row, sample in enumerate(x):
            self._interpreter.set_tensor(self._input["index"], _quantise(sample, self._input)[None])
            self._interpreter.invoke()
            out[row] = _dequantise(self._interpreter.get_tensor(self._output["index"]), self._output).reshape(-1)
        return out


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
        raise ExportError(f"{path} is a damaged .tflite: {brief(error)}. Export it again.") from error
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
