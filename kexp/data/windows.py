"""Windows: one long table, a row for each step, cut into series that are classified, measured, or continued.

No window lies across two groups, and no row is in windows of two parts, but for what a forecast looks back on.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexp.data import columns, series
from kexp.data.dataset import PARTS, Raw
from kexp.data.split import ordered
from kexp.errors import DataError
from kexp.records import Experiment

BLOCK = 10  # windows' lengths of one stretch: what a part gets at least, where nothing else cuts the rows
USUAL_STEPS = 24  # that a forecast looks back on at least, where there are rows enough
MOST_STEPS = 128
Array = NDArray[np.float64]


def cut(raw: Raw, experiment: Experiment) -> Raw:
    """Windows of `experiment.steps` rows of the table `raw`, each with the target that most of its rows have.

    `experiment.stride` rows lie between the beginnings of two, half a window unless it says otherwise. Groups are those
    of the data; without any, stretches of one label, cut into blocks of BLOCK windows' length. Raises DataError for an
    input that is no number, and where no window fits.
    """
    steps = experiment.steps or 0
    stride = experiment.stride or max(1, steps // 2)
    values, names = _values(raw, raw.x.columns)  # type: ignore[union-attr]
    labels = raw.y[:, 0] if raw.y.ndim > 1 else raw.y
    classes = experiment.task in ("binary", "multiclass") or any(columns.number(cell) is None for cell in set(labels))
    change = np.zeros(len(labels), np.bool_)
    for cells in (raw.groups, raw.parts, labels if raw.groups is None and classes else None):
        if cells is not None:
            change[1:] |= cells[1:] != cells[:-1]
    found: list[tuple[int, int]] = []  # first row, and stretch, of each window
    stretch = 0
    bounds = [0, *np.flatnonzero(change).tolist(), len(labels)]
    for start, end in itertools.pairwise(bounds):
        whole = end - start if raw.groups is not None else BLOCK * steps
        for block in range(start, end, whole):
            stretch += 1
            found += [(at, stretch) for at in range(block, min(block + whole, end) - steps + 1, stride)]
    if not found:
        raise DataError(
            f"No window of {steps} rows fits: the longest stretch of one group has {max(np.diff(bounds))} rows. "
            "Set a smaller number with --steps."
        )
    starts = np.array([start for start, _ in found])
    y = [_answer(labels[start : start + steps], classes) for start in starts]
    names_of = raw.ids
    return Raw(
        kind="series",
        x=np.stack([values[start : start + steps] for start in starts]).astype(np.float32),
        y=np.array(y) if classes else np.array(y, np.float64)[:, None],
        targets=raw.targets,
        parts=None if raw.parts is None else raw.parts[starts],
        ids=[f"{names_of[start]} to {names_of[start + steps - 1].rsplit(' ', 1)[-1]}" for start in starts],
        groups=raw.groups[starts] if raw.groups is not None else np.array([block for _, block in found]),
        times=None if raw.times is None else raw.times[starts],
        channels=names,
        notices=[
            *raw.notices,
            f"{len(labels):,} rows were cut into {len(starts):,} windows of {steps}, one every {stride}.",
        ],
    )


def _answer(labels: NDArray[Any], classes: bool) -> Any:
    """What most rows of a window have, or the mean of numbers."""
    if not classes:
        return float(np.mean([columns.number(cell) for cell in labels]))
    words, counts = np.unique(labels.astype(str), return_counts=True)
    return words[counts.argmax()]


# --- forecasts ----------------------------------------------------------------------------------


def is_plain(raw_columns: Sequence[str], cells: dict[str, list[str]]) -> bool:
    """Whether a table is a date and a number in every row, which is a series to be continued."""
    if len(raw_columns) != 2:
        return False
    dates = [name for name in raw_columns if columns.date_format(columns.count(cells[name])) is not None]
    numbers = [name for name in raw_columns if name not in dates and columns.floats(cells[name]) is not None]
    return len(dates) == 1 and len(numbers) == 1


@dataclass(frozen=True)
class Naive:
    """A forecast that learns nothing: the value `season` steps earlier. `rmse` is on training rows."""

    season: int
    rmse: float


def forecasts(raw: Raw, experiment: Experiment, *, targets: Sequence[str], times: NDArray[Any] | None) -> Raw:
    """Windows of the numbers of `raw`, and the `experiment.horizon` next values of `targets` as what to foretell.

    Rows are in the order of `times`, or as they come; the oldest train, the newest test. The network looks back on
    `experiment.steps` rows: two seasons, USUAL_STEPS at least, MOST_STEPS at most. Raises DataError for a cell that is
    no number, and for too few rows.
    """
    horizon = experiment.horizon or 1
    order = np.arange(len(raw.ids)) if times is None else np.argsort(times, kind="stable")
    values, names = _values(raw, raw.x.columns)  # type: ignore[union-attr]
    values, moments = values[order], np.arange(len(order)) if times is None else times[order]
    groups = (
        np.zeros(len(order), np.int64) if raw.groups is None else np.unique(raw.groups[order], return_inverse=True)[1]
    )
    forecast = tuple(names.index(name) for name in targets)
    ids = [raw.ids[row] for row in order]
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    shortest = min(map(len, members))
    train = 1 - experiment.validation - experiment.test
    first = values[members[0], forecast[0]]
    season = _season(first[: int(train * len(first))])
    steps = experiment.steps or min(MOST_STEPS, max(USUAL_STEPS, 2 * season), max(2, shortest // 5))
    season = season if season <= steps else 1
    if shortest < steps + horizon + 10:
        raise DataError(
            f"{shortest} rows are too few to look back on {steps} and foretell {horizon}: {steps + horizon + 10} are "
            "expected. Add rows, or set fewer with --steps and --horizon."
        )
    ends = np.concatenate([rows[steps - 1 : len(rows) - horizon] for rows in members])  # last row that is looked at
    place = {int(row): i for rows in members for i, row in enumerate(rows)}
    after = [members[groups[end]][place[int(end)] + 1 : place[int(end)] + 1 + horizon] for end in ends]
    part = ordered(
        np.array([moments[rows[0]] for rows in after]), np.array([moments[rows[-1]] for rows in after]),
        validation=experiment.validation, test=experiment.test,
    )  # fmt: skip
    kept = np.flatnonzero(part >= 0)
    x = np.stack(
        [values[members[groups[end]][place[int(end)] + 1 - steps : place[int(end)] + 1]] for end in ends[kept]]
    )
    y = np.stack([values[np.ix_(after[i], forecast)].T.ravel() for i in kept])
    naive = sorted(_naive(x, y, forecast, horizon, part[kept], {1, season}), key=lambda one: one.rmse)
    told = " or ".join(f"{_ago(one.season)} (RMSE {one.rmse:.4g} on training rows)" for one in naive)
    spaces = f"the next {horizon} values" if horizon > 1 else "the next value"
    notices = [
        f"A forecast of {spaces} of {', '.join(targets)} from the last {steps} rows: --horizon and --steps set others.",
        f"The naive forecast is the value {told}; the network learns how far it is off.",
        "Rows are in the order of time: the oldest train, the newest test.",
    ]
    return Raw(
        kind="series",
        x=x.astype(np.float32),
        y=y,
        targets=tuple(f"{name} +{step + 1}" for name in targets for step in range(horizon)),
        parts=part[kept],
        ids=[f"after {ids[int(ends[i])]}" for i in kept],
        channels=names,
        notices=[*raw.notices, *notices],
        horizon=horizon,
        seasons=tuple(one.season for one in naive),
        forecast=forecast,
    )


def _ago(season: int) -> str:
    return "before" if season == 1 else f"{season} steps earlier"


def _naive(
    x: Array, y: Array, forecast: tuple[int, ...], horizon: int, part: NDArray[np.int8], seasons: set[int]
) -> Iterator[Naive]:
    from kexp.forecasts import naive

    train = part == PARTS["train"]
    for season in sorted(seasons):
        error = naive(x[train], horizon=horizon, season=season, channels=forecast) - y[train]
        yield Naive(season, float(np.sqrt(np.mean(error**2))))


def _season(values: Array) -> int:
    """The period after which values are alike, by the highest peak of their autocorrelation; 1 where there is none.

    Of the differences from step to step, so that a trend is no period.
    """
    values = np.diff(values)
    n = len(values)
    if n < 8 or not values.std():
        return 1
    z = values - values.mean()
    correlation = np.correlate(z, z, "full")[n - 1 :] / (z @ z)
    lags = np.arange(2, n // 3)
    peaks = [k for k in lags if correlation[k] >= correlation[k - 1] and correlation[k] >= correlation[k + 1]]
    best = max(peaks, key=lambda k: correlation[k], default=1)
    # Of white noise a correlation is below 3 / sqrt(n) but for one in 400; .3 is worth looking back for.
    return int(best) if best > 1 and correlation[best] > max(0.3, 3 / np.sqrt(n)) else 1


def _values(raw: Raw, names: Sequence[str]) -> tuple[Array, tuple[str, ...]]:
    """The numbers of the input columns, (n, channels); what is no number in any row is left out, and that is said."""
    found, kept = [], []
    for name in names:
        cells = raw.x[name].tolist()  # type: ignore[call-overload]
        values = columns.floats(cells)
        if values is None:
            raw.notices.append(f"Column {name!r} is left out: it holds text, and a channel of a series is a number.")
            continue
        kept.append(name)
        found.append(values)
    if not found:
        raise DataError("No column of numbers is left. A series has a number for each step.")
    values = np.stack(found, axis=1)
    try:
        whole, missing = series.filled(values)
    except ValueError as error:
        raise DataError(f"{error}: a column without values cannot be a channel. Drop it.") from error
    if missing:
        raw.notices.append(f"{missing:,} missing values were drawn straight between their neighbours.")
    return (whole.astype(np.float64) if missing else values), tuple(kept)
