"""What every table is made of: where it is printed, its columns, its words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

GAP = 2  # between columns
WORD = 5  # letters that a column which may break has room for, at least


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


class _Table(Table):
    """Where the screen is too narrow for it, words are broken before a digit is cut off: 98 for 986 would be a lie."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        def wide(column: Column) -> int:
            cells = [column.header, *column.cells]
            return max(Measurement.get(console, options, cell).maximum for cell in cells) + GAP

        def room(stiff: Sequence[Column]) -> int:
            taken = sum(map(wide, stiff)) - GAP
            return options.max_width - taken - WORD * (len(self.columns) - len(stiff))

        stiff = [column for column in self.columns if column.no_wrap and column.ratio is None]
        numbers = [column for column in stiff if column.justify == "right"]
        if room(stiff) < 0 <= room(numbers):
            for column in stiff:
                column.no_wrap = column in numbers
        return super().__rich_console__(console, options)


def plain_table(*columns: str, right: Sequence[str] = (), fold: Sequence[str] = ()) -> Table:
    """A table without lines; the columns in `fold` may break a cell into several lines.

    Where they do not make it narrow enough, all but those in `right` may. A number that has no room even then ends in
    an ellipsis.
    """
    table = _Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for name in columns:
        side: Literal["left", "right"] = "right" if name in right else "left"
        table.add_column(
            name, justify=side, overflow="ellipsis" if side == "right" else "fold", no_wrap=name not in fold
        )
    return table


def tick(ok: bool) -> Text:
    """Whether it passed."""
    return Text("✓", style="green") if ok else Text("✗", style="bold red")
