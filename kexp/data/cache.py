"""Decoded files kept on disk, so that a folder of photos is decoded once and memory-mapped ever after.

A set of files is known by its fingerprint: names, sizes and modification times of the files, and how they
were asked for. Its folder appears whole or not at all. What could not be decoded is remembered with its reason.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from kexp.errors import DataError

Array = NDArray[Any]
S = TypeVar("S", bound=tuple[int, ...])
VERSION = 3  # raise it when the same file would decode to other pixels
CHUNK = 32  # files a thread decodes before it reports


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """Samples `x`, (n, *shape), memory-mapped, without those that are `damaged`.

    `damaged` holds index (among all files) and reason of each file that was left out; `told` what `fill` was told.
    """

    x: Array
    damaged: dict[int, str]
    told: dict[str, Any] = field(default_factory=dict)


def fingerprint(files: Sequence[Path], names: Sequence[str], how: object) -> str:
    """32 hex digits of the names, sizes and modification times of `files`, and of `how` they are decoded."""
    digest = hashlib.blake2b(f"{VERSION} {how!r}\n".encode(), digest_size=16)
    for file, name in zip(files, names, strict=True):
        state = file.stat()
        digest.update(f"{name}\0{state.st_size} {state.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def lookup(cache: Path, key: str) -> Decoded | None:
    """What `fill` stored under `key`, or None. A folder that is not readable counts as absent."""
    try:
        document = json.loads((cache / key / "pictures.json").read_text(encoding="utf-8"))
        x = np.load(cache / key / "x.npy", mmap_mode="r")
        damaged = {int(i): reason for i, reason in document["damaged"].items()}
        return Decoded(x=x, damaged=damaged, told=document["told"])
    except (OSError, ValueError, KeyError):
        return None


def fill(
    cache: Path,
    key: str,
    files: Sequence[Path],
    shape: S,
    decode: Callable[[Path, S], Array],
    progress: Callable[[int, int], None] | None = None,
    *,
    dtype: type[np.generic] = np.uint8,
    noun: str = "picture",
    told: Mapping[str, Any] = MappingProxyType({}),
) -> Decoded:
    """Decode `files` to (n, *shape) of `dtype` on every core, and store them under `key`, with what is `told` of them.

    A DataError of `decode` marks that file as damaged; any other exception ends the work. `progress` is
    told how many of how many are done. Raises DataError when more than max(1, 1 %) are damaged, or when the
    disk is full.
    """
    cache.mkdir(parents=True, exist_ok=True)
    needed, free = len(files) * int(np.prod(shape)) * np.dtype(dtype).itemsize, shutil.disk_usage(cache).free
    if needed > free:  # writing to a mapped file on a full disk would kill the process
        raise DataError(
            f"{len(files)} {noun}s of {' x '.join(map(str, shape))} need {needed:,} bytes under {cache}, "
            f"{free:,} are free. Make room, or choose a smaller size."
        )
    work = Path(mkdtemp(prefix=f"{key}.", dir=cache))
    try:
        x = np.lib.format.open_memmap(work / "x.npy", mode="w+", dtype=dtype, shape=(len(files), *shape))
        damaged = _decode_into(x, files, shape, decode, progress)
        refuse_damaged(list(damaged.values()), len(files), noun)
        if damaged:
            kept = np.delete(np.arange(len(files)), list(damaged))
            whole = np.lib.format.open_memmap(work / "kept.npy", mode="w+", dtype=dtype, shape=(len(kept), *shape))
            for start in range(0, len(kept), 1024):
                whole[start : start + 1024] = x[kept[start : start + 1024]]
            whole.flush()
            del whole
            (work / "kept.npy").replace(work / "x.npy")
        x.flush()
        del x
        reasons = {str(i): reason for i, reason in sorted(damaged.items())}
        document = json.dumps({"damaged": reasons, "told": dict(told)})
        (work / "pictures.json").write_text(document, encoding="utf-8")
        if lookup(cache, key) is None:
            shutil.rmtree(cache / key, ignore_errors=True)
            work.replace(cache / key)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    stored = lookup(cache, key)
    if stored is None:
        raise DataError(f"{cache / key} was written but cannot be read. Check the disk and its permissions.")
    return stored


def refuse_damaged(reasons: Sequence[str], total: int, noun: str = "picture") -> None:
    """Raise DataError, with three of `reasons`, when more than max(1, 1 %) of `total` are damaged."""
    if len(reasons) > max(1, total // 100):
        named = "\n  ".join(reasons[:3])
        raise DataError(
            f"{len(reasons)} of {total} {noun}s cannot be read; at most {max(1, total // 100)} (1 %, or "
            f"one) may be skipped. Replace or remove them, beginning with:\n  {named}"
        )


def _decode_into(
    x: Array,
    files: Sequence[Path],
    shape: S,
    decode: Callable[[Path, S], Array],
    progress: Callable[[int, int], None] | None,
) -> dict[int, str]:
    def work(start: int) -> dict[int, str]:
        reasons = {}
        for i in range(start, min(start + CHUNK, len(files))):
            try:
                x[i] = decode(files[i], shape)
            except DataError as error:
                reasons[i] = str(error)
        return reasons

    damaged: dict[int, str] = {}
    done = 0
    pool = ThreadPoolExecutor(max(2, os.cpu_count() or 1))  # Pillow frees the interpreter lock while it decodes
    try:
        pending: set[Future[dict[int, str]]] = {pool.submit(work, i) for i in range(0, len(files), CHUNK)}
        while pending:
            finished, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in finished:
                damaged |= future.result()
                done = min(done + CHUNK, len(files))
            if progress is not None:
                progress(done, len(files))
    finally:
        pool.shutdown(cancel_futures=True)
    return dict(sorted(damaged.items()))
