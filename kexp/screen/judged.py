"""How good a network is, of `kexp evaluate`, and what is wrong with it, of `kexp diagnose`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from kexp.screen.basics import dim, plain_table, warning
from kexp.wording import number, values

CONFUSION_CLASSES = 14  # a matrix of more does not fit 80 columns: the commonest confusions are listed instead
LAYERS_SHOWN = 40  # of deeper networks the first and last; --json has all
LEGEND = (
    "out, largest: shape, and largest size of a number. dead, flat: units that put out nothing, that are saturated. "
    "gradient: its norm with the kept weights, and with new ones. step: of the optimiser from these, as a share of the "
    "weights."
)


def evaluation(document: Mapping[str, Any]) -> Group:
    """Metrics on the test rows, with the interval, and where the model errs."""
    interval = document.get("interval") or {}
    table = plain_table("metric", "value", "interval", right=("value",))
    for name, value in document["metrics"].items():
        span = ""
        if interval.get("metric") == name:
            span = f"{number(interval['low'])} to {number(interval['high'])}  ({interval['level']:.0%})"
        table.add_row(name, number(value), span)
    if document.get("teacher_rand") is not None:
        table.add_row(dim("adjusted_rand of the teacher"), number(document["teacher_rand"]), "")
    parts: list[RenderableType] = [table]
    if document.get("naive"):
        naive = plain_table("naive forecast", "rmse", right=("rmse",))
        for name, value in document["naive"].items():
            naive.add_row(name, number(value))
        parts += [Text(), naive]
    names = list(document["metrics"])
    for head, others in (("simpler model", document.get("baselines")), ("file", document.get("files"))):
        if others:
            told = [metric for metric in names if any(metric in found for found in others.values())]
            beside = plain_table(head, *told, right=told)
            for name, found in others.items():
                beside.add_row(name, *(number(found.get(metric)) for metric in told))
            parts += [Text(), beside]
    if document.get("confusion"):
        parts += [Text(), _confusion(document["confusion"]["labels"], document["confusion"]["matrix"])]
    if document.get("residuals"):
        parts += [Text(), _residuals(document["residuals"])]
    if (document.get("consistency") or {}).get("changes"):
        parts += [Text(), _consistency(document["consistency"])]
    if document.get("verdict"):
        parts += [Text(), Text(document["verdict"]["sentence"], style="bold")]
        if document.get("resplits"):
            parts += [Text(document["resplits"]["sentence"], style="bold")]
    elif set(document.get("baselines") or {}) == {"constant"}:
        parts += [Text(), warning("No simpler model could be fitted: kexp baselines says why. So there is no verdict.")]
    title = Text.assemble((document["run"], "bold"), (f"  {document['rows']:,} {document['split']} rows", "dim"))
    return Group(title, *parts)


def _confusion(labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> RenderableType:
    if len(labels) <= CONFUSION_CLASSES:
        heads = [str(index) for index in range(len(labels))]
        table = plain_table("true \\ predicted", *heads, right=heads)
        for index, (label, row) in enumerate(zip(labels, matrix, strict=True)):
            cells = [
                Text(str(count) if count else "·", "green" if at == index else "" if count else "dim")
                for at, count in enumerate(row)
            ]
            table.add_row(label if label == str(index) else f"{index} {label[:16]}", *cells)
        return table
    wrong = [
        (count, labels[true], labels[guess])
        for true, row in enumerate(matrix)
        for guess, count in enumerate(row)
        if true != guess and count
    ]
    table = plain_table("times", "true", "predicted", right=("times",))
    for count, true, guess in sorted(wrong, key=lambda one: -one[0])[:10]:
        table.add_row(str(count), true, guess)
    return table


def _consistency(found: Mapping[str, Any]) -> RenderableType:
    """Answers that stay, and how good they are, of samples that were changed a little; of the int8 file beside it."""
    names = list(found["before"])
    table = plain_table("change", right=())
    for name in names:
        table.add_column("same answer" if name == names[0] else "int8 same", justify="right", no_wrap=True)
        table.add_column(found["metric"], justify="right", no_wrap=True)
    table.add_row("none", *(cell for name in names for cell in ("", number(found["before"][name]))), style="dim")
    for change, told in found["changes"].items():
        cells = [cell for name in names for cell in (f"{told[name]['same']:.1%}", number(told[name]["value"]))]
        table.add_row(change, *cells)
    return table


def _residuals(found: Mapping[str, Mapping[str, float]]) -> RenderableType:
    """How far off the answers are: a row for each target, a column for each share of the rows that stay below."""
    shares = list(next(iter(found.values())))
    table = plain_table("answer - truth", *shares, right=shares)
    for target, errors in found.items():
        table.add_row(target, *(number(errors[share]) for share in shares))
    return table


def diagnosis(document: Mapping[str, Any]) -> list[RenderableType]:
    """Tables of `pipeline.diagnose`'s document, but for its findings: layers, one sample, fit, what was tried."""
    parts: list[RenderableType] = []
    if document["layers"]:
        parts += [_layers(document["layers"]), dim(LEGEND), Text()]
    if document["sample"]:
        sample = document["sample"]
        title = Text(f"{sample['id']} ({sample['target']}), forward and back", overflow="ellipsis", no_wrap=True)
        parts += [title, _one_sample(sample), dim("gradient: norm of that of its loss, at this place"), Text()]
    objective = document["journal"]["objective"]
    if document["fit"]:
        parts.append(_fitted(document["fit"], document["calibration"]))
        if len(document["curve"]) > 1:
            told = ", ".join(f"{number(point['score'])} after {point['epochs']}" for point in document["curve"])
            parts.append(dim(f"{objective} of this candidate by epochs: {told}"))
        parts.append(Text())
    if document["variants"]:
        epochs = max(row["epochs"] for row in document["variants"])
        told = f"short trainings of {epochs} epochs from new weights; of many rows some"
        parts += [_variants(document["variants"], objective), dim(told), Text()]
    return parts


