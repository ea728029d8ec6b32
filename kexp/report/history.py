"""How a search went: the score of each trial by when it ended, and the best so far; and what more training brought."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import NamedTuple

from kexp.records import Trial
from kexp.report import plot
from kexp.report.markup import Html
from kexp.wording import clock, number

UNITS = ((3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))


class Point(NamedTuple):
    """A trial that has a score."""

    trial: int
    seconds: float  # of search, when it ended
    score: float
    stage: str


class History(NamedTuple):
    """Trials in the order in which they ended, and the best score of the explored ones so far, at each of them.

    Repetitions under other seeds, and on folds, are scored on other terms: they are no best so far.
    """

    points: tuple[Point, ...]
    best: tuple[float, ...]


def data(trials: Sequence[Trial], told_at: Mapping[int, float], upward: bool) -> History:
    """`told_at` are seconds by trial; trials without a score are left out."""
    scored = [
        Point(trial.id, told_at.get(trial.id, 0.0), trial.score, trial.stage)
        for trial in trials
        if trial.score is not None
    ]
    scored.sort(key=lambda one: (one.seconds, one.trial))
    best: list[float] = []
    for one in scored:
        before = best[-1:]
        own = [one.score] if one.stage == "explore" else []
        best += [max(before + own) if upward else min(before + own)] if before or own else [one.score]
    return History(tuple(scored), tuple(best))


def draw(found: History, metric: str, upward: bool, listed: Container[int]) -> Html:
    """The chart. What lies far below the rest stands at its edge; trials that are `listed` say what they are."""
    y = plot.axis(metric.replace("_", " "), plot.ends((one.score for one in found.points), upward), edge=0.08)
    latest = max(one.seconds for one in found.points)
    unit, name = next(((unit, name) for unit, name in UNITS if latest >= 3 * unit), UNITS[-1])
    frame = plot.Frame(plot.axis(f"{name} of search", [0.0, latest / unit]), y)

    def at(one: Point, score: float) -> tuple[float, float]:
        return frame.at(one.seconds / unit, min(max(score, y.low), y.high))

    marks = [
        plot.dot(
            at(one, one.score),
            radius=3.5,
            kind="dot" if one.stage == "explore" else "dot again",
            told=_told(one, metric) if one.trial in listed else "",
            link=f"trial-{one.trial}",
        )
        for one in found.points
    ]
    best = [at(one, score) for one, score in zip(found.points, found.best, strict=True)]
    end = frame.at(frame.x.high, y.low)[0]
    return frame.svg([plot.steps(best, end), *marks], f"{metric} of {len(found.points)} trials by the time they ended")


def _told(one: Point, metric: str) -> str:
    again = "" if one.stage == "explore" else ", a leading candidate again"
    return f"trial {one.trial}: {metric} {number(one.score)} after {clock(one.seconds)}{again}"


class Growth(NamedTuple):
    """A candidate that was trained on, from the weights of an earlier trial: (epochs altogether, score) by trial."""

    trials: tuple[int, ...]
    epochs: tuple[int, ...]
    scores: tuple[float, ...]


def growth(trials: Sequence[Trial]) -> list[Growth]:
    """The candidates that were trained more than once, each going on from its weights; the longest trained last.

    `Trial.epochs` counts those of the parent too.
    """
    known = {trial.id: trial for trial in trials}
    followed = {trial.parent for trial in trials if trial.stage == "explore" and trial.score is not None}
    found = []
    for trial in trials:
        if trial.stage != "explore" or trial.score is None or trial.id in followed or trial.parent is None:
            continue
        chain: list[Trial] = []
        at: Trial | None = trial
        while at is not None and at not in chain:
            chain.insert(0, at)
            at = known.get(at.parent) if at.parent is not None else None
        scored = [(one.id, one.epochs, one.score) for one in chain if one.score is not None]
        if len(scored) > 1:
            ids, epochs, scores = zip(*scored, strict=True)
            found.append(Growth(ids, epochs, scores))
    return sorted(found, key=lambda one: one.epochs[-1])


def draw_growth(found: Sequence[Growth], metric: str, listed: Container[int]) -> Html:
    """A line for each candidate; trials that are `listed` say what they are."""
    frame = plot.Frame(
        plot.axis("epochs of training, altogether", [n for one in found for n in one.epochs], log=True),
        plot.axis(metric.replace("_", " "), [score for one in found for score in one.scores], edge=0.08),
    )
    marks: list[str] = []
    for one in found:
        places = [frame.at(n, score) for n, score in zip(one.epochs, one.scores, strict=True)]
        marks.append(plot.line(places, "line thin"))
        for id, place, n, score in zip(one.trials, places, one.epochs, one.scores, strict=True):
            told = f"trial {id}: {metric} {number(score)} after {n} epochs" if id in listed else ""
            marks.append(plot.dot(place, radius=3.5, told=told, link=f"trial-{id}"))
    return frame.svg(marks, f"{metric} of {len(found)} candidates by the epochs that they were trained for")
