"""What is told of a file before training is what the exporter makes: operators, bytes, memory."""

from __future__ import annotations

import dataclasses
import json

import keras
import numpy as np
import pytest

from kexp import models
from kexp.export import micro, tflite
from kexp.export.costs import INT8, costs
from kexp.export.source import Source
from kexp.export.walk import walk
from kexp.models.space import HyperParameters
from kexp.records import Column, DatasetSpec

TEN = tuple(f"class {i}" for i in range(10))
NUMBERS = tuple(Column(name=f"x{i}", kind="number", mean=i + 0.5, std=2.0, missing=i < 2) for i in range(5))
CATEGORIES = tuple(Column(name=f"c{i}", kind="category", choices=tuple("abcdefg"[: 3 + i])) for i in range(3))
EDGES = tuple(dataclasses.replace(c, edges=(-1.0, 0.0, 1.0, 2.0)) for c in NUMBERS)
TABLE = DatasetSpec(
    name="t", kind="table", task="regression", shape=(8,), outputs=1, labels=("price",), columns=(*EDGES, *CATEGORIES),
    target_mean=(3.0,), target_std=(2.0,),
)  # fmt: skip
PICTURES = DatasetSpec(
    name="p", kind="image", task="multiclass", shape=(16, 20, 3), outputs=10, labels=TEN, mean=(9.0, 8.0, 7.0),
    std=(5.0, 6.0, 7.0),
)  # fmt: skip
GREY = DatasetSpec(
    name="g", kind="image", task="binary", shape=(12, 12, 1), outputs=1, labels=("a", "b"), mean=(9.0,), std=(5.0,)
)
SERIES = DatasetSpec(
    name="s", kind="series", task="multilabel", shape=(40, 3), outputs=3, labels=("a", "b", "c"), mean=(1.0, 2.0, 3.0),
    std=(1.0, 2.0, 3.0), channels=("x", "y", "z"),
)  # fmt: skip
FORECAST = DatasetSpec(
    name="f", kind="series", task="regression", shape=(28, 2), outputs=3, labels=("+1", "+2", "+3"), mean=(1.0, 2.0),
    std=(1.0, 2.0), channels=("x", "y"), horizon=3, seasons=(7,), forecast=(0,), target_mean=(0.0,) * 3,
    target_std=(1.0,) * 3,
)  # fmt: skip
SOUND = DatasetSpec(
    name="w", kind="sound", task="multiclass", shape=(4000,), outputs=10, labels=TEN, rate=8000.0
)  # fmt: skip
CLIP = DatasetSpec(
    name="c", kind="clip", task="multiclass", shape=(4, 12, 12, 3), outputs=10, labels=TEN, mean=(9.0, 8.0, 7.0),
    std=(5.0, 6.0, 7.0), rate=10.0,
)  # fmt: skip
CASES = [
    (TABLE, "dense", {"hidden_layers": 3, "batch_normalization": True, "activation": "elu"}),
    (TABLE, "dense", {"hidden_layers": 0, "numeric_encoding": "standard"}),
    (GREY, "dense", {"activation": "silu", "units_0": 16}),
    (GREY, "conv", {"padding": "valid", "conv_activation": "tanh", "conv_batch_normalization": False}),
    (PICTURES, "conv", {"filters": 8}),
    (PICTURES, "conv", {"separable": True, "convolutions": 2, "pooling": "average", "conv_activation": "silu"}),
    (SERIES, "conv1d", {"pooling": "average", "reduction": "average"}),
    (SERIES, "conv1d", {"block": "residual", "filters": 8, "conv_activation": "tanh", "separable": True}),
    (FORECAST, "conv1d", {"conv_activation": "silu", "filters": 8}),
    (FORECAST, "dense", {}),
    (SOUND, "conv_sound", {"stages": 2, "filters": 8, "hop": 0.25}),
    (CLIP, "conv_clip", {"fusion": "late", "stages": 1, "filters": 8, "time_layers": 2}),
    (CLIP, "conv_clip", {"stages": 1, "filters": 8}),
]


def converted(model, spec, folder):
    """The bytes of the int8 file of `model`, its biases and statistics as a training leaves them."""
    random = np.random.default_rng(0)
    for weight in model.weights:
        if weight.path.endswith(("bias", "beta", "gamma", "variance", "mean")):
            weight.assign(np.asarray(weight) + np.abs(random.normal(0, 0.05, weight.shape)))
    model.save(folder / "model.keras")
    x = random.uniform(0, 1, (4, *spec.shape)).astype(np.float32)
    source = Source(path=folder / "model.keras", spec=spec, calibration=x, scratch=folder)
    tflite.int8(source, folder / "model.tflite")
    tflite.forget()
    return (folder / "model.tflite").read_bytes()


def operators(content):
    return {use.name: use.times for use in micro.uses(content)}


@pytest.mark.parametrize("case", range(len(CASES)), ids=lambda i: f"{CASES[i][1]}-{i}")
def test_what_is_told_is_what_is_in_the_file(tmp_path, case):
    spec, factory, values = CASES[case]
    told = costs(spec, models.sketch(spec, factory, HyperParameters(values)))
    network = models.build(spec, factory, HyperParameters(values))
    content = converted(models.inference(network), spec, tmp_path)
    found = costs(spec, network)
    models.forget()
    assert told == found and told.parameters == network.parameters
    assert told.operators == sum(operators(content).values())
    assert told.bytes == pytest.approx(len(content), rel=0.04)
    assert told.memory == pytest.approx(micro.arena(content).peak, rel=0.02, abs=64)


