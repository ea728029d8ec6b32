"""TFLite metadata inside the file: what MediaPipe asks of a picture classifier, and kexp's own description.

A .tflite is a flatbuffer; one of its buffers holds another flatbuffer (the metadata), and a zip archive with
the associated files hangs at its end, which no interpreter reads. Every file carries labels.txt and
kexp.json (the DatasetSpec), so that a lone .tflite can be run. Table and field numbers:
https://github.com/tensorflow/tflite-support/blob/master/tensorflow_lite_support/metadata/metadata_schema.fbs
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kexp.errors import ExportError
from kexp.export import inputs
from kexp.records import DatasetSpec, from_json, to_json

LABELS = "labels.txt"
SPEC = "kexp.json"

# Numbers of the schema.
_IMAGE_PROPERTIES, _FEATURE_PROPERTIES, _NORMALIZATION_OPTIONS = 2, 1, 1  # members of their unions
_RGB, _GREY = 1, 2
_TENSOR_AXIS_LABELS = 2


def write(path: Path, content: bytes, spec: DatasetSpec) -> None:
    """Write the .tflite `content` to `path` with metadata, labels and `spec` inside."""
    from kexp.export import graph
    from kexp.runtime.litert import schema

    fb = schema()
    model = graph.read(content)
    model.buffers.append(fb.BufferT(data=model_metadata(spec)))
    entry = fb.MetadataT(name=b"TFLITE_METADATA", buffer=len(model.buffers) - 1)
    model.metadata = [*(model.metadata or []), entry]
    file = io.BytesIO(graph.write(model))
    with zipfile.ZipFile(file, "a") as archive:  # stored, not deflated: MediaPipe maps it
        for name, text in texts(spec).items():
            archive.writestr(zipfile.ZipInfo(name), text)  # dated 1980: equal models give equal files
    path.write_bytes(file.getvalue())


def texts(spec: DatasetSpec) -> dict[str, str]:
    """What every file says about itself, by name: a label per output, and `spec` as JSON."""
    return {LABELS: lines(axis_labels(spec)), SPEC: json.dumps(to_json(spec))}


def lines(labels: Iterable[str]) -> str:
    """The text of labels.txt: a line for each label, whose own line breaks become blanks."""
    return "".join(" ".join(label.splitlines()) + "\n" for label in labels)


def read_spec(path: Path) -> DatasetSpec | None:
    """What the model in a .tflite takes and answers; None where kexp did not write the file.

    Raises ExportError where the description is there and cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            text = archive.read(SPEC)
    except (zipfile.BadZipFile, KeyError, OSError):
        return None
    return parse(text, path)


def parse(text: str | bytes, path: Path) -> DatasetSpec:
    """The DatasetSpec in the text `SPEC` of the file `path`. Raises ExportError where it cannot be read."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ExportError(f"{path}: the description inside ({SPEC}) is damaged: {error}. Export it again.") from error
    try:
        return from_json(DatasetSpec, document)
    except (TypeError, ValueError, AttributeError) as error:
        raise ExportError(f"{path} was written by another version of kexp ({error}). Export it again.") from error


def axis_labels(spec: DatasetSpec) -> tuple[str, ...]:
    """A name per output: the labels, and of a binary task the second one, whose probability the output is."""
    return spec.labels[-1:] if spec.task == "binary" else spec.labels


def model_metadata(spec: DatasetSpec) -> bytes:
    """The flatbuffer that says what goes into a file of these data, and what comes out."""
    import flatbuffers

    b = flatbuffers.Builder(1024)
    answers = {"regression": "value in the target's own units"}.get(spec.task, "probability, 0 to 1")
    labels = _table(b, [b.CreateString(LABELS), b.CreateString("one name per output"), ("byte", _TENSOR_AXIS_LABELS)])
    described = _table(b, [b.CreateString(SPEC), b.CreateString("how kexp reads inputs"), None])
    feature = _table(b, [])
    content = _table(b, [("byte", _FEATURE_PROPERTIES), feature])
    output = _table(
        b,
        [b.CreateString("output"), b.CreateString(answers), None, content, None, None, _vector(b, [labels])],
    )
    model = [
        b.CreateString(spec.name),
        b.CreateString(f"{spec.task} of {inputs.PLURAL[spec.kind]}, made by kexp"),
        None,
        _vector(b, [_table(b, [None, None, _vector(b, [_input(b, spec)]), _vector(b, [output])])]),
        None,
        None,
        _vector(b, [described]),
        b.CreateString("1.0.0"),
    ]
    b.Finish(_table(b, model), b"M001")
    return bytes(b.Output())


def _input(b: Any, spec: DatasetSpec) -> int:
    """TensorMetadata of the input. The network normalises: mean 0 and std 1 leave 0..255 as it is."""
    if spec.kind != "image":
        content = _table(b, [("byte", _FEATURE_PROPERTIES), _table(b, [])])
        if spec.kind == "table":
            text = "one number per column: " + ", ".join(column.name for column in spec.columns)
        else:
            text = f"{inputs.size(spec)}, {inputs.order(spec)}"
        return _table(b, [b.CreateString("input"), b.CreateString(text), None, content])
    picture = _table(b, [("byte", _GREY if spec.shape[2] == 1 else _RGB)])
    content = _table(b, [("byte", _IMAGE_PROPERTIES), picture])
    options = _table(b, [_floats(b, [0.0]), _floats(b, [1.0])])
    unit = _table(b, [("byte", _NORMALIZATION_OPTIONS), options])
    stats = _table(b, [_floats(b, [255.0]), _floats(b, [0.0])])
    text = "picture, channels last, 0 to 255"
    return _table(b, [b.CreateString("input"), b.CreateString(text), None, content, _vector(b, [unit]), stats])


def _table(b: Any, fields: list[int | tuple[str, int] | None]) -> int:
    """A flatbuffer table: an offset, a byte or nothing in each slot."""
    b.StartObject(len(fields))
    for slot, field in enumerate(fields):
        if isinstance(field, tuple):
            b.PrependInt8Slot(slot, field[1], 0)
        elif field is not None:
            b.PrependUOffsetTRelativeSlot(slot, field, 0)
    return int(b.EndObject())


def _vector(b: Any, offsets: list[int]) -> int:
    b.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        b.PrependUOffsetTRelative(offset)
    return int(b.EndVector())


def _floats(b: Any, values: list[float]) -> int:
    b.StartVector(4, len(values), 4)
    for value in reversed(values):
        b.PrependFloat32(value)
    return int(b.EndVector())
