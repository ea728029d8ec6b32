from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest

from kexp.export.fold import fold

L = keras.layers
CONVOLUTIONS = {
    "Conv2D": lambda: L.Conv2D(6, 3, padding="same", use_bias=False),
    "Conv2D with bias, strides": lambda: L.Conv2D(6, 3, strides=2, padding="same"),
    "SeparableConv2D": lambda: L.SeparableConv2D(6, 3, padding="same"),
    "Conv1D": lambda: L.Conv1D(6, 3, padding="same", use_bias=False),
    "Conv1D dilated": lambda: L.Conv1D(6, 3, padding="same", dilation_rate=2),
    "SeparableConv1D": lambda: L.SeparableConv1D(6, 3, padding="same", use_bias=False),
}


def trained(norm, negative):
    """A normalisation as training leaves one."""
    random = np.random.default_rng(0)
    gamma = random.uniform(0.3, 2.0, 6) * (np.where(np.arange(6) % 3, 1, -1) if negative else 1)
    norm.set_weights([gamma, random.normal(0, 1, 6), random.normal(0, 1, 6), random.uniform(0.2, 3.0, 6)])


def network(convolution, pooling, activation, *, negative=False, pool_padding="same"):
    """convolution, pooling, normalisation, activation, and a dense layer."""
    made = CONVOLUTIONS[convolution]()
    one = "1D" in convolution
    x = inputs = keras.Input((12, 3) if one else (12, 10, 3))
    x = made(x)
    if "bias" in convolution or "dilated" in convolution or convolution == "SeparableConv2D":
        made.bias.assign(np.linspace(-1, 1, 6))
    pool = getattr(L, f"{pooling}Pooling{'1D' if one else '2D'}")
    x = pool(3, strides=2, padding=pool_padding)(x)
    norm = L.BatchNormalization()
    x = norm(x)
    trained(norm, negative)
    if activation:
        x = L.Activation(activation)(x)
    return keras.Model(inputs, L.Dense(4)(L.Flatten()(x)))


def samples(model):
    return np.random.default_rng(1).normal(0, 2, (5, *model.input_shape[1:])).astype(np.float32)


def kinds(model):
    return [type(layer).__name__ for layer in model.layers]


@pytest.mark.parametrize("negative", [False, True], ids=["positive", "some negative"])
@pytest.mark.parametrize("activation", ["relu", "silu", "tanh", None])
@pytest.mark.parametrize("pooling", ["Max", "Average"])
@pytest.mark.parametrize("convolution", CONVOLUTIONS)
def test_what_is_folded_computes_the_same(convolution, pooling, activation, negative):
    model = network(convolution, pooling, activation, negative=negative)
    folded = fold(model)
    x = samples(model)
    before, after = np.asarray(model(x)), np.asarray(folded(x))
    assert np.abs(before - after).max() < 1e-5 * max(1, np.abs(before).max())
    assert "BatchNormalization" not in kinds(folded)
    signs = pooling == "Max" and negative
    assert ("Rescaling" in kinds(folded)) == signs
    fused = pooling == "Max" and activation == "relu" and not signs
    assert ("Activation" in kinds(folded)) == (activation is not None and not fused)


@pytest.mark.parametrize("pooling", ["Max", "Average"])
def test_pooling_without_padding_is_folded_too(pooling):
    model = network("Conv2D", pooling, "relu", pool_padding="valid")
    x = samples(model)
    assert np.allclose(model(x), fold(model)(x), atol=1e-4)


def test_a_network_inside_is_folded_and_the_model_itself_stays(tmp_path):
    core = network("Conv2D", "Max", "relu")
    inputs = keras.Input((12, 10, 3))
    model = keras.Model(inputs, L.Activation("softmax")(core(L.Rescaling(2.0)(inputs))))
    x, weights = samples(model), [np.array(w) for w in model.get_weights()]
    folded = fold(model)
    assert np.allclose(model(x), folded(x), atol=1e-5)
    inside = next(layer for layer in folded.layers if isinstance(layer, keras.Model))
    assert "BatchNormalization" not in kinds(inside)
    assert "BatchNormalization" in kinds(core)
    assert all(np.array_equal(a, b) for a, b in zip(weights, model.get_weights(), strict=True))


def shared():
    inputs = keras.Input((12, 10, 3))
    convolution, norm = L.Conv2D(6, 3, padding="same"), L.BatchNormalization()
    pooled = [L.MaxPooling2D(2)(convolution(x)) for x in (inputs, L.ReLU()(inputs))]
    return keras.Model(inputs, L.Add()([norm(pooled[0]), norm(pooled[1])]))


def branched():
    inputs = keras.Input((12, 10, 3))
    pooled = L.MaxPooling2D(2)(L.Conv2D(6, 3, padding="same")(inputs))
    return keras.Model(inputs, L.Concatenate()([L.BatchNormalization()(pooled), pooled]))


def activated():
    inputs = keras.Input((12, 10, 3))
    x = L.Conv2D(6, 3, activation="relu")(inputs)
    return keras.Model(inputs, L.BatchNormalization()(L.MaxPooling2D(2)(x)))


@pytest.mark.parametrize("make", [shared, branched, activated])
def test_what_is_not_recognised_stays(make):
    model = make()
    for layer in model.layers:
        if isinstance(layer, L.BatchNormalization):
            trained(layer, negative=False)
    folded = fold(model)
    x = samples(model)
    assert "BatchNormalization" in kinds(folded)
    assert np.allclose(model(x), folded(x), atol=1e-5)


def test_a_sequential_model_and_others_stay():
    model = keras.Sequential([keras.Input((4,)), L.Dense(2)])
    assert fold(model) is model


def test_a_converted_network_normalises_nothing_behind_its_poolings(tmp_path):
    """The .tflite of a kexp network: one operator for convolution and relu, none that scales channels."""
    import small_models

    from kexp.runtime.litert import operators

    found = operators(small_models.digits().release.folder / "model_float32.tflite")
    assert "CONV_2D" in found
    assert found.count("MUL") + found.count("ADD") <= 2, found  # those of the front end
