"""The line from Python, on a bundled table: search, look, evaluate, export, verify, go on, clean."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import kexp
from kexp import pipeline
from kexp.errors import ExperimentError, RunError
from kexp.records import Experiment
from kexp.search.events import Event
from kexp.store import RunStore

BUDGET = {"trials": 2, "epochs": 3, "finalists": 1, "seeds": 1}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A finished run; tests only read it, or work under another name."""
    home = tmp_path_factory.mktemp("home")
    return kexp.search("sklearn:iris", home=home, workers=1, **BUDGET)


def test_the_leaderboard_is_a_dataframe_best_first(searched):
    board = searched.leaderboard()
    assert isinstance(board, pd.DataFrame)
    assert len(board) == 3
    assert {"id", "status", "score", "accuracy", "log_loss", "hidden_layers", "learning_rate"} <= set(board.columns)
    assert board["accuracy"].is_monotonic_decreasing
    assert searched.best.id in set(board["id"])


def test_the_model_answers_in_probabilities(searched):
    out = searched.model().predict(np.array([[5.1, 3.5, 1.4, 0.2]], np.float32), verbose=0)
    assert out.shape == (1, 3)
    np.testing.assert_allclose(out.sum(), 1, rtol=1e-5)


def test_the_shipped_files_are_evaluated_on_the_same_rows(searched):
    made = searched.export("tflite_float32", "tflite_int8")
    assert made.ok, made.failures
    assert [a.format for a in made.artifacts] == ["tflite_float32", "tflite_int8"]
    assert {a.trial for a in made.artifacts} == {searched.best.id}
    found = searched.evaluate()
    assert found["files"]["model_float32.tflite"]["accuracy"] == found["metrics"]["accuracy"]
    assert found["rows"] == sum(map(sum, found["confusion"]["matrix"]))
    with RunStore.open(searched.home, searched.name) as run:
        stored = np.load(run.predictions)
        assert stored["outputs_model.keras"].shape == (found["rows"], 3)
        assert set(stored) == {
            "rows",
            "y",
            *(f"outputs_model{s}" for s in (".keras", "_float32.tflite", "_int8.tflite")),
        }
    _, checks = pipeline.verify_folder(made.folder)
    assert all(check.ok for check in checks)


def test_the_same_search_again_trains_nothing(searched):
    events: list[Event] = []
    with RunStore.open(searched.home, searched.name) as run:
        question, before = run.experiment, run.trials()
    again = pipeline.search(question, home=searched.home, workers=1, listener=events.append)
    assert again.best == searched.best
    assert not [event for event in events if event.kind == "started"]
    with RunStore.open(searched.home, searched.name) as run:
        assert run.trials() == before


def test_another_question_under_the_same_name_is_refused_and_fresh_keeps_the_old_run(searched, tmp_path):
    kexp.search("sklearn:iris", home=tmp_path, workers=1, **{**BUDGET, "trials": 1, "finalists": 0})
    with pytest.raises(RunError, match="seed"):
        kexp.search("sklearn:iris", home=tmp_path, workers=1, seed=5, **BUDGET)
    kexp.search("sklearn:iris", home=tmp_path, workers=1, seed=5, fresh=True, **{**BUDGET, "trials": 1, "finalists": 0})
    assert [run["name"] for run in pipeline.runs(tmp_path)] == ["iris.1", "iris"]


def test_interrupted_before_the_end_it_keeps_the_best_so_far(tmp_path):
    def interrupt(event: Event) -> None:
        if event.kind == "finished":
            raise KeyboardInterrupt

    question = Experiment(name="iris", data="sklearn:iris", **{**BUDGET, "trials": 4})
    run = pipeline.search(question, home=tmp_path, workers=1, listener=interrupt)
    assert run.interrupted
    assert run.best.score is not None
    assert (tmp_path / "runs" / "iris" / "model.keras").exists()
    shown = pipeline.show(tmp_path)
    assert {trial["status"] for trial in shown["trials"]} == {"completed", "stopped"}
    run = pipeline.search(question, home=tmp_path, workers=1)
    assert not run.interrupted
    assert sum(trial["status"] == "completed" for trial in pipeline.show(tmp_path)["trials"]) == 5


def test_interrupted_before_anything_finished_it_is_an_interrupt(tmp_path):
    def interrupt(event: Event) -> None:
        if event.kind == "started":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pipeline.search(
            Experiment(name="iris", data="sklearn:iris", **BUDGET), home=tmp_path, workers=1, listener=interrupt
        )
    with pytest.raises(RunError, match="no model"):
        pipeline.evaluate(tmp_path)


def test_init_writes_an_experiment_that_search_reads(tmp_path, monkeypatch):
    rows = pd.DataFrame({"size": range(60), "colour": ["red", "blue", "green"] * 20, "sold": ["yes", "no"] * 30})
    (tmp_path / "shop").mkdir()
    rows.assign(size=rows["size"] * 7 % 59 + 0.5).to_csv(tmp_path / "shop" / "shop.csv", index=False)
    monkeypatch.chdir(tmp_path)
    found = pipeline.init("shop/shop.csv", home=tmp_path)
    assert dict(found.lines)["task"] == "binary"
    assert found.toml == tmp_path / "experiments" / "shop.toml"
    run = kexp.search(found.toml, home=tmp_path, workers=1, **{**BUDGET, "trials": 1, "finalists": 0})
    assert run.name == "shop"
    with pytest.raises(ExperimentError, match="--force"):
        pipeline.init("shop/shop.csv", home=tmp_path)


def test_clean_keeps_what_ships(tmp_path):
    run = kexp.search("sklearn:iris", home=tmp_path, workers=1, **{**BUDGET, "trials": 5, "finalists": 0})
    assert pipeline.clean(tmp_path, ["iris"]) > 0
    assert run.model() is not None
    assert run.export("tflite_float32").ok
    assert json.dumps(pipeline.show(tmp_path, "iris"))
