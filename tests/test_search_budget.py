"""What a search spends: epochs and batches from the data, and which finalists fit the time."""

from __future__ import annotations

import pytest

from kexp.records import Column, DatasetSpec, Experiment
from kexp.search.budget import LONGER, MARGIN, UNTIMED, budget, confirmation

QUESTION = Experiment(name="q", data="d")
IMAGE = DatasetSpec(name="i", kind="image", task="binary", shape=(8, 8, 1), outputs=1, labels=("a", "b"))
TABLE = DatasetSpec(
    name="t",
    kind="table",
    task="binary",
    shape=(1,),
    outputs=1,
    labels=("a", "b"),
    columns=(Column(name="x", kind="number"),),
)


@pytest.mark.parametrize(("spec", "rows", "epochs", "batch"), [
    (IMAGE, 54_000, 2, 128), (IMAGE, 1_800, 20, 32), (IMAGE, 10_000, 12, 128),
    (TABLE, 27_677, 36, 128), (TABLE, 300, 100, 32), (TABLE, 5_000_000, 10, 128), (TABLE, 20, 100, 20),
])  # fmt: skip
def test_epochs_and_batches_follow_the_rows(spec, rows, epochs, batch):
    found = budget(QUESTION, spec, rows)
    assert (found.epochs, found.batch_size) == (epochs, batch)


def test_what_the_experiment_says_holds():
    found = budget(Experiment(name="q", data="d", epochs=7, batch_size=64), IMAGE, 54_000)
    assert (found.epochs, found.batch_size) == (7, 64)


def plan(seconds, costs, spec=IMAGE, workers=2, **options):
    return confirmation(Experiment(name="q", data="d", **options), spec, seconds=seconds, costs=costs, workers=workers)


def test_without_a_time_limit_the_plan_does_not_depend_on_measured_time():
    assert plan(None, [1.0, 50.0, 3.0]) == plan(None, [9.0, 1.0, 1.0], workers=7)
    assert plan(None, [1.0] * 3).longer == UNTIMED["image"]


def test_much_time_gives_all_finalists_the_longest_training():
    found = plan(10_000.0, [60.0, 60.0, 60.0])
    assert (found.candidates, found.seeds, found.longer) == ((0, 1, 2), 2, max(LONGER["image"]))


def test_a_slow_leader_leaves_its_place_to_one_that_fits():
    found = plan(300.0, [200.0, 60.0, 60.0])
    assert found.candidates == (1, 2)
    assert found.longer == 4


@pytest.mark.parametrize("seconds", [15, 60, 100, 250, 500, 1000, 3000])
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_what_is_planned_fits(seconds, workers):
    costs = [40.0, 55.0, 30.0]
    found = plan(float(seconds), costs, workers=workers)
    if found is None:
        assert seconds < min(costs) * MARGIN * 2
        return
    runs = len(found.candidates) * found.seeds
    mean = sum(costs[i] for i in found.candidates) / len(found.candidates)
    assert -(-runs // workers) * mean * found.longer <= seconds


def test_none_where_none_is_wanted_or_nothing_fits():
    assert plan(100.0, [10.0], finalists=0) is None
    assert plan(100.0, [10.0], seeds=0) is None
    assert plan(5.0, [10.0]) is None
