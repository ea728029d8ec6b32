"""All runs of a home: which there are, the latest, moving one aside, and freeing what is no longer needed."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kexp.errors import RunError
from kexp.store import files
from kexp.store.journal import is_run
from kexp.store.run import RunStore, names_of

CACHE_AGE = 86_400.0  # seconds: decoded pictures younger than a day stay when `clean` is asked


def home(explicit: str | Path | None = None) -> Path:
    """The folder that holds runs/: `explicit`, or else KEXP_HOME, or else the current folder."""
    return Path(explicit or os.environ.get("KEXP_HOME") or ".").expanduser().resolve()


def cache(home: Path) -> Path:
    """Where decoded pictures are kept, for all runs of `home`."""
    return home / "runs" / ".cache"


def exists(home: Path, name: str) -> bool:
    """Whether there is a run `name`."""
    return is_run(home / "runs" / name)


def list_runs(home: Path) -> list[dict[str, Any]]:
    """Each run, newest last: name, kind, task, trials (completed), best (a score), created, finished.

    Times are ISO 8601. What is not known yet is None.
    """
    runs = []
    for name in names_of(home):
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
    if not is_run(root):
        return None
    with files.lock(root):
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
                freed += sum(files.remove(path) for path in there if path.stem not in kept)
            freed += files.remove(store.features) if store.features.is_dir() else 0
    if cache(home).is_dir():
        old = time.time() - CACHE_AGE
        freed += sum(files.remove(path) for path in cache(home).iterdir() if path.stat().st_mtime < old)
    return freed
