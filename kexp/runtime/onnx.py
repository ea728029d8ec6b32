"""ONNX Runtime: .onnx files, and which operators are in one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexp.errors import ExportError
from kexp.runtime.protocol import AbstractRuntime, Array, brief, check_shape, starts

STANDARD = ("", "ai.onnx")  # names of the domain whose operators every runtime of ONNX has


class OnnxRuntime(AbstractRuntime):
    """A .onnx file on the CPU. Raises ExportError for a file that is damaged or is no ONNX model."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as errors

        self.threads = threads
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 4  # what it would print is in the exception
        raised: tuple[type[Exception], ...] = (*_raised(errors), RuntimeError, ValueError)
        try:
            content = _content(path)
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except raised as error:
            raise ExportError(f"{path} cannot be run by ONNX Runtime: {brief(error)}. Export it again.") from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1 or inputs[0].type != "tensor(float)":
            raise ExportError(
                f"{path} takes {[(i.name, i.type) for i in inputs]} and answers {[o.name for o in outputs]}: "
                "one input of float32 and one output are expected. Give a file that kexp export wrote."
            )
        if not all(isinstance(n, int) for n in inputs[0].shape[1:]):
            raise ExportError(
                f"{path} takes {inputs[0].shape}: sizes that are numbers are expected, but for the first."
            )
        self._name = inputs[0].name
        self.shape = tuple(int(n) for n in inputs[0].shape[1:])
        self.dtype = np.dtype(np.float32)
        self.texts = dict(self._session.get_modelmeta().custom_metadata_map)

    def predict(self, x: Array) -> NDArray[np.float32]:
        """Outputs (n, outputs) of raw samples (n, *shape)."""
        check_shape(x, self.shape)
        parts = [self._session.run(None, {self._name: x[i : i + 256].astype(np.float32)})[0] for i in starts(x, 256)]
        return np.concatenate(parts).astype(np.float32)


def _raised(module: Any) -> tuple[type[Exception], ...]:
    """The exceptions of ONNX Runtime, which have no common class."""
    return tuple(each for each in vars(module).values() if isinstance(each, type) and issubclass(each, Exception))


def operators(path: Path) -> list[str]:
    """The operators in a .onnx, sorted; "com.microsoft:Gelu" for one that is not of the standard.

    Raises ExportError for a damaged file.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.load_from_string(_content(path))
    except (DecodeError, ValueError) as error:
        raise ExportError(f"{path} is a damaged .onnx: {brief(error)}. Export it again.") from error
    nodes = [*_nodes(model.graph), *(node for function in model.functions for node in function.node)]
    return sorted({node.op_type if node.domain in STANDARD else f"{node.domain}:{node.op_type}" for node in nodes})


def _nodes(graph: Any) -> Iterator[Any]:
    """The nodes of a graph and of the graphs inside them: a loop's body, both sides of a condition."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from _nodes(inner)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ExportError(f"{path} cannot be read: {error.strerror}. kexp export writes such files.") from error
