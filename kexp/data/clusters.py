"""Which clusters there are in rows without labels: the best division that scikit-learn's clusterers find.

Every teacher of teachers.py divides the same rows; validity.py says without labels how good each division is. The
network learns the best one as it learns any classes.

A sum of three scores ranks: thin borders, agreement and stability. Silhouettes are told, and do not rank: they prefer
balls to all else. Weights and limits were set with 49 labelled sets of Gagolewski's benchmark in view (2022,
https://clustering-benchmarks.gagolewski.com); to divide rows with them needs no label.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kexp.data import validity
from kexp.data.teachers import TEACHERS, Division, Floats, Labels, divide, nearest, without_noise
from kexp.errors import DataError
from kexp.records import Teacher

MOST = 20  # clusters that are looked for where nobody says how many
ROWS = 3000  # of more rows so many are divided, and the rest follow
SILHOUETTES = 1500  # rows: they need all distances
FEWEST = 3  # rows of a cluster: one for each part
SHARE = 0.01  # of the rows, where the number of clusters is free: what is smaller is called outliers
AGREEMENT = 0.15  # against 1 of thin borders
STABILITY = 0.15
CONTENDERS = 8  # whose stability is measured
STABLE = 0.5
DRAWS = 3  # of each kind of rows without clusters
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Teaching:
    """The division that the network learns.

    `labels` are (n,), clusters from 0, largest first; `exemplars` (clusters,) the row nearest to the centre of each.
    `teachers` are all divisions, the one that was chosen first.
    """

    labels: Labels
    exemplars: NDArray[np.int64]
    teachers: tuple[Teacher, ...]
    notices: list[str]


def choose(x: Floats, clusters: int | None = None, *, seed: int = 0, progress: Progress | None = None) -> Teaching:
    """The best division of the standardised rows `x` (n, d) into `clusters`, or into as many as there seem to be.

    `progress` is told how many of how many steps are done. Raises DataError for more clusters than the rows allow,
    for rows that are all equal, and where no teacher finds clusters.
    """
    import sklearn.cluster  # before the limit: it holds for libraries that are loaded
    import sklearn.mixture  # noqa: F401
    from threadpoolctl import threadpool_limits

    n = len(x)
    most = n // FEWEST
    if most < 2 or (clusters is not None and not 2 <= clusters <= most):
        raise DataError(
            f"{n:,} rows cannot be divided into {clusters or 2} clusters: 2 or more are expected, with {FEWEST} rows "
            f"each at least: {most} at most. Add rows"
            + (", or ask for another number with --clusters N." if most >= 2 else ".")
        )
    different = len(np.unique(x, axis=0))
    if different < (clusters or 2):
        raise DataError(
            f"Only {different:,} of the {n:,} rows differ from each other: {clusters or 2} clusters need as many. "
            "Add rows, or columns in which they differ."
        )
    rows = np.sort(np.random.default_rng(seed).permutation(n)[:ROWS])
    part = np.ascontiguousarray(x[rows])
    step = _Steps(progress, len(TEACHERS) + 3)
    # Small matrices: several threads would wait for each other longer than they work.
    with threadpool_limits(1), warnings.catch_warnings():
        # Of EM that did not converge, of a graph in pieces: what comes of it is judged.
        warnings.simplefilter("ignore")
        found = list(divide(part, _counts(clusters, len(part)), seed=seed, progress=step.next))
        allowed = _allowed(found, clusters, len(part))
        if not allowed.any():
            raise DataError(
                f"No teacher divides the {n:,} rows into {clusters or 'two or more'} clusters of {FEWEST} rows or "
                "more. Ask for another number with --clusters N, or add rows."
            )
        values = _scores(part, found, allowed, seed, step)
        order = sorted(range(len(found)), key=lambda k: (not allowed[k], -(values[k].score or 0.0)))
        best = found[order[0]]
        clear = _clear(part, best, values[order[0]], seed)
        step.next()
    labels = _by_size(_all_rows(x, rows, best))
    teachers = tuple(values[k] for k in order)
    return Teaching(
        labels=labels,
        exemplars=_exemplars(x, labels),
        teachers=teachers,
        notices=_notices(teachers[0], len(found), clusters, clear),
    )


def _counts(clusters: int | None, n: int) -> list[int]:
    """Numbers of clusters that are tried; others than the one asked for tell whether its clusters are whole."""
    most = max(2, min(MOST, n // FEWEST))
    counts = set(range(2, most + 1))
    if clusters is not None and clusters > MOST:
        counts = {2, 3, 5, 8, 12, 20, *(clusters + delta for delta in (-2, -1, 0, 1, 2))}
    return sorted({*counts, *([] if clusters is None else [clusters])} & set(range(2, n)))


def _allowed(divisions: Sequence[Division], clusters: int | None, n: int) -> NDArray[np.bool_]:
    fewest = FEWEST if clusters is not None else max(FEWEST, SHARE * n)
    return np.array(
        [
            (clusters is None or one.clusters == clusters) and int(np.bincount(one.labels).min()) >= fewest
            for one in divisions
        ],
        np.bool_,
    )


def _scores(
    x: Floats, divisions: Sequence[Division], allowed: NDArray[np.bool_], seed: int, step: _Steps
) -> list[Teacher]:
    """All scores of each division; only contenders are divided again, and have a stability and a whole score."""
    thin = validity.thin_borders(x, divisions)
    agreement = validity.agreements(divisions)
    step.next()
    some = np.sort(np.random.default_rng(seed).permutation(len(x))[:SILHOUETTES])
    silhouette = validity.silhouettes(x[some], [one.labels[some] for one in divisions])
    first = thin + AGREEMENT * agreement
    contenders = sorted(np.flatnonzero(allowed).tolist(), key=lambda k: -float(first[k]))[:CONTENDERS]
    stability = {k: validity.stability(x, divisions[k], seed=seed) for k in contenders}
    step.next()
    return [
        Teacher(
            teacher=one.teacher,
            settings=one.settings,
            clusters=one.clusters,
            score=float(first[k] + STABILITY * stability[k]) if k in stability else None,
            thin_borders=float(thin[k]),
            agreement=float(agreement[k]),
            stability=stability.get(k),
            silhouette=float(silhouette[k]),
            noise=one.noise,
        )
        for k, one in enumerate(divisions)
    ]


def _clear(x: Floats, best: Division, scores: Teacher, seed: int) -> bool:
    """Whether the division has thinner borders than the same teacher finds in rows that have no clusters.

    Such rows fill a box, or are normal, along the principal axes of `x` (n, d) and as wide (Tibshirani, Walther,
    Hastie 2001, "Estimating the number of clusters in a data set via the gap statistic").
    """
    if (scores.stability or 0.0) < STABLE:
        return False
    random = np.random.default_rng(seed)
    _, widths, axes = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    widths = widths / np.sqrt(len(x))
    found = validity.thin_borders(x, [best])[0]
    for draw in range(2 * DRAWS):
        box = draw % 2 == 0
        size = (len(x), len(widths))
        plain = random.uniform(-np.sqrt(3), np.sqrt(3), size) if box else random.normal(size=size)
        empty = ((plain * widths) @ axes).astype(np.float32)
        labels = without_noise(empty, best.fit(empty, seed))
        if labels.max() < 1:
            continue
        if validity.thin_borders(empty, [dataclasses.replace(best, labels=labels)])[0] >= found:
            return False
    return True


def _all_rows(x: Floats, rows: NDArray[np.int64], division: Division) -> Labels:
    """The cluster of every row of `x` (n, d), of which `rows` were divided."""
    labels = np.empty(len(x), np.int64)
    labels[rows] = division.labels
    rest = np.setdiff1d(np.arange(len(x)), rows)
    if len(rest):
        predict = division.predict
        labels[rest] = predict(x[rest]) if predict is not None else nearest(x[rows], division.labels, x[rest])
    return labels


def _by_size(labels: Labels) -> Labels:
    """The same clusters, counted from the largest; of equal ones the first to appear comes first."""
    found, first, sizes = np.unique(labels, return_index=True, return_counts=True)
    rank = np.empty(int(found.max()) + 1, np.int64)
    rank[found[np.lexsort((first, -sizes))]] = np.arange(len(found))
    return rank[labels]


def _exemplars(x: Floats, labels: Labels) -> NDArray[np.int64]:
    """The row of each cluster that is nearest to the mean of its rows, (clusters,)."""
    found = []
    for cluster in range(int(labels.max()) + 1):
        rows = np.flatnonzero(labels == cluster)
        centre = x[rows].mean(axis=0)
        found.append(rows[((x[rows] - centre) ** 2).sum(axis=1).argmin()])
    return np.array(found, np.int64)


def _notices(best: Teacher, tried: int, clusters: int | None, clear: bool) -> list[str]:
    how_many = f"{best.clusters} clusters" + ("" if clusters else ", as many as there seem to be; --clusters N sets it")
    notices = [
        f"The teacher is {best.teacher} ({best.settings}), the best of {tried} divisions by scores without labels: "
        f"{how_many}. Thin borders {best.thin_borders:.2f}, agreement {best.agreement:.2f}, stability "
        f"{best.stability or 0:.2f}, silhouette {best.silhouette:.2f}."
    ]
    if best.noise:
        notices.append(
            f"{best.teacher} calls {best.noise:.1%} of the rows noise; each was given to the cluster of its nearest "
            "neighbour."
        )
    if not clear:
        notices.append(
            "These rows may have no clusters at all: what was found is no clearer than what the same teacher finds in "
            "rows drawn at random, or changes where some rows are left out. The network learns it none the less."
        )
    return notices


class _Steps:
    def __init__(self, progress: Progress | None, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0

    def next(self) -> None:
        """One more step is done."""
        self.done += 1
        if self.progress is not None:
            self.progress(min(self.done, self.total), self.total)