def _layers(rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    right = ("out", "largest", "dead", "flat", "gradient", "new", "step")
    table = plain_table("layer", *right, right=right)
    for row in _ends(rows):
        if row is None:
            table.add_row(dim("..."))
            continue
        cells = [_tiny(max(abs(row["minimum"]), abs(row["maximum"]))) if "minimum" in row else ""]
        cells += [f"{row[key] / row['units']:.0%}" if row.get("units") else "" for key in ("dead", "saturated")]
        cells += [_tiny(row[key]) if key in row else "" for key in ("gradient", "gradient_new", "update")]
        table.add_row(_ended(row["layer"], 17), _shape(row.get("shape")), *cells)
    return table


def _one_sample(sample: Mapping[str, Any]) -> RenderableType:
    right = ("shape", "least", "mean", "most", "gradient")
    table = plain_table("layer", *right, right=right)
    for row in _ends(sample["layers"]):
        cells = ["..."]
        if row is not None:
            back = "" if row["gradient"] is None else _tiny(row["gradient"])
            numbers = [_tiny(row[key]) for key in ("minimum", "mean", "maximum")]
            cells = [_ended(row["layer"], 24), _shape(row["shape"]), *numbers, back]
        table.add_row(*cells)
    return table


def _fitted(found: Mapping[str, Any], calibration: Mapping[str, Any] | None) -> RenderableType:
    right = ("training", "validation", "naive" if found.get("naive") else "constant")
    table = plain_table("metric", *right, right=right)
    for name, value in found["validation"].items():
        table.add_row(name, number(found["train"][name]), number(value), number(found["constant"][name]))
    if calibration:
        table.add_row("ECE", "", number(calibration["ece"]), "")
    return table


def _variants(rows: Sequence[Mapping[str, Any]], objective: str) -> RenderableType:
    right = ("training error", objective, "idle units")
    table = plain_table("tried", "changed", *right, right=right, fold=("changed",))
    for row in rows:
        told = [number(row["train"]), number(row["score"])] if row["train"] is not None else [row["status"], "-"]
        told.append("-" if row["idle"] is None else f"{row['idle']:.0%}")
        table.add_row(row["name"], "" if row["name"].startswith("rate") else values(row["changed"]), *told)
    return table


def _ends(rows: Sequence[Any]) -> list[Any]:
    half = LAYERS_SHOWN // 2
    return list(rows) if len(rows) <= LAYERS_SHOWN else [*rows[:half], None, *rows[-half:]]


def _shape(shape: Sequence[int] | None) -> str:
    return "x".join(map(str, shape)) if shape else ""


def _tiny(value: float | None) -> str:
    """Two or three telling digits, seven letters or eight; of what is not finite, and so null in JSON, a word."""
    if value is None or value != value:
        return "nan"
    return f"{value:.3g}" if 0.01 <= abs(value) < 1000 or value == 0 else f"{value:.1e}"


def _ended(text: str, most: int) -> str:
    """At most so many letters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
