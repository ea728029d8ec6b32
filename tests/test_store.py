"""The run folder: nothing finished is lost or counted twice, and a person is told what stands in the way."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from kexp import store
from kexp.errors import RunError
from kexp.records import Curve, Experiment, Trial, from_json, to_json
from kexp.store import RunStore, files, journal
from kexp.store.runs import CACHE_AGE

QUESTION = Experiment(name="photos", data="photos/", trials=10, space={"layers": [1, 2]}, size=(32, 32))


@pytest.fixture
def run(home):
    with RunStore.create(home, "photos", QUESTION) as made:
        yield made


def trial(id, status="running", **fields):
    return Trial(id=id, factory="dense", values={"layers": 2, "norm": True}, status=status, **fields)


def completed(id, score, **fields):
    metrics = {"accuracy": score, "log_loss": 1 - score, "rmse": score, "mae": score}
    return trial(id, "completed", score=score, metrics=metrics, seconds=1.5, **fields)


def child(code, *arguments):
    """A process that runs `code` and prints when it is ready."""
    process = subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


# -- the journal ----------------------------------------------------------------------------------

CURVE = Curve(epochs=(4, 5), running_loss=(0.5, 0.25), validation_loss=(None, 0.75), score=(None, 0.875))


def test_a_curve_comes_with_the_tell_and_a_run_that_has_none_opens(home, run):
    assert run.curves() == {}  # as in a run of an earlier kexp: the table is made when it is needed
    run.record_ask(trial(0))
    run.record_ask(trial(1))
    run.record_tell(completed(0, 0.5), CURVE)
    run.record_tell(completed(1, 0.5))
    with RunStore.open(home, "photos") as again:
        assert again.curves() == {0: CURVE}
    run.record_ask(trial(2))
    bad = dataclasses.replace(CURVE, running_loss=(float("nan"), 1.0))
    run.record_tell(completed(2, 0.5), bad)
    assert run.curves()[2].running_loss == (None, 1.0)


def test_a_trial_without_metrics_of_training_rows_is_one_of_an_earlier_kexp(run):
    run.record_ask(trial(0))
    run.record_tell(completed(0, 0.5, train={"accuracy": 0.75}))
    assert run.trials()[0].train == {"accuracy": 0.75}
    text = json.dumps({key: value for key, value in to_json(completed(1, 0.5)).items() if key != "train"})
    assert from_json(Trial, json.loads(text)).train == {}


def test_the_journal_gives_back_every_ask_and_tell_in_order(home, run):
    run.record_ask(trial(0), values={"layers": 2, "rate": 0.001}, parent=None, epochs=3)
    run.record_ask(trial(1, stage="confirm", seed=4))
    run.record_tell(completed(1, 0.75))
    run.record_tell(trial(0, "failed", message="out of memory"))
    with RunStore.open(home, "photos") as again:
        events = again.events()
        assert [(e.kind, e.trial.id) for e in events] == [("ask", 0), ("ask", 1), ("tell", 1), ("tell", 0)]
        assert events[0].proposal == {"values": {"layers": 2, "rate": 0.001}, "parent": None, "epochs": 3}
        assert events[1].trial == trial(1, stage="confirm", seed=4)
        assert events[2].trial == completed(1, 0.75)
        assert again.trials() == [trial(0, "failed", message="out of memory"), completed(1, 0.75)]


def test_a_trial_that_was_not_told_is_as_it_was_asked(run):
    run.record_ask(trial(3))
    assert run.trials() == [trial(3)]


def test_nothing_is_counted_twice(run):
    with pytest.raises(ValueError, match="never asked"):
        run.record_tell(completed(0, 0.5))
    run.record_ask(trial(0))
    with pytest.raises(ValueError, match="already"):
        run.record_ask(trial(0))
    run.record_tell(completed(0, 0.5))
    with pytest.raises(ValueError, match="already"):
        run.record_tell(completed(0, 0.6))
    assert run.trials() == [completed(0, 0.5)]


def test_a_journal_is_parsed_once_for_each_state_of_it(home, run):
    def ids(of):
        return [event.trial.id for event in of.events()]

    run.record_ask(trial(0))
    with RunStore.open(home, "photos") as other:
        first = other.events()
        assert other.events()[0].trial is first[0].trial
        first.clear()
        assert ids(other) == [0]  # each caller has a list of its own
        run.record_ask(trial(1))
        assert ids(other) == [0, 1]  # what another connection wrote
        other.record_ask(trial(2))
        assert ids(other) == [0, 1, 2]  # ... and its own
        with pytest.raises(ZeroDivisionError), other.at_once():
            other.record_ask(trial(3))
            assert ids(other) == [0, 1, 2, 3]
            assert 1 / 0
        assert ids(other) == [0, 1, 2]
        other.record_ask(trial(4))
        assert ids(other) == [0, 1, 2, 4]
        run.record_file(trial(0, bytes=7))  # no event: what is known of files is read each time
        assert other.trials()[0].bytes == 7


def test_anything_that_is_json_can_be_kept(home, run):
    run.set("plan", {"epochs": [1, 3], "why": None})
    run.set("plan", {"epochs": [1, 3, 9]})
    assert run.get("nothing") is None
    assert run.get("nothing", 7) == 7
    with RunStore.open(home, "photos") as again:
        assert again.get("plan") == {"epochs": [1, 3, 9]}


WRITER = """
import sys
import numpy as np
from kexp.records import Trial
from kexp.store import RunStore
run = RunStore.open(__import__("pathlib").Path(sys.argv[1]), "photos")
with run.lock():
    print("ready", flush=True)
    for id in range(len(run.trials()), 100_000):
        run.record_ask(Trial(id=id, factory="dense", values={"layers": id}, status="running"))
        run.save_weights(id, [np.full(5000, id, np.float32)])
        run.record_tell(Trial(id=id, factory="dense", values={}, status="completed", score=id / 7))
        print(id, flush=True)
