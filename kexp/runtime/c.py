"""A C package (model.h and its like): compiled once when it is opened, then samples go through its process by pipes.

Needed are a C++ compiler and LiteRT's library, which the Python package ai-edge-litert brings along. The program is
the package's own main.cc with --serve: it sends its shape (inputs, outputs) as uint32; a request is uint32 n and n
samples of float32, the answer uint32 n and n outputs.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import threading
import weakref
from importlib import metadata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kexp.errors import ExportError
from kexp.runtime.protocol import AbstractRuntime, Array, check_shape, starts

SOURCES = ("main.cc", "network.cc", "model.cc")
FLAGS = ("-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror")
LIBRARY = "libLiteRt.so"
OLDEST, NEWEST = (2, 1, 6), (3,)  # tried: 2.1.6, 2.2.0, 2.3.0; with 2.1.0 to 2.1.5 the program fails, another interface
ROWS = 64  # of one request
COMPILE_S = 300.0
ANSWER_S = 120.0


class CRuntime(AbstractRuntime):
    """The program of a C package. `threads` is of no use: the program runs LiteRT as it is by default.

    Raises ExportError where compiler or library are missing, where the sources do not compile, or the program dies.
    """

    note = "through a pipe"
    in_process = False

    def __init__(self, path: Path, threads: int = 1) -> None:
        header = _text(path / "model.h")
        self._name = path.name
        self.shape = _shape(header, path)
        self.dtype = np.dtype(np.float32)
        self._folder = Path(tempfile.mkdtemp(prefix="kexp-c-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        program = self._folder / "kexp_model"
        compile_program(path, program)
        self._log = self._folder / "stderr.txt"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [program, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )
        self._finalizer = weakref.finalize(self, _end, self._process, self._folder)
        inputs, self._outputs = np.frombuffer(self._read(8), np.uint32).tolist()
        if inputs != int(np.prod(self.shape)):
            raise ExportError(
                f"{path}: the program takes {inputs} numbers, model.h says {self.shape}. Export it again."
            )

    def predict(self, x: Array) -> NDArray[np.float32]:
        """Outputs (n, outputs) of raw samples (n, *shape)."""
        check_shape(x, self.shape)
        parts = []
        for first in starts(x, ROWS):
            samples = np.ascontiguousarray(x[first : first + ROWS], np.float32)
            try:
                pipe = self._process.stdin
                if pipe is None:
                    raise BrokenPipeError
                pipe.write(np.uint32(len(samples)).tobytes() + samples.tobytes())
                pipe.flush()
            except (BrokenPipeError, ValueError):
                raise self._died() from None
            (count,) = np.frombuffer(self._read(4), np.uint32).tolist()
            if count != len(samples):
                raise ExportError(
                    f"{self._name}: the program answered {count} of {len(samples)} samples. Export again."
                )
            answer = self._read(4 * count * self._outputs)
            parts.append(np.frombuffer(answer, np.float32).reshape(count, self._outputs))
        return np.concatenate(parts)

    def close(self) -> None:
        """End the program and remove what was compiled."""
        self._finalizer()

    def _read(self, size: int) -> bytes:
        pipe = self._process.stdout
        watch = threading.Timer(ANSWER_S, self._process.kill)  # a hung program must not hang this one
        watch.start()
        try:
            got = pipe.read(size) if pipe is not None else b""
        finally:
            watch.cancel()
        if len(got) < size:
            raise self._died()
        return got

    def _died(self) -> ExportError:
        try:
            status = self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        log = self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""
        said = last_lines(log, 3)
        how = f"was ended by signal {-status}" if status < 0 else f"ended with exit status {status}"
        return ExportError(f"{self._name}: the compiled program {how}: {said}. Export it again.")


def compile_program(path: Path, program: Path) -> None:
    """Compile the C package in `path` to `program`, warnings being errors. Raises ExportError where that fails."""
    compiler = find_compiler()
    library = find_library()
    command = [
        compiler, *FLAGS, *SOURCES, f"-L{library.parent}", f"-l:{library.name}", f"-Wl,-rpath,{library.parent}",
        "-o", str(program),
    ]  # fmt: skip
    try:
        done = subprocess.run(command, cwd=path, capture_output=True, timeout=COMPILE_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise ExportError(f"{path}: {compiler} was stopped after {COMPILE_S:g} s. Use a faster machine.") from error
    except OSError as error:
        raise ExportError(f"{path}: {compiler} cannot be started: {error.strerror}. Install g++.") from error
    if done.returncode == 0:
        return
    said = done.stderr.decode("utf-8", "replace")
    lacking = sorted(set(re.findall(r"undefined reference to [`'](LiteRt\w+)'", said)))
    if lacking:
        raise ExportError(
            f"{library} lacks {', '.join(lacking)}, which litert_c.h declares: ai-edge-litert {_version()} has another "
            "C interface. Install the version that the package's README names."
        )
    raise ExportError(f"{path} does not compile ({compiler}): {last_lines(said)}. Export it again.")


def find_compiler() -> str:
    """The C++ compiler: $CXX, or g++, or c++. Raises ExportError where there is none."""
    named = os.environ.get("CXX")
    for name in [named] if named else ["g++", "c++"]:
        found = shutil.which(name)
        if found:
            return found
    raise ExportError(
        f"no C++ compiler is here ({named or 'g++'}), which a C package is compiled with. "
        "Install g++ (Debian and Ubuntu: apt-get install g++), or name one in CXX."
    )


def find_library() -> Path:
    """LiteRT's shared library, as the Python package brings it. Raises ExportError for none, or another version."""
    try:
        package = metadata.distribution("ai-edge-litert")
    except metadata.PackageNotFoundError as error:
        raise ExportError(f"ai-edge-litert is not installed, and {LIBRARY} comes with it. Install it.") from error
    numbers = tuple(int(part) for part in re.findall(r"\d+", package.version)[:3])
    if not OLDEST <= numbers < NEWEST:
        raise ExportError(
            f"ai-edge-litert is {package.version}, whose C interface was not tried with litert_c.h: "
            f"{'.'.join(map(str, OLDEST))} or later, below {NEWEST[0]}, is expected. Install such a version."
        )
    library = Path(str(package.locate_file(f"ai_edge_litert/{LIBRARY}")))
    if not library.is_file():
        raise ExportError(
            f"{library} does not exist: this build of ai-edge-litert has no C library. Its Linux packages have one."
        )
    return library


def last_lines(text: str, count: int = 5) -> str:
    """The last `count` lines of what a program said, on one line."""
    return " | ".join(line.strip()[:200] for line in text.strip().splitlines()[-count:]) or "it said nothing"


def _version() -> str:
    return metadata.version("ai-edge-litert")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ExportError(f"{path} cannot be read: {error}. kexp export c makes it.") from error


def _shape(header: str, path: Path) -> tuple[int, ...]:
    """The shape of one sample that a model.h states."""
    numbers = {name: int(value) for name, value in re.findall(r"^#define KEXP_(\w+) (\d+)$", header, re.MULTILINE)}
    axes = ("FRAMES", "HEIGHT", "WIDTH", "STEPS", "SAMPLES", "CHANNELS")  # in the order in which a sample has them
    wanted = [name for name in axes if name in numbers] or ["INPUTS"]
    try:
        return tuple(numbers[name] for name in wanted)
    except KeyError as error:
        raise ExportError(f"{path / 'model.h'} states no KEXP_{error.args[0]}. Export it again.") from error


def _end(process: subprocess.Popen[bytes], folder: Path) -> None:
    if process.stdin is not None and not process.stdin.closed:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()  # the program ends with its input
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
    shutil.rmtree(folder, ignore_errors=True)
