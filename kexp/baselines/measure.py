"""Fit the baselines of a run that it has not, one after the other, and keep them with the run."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from kexp.baselines import BASELINES, SECONDS, automl, which
from kexp.data.dataset import Dataset
from kexp.errors import ExperimentError, RunError, nearest
from kexp.leaderboard import refitted
from kexp.records import Trial, from_json, to_json
from kexp.store import RunStore

PATIENCE = 3.0  # times the seconds that one may take: a fit that runs cannot be asked to end sooner
START_S = 30.0  # beside these, until scikit-learn is loaded
Progress = Callable[[int, int, str], None]


def measure(
    run: RunStore, names: Sequence[str] = (), *, again: bool = False, seconds: float = SECONDS,
    progress: Progress = lambda done, total, text: None,
) -> list[Trial]:  # fmt: skip
    """The baselines `names` of `run`, or all that its data allow but extras: fitted where they are not, or `again`.

    Each takes about `seconds` at most. What was fitted is kept at once. Raises ExperimentError for a name that is none,
    and for an extra where what it needs is not installed.
    """
    dataset = Dataset.open(run.data)
    able = which(dataset.spec, extras=True)
    for name in names:
        if name not in able:
            why = f"is not for data of kind {dataset.spec.kind}" if name in BASELINES else "is no baseline"
            raise ExperimentError(f"{name!r} {why}: {', '.join(able)} are.{nearest(name, able)}")
    folds = refitted(run)
    wanted = [name for name in able if name in (names or which(dataset.spec))]
    there = {} if again else {trial.factory for trial in run.baselines(folds)}
    left = [name for name in wanted if name not in there]
    if any(BASELINES[name].extra for name in left):
        automl.library()
    total = len(left)
    with tempfile.TemporaryDirectory(prefix="kexp-baselines-", ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch)
        while left:
            progress(total - len(left), total, f"fitting {left[0]}")
            for name, trial, model in _fitted(run, left, folder, folds, seconds):
                run.save_baseline(trial, model, folds)
                left = left[left.index(name) + 1 :]
                if left:
                    progress(total - len(left), total, f"fitting {left[0]}")
    return run.in_order(run.baselines(folds))


def _fitted(
    run: RunStore, names: Sequence[str], folder: Path, folds: bool, seconds: float
) -> Iterator[tuple[str, Trial, bytes]]:
    """Each of `names` as it is fitted, until the process ends, or is ended because one takes too long: that too."""
    job = {
        "data": str(run.data.resolve()), "experiment": to_json(run.experiment), "names": list(names), "folds": folds,
        "seconds": seconds,
    }  # fmt: skip
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    command = [sys.executable, "-m", "kexp.baselines.child", str(folder)]
    waiting = list(names)
    with (folder / "stderr").open("w+", encoding="utf-8") as said:
        environment = {**os.environ, "TMPDIR": str(folder)}  # what it leaves behind where it is killed
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True, env=environment)
        late: list[float] = []
        start = START_S
        try:
            while waiting:
                limit = start + PATIENCE * seconds + (automl.START_S if BASELINES[waiting[0]].extra else 0.0)
                with _alarm(limit, child, late):
                    line = child.stdout.readline() if child.stdout else ""
                if not line:
                    child.wait()
                    break
                told = json.loads(line)
                name, start = waiting.pop(0), 0.0
                if "trial" in told:
                    yield name, from_json(Trial, told["trial"]), (folder / f"{name}.pkl").read_bytes()
                else:
                    yield name, _failed(name, told["reason"]), b""
        finally:
            child.kill()
            child.wait()
        if waiting:
            said.seek(0)
            why = said.read()
            if not late and child.returncode > 0:  # an exception: ours, or one of scikit-learn's that nobody foresaw
                raise RuntimeError(f"the baseline {waiting[0]} ended with an error:\n{why}")
            reason = f"stopped after {late[0]:.0f} s" if late else "its process was killed: memory?"
            yield waiting[0], _failed(waiting[0], reason), b""


@contextlib.contextmanager
def _alarm(seconds: float, child: subprocess.Popen[str], late: list[float]) -> Iterator[None]:
    """Kill `child` where this takes longer than `seconds`, and note that in `late`."""

    def ring() -> None:
        late.append(seconds)
        child.kill()

    timer = threading.Timer(seconds, ring)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _failed(name: str, reason: str) -> Trial:
    return Trial(id=list(BASELINES).index(name), factory=name, values={}, status="failed", message=reason)


def models(run: RunStore) -> dict[str, Callable[[NDArray[Any]], NDArray[Any]]]:
    """What predicts, (n, *shape) -> (n, outputs), of each baseline of `run`, best first.

    Raises RunError where this version of scikit-learn cannot read what another one wrote.
    """
    found = {}
    for trial in run.in_order(run.baselines(refitted(run))):
        if trial.score is None:
            continue
        try:
            found[trial.factory] = pickle.loads(run.load_baseline(trial.factory)).predict
        except Exception as error:  # pickles of other versions fail in every way
            raise RunError(
                f"the baseline {trial.factory} of run {run.name!r} cannot be read ({error}): kexp baselines {run.name} "
                "--again fits it anew."
            ) from error
    return found