"""


def test_kill_9_at_any_moment_leaves_a_whole_journal(home, run):
    printed = -1
    for _ in range(3):
        process = child(WRITER, home)
        first = process.stdout.readline()
        time.sleep(0.2)
        os.kill(process.pid, signal.SIGKILL)
        lines = [first, *process.stdout.read().splitlines(keepends=True)]
        process.wait()
        printed = max([printed, *(int(line) for line in lines if line.endswith("\n"))])
        with RunStore.open(home, "photos") as again, again.lock():
            trials = again.trials()
            assert [t.id for t in trials] == list(range(len(trials)))
            told = [t for t in trials if t.status != "running"]
            assert 0 <= printed < len(told) <= len(trials) <= len(told) + 1
            for t in told[-50:]:
                if t.status == "failed":
                    continue
                assert t.score == t.id / 7
                np.testing.assert_array_equal(again.load_weights(t.id)[0], np.full(5000, t.id, np.float32))
            if trials[-1].status == "running":
                again.record_tell(trial(trials[-1].id, "failed"))  # so that the next process finds it told


# -- the lock -------------------------------------------------------------------------------------

HOLDER = """
import sys, time
from pathlib import Path
from kexp.store import RunStore
with RunStore.open(Path(sys.argv[1]), "photos").lock():
    print("ready", flush=True)
    time.sleep(600)
