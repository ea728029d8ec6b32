"""Sets of points, each better the smaller it is in every respect: fronts, their order, what they dominate.

Points are (n, k), numbers or infinite. Each function raises ValueError for one that is not a number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Points = Sequence[Sequence[float]] | NDArray[Any]
Array = NDArray[np.float64]


def front(points: Points) -> list[int]:
    """Indices of the points that none dominates, ascending; of equal ones the first."""
    values = _checked(points)
    _, first = np.unique(values, axis=0, return_index=True)
    alone = np.sort(first)
    return [int(i) for i in alone[~_dominates(values[alone]).any(axis=0)]]


def ranks(points: Points) -> NDArray[np.int64]:
    """Of each point how many fronts lie before its own, (n,): 0 on the first; equal points are on one.

    Non-dominated sorting (Deb et al. 2002, "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II").
    """
    values = _checked(points)
    dominates = _dominates(values)
    found = np.full(len(values), -1)
    rank = 0
    while (left := found < 0).any():
        found[left & ~dominates[left].any(axis=0)] = rank
        rank += 1
    return found


def crowding(points: Points) -> Array:
    """How far its neighbours are from each point of one front, (n,): infinite at the ends of any objective.

    The distances of the two neighbours, as a share of the objective's range, summed over objectives (Deb et al. 2002).
    Of equal points one has that distance, and the others none: they add nothing to a front.
    """
    values = _checked(points)
    total = np.zeros(len(values))
    if not len(values):
        return total
    alone = np.unique(values, axis=0, return_index=True)[1]
    for column in values[alone].T:
        order = np.argsort(column, kind="stable")
        ordered = column[order]
        finite = ordered[np.isfinite(ordered)]
        width = np.ptp(finite) if len(finite) else 0.0
        ends = alone[order[[0, -1]]]
        if ordered[0] < ordered[-1]:
            total[ends] = np.inf
        if width and len(order) > 2:
            below, above = ordered[:-2], ordered[2:]
            gap = np.where(np.isfinite(above), above, finite[-1]) - np.where(np.isfinite(below), below, finite[0])
            total[alone[order[1:-1]]] += gap / width
    if len(alone) == 1:
        total[alone] = np.inf
    return total


def hypervolume(points: Points, reference: Sequence[float]) -> float:
    """The volume between `points` and `reference`, (k,), that they dominate; points not below it add nothing.

    Exact, for any number of objectives, by exclusive volumes (While, Bradstreet and Barone 2012, "A Fast Way of
    Calculating Exact Hypervolumes").
    """
    values, corner = _checked(points), np.asarray(reference, np.float64)
    if not len(values):
        return 0.0
    if values.shape[1:] != corner.shape:
        raise ValueError(f"points of {values.shape[1]} objectives, and a reference of {corner.size}")
    inside = values[(values < corner).all(axis=1)]
    return _volume(corner - inside)


def knee(points: Points) -> int:
    """The index of the point past which one objective costs most of the others; of two or one the best of the first.

    On the front, scaled to 0..1 in each objective, it is farthest below the plane through the ends, each of them the
    best in one objective (Das 1999, "On characterizing the 'knee' of the Pareto curve based on Normal-Boundary
    Intersection"). Where none lies below it, it is the point nearest to the best of everything. What differs by factors
    is best given by its logarithm.
    """
    values = _checked(points)
    if not len(values):
        raise ValueError("a knee is of one point at least")
    known = front(values)
    whole = [i for i in known if np.isfinite(values[i]).all()]
    if len(whole) < 3:
        return min(whole or known, key=lambda i: tuple(values[i]))
    some = values[whole]
    width = np.ptp(some, axis=0)
    scaled = (some - some.min(axis=0)) / np.where(width > 0, width, 1.0)
    below = _below(scaled)
    best = below if below is not None and below.max() > 1e-9 else -np.linalg.norm(scaled, axis=1)
    return whole[int(np.argmax(best))]


def _dominates(values: Array) -> NDArray[np.bool_]:
    """Whether point i is better than point j somewhere and worse nowhere, (n, n)."""
    a, b = values[:, None], values[None]
    return np.logical_and((a <= b).all(axis=2), (a < b).any(axis=2))


def _below(scaled: Array) -> Array | None:
    """How far each point is below the plane through the ends; None where they span none."""
    ends = scaled[[int(np.lexsort((scaled.sum(axis=1), column))[0]) for column in scaled.T]]
    try:
        normal = np.linalg.solve(ends, np.ones(len(ends)))  # the plane is normal . x = 1
    except np.linalg.LinAlgError:
        return None
    length = np.linalg.norm(normal)
    return None if not np.isfinite(length) or (normal < 0).any() else (1.0 - scaled @ normal) / length


def _volume(sizes: Array) -> float:
    """Of the union of boxes (n, k) between the origin and these corners."""
    count, axes = sizes.shape
    if not count:
        return 0.0
    if axes == 1 or count == 1:
        return float(sizes.prod(axis=1).max())
    if axes == 2:
        ordered = sizes[np.argsort(-sizes[:, 0])]
        tallest = np.maximum.accumulate(ordered[:, 1])
        return float(np.sum(ordered[:, 0] * np.diff(tallest, prepend=0.0)))
    # The tallest first: of each what is not in those before it, which are as tall where they meet it.
    sizes = sizes[front(-sizes)]
    total = 0.0
    for i, box in enumerate(ordered := sizes[np.argsort(-sizes[:, -1], kind="stable")]):
        within = np.minimum(ordered[:i, :-1], box[:-1])
        total += (float(box[:-1].prod()) - _volume(within)) * float(box[-1])
    return total


def _checked(points: Points) -> Array:
    values = np.asarray(points, np.float64)
    if not len(values):
        return values.reshape(0, 1)
    wrong = np.flatnonzero(np.isnan(values).any(axis=1))
    if len(wrong):
        raise ValueError(f"point {wrong[0]} of {len(values)} is not a number: {values[wrong[0]].tolist()}")
    return values
