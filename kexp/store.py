"""The run folder: what a search leaves behind, and the only module that knows its file names.

    <home>/runs/<name>/journal.sqlite   every ask and every tell, in order; what the run is about
                       weights/7.npz    the weights of trial 7
                       files/7.tflite   what it ships as, where it was converted
                       data/            the Dataset that every step reads
                       features/        what a frozen network makes of it: a speed-up
                       model.keras, evaluation.npz, evaluation.json, report.html, lock
    <home>/runs/.cache/                 decoded pictures: a speed-up, shared by all runs and needed by none

Files appear whole or not at all, and a journal entry is on the disk before the call returns: kill -9 at any
moment leaves a run that can be read and continued.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import re
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal, NamedTuple, Self, TextIO

import numpy as np
from numpy.typing import NDArray

from kexp.errors import RunError, nearest
from kexp.metrics import rank
from kexp.records import Curve, Experiment, Trial, from_json, to_json

# What may differ between a run and its continuation. `data` is where rows lie; the fingerprint says which.
BUDGET = ("name", "data", "trials", "seconds", "finalists", "seeds", "formats", "tolerances")
CACHE_AGE = 86_400.0  # seconds: decoded pictures younger than a day stay when `clean` is asked
LOCK_SECONDS = 0.5  # for which whoever wants the lock tries again: somebody may only have looked

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


def home(explicit: str | Path | None = None) -> Path:
    """The folder that holds runs/: `explicit`, or else KEXP_HOME, or else the current folder."""
    return Path(explicit or os.environ.get("KEXP_HOME") or ".").expanduser().resolve()


def cache(home: Path) -> Path:
    """Where decoded pictures are kept, for all runs of `home`."""
    return home / "runs" / ".cache"


def atomic_write(path: Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all, and onto the disk before returning."""
    with _replacing(path) as file:
        file.write(data)


