"""`export` makes files of a model in a child process.

A child, because TensorFlow's converter leaks, and on some networks kills the process it runs in. What a
child was at when it died becomes the reason of that format; the formats behind it are made by a new child.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexp.export.source import NO_CARE, Care
from kexp.formats import FORMATS
from kexp.records import DatasetSpec, to_json

TIMEOUT_S = 600.0  # of one child: every format of a small network takes 15 s on one core
THREADS = "1"
LOOK_S = 0.2  # between two looks at how far a child is


def export(
    model: Path,
    spec: DatasetSpec,
    calibration: NDArray[Any],
    formats: Sequence[str],
    folder: Path,
    *,
    modules: Sequence[str] = ("kexp.models.layers",),
    timeout_s: float = TIMEOUT_S,
    care: Care = NO_CARE,
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, Path | str]:
    """Write each of `formats` of the .keras file `model` into `folder`: its path, or why it is not there.

    `calibration` are raw training samples (n, *shape), about 256; `modules` register the layers that the
    model names; `timeout_s` is for one child; `care` is that of `Source`; `progress` is told how many formats are done.
    """
    made: dict[str, Path | str] = {}
    with tempfile.TemporaryDirectory(prefix="kexp-export-") as name:
        scratch = Path(name)
        np.save(scratch / "calibration.npy", calibration)
        while left := _next_child(formats, made):
            job = {
                "model": str(model.resolve()),
                "spec": to_json(spec),
                "formats": left,
                "folder": str(folder.resolve()),
                "modules": list(modules),
                "care": care,
            }
            (scratch / "job.json").write_text(json.dumps(job), encoding="utf-8")
            done = len(made)

            def look(done: int = done) -> None:
                progress(done + len(_log(scratch)))

            why = _run_child(scratch, timeout_s, FORMATS[left[0]].backend, look)
            ended = _log(scratch)
            for format, reason in ended.items():
                made[format] = folder / FORMATS[format].file if reason is None else reason
            if why:
                # The one it was at, the first that has no end. All of them, if it died before it began.
                begun = [format for format in left if format not in ended]
                for format in begun[:1]:
                    made[format] = why
                    target = folder / FORMATS[format].file  # what it had written is no whole file
                    shutil.rmtree(target, ignore_errors=True)
                    target.unlink(missing_ok=True)
    return made


def write(format: str, source: Any, path: Path) -> None:
    """Make one file, in this process."""
    module, _, function = FORMATS[format].writer.partition(":")
    getattr(importlib.import_module(module), function)(source, path)


def _next_child(formats: Sequence[str], made: Mapping[str, Any]) -> list[str]:
    """What is left to be made, as far as one child can: all on the backend of the first."""
    left = [format for format in formats if format not in made]
    return [format for format in left if FORMATS[format].backend == FORMATS[left[0]].backend]


def _run_child(scratch: Path, timeout_s: float, backend: str, look: Callable[[], None]) -> str:
    """Run one child on the job in `scratch`, with a `look` now and then; why it died, empty if it came to its end."""
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
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            end = time.monotonic() + timeout_s
            while (status := _wait(child, min(LOOK_S, end - time.monotonic()))) is None:
                if time.monotonic() >= end:
                    return f"the converter was stopped after {timeout_s:g} s"
                look()
        finally:
            if child.poll() is None:  # a time-out, or Ctrl-C in this process
                os.killpg(child.pid, signal.SIGKILL)  # with the programs that a converter runs
                child.wait()
    if status == 0:
        return ""
    cause = f"by {signal.Signals(-status).name}" if status < 0 else f"with exit status {status}"
    said = (scratch / "output.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()[-5:]
    return f"the converter died {cause}" + (": " + " | ".join(line.strip()[:200] for line in said) if said else "")


def _wait(child: subprocess.Popen[bytes], seconds: float) -> int | None:
    """The exit status of `child`; None while it runs."""
    try:
        return child.wait(timeout=max(seconds, 0))
    except subprocess.TimeoutExpired:
        return None


def _log(scratch: Path) -> dict[str, str | None]:
    """Of each format that the child came to the end of: None, or the reason of its failure."""
    path = scratch / "log.jsonl"
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    return {entry["format"]: entry["reason"] for entry in map(json.loads, lines)}
