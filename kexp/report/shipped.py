"""What a report says of the export and of phones, and how all of it came to be."""

from __future__ import annotations

import html
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from kexp import experiment
from kexp.benchmark import device
from kexp.experiment import BUNDLED
from kexp.report import markup
from kexp.report.markup import Cell, Html, code, details, join, mark, note, pairs, paragraph
from kexp.report.material import Material
from kexp.wording import number, size

PACKAGES = ("tensorflow", "keras", "numpy", "scikit-learn", "ai-edge-litert")


def gate(material: Material) -> Html:
    """Every exported file, and what it was held to."""
    found = material.export
    if found is None:
        why = "was exported before its present model was chosen" if "export" in material.stale else "is not exported"
        return note(f"This run {why}. ", code(f"kexp export {material.name} --tflite"), " adds this.")
    by = {(format, what): check for check in found["checks"] for format, _, what in [check["name"].partition(" ")]}
    kinds = [what for what in dict.fromkeys(what for _, what in by) if what != "bytes"]
    common = [what for what in kinds if 2 * sum((a["format"], what) in by for a in found["artifacts"]) > 1]
    rows: list[tuple[object, ...]] = []
    for artifact in found["artifacts"]:
        own = {what: check for (format, what), check in by.items() if format == artifact["format"]}
        cells = [_held(own[what]) if what in own else "" for what in common]
        ok = all(check["ok"] for check in own.values())
        rows.append((mark(ok), artifact["path"], Cell(size(artifact["bytes"]), "right nowrap"), *cells))
    bad = [check for check in found["checks"] if not check["ok"]]
    parts = [
        paragraph(
            f"{len(found['checks'])} checks on validation rows, ",
            "all passed." if not bad else f"{len(bad)} failed: what fails is not kept.",
        ),
        markup.table(["", "file", "size", *common], rows, right=("size",)),
    ]
    if bad:
        lines = [(mark(False), one["name"], number(one["value"]), number(one["limit"]), one["advice"]) for one in bad]
        parts.append(markup.table(["", "failed check", "value", "limit", "advice"], lines))
    parts.append(
        note("Each value stands above its limit. Gap: the largest difference from the Keras model, of probabilities or "
             "in standard deviations of the target. Drop: of the metric; below zero the file is better.")
    )  # fmt: skip
    return join(*parts)


def _held(check: dict[str, Any]) -> Cell:
    """A value, and below it its limit."""
    value, limit = check["value"], check["limit"]
    shown = _number(value)
    if limit is None or value == limit:
        return Cell(shown, "" if check["ok"] else "bad")
    kind = "nowrap" if check["ok"] else "bad nowrap"
    return Cell(join(shown, Html('<br><span class="muted">at most '), _number(limit), Html("</span>")), kind)


def _number(value: object) -> str:
    """Gaps and drops have few telling digits."""
    if isinstance(value, float):
        return "0" if value == 0 else f"{value:.2g}"
    return number(value)


def phones(material: Material) -> Html | None:
    """What phones measured."""
    found = material.board["devices"]
    if not found:
        if material.export is None:
            return None
        return note("No phone has measured these files yet: ", code(f"kexp phone {material.name}"), " shows it an "
                    "address, and what it measures stands here then.")  # fmt: skip
    rows = []
    for told in found:
        times = {one["artifact"]: one for one in told["measurements"]}
        for artifact in told["sha256"]:
            one = times.get(artifact)
            own = [check["ok"] for check in told["checks"] if check["name"].split()[0] == artifact]
            spent = (f"{one['p50_ms']:.3g}", f"{one['p95_ms']:.3g}", one["runtime"]) if one else ("-", "-", "-")
            when = told["when"][:16].replace("T", " ")
            rows.append((told["device"], artifact, *spent, mark(all(own)) if own else "-", Cell(when, "nowrap")))
    columns = ["device", "file", "p50 ms", "p95 ms", "runtime", "golden", "when"]
    return join(
        markup.table(columns, rows, right=("p50 ms", "p95 ms")),
        note("One sample at a time. Golden: whether the phone gives the answers that the files gave here."),
    )


def origin(material: Material) -> Html:
    """Where this was made, with what, and how to make it again."""
    question = material.experiment
    found: dict[str, object] = {
        "kexp": _version("kexp"),
        "Python": platform.python_version(),
        **{package: _version(package) for package in PACKAGES},
        "system": platform.platform(terse=True),
        "processor": device(),
        "search begun": _moment(material.created),
        "search ended": _moment(material.finished) if material.finished else "not yet",
        "report written": _moment(datetime.now(UTC).isoformat()),
        "data": question.data,
        "data fingerprint": material.dataset.fingerprint[:16] or "-",
        "seed": question.seed,
    }
    toml = experiment.dump(question, f"kexp search {question.name}.toml")
    budget = (
        "The same seed searches the same trials."
        if question.seconds is None
        else "Its budget is in time: a faster machine gets further, so the trials need not be the same."
    )
    where = "" if question.data.startswith(BUNDLED) else " The path of the data is seen from the folder of that file."
    commands = [
        f"kexp search {question.name}.toml", f"kexp evaluate {question.name}",
        f"kexp export {question.name} --tflite", f"kexp report {question.name}",
    ]  # fmt: skip
    return join(
        pairs(found),
        note("Versions and processor are those of this report; a search may have run elsewhere."),
        markup.heading("To make it again"),
        paragraph(f"Save the experiment as {question.name}.toml.{where} {budget}"),
        Html(f"<pre>{html.escape(chr(10).join(commands))}</pre>"),
        details(f"The experiment, {question.name}.toml", Html(f"<pre>{html.escape(toml)}</pre>")),
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "-"


def _moment(iso: str) -> str:
    return f"{iso[:16].replace('T', ' ')} UTC"
