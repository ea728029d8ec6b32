"""Files that appear whole or not at all, and the lock of a run."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TextIO

from kexp.errors import RunError

LOCK_SECONDS = 0.5  # for which whoever wants the lock tries again: somebody may only have looked


def atomic_write(path: Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all, and onto the disk before returning."""
    with replacing(path) as file:
        file.write(data)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write to that becomes `path` when all went well, and is gone otherwise."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def remove(path: Path) -> int:
    """Remove a file or a folder; returns the bytes freed."""
    if path.is_dir():
        size = sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
        shutil.rmtree(path)
        return size
    size = path.stat().st_size
    path.unlink()
    return size


@contextlib.contextmanager
def lock(root: Path) -> Iterator[None]:
    """Hold the run in `root` for one writer. Raises RunError naming the process that holds it."""
    # Not inherited by spawned processes; a forked one would share the lock and hold it after our death.
    with (root / "lock").open("a+", encoding="utf-8") as file:
        until = time.monotonic() + LOCK_SECONDS
        while not _try_lock(file):
            if time.monotonic() > until:
                file.seek(0)
                raise RunError(
                    f"the run {root.name!r} is in use by process {file.read().strip() or 'unknown'}. "
                    "Wait until it ends, or use another --name."
                )
            time.sleep(0.05)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def locked(root: Path) -> bool:
    """Whether a process, this one included, holds the run in `root`."""
    if not (root / "lock").exists():
        return False
    with (root / "lock").open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two that look do not see each other
        except BlockingIOError:
            return True
    return False


def _try_lock(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
