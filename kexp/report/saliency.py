"""Which pixels an answer hangs on: the gradient of the winning logit by the input, on validation pictures.

Simonyan, Vedaldi and Zisserman 2014, "Deep Inside Convolutional Networks": its absolute value, the largest of the
channels. It says where a small change would change the answer most, not what the network has understood.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kexp.data.dataset import Dataset
from kexp.records import DatasetSpec
from kexp.report.inside import Inside, gradient
from kexp.report.markup import Html, join, text
from kexp.report.pictures import heat, png

SHOWN = 6

Array = NDArray[Any]


class Salient(NamedTuple):
    """One validation picture: its row in the data set, (height, width) how much each pixel matters, 0 to 1."""

    row: int
    heat: Array
    true: str
    answer: str


def rows(dataset: Dataset, shown: int = SHOWN) -> NDArray[np.int64]:
    """The first validation row of each class in turn, until there are `shown`; of numbers and labels the first rows."""
    found = dataset.rows("validation")
    if dataset.spec.task not in ("binary", "multiclass") or not len(found):
        return found[:shown]
    y = np.asarray(dataset.y)[found]
    turn = np.zeros(len(found), np.int64)  # how many of its class come before each row
    for k in np.unique(y):
        turn[y == k] = np.arange(int((y == k).sum()))
    return found[np.lexsort((y, turn))][:shown]


def data(inside: Inside, dataset: Dataset, chosen: NDArray[np.int64]) -> list[Salient]:
    """Of the rows `chosen` (k,) of the data set."""
    if not len(chosen):
        return []
    x = np.asarray(dataset.x[chosen])
    slopes, winners = gradient(inside, x)
    found = []
    for row, slope, winner in zip(chosen, slopes, winners, strict=True):
        matter = np.abs(slope).max(axis=-1)
        most = float(matter.max())
        answer = dataset.spec.labels[int(winner)]
        found.append(Salient(int(row), matter / most if most > 0 else matter, _true(dataset, int(row)), answer))
    return found


def _true(dataset: Dataset, row: int) -> str:
    spec: DatasetSpec = dataset.spec
    if spec.task in ("binary", "multiclass"):
        return spec.labels[int(dataset.y[row])]
    return ", ".join(label for label, flag in zip(spec.labels, dataset.y[row], strict=True) if flag >= 0.5) or "none"


def draw(found: Sequence[Salient], dataset: Dataset) -> Html:
    """Each picture with its heat beside it."""
    cards = []
    for one in found:
        said = f"{dataset.ids[one.row]}: {one.true}, answered {one.answer}"
        both = join(png(np.asarray(dataset.x[one.row]), said), png(heat(one.heat, 0.0, 1.0), f"what matters in {said}"))
        right = "" if dataset.spec.task == "multilabel" or one.true == one.answer else ' class="bad"'
        words = f'<span class="truth">{text(one.true)}</span><span{right}>answer {text(one.answer)}</span>'
        cards.append(f'<li><div class="pair">{both}</div><p>{words}</p></li>')
    return Html(f'<ul class="cards double">{"".join(cards)}</ul>')
