"""What a report says of the test rows, all of it from what `evaluate` kept; and how steady the answers are."""

from __future__ import annotations

import math
from typing import Any

from kexp.evaluate import INT8
from kexp.report import classes, examples, markup, residuals
from kexp.report.markup import Html, code, figure, heading, join, note, paragraph
from kexp.report.material import Material
from kexp.wording import number

NAMES = {"model.keras": "", INT8: ", int8 file"}
FEW = 40  # classes whose scores are seen at once; of more, the worst ones


def _absent(material: Material) -> Html:
    why = "was evaluated before its present model was chosen" if material.stale[:1] == ("evaluation",) else ""
    return note(f"This run {why or 'has not been evaluated'}. ", code(f"kexp evaluate {material.name}"), " adds this.")


def figures(material: Material) -> Html:
    """Metrics with the interval; of the exported files and a naive forecast too."""
    found = material.evaluation
    if found is None:
        return _absent(material)
    interval = found.get("interval") or {}
    rows = []
    for name, value in found["metrics"].items():
        span = ""
        if interval.get("metric") == name:
            span = f"{number(interval['low'])} to {number(interval['high'])} ({interval['level']:.0%})"
        rows.append((name.replace("_", " "), value, span))
    if found.get("teacher_rand") is not None:
        rows.append(("adjusted rand of the teacher", found["teacher_rand"], ""))
    for name, value in (found.get("naive") or {}).items():
        rows.append((f"rmse of a naive forecast: {name}", value, ""))
    parts = [
        paragraph(f"{found['rows']:,} rows, which took no part in training or choosing."),
        markup.table(["metric", "value", "interval"], rows, right=("value",)),
    ]
    if found.get("files"):
        names = list(found["metrics"])
        lines = [(file, *(values.get(name) for name in names)) for file, values in found["files"].items()]
        heads = [name.replace("_", " ") for name in names]
        parts += [heading("The exported files"), markup.table(["file", *heads], lines, right=heads)]
    return join(*parts)


def errors(material: Material) -> Html | None:
    """Confusion matrix or residuals, and scores by class."""
    found, kept = material.evaluation, material.predictions
    if found is None:
        return None
    if found.get("confusion"):
        labels, matrix = found["confusion"]["labels"], found["confusion"]["matrix"]
        shown = classes.confusion(labels, matrix)
        told = "Rows are the true classes, columns the answers; the darker, the larger the share of the row."
        parts = [figure(classes.draw_confusion(shown), told if len(labels) <= classes.MOST else "")]
        return join(*parts, heading("By class"), _scores(classes.data(labels, matrix)))
    if kept is None:
        return _quantiles(found)
    labels = material.dataset.spec.labels
    if material.dataset.spec.task == "multilabel":
        return _scores(classes.flags(labels, kept.y, kept.outputs))
    charts = []
    every = residuals.data(labels, kept.y, kept.outputs)
    for one in every[: residuals.TARGETS]:
        pair = figure(residuals.draw(one)) + figure(residuals.draw_histogram(one))
        charts.append(Html(f'<div class="row two">{pair}</div>'))
    more = f" The first {residuals.TARGETS} of {len(every)} are drawn." if len(every) > residuals.TARGETS else ""
    told = note(f"On the dashed line answers are right. {len(kept.y):,} rows.{more}")
    return join(*charts, told, _quantiles(found))


def _scores(found: list[classes.Scores]) -> Html:
    told = "Found: of the rows of a class, those answered so (recall). Right when said: of the rows answered so, those "
    told += "that are of it (precision). Intervals are Wilson's: where they are wide, the rows are few."
    if len(found) <= FEW:
        return join(classes.draw(found), note(told))
    worst = sorted(found, key=lambda one: one.recall.value if one.recall.n else math.inf)[:FEW]
    return join(classes.draw(worst), note(f"The {FEW} of {len(found)} classes that are found least. {told}"))


def _quantiles(found: dict[str, Any]) -> Html | None:
    told: dict[str, dict[str, float]] = found.get("residuals") or {}
    if not told:
        return None
    shares = list(next(iter(told.values())))
    rows = [(target, *values.values()) for target, values in told.items()]
    return join(
        heading("How far off"),
        markup.table(["answer - truth", *shares], rows, right=shares),
        note(
            "At 5% stands the error that 5% of the rows stay below, at 50% the middle one: near 0, answers are too low "
            "as often as too high."
        ),
    )


def worst(material: Material) -> Html | None:
    """The rows that it is most wrong about."""
    kept, dataset = material.predictions, material.dataset
    if material.evaluation is None:
        return None
    if kept is None:
        return note("The predictions of evaluate are gone: ", code(f"kexp evaluate {material.name}"), " makes them.")
    found = examples.data(dataset.spec, kept.rows, kept.y, kept.outputs)
    wrong = sum(one.wrong for one in found)
    if dataset.spec.task == "regression":
        told = "The test rows whose answers are furthest off."
        told += " Dashed: what the network foretold." if dataset.spec.horizon else ""
    elif wrong == 0:
        told = "No test row is answered wrongly. These are the ones it was least sure of."
    elif wrong < len(found):
        told = f"The {wrong if wrong > 1 else 'one'} answered wrongly, then those it was least sure of."
    else:
        told = "The wrong answers that it was surest of."
    if dataset.spec.kind != "table" and dataset.spec.task in ("binary", "multiclass"):
        told += " Bold: the true class; below it the answer, with its probability."
    at = {int(row): i for i, row in enumerate(kept.rows)}
    pairs = {one.row: (kept.y[at[one.row]], kept.outputs[at[one.row]]) for one in found}
    return join(paragraph(told), examples.draw(found, dataset, pairs if dataset.spec.horizon else {}))


def steadiness(material: Material) -> Html | None:
    """How many answers stay when a sample is changed a little."""
    found = (material.evaluation or {}).get("consistency") or {}
    if not found.get("changes"):
        return None
    metric = found["metric"].replace("_", " ")
    models = list(found["before"])
    columns = [f"{what}{NAMES.get(model, f', {model}')}" for model in models for what in ("same answer", metric)]
    rows: list[tuple[object, ...]] = [
        ("none", *(cell for model in models for cell in ("", number(found["before"][model]))))
    ]
    for change, told in found["changes"].items():
        cells = [cell for m in models for cell in (f"{told[m]['same']:.1%}", number(told[m]["value"]))]
        rows.append((change, *cells))
    return join(
        paragraph(f"{found['rows']:,} test rows, each changed a little, as cameras, sensors and people do."),
        markup.table(["change", *columns], rows, right=columns),
    )
