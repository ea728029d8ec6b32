from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from collections import Counter

import keras
import numpy as np
import pytest
import small_models

from kexp.export import graph, tflite
from kexp.export.fold import fold
from kexp.export.source import Source

L = keras.layers
CONVOLUTIONS = {
    "Conv2D": lambda: L.Conv2D(6, 3, padding="same", use_bias=False),
    "Conv2D with bias, strides": lambda: L.Conv2D(6, 3, strides=2, padding="same"),
    "Conv2D in groups": lambda: L.Conv2D(6, 3, groups=3),
    "SeparableConv2D": lambda: L.SeparableConv2D(6, 3, padding="same", depth_multiplier=2),
    "Conv1D": lambda: L.Conv1D(6, 3, padding="same", use_bias=False),
    "Conv1D dilated": lambda: L.Conv1D(6, 3, padding="causal", dilation_rate=2),
    "SeparableConv1D": lambda: L.SeparableConv1D(6, 3, padding="same", use_bias=False),
}


def trained(layer, negative=False):
    """A layer as training leaves one: nothing is 0 or 1."""
    random = np.random.default_rng(0)
    if isinstance(layer, L.BatchNormalization):
        gamma = random.uniform(0.3, 2.0, 6) * (np.where(np.arange(6) % 3, 1, -1) if negative else 1)
        layer.set_weights([gamma, random.normal(0, 1, 6), random.normal(0, 1, 6), random.uniform(0.2, 3.0, 6)])
    elif getattr(layer, "bias", None) is not None:
        layer.bias.assign(random.normal(0, 1, layer.bias.shape))


def model_of(inputs, outputs, negative=False):
    model = keras.Model(inputs, outputs)
    for layer in model.layers:
        trained(layer, negative)
    return model


def network(convolution, pooling, activation, *, negative=False, padding="same"):
    """convolution, pooling, normalisation, activation, dense; no pooling divides the sides, or the steps."""
    inputs = keras.Input((13, 3) if "1D" in convolution else (14, 11, 3))
    x = CONVOLUTIONS[convolution]()(inputs)
    x = getattr(L, f"{pooling}Pooling{'1D' if '1D' in convolution else '2D'}")(3, strides=2, padding=padding)(x)
    x = L.BatchNormalization()(x)
    if activation:
        x = L.Activation(activation)(x)
    return model_of(inputs, L.Dense(4)(L.Flatten()(x)), negative)


def kinds(model):
    return [type(layer).__name__ for layer in model.layers]


def check_same(model, folded):
    x = np.random.default_rng(1).normal(0, 2, (5, *model.input_shape[1:])).astype(np.float32)
    before, after = (np.asarray(each(x, training=False)) for each in (model, folded))
    assert np.abs(before).max() > 0.1
    assert np.abs(before - after).max() < 1e-5 * max(1, np.abs(before).max())


@pytest.mark.parametrize("negative", [False, True], ids=["positive", "some negative"])
@pytest.mark.parametrize("activation", ["relu", "silu", "elu", "tanh", None])
@pytest.mark.parametrize("pooling", ["Max", "Average"])
@pytest.mark.parametrize("convolution", ["Conv2D", "SeparableConv1D"])
def test_what_is_folded_computes_the_same(convolution, pooling, activation, negative):
    model = network(convolution, pooling, activation, negative=negative)
    folded = fold(model)
    check_same(model, folded)
    assert "BatchNormalization" in kinds(model) and "BatchNormalization" not in kinds(folded)
    signs = pooling == "Max" and negative
    assert ("Rescaling" in kinds(folded)) == signs
    moved = pooling == "Max" and activation == "relu" and not signs
    assert ("Activation" in kinds(folded)) == (activation is not None and not moved)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("convolution", CONVOLUTIONS)
def test_convolutions_and_paddings(convolution, padding):
    for pooling in ("Max", "Average"):
        model = network(convolution, pooling, "relu", padding=padding)
        folded = fold(model)
        check_same(model, folded)
        assert "BatchNormalization" not in kinds(folded)


@pytest.mark.parametrize(
    ("relu", "moves"),
    [
        (lambda: L.Activation("relu"), True),
        (L.ReLU, True),
        (lambda: L.ReLU(max_value=6), True),
        (lambda: L.ReLU(negative_slope=0.1), False),
        (lambda: L.ReLU(threshold=0.5), False),
        (lambda: L.ReLU(max_value=1), False),
        (L.LeakyReLU, False),
    ],
)
def test_a_relu_moves_without_a_normalisation_too(relu, moves):
    inputs = keras.Input((14, 11, 3))
    x = L.MaxPooling2D(2)(L.Conv2D(6, 3)(inputs))
    model = model_of(inputs, L.Dense(4)(L.Flatten()(relu()(x))))
    folded = fold(model)
    check_same(model, folded)
    assert (folded is not model) == moves
    assert len(folded.layers) == len(model.layers) - moves


def test_a_normalisation_without_scale_or_centre_and_a_gamma_of_zero():
    inputs = keras.Input((14, 11, 3))
    x = L.MaxPooling2D(2)(L.Conv2D(6, 3)(inputs))
    x = L.BatchNormalization(center=False)(x)
    x = L.BatchNormalization(scale=False)(L.MaxPooling2D(2)(L.Conv2D(6, 3)(x)))
    model = keras.Model(inputs, x)
    random = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, L.BatchNormalization):
            layer.set_weights([random.uniform(0.2, 2.0, w.shape) for w in layer.get_weights()])
            if layer.scale:
                layer.gamma.assign([0, 1, 2, 0.5, 0, 1])
    folded = fold(model)
    check_same(model, folded)
    assert kinds(folded).count("Rescaling") == kinds(folded).count("BatchNormalization") == 0


