"""The diagnosis: planted ills are called by their names, and a healthy network is left in peace."""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import sys

import numpy as np
import pytest
import small_models
from rich.console import Console

from kexp import data, models, pipeline, screen
from kexp.data.dataset import Dataset
from kexp.diagnose import calibration, fit, gradients, journal, layers, variants
from kexp.errors import RunError
from kexp.records import Curve, DatasetSpec, Experiment, Trial, to_json
from kexp.store import RunStore
from kexp.train.feed import Samples

SMALL = {"hidden_layers": 2, "units_0": 16, "units_1": 16, "dropout": 0.0, "learning_rate": 1e-2}


@functools.cache
def table():
    """569 rows, 30 numbers, two classes."""
    place = small_models.folder("diagnosed")
    dataset = data.load(Experiment(name="t", data="sklearn:breast_cancer"), cache=place / "cache")
    return dataclasses.replace(dataset, fold=None)


def planted(home, dataset, values=None, *, factory="dense", epochs=15, weights=None, name="ill", **question):
    """A run of one trial, trained as a search trains; `weights` may change its core before it is kept."""
    from kexp.search.keep import keep_best
    from kexp.train import Trainer

    asked = Experiment(name=name, data="d", factory=factory, **question)
    with RunStore.create(home, name, asked) as run:
        run.set("task", dataset.spec.task)
        dataset.save(run.data)
        trial = Trial(id=0, factory=factory, values=values or SMALL, status="running", epochs=epochs)
        run.record_ask(trial)
        ((done, fitted),) = Trainer(dataset, batch_size=32).run([trial])
        kept = fitted and fitted.weights
        if kept and weights is not None:
            network = models.build(dataset.spec, factory, models.replay(trial.values))
            network.core.set_weights(kept)
            weights(network.core)
            kept = network.core.get_weights()
        if kept:
            run.save_weights(0, kept)
        run.record_tell(done)
        if kept:
            keep_best(run, dataset, asked)
        run.finish()
    return done


def diagnosed(home, variants=False, name="ill"):
    document = pipeline.diagnose(home, name, try_variants=variants)
    json.dumps(to_json({**document, "findings": to_json(document["findings"])}), allow_nan=False)
    return document, {one.name: one for one in document["findings"]}


def printed(document):
    console = Console(width=80, record=True, file=io.StringIO())
    for part in [*screen.diagnosis(document), screen.findings(document["findings"], document["run"])]:
        console.print(part)
    text = console.export_text()
    assert not [line for line in text.splitlines() if len(line) > 80]
    return text


def test_a_healthy_network_is_left_in_peace(tmp_path, monkeypatch):
    read = []
    rows = Dataset.rows
    monkeypatch.setattr(Dataset, "rows", lambda self, part, fold=0: read.append(part) or rows(self, part, fold))
    planted(tmp_path, table())
    document, found = diagnosed(tmp_path)
    assert {one.severity for one in found.values()} <= {"note"}, found
    assert set(read) == {"train", "validation"}
    layers = {row["layer"]: row for row in document["layers"]}
    assert list(layers) == ["dense_0", "dense_relu_0", "dense_1", "dense_relu_1", "logits"]
    assert layers["dense_0"]["shape"] == [16]
    assert layers["dense_relu_0"]["units"] == 16
    assert layers["dense_relu_0"]["minimum"] == 0
    assert all(
        layers[name][key] > 0 for name in ("dense_0", "logits") for key in ("gradient", "gradient_new", "update")
    )
    passed = document["sample"]["layers"]
    assert [row["layer"] for row in passed] == ["input", "frontend", *layers, "answer"]
    assert all(row["gradient"] > 0 for row in passed[1:-1])
    assert document["fit"]["validation"]["accuracy"] > 0.9
    assert 0 <= document["calibration"]["ece"] < 0.1
    assert document["steps"]["after"] < document["steps"]["before"]
    text = printed(document)
    assert "dense_relu_1" in text
    assert "forward and back" in text


def test_what_is_kept_is_what_is_looked_at(tmp_path):
    from kexp.runtime import open_runtime

    planted(tmp_path, table())
    document, _ = diagnosed(tmp_path)
    with RunStore.open(tmp_path, "ill") as run:
        x, y = Dataset.open(run.data).take("validation")
        out = open_runtime(run.model).predict(x)
    assert document["fit"]["validation"]["accuracy"] == np.mean((out[:, 0] >= 0.5) == y)
    with RunStore.open(tmp_path, "ill") as run:
        run.model.write_bytes(b"PK no such file")
    with pytest.raises(RunError, match="does not hold the network of trial 0"):
        diagnosed(tmp_path)


