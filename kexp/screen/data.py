"""Data: what was found in them, and what the doctor says of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from kexp.records import Finding
from kexp.screen.basics import dim

SEVERITIES = {"error": ("✗", "bold red"), "warning": ("!", "bold yellow"), "note": ("·", "dim")}


def facts(lines: Iterable[tuple[str, str]], notices: Iterable[str] = ()) -> Group:
    """What was found in the data: label and finding, then notices."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold", ratio=1)
    for label, finding in lines:
        table.add_row(label, finding)
    return Group(table, *map(dim, notices))


def findings(found: Sequence[Finding], of: str) -> Group:
    """What the doctor found in the data `of`: what, where, what to do."""
    counts = {severity: sum(one.severity == severity for one in found) for severity in SEVERITIES}
    told = ", ".join(f"{count} {name}{'s' if count > 1 else ''}" for name, count in counts.items() if count)
    title = Text.assemble((of, "bold"), (f"  {told or 'nothing found'}", "dim"))
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold", ratio=1)
    for one in found:
        mark, style = SEVERITIES[one.severity]
        table.add_row(Text(mark, style), Text(one.what, "bold" if one.severity == "error" else ""))
        where = list(one.where) + [f"{one.count - len(one.where):,} more"] * (one.count > len(one.where))
        table.add_row("", dim(f"{one.name}" + (f": {'; '.join(where)}" if where else "")))
        if one.advice:
            table.add_row("", Text(f"→ {one.advice}"))
    return Group(title, table) if found else Group(title)


def brief(found: Sequence[Finding], command: str) -> list[Text]:
    """The errors and warnings of the doctor, one line each, and the command that says more."""
    grave = [one for one in found if one.severity != "note"]
    lines = [Text.assemble((*SEVERITIES[one.severity],), " ", one.what) for one in grave]
    notes = len(found) - len(grave)
    if grave or notes:
        also = f"{notes} note{'s' if notes > 1 else ''}" if notes else ""
        more = f"{': ' if not grave else ', '}{also}{' too' if grave else ''}" if also else ""
        lines.append(dim(f"{command} says more{more}"))
    return lines
