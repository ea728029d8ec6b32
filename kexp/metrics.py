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
    guess = classes(task, outputs)
    return float(np.mean([np.mean(guess[y == label] == label) for label in np.unique(y)]))


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


def objective(task: Task, wanted: str = "") -> tuple[str, Direction]:
    """The metric that ranks, and its better direction. Raises ExperimentError for one that `task` does not have."""
    name = wanted or ("rmse" if task == "regression" else "accuracy")
    known = [n for n, (_, _, tasks) in METRICS.items() if task in tasks]
    if name not in known:
        raise ExperimentError(f"objective = {name!r} is no metric of a {task} task.{nearest(name, known)}")
    return name, METRICS[name][1]


def rank(task: Task, wanted: str, values: dict[str, float]) -> tuple[float, float]:
    """A sort key of a candidate's metrics, larger is better: the objective, then the loss, which breaks ties."""
    name, direction = objective(task, wanted)
    score = values.get(name, float("nan"))
    if score != score:
        return (-float("inf"), -float("inf"))
    loss = values["mae"] if task == "regression" else values["log_loss"]
    return (score if direction == "max" else -score, -loss)