"""


def test_one_process_at_a_time_and_the_lock_dies_with_it(home, run):
    with run.lock():
        pass
    process = child(HOLDER, home)
    try:
        with pytest.raises(RunError, match=f"process {process.pid}"), run.lock():
            pass
        with pytest.raises(RunError, match=f"process {process.pid}"):
            store.fresh(home, "photos")
        with pytest.raises(RunError, match=f"process {process.pid}"):
            store.clean(home, ["photos"])
        assert [r["name"] for r in store.list_runs(home)] == ["photos"]  # reading needs no lock
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    with run.lock():
        pass


LOOKER = """
import fcntl, sys, time
with open(sys.argv[1], "a+") as file:
    fcntl.flock(file, fcntl.LOCK_SH)
    print("ready", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def test_whoever_looks_at_the_lock_does_not_take_it(home, run, monkeypatch):
    assert not run.locked()
    with run.lock(), RunStore.open(home, "photos") as other:
        assert run.locked()
        assert other.locked()
    looker = child(LOOKER, run.root / "lock", 600)
    try:
        assert not run.locked()  # both may look
        monkeypatch.setattr(files, "LOCK_SECONDS", 0.0)
        with pytest.raises(RunError, match="in use"), run.lock():
            pass
    finally:
        looker.kill()
        looker.wait()
    monkeypatch.setattr(files, "LOCK_SECONDS", 60.0)
    looker = child(LOOKER, run.root / "lock", 0.3)
    with run.lock():  # tried again until it was free
        pass
    looker.wait()


def test_a_run_is_opened_or_created_and_says_whether_it_has_a_model(home):
    with RunStore.open_or_create(home, QUESTION) as made:
        made.set("mark", 1)
        with pytest.raises(RunError, match="no model"):
            made.need_model()
        made.model.touch()
    with RunStore.open_or_create(home, QUESTION) as again:
        assert again.get("mark") == 1
        assert again.need_model() == again.model


def test_the_best_come_first_by_the_objective_and_then_by_the_loss(home):
    for objective, order in (("", [2, 1, 0]), ("log_loss", [2, 0, 1])):
        question = dataclasses.replace(QUESTION, name=f"by{objective}", objective=objective)
        with RunStore.create(home, question.name, question) as made:
            assert made.best_first() == []
            made.set("task", "binary")
            for id, (accuracy, loss) in enumerate([(0.5, 0.3), (0.9, 0.4), (0.9, 0.2)]):
                made.record_ask(trial(id))
                metrics = {"accuracy": accuracy, "log_loss": loss}
                made.record_tell(trial(id, "completed", score=metrics[objective or "accuracy"], metrics=metrics))
            made.record_ask(trial(3))
            assert [t.id for t in made.best_first()] == order


def test_seconds_add_up_over_processes_to_their_last_event(home, run, monkeypatch):
    now = 100.0
    monkeypatch.setattr(journal.time, "monotonic", lambda: now)
    assert run.seconds_used == 0
    with run.lock():
        now += 5
        run.record_ask(trial(0))
        now += 20
        run.record_tell(completed(0, 0.5))
        now += 3
        assert run.seconds_used == 28
    assert run.seconds_used == 25
    now += 1000
    with RunStore.open(home, "photos") as again, again.lock():
        now += 10
        again.record_ask(trial(1))
        assert again.seconds_used == 35


# -- files ----------------------------------------------------------------------------------------


def test_weights_come_back_in_their_order(run):
    weights = [np.full(i + 1, i, np.float32) for i in range(12)]
    run.save_weights(3, weights)
    for saved, loaded in zip(weights, run.load_weights(3), strict=True):
        np.testing.assert_array_equal(saved, loaded)
        assert saved.dtype == loaded.dtype
    with pytest.raises(RunError, match="trial 4"):
        run.load_weights(4)


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "model.json"
    store.atomic_write(path, b"old")
    monkeypatch.setattr(files.os, "fsync", lambda descriptor: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        store.atomic_write(path, b"new and longer")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    monkeypatch.undo()
    store.atomic_write(path, b"new")
    assert path.read_bytes() == b"new"


def test_home_is_what_is_said_or_kexp_home_or_here(tmp_path, monkeypatch):
    monkeypatch.setenv("KEXP_HOME", str(tmp_path / "elsewhere"))
    assert store.home(tmp_path) == tmp_path
    assert store.home() == tmp_path / "elsewhere"
    monkeypatch.delenv("KEXP_HOME")
    monkeypatch.chdir(tmp_path)
    assert store.home() == Path.cwd()


# -- the question ---------------------------------------------------------------------------------


def test_a_larger_budget_goes_on(home, run):
    run.remember(QUESTION, "abc")
    with RunStore.open(home, "photos") as again:
        larger = dataclasses.replace(QUESTION, trials=20, seconds=60, formats=("tflite_int8",), finalists=5)
        again.check_same(larger, "abc")
        again.check_same(dataclasses.replace(larger, data="/moved/photos"), "abc")
        again.remember(larger, "abc")
        assert again.experiment == larger
        assert again.fingerprint == "abc"


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"seed": 1}, "seed"),
        ({"space": {"layers": [1, 3]}}, "space"),
        ({"size": (64, 64)}, "size"),
        ({"seed": 1, "target": ("age",)}, "target"),  # the first of two
        ({"window": 4}, "window"),
        ({"max_parameters": 9}, "max_parameters"),
    ],
)
def test_another_question_is_refused_by_the_field_that_differs(run, changed, field):
    run.check_same(QUESTION, "")
    with pytest.raises(RunError, match=rf"{field} = .*--fresh.*--name"):
        run.check_same(dataclasses.replace(QUESTION, **changed), "")


def test_a_run_of_before_a_field_was_there_has_its_default(run):
    old = run.get("experiment")
    del old["max_parameters"]
    run.set("experiment", old)
    run.check_same(QUESTION, "")
    with pytest.raises(RunError, match=r"max_parameters = None, 9 is asked.*--fresh"):
        run.check_same(dataclasses.replace(QUESTION, max_parameters=9), "")


