"""Which operators of a .tflite take its time: LiteRT's own profiler, by its C API, in a process of its own.

    python -m kexp.runtime.profile FILE RUNS     what that process does: it prints the profiler's summary

LiteRT's Python package has no way to the profiler and ships no headers, so the functions are declared here after
https://github.com/google-ai-edge/LiteRT/tree/main/litert/c (2.3; profiler, options and opaque options). Should a later
version change one, the process may crash: then there are no shares, and nothing else is lost.
"""

from __future__ import annotations

import ctypes
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

TIMEOUT_S = 60.0
RUNS = 50
LEAST_MS = 0.02  # of one run: the profiler counts whole microseconds of each operator
CPU, HOST_MEMORY = 1, 1
DESTRUCTOR = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def shares(path: Path, runs: int = RUNS) -> dict[str, float]:
    """The share of time of each kind of operator in a .tflite, largest first; empty where LiteRT does not tell.

    It counts whole microseconds, so it has nothing to say of networks that take a few.
    XNNPACK's operators have its own names ("Convolution (NHWC, F32) IGEMM"), the others those of LiteRT.
    """
    command = [sys.executable, "-m", "kexp.runtime.profile", str(path.resolve()), str(runs)]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return {}
    return read(done.stdout) if done.returncode == 0 else {}


def read(text: str) -> dict[str, float]:
    """The shares in a summary of the profiler; empty where a run takes less than it can tell apart."""
    _, _, table = text.partition("Summary by node type")
    found = {}
    total_ms = 0.0
    for line in table.partition("Delegate Statistics")[0].splitlines():
        row = re.match(r"\s*(?:Delegate/)?(\S.*?)\s+\d+\s+([\d.]+)\s+([\d.]+)%", line)
        if row:
            total_ms += float(row[2])
            found[row[1]] = float(row[3]) / 100
    return {name: share for name, share in found.items() if share} if total_ms >= LEAST_MS else {}


class _LiteRT:
    """Calls that must succeed; each makes one thing, which is given back."""

    def __init__(self) -> None:
        found = find_spec("ai_edge_litert")
        folder = Path(found.origin).parent if found is not None and found.origin else Path()
        self._library = ctypes.CDLL(str(folder / "libLiteRt.so"))

    def call(self, name: str, *arguments: object) -> None:
        status = getattr(self._library, f"LiteRt{name}")(*arguments)
        if status:
            raise RuntimeError(f"LiteRt{name} answered {status}")

    def make(self, name: str, *arguments: object) -> ctypes.c_void_p:
        made = ctypes.c_void_p()
        self.call(name, *arguments, ctypes.byref(made))
        return made


class _Type(ctypes.Structure):
    """LiteRtRankedTensorType: the element's type, then rank and strides in one word, sizes and strides."""

    _fields_ = (("element", ctypes.c_int), ("layout", ctypes.c_uint32 * 17))


def summary(path: Path, runs: int) -> str:
    """The profiler's own text on `runs` runs of the .tflite at `path`, on zeros."""
    litert = _LiteRT()
    content = path.read_bytes()
    environment = litert.make("CreateEnvironment", 0, None)
    model = litert.make("CreateModelFromBuffer", environment, content, ctypes.c_size_t(len(content)))
    options = litert.make("CreateOptions")
    litert.call("SetOptionsHardwareAccelerators", options, CPU)
    told = ctypes.create_string_buffer(b"enable_profiling = true\n")
    keep = DESTRUCTOR(lambda _: None)
    litert.call(
        "AddOpaqueOptions",
        options,
        litert.make("CreateOpaqueOptions", b"runtime_options_string", ctypes.cast(told, ctypes.c_void_p), keep),
    )
    compiled = litert.make("CreateCompiledModel", environment, model, options)
    signature = litert.make("GetModelSignature", model, ctypes.c_size_t(0))
    buffers = []
    for end in ("Input", "Output"):
        tensor = litert.make(f"GetSignature{end}TensorByIndex", signature, ctypes.c_size_t(0))
        kind = _Type()
        litert.call("GetRankedTensorType", tensor, ctypes.byref(kind))
        rank, elements = kind.layout[0] & 0x7F, 1
        for size in kind.layout[1 : 1 + rank]:
            elements *= size
        bytes_ = ctypes.c_size_t(4 * elements)  # enough for every type that kexp's files take
        buffers.append(litert.make("CreateManagedTensorBuffer", environment, HOST_MEMORY, ctypes.byref(kind), bytes_))
    profiler = litert.make("CompiledModelGetProfiler", compiled)
    ends = [ctypes.byref(buffer) for buffer in buffers]
    one = ctypes.c_size_t(1)

    def run() -> None:
        litert.call("RunCompiledModel", compiled, ctypes.c_size_t(0), one, ends[0], one, ends[1])

    run()  # the first one allocates
    litert.call("ResetProfiler", profiler)
    litert.call("StartProfiler", profiler)
    for _ in range(runs):
        run()
    litert.call("StopProfiler", profiler)
    text = ctypes.c_char_p()
    litert.call("GetProfileSummary", profiler, compiled, ctypes.byref(text))
    return (text.value or b"").decode("utf-8", "replace")


if __name__ == "__main__":
    sys.stdout.write(summary(Path(sys.argv[1]), int(sys.argv[2])))