@pytest.mark.slow
def test_dead_units_are_named_with_their_layer(tmp_path):
    def kill(core):
        layer = core.get_layer("dense_1")
        layer.kernel.assign(layer.kernel * 0.1)
        layer.bias.assign(layer.bias * 0 - 10)

    planted(tmp_path, table(), weights=kill)
    document, found = diagnosed(tmp_path, variants=None)
    assert found["dead_units"].severity == "error"
    assert found["dead_units"].where[0] == "dense_relu_1 (behind dense_1): 16 of 16"
    assert "exploding_gradients" not in found and "vanishing_gradients" not in found
    tried = {row["name"]: row for row in document["variants"]}
    assert {"as it is", "activation", "units"} <= set(tried)
    assert tried["as it is"]["idle"] < 0.5  # anew it is well: its weights were at fault, not its design
    assert tried["activation"]["changed"] == {"activation": "silu"}
    assert tried["units"]["changed"] == {"units_0": 64, "units_1": 64}
    assert found["bad_training"].severity == "warning"
    assert "lost them on its way" in found["bad_training"].what
    assert "16 of 16" in printed(document)


def test_saturated_units_are_named_with_their_layer(tmp_path):
    def push(core):
        layer = core.get_layer("dense_0")
        layer.kernel.assign(layer.kernel * 0.1)
        layer.bias.assign(layer.bias * 0 + 20)

    planted(tmp_path, table(), {**SMALL, "activation": "tanh"}, weights=push)
    _, found = diagnosed(tmp_path)
    assert found["saturated_units"].severity == "warning"
    assert found["saturated_units"].where[0] == "dense_tanh_0 (behind dense_0): 16 of 16"
    assert "dead_units" not in found


@pytest.mark.slow
def test_a_learning_rate_of_ten_is_too_high(tmp_path):
    planted(tmp_path, table(), {**SMALL, "learning_rate": 10.0})
    _, found = diagnosed(tmp_path)
    assert found["learning_rate_high"].severity in ("error", "warning")
    document, found = diagnosed(tmp_path, variants=None)
    assert "learning_rate = 10 is too high" in found["learning_rate_high"].what
    assert "learning_rate = {min" in found["learning_rate_high"].advice
    assert {"rate 1", "rate 0.1", "rate 0.01", "rate 0.001"} <= {row["name"] for row in document["variants"]}


def test_a_learning_rate_of_a_millionth_is_too_low(tmp_path):
    planted(tmp_path, table(), {**SMALL, "learning_rate": 1e-6})
    _, found = diagnosed(tmp_path, variants=None)
    assert "learning_rate = 1e-06 is too low" in found["learning_rate_low"].what


def test_a_run_of_which_all_diverged_is_diagnosed_from_its_journal(tmp_path):
    from kexp.train.epoch import diverged

    with RunStore.create(tmp_path, "ill", Experiment(name="ill", data="d", factory="dense")) as run:
        run.set("task", "binary")
        table().save(run.data)
        with pytest.raises(RunError, match="no trial of the run 'ill' has ended"):
            diagnosed(tmp_path)
        for id in range(3):
            trial = Trial(id=id, factory="dense", values={**SMALL, "learning_rate": 10.0}, status="running", epochs=5)
            run.record_ask(trial)
            message = diverged(0, float("nan"), 10.0)
            run.record_tell(dataclasses.replace(trial, status="failed", message=message))
    document, found = diagnosed(tmp_path, variants=None)
    assert found["diverged"].severity == "error"
    assert "3 of 3 trials diverged, with learning_rate = 10." in found["diverged"].what
    assert document["kept"] is False
    assert document["fit"] is None
    assert "is too high" in found["learning_rate_high"].what
    assert "rate 0.01" in printed(document)


def test_five_training_rows_are_too_few(tmp_path):
    dataset = table()
    part = dataset.part.copy()
    part[part == 0] = 2
    chosen = [*np.flatnonzero((part == 2) & (dataset.y == 0))[:3], *np.flatnonzero((part == 2) & (dataset.y == 1))[:2]]
    part[chosen] = 0
    planted(tmp_path, dataclasses.replace(dataset, part=part), epochs=40)
    document, found = diagnosed(tmp_path)
    assert found["few_rows"].severity == "warning"
    assert "There are 5 training rows" in found["few_rows"].what
    assert document["fit"]["train"]["accuracy"] == 1
    assert document["fit"]["validation"]["accuracy"] < 1


