"""Who leads and who wins: means over seeds, one standard error, ties by loss."""

from __future__ import annotations

import dataclasses
import random

import pytest

from kexp.records import EVERY, Trial
from kexp.search.choose import Judge

JUDGE = Judge(task="binary", objective="", rows=1000)


def trial(id, accuracy, loss=0.5, *, parent=None, epochs=3, units=None):
    return Trial(
        id=id, factory="dense", values={"units": units if units is not None else id}, status="completed", epochs=epochs,
        stage="explore" if parent is None else "confirm", parent=parent, score=accuracy,
        metrics={"accuracy": accuracy, "log_loss": loss},
    )  # fmt: skip


def ids(trials):
    return [t.id for t in trials]


def test_a_clear_lead_is_a_lead():
    assert ids(JUDGE.leaders([trial(0, 0.88), trial(1, 0.90, 0.9), trial(2, 0.885)], 3)) == [1, 2, 0]


def test_within_one_standard_error_the_loss_decides():
    # sqrt(.9 * .1 / 1000) = .0095
    assert ids(JUDGE.leaders([trial(0, 0.900, 0.5), trial(1, 0.893, 0.3), trial(2, 0.88, 0.1)], 3)) == [1, 0, 2]


def test_an_error_metric_decides_by_itself():
    judge = Judge(task="binary", objective="log_loss", rows=10)
    trials = [dataclasses.replace(t, score=t.metrics["log_loss"]) for t in (trial(0, 0.9, 0.31), trial(1, 0.1, 0.30))]
    assert ids(judge.leaders(trials, 2)) == [1, 0]


def test_one_that_is_far_behind_does_not_lead():
    assert ids(JUDGE.leaders([trial(0, 0.90), trial(1, 0.89), trial(2, 0.80)], 3)) == [0, 1]


def test_an_exploring_run_that_no_repeat_comes_near_is_best():
    best, why = JUDGE.choose([trial(0, 0.91), trial(1, 0.70)], [trial(2, 0.75, parent=1, epochs=9)])
    assert best.id == 0
    assert "no run under other seeds" in why


def test_a_repeat_that_comes_near_is_better_than_one_exploring_run():
    best, _ = JUDGE.choose([trial(0, 0.91), trial(1, 0.90)], [trial(2, 0.905, parent=1, epochs=9)])
    assert best.id == 2


def test_an_exploring_run_is_best_where_longer_ones_are_only_surer_of_wrong_answers():
    # A run on uci_har: 120 epochs beside 320, 360 validation rows, of which three more are wrong.
    judge = dataclasses.replace(JUDGE, rows=360)
    explored = trial(0, 0.972, 0.091, epochs=120)
    best, why = judge.choose([explored], [trial(1, 0.964, 0.147, parent=0, epochs=320)])
    assert best.id == 0
    assert "no run under other seeds" in why
    best, _ = judge.choose([explored], [trial(1, 0.964, 0.110, parent=0, epochs=320)])
    assert best.id == 1  # as sure as before: a matter of luck
    best, _ = judge.choose([explored], [trial(1, 0.975, 0.147, parent=0, epochs=320)])
    assert best.id == 1  # more right answers
    again = [trial(1, 0.964, 0.147, parent=0, epochs=320), trial(2, 0.972, 0.084, parent=0, epochs=320)]
    best, _ = judge.choose([explored], again)
    assert best.id == 2  # one of them came near


def test_equal_candidates_lead_once():
    assert ids(JUDGE.leaders([trial(0, 0.9, units=8), trial(1, 0.9, units=8), trial(2, 0.88)], 3)) == [0, 2]


def test_the_mean_over_seeds_decides_not_one_lucky_run():
    explored = [trial(0, 0.99), trial(1, 0.95)]
    again = [trial(2, 0.80, parent=0), trial(3, 0.82, parent=0), trial(4, 0.95, parent=1), trial(5, 0.94, parent=1)]
    best, why = JUDGE.choose(explored, again)
    assert best.id in (1, 4)
    assert why.startswith("candidate 1: mean validation accuracy")


def test_an_exploring_run_that_was_shorter_does_not_count():
    explored = [trial(0, 0.905, epochs=3)]
    best, why = JUDGE.choose(explored, [trial(1, 0.9, parent=0, epochs=6)])
    assert best.id == 1
    assert "over 1 run(s)" in why


def test_without_a_second_run_the_leader_is_best():
    best, why = JUDGE.choose([trial(0, 0.9, 0.5), trial(1, 0.7)], [])
    assert best.id == 0
    assert "one run each" in why


def test_of_a_candidate_that_was_confirmed_twice_the_longer_runs_count():
    explored = [trial(0, 0.90), trial(1, 0.90, units=2)]
    short = [trial(2, 0.80, parent=0, epochs=9), trial(3, 0.80, parent=0, epochs=9)]
    long = [trial(4, 0.95, parent=0, epochs=27), trial(5, 0.93, parent=1, epochs=27, units=2)]
    best, _ = JUDGE.choose(explored, [*short, *long])
    assert best.id == 4


def searched(draw, folds):
    """A search's explored trials and their repeats, some with files, of which some are refused or too large."""

    def filed(one):
        made = draw.random()
        if made < 0.1:
            return dataclasses.replace(one, variant="v", refused="cannot be made", message="cannot be made")
        file = {"accuracy": min(1.0, max(0.0, draw.gauss(one.score, 0.05))), "log_loss": draw.random()}
        known = {"variant": "v", "bytes": draw.choice([900, 1000, 1100]), "shipped": file}
        return one if made < 0.4 else dataclasses.replace(one, **known, refused="gap" * (draw.random() < share))

    share, again = draw.choice([0.0, 0.2, 0.6, 1.0]), []
    explored = [
        filed(trial(id, draw.choice([0.5, 0.9, 0.95, 0.97, 1.0]), draw.random(), epochs=draw.choice([3, 9])))
        for id in range(draw.randint(1, 6))
    ]
    for first in draw.sample(explored, draw.randint(0, min(3, len(explored)))):
        for k in range(1, draw.randint(2, 6)):
            run = trial(
                100 + len(again), draw.random(), parent=first.id, units=first.id, epochs=draw.choice([9, 9, 12])
            )
            status = "stopped" if draw.random() < 0.1 else "completed"
            again.append(filed(dataclasses.replace(run, status=status, seed=k, fold=k * folds)))
        if folds and draw.random() < 0.4:
            whole = trial(100 + len(again), 0.9, parent=first.id, units=first.id, epochs=9)
            again.append(filed(dataclasses.replace(whole, stage="refit", fold=EVERY)))
    return explored, again


@pytest.mark.parametrize("folds", [False, True])
def test_whatever_was_tried_the_best_is_there_and_ships_where_anything_does(folds):
    for seed in range(3000):
        draw = random.Random(seed)
        explored, again = searched(draw, folds)
        judge = Judge(
            task="binary", objective="", rows=draw.choice([10, 1000]), folded=200 * folds,
            max_size=draw.choice([None, 950, 1050]),
        )  # fmt: skip
        left = {t.id for t in (*explored, *again) if draw.random() < 0.8}
        best, why = judge.choose(explored, again, lambda one, left=left: one.id in left)
        left_explored = [t for t in explored if t.id in left]
        assert best.id in left or not left_explored, seed
        if any(t.bytes is not None and judge.fits(t) for t in left_explored):
            assert judge.fits(best), seed
        if best.refused:
            assert "the gate refuses every file" in why or "can be made" in why, seed
            assert all(t.refused for t in left_explored if t.bytes is not None), seed
        elif judge.excess(best) > 1:
            assert "no file is within the limits" in why, seed
