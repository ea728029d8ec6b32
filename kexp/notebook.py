"""What a notebook shows of a run: its best trials, as HTML that fits a phone too."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from kexp.wording import clock, number, refusal, short_name, size, telling, values

SHOWN = 10  # trials
STYLE = """<style>
.kexp-run { max-width: 60rem; overflow-x: auto; line-height: 1.4 }
.kexp-run table { border-collapse: collapse; font-variant-numeric: tabular-nums }
.kexp-run th, .kexp-run td { padding: .15rem .45rem; text-align: right; vertical-align: top; white-space: nowrap }
.kexp-run tr { background: none }
.kexp-run tbody tr { border-top: 1px solid #8884 }
.kexp-run .text { text-align: left }
.kexp-run .long { text-align: left; max-width: 20rem; overflow: hidden; text-overflow: ellipsis }
.kexp-run p { margin: .4rem 0 }
</style>"""


def html(document: Mapping[str, Any]) -> str:
    """The run of `leaderboard.document`: its name, its best trials with what differs between them, and what is best.

    Their metric, bytes and milliseconds are also of the files that the search made of trials, where it made any.
    """
    trials = [trial for trial in document["trials"] if trial["status"] != "infeasible"]
    shown = trials[:SHOWN]
    differ = telling(shown)
    columns: dict[str, tuple[str, list[str]]] = {  # title -> class, cells
        "": ("text", ["★" if trial["id"] == document["best"] else "" for trial in shown]),
        "trial": ("", [str(trial["id"]) for trial in shown]),
        document["objective"]: ("", [number(trial["score"]) for trial in shown]),
    }
    file = next((short_name(trial["variant"]) for trial in shown if trial["shipped"]), "")
    if file:  # that is what ranks
        metric = document["objective"]
        columns[file] = ("", [number(trial["shipped"][metric]) if trial["shipped"] else "" for trial in shown])
    columns["weights"] = ("", [number(trial["parameters"]) for trial in shown])
    if any(trial["bytes"] is not None for trial in shown):
        columns["size"] = ("", ["" if trial["bytes"] is None else size(trial["bytes"]) for trial in shown])
    if any(trial["latency_ms"] is not None for trial in shown):
        columns["ms"] = ("", ["" if (ms := trial["latency_ms"]) is None else f"{ms:.3g}" for trial in shown])
    columns["time"] = ("", [clock(trial["seconds"]) for trial in shown])
    columns["factory"] = ("text", [trial["factory"] for trial in shown])
    columns["values"] = ("long", [_values(trial, differ) for trial in shown])
    best = "none yet" if document["best"] is None else document["best"]
    winner = next((f"<p>{escape(values(t['values']))}</p>" for t in trials if t["id"] == document["best"]), "")
    more = f"<p>{len(trials)} trials; the first {SHOWN} are shown.</p>" if len(trials) > SHOWN else ""
    reason = "".join(f"<p>{escape(document[told])}</p>" for told in ("reason", "turned") if document.get(told))
    title = f"<p><b>{escape(document['run'])}</b>, best trial: {best}</p>"
    return f'{STYLE}<div class="kexp-run">{title}{_table(columns)}{more}{winner}{reason}</div>'


def _values(trial: Mapping[str, Any], differ: list[str]) -> str:
    again = trial["stage"] != "explore"
    told = f"as trial {trial['parent']}, again" if again else values(trial["values"], differ)
    if trial["refused"]:
        told = f"{refusal(trial['refused'], bool(trial['shipped']))}; {told}"
    return told if trial["status"] == "completed" else f"{trial['status']}: {trial['message'] or told}"


def _cell(kind: str, text: str) -> str:
    whole = f' title="{escape(text)}"' if kind == "long" else ""  # of which the table shows the beginning
    return f'<td class="{kind}"{whole}>{escape(text)}</td>'


def _table(columns: Mapping[str, tuple[str, list[str]]]) -> str:
    head = "".join(f'<th class="{kind}">{escape(title)}</th>' for title, (kind, _) in columns.items())
    lines = zip(*([_cell(kind, cell) for cell in cells] for kind, cells in columns.values()), strict=True)
    rows = "".join(f"<tr>{''.join(line)}</tr>" for line in lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
