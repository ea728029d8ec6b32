"""Tables: CSV, TSV and Parquet files as text cells, and the rows, targets and parts that an experiment means.

Cells stay text here, so that what a person wrote can be named in a message, and so that training and a row
of the phone go through the same code in columns.py.
"""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kexp.data import columns, targets
from kexp.data.dataset import PART_NAMES, PARTS, Raw
from kexp.errors import DataError, nearest
from kexp.records import Experiment, Part

SUFFIXES = (".csv", ".tsv", ".parquet")
DELIMITERS = (",", ";", "\t", "|")


@dataclass(frozen=True)
class File:
    """The cells of one file, column by column, and the line on which each row ends."""

    path: Path
    columns: dict[str, list[str]]
    lines: Sequence[int]


def find(path: Path) -> dict[Part | Literal["all"], Path]:
    """The files of a table by what they are, "all" where there is one; empty where there are none.

    `path` is a file, with its siblings if it is named train.*, or a folder with train.* or with one table and
    no folders. Raises DataError for a folder with several tables and no folders.
    """
    if path.is_file():
        if path.suffix.lower() not in SUFFIXES:
            return {}
        if PART_NAMES.get(path.stem.lower()) != "train":
            return {"all": path}
        found = _named_by_part(path.parent, (path.suffix.lower(),))
        return {**found, "train": path} if "test" in found else {"all": path}
    if not path.is_dir():
        return {}
    found = _named_by_part(path, SUFFIXES)
    if "train" in found:
        return found
    if any(entry.is_dir() and not entry.name.startswith(".") for entry in path.iterdir()):
        return {}
    files = [file for file in sorted(path.iterdir()) if file.suffix.lower() in SUFFIXES]
    if len(files) > 1:
        names = ", ".join(file.name for file in files[:5]) + (" ..." if files[5:] else "")
        raise DataError(f"{path} holds {len(files)} tables: {names}. Name one of them, or call them train and test.")
    return {"all": files[0]} if files else {}


def read(path: Path, experiment: Experiment) -> Raw:
    """The rows of the table at `path`, their targets as text cells, their parts, groups and times.

    Raises DataError for a file that cannot be read, and for a column that the experiment names and it lacks.
    """
    import pandas as pd

    files = find(path)
    tables = {role: read_file(file) for role, file in files.items()}
    first = tables.get("train") or tables["all"]
    notices = []
    if len(files) > 1:
        named = ", ".join(f"{file.name} ({role})" for role, file in files.items())
        notices.append(f"The data bring their own parts: {named}.")
    elif path.is_dir():
        notices.append(f"Read {first.path.name}, the one table in {path}.")
    special = [name for name in (experiment.split_column, experiment.group_column, experiment.time_column) if name]
    for name in (*experiment.target, *experiment.drop, *special):
        if name not in first.columns:
            raise DataError(f"{first.path} has no column {name!r}.{nearest(name, first.columns)}")
    chosen = experiment.target
    if not chosen and experiment.task != "clustering":
        no_target = {*experiment.drop, *special}
        name, why = targets.guess({n: cells for n, cells in first.columns.items() if n not in no_target})
        chosen = (name,)
        notices.append(why)
    inputs = [n for n in first.columns if n not in {*chosen, *experiment.drop, *special}]
    wanted = [*inputs, *chosen, *special]
    kept = {role: table for role, table in tables.items() if _fits(table, first, wanted, chosen, notices)}
    cells = {name: [cell for table in kept.values() for cell in table.columns[name]] for name in wanted}
    ids = [f"{table.path.name} row {line}" for table in kept.values() for line in table.lines]
    parts = None
    if len(kept) > 1:
        # without a validation file, training rows are undecided: some of them validate
        undecided = len(kept) < len(PARTS)
        code = {role: -1 if undecided and role == "train" else PARTS[role] for role in kept if role != "all"}
        parts = np.concatenate(
            [np.full(len(table.lines), code[role], np.int8) for role, table in kept.items() if role != "all"]
        )
    if experiment.split_column:
        parts = _parts(cells[experiment.split_column], experiment.split_column, ids)
    times = None
    if experiment.time_column:
        times = _times(cells[experiment.time_column], experiment.time_column, ids)
        notices.append(f"Rows are in the order of {experiment.time_column!r}: the oldest train, the newest test.")
    return Raw(
        kind="table",
        x=pd.DataFrame({name: cells[name] for name in inputs}, index=range(len(ids)), dtype=object),
        y=np.array([cells[name] for name in chosen], dtype=object).reshape(len(chosen), len(ids)).T,
        targets=chosen,
        parts=parts,
        ids=ids,
        groups=np.array(cells[experiment.group_column]) if experiment.group_column else None,
        times=times,
        notices=notices,
    )


