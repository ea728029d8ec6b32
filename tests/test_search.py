"""The search with real workers: same seed same search, kill -9 anywhere, failures, bugs, budgets."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from kexp import store
from kexp.data.dataset import Dataset
from kexp.errors import ExperimentError, RunError, SearchError
from kexp.records import Column, DatasetSpec, Experiment
from kexp.search import check, keep_best, search
from kexp.search.events import Event
from kexp.search.keep import keep
from kexp.search.oracles import ORACLES
from kexp.store import RunStore

# Drives a search in a process of its own, which can be killed: argv = home, name, workers.
DRIVER = """
import json, sys
from pathlib import Path
from kexp import store
from kexp.data.dataset import Dataset
from kexp.search import keep_best, search
from kexp.store import RunStore
home, name, workers = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
with RunStore.open(home, name) as run, run.lock():
    def say(event):
        if event.kind in ("started", "finished"):
            print(json.dumps([event.kind, event.trial.id]), flush=True)
    search(run.experiment, Dataset.open(run.data), run, workers=workers, listener=say)
    best = keep_best(run, Dataset.open(run.data), run.experiment)
    print(json.dumps(["best", best.id]), flush=True)
"""


def toy(rows: int = 240) -> Dataset:
    """Two noisy half-planes: learnt in a moment, never perfectly."""
    random = np.random.default_rng(0)
    x = random.normal(size=(rows, 3)).astype(np.float32)
    y = (x[:, 0] + x[:, 1] * x[:, 2] + random.normal(scale=0.5, size=rows) > 0).astype(np.int32)
    part = np.array([0, 0, 0, 1, 2] * (rows // 5), np.int8)
    columns = tuple(Column(name=n, kind="number", edges=(-3.0, -0.5, 0.5, 3.0)) for n in "abc")
    spec = DatasetSpec(
        name="toy", kind="table", task="binary", shape=(3,), outputs=1, labels=("no", "yes"), columns=columns
    )
    return Dataset(spec=spec, x=x, y=y, part=part, ids=[str(i) for i in range(rows)], fingerprint="toy")


def prepared(home, name="toy", **options) -> RunStore:
    question = Experiment(name=name, data="toy", **{"trials": 4, "epochs": 3, "finalists": 2, "seeds": 1, **options})
    run = RunStore.create(home, name, question)
    run.data.mkdir()
    toy().save(run.data)
    return run


def searched(home, name="toy", workers=1, **options):
    events: list[Event] = []
    with prepared(home, name, **options) as run, run.lock():
        search(run.experiment, Dataset.open(run.data), run, workers=workers, listener=events.append)
        return keep_best(run, Dataset.open(run.data), run.experiment), run.trials(), events


@pytest.mark.slow
def test_the_model_of_a_search_that_is_asked_again_stays_as_it_is(tmp_path):
    with prepared(tmp_path, finalists=0) as run, run.lock():
        dataset = Dataset.open(run.data)
        search(run.experiment, dataset, run, workers=1)
        best = keep_best(run, dataset, run.experiment)
        kept = run.model.read_bytes()
        assert keep_best(run, dataset, run.experiment) == best and run.model.read_bytes() == kept
        run.model.write_bytes(b"half of it")
        keep_best(run, dataset, run.experiment)
        assert run.model.stat().st_size > 1000
        other = next(trial for trial in run.trials() if trial.id != best.id)
        kept = run.model.read_bytes()
        keep(run, dataset, other, "asked for")
        assert run.model.read_bytes() != kept and run.get("best_trial") == other.id


def results(trials):
    return [(t.id, t.stage, t.parent, t.seed, t.epochs, t.values, t.score) for t in trials]


@pytest.mark.slow
@pytest.mark.parametrize("oracle", ["random", "bayesian", "evolution", "hyperband", "grid"])
def test_the_same_seed_searches_the_same_points_on_one_worker_and_on_two(tmp_path, oracle):
    space = {"learning_rate": [1e-3, 1e-2], "weight_decay": 1e-4, "dropout": 0.0} if oracle == "grid" else {}
    options = {"oracle": oracle, "trials": 7, "space": space, "window": 4 if ORACLES[oracle].learns else None}
    best_1, trials_1, _ = searched(tmp_path, "one", workers=1, **options)
    best_2, trials_2, _ = searched(tmp_path, "two", workers=2, **options)
    assert results(trials_1) == results(trials_2)
    assert (best_1.id, best_1.score) == (best_2.id, best_2.score)
    assert sum(t.stage == "explore" for t in trials_1) == 7


@pytest.mark.slow
def test_another_seed_searches_other_points(tmp_path):
    _, one, _ = searched(tmp_path, "one", seed=0)
    _, two, _ = searched(tmp_path, "two", seed=1)
    assert [t.values for t in one[1:4]] != [t.values for t in two[1:4]]


def drive(home, name, workers):
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(home), name, str(workers)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_a_driver_loads_no_tensorflow_before_it_writes_the_best(tmp_path):
    prepared(tmp_path, finalists=0, oracle="evolution").close()
    say = 'print(json.dumps([event.kind, "tensorflow" in sys.modules]), flush=True)'
    code = DRIVER.replace("print(json.dumps([event.kind, event.trial.id]), flush=True)", say)
    command = [sys.executable, "-c", code, str(tmp_path), "toy", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    *events, best = map(json.loads, done.stdout.splitlines())
    assert sorted(kind for kind, _ in events) == ["finished"] * 4 + ["started"] * 4
    assert not any(loaded for _, loaded in events)
    assert best[0] == "best"


def children(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in listed.stdout.split()]


def workers_of(driver: int) -> list[int]:
    """The process that starts workers, then these."""
    first = children(driver)[0]
    return [first, *children(first)]


@pytest.mark.slow
def test_kill_9_of_the_driver_loses_nothing_and_runs_nothing_twice(tmp_path):
    options = {"trials": 8, "epochs": 12}
    searched(tmp_path, "straight", workers=2, **options)
    prepared(tmp_path, "killed", **options).close()
    driver = drive(tmp_path, "killed", 2)
    finished = 0
    for line in driver.stdout:
        finished += json.loads(line)[0] == "finished"
        if finished == 3:
            break
    workers = workers_of(driver.pid)
    driver.kill()
    driver.wait()
    with RunStore.open(tmp_path, "killed") as run:
        before = {t.id for t in run.trials() if t.status == "completed"}
    assert len(before) >= 3
    out, err = drive(tmp_path, "killed", 2).communicate(timeout=240)
    events = [json.loads(line) for line in out.splitlines()]
    assert events, err
    assert not before & {id for kind, id in events if kind == "started"}
    with RunStore.open(tmp_path, "killed") as run, RunStore.open(tmp_path, "straight") as straight:
        assert results(run.trials()) == results(straight.trials())
        assert run.get("best_trial") == straight.get("best_trial")
    deadline = time.monotonic() + 20
    while any(_alive(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not any(_alive(pid) for pid in workers), "workers outlive their driver"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("who", [0, 1])
def test_kill_9_of_a_worker_or_of_who_starts_them_costs_nothing_but_time(tmp_path, who):
    options = {"trials": 5, "epochs": 12}
    searched(tmp_path, "straight", workers=1, **options)
    prepared(tmp_path, "hurt", **options).close()
    driver = drive(tmp_path, "hurt", 1)
    for line in driver.stdout:
        if json.loads(line)[0] == "finished":
            os.kill(workers_of(driver.pid)[who], signal.SIGKILL)
            break
    out, err = driver.communicate(timeout=240)
    assert '"best"' in out, err
    with RunStore.open(tmp_path, "hurt") as run, RunStore.open(tmp_path, "straight") as straight:
        assert results(run.trials()) == results(straight.trials())


@pytest.mark.slow
def test_ctrl_c_ends_driver_and_workers_and_the_same_command_goes_on(tmp_path):
    command = [
        sys.executable,
        "-m",
        "kexp",
        "search",
        "sklearn:iris",
        "--trials",
        "40",
        "--epochs",
        "200",
        "--workers",
        "2",
    ]
    environment = {**os.environ, "KEXP_HOME": str(tmp_path)}
    # A process group of its own: Ctrl-C reaches the workers too. A shell's background job, which a test run may be,
    # inherits an ignored SIGINT; a terminal's does not.
    search = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    for line in search.stderr:
        if "trial" in line and "best" in line:
            workers = workers_of(search.pid)
            os.killpg(search.pid, signal.SIGINT)
            break
    out, err = search.communicate(timeout=600)
    assert search.returncode == 0, err
    assert "interrupted" in err
    assert "Traceback" not in err
    assert "kexp export iris" in out
    assert not any(_alive(pid) for pid in workers)
    with RunStore.open(tmp_path, "iris") as run:
        asked = len(run.trials())
        assert {trial.status for trial in run.trials()} == {"completed", "running"}
    command[command.index("--trials") + 1] = str(asked)  # no more than was asked: it goes on, and comes to its end
    done = subprocess.run(
        [*command, "--json"], env=environment, capture_output=True, text=True, timeout=900, check=True
    )
    trials = json.loads(done.stdout.splitlines()[-1])["trials"]
    assert {trial["status"] for trial in trials} == {"completed"}


MINE = """
import os, signal, time, traceback
import keras
def build(hp):
    training = any((f.name, f.filename[-9:]) == ("serve", "worker.py") for f in traceback.extract_stack())
    kind = hp.Choice("kind", {kinds!r})
    if kind == "crash" and training:
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "hang" and training:
        time.sleep(600)
    if kind == "bug" and training:
        raise KeyError("planted bug")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(1, activation="sigmoid")])
    rate = 1e30 if kind == "diverge" else 1e-2
    model.compile(keras.optimizers.SGD(rate), "binary_crossentropy")
    return model
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A user's factory in a module of the current folder; it misbehaves in workers only."""

    def write(module: str, kinds: list[str]) -> str:
        (tmp_path / f"{module}.py").write_text(MINE.format(kinds=kinds))
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.syspath_prepend(str(tmp_path))
        return f"{module}:build"

    return write


