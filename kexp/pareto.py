"""Sets of points, each better the smaller it is in every respect."""

from __future__ import annotations
from collections.abc import Sequence
import numpy as np

Points = Sequence[Sequence[float]]


def front(points: Points) -> list[int]:
    """Indices of the points that none dominates, of equal ones the first."""
    p = np.asarray(points, float).reshape(len(points), -1)
    found = []
    for i, one in enumerate(p):
        better = (p <= one).all(axis=1) & (p < one).any(axis=1)
        equal = (p[:i] == one).all(axis=1)
        if not better.any() and not equal.any():
            found.append(i)
    return found


def knee(points: Points) -> int:
    return 0


def hypervolume(points, reference):
    return 0.0
