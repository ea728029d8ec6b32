"""Fronts, ranks, crowding, hypervolumes and knees, against brute force and by hand."""

from __future__ import annotations

import itertools
import math
import time

import numpy as np
import pytest

from kexp import pareto

INF = math.inf


def drawn(n, k, seed, digits=2):
    """Few digits: ties and equal points."""
    return np.random.default_rng(seed).uniform(size=(n, k)).round(digits)


def dominates(a, b):
    return all(x <= y for x, y in zip(a, b, strict=True)) and any(x < y for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize(("n", "k"), [(1, 2), (2, 1), (30, 1), (40, 2), (40, 3), (25, 5)])
def test_fronts_and_ranks_are_those_of_brute_force(n, k):
    for seed in range(5):
        points = drawn(n, k, seed, digits=1)
        found, left, rank = pareto.ranks(points), set(range(n)), 0
        while left:
            best = {i for i in left if not any(dominates(points[j], points[i]) for j in left)}
            assert {i for i in range(n) if found[i] == rank} == best
            if rank == 0:
                equal_to_earlier = {j for i, j in itertools.combinations(range(n), 2) if (points[i] == points[j]).all()}
                assert pareto.front(points) == sorted(best - equal_to_earlier)
            left, rank = left - best, rank + 1


def test_of_no_points_and_of_one():
    assert pareto.front([]) == []
    assert list(pareto.ranks([])) == list(pareto.crowding([])) == []
    assert pareto.hypervolume([], [1, 1]) == 0
    assert pareto.front([(2, 3)]) == [0]
    assert list(pareto.ranks([(2, 3)])) == [0]
    assert list(pareto.crowding([(2, 3)])) == [INF]
    assert pareto.hypervolume([(2, 3)], [4, 4]) == 2
    assert pareto.knee([(2, 3)]) == 0
    with pytest.raises(ValueError, match="one point at least"):
        pareto.knee([])


@pytest.mark.parametrize(
    "function", [pareto.front, pareto.ranks, pareto.crowding, pareto.knee, lambda p: pareto.hypervolume(p, [1, 1])]
)
def test_what_is_not_a_number_is_refused(function):
    with pytest.raises(ValueError, match=r"point 1 of 3 is not a number"):
        function([(0, 1), (math.nan, 0), (1, 0)])


def test_what_is_not_known_is_infinite_and_may_be_on_the_front_all_the_same():
    points = [(0.1, INF), (0.5, 3), (0.6, INF)]
    assert pareto.front(points) == [0, 1]
    assert list(pareto.ranks(points)) == [0, 0, 1]
    assert pareto.hypervolume(points, [1, 4]) == 0.5
    assert pareto.knee(points) == 1
    assert pareto.knee([(0.1, INF), (0.1, INF)]) == 0


def test_crowding_is_the_distance_of_the_neighbours_and_equal_points_add_nothing():
    # sorted by the first objective: 0 .2 .4 1; by the second: 10 6 4 0
    points = [(0.2, 6), (1, 0), (0, 10), (0.4, 4), (0.2, 6)]
    assert list(pareto.crowding(points)) == pytest.approx([0.4 + 0.6, INF, INF, 0.8 + 0.6, 0])
    assert list(pareto.crowding([(1, 2), (1, 2)])) == [INF, 0]
    assert not np.isnan(pareto.crowding([(0, INF), (1, 2), (2, 1), (3, INF)])).any()


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_the_hypervolume_is_that_of_drawn_points(k):
    random = np.random.default_rng(k)
    for points in (random.uniform(size=(30, k)), drawn(30, k, 0, digits=1), random.uniform(size=(10, k)) * 2):
        tried = random.uniform(size=(100_000, k))
        covered = np.zeros(len(tried), bool)
        for point in points:
            covered |= (point <= tried).all(axis=1)
        assert pareto.hypervolume(points, [1.0] * k) == pytest.approx(covered.mean(), abs=0.007)


def spherical(n, k):
    """All on the front."""
    points = np.abs(np.random.default_rng(0).normal(size=(n, k)))
    return 1 - points / np.linalg.norm(points, axis=1, keepdims=True)


@pytest.mark.parametrize(("n", "k"), [(60, 2), (60, 3), (30, 4), (15, 5)])
def test_the_hypervolume_is_optuna_s(n, k):
    wfg = pytest.importorskip("optuna._hypervolume")
    points = spherical(n, k)
    assert len(pareto.front(points)) == n
    assert pareto.hypervolume(points, [1.1] * k) == pytest.approx(wfg.compute_hypervolume(points, np.full(k, 1.1)))


def test_the_hypervolume_of_a_long_front_is_told_at_once():
    points = spherical(200, 3)
    start = time.process_time()
    pareto.hypervolume(points, [1, 1, 1])
    assert time.process_time() - start < 1  # 0.01 s here


def test_a_reference_of_other_objectives_is_refused():
    with pytest.raises(ValueError, match="3 objectives, and a reference of 2"):
        pareto.hypervolume([(0, 0, 0)], [1, 1])


def test_the_knee_is_farthest_below_the_line_through_the_ends():
    curve = [(0.0, 100.0), (0.1, 30.0), (0.2, 15.0), (0.6, 10.0), (1.0, 0.0), (1.0, 100.0)]
    assert pareto.knee(curve) == 2
    assert pareto.knee([(5 * x + 7, y / 1000 - 3) for x, y in curve]) == 2  # in whatever units
    assert pareto.knee(curve[::-1]) == 3
    assert pareto.knee([(1, 0), (0, 1)]) == 1  # of two the best of the first objective


def test_the_knee_of_three_objectives_and_of_fronts_that_bulge_outwards():
    ends = np.eye(3)
    assert pareto.knee([*ends, (0.2, 0.2, 0.2), (0.3, 0.3, 0.3), (0.1, 0.6, 0.1)]) == 3
    assert pareto.knee([(0, 1), (0.69, 0.69), (0.5, 0.9), (1, 0)]) == 1  # the nearest to the best of both
    # One objective is the same everywhere, so that the ends span no plane.
    assert pareto.knee([(0, 1, 5), (0.2, 0.2, 5), (1, 0, 5)]) == 1
