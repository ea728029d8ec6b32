"""Folds: leading candidates of few rows run on each, the mean decides, the best trains once more on all rows."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from kexp import data
from kexp.data import split
from kexp.data.dataset import PARTS, Dataset
from kexp.errors import DataError
from kexp.records import EVERY, DatasetSpec, Experiment, Trial
from kexp.search.budget import Budget, confirmation
from kexp.search.choose import Judge

SPEC = DatasetSpec(name="d", kind="series", task="binary", shape=(9, 1), outputs=1, labels=("a", "b"))


def loaded(tmp_path, n=60, **options):
    """A table of `n` rows, of two classes."""
    path = tmp_path / "rows.csv"
    random = np.random.default_rng(0)
    rows = [f"{x:.3f},{y:.3f},{'ab'[int(x > 0)]},g{i // 3}" for i, (x, y) in enumerate(random.normal(0, 1, (n, 2)))]
    path.write_text("x,y,label,group\n" + "\n".join(rows) + "\n")
    question = Experiment(name="rows", data=str(path), target=("label",), **options)
    return data.load(question, cache=tmp_path / "cache")


def test_few_rows_have_folds_and_many_have_none(tmp_path):
    few = loaded(tmp_path, 60, drop=("group",))
    assert few.folds == 5
    assert any("Few rows validate" in notice for notice in few.notices)
    assert loaded(tmp_path, 800, drop=("group",)).folds == 0
    assert loaded(tmp_path, 60, drop=("group",), folds=0).folds == 0
    assert loaded(tmp_path, 800, drop=("group",), folds=3).folds == 3


def test_every_row_but_test_rows_validates_once(tmp_path):
    dataset = loaded(tmp_path, drop=("group",))
    test = set(dataset.rows("test").tolist())
    seen = []
    for fold in range(1, 6):
        train, validation = (set(dataset.rows(part, fold).tolist()) for part in ("train", "validation"))
        assert not train & validation
        assert not (train | validation) & test
        assert len(train | validation) + len(test) == len(dataset.y)
        assert {0, 1} == set(dataset.y[sorted(validation)].tolist())
        seen += sorted(validation)
    assert sorted(seen) == sorted(set(range(60)) - test)
    assert set(dataset.rows("train", EVERY).tolist()) == set(seen)
    assert np.array_equal(dataset.rows("validation", EVERY), dataset.rows("validation"))
    assert np.array_equal(dataset.rows("test", 2), dataset.rows("test"))


def test_groups_stay_in_one_fold(tmp_path):
    dataset = loaded(tmp_path, group_column="group")
    groups = np.arange(60) // 3
    for group in range(20):
        assert len(set(dataset.fold[groups == group])) == 1


def test_folds_are_kept_with_the_data(tmp_path):
    dataset = loaded(tmp_path, drop=("group",))
    dataset.save(tmp_path / "saved")
    assert np.array_equal(Dataset.open(tmp_path / "saved").fold, dataset.fold)


def test_the_same_seed_gives_the_same_folds_and_another_one_others(tmp_path):
    one, same = (loaded(tmp_path, drop=("group",)).fold for _ in range(2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, loaded(tmp_path, drop=("group",), seed=1).fold)


def test_rows_whose_validation_part_is_not_chance_have_no_folds(tmp_path):
    (tmp_path / "timed.csv").write_text("t,x,label\n" + "".join(f"{i},{i % 7},{'ab'[i % 2]}\n" for i in range(60)))
    question = Experiment(name="t", data=str(tmp_path / "timed.csv"), target=("label",), time_column="t")
    assert data.load(question, cache=tmp_path / "cache").folds == 0
    with pytest.raises(DataError, match=r"folds = 3.*an order in time"):
        data.load(dataclasses.replace(question, folds=3), cache=tmp_path / "cache")


def test_more_folds_than_groups_are_refused():
    part = np.full(12, PARTS["train"], np.int8)
    with pytest.raises(DataError, match="12 rows in 2 groups leave one of 5 folds without rows"):
        split.folds(part, 5, y=np.arange(12) % 2, groups=np.arange(12) // 6)


@pytest.mark.parametrize("folds", [1, -1])
def test_one_fold_is_none(folds):
    with pytest.raises(ValueError, match="folds"):
        Experiment(name="e", data="d", folds=folds)


def plan(seconds, costs, **options):
    budget = Budget(rows=40, epochs=10, batch_size=8, explore_share=0.5, rungs=8)
    question = Experiment(name="e", data="d")
    return confirmation(
        question, SPEC, budget, seconds=seconds, costs=costs, explored=[10] * len(costs), workers=1, **options
    )


def test_a_confirmation_has_all_folds_and_time_for_one_training_more():
    found = plan(1.15 * 60 * 6, [1.0], folds=5)
    assert (found.seeds, found.epochs) == (5, 60)
    assert plan(1.15 * 60 * 5, [1.0], folds=5).epochs < 60
    assert plan(None, [1.0], folds=5).seeds == 5
    assert plan(30, [1.0], folds=5) is None


def trial(id, score, **fields):
    metrics = {"accuracy": score, "log_loss": 1 - score}
    return Trial(id=id, factory="f", values={"a": fields.pop("value", id)}, status="completed", epochs=10,
                 score=score, metrics=metrics, **fields)  # fmt: skip


def test_the_mean_over_folds_decides_and_no_lucky_exploring_run():
    explored = [trial(0, 1.0), trial(1, 0.9)]
    confirmed = [trial(2 + k, 0.7 + 0.01 * k, stage="confirm", parent=0, fold=k, value=0) for k in (1, 2, 3)]
    confirmed += [trial(12 + k, 0.8 + 0.01 * k, stage="confirm", parent=1, fold=k, value=1) for k in (1, 2, 3)]
    judge = Judge(task="binary", objective="", rows=8, folded=400)
    best, reason = judge.choose(explored, confirmed)
    assert (best.parent, best.fold) == (1, 3)
    assert "over 3 fold(s)" in reason


@pytest.mark.slow
def test_a_search_of_few_rows_ships_a_network_of_all_of_them(tmp_path, monkeypatch):
    from kexp import pipeline
    from kexp.store import RunStore

    loaded(tmp_path, drop=("group",))
    question = Experiment(
        name="rows", data=str(tmp_path / "rows.csv"), target=("label",), drop=("group",), trials=3, finalists=1
    )
    assert pipeline.search(question, home=tmp_path, workers=1)
    with RunStore.open(tmp_path, "rows") as run:
        trials = run.trials()
        best = next(t for t in trials if t.id == run.get("best_trial"))
        folds = [t for t in trials if t.stage == "confirm"]
        assert sorted(t.fold for t in folds) == [1, 2, 3, 4, 5]
        assert (best.stage, best.fold, best.parent) == ("refit", EVERY, folds[0].parent)
        assert best.score == pytest.approx(np.mean([t.score for t in folds]))
        assert "on all rows but the test rows" in run.get("reason")
    assert pipeline.search(question, home=tmp_path, workers=1)  # it is over: nothing is trained again
    with RunStore.open(tmp_path, "rows") as run:
        assert len(run.trials()) == len(trials)
