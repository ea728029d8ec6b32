"""Confusion matrix and, for each class, what share of it was found and what share of its answers is right."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kexp.evaluate import wilson
from kexp.report import markup
from kexp.report.markup import Cell, Html, text

MOST = 30  # classes of a matrix: of more, the commonest confusions are told
PAIRS = 12


class Share(NamedTuple):
    """`hits` of `n`, and Wilson's 95 % interval (1927) of that share; of none, the whole range."""

    hits: int
    n: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The share; NaN of none."""
        return self.hits / self.n if self.n else float("nan")


class Scores(NamedTuple):
    """Of one class or label."""

    label: str
    recall: Share  # of the rows that are of it, those answered so
    precision: Share  # of the rows answered so, those that are of it


def data(labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> list[Scores]:
    """Of each class, from a confusion matrix whose rows are the truth."""
    counts = np.asarray(matrix, np.int64).reshape(len(labels), len(labels))
    hits, true, said = counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)
    return [Scores(label, _share(hits[k], true[k]), _share(hits[k], said[k])) for k, label in enumerate(labels)]


def flags(labels: Sequence[str], y: NDArray[Any], outputs: NDArray[Any]) -> list[Scores]:
    """Of each label of a multilabel task: `y` (n, labels) and probabilities `outputs` (n, labels), from 0.5 up yes."""
    said, true = outputs >= 0.5, np.asarray(y) >= 0.5
    hits = (said & true).sum(axis=0)
    return [
        Scores(label, _share(hits[k], true[:, k].sum()), _share(hits[k], said[:, k].sum()))
        for k, label in enumerate(labels)
    ]


def _share(hits: int, n: int) -> Share:
    low, high = wilson(int(hits) / int(n), int(n)) if n else (0.0, 1.0)
    return Share(int(hits), int(n), low, high)


def draw(found: Sequence[Scores]) -> Html:
    """A table: each share as a point with its interval, between 0 and 1."""
    rows = [
        (Cell(one.label, "name"), f"{one.recall.n:,}", _words(one.recall), _interval(one.recall), _words(one.precision),
         _interval(one.precision))
        for one in found
    ]  # fmt: skip
    return markup.table(
        ["class", "rows", "found, 95% interval", "", "right when said, 95% interval", ""], rows, right=("rows",)
    )


def _interval(share: Share) -> Cell:
    if not share.n:
        return Cell("-", "muted")
    low, high, value = (100 * one for one in (share.low, share.high, share.value))
    return Cell(
        Html(
            f'<svg class="whisker" viewBox="0 0 100 16" preserveAspectRatio="none" aria-hidden="true">'
            f'<line class="rail" x1="0" x2="100" y1="8" y2="8"/>'
            f'<line class="span" x1="{low:.1f}" x2="{high:.1f}" y1="8" y2="8"/>'
            f'<line class="mid" x1="{value:.1f}" x2="{value:.1f}" y1="2" y2="14"/></svg>'
        )
    )


def _words(share: Share) -> Cell:
    if not share.n:
        return Cell("never", "muted")
    span = f'<span class="muted">{share.low:.2f} to {share.high:.2f}</span>'
    return Cell(Html(f"<b>{share.value:.1%}</b> {span}"), "nowrap")


def _depth(share: float) -> str:
    """Classes by which the style sheet keeps a count readable on the colour of its cell, in either theme."""
    return " half deep" if share > 0.8 else " half" if share > 0.4 else ""


class Confusion(NamedTuple):
    """Which class was taken for which: `shares` are of the rows of the true class."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]  # rows: truth
    shares: tuple[tuple[float, ...], ...]

    @property
    def pairs(self) -> list[tuple[int, str, str]]:
        """(how often, truth, answer), the commonest first, right answers aside."""
        found = [
            (count, self.labels[true], self.labels[said])
            for true, row in enumerate(self.counts)
            for said, count in enumerate(row)
            if true != said and count
        ]
        return sorted(found, key=lambda one: -one[0])


def confusion(labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> Confusion:
    """From evaluate's matrix, whose rows are the truth."""
    shares = tuple(tuple(count / (sum(row) or 1) for count in row) for row in matrix)
    return Confusion(tuple(labels), tuple(tuple(row) for row in matrix), shares)


def draw_confusion(found: Confusion) -> Html:
    """The matrix, each cell as dark as its share of its row; of more than MOST classes the commonest confusions."""
    if len(found.labels) > MOST:
        return markup.table(["times", "true class", "answer"], found.pairs[:PAIRS], right=("times",))
    short = len(found.labels) > 12 or any(len(label) > 8 for label in found.labels)
    heads = [str(k + 1) if short else label for k, label in enumerate(found.labels)]
    head = "".join(
        f'<th scope="col" title="{escape(label)}">{text(name)}</th>'
        for name, label in zip(heads, found.labels, strict=True)
    )
    lines = []
    for true, (label, counts, shares) in enumerate(zip(found.labels, found.counts, found.shares, strict=True)):
        cells = "".join(
            f'<td class="{"hit" if true == said else "miss"}{_depth(share)}" '
            f'style="--share:{share:.3f}" title="{escape(label)}, answered {escape(found.labels[said])}: {count}">'
            f"{count or ''}</td>"
            for said, (count, share) in enumerate(zip(counts, shares, strict=True))
        )
        name = f"{true + 1} · {label}" if short else label
        lines.append(f'<tr><th scope="row">{text(name)}</th>{cells}</tr>')
    body = "\n".join(lines)
    return Html(
        f'<div class="scroll" tabindex="0"><table class="confusion"><thead><tr><th>true ↓ answer →</th>{head}</tr>'
        f"</thead><tbody>{body}</tbody></table></div>"
    )
