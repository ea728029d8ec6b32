"""What a regression answers against what is true, and how its errors are spread."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kexp.report import plot
from kexp.report.markup import Html

POINTS = 1500  # of a chart: evenly spread rows stand for more
TARGETS = 4  # that are drawn, of a network with more of them
BINS = 31

Array = NDArray[Any]


class Residuals(NamedTuple):
    """Of one target: true values and answers in its units, and a histogram of answer - truth."""

    target: str
    true: tuple[float, ...]
    said: tuple[float, ...]
    rows: int  # all test rows, of which the above are some
    edges: tuple[float, ...]  # of the bins, one more than counts
    counts: tuple[int, ...]


def data(labels: tuple[str, ...], y: Array, outputs: Array) -> list[Residuals]:
    """Of `y` and `outputs`, both (n, targets)."""
    n = len(y)
    chosen = np.unique(np.linspace(0, n - 1, min(n, POINTS)).astype(int)) if n else np.arange(0)
    found = []
    for k, label in enumerate(labels):
        error = outputs[:, k].astype(np.float64) - y[:, k]
        # The outermost hundredth would make all others one bar: it goes into the last bins.
        reach = float(np.quantile(np.abs(error), 0.99)) if n else 1.0
        counts, edges = np.histogram(np.clip(error, -reach, reach), BINS, (-reach or -1.0, reach or 1.0))
        found.append(
            Residuals(
                label, tuple(map(float, y[chosen, k])), tuple(map(float, outputs[chosen, k])), n,
                tuple(map(float, edges)), tuple(map(int, counts)),
            )
        )  # fmt: skip
    return found


def draw(found: Residuals) -> Html:
    """Answers over true values; on the line they are equal."""
    both = [*found.true, *found.said]
    x, y = plot.axis(f"true {found.target}", both), plot.axis("answer", both)
    frame = plot.Frame(x, y, height=420.0, width=520.0)
    equal = plot.line([frame.at(x.low, x.low), frame.at(x.high, x.high)], "line equal")
    marks = [
        plot.dot(frame.at(*pair), radius=3.5, kind="dot soft") for pair in zip(found.true, found.said, strict=True)
    ]
    return frame.svg([equal, *marks], f"answers against true values of {found.target}, {len(found.true)} rows")


def draw_histogram(found: Residuals) -> Html:
    """How often the answer is so much too low or too high."""
    frame = plot.Frame(
        plot.Axis(f"answer - true {found.target}", found.edges[0], found.edges[-1]),
        plot.axis("rows", [0, *found.counts], zero=True),
        height=420.0,
        width=520.0,
    )
    marks = []
    for low, high, count in zip(found.edges, found.edges[1:], found.counts, strict=False):
        (left, top), (right, bottom) = frame.at(low, count), frame.at(high, 0)
        marks.append(
            f'<rect class="column" x="{left + 0.5:.1f}" y="{top:.1f}" width="{right - left - 1:.1f}" '
            f'height="{bottom - top:.1f}"/>'
        )
    zero = frame.at(0, 0)[0]
    marks.append(plot.line([(zero, frame.at(0, frame.y.high)[1]), (zero, frame.at(0, 0)[1])], "line equal"))
    return frame.svg(marks, f"how far answers are from true values of {found.target}, {found.rows} rows")
