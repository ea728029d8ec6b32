"""Recordings: CSV files, one for each series, a row for each step and a column for each channel."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kexp.data import columns, series
from kexp.data.tables import read_file
from kexp.errors import DataError
from kexp.records import Experiment

if TYPE_CHECKING:
    from kexp.data.media import Loaded, Medium

EXTENSIONS = frozenset({".csv", ".tsv"})
TIME = re.compile(r"(?i:t|time|timestamps?|date|datetime|column_1|unnamed: 0)")  # the last two: an index without a name
SECONDS = re.compile(r"(?i:s|sec|secs|seconds?)|(?i:time|t)[ _]?[\[(]?(?i:s|sec|seconds)[\])]?")
MILLISECONDS = re.compile(r"(?i:ms|millis(econds)?)|(?i:time|t)[ _]?[\[(]?(?i:ms|millis(econds)?)[\])]?")
PLACES = re.compile(r"(?i:index|idx|step|sample|frame|row)s?")
DAY = 86_400  # seconds
Array = NDArray[np.float64]
Progress = Callable[[int, int], None]


class Recording(NamedTuple):
    """One file: names of its columns, their values (n, columns), NaN where missing, and which of them held dates.

    Dates are seconds since 1970.
    """

    names: tuple[str, ...]
    values: Array
    dates: frozenset[str] = frozenset()


def medium() -> Medium:
    """What a recording is to the readers of folders and lists."""
    from kexp.data.media import Medium

    return Medium(kind="series", extensions=EXTENSIONS, load=_load, bare=False, called="recording")


def recording(path: Path, wanted: Collection[str] = ()) -> tuple[tuple[str, ...], Array]:
    """Column names, and values (n, columns), NaN where missing, of a CSV: of `wanted` alone, where it has all of them.

    Raises DataError, naming file and line, for a cell that is no number, or no date in a column of times.
    """
    return read(path, wanted)[:2]


def read(path: Path, wanted: Collection[str] = ()) -> Recording:
    """As `recording`, with the names of the columns that held dates."""
    table = read_file(path, headless=True)
    names = [name for name in table.columns if name in wanted]
    names = names if wanted and len(names) == len(wanted) else list(table.columns)
    values = np.empty((len(table.lines), len(names)), np.float64)
    dates = set()
    for c, name in enumerate(names):
        cells = table.columns[name]
        found = columns.readable(cells)
        if found is None and is_time(name):
            found = _seconds(cells)
            dates.add(name)
        if found is None:
            row = next(i for i, cell in enumerate(cells) if columns.number(cell) is None)
            raise DataError(
                f"{path} line {table.lines[row]}: {name} = {cells[row]!r} is no number; one is expected in every cell."
            )
        values[:, c] = found
    return Recording(tuple(names), values, frozenset(dates))


def is_time(name: str) -> bool:
    """Whether a column with this name may only tell when, or in which place, a step is."""
    return any(pattern.fullmatch(name.strip()) for pattern in (TIME, SECONDS, MILLISECONDS, PLACES))


def _seconds(cells: Sequence[str]) -> Array | None:
    format = columns.date_format(columns.count(cells), share=1.0)
    if format is None:
        return None
    days = {cell: columns.date(cell, format) for cell in dict.fromkeys(cells)}
    return np.array([days[cell] for cell in cells], np.float64) * DAY


def _load(
    files: Sequence[Path], names: Sequence[str], experiment: Experiment, cache: Path, progress: Progress | None
) -> Loaded:
    """The recordings in `files`; a column of times, which only rises, is left out."""
    from kexp.data.cache import refuse_damaged
    from kexp.data.media import Loaded

    found: dict[int, Recording] = {}
    damaged: dict[int, str] = {}
    for place, file in enumerate(files):
        try:
            found[place] = read(file)
        except DataError as error:
            damaged[place] = str(error)
        if progress is not None:
            progress(place + 1, len(files))
    refuse_damaged(list(damaged.values()), len(files), "recording")
    if not found:
        raise DataError(next(iter(damaged.values())))
    usual = Counter(one.names for one in found.values()).most_common(1)[0][0]
    for place, one in list(found.items()):
        if sorted(one.names) != sorted(usual):
            del found[place]
            damaged[place] = (
                f"{files[place]} has the columns {_named(one.names)}; most recordings have {_named(usual)}: the same "
                "are expected in every one."
            )
        elif one.names != usual:
            found[place] = one._replace(names=usual, values=one.values[:, [one.names.index(name) for name in usual]])
    dated = frozenset(name for one in found.values() for name in one.dates)
    values = [one.values for one in found.values()]
    timed = [c for c, name in enumerate(usual) if is_time(name) and all(rises(one[:, c]) for one in values)]
    kept = [c for c, name in enumerate(usual) if c not in timed and name not in dated]
    if not kept:
        raise DataError(f"{files[0]} has no column of values beside times. A column for each channel is expected.")
    notices = []
    if len(kept) < len(usual):
        left_out = _named([name for c, name in enumerate(usual) if c not in kept])
        notices.append(f"The column {left_out} only tells the time and is left out.")
    whole, missing = {}, 0
    for place, one in found.items():
        try:
            whole[place], gone = series.whole(one.values[:, kept], str(files[place]))
            missing += gone
        except DataError as error:
            damaged[place] = str(error)
    refuse_damaged(list(damaged.values()), len(files), "recording")
    x, told = series.of_one_length(list(whole.values()), experiment.steps, missing)
    times = [found[place].values[:, timed[0]] for place in whole] if timed else []
    return Loaded(
        x=x,
        damaged=dict(sorted(damaged.items())),
        rate=_rate(usual[timed[0]], times, usual[timed[0]] in dated) if timed else 0.0,
        notices=notices + told,
        channels=tuple(usual[c] for c in kept),
    )


def rises(values: Array) -> bool:
    """Whether each of `values` (n,) is larger than the one before."""
    return len(values) > 1 and bool((np.diff(values) > 0).all())


def _rate(name: str, times: Sequence[Array], dates: bool) -> float:
    """Steps a second, by the name of the column of times, or if they may well be seconds or milliseconds; else 0."""
    step = float(np.median([np.median(np.diff(one)) for one in times]))
    if dates or SECONDS.fullmatch(name.strip()):
        return 1.0 / step
    if MILLISECONDS.fullmatch(name.strip()):
        return 1000.0 / step
    if not re.fullmatch(r"(?i:t|time|timestamps?)", name.strip()):
        return 0.0
    if 1e-5 < step < 0.9:
        return 1.0 / step
    return 1000.0 / step if 1 < step < 900 else 0.0


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (" ..." if len(names) > 12 else "")
