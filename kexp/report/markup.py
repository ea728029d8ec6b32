"""The few pieces of HTML that the report is made of. Text goes in as it is, and is escaped here."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from kexp.wording import number


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


class Cell(NamedTuple):
    """A cell of a table that is more than its text."""

    content: str  # escaped, unless it is Html
    kind: str = ""  # classes of the cell


def text(value: object) -> Html:
    """`value` as markup: escaped, and set apart, so that a label that is written from right to left disturbs none."""
    if isinstance(value, Html):
        return value
    plain = value if isinstance(value, str) else number(value)
    escaped = html.escape(plain)
    return Html(escaped if plain.isascii() else f"<bdi>{escaped}</bdi>")


def join(*parts: object) -> Html:
    """All of `parts` in a row, each as `text` has it."""
    return Html("".join(text(part) for part in parts))


def paragraph(*parts: object, kind: str = "") -> Html:
    """A paragraph. `kind` are its classes."""
    return Html(f"<p{_kind(kind)}>{join(*parts)}</p>")


def note(*parts: object) -> Html:
    """What is good to know, small."""
    return paragraph(*parts, kind="note")


def code(command: str) -> Html:
    """A command, or a name, as it is typed."""
    return Html(f"<code>{html.escape(command)}</code>")


def heading(title: str) -> Html:
    """A heading inside a section."""
    return Html(f"<h3>{text(title)}</h3>")


def table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = (),
    ids: Sequence[str] = (), marked: int | None = None,
) -> Html:  # fmt: skip
    """A table in a box of its own, which scrolls where the page is narrower.

    Numbers are written as on the screen; columns in `right` stand to the right; `ids` are of the rows, for links;
    the row `marked` (from 0) stands out.
    """
    sides = [' class="right"' if name in right else "" for name in columns]
    head = "".join(f"<th{side}>{text(name)}</th>" for name, side in zip(columns, sides, strict=True))
    lines = []
    for at, row in enumerate(rows):
        cells = "".join(_cell(value, side) for value, side in zip(row, sides, strict=True))
        id = f' id="{html.escape(ids[at])}"' if ids else ""
        lines.append(f"<tr{id}{_kind('marked' if at == marked else '')}>{cells}</tr>")
    body = "\n".join(lines)
    kind = _kind("wide" if len(columns) > 3 else "")
    inside = f"<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody>"
    return Html(f'<div class="scroll" tabindex="0"><table{kind}>{inside}</table></div>')


def _cell(value: object, side: str) -> str:
    if isinstance(value, Cell):
        return f"<td{_kind(value.kind)}>{text(value.content)}</td>"
    return f"<td{side}>{text(value)}</td>"


def pairs(found: Mapping[str, object]) -> Html:
    """Names and what stands behind them."""
    # A long name breaks behind its underscores, if it must.
    rows = [(text(name).replace("_", "_<wbr>"), text(value)) for name, value in found.items()]
    lines = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in rows)
    return Html(f'<dl class="pairs">{lines}</dl>')


def mark(ok: bool) -> Cell:
    """Whether something is as it should be, in a sign and a word for who does not see it."""
    sign, word = ("✓", "passed") if ok else ("✗", "failed")
    return Cell(Html(f'<span role="img" aria-label="{word}">{sign}</span>'), "good" if ok else "bad")


def figure(content: str, caption: str = "", *, told: bool = False, kind: str = "") -> Html:
    """A picture with what it shows; `told` leaves a line in which the point under the finger says what it is."""
    below = f"<figcaption>{text(caption)}</figcaption>" if caption else ""
    line = '<p class="told" aria-live="polite" hidden></p>' if told else ""
    return Html(f"<figure{_kind(kind)}>{content}{line}{below}</figure>")


def details(summary: str, content: str) -> Html:
    """What is folded away until it is asked for."""
    return Html(f"<details><summary>{text(summary)}</summary>{content}</details>")


def plain(markup: str) -> str:
    """The text of `markup`, without it."""
    return html.unescape(re.sub(r"<[^>]*>", "", markup))


def anchor(title: str) -> str:
    """The id of the section `title`."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def plural(count: int, noun: str, nouns: str = "") -> str:
    """1 trial, 2 trials, 1,200 trials."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


def _kind(kind: str) -> str:
    return f' class="{html.escape(kind)}"' if kind else ""
