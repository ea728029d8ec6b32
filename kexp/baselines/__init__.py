"""Is deep learning needed? What simpler models reach on the same rows: they train on the rows that networks train on,
choose their few settings on the rows that networks are chosen on, and `evaluate` measures them on the same test rows.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import threadpoolctl
from numpy.typing import NDArray

from kexp.baselines import automl, estimators, features
from kexp.baselines.estimators import Fitted, Make
from kexp.data.dataset import Dataset
from kexp.metrics import METRICS, metrics, objective, rank
from kexp.records import EVERY, DatasetSpec, Experiment, Kind, Trial, Value

Array = NDArray[Any]
SECONDS = 60.0  # for one baseline: then no more settings are tried, and no more trees grown
LATENCY_RUNS = 30
LATENCY_SECONDS = 0.5

Prepare = Callable[[DatasetSpec, Array], Array]
PLAIN: dict[Kind, Prepare] = {
    "table": features.standardised,
    "image": features.pixels,
    "clip": features.pixels,
    "series": features.values,
    "sound": features.mfcc,
}


@dataclass(frozen=True)
class Baseline:
    """A model that is no deep network, and what is tried of it."""

    what: str
    make: Make
    settings: tuple[dict[str, Value], ...] = ({},)
    kinds: tuple[Kind, ...] = ("table", "image", "clip", "series", "sound")
    prepare: Prepare | type[features.Rocket] | None = None  # None: what PLAIN says of the kind
    scaled: bool = False  # features are standardised by the training rows
    rows: int = 100_000  # training rows at most, the time grows faster than they
    grows: int = 0  # members at most of an ensemble
    inputs: int = 10_000  # features at most
    extra: bool = False  # fitted where it is asked for by name alone: it needs what kexp does not bring, and time


C: tuple[dict[str, Value], ...] = ({"C": 0.01}, {"C": 0.1}, {"C": 1.0}, {"C": 10.0})
BASELINES: dict[str, Baseline] = {
    "constant": Baseline("the commonest class, the mean, or the naive forecast", estimators.constant, inputs=10**9),
    "linear": Baseline("logistic or ridge regression", estimators.linear, C, scaled=True, rows=20_000),
    "pairs": Baseline(
        "linear, with every product of two columns", estimators.pairs, C[:3], ("table",), rows=50_000, inputs=60
    ),
    "neighbours": Baseline(
        "k nearest neighbours", estimators.neighbours, ({"k": 5}, {"k": 1}, {"k": 15}), scaled=True, rows=50_000
    ),
    "forest": Baseline(
        "a random forest", estimators.forest, ({"leaf": 1}, {"leaf": 5}), grows=400
    ),
    "boosting": Baseline("gradient boosting", estimators.boosting, ({"rate": 0.1}, {"rate": 0.03}), grows=1000),
    "perceptron": Baseline("scikit-learn's MLP", estimators.perceptron, ({"alpha": 1e-4},), scaled=True, rows=50_000),
    "hog": Baseline(
        "gradients' orientations, support vectors", estimators.kernel, ({"C": 10.0}, {"C": 1.0}), ("image",),
        features.hog, rows=10_000,
    ),
    "mfcc": Baseline(
        "cepstral coefficients, support vectors", estimators.kernel, ({"C": 10.0}, {"C": 1.0}), ("sound",),
        scaled=True, rows=10_000,
    ),
    "rocket": Baseline(
        "shares above thresholds of random kernels, ridge", estimators.ridge, kinds=("series",),
        prepare=features.Rocket, scaled=True, rows=20_000,
    ),
    "h2o": Baseline(
        "H2O AutoML: boosting, forests, linear models and stacks of them", lambda spec, _, balanced:
        automl.AutoML(spec, balanced), inputs=4000, extra=True,
    ),
}  # fmt: skip
TREES = ("forest", "boosting", "h2o")


def which(spec: DatasetSpec, *, extras: bool = False) -> list[str]:
    """The baselines that can learn data of this kind; `extras` too, where they are asked for."""
    return [name for name, row in BASELINES.items() if spec.kind in row.kinds and (extras or not row.extra)]


@dataclass
class _Split:
    """Rows that train and rows that validate, as one baseline sees them."""

    model: Fitted
    inputs: Array
    wanted: Array
    held: Array
    x: Array  # of the rows held out, as they are
    y: Array


def train(
    name: str, dataset: Dataset, question: Experiment, *, folds: bool = False, seconds: float = SECONDS
) -> tuple[Trial, Fitted]:
    """Fit one baseline; the Trial tells its setting and score on the validation rows.

    `folds`, where the network was chosen on folds and trained on all of them: so is this. Raises ValueError where the
    data are too much for it.
    """
    start = time.monotonic()
    if BASELINES[name].extra:
        with automl.server():  # one for all that is asked of it
            setting, found, model, notes = _searched(name, dataset, question, folds, seconds)
        size, slow = model.estimator.bytes, None
    else:
        setting, found, model, notes = _tuned(name, dataset, question, folds, seconds)
        size, slow = len(pickle.dumps(model, protocol=5)), latency(model, dataset.x)
    trial = Trial(
        id=list(BASELINES).index(name), factory=name, values=setting, status="completed", metrics=found,
        score=found[objective(dataset.spec.task, question.objective)[0]], message=", ".join(notes), bytes=size,
        latency_ms=slow, seconds=time.monotonic() - start,
    )  # fmt: skip
    return trial, model


def _tuned(
    name: str, dataset: Dataset, question: Experiment, folds: bool, seconds: float
) -> tuple[dict[str, Value], dict[str, float], Fitted, list[str]]:
    """The best of a row's settings, its metrics on validation rows, the model, and what is to be said of it."""
    start = time.monotonic()
    row, spec, balanced = BASELINES[name], dataset.spec, question.class_weight == "balanced"
    splits = _splits(name, dataset, question, folds)
    attempts: list[tuple[dict[str, Value], Any, dict[str, float]]] = []
    notes = [splits[0][1]] if splits[0][1] else []
    for tried, setting in enumerate(row.settings, 1):
        left = (seconds - (time.monotonic() - start)) / (1 + len(row.settings) - tried)
        each = []
        for one, _ in splits:
            estimator = row.make(spec, setting, balanced)

            def score(fitted: Any, one: _Split = one) -> float:
                return _loss(spec, one.y, estimators.outputs(spec, fitted, one.held, one.x))

            estimators.fit(estimator, one.inputs, one.wanted, most=row.grows, seconds=left / len(splits), score=score)
            each.append(metrics(spec.task, one.y, estimators.outputs(spec, estimator, one.held, one.x)))
        found = {metric: float(np.mean([values[metric] for values in each])) for metric in each[0]}
        attempts.append((setting, estimator, found))
        if (time.monotonic() - start) * (tried + 1) / tried > seconds and tried < len(row.settings):
            notes.append(f"{tried} of {len(row.settings)} settings in its time")
            break
    setting, estimator, found = max(attempts, key=lambda one: rank(spec.task, question.objective, one[2]))
    model = splits[0][0].model
    if len(splits) > 1:
        whole, _ = _split(name, dataset, dataset.rows("train", EVERY), dataset.rows("validation"), question)
        grown = estimators.members(estimator) if row.grows else {}
        model, estimator = whole.model, row.make(spec, setting, balanced).set_params(**grown)
        estimators.fit(estimator, whole.inputs, whole.wanted)
        notes.append(f"mean of {len(splits)} folds")
    if "n_jobs" in estimator.get_params():
        estimator.set_params(n_jobs=None)  # one sample is answered sooner by one thread
    model.estimator = estimator
    return setting, found, model, notes


