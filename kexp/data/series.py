"""Series: `gather` brings recordings to one length, `from_table` reads tables with numbered columns.

A sample is (steps, channels) float32 as measured. `fit`, `filled` and `carried` are also what `kexp run` calls.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexp.data import columns
from kexp.data.dataset import Raw
from kexp.errors import DataError
from kexp.records import Experiment

COVERED = 0.95  # share of the recordings that are whole in the length chosen
LONGEST = 10_000  # steps, unless the user asks for more
FEWEST_STEPS = 4  # of numbered columns: x1, y1, x2, y2 may be two points
Array = NDArray[np.float32]


def fit(x: Array, steps: int) -> Array:
    """(n, channels) as (steps, channels): cut around the middle, or the last values repeated at the end."""
    start = max(0, (len(x) - steps) // 2)
    x = x[start : start + steps]
    return np.pad(x, ((0, steps - len(x)), (0, 0)), mode="edge")


def filled(x: NDArray[np.floating]) -> tuple[Array, int]:
    """(n, channels) with missing values (NaN) drawn straight between their neighbours, and how many there were.

    Raises ValueError for a channel without a value.
    """
    x = np.asarray(x, np.float64)
    missing = np.isnan(x)
    if missing.any():
        x = x.copy()
        at = np.arange(len(x))
        for c in np.flatnonzero(missing.any(axis=0)):
            gone = missing[:, c]
            if gone.all():
                raise ValueError(f"channel {c + 1} has no value")
            x[gone, c] = np.interp(at[gone], at[~gone], x[~gone, c])
    return x.astype(np.float32), int(missing.sum())


def carried(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, channels) with the value before where one is missing (NaN), which it stays where there is none before.

    For a forecast: a value drawn between neighbours would tell what comes next.
    """
    known = np.where(np.isnan(x), 0, np.arange(len(x))[:, None])
    return np.take_along_axis(x, np.maximum.accumulate(known, axis=0), axis=0)


def whole(x: NDArray[np.floating], name: str) -> tuple[Array, int]:
    """The recording `x` (n, channels) without gaps, and how many values were missing.

    Raises DataError, with `name`, for a channel without a value, and for an infinite one.
    """
    if np.isinf(x).any():
        step, channel = np.argwhere(np.isinf(x))[0]
        raise DataError(f"{name}: step {step + 1} of channel {channel + 1} is infinite. Correct or empty it.")
    try:
        return filled(x)
    except ValueError as error:
        raise DataError(f"{name}: {error}. Remove the recording.") from error


def gather(
    recordings: Sequence[NDArray[np.floating]], ids: Sequence[str], wanted: int | None
) -> tuple[Array, list[str]]:
    """Recordings (n, channels) of one width as (m, steps, channels), and what is said of it.

    Raises DataError, by the name in `ids`, for one of another width, and as `whole`.
    """
    width = recordings[0].shape[1]
    for one, name in zip(recordings, ids, strict=True):
        if one.shape[1] != width:
            raise DataError(f"{name} has {one.shape[1]} channels, {ids[0]} has {width}: the same number is expected.")
    found, missing = zip(*(whole(one, name) for one, name in zip(recordings, ids, strict=True)), strict=True)
    return of_one_length(found, wanted, sum(missing))


def of_one_length(recordings: Sequence[Array], wanted: int | None, missing: int) -> tuple[Array, list[str]]:
    """Whole recordings (n, channels) as (m, steps, channels), `wanted` of them or what most have, and what is said."""
    lengths = np.array([len(one) for one in recordings])
    steps = wanted or min(LONGEST, int(np.quantile(lengths, COVERED, method="higher")))
    notices = []
    if missing:
        notices.append(f"{missing:,} missing values were drawn straight between their neighbours.")
    longer, shorter = int((lengths > steps).sum()), int((lengths < steps).sum())
    if longer or shorter:
        notices.append(
            f"Recordings have {lengths.min():,} to {lengths.max():,} steps and are brought to {steps:,}: {longer:,} "
            f"are cut around their middle, {shorter:,} have their last values repeated. --steps N sets another number."
        )
    return np.stack([fit(one, steps) for one in recordings]), notices


# --- numbered columns ---------------------------------------------------------------------------


def numbered(names: Sequence[str], fewest: int = 2) -> dict[str, list[str]]:
    """Columns of each channel in the order of their numbers, where all `names` are like x0, y0, x1, y1; else empty.

    At least `fewest` channels, each with the same FEWEST_STEPS numbers or more: one alone may be any list of features.
    """
    found: dict[str, dict[int, str]] = defaultdict(dict)
    for name in names:
        match = re.fullmatch(r"(.*?)[_.\- ]?(\d+)", name.strip())
        if match is None or int(match[2]) in found[match[1]]:
            return {}
        found[match[1]][int(match[2])] = name
    counts = {tuple(sorted(channel)) for channel in found.values()}
    if len(counts) != 1 or len(found) < fewest:
        return {}
    steps = next(iter(counts))
    if len(steps) < FEWEST_STEPS or list(steps) != list(range(steps[0], steps[0] + len(steps))):
        return {}
    return {channel or "x": [steps_of[k] for k in steps] for channel, steps_of in found.items()}


def side_by_side(
    cells: Mapping[str, Sequence[str]], channels: Mapping[str, Sequence[str]], ids: Sequence[str]
) -> NDArray[np.float64]:
    """(n, steps, channels) of the columns `cells`, NaN where missing. Raises DataError for a cell that is no number."""
    x = np.empty((len(ids), len(next(iter(channels.values()))), len(channels)), np.float64)
    for c, names in enumerate(channels.values()):
        for step, name in enumerate(names):
            values = columns.readable(cells[name])
            if values is None:
                bad = next(row for row, cell in enumerate(cells[name]) if columns.number(cell) is None)
                raise DataError(
                    f"{ids[bad]}: {name} = {cells[name][bad]!r} is no number, and a step of a series is one. Leave out "
                    f"columns that are none, with --drop {name}."
                )
            x[:, step, c] = values
    return x


def from_table(raw: Raw, experiment: Experiment) -> Raw:
    """A table whose columns are the steps of series, as series. Raises DataError for a cell that is no number."""
    frame: Any = raw.x
    order = list(frame.columns)
    like_steps = [name for name in order if name[-1:].isdigit()]
    channels = numbered(order, fewest=1) or numbered(like_steps, fewest=1) or {"x": order}
    unused = [name for name in order if name not in {step for steps in channels.values() for step in steps}]
    if unused:
        raw.notices.append(f"Columns that are no steps of the series are left out: {', '.join(unused)}.")
    cells = {name: frame[name].tolist() for name in order}
    found, notices = gather(list(side_by_side(cells, channels, raw.ids)), raw.ids, experiment.steps)
    named = ", ".join(f"{channel} ({names[0]} to {names[-1]})" for channel, names in channels.items())
    notices.append(f'Columns are the steps of series: {named}. kind = "table" reads them as columns of a table.')
    raw.notices += notices
    return Raw(
        kind="series", x=found, y=raw.y, targets=raw.targets, parts=raw.parts, ids=raw.ids, groups=raw.groups,
        times=raw.times, channels=tuple(channels), notices=raw.notices,
    )  # fmt: skip


def names(count: int) -> tuple[str, ...]:
    """Of channels that have none."""
    return ("x",) if count == 1 else tuple(f"x{i + 1}" for i in range(count))
