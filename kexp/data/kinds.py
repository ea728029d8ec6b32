"""What kind of column the cells of a table are: number, boolean, category, date, or of no use as input.

A column that only names its rows (identifier, free text) teaches a network the training rows by heart, so it
is left out, and that is said.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kexp.data import columns
from kexp.errors import DataError
from kexp.records import ColumnKind

if TYPE_CHECKING:
    import pandas as pd

MOST = 100  # different texts of a category
READABLE = 0.95  # of the cells must be numbers, or dates, for the column to be one of them
IDENTIFIER = re.compile(r"(?i:(^|[_\s-])(id|index|idx|key|uuid|guid|no|nr|row)$)|[a-z](Id|ID|Index|Key|No)$")

Kinds = Mapping[str, tuple[ColumnKind, str]]  # of each column that is of use: its kind and its date format


def infer(
    frame: pd.DataFrame, ids: Sequence[str], known: Mapping[str, ColumnKind] = MappingProxyType({})
) -> tuple[Kinds, list[str]]:
    """Kind and date format of each column that is of use, and notices on the others and on cells left out.

    The kinds of columns that are `known` are as they are, unless they have no value at all.
    Cells of `frame` that are no number or date, in a column of them, are emptied in place.
    Raises DataError for an infinite number, and where no column is of use.
    """
    kinds: dict[str, tuple[ColumnKind, str]] = {}
    notices: list[str] = []
    for name in frame.columns:
        cells = frame[name].tolist()
        kind, detail = (known[name], "") if name in known and any(cells) else kind_of(name, cells)
        if kind is None:
            notices.append(f"Column {name!r} is left out: {detail}.")
            continue
        kinds[name] = (kind, detail)
        if kind in ("number", "date"):
            bad = _unreadable(name, cells, kind, detail, ids)
            if bad:
                frame[name] = ["" if row in bad else cell for row, cell in enumerate(cells)]
                row = min(bad)
                notices.append(
                    f"Column {name!r}: {_count(len(bad), 'cell')} that are no {kind} count as missing, "
                    f"such as {cells[row]!r} ({ids[row]})."
                )
    if not kinds:
        reasons = " ".join(notices) or "The target is the only column."
        raise DataError(f"No column is left as input. {reasons} Add columns that say something about the target.")
    return kinds, notices


def row_keys(frame: pd.DataFrame, kinds: Kinds) -> NDArray[np.int64]:
    """A number for each row, (n,), equal where the cells of the columns in `kinds` mean the same."""
    keys = np.zeros(len(frame), np.int64)
    for name, (kind, _) in kinds.items():
        words = frame[name].tolist()
        column: NDArray[np.generic] | None = columns.floats(words) if kind == "number" else None
        if column is None:
            meaning: dict[str, object] = {}
            for word in dict.fromkeys(words):
                value = columns.number(word) if kind == "number" else columns.text(word)
                meaning[word] = "" if columns.is_missing(word) else value
            position = {value: index for index, value in enumerate(dict.fromkeys(meaning.values()))}
            column = np.array([position[meaning[word]] for word in words], np.int64)
        codes = np.unique(column, return_inverse=True)[1]
        keys = np.unique(keys * len(words) + codes, return_inverse=True)[1].astype(np.int64)
    return keys


def numbers_rows(name: str, values: NDArray[np.float64]) -> bool:
    """Whether `values` (n,) only name the rows: they count from 0 or 1, or an identifier's name says so."""
    if len(values) < 3 or not np.isfinite(values).all() or (values != np.floor(values)).any():
        return False
    named = IDENTIFIER.search(name) is not None
    breaks = int((np.diff(values) != 1).sum())
    if len(np.unique(values)) == len(values):
        return named or (breaks == 0 and values[0] in (0, 1))
    return named and breaks < 3 and len(values) >= 20  # counted anew in each of up to three files


def kind_of(name: str, cells: list[str]) -> tuple[ColumnKind | None, str]:
    """The kind of a column and its date format, or None and the reason why it is of no use."""
    values = columns.floats(cells)
    if values is not None and len(np.unique(values[~np.isnan(values)])) > 2:
        return (None, "it numbers the rows (identifier)") if numbers_rows(name, values) else ("number", "")
    counts = columns.count(cells)
    total, rows = counts.total(), len(cells)
    if not counts:
        return None, "all its cells are missing"
    if len(counts) == 1 and total == rows:
        return None, f"it is {next(iter(counts))!r} in every row"
    if columns.pair(list(counts)):
        return "boolean", ""
    if sum(count for word, count in counts.items() if columns.number(word) is not None) >= READABLE * total:
        return "number", ""
    format = columns.date_format(counts, READABLE)
    if format is not None:
        return "date", format
    distinct = len(counts)
    if distinct == total and total > 2:
        return None, "every text in it is different (identifier or free text)"
    if distinct <= min(MOST, max(20, 0.05 * rows)):
        return "category", ""
    frequent = sum(count for _, count in counts.most_common(columns.MAX_CHOICES))
    if frequent >= 0.5 * rows and distinct <= 0.5 * total:
        return "category", ""
    comma = sum(count for word, count in counts.items() if re.fullmatch(r"[+-]?[\d.]*\d,\d+", word))
    hint = "; its numbers have a comma where a point is expected" if comma > 0.5 * total else ""
    return None, f"{distinct:,} different texts in {total:,} cells (free text or identifier){hint}"


def _unreadable(name: str, cells: list[str], kind: ColumnKind, format: str, ids: Sequence[str]) -> set[int]:
    """Rows whose cell is no number, or no date. Raises DataError for an infinite one."""
    values = columns.floats(cells) if kind == "number" else None
    if values is not None and not (np.abs(values) > columns.LARGEST).any():
        return set()
    read = {
        cell: columns.number(cell) if kind == "number" else columns.date(cell, format) for cell in dict.fromkeys(cells)
    }
    if any(value is not None and abs(value) > columns.LARGEST for value in read.values()):
        row = next(row for row, cell in enumerate(cells) if abs(read[cell] or 0.0) > columns.LARGEST)
        raise DataError(
            f"{ids[row]}: {name} = {cells[row]}, a finite number is expected. Correct the cell or empty it."
        )
    return {row for row, cell in enumerate(cells) if read[cell] is None}


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
