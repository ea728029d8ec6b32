"""What each layer of Keras, and of kexp, becomes when it is converted: HANDLERS, by the name of its class."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from kexp.export import fronts
from kexp.export.plan import (
    UNKNOWN,
    Constant,
    Plan,
    Tensor,
    activate,
    dense,
    joined,
    last,
    narrowed,
    normalise,
    rescale,
)  # fmt: skip
from kexp.models.layers import Folded, Unfolded

# Of a plan, a layer, what it takes, and the shape that it puts out: that.
Handler = Callable[[Plan, Any, list[Tensor], tuple[int, ...]], Tensor]


def _named(activation: Any) -> str:
    return str(getattr(activation, "__name__", "custom"))


def _activated(handler: Handler) -> Handler:
    """`handler`, and the activation that the layer has."""

    @functools.wraps(handler)
    def handle(plan: Plan, layer: Any, inputs: list[Tensor], shape: tuple[int, ...]) -> Tensor:
        out = handler(plan, layer, inputs, shape)
        return activate(plan, out, _named(layer.activation), len(layer.name))

    return handle


def _handed_through(plan: Plan, layer: Any, inputs: list[Tensor], shape: tuple[int, ...]) -> Tensor:
    return inputs[0]


@_activated
def _dense(plan: Plan, layer: Any, inputs: list[Tensor], shape: tuple[int, ...]) -> Tensor:
    return dense(plan, inputs[0], layer.units, bias=layer.use_bias, name=len(layer.name))


def _einsum(plan: Plan, layer: Any, inputs: list[Tensor], shape: tuple[int, ...]) -> Tensor:
    kernel = math.prod(layer.kernel.shape)
    return plan.trained(
        "FULLY_CONNECTED", inputs[0], shape, len(layer.name) + len("_1/MatMul"), kernel=kernel, channels=shape[-1],
        rank=2, bias=math.prod(layer.bias.shape) if layer.bias is not None else 0,
        products=kernel * math.prod(inputs[0].shape[:-1]),
    )  # fmt: skip


@_activated
def _convolution(plan: Plan, layer: Any, inputs: list[Tensor], shape: tuple[int, ...]) -> Tensor:
    """Of one, two or three dimensions, transposed too."""
    kernel, transposed = math.prod(layer.kernel.shape), "Transpose" in type(layer).__name__
    kind = "TRANSPOSE_CONV" if transposed else "CONV_3D" if layer.rank == 3 else "CONV_2D"
    return _convolved(
        plan, layer, inputs[0], shape, kind, len("/convolution"), kernel=kernel, bias=layer.use_bias,
        positions=math.prod((inputs[0].shape if transposed else shape)[:-1]),
    )  # fmt: skip


def _convolved(
    plan: Plan, layer: Any, x: Tensor, shape: tuple[int, ...], kind: str, called: int, *,
    kernel: int, bias: bool, positions: int,
) -> Tensor:  # fmt: skip
    """A convolution; one over a series is one over a picture that is one row high.

    `called` is how long the name of the operation is. A convolution has a bias in the file, be it of zeros.
    """
    series, name, channels = layer.rank == 1, len(layer.name), shape[-1]
    x = _unscaled(plan, plan.widened(x, name) if series else x, layer)
    wide = (shape[0], 1, *shape[1:]) if series else shape
    out = plan.trained(
        kind, x, wide, name + len("_1") + called, kernel=kernel, channels=channels, rank=4, bias=channels,
        products=positions * kernel,
    )  # fmt: skip
    if out.maker is not None:
        out.maker.zeros = not bias
    if bias:
        part = plan.inside + name + len("_1;")
        out.name += 2 * part + len("/BiasAdd/Squeeze") + series * (out.name + len(";/Squeeze"))
    return narrowed(out) if series else out


def _unscaled(plan: Plan, x: Tensor, layer: Any) -> Tensor:
    """What is before a convolution without the padding that it can do itself, and the factor that it can take in."""
    maker = last(x)
    if maker is None or maker.kind not in ("ADD", "PAD"):
        return x
    if maker.kind == "PAD" and layer.padding == "valid":
        plan.operators.remove(maker)
        return maker.inputs[0]
    before = last(maker.inputs[0])
    scalars = [constant.rank for each in (maker, before) if each is not None for constant in each.constants] == [0, 0]
    if before is not None and before.kind == "MUL" and scalars and layer.padding == "valid":
        plan.operators.remove(maker)
        plan.operators.remove(before)
        return before.inputs[0]
    return x


@_activated
def _depthwise(plan: Plan, layer: Any, inputs: list[Tensor], shape: tuple[int, ...]) -> Tensor:
    return _convolved(
        plan, layer, inputs[0], shape, "DEPTHWISE_CONV_2D", len("/depthwise"), kernel=math.prod(layer.kernel.shape),
        bias=layer.use_bias, positions=math.prod(shape[1:-1]) * shape[0],
    )  # fmt: skip


@_activated
def _separable(plan: Plan, layer: Any, inputs: list[Tensor], shape: tuple[int, ...]) -> Tensor:
    depthwise, pointwise = math.prod(layer.depthwise_kernel.shape), math.prod(layer.pointwise_kernel.shape)
    middle, positions = (*shape[:-1], inputs[0].shape[-1] * layer.depth_multiplier), math.prod(shape[:-1])
    x = _convolved(
        plan, layer, inputs[0], middle, "DEPTHWISE_CONV_2D", len("/separable_conv2d/depthwise"), kernel=depthwise,
        bias=False, positions=positions,
    )  # fmt: skip
    return _convolved(
        plan, layer, x, shape, "CONV_2D", len("/separable_conv2d"), kernel=pointwise, bias=layer.use_bias,
        positions=positions,
    )  # fmt: skip


def _normalised(plan: Plan, layer: Any, inputs: list[Tensor], shape: tuple[int, ...]) -> Tensor:
    return normalise(plan, inputs[0], len(layer.name))


def _activation(plan: Plan, layer: Any, inputs: list[Tensor], shape: tuple[int, ...]) -> Tensor:
    return activate(plan, inputs[0], _named(layer.activation), len(layer.name))


def _relu(plan: Plan, layer: Any, inputs: list[Tensor], shape: tuple[int, ...]) -> Tensor:
    name = {None: "relu", 6.0: "relu6"}.get(layer.max_value, "relu")
    return activate(plan, inputs[0], "leaky_relu" if layer.negative_slope else name, len(layer.name))


def _other_activation(plan: Plan, layer: Any, inputs: list[Tensor], shape: tuple[int, ...]) -> Tensor:
    known = {"LeakyReLU": "leaky_relu", "ELU": "elu", "Softmax": "softmax", "PReLU": "prelu"}
    return activate(plan, inputs[0], known[type(layer).__name__], len(layer.name))


def _pooling(plan: Plan, layer: Any, inputs: list[Tensor], shape: tuple[int, ...]) -> Tensor:
    kind = "MAX_POOL_2D" if "Max" in type(layer).__name__ else "AVERAGE_POOL_2D"
    name = len(layer.name) + len("_1/MaxPool2d")
    if len(shape) != 3:
        return plan.add(kind, inputs, shape, name)
    return narrowed(plan.add(kind, [plan.widened(inputs[0], len(layer.name))], (shape[0], 1, *shape[1:]), name))


def _global_pooling(plan: Plan, layer: Any, inputs: list[Tensor], shape: tuple[int, ...]) -> Tensor:
    kind, axes = "REDUCE_MAX" if "Max" in type(layer).__name__ else "MEAN", len(inputs[0].shape) - 2
    if math.prod(inputs[0].shape[1:-1]) == 1:
        return plan.reshaped(inputs[0], shape, len(layer.name) + len("_1/Mean"))
    axis = Constant(axes, int(axes > 1), ("axes", axes))
    return plan.add(kind, inputs, shape, len(layer.name) + len("_1/Mean"), constants=[axis])


def _reshape(plan: Plan, layer: Any, inputs: list[Tensor], shape: tuple[int, ...]) -> Tensor:
    if isinstance(layer, Folded):
        shape = (inputs[0].shape[0] * inputs[0].shape[1], *inputs[0].shape[2:])
    if isinstance(layer, Unfolded):
        shape = (inputs[0].shape[0] // layer.frames, layer.frames, *inputs[0].shape[1:])
    return plan.reshaped(inputs[0], shape, len(layer.name) + len("_1/Reshape"))


def _rescaling(plan: Plan, layer: Any, inputs: list[Tensor], shape: tuple[int, ...]) -> Tensor:
    vector = isinstance(layer.scale, list | tuple) and len(layer.scale) > 1
    offset = any(layer.offset) if isinstance(layer.offset, list | tuple) else bool(layer.offset)
    return rescale(plan, inputs[0], vector=vector, offset=offset, name=len(layer.name))


def _joining(kind: str) -> Handler:
    def handle(plan: Plan, layer: Any, inputs: list[Tensor], shape: tuple[int, ...]) -> Tensor:
        name = len(layer.name) + len("_1/Add")
        if len(inputs) == 1:  # an operation with a number
            before = last(inputs[0])
            if kind in ("ADD", "SUB") and before is not None and before.bias and not before.activation:
                return inputs[0]  # its bias takes it in
            return plan.add(kind, inputs, shape, name, constants=[Constant(1, 0)])
        if kind == "CONCATENATION":
            return plan.add(kind, inputs, shape, name)
        return joined(plan, kind, inputs, shape, name)

    return handle


def _moving(kind: str, numbers: int = 1) -> Handler:
    """An operator that moves numbers, and holds so many for each dimension that say where to."""

    def handle(plan: Plan, layer: Any, inputs: list[Tensor], shape: tuple[int, ...]) -> Tensor:
        held = [Constant(numbers * len(shape), 1)]
        return plan.add(kind, inputs, shape, len(layer.name) + len(kind), constants=held)

    return handle


def unknown(plan: Plan, layer: Any, inputs: list[Tensor], shape: tuple[int, ...]) -> Tensor:
    """Anything else: if it has weights they stay as they are, and each multiplies at every position of the input."""
    weights = [tuple(weight.shape) for weight in getattr(layer, "weights", [])]
    kernels = sum(math.prod(each) for each in weights if len(each) > 1)
    held = sum(map(math.prod, weights))
    name = len(layer.name) + len("_1/") + len(type(layer).__name__)
    if not held:
        return plan.add(type(layer).__name__.upper(), inputs, shape, name)
    positions = math.prod(inputs[0].shape[1:-1]) if inputs else 1
    return plan.trained(
        UNKNOWN, inputs[0], shape, name, kernel=held, channels=0, rank=2, bias=0, products=kernels * positions
    )


def _handlers() -> dict[str, Handler]:
    found: dict[str, Handler] = {
        "Dense": _dense, "EinsumDense": _einsum, "BatchNormalization": _normalised, "Activation": _activation,
        "ReLU": _relu, "Rescaling": _rescaling, "Concatenate": _joining("CONCATENATION"),
        "Permute": _moving("TRANSPOSE"), "Resizing": _moving("RESIZE_BILINEAR"),
        "UpSampling2D": _moving("RESIZE_NEAREST_NEIGHBOR"), "TableEncoder": fronts.table,
        "LogMel": fronts.spectrogram, "FromLast": fronts.from_last, "Naive": fronts.naive, "Grey": fronts.grey,
    }  # fmt: skip
    nothing = (
        "Identity", "Dropout", "SpatialDropout1D", "SpatialDropout2D", "GaussianNoise", "GaussianDropout",
        "AlphaDropout", "ActivityRegularization", "Masking",
    )  # fmt: skip
    found |= dict.fromkeys(nothing, _handed_through)
    found |= dict.fromkeys(("Conv1D", "Conv2D", "Conv3D", "Conv1DTranspose", "Conv2DTranspose"), _convolution)
    found |= dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D"), _depthwise)
    found |= dict.fromkeys(("SeparableConv1D", "SeparableConv2D"), _separable)
    found |= dict.fromkeys(("LeakyReLU", "ELU", "Softmax", "PReLU"), _other_activation)
    found |= dict.fromkeys(("Flatten", "Reshape", "Folded", "Unfolded"), _reshape)
    found |= {f"{kind}Pooling{n}D": _pooling for kind in ("Max", "Average") for n in (1, 2, 3)}
    found |= {f"Global{kind}Pooling{n}D": _global_pooling for kind in ("Max", "Average") for n in (1, 2, 3)}
    found |= {f"ZeroPadding{n}D": _moving("PAD", 2) for n in (1, 2, 3)} | {"Cropping2D": _moving("STRIDED_SLICE", 3)}
    joins = {
        "Add": "ADD", "Average": "ADD", "Subtract": "SUB", "Multiply": "MUL", "Divide": "DIV", "TrueDivide": "DIV",
        "Maximum": "MAXIMUM", "Minimum": "MINIMUM",
    }  # fmt: skip
    found |= {name: _joining(kind) for name, kind in joins.items()}
    return found


HANDLERS = _handlers()
