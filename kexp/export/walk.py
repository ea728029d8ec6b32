"""The plan of a Keras network: what each of its layers becomes when it is converted. Its weights need not exist."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import keras

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
from kexp.forecasts import places
from kexp.models import Known, Network
from kexp.models.layers import Augmentation, Folded, FromLast, Grey, LogMel, Naive, TableEncoder, Unfolded

layers = keras.layers
Handler = Callable[[Plan, Any, list[Tensor], tuple[int, ...]], Tensor]
SCALAR = Constant(1, 0)
INPUT, CORE = len("serving_default_input:0"), len("core_1/")


def walk(network: Network) -> Plan:
    """The plan of a network, from the raw sample to the answer."""
    plan, x = Plan(), Tensor((), INPUT)
    if network.frontend is None or network.answer is None:
        x.shape = _shape(network.core.inputs[0], 1)
        _model(plan, network.core, [x])
        return plan
    x.shape = _shape(network.frontend.inputs[0], 1)
    x.takers += network.base is not None
    features = frontend(plan, network.frontend, x)
    base = _based(plan, network.base, x)
    plan.inside += CORE
    (logits,) = _model(plan, network.core, [features])
    plan.inside -= CORE
    return _answered(plan, network.answer, logits, base)


def walk_known(known: Known) -> Plan:
    """The same plan of a network that was not built."""
    plan = Plan()
    x = Tensor(_shape(known.frontend.inputs[0], 1), INPUT, takers=1 + (known.base is not None))
    out = frontend(plan, known.frontend, x)
    base = _based(plan, known.base, x)
    plan.inside += CORE
    if len(out.shape) > 2:
        out = plan.reshaped(out, (1, math.prod(out.shape[1:])), len("flatten_1/Reshape"))
    layout = known.layout
    for i, width in enumerate(layout.widths[1:-1]):
        out = dense(plan, out, width, bias=layout.biases[i], name=len(f"dense_{i}"))
        if layout.norms[i] is not None:
            out = normalise(plan, out, len(f"dense_norm_{i}"))
        out = activate(plan, out, layout.activations[i], len(f"dense_{layout.activations[i]}_{i}"))
    out = dense(plan, out, layout.widths[-1], bias=True, name=len("logits"))
    plan.inside -= CORE
    return _answered(plan, known.answer, out, base)


def _answered(plan: Plan, answer: Any, logits: Tensor, base: Tensor | None) -> Plan:
    out = _layer(plan, answer, [logits], logits.shape)
    if base is not None:
        plan.add("ADD", [out, base], out.shape, 0)
    return plan


def _based(plan: Plan, base: Any, x: Tensor) -> Tensor | None:
    """What answers are added to, of raw samples; the converter has it done before the network."""
    if base is None:
        return None
    out = _layer(plan, base, [x], x.shape)
    return plan.reshaped(out, out.shape[1:], len("forecast_1/Squeeze")) if out.shape[-1] > 1 else out


def frontend(plan: Plan, model: keras.Model, x: Tensor) -> Tensor:
    """What raw samples become before they are trained on; its operators are added to `plan`."""
    plan.front = True
    (out,) = _model(plan, model, [x])
    plan.front = False
    return out


def _model(plan: Plan, model: Any, inputs: list[Tensor], shape: tuple[int, ...] = ()) -> list[Tensor]:
    """What a model puts out of `inputs`, of `shape` if it is one; models inside it are walked through."""
    model = getattr(model, "_functional", None) or model  # a Sequential has its graph inside
    if not hasattr(model, "_nodes_by_depth"):  # a subclass of Model with a `call` of its own
        return [_unknown(plan, model, inputs, shape or (1, *model.output_shape[1:]))]
    nodes = [node for depth in sorted(model._nodes_by_depth, reverse=True) for node in model._nodes_by_depth[depth]]
    takers = Counter(id(tensor) for node in nodes for tensor in node.input_tensors)
    takers.update(id(tensor) for tensor in model.outputs)
    known = {id(tensor): x for tensor, x in zip(model.inputs, inputs, strict=True)}
    for tensor in model.inputs:
        known[id(tensor)].takers += takers[id(tensor)] - 1
    for node in nodes:
        if not node.input_tensors:
            continue
        given = [known[id(tensor)] for tensor in node.input_tensors]
        batch = given[0].shape[0]
        if isinstance(node.operation, keras.Model):
            plan.inside += len(node.operation.name) + len("_1/")
            outputs = _model(plan, node.operation, given, _shape(node.output_tensors[0], batch))
            plan.inside -= len(node.operation.name) + len("_1/")
        else:
            shape = _shape(node.output_tensors[0], batch)
            outputs = [_layer(plan, node.operation, given, shape)]
        for tensor, made in zip(node.output_tensors, outputs, strict=False):
            known[id(tensor)] = made
            # What a layer handed through has another taker in the place of this layer.
            made.takers += takers[id(tensor)] - 1
    return [known.get(id(tensor), inputs[0]) for tensor in model.outputs]


def _shape(tensor: Any, batch: int) -> tuple[int, ...]:
    """Of one sample; what Keras does not know is 1."""
    return (batch, *(size or 1 for size in tensor.shape[1:]))


def _layer(plan: Plan, layer: Any, inputs: list[Tensor], shape: tuple[int, ...]) -> Tensor:
    if isinstance(layer, Augmentation):
        return inputs[0]
    handler = HANDLERS.get(type(layer).__name__)
    out = (handler or _unknown)(plan, layer, inputs, shape)
    activation = (
        getattr(layer, "activation", None) if handler in (_dense, _convolution, _depthwise, _separable) else None
    )
    return activate(plan, out, _named(activation), len(layer.name)) if activation is not None else out


def _named(activation: Any) -> str:
    return str(getattr(activation, "__name__", "custom"))


# -- layers ---------------------------------------------------------------------------------------


def _handed_through(plan: Plan, layer: Any, inputs: list[Tensor], shape: tuple[int, ...]) -> Tensor:
    return inputs[0]


def _dense(plan: Plan, layer: Any, inputs: list[Tensor], shape: tuple[int, ...]) -> Tensor:
    return dense(plan, inputs[0], layer.units, bias=layer.use_bias, name=len(layer.name))


def _einsum(plan: Plan, layer: Any, inputs: list[Tensor], shape: tuple[int, ...]) -> Tensor:
    kernel = math.prod(layer.kernel.shape)
    return plan.trained(
        "FULLY_CONNECTED", inputs[0], shape, len(layer.name) + len("_1/MatMul"), kernel=kernel, channels=shape[-1],
        rank=2, bias=math.prod(layer.bias.shape) if layer.bias is not None else 0,
        products=kernel * math.prod(inputs[0].shape[:-1]),
    )  # fmt: skip


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


def _depthwise(plan: Plan, layer: Any, inputs: list[Tensor], shape: tuple[int, ...]) -> Tensor:
    return _convolved(
        plan, layer, inputs[0], shape, "DEPTHWISE_CONV_2D", len("/depthwise"), kernel=math.prod(layer.kernel.shape),
        bias=layer.use_bias, positions=math.prod(shape[1:-1]) * shape[0],
    )  # fmt: skip


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
            return plan.add(kind, inputs, shape, name, constants=[SCALAR])
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


def _unknown(plan: Plan, layer: Any, inputs: list[Tensor], shape: tuple[int, ...]) -> Tensor:
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


# -- front ends -----------------------------------------------------------------------------------


def _selected(plan: Plan, x: Tensor, columns: list[int]) -> Tensor:
    if columns == list(range(x.shape[-1])):
        return x
    held = [Constant(len(columns), 1, tuple(columns))]
    return plan.add("GATHER", [x], (1, len(columns)), len("frontend_1/GatherV2_1;"), constants=held)


def _sliced(plan: Plan, x: Tensor, begin: Sequence[int], shape: Sequence[int]) -> Tensor:
    """One place of a sample; `begin` its index, which equal constants tell apart."""
    end = tuple(i + 1 for i in begin)
    ones = tuple(1 for _ in begin)
    held = [Constant(len(begin) + 1, 1, key) for key in ((0, *begin), (0, *end), (1, *ones))]
    return plan.add("STRIDED_SLICE", [x], shape, len("frontend_1/strided_slice_1"), constants=held)


def _missing(plan: Plan, x: Tensor) -> Tensor:
    return plan.add("NOT_EQUAL", [x, x], x.shape, len("frontend_1/NotEqual"))


def _table(plan: Plan, layer: TableEncoder, inputs: list[Tensor], shape: tuple[int, ...]) -> Tensor:
    x, features = inputs[0], []

    def bounded(z: Tensor, kind: str, held: Sequence[Constant]) -> Tensor:
        z = plan.add("MINIMUM", [z], z.shape, len("frontend_1/clip_by_value/Minimum"), constants=[Constant(1, 0)])
        return plan.add(kind, [z], z.shape, len("frontend_1/clip_by_value"), constants=held)

    def scaled(z: Tensor) -> Tensor:
        for kind, name in (("SUB", "frontend_1/sub"), ("MUL", "frontend_1/truediv;model_1/frontend_1/Const_11")):
            z = plan.add(kind, [z], z.shape, len(name), constants=[Constant(z.shape[-1])])
        return z

    if layer._numbers:
        raw = _selected(plan, x, layer._numbers)
        mean = [Constant(raw.size, 2)]
        known = plan.add("SELECT", [_missing(plan, raw), raw], raw.shape, len("frontend_1/SelectV2"), constants=mean)
        z = scaled(known)
        features.append(bounded(z, "MAXIMUM", [Constant(1, 0)]))
        if layer._bin_of:
            features.append(bounded(scaled(_selected(plan, z, layer._bin_of)), "RELU", []))
        if layer._missing:
            gone = _missing(plan, _selected(plan, x, layer._missing))
            features.append(plan.add("CAST", [gone], gone.shape, len("frontend_1/Cast")))
    for i in layer._categories:
        choices = int(layer.columns[i]["choices"])
        code = _sliced(plan, x, (i,), (1, 1))
        same = plan.add(
            "EQUAL", [code], (1, choices), len("frontend_1/Equal"), constants=[Constant(choices, 1, choices)]
        )
        features.append(plan.add("CAST", [same], (1, choices), len("frontend_1/Cast_1")))
    if len(features) == 1:
        return features[0]
    return plan.add("CONCATENATION", features, shape, len("frontend_1/concat"))


def _spectrogram(plan: Plan, layer: LogMel, inputs: list[Tensor], shape: tuple[int, ...]) -> Tensor:
    """As export's files have it: frames are put together of pieces that all have in common."""
    x, (frames, mels) = inputs[0], shape[1:3]
    name, fft, bins = len("frontend_1/stft/frame/Reshape"), layer.fft, layer.fft // 2 + 1
    before = (fft - layer.window) // 2
    after = fft - layer.window - before + max(0, layer.window - x.shape[1])
    if before or after:
        padded = (1, x.shape[1] + before + after)
        x = plan.add("PAD", [x], padded, len("frontend_1/Pad"), constants=[Constant(4, 2)])
    piece = math.gcd(fft, layer.hop)
    used = x.shape[1] // piece * piece
    if used < x.shape[1]:
        x = plan.add("SLICE", [x], (1, used), 3 * name, constants=[Constant(2), Constant(2)])
    x = plan.reshaped(x, (1, used // piece, piece), name)
    if frames > 1 or used > fft:
        places = [Constant(frames * fft // piece, 2)]
        x = plan.add("GATHER", [x], (1, frames, fft // piece, piece), name, constants=places)
    x = plan.reshaped(x, (1, frames, fft), name)
    x = plan.add("MUL", [x], x.shape, len("frontend_1/stft/mul"), constants=[Constant(fft)])
    x = plan.reshaped(x, (1, frames, 1, fft), len("frontend_1/stft/rfft3"))
    steps = frames * fft * max(1, fft.bit_length() - 1)  # about as many products as the FFT has
    # A complex number is as long as two.
    x = plan.add(
        "RFFT2D", [x], (1, frames, 1, 2 * bins), name, constants=[Constant(2, 1, "fft")], products=steps
    )  # fmt: skip
    x = plan.reshaped(x, (1, frames, 2 * bins), name)
    x.takers = 2
    parts = []
    for part in ("IMAG", "REAL"):
        one = plan.add(part, [x], (1, frames, bins), len("frontend_1/Imag"))
        parts.append(plan.add("MUL", [one, one], one.shape, len("frontend_1/mul_1")))
    power = plan.add("ADD", parts, parts[0].shape, len("frontend_1/add"))
    bands = [Constant(bins * mels, 2)]
    x = plan.add(
        "FULLY_CONNECTED", [power], (1, frames, mels), len("frontend_1/Tensordot"), constants=bands,
        products=frames * bins * mels,
    )  # fmt: skip
    x.takers = 2
    loudest = plan.add("REDUCE_MAX", [x], (1, 1, 1), len("frontend_1/Max"), constants=[Constant(2, 1, "max")])
    loudest = plan.add("ADD", [loudest], (1, 1, 1), len("frontend_1/add_1"), constants=[Constant(1, 0)])
    x = plan.add("DIV", [x, loudest], x.shape, len("frontend_1/truediv"))
    for kind in ("ADD", "LOG", "MUL", "SUB", "MUL"):
        held = [Constant(1, 0)] if kind != "LOG" else []
        x = plan.add(kind, [x], x.shape, len("frontend_1/truediv_1;frontend"), constants=held)
    return plan.reshaped(x, shape, len("frontend_1/ExpandDims1"))


def _from_last(plan: Plan, layer: FromLast, inputs: list[Tensor], shape: tuple[int, ...]) -> Tensor:
    inputs[0].takers += 1
    end = _sliced(plan, inputs[0], (shape[1] - 1, 0), (1, 1, shape[2]))
    x = plan.add("SUB", [inputs[0], end], shape, len("frontend_1/sub"))
    return plan.add(
        "MUL", [x], shape, len("frontend_1/truediv;frontend_1/Const"), constants=[Constant(len(layer.scale))]
    )


def _naive(plan: Plan, layer: Naive, inputs: list[Tensor], shape: tuple[int, ...]) -> Tensor:
    x = inputs[0]
    chosen = places(x.shape[1], layer.horizon, layer.season, tuple(layer.channels))
    found = [_sliced(plan, x, place, (1, 1)) for place in chosen]
    return found[0] if len(found) == 1 else plan.add("CONCATENATION", found, (1, len(found)), len("naive_1/concat"))


def _grey(plan: Plan, layer: Grey, inputs: list[Tensor], shape: tuple[int, ...]) -> Tensor:
    x = inputs[0]
    x = plan.add("MUL", [x], x.shape, len(layer.name) + len("_1/mul"), constants=[Constant(x.shape[-1])])
    return plan.add("SUM", [x], shape, len(layer.name) + len("_1/Sum"), constants=[Constant(1, 0)])


def _handlers() -> dict[str, Handler]:
    found: dict[str, Handler] = {
        "Dense": _dense, "EinsumDense": _einsum, "BatchNormalization": _normalised, "Activation": _activation,
        "ReLU": _relu, "Rescaling": _rescaling, "Concatenate": _joining("CONCATENATION"),
        "Permute": _moving("TRANSPOSE"), "Resizing": _moving("RESIZE_BILINEAR"),
        "UpSampling2D": _moving("RESIZE_NEAREST_NEIGHBOR"), "TableEncoder": _table, "LogMel": _spectrogram,
        "FromLast": _from_last, "Naive": _naive, "Grey": _grey,
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
