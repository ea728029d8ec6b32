"""Learning curves of the leading candidates: losses by epoch, the runs that confirmed them beside."""

from __future__ import annotations

import itertools
from collections.abc import Container, Mapping, Sequence
from typing import NamedTuple

from kexp.curves import curve_of, kept
from kexp.metrics import Direction
from kexp.records import Curve, Trial, key
from kexp.report import plot
from kexp.report.markup import Html
from kexp.wording import number

SHOWN = 4  # candidates
WIDTH, HEIGHT = 540.0, 330.0  # two charts in a row
NAMES = {"validation": "line", "training": "line trained"}  # which line is which


class Course(NamedTuple):
    """One candidate: the run that speaks for it, the epoch of it that was kept, and its runs under other seeds."""

    trial: Trial
    curve: Curve
    kept: int | None  # a place in the curve
    again: tuple[Curve, ...]


def data(
    trials: Sequence[Trial], curves: Mapping[int, Curve], best: Trial | None, direction: Direction
) -> list[Course]:  # fmt: skip
    """At most SHOWN candidates of `trials` (best first), that of `best` first, those run again before others.

    Candidates whose trainings were not kept are left out.
    """
    known = {trial.id: trial for trial in trials}
    again = {key(trial.values) for trial in trials if trial.stage != "explore"}
    runs: dict[object, list[Trial]] = {}
    first = [best] if best is not None else []
    for trial in [*first, *sorted(trials, key=lambda one: key(one.values) not in again)]:
        if trial.score is not None:
            runs.setdefault(key(trial.values), []).append(trial)
    found = []
    for own in runs.values():
        main = own[0]
        curve = curve_of(main, known, curves)
        if curve is None:
            continue
        beside = [curves[one.id] for one in own if one.stage == "confirm" and one.id != main.id and one.id in curves]
        found.append(Course(main, curve, kept(curve, direction), tuple(beside)))
        if len(found) == SHOWN:
            break
    return found


def losses(found: Sequence[Course]) -> list[float]:
    """All that are drawn, for one axis of all charts."""
    each = [curve for one in found for curve in (one.curve, *one.again)]
    return [loss for curve in each for loss in (*curve.running_loss, *curve.validation_loss) if loss is not None]


def draw(one: Course, every: Sequence[float], metric: str, listed: Container[int]) -> Html:
    """The chart of one candidate, on the axis of `every` loss; the kept epoch says what it is."""
    positive = bool(every) and min(every) > 0
    longest = max(curve.epochs[-1] for curve in (one.curve, *one.again))
    y = plot.axis("loss", every, log=positive, zero=not positive)
    frame = plot.Frame(plot.axis("epochs", [1.0, max(2.0, longest)], edge=0.02), y, HEIGHT, WIDTH)
    marks = [mark for curve in one.again for mark in _lines(frame, curve, " thin")]
    marks += _lines(frame, one.curve)
    if one.kept is not None:
        loss, score = one.curve.validation_loss[one.kept], one.curve.score[one.kept]
        told = f"trial {one.trial.id}: kept after epoch {one.curve.epochs[one.kept]}, validation loss {number(loss)}, "
        place = frame.at(one.curve.epochs[one.kept], loss or 0.0)
        link = f"trial-{one.trial.id}" * (one.trial.id in listed)
        marks.append(plot.dot(place, radius=5, kind="dot leads", told=f"{told}{metric} {number(score)}", link=link))
    return frame.svg([*marks, *_legend()], f"losses of trial {one.trial.id} by epoch")


def _lines(frame: plot.Frame, curve: Curve, kind: str = "") -> list[str]:
    """A line for each loss, not drawn where it is not known; one epoch alone is a point."""
    found = []
    for values, line in zip((curve.running_loss, curve.validation_loss), reversed(NAMES.values()), strict=True):
        known = itertools.groupby(zip(curve.epochs, values, strict=True), lambda one: one[1] is not None)
        for places in ([frame.at(epoch, loss or 0.0) for epoch, loss in group] for there, group in known if there):
            alone = len(places) == 1
            found.append(plot.dot(places[0], radius=2, kind="dot soft") if alone else plot.line(places, line + kind))
    return found


def _legend() -> list[str]:
    parts, x = [], WIDTH - plot.RIGHT
    for name, kind in NAMES.items():
        parts.append(f'<text class="tick end" x="{x:g}" y="{plot.TOP - 15:g}">{name}</text>')
        parts.append(plot.line([(x - 118, plot.TOP - 20), (x - 94, plot.TOP - 20)], kind))
        x -= 142
    return parts