def _searched(
    name: str, dataset: Dataset, question: Experiment, folds: bool, seconds: float
) -> tuple[dict[str, Value], dict[str, float], Fitted, list[str]]:
    """The same of one that searches by itself; of folds it is how well what it finds in its time does on average."""
    start = time.monotonic()
    row, spec, metric = BASELINES[name], dataset.spec, objective(dataset.spec.task, question.objective)[0]
    splits = _splits(name, dataset, question, folds)
    searches = len(splits) + (len(splits) > 1)  # and one on all rows
    notes = [splits[0][1]] if splits[0][1] else []
    notes.append("no ms: most of it would be the way to Java and back")
    each = []

    def fit(one: _Split, held: tuple[Array, Array] | None) -> Fitted:
        nonlocal searches
        left = (seconds - (time.monotonic() - start)) / searches
        searches -= 1
        one.model.estimator = row.make(spec, {}, question.class_weight == "balanced").fit(
            one.inputs, one.wanted, held, seconds=left, seed=question.seed, metric=metric
        )
        return one.model

    for one, _ in splits:
        model = fit(one, (one.held, estimators.targets(spec, one.x, one.y)))
        each.append(metrics(spec.task, one.y, model.answers(one.held, one.x)))
    if len(splits) > 1:
        whole, _ = _split(name, dataset, dataset.rows("train", EVERY), dataset.rows("validation"), question)
        model = fit(whole, None)
        notes.append(f"mean of {len(splits)} folds")
    found = {metric: float(np.mean([values[metric] for values in each])) for metric in each[0]}
    return dict(model.estimator.told), found, model, notes


