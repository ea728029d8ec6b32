"""Score against size: which networks no other one beats in both."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import NamedTuple

from kexp.records import Trial
from kexp.report import plot
from kexp.report.markup import Html
from kexp.wording import number, values

MOST = 500  # points of a chart, the best ones: more are not told apart, and make the page heavy


class Point(NamedTuple):
    """An explored trial; `leads` where no other is better and no larger."""

    trial: int
    parameters: int
    score: float
    leads: bool
    told: str


def data(trials: Sequence[Trial], metric: str, upward: bool) -> list[Point]:
    """The completed explored trials that know their weights, smallest first.

    Of equal ones (both score and size) all lead or none does: dominance is to be no worse in both and better in one
    (Pareto).
    """
    sign = 1.0 if upward else -1.0
    known = [
        (trial, trial.parameters, trial.score)
        for trial in trials
        if trial.stage == "explore" and trial.score is not None and trial.parameters
    ]
    known.sort(key=lambda one: (one[1], -sign * one[2], one[0].id))
    found, best, size = [], float("-inf"), -1
    for trial, parameters, score in known:
        value = sign * score
        leads = value > best or (value == best and parameters == size)
        if leads:
            best, size = value, parameters
        told = f"trial {trial.id}: {metric} {number(score)}, {parameters:,} weights\n{values(trial.values)}"
        found.append(Point(trial.id, parameters, score, leads, told))
    return found


def draw(
    found: Sequence[Point], metric: str, upward: bool, listed: Container[int], best: int | None = None
) -> Html:  # fmt: skip
    """The chart; `best` is the trial, or the one it repeats, that became the model.

    Those `listed` have a row to link to.
    """
    leading = [one for one in found if one.leads]
    rest = sorted((one for one in found if not one.leads), key=lambda one: one.score, reverse=upward)
    shown = [*rest[: max(0, MOST - len(leading))], *leading]  # the front lies above the others
    scores = plot.ends((one.score for one in found), upward)
    frame = plot.Frame(
        plot.axis("weights of the network", [one.parameters for one in shown], log=True),
        plot.axis(metric.replace("_", " "), [*scores, *(one.score for one in leading)], edge=0.08),
    )

    def at(one: Point) -> tuple[float, float]:
        return frame.at(one.parameters, min(max(one.score, frame.y.low), frame.y.high))

    marks = [plot.steps([at(one) for one in leading], frame.at(frame.x.high, frame.y.low)[0], "line thin")]
    for one in shown:
        kind = "dot chosen" if one.trial == best else "dot leads" if one.leads else "dot"
        radius = 7.0 if one.trial == best else 5.0 if one.leads else 3.5
        marks.append(
            plot.dot(
                at(one), radius=radius, kind=kind, told=one.told, link=f"trial-{one.trial}" * (one.trial in listed)
            )
        )
    return frame.svg(marks, f"{metric} of {len(found)} networks by their number of weights")
