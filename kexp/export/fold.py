"""Batch normalisations and relus behind a pooling, taken into the convolution before it: converters do not look so far.

kexp's networks pool before they normalise, which costs training a quarter. Converters, and what runs their files, take
a normalisation into a convolution only where it follows directly. Left behind a pooling it costs time, and a quantised
file its digits: one int8 scale must hold all that the convolution puts out, each channel in its own spread and with
the half that a relu would drop. As scale a and offset b of a channel it commutes with the pooling, and so does a relu
with the largest of a window (but not with its mean):

    a mean(x) + b = mean(a x + b),   relu(max(x)) = max(relu(x)),   a max(x) + b = max(a x + b) for a >= 0

Where a < 0 in a channel, a max(x) + b = s max(|a| x + s b), s being its sign: such factors stay behind the pooling.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


def fold(model: Any) -> Any:
    """A keras.Model that computes what `model` does, to rounding, with normalisations and relus where they can be.

    Weights are shared but for those that change; `model` stays as it is. So does what is not recognised: layers that
    are used twice, other orders, other layers, a user's own classes. Where that is all, `model` itself is returned.
    """
    import keras

    if not isinstance(model, keras.Model) or not type(model).__module__.startswith("keras."):
        return model
    if isinstance(model, keras.Sequential):
        if not model.inputs:
            return model
        graph = keras.Model(model.inputs, model.outputs, name=model.name)
    elif hasattr(model, "operations"):
        graph = model
    else:
        return model
    own = _changes(graph)
    inner = {layer.name: fold(layer) for layer in graph.layers if isinstance(layer, keras.Model)}
    changes = own | {name: made for name, made in inner.items() if made is not graph.get_layer(name)}
    if not changes:
        return model

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        change = changes.get(layer.name, layer)
        if change is None:
            return args[0]
        return change(args[0]) if layer.name in own else change(*args, **kwargs)

    return keras.models.clone_model(graph, call_function=call, clone_function=lambda layer: layer)


class _Use(NamedTuple):
    """A layer where it is used once: the shape that it takes, and the one layer that takes what it puts out."""

    shape: tuple[int | None, ...]
    next: Any  # None: the model's output, or of several layers


def _changes(model: Any) -> dict[str, Any]:
    """By the name of each layer that changes, the layer in its place; None where there is none."""
    import keras

    layers = keras.layers
    convolutions = (layers.Conv1D, layers.Conv2D, layers.SeparableConv1D, layers.SeparableConv2D)
    largest = (layers.MaxPooling1D, layers.MaxPooling2D)
    poolings = (*largest, layers.AveragePooling1D, layers.AveragePooling2D)
    uses = _uses(model)
    changes: dict[str, Any] = {}
    for convolution in model.layers:
        if type(convolution) not in convolutions or convolution.get_config()["activation"] != "linear":
            continue
        pooling = _next(uses, convolution)
        if type(pooling) not in poolings or "channels_first" in (convolution.data_format, pooling.data_format):
            continue
        norm, after = None, _next(uses, pooling)
        if type(after) is layers.BatchNormalization:
            norm, after = after, _next(uses, after)
        scale, offset = _affine(norm, uses[norm.name].shape) if norm else (1.0, 0.0)
        if scale is None:
            continue
        signs = np.where(np.asarray(scale) < 0, -1.0, 1.0) if type(pooling) in largest else np.ones(1)
        swapped = bool((signs < 0).any())
        relu = "linear" if swapped or type(pooling) not in largest else _relu(after)
        if norm is None and relu == "linear":
            continue
        shape = uses[convolution.name].shape
        changes[convolution.name] = _scaled(convolution, shape, signs * scale, signs * offset, relu)
        if norm is not None:
            changes[norm.name] = layers.Rescaling(signs.tolist(), name=norm.name) if swapped else None
        if relu != "linear":
            changes[after.name] = None
    return changes


def _uses(model: Any) -> dict[str, _Use]:
    """The layers and operations that `model` uses once, by name. What they do in other models does not count."""
    import keras

    nodes = [node for depth in model._nodes_by_depth.values() for node in depth]
    times = Counter(node.operation.name for node in nodes)
    takers: dict[int, list[Any]] = {id(tensor): [None] for tensor in model.outputs}
    for node in nodes:
        for tensor in node.input_tensors:
            takers.setdefault(id(tensor), []).append(node.operation)
    uses = {}
    for node in nodes:
        behind = [each for tensor in node.output_tensors for each in takers.get(id(tensor), [])]
        if times[node.operation.name] == 1 and len(node.input_tensors) == 1:
            only = behind[0] if len(behind) == 1 and isinstance(behind[0], keras.Layer) else None
            uses[node.operation.name] = _Use(tuple(node.input_tensors[0].shape), only)
    return uses


def _next(uses: dict[str, _Use], layer: Any) -> Any:
    """The one layer behind `layer`, if both are used once."""
    use = uses.get(layer.name) if layer is not None else None
    return use.next if use and use.next is not None and use.next.name in uses else None


def _relu(layer: Any) -> str:
    """Which relu `layer` is, as an activation that runtimes compute together with a convolution; "linear": none."""
    import keras

    config = layer.get_config() if layer is not None else {}
    if type(layer) is keras.layers.Activation and config["activation"] in ("relu", "relu6"):
        return str(config["activation"])
    if type(layer) is keras.layers.ReLU and not config["negative_slope"] and not config["threshold"]:
        return {None: "relu", 6.0: "relu6"}.get(config["max_value"], "linear")
    return "linear"


def _affine(norm: Any, shape: tuple[int | None, ...]) -> tuple[Any, Any]:
    """Scale and offset (channels,) at inference; None where it normalises another axis than the last."""
    axis, *others = norm.axis if isinstance(norm.axis, list | tuple) else (norm.axis,)
    if others or axis % len(shape) != len(shape) - 1:
        return None, None
    gamma = _numbers(norm.gamma) if norm.scale else 1.0
    beta = _numbers(norm.beta) if norm.center else 0.0
    scale = gamma / np.sqrt(_numbers(norm.moving_variance) + norm.epsilon)
    return scale, beta - _numbers(norm.moving_mean) * scale


def _scaled(convolution: Any, shape: tuple[int | None, ...], scale: Any, offset: Any, activation: str) -> Any:
    """`convolution` with each channel that it puts out times `scale`, plus `offset`, and with an activation."""
    made = type(convolution).from_config({**convolution.get_config(), "use_bias": True, "activation": activation})
    made.build(shape)
    kernels = (
        [_numbers(convolution.depthwise_kernel), _numbers(convolution.pointwise_kernel)]
        if hasattr(convolution, "pointwise_kernel")
        else [_numbers(convolution.kernel)]
    )
    bias = _numbers(convolution.bias) if convolution.use_bias else np.zeros(convolution.filters)
    made.set_weights([*kernels[:-1], kernels[-1] * scale, bias * scale + offset])
    return made


def _numbers(variable: Any) -> NDArray[np.float64]:
    import keras

    return np.asarray(keras.ops.convert_to_numpy(variable), np.float64)
