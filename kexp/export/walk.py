"""The plan of a Keras network: what each of its layers becomes when it is converted. Its weights need not exist."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import keras

from kexp.export.layers import HANDLERS, unknown
from kexp.export.plan import Plan, Tensor, activate, dense, normalise
from kexp.models import Known, Network
from kexp.models.layers import Augmentation

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
        return [unknown(plan, model, inputs, shape or (1, *model.output_shape[1:]))]
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
        # Of several things that a layer puts out one is known; the others are as large as they are.
        outputs += [Tensor(_shape(tensor, batch), outputs[0].name) for tensor in node.output_tensors[len(outputs) :]]
        for tensor, made in zip(node.output_tensors, outputs, strict=True):
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
    if type(layer) is keras.layers.TimeDistributed:
        return _each_step(plan, layer, inputs[0], shape)
    # A user's own class may have the name of another.
    handler = HANDLERS.get(type(layer).__name__) if type(layer).__module__.startswith(("keras.", "kexp.")) else None
    return (handler or unknown)(plan, layer, inputs, shape)


def _each_step(plan: Plan, layer: Any, x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A layer, or a model, that does the same to all steps of (batch, steps, ...).

    The converter has operators for each step, so that the file is larger than is told.
    """
    batch, name = x.shape[0] * x.shape[1], len(layer.name) + len("_1/Reshape")
    x = plan.reshaped(x, (batch, *x.shape[2:]), name)
    inner = (batch, *shape[2:])
    if isinstance(layer.layer, keras.Model):
        (x,) = _model(plan, layer.layer, [x], inner)
    else:
        x = _layer(plan, layer.layer, [x], inner)
    return plan.reshaped(x, shape, name)
