"""Charts as SVG: scales, ticks, a frame with its axes, and marks in it. Colours are classes of the page's style sheet.

A chart is drawn on a sheet of WIDTH units and shown as wide as its column: on a phone the style sheet writes its text
larger, for which there is room.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

from kexp.report.markup import Html

WIDTH, HEIGHT = 720.0, 300.0
LEFT, RIGHT, TOP, BOTTOM = 84.0, 18.0, 34.0, 58.0  # room for the axes' words, which a phone writes larger
TICKS = 5
UNITS = {"T": 1e12, "G": 1e9, "M": 1e6, "k": 1e3}
LETTER = 11.0  # how wide one of a label is, at most: where charts stand in a row, or on a phone
TITLE = 46  # letters of an axis's title that a phone has room for


class Axis(NamedTuple):
    """One axis, from `low` to `high` in its own units; `log` needs both above 0."""

    title: str
    low: float
    high: float
    log: bool = False

    def place(self, value: float) -> float:
        """Where `value` lies: 0 at the low end, 1 at the high one."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def axis(title: str, values: Iterable[float], *, log: bool = False, edge: float = 0.04, zero: bool = False) -> Axis:
    """The axis on which all finite `values` have room, with `edge` of it free at both ends; from 0 if `zero`."""
    finite = [value for value in values if math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    if log and low > 0:
        ratio = max(high / low, 1.5) ** edge
        middle = math.sqrt(low * high)
        return Axis(title, min(low, middle / 1.2) / ratio, max(high, middle * 1.2) * ratio, True)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    span = (high - low) or abs(high) * 0.1 or 1.0
    if high == low:
        low, high = low - span / 2, high + span / 2
    return Axis(title, low if zero and low == 0 else low - edge * span, high + edge * span)


def ends(scores: Iterable[float], upward: bool) -> list[float]:
    """The worst and the best of `scores` that an axis shows: of more than ten, the worst tenth stands at its edge.

    One candidate that diverged must not flatten all others.
    """
    worst_first = sorted(scores, reverse=not upward)
    return [worst_first[len(worst_first) // 10 if len(worst_first) > 10 else 0], worst_first[-1]]


def ticks(axis: Axis, count: int = TICKS) -> list[float]:
    """About `count` round numbers on `axis`: 1, 2 or 5 times a power of ten apart (Heckbert 1990, "Nice Numbers for
    Graph Labels"); on a logarithmic axis such numbers themselves."""
    if axis.log and axis.high < 10 * axis.low:
        return ticks(axis._replace(log=False), count)
    if axis.log:
        first, last = math.floor(math.log10(axis.low)), math.ceil(math.log10(axis.high))
        for digits in ((1, 2, 5), (1, 3), (1,)):
            found = [
                d * 10.0**k for k in range(first, last + 1) for d in digits if axis.low <= d * 10.0**k <= axis.high
            ]
            if len(found) <= count + 1:
                break
        found = found[:: max(1, math.ceil(len(found) / (count + 1)))]
        return found if len(found) > 1 else [axis.low, axis.high]
    raw = (axis.high - axis.low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(d * power for d in (1, 2, 5, 10) if d * power >= raw * 0.999)
    start = math.ceil(axis.low / step - 1e-9)
    return [k * step for k in range(start, math.floor(axis.high / step + 1e-9) + 1)]


def label(value: float, step: float = 0.0) -> str:
    """A tick in a few letters: 0.95, 1,200, 25k, 1.5M, 3.2T, 3e-05.

    With `step`, how far the next tick is, in as many digits as tell the two apart: 20.231k, 0.99992.
    """
    size = abs(value)
    if size <= step * 1e-9:
        return "0"  # what adding up steps left of it
    last = math.floor(math.log10(size)) - math.floor(math.log10(step)) + 1 if step else 0
    few, many = (min(max(least, last), 15) for least in (3, 4))
    if size >= 1e15:
        return f"{value:.{few}g}".replace("e+", "e")
    for letter, unit in UNITS.items():
        if size >= max(unit, 1e4):
            return f"{value / unit:.{few}g}{letter}"
    if size >= 1000:
        return f"{value:,.{max(0, many - 4)}f}"
    return f"{value:.{many}g}"


def labels(axis: Axis) -> dict[float, str]:
    """The ticks of `axis`, each with its label; no two of them bear the same."""
    found = ticks(axis)
    apart = min((b - a for a, b in itertools.pairwise(found)), default=0.0)
    plain = {value: label(value) for value in found}
    return plain if len({*plain.values()}) == len(plain) else {value: label(value, apart) for value in found}


class Frame(NamedTuple):
    """A chart's axes, and where they lie on the sheet."""

    x: Axis
    y: Axis
    height: float = HEIGHT
    width: float = WIDTH

    def at(self, x: float, y: float) -> tuple[float, float]:
        """The place of a value on the sheet."""
        across = LEFT + self.x.place(x) * (self.width - LEFT - RIGHT)
        return across, TOP + (1 - self.y.place(y)) * (self.height - TOP - BOTTOM)

    def svg(self, marks: Iterable[str], said: str, names: dict[float, str] | None = None) -> Html:
        """The whole chart: grid, axes, `marks`. `said` is what it is to who does not see it.

        `names` are of places on the x axis that bear words instead of numbers.
        """
        right, bottom = self.width - RIGHT, self.height - BOTTOM
        parts = [opening(self.width, self.height, said)]
        names_at = [(self.at(value, self.y.low)[0], name) for value, name in (names or labels(self.x)).items()]
        for value, name in labels(self.y).items():
            _, y = self.at(self.x.low, value)
            parts.append(f'<line class="grid" x1="{LEFT:g}" x2="{right:g}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(f'<text class="tick end" x="{LEFT - 8:g}" y="{y + 4.5:.1f}">{name}</text>')
        for x, name in names_at if names else _apart(names_at):
            parts.append(f'<text class="tick middle" x="{x:.1f}" y="{bottom + 22:g}">{escape(name)}</text>')
        parts.append(f'<line class="base" x1="{LEFT:g}" x2="{right:g}" y1="{bottom:g}" y2="{bottom:g}"/>')
        parts.append(f'<text class="axis" x="0" y="{TOP - 15:g}">{_title(self.y)}</text>')
        parts.append(f'<text class="axis end" x="{right:g}" y="{self.height - 8:g}">{_title(self.x)}</text>')
        return Html("\n".join([*parts, *marks, "</svg>"]))


def _apart(labels: Iterable[tuple[float, str]]) -> list[tuple[float, str]]:
    """Those of the (place, label) along an axis that do not touch the one before."""
    found: list[tuple[float, str]] = []
    for x, name in labels:
        if not found or x - found[-1][0] >= LETTER * (len(name) + len(found[-1][1]) + 1) / 2:
            found.append((x, name))
    return found


def _title(axis: Axis) -> str:
    """Of a name that is longer than the sheet, its beginning."""
    return escape(axis.title if len(axis.title) <= TITLE else f"{axis.title[: TITLE - 1].rstrip()}…")


def opening(width: float, height: float, said: str, kind: str = "plot") -> str:
    """The beginning of an <svg> of this size; `said` is what it is to who does not see it."""
    return f'<svg class="{kind}" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(said)}">'


def line(points: Sequence[tuple[float, float]], kind: str = "line") -> str:
    """Places on the sheet, joined."""
    if not points:
        return ""
    return f'<path class="{kind}" d="M{" L".join(f"{x:.1f} {y:.1f}" for x, y in points)}"/>'


def steps(points: Sequence[tuple[float, float]], end: float, kind: str = "line") -> str:
    """Places on the sheet as stairs, the last one up to `end`."""
    if not points:
        return ""
    (x, y), *rest = points
    path = f"M{x:.1f} {y:.1f}" + "".join(f" H{x:.1f} V{y:.1f}" for x, y in rest) + f" H{end:.1f}"
    return f'<path class="{kind}" d="{path}"/>'


def dot(place: tuple[float, float], *, radius: float = 4, kind: str = "dot", told: str = "", link: str = "") -> str:
    """A point; with `told` it says that when it is pointed at, and leads to `link` on the page."""
    x, y = place
    circle = f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}"/>'
    if not told:
        return circle
    finger = f'<circle class="finger" cx="{x:.1f}" cy="{y:.1f}" r="13"/>'  # what a fingertip hits
    inside = f"<title>{escape(told)}</title>{finger}{circle}"
    return f'<a class="point" href="#{escape(link)}">{inside}</a>' if link else f'<g class="point">{inside}</g>'