@pytest.mark.slow
def test_a_trial_that_kills_its_worker_is_tried_twice_then_failed_and_the_search_goes_on(tmp_path, mine):
    factory = mine("mine_crash", ["good", "crash"])
    best, trials, _ = searched(tmp_path, factory=factory, oracle="grid", trials=2, finalists=0)
    assert best.values == {"kind": "good"}
    failed = next(t for t in trials if t.values["kind"] == "crash")
    assert failed.status == "failed"
    assert "SIGKILL" in failed.message
    assert "tried 2 times" in failed.message


@pytest.mark.slow
def test_a_worker_that_says_nothing_is_replaced_and_its_trial_failed(tmp_path, mine, monkeypatch):
    monkeypatch.setattr("kexp.search.workers.SILENCE_SECONDS", 25.0)
    monkeypatch.setattr("kexp.search.workers.TRIES", 1)
    factory = mine("mine_hang", ["good", "hang"])
    best, trials, _ = searched(tmp_path, factory=factory, oracle="grid", trials=2, finalists=0)
    assert best.values == {"kind": "good"}
    hung = next(t for t in trials if t.values["kind"] == "hang")
    assert hung.status == "failed"
    assert "said nothing for 25 s" in hung.message


@pytest.mark.slow
def test_a_bug_stops_the_search_with_its_traceback_and_keeps_what_finished(tmp_path, mine):
    factory = mine("mine_bug", ["good", "bug"])
    with pytest.raises(RuntimeError, match="planted bug") as caught:
        searched(tmp_path, factory=factory, oracle="grid", trials=2, finalists=0)
    assert "Traceback" in str(caught.value)
    with RunStore.open(tmp_path, "toy") as run:
        assert [t.status for t in run.trials()] == ["completed", "running"]


