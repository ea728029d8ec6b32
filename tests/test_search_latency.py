"""A model of this machine's times is found again from times that it made, and survives as JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kexp.records import Costs
from kexp.search.latency import LatencyModel, nonnegative


def drawn(count, seed=0):
    random = np.random.default_rng(seed)
    return [
        Costs(
            parameters=1, bytes=int(random.uniform(5_000, 900_000)), macs=0, work=int(10 ** random.uniform(4, 8)),
            operators=int(random.integers(6, 60)), memory=int(10 ** random.uniform(3, 6)),
        )
        for _ in range(count)
    ]  # fmt: skip


@pytest.mark.parametrize("truth", [LatencyModel(0.02, 0.1, 0.05, 2.0, 0.4), LatencyModel(0.0, 0.3, 0.0, 0.0)])
def test_coefficients_are_found_again(truth):
    found = LatencyModel.fitted([(costs, truth(costs)) for costs in drawn(8)])
    assert found[:5] == pytest.approx(truth[:5], abs=1e-6)
    assert found.error == pytest.approx(0, abs=1e-3) and found.measured == 8


@pytest.mark.parametrize("seed", range(4))
def test_noise_of_a_tenth_leaves_others_within_a_half(seed):
    truth, random = LatencyModel(0.02, 0.1, 0.05, 2.0), np.random.default_rng(seed)
    found = LatencyModel.fitted([(costs, truth(costs) * random.uniform(0.9, 1.1)) for costs in drawn(8, seed)])
    ratios = [found(costs) / truth(costs) for costs in drawn(50, seed=100 + seed)]
    assert 1 / 1.5 < min(ratios) < max(ratios) < 1.5
    assert 0 < found.error < 0.25


def test_more_work_never_takes_less_time():
    costs = drawn(6)
    found = LatencyModel.fitted([(each, 1 / (1 + i)) for i, each in enumerate(sorted(costs, key=lambda c: c.work))])
    assert min(found[:5]) >= 0
    assert found(costs[0]) > 0


def test_it_comes_back_from_the_journal_and_there_may_be_none():
    found = LatencyModel.fitted([(costs, 2.0) for costs in drawn(1)])
    assert LatencyModel.read(json.loads(json.dumps(found.document()))) == found
    assert LatencyModel.read({"start": 0.1, "macs": 2.0}) is None  # of a version that foretold otherwise
    assert found(drawn(1)[0]) == pytest.approx(2.0)
    assert LatencyModel.read(None) is None
    assert LatencyModel.fitted([]) is None


def test_the_least_squares_have_no_negative_part():
    a, b = np.array([[1.0, 2.0], [1.0, 1.0], [1.0, 0.0]]), np.array([0.0, 1.0, 2.0])
    assert nonnegative(a, b) == pytest.approx([1.0, 0.0])
    assert nonnegative(a, -np.ones(3)) == pytest.approx([0.0, 0.0])
