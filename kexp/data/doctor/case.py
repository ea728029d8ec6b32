"""What the checks look at, `Case`, and how they say what they found."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexp.data import columns, kinds
from kexp.data.dataset import PARTS, Dataset, Raw
from kexp.records import ColumnKind, Experiment, Finding, Kind, Severity

SHOWN = 5  # files or rows that a finding names; the rest is counted
Progress = Callable[[int, int, str], None]


def silent(done: int, total: int, text: str) -> None:
    """A progress that nobody sees."""


@dataclass(frozen=True, slots=True)
class TextColumn:
    """A column as the user wrote it: its cells, these as numbers where all are, and the kind of column, None: no input.

    `detail` is a date's format, or why the column is no input.
    """

    name: str
    cells: list[str]
    numbers: NDArray[np.float64] | None
    kind: ColumnKind | None
    detail: str


@dataclass(kw_only=True)
class Case:
    """The data as far as they could be read.

    `raw` is None where no reader accepts them, `dataset` where they cannot be split and encoded.
    """

    path: Path
    question: Experiment
    kind: Kind
    raw: Raw | None = None
    dataset: Dataset | None = None
    cache: Path | None = None
    progress: Progress = silent
    files: list[Path] = field(default_factory=list)  # that hold a sample each, damaged ones too

    def name(self, file: Path) -> str:
        """A file as a person names it: relative to the data."""
        root = self.path if self.path.is_dir() else self.path.parent
        return str(file.relative_to(root)) if file.is_relative_to(root) else str(file)

    @cached_property
    def keys(self) -> NDArray[Any]:
        """A number for each row of `dataset`, (n,), equal where the inputs are."""
        if self.dataset is None:
            return np.empty(0, np.int64)
        if self.dataset.raw is not None and self.kind == "table":
            useful = {column.name: (column.kind, column.format) for column in self.dataset.spec.columns}
            return kinds.row_keys(self.dataset.raw, useful)
        rows = (hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in self.dataset.x)
        return np.frombuffer(b"".join(rows), np.uint64)

    @cached_property
    def columns(self) -> list[TextColumn]:
        """The input columns of a table; none of other kinds."""
        if self.raw is None or isinstance(self.raw.x, np.ndarray):
            return []
        spec = {} if self.dataset is None else {column.name: column for column in self.dataset.spec.columns}
        found = []
        for name in map(str, self.raw.x.columns):
            cells = self.raw.x[name].tolist()
            used = spec.get(name)
            kind, detail = (used.kind, used.format) if used is not None else kinds.kind_of(name, cells)
            found.append(TextColumn(name, cells, columns.floats(cells), kind, detail))
        return found

    @cached_property
    def classes(self) -> NDArray[np.int64] | None:
        """The class of each row of `dataset`, (n,), sets of labels as one; None where numbers are predicted."""
        if self.dataset is None or self.dataset.spec.task == "regression":
            return None
        if self.dataset.y.ndim == 1:
            return self.dataset.y.astype(np.int64)
        return np.unique(self.dataset.y, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)

    def label(self, row: int) -> str:
        """What row `row` of `dataset` is said to be."""
        if self.dataset is None:
            return ""
        spec, y = self.dataset.spec, self.dataset.y[row]
        if y.ndim == 0:
            return spec.labels[int(y)]
        if spec.task == "multilabel":
            return " + ".join(name for name, on in zip(spec.labels, y, strict=True) if on) or "none"
        return ", ".join(f"{value:g}" for value in y)

    @property
    def own_parts(self) -> NDArray[np.int8] | None:
        """The part of each row of `dataset`, (n,), where the data say which rows test or validate; else None.

        Rows of which they do not say are training rows: kexp takes validation rows from these, and keeps twins in one
        part.
        """
        if self.raw is None or self.raw.parts is None or self.dataset is None:
            return None
        given = set(np.unique(self.raw.parts).tolist())
        if not given & {PARTS["validation"], PARTS["test"]}:
            return None
        return np.where(self.raw.parts < 0, PARTS["train"], self.raw.parts).astype(np.int8)


def finding(
    name: str,
    severity: Severity,
    what: str,
    where: Sequence[object] = (),
    advice: str = "",
    count: int | None = None,
) -> Finding:
    """A Finding that names the first of `where`, of which there are `count`, otherwise as many as given."""
    shown = tuple(str(one) for one in where[:SHOWN])
    return Finding(
        name=name,
        severity=severity,
        what=what,
        where=shown,
        count=len(where) if count is None else count,
        advice=advice,
    )


def counted(count: int, noun: str, plural: str = "") -> str:
    """1 row, 2,000 rows."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def listed(names: Sequence[str], most: int = 6) -> str:
    """The first `most` names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
