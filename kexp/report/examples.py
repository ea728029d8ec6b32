"""The test rows that a model is most wrong about, from what `evaluate` kept: nothing is predicted anew."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kexp.data.dataset import Dataset
from kexp.metrics import classes
from kexp.records import DatasetSpec
from kexp.report import markup, samples
from kexp.report.markup import Html, join, text
from kexp.wording import number

SHOWN = 12
COLUMNS = 40  # of a table's row that are told

Array = NDArray[Any]


class Example(NamedTuple):
    """A row of the data set; what is true and what was answered, in words; how wrong, the larger the worse."""

    row: int
    true: str
    answer: str
    wrong: bool
    badness: float


def data(spec: DatasetSpec, rows: NDArray[np.int64], y: Array, outputs: Array, shown: int = SHOWN) -> list[Example]:
    """The `shown` worst of the rows `rows` (n,), worst first; `y` and `outputs` (n, outputs) as in Dataset.

    Classes: by how much more the answer got than the truth, so that wrong ones come first, then the least sure. Labels:
    by the furthest of a row's. Numbers: by the error in standard deviations of the target.
    """
    judge = {"regression": _numbers, "multilabel": _labels}.get(spec.task, _classes)
    badness, told = judge(spec, y, outputs.astype(np.float64))
    order = np.argsort(-badness, kind="stable")[:shown]
    found = []
    for at in order:
        true, answer, wrong = told(int(at))
        found.append(Example(int(rows[at]), true, answer, wrong, float(badness[at])))
    return found


def _classes(spec: DatasetSpec, y: Array, outputs: Array) -> tuple[Array, Any]:
    p = np.concatenate([1 - outputs, outputs], axis=1) if spec.task == "binary" else outputs
    at = np.arange(len(y))
    said = classes(spec.task, outputs)
    others = p.copy()
    others[at, y] = -np.inf

    def told(i: int) -> tuple[str, str, bool]:
        return spec.labels[y[i]], f"{spec.labels[said[i]]} ({p[i, said[i]]:.1%})", bool(said[i] != y[i])

    return others.max(axis=1) - p[at, y], told


def _labels(spec: DatasetSpec, y: Array, outputs: Array) -> tuple[Array, Any]:
    off = np.abs(outputs - y)

    def told(i: int) -> tuple[str, str, bool]:
        true = ", ".join(label for label, flag in zip(spec.labels, y[i], strict=True) if flag >= 0.5) or "none"
        said = ", ".join(label for label, p in zip(spec.labels, outputs[i], strict=True) if p >= 0.5) or "none"
        return true, said, true != said

    return off.max(axis=1), told


def _numbers(spec: DatasetSpec, y: Array, outputs: Array) -> tuple[Array, Any]:
    spread = np.array(spec.target_std or [1.0] * spec.outputs, np.float64)
    off = np.abs(outputs - y) / np.where(spread > 0, spread, 1.0)
    worst = off.argmax(axis=1)

    def told(i: int) -> tuple[str, str, bool]:
        k = worst[i]
        name = f"{spec.labels[k]}: " if len(spec.labels) > 1 else ""
        return f"{name}{number(float(y[i, k]))}", number(float(outputs[i, k])), True

    return off.max(axis=1), told


def draw(found: list[Example], dataset: Dataset, predicted: dict[int, tuple[Array, Array]]) -> Html:
    """Cards with the sample; rows of a table as a table.

    `predicted` has truth and answer (outputs,) by row, for forecasts, which are drawn with both.
    """
    spec = dataset.spec
    if spec.kind == "table":
        names = [column.name for column in spec.columns[:COLUMNS]]
        lines = [
            (markup.Cell(one.true, "nowrap strong"),
             markup.Cell(one.answer, "nowrap bad" if one.wrong and spec.task != "regression" else "nowrap"),
             *samples.cell_texts(dataset, one.row, COLUMNS).values(), markup.Cell(dataset.ids[one.row], "nowrap muted"))
            for one in found
        ]  # fmt: skip
        return markup.table(["true", "answer", *names, "where"], lines)
    cards = []
    for one in found:
        said = f"{dataset.ids[one.row]}: {one.true}, answered {one.answer}"
        if spec.horizon:
            shown = samples.forecast(np.asarray(dataset.x[one.row]), spec, *predicted[one.row])
        else:
            shown = samples.draw(dataset, one.row, said)
        kind = "bad" if one.wrong and spec.task != "regression" else "muted"
        words = join(
            Html('<span class="truth">'), one.true, Html(f'</span><span class="{kind}">'), one.answer, Html("</span>"),
            Html('<span class="where">'), dataset.ids[one.row], Html("</span>"),
        )  # fmt: skip
        cards.append(f"<li>{shown}<p>{words}</p></li>")
    wide = "" if spec.kind == "image" else " wide"
    return Html(f'<ul class="cards{wide}">{"".join(cards)}</ul>') if cards else text("")
