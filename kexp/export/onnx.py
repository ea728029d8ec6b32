"""ONNX: model.onnx, opset 17, "input" -> "output", any number of samples, operators of the standard alone.

From the SavedModel by tf2onnx: Keras's own `export(format="onnx")` fails on a model that was loaded, and wherever a
Normalization layer is (Keras 3.15 on TensorFlow, 2026-11).
"""

from __future__ import annotations

import sys
from pathlib import Path
from unittest import mock

from kexp.errors import ExportError
from kexp.export import metadata, saved_model
from kexp.export.source import Source

OPSET = 17  # of 2022: what phones' ONNX runtimes know


def model(source: Source, path: Path) -> None:
    """Write model.onnx, with the labels and the description of `source` as its metadata. Raises ExportError."""
    import onnx
    from tf2onnx import convert

    folder = saved_model.any_batch(source)
    options = ["tf2onnx", "--saved-model", str(folder), "--opset", str(OPSET), "--output", str(path)]
    with mock.patch.object(sys, "argv", options):  # its command line: the functions behind it are private
        convert.main()
    file = onnx.load(path)
    _tidy(file)
    onnx.helper.set_model_props(file, metadata.texts(source.spec))
    onnx.checker.check_model(file, full_check=True)
    names = [value.name for value in (*file.graph.input, *file.graph.output)]
    if names != ["input", "output"]:
        raise ExportError(f"tf2onnx made the inputs and outputs {names}: input and output were expected.")
    onnx.save(file, path)


def _tidy(file: object) -> None:
    """Say what the file is, not where it was made: the batch has a name, and there is no path of this machine."""
    for value in (*file.graph.input, *file.graph.output):  # type: ignore[attr-defined]
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    file.graph.name = "kexp"  # type: ignore[attr-defined]
    file.graph.doc_string = ""  # type: ignore[attr-defined]
    used = {node.domain for node in file.graph.node}  # type: ignore[attr-defined]
    for row in [row for row in file.opset_import if row.domain and row.domain not in used]:  # type: ignore[attr-defined]
        file.opset_import.remove(row)  # type: ignore[attr-defined]
