"""What a search spends: epochs and batches from the data, and which finalists fit the time."""

from __future__ import annotations

import dataclasses
import math

import pytest

from kexp.records import Column, DatasetSpec, Experiment
from kexp.search.budget import (
    CANDIDATES,
    MARGIN,
    MOST_EPOCHS,
    MOST_SAMPLES,
    PICTURES,
    Budget,
    affordable,
    budget,
    confirmation,
    share_until,
)
from kexp.search.protocol import FACTOR

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
    found = budget(dataclasses.replace(QUESTION, oracle="random"), spec, rows)
    assert (found.epochs, found.batch_size, found.rungs) == (epochs, batch, 1)
    climbing = budget(QUESTION, spec, rows)
    assert climbing.rungs > 1
    assert climbing.epochs == (epochs if spec is IMAGE else math.ceil(epochs / FACTOR))


def test_what_the_experiment_says_holds():
    found = budget(Experiment(name="q", data="d", epochs=7, batch_size=64), IMAGE, 54_000)
    assert (found.epochs, found.batch_size) == (7, 64)


EXPLORED = Budget(rows=54_000, epochs=2, batch_size=128, explore_share=0.5, rungs=8)


def plan(seconds, costs, spec=IMAGE, workers=2, explored=None, of=EXPLORED, **options):
    question = Experiment(name="q", data="d", **options)
    explored = explored or [2] * len(costs)
    return confirmation(question, spec, of, seconds=seconds, costs=costs, explored=explored, workers=workers)


def test_without_a_time_limit_the_plan_does_not_depend_on_measured_time():
    assert plan(None, [1.0, 50.0, 3.0]) == plan(None, [9.0, 1.0, 1.0], workers=7)
    assert plan(None, [1.0] * 3).epochs == 2 * PICTURES.untimed


def test_much_time_gives_all_finalists_the_longest_training():
    found = plan(100_000.0, [30.0, 30.0, 30.0])
    assert (found.candidates, found.seeds) == ((0, 1, 2), 2)
    assert MOST_SAMPLES / 1.5 < found.epochs * EXPLORED.rows <= MOST_SAMPLES


def test_few_rows_are_not_trained_on_for_more_epochs_than_teach_anything():
    few = Budget(rows=1_200, epochs=20, batch_size=32, explore_share=0.5, rungs=8)
    found = plan(10_000.0, [0.05] * 3, explored=[60] * 3, of=few)
    assert found.epochs == MOST_EPOCHS
    assert plan(10_000.0, [0.05] * 3, explored=[540] * 3, of=few).epochs == 540  # as long as they were explored


def test_a_slow_leader_leaves_its_place_to_one_that_fits():
    found = plan(300.0, [100.0, 15.0, 15.0])
    assert found.candidates == (1, 2)
    assert found.epochs > 10


def test_the_best_is_not_left_out_for_what_is_faster():
    explored, costs = [18, 18, 18], [38.8, 24.9, 14.3]  # of a search of an hour, .9331 .9231 .9214
    found = plan(1985.0, costs, explored=explored)
    assert found.candidates[0] == 0
    assert found.epochs == int(1985.0 / MARGIN / 38.8)
    assert plan(1985.0, costs[1:], explored=explored[1:]).epochs > found.epochs
    hasty = plan(1985.0, [80.0, *costs[1:]], explored=explored)  # 21 epochs of the best would gain little
    assert 0 not in hasty.candidates and hasty.epochs > 44


def test_the_best_trains_for_all_that_it_has_time_for():
    found = plan(1754.0, [35.2, 13.9, 13.5, 13.1, 7.4, 13.4], explored=[18, 18, 18, 18, 6, 18])
    assert found.candidates[0] == 0
    assert found.epochs == int(1754.0 / MARGIN / 35.2)  # 43; of the usual lengths 32 would be the next
    assert len(found.candidates) == 3  # the other worker trains two that are faster meanwhile
    high = plan(4000.0, [36.0, 14.0], explored=[54, 18])  # no training is longer than 72, and it has time for that
    assert (high.candidates, high.epochs) == ((0, 1), 72)
    high = plan(2940.0, [36.0, 14.0], explored=[54, 18])  # ... or for nearly as much
    assert (high.candidates, high.epochs) == ((0, 1), 71)
    assert 0 not in plan(2200.0, [36.0, 14.0], explored=[54, 18]).candidates  # 53 are fewer than it had


def test_a_slow_leader_of_short_trainings_does_not_shorten_those_of_the_others():
    found = plan(1150.0, [100.0, 10.0, 10.0], explored=[6, 18, 18])
    assert found.candidates == (1, 2)
    assert found.epochs > 40