class RunStore:
    """One run. Made by `create` or `open`; a context manager that closes its journal.

    Whoever writes the journal holds `lock()`; reading needs no lock.
    """

    def __init__(self, root: Path) -> None:
        self.name = root.name
        self.root = root
        self.data = root / "data"
        self.features = root / "features"
        self.fitted = root / "baselines"
        self.study = root / "study.json"
        self.diagnosis = root / "diagnosis.json"
        self.model = root / "model.keras"
        self.evaluation = root / "evaluation.json"
        self.predictions = root / "evaluation.npz"
        self.report = root / "report.html"
        self._db = sqlite3.connect(root / "journal.sqlite", timeout=30, isolation_level=None)
        self._locked_at: float | None = None  # time.monotonic() when `lock` was entered, None outside of it
        self._spent = 0.0  # seconds of search before that

    @classmethod
    def create(cls, home: Path, name: str, experiment: Experiment) -> RunStore:
        """A new, empty run. Raises RunError for a bad name, or where the run exists already."""
        if not re.fullmatch(r"\w[\w.-]*", name):
            raise RunError(f"{name!r} cannot name a run: letters, digits and . _ - are expected. Use --name.")
        root = home / "runs" / name
        if _is_run(root):
            raise RunError(
                f"the run {name!r} exists under {root.parent}. Continue it, or use --fresh or another --name."
            )
        (root / "weights").mkdir(parents=True, exist_ok=True)
        store = cls(root)
        # WAL: readers see a whole journal while a search writes. FULL: a commit survives a power cut too.
        store._db.execute("PRAGMA journal_mode=WAL")
        store._db.execute("PRAGMA synchronous=FULL")
        store._db.executescript(_SCHEMA)
        store.set("created", _now())
        store.remember(experiment, "")  # last: without an experiment this is no run yet
        return store

    @classmethod
    def open_or_create(cls, home: Path, experiment: Experiment) -> RunStore:
        """The run of the experiment's name: the one that exists, or a new one."""
        if exists(home, experiment.name):
            return cls.open(home, experiment.name)
        return cls.create(home, experiment.name, experiment)

    @classmethod
    def open(cls, home: Path, name: str) -> RunStore:
        """The run `name`. Raises RunError, with the nearest name, where there is none."""
        root = home / "runs" / name
        if not _is_run(root):
            names = _names(home)
            advice = nearest(name, names) if names else " There is none yet: kexp search makes one."
            raise RunError(f"no run is named {name!r} under {home / 'runs'}.{advice}")
        store = cls(root)
        store._db.execute("PRAGMA synchronous=FULL")
        return store

    def close(self) -> None:
        """Close the journal."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def locked(self) -> bool:
        """Whether a process, this one included, is working on this run."""
        if self._locked_at is not None:
            return True
        if not (self.root / "lock").exists():
            return False
        with (self.root / "lock").open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two that look do not see each other
            except BlockingIOError:
                return True
        return False

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold this run for one writer. The lock ends with the process, even by kill -9.

        Raises RunError naming the process that holds it.
        """
        with _lock(self.root):
            self._spent, self._locked_at = self._recorded_seconds(), time.monotonic()
            try:
                yield
            finally:
                self._locked_at = None

    # What the run is about

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
        self.set("finished", _now())

    def need_model(self) -> Path:
        """The file of the best model. Raises RunError where no search came so far."""
        if not self.model.exists():
            raise RunError(f"the run {self.name!r} has no model yet. The command that started its search continues it.")
        return self.model

    @property
    def experiment(self) -> Experiment:
        """The question that this run asks."""
        return from_json(Experiment, self.get("experiment"))

    @property
    def fingerprint(self) -> str:
        """Of the rows; empty until `remember` was told."""
        return str(self.get("fingerprint", ""))

    def remember(self, experiment: Experiment, fingerprint: str) -> None:
        """Keep `experiment` and the `fingerprint` of its rows, both or neither."""
        rows = [("fingerprint", json.dumps(fingerprint)), ("experiment", json.dumps(to_json(experiment)))]
        with self.at_once():
            self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)

    def check_same(self, experiment: Experiment, fingerprint: str) -> None:
        """Raise RunError naming the first field in which the run differs from `experiment`, budget aside.

        Then of the rows: a fingerprint is compared where both sides have one.
        """
        way_out = "Use --fresh to start again (the old run is kept aside), or another --name."
        # Of a field that the run's kexp did not know, from_json gives the default.
        old, new = (json.loads(json.dumps(to_json(one))) for one in (self.experiment, experiment))
        for field in dataclasses.fields(Experiment):
            was, wanted = old[field.name], new[field.name]
            if field.name not in BUDGET and was != wanted:
                raise RunError(
                    f"the run {self.name!r} was started with {field.name} = {was!r}, "
                    f"{wanted!r} is asked for now. {way_out}"
                )
        if fingerprint and self.fingerprint and fingerprint != self.fingerprint:
            raise RunError(
                f"the run {self.name!r} was started with other rows than {experiment.data} holds now "
                f"(data, fingerprint {self.fingerprint[:8]}, now {fingerprint[:8]}), or than this version of kexp "
                f"makes of them. {way_out}"
            )

    # The journal

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

    def events(self) -> list[Event]:
        """Every ask and tell, in the order they were recorded."""
        rows = self._db.execute("SELECT kind, trial, proposal FROM events ORDER BY position").fetchall()
        return [Event(kind, from_json(Trial, json.loads(t)), json.loads(p)) for kind, t, p in rows]

    def trials(self) -> list[Trial]:
        """Each trial as last recorded, in the order of their ids: as told, or else as asked."""
        latest = {event.trial.id: event.trial for event in self.events()}
        for key, value in self._db.execute("SELECT key, value FROM meta WHERE key LIKE 'file %'").fetchall():
            id = int(key.removeprefix("file "))
            latest[id] = dataclasses.replace(latest[id], **json.loads(value))
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

    def best_first(self) -> list[Trial]:
        """The trials that have a score, best first, by what the run's experiment ranks."""
        return self.in_order([trial for trial in self.trials() if trial.score is not None])

    def in_order(self, trials: Iterable[Trial]) -> list[Trial]:
        """`trials`, best first, by what the run's experiment ranks."""
        task, wanted = self.get("task"), self.experiment.objective
        return sorted(trials, key=lambda trial: rank(task, wanted, trial.standing), reverse=True)

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

    # Weights

    def weights(self, id: int) -> Path:
        """The file of the weights of trial `id`, whether it is there or not."""
        return self.root / "weights" / f"{id}.npz"

    def file(self, id: int) -> Path:
        """The .tflite of trial `id`, whether it is there or not."""
        return self.root / "files" / f"{id}.tflite"

    def record_file(self, trial: Trial) -> None:
        """Keep what is known of the file of `trial`, whose journal says how it was trained: `trials` tells it then."""
        known = {name: getattr(trial, name) for name in ("variant", "shipped", "bytes", "latency_ms", "message")}
        self.set(f"file {trial.id}", known)

    def save_weights(self, id: int, weights: Sequence[NDArray[Any]]) -> None:
        """Keep the weights of trial `id`, in their order; on the disk before this returns."""
        with _replacing(self.weights(id)) as file:
            np.savez(file, *weights)

    def load_weights(self, id: int) -> list[NDArray[Any]]:
        """The weights of trial `id` in the order they were saved. Raises RunError where they are gone."""
        try:
            with np.load(self.weights(id), allow_pickle=False) as arrays:
                return [arrays[f"arr_{i}"] for i in range(len(arrays.files))]
        except FileNotFoundError as error:
            raise RunError(
                f"the weights of trial {id} of run {self.name!r} are not there: kexp clean removes all but "
                "those of the best trials. Choose another trial, or search again with --fresh."
            ) from error

    # What no network was asked

    def save_baseline(self, trial: Trial, model: bytes, folds: bool) -> None:
        """Keep a fitted baseline, in place of an earlier one of its name; `folds` as `baselines` asks for it."""
        self.fitted.mkdir(exist_ok=True)
        with _replacing(self.fitted / f"{trial.factory}.pkl") as file:
            file.write(model)
        self.set(f"baseline {trial.factory}", {"trial": to_json(trial), "folds": folds})

    def baselines(self, folds: bool) -> list[Trial]:
        """The baselines that were fitted: on all rows but the test rows if `folds`, otherwise on the training rows."""
        rows = self._db.execute("SELECT value FROM meta WHERE key LIKE 'baseline %'").fetchall()
        found = [json.loads(value) for (value,) in rows]
        return [from_json(Trial, one["trial"]) for one in found if one["folds"] == folds]

    def load_baseline(self, name: str) -> bytes:
        """The model that `save_baseline` kept."""
        return (self.fitted / f"{name}.pkl").read_bytes()

    # What evaluate found

    def save_predictions(self, **arrays: NDArray[Any]) -> None:
        """Keep arrays by name: rows, y, and the outputs of each model on them."""
        with _replacing(self.predictions) as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    def read_evaluation(self) -> dict[str, Any] | None:
        """The document that evaluate wrote, None before it did."""
        if not self.evaluation.exists():
            return None
        return dict(json.loads(self.evaluation.read_text(encoding="utf-8")))

    # What phones measured

    def add_devices(self, model: str, entries: Sequence[dict[str, Any]]) -> bool:
        """Keep what a phone measured of exported files, in place of what it last told of the same file.

        `model` is the SHA-256 of the .keras file that was exported; False, and nothing is kept, where that is not
        this run's. Needs no lock: a search may go on meanwhile.
        """
        if not model or model != self._model_digest():
            return False
        rows = [
            (f"device {entry['artifact']} {entry['device']}", json.dumps({**entry, "model": model}))
            for entry in entries
        ]
        with self.at_once():
            self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)
        return True

    def devices(self, current: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        """What phones measured of this run's present model, as `by_device` groups it.

        `current` is the SHA-256 of each file that is exported now, by path: what was measured of others is left out.
        """
        rows = self._db.execute("SELECT value FROM meta WHERE key LIKE 'device %'").fetchall()
        model = self._model_digest() if rows else ""
        entries = [entry for (value,) in rows if (entry := json.loads(value))["model"] == model]
        if current is not None:
            entries = [entry for entry in entries if current.get(entry["artifact"]) == entry["sha256"]]
        return by_device(entries)

    def _model_digest(self) -> str:
        return hashlib.sha256(self.model.read_bytes()).hexdigest() if self.model.exists() else ""


# What phones measured


def by_device(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One document for each device, the latest last: device, when, measurements, checks, sha256 by artifact.

    Of entries of the same device and artifact the last counts.
    """
    latest = {(entry["device"], entry["artifact"]): entry for entry in entries}
    devices: dict[str, dict[str, Any]] = {}
    for entry in sorted(latest.values(), key=lambda entry: (entry["when"], entry["artifact"])):
        blank = {"device": entry["device"], "when": "", "measurements": [], "checks": [], "sha256": {}}
        found = devices.setdefault(entry["device"], blank)
        found["when"] = entry["when"]
        if entry["measurement"] is not None:  # None: it could not run there, as its check says
            found["measurements"].append(entry["measurement"])
        found["checks"] += entry["checks"]
        found["sha256"][entry["artifact"]] = entry["sha256"]
    return sorted(devices.values(), key=lambda device: device["when"])


# All runs of a home


def exists(home: Path, name: str) -> bool:
    """Whether there is a run `name`."""
    return _is_run(home / "runs" / name)


def list_runs(home: Path) -> list[dict[str, Any]]:
    """Each run, newest last: name, kind, task, trials (completed), best (a score), created, finished.

    Times are ISO 8601. What is not known yet is None.
    """
    runs = []
    for name in _names(home):
        with RunStore.open(home, name) as store:
            completed = [t for t in store.trials() if t.status == "completed"]
            best = store.get("best")
            if best is None:  # not chosen yet
                best = next((trial.score for trial in store.best_first()), None)
            runs.append(
                {
                    "name": name,
                    "kind": store.get("kind"),
                    "task": store.get("task"),
                    "trials": len(completed),
                    "best": best,
                    "created": store.get("created"),
                    "finished": store.get("finished"),
                }
            )
    return sorted(runs, key=lambda run: (run["created"], run["name"]))


def latest(home: Path) -> str:
    """The run that finished last, or else the one created last. Raises RunError where there is none."""
    runs = list_runs(home)
    if not runs:
        raise RunError(f"there is no run under {home / 'runs'} yet. kexp search makes one.")
    finished = [run for run in runs if run["finished"]]
    return str(max(finished, key=lambda run: run["finished"])["name"] if finished else runs[-1]["name"])


def fresh(home: Path, name: str) -> str | None:
    """Move the run `name` aside, to name.1, name.2 ...; returns its new name, None if there was no such run.

    Raises RunError where a process is working on it.
    """
    root = home / "runs" / name
    if not _is_run(root):
        return None
    with _lock(root):
        number = 1
        while (aside := root.with_name(f"{name}.{number}")).exists():
            number += 1
        root.rename(aside)
    return aside.name


def clean(home: Path, names: Sequence[str] = (), keep: int = 3) -> int:
    """Free what the runs `names` no longer need, of all finished runs if empty; returns the bytes freed.

    Removed: weights of all trials but the best `keep`; and decoded pictures that were written more than CACHE_AGE
    ago (younger ones may be being decoded, or read, by a search that just began). Journals stay, and so does what
    the runs have of the pictures: a copy of their own. A run cleaned before its end can go on, but what would have
    continued a removed trial starts anew. Raises RunError for a run that does not exist, or that a process is
    working on.
    """
    freed = 0
    for name in names or [run["name"] for run in list_runs(home) if run["finished"]]:
        with RunStore.open(home, name) as store, store.lock():
            kept = {str(trial.id) for trial in store.best_first()[:keep]} | {str(id) for id in store.get("keep", [])}
            for folder in (store.root / "weights", store.root / "files"):
                there = folder.iterdir() if folder.is_dir() else ()
                freed += sum(_remove(path) for path in there if path.stem not in kept)
            freed += _remove(store.features) if store.features.is_dir() else 0
    if cache(home).is_dir():
        old = time.time() - CACHE_AGE
        freed += sum(_remove(path) for path in cache(home).iterdir() if path.stat().st_mtime < old)
    return freed


def _names(home: Path) -> list[str]:
    folder = home / "runs"
    return sorted(path.name for path in folder.iterdir() if _is_run(path)) if folder.is_dir() else []


def _is_run(root: Path) -> bool:
    """Whether `create` came to its end for `root`."""
    journal = root / "journal.sqlite"
    if root.name.startswith(".") or not journal.is_file():
        return False
    with contextlib.closing(sqlite3.connect(journal, timeout=30)) as db:
        try:
            return db.execute("SELECT 1 FROM meta WHERE key = 'experiment'").fetchone() is not None
        except sqlite3.DatabaseError:  # no tables yet
            return False


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _remove(path: Path) -> int:
    """Remove a file or a folder; returns the bytes freed."""
    if path.is_dir():
        size = sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
        shutil.rmtree(path)
        return size
    size = path.stat().st_size
    path.unlink()
    return size


@contextlib.contextmanager
def _lock(root: Path) -> Iterator[None]:
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


def _try_lock(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
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