def test_other_rows_are_refused(run):
    run.check_same(QUESTION, "abc")  # not known yet
    run.remember(QUESTION, "abc")
    run.check_same(QUESTION, "abc")
    with pytest.raises(RunError, match=r"other rows.*--fresh"):
        run.check_same(QUESTION, "abd")


# -- all runs -------------------------------------------------------------------------------------


def test_a_run_that_does_not_exist_is_refused_with_the_nearest_name(home):
    with pytest.raises(RunError, match="kexp search"):
        RunStore.open(home, "photos")
    with pytest.raises(RunError, match="no run"):
        store.latest(home)
    RunStore.create(home, "photos", QUESTION).close()
    with pytest.raises(RunError, match="Did you mean 'photos'"):
        RunStore.open(home, "fotos")
    RunStore.open(home, "photos").close()


@pytest.mark.parametrize("name", ["", "../x", ".cache", "a/b", "-x", "a b"])
def test_a_name_that_is_no_folder_name_is_refused(home, name):
    with pytest.raises(RunError, match="name"):
        RunStore.create(home, name, QUESTION)
    assert not (home / "runs").exists()


def test_a_run_is_created_once(home, run):
    with pytest.raises(RunError, match="exists"):
        RunStore.create(home, "photos", QUESTION)


def test_what_was_cut_off_while_created_is_no_run(home):
    folder = home / "runs" / "photos"
    folder.mkdir(parents=True)
    (folder / "journal.sqlite").touch()
    assert store.list_runs(home) == []
    assert not store.exists(home, "photos")
    assert store.fresh(home, "photos") is None
    RunStore.create(home, "photos", QUESTION).close()
    assert store.exists(home, "photos")


def test_runs_are_listed_newest_last_and_the_latest_finished_is_the_latest(home):
    for name in ("first", "second", "third"):
        with RunStore.create(home, name, QUESTION) as made:
            made.set("kind", "table")
            made.set("task", "regression")
            for id, score in enumerate((0.5, 0.25, None)):
                made.record_ask(trial(id))
                made.record_tell(trial(id, "failed") if score is None else completed(id, score))
    assert store.latest(home) == "third"
    for name in ("second", "first"):
        with RunStore.open(home, name) as made:
            made.finish()
    assert store.latest(home) == "first"
    runs = store.list_runs(home)
    assert [r["name"] for r in runs] == ["first", "second", "third"]
    assert {key: runs[2][key] for key in ("kind", "task", "trials", "best", "finished")} == {
        "kind": "table",
        "task": "regression",
        "trials": 2,
        "best": 0.25,
        "finished": None,
    }
    assert runs[0]["created"] < runs[0]["finished"]


def test_fresh_keeps_the_old_run_aside(home, run):
    run.record_ask(trial(0))
    run.close()
    assert store.fresh(home, "photos") == "photos.1"
    RunStore.create(home, "photos", QUESTION).close()
    assert store.fresh(home, "photos") == "photos.2"
    with RunStore.open(home, "photos.1") as old:
        assert old.trials() == [trial(0)]
    assert not store.exists(home, "photos")


def test_clean_keeps_the_best_and_the_journal(home, run):
    for id in range(6):
        run.record_ask(trial(id))
        run.save_weights(id, [np.zeros(1000)])
        run.record_tell(completed(id, id / 10))
    run.set("task", "multiclass")
    run.set("keep", [0])
    for name, age in (("old", 2), ("young", 0), ("unfinished.x1y2", 0), ("left.z3", 2)):
        (store.cache(home) / name).mkdir(parents=True)
        (store.cache(home) / name / "x.npy").write_bytes(bytes(500))
        then = time.time() - age * CACHE_AGE
        os.utime(store.cache(home) / name, (then, then))
    before = run.trials()
    one = run.weights(0).stat().st_size

    assert store.clean(home) == 1000  # a run that is not finished may yet need its weights
    assert sorted(p.name for p in store.cache(home).iterdir()) == ["unfinished.x1y2", "young"]
    run.finish()
    assert store.clean(home, keep=2) == 3 * one
    assert sorted(p.name for p in (run.root / "weights").iterdir()) == ["0.npz", "4.npz", "5.npz"]
    assert store.clean(home, ["photos"], keep=1) == one
    assert run.trials() == before
    with pytest.raises(RunError, match="kexp clean"):
        run.load_weights(1)
    with pytest.raises(RunError, match="no run"):
        store.clean(home, ["fotos"])