def read_file(path: Path, *, headless: bool = False) -> File:
    """The cells of one CSV, TSV or Parquet file as text; one that may be `headless` has numbered columns then.

    Raises DataError for an empty file, bytes that are not UTF-8, a row with more or fewer cells than the
    header, a header that is missing or names a column twice, and a file without rows.
    """
    if path.suffix.lower() == ".parquet":
        return _read_parquet(path)
    data = path.read_bytes()
    if (at := data.find(b"\0")) >= 0:
        line = data.count(b"\n", 0, at) + 1
        raise DataError(f"{path} line {line} holds a NUL byte (byte {at}): text is expected. Save it as UTF-8 text.")
    try:
        content = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path} line {line}: byte {error.start} ({data[error.start]:#04x}) is not UTF-8. "
            "Save the file as UTF-8 (in a spreadsheet: CSV UTF-8)."
        ) from error
    if not content.strip():
        raise DataError(f"{path} is empty: a header line and rows are expected.")
    delimiter = delimiter_of(content, path)
    rows: list[list[str]] = []
    lines: list[int] = []
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter)
    try:
        header = [name.strip() for name in next(row for row in reader if row)]
        if headless and _is_row(header):
            rows.append(header)
            lines.append(reader.line_num)
            header = [f"x{index + 1}" for index in range(len(header))]
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise DataError(
                    f"{path} line {reader.line_num}: {len(row)} cells, the header has {len(header)} "
                    f"(separated by {delimiter!r}). Correct the line; quote cells that hold the separator."
                )
            rows.append(row)
            lines.append(reader.line_num)
    except csv.Error as error:
        raise DataError(f"{path} line {reader.line_num}: {error}. Correct the line.") from error
    _check_header(path, header)
    if not rows:
        raise DataError(f"{path} has a header and no rows. Add rows.")
    header = [name or f"column_{index + 1}" for index, name in enumerate(header)]
    return File(path, dict(zip(header, map(list, zip(*rows, strict=True)), strict=True)), lines)


def width(path: Path) -> int:
    """How many columns the file at `path` seems to have, from its first line alone."""
    if path.suffix.lower() == ".parquet":
        return len(_read_parquet(path).columns)
    with path.open("rb") as stream:
        content = stream.read(1 << 16).decode("utf-8-sig", errors="replace")
    try:
        rows = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter_of(content, path))
        return len(next((row for row in rows if row), []))
    except csv.Error:  # `read_file` says what is wrong
        return 0


def delimiter_of(content: str, path: Path) -> str:
    """The separator that gives most of the first lines the width of the header, and the widest such."""
    best, score = "\t" if path.suffix.lower() == ".tsv" else ",", (0.0, 1)
    for delimiter in DELIMITERS:
        reader = csv.reader(io.StringIO(content[: 1 << 20], newline=""), delimiter=delimiter)
        try:
            widths = [len(row) for row in islice(reader, 50) if row]
        except csv.Error:
            continue
        if widths and widths[0] > 1:
            agree = sum(width == widths[0] for width in widths) / len(widths)
            if (agree >= 0.5, widths[0]) > score:
                best, score = delimiter, (agree >= 0.5, widths[0])
    return best