def noise(columns=20, rows=400):
    """Numbers that say nothing about a coin."""
    random = np.random.default_rng(1)
    x, y = random.normal(size=(rows, columns)), random.integers(0, 2, rows)
    path = small_models.folder("noise") / "noise.csv"
    lines = [",".join([*(f"{v:.4f}" for v in row), "yes" if label else "no"]) for row, label in zip(x, y, strict=True)]
    path.write_text("\n".join([",".join([*(f"x{i}" for i in range(columns)), "heads"]), *lines]))
    dataset = data.load(Experiment(name="n", data=str(path), target=("heads",)), cache=path.parent / "cache")
    return dataclasses.replace(dataset, fold=None)


def learnt_by_heart(home, dataset):
    """The last epoch's weights, so that training rows are fitted however little validation rows gain."""
    from kexp.train import Trainer

    values = {**SMALL, "units_0": 128, "units_1": 128, "weight_decay": 1e-5, "learning_rate": 3e-3}
    with RunStore.create(home, "ill", Experiment(name="ill", data="d", factory="dense")) as run:
        run.set("task", "binary")
        dataset.save(run.data)
        trial = Trial(id=0, factory="dense", values=values, status="running", epochs=40)
        run.record_ask(trial)
        whole = dataclasses.replace(dataset, fold=np.where(dataset.part == 0, 2, dataset.part == 1).astype(np.int8))
        ((done, fitted),) = Trainer(whole, batch_size=32).run([dataclasses.replace(trial, fold=1)])
        run.save_weights(0, fitted.weights)
        run.record_tell(dataclasses.replace(done, fold=0))


def test_shuffled_labels_are_nothing_to_learn_though_training_fits(tmp_path):
    dataset = table()
    y = np.random.default_rng(0).permutation(dataset.y)
    learnt_by_heart(tmp_path, dataclasses.replace(dataset, y=y))
    document, found = diagnosed(tmp_path)
    assert document["fit"]["train"]["accuracy"] > 0.9
    assert found["nothing_learnt"].severity == "error"
    assert "learnt by heart" in found["nothing_learnt"].what
    assert "shuffled" in found["nothing_learnt"].advice
    assert found["overfit"].severity == "warning"
    assert {"overconfident"} <= set(found)


def test_noise_that_even_training_rows_do_not_fit_is_nothing_learnt(tmp_path):
    planted(tmp_path, noise(), epochs=4)
    _, found = diagnosed(tmp_path)
    assert "nothing_learnt" in found


@pytest.mark.slow
def test_too_few_units_are_told_from_a_wrong_activation(tmp_path):
    place = small_models.folder("diagnosed_digits")
    dataset = data.load(Experiment(name="d", data="sklearn:digits"), cache=place / "cache")
    values = {"hidden_layers": 1, "units_0": 2, "dropout": 0.0, "learning_rate": 1e-2}
    planted(tmp_path, dataset, values, epochs=4)
    document, found = diagnosed(tmp_path, variants=None)
    assert "too_few_units" in found, found
    assert found["too_few_units"].severity == "warning"
    assert found["too_few_units"].where == ("units_0: 2 -> 8",)
    assert "units_0=8" in printed(document)


