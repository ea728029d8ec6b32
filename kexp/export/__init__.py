"""FORMATS, and `export`, which makes files of them in a child process.

A child, because TensorFlow's converter leaks, and on some networks kills the process it runs in. What a
child was at when it died becomes the reason of that format; the formats behind it are made by a new child.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kexp.errors import ExportError, nearest
from kexp.records import DatasetSpec, Kind, to_json

TIMEOUT_S = 600.0  # of one child: every format of a small network takes 15 s on one core
THREADS = "1"


class Format(NamedTuple):
    """A kind of file: its name in the folder, the function that writes it, and what it suits."""

    file: str
    writer: str  # "module:function" of (Source, Path); imported by the child alone
    kinds: tuple[Kind, ...] = ("image", "table")
    backend: str = "tensorflow"  # of Keras, in the child


FORMATS: dict[str, Format] = {
    "keras": Format("model.keras", "kexp.export.saved_model:keras_file"),
    "saved_model": Format("saved_model", "kexp.export.saved_model:folder"),
    "tflite_float32": Format("model_float32.tflite", "kexp.export.tflite:float32"),
    "tflite_float16": Format("model_float16.tflite", "kexp.export.tflite:float16"),
    "tflite_dynamic": Format("model_dynamic.tflite", "kexp.export.tflite:dynamic"),
    "tflite_int8": Format("model_int8.tflite", "kexp.export.tflite:int8"),
    "tflite_uint8": Format("model_uint8.tflite", "kexp.export.tflite:uint8", ("image",)),
    "tflite_int16x8": Format("model_int16x8.tflite", "kexp.export.tflite:int16x8"),
    "onnx": Format("model.onnx", "kexp.export.onnx:model"),
    "torch_export": Format("model.pt2", "kexp.export.torch:exported", backend="torch"),
    "torch_script": Format("model.pt", "kexp.export.torch:script", backend="torch"),
    "tfjs": Format("tfjs", "kexp.export.tfjs:folder"),
}


def formats(kind: Kind, wanted: Sequence[str] = ()) -> list[str]:
    """Rows of FORMATS for `wanted` names, in the order of the table; "tflite" is every .tflite; all if empty.

    Raises ExportError for a name that is no format, or does not suit `kind`.
    """
    suitable = [name for name, row in FORMATS.items() if kind in row.kinds]
    chosen: set[str] = set()
    for name in wanted:
        if name == "tflite":
            chosen.update(n for n in suitable if n.startswith("tflite_"))
        elif name not in FORMATS:
            raise ExportError(f"{name!r} is no export format.{nearest(name, ['tflite', *suitable])}")
        elif name not in suitable:
            raise ExportError(f"{name} takes pixels, these data are a {kind}. Known: {', '.join(suitable)}.")
        chosen.add(name)
    return [name for name in suitable if name in chosen or not wanted]


def export(
    model: Path,
    spec: DatasetSpec,
    calibration: NDArray[Any],
    formats: Sequence[str],
    folder: Path,
    *,
    modules: Sequence[str] = ("kexp.models.layers",),
    timeout_s: float = TIMEOUT_S,
) -> dict[str, Path | str]:
    """Write each of `formats` of the .keras file `model` into `folder`: its path, or why it is not there.

    `calibration` are raw training samples (n, *shape), about 256; `modules` register the layers that the
    model names; `timeout_s` is for one child.
    """
    made: dict[str, Path | str] = {}
    with tempfile.TemporaryDirectory(prefix="kexp-export-") as name:
        scratch = Path(name)
        np.save(scratch / "calibration.npy", calibration)
        while left := [format for format in formats if format not in made]:
            backend = FORMATS[left[0]].backend
            left = [format for format in left if FORMATS[format].backend == backend]
            job = {
                "model": str(model.resolve()),
                "spec": to_json(spec),
                "formats": left,
                "folder": str(folder.resolve()),
                "modules": list(modules),
            }
            (scratch / "job.json").write_text(json.dumps(job), encoding="utf-8")
            why = _run_child(scratch, timeout_s, backend)
            ended = _log(scratch)
            for format, reason in ended.items():
                made[format] = folder / FORMATS[format].file if reason is None else reason
            if why:
                # The one it was at, the first that has no end. All of them, if it died before it began.
                begun = [format for format in left if format not in ended]
                for format in begun[:1]:
                    made[format] = why
    return made


def write(format: str, source: Any, path: Path) -> None:
    """Make one file, in this process."""
    module, _, function = FORMATS[format].writer.partition(":")
    getattr(importlib.import_module(module), function)(source, path)


def _run_child(scratch: Path, timeout_s: float, backend: str) -> str:
    """Run one child on the job in `scratch`; why it died, empty if it came to its end."""
    (scratch / "log.jsonl").unlink(missing_ok=True)
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_NUM_INTRAOP_THREADS": THREADS,
        "TF_NUM_INTEROP_THREADS": THREADS,
        "OMP_NUM_THREADS": THREADS,
    }
    command = [sys.executable, "-m", "kexp.export.child", str(scratch)]
    with (scratch / "output.txt").open("wb") as output:
        child = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            status = child.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            return f"the converter was stopped after {timeout_s:g} s"
        finally:
            if child.poll() is None:  # a time-out, or Ctrl-C in this process
                child.kill()
                child.wait()
    if status == 0:
        return ""
    cause = f"by {signal.Signals(-status).name}" if status < 0 else f"with exit status {status}"
    said = (scratch / "output.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()[-5:]
    return f"the converter died {cause}" + (": " + " | ".join(line.strip()[:200] for line in said) if said else "")


def _log(scratch: Path) -> dict[str, str | None]:
    """Of each format that the child came to the end of: None, or the reason of its failure."""
    path = scratch / "log.jsonl"
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    return {entry["format"]: entry["reason"] for entry in map(json.loads, lines)}
