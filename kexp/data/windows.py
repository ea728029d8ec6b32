"""Windows: one long table, a row for each step, cut into series that are classified or measured.

No window lies across two groups, and no row is in windows of two parts.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexp.data import columns, kinds, series, targets
from kexp.data.dataset import Raw
from kexp.errors import DataError
from kexp.records import Experiment, Goal

BLOCK = 10  # windows' lengths of one stretch: what a part gets at least, where nothing else cuts the rows
Array = NDArray[np.float64]


def cut(raw: Raw, experiment: Experiment) -> Raw:
    """Windows of `experiment.steps` rows of the table `raw`, each with the class that most of its rows have.

    Of numbers it is their mean. `experiment.stride` rows lie between the beginnings of two windows, half a window
    unless it says otherwise. Rows of a group need not lie together; they are in the order of their times, if they have
    any. Groups are those of the data; without any, stretches of one label, cut into blocks of BLOCK windows' length.
    Raises DataError for an input that is infinite, and where no window fits.
    """
    steps = experiment.steps or 0
    stride = experiment.stride or max(1, steps // 2)
    raw = _in_order(raw)
    values, names = numbers(raw)
    if experiment.task == "clustering":  # classes, if there are any, are what clusters are compared with
        task: Goal = "multiclass" if raw.targets else "clustering"
    else:
        task = experiment.task or targets.suggested(raw.y, raw.targets)
    if task == "multilabel":
        raise DataError(
            f"Windows of several labels ({', '.join(raw.targets)}) are not made. Name one target, or set the task."
        )
    classes = task in ("binary", "multiclass")
    n = len(raw.ids)
    edges = np.zeros(n, np.bool_)  # rows before which a group or part ends
    for cells in (raw.groups, raw.parts):
        if cells is not None:
            edges[1:] |= cells[1:] != cells[:-1]
    values = _filled(raw, values, names, [0, *np.flatnonzero(edges).tolist(), n])
    labels = raw.y[:, 0].astype(str) if raw.targets else np.full(n, "")
    if raw.groups is None and classes:
        edges[1:] |= labels[1:] != labels[:-1]
    found: list[tuple[int, int]] = []  # first row, and stretch, of each window
    stretch = unused = 0
    bounds = [0, *np.flatnonzero(edges).tolist(), n]
    for start, end in itertools.pairwise(bounds):
        whole = end - start if raw.groups is not None else BLOCK * steps
        unused += end - start if end - start < steps else 0
        for block in range(start, end, whole):
            stretch += 1
            found += [(at, stretch) for at in range(block, min(block + whole, end) - steps + 1, stride)]
    if not found:
        raise DataError(
            f"No window of {steps} rows fits: the longest stretch of one group, part or label has "
            f"{max(np.diff(bounds))} rows. Set a smaller number with --steps."
        )
    starts = np.array([start for start, _ in found])
    notices = [f"{n:,} rows were cut into {len(starts):,} windows of {steps}, one every {stride}."]
    if unused:
        notices.append(f"{unused:,} rows are in stretches shorter than a window and are not used.")
    return Raw(
        kind="series",
        x=np.stack([values[start : start + steps] for start in starts]).astype(np.float32),
        y=_most(labels, starts, steps) if classes else _means(raw, starts, steps),
        targets=raw.targets,
        parts=None if raw.parts is None else raw.parts[starts],
        ids=[f"{raw.ids[start]} to {raw.ids[start + steps - 1].rsplit(' ', 1)[-1]}" for start in starts],
        groups=raw.groups[starts] if raw.groups is not None else np.array([block for _, block in found]),
        times=None if raw.times is None else raw.times[starts],
        channels=names,
        notices=[*raw.notices, *notices],
    )


def _in_order(raw: Raw) -> Raw:
    """The rows group by group, as the groups first come, and in the order of their times, if they have any."""
    if raw.times is None and raw.groups is None:
        return raw
    n = len(raw.ids)
    code: NDArray[Any] = np.zeros(n, np.int64)
    if raw.groups is not None:
        _, first, code = np.unique(raw.groups, return_index=True, return_inverse=True)
        code = first[code]
    order = np.lexsort((np.arange(n) if raw.times is None else raw.times, code))
    return raw.take(order)


def _most(labels: NDArray[np.str_], starts: NDArray[np.int64], steps: int) -> NDArray[np.str_]:
    """What most rows of each window have."""
    words, code = np.unique(labels, return_inverse=True)
    return words[[np.bincount(code[start : start + steps]).argmax() for start in starts]]


def _means(raw: Raw, starts: NDArray[np.int64], steps: int) -> Array:
    """(n, targets): the mean of each window's known values, NaN where it has none."""
    found = np.full((len(starts), len(raw.targets)), np.nan)
    for k, name in enumerate(raw.targets):
        cells = raw.y[:, k].tolist()
        values = columns.readable(cells)
        if values is None or np.isinf(values).any():
            bad = [columns.number(cell) for cell in cells]
            row = next(i for i, value in enumerate(bad) if value is None or np.isinf(value))
            raise DataError(f"{raw.ids[row]}: the target {name} = {cells[row]!r}, a finite number is expected.")
        for i, start in enumerate(starts):
            window = values[start : start + steps]
            if not np.isnan(window).all():
                found[i, k] = np.nanmean(window)
    return found


def _filled(raw: Raw, values: Array, names: Sequence[str], bounds: Sequence[int]) -> Array:
    """`values` without gaps, which are filled from the rows of the same group and part alone. Adds a notice."""
    found, total = values.copy(), 0
    for start, end in itertools.pairwise(bounds):
        gone = np.isnan(values[start:end])
        if gone.any():
            for c in np.flatnonzero(gone.all(axis=0)).tolist():
                raise DataError(
                    f"{raw.ids[start]} to {raw.ids[end - 1]}: {names[c]} has no value in any of these rows. Remove "
                    f"them, or leave the column out with --drop {names[c]}."
                )
            found[start:end] = series.filled(values[start:end])[0]
            total += int(gone.sum())
    if total:
        raw.notices.append(f"{total:,} missing values were drawn straight between their neighbours.")
    return found


def numbers(raw: Raw, keep: Sequence[str] = ()) -> tuple[Array, tuple[str, ...]]:
    """The numbers of the input columns, (n, channels), NaN where missing, and the names of these columns.

    What holds text, numbers the rows or has no value is left out, which a notice says, but for the columns `keep`.
    Raises DataError, with the row, for an infinite value, and where no column is left.
    """
    frame: Any = raw.x
    found, kept = [], []
    for name in frame.columns:
        values = columns.readable(frame[name].tolist())
        reason = ""
        if values is None:
            reason = "it holds text, and a channel of a series is a number"
        elif np.isnan(values).all():
            reason = "all its cells are missing"
        elif kinds.numbers_rows(name, values) and name not in keep:
            reason = "it numbers the rows (identifier)"
        if reason or values is None:
            raw.notices.append(f"Column {name!r} is left out: {reason}.")
            continue
        if np.isinf(values).any():
            row = int(np.flatnonzero(np.isinf(values))[0])
            raise DataError(f"{raw.ids[row]}: {name} is infinite, a finite number is expected. Correct or empty it.")
        kept.append(name)
        found.append(values)
    if not found:
        raise DataError(f"No column of numbers is left. A series has a number for each step. {' '.join(raw.notices)}")
    return np.stack(found, axis=1), tuple(kept)