def _splits(name: str, dataset: Dataset, question: Experiment, folds: bool) -> list[tuple[_Split, str]]:
    """The rows as they are split once, or in each of the folds."""
    parts = range(1, dataset.folds + 1) if folds and dataset.folds else (0,)
    return [_split(name, dataset, dataset.rows("train", k), dataset.rows("validation", k), question) for k in parts]


def _loss(spec: DatasetSpec, y: Array, outputs: Array) -> float:
    """What an ensemble grows by: larger is better, and it moves with every member."""
    name = "rmse" if spec.task == "regression" else "log_loss"
    return -METRICS[name][0](spec.task, y, outputs)


def _split(
    name: str, dataset: Dataset, rows: NDArray[np.int64], held: NDArray[np.int64], question: Experiment
) -> tuple[_Split, str]:
    """The rows as `name` sees them, and what it could not take."""
    row, spec = BASELINES[name], dataset.spec
    note = ""
    if len(rows) > row.rows:
        note = f"on {row.rows:,} of {len(rows):,} rows"
        rows = np.sort(np.random.default_rng(question.seed).permutation(rows)[: row.rows])
    x, y, validation = np.asarray(dataset.x[rows]), dataset.y[rows], np.asarray(dataset.x[held])
    model = Fitted(spec, _prepare(name, row, spec, x, question.seed), None)
    inputs = model.inputs(x)
    if inputs.shape[1] > row.inputs:
        raise ValueError(f"{inputs.shape[1]:,} inputs: it takes {row.inputs:,} at most")
    if row.scaled:
        model.mean, spread = inputs.mean(axis=0), inputs.std(axis=0)
        model.std = np.where(spread > 1e-6, spread, 1).astype(np.float32)
        inputs = (inputs - model.mean) / model.std
    wanted = estimators.targets(spec, x, y)
    return _Split(model, inputs, wanted, model.inputs(validation), validation, dataset.y[held]), note


def _prepare(name: str, row: Baseline, spec: DatasetSpec, x: Array, seed: int) -> Prepare | features.Rocket:
    if name in TREES and spec.kind == "table":
        return features.cells
    if row.prepare is features.Rocket:
        return features.Rocket(seed).fit(x)
    return PLAIN[spec.kind] if row.prepare is None or isinstance(row.prepare, type) else row.prepare


def latency(model: Fitted, x: Array) -> float:
    """Milliseconds from one raw sample to its answer, the median, by one thread, as files are timed.

    Several threads wait for each other: on a busy machine two took a hundred times as long for a row as one.
    """
    taken: list[float] = []
    end = time.monotonic() + LATENCY_SECONDS
    with threadpoolctl.threadpool_limits(1):
        while len(taken) < LATENCY_RUNS and (time.monotonic() < end or not taken):
            start = time.perf_counter()
            model.predict(x[:1])
            taken.append(time.perf_counter() - start)
    return 1000 * float(np.median(taken))
