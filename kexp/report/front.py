"""Score against cost: which networks no other one beats in both."""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from typing import NamedTuple

from kexp.front import Aim, cost, shippable, whole
from kexp.records import Cost, Trial
from kexp.report import plot
from kexp.report.markup import Html
from kexp.wording import number, size, values

MOST = 500  # points of a chart, the best ones: more are not told apart, and make the page heavy


class Point(NamedTuple):
    """A trial that could ship; `leads` where no other is better and costs no more; `made` where it has a file."""

    trial: int
    cost: float
    score: float
    leads: bool
    made: bool
    told: str


def data(trials: Sequence[Trial], sought: Aim) -> list[Point]:
    """The trials whose score and first cost are known, cheapest first.

    Of equal ones (both score and cost) all lead or none does: dominance is to be no worse in both and better in one
    (Pareto). Those of which a file was made lead alone, if there are any: the cost of the others is foretold.
    """
    name = sought.costs[0]
    known = [trial for trial in whole(trials) if all(map(math.isfinite, sought.point(trial)[:2]))]
    known.sort(key=lambda trial: (cost(trial, name), sought.error(trial), trial.id))
    able = {trial.id for trial in shippable(known)}
    found, best, least = [], math.inf, -1.0
    for trial in known:
        error, costs = sought.point(trial)[:2]
        leads = trial.id in able and (error < best or (error == best and costs == least))
        if leads:
            best, least = error, costs
        made = bool(trial.shipped)
        found.append(Point(trial.id, costs, trial.standing[sought.metric], leads, made, _told(trial, sought.metric)))
    return found


def _told(trial: Trial, metric: str) -> str:
    """What is known of a trial, in lines."""
    score = f"{metric} {number(trial.standing[metric])}"
    if trial.shipped and trial.bytes is not None:
        slow = "" if trial.latency_ms is None else f", {trial.latency_ms:.2g} ms"
        floats = trial.floats.get(metric, trial.metrics[metric])  # on the rows of the file, where that is known
        score += f" as a file of {size(trial.bytes)}{slow} ({number(floats)} in floats)"
    elif trial.costs is not None:
        score += f", about {size(trial.costs.bytes)}"
    weights = "" if trial.parameters is None else f", {trial.parameters:,} weights"
    return f"trial {trial.id}: {score}{weights}\n{values(trial.values)}"


TITLES: dict[Cost, str] = {
    "size": "bytes of the file",
    "latency": "milliseconds for one sample",
    "memory": "bytes of memory",
    "parameters": "weights of the network",
}


def draw(
    found: Sequence[Point], sought: Aim, listed: Container[int], best: int | None = None
) -> Html:  # fmt: skip
    """The chart; `best` is the trial, or the one it repeats, that became the model.

    Those `listed` have a row to link to.
    """
    upward, title = sought.direction == "max", TITLES[sought.costs[0]]
    leading = [one for one in found if one.leads]
    rest = sorted((one for one in found if not one.leads), key=lambda one: one.score, reverse=upward)
    shown = [*rest[: max(0, MOST - len(leading))], *leading]  # the front lies above the others
    scores = plot.ends((one.score for one in found), upward)
    frame = plot.Frame(
        plot.axis(title, [one.cost for one in shown], log=True),
        plot.axis(sought.metric.replace("_", " "), [*scores, *(one.score for one in leading)], edge=0.08),
    )

    def at(one: Point) -> tuple[float, float]:
        return frame.at(one.cost, min(max(one.score, frame.y.low), frame.y.high))

    marks = [plot.steps([at(one) for one in leading], frame.at(frame.x.high, frame.y.low)[0], "line thin")]
    for one in shown:
        kind = "dot chosen" if one.trial == best else "dot leads" if one.leads else "dot" if one.made else "dot again"
        radius = 7.0 if one.trial == best else 5.0 if one.leads else 3.5
        marks.append(
            plot.dot(
                at(one), radius=radius, kind=kind, told=one.told, link=f"trial-{one.trial}" * (one.trial in listed)
            )
        )
    return frame.svg(marks, f"{sought.metric} of {len(found)} networks by {title}")
