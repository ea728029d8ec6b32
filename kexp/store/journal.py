"""The journal of a run: an SQLite file with every ask and every tell in order, and what the run is about.

An entry is on the disk before the call returns. Whoever writes holds the lock; reading needs none.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

from kexp.records import Curve, Trial, from_json, to_json
from kexp.store import files

FILE = "journal.sqlite"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS events (
    position INTEGER PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('ask', 'tell')),
    id INTEGER NOT NULL,
    trial TEXT NOT NULL,
    proposal TEXT NOT NULL,
    seconds REAL NOT NULL,
    UNIQUE (kind, id)
);
"""
_CURVES = "CREATE TABLE IF NOT EXISTS curves (id INTEGER PRIMARY KEY, curve TEXT NOT NULL)"  # older runs have none


class Event(NamedTuple):
    """One line of the journal. `proposal` is what `record_ask` got beside the trial; empty for a tell."""

    kind: Literal["ask", "tell"]
    trial: Trial
    proposal: dict[str, Any]


class Journal:
    """The journal of the run in the folder `root`; a context manager that closes it."""

    def __init__(self, root: Path) -> None:
        self.name = root.name
        self.root = root
        self._db = sqlite3.connect(root / FILE, timeout=30, isolation_level=None)
        self._locked_at: float | None = None  # time.monotonic() when `lock` was entered, None outside of it
        self._spent = 0.0  # seconds of search before that
        self._events: list[Event] = []  # as they were in the `_state` ...
        self._events_of: tuple[int, int] | None = None  # ... that this is

    def lay_out(self) -> None:
        """Make the tables of a new journal, and note when."""
        # WAL: readers see a whole journal while a search writes.
        self._db.execute("PRAGMA journal_mode=WAL")
        self.write_through()
        self._db.executescript(_SCHEMA)
        self.set("created", now())

    def write_through(self) -> None:
        """Let every commit from now on survive a power cut too."""
        self._db.execute("PRAGMA synchronous=FULL")

    def close(self) -> None:
        """Close the journal."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    # One writer

    def locked(self) -> bool:
        """Whether a process, this one included, is working on this run."""
        return self._locked_at is not None or files.locked(self.root)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold this run for one writer. The lock ends with the process, even by kill -9.

        Raises RunError naming the process that holds it.
        """
        with files.lock(self.root):
            self._spent, self._locked_at = self._recorded_seconds(), time.monotonic()
            try:
                yield
            finally:
                self._locked_at = None

    @property
    def seconds_used(self) -> float:
        """Seconds of search so far: of each process that held the lock, up to its last ask or tell.

        Where this object holds the lock, up to now.
        """
        if self._locked_at is None:
            return self._recorded_seconds()
        return self._spent + time.monotonic() - self._locked_at

    def _recorded_seconds(self) -> float:
        return float(self._db.execute("SELECT COALESCE(MAX(seconds), 0) FROM events").fetchone()[0])

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """What is written to the journal meanwhile is written whole, or not at all where an exception passes."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    # Values by key

    def get(self, key: str, default: Any = None) -> Any:
        """The JSON value kept under `key`, or `default`."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return default if row is None else json.loads(row[0])

    def set(self, key: str, value: Any) -> None:
        """Keep `value`, anything that is JSON, under `key`.

        `list_runs` shows "kind", "task" and "best", a score. `best_first` needs "task". `clean` spares the
        trials in the list "keep".
        """
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))

    def finish(self) -> None:
        """Note that the search has ended, now."""
        self.set("finished", now())

    def get_all(self, kind: str) -> dict[str, Any]:
        """The values of all keys "<kind> <rest>", by <rest>."""
        rows = self._db.execute("SELECT key, value FROM meta WHERE key LIKE ?", (f"{kind} %",)).fetchall()
        return {key.removeprefix(f"{kind} "): json.loads(value) for key, value in rows}

    def set_all(self, values: Mapping[str, Any]) -> None:
        """Keep all `values` under their keys, or none."""
        with self.at_once():
            for key, value in values.items():
                self.set(key, value)

    # Asks and tells

    def record_ask(self, trial: Trial, **proposal: Any) -> None:
        """Note that `trial` was proposed; `proposal` is kept as JSON. Raises ValueError if it was already."""
        self._record("ask", trial, proposal)

    def record_tell(self, trial: Trial, curve: Curve | None = None) -> None:
        """Note how `trial` ended, and how it came there. Raises ValueError if that was told before, or never asked."""
        if self._db.execute("SELECT 1 FROM events WHERE kind = 'ask' AND id = ?", (trial.id,)).fetchone() is None:
            raise ValueError(f"trial {trial.id} of run {self.name!r} is told but was never asked")
        if curve is not None:  # first: what is told has its curve, and one that is not told is told again
            self._db.execute(_CURVES)
            text = json.dumps(to_json(curve), separators=(",", ":"))
            self._db.execute("INSERT OR REPLACE INTO curves VALUES (?, ?)", (trial.id, text))
        self._record("tell", trial, {})

    def _record(self, kind: str, trial: Trial, proposal: dict[str, Any]) -> None:
        row = (kind, trial.id, json.dumps(to_json(trial)), json.dumps(to_json(proposal)), self.seconds_used)
        try:
            self._db.execute("INSERT INTO events (kind, id, trial, proposal, seconds) VALUES (?, ?, ?, ?, ?)", row)
        except sqlite3.IntegrityError as error:
            raise ValueError(f"the {kind} of trial {trial.id} is in the journal of {self.name!r} already") from error

    def record_file(self, trial: Trial) -> None:
        """Keep what is known of the file of `trial`, whose journal says how it was trained: `trials` tells it then."""
        known = ("variant", "shipped", "floats", "bytes", "latency_ms", "refused", "message")
        self.set(f"file {trial.id}", {name: getattr(trial, name) for name in known})

    def judge_files_by(self, terms: dict[str, Any]) -> None:
        """Forget what `record_file` kept, unless it was found on the same `terms`, which are JSON."""
        with self.at_once():
            if self.get("files judged by", terms) != terms:
                self._db.execute("DELETE FROM meta WHERE key LIKE 'file %'")
            self.set("files judged by", terms)

    def events(self) -> list[Event]:
        """Every ask and tell, in the order they were recorded."""
        state = self._state()
        if state is None or state != self._events_of:
            rows = self._db.execute("SELECT kind, trial, proposal FROM events ORDER BY position").fetchall()
            self._events = [Event(kind, from_json(Trial, json.loads(t)), json.loads(p)) for kind, t, p in rows]
            self._events_of = state
        return list(self._events)

    def _state(self) -> tuple[int, int] | None:
        """Rows that this connection wrote, and SQLite's count of what others did: while both stay, so do all rows.

        None within `at_once`, whose rows may yet be taken back.
        """
        if self._db.in_transaction:
            return None
        return self._db.total_changes, int(self._db.execute("PRAGMA data_version").fetchone()[0])

    def trials(self) -> list[Trial]:
        """Each trial as last recorded, in the order of their ids: as told, or else as asked."""
        latest = {event.trial.id: event.trial for event in self.events()}
        for id, known in self.get_all("file").items():
            latest[int(id)] = dataclasses.replace(latest[int(id)], **known)
        return [latest[id] for id in sorted(latest)]

    def curves(self) -> dict[int, Curve]:
        """How trainings went, by trial: of those that were trained, in a run that kept it."""
        if self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'curves'").fetchone() is None:
            return {}
        rows = self._db.execute("SELECT id, curve FROM curves ORDER BY id").fetchall()
        return {int(id): from_json(Curve, json.loads(text)) for id, text in rows}

    def told_at(self) -> dict[int, float]:
        """Seconds of search, by trial, after which it was told how it ended."""
        rows = self._db.execute("SELECT id, seconds FROM events WHERE kind = 'tell'").fetchall()
        return {int(id): float(seconds) for id, seconds in rows}


def is_run(root: Path) -> bool:
    """Whether the run in `root` was created to the end: its journal has the experiment, which comes last."""
    journal = root / FILE
    if root.name.startswith(".") or not journal.is_file():
        return False
    with contextlib.closing(sqlite3.connect(journal, timeout=30)) as db:
        try:
            return db.execute("SELECT 1 FROM meta WHERE key = 'experiment'").fetchone() is not None
        except sqlite3.DatabaseError:  # no tables yet
            return False


def now() -> str:
    """The time, ISO 8601, to the microsecond."""
    return datetime.now(UTC).isoformat(timespec="microseconds")
