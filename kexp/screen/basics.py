"""What every table is made of: where it is printed, its columns, its words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text


def console(*, stderr: bool = False) -> Console:
    """Where to print; nothing in the text is interpreted."""
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False)


def show(*things: RenderableType, stderr: bool = False) -> None:
    """Print `things`, one below the other."""
    screen = console(stderr=stderr)
    for thing in things:
        screen.print(thing)


def dim(text: str) -> Text:
    """What is good to know."""
    return Text(text, style="dim")


def warning(text: str) -> Text:
    """What should be looked at."""
    return Text(text, style="yellow")


def following(command: str, why: str = "") -> Text:
    """The next command to type."""
    return Text.assemble(("next  ", "dim"), command, (f"   {why}" if why else "", "dim"))


def plain_table(*columns: str, right: Sequence[str] = (), fold: Sequence[str] = ()) -> Table:
    """A table without lines; only the columns in `fold` may break a cell into several lines."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns:
        side: Literal["left", "right"] = "right" if name in right else "left"
        table.add_column(name, justify=side, overflow="fold", no_wrap=name not in fold)
    return table


def tick(ok: bool) -> Text:
    """Whether it passed."""
    return Text("✓", style="green") if ok else Text("✗", style="bold red")
