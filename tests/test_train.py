"""Training one candidate: it learns, repeats itself, stops when told, goes on from weights, and fails loudly."""

from __future__ import annotations

import dataclasses
import math
import time

import numpy as np
import pytest

from kexp import models
from kexp.data.dataset import Dataset
from kexp.metrics import metrics
from kexp.models.layers import TableEncoder
from kexp.records import Column, DatasetSpec, Trial
from kexp.train import Trainer, epoch, feed, kind_of

VALUES = {"hidden_layers": 1, "units_0": 32, "learning_rate": 0.01, "dropout": 0.0}


def table(task: str = "binary", rows: int = 400) -> Dataset:
    random = np.random.default_rng(0)
    x = random.normal(size=(rows, 2)).astype(np.float32)
    columns = tuple(Column(name=n, kind="number") for n in "ab")
    extra = {}
    if task == "regression":
        y = (1000 + 50 * (x[:, :1] - 2 * x[:, 1:])).astype(np.float32)
        extra = {"target_mean": (1000.0,), "target_std": (110.0,)}
        labels, outputs = ("y",), 1
    elif task == "multilabel":
        y, labels, outputs = (x > 0).astype(np.float32), ("a", "b"), 2
    elif task == "multiclass":
        y, labels, outputs = ((x[:, 0] > 0).astype(np.int32) + (x[:, 1] > 0)).astype(np.int32), ("n", "o", "b"), 3
    else:
        y, labels, outputs = (x[:, 0] > x[:, 1]).astype(np.int32), ("no", "yes"), 1
    spec = DatasetSpec(
        name="t", kind="table", task=task, shape=(2,), outputs=outputs, labels=labels, columns=columns, **extra
    )
    part = np.array([0, 0, 0, 1] * (rows // 4), np.int8)
    return Dataset(spec=spec, x=x, y=y, part=part, ids=[])


def trial(**options) -> Trial:
    defaults = {"factory": "dense", "values": VALUES, "epochs": 15, "seed": 1}
    return Trial(id=0, status="running", **{**defaults, **options})


def run(trainer, trial, **options):
    return trainer.run([trial], **options)[0]


@pytest.mark.parametrize(
    ("task", "metric", "reached"),
    [
        ("binary", "accuracy", 0.93),
        ("multiclass", "accuracy", 0.9),
        ("multilabel", "accuracy", 0.9),
        ("regression", "r2", 0.97),
    ],
)
def test_it_learns(task, metric, reached):
    done, fitted = run(Trainer(table(task), batch_size=16), trial())
    assert done.status == "completed", done.message
    assert done.metrics[metric] > reached
    assert done.parameters == sum(w.size for w in fitted.weights)
    assert len(fitted.history) <= 15
    assert done.score == done.metrics["rmse" if task == "regression" else "accuracy"]


def test_the_same_seed_gives_the_same_network_whatever_was_trained_before():
    trainer = Trainer(table(), batch_size=16)
    first, one = run(trainer, trial(epochs=3))
    run(trainer, trial(epochs=2, seed=9, values={**VALUES, "units_0": 16}))
    again, two = run(trainer, trial(epochs=3))
    _, other = run(trainer, trial(epochs=3, seed=2))
    assert first.metrics == again.metrics
    for a, b in zip(one.weights, two.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not all(np.array_equal(a, b) for a, b in zip(one.weights, other.weights, strict=True))


@pytest.mark.parametrize("task", ["multiclass", "regression"])
@pytest.mark.parametrize("alone", [False, True])
def test_what_it_does_on_training_rows_is_told_of_the_weights_that_are_kept(monkeypatch, task, alone):
    monkeypatch.setattr("kexp.train.kind_of", (lambda *_: None) if alone else kind_of)
    dataset = table(task)
    values = {**VALUES, "dropout": 0.5}
    done, fitted = run(Trainer(dataset, batch_size=16), trial(values=values, epochs=4))
    built = models.build(dataset.spec, "dense", models.replay(values))
    built.core.set_weights(fitted.weights)
    part = feed.samples(dataset.spec, built, dataset, "train").some(16 * 18 * 4)
    assert len(part.y) == feed.KNOWN_LEAST < len(dataset.rows("train"))
    answers = built.answer(built.core(part.features, training=False)).numpy()
    assert done.train == pytest.approx(metrics(task, part.y, answers), rel=1e-4)
    assert done.train != pytest.approx(done.metrics, rel=1e-4)
    curve = fitted.curve("rmse" if task == "regression" else "accuracy")
    assert curve.epochs == (1, 2, 3, 4) and curve.score[fitted.epochs - 1] == pytest.approx(done.score, rel=1e-5)
    error = (done.metrics["rmse"] / 110) ** 2 if task == "regression" else done.metrics["log_loss"]
    assert curve.validation_loss[fitted.epochs - 1] == pytest.approx(error, rel=1e-4)


def test_a_curve_leaves_out_what_was_not_validated():
    done, fitted = run(
        Trainer(pictures(), batch_size=16), trial(factory="conv", values={"stages": 1, "filters": 8}, epochs=3)
    )
    curve = fitted.curve("accuracy")
    assert (
        [one is None for one in curve.score] == [one is None for one in curve.validation_loss] == [True, False, False]
    )
    blind = fitted.curve("accuracy", validated=False)  # all rows trained
    assert blind.score == blind.validation_loss == (None, None, None) and blind.running_loss == curve.running_loss
    assert None not in curve.running_loss and set(done.train) == set(done.metrics)


def test_it_goes_on_from_the_weights_of_its_parent():
    trainer = Trainer(table(), batch_size=16)
    _, parent = run(trainer, trial(epochs=6))
    _, child = run(trainer, trial(epochs=7), initial_epoch=6, weights={0: parent.weights})
    _, fresh = run(trainer, trial(epochs=1))
    assert [entry["epoch"] for entry in child.history] == [7.0]
    assert child.history[0]["loss"] < fresh.history[0]["loss"]


def test_the_deadline_stops_it_with_what_it_has():
    done, fitted = run(Trainer(table(), batch_size=16), trial(epochs=500), deadline=time.monotonic())
    assert done.status == "stopped"
    assert "1 epochs" in done.message
    assert fitted is not None
    assert math.isfinite(done.score)


def test_divergence_fails_the_trial_and_says_where():
    done, fitted = run(Trainer(table("regression"), batch_size=16), trial(values={**VALUES, "learning_rate": 1e30}))
    assert done.status == "failed"
    assert fitted is None
    assert "diverged in epoch" in done.message
    assert "1e+30" in done.message


def test_the_best_epoch_is_kept():
    done, fitted = run(
        Trainer(table(rows=80), batch_size=16), trial(epochs=30, values={**VALUES, "learning_rate": 0.3})
    )
    best = max(entry["accuracy"] for entry in fitted.history)
    assert done.metrics["accuracy"] == best


def test_every_epoch_is_reported():
    heard = []
    run(Trainer(table(), batch_size=16), trial(epochs=4), on_epoch=heard.append)
    assert heard == [1, 2, 3, 4]


def pictures() -> Dataset:
    random = np.random.default_rng(0)
    y = np.arange(160, dtype=np.int32) % 2
    x = random.integers(0, 60, (160, 8, 8, 1)).astype(np.uint8)
    x[y == 1, 2:6, 2:6] += 150
    spec = DatasetSpec(
        name="p", kind="image", task="binary", shape=(8, 8, 1), outputs=1, labels=("dark", "light"),
        mean=(60.0,), std=(60.0,),
    )  # fmt: skip
    return Dataset(spec=spec, x=x, y=y, part=np.array([0, 0, 0, 1] * 40, np.int8), ids=[])


def test_pictures_are_validated_in_the_second_half_of_their_epochs():
    values = {"stages": 1, "filters": 8, "dropout": 0.0}
    for epochs, validated in ((1, [1]), (2, [2]), (5, [3, 4, 5])):
        _, fitted = run(Trainer(pictures(), batch_size=16), trial(factory="conv", values=values, epochs=epochs))
        assert [int(entry["epoch"]) for entry in fitted.history] == list(range(1, epochs + 1))
        assert [int(entry["epoch"]) for entry in fitted.history if "accuracy" in entry] == validated


def test_pictures_that_the_deadline_stops_early_are_validated_then():
    values = {"stages": 1, "filters": 8, "dropout": 0.0}
    done, fitted = run(
        Trainer(pictures(), batch_size=16), trial(factory="conv", values=values, epochs=50), deadline=time.monotonic()
    )
    assert done.status == "stopped" and done.score is not None
    assert len(fitted.history) == fitted.epochs == 1


def test_pictures_are_augmented_in_training_only():
    done, _ = run(
        Trainer(pictures(), batch_size=16), trial(factory="conv", values={"augmentation": "pose"}, epochs=6, seed=0)
    )
    assert done.metrics["accuracy"] > 0.95


def test_pictures_give_the_same_network_under_the_same_seed_only():
    trainer = Trainer(pictures(), batch_size=16)
    values = {"augmentation": "flip", "stages": 1, "filters": 8}
    _, one = run(trainer, trial(factory="conv", values=values, epochs=2))
    _, two = run(trainer, trial(factory="conv", values=values, epochs=2))
    _, other = run(trainer, trial(factory="conv", values=values, epochs=2, seed=2))
    for a, b in zip(one.weights, two.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not all(np.array_equal(a, b) for a, b in zip(one.weights, other.weights, strict=True))


def test_networks_that_differ_in_rate_and_weights_share_graphs_and_come_out_as_alone(monkeypatch):
    values = {"augmentation": "flip", "stages": 1, "filters": 8, "dropout": 0.3}
    parts = [
        trial(factory="conv", values={**values, "learning_rate": rate}, epochs=epochs, seed=seed)
        for rate, epochs, seed in ((1e-3, 2, 0), (8e-3, 3, 1), (1e20, 1, 1), (2e-3, 2, 0))
    ]
    alone = [run(Trainer(pictures(), batch_size=16), part) for part in parts]
    made = []
    monkeypatch.setattr("kexp.train.Graphs", lambda *asked: made.append(asked) or epoch.Graphs(*asked))
    trainer = Trainer(pictures(), batch_size=16)
    for part, (one, fitted) in zip(parts, alone, strict=True):
        done, again = run(trainer, part)
        assert (done.status, done.metrics) == (one.status, one.metrics)
        if fitted is not None:
            assert fitted.history == again.history
            for a, b in zip(fitted.weights, again.weights, strict=True):
                np.testing.assert_array_equal(a, b)
    assert [one.status for one, _ in alone] == ["completed", "completed", "failed", "completed"]
    assert len(made) == 1
    for filters in (16, 24, 32, 16):
        run(trainer, trial(factory="conv", values={**values, "filters": filters}, epochs=1))
    assert len(made) == 4
    run(trainer, trial(factory="conv", values={**values, "weight_decay": 0.1}, epochs=1))
    assert len(made) == 5


def test_rows_are_read_once_for_all_trials(monkeypatch):
    read = []

    def reading(*asked, **options):
        read.append(asked[3])
        return feed.samples(*asked, **options)

    monkeypatch.setattr("kexp.train.samples", reading)
    trainer = Trainer(pictures(), batch_size=16)
    for _ in range(2):
        run(trainer, trial(factory="conv", values={"stages": 1, "filters": 8}, epochs=1))
    assert read == ["train", "validation"]


@pytest.mark.parametrize("factory", ["conv", "dense"])
def test_more_pictures_than_memory_are_read_from_disk_and_give_the_same_network(tmp_path, monkeypatch, factory):
    dataset = pictures()
    dataset.save(tmp_path)
    mapped = Dataset.open(tmp_path)
    asked = [
        trial(factory=factory, values={"stages": 1, "filters": 8, "units_0": 16, "hidden_layers": 1, "dropout": 0.0}),
        trial(factory=factory, values={"stages": 1, "filters": 16, "units_0": 32, "hidden_layers": 1, "dropout": 0.0}),
    ]
    asked = [dataclasses.replace(one, id=i, epochs=2) for i, one in enumerate(asked)]
    held = Trainer(dataset, batch_size=16).run(asked)
    monkeypatch.setattr(feed, "MEMORY_BYTES", 1000)
    monkeypatch.setattr(feed, "SLAB_BYTES", 64 * 16 * 3)  # three batches; 120 rows are seven, and what is left
    trainer = Trainer(mapped, batch_size=16)
    streamed = trainer.run(asked)
    assert all(isinstance(part.features, feed.OnDisk) for parts in trainer._samples.values() for part in parts)
    for (one, a), (two, b) in zip(held, streamed, strict=True):
        assert one.metrics == pytest.approx(two.metrics, abs=1e-4)
        for left, right in zip(a.weights, b.weights, strict=True):
            np.testing.assert_allclose(left, right, atol=1e-4, rtol=1e-4)


def test_two_encodings_of_a_table_are_kept_at_most(monkeypatch):
    trainer = Trainer(table(), batch_size=16)
    seen = []
    for clip in (10.0, 5.0, 3.0):
        config = TableEncoder.get_config
        monkeypatch.setattr(TableEncoder, "get_config", lambda self, c=config, v=clip: {**c(self), "v": v})
        done, _ = run(trainer, trial(epochs=1))
        assert done.status == "completed", done.message
        seen.append(list(trainer._samples))
        monkeypatch.undo()
    assert [len(kept) for kept in seen] == [1, 2, 2]
    assert seen[2][0] == seen[1][1]
