"""What `kexp diagnose` found: what is wrong, layer by layer, training rows beside others, and calibration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kexp.report import plot
from kexp.report.markup import Cell, Html, figure, heading, join, note, paragraph, table
from kexp.report.material import Material
from kexp.wording import number

SIGNS = {"error": ("✗", "bad"), "warning": ("!", "warn"), "note": ("·", "")}


def diagnosis(material: Material) -> Html | None:
    """Nothing where the network was not diagnosed; of another network than the present one it says so."""
    found = material.diagnosis
    if found is None:
        return None
    parts = []
    if found["trial"]["id"] != material.board["best"]:
        parts.append(paragraph("The present model is of another trial: diagnose it anew.", kind="warn"))
    if found["findings"]:
        rows = [(Cell(*SIGNS[one["severity"]]), one["what"], one["advice"]) for one in found["findings"]]
        parts.append(table(("", "found", "what to do"), rows))
    else:
        parts.append(paragraph("Nothing was found that ails it."))
    if found["fit"]:
        parts += [heading("Training rows beside others"), _fit(found["fit"])]
    if found["layers"]:
        parts += [heading("Layers"), _layers(found["layers"])]
    if found["calibration"]:
        parts += [heading("Is it as sure as it is right?"), _calibration(found["calibration"])]
    return join(*parts)


def _fit(found: Mapping[str, Any]) -> Html:
    columns = ("metric", "training rows", "validation rows", _bare(found))
    rows = [(name.replace("_", " "), found["train"][name], found["validation"][name], found["constant"][name])
            for name in found["train"]]  # fmt: skip
    return table(columns, rows, right=columns[1:])


def _bare(found: Mapping[str, Any]) -> str:
    return "naive forecast" if found.get("naive") else "constant answer"


def _layers(found: list[dict[str, Any]]) -> Html:
    """A row for each layer; what a layer has none of stays empty."""

    def told(layer: Mapping[str, Any], name: str) -> object:
        value = layer.get(name)
        return "" if value is None else number(value)

    rows = []
    for layer in found:
        idle = layer.get("units") or 0
        dead = f"{layer['dead'] / idle:.0%}" if idle else ""
        shape = " x ".join(map(str, layer.get("shape") or ()))
        rows.append(
            (layer["layer"], shape, dead, told(layer, "gradient"), told(layer, "gradient_new"), told(layer, "update"))
        )
    columns = ("layer", "puts out", "dead units", "gradient", "when new", "step")
    caption = "Gradient: its norm, with the kept weights and with new ones. Step: the mean length of the optimiser's "
    caption += "first steps, as a share of the weights; about 0.001 to 0.02 is usual."
    return join(table(columns, rows, right=columns[2:]), note(caption))


def _calibration(found: Mapping[str, Any]) -> Html:
    """How often answers are right, by how sure they are; on the diagonal it is as sure as it is right."""
    axes = plot.Axis("how sure it is", 0.0, 1.0), plot.Axis("share that is right", 0.0, 1.0)
    frame = plot.Frame(*axes, height=320.0, width=480.0)
    most = max(one["answers"] for one in found["bins"])
    marks = [plot.line([frame.at(0, 0), frame.at(1, 1)], "line thin")]
    marks += [
        plot.dot(
            frame.at(one["confidence"], one["right"]), radius=3 + 7 * (one["answers"] / most) ** 0.5, kind="dot leads"
        )
        for one in found["bins"]
    ]
    caption = (
        f"Validation rows: it gives itself {found['confidence']:.1%} on average, {found['right']:.1%} are right. The "
        f"expected calibration error is {found['ece']:.3f}; chance alone reaches {found['by_chance']:.3f}. The larger "
        "a point, the more answers."
    )
    return figure(frame.svg(marks, "share of right answers by how sure they are"), caption)