def test_a_network_inside_is_folded_and_the_model_itself_stays():
    core = network("Conv2D", "Max", "relu")
    inputs = keras.Input((14, 11, 3))
    model = keras.Model(inputs, L.Activation("softmax")(core(L.Rescaling(2.0)(inputs))))
    weights = model.get_weights()
    folded = fold(model)
    check_same(model, folded)
    (inside,) = [layer for layer in folded.layers if isinstance(layer, keras.Model)]
    assert "BatchNormalization" not in kinds(inside) and "BatchNormalization" in kinds(core)
    assert all(np.array_equal(a, b) for a, b in zip(weights, model.get_weights(), strict=True))


def test_a_second_graph_of_the_same_layers_is_no_second_use():
    """As in `models.inference`, whose layers are those of the network that was trained."""
    model = network("Conv2D", "Max", "relu")
    keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=lambda layer, *a, **k: layer(*a))
    for _ in range(2):
        assert "BatchNormalization" not in kinds(fold(model))


def test_a_sequential_model():
    model = keras.Sequential([keras.Input((14, 11, 3)), L.Conv2D(6, 3), L.MaxPooling2D(2), L.BatchNormalization()])
    trained(model.layers[-1])
    folded = fold(model)
    check_same(model, folded)
    assert "BatchNormalization" not in kinds(folded)


def pooled(x):
    return L.MaxPooling2D(2)(L.Conv2D(6, 3, padding="same")(x))


def shared(inputs):
    convolution, norm = L.Conv2D(6, 3, padding="same"), L.BatchNormalization()
    first, second = (L.MaxPooling2D(2)(convolution(x)) for x in (inputs, L.ReLU()(inputs)))
    return L.Add()([norm(first), norm(second)])


def branched(inputs):
    x = pooled(inputs)
    return L.Concatenate()([L.BatchNormalization()(x), x])


def branched_by_an_operation(inputs):
    x = pooled(inputs)
    return L.BatchNormalization()(x) * keras.ops.mean(x)


def activated(inputs):
    return L.BatchNormalization()(L.MaxPooling2D(2)(L.Conv2D(6, 3, activation="relu")(inputs)))


def of_the_rows(inputs):
    return L.BatchNormalization(axis=1)(pooled(inputs))


@pytest.mark.parametrize("make", [shared, branched, branched_by_an_operation, activated, of_the_rows])
def test_what_is_not_recognised_stays(make):
    inputs = keras.Input((12, 12, 3))
    model = model_of(inputs, make(inputs))
    assert fold(model) is model


def test_an_output_on_the_way_stays():
    inputs = keras.Input((12, 12, 3))
    x = pooled(inputs)
    model = keras.Model(inputs, [x, L.BatchNormalization()(x)])
    assert fold(model) is model


def test_channels_first_and_classes_of_the_user_stay():
    inputs = keras.Input((3, 12, 12))
    x = L.Conv2D(6, 3, data_format="channels_first")(inputs)
    x = L.BatchNormalization(axis=3)(L.MaxPooling2D(2, data_format="channels_first")(x))
    model = keras.Model(inputs, x)
    assert fold(model) is model

    class Own(keras.Model):
        def call(self, x, training=None):
            return -super().call(x, training=training)

    inputs = keras.Input((12, 12, 3))
    own = Own(inputs, L.BatchNormalization()(pooled(inputs)))
    assert fold(own) is own


def count(content):
    """How many of which operators a .tflite has."""
    return Counter(graph.kinds(graph.read(content)))


def source(net, scratch):
    x = np.asarray(net.dataset.x[net.dataset.rows("train")[:32]])
    scratch.mkdir()
    return Source(
        path=net.model, spec=net.dataset.spec, calibration=x, scratch=scratch, modules=("kexp.models.layers",)
    )


def test_a_converted_network_does_nothing_behind_its_poolings(tmp_path, monkeypatch):
    net = small_models.digits_net()
    made = {}
    for name in ("folded", "plain"):
        if name == "plain":
            monkeypatch.setattr(tflite, "fold", lambda model: model)
        tflite.int8(source(net, tmp_path / name), tmp_path / f"{name}.tflite")
        made[name] = count((tmp_path / f"{name}.tflite").read_bytes())
    stages = made["plain"]["CONV_2D"]
    assert stages == made["folded"]["CONV_2D"] > 0
    assert made["folded"]["MUL"] == made["folded"]["ADD"] == 1  # the front end's
    assert made["plain"]["MUL"] == made["plain"]["ADD"] == 1 + stages
    assert made["folded"]["RELU"] == 0
    # Behind every pooling the plain one goes to float and back.
    assert made["plain"]["QUANTIZE"] - made["folded"]["QUANTIZE"] == stages


def test_negative_channels_leave_one_operator(tmp_path):
    net = small_models.digits_net()
    model = keras.saving.load_model(net.model)
    norms = [layer for layer in model.get_layer("core").layers if isinstance(layer, L.BatchNormalization)]
    for norm in norms:
        norm.gamma.assign(np.where(np.arange(norm.gamma.shape[0]) % 3, 1, -1) * norm.gamma.numpy())
    model.save(tmp_path / "model.keras")
    found = count(tflite._float32(source(net._replace(model=tmp_path / "model.keras"), tmp_path / "scratch")))
    assert found["MUL"] == 1 + len(norms) and found["ADD"] == 1 and found["RELU"] == 0, found
