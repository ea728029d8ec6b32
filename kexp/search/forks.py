"""One process that has loaded TensorFlow, and starts workers out of itself: in a moment each, on shared memory.

A fork is safe as long as no operation has run: TensorFlow has no thread of its own until then. Where the system's own
libraries forbid it (all but Linux), a worker is a new program instead. The driver asks over a socket pair, one message
at a time; worker k is known by its number, since a process id may be another's by the time.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path

from kexp import lean

SIZE = 4096  # bytes of the longest message
LOADED = b"!"  # the first byte that it says
FORKS = sys.platform == "linux"
PR_SET_PDEATHSIG = 1  # Linux, sys/prctl.h


class Forks:
    """The driver's end. The process starts at once, and loads what workers need while the driver does other things."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._control, theirs = socket.socketpair()
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - what it says before there is a log
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from kexp.search.forks import main; main()", str(theirs.fileno())],
            pass_fds=[theirs.fileno()], env={**os.environ, **environment}, stdin=subprocess.DEVNULL,
            stdout=self._output, stderr=self._output,
        )  # fmt: skip
        theirs.close()
        self._count = 0
        self._loaded = self._gone = False

    @property
    def alive(self) -> bool:
        """Whether it can start workers."""
        return not self._gone and self._process.poll() is None

    def fork(self, log: Path) -> tuple[int, Connection]:
        """The number of a worker that there will be, and the connection to it. Its output goes to `log`."""
        ours, theirs = socket.socketpair()
        with theirs, contextlib.suppress(OSError):  # where it is gone, so is the worker: its connection tells
            socket.send_fds(self._control, [json.dumps({"log": str(log)}).encode()], [theirs.fileno()])
        self._count += 1
        return self._count, Connection(ours.detach())

    def end(self, number: int, log: Path, patience: float = 0.0) -> int | None:
        """End a worker that does not end by itself within `patience` seconds; its exit status, below 0 for a signal.

        None where it cannot be known.
        """
        try:
            self._loaded = self._loaded or self._control.recv(1) == LOADED
            self._control.sendall(json.dumps({"end": number, "patience": patience}).encode())
            if answer := self._control.recv(SIZE):
                return int(json.loads(answer))
        except OSError:
            pass
        self._gone = True  # as a process it may be there for a moment more
        if not self._output.closed:  # another worker's end has told it already
            self._output.seek(0)
            with log.open("ab") as file:
                file.write(self._output.read())
        return None

    def close(self) -> None:
        """End it, and all workers with it."""
        if self._control.fileno() < 0:
            return
        if not self._loaded and self._process.poll() is None and not select.select([self._control], [], [], 0.0)[0]:
            self._process.kill()  # nobody waits for what it still loads; it has no workers yet
        self._control.close()
        try:
            self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._output.close()


def main() -> None:
    """Entry of the process: argv[1] is its end of the control socket. It ends when the driver does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the driver decides
    control = socket.socket(fileno=int(sys.argv[1]))
    if FORKS:
        lean.ours = True
        lean.keras()
        import kexp.train  # noqa: F401 - TensorFlow

    control.sendall(LOADED)
    workers: list[int] = []  # process ids; 0 of those that ended
    while True:
        try:
            message, files, _, _ = socket.recv_fds(control, SIZE, 1)
        except ConnectionResetError:  # closed, with words of ours unread
            break
        if not message:
            break
        request = json.loads(message)
        if "log" in request:
            workers.append(_start(control, files[0], request["log"]))
            os.close(files[0])
        else:
            k = request["end"] - 1
            control.sendall(json.dumps(_end(workers[k], request["patience"])).encode())
            workers[k] = 0
    for pid in workers:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            _end(pid, 0.0)


def _start(control: socket.socket, connection: int, log: str) -> int:
    """The process id of a new worker; 0 where the system has no room for one, which the log tells."""
    try:
        return _fork(control, connection, log) if FORKS else _spawn(connection, log)
    except OSError as error:
        with Path(log).open("a", encoding="utf-8") as file:
            file.write(f"no process can be started: {error}\n")
        return 0


def _spawn(connection: int, log: str) -> int:
    os.set_inheritable(connection, True)
    out = _opened(log)
    try:
        return os.posix_spawn(
            sys.executable,
            [sys.executable, "-c", f"from kexp.search.worker import main; main({connection})"],
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, out, 1), (os.POSIX_SPAWN_DUP2, out, 2)],
        )
    finally:
        os.close(out)


def _opened(log: str) -> int:
    return os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)


def _fork(control: socket.socket, connection: int, log: str) -> int:
    from kexp.search.worker import main

    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        control.close()
        _die_with(parent)
        out = _opened(log)
        os.dup2(out, 1)
        os.dup2(out, 2)
        main(connection)
        status = 0
    except BaseException:  # noqa: BLE001 - it must not go on as its parent; the log has the traceback
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(status)
    raise AssertionError


def _die_with(parent: int) -> None:
    """Have the kernel end this process with its parent, where it can; the worker's own look at it is slower."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(0)


def _end(pid: int, patience: float) -> int:
    """The exit status of a child, which is killed unless it ends within `patience` seconds; 1 of none (0)."""
    if not pid:
        return 1
    until = time.monotonic() + patience
    while time.monotonic() < until:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
