"""Horizons: a long table as windows and what follows them, which is foretold.

Nothing that a window holds was known later than its last row, and no training window ends in what validates.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexp.data import columns, series, tables, windows
from kexp.data.dataset import PARTS, Raw
from kexp.data.split import ordered
from kexp.errors import DataError, ExperimentError
from kexp.forecasts import naive
from kexp.records import Experiment

USUAL_STEPS = 24  # that a forecast looks back on at least, where there are rows enough
MOST_STEPS = 128
MOST_WINDOWS = 200_000  # further ones begin later than the row behind
FEWEST = 10  # windows of a series
SAME = 0.05  # share of the rows that may have the moment of another: a clock that is put back
STRADDLES = -2  # the part of windows whose next values lie in two
Array = NDArray[np.float64]


def is_plain(cells: dict[str, list[str]]) -> bool:
    """Whether the columns of a table are dates and numbers, one of each: a series to be continued."""
    if len(cells) != 2:
        return False
    dates = [name for name in cells if columns.date_format(columns.count(cells[name])) is not None]
    return len(dates) == 1 and all(columns.readable(cells[name]) is not None for name in cells if name not in dates)


def read(path: Path, experiment: Experiment) -> Raw:
    """The table at `path` as windows and what follows them.

    The time is the experiment's column, or the first of dates; the targets are the experiment's, or the last column of
    numbers. Raises DataError where there is no number to foretell, and as `forecasts`.
    """
    if experiment.task not in (None, "regression"):
        raise ExperimentError(f'task = "{experiment.task}": a forecast (horizon) is a regression. Remove one of them.')
    table = tables.read_file(next(iter(tables.find(path).values())))
    time = experiment.time_column or next(
        (name for name, cells in table.columns.items() if columns.date_format(columns.count(cells)) is not None), ""
    )
    special = {time, experiment.group_column, experiment.split_column, *experiment.drop}
    inputs = {name: columns.readable(cells) for name, cells in table.columns.items() if name not in special}
    of_numbers = [name for name, values in inputs.items() if values is not None and not np.isnan(values).all()]
    chosen = experiment.target or tuple(of_numbers[-1:])
    if not chosen:
        raise DataError(f"{table.path} has no column of numbers: there is nothing to foretell.")
    raw = tables.read(path, dataclasses.replace(experiment, target=chosen, time_column=time))
    frame: Any = raw.x.copy()
    for k, name in enumerate(chosen):  # what is foretold is also what is looked back on
        cells = raw.y[:, k].tolist()
        if columns.readable(cells) is None:
            row = next(i for i, cell in enumerate(cells) if columns.number(cell) is None)
            raise DataError(f"{raw.ids[row]}: {name} = {cells[row]!r} is no number, and only numbers are foretold.")
        frame[name] = cells
    frame = frame[[name for name in table.columns if name in frame.columns]]
    notices = [one for one in raw.notices if "order of" not in one]
    if not experiment.target and len(of_numbers) > 1:
        notices.append(f"What is foretold is guessed: {chosen[0]!r}, the last column of numbers. --target NAME says.")
    raw = dataclasses.replace(raw, x=frame, notices=notices)
    return forecasts(raw, experiment, targets=chosen, times=raw.times)


def forecasts(raw: Raw, experiment: Experiment, *, targets: Sequence[str], times: NDArray[Any] | None) -> Raw:
    """Windows of the numbers of `raw`, and the `experiment.horizon` next values of `targets` as what to foretell.

    Rows are in the order of `times`, or as they come; the oldest train, the newest test, unless the data say which do.
    Each group is a series. The network looks back on `experiment.steps` rows: two seasons, USUAL_STEPS at least,
    MOST_STEPS at most. A missing value is the one before; where it is to be foretold there is no window. Raises
    DataError for an infinite cell, for too few rows, and where many rows have the same moment.
    """
    horizon = experiment.horizon or 1
    raw = _sorted(raw, times)
    moments: NDArray[Any] = raw.times  # type: ignore[assignment]
    values, names = windows.numbers(raw, keep=targets)
    forecast = tuple(names.index(name) for name in targets)
    bounds = _bounds(raw.groups, len(values))
    notices = _distances(raw, bounds) if times is not None else []
    whole = values.copy()
    for start, end in bounds:
        whole[start:end] = series.carried(values[start:end])
    missing = int(np.isnan(values).sum())
    if missing:
        notices.append(f"{missing:,} missing values were taken from the row before; none of them is foretold.")
    lengths = sorted(end - start for start, end in bounds)
    usual = lengths[len(lengths) // 2]
    steps, season = _look_back(experiment, whole[:, forecast[0]], raw.parts, bounds, usual)
    long = [(start, end) for start, end in bounds if end - start >= steps + horizon + FEWEST]
    if not long:
        raise DataError(
            f"{lengths[-1]} rows are too few to look back on {steps} and foretell {horizon}: {steps + horizon + FEWEST}"
            " are expected. Add rows, or set fewer with --steps and --horizon."
        )
    if len(long) < len(bounds):
        notices.append(
            f"{len(bounds) - len(long):,} of {len(bounds):,} series are left out: they have fewer than "
            f"{steps + horizon + FEWEST} rows."
        )
    stride = experiment.stride or max(1, math.ceil(sum(end - start for start, end in long) / MOST_WINDOWS))
    starts = np.concatenate([np.arange(start, end - steps - horizon + 1, stride) for start, end in long])
    after = starts[:, None] + steps + np.arange(horizon)
    y = values[after][:, :, forecast].transpose(0, 2, 1).reshape(len(starts), -1)
    known = ~np.isnan(y).any(axis=1) & ~np.isnan(whole[starts]).any(axis=1)  # carried: later rows then have values too
    starts, after, y = starts[known], after[known], y[known]
    if not len(starts):
        raise DataError("No window has known values behind it: too many values are missing. Fill them in.")
    part = _parts(None if raw.parts is None else raw.parts[after], moments[after], experiment)
    kept = np.flatnonzero(part >= 0)
    starts, part, y = starts[kept], part[kept], y[kept]
    x = whole.astype(np.float32)[starts[:, None] + np.arange(steps)]
    found = sorted((_rmse(x, y, part, horizon, one, forecast), one) for one in {1, season})
    told = " or ".join(f"{_ago(one)} (RMSE {rmse:.4g} on training rows)" for rmse, one in found)
    spaces = f"the next {horizon} values" if horizon > 1 else "the next value"
    notices += [
        f"A forecast of {spaces} of {', '.join(targets)} from the last {steps} rows: --horizon and --steps set others.",
        f"The naive forecast is the value {told}; the network learns how far it is off.",
        "The data say themselves which rows train." if raw.parts is not None
        else "Rows are in the order of time: the oldest train, the newest test.",
    ]  # fmt: skip
    if stride > 1:
        notices.append(f"One window begins every {stride} rows: --stride N sets another number.")
    return Raw(
        kind="series",
        x=x,
        y=y,
        targets=tuple(f"{name} +{step + 1}" for name in targets for step in range(horizon)),
        parts=part,
        ids=[f"after {raw.ids[start + steps - 1]}" for start in starts.tolist()],
        channels=names,
        notices=[*raw.notices, *notices],
        horizon=horizon,
        seasons=tuple(one for _, one in found),
        forecast=forecast,
    )


def _sorted(raw: Raw, times: NDArray[Any] | None) -> Raw:
    """Rows group by group in the order of `times`, or as they come: then a moment is the place in the group."""
    n = len(raw.ids)
    code = np.zeros(n, np.int64) if raw.groups is None else np.unique(raw.groups, return_inverse=True)[1]
    order = np.lexsort((np.arange(n) if times is None else times, code))
    places = np.concatenate([np.arange(count) for count in np.bincount(code)])
    moments = places if times is None else times[order]
    return dataclasses.replace(raw.take(order), groups=code[order], times=moments, notices=list(raw.notices))


def _bounds(groups: NDArray[Any] | None, n: int) -> list[tuple[int, int]]:
    """First row of each series, and the one behind its last."""
    changes = [] if groups is None else (np.flatnonzero(groups[1:] != groups[:-1]) + 1).tolist()
    return list(itertools.pairwise([0, *changes, n]))


def _distances(raw: Raw, bounds: Sequence[tuple[int, int]]) -> list[str]:
    """What is said of moments that are there twice, and of gaps. Raises DataError for many of the former."""
    times: NDArray[Any] = raw.times  # type: ignore[assignment]
    steps = np.concatenate([np.diff(times[start:end]) for start, end in bounds])
    twice = np.flatnonzero(steps == 0)
    if len(twice) > SAME * len(times):
        row = next(i for start, end in bounds for i in range(start + 1, end) if times[i] == times[i - 1])
        raise DataError(
            f"{len(twice):,} of {len(times):,} rows have the same moment as another, such as {raw.ids[row - 1]} and "
            f"{raw.ids[row]}: one value for each moment is expected. Are they of several series? Name the column that "
            "tells them apart with --group-column."
        )
    if not len(steps):
        return []
    notices = []
    later = np.concatenate([np.arange(start + 1, end) for start, end in bounds])  # the row that a step leads to
    if len(twice):
        row = later[twice[0]]
        there = "1 moment is" if len(twice) == 1 else f"{len(twice):,} moments are"
        notices.append(
            f"{there} there twice, such as {raw.ids[row - 1]} and {raw.ids[row]}: each row is a step of its own."
        )
    usual = float(np.median(steps))
    gaps = int((steps > 1.5 * usual).sum())
    if gaps and usual > 0:
        row = later[steps.argmax()]
        notices.append(
            f"{gaps:,} {'row is' if gaps == 1 else 'rows are'} further behind the row before than usual, up to "
            f"{steps.max() / usual:.3g} times ({raw.ids[row]}): a step is a row, however long it takes."
        )
    return notices


def _look_back(
    experiment: Experiment, values: Array, parts: NDArray[np.int8] | None, bounds: Sequence[tuple[int, int]], usual: int
) -> tuple[int, int]:
    """How many rows to look back on, and the season, of the training rows of the longest series."""
    start, end = max(bounds, key=lambda one: one[1] - one[0])
    longest = values[start:end]
    if parts is not None:
        longest = longest[parts[start:end] <= PARTS["train"]]
    else:
        longest = longest[: int((1 - experiment.validation - experiment.test) * len(longest))]
    season = _season(longest[~np.isnan(longest)], experiment.steps or MOST_STEPS)
    steps = experiment.steps or min(MOST_STEPS, max(USUAL_STEPS, 2 * season), max(2, usual // 5))
    return steps, season if season <= steps else 1


def _parts(given: NDArray[np.int8] | None, moments: NDArray[Any], experiment: Experiment) -> NDArray[np.int8]:
    """The part of each window, (n,), below 0 where its next values, at `moments` (n, horizon), lie in two."""
    first, last = moments[:, 0], moments[:, -1]
    if given is None:
        return ordered(first, last, validation=experiment.validation, test=experiment.test)
    part = np.where((given == given[:, :1]).all(axis=1), given[:, 0], STRADDLES).astype(np.int8)
    there = {int(value) for value in np.unique(part)}
    others = {PARTS["validation"], PARTS["test"]}
    if others <= there:
        part[part == -1] = PARTS["train"]
    else:
        part[part == PARTS["train"]] = -1
    open_ = np.flatnonzero(part == -1)
    if len(open_):
        shares = {
            name: 0.0 if PARTS[name] in there else share  # type: ignore[index]
            for name, share in (("validation", experiment.validation), ("test", experiment.test))
        }
        part[open_] = ordered(first[open_], last[open_], **shares)
    return part


def _ago(season: int) -> str:
    return "before" if season == 1 else f"{season} steps earlier"


def _rmse(
    x: NDArray[np.float32], y: Array, part: NDArray[np.int8], horizon: int, season: int, forecast: tuple[int, ...]
) -> float:
    """Root mean squared error of the naive forecast on the training windows."""
    train = part == PARTS["train"]
    error = naive(x, horizon=horizon, season=season, channels=forecast)[train] - y[train]
    return float(np.sqrt(np.mean(error**2)))


def _season(values: Array, longest: int) -> int:
    """The period, `longest` at most, after which values are alike, by the highest peak of their autocorrelation.

    1 where there is none. Of the differences from step to step, so that a trend is no period; only behind the first lag
    at which they are not alike, so that what is smooth is none either.
    """
    values = np.diff(values)
    n = len(values)
    if n < 8 or not values.std():
        return 1
    power = np.abs(np.fft.rfft(values - values.mean(), 2 * n)) ** 2
    correlation = np.fft.irfft(power)[: min(longest + 1, n // 3) + 1]
    correlation /= correlation[0]
    unlike = np.flatnonzero(correlation < 0)
    lags = range(int(unlike[0]) + 1 if len(unlike) else len(correlation), len(correlation) - 1)
    peaks = [k for k in lags if correlation[k] >= correlation[k - 1] and correlation[k] >= correlation[k + 1]]
    best = max(peaks, key=lambda k: correlation[k], default=1)
    # Of white noise a correlation is below 3 / sqrt(n) but for one in 400; .3 is worth looking back for.
    return best if best > 1 and correlation[best] > max(0.3, 3 / np.sqrt(n)) else 1
