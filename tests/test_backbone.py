"""The factory `backbone`: frozen, fine-tuned and from nothing; searched, saved, exported."""

from __future__ import annotations

import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from few_pictures import FIRST, SECOND, dataset, maps_of, pictures, source

import kexp
from kexp import experiment, models, pipeline, store
from kexp.errors import ExperimentError
from kexp.models import pretrained
from kexp.models.backbone import Paced
from kexp.models.space import HyperParameters
from kexp.records import Experiment, Trial
from kexp.search import check
from kexp.search.budget import HEADS, PICTURES, plan_of
from kexp.train import Trainer, encode, kind_of

QUESTION = Experiment(name="q", data="d", factory="backbone")


@pytest.fixture
def few():
    return dataset(SECOND, 24, shape=(24, 32, 3), seed=1)


def values(**more):
    return {"weights": str(source().model), "learning_rate": 0.01, **more}


def built(few, **more):
    return models.build(few.spec, "backbone", models.replay(values(**more)))


def trial(id=0, epochs=100, **more):
    return Trial(id=id, factory="backbone", values=values(**more), status="running", seed=1, epochs=epochs)


def test_a_frozen_candidate_is_a_head_behind_features_and_its_model_the_whole(few, tmp_path):
    network = built(few, hidden_layers=1, units_0=16)
    x = few.x[:8].astype(np.float32)
    maps = maps_of(source().model, np.asarray(keras.layers.Resizing(24, 24)(x)))
    assert network.once
    np.testing.assert_allclose(network.frontend(x), maps.mean((1, 2)), rtol=1e-4, atol=1e-4)
    assert not [layer for layer in network.core.layers if isinstance(layer, keras.layers.Conv2D)]
    assert network.parameters == models.inference(network).count_params() > network.core.count_params()
    models.inference(network).save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras", compile=False)
    wanted = keras.ops.softmax(network.core(network.frontend(x)))
    np.testing.assert_allclose(again(x), wanted, rtol=1e-5, atol=1e-6)


def test_heads_train_together_where_their_features_are_the_same(few):
    one, other = (kind_of(few.spec, built(few, hidden_layers=1, units_0=units)) for units in (16, 64))
    flat = kind_of(few.spec, built(few, hidden_layers=1, units_0=16, reduction="flatten"))
    assert one.features == other.features != flat.features
    looked = models.sketch(few.spec, "backbone", models.replay(values(hidden_layers=1, units_0=16)))
    assert kind_of(few.spec, looked) == one and looked.parameters == built(few, hidden_layers=1, units_0=16).parameters


def test_pictures_pass_the_trunk_once_whoever_trains(few, tmp_path, monkeypatch):
    seen = []
    whole = encode._computed
    monkeypatch.setattr(encode, "_computed", lambda *a: seen.append(len(a[2])) or whole(*a))
    told = []
    trainer = Trainer(few, batch_size=16, keep=tmp_path / "features")
    first = trainer.run([trial(0), trial(1, hidden_layers=1, units_0=32)], on_epoch=told.append)
    rows = [len(few.rows(part)) for part in ("train", "validation")]
    assert seen == [sum(rows)]
    assert told[0] == 0  # a sign of life before the first epoch
    again = Trainer(few, batch_size=16, keep=tmp_path / "features").run([trial(0)])
    assert seen == [sum(rows)]
    assert again[0][0].metrics == pytest.approx(first[0][0].metrics, rel=1e-4)
    Trainer(few, batch_size=16).run([trial(0, epochs=1)])
    assert seen == [sum(rows), *rows]
    assert max(done.score for done, _ in first) > 0.7


def test_a_file_that_changed_since_is_another_network(few, tmp_path):
    path = tmp_path / "model.keras"
    shutil.copy(source().model, path)
    hp = HyperParameters({"weights": str(path)})
    models.build(few.spec, "backbone", hp)
    model = keras.saving.load_model(path, compile=False)
    model.set_weights([weight * 1.1 for weight in model.get_weights()])
    model.save(path)
    with pytest.raises(ExperimentError, match="not the file that the search began with"):
        models.build(few.spec, "backbone", models.replay(hp.read))


def variables(network):
    return {v.path: v.numpy() for v in network.core.get_layer("backbone").variables}


def test_fine_tuning_moves_the_last_blocks_a_little_and_no_statistics(few):
    network = built(few, trained_blocks=1)
    assert not network.once and kind_of(few.spec, network) is None
    before = variables(network)
    ((done, fitted),) = Trainer(few, batch_size=16).run([trial(epochs=3, trained_blocks=1)])
    assert done.status == "completed"
    network.core.set_weights(fitted.weights)
    moved = [path for path, value in variables(network).items() if not np.array_equal(value, before[path])]
    assert moved and all(path.startswith("conv_1_0/") for path in moved)


def test_what_is_pretrained_moves_by_a_share_of_the_rate():
    slow, fast = (keras.Variable(np.ones(3, np.float32)) for _ in range(2))
    made = Paced(0.1, share=0.05, slow=[slow], weight_decay=0.5)
    made.exclude_from_weight_decay(var_list=[slow])
    made.build([slow, fast])
    made.apply([tf.ones(3), tf.ones(3)], [slow, fast])
    np.testing.assert_allclose(1 - fast.numpy(), 0.1 + 0.05, rtol=1e-3)
    np.testing.assert_allclose(1 - slow.numpy(), 0.005, rtol=1e-3)