OWN = """
import keras

def shy(hp, x):
    for i in range(2):
        bias = keras.initializers.Constant(-4.0)
        x = keras.layers.Dense(hp.Int(f"units_{i}", 4, 64, default=16), bias_initializer=bias, name=f"shy_{i}")(x)
        x = keras.layers.Activation(hp.Choice("activation", ["relu", "silu"]), name=f"act_{i}")(x)
    return x

def deep(hp, x):
    for i in range(12):
        x = keras.layers.Dense(8, activation="sigmoid", name=f"deep_{i}")(x)
    return x

def sequence(hp):
    layers = [keras.Input((30,)), keras.layers.BatchNormalization(), keras.layers.Dense(8), keras.layers.ReLU()]
    model = keras.Sequential([*layers, keras.layers.Dense(1, activation="sigmoid")])
    model.compile(keras.optimizers.Adam(hp.Float("learning_rate", 1e-3, 1e-1, default=1e-2)), "binary_crossentropy")
    return model
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module of a user's own factories, in the current folder."""
    (tmp_path / "own_diagnosed.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield "own_diagnosed"
    sys.modules.pop("own_diagnosed", None)


@pytest.mark.slow
def test_a_wrong_activation_is_told_from_too_few_units(tmp_path, own):
    values = {"units_0": 16, "units_1": 16, "activation": "relu", "learning_rate": 3e-3}
    planted(tmp_path, table(), values, factory=f"{own}:shy")
    _, found = diagnosed(tmp_path, variants=None)
    assert found["dead_units"].severity in ("warning", "error")
    assert "wrong_activation" in found, found
    assert found["wrong_activation"].where == ("activation: relu -> silu",)


@pytest.mark.slow
def test_gradients_that_vanish_in_a_deep_network(tmp_path, own):
    planted(tmp_path, table(), {"learning_rate": 1e-3}, factory=f"{own}:deep", epochs=2)
    _, found = diagnosed(tmp_path)
    assert found["vanishing_gradients"].severity == "warning"
    assert found["vanishing_gradients"].where[0].startswith("deep_0: ")
    assert "as the network begins" in found["vanishing_gradients"].what


@pytest.mark.slow
def test_a_users_own_whole_model_is_looked_into(tmp_path, own):
    planted(tmp_path, table(), {"learning_rate": 1e-2}, factory=f"{own}:sequence")
    document, found = diagnosed(tmp_path, variants=True)
    assert [row["units"] for row in document["layers"] if row.get("units")] == [8]  # a sure answer is not idle
    assert document["fit"]["validation"]["accuracy"] > 0.8
    assert document["variants"]
    assert {one.severity for one in found.values()} <= {"note", "warning"}


def test_a_model_with_a_call_of_its_own_is_not_looked_into(tmp_path):
    import keras
    import tensorflow as tf

    from kexp.train.loss import losses

    class Closed(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner, self.last = keras.layers.Dense(8, activation="relu", name="inner"), keras.layers.Dense(1)

        def call(self, x, training=False):
            return self.last(self.inner(x))

    core = Closed()
    core(np.zeros((1, 30), np.float32))
    network, spec = models.Network(core=core), table().spec
    assert layers.opened(core) is None
    assert layers.activities(spec, network, tf.zeros((4, 30))) == []
    raw = np.ones((1, 30), np.float32)
    loss = losses(spec, logits=True)
    passed = layers.one_sample(spec, network, raw, tf.constant(raw), tf.zeros((1, 1)), loss)
    assert [one.layer for one in passed] == ["input", "answer"]
    rows = Samples(features=tf.ones((4, 30)), y=np.zeros(4, np.int32), targets=tf.zeros((4, 1)))
    found = gradients.gradients(spec, network, rows, loss)
    assert [one.layer.rpartition("/")[2] for one in found] == ["inner", core.last.name]
    assert all(one.norm > 0 for one in found)


# -- on the command line --------------------------------------------------------------------------


def test_an_error_is_exit_status_1_and_the_document_is_json(kexp, home):
    def kill(core):
        layer = core.get_layer("dense_1")
        layer.kernel.assign(layer.kernel * 0)
        layer.bias.assign(layer.bias * 0 - 10)

    planted(home, table(), weights=kill)
    status, out, _ = kexp("diagnose", "ill", "--no-variants", "--json")
    document = json.loads(out)
    assert (status, document["ok"], document["variants"]) == (1, False, [])
    assert {"dead_units", "nothing_learnt"} <= {one["name"] for one in document["findings"]}
    assert document["layers"][3] == {**document["layers"][3], "layer": "dense_relu_1", "units": 16, "dead": 16}
    planted(home, table(), name="well")
    status, out, _ = kexp("diagnose", "well")
    assert status == 0
    assert "dense_relu_1" in out


def test_a_run_that_is_not_there_is_one_message(kexp, home):
    status, out, err = kexp("diagnose", "nosuch")
    assert (status, out) == (1, "")
    assert err.startswith("error: no run is named 'nosuch'")


# -- without a network ----------------------------------------------------------------------------


def test_the_calibration_error_is_that_of_guo_et_al():
    confidence = np.array([0.9, 0.9, 0.9, 0.9, 0.62, 0.62])
    right = np.array([True, True, True, False, True, False])
    error, bins = calibration.ece(confidence, right)
    # Two bins: 4 answers of .9, of which .75 are right, and 2 of .62, of which .5 are: (4 * .15 + 2 * .12) / 6.
    assert error == pytest.approx((4 * 0.15 + 2 * 0.12) / 6)
    assert [one["answers"] for one in bins] == [2, 4]
    assert calibration.ece(np.array([1.0, 1.0]), np.array([True, True]))[0] == 0


def test_answers_that_are_right_as_often_as_they_say_are_calibrated():
    random = np.random.default_rng(0)
    p = random.uniform(0, 1, (4000, 1))
    y = (random.uniform(size=4000) < p[:, 0]).astype(int)
    good = calibration.calibration("binary", y, p)
    assert good["ece"] <= good["by_chance"] < 0.05
    assert calibration.miscalibrated(good) == []
    sure = np.where(p > 0.5, 0.99, 0.01)
    (finding,) = calibration.miscalibrated(calibration.calibration("binary", y, sure))
    assert (finding.name, finding.severity) == ("overconfident", "warning")
    assert calibration.calibration("regression", y, p) is None


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel", "regression"])
def test_the_signal_of_answers_is_that_of_a_permutation_test(task):
    random = np.random.default_rng(0)
    if task == "regression":
        y = random.normal(size=(200, 2))
        good = y + random.normal(size=y.shape)
    elif task == "multilabel":
        y = random.integers(0, 2, (200, 3)).astype(np.float32)
        good = np.clip(0.5 + 0.3 * (y - 0.5) + random.normal(0, 0.2, y.shape), 0, 1)
    else:
        y = random.integers(0, 3 if task == "multiclass" else 2, 200)
        good = np.eye(3)[y] if task == "multiclass" else y[:, None].astype(float)
        good = np.clip(good * 0.3 + random.uniform(size=good.shape) * 0.7, 0, 1)
    assert fit.signal(task, y, good) > 5
    assert abs(fit.signal(task, y, random.permutation(good))) < 3
    assert fit.signal(task, y, np.full_like(good, 0.5)) == 0


def test_the_way_from_the_constant_answer_to_a_perfect_one():
    assert fit.way("accuracy", 0.9, 0.5) == pytest.approx(0.8)
    assert fit.way("rmse", 2.0, 8.0) == pytest.approx(0.75)
    assert fit.way("rmse", 9.0, 8.0) < 0


def trial(id, status="completed", score=0.9, epochs=10, rate=1e-3, message="", **more):
    return Trial(
        id=id, factory="dense", values={"learning_rate": rate}, status=status, score=score, epochs=epochs,
        metrics={"accuracy": score or 0.0}, message=message, **more,
    )  # fmt: skip


def test_some_trials_that_diverged_are_no_more_than_a_note():
    good = [trial(id) for id in range(7)]
    bad = trial(8, "failed", None, rate=3.0, message="diverged in epoch 1: the loss is nan (learning_rate = 3)")
    (finding,) = journal.ended_badly([*good, bad])
    assert (finding.name, finding.severity) == ("diverged", "note")
    assert "those that did not had 0.001 at most" in finding.what
    (finding,) = journal.ended_badly([good[0], bad])
    assert finding.severity == "warning"
    (finding,) = journal.ended_badly([trial(0, "failed", None, message="out of memory: 3 GB")])
    assert (finding.name, finding.severity) == ("out_of_memory", "error")
    assert journal.ended_badly(good) == []


def test_a_network_that_found_no_memory_is_not_built_again(tmp_path):
    with RunStore.create(tmp_path, "ill", Experiment(name="ill", data="d", factory="dense")) as run:
        run.set("task", "binary")
        table().save(run.data)
        asked = Trial(id=0, factory="nothing_that_exists", values={}, status="running")
        run.record_ask(asked)
        run.record_tell(dataclasses.replace(asked, status="failed", message="out of memory: 30 GB"))
    document, found = diagnosed(tmp_path, variants=True)
    assert (set(found), document["layers"]) == ({"out_of_memory"}, [])


def test_longer_training_that_still_helped_is_told():
    question = Experiment(name="q", data="d")
    short, long = trial(0, epochs=5, score=0.8), trial(1, epochs=15, score=0.9, parent=0)
    points = journal.curve([short, long, trial(2, rate=1e-2)], long)
    assert [(point["epochs"], point["score"]) for point in points] == [(5, 0.8), (15, 0.9)]
    rising = (0.9, 0.7, 0.5, 0.4, 0.7, 0.7, 0.7)
    fallen = Curve(
        epochs=tuple(range(1, 8)), running_loss=tuple(1 / n for n in range(1, 8)), validation_loss=rising, score=rising
    )
    (found,) = journal.by_heart(fallen)
    assert found.name == "learnt_by_heart" and "after epoch 4, 0.4, and came to 0.7" in found.what
    assert journal.by_heart(dataclasses.replace(fallen, validation_loss=tuple(sorted(rising, reverse=True)))) == []
    assert journal.by_heart(None) == []
    (finding,) = journal.unfinished(points, "binary", question)
    assert finding.severity == "note"
    assert "0.8 after 5 epochs, 0.9 after 15" in finding.what
    assert journal.unfinished(points[:1], "binary", question) == []


def test_what_is_tried_is_read_from_the_values():
    values = {
        "units_0": 16,
        "dense_units": 8,
        "filters": 8,
        "time_filters": 4,
        "filter_growth": 1.5,
        "activation": "relu",
    }
    assert variants.wider(values) == {"units_0": 64, "dense_units": 32, "filters": 16, "time_filters": 8}
    assert variants.other_activation({**values, "conv_activation": "tanh"}) == {
        "activation": "silu", "conv_activation": "relu",
    }  # fmt: skip
    assert list(variants.rates({"learning_rate": 10.0})) == ["rate 0.001", "rate 0.01", "rate 0.1", "rate 1"]
    assert list(variants.rates({"learning_rate": 2e-3})) == ["rate 0.0002", "rate 0.02", "rate 0.2"]
    assert list(variants.rates({"learning_rate": 1e-6})) == ["rate 0.0001", "rate 0.001", "rate 0.01", "rate 0.1"]
    assert list(variants.rates({"learning_rate": 1e20}))[-1] == "rate 1"
    assert variants.rates({}) == {}


def spec_of(task, outputs):
    labels = tuple("ab" if task == "binary" else map(str, range(outputs)))
    return DatasetSpec(name="s", kind="image", task=task, shape=(1, 1, 1), outputs=outputs, labels=labels)


def test_few_rows_are_counted_by_class():
    assert fit.few_rows(spec_of("binary", 1), 40) == []
    (finding,) = fit.few_rows(spec_of("multiclass", 4), 40)
    assert finding.name == "few_rows"
    assert "10.0 for each class" in finding.what


# -- every kind of network ------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["motions", "tones", "clips", "sales"])
def test_every_kind_of_data_is_diagnosed(tmp_path, kind):
    options = {"horizon": 3} if kind == "sales" else {}
    cache = small_models.folder(f"diagnosed_{kind}") / "cache"
    dataset = data.load(Experiment(name=kind, data=f"generated:{kind}", **options), cache=cache)
    factory = models.default_factory(dataset.spec)
    planted(tmp_path, dataclasses.replace(dataset, fold=None), {"augmentation": "none"}, factory=factory, epochs=3)
    document, _ = diagnosed(tmp_path)
    assert all(np.isfinite(row["gradient"]) for row in document["layers"] if "gradient" in row)
    assert any(row.get("units") for row in document["layers"])
    assert document["fit"]["signal"] > 0 and document["fit"]["naive"] == (kind == "sales")
    assert (document["calibration"] is None) == (dataset.spec.task == "regression")
    printed(document)


@pytest.mark.slow
def test_a_network_that_was_trained_on_all_rows_is_judged_by_its_runs_on_folds(tmp_path):
    import kexp

    run = kexp.search(
        "sklearn:breast_cancer", home=tmp_path, workers=1, trials=1, epochs=5, finalists=1, folds=2,
        space={"hidden_layers": 1, "units_0": 16},
    )  # fmt: skip
    assert run.best.stage == "refit"
    document, found = diagnosed(tmp_path, name=run.name)
    assert document["fit"]["runs"] == [trial.id for trial in run_trials(tmp_path, run.name) if trial.fold > 0]
    assert document["fit"]["rows"]["validation"] == sum(document["rows"].values())
    assert {one.severity for one in found.values()} <= {"note"}
    with RunStore.open(tmp_path, run.name) as store:
        for trial in store.trials():
            if trial.fold > 0:
                store.weights(trial.id).unlink()
    document, found = diagnosed(tmp_path, name=run.name)
    assert document["fit"] is None
    assert found["validation_seen"].severity == "note"


def run_trials(home, name):
    with RunStore.open(home, name) as run:
        return run.trials()
