"""Batch normalisations taken into the convolutions before a pooling, for converters that cannot look across it.

kexp's networks pool before they normalise, which costs training a quarter. TensorFlow's converter takes a
normalisation into a convolution only where it follows directly. Left behind a pooling, it costs a quantised file twice:
time, and digits, since one int8 scale must hold all that the convolution puts out, each channel in its own spread and
with the half that a relu would drop. As scale a and offset b of a channel, it commutes with the pooling:

    a mean(x) + b = mean(a x + b),   a max(x) + b = max(a x + b) for a > 0,   relu(max(x)) = max(relu(x))
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray


def fold(model: Any) -> Any:
    """A keras.Model that computes what `model` does, to rounding, with such normalisations inside their convolutions.

    What is not recognised stays as it is: layers that are used twice, other orders, other layers.
    """
    import keras

    if not isinstance(model, keras.Model) or not hasattr(model, "operations") or isinstance(model, keras.Sequential):
        return model
    changes = _changes(model)

    def inner(layer: Any) -> Any:
        return fold(layer) if isinstance(layer, keras.Model) else layer

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        change = changes.get(layer.name)
        return layer(*args, **kwargs) if change is None else change(args[0])

    return keras.models.clone_model(model, call_function=call, clone_function=inner)


def _changes(model: Any) -> dict[str, Any]:
    """What takes the place of each layer that changes, by its name: a function of the layer's input."""
    import keras

    convolutions = (
        keras.layers.Conv1D,
        keras.layers.Conv2D,
        keras.layers.SeparableConv1D,
        keras.layers.SeparableConv2D,
    )
    largest = (keras.layers.MaxPooling1D, keras.layers.MaxPooling2D)
    poolings = (*largest, keras.layers.AveragePooling1D, keras.layers.AveragePooling2D)
    followers = _followers(model)
    changes: dict[str, Any] = {}
    for convolution in model.layers:
        if type(convolution) not in convolutions or convolution.get_config()["activation"] != "linear":
            continue
        pooling = _only(followers, convolution)
        norm = pooling is not None and type(pooling) in poolings and _only(followers, pooling)
        if (
            not norm
            or type(norm) is not keras.layers.BatchNormalization
            or norm.axis not in (-1, len(norm.output.shape) - 1)
        ):
            continue
        scale, offset = _affine(norm)
        size, signs = np.abs(scale), np.sign(scale)
        takes_all = type(pooling) not in largest or bool((signs > 0).all())
        after = _only(followers, norm)
        relu = takes_all and type(pooling) in largest and _is_relu(after)
        changes[convolution.name] = _scaled(
            convolution, scale if takes_all else size, offset if takes_all else np.zeros_like(offset), relu
        )
        changes[norm.name] = _same if takes_all else keras.layers.Rescaling(signs.tolist(), offset.tolist())
        if relu:
            changes[after.name] = _same
    return changes


def _followers(model: Any) -> dict[int, list[Any]]:
    """The layers that take what a layer puts out, by the id of that layer; the model's own outputs count as one."""
    followers: dict[int, list[Any]] = {}
    for layer in model.layers:
        for node in layer._inbound_nodes:
            for tensor in node.input_tensors:
                source, *_ = tensor._keras_history
                followers.setdefault(id(source), []).append(layer)
    for tensor in model.outputs:
        source, *_ = tensor._keras_history
        followers.setdefault(id(source), []).append(None)
    return followers


def _only(followers: dict[int, list[Any]], layer: Any) -> Any:
    """The one layer behind `layer`; None where there are several, or none, or it is used twice."""
    behind = followers.get(id(layer), [])
    if len(behind) != 1 or len(layer._inbound_nodes) != 1:
        return None
    return behind[0]


def _is_relu(layer: Any) -> bool:
    import keras

    config = layer.get_config() if layer is not None else {}
    if type(layer) is keras.layers.Activation:
        return bool(config["activation"] == "relu")
    plain = {"max_value": None, "negative_slope": 0.0, "threshold": 0.0}
    return type(layer) is keras.layers.ReLU and all(config[name] == value for name, value in plain.items())


def _affine(norm: Any) -> tuple[Array, Array]:
    """Scale and offset of each channel at inference."""
    mean, variance = (np.asarray(v, np.float64) for v in (norm.moving_mean, norm.moving_variance))
    gamma = np.asarray(norm.gamma, np.float64) if norm.scale else 1.0
    beta = np.asarray(norm.beta, np.float64) if norm.center else 0.0
    scale = gamma / np.sqrt(variance + norm.epsilon)
    return scale, beta - mean * scale


def _scaled(convolution: Any, scale: Array, offset: Array, relu: bool) -> Any:
    """The convolution whose every output channel is times `scale`, plus `offset`, and with a relu behind it."""
    config = {**convolution.get_config(), "use_bias": True, "activation": "relu" if relu else "linear"}
    made = type(convolution).from_config(config)
    made.build(convolution.input.shape)
    *kernels, last = [
        np.asarray(w, np.float64) for w in convolution.get_weights()[: 2 if _separable(convolution) else 1]
    ]
    bias = np.asarray(convolution.bias, np.float64) if convolution.use_bias else 0.0
    made.set_weights([*kernels, last * scale, bias * scale + offset])
    return made


def _separable(layer: Any) -> bool:
    return hasattr(layer, "pointwise_kernel")


def _same(x: Any) -> Any:
    return x
