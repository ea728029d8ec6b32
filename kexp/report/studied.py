"""What `kexp study` found: one knob at a time around the best network, fewer training rows, shuffled columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from kexp.report import importance, markup, plot
from kexp.report.markup import Html, figure, heading, join, note, paragraph
from kexp.report.material import Material
from kexp.wording import TOO_FEW, number, short

COLUMNS = 20  # of a table that are told, those that matter most


class Knob(NamedTuple):
    """Scores by value: `scores` of each seed, `means` of these; `marks` say what a value is: "now", "enough"."""

    name: str
    numeric: bool
    values: tuple[Any, ...]
    scores: tuple[tuple[float, ...], ...]
    means: tuple[float, ...]
    marks: tuple[str, ...]


def data(knob: Mapping[str, Any]) -> Knob:
    """Of one entry of "knobs" in the document of kexp.study; numbers in their order, words as they were varied."""
    rows = list(knob["rows"])
    numeric = all(isinstance(row["value"], int | float) and not isinstance(row["value"], bool) for row in rows)
    if numeric:
        rows.sort(key=lambda row: row["value"])
    marks = []
    for row in rows:
        own = ["now"] * (row["value"] == knob["winner"])
        marks.append(", ".join([*own, *["enough"] * (knob["matters"] and row["value"] == knob["enough"])]))
    return Knob(
        knob["name"], numeric, tuple(row["value"] for row in rows), tuple(tuple(row["scores"]) for row in rows),
        tuple(row["mean"] for row in rows), tuple(marks),
    )  # fmt: skip


def draw(found: Knob, metric: str) -> Html:
    """A small chart: a point for each seed, the means joined where values are numbers."""
    names = {float(at): short(value) for at, value in enumerate(found.values)}
    y = plot.axis(metric.replace("_", " "), [score for scores in found.scores for score in scores], edge=0.1)
    frame = plot.Frame(plot.Axis(found.name, -0.5, len(names) - 0.5), y, height=260.0, width=420.0)
    marks = [plot.dot(frame.at(at, score), radius=3.5) for at, scores in enumerate(found.scores) for score in scores]
    means = [frame.at(at, mean) for at, mean in enumerate(found.means)]
    if found.numeric:
        marks.insert(0, plot.line(means, "line thin"))
    marks += [
        plot.dot(place, radius=6.5 if mark else 4.5, kind="dot chosen" if mark else "dot leads")
        for place, mark in zip(means, found.marks, strict=True)
    ]
    told = [f"{short(value)} {mark}" for value, mark in zip(found.values, found.marks, strict=True) if mark]
    return frame.svg(marks, f"{metric} by {found.name}: {'; '.join(told)}", names)


def draw_rows(rows: Sequence[Mapping[str, Any]], metric: str) -> Html:
    """Scores by the number of training rows."""
    frame = plot.Frame(
        plot.axis("training rows", [row["rows"] for row in rows], log=True),
        plot.axis(metric.replace("_", " "), [score for row in rows for score in row["scores"]], edge=0.1),
        height=260.0,
    )
    marks = [plot.line([frame.at(row["rows"], row["mean"]) for row in rows])]
    marks += [plot.dot(frame.at(row["rows"], score), radius=3.5) for row in rows for score in row["scores"]]
    marks += [plot.dot(frame.at(row["rows"], row["mean"]), radius=5, kind="dot leads") for row in rows]
    return frame.svg(marks, f"{metric} by the number of training rows")


def study(material: Material) -> Html | None:
    """Nothing where no study was made; of another network than the present one it says so."""
    found = material.study
    if found is None:
        return None
    metric = str(found["metric"])
    winner = found["winner"]
    epochs = f", for {found['epochs']} epochs each" if found["epochs"] else ""
    told = f"Around trial {winner['trial']} one thing at a time was varied, under {found['seeds']} seeds{epochs}."
    parts = [paragraph(told, " Scores are on validation rows.")]
    if winner["trial"] != material.board["best"]:
        parts.append(paragraph("The present model is of another trial: study it anew.", kind="warn"))
    if found["knobs"]:
        items = "".join(f"<li>{markup.text(knob['sentence'])}</li>" for knob in found["knobs"])
        charts = "".join(figure(draw(data(knob), metric)) for knob in found["knobs"])
        parts += [Html(f"<ul>{items}</ul>"), Html(f'<div class="row">{charts}</div>')]
        parts.append(note("A point is a seed, a large one the mean. Ringed: what the network has, and what is enough."))
    late = [*found["unmeasured"], *(f"some values of {knob}" for knob in found.get("partly", ()))]
    if late:
        why = "It was interrupted before" if found.get("interrupted") else "No time was left for"
        parts.append(note(f"{why} {', '.join(late)}."))
    if found["samples"]:
        parts += [heading("Would more rows help?"), figure(draw_rows(found["samples"]["rows"], metric))]
        parts.append(paragraph(found["samples"]["sentence"]))
    elif found.get("too_few"):
        parts.append(note(TOO_FEW))
    if found["columns"]:
        parts += [heading("Which columns matter"), _columns(found["columns"][:COLUMNS], metric)]
    return join(*parts)


def _columns(found: Sequence[Mapping[str, Any]], metric: str) -> Html:
    caption = (
        f"How much worse the {metric.replace('_', ' ')} gets on validation rows when a column is shuffled; of two "
    )
    caption += "columns that say the same, neither may seem to matter."
    bars = importance.bars([(one["name"], one["drop"], number(one["drop"])) for one in found])
    return figure(bars, caption)
