"""Does the verdict hold on other splits? The winner and its rival, trained and tested anew on new splits of all rows.

One split knows the chance in its own test rows alone, and on few of them hardly anything can be shown. New splits have
rows in common, which the test allows for (`verdict.corrected`). Hyperparameters stay those that the search chose on its
own split: some of the rows that chose them are test rows here. That favours the network a little, as its rival is only
chosen from a handful.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from kexp import baselines, data
from kexp.data.dataset import PARTS, Raw
from kexp.errors import RunError
from kexp.metrics import METRICS, sign_of
from kexp.records import Experiment, Trial, to_json
from kexp.runtime import import_modules, modules, open_runtime
from kexp.search import keep_best, search
from kexp.search.workers import WORKERS
from kexp.store import RunStore, atomic_write
from kexp.verdict import of_splits

Progress = Callable[[int, int, str], None]


def resplits(
    run: RunStore, evaluation: dict[str, Any], count: int, *, cache: Path, progress: Progress = lambda *_: None
) -> dict[str, Any]:
    """`evaluation`, of `run`, with "resplits": {"rival", "metric", "gains": of each split, "mean", "low", "high", "p",
    "answer", "sentence"}; kept with the run.

    Split k is that of the seed of the search + k. Raises RunError where the data bring their own test rows or are
    ordered in time, so that there is no other split, and where the evaluation has no verdict.
    """
    found = evaluation.get("verdict")
    if found is None:
        raise RunError(
            f"the run {run.name!r} has no verdict that new splits could ask again: no simpler model is known."
        )
    question = run.experiment
    raw = data.read(question, base=Path(run.get("base", ".")), cache=cache)
    if raw.times is not None or (raw.parts is not None and (raw.parts == PARTS["test"]).any()):
        why = "are ordered in time" if raw.times is not None else "say themselves which rows test"
        raise RunError(f"--resplits {count}: the data {why}, so that there is no other split. Leave it out.")
    winner = next(trial for trial in run.trials() if trial.id == run.get("best_trial"))
    gains, share = [], 0.0
    for k in range(1, count + 1):
        progress(k - 1, count, f"split {k} of {count}: the network, and {found['rival']}")
        gain, share = _gain(raw, _alone(question, winner, k), found["rival"], found["metric"])
        gains.append(gain)
    document = {**evaluation, "resplits": of_splits(gains, share, found["rival"], found["metric"])}
    atomic_write(run.evaluation, json.dumps(to_json(document), indent=1).encode())
    return document


def _alone(question: Experiment, winner: Trial, k: int) -> Experiment:
    """The experiment that trains the winner, as long as it was, and nothing else, on split `k`."""
    return dataclasses.replace(
        question, name="split", seed=question.seed + k, factory=winner.factory, space=dict(winner.values),
        oracle="random", trials=1, seconds=None, epochs=winner.epochs, finalists=0, folds=0, objectives=(),
        max_size=None, max_latency=None, max_memory=None, max_parameters=None, regularise="always",
    )  # fmt: skip


def _gain(raw: Raw, question: Experiment, rival: str, metric: str) -> tuple[float, float]:
    """By how much the network is better than its rival on the test rows of one split; those, by training rows."""
    dataset = data.prepared(raw, question)
    x, y = dataset.take("test")
    with (
        tempfile.TemporaryDirectory(prefix="kexp-split-") as home,
        contextlib.closing(WORKERS["here"]()) as pool,
        RunStore.create(Path(home), question.name, question) as run,
        run.lock(),
    ):
        run.remember(question, dataset.fingerprint)
        dataset.save(run.data)
        search(question, dataset, run, workers=1, pool=pool)
        keep_best(run, dataset, question)
        import_modules(modules(question))
        ours = open_runtime(run.model).predict(x)
    _, fitted = baselines.train(rival, dataset, question)
    measure, direction, _ = METRICS[metric]
    values = [measure(dataset.spec.task, y, outputs) for outputs in (ours, fitted.predict(np.asarray(x)))]
    return sign_of(direction) * (values[0] - values[1]), len(y) / len(dataset.rows("train"))