@pytest.mark.parametrize("seconds", [300.0, 1000.0, 1754.0])
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_no_run_is_planned_that_the_time_limit_would_cut_short(seconds, workers):
    costs = [20.0, 5.0, 5.0]
    found = plan(seconds, costs, explored=[6, 18, 18], workers=workers)
    free = [0.0] * workers
    for cost in [costs[i] for i in found.candidates] * found.seeds:  # in the order in which they are submitted
        free[free.index(min(free))] += cost * found.epochs
    assert max(free) * MARGIN <= seconds * 1.001


def test_a_run_is_not_shorter_than_the_one_that_it_repeats():
    assert plan(1000.0, [10.0, 10.0], explored=[18, 6]).epochs >= 18
    assert plan(150.0, [10.0, 10.0], explored=[18, 6]).candidates == (1,)
    assert plan(150.0, [10.0, 10.0], explored=[18, 18]) is None


def test_what_leads_from_a_high_rung_does_not_give_way_to_a_lower_one():
    high = plan(40_000.0, [10.0] * 6, explored=[162, 162, 54, 162, 54, 54])
    assert high.epochs >= 162 and high.candidates[0] == 0
    assert high.epochs * EXPLORED.rows > MOST_SAMPLES


@pytest.mark.parametrize("seconds", [15, 60, 100, 250, 500, 1000, 3000])
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_what_is_planned_fits(seconds, workers):
    costs = [20.0, 27.5, 15.0]
    found = plan(float(seconds), costs, workers=workers)
    if found is None:
        assert seconds < min(costs) * MARGIN * 2
        return
    runs = len(found.candidates) * found.seeds
    mean = sum(costs[i] for i in found.candidates) / len(found.candidates)
    assert -(-runs // workers) * mean * found.epochs <= seconds


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_no_worker_is_left_without_a_run_where_all_can_have_one(workers):
    found = plan(500.0, [5.0] * 3, workers=workers)
    assert len(found.candidates) * found.seeds >= max(2, workers)


def test_none_where_none_is_wanted_or_nothing_fits():
    assert plan(100.0, [10.0], finalists=0) is None
    assert plan(100.0, [10.0], seeds=0) is None
    assert plan(5.0, [10.0]) is None


def test_a_search_climbs_as_far_as_there_is_time_for_candidates_on_every_rung():
    def work(count):
        return CANDIDATES * 6.0 * 2 * sum(FACTOR**rung for rung in range(count))

    assert affordable(EXPLORED, 10.0, 6.0, 2) == 1
    for seconds in (300.0, 1500.0, 10_000.0):
        count = affordable(EXPLORED, seconds, 6.0, 2)
        assert work(count) <= 2 * seconds < work(count + 1)
    assert affordable(EXPLORED, 300.0, 6.0, 8) > affordable(EXPLORED, 300.0, 6.0, 1)
    assert affordable(dataclasses.replace(EXPLORED, rungs=2), 1e6, 6.0, 2) == 2


def test_each_rung_has_as_many_candidates():
    assert [share_until(rung, 3) for rung in range(3)] == [1 / 13, 4 / 13, 1.0]
    assert share_until(0, 1) == 1.0


def test_a_training_on_the_last_rung_is_not_longer_than_its_share_however_many_work():
    for workers in (1, 4, 16, 64):
        count = affordable(EXPLORED, 1620.0, 6.0, workers)
        share = 1.0 - share_until(count - 2, count) if count > 1 else 1.0
        assert 6.0 * EXPLORED.epochs * FACTOR ** (count - 1) <= 1620.0 * share


def test_rows_that_climb_are_confirmed_as_long_without_a_time_limit_too():
    climbing = budget(Experiment(name="q", data="d", trials=14), TABLE, 27_677)
    found = confirmation(QUESTION, TABLE, climbing, seconds=None, costs=[0.1], explored=[12], workers=2)
    assert found.epochs == 36


@pytest.mark.parametrize("options", [{"epochs": 3}, {"trials": 12}, {"oracle": "bayesian"}, {"oracle": "hyperband"}])
def test_who_says_how_long_or_asks_for_few_trials_gets_one_rung(options):
    assert budget(Experiment(name="q", data="d", **options), IMAGE, 54_000).rungs == 1
    assert budget(Experiment(name="q", data="d", **options), TABLE, 27_677).epochs == options.get("epochs", 36)


def test_rows_are_confirmed_for_as_long_as_on_the_second_rung():
    climbing = budget(Experiment(name="q", data="d", seconds=60.0), TABLE, 27_677)
    found = confirmation(QUESTION, TABLE, climbing, seconds=60.0, costs=[0.1], explored=[12], workers=2)
    assert found.epochs == 36
