"""What was found, kept: init, and then search, ask about the same data, and the second need not wait."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from kexp.data.dataset import Dataset
from kexp.records import Experiment, Finding, from_json, to_json
from kexp.store import atomic_write

VERSION = 1  # raise it when the same data would have other findings


def key(dataset: Dataset, question: Experiment, files: Sequence[Path]) -> str:
    """32 hex digits of the rows, of the files behind them, and of what is asked about them."""
    digest = hashlib.blake2b(f"{VERSION} {dataset.fingerprint}\n".encode(), digest_size=16)
    asked = (question.target, question.task, question.drop, question.kind)
    digest.update(repr((asked, question.split_column, question.group_column, question.time_column)).encode())
    for file in files:
        state = file.stat() if file.exists() else None
        digest.update(f"{file}\0{state and (state.st_size, state.st_mtime_ns)}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def lookup(cache: Path, key: str) -> list[Finding] | None:
    """What `keep` stored under `key`; None where there is nothing that can be read."""
    try:
        document = json.loads((cache / f"doctor-{key}.json").read_text(encoding="utf-8"))
        return [from_json(Finding, one) for one in document]
    except (OSError, ValueError, TypeError):
        return None


def keep(cache: Path, key: str, found: Sequence[Finding]) -> None:
    """Store `found` under `key`."""
    cache.mkdir(parents=True, exist_ok=True)
    atomic_write(cache / f"doctor-{key}.json", json.dumps(to_json(list(found)), ensure_ascii=False).encode())
