"""Recordings: folders of CSV files, one for each series, a row for each step and a column for each channel."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kexp.data import columns, series
from kexp.data.class_folders import check_classes, part_codes, scan
from kexp.data.dataset import Raw
from kexp.data.tables import read_file
from kexp.errors import DataError
from kexp.records import Experiment

EXTENSIONS = frozenset({".csv", ".tsv"})
TIMES = re.compile(r"(?i:t|time|timestamp|seconds?|millis(econds)?|ms|s|date|index|step|sample|frame)?")


def read(path: Path, experiment: Experiment) -> Raw:
    """One CSV for each recording in a folder for each class, optionally inside train/, val/ and test/.

    A row is a step, a column a channel; a column of times, which only rises, is left out. Raises DataError for what
    `class_folders` refuses, and names file and line of what is no number.
    """
    rows, notices = scan(path, EXTENSIONS, noun="recording")
    check_classes(path, rows, noun="recording")
    names = [str(row.name) for row in rows]
    found = [recording(path / name) for name in names]
    header = found[0][0]
    for (columns_of, _), name in zip(found, names, strict=True):
        if columns_of != header:
            raise DataError(
                f"{path / name} has the columns {', '.join(columns_of)}; {names[0]} has {', '.join(header)}: the same "
                "are expected in every recording."
            )
    timed = [c for c, name in enumerate(header) if _is_time(name) and all(_rises(x[:, c]) for _, x in found)]
    kept = [c for c in range(len(header)) if c not in timed]
    if not kept:
        raise DataError(
            f"{path / names[0]} has no column of values beside times. A column for each channel is expected."
        )
    if timed:
        notices.append(f"The column {', '.join(header[c] for c in timed)} only tells the time and is left out.")
    x, told = series.gather([values[:, kept] for _, values in found], names, experiment.steps)
    return Raw(
        kind="series", x=x, y=np.array([row.label for row in rows]), targets=("class",),
        parts=part_codes([row.part for row in rows]), ids=names,
        files=[str((path / name).absolute()) for name in names],
        labels=tuple(sorted({row.label for row in rows})), channels=tuple(header[c] for c in kept),
        rate=_rate([values[:, timed[0]] for _, values in found]) if timed else 0.0, notices=notices + told,
    )  # fmt: skip


def recording(path: Path) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Column names, and values (n, columns), NaN where missing, of a CSV. Raises DataError, naming file and line."""
    table = read_file(path, headless=True)
    values = np.empty((len(table.lines), len(table.columns)), np.float64)
    for c, (name, cells) in enumerate(table.columns.items()):
        for row, cell in enumerate(cells):
            value = float("nan") if columns.is_missing(cell) else columns.number(cell)
            if value is None:
                raise DataError(
                    f"{path} line {table.lines[row]}: {name} = {cell!r} is no number; one is expected in every cell."
                )
            values[row, c] = value
    return tuple(table.columns), values


def _is_time(name: str) -> bool:
    return TIMES.fullmatch(name) is not None


def _rises(values: NDArray[np.float64]) -> bool:
    return len(values) > 1 and bool((np.diff(values) > 0).all())


def _rate(times: Sequence[NDArray[np.float64]]) -> float:
    """Steps a second where the times are plausibly seconds or milliseconds; 0 otherwise."""
    step = float(np.median([np.median(np.diff(one)) for one in times]))
    if 1e-5 < step < 0.9:
        return 1.0 / step
    return 1000.0 / step if 1 < step < 900 else 0.0