@pytest.mark.slow
def test_a_search_of_failures_is_an_error(tmp_path, mine):
    factory = mine("mine_diverge", ["diverge"])
    with pytest.raises(SearchError, match=r"Not one of 1 trials finished.*trial 0"):
        searched(tmp_path, factory=factory, oracle="grid", trials=3, finalists=0)


@pytest.mark.slow
def test_equal_candidates_are_trained_once(tmp_path):
    space = {"hidden_layers": [0, 1], "numeric_encoding": "standard", "learning_rate": 1e-2, "weight_decay": 0.01,
             "activation": "relu", "batch_normalization": False, "dropout": 0.0, "units_0": [16, 32]}  # fmt: skip
    _, trials, events = searched(tmp_path, space=space, oracle="grid", trials=8, finalists=0)
    assert len(trials) == 4
    twin = next(t for t in trials if t.same_as is not None)  # units_0 means nothing without a layer
    assert twin.values["hidden_layers"] == 0
    assert twin.score == next(t for t in trials if t.id == twin.same_as).score
    assert twin.id not in {e.trial.id for e in events if e.kind == "started"}


@pytest.mark.slow
def test_a_larger_budget_continues_a_finished_run(tmp_path):
    searched(tmp_path, "grown", trials=2)
    with RunStore.open(tmp_path, "grown") as run, run.lock():
        before = run.trials()
        import dataclasses

        larger = dataclasses.replace(run.experiment, trials=4)
        events: list[Event] = []
        search(larger, Dataset.open(run.data), run, workers=1, listener=events.append)
        after = run.trials()
    assert results(after[: len(before)]) == results(before)
    assert sum(t.stage == "explore" for t in after) == 4
    assert not {t.id for t in before} & {e.trial.id for e in events if e.kind == "started"}