def _check_header(path: Path, header: list[str]) -> None:
    twice = [name for name, count in Counter(header).items() if count > 1 and name]
    if _all_numbers(header) and header not in _counts(len(header)):
        raise DataError(f"{path} line 1 holds numbers only: {', '.join(header[:5])}. Put the column names there.")
    if twice:
        raise DataError(f"{path} line 1 names the column {twice[0]!r} twice. Give every column its own name.")


def _is_row(cells: Sequence[str]) -> bool:
    """Whether the first line of a file without words is a row of values: 0, 1, 2 are names, as pandas writes them."""
    if len(cells) > 1 and cells in _counts(len(cells)):
        return False
    numbers = [columns.number(cell) for cell in cells]
    return None not in numbers and not all(map(columns.is_missing, cells))


def _counts(width: int) -> tuple[list[str], list[str]]:
    return [str(i) for i in range(width)], [str(i + 1) for i in range(width)]


def _all_numbers(cells: Sequence[str]) -> bool:
    numbers = [columns.number(cell) for cell in cells]
    return all(value is not None and not math.isnan(value) for value in numbers)


def _read_parquet(path: Path) -> File:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path} is no Parquet file that can be read: {error}. Write it anew, or as CSV.") from error
    if not table.num_rows or not table.num_columns:
        raise DataError(f"{path} has no rows or no columns. Add rows.")
    _check_header(path, [str(name) for name in table.column_names])
    cells = {
        str(name): [columns.text(value) for value in column.to_pylist()]
        for name, column in zip(table.column_names, table.columns, strict=True)
        if not str(name).startswith("__index_level_")  # the row numbers of pandas
    }
    return File(path, cells, range(1, table.num_rows + 1))


def _named_by_part(folder: Path, suffixes: Sequence[str]) -> dict[Part | Literal["all"], Path]:
    found: dict[Part, Path] = {}
    for file in sorted(folder.iterdir()):
        if file.is_file() and file.suffix.lower() in suffixes and file.stem.lower() in PART_NAMES:
            found.setdefault(PART_NAMES[file.stem.lower()], file)
    return {role: found[role] for role in PARTS if role in found}


def _fits(table: File, first: File, wanted: Sequence[str], chosen: Sequence[str], notices: list[str]) -> bool:
    """Whether a file has the columns of the first. A test file without targets, as on Kaggle, is left out."""
    for name in wanted:
        if name not in table.columns:
            if name in chosen:
                notices.append(f"{table.path.name} has no column {name!r}, the target: the file is not used.")
                return False
            raise DataError(
                f"{table.path} has no column {name!r}, but {first.path.name} has."
                f"{nearest(name, table.columns)} Give both files the same columns."
            )
    return True


def _parts(cells: Sequence[str], name: str, ids: Sequence[str]) -> NDArray[np.int8]:
    codes = {word: PARTS[part] for word, part in PART_NAMES.items()}
    parts = np.full(len(cells), -1, np.int8)
    for row, cell in enumerate(cells):
        if not columns.is_missing(cell):
            word = columns.text(cell).lower()
            if word not in codes:
                raise DataError(f"{ids[row]}: {name} = {cell!r}, one of train, validation and test is expected.")
            parts[row] = codes[word]
    return parts


def _times(cells: Sequence[str], name: str, ids: Sequence[str]) -> NDArray[np.float64]:
    counts = columns.count(cells)
    numbers = all(columns.number(word) is not None for word in counts)
    format = None if numbers else columns.date_format(counts, share=0.5)
    read = {
        cell: columns.number(cell) if format is None else columns.date(cell, format) for cell in dict.fromkeys(cells)
    }
    times = np.full(len(cells), math.nan)
    for row, cell in enumerate(cells):
        value = read[cell]
        if value is None or not math.isfinite(value):
            raise DataError(f"{ids[row]}: {name} = {cell!r}, a date or number is expected. Correct the cell.")
        times[row] = value
    return times
