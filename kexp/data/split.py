"""Which rows train, validate and test: decided once, from the data and a seed, and written to the run.

Rows of one group never straddle. Every class is in every part where it has rows enough. The order of random
draws is that of numpy's PCG64, the same on every machine.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kexp.data.dataset import PARTS
from kexp.errors import DataError

# Rows, where the data bring their own test rows. A share of .93 then has a standard error of .0036; a further row is
# worth more to the network than to the choice.
LARGEST_VALIDATION = 5_000
LARGEST_TWINS = 0.05  # of the rows: one larger group of equal rows would unbalance the parts
SMALLEST_STRATUM = 10  # rows of a label that are spread as one: many smaller ones would add up to other shares
MOST_TIMES = 1.5  # its share, that a part is brought to by whole groups for the sake of a class
TRAIN, VALIDATION, TEST = PARTS["train"], PARTS["validation"], PARTS["test"]


def split(
    n: int,
    *,
    y: NDArray[np.integer] | None = None,
    parts: NDArray[np.int8] | None = None,
    groups: ArrayLike | None = None,
    times: ArrayLike | None = None,
    validation: float = 0.15,
    test: float = 0.15,
    seed: int = 0,
) -> NDArray[np.int8]:
    """The part (dataset.PARTS) of each of `n` rows.

    `y` (n,) are strata: classes, or bins of a number. `parts` (n,) are those that the data bring, -1 where
    they do not say: these rows are divided into the parts that the data do not have. Equal `groups` (n,)
    stay in one part. `times` (n,) order the rows: oldest train, newest test. `validation` and `test` are
    shares of the rows that are divided. Raises DataError where a part would be left without rows, test rows aside
    where their share is 0.
    """
    part = np.full(n, -1, np.int8) if parts is None else np.array(parts, np.int8)
    given = {int(value) for value in np.unique(part)}
    if -1 not in given and not {VALIDATION, TEST} <= given:
        part[part == TRAIN] = -1
    if {VALIDATION, TEST} <= given:
        part[part == -1] = TRAIN
    rows = np.flatnonzero(part == -1)
    if len(rows):
        shares = np.zeros(3)
        if VALIDATION not in given:
            most = LARGEST_VALIDATION / len(rows) if TEST in given else 1.0
            shares[VALIDATION] = min(validation, most)
        if TEST not in given:
            shares[TEST] = test
        shares[TRAIN] = 1 - shares.sum()
        group = np.arange(len(rows)) if groups is None else np.unique(np.asarray(groups)[rows], return_inverse=True)[1]
        if times is not None:
            part[rows] = _by_time(np.asarray(times)[rows], None if groups is None else group, shares)
        else:
            strata = np.zeros(len(rows), np.int64) if y is None else np.unique(y[rows], return_inverse=True)[1]
            part[rows] = _by_chance(strata, group, shares, np.random.default_rng(seed))
    for name, value in PARTS.items():
        if not (part == value).any() and (value != TEST or test > 0):
            raise DataError(
                f"{n:,} rows leave no row for the {name} part: each of train, validation and test needs one. "
                "Add rows, or rows of further groups, or change the shares `validation` and `test`."
            )
    return part


def folds(
    part: NDArray[np.int8], count: int, *, y: NDArray[np.integer], groups: ArrayLike | None = None, seed: int = 0
) -> NDArray[np.int8]:
    """The fold, 1 to `count`, of each row that is no test row, (n,), and 0 of the test rows.

    Classes `y` are spread over the folds, equal `groups` stay in one. Raises DataError where a fold would have no rows.
    """
    rows = np.flatnonzero(part != TEST)
    group = np.arange(len(rows)) if groups is None else np.unique(np.asarray(groups)[rows], return_inverse=True)[1]
    stratum = np.unique(y[rows], return_inverse=True)[1]
    fold = np.zeros(len(part), np.int8)
    fold[rows] = 1 + _by_chance(stratum, group, np.full(count, 1 / count), np.random.default_rng((seed, count)))
    if len(np.unique(fold[rows])) < count:
        raise DataError(
            f"{len(rows):,} rows in {len(np.unique(group)):,} groups leave one of {count} folds without rows. Set "
            "fewer with --folds, or 0 for none."
        )
    return fold


def strata(values: NDArray[np.floating] | NDArray[np.integer], *, bins: int = 10) -> NDArray[np.int64]:
    """What to keep balanced between the parts, (n,): classes, rarest labels, or bins of numbers.

    `values` is (n,) of class indices, (n, k) of 0 and 1, or (n, k) of numbers: the first column is binned.
    A row with several labels counts for the rarest: sets of labels are too many to be spread one by one.
    """
    if values.ndim == 1:
        return values.astype(np.int64)
    if np.isin(values, (0, 1)).all():
        rarest = np.zeros(len(values), np.int64)
        for label in np.argsort(values.sum(axis=0), kind="stable"):
            rows = np.flatnonzero((values[:, label] == 1) & (rarest == 0))
            if len(rows) >= SMALLEST_STRATUM:
                rarest[rows] = label + 1
        return rarest
    first = values[:, 0]
    edges = np.unique(np.quantile(first, np.linspace(0, 1, max(1, min(bins, len(first) // 20)) + 1)[1:-1]))
    return np.searchsorted(edges, first, side="right").astype(np.int64)


def small_twins(keys: NDArray[np.integer]) -> tuple[NDArray[np.int64], int]:
    """A group for each row, (n,), equal where `keys` are, and how many rows are in groups too large for that.

    Rows of a group larger than LARGEST_TWINS of all (and than ten rows) are each a group of their own.
    """
    _, group, counts = np.unique(keys, return_inverse=True, return_counts=True)
    group = group.astype(np.int64)
    large = (counts > max(10, LARGEST_TWINS * len(keys)))[group]
    group[large] = len(counts) + np.arange(int(large.sum()))
    return group, int(large.sum())


def join(groups: ArrayLike, twins: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """`groups` joined where they share `twins`, (n,), and how many rows that left in groups as they were.

    They are left where the joined group would exceed LARGEST_TWINS of the rows: twins link groups in chains.
    """
    given = np.unique(np.asarray(groups), return_inverse=True)[1].astype(np.int64)
    joined = merge(given, twins)
    sizes = np.bincount(joined)
    several = np.bincount(joined[np.unique(given, return_index=True)[1]], minlength=len(sizes)) > 1
    large = (several & (sizes > max(10, LARGEST_TWINS * len(given))))[joined]
    return np.where(large, len(sizes) + given, joined), int(large.sum())


def merge(one: ArrayLike, other: ArrayLike) -> NDArray[np.int64]:
    """The finest groups, (n,), of which each holds whole groups of both."""
    a = np.unique(np.asarray(one), return_inverse=True)[1]
    b = np.unique(np.asarray(other), return_inverse=True)[1]
    root = a.astype(np.int64)
    while True:  # spread the lowest number within each group until nothing moves
        before = root
        for group in (b, a):
            lowest = np.full(int(group.max()) + 1, len(root), np.int64)
            np.minimum.at(lowest, group, root)
            root = lowest[group]
        if np.array_equal(before, root):
            return root


def ordered(
    first: NDArray[np.generic], last: NDArray[np.generic], *, validation: float, test: float
) -> NDArray[np.int8]:
    """The part of forecasts of the moments `first` to `last`, (n,) each: the oldest train, the newest test.

    -1 where those moments lie in two parts; a share of 0 is a part that is not wanted. Raises DataError where a part
    would be left without any.
    """
    shares = {TRAIN: 1 - validation - test, VALIDATION: validation, TEST: test}
    wanted = [part for part, share in shares.items() if share > 0]
    moments = np.unique(first)
    ends = np.cumsum([shares[part] for part in wanted])[:-1]
    bounds = [moments[min(round(end * len(moments)), len(moments) - 1)] for end in ends.tolist()]
    begins, stops = (np.searchsorted(bounds, side, side="right") for side in (first, last))
    part = np.where(begins == stops, np.array(wanted)[begins], -1).astype(np.int8)
    for name, value in PARTS.items():
        if value in wanted and not (part == value).any():
            raise DataError(
                f"{len(first):,} forecasts leave none for the {name} part. Add rows, or foretell fewer steps."
            )
    return part


def _by_time(
    times: NDArray[np.generic], group: NDArray[np.int64] | None, shares: NDArray[np.float64]
) -> NDArray[np.int8]:
    """Oldest rows train. Rows of a group, or of the same moment, follow each other and are not cut."""
    moment = np.unique(times, return_inverse=True)[1].astype(np.int64)
    if group is None:
        block = moment
    else:
        oldest = np.full(int(group.max()) + 1, len(times), np.int64)
        np.minimum.at(oldest, group, moment)
        block = oldest[group] * (int(group.max()) + 1) + group
    order = np.argsort(block, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(block[order])) + 1, len(order))  # where a block may end
    part = np.empty(len(order), np.int8)
    start = 0
    for value in (TRAIN, VALIDATION, TEST):
        wanted = round(shares[: value + 1].sum() * len(order))
        end = int(ends[np.searchsorted(ends, wanted)]) if wanted else 0
        part[order[start:end]] = value
        start = max(start, end)
    return part


def _by_chance(
    stratum: NDArray[np.integer],
    group: NDArray[np.integer],
    shares: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.int8]:
    """Large groups first, each to the part that lacks its classes most; single rows fill what is left."""
    sizes = np.bincount(group)
    used = np.flatnonzero(shares > 0)
    want = np.outer(shares, np.bincount(stratum))
    have = np.zeros_like(want)
    part = np.full(len(group), -1, np.int8)
    by_group = np.argsort(group, kind="stable")
    starts = np.cumsum(sizes) - sizes
    several = rng.permutation(np.flatnonzero(sizes > 1))
    for unit in several[np.argsort(-sizes[several], kind="stable")]:
        rows = by_group[starts[unit] : starts[unit] + sizes[unit]]
        kinds, counts = np.unique(stratum[rows], return_counts=True)
        lack = ((want[used][:, kinds] - have[used][:, kinds]) / want[used][:, kinds]) @ counts
        chosen = used[int(np.argmax(lack))]
        have[chosen, kinds] += counts
        part[rows] = chosen
    single = rng.permutation(np.flatnonzero(sizes[group] == 1))
    single = single[np.argsort(stratum[single], kind="stable")]
    bounds = np.searchsorted(stratum[single], np.arange(want.shape[1] + 1))
    owed = np.zeros(len(shares))  # what rounding kept from each part so far, so that many small classes do not add up
    for kind in range(want.shape[1]):
        rows = single[bounds[kind] : bounds[kind + 1]]
        lack = np.clip(want[:, kind] - have[:, kind], 0, None)
        exact = len(rows) * lack / lack.sum() if lack.sum() else len(rows) * shares
        counts = np.floor(exact).astype(np.int64)
        for chosen in np.argsort(-(exact - counts + owed), kind="stable"):
            if counts.sum() < len(rows) and chosen in used:
                counts[chosen] += 1
        counts[TRAIN] += len(rows) - counts.sum()
        owed += exact - counts
        part[rows] = np.repeat(np.arange(len(shares)), counts)
    _spread_classes(part, stratum, group, shares)
    return part


def _spread_classes(
    part: NDArray[np.int8],
    stratum: NDArray[np.integer],
    group: NDArray[np.integer],
    shares: NDArray[np.float64],
) -> None:
    """Bring every class with rows enough into every part that has a share, in place: its smallest group moves.

    A group mostly of other classes does not move where the part would then have more than MOST_TIMES its share: of many
    small classes in few groups one group after the other would, until most rows validate.
    """
    sizes, used = np.bincount(group), np.flatnonzero(shares > 0)
    order = np.argsort(stratum, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(stratum[order])) + 1):
        for value in used:
            counts = np.bincount(part[rows], minlength=int(used.max()) + 1)
            if counts[value]:
                continue
            donor = int(np.argmax(counts))
            units = np.unique(group[rows[part[rows] == donor]])
            if len(units) < 2:
                continue
            unit = units[int(np.argmin(sizes[units]))]
            there = np.bincount(part, minlength=len(shares))[value]
            own = (group[rows] == unit).sum() >= sizes[unit] / 2  # mostly of the class: it is what the part lacks
            if own or there + sizes[unit] <= MOST_TIMES * shares[value] * len(part):
                part[group == unit] = value