@pytest.mark.slow
def test_what_is_trained_has_no_more_parameters_than_allowed(tmp_path):
    from kexp import experiment, models, pipeline

    question = experiment.from_data(
        "sklearn:digits", max_parameters="8k", trials=3, epochs=1, finalists=1, seeds=1, size="8x8"
    )
    assert pipeline.search(question, home=tmp_path, workers=2)
    with RunStore.open(tmp_path, "digits") as run:
        trials, best = run.trials(), run.get("best_trial")
        spec = Dataset.open(run.data).spec
    trained = [t for t in trials if t.status != "infeasible"]
    assert len(trained) == 4
    assert trials[0].status == "infeasible"  # the default candidate
    for trial in trained:
        core = models.build(spec, trial.factory, models.replay(trial.values)).core
        assert trial.status == "completed"
        assert trial.parameters == core.count_params() <= 8_000
    for trial in trials:
        if trial.status == "infeasible":
            core = models.build(spec, trial.factory, models.replay(trial.values)).core
            assert trial.parameters == core.count_params() > 8_000
    assert best in {t.id for t in trained}
    larger = experiment.override(question, max_parameters="9k")
    with pytest.raises(RunError, match=r"max_parameters = 8000, 9000 is asked for now.*--fresh"):
        pipeline.search(larger, home=tmp_path, workers=2)
    assert pipeline.search(experiment.override(question, trials=4), home=tmp_path, workers=2)
    with RunStore.open(tmp_path, "digits") as run:
        # What was trained stays; a file that there was no time for may have been made since.
        assert results(run.trials()[: len(trials)]) == results(trials)


@pytest.mark.slow
def test_a_time_budget_ends_the_search_with_what_there_is(tmp_path):
    best, trials, _ = searched(tmp_path, trials=None, seconds=8.0, epochs=2000, finalists=0)
    assert best.status in ("stopped", "completed")
    assert best.score is not None
    assert all(t.epochs == 2000 for t in trials)


def test_an_oracle_and_an_objective_that_do_not_exist_are_refused(tmp_path):
    with pytest.raises(ExperimentError, match="random"):
        searched(tmp_path, "one", oracle="randm")
    with pytest.raises(ExperimentError, match="accuracy"):
        searched(tmp_path, "two", objective="acuracy")


def test_class_weights_reach_the_workers_and_are_refused_where_there_are_no_classes(tmp_path):
    class Pool:
        def begin(self, setup, *rest):
            raise KeyboardInterrupt(setup.class_weight)

        def close(self):
            pass

    with prepared(tmp_path, class_weight="balanced") as run, pytest.raises(KeyboardInterrupt, match="balanced"):
        search(run.experiment, Dataset.open(run.data), run, workers=1, pool=Pool())
    numbers = DatasetSpec(name="n", kind="image", task="regression", shape=(8, 8, 1), outputs=1, labels=("y",))
    with pytest.raises(ExperimentError, match="regression"):
        check(Experiment(name="n", data="n", class_weight="balanced"), numbers)


def test_one_driver_for_each_run(tmp_path):
    with prepared(tmp_path) as run, run.lock():
        other = RunStore.open(tmp_path, "toy")
        with pytest.raises(RunError, match="in use"), other.lock():
            pass
        other.close()
    assert store.exists(tmp_path, "toy")