def test_random_weights_train_as_a_whole(few):
    hp = HyperParameters({"weights": "none"})
    network = models.build(few.spec, "backbone", hp)
    trunk = network.core.get_layer("backbone")
    norms = [layer for layer in pretrained.leaves(trunk) if "_bn" in layer.name]
    assert len(norms) > 20 and all(layer.trainable for layer in norms)
    assert not {"trained_blocks", "backbone_rate", "weights_sha256"} & set(hp.read)
    assert network.optimizer is None and not network.once


def test_the_space_knows_what_hangs_on_fine_tuning(few):
    def names(**space):
        asked = Experiment(name="q", data="d", factory="backbone", space={"weights": str(source().model), **space})
        return {dimension.name: dimension for dimension in models.space(few.spec, asked)}

    frozen = names()
    assert frozen["trained_blocks"].kind == "fixed" and "backbone_rate" not in frozen and "units_1" in frozen
    assert {"backbone_rate", "augmentation"} <= set(names(trained_blocks=[0, 1]))
    with pytest.raises(ExperimentError, match="no hyperparameter"):
        names(traned_blocks=1)
    with pytest.raises(ExperimentError, match="whole number is expected"):
        names(trained_blocks="all")
    both = models.space(
        few.spec, Experiment(name="q", data="d", factory="backbone", space={"weights": ["none", "imagenet"]})
    )
    assert {"backbone", "trained_blocks", "augmentation"} <= {dimension.name for dimension in both}


def test_heads_are_given_as_many_epochs_as_tables(few):
    def plan(**space):
        return plan_of(few.spec, Experiment(name="q", data="d", factory="backbone", space=space))

    assert plan(weights="x.keras") == plan(trained_blocks=0) == HEADS
    assert plan(weights="none") == plan(trained_blocks=2) == PICTURES
    assert plan_of(few.spec, Experiment(name="q", data="d")) == PICTURES


def test_the_path_of_weights_is_seen_from_the_experiment_file(tmp_path):
    (tmp_path / "w.keras").touch()
    asked = Experiment(name="q", data="d", factory="backbone", space={"weights": ["w.keras", "none"], "dropout": 0.0})
    found = experiment.with_weights(asked, tmp_path).space
    assert found == {"weights": [str((tmp_path / "w.keras").resolve()), "none"], "dropout": 0.0}
    dense = Experiment(name="q", data="d", factory="dense", space={"weights": "w.keras"})
    assert experiment.with_weights(dense, tmp_path) == dense


def test_tables_have_no_pictures():
    from test_train import table

    with pytest.raises(ExperimentError, match="takes pictures"):
        check(QUESTION, table().spec)


@pytest.mark.slow
@pytest.mark.parametrize(("blocks", "epochs"), [(0, 200), (1, 60)])
def test_from_a_run_to_an_int8_file(tmp_path, blocks, epochs):
    x, y = pictures(SECOND, 40, shape=(24, 32, 3), seed=1)
    np.savez(tmp_path / "few.npz", x=x, y=y)
    shutil.copy(source().model, tmp_path / "knows.keras")
    toml = tmp_path / "few.toml"
    toml.write_text(
        f'data = "few.npz"\nfactory = "backbone"\ntrials = 2\nfinalists = 1\nseeds = 1\nepochs = {epochs}\n'
        f'[space]\nweights = "knows.keras"\ntrained_blocks = {blocks}\ndropout = 0.0\nlearning_rate = 0.01\n'
    )
    run = kexp.search(str(toml), home=tmp_path, workers=2)
    assert run.best.score > 0.7
    features = tmp_path / "runs" / "few" / "features"
    assert len(list(features.glob("*.npy"))) == (1 if blocks == 0 else 0)
    made = run.export("tflite_float32", "tflite_int8")
    assert made.ok, made.failures
    sizes = {artifact.format: artifact.bytes for artifact in made.artifacts}
    assert sizes["tflite_float32"] > 4 * maps_parameters()  # the trunk is inside
    _, checks = pipeline.verify_folder(made.folder)
    assert all(one.ok for one in checks)
    assert run.evaluate()["files"]["model_int8.tflite"]["accuracy"] > 0.6
    store.clean(tmp_path, ["few"])
    assert not features.exists()
    (tmp_path / "knows.keras").unlink()  # the run's own model is whole
    assert run.model().predict(x[:2], verbose=0).shape == (2, 3)


def maps_parameters():
    return pretrained.trunk("", str(source().model), (24, 24, 3)).count_params()


@pytest.mark.slow
def test_weights_that_are_not_there_are_told_before_there_is_a_run(tmp_path):
    x, y = pictures(FIRST, 10)
    np.savez(tmp_path / "few.npz", x=x, y=y)
    with pytest.raises(ExperimentError, match="No such file"):
        kexp.search(str(tmp_path / "few.npz"), home=tmp_path, factory="backbone", space={"weights": "gone.keras"})
    assert pipeline.runs(tmp_path) == []


@pytest.mark.slow
def test_a_network_of_keras_trains_as_a_whole_and_passes_the_gate(tmp_path):
    """The smallest: the others take minutes each, and test_pretrained.py builds them all."""
    x, y = pictures(SECOND, 20, shape=(32, 32, 3))
    np.savez(tmp_path / "few.npz", x=x, y=y)
    space = {"backbone": "mobilenet_v3_small", "weights": "none"}
    options = {"trials": 1, "finalists": 0, "epochs": 1, "workers": 1}
    run = kexp.search(str(tmp_path / "few.npz"), home=tmp_path, factory="backbone", space=space, **options)
    made = run.export("tflite_float32")
    assert made.ok, made.failures
    (artifact,) = made.artifacts
    assert artifact.bytes > 3.5 * run.best.parameters
    assert json.loads((made.folder / "export.json").read_text())["artifacts"]
