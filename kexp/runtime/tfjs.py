"""TensorFlow.js: graph model folders (model.json and its weights), run in a node process by its WebAssembly backend.

One process per opened model, which ends with the runtime; node/tfjs.mjs is what runs in it and says how they talk. The
JavaScript packages are fetched once per user (`kexp.npm`).
"""

from __future__ import annotations

import contextlib
import json
import shutil
import struct
import subprocess
import tempfile
import weakref
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from kexp.errors import ExportError
from kexp.npm import npm_folder
from kexp.runtime.protocol import AbstractRuntime, Array, check_shape, starts

NODE = Path(__file__).with_name("node")
# Beginnings of operators: TensorFlow.js runs the loops of recurrent layers wrongly or not at all (4.22.0: a GRU fails,
# an LSTM fails in every form of the graph).
LOOPS = ("While", "StatelessWhile", "TensorList")
CLOSE_S = 5.0  # node ends when its stdin does; the wasm code cannot be in a loop for ever


class TensorFlowJsRuntime(AbstractRuntime):
    """A folder with a TensorFlow.js graph model; `backend` is "wasm", or "cpu" for operators that wasm lacks.

    `latency` is measured inside node, without the way there and back. `threads` is always one. Raises ExportError
    for a folder that is damaged, and where node or its packages are missing.
    """

    in_process = False

    def __init__(self, path: Path, threads: int = 1) -> None:
        node = shutil.which("node")
        if node is None:
            raise ExportError(
                "a TensorFlow.js model is run by node, which is not on the PATH. "
                "Install Node.js 18 or newer (https://nodejs.org, or apt install nodejs npm)."
            )
        modules = npm_folder(NODE / "package.json")
        self._path = path
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        command = [node, str(NODE / "tfjs.mjs"), str(modules), str(path.resolve())]
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors
            )
        except OSError as error:
            raise ExportError(f"{node} cannot be run: {error}. Install Node.js 18 or newer.") from error
        self._end = weakref.finalize(self, _close, self._process, self._errors)
        try:
            told = json.loads(self._answer())
        except ExportError:
            self.close()
            raise
        self.backend = str(told["backend"])
        self.note = f"{self.backend}, in node"
        self.texts = {str(name): str(text) for name, text in told["texts"].items()}
        self.shape = tuple(int(n) for n in told["shape"])
        self.dtype = np.dtype(np.float32)

    def predict(self, x: Array) -> NDArray[np.float32]:
        """Outputs (n, outputs) of raw samples (n, *shape)."""
        check_shape(x, self.shape)
        if not len(x):  # TensorFlow.js has no arrays without elements
            return self.predict(np.zeros((1, *self.shape), np.float32))[:0]
        parts = []
        for i in starts(x, 256):
            batch = x[i : i + 256]
            parts.append(np.frombuffer(self._ask(batch, 0), "<f4").reshape(len(batch), -1))
        return np.concatenate(parts).astype(np.float32)

    def close(self) -> None:
        """End node."""
        self._end()

    def latency(self, x: Array, runs: int) -> list[float]:
        """Milliseconds of each of `runs` predictions of one sample, taken from `x` (n, *shape) in turn, inside node."""
        check_shape(x, self.shape)
        self.predict(x[:1])
        times: list[float] = np.frombuffer(self._ask(x[: max(runs, 1)], max(runs, 1)), "<f8").tolist()
        return times[:runs]

    def _ask(self, x: Array, runs: int) -> bytes:
        pipe: Any = self._process.stdin
        with contextlib.suppress(BrokenPipeError):  # it died: the answer says so
            pipe.write(struct.pack("<II", len(x), runs) + np.ascontiguousarray(x, "<f4").tobytes())
            pipe.flush()
        return self._answer()

    def _answer(self) -> bytes:
        """What node answers next. Raises ExportError where that is a failure, or where it died."""
        pipe: Any = self._process.stdout
        head = pipe.read(8)
        failed, length = struct.unpack("<II", head) if len(head) == 8 else (0, 0)
        content: bytes = pipe.read(length) if length else b""
        if len(head) < 8 or len(content) < length:
            status = self._process.wait()
            self._errors.seek(0)
            said = " ".join(self._errors.read().decode("utf-8", "replace").split())[:300]
            raise ExportError(f"{self._path}: node died with exit status {status}: {said or 'it said nothing'}.")
        if failed:
            why = " ".join(content.decode("utf-8", "replace").split())[:300].rstrip(".")
            raise ExportError(f"{self._path} cannot be run by TensorFlow.js: {why}. Export it again.")
        return content


def _close(process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
    """End node, which ends when its input does."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    try:
        process.wait(CLOSE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    errors.close()


def operators(path: Path) -> list[str]:
    """The operators in a TensorFlow.js folder, sorted, by their TensorFlow names.

    Raises ExportError for a damaged model.json.
    """
    file = path / "model.json"
    try:
        topology = json.loads(file.read_text(encoding="utf-8"))["modelTopology"]
        functions = topology.get("library", {}).get("function", [])
        nodes = [*topology["node"], *(node for function in functions for node in function.get("nodeDef", []))]
        return sorted({str(node["op"]) for node in nodes})
    except OSError as error:
        raise ExportError(f"{file} cannot be read: {error.strerror}. kexp export writes such folders.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ExportError(f"{file} is damaged: {error}. Export it again.") from error
