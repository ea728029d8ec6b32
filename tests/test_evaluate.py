"""The test split's document: intervals, confusion, residuals."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import small_models

from kexp import evaluate, screen
from kexp.export import card
from kexp.records import DatasetSpec, Experiment
from kexp.store import RunStore
from kexp.verify import digest

QUESTION = Experiment(name="q", data="d")


def test_what_was_found_of_an_earlier_model_is_not_this_models(tmp_path):
    with RunStore.create(tmp_path, "q", QUESTION) as run:
        run.model.write_bytes(b"one")
        assert evaluate.stored(run) is None
        document = {"model": digest(run.model), "metrics": {"accuracy": 0.9}}
        run.evaluation.write_text(json.dumps(document))
        assert evaluate.stored(run) == document
        run.model.write_bytes(b"two")
        assert evaluate.stored(run) is None
        run.evaluation.write_text(json.dumps({"metrics": {"accuracy": 0.9}}))  # of no model that is known
        assert evaluate.stored(run) is None


random = np.random.default_rng(0)


def spec(task, labels, **extra) -> DatasetSpec:
    outputs = 1 if task == "binary" else len(labels)
    return DatasetSpec(name="s", kind="image", task=task, shape=(1, 1, 1), outputs=outputs, labels=labels, **extra)


def test_wilson_is_newcombes_example():
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I: 81 of 263
    low, high = evaluate.wilson(81 / 263, 263)
    assert (low, high) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert evaluate.wilson(1.0, 10)[1] == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["f1", "balanced_accuracy"])
def test_few_rows_that_are_all_right_leave_room_for_wrong_ones(name):
    """Whatever is drawn from them is all right, too: a bootstrap would say that it can never be otherwise."""
    y, outputs = np.array([0, 1] * 8), np.array([[0.1], [0.9]] * 8, np.float32)
    assert evaluate.interval(spec("binary", ("no", "yes")), name, y, outputs) == pytest.approx(evaluate.wilson(1.0, 16))
    outputs[0] = 0.9
    low, high = evaluate.interval(spec("binary", ("no", "yes")), name, y, outputs)
    assert low < 0.9 < high <= 1


def test_confusion_has_the_truth_in_rows():
    y = np.array([0, 0, 1, 2])
    outputs = np.eye(3, dtype=np.float32)[[0, 1, 1, 2]]
    found = evaluate.describe(spec("multiclass", ("a", "b", "c")), QUESTION, y, outputs)
    assert found["confusion"] == {"labels": ["a", "b", "c"], "matrix": [[1, 1, 0], [0, 1, 0], [0, 0, 1]]}
    assert found["metrics"]["accuracy"] == 0.75
    low, high = found["interval"]["low"], found["interval"]["high"]
    assert low < 0.75 < high
    assert found["residuals"] is None


def test_a_binary_confusion_is_two_by_two():
    found = evaluate.describe(
        spec("binary", ("no", "yes")), QUESTION, np.array([0, 1, 1]), np.array([[0.2], [0.9], [0.1]], np.float32)
    )
    assert found["confusion"]["matrix"] == [[1, 0], [1, 1]]


def test_residuals_and_the_bootstrap_of_a_regression():
    y = random.normal(size=(500, 1)).astype(np.float32)
    error = random.normal(scale=2.0, size=(500, 1))
    found = evaluate.describe(
        spec("regression", ("v",), target_mean=(0.0,), target_std=(1.0,)), QUESTION, y, (y + error).astype(np.float32)
    )
    interval = found["interval"]
    assert interval["metric"] == "rmse"
    assert interval["low"] < found["metrics"]["rmse"] < interval["high"]
    # The standard error of a standard deviation is about sd / sqrt(2 n) = .063; the interval is about four of them.
    assert interval["high"] - interval["low"] == pytest.approx(4 * 2 / np.sqrt(1000), rel=0.3)
    assert found["residuals"]["v"]["50%"] == pytest.approx(np.median(error), abs=1e-4)
    assert found["confusion"] is None


def test_a_forecast_stands_beside_the_naive_ones_on_the_same_rows(tmp_path):
    net, _ = small_models.generated_net("sales", "dense", hidden_layers=1, units_0=32)
    with RunStore.create(tmp_path, "q", QUESTION) as run:
        net.dataset.save(run.data)
        shutil.copy(net.model, run.model)
        document = evaluate.evaluate(run)
        assert evaluate.stored(run) == document
    rows = net.dataset.rows("test")
    before = np.repeat(net.dataset.x[rows, -1:, 0], 3, axis=1)  # a horizon of 3
    week = net.dataset.x[rows, -7:-4, 0]
    expected = [np.sqrt(np.mean((one - net.dataset.y[rows]) ** 2)) for one in (week, before)]
    assert document["naive"] == pytest.approx({"7 steps earlier": expected[0], "the value before": expected[1]})
    console = screen.console()
    with console.capture() as captured:
        console.print(screen.evaluation(document))
    shown = captured.get()
    assert "naive forecast" in shown
    assert all(name in shown and screen.number(value) in shown for name, value in document["naive"].items())
    assert f"- rmse of a naive forecast, 7 steps earlier: {expected[0]:.4g}" in card._quality(document, ours=True)


def test_what_is_no_forecast_has_no_naive_one(tmp_path):
    with RunStore.create(tmp_path, "q", QUESTION) as run:
        net = small_models.digits_net()
        net.dataset.save(run.data)
        shutil.copy(net.model, run.model)
        document = evaluate.evaluate(run)
    assert document["naive"] is None
    assert "naive" not in card._quality(document, ours=True)
