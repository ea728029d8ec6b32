"""The head of a report: what was asked, the answer in a sentence, and the figures that matter."""

from __future__ import annotations

from typing import Any

from kexp.data.dataset import PARTS
from kexp.export import inputs
from kexp.records import DatasetSpec
from kexp.report.markup import Html, join, paragraph, plural, text
from kexp.report.material import Material
from kexp.report.searched import missing
from kexp.wording import clock, number, short_name, size

INT8 = "tflite_int8"
ABREAST = 5  # figures that stand in one row
ROOM, LONG = 8, ' class="long"'  # letters of a figure that is large; a longer one is smaller, so that it stays whole


def head(material: Material) -> Html:
    """Title, verdict, figures, and what would make the report say more."""
    absent = missing(material)
    items = "".join(f"<li>{item}</li>" for item in absent)
    return join(
        Html(f"<header><h1>{text(material.name)}</h1>"),
        paragraph(described(material.dataset.spec), ". ", _rows(material), kind="lead"),
        Html("</header>"),
        verdict(material),
        tiles(material),
        Html(f'<ul class="missing">{items}</ul>' if items else ""),
    )


def described(spec: DatasetSpec) -> str:
    """The question in words: "Grey pictures, 8 x 8 pixels, each in one of 10 classes"."""
    if spec.kind == "image":
        height, width, channels = spec.shape
        what = f"{'Grey pictures' if channels == 1 else 'Pictures in colour'}, {width} x {height} pixels"
    elif spec.kind == "table":
        what = f"Rows of {plural(len(spec.columns), 'column')}"
    else:
        told = inputs.size(spec)
        what = told[:1].upper() + told[1:]
    named = f"{', '.join(spec.labels[:3])}{' ...' if len(spec.labels) > 3 else ''}"
    answer = {
        "binary": f"each in one of two classes, {' or '.join(spec.labels)}",
        "multiclass": f"each in one of {len(spec.labels)} classes",
        "multilabel": f"each with any of {len(spec.labels)} labels",
        "regression": f"each with {'a number' if spec.outputs == 1 else f'{spec.outputs} numbers'}: {named}",
    }[spec.task]
    if spec.horizon:
        answer = f"each with the {plural(spec.horizon, 'value')} that come next: {spec.target or named}"
    return f"{what}, {answer}"


def _rows(material: Material) -> str:
    counts = [f"{int((material.dataset.part == code).sum()):,} {part}" for part, code in PARTS.items()]
    return f"{len(material.dataset.y):,} rows: {', '.join(counts)}."


def verdict(material: Material) -> Html:
    """What evaluate concluded, in its own sentence; otherwise what is known."""
    found = (material.evaluation or {}).get("verdict")
    if found:
        several = (material.evaluation or {}).get("resplits")
        kind = {"needed": "good", "not needed": "bad"}.get((several or found)["answer"], "open")
        told = "".join(f"<p>{text(one['sentence'])}</p>" for one in (found, several) if one)
        return Html(f'<div class="verdict {kind}">{told}</div>')
    metric = material.metric.replace("_", " ")
    if material.evaluation:
        interval = material.evaluation["interval"]
        value = material.evaluation["metrics"].get(interval["metric"])
        sentence = (
            f"On {material.evaluation['rows']:,} test rows the network reaches {metric} {number(value)}, with "
            f"{interval['level']:.0%} confidence between {number(interval['low'])} and {number(interval['high'])}. "
            "Whether a simpler model would do as well is not known: none was measured."
        )
        return Html(f'<div class="verdict open"><p>{text(sentence)}</p></div>')
    best = material.best
    score = number(best.standing.get(material.metric)) if best is not None else "-"
    file = f", as the {short_name(best.variant)} file that ships," if best is not None and best.shipped else ""
    sentence = (
        f"The best network reaches {metric} {score}{file} on validation rows, by which it was chosen: on new rows "
    )
    sentence += "expect a little less. Nothing was measured on test rows yet."
    return Html(f'<div class="verdict open"><p>{text(sentence)}</p></div>')


def tiles(material: Material) -> Html:
    """The figures that matter, large."""
    metric, best = material.metric.replace("_", " "), material.best
    found: list[tuple[str, str, str]] = []
    evaluation = material.evaluation
    if evaluation:
        interval = evaluation["interval"]
        span = f"{number(interval['low'])} to {number(interval['high'])}"
        found.append((number(evaluation["metrics"].get(interval["metric"])), f"{metric}, test rows", span))
    if best is not None:
        told = f"{short_name(best.variant)} file, trial {best.id}" if best.shipped else f"trial {best.id}"
        found.append((number(best.standing.get(material.metric)), f"{metric}, validation", told))
        found.append((number(best.parameters), "weights", best.factory))
    shipped = _smallest(material)
    if shipped:
        found.append((size(shipped["bytes"]), "on the phone", shipped["path"]))
    elif best is not None and best.bytes is not None:
        found.append((size(best.bytes), "on the phone", best.variant.replace("_", " ")))
    times = [
        (one["p50_ms"], device["device"]) for device in material.board["devices"] for one in device["measurements"]
    ]
    if times:
        quickest, where = min(times)
        found.append((f"{quickest:.3g} ms", "an answer", where))
    trials = sum(trial.score is not None for trial in material.trials)  # as the search history counts them
    found.append((clock(material.seconds), "of search", plural(trials, "trial")))
    cells = "".join(
        f"<div><b{LONG * (len(value) > ROOM)}>{text(value)}</b>"
        f"<span>{text(what)}</span><small>{text(more)}</small></div>"
        for value, what, more in found
    )
    columns = len(found) if len(found) <= ABREAST else -(-len(found) // 2)
    return Html(f'<div class="tiles" style="--columns:{columns}">{cells}</div>')


def _smallest(material: Material) -> dict[str, Any] | None:
    """The int8 file, or else the smallest .tflite, of an export."""
    files = [one for one in (material.export or {}).get("artifacts", []) if one["path"].endswith(".tflite")]
    return min(files, key=lambda one: (one["format"] != INT8, one["bytes"]), default=None)
