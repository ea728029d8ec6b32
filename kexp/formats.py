"""FORMATS: the kinds of file that a network is exported to. A table and nothing else: `kexp --help` reads it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

from kexp.errors import ExportError, nearest
from kexp.records import Kind


class Format(NamedTuple):
    """A kind of file: its name in the folder, the function that writes it, and what it suits.

    `writer` is "module:function" of (Source, Path), called in a child process whose Keras runs on `backend`; or, where
    there are `parts`, of (Package, Path), called in this process once these formats have passed their gate. `family`
    is the option of `kexp export` that asks for it; `exact` whether it computes in float32, as the model does.
    """

    file: str
    writer: str
    family: str
    kinds: tuple[Kind, ...] = get_args(Kind)
    exact: bool = False
    backend: Literal["tensorflow", "torch"] = "tensorflow"
    parts: tuple[str, ...] = ()


FORMATS: dict[str, Format] = {
    "keras": Format("model.keras", "kexp.export.saved_model:keras_file", "keras", exact=True),
    "saved_model": Format("saved_model", "kexp.export.saved_model:folder", "saved_model", exact=True),
    "tflite_float32": Format("model_float32.tflite", "kexp.export.tflite:float32", "tflite", exact=True),
    "tflite_float16": Format("model_float16.tflite", "kexp.export.tflite:float16", "tflite"),
    "tflite_dynamic": Format("model_dynamic.tflite", "kexp.export.tflite:dynamic", "tflite"),
    "tflite_int8": Format("model_int8.tflite", "kexp.export.tflite:int8", "tflite"),
    "tflite_uint8": Format("model_uint8.tflite", "kexp.export.tflite:uint8", "tflite", ("image", "clip")),
    "tflite_int16x8": Format("model_int16x8.tflite", "kexp.export.tflite:int16x8", "tflite"),
    # Its converter knows no real FFT.
    "onnx": Format("model.onnx", "kexp.export.onnx:model", "onnx", ("image", "table", "series", "clip"), exact=True),
    "torch_export": Format("model.pt2", "kexp.export.torch:exported", "torch", exact=True, backend="torch"),
    "torch_script": Format("model.pt", "kexp.export.torch:script", "torch", exact=True, backend="torch"),
    "tfjs": Format("tfjs", "kexp.export.tfjs:folder", "tfjs", exact=True),
    "c": Format("c", "kexp.export.c:write", "c", parts=("tflite_int8",)),
    "android": Format("android", "kexp.export.android:write", "android", ("image", "table"), parts=("tflite_int8",)),
    "phone": Format(
        "phone", "kexp.phone.bundle:write", "phone", parts=("tflite_float32", "tflite_float16", "tflite_int8")
    ),
}
FAMILIES: dict[str, str] = {  # -> what its option says
    "tflite": "Every TFLite variant that the kind of data has.",
    "keras": "model.keras, which is always written.",
    "saved_model": "A SavedModel folder.",
    "onnx": "An ONNX file.",
    "torch": "PyTorch files: torch.export and TorchScript.",
    "tfjs": "A TensorFlow.js folder; node is needed.",
    "c": "C and C++: an array, LiteRT's C API, a program with a self-test.",
    "phone": "The page of kexp phone, as a folder for any https host.",
    "android": "An Android project in Kotlin, to be built with Gradle.",
}
SHIPS = "tflite_int8"  # what a phone gets, unless an experiment asks for other variants alone
USUAL = ("keras", "saved_model", "tflite")  # families that are meant where none is named: they need nothing more


def formats(kind: Kind, wanted: Sequence[str] = ()) -> list[str]:
    """Rows of FORMATS for `wanted` names, in the order of the table, and what those are made of.

    A name is a format, a family, or "all"; the USUAL families if empty. Raises ExportError for a name that is none of
    these, or does not suit `kind`.
    """
    suitable = [name for name, row in FORMATS.items() if kind in row.kinds]
    chosen: set[str] = set()
    for name in wanted or USUAL:
        family = [n for n in suitable if name in ("all", FORMATS[n].family)]
        if not family and name not in FORMATS:
            raise ExportError(f"{name!r} is no export format.{nearest(name, [*FAMILIES, 'all', *suitable])}")
        if not family and name not in suitable:
            raise ExportError(f"{name} takes pixels, these data are a {kind}. Known: {', '.join(suitable)}.")
        chosen.update(family or [name])
    for name in sorted(chosen):
        chosen.update(FORMATS[name].parts)
    return [name for name in suitable if name in chosen]


def shipping(kind: Kind, wanted: Sequence[str] = ()) -> str:
    """The TFLite variant that ranks candidates: int8, or the first of those that are `wanted` without it."""
    variants = [name for name in formats(kind, wanted) if FORMATS[name].family == "tflite"]
    return SHIPS if SHIPS in variants or not variants else variants[0]
