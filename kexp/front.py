"""The front of a run: candidates of which none other is better in every respect; and which of them is meant.

A candidate is a point: its error, and what it costs. Of its file, where there is one, otherwise as its layers foretell.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from kexp import pareto
from kexp.metrics import objective
from kexp.records import Cost, Experiment, Task, Trial, Value, key

COSTS: dict[Cost, Callable[[Trial], float | None]] = {
    "size": lambda t: t.bytes if t.bytes is not None else t.costs.bytes if t.costs else t.parameters,
    "latency": lambda t: t.latency_ms if t.latency_ms is not None else t.costs.latency_ms if t.costs else None,
    "memory": lambda t: t.costs.memory if t.costs else None,
    "parameters": lambda t: t.parameters,
}


class Aim(NamedTuple):
    """What is sought: a metric, better high ("max") or low ("min"), and costs, the less the better."""

    metric: str
    direction: str
    costs: tuple[Cost, ...]

    def error(self, trial: Trial) -> float:
        """The metric of `trial`, less being better."""
        value = trial.standing.get(self.metric, math.nan)
        return math.inf if math.isnan(value) else -value if self.direction == "max" else value

    def point(self, trial: Trial) -> tuple[float, ...]:
        """Its error and its costs; infinite where one is not known."""
        return (self.error(trial), *(cost(trial, name) for name in self.costs))


def aim(experiment: Experiment, task: Task) -> Aim:
    """What an experiment seeks; bytes are a cost where it names none."""
    return Aim(*objective(task, experiment.objective), experiment.objectives or ("size",))


def cost(trial: Trial, name: Cost) -> float:
    """What `trial` costs: bytes, milliseconds, bytes of memory, weights; infinite where that is not known."""
    value = COSTS[name](trial)
    return math.inf if value is None else float(value)


def front(trials: Sequence[Trial], sought: Aim) -> list[Trial]:
    """Those of `trials` with a score that no other beats in every respect, best metric first."""
    known = [trial for trial in trials if trial.score is not None and math.isfinite(sought.error(trial))]
    points = [sought.point(trial) for trial in known]
    return sorted((known[i] for i in pareto.front(points)), key=sought.error)


def hypervolume(trials: Sequence[Trial], sought: Aim) -> float | None:
    """The share of what lies between the best and the worst of `trials` in each respect that their front dominates.

    From 0 to 1, costs by their logarithm (Zitzler and Thiele 1998, the size of the space covered); None where `trials`
    do not differ in some respect. It tells fronts of the same trials apart, not of two runs.
    """
    points = np.array([_scaled(sought.point(trial)) for trial in trials if math.isfinite(sought.error(trial))])
    points = points[np.isfinite(points).all(axis=1)] if len(points) else points
    if not len(points) or not np.all(width := np.ptp(points, axis=0)):
        return None
    return float(pareto.hypervolume((points - points.min(axis=0)) / width, [1.0] * points.shape[1]))


def _scaled(point: Sequence[float]) -> list[float]:
    """Costs by their logarithm: they differ by factors."""
    return [point[0], *(math.log(max(one, 1e-6)) for one in point[1:])]


def whole(trials: Iterable[Trial]) -> list[Trial]:
    """Those with a score that were not trained on some folds alone, none twice; on all rows to the end."""
    found = [trial for trial in trials if trial.score is not None and trial.fold <= 0 and trial.same_as is None]
    return [trial for trial in found if trial.stage != "refit" or trial.status == "completed"]


def converted(trials: Sequence[Trial]) -> Sequence[Trial]:
    """Those that have a file, where any has one: a file's score beside that of a network in floats is not fair."""
    return [trial for trial in trials if trial.shipped] or trials


def fit(trials: Sequence[Trial]) -> Sequence[Trial]:
    """Those that are not `refused`, where there are any."""
    return [trial for trial in trials if not trial.refused] or trials


def unshippable(trials: Iterable[Trial]) -> set[tuple[tuple[str, Value], ...]]:
    """The `key` of each candidate of which a file was refused and none passed."""
    trials = list(trials)
    passing = {key(trial.values) for trial in trials if trial.shipped and not trial.refused}
    return {key(trial.values) for trial in trials if trial.refused} - passing


def turned(trials: Sequence[Trial], sought: Aim) -> tuple[Trial, Trial] | None:
    """Whose file has the best metric, and whose network in floats has, on the same rows; None where one has both.

    Of `trials` that `shippable` tells. On few rows many are equal: of equal files, that of the better network, and of
    equal networks that with the better file.
    """
    both = [
        (sought.error(trial), sought.error(replace(trial, shipped=trial.floats)), trial)
        for trial in trials
        if sought.metric in trial.shipped and sought.metric in trial.floats
    ]
    if not both:
        return None
    (*_, file), (*_, network) = min(both, key=lambda one: one[:2]), min(both, key=lambda one: (one[1], one[0]))
    return None if file is network else (file, network)


def shippable(trials: Sequence[Trial]) -> Sequence[Trial]:
    """Those that can ship: not `refused`, with a file, as far as there are any.

    Where candidates ran on folds, it would not be fair to set one's score on a few validation rows beside a mean over
    all folds, which those that were trained on all rows then stand with.
    """
    found = fit(whole(trials))
    return converted([trial for trial in found if trial.stage == "refit"] or found)


def _smallest(found: Sequence[Trial], sought: Aim) -> Trial:
    return min(found, key=lambda trial: (cost(trial, "size"), sought.error(trial)))


def _fastest(found: Sequence[Trial], sought: Aim) -> Trial:
    return min(found, key=lambda trial: (cost(trial, "latency"), cost(trial, "size"), sought.error(trial)))


def _best(found: Sequence[Trial], sought: Aim) -> Trial:
    return min(found, key=sought.point)


def _knee(found: Sequence[Trial], sought: Aim) -> Trial:
    return found[pareto.knee([_scaled(sought.point(trial)) for trial in found])]


PICKS: dict[str, tuple[Callable[[Sequence[Trial], Aim], Trial], str]] = {
    "best": (_best, "what the search chose"),
    "smallest": (_smallest, "the fewest bytes"),
    "fastest": (_fastest, "the least time for one sample"),
    "knee": (_knee, "the compromise beyond which a better metric costs most"),
}


def pick(how: str, found: Sequence[Trial], sought: Aim, chosen: Trial | None = None) -> Trial:
    """The trial of a front that a row of PICKS means. `found` has one at least.

    The best is what the search has `chosen` by the mean of several runs: on the front one run may be ahead by luck.
    """
    return chosen if how == "best" and chosen is not None else PICKS[how][0](found, sought)
