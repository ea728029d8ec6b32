"""A user's own build(hp): its shapes, what it was compiled with, and whether Keras can read it from a file."""

from __future__ import annotations

import zlib

import keras
import numpy as np
import pytest

from kexp import models
from kexp.errors import ExperimentError
from kexp.models.space import HyperParameters
from kexp.records import Column, DatasetSpec, Experiment

SPEC = DatasetSpec(
    name="toy", kind="table", task="binary", shape=(3,), outputs=1, labels=("no", "yes"),
    columns=tuple(Column(name=name, kind="number") for name in "abc"),
)  # fmt: skip
SUBCLASS = """
class Mine(keras.Model):
    def __init__(self, units, **options):
        super().__init__(**options)
        self.units, self.first, self.last = units, keras.layers.Dense(units), keras.layers.Dense(1)
    def call(self, x):
        return self.last(self.first(x))
    def get_config(self):
        return {**super().get_config(), "units": self.units}
def build(hp):
    model = Mine(hp.Int("units", 4, 8))
    model.compile(keras.optimizers.SGD(0.05), "mse")
    return model
"""
REGISTERED = SUBCLASS.replace("class Mine", "@keras.saving.register_keras_serializable()\nclass Mine")
LAMBDA = """
def build(hp):
    return keras.Sequential([keras.Input((3,)), keras.layers.Lambda(lambda x: 2 * x), keras.layers.Dense(1)])
"""
LOCAL = """
def build(hp):
    class Twice(keras.layers.Layer):
        def call(self, x):
            return 2 * x
    return keras.Sequential([keras.Input((3,)), Twice(), keras.layers.Dense(1)])
"""


def module(tmp_path, monkeypatch, text: str) -> str:
    """A factory of a module with this text, and its name."""
    name = f"own_{zlib.crc32(text.encode())}"
    (tmp_path / f"{name}.py").write_text(f"import keras\n{text}")
    monkeypatch.chdir(tmp_path)
    return f"{name}:build"


def space(factory):
    return models.space(SPEC, Experiment(name="x", data="y", factory=factory))


def test_a_model_without_an_input_learns_its_shape(tmp_path, monkeypatch):
    text = "def build(hp):\n    model = keras.Sequential([keras.layers.Dense(1, activation='sigmoid')])\n"
    factory = module(tmp_path, monkeypatch, f"{text}    model.compile('sgd', 'mse')\n    return model\n")
    network = models.build(SPEC, factory, HyperParameters())
    assert network.core.input_shape == (None, 3) and network.parameters == 4
    assert isinstance(network.optimizer, keras.optimizers.SGD) and network.loss is not None
    space(factory)


def test_a_subclass_is_a_model_from_samples_to_answers(tmp_path, monkeypatch):
    factory = module(tmp_path, monkeypatch, REGISTERED)
    assert [one.name for one in space(factory)] == ["units"]
    network = models.build(SPEC, factory, HyperParameters({"units": 5}))
    assert network.core.input_shape == (None, 3) and network.core.output_shape == (None, 1)
    assert network.learning_rate == pytest.approx(0.05) and network.loss is not None
    file = tmp_path / "model.keras"
    models.inference(network).save(file)
    x = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(keras.models.load_model(file, compile=False)(x), network.core(x))


def test_a_model_that_does_not_take_the_samples_is_refused(tmp_path, monkeypatch):
    text = "def build(hp):\n    return keras.Sequential([keras.layers.Conv2D(4, 3), keras.layers.Dense(1)])\n"
    with pytest.raises(ExperimentError, match=r"does not take samples of shape \(3,\)"):
        models.build(SPEC, module(tmp_path, monkeypatch, text), HyperParameters())


@pytest.mark.parametrize(
    ("text", "why"), [(SUBCLASS, "Mine"), (LOCAL, "Twice"), (LAMBDA, "Lambda")], ids=["subclass", "local", "lambda"]
)
def test_what_keras_cannot_read_from_a_file_is_refused_before_a_search(tmp_path, monkeypatch, text, why):
    with pytest.raises(ExperimentError, match=f"cannot read from a file what it makes: .*{why}.*register_keras"):
        space(module(tmp_path, monkeypatch, text))


def compiled_with(tmp_path, monkeypatch, compiled: str) -> str:
    """A factory whose model is compiled with these arguments, and its name."""
    module = f"own_{zlib.crc32(compiled.encode())}"
    (tmp_path / f"{module}.py").write_text(
        "import keras\n"
        "def build(hp):\n"
        "    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, activation='sigmoid')])\n"
        f"    model.compile({compiled})\n"
        "    return model\n"
    )
    monkeypatch.chdir(tmp_path)
    return f"{module}:build"


@pytest.mark.parametrize(
    ("rate", "peak"),
    [("0.01", 0.01), ("keras.optimizers.schedules.CosineDecay(0.01, 100)", None), ("lambda: 0.01", None)],
)
def test_a_schedule_of_ones_own_has_no_peak(tmp_path, monkeypatch, rate, peak):
    factory = compiled_with(tmp_path, monkeypatch, f"keras.optimizers.SGD({rate}), 'mse'")
    network = models.build(SPEC, factory, HyperParameters())
    assert network.learning_rate == (None if peak is None else pytest.approx(peak))


def test_the_loss_of_ones_own_model_is_the_one_it_was_compiled_with(tmp_path, monkeypatch):
    factory = compiled_with(tmp_path, monkeypatch, "'adam', keras.losses.BinaryFocalCrossentropy()")
    loss = models.build(SPEC, factory, HyperParameters()).loss
    assert isinstance(loss, keras.losses.BinaryFocalCrossentropy)
    assert models.build(SPEC, compiled_with(tmp_path, monkeypatch, "'adam'"), HyperParameters()).loss is None


@pytest.mark.parametrize("loss", ["'nonsense'", "lambda y, out: y @ out"])
def test_a_loss_that_cannot_take_the_targets_is_refused(tmp_path, monkeypatch, loss):
    with pytest.raises(ExperimentError, match=r"which does not take targets of shape \(2, 1\)"):
        models.build(SPEC, compiled_with(tmp_path, monkeypatch, f"'adam', {loss}"), HyperParameters())
