"""Metrics against scikit-learn's, ranks, and objectives that cannot be."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics as reference

from kexp.errors import ExperimentError
from kexp.metrics import METRICS, classes, metrics, objective, rank

random = np.random.default_rng(0)


def test_multiclass_agrees_with_scikit_learn():
    y = random.integers(0, 3, 200)
    p = random.dirichlet(np.ones(3), 200)
    found = metrics("multiclass", y, p)
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(y, p.argmax(1)))
    assert found["balanced_accuracy"] == pytest.approx(reference.balanced_accuracy_score(y, p.argmax(1)))
    assert found["log_loss"] == pytest.approx(reference.log_loss(y, p), rel=1e-5)
    assert found["f1"] == pytest.approx(reference.f1_score(y, p.argmax(1), average="macro"))
    assert found["auc"] == pytest.approx(reference.roc_auc_score(y, p, multi_class="ovr"))


def test_binary_agrees_with_scikit_learn():
    y = random.integers(0, 2, 200)
    p = random.uniform(size=(200, 1))
    found = metrics("binary", y, p)
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(y, p[:, 0] >= 0.5))
    assert found["log_loss"] == pytest.approx(reference.log_loss(y, p[:, 0]), rel=1e-5)
    assert found["f1"] == pytest.approx(reference.f1_score(y, p[:, 0] >= 0.5))
    assert found["auc"] == pytest.approx(reference.roc_auc_score(y, p[:, 0]))


def test_multilabel_agrees_with_scikit_learn():
    y = random.integers(0, 2, (200, 3)).astype(np.float32)
    p = random.uniform(size=(200, 3)).astype(np.float32)
    found = metrics("multilabel", y, p)
    assert found["f1"] == pytest.approx(reference.f1_score(y, p >= 0.5, average="macro"))
    assert found["auc"] == pytest.approx(reference.roc_auc_score(y, p))


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
def test_equal_outputs_count_half(task):
    y = {"binary": random.integers(0, 2, 300), "multiclass": random.integers(0, 4, 300)}
    y["multilabel"] = random.integers(0, 2, (300, 4))
    k = 1 if task == "binary" else 4
    p = (np.round(random.uniform(size=(300, k)), 1) / k).astype(np.float32)  # many are equal
    areas = [
        reference.roc_auc_score(y[task] == c if task == "multiclass" else y[task].reshape(300, k)[:, c], p[:, c])
        for c in range(k)
    ]
    assert metrics(task, y[task], p)["auc"] == pytest.approx(np.mean(areas))
    assert metrics(task, y[task], np.full_like(p, 0.3))["auc"] == 0.5


def test_classes_that_are_not_there_do_not_count():
    y = np.array([0, 0, 1, 1, 1], np.int32)
    p = np.eye(4)[[0, 1, 1, 1, 1]] * 0.7 + 0.075  # of four classes two are there; the first is once taken for the other
    found = metrics("multiclass", y, p)
    assert found["f1"] == pytest.approx(reference.f1_score(y, p.argmax(1), average="macro"))
    assert found["auc"] == pytest.approx(np.mean([reference.roc_auc_score(y == c, p[:, c]) for c in (0, 1)]))
    several = metrics("multilabel", np.array([[1, 0], [0, 0]], np.float32), np.array([[0.9, 0.1], [0.1, 0.2]]))
    assert (several["f1"], several["auc"]) == (1.0, 1.0)
    for task, lone in (("binary", np.ones(3, np.int32)), ("multiclass", np.ones(3, np.int32))):
        alone = metrics(task, lone, np.full((3, 1 if task == "binary" else 4), 0.2))
        assert alone["auc"] == 0.5 and math.isfinite(alone["f1"])


def test_none_found_and_none_there_is_no_f1():
    assert metrics("binary", np.zeros(3, np.int32), np.full((3, 1), 0.2))["f1"] == 0.0


def test_regression_agrees_with_scikit_learn():
    y = random.normal(size=(100, 2))
    out = y + random.normal(size=(100, 2))
    found = metrics("regression", y, out)
    assert found["rmse"] == pytest.approx(math.sqrt(reference.mean_squared_error(y, out)))
    assert found["mae"] == pytest.approx(reference.mean_absolute_error(y, out))
    flat = metrics("regression", y[:, :1], out[:, :1])
    assert flat["r2"] == pytest.approx(reference.r2_score(y[:, 0], out[:, 0]))


def test_multilabel_counts_each_label():
    y = np.array([[1, 0], [1, 1]], np.float32)
    p = np.array([[0.9, 0.6], [0.2, 0.7]], np.float32)
    assert metrics("multilabel", y, p)["accuracy"] == 0.5
    assert classes("multilabel", p).tolist() == [[1, 1], [0, 1]]


def test_a_sure_mistake_costs_a_finite_loss():
    assert math.isfinite(metrics("binary", np.array([1]), np.array([[0.0]]))["log_loss"])


def test_ranks_put_larger_is_better_and_nan_last():
    good, bad = {"accuracy": 0.9, "log_loss": 0.5}, {"accuracy": 0.8, "log_loss": 0.1}
    assert rank("binary", "", good) > rank("binary", "", bad)
    assert rank("binary", "log_loss", good) < rank("binary", "log_loss", bad)
    assert rank("binary", "", {"accuracy": math.nan, "log_loss": 0.1}) < rank("binary", "", bad)
    assert rank("regression", "", {"rmse": 1.0, "mae": 1.0}) > rank("regression", "", {"rmse": 2.0, "mae": 0.1})


def test_the_loss_breaks_ties():
    one, two = {"accuracy": 0.9, "log_loss": 0.5}, {"accuracy": 0.9, "log_loss": 0.4}
    assert rank("binary", "", two) > rank("binary", "", one)


def test_objectives():
    assert objective("regression") == ("rmse", "min")
    assert objective("multiclass") == ("accuracy", "max")
    for name, (_, direction, tasks) in METRICS.items():
        for task in tasks:
            assert objective(task, name) == (name, direction)
    with pytest.raises(ExperimentError, match="accuracy"):
        objective("binary", "acuracy")
    with pytest.raises(ExperimentError, match="regression"):
        objective("regression", "accuracy")
