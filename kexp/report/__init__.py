"""The report: all that is known of a run, as one HTML file that opens anywhere, offline, and loads nothing.

    gather -> Material -> a section each -> page

A section is a function from the material to markup, or None where there is nothing to say. Behind each chart stand two
functions: `data` makes plain numbers of records and arrays, `draw` makes SVG of these, so that tests look at numbers.
Test rows are shown from what `evaluate` kept, and are never predicted on.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from kexp.report import diagnosed, markup, network, page, searched, shipped, studied, summary, tested
from kexp.report.inside import Inside, open_model
from kexp.report.markup import Html
from kexp.report.material import Material, gather
from kexp.store import RunStore

Progress = Callable[[int, int, str], None]  # how many of how many are done, what comes next

BEFORE: dict[str, Callable[[Material], Html | None]] = {
    "Test rows": tested.figures,
    "Where it errs": tested.errors,
    "Worst examples": tested.worst,
    "Steadiness": tested.steadiness,
    "Clusters": searched.clusters,
    "Leaderboard": searched.leaderboard,
    "Search history": searched.search_history,
    "Learning curves": searched.learning_curves,
    "Score against size": searched.trade,
    "What mattered": searched.hyperparameters,
    "What is enough": studied.study,
    "What ails it": diagnosed.diagnosis,
}
INSIDE: dict[str, Callable[[Material, Inside], Html | None]] = {
    "First filters": network.first_filters,
    "What answers hang on": network.attention,
    "Units": network.units,
}
AFTER: dict[str, Callable[[Material], Html | None]] = {
    "Exported files": shipped.gate,
    "On phones": shipped.phones,
    "How it was made": shipped.origin,
}


class Report(NamedTuple):
    """The page, the titles of its sections, and sentences (without markup) on what would make it say more."""

    html: str
    sections: list[str]
    missing: list[str]


def report(
    run: RunStore, board: dict[str, Any], exported: Path, progress: Progress = lambda done, total, text: None
) -> Report:
    """All about `run`; `board` is its leaderboard.document, `exported` the folder of its export, there or not.

    Raises RunError where there is no model yet, ExportError where a module that the model needs is not there.
    """
    material = gather(run, board, exported)
    total = len(BEFORE) + len(INSIDE) + len(AFTER)
    found: dict[str, Html | None] = {}
    for title, make in BEFORE.items():
        progress(len(found), total, title)
        found[title] = make(material)
    progress(len(found), total, "opening the network")
    inside = open_model(material.model, material.experiment)
    for title, look in INSIDE.items():
        progress(len(found), total, title)
        found[title] = look(material, inside)
    for title, make in AFTER.items():
        progress(len(found), total, title)
        found[title] = make(material)
    progress(total, total, "")
    sections = {title: section for title, section in found.items() if section}
    html = page.page(material.name, summary.head(material), sections)
    return Report(html, list(sections), [markup.plain(one) for one in searched.missing(material)])
