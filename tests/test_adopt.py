"""A Keras model that kexp did not make is exported through the same gate; what does not fit the data is refused."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
from click.testing import CliRunner

from kexp import data
from kexp.adopt import adopt
from kexp.cli import commands
from kexp.errors import ExportError
from kexp.experiment import from_data
from kexp.runtime import open_runtime

layers = keras.layers
TABLE = {"name": "t", "kind": "table", "task": "binary", "shape": [0], "outputs": 1, "labels": ["no", "yes"]}


def fitted(factor, offset, *, channels=1, outputs=10, last="softmax"):
    """A network that learned digits with pixels scaled outside of it, as many tutorials do."""
    keras.utils.set_random_seed(0)
    dataset = data.load(from_data("sklearn:digits"), cache=None)
    rows = dataset.rows("train")
    x = np.repeat(dataset.x[rows], channels, axis=3) * factor + offset
    model = keras.Sequential(
        [keras.Input((8, 8, channels)), layers.Flatten(), layers.Dense(32, "relu"), layers.Dense(outputs, last)]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=last is None)
    model.compile(keras.optimizers.Adam(5e-3), loss)
    model.fit(x, dataset.y[rows], epochs=8, verbose=0)
    return model


@pytest.fixture(scope="module")
def logits(tmp_path_factory):
    """Pixels from 0 to 1, three channels, and no softmax."""
    path = tmp_path_factory.mktemp("own") / "my model.keras"
    fitted(1 / 255, 0.0, channels=3, last=None).save(path)
    return path


def question(**options):
    return from_data("sklearn:digits", **options)


def test_what_a_model_expects_is_measured(logits, tmp_path):
    found = adopt(logits, question(), cache=tmp_path)
    told = " ".join(found.notices)
    assert "0 to 1 inside" in told and "softmax was added" in told
    assert found.dataset.spec.shape == (8, 8, 3)
    rows = found.dataset.rows("validation")
    answers = np.asarray(found.model(found.dataset.x[rows].astype(np.float32)))
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-5)
    assert (answers.argmax(axis=1) == found.dataset.y[rows]).mean() > 0.9


def test_a_model_of_raw_pixels_stays_as_it_is(tmp_path):
    fitted(1.0, 0.0).save(tmp_path / "raw.keras")
    found = adopt(tmp_path / "raw.keras", question(), cache=tmp_path)
    assert len(found.notices) == 1 and "accuracy" in found.notices[0]


def test_colour_becomes_grey_as_pillow_makes_it(tmp_path):
    from PIL import Image

    from kexp.adopt import GREY

    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    expected = np.asarray(Image.fromarray(pixels).convert("L"))
    np.testing.assert_array_equal(((pixels.astype(np.int64) @ GREY + 0x8000) >> 16).astype(np.uint8), expected)


def test_the_files_pass_the_gate_and_stand_alone(logits, home):
    arguments = ["export", str(logits), "--data", "sklearn:digits", "--format", "tflite_int8", "--home", str(home)]
    done = CliRunner().invoke(commands, [*arguments, "--json"], standalone_mode=False)
    assert done.return_value == 0, done.output
    document = json.loads(done.stdout.splitlines()[-1])
    assert [a["format"] for a in document["artifacts"]] == ["keras", "tflite_int8"]
    assert any("softmax" in notice for notice in document["notices"])
    folder = home / "exported" / "my-model"
    assert open_runtime(folder / "model_int8.tflite").shape == (8, 8, 3)
    assert "did not train this model" in (folder / "README.md").read_text()
    checked = CliRunner().invoke(commands, ["verify", str(folder)], standalone_mode=False)
    assert checked.return_value == 0, checked.output


def test_two_neurons_for_two_classes(tmp_path):
    inputs = keras.Input((30,))
    keras.Model(inputs, layers.Dense(2, "softmax")(layers.BatchNormalization()(inputs))).save(tmp_path / "two.keras")
    found = adopt(tmp_path / "two.keras", from_data("sklearn:breast_cancer"), cache=tmp_path)
    assert found.dataset.spec.task == "multiclass" and found.dataset.spec.outputs == 2


def test_a_right_model_of_unequal_classes_is_not_called_swapped(tmp_path, monkeypatch):
    """At a wrong scale it answers the rarer class alone, which looks as if the labels were swapped."""
    rng = np.random.default_rng(0)
    y = (rng.random(400) < 0.85).astype(int)
    pixels = y[:, None, None] * 200 + rng.integers(0, 9, (400, 4, 4))
    np.savez(tmp_path / "d.npz", x=pixels.astype(np.uint8), y=y)
    inputs = keras.Input((4, 4, 1))
    dense = layers.Dense(1, "sigmoid")
    model = keras.Model(inputs, dense(layers.Flatten()(inputs)))
    dense.set_weights([np.full((16, 1), 0.01, np.float32), np.array([-10.0], np.float32)])
    model.save(tmp_path / "m.keras")
    found = adopt(tmp_path / "m.keras", from_data(str(tmp_path / "d.npz")), cache=tmp_path)
    assert "accuracy 1 on" in found.notices[0] and len(found.notices) == 1


def test_exporting_again_keeps_earlier_formats(logits, home):
    for format in ("tflite_float32", "tflite_float16"):
        arguments = ["export", str(logits), "--data", "sklearn:digits", "--format", format, "--home", str(home)]
        done = CliRunner().invoke(commands, arguments, standalone_mode=False)
        assert done.return_value == 0, done.output
    names = {path.name for path in (home / "exported" / "my-model").glob("*.tflite")}
    assert names == {"model_float32.tflite", "model_float16.tflite"}


def test_the_export_of_a_run_is_not_replaced(logits, home):
    folder = home / "exported" / "digits"
    folder.mkdir(parents=True)
    (folder / "export.json").write_text(
        json.dumps({"spec": TABLE, "artifacts": [], "limits": {}, "checks": [], "trial": 3})
    )
    arguments = ["export", str(logits), "--data", "sklearn:digits", "--name", "digits", "--home", str(home)]
    done = CliRunner().invoke(commands, arguments)
    assert isinstance(done.exception, ExportError) and "another --name" in str(done.exception)


def test_labels_in_another_order_are_refused(tmp_path):
    model = fitted(1.0, 0.0)
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([np.roll(kernel, 1, axis=1), np.roll(bias, 1)])
    model.save(tmp_path / "rolled.keras")
    with pytest.raises(ExportError, match=r"answers 0 for 9, 1 for 0.*another order"):
        adopt(tmp_path / "rolled.keras", question(), cache=tmp_path)


@pytest.mark.parametrize(
    ("model", "source", "message"),
    [
        (lambda: keras.Sequential([keras.Input((9,)), layers.Dense(1)]), "sklearn:diabetes", "takes .9.*age"),
        (lambda: keras.Sequential([keras.Input((10,)), layers.Dense(3)]), "sklearn:diabetes", "answers with 3"),
        (
            lambda: keras.Sequential([keras.Input((10,)), layers.Reshape((10, 1))]),
            "sklearn:diabetes",
            "one row of answers",
        ),
    ],
)
def test_what_does_not_fit_is_refused(model, source, message, tmp_path):
    model().save(tmp_path / "m.keras")
    with pytest.raises(ExportError, match=message):
        adopt(tmp_path / "m.keras", from_data(source), cache=tmp_path)


def test_a_file_that_is_no_model_is_refused(tmp_path):
    (tmp_path / "m.keras").write_bytes(b"no model")
    with pytest.raises(ExportError, match="cannot be opened by Keras"):
        adopt(tmp_path / "m.keras", question(), cache=tmp_path)


def test_data_and_model_go_together(home):
    for arguments, message in [
        (["export", "m.keras"], "needs --data"),
        (["export", "digits", "--data", "sklearn:digits"], "go with a MODEL.keras"),
    ]:
        done = CliRunner().invoke(commands, arguments)
        assert done.exit_code == 2 and message in done.output


FLEX = """
import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="mine")
class Gamma(keras.layers.Layer):
    def call(self, x):
        return tf.math.igamma(tf.ones_like(x), tf.abs(x))
"""


def test_an_operator_that_a_phone_lacks_is_refused_with_its_name(home, tmp_path, monkeypatch):
    (tmp_path / "mine_gamma.py").write_text(FLEX)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    import mine_gamma

    inputs = keras.Input((10,))
    keras.Model(inputs, layers.Dense(1)(mine_gamma.Gamma()(inputs))).save(tmp_path / "m.keras")
    arguments = ["export", "m.keras", "--data", "sklearn:diabetes", "--module", "mine_gamma", "--home", str(home)]
    done = CliRunner().invoke(commands, [*arguments, "--format", "tflite_float32", "--json"], standalone_mode=False)
    assert done.return_value == 1, done.output
    document = json.loads(done.stdout.splitlines()[-1])
    assert "Igamma" in document["failures"]["tflite_float32"]
    assert [artifact["format"] for artifact in document["artifacts"]] == ["keras"]
    assert not list((home / "exported" / "m").glob("*.tflite"))
