"""The operators that TensorFlow's converter makes of a network, told from its layers: no weight need exist.

A plan is as near to the file as costs need: which operators there are, what they take and put out, the constants that
they hold. What converters fuse is fused here too: batch normalisations and relus into what is before them, through a
pooling (see export.fold), and the reshapes around layers of one dimension where two of them meet. A layer that is not
known is one operator with all of its weights. `dense` and `answer` serve those who know a network without building it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

TRAINED = ("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D", "CONV_3D", "TRANSPOSE_CONV")  # and what is not known
POOLS = ("MAX_POOL_2D", "AVERAGE_POOL_2D")
FUSING = (*TRAINED, "AVERAGE_POOL_2D", "ADD", "SUB", "MUL", "DIV")  # compute a relu together with what they do
UNKNOWN = "UNKNOWN"
ROOT = len("model_1/")  # with which every name begins


@dataclass(slots=True, eq=False)
class Tensor:
    """What an operator puts out, for one sample; `name` is the length of its name in the file.

    `wide` is the same with a dimension of 1 put in, as operators of two dimensions take a series; where nothing has
    asked for the narrow one yet, it is not `made`.
    """

    shape: tuple[int, ...]
    name: int
    takers: int = 1
    maker: Operator | None = None
    wide: Tensor | None = None
    made: bool = True

    @property
    def size(self) -> int:
        """Numbers in it."""
        return math.prod(self.shape)


@dataclass(slots=True, eq=False)
class Constant:
    """Numbers of 4 bytes that an operator holds; equal ones with a `key` are in the file once."""

    size: int
    rank: int = 1
    key: object = None


@dataclass(slots=True, eq=False)
class Operator:
    """One operator. `kernel` counts its trained weights, which have `channels` scales; `bias` is 0 where it has none.

    `label` and `tag` are how long the names of kernel and bias are; `front`: its name says that nothing in it trains.
    """

    kind: str
    inputs: list[Tensor]
    output: Tensor
    kernel: int = 0
    channels: int = 0
    rank: int = 2  # of the kernel
    bias: int = 0
    zeros: bool = False  # all that its bias holds
    label: int = 0
    tag: int = 0
    constants: Sequence[Constant] = ()
    products: int = 0  # multiplications with their additions
    activation: str = ""
    front: bool = False


@dataclass(slots=True)
class Plan:
    """Operators in the order in which they run. `inside` is the length of the names of models around a layer."""

    operators: list[Operator] = field(default_factory=list)
    inside: int = ROOT
    front: bool = False

    def add(
        self, kind: str, inputs: Sequence[Tensor], shape: Sequence[int], name: int, *,
        constants: Sequence[Constant] = (), products: int = 0,
    ) -> Tensor:  # fmt: skip
        """The output of one more operator, whose name has `name` letters behind those of the models around it."""
        output = Tensor(tuple(shape), self.inside + name)
        output.maker = Operator(
            kind, [self.narrow(x) for x in inputs], output, constants=constants, products=products, front=self.front
        )
        self.operators.append(output.maker)
        return output

    def trained(
        self, kind: str, x: Tensor, shape: Sequence[int], name: int, *,
        kernel: int, channels: int, rank: int, bias: int, products: int,
    ) -> Tensor:  # fmt: skip
        """As `add`, of an operator with trained weights."""
        output = Tensor(tuple(shape), self.inside + name)
        output.maker = Operator(
            kind,
            [self.narrow(x)],
            output,
            kernel,
            channels,
            rank,
            bias,
            label=output.name,
            tag=output.name,
            products=products,
        )
        self.operators.append(output.maker)
        return output

    def narrow(self, x: Tensor) -> Tensor:
        """`x`, made if it is not."""
        if not x.made and x.wide is not None:
            x.made = True
            self._reshape(x.wide, x)
        return x

    def widened(self, x: Tensor, name: int) -> Tensor:
        """A series (batch, steps, channels) as (batch, 1, steps, channels)."""
        if x.wide is None:
            x.wide = self.reshaped(x, (x.shape[0], 1, *x.shape[1:]), name + len("_1/convolution/ExpandDims"))
        return x.wide

    def _reshape(self, x: Tensor, to: Tensor) -> None:
        to.maker = Operator("RESHAPE", [x], to, constants=[Constant(len(to.shape), key=to.shape)], front=self.front)
        self.operators.append(to.maker)

    def reshaped(self, x: Tensor, shape: Sequence[int], name: int) -> Tensor:
        """`x` in another shape: two such operators in a row are one."""
        out = Tensor(tuple(shape), self.inside + name)
        if x.shape == out.shape:
            return x
        source = x.wide if not x.made and x.wide is not None else x
        maker = source.maker
        if maker is not None and maker.kind == "RESHAPE" and source.takers == 1:
            self.operators.remove(maker)
            source = maker.inputs[0]
        self._reshape(source, out)
        return out


def narrowed(x: Tensor) -> Tensor:
    """A series out of `x` (batch, 1, steps, channels); it costs nothing before something asks for it."""
    return Tensor((x.shape[0], *x.shape[2:]), x.name, maker=x.maker, wide=x, made=False)


def last(x: Tensor) -> Operator | None:
    """What made `x`, where nothing else takes it."""
    maker = (x.wide if not x.made and x.wide is not None else x).maker
    return maker if x.takers == 1 else None


# -- what several layers share --------------------------------------------------------------------


def dense(plan: Plan, x: Tensor, units: int, *, bias: bool, name: int) -> Tensor:
    """A dense layer whose name has `name` letters."""
    inputs, positions, before = x.shape[-1], math.prod(x.shape[:-1]), last(x)
    shape = (*x.shape[:-1], units)
    if before is not None and before.kind == "RESHAPE" and before.inputs[0].shape[-1] == inputs:
        plan.operators.remove(before)  # it takes any shape with as many channels
        x = before.inputs[0]
    out = plan.trained(
        "FULLY_CONNECTED", x, shape, name + len("_1/MatMul"),
        kernel=inputs * units, channels=units, rank=2, bias=units * bias, products=positions * inputs * units,
    )  # fmt: skip
    if bias:
        out.name += plan.inside + name + len(";_1/BiasAdd")
    return out


def normalise(plan: Plan, x: Tensor, name: int, *, through: bool = True) -> Tensor:
    """A batch normalisation of the last axis: part of the operator before it, or two more.

    `through` says whether a pooling between the two is one that export.fold looks through.
    """
    maker, channels = last(x), x.shape[-1]
    if maker is not None and maker.kind in TRAINED and not maker.activation:
        part = plan.inside + name + len("_1/batchnorm/mul;")
        if maker.kind == "FULLY_CONNECTED":
            maker.output.name += 2 * part + 4
            maker.label = maker.tag = part + 1
        elif x.made:
            maker.output.name = maker.label + 2 * part + 2
        else:
            squeezed = maker.label + len("/Squeeze;")
            maker.output.name = maker.label + squeezed + 4 * part + 4
            maker.label += squeezed + 2 * part + 2
        maker.bias, maker.zeros = channels, False
        return x
    before = _pooled(maker)
    if through and before is not None:
        before.zeros = False
        before.output.name += 2 * (before.label + 1)
        return x
    scaled = plan.add("MUL", [x], x.shape, name + len("_1/batchnorm/mul_1"), constants=[Constant(channels)])
    return plan.add("ADD", [scaled], x.shape, name + len("_1/batchnorm/add_1"), constants=[Constant(channels)])


def _pooled(pool: Operator | None) -> Operator | None:
    """The convolution before a pooling, where nothing is between them and nothing else takes it."""
    if pool is None or pool.kind not in POOLS or pool.activation:
        return None
    before = last(pool.inputs[0])
    return before if before is not None and before.kind == "CONV_2D" and not before.activation else None


def activate(plan: Plan, x: Tensor, activation: str, name: int) -> Tensor:
    """An activation by its name in Keras."""
    if activation == "linear":
        return x
    if activation in ("relu", "relu6"):
        maker = last(x)
        before = _pooled(maker) if maker is not None and maker.kind == "MAX_POOL_2D" else None
        chosen = before or (maker if maker is not None and maker.kind in FUSING else None)
        if chosen is not None and not chosen.activation:
            chosen.activation = activation
            chosen.output.name += plan.inside + name + len(";_1/Relu")
            chosen.tag += plan.inside + name + len(";_1/Relu")
            return x
        return _pointwise(plan, activation.upper(), x, name + len("_1/Relu"))
    if activation in ("silu", "swish"):
        gate = plan.add("LOGISTIC", [x], x.shape, name + len("_1/Sigmoid"))
        gate.takers = 1
        return plan.add("MUL", [x, gate], x.shape, name + len("_1/mul_1"))
    if activation == "hard_sigmoid":
        before, moved = last(x), x
        if before is None or before.kind not in TRAINED or before.activation:  # otherwise its bias is larger by 3
            moved = plan.add("ADD", [x], x.shape, name + len("_1/add"), constants=[Constant(1, 0, 3.0)])
        return plan.add("MUL", [activate(plan, moved, "relu6", name)], x.shape, name, constants=[Constant(1, 0, 6.0)])
    if activation == "selu":
        grown = plan.add("EXP", [x], x.shape, name + len("_1/Exp"))
        less = plan.add("SUB", [grown], x.shape, name + len("_1/sub"), constants=[Constant(1, 0, 1.0)])
        below = plan.add("MUL", [less], x.shape, name + len("_1/mul"), constants=[Constant(1, 0, 1.67)])
        positive = plan.add("GREATER", [x], x.shape, name + len("_1/Greater"), constants=[Constant(1, 0, 0.0)])
        either = plan.add("SELECT_V2", [positive, x, below], x.shape, name + len("_1/SelectV2"))
        return plan.add("MUL", [either], x.shape, name + len("_1/mul_1"), constants=[Constant(1, 0, 1.05)])
    kind = {"sigmoid": "LOGISTIC", "hard_silu": "HARD_SWISH", "hard_swish": "HARD_SWISH"}.get(activation)
    return _pointwise(plan, kind or activation.upper(), x, name + len("_1/") + len(activation))


def _pointwise(plan: Plan, kind: str, x: Tensor, name: int) -> Tensor:
    """An operator of each number alone; on a series that is still wide, the wide one."""
    if not x.made and x.wide is not None and x.takers == 1 and kind != "ELU":
        wide = x.wide
        return narrowed(plan.add(kind, [wide], wide.shape, name + 1 + _series_name(wide)))
    return plan.add(kind, [x], x.shape, name)


def _series_name(x: Tensor) -> int:
    """What is left of the name of a convolution of a series in the names of what takes it."""
    return x.name - (x.maker.label + 1 if x.maker is not None and x.maker.label else 0)


def joined(plan: Plan, kind: str, inputs: Sequence[Tensor], shape: Sequence[int], name: int) -> Tensor:
    """What several layers put out, number by number made one; series stay wide if all of them are."""
    wides = [x.wide for x in inputs if not x.made and x.wide is not None]
    fold = len(inputs) > 1 and len(wides) == len(inputs)
    result = list(wides) if fold else list(inputs)
    for i, other in enumerate(result[1:], 1):
        of = result[0].shape if fold else shape
        out = plan.add(kind, [result[0], other], of, name)
        if fold:
            out.name += sum(map(_series_name, (result[0], result[i]))) + 2
        result[0] = out
    return narrowed(result[0]) if fold else result[0]


def answer(plan: Plan, x: Tensor, task: str, name: int = len("answer")) -> Tensor:
    """The answer layer of a network of kexp: a softmax, a sigmoid, or the target's own units.

    These are a factor and an offset, which the converter takes into the weights of the layer before.
    """
    if task == "regression":
        return rescale(plan, x, vector=x.shape[-1] > 1, offset=True, name=name)
    return activate(plan, x, "softmax" if task == "multiclass" else "sigmoid", name)


def rescale(plan: Plan, x: Tensor, *, vector: bool, offset: bool, name: int) -> Tensor:
    """A factor, and an offset if there is one; one for each channel if `vector`."""
    maker = last(x)
    if maker is not None and maker.kind == "FULLY_CONNECTED" and not maker.activation:
        if offset:
            maker.bias = maker.channels
        return x
    size, rank = (x.shape[-1], 1) if vector else (1, 0)
    x = plan.add("MUL", [x], x.shape, name + len("_1/mul"), constants=[Constant(size, rank)])
    if offset:
        x = plan.add("ADD", [x], x.shape, name + len("_1/add"), constants=[Constant(size, rank)])
    return x
