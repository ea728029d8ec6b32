"""The line from Python, on a bundled table: search, look, evaluate, export, verify, go on, clean."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import kexp
from kexp import data, leaderboard, pipeline
from kexp.data.dataset import Dataset
from kexp.errors import DataError, ExperimentError, ExportError, RunError
from kexp.records import Experiment, Trial
from kexp.search.events import Event
from kexp.store import RunStore

BUDGET = {"trials": 2, "epochs": 3, "finalists": 1, "seeds": 1, "folds": 0}

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
    assert "shipped" not in board and not board["shipped_log_loss"].isna().any()
    assert board["shipped_accuracy"].is_monotonic_decreasing  # what ranks is the file that ships
    assert searched.best.id in set(board["id"])


def test_a_search_in_this_process_finds_what_one_in_others_finds(searched, tmp_path):
    here = kexp.search("sklearn:iris", home=tmp_path, workers=0, **BUDGET).leaderboard().set_index("id")
    there = searched.leaderboard().set_index("id").loc[here.index]
    named = ["stage", "seed", "epochs", "hidden_layers", "units_0", "learning_rate"]
    pd.testing.assert_frame_equal(here[named], there[named])
    np.testing.assert_allclose(here["log_loss"], there["log_loss"], rtol=0.02)
    assert here["bytes"].isna().all() and "shipped_accuracy" not in here  # files take a process of their own


def test_a_notebook_shows_the_best_trials(searched):
    shown = searched._repr_html_()
    assert "<b>iris</b>" in shown and f"best trial: {searched.best.id}" in shown
    assert shown.count("<tr") == 4 and "accuracy" in shown


def test_simpler_models_are_a_dataframe_too(searched):
    board = searched.baselines()
    assert {"factory", "score", "accuracy", "bytes", "latency_ms", "C"} <= set(board.columns)
    assert not {"metrics", "values", "parent"} & set(board.columns)
    assert board["factory"].iloc[-1] == "constant" and len(board) == 7


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
    assert set(found["consistency"]["before"]) == {"model.keras", "model_int8.tflite"}
    assert found["consistency"]["before"]["model.keras"] == found["metrics"]["accuracy"]  # all rows, there being few
    told = found["consistency"]["changes"]["numbers 0.05 sd"]
    assert all(0.7 < told[model]["same"] <= 1 for model in ("model.keras", "model_int8.tflite"))
    with RunStore.open(searched.home, searched.name) as run:
        stored = np.load(run.predictions)
        assert stored["outputs_model.keras"].shape == (found["rows"], 3)
        assert {name for name in stored if "baseline" not in name} == {
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
    best = searched.best
    assert pipeline.search(question, home=searched.home, workers=1, listener=events.append)
    assert kexp.load(searched.name, searched.home).best == best
    assert not [event for event in events if event.kind == "started"]
    with RunStore.open(searched.home, searched.name) as run:
        assert run.trials() == before


def test_another_question_under_the_same_name_is_refused_and_fresh_keeps_the_old_run(searched, tmp_path):
    kexp.search("sklearn:iris", home=tmp_path, workers=1, **{**BUDGET, "trials": 1, "finalists": 0})
    with pytest.raises(RunError, match="seed"):
        kexp.search("sklearn:iris", home=tmp_path, workers=1, seed=5, **BUDGET)
    kexp.search("sklearn:iris", home=tmp_path, workers=1, seed=5, fresh=True, **{**BUDGET, "trials": 1, "finalists": 0})
    assert [run["name"] for run in pipeline.runs(tmp_path)] == ["iris.1", "iris"]


@pytest.mark.parametrize("wrong", [{"objective": "rmse"}, {"oracle": "bayesain"}, {"factory": "densee"}])
def test_what_cannot_be_searched_leaves_the_runs_as_they_are(tmp_path, wrong):
    question = Experiment(name="iris", data="sklearn:iris", **{**BUDGET, **wrong})
    with pytest.raises(ExperimentError):
        pipeline.search(question, home=tmp_path, workers=1)
    assert pipeline.runs(tmp_path) == []
    RunStore.create(tmp_path, "iris", Experiment(name="iris", data="sklearn:iris")).close()
    with pytest.raises(ExperimentError):
        pipeline.search(question, home=tmp_path, workers=1, fresh=True)
    with pytest.raises(DataError):
        pipeline.search(replace(question, data="nowhere.csv"), home=tmp_path, workers=1, fresh=True)
    assert [run["name"] for run in pipeline.runs(tmp_path)] == ["iris"]


def test_what_was_asked_and_not_told_is_stopped_and_why_depends_on_the_end(tmp_path):
    with RunStore.create(tmp_path, "iris", Experiment(name="iris", data="sklearn:iris")) as run:
        run.record_ask(Trial(id=0, factory="dense", values={}, status="running"))
        with run.lock():
            assert [t.status for t in leaderboard.ranked(run)] == ["running"]
        (trial,) = leaderboard.ranked(run)
        assert (trial.status, trial.message) == ("stopped", "interrupted; the next search trains it again")
        run.finish()
        (trial,) = leaderboard.ranked(run)
        assert (trial.status, trial.message) == ("stopped", "not started: the time was up")


def test_a_data_set_counts_as_saved_only_when_its_save_ended(tmp_path, monkeypatch):
    dataset = data.load(Experiment(name="iris", data="sklearn:iris"), base=tmp_path, cache=tmp_path / "cache")
    monkeypatch.setattr(Path, "replace", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        dataset.save(tmp_path / "data")
    assert not Dataset.saved(tmp_path / "data")
    with pytest.raises(RunError, match="no complete data set"):
        Dataset.open(tmp_path / "data")
    monkeypatch.undo()
    dataset.save(tmp_path / "data")
    assert Dataset.saved(tmp_path / "data")
    assert Dataset.open(tmp_path / "data").spec == dataset.spec


def test_interrupted_before_the_end_it_keeps_the_best_so_far(tmp_path):
    def interrupt(event: Event) -> None:
        if event.kind == "finished":
            raise KeyboardInterrupt

    question = Experiment(name="iris", data="sklearn:iris", **{**BUDGET, "trials": 4})
    assert not pipeline.search(question, home=tmp_path, workers=1, listener=interrupt)
    assert kexp.load("iris", tmp_path).best.score is not None
    assert (tmp_path / "runs" / "iris" / "model.keras").exists()
    shown = pipeline.show(tmp_path)
    assert {trial["status"] for trial in shown["trials"]} == {"completed", "stopped"}
    assert {t["message"] for t in shown["trials"] if t["status"] == "stopped"} == {
        "interrupted; the next search trains it again"
    }
    assert pipeline.search(question, home=tmp_path, workers=1)
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


def test_init_takes_one_target_as_search_does(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pd.DataFrame({"size": np.arange(60) * 7 % 59 + 0.5, "sold": ["yes", "no"] * 30}).to_csv("shop.csv", index=False)
    for target in ("sold", ["sold"]):
        assert kexp.init("shop.csv", home=tmp_path, target=target, force=True).experiment.target == ("sold",)


def test_what_is_no_path_is_told_where_to_go(tmp_path):
    with pytest.raises(ExperimentError, match=r"was given a DataFrame.*KexpClassifier"):
        kexp.search(pd.DataFrame({"size": range(60)}), home=tmp_path)


def test_options_may_be_numpy_s_numbers(tmp_path):
    few = {**BUDGET, "trials": np.int64(1), "epochs": np.int64(2), "finalists": 0}
    run = kexp.search("sklearn:iris", home=tmp_path, workers=0, space={"units_0": np.array([8])}, **few)
    assert run.leaderboard()["units_0"].tolist() == [8]


@pytest.mark.parametrize("drop", ["0.02", -1, float("nan"), None, True])
def test_a_tolerance_that_is_no_drop_is_refused_before_files_are_made(searched, drop):
    with pytest.raises(ExportError, match="drop of 0 or more"):
        searched.export("tflite_float32", tolerances={"tflite": drop})


def test_clean_keeps_what_ships(tmp_path):
    run = kexp.search("sklearn:iris", home=tmp_path, workers=1, **{**BUDGET, "trials": 5, "finalists": 0})
    assert pipeline.clean(tmp_path, ["iris"]) > 0
    assert run.model() is not None
    assert run.export(["tflite_float32"]).ok
    assert json.dumps(pipeline.show(tmp_path, "iris"))