def test_arithmetic_is_that_of_the_layers():
    network = models.sketch(GREY, "conv", HyperParameters({"stages": 1, "filters": 8, "dense_layers": 0}))
    # 12 x 12 places of 8 filters of 3 x 3; the pooling leaves 6 x 6; then the logit.
    assert costs(GREY, network).macs == 12 * 12 * 8 * 9 + 6 * 6 * 8
    network = models.sketch(GREY, "dense", HyperParameters({"hidden_layers": 1, "units_0": 32}))
    assert costs(GREY, network).macs == 144 * 32 + 32
    values = {"stages": 2, "filters": 8, "filter_growth": 2.0, "separable": True}
    network = models.sketch(PICTURES, "conv", HyperParameters(values))
    first, depthwise, pointwise = 16 * 20 * 8 * 27, 8 * 10 * 8 * 9, 8 * 10 * 8 * 16
    dense = (4 * 5 * 16) * 64 + 64 * 10
    assert costs(PICTURES, network).macs == first + depthwise + pointwise + dense
    # Vectors of 16: three colours and eight filters fill them in part, and a depthwise product is alone in its own.
    assert costs(PICTURES, network).work == first * 32 // 3 + depthwise * 32 + pointwise * 2 + dense


def test_what_only_training_has_costs_nothing():
    light = {"augmentation": "none", "dropout": 0.0}
    heavy = {"augmentation": "pose", "erase": 0.5, "dropout": 0.4}
    one, other = (costs(PICTURES, models.sketch(PICTURES, "conv", HyperParameters(v))) for v in (light, heavy))
    assert one == other


def own(*layers, shape=(16, 20, 3)):
    return keras.Sequential([keras.Input(shape), *layers])


def test_a_network_of_ones_own_is_told_of_too(tmp_path):
    layers = keras.layers
    entry = keras.Input((16, 20, 3))
    x = layers.Rescaling(1 / 255)(entry)
    x = layers.Conv2D(8, 3, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU()(x)
    y = layers.DepthwiseConv2D(3, padding="same")(x)
    x = layers.Concatenate()([x, y])
    x = layers.ZeroPadding2D(2)(x)
    x = layers.Conv2D(8, 1, activation="relu")(x)
    x = layers.GlobalMaxPooling2D()(x)
    model = keras.Model(entry, layers.Dense(10, activation="softmax")(x))
    told = costs(PICTURES, models.Network(core=model))
    content = converted(model, PICTURES, tmp_path)
    assert told.parameters == model.count_params()
    assert abs(told.operators - sum(operators(content).values())) <= 2
    assert told.bytes == pytest.approx(len(content), abs=1000)
    assert told.memory == pytest.approx(micro.arena(content).peak, rel=0.25)


def test_layers_that_are_not_known_count_their_weights():
    @keras.saving.register_keras_serializable("costs")
    class Mine(keras.layers.Layer):
        def build(self, shape):
            self.w = self.add_weight(shape=(shape[-1], 7))

        def call(self, x):
            return x @ self.w

    model = own(Mine(), keras.layers.LSTM(5), keras.layers.Dense(10), shape=(40, 3))
    told = costs(SERIES, models.Network(core=model))
    assert told.parameters == model.count_params() == 21 + 4 * 5 * (7 + 5 + 1) + 60
    assert told.macs == 40 * 21 + 40 * 4 * 5 * (7 + 5) + 50
    assert told.bytes > 4 * (21 + 260)


def test_what_is_done_to_each_step_is_done_so_often():
    layers = keras.layers
    inner = keras.Sequential([keras.Input((12, 12, 3)), layers.Conv2D(4, 3), layers.GlobalAveragePooling2D()])
    each = [layers.TimeDistributed(inner), layers.TimeDistributed(layers.Dense(6, activation="relu"))]
    told = costs(CLIP, models.Network(core=own(*each, layers.Flatten(), layers.Dense(10), shape=CLIP.shape)))
    assert told.macs == 4 * (10 * 10 * 4 * 27 + 4 * 6) + 4 * 6 * 10
    assert told.parameters == 4 * 27 + 4 + 4 * 6 + 6 + 24 * 10 + 10


def test_a_layer_may_put_out_several_things_and_have_the_name_of_another():
    class Dense(keras.layers.Layer):
        def call(self, x):
            return x, 2 * x

        def compute_output_shape(self, shape):
            return shape, shape

    entry = keras.Input((8,))
    one, other = Dense()(entry)
    model = keras.Model(entry, keras.layers.Dense(1)(keras.layers.Concatenate()([one, other])))
    assert costs(TABLE, models.Network(core=model)).macs == 16


def test_a_model_with_a_call_of_its_own_counts_its_weights():
    class Mine(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = keras.layers.Dense(10)

        def call(self, x):
            return self.inner(x)

    entry = keras.Input((6,))
    model = keras.Model(entry, Mine()(entry))
    told = costs(TABLE, models.Network(core=model))
    assert (told.parameters, told.macs) == (70, 60)


def test_int8_operators_are_those_of_the_quantizer():
    from ai_edge_quantizer import default_policy

    known = set(json.loads(default_policy.DEFAULT_JSON_POLICY)["ops_per_config"]["static_wi8_ai8"])
    assert {name.replace("TRANSPOSE_CONV", "CONV_2D_TRANSPOSE") for name in INT8} <= known
    assert not known & {"ELU", "EXP", "MINIMUM", "REDUCE_MAX", "CAST", "LOG"}


def test_a_plan_names_what_is_front_end():
    plan = walk(models.sketch(SOUND, "conv_sound", HyperParameters({})))
    kinds = [operator.kind for operator in plan.operators if operator.front]
    assert "RFFT2D" in kinds and "CONV_2D" not in kinds
