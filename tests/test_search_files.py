"""The files of candidates: who makes them, what is known of them, and that they are what ships."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import math
import multiprocessing
import os
import time
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console
from test_search import prepared, toy
from test_search_choose import JUDGE, trial
from test_search_loop import BUDGET, SPEC, FakeWorkers, Killed

from kexp import leaderboard, pipeline, screen
from kexp.data.dataset import Dataset
from kexp.errors import ExperimentError, RunError
from kexp.experiment import asked, from_data
from kexp.front import PICKS, Aim, front, pick, shippable, turned, whole
from kexp.metrics import metrics
from kexp.records import EVERY, Costs, Experiment, Trial
from kexp.runtime import open_runtime
from kexp.search import check, converters, search
from kexp.search.board import Board
from kexp.search.budget import Confirmation
from kexp.search.confirm import NO_FOLDS, Confirming, Folds
from kexp.search.convert import Request
from kexp.search.converters import Converters
from kexp.search.events import ignore
from kexp.search.files import Files, _files_text
from kexp.search.keep import keep
from kexp.search.loop import Search
from kexp.search.sketches import Sketches
from kexp.store import RunStore

REQUEST = Request("home", "run", "tflite_int8", ())


def child(connection):
    """Answers as a converter does; trial 1 kills it, at trial 2 it hangs."""
    connection.recv()
    while (task := connection.recv()) is not None:
        if task.verb == "probe":
            connection.send((100, 0.5))
            continue
        if task.argument.id == 1:
            os._exit(11)
        if task.argument.id == 2:
            time.sleep(60)
        connection.send(dataclasses.replace(task.argument, variant="tflite_int8", bytes=os.getpid()))


WHY = "tflite_int8 gap 0.7359, limit 0.35"


def refused(one: Trial) -> Trial:
    """`one` with a file that no export would write."""
    return dataclasses.replace(one, refused=WHY)


@pytest.fixture
def made():
    """Converters of such children, two at most; and the processes that were started."""
    context, started = multiprocessing.get_context("fork"), []

    def start():
        ours, theirs = context.Pipe()
        process = context.Process(target=child, args=(theirs,), daemon=True)
        process.start()
        theirs.close()
        started.append(process)
        return ours, process.kill

    found = Converters(start, REQUEST, 2)
    yield found, started
    found.close()
    for process in started:
        process.join(5)
        assert not process.is_alive()


def test_a_converter_stays_warm_and_is_replaced_where_it_died(made, monkeypatch):
    found, started = made
    done = {t.id: t for t in found.convert([trial(id, 0.9) for id in (3, 4, 1, 5, 6)], math.inf)}
    assert set(done) == {1, 3, 4, 5, 6}
    count = len(started)
    assert count <= 3  # two, and one for the one that died
    assert "the converter died" in done[1].message
    assert done[1].bytes is None
    assert len({done[id].bytes for id in (3, 4, 5, 6)}) <= 3
    assert found.probe("dense", {}) == (100, 0.5)
    assert [t.variant for t in found.timed([trial(7, 0.9)])] == ["tflite_int8"]
    assert len(started) == count
    monkeypatch.setattr(converters, "SILENCE_SECONDS", 0.3)
    (hung,) = found.convert([trial(2, 0.9)], math.inf)
    assert "no answer" in hung.message


def test_none_is_begun_when_the_time_is_up(made):
    found, started = made
    assert list(found.convert([trial(3, 0.9)], time.monotonic() - 1)) == []
    assert not started


def test_a_worn_converter_is_replaced(made, monkeypatch):
    found, started = made
    monkeypatch.setattr(converters, "WORN", 2)
    assert len(list(found.convert([trial(id, 0.9) for id in range(3, 13)], math.inf))) == 10
    assert len(started) >= 5


# what ranks


def shipped(one: Trial, accuracy: float, bytes_: int = 1000, ms: float = 0.1) -> Trial:
    file = {"accuracy": accuracy, "log_loss": one.metrics["log_loss"]}
    return dataclasses.replace(one, variant="tflite_int8", shipped=file, bytes=bytes_, latency_ms=ms)


def test_the_file_ranks_not_the_network_in_floats():
    explored = [trial(0, 0.95), trial(1, 0.93)]
    again = [trial(2, 0.95, parent=0, epochs=9), trial(3, 0.93, parent=1, epochs=9)]
    assert JUDGE.choose(explored, again)[0].id == 2
    files = [shipped(again[0], 0.80), shipped(again[1], 0.92)]
    explored = [shipped(explored[0], 0.80), shipped(explored[1], 0.92)]
    assert JUDGE.choose(explored, files)[0].id == 3
    # one that no file was made of does not win by its floats
    assert JUDGE.choose(explored, [again[0], files[1]])[0].id == 3


def test_a_file_over_a_limit_is_not_chosen_and_the_nearest_is_named_where_none_fits():
    explored = [trial(0, 0.95), trial(1, 0.90), trial(2, 0.85)]
    files = [shipped(one, one.score, bytes_) for one, bytes_ in zip(explored, (3000, 2000, 1000), strict=True)]
    assert JUDGE.choose(files, [])[0].id == 0
    assert dataclasses.replace(JUDGE, max_size=2500).choose(files, [])[0].id == 1
    best, why = dataclasses.replace(JUDGE, max_size=800).choose(files, [])
    assert best.id == 2
    assert "no file is within the limits; trial 2 is the nearest, 1.25 times" in why
    slow = [shipped(files[0], 0.95, ms=9.0), *files[1:]]
    assert dataclasses.replace(JUDGE, max_latency=5.0).choose(slow, [])[0].id == 1


def test_another_network_that_leads_in_floats_is_named(tmp_path):
    one, two, three = trial(0, 0.95), trial(1, 0.93), trial(2, 0.99)
    files = [
        dataclasses.replace(shipped(one, 0.80), floats={"accuracy": 0.95}),
        dataclasses.replace(shipped(two, 0.92), floats={"accuracy": 0.93}),
        three,  # without a file
    ]
    sought = Aim("accuracy", "max", ("size",))
    assert turned(files, sought) == (files[1], files[0])
    assert turned([files[1]], sought) is None
    assert turned([one, two], sought) is None
    assert turned([shipped(one, 0.80), shipped(two, 0.92)], sought) is None  # of an earlier kexp: not known
    with RunStore.create(tmp_path, "told", Experiment(name="told", data="d")) as run:
        run.set("task", "multiclass")
        for each in files:
            run.record_ask(each)
            run.record_tell(each)
            run.record_file(each)
        board = leaderboard.document(run)
    assert [row["id"] for row in board["trials"]] == [1, 0, 2]  # what has a file before what has none
    told = (
        "of those with a file trial 0 leads in floats, 0.9500 to 0.9300 of trial 1; of the files, on the same rows, "
        "that of trial 1, 0.9200 to 0.8000"
    )
    assert board["turned"] == told
    console = Console(width=200, file=io.StringIO())
    console.print(screen.leaderboard(board, 5))
    assert told in console.file.getvalue()


def in_both(id, floats, file, **changes):
    return dataclasses.replace(shipped(trial(id, floats), file), floats={"accuracy": floats}, **changes)


def test_of_equal_networks_that_with_the_better_file_leads_in_floats():
    sought = Aim("accuracy", "max", ("size",))
    spoiled, sound = in_both(0, 0.95, 0.90), in_both(1, 0.95, 0.94)
    assert turned([spoiled, sound], sought) is None
    assert turned([in_both(0, 0.93, 0.94), sound], sought) is None  # equal files: the network of one is better
    better = in_both(2, 0.94, 0.945)
    assert turned([spoiled, sound, better], sought) == (better, sound)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (in_both(0, 0.99, 0.80), in_both(1, 0.95, 0.94, stage="refit", fold=EVERY, parent=0)),  # of other rows
        (in_both(0, 0.90002, 0.80), in_both(1, 0.90001, 0.94)),  # 0.9000 to 0.9000
    ],
)
def test_no_other_network_is_named_that_leads_on_other_rows_or_by_no_digit(tmp_path, first, second):
    with RunStore.create(tmp_path, "none", Experiment(name="none", data="d")) as run:
        run.set("task", "multiclass")
        for each in (first, second):
            run.record_ask(each)
            run.record_tell(each)
        assert leaderboard.document(run)["turned"] == ""


# the loop


class FakeConverters:
    """Makes files at once, and notes of which trials."""

    def __init__(self, last: int | None = None, seconds: float = 0.0) -> None:
        self.made: list[int] = []
        self.last, self.seconds = last, seconds

    def convert(self, trials, until):
        for one in trials:
            if time.monotonic() >= until:
                return
            if self.last is not None and len(self.made) >= self.last:
                raise Killed
            time.sleep(self.seconds)
            self.made.append(one.id)
            yield shipped(one, one.metrics["accuracy"], 1000 + one.id)

    def timed(self, trials):
        assert len({one.id for one in trials}) == len(trials)  # each takes up to a third of a second
        return list(trials)

    def probe(self, factory, values):
        time.sleep(0.05)
        return 1000, 0.1

    def close(self):
        """Nothing is held."""


def looped(home, name, last=None, each=0.0, **options):
    question = Experiment(name=name, data="d", **{"trials": 8, "finalists": 2, "seeds": 2, "window": 5, **options})
    run = RunStore.open(home, name) if (home / "runs" / name).exists() else RunStore.create(home, name, question)
    with run, run.lock():
        files = FakeConverters(last, each)
        loop = Search(
            question, SPEC, Sketches(SPEC, question), run, FakeWorkers(run, 2, 0), BUDGET, 100, ignore,
            converters=files,
        )  # fmt: skip
        with contextlib.suppress(Killed):
            loop.run()
        return run.trials(), files.made


def test_those_that_lead_and_those_that_are_run_again_have_files(tmp_path):
    trials, made = looped(tmp_path, "whole")
    assert len(made) == len(set(made))
    again = [t for t in trials if t.stage == "confirm"]
    assert len(again) == 4
    assert all(t.shipped for t in again)
    best = max((t for t in trials if t.stage == "explore"), key=lambda t: t.score)
    assert best.id in made


@pytest.mark.parametrize("objectives", [(), ("size",)])
def test_no_candidate_leads_twice_because_it_was_trained_or_asked_for_twice(objectives):
    """Only one of these has a file by the time when leaders are chosen; of a front its float twin would be better."""
    costs = Costs(parameters=1, bytes=900, macs=1, operators=1, memory=1)
    first = shipped(trial(0, 0.95, units=8), 0.94)
    explored = [
        first,
        dataclasses.replace(trial(1, 0.95, units=8), same_as=0, costs=costs),
        dataclasses.replace(trial(2, 0.94, units=8, epochs=9)),  # on another rung
        dataclasses.replace(trial(3, 0.945, units=16), costs=dataclasses.replace(costs, bytes=5000)),
    ]
    board = SimpleNamespace(
        experiment=Experiment(name="twins", data="d", objectives=objectives), now=list, judge=JUDGE,
        aim=Aim("accuracy", "max", ("size",)),
    )  # fmt: skip
    found = Confirming(board, SPEC, NO_FOLDS, together=False).leaders(explored)
    assert sorted(t.id for t in found) == [0, 3]


def test_a_search_that_ends_long_before_its_time_makes_few_files(tmp_path, monkeypatch):
    """A tenth of the time that it takes, not of what it might have taken: but for what may be chosen."""
    now, poll = [0.0], FakeWorkers.poll  # a clock that goes on by trainings and files alone: no load makes it late
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    monkeypatch.setattr(FakeWorkers, "poll", lambda workers, timeout: time.sleep(1.0) or poll(workers, timeout))
    _, made = looped(tmp_path, "whole", seconds=1000.0)
    assert len(made) > 5
    trials, few = looped(tmp_path, "slow", each=1.0, seconds=1000.0)
    again = {t.id: t.parent for t in trials if t.stage == "confirm"}
    assert len({again[id] for id in few if id in again}) == 1
    assert len(few) < 5


def test_a_killed_search_makes_no_file_twice_and_ends_as_one_that_was_not(tmp_path):
    whole, made = looped(tmp_path, "whole")
    first, early = looped(tmp_path, "killed", last=3)
    assert len(early) == 3
    assert [t.id for t in first if t.shipped] == sorted(early)
    again, late = looped(tmp_path, "killed")
    must = {t.id for t in whole if t.stage == "confirm"}
    assert must <= {*early, *late}
    assert not set(early) & set(late)
    assert [(t.id, t.values, t.score) for t in again] == [(t.id, t.values, t.score) for t in whole]
    assert made


def test_time_that_no_second_training_fits_explores_on(tmp_path, monkeypatch):
    monkeypatch.setattr("kexp.search.confirm.confirmation", lambda *_, **__: None)
    said = []
    question = Experiment(name="on", data="d", seconds=4.0, oracle="random", window=5)
    with RunStore.create(tmp_path, "on", question) as run, run.lock():
        budget = dataclasses.replace(BUDGET, explore_share=0.2)
        workers = FakeWorkers(run, 2, 0)
        monkeypatch.setattr(workers, "poll", lambda timeout: time.sleep(0.02) or FakeWorkers.poll(workers, timeout))
        Search(question, SPEC, Sketches(SPEC, question), run, workers, budget, 100, said.append).run()
        at = next(i for i, event in enumerate(said) if "exploring goes on" in event.text)
        assert sum(event.kind == "finished" for event in said[at:]) > 1
        assert {t.stage for t in run.trials()} == {"explore"}


def test_what_could_not_be_made_is_said_once():
    one = REQUEST.unmade(trial(0, 0.9), "no such thing")
    told = _files_text([shipped(trial(1, 0.9), 0.9, 2000), one])
    assert told == "1 file(s) made (tflite_int8): 2.0 KB; 1 cannot be made, the first: no such thing"
    told = _files_text([shipped(trial(1, 0.9), 0.9, 2000), refused(shipped(trial(2, 0.9), 0.9, 2000))])
    assert told == f"2 file(s) made (tflite_int8): 2.0 KB to 2.0 KB; the gate refuses 1, the first: {WHY}"


@pytest.mark.parametrize(("seconds", "count"), [(0.4, 2), (0.8, 2), (60.0, 4), (None, 4)])
def test_what_is_measured_before_a_search_takes_a_tenth_of_its_time(tmp_path, seconds, count):
    options = {"trials": 3, "seconds": seconds, "objectives": ("latency",), "finalists": 1}
    looped(tmp_path, "timed", **options)
    with RunStore.open(tmp_path, "timed") as run:
        assert run.get("latency_model")["measured"] == count


def test_what_may_be_picked_of_several_objectives_has_a_file(tmp_path, monkeypatch):
    real = shipped
    monkeypatch.setattr(
        "test_search_files.shipped", lambda one, accuracy, _: real(one, accuracy, one.costs.bytes, None)
    )
    _, made = looped(tmp_path, "front", each=0.5, objectives=("size",), seconds=1000.0)
    with RunStore.open(tmp_path, "front") as run:
        trials = run.trials()
    sought = Aim("accuracy", "max", ("size",))
    found = front(whole(trials), sought)
    assert {pick(how, found, sought).id for how in PICKS} <= {t.id for t in trials if t.shipped}
    assert len(made) == len(set(made))


def test_a_run_of_an_earlier_kexp_that_foretold_otherwise_says_so(tmp_path):
    options = {"trials": 3, "objectives": ("latency",), "finalists": 1}
    looped(tmp_path, "old", **options)
    with RunStore.open(tmp_path, "old") as run:
        run.set("latency_model", {"start": 0.1, "macs": 2.0})
    with pytest.raises(RunError, match=r"earlier kexp.*--fresh"):
        looped(tmp_path, "old", **options)


def test_what_is_chosen_has_a_file_and_is_within_the_limits(tmp_path, monkeypatch):
    # Of the first eight files only that of trial 3 is small enough; whatever leads, it is chosen in the end.
    real = shipped
    monkeypatch.setattr(
        "test_search_files.shipped", lambda one, accuracy, _: real(one, accuracy, 100_000 if one.id == 3 else 200_000)
    )
    question = {"finalists": 0, "max_size": 150_000, "trials": 6}
    _, made = looped(tmp_path, "limits", **question)
    with RunStore.open(tmp_path, "limits") as run:
        judge = dataclasses.replace(JUDGE, rows=100, max_size=150_000)
        best, _ = judge.choose([t for t in run.trials() if t.score is not None], [])
    assert best.shipped
    assert best.bytes == 100_000
    assert len(made) == len(set(made))


def test_the_best_of_a_front_is_what_the_search_chose(tmp_path):
    lucky, mean = shipped(trial(0, 0.95), 0.95, 900), shipped(trial(1, 0.93), 0.93, 950)
    sought = Aim("accuracy", "max", ("size",))
    assert pick("best", [lucky], sought).id == 0
    assert pick("best", [lucky], sought, mean).id == 1
    assert pick("smallest", [lucky], sought, mean).id == 0
    refit = dataclasses.replace(mean, stage="refit", fold=EVERY)
    assert shippable([lucky, refit]) == [refit]


def test_what_learns_all_rows_may_take_the_time_to_the_end(monkeypatch):
    """It began late: time was left for it when the folds were planned."""
    fold = dataclasses.replace(shipped(trial(1, 0.95, parent=0, units=0, epochs=9), 0.95), fold=1)
    known, begun = {0: trial(0, 0.95), 1: fold}, []
    now = time.monotonic()
    board = SimpleNamespace(
        known=known, again={1}, judge=JUDGE, now=list, train_until=now, until=now, end=now + 90, cost=lambda _: 5.0,
        experiment=Experiment(name="on", data="d"),
    )  # fmt: skip
    confirming = Confirming(board, SPEC, Folds(1, 100), together=False)
    monkeypatch.setattr(confirming, "_confirm_one", lambda *args, **told: begun.append((*args, told["fold"])) or 2)
    monkeypatch.setattr(confirming, "_run_again", lambda: begun.append(board.until))
    chosen = Confirmation(candidates=(0,), seeds=1, epochs=9)
    confirming.refit([known[0]], chosen)
    assert begun == [(known[0], 1, 9, EVERY), board.end]
    assert board.again == {1, 2}
    board.end, board.again = now + 40, {1}
    confirming.refit([known[0]], chosen)  # too late to begin
    assert len(begun) == 2


def test_bytes_are_of_the_variant_that_ships():
    with pytest.raises(ExperimentError, match=r"max_size counts the bytes of tflite_int8.*Add tflite_int8"):
        check(from_data("d", max_size="9kB", formats=("tflite_float16",)), SPEC)
    check(from_data("d", max_size="9kB", formats=("tflite_float16", "tflite_int8")), SPEC)


# real files


def test_a_network_of_some_folds_is_exported_as_it_was_ranked(tmp_path):
    """Where the time ends before it learns all rows."""
    question, _ = asked("sklearn:iris", trials=3, epochs=2, finalists=1, seeds=2, folds=3)
    pipeline.search(question, home=tmp_path, workers=1)
    with RunStore.open(tmp_path, "iris") as run, run.lock():
        one = next(t for t in run.trials() if t.fold == 2)
        keep(run, Dataset.open(run.data), one, "by hand")
        (artifact,) = pipeline.export(tmp_path, wanted=["tflite_int8"]).artifacts
        assert (tmp_path / "exported" / "iris" / artifact.path).read_bytes() == run.file(one.id).read_bytes()


@pytest.mark.parametrize("folds", [0, 3])
def test_what_ranks_is_what_is_exported(tmp_path, folds):
    question, _ = asked("sklearn:iris", trials=3, epochs=2, finalists=1, seeds=2, folds=folds)
    pipeline.search(question, home=tmp_path, workers=1)
    for wanted in (None, "smallest"):  # then another network of the front becomes the run's model
        (artifact,) = pipeline.export(tmp_path, wanted=["tflite_int8"], pick=wanted).artifacts
        file = tmp_path / "exported" / "iris" / artifact.path
        with RunStore.open(tmp_path, "iris") as run:
            dataset, trials = Dataset.open(run.data), run.trials()
            best = next(t for t in trials if t.id == run.get("best_trial"))
            assert file.read_bytes() == run.file(best.id).read_bytes()
        assert best.bytes == artifact.bytes
        assert best.variant == "tflite_int8"
        assert best.latency_ms > 0
        rows = dataset.rows("validation")
        if not folds:  # a refit stands with the means of its folds
            assert metrics("multiclass", dataset.y[rows], open_runtime(file).predict(dataset.x[rows])) == best.shipped
        assert best.floats == pytest.approx(best.metrics, rel=1e-4)  # the same rows
    assert best.stage == ("refit" if folds else "explore")
    assert best.bytes == min(t.bytes for t in trials if t.shipped and (t.stage == "refit" or not folds))
    assert pipeline.show(tmp_path)["front"]["picks"]["smallest"] == best.id


def test_a_refit_stands_with_all_its_folds_in_whatever_order_files_come():
    folds = [dataclasses.replace(trial(k, s, parent=0), fold=k) for k, s in ((1, 0.9), (2, 0.8))]
    refit = dataclasses.replace(trial(3, 0.85, parent=0), fold=EVERY, stage="refit")
    board = SimpleNamespace(
        known={t.id: t for t in (*folds, refit)}, store=SimpleNamespace(record_file=lambda _: None, get=lambda *_: 0),
    )  # fmt: skip
    board.mean_on_folds = lambda *args: Board.mean_on_folds(board, *args)
    board.now, board.begun, board.end, board.say = list, 0.0, math.inf, lambda *_: None
    board.store.set, board.store.has_weights = lambda *_: None, lambda _: True
    board.workers, board.listener = SimpleNamespace(size=1), ignore
    files = Files(board, FakeConverters())
    files.make([refit, folds[0]], 1.0, least=2)
    assert not board.known[3].shipped  # a mean of one fold would be of its rows alone
    files.make([folds[1]], 1.0, least=1)
    assert board.known[3].shipped["accuracy"] == pytest.approx(0.85)
    assert board.known[3].bytes == 1003


def test_a_refit_stands_with_the_files_of_its_folds(tmp_path):
    rows = toy()
    rows.fold = np.where(rows.part == 2, 0, np.arange(len(rows.part)) % 3 + 1).astype(np.int8)
    said = []
    with prepared(tmp_path, trials=2, epochs=1, finalists=1, folds=3) as run, run.lock():
        rows.save(run.data)
        search(run.experiment, Dataset.open(run.data), run, workers=1, listener=said.append)
        trials = run.trials()
        search(run.experiment, Dataset.open(run.data), run, workers=1)
        assert run.trials() == trials  # none learns all rows twice
    made = [i for i, event in enumerate(said) if "file(s) made" in event.text]
    (begun,) = [i for i, event in enumerate(said) if event.kind == "started" and event.trial.stage == "refit"]
    assert [said[i].text.split()[0] for i in made if i < begun][-1] == "3"  # the files decide who learns all rows
    (refit,) = [t for t in trials if t.stage == "refit"]
    folds = [t for t in trials if t.fold > 0]
    assert len(folds) == 3
    for name in ("shipped", "floats"):
        assert getattr(refit, name)["accuracy"] == pytest.approx(np.mean([getattr(t, name)["accuracy"] for t in folds]))
    assert refit.bytes
