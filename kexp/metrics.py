"""Metrics of outputs (n, outputs), whoever computed them: Keras, a .tflite, a phone. numpy only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kexp.errors import ExperimentError, nearest
from kexp.records import Task

Array = NDArray[Any]
Direction = Literal["max", "min"]

_EPSILON = 1e-7  # probabilities are kept this far from 0 and 1, so that one sure mistake costs a finite log loss


def classes(task: Task, outputs: Array) -> NDArray[np.int64]:
    """(n, outputs) probabilities -> (n,) class indices, or (n, outputs) 0/1 for multilabel."""
    if task == "multiclass":
        return np.asarray(np.argmax(outputs, axis=-1), np.int64)
    chosen = (outputs >= 0.5).astype(np.int64)
    return chosen[:, 0] if task == "binary" else chosen


def _accuracy(task: Task, y: Array, outputs: Array) -> float:
    return float(np.mean(classes(task, outputs) == y))


def _balanced_accuracy(task: Task, y: Array, outputs: Array) -> float:
    counts = np.bincount(y)
    hits = np.bincount(y[classes(task, outputs) == y], minlength=len(counts))
    return float(np.mean(hits[counts > 0] / counts[counts > 0]))


def _f1(task: Task, y: Array, outputs: Array) -> float:
    """2 hits / (2 hits + misses + false alarms): of the second class where there are two, otherwise the mean.

    It is over the classes or labels that are in the rows or among the answers; 0 where there is none.
    """
    guess = classes(task, outputs)
    if task == "multiclass":
        k = outputs.shape[1]
        hits = np.bincount(y[guess == y], minlength=k)
        named = np.bincount(y, minlength=k) + np.bincount(guess, minlength=k)
    else:
        hits = np.atleast_1d(np.sum((guess == 1) & (y == 1), axis=0))
        named = np.atleast_1d(np.sum(guess == 1, axis=0) + np.sum(y == 1, axis=0))
    there = named > 0
    return float(np.mean(2 * hits[there] / named[there])) if there.any() else 0.0


def _auc(task: Task, y: Array, outputs: Array) -> float:
    """How often a row of a class gets a larger output for it than a row of another class, ties counting half.

    That is the area under the ROC curve (Hanley and McNeil 1982): of the second class where there are two, otherwise
    the mean over the classes, each against the rest, or labels that some rows have and others have not. Where there is
    none of these, nothing can be put in order: 0.5, as of a guess.
    """
    if task == "multiclass":
        order, ends = np.argsort(y, kind="stable"), np.cumsum(np.bincount(y, minlength=outputs.shape[1]))
        members = np.split(order, ends[:-1])
    else:
        members = [np.flatnonzero(flags) for flags in y.reshape(outputs.shape).T]
    columns = np.ascontiguousarray(outputs.T)
    areas = []
    for values, ranked, own in zip(columns, np.sort(columns, axis=1), members, strict=True):
        here, rest = len(own), len(values) - len(own)
        if here and rest:
            positive = np.sort(values[own])  # neighbours then look in the same place: three times faster
            # As many of all rows have a smaller output, ties half; those of the class itself are half their square.
            below = ranked.searchsorted(positive, "left").sum() + ranked.searchsorted(positive, "right").sum()
            areas.append((float(below) - here**2) / (2.0 * here * rest))
    return float(np.mean(areas)) if areas else 0.5


def _log_loss(task: Task, y: Array, outputs: Array) -> float:
    p = np.clip(outputs.astype(np.float64), _EPSILON, 1 - _EPSILON)
    if task == "multiclass":
        return float(-np.mean(np.log(p[np.arange(len(y)), y])))
    target = y.reshape(p.shape)
    return float(-np.mean(target * np.log(p) + (1 - target) * np.log(1 - p)))


def _rmse(task: Task, y: Array, outputs: Array) -> float:
    return float(np.sqrt(np.mean((outputs.astype(np.float64) - y) ** 2)))


def _mae(task: Task, y: Array, outputs: Array) -> float:
    return float(np.mean(np.abs(outputs.astype(np.float64) - y)))


def _r2(task: Task, y: Array, outputs: Array) -> float:
    spread = np.sum((y - y.mean(axis=0)) ** 2, dtype=np.float64)
    return float(1 - np.sum((outputs.astype(np.float64) - y) ** 2) / spread) if spread else float("nan")


METRICS: dict[str, tuple[Callable[[Task, Array, Array], float], Direction, tuple[Task, ...]]] = {
    "accuracy": (_accuracy, "max", ("binary", "multiclass", "multilabel")),
    "balanced_accuracy": (_balanced_accuracy, "max", ("binary", "multiclass")),
    "f1": (_f1, "max", ("binary", "multiclass", "multilabel")),
    "auc": (_auc, "max", ("binary", "multiclass", "multilabel")),
    "log_loss": (_log_loss, "min", ("binary", "multiclass", "multilabel")),
    "rmse": (_rmse, "min", ("regression",)),
    "mae": (_mae, "min", ("regression",)),
    "r2": (_r2, "max", ("regression",)),
}


def metrics(task: Task, y: Array, outputs: Array) -> dict[str, float]:
    """Every metric of `task`: `y` is (n,) class indices or (n, outputs) numbers, `outputs` (n, outputs).

    The root mean squared error of several targets is over all of them, in their own units.
    """
    return {name: measure(task, y, outputs) for name, (measure, _, tasks) in METRICS.items() if task in tasks}


def adjusted_rand(a: Array, b: Array) -> float:
    """How alike two divisions (n,) of the same rows are, codes from 0: 1 if equal, about 0 if by chance.

    Hubert and Arabie 1985, "Comparing partitions".
    """
    width = int(b.max()) + 1
    table = np.bincount(a * width + b, minlength=(int(a.max()) + 1) * width).reshape(-1, width).astype(np.float64)
    pairs, rows, columns = (float((t * (t - 1)).sum()) for t in (table, table.sum(axis=1), table.sum(axis=0)))
    expected = rows * columns / max(len(a) * (len(a) - 1.0), 1.0)
    most = (rows + columns) / 2
    return (pairs - expected) / (most - expected) if most > expected else 1.0


def objective(task: Task, wanted: str = "") -> tuple[str, Direction]:
    """The metric that ranks, and its better direction. Raises ExperimentError for one that `task` does not have."""
    name = wanted or ("rmse" if task == "regression" else "accuracy")
    known = [n for n, (_, _, tasks) in METRICS.items() if task in tasks]
    if name not in known:
        raise ExperimentError(f"objective = {name!r} is no metric of a {task} task.{nearest(name, known)}")
    return name, METRICS[name][1]


def sign_of(direction: Direction) -> float:
    """1 where more is better, -1 where less is: times a value, more is better."""
    return 1.0 if direction == "max" else -1.0


def gap(name: str, train: dict[str, float], other: dict[str, float]) -> float | None:
    """By how much the metric `name` is better on training rows than on others, in its units; None where one is missing.

    Below zero where it is worse. `train` is Trial.train, `other` Trial.metrics.
    """
    if name not in train or name not in other:
        return None
    return sign_of(METRICS[name][1]) * (train[name] - other[name])


def rank(task: Task, wanted: str, values: dict[str, float]) -> tuple[float, float]:
    """A sort key of a candidate's metrics, larger is better: the objective, then the loss, which breaks ties."""
    name, direction = objective(task, wanted)
    score = values.get(name, float("nan"))
    if score != score:
        return (-float("inf"), -float("inf"))
    loss = values["mae"] if task == "regression" else values["log_loss"]
    return (sign_of(direction) * score, -loss)
