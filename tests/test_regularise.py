"""Dropout, augmentation and the like only once the leading candidates overfit: decided alike by every walk."""

from __future__ import annotations

import contextlib
import dataclasses

import pytest
from test_search_choose import JUDGE, trial
from test_search_loop import BUDGET, SPEC, FakeWorkers, Killed

from kexp.errors import ExperimentError
from kexp.experiment import from_data
from kexp.models import unregularised
from kexp.records import Dimension, Experiment
from kexp.search import check
from kexp.search.evolution import EvolutionOracle
from kexp.search.explore import LEAST_TOLD
from kexp.search.loop import Search
from kexp.search.sketches import Sketches
from kexp.store import RunStore


class Overfitting(FakeWorkers):
    """Every candidate knows its training rows by heart, or does as well on others."""

    def __init__(self, store, size, seed, last=None, *, train=1.0):
        super().__init__(store, size, seed, last)
        self.train = train

    def poll(self, timeout):
        return [
            one._replace(
                trial=dataclasses.replace(
                    one.trial, train={"accuracy": self.train if self.train else one.trial.metrics["accuracy"]}
                )
            )
            for one in super().poll(timeout)
        ]


def searched(home, name, *, size=1, last=None, trials=24, train=1.0):
    question = Experiment(name=name, data="d", trials=trials, finalists=0, window=5, regularise="overfitting")
    run = RunStore.open(home, name) if (home / "runs" / name).exists() else RunStore.create(home, name, question)
    said = []
    with run, run.lock():
        workers = Overfitting(run, size, 0, last, train=train)
        with contextlib.suppress(Killed):
            Search(question, SPEC, Sketches(SPEC, question), run, workers, BUDGET, 100, said.append).run()
        return run.trials(), run.get("opened"), [event.text for event in said if event.kind == "notice"]


def test_candidates_that_overfit_open_the_wider_space(tmp_path):
    trials, opened, said = searched(tmp_path, "wide")
    assert opened["gap"] == 1.0
    assert opened["held"] == {"dropout": 0.0, "weight_decay": 0.01}
    assert opened["after"] >= LEAST_TOLD
    before, after = trials[: opened["after"]], trials[opened["after"] :]
    assert {(t.values["dropout"], t.values["weight_decay"]) for t in before} == {(0.0, 0.01)}
    assert len({t.values["dropout"] for t in after}) > 1
    assert any("overfit (100% of the error" in text for text in said)


def test_candidates_that_do_not_overfit_are_never_regularised(tmp_path):
    trials, opened, _ = searched(tmp_path, "plain", train=None)
    assert opened is None
    assert {t.values["dropout"] for t in trials} == {0.0}


def test_a_killed_search_and_one_on_more_workers_decide_alike(tmp_path):
    whole, opened, _ = searched(tmp_path, "whole")
    wide, same, _ = searched(tmp_path, "wide", size=3)
    searched(tmp_path, "killed", last=9)
    again, also, _ = searched(tmp_path, "killed")
    assert opened == same == also
    for others in (wide, again):
        assert [(t.id, t.values) for t in others] == [(t.id, t.values) for t in whole]


def test_what_is_held_is_proposed_until_it_is_let_go():
    space = (
        Dimension(name="dropout", kind="float", default=0.2, minimum=0.0, maximum=0.5, step=0.1),
        Dimension(name="units", kind="choice", default=8, values=(8, 16)),
    )
    oracle = EvolutionOracle(space, seed=0, direction="max", trials=None, epochs=1, recipes=((), ()))
    oracle.hold({"dropout": 0.0, "absent": 1})
    first = [oracle.ask(id).values for id in range(2)]
    assert first == [{"dropout": 0.0, "units": 8}, {"dropout": 0.0, "units": 16}]
    for id in range(2):
        oracle.tell(id, 0.5 + id)
    assert oracle.ask(2) is None
    assert oracle.exhausted
    oracle.hold({})
    assert not oracle.exhausted
    assert oracle.ask(2).values == {"dropout": 0.2, "units": 8}  # the default, as it is now


def test_a_dimension_that_cannot_be_off_is_not_held():
    assert unregularised(
        [
            Dimension(name="dropout", kind="float", default=0.2, minimum=0.1, maximum=0.5),
            Dimension(name="augmentation", kind="choice", default="flip", values=("flip", "none")),
            Dimension(name="erase", kind="fixed", default=0.5),
            Dimension(name="units", kind="choice", default=8, values=(8, 16)),
        ]
    ) == {"augmentation": "none"}


def test_the_gap_is_what_is_not_there_on_training_rows():
    one = trial(0, 0.9)
    assert JUDGE.overfitting(one) is None
    assert JUDGE.overfitting(dataclasses.replace(one, train={"accuracy": 0.95})) == pytest.approx(0.5)
    loss = dataclasses.replace(JUDGE, objective="log_loss")
    assert loss.overfitting(dataclasses.replace(one, train={"log_loss": 0.5})) == 0.0
    perfect = dataclasses.replace(trial(1, 1.0), train={"accuracy": 1.0})
    assert JUDGE.overfitting(perfect) == 0.0


def test_an_oracle_that_draws_from_the_whole_space_is_refused():
    with pytest.raises(ExperimentError, match="regularise = 'overfitting' takes oracle = 'evolution'"):
        check(from_data("d", regularise="overfitting", oracle="random"), SPEC)
    with pytest.raises(ExperimentError, match="one of always, overfitting is expected"):
        from_data("d", regularise="never")
