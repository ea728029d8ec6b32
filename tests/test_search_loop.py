"""The loop alone, with workers that finish when they like: every oracle proposes the same, whoever is first."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import json
import zlib
from pathlib import Path

import numpy as np
import pytest

from kexp.data.dataset import Dataset
from kexp.errors import RunError, SearchError
from kexp.models import RECIPES
from kexp.records import Column, Curve, DatasetSpec, Experiment, Trial
from kexp.search.budget import CANDIDATES, Budget
from kexp.search.events import ignore
from kexp.search.limits import Limits
from kexp.search.loop import Search
from kexp.search.optuna_oracles import OptunaOracle
from kexp.search.oracles import ORACLES
from kexp.search.protocol import FACTOR
from kexp.search.sketches import Sketches
from kexp.search.worker import Job, Setup
from kexp.search.workers import AbstractWorkers, Outcome
from kexp.store import RunStore

SPEC = DatasetSpec(
    name="t", kind="table", task="binary", shape=(2,), outputs=1, labels=("a", "b"),
    columns=(Column(name="x", kind="number"), Column(name="y", kind="number")),
)  # fmt: skip
BUDGET = Budget(rows=64, epochs=9, batch_size=8, explore_share=1.0)


class Killed(BaseException):
    """What kill -9 is to this process."""


class FakeWorkers(AbstractWorkers):
    """Trains nothing: the score is told from the values. Jobs end in an order of their own, several at once."""

    def __init__(self, store: RunStore, size: int, seed: int, last: int | None = None) -> None:
        self.size, self.jobs, self.store = size, [], store
        self.random = np.random.default_rng(seed)
        self.left = itertools.count() if last is None else iter(range(last))
        self.trained: list[int] = []

    def begin(self, setup: Setup, size: int, log: Path) -> None:
        """They were begun when they were made."""

    def submit(self, job: Job) -> None:
        assert all(self.store.weights(parent).exists() for parent in job.parents.values())
        self.jobs.append(job)

    def poll(self, timeout: float) -> list[Outcome]:
        if next(self.left, None) is None:
            raise Killed
        outcomes = []
        for _ in range(int(self.random.integers(1, len(self.jobs) + 1))):
            for trial in self.jobs.pop(int(self.random.integers(len(self.jobs)))).trials:
                digest = zlib.crc32(repr((sorted(trial.values.items()), trial.epochs, trial.seed)).encode())
                score = digest % 10_000 / 10_000
                self.store.save_weights(trial.id, [np.zeros(1)])
                self.trained.append(trial.id)
                metrics = {"accuracy": score, "log_loss": 1 - score, "balanced_accuracy": score}
                done = dataclasses.replace(trial, status="completed", score=score, metrics=metrics, seconds=1.0)
                curve = Curve(epochs=(1,), running_loss=(1.0,), validation_loss=(None,), score=(score,))
                outcomes.append(Outcome(done, curve=curve))
        return outcomes

    def close(self) -> None:
        pass


def search(home, name, oracle, *, size=1, seed=0, last=None, trials=14, space=None, window=5, most=None, told=ignore):
    grid = {"learning_rate": [1e-3, 1e-2], "weight_decay": 1e-4, "dropout": 0.0}
    space = space or (grid if oracle == "grid" else {})
    question = Experiment(
        name=name,
        data="d",
        oracle=oracle,
        trials=trials,
        space=space,
        finalists=2,
        seeds=2,
        window=window,
        max_parameters=most,
    )
    run = RunStore.open(home, name) if (home / "runs" / name).exists() else RunStore.create(home, name, question)
    with run, run.lock():
        workers = FakeWorkers(run, size, seed, last)
        found = Search(question, SPEC, Sketches(SPEC, question), run, workers, BUDGET, 100, told)
        with contextlib.suppress(Killed):
            found.run()
        return run.trials(), workers.trained


def told(trials: list[Trial]):
    return [(t.id, t.stage, t.values, t.epochs, t.parent, t.same_as, t.score) for t in trials]


@pytest.mark.parametrize("oracle", ORACLES)
def test_who_finishes_first_does_not_matter(tmp_path, oracle):
    alone, _ = search(tmp_path, "alone", oracle)
    for size, seed in ((3, 2),):
        together, _ = search(tmp_path, f"together{size}", oracle, size=size, seed=seed)
        assert told(together) == told(alone)


@pytest.mark.parametrize("oracle", ["random", "evolution", "hyperband"])
def test_who_trains_with_whom_does_not_depend_on_the_workers(tmp_path, monkeypatch, oracle):
    made = []
    submit = FakeWorkers.submit

    def noted(self, job):
        made[-1].append(tuple(trial.id for trial in job.trials))
        submit(self, job)

    monkeypatch.setattr(FakeWorkers, "submit", noted)
    for size in (1, 3):
        made.append([])
        search(tmp_path, f"{size}", oracle, size=size, seed=size, window=None)
    assert set(made[0]) == set(made[1])
    assert max(map(len, made[0])) > 1


def test_in_few_trials_tpe_is_told_of_all_before_each_block(tmp_path, monkeypatch):
    known = []
    ask = OptunaOracle.ask

    def noted(self, id):
        known.append((id, len(self._told)))
        return ask(self, id)

    monkeypatch.setattr(OptunaOracle, "ask", noted)
    search(tmp_path, "few", "tpe", size=2, trials=40, window=None)
    assert [count for id, count in known if id < 40] == [id // 4 * 4 for id in range(40)]


def test_a_group_is_in_the_journal_whole_or_not_at_all(tmp_path, monkeypatch):
    told = RunStore.record_tell

    def killed(self, trial, curve):
        if trial.id == 3:
            raise Killed
        told(self, trial, curve)

    monkeypatch.setattr(RunStore, "record_tell", killed)
    trials, _ = search(tmp_path, "t", "random", window=None)
    monkeypatch.undo()
    known = {t.id for t in trials if t.score is not None}
    with RunStore.open(tmp_path, "t") as run:  # a trial that was told has its curve, another has none
        assert set(run.curves()) == known and len(known) > 0
    again, now = search(tmp_path, "t", "random", window=None)
    with RunStore.open(tmp_path, "t") as run:
        assert set(run.curves()) == {t.id for t in again if t.same_as is None}
    assert 3 in now
    assert not known & set(now)  # what was told is not trained again ...
    assert {t.id for t in again if t.stage == "explore" and t.score is None} == set()  # ... and all else is


@pytest.mark.parametrize("oracle", ORACLES)
def test_a_search_killed_again_and_again_is_the_search_that_was_not(tmp_path, oracle):
    straight, _ = search(tmp_path, "straight", oracle)
    trained = []
    for attempt in range(40):
        trials, now = search(tmp_path, "killed", oracle, size=2, seed=attempt, last=6)
        trained += now
        if all(t.score is not None for t in trials) and len(trials) == len(straight):
            break
    assert told(trials) == told(straight)
    assert len(trained) == len(set(trained))


def test_a_continued_trial_continues_the_weights_of_what_stood_in_for_its_parent(tmp_path):
    trials, _ = search(tmp_path, "h", "hyperband", trials=60, space={"learning_rate": 0.002, "weight_decay": 0.01})
    assert any(t.same_as is not None for t in trials)
    assert any(t.parent is not None for t in trials if t.stage == "explore")
    by_id = {t.id: t for t in trials}
    assert all(by_id[t.parent].same_as is None for t in trials if t.stage == "explore" and t.parent is not None)


def test_a_space_cleaned_of_its_weights_starts_anew(tmp_path):
    search(tmp_path, "c", "hyperband", trials=9)
    for path in (tmp_path / "runs" / "c" / "weights").iterdir():
        path.unlink()
    trials, _ = search(tmp_path, "c", "hyperband", trials=20)
    assert sum(t.stage == "explore" for t in trials) == 20
    assert Dataset  # the loop never reads rows


def test_the_first_trial_is_a_job_by_itself_and_the_first(tmp_path):
    given = []

    class Noted(FakeWorkers):
        def submit(self, job):
            given.append([trial.id for trial in job.trials])
            super().submit(job)

    question = Experiment(name="first", data="d", trials=16, finalists=0)
    with RunStore.create(tmp_path, "first", question) as run, run.lock():
        Search(question, SPEC, Sketches(SPEC, question), run, Noted(run, 2, 0), BUDGET, 100, ignore).run()
    assert given[0] == [0]
    assert max(map(len, given)) > 1


def test_what_is_explored_ends_with_its_stage_and_leaves_the_rest_to_the_leaders(tmp_path, monkeypatch):
    """Each trial takes 20 s of a clock of its own; of 200 s the first half explores."""
    now = [1000.0]
    monkeypatch.setattr("kexp.search.loop.time.monotonic", lambda: now[0])
    monkeypatch.setattr("kexp.store.journal.time.monotonic", lambda: now[0])
    jobs: list[tuple[float, Job]] = []

    class Slow(FakeWorkers):
        def submit(self, job):
            jobs.append((now[0] - 1000.0, job))
            super().submit(job)

        def poll(self, timeout):
            now[0] += 20.0
            waiting, self.jobs = self.jobs[1:], self.jobs[:1]  # the first is the one that trains
            outcomes = super().poll(timeout)
            self.jobs = waiting
            return [Outcome(dataclasses.replace(outcome.trial, seconds=20.0)) for outcome in outcomes]

    question = Experiment(name="t", data="d", oracle="random", seconds=200.0, finalists=1, seeds=1)
    with RunStore.create(tmp_path, "t", question) as run, run.lock():
        workers = Slow(run, 1, 0)
        budget = dataclasses.replace(BUDGET, explore_share=0.5)
        Search(question, SPEC, Sketches(SPEC, question), run, workers, budget, 100, ignore).run()
    explored = [(at, job) for at, job in jobs if job.trials[0].stage == "explore"]
    assert all(at < 100.0 for at, _ in explored)  # nothing begins once exploring is over
    later = [job for at, job in explored if at > 20.0]
    assert later and all(job.end == 1000.0 + 100.0 + 10.0 for job in later)
    confirmed = [job for _, job in jobs if job.trials[0].stage == "confirm"]
    assert confirmed and all(job.end == 1200.0 for job in confirmed)


def climbing(home, monkeypatch, kills=(), pace=1.0, more=(), space=None):
    """The trials of a search of 2,000 s of a clock of its own, by one worker, killed after so many events.

    It goes on in calls with the seconds `more`.

    An epoch takes `pace` seconds.
    """
    now = [1000.0]
    monkeypatch.setattr("kexp.search.loop.time.monotonic", lambda: now[0])
    monkeypatch.setattr("kexp.store.journal.time.monotonic", lambda: now[0])

    class Timed(FakeWorkers):
        def poll(self, timeout):
            job, *self.jobs = self.jobs
            waiting, self.jobs = self.jobs, [job]
            [trial] = job.trials
            seconds = (trial.epochs - job.initial_epoch) * pace
            seconds = min(seconds, max(1.0, job.end - now[0]))
            now[0] += seconds
            [outcome] = super().poll(timeout)
            self.jobs = waiting
            return [Outcome(dataclasses.replace(outcome.trial, seconds=seconds))]

    spec = DatasetSpec(
        name="p", kind="image", task="binary", shape=(8, 8, 1), outputs=1, labels=("a", "b"), mean=(0.0,), std=(1.0,)
    )
    question = Experiment(name="t", data="d", seconds=2000.0, finalists=2, seeds=1, space=space or {})
    budget = Budget(rows=64, epochs=2, batch_size=8, explore_share=0.5, rungs=8)
    for last, longest in (*((kill, 2000.0) for kill in kills), (None, 2000.0), *((None, seconds) for seconds in more)):
        known = (home / "runs" / "t").exists()
        question = dataclasses.replace(question, seconds=longest)
        run = RunStore.open(home, "t") if known else RunStore.create(home, "t", question)
        with run, run.lock(), contextlib.suppress(Killed):
            workers = Timed(run, 1, 0, last)
            Search(question, spec, Sketches(spec, question), run, workers, budget, 100, ignore).run()
        with RunStore.open(home, "t") as run:
            trials = run.trials()
    return trials


def test_pictures_climb_to_longer_trainings_with_the_best_so_far(tmp_path, monkeypatch):
    explored = [t for t in climbing(tmp_path, monkeypatch) if t.stage == "explore"]
    new = [t for t in explored if t.parent is None]
    by_epochs = {epochs: [t for t in new if t.epochs == epochs] for epochs in (2, 6, 18, 54)}
    assert sum(map(len, by_epochs.values())) == len(new)
    assert min(map(len, by_epochs.values())) >= CANDIDATES
    assert [t.epochs for t in new] == sorted(t.epochs for t in new)
    # Each rung has as much of the 1,000 s as one training takes there; it is over among the last that were asked for.
    for epochs, share in ((6, 1000 / 40), (18, 4000 / 40), (54, 13000 / 40)):
        before = [t.seconds for t in explored[: explored.index(by_epochs[epochs][0])]]
        assert sum(before[: -ORACLES["evolution"].window]) <= share <= sum(before)
    for below, above in ((2, 6), (6, 18), (18, 54)):
        known = [t for t in explored if t.epochs <= below]
        best = max((t for t in known if t.epochs == below), key=lambda t: t.score)
        there = [t.values for t in explored if t.epochs == above]
        assert best.values in there
        assert any(values not in [t.values for t in known] for values in there)  # their offspring


def test_the_best_pictures_go_ahead_of_the_new_ones_and_before_them(tmp_path, monkeypatch):
    trials = climbing(tmp_path, monkeypatch)
    by_id = {t.id: t for t in trials}
    ahead = [t for t in trials if t.stage == "explore" and t.parent is not None]
    assert ahead
    for trial in ahead:
        parent = by_id[trial.parent]
        assert (trial.epochs, trial.values) == (FACTOR * parent.epochs, parent.values)
        assert trial.seconds == trial.epochs - parent.epochs  # it goes on from its parent's weights
    first = ahead[0]
    assert first.id <= 12
    assert sum(t.epochs == 2 and t.id < first.id for t in trials) >= 3  # one of three


def test_recipes_made_by_hand_are_tried_when_their_time_has_come(tmp_path, monkeypatch):
    explored = [t for t in climbing(tmp_path, monkeypatch) if t.stage == "explore"]
    assert explored[1].values["augmentation"] == "none" and explored[1].values["dropout"] == 0.0
    first = next(t for t in explored if t.epochs == 6 and t.parent is None)
    assert {**first.values, **RECIPES["conv"].long[0]} == first.values
    assert sum(t.values == first.values and t.parent is None for t in explored) == 1


def test_a_search_that_is_given_more_time_explores_again_and_climbs_higher(tmp_path, monkeypatch):
    first = climbing(tmp_path / "first", monkeypatch)
    more = climbing(tmp_path / "more", monkeypatch, more=(8000.0,))
    assert [t.values for t in more[: len(first)]] == [t.values for t in first]
    added = more[len(first) :]
    explored = [t for t in added if t.stage == "explore"]
    used = sum(t.seconds for t in first)
    assert sum(t.seconds for t in explored) == pytest.approx((8000 - used) / 2, rel=0.1)  # half of what is left
    assert max(t.epochs for t in explored) > max(t.epochs for t in first if t.stage == "explore")


@pytest.mark.parametrize(("pace", "rungs"), [(4.0, {2, 6, 18}), (20.0, {2, 6}), (30.0, {2})])
def test_it_climbs_no_further_than_there_is_time_for_those_that_lead(tmp_path, monkeypatch, pace, rungs):
    explored = [t for t in climbing(tmp_path, monkeypatch, pace=pace) if t.stage == "explore"]
    new = [t.epochs for t in explored if t.parent is None]
    assert set(new) == rungs
    assert new.count(max(rungs)) >= CANDIDATES - 1


@pytest.mark.parametrize(("trials", "first"), [(13, 8), (14, 8), (20, 8), (27, 16), (40, 24)])
def test_every_number_of_trials_that_climbs_has_some_on_the_second_rung(tmp_path, monkeypatch, trials, first):
    monkeypatch.setattr("test_search_loop.BUDGET", dataclasses.replace(BUDGET, epochs=3, rungs=2))
    told_of, _ = search(tmp_path, "some", "evolution", trials=trials, window=None)
    epochs = [t.epochs for t in told_of if t.stage == "explore"]
    assert epochs == [3] * first + [9] * (trials - first)


@pytest.mark.parametrize("window", [None, 1])
def test_of_a_number_of_trials_the_last_are_on_the_second_rung_whoever_is_first(tmp_path, monkeypatch, window):
    budget = dataclasses.replace(BUDGET, epochs=3, rungs=2)
    monkeypatch.setattr("test_search_loop.BUDGET", budget)
    alone, _ = search(tmp_path, "alone", "evolution", trials=40, window=window)
    explored = [t for t in alone if t.stage == "explore"]
    if window is None:  # otherwise each trains alone, and the best go ahead
        assert [t.epochs for t in explored] == [3] * 24 + [9] * 16
    assert {t.epochs for t in explored[24:]} == {9}
    short = [t for t in explored if t.epochs == 3]
    best = sorted(short, key=lambda t: (-t.score, t.id))[:4]
    promoted = [t.values for t in explored if t.epochs == 9]
    assert [t.id for t in best if t.values in promoted] == [t.id for t in best]  # those told late as well
    for size, seed in ((3, 2), (2, 5)):
        other, _ = search(tmp_path, f"together{size}", "evolution", size=size, seed=seed, trials=40, window=window)
        assert told(other) == told(alone)


USED_UP = {"hidden_layers": 1, "units_0": [16, 32, 64], "learning_rate": [1e-3, 1e-2], "dropout": 0.0,
           "weight_decay": 1e-4, "activation": "relu", "batch_normalization": False}  # fmt: skip


@pytest.mark.parametrize("window", [None, 1, 4])
def test_the_best_of_a_space_that_is_used_up_are_trained_for_longer(tmp_path, monkeypatch, window):
    monkeypatch.setattr("test_search_loop.BUDGET", dataclasses.replace(BUDGET, epochs=3, rungs=2))
    options = {"trials": 20, "window": window, "space": USED_UP}
    trials, _ = search(tmp_path, "t", "evolution", **options)
    explored = [t for t in trials if t.stage == "explore"]
    short = [t for t in explored if t.epochs == 3]
    assert len({repr(t.values) for t in short}) == len(short) == 6
    best = sorted(short, key=lambda t: -t.score)[:2]  # one of three
    longer = [t.values for t in explored if t.epochs == 9]
    assert {repr(t.values) for t in best} <= set(map(repr, longer))
    assert len(longer) == 2 or (window and len(longer) == 3)  # one went ahead before the others were told
    again, trained = search(tmp_path, "t", "evolution", **options)
    assert told(again) == told(trials) and not trained
    for last in range(4, 11):
        name = f"killed{last}"
        search(tmp_path, name, "evolution", last=last, **options)
        again, _ = search(tmp_path, name, "evolution", **options)
        assert told(again) == told(trials), last


def test_a_finished_search_of_a_space_that_is_used_up_trains_nothing_again(tmp_path, monkeypatch):
    space = {"filters": [8, 16], "filter_growth": 1.0, "kernel_size": 3, "stages": [1, 2], "convolutions": 1,
             "separable": False, "padding": "same", "pooling": "max", "pool_size": 2, "conv_activation": "relu",
             "conv_batch_normalization": True, "reduction": "flatten", "dense_layers": 0, "dense_units": 32,
             "dropout": 0.0, "augmentation": "none", "learning_rate": [1e-3, 1e-2], "weight_decay": 1e-4}  # fmt: skip
    once = climbing(tmp_path, monkeypatch, space=space)
    assert len({repr(t.values) for t in once}) == 8
    assert {t.epochs for t in once if t.stage == "explore"} >= {2, 6, 18, 54}
    assert told(climbing(tmp_path, monkeypatch, space=space)) == told(once)


def test_a_climb_that_is_killed_goes_on_where_it_was(tmp_path, monkeypatch):
    trials = climbing(tmp_path, monkeypatch, kills=(30, 60, 5))
    explored = [t for t in trials if t.stage == "explore"]
    new = [t.epochs for t in explored if t.parent is None]
    assert set(new) == {2, 6, 18, 54}
    assert new == sorted(new)
    assert len({(t.epochs, repr(sorted(t.values.items()))) for t in explored}) == len(explored)
    assert all(t.epochs >= 18 for t in trials if t.stage == "confirm")


# -- candidates that are too large ----------------------------------------------------------------


LAYERS = {"hidden_layers": [2, 1], "units_0": [64, 96, 16, 8], "units_1": [64, 16, 8, 96], "dropout": 0.0,
          "learning_rate": [1e-3, 1e-2]}  # fmt: skip


def limited(home, name, oracle, **options):
    """A search in which some candidates are too large, the default among them."""
    space = LAYERS if oracle == "grid" else {}
    space = {**space, "weight_decay": 1e-4, "activation": "relu", "batch_normalization": False}
    return search(home, name, oracle, space=space, most=2_000, **options)


def parted(trials):
    refused = [t for t in trials if t.status == "infeasible"]
    return refused, [t for t in trials if t.stage == "explore" and t.status != "infeasible"]


@pytest.mark.parametrize("oracle", ORACLES)
def test_what_is_too_large_is_refused_before_it_is_trained_and_is_none_of_the_trials(tmp_path, oracle):
    trials, trained = limited(tmp_path, "t", oracle)
    refused, explored = parted(trials)
    assert refused[0].id == 0  # the default
    assert not {t.id for t in refused} & set(trained)
    assert len(explored) == 14
    assert all(t.parameters <= 2_000 and t.status == "completed" for t in explored)
    for trial in refused:
        assert trial.message == f"has {trial.parameters:,} parameters, more than the 2,000 allowed"
        assert (trial.score, trial.same_as, trial.stage) == (None, None, "explore")
        assert trial.parameters > 2_000
    again = [t for t in trials if t.stage == "confirm"]
    assert again and {t.parent for t in again} <= {t.id for t in explored}


def test_what_is_said_counts_the_trials_of_its_stage(tmp_path):
    said = []
    limited(tmp_path, "t", "random", told=said.append)
    after = next(i for i, event in enumerate(said) if event.kind == "stage" and event.text == "confirm")
    explored, confirmed = said[:after], said[after:]
    assert {(event.done, event.planned) for event in (explored[-1], confirmed[0])} == {(14, 14)}
    confirmed = confirmed[1:]
    assert max(event.refused for event in explored) > 0 and {event.refused for event in confirmed} == {0}
    plan = next(event for event in confirmed if event.kind == "notice")
    assert plan.done == 0 and plan.planned
    assert [event.done for event in confirmed if event.kind == "finished"] == [*range(1, plan.planned + 1)]


@pytest.mark.parametrize("oracle", ORACLES)
def test_without_a_limit_nothing_is_refused(tmp_path, oracle):
    trials, trained = search(tmp_path, "t", oracle)
    assert parted(trials)[0] == []
    assert 0 in trained


@pytest.mark.parametrize("oracle", ORACLES)
def test_what_is_refused_depends_neither_on_workers_nor_on_kills(tmp_path, oracle):
    alone, _ = limited(tmp_path, "alone", oracle, trials=9)
    together, _ = limited(tmp_path, "together", oracle, size=3, seed=2, trials=9)
    assert told(together) == told(alone)
    trained = []
    for attempt in range(40):
        trials, now = limited(tmp_path, "killed", oracle, size=2, seed=attempt, last=4, trials=9)
        trained += now
        if len(trials) == len(alone) and all(t.status != "running" for t in trials):
            break
    assert told(trials) == told(alone)
    assert len(trained) == len(set(trained))


def test_a_search_that_is_killed_between_two_refusals_goes_on_there(tmp_path, monkeypatch):
    straight, _ = limited(tmp_path, "straight", "evolution")
    record = RunStore.record_ask
    for last in (0, 1, 2, 3, 7):

        def killed(self, trial, last=last, **proposal):
            if trial.id > last:
                raise Killed
            record(self, trial, **proposal)

        monkeypatch.setattr(RunStore, "record_ask", killed)
        limited(tmp_path, "killed", "evolution")
    monkeypatch.undo()
    assert told(limited(tmp_path, "killed", "evolution")[0]) == told(straight)


@pytest.mark.parametrize("oracle", ["random", "evolution", "hyperband", "grid"])
def test_a_larger_budget_walks_over_what_was_refused(tmp_path, oracle):
    few, _ = limited(tmp_path, "t", oracle, trials=4)
    many, trained = limited(tmp_path, "t", oracle, trials=12)
    assert told(many)[: len(few)] == told(few)
    assert len(parted(many)[1]) == 12
    assert not {t.id for t in few} & set(trained)


@pytest.mark.parametrize("oracle", ORACLES)
def test_where_nothing_fits_the_search_is_an_error_that_tells_the_smallest(tmp_path, monkeypatch, oracle):
    monkeypatch.setattr("kexp.search.limits.IN_A_ROW", 12)
    with pytest.raises(SearchError) as refusal:
        search(tmp_path, "t", oracle, most=2)
    with RunStore.open(tmp_path, "t") as run:
        refused = run.trials()
    assert {t.status for t in refused} == {"infeasible"}
    drawn, smallest = len(refused), min(t.parameters for t in refused)
    assert drawn == 12
    nearest = next(t.id for t in refused if t.parameters == smallest)
    assert str(refusal.value).startswith(
        f"Not one of {drawn} proposed candidates is within the limits. The nearest, trial {nearest}, has {smallest:,} "
        "parameters, more than the 2 allowed: --max-parameters "
    )
    assert all(t.costs.parameters == t.parameters for t in refused)


def test_where_hardly_anything_fits_the_search_ends_with_what_there_is(tmp_path, monkeypatch):
    monkeypatch.setattr("kexp.search.limits.IN_A_ROW", 4)
    trials, trained = limited(tmp_path, "t", "grid", trials=24)
    refused, explored = parted(trials)
    assert [t.id for t in explored] == [2, 3, 4, 5]
    assert [t.id for t in refused] == [0, 1, 6, 7, 8, 9]
    assert {t.stage for t in trials if t.id in trained} == {"explore", "confirm"}


def test_a_factory_that_makes_other_sizes_now_is_refused(tmp_path, monkeypatch):
    limited(tmp_path, "t", "random", trials=3)
    excess = Limits.excess

    def otherwise(self, costs, trial, times):
        return excess(self, dataclasses.replace(costs, parameters=times * costs.parameters), trial)

    for times in (0, 1000):
        monkeypatch.setattr(Limits, "excess", functools.partialmethod(otherwise, times=times))
        with pytest.raises(RunError, match=r"trial \d+ .*, and now .*--fresh"):
            limited(tmp_path, "t", "random", trials=9)


@pytest.mark.parametrize("oracle", ORACLES)
def test_a_run_whose_factory_had_fewer_dimensions_is_refused_and_stays_finished(tmp_path, oracle):
    search(tmp_path, "t", oracle, trials=3)
    with RunStore.open(tmp_path, "t") as run:
        run.finish()
        for position, *texts in run._db.execute("SELECT position, trial, proposal FROM events").fetchall():
            trial, proposal = map(json.loads, texts)
            for values in (trial["values"], proposal.get("values", {})):
                values.pop("dropout", None)
            row = (json.dumps(trial), json.dumps(proposal), position)
            run._db.execute("UPDATE events SET trial = ?, proposal = ? WHERE position = ?", row)
    with pytest.raises(RunError, match=r"--fresh"):
        search(tmp_path, "t", oracle, trials=5)
    with RunStore.open(tmp_path, "t") as run:
        assert run.get("finished")
