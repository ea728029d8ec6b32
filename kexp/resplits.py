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
from kexp.baselines import SECONDS
from kexp.data.dataset import PARTS, Dataset, Raw
from kexp.errors import RunError, SearchError
from kexp.leaderboard import refitted
from kexp.metrics import METRICS, sign_of
from kexp.records import Experiment, Trial, to_json
from kexp.runtime import import_modules, modules, open_runtime
from kexp.search import keep_best, search
from kexp.search.workers import WORKERS
from kexp.store import RunStore, atomic_write
from kexp.verdict import of_splits

Progress = Callable[[int, int, str], None]
LEAST = 2  # splits: one does not say how far gains vary


def resplits(
    run: RunStore, evaluation: dict[str, Any], count: int, *, cache: Path, progress: Progress = lambda *_: None
) -> dict[str, Any]:
    """`evaluation`, of `run`, with "resplits": {"rival", "metric", "gains": of each split, "mean", "low", "high", "p",
    "answer", "sentence"}; kept with the run.

    Split k is that of the seed of the search + k; both train on its training rows alone, even where the winner was
    trained once more on all rows. Clusters stay those that the search was taught. Ctrl-C ends with the splits that are
    over, where these are LEAST. Raises RunError where the data bring their own test rows or are ordered in time, so
    that there is no other split, where they are others than the search read, where the evaluation has no verdict, and
    where one of both cannot be trained on a split.
    """
    if count < LEAST:
        raise RunError(f"{count} new split(s): at least {LEAST} are expected, and ten tell more.")
    found = evaluation.get("verdict")
    if found is None:
        raise RunError(
            f"the run {run.name!r} has no verdict that new splits could ask again: no simpler model is known. kexp "
            f"baselines {run.name} fits some."
        )
    raw, question = _read(run, count, cache)
    winner = next(trial for trial in run.trials() if trial.id == run.get("best_trial"))
    # As much time for it as it had, where that was more than usual.
    took = [one.seconds for one in run.baselines(refitted(run)) if one.factory == found["rival"]]
    seconds = max([SECONDS, *took])
    gains, shares = [], []
    with contextlib.suppress(KeyboardInterrupt):  # what was measured by then is told; the sentence says how many
        for k in range(1, count + 1):
            progress(k - 1, count, f"split {k} of {count}: the network, and {found['rival']}")
            gain, share = _gain(raw, _alone(question, winner, k), found["rival"], found["metric"], seconds)
            gains.append(gain)
            shares.append(share)
    if len(gains) < LEAST:
        raise KeyboardInterrupt
    document = {**evaluation, "resplits": of_splits(gains, float(np.mean(shares)), found["rival"], found["metric"])}
    atomic_write(run.evaluation, json.dumps(to_json(document), indent=1).encode())
    return document


def _read(run: RunStore, count: int, cache: Path) -> tuple[Raw, Experiment]:
    """The samples of `run` as they are now, with its clusters as classes, and its question of them."""
    question = run.experiment
    raw = data.read(question, base=Path(run.get("base", ".")), cache=cache)
    if raw.times is not None or raw.horizon or (raw.parts is not None and (raw.parts == PARTS["test"]).any()):
        why = "are ordered in time" if raw.times is not None or raw.horizon else "say themselves which rows test"
        raise RunError(f"--resplits {count}: the data {why}, so that there is no other split. Leave it out.")
    there = Dataset.open(run.data)
    same = len(raw.ids) == len(there.y)
    if same and question.task == "clustering":  # a teacher of another seed would ask something else
        spec = there.spec
        raw = dataclasses.replace(
            raw, y=np.array(spec.labels)[there.y], targets=(spec.target,), labels=spec.labels, notices=[]
        )
        question = dataclasses.replace(question, task="multiclass", clusters=None)
    if not same or data.prepared(raw, question).fingerprint != run.fingerprint:
        raise RunError(
            f"--resplits {count}: {question.data} holds other rows now than the run {run.name!r} was searched on, or "
            "this version of kexp makes others of them. Put the data back, or search again with --fresh."
        )
    return raw, question


def _alone(question: Experiment, winner: Trial, k: int) -> Experiment:
    """The experiment that trains the winner, as long as it was, and nothing else, on split `k`."""
    return dataclasses.replace(
        question, name="split", seed=question.seed + k, factory=winner.factory, space=dict(winner.values),
        oracle="random", trials=1, seconds=None, epochs=winner.epochs, finalists=0, folds=0, objectives=(),
        max_size=None, max_latency=None, max_memory=None, max_parameters=None, regularise="always",
    )  # fmt: skip


def _gain(raw: Raw, question: Experiment, rival: str, metric: str, seconds: float) -> tuple[float, float]:
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
        try:
            search(question, dataset, run, workers=1, pool=pool)
        except SearchError as error:
            raise RunError(f"the network cannot be trained on another split: {run.trials()[0].message}") from error
        keep_best(run, dataset, question)
        import_modules(modules(question))
        ours = open_runtime(run.model).predict(x)
    try:
        _, fitted = baselines.train(rival, dataset, question, seconds=seconds)
    except ValueError as error:
        raise RunError(f"{rival} cannot be fitted on another split: {error}") from error
    measure, direction, _ = METRICS[metric]
    values = [measure(dataset.spec.task, y, outputs) for outputs in (ours, fitted.predict(np.asarray(x)))]
    return sign_of(direction) * (values[0] - values[1]), len(y) / len(dataset.rows("train"))
