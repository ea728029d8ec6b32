"""Losses, and classes that weigh alike: against scikit-learn, and in training."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight
from test_train import run, table, trial

from kexp import models
from kexp.data.dataset import Dataset
from kexp.errors import ExperimentError
from kexp.search.worker import Setup, serve
from kexp.train import Trainer, epoch, feed, loss

random = np.random.default_rng(0)


def unequal(task: str = "binary", rows: int = 2000) -> Dataset:
    """The classes overlap, and the last has one row in twenty, or in forty."""
    dataset = table(task, rows)
    k = len(dataset.spec.labels)
    y = np.minimum(random.integers(0, 20 * (k - 1), rows) // 20 + (random.random(rows) < 0.05), k - 1).astype(np.int32)
    x = (random.normal(size=(rows, 2)) + np.stack([y == k - 1, y], axis=1)).astype(np.float32)
    return dataclasses.replace(dataset, x=x, y=y)


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_weights_are_scikit_learns(task):
    dataset = unequal(task)
    found = loss.balanced(dataset.spec, dataset.y)
    labels = np.arange(len(dataset.spec.labels))
    expected = compute_class_weight("balanced", classes=labels, y=dataset.y)
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-6)
    assert expected.max() > 5 * expected.min()
    assert np.mean(found.ravel()[dataset.y]) == pytest.approx(1.0)


def test_a_class_without_a_row_is_not_counted_and_no_row_weighs_too_much():
    spec = table("multiclass").spec
    assert loss.balanced(spec, np.array([0, 0, 0, 2])).tolist() == pytest.approx([4 / 6, 2.0, 2.0])
    assert loss.balanced(spec, np.array([0] * 9999 + [1])).max() == loss.LARGEST


def test_each_label_has_weights_of_its_own():
    y = np.array([[1, 0], [0, 0], [0, 0], [0, 1]], np.float32)
    y[1, 1] = 1
    found = loss.balanced(table("multilabel").spec, y)
    np.testing.assert_allclose(found, [[4 / 6, 2.0], [1.0, 1.0]])


@pytest.mark.parametrize("logits", [True, False])
@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
def test_a_row_counts_as_its_class_does(task, logits):
    dataset = table(task)
    spec, rows = dataset.spec, 30
    y = dataset.y[:rows] if task == "multiclass" else dataset.y[:rows].reshape(rows, -1).astype(np.float32)
    out = random.uniform(0.1, 0.9, (rows, spec.outputs)).astype(np.float32)
    if task == "multiclass":
        out /= out.sum(axis=1, keepdims=True)
    p = out.astype(np.float64)
    if task == "multiclass":
        weights = np.array([1.0, 2.0, 5.0], np.float32)
        expected = -np.log(p[np.arange(rows), y]) * weights[y]
        out = np.log(out) if logits else out
    else:
        weights = random.uniform(0.5, 3, (spec.outputs, 2)).astype(np.float32)
        each = np.stack([weights[k][y[:, k].astype(int)] for k in range(spec.outputs)], axis=1)
        expected = -(y * np.log(p) + (1 - y) * np.log(1 - p)) * each
        out = np.log(out / (1 - out)) if logits else out
    found = loss.losses(spec, logits=logits, weights=weights)(y, out)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    if logits:  # of several networks at once
        both = loss.losses(spec, logits=True, weights=weights)(y, np.stack([out, out]))
        np.testing.assert_allclose(both, [expected, expected], rtol=1e-4)


def test_a_users_own_loss_is_weighted_too():
    spec = table("binary").spec
    y, out = np.array([[0.0], [1.0]], np.float32), np.array([[0.4], [0.4]], np.float32)
    weights = np.array([[1.0, 3.0]], np.float32)
    each = np.array([-np.log(0.6), -3 * np.log(0.4)])
    by_name = loss.weighted(spec, keras.losses.get("binary_crossentropy"), weights)
    np.testing.assert_allclose(by_name(y, out), each, rtol=1e-5)
    by_object = loss.weighted(spec, keras.losses.BinaryCrossentropy(), weights)
    assert float(by_object(y, out)) == pytest.approx(each.mean(), rel=1e-5)
    plain = keras.losses.BinaryCrossentropy()
    assert loss.weighted(spec, plain, None) is plain
    with pytest.raises(ExperimentError, match="a loss for each row"):
        loss.weighted(spec, lambda y, out: keras.ops.mean(y - out), weights)(y, out)


@pytest.mark.parametrize("task", ["binary", "multiclass"])
@pytest.mark.parametrize("alone", [True, False])
def test_the_rare_class_is_found_where_classes_weigh_alike(task, alone):
    dataset = unequal(task)
    options = {"batch_size": 64, "callbacks": (lambda trial: [keras.callbacks.Callback()]) if alone else None}
    reached = {}
    for weight in ("none", "balanced"):
        done, _ = run(Trainer(dataset, class_weight=weight, **options), trial(epochs=8))
        reached[weight] = done.metrics["balanced_accuracy"]
    assert reached["balanced"] > reached["none"] + 0.1


def test_training_rows_alone_decide():
    dataset = unequal()
    y = np.where(dataset.part == 0, dataset.y, 1)
    _, one = run(Trainer(dataset, batch_size=64, class_weight="balanced"), trial(epochs=1))
    _, two = run(Trainer(dataclasses.replace(dataset, y=y), batch_size=64, class_weight="balanced"), trial(epochs=1))
    for a, b in zip(one.weights, two.weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_graph_that_was_made_weighs_in_every_trial_that_takes_it():
    dataset = table("multiclass")
    weights = np.array([1.0, 2.0, 5.0], np.float32)
    network = models.build(dataset.spec, "dense", models.replay({"hidden_layers": 1, "units_0": 16, "dropout": 0.0}))
    rows = [feed.samples(dataset.spec, network, dataset, part) for part in ("train", "validation")]
    start = network.core.get_weights()
    graphs = epoch.Graphs(dataset.spec, network, weights)
    fits = []
    for options in ({"graphs": graphs}, {"graphs": graphs}, {"weights": weights}, {}):
        network.core.set_weights(start)
        fits.append(epoch.fit(dataset.spec, network, *rows, epochs=1, batch_size=16, seed=1, **options))
    losses = [fitted.history[0]["loss"] for fitted in fits]
    assert losses[0] == losses[1] == pytest.approx(losses[2], rel=1e-6)
    assert losses[3] < 0.8 * losses[0]


def test_a_worker_trains_with_what_the_experiment_says(monkeypatch, tmp_path):
    asked = {}

    class Ends:
        def send(self, report):
            assert report.kind == "ready"

        def recv(self):
            return None

    monkeypatch.setattr(
        "kexp.store.RunStore.open", lambda *where: type("Store", (), {"data": tmp_path, "features": None})
    )
    monkeypatch.setattr("kexp.data.dataset.Dataset.open", lambda folder: None)
    monkeypatch.setattr("kexp.train.Trainer", lambda dataset, **options: asked.update(options))
    serve(Ends(), Setup(home="h", run="r", batch_size=8, objective="f1", class_weight="balanced"))
    assert asked == {"batch_size": 8, "objective": "f1", "class_weight": "balanced", "keep": None}
