"""How fast an exported file is, how it starts, and what memory it takes: each in a fresh process of its own.

    python -m kexp.benchmark FOLDER FILE THREADS     what that process does: one Measurement as JSON

One sample at a time, as an app runs it: a file is opened and answers once (the cold start), then golden samples in
turn. Nothing else should run meanwhile; `kexp search` does not.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexp.errors import ExportError
from kexp.export import golden
from kexp.export.card import manifest
from kexp.records import Artifact, Measurement, from_json, to_json
from kexp.runtime import import_modules, open_runtime, title
from kexp.runtime.profile import shares
from kexp.runtime.protocol import AbstractRuntime

RUNS = 300  # at most, of one sample
SECONDS = 2.0  # at most, of them
WARM_UP = 10
TIMEOUT_S = 300.0
Progress = Callable[[int, int, str], None]  # how many of how many are done, what comes next


def benchmark(
    folder: Path, threads: Sequence[int] = (1,), progress: Progress = lambda done, total, text: None
) -> tuple[list[Measurement], dict[str, str]]:
    """A Measurement for every exported file and number of threads; and why there is none, by file.

    Raises ExportError where `folder` holds no export.
    """
    document, _ = manifest(folder)
    artifacts = [from_json(Artifact, item) for item in document["artifacts"]]
    found: list[Measurement] = []
    missing: dict[str, str] = {}
    jobs = [(artifact, count) for artifact in artifacts for count in threads]
    for done, (artifact, count) in enumerate(jobs):
        progress(done, len(jobs), artifact.path)
        measured = _in_child(folder, artifact.path, count)
        if isinstance(measured, str):
            missing[artifact.path] = measured
        elif not any(one.artifact == measured.artifact and one.threads == measured.threads for one in found):
            share = shares(folder / artifact.path) if artifact.path.endswith(".tflite") and count == threads[0] else {}
            found.append(replace(measured, bytes=artifact.bytes, operators=share))
    progress(len(jobs), len(jobs), "")
    return found, missing


def _in_child(folder: Path, file: str, threads: int) -> Measurement | str:
    """What one process measures of one file, or why it does not."""
    count = str(threads)
    environment = {
        **os.environ,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",
        "OMP_NUM_THREADS": count,
        "TF_NUM_INTRAOP_THREADS": count,
        "TF_NUM_INTEROP_THREADS": "1",
    }
    command = [sys.executable, "-m", "kexp.benchmark", str(folder.resolve()), file, count]
    try:
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        return f"it was stopped after {TIMEOUT_S:g} s"
    lines = done.stdout.strip().splitlines()
    if done.returncode == 0 and lines:
        document = json.loads(lines[-1])
        return str(document["error"]) if "error" in document else from_json(Measurement, document)
    said = done.stderr.strip().splitlines()[-1:]
    return f"its process ended with {done.returncode}" + (f": {said[0][:200]}" if said else "")


def measure(folder: Path, file: str, threads: int) -> Measurement:
    """Measure one file in this process. Raises ExportError for a file that cannot be run."""
    document, spec = manifest(folder)
    x = golden.read(folder / "golden", spec)
    if file.endswith(".keras"):
        import_modules(document.get("modules", []))
    # Two at once: libraries are loaded by the first, and what it takes is not there for the second, which is measured.
    with contextlib.closing(open_runtime(folder / file, threads)) as first:
        first.predict(x[:1])
        counted = _forget_peak()
        before, start = _memory("VmRSS"), time.perf_counter()
        with contextlib.closing(open_runtime(folder / file, threads)) as runtime:
            runtime.predict(x[:1])
            cold = (time.perf_counter() - start) * 1000
            times = settled(runtime, x, SECONDS, RUNS)
            peak = _memory("VmHWM") - before
    return Measurement(
        artifact=file,
        device=device(),
        runtime=title(folder / file, runtime.note),
        threads=runtime.threads,
        p50_ms=float(np.percentile(times, 50)),
        p95_ms=float(np.percentile(times, 95)),
        runs=len(times),
        start_ms=cold if runtime.in_process else None,  # of the others most is compiling, or node
        peak_bytes=peak if runtime.in_process and counted and before and peak >= 0 else None,
    )


def settled(runtime: AbstractRuntime, x: NDArray[Any], seconds: float, runs: int) -> list[float]:
    """Milliseconds of each of at most `runs` samples of `x` (n, *shape), in `seconds` about, once it has warmed up."""
    runtime.latency(x, WARM_UP)
    typical = float(np.median(runtime.latency(x, WARM_UP)))
    return runtime.latency(x, int(np.clip(seconds * 1000 / max(typical, 1e-3), WARM_UP, runs)))


def device() -> str:
    """This machine, in words: its processor and how many of its cores this process may use."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return f"{name}, {cores} core{'s' if cores > 1 else ''}"


def _memory(field: str) -> int:
    """Bytes of this process: "VmRSS" now, "VmHWM" at most; 0 where the system does not tell."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    return 0


def _forget_peak() -> bool:
    """Count VmHWM from now on (Linux: proc(5), clear_refs); False where that is not to be had."""
    gc.collect()
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


if __name__ == "__main__":
    try:
        told = to_json(measure(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
    except ExportError as error:
        told = {"error": str(error)}
    sys.stdout.write("\n" + json.dumps(told) + "\n")
