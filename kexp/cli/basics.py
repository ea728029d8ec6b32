"""What the commands share: types of their options, options that several have, and how they answer."""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import os
import sys
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from kexp.errors import nearest
from kexp.quantities import parse_duration, parse_size
from kexp.records import Goal, Kind, to_json
from kexp.wording import typed

if TYPE_CHECKING:
    from rich.console import RenderableType

F = TypeVar("F", bound=Callable[..., Any])


class Row(click.ParamType):  # type: ignore[type-arg]  # generic only in newer versions
    """The name of a row of a table, looked up only when given; "module:function" too, if `own`."""

    name = "name"

    def __init__(self, module: str, table: str, *, own: bool = False) -> None:
        self.module, self.table, self.own = module, table, own

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name as it is; wrong usage, with the nearest name, if there is no such row."""
        with work():
            rows = getattr(importlib.import_module(self.module), self.table)
        if value not in rows and not (self.own and ":" in value):
            self.fail(f"{value!r} is not known.{nearest(value, rows)}", param, ctx)
        return str(value)


class Parsed(click.ParamType):  # type: ignore[type-arg]
    """Text that `parse` understands or refuses with a ValueError."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name, self.parse = name, parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """What `parse` makes of it."""
        try:
            return self.parse(value)
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)


home_option = click.option(
    "--home",
    envvar="KEXP_HOME",
    default=".",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where runs/ and exported/ lie. Default: KEXP_HOME, or the current folder.",
)
json_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="One JSON document as the last line of stdout, all else to stderr.",
)
target_option = click.option("--target", multiple=True, metavar="COLUMN", help="What to predict; may be repeated.")
task_option = click.option("--task", type=click.Choice(typing.get_args(Goal)), help="Otherwise told from the target.")
clusters_option = click.option(
    "--clusters", type=click.IntRange(2), metavar="N", help="For --task clustering: so many. Otherwise found out."
)
split_option = click.option("--split-column", metavar="COLUMN", help="It says train, validation or test for each row.")
group_option = click.option("--group-column", metavar="COLUMN", help="Rows of one group stay in one part.")
time_option = click.option("--time-column", metavar="COLUMN", help="The oldest rows train, the newest test.")
drop_option = click.option(
    "--drop", multiple=True, metavar="COLUMN", help="A column that is no input; may be repeated."
)
kind_option = click.option(
    "--kind", type=click.Choice(typing.get_args(Kind)), help="Where a file may be read in two ways."
)
size_option = click.option(
    "--size", type=Parsed("size", parse_size), help="Height x width of pictures and clips, such as 48x64."
)
length_option = click.option(
    "--length", type=Parsed("duration", parse_duration), help="That sounds are brought to: 1s, 250ms."
)
rate_option = click.option("--rate", type=click.IntRange(1), metavar="HZ", help="That sounds are brought to.")
frames_option = click.option("--frames", type=click.IntRange(1), metavar="N", help="Of a clip.")
steps_option = click.option(
    "--steps", type=click.IntRange(2), metavar="N", help="Of a series; a long table is cut into windows."
)
stride_option = click.option("--stride", type=click.IntRange(1), metavar="N", help="From one window to the next.")
horizon_option = click.option("--horizon", type=click.IntRange(1), metavar="N", help="Forecast so many next values.")


def _together(*options: Callable[[F], F]) -> Callable[[F], F]:
    """One decorator for several options, listed in this order."""
    return lambda command: functools.reduce(lambda made, option: option(made), reversed(options), command)


question_options = _together(target_option, task_option, clusters_option)
sample_options = _together(
    kind_option, size_option, length_option, rate_option, frames_option, steps_option, stride_option, horizon_option
)
column_options = _together(split_option, group_option, time_option, drop_option)


def examples(*lines: str) -> str:
    """The end of a command's help."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


@contextlib.contextmanager
def work() -> Iterator[None]:
    """While this lasts stdout is silent: what Python prints goes to stderr, what native code prints nowhere.

    TensorFlow and LiteRT announce themselves at any log level. TF_CPP_MIN_LOG_LEVEL=0 lets all through.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    # Left open: loggers that are made meanwhile keep it, and may speak when Python ends.
    voice = open(os.dup(2), "w", buffering=1, encoding="utf-8", errors="backslashreplace")  # noqa: PTH123, SIM115
    nowhere = os.open(os.devnull, os.O_WRONLY)
    native = 2 if os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3") < "3" else nowhere
    os.dup2(native, 1)
    os.dup2(native, 2)
    try:
        with contextlib.redirect_stdout(voice), contextlib.redirect_stderr(voice):
            yield
    finally:
        voice.flush()
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)
        for descriptor in (*kept, nowhere):
            os.close(descriptor)


def notice(text: str) -> None:
    """Say on stderr what is good to know."""
    from kexp import screen

    screen.show(screen.dim(text), stderr=True)


def answer(as_json: bool, document: Any, *tables: RenderableType) -> None:
    """Print the document as one line of JSON, or else the tables."""
    if as_json:
        click.echo(json.dumps(to_json(document), ensure_ascii=False, allow_nan=False, default=os.fspath))
    else:
        from kexp import screen

        screen.show(*tables)


def at_home(command: str) -> str:
    """`command`, the next to type, with the --home that was typed: without it the run is looked for elsewhere."""
    context = click.get_current_context()
    if context.get_parameter_source("home") is not ParameterSource.COMMANDLINE:
        return command
    return f"{command} --home {typed(context.params['home'])}"
