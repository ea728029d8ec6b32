"""What a network will cost on a phone, told before it is trained: records.Costs of its plan.

Of 70 candidates over six factories (2026-11, benchmarks/costs.py) bytes were off by 0.5 % on average, 3.2 % or 1.3 kB
at most, of MobileNetV3 by 1.1 %; operators were equal in all, in MobileNetV3 but for three of 152. Memory is what is
alive at once in the file's own order, and an estimate: a runtime needs room for its own work too. That of the file was
met to 5 %, or 16 bytes. Layers that are not known are counted with their weights as floats: more rather than less.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kexp.export import metadata
from kexp.export.plan import TRAINED, UNKNOWN, Constant, Operator, Plan, Tensor
from kexp.records import Costs, DatasetSpec

if TYPE_CHECKING:
    from kexp.models import Network

# What ai-edge-quantizer has in int8 (static_wi8_ai8 of its default policy); anything else stays float.
INT8 = frozenset(
    (
        "ADD", "AVERAGE_POOL_2D", "BATCH_MATMUL", "CONCATENATION", "FULLY_CONNECTED", "CONV_2D", "TRANSPOSE_CONV",
        "DEPTHWISE_CONV_2D", "GELU", "LOGISTIC", "MEAN", "MUL", "RESHAPE", "SOFTMAX", "STRIDED_SLICE", "SUB", "TANH",
        "TRANSPOSE", "SLICE", "SUM", "SELECT", "SELECT_V2", "PAD", "MAX_POOL_2D", "RESIZE_BILINEAR",
        "RESIZE_NEAREST_NEIGHBOR", "DIV", "GATHER", "HARD_SWISH", "MAXIMUM", "RELU",
    )
)  # fmt: skip
# Bytes of the flatbuffer around what it holds. Those of one more tensor, quantised tensor, buffer and kind of operator
# are measured one by one; of an operator, whose options differ, and of the rest, fitted to the files of
# benchmarks/costs.py.
PER_TENSOR, PER_QUANTISED, PER_BUFFER, PER_KIND, PER_OPERATOR, BASE = 36, 28, 20, 20, 34, 846
CONSTANT_NAME = 24  # letters, about: "model_1/frontend_1/sub/y", "arith.constant3"
# Channels that one vector instruction of int8 kernels takes, those that it sums over and those that it puts out: fewer
# are filled up. Fitted to 36 networks of fashion_mnist's space on a PC (of 1, 4, 8, 16, 32): what was foretold from six
# of them was off by 1.2 times in the median, 1.5 in nine of ten, where products as they are gave 1.7 and 3.4. NEON's
# 128 bits hold 16 as well.
LANES = 16
SCALING = ("MUL", "ADD", "SUB", "DIV")
FLOAT, BYTE = 4, 1


def costs(spec: DatasetSpec, network: Network) -> Costs:
    """Of a network, which may be a sketch, without weights."""
    from kexp.export.walk import walk

    return planned(walk(network), network.parameters, described(spec))


def planned(plan: Plan, parameters: int, said: int) -> Costs:
    """Of a plan; `said` are the bytes that the file says about itself, see `described`."""
    file = _File(plan.operators)
    return Costs(
        parameters=parameters,
        bytes=file.bytes() + said,
        macs=sum(operator.products for operator in plan.operators),
        work=sum(map(_work, plan.operators)),
        operators=len(file.steps),
        memory=file.memory(),
    )


def _work(operator: Operator) -> int:
    """The products of an operator, its channels filled up to whole vectors: of a depthwise one each is alone."""
    if operator.kind not in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        return operator.products
    summed = 1 if operator.kind == "DEPTHWISE_CONV_2D" else operator.inputs[0].shape[-1]
    out = operator.output.shape[-1]
    return operator.products * _up(summed, LANES) * _up(out, LANES) // (summed * out)


def described(spec: DatasetSpec) -> int:
    """Bytes of what every .tflite says about itself: its metadata, and the zip archive at its end."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "a") as archive:
        for name, text in metadata.texts(spec).items():
            archive.writestr(zipfile.ZipInfo(name), text)
    return len(file.getvalue()) + _up(len(metadata.model_metadata(spec)), 16)


class _Step:
    """One operator of the int8 file: what it takes and puts out, as (tensor, bytes of each number)."""

    __slots__ = ("kind", "output", "takes")

    def __init__(self, kind: str, takes: list[tuple[Tensor, int]], output: tuple[Tensor, int]) -> None:
        self.kind, self.takes, self.output = kind, takes, output


class _File:
    """The int8 file of a plan: which operators are float (see export.graph.parts), what is put between them and int8.

    It counts what it holds as it goes; `steps` are its operators.
    """

    def __init__(self, operators: Sequence[Operator]) -> None:
        self.steps: list[_Step] = []
        self._tensors = self._letters = self._ranks = self._quantised = self._scales = 0
        self._buffers = self._held = self._links = 0
        self._seen: set[object] = set()
        self._kinds: dict[tuple[Tensor, int], bool] = {}
        self._end = operators[-1].output if operators else None
        if operators:
            first = operators[0].inputs[0]
            self._tensor(first, len(first.shape), first.name, FLOAT)
        exact, last = _exact(operators)
        for operator in operators:
            dynamic = operator in last and operator.kind in INT8
            float_ = operator in exact or dynamic or operator.kind not in INT8
            self._put(operator, FLOAT if float_ else BYTE, quantised=not float_ or dynamic)
        if self._end is not None and (self._end, FLOAT) not in self._kinds:
            self._as(self._end, FLOAT)

    def bytes(self) -> int:
        """Of the flatbuffer. What each thing takes is measured, see benchmarks/costs.py."""
        kinds = len({step.kind for step in self.steps})
        return round(
            BASE + PER_KIND * kinds + PER_OPERATOR * len(self.steps) + 4 * self._links + PER_TENSOR * self._tensors
            + 4 * self._ranks + self._letters + PER_QUANTISED * self._quantised + 12 * self._scales
            + PER_BUFFER * self._buffers + self._held
        )  # fmt: skip

    def memory(self) -> int:
        """Bytes of what is alive at once, at most: TFLite lays tensors where others have ended."""
        until = {each: i for i, step in enumerate(self.steps) for each in step.takes}
        alive: dict[tuple[Tensor, int], int] = {}
        total = most = 0
        for i, step in enumerate(self.steps):
            for each in (*step.takes, step.output):
                if each not in alive:
                    alive[each] = _up(each[0].size * each[1], 16)
                    total += alive[each]
            most = max(most, total)
            for each in {*step.takes, step.output}:
                if until.get(each, i) <= i and each[0] is not self._end:
                    total -= alive.pop(each)
        return most

    def _put(self, operator: Operator, size: int, *, quantised: bool) -> None:
        takes = [self._as(x, size) for x in operator.inputs]
        output = (operator.output, BYTE if operator.kind in ("NOT_EQUAL", "EQUAL", "GREATER") else size)
        self._step(operator.kind, takes, output, held=len(operator.constants))
        name = len("StatefulPartitionedCall:0") if operator.output is self._end else operator.output.name
        self._tensor(output[0], len(operator.output.shape), name, size)
        if operator.kernel:
            each = BYTE if quantised else FLOAT
            self._constant(operator.kernel * each, operator.rank, operator.label)
            self._scaled(operator.channels if quantised else 0)
        if operator.bias:
            integer = quantised and size == BYTE
            if operator.zeros and not integer:
                self._held_numbers(Constant(operator.bias, key=("zeros", operator.bias)))
            else:
                self._constant(operator.bias * 4, 1, operator.tag if operator.rank == 2 else operator.output.name)
            self._scaled(operator.bias if integer else 0)
            self._links += 1
        for constant in operator.constants:
            self._held_numbers(constant)

    def _held_numbers(self, constant: Constant) -> None:
        if constant.key is not None and (constant.rank, constant.key) in self._seen:
            return
        self._seen.add((constant.rank, constant.key))
        self._constant(constant.size * 4, constant.rank, CONSTANT_NAME)

    def _as(self, x: Tensor, size: int) -> tuple[Tensor, int]:
        """`x` in numbers of `size` bytes, by one more operator where it is not."""
        other = (x, BYTE if size == FLOAT else FLOAT)
        if (x, size) not in self._kinds and other in self._kinds:
            self._step("QUANTIZE" if size == BYTE else "DEQUANTIZE", [other], (x, size), held=0)
            self._tensor(x, len(x.shape), x.name + len("_quantized"), size)
        return x, size

    def _step(self, kind: str, takes: list[tuple[Tensor, int]], output: tuple[Tensor, int], held: int) -> None:
        self.steps.append(_Step(kind, takes, output))
        self._links += len(takes) + 1 + held

    def _tensor(self, x: Tensor, rank: int, name: int, size: int) -> None:
        self._kinds[x, size] = True
        self._named(rank, name)
        self._scaled(int(size == BYTE))

    def _named(self, rank: int, name: int) -> None:
        self._tensors += 1
        self._ranks += rank
        self._letters += _up(name + 1, 4)

    def _scaled(self, scales: int) -> None:
        self._quantised += scales > 0
        self._scales += scales

    def _constant(self, size: int, rank: int, name: int) -> None:
        self._named(rank, name)
        self._buffers += 1
        self._held += _up(size, 16)


def _exact(operators: Sequence[Operator]) -> tuple[set[Operator], set[Operator]]:
    """Operators that stay float, see export.graph.Parts; and the last trained ones, whose weights alone are int8."""
    trained = {op for op in operators if op.kernel and (op.kind in TRAINED or op.kind == UNKNOWN)}
    exact: set[Operator] = set()
    below: set[Tensor] = set()
    wild: set[Tensor] = set()
    for op in operators:
        if (op in trained and not op.front) or not below.isdisjoint(op.inputs):
            below.add(op.output)
        else:
            exact.add(op)
        if op.kind == "DEPTHWISE_CONV_2D" or (op.kind in SCALING and op.constants):
            exact.add(op)
        if op.kind == "EXP" or (not wild.isdisjoint(op.inputs) and op not in trained):
            exact.add(op)
            if not op.kind.startswith("SELECT"):
                wild.add(op.output)
    above: set[Tensor] = set()
    last: set[Operator] = set()
    for op in reversed(operators):
        followed = op.output in above
        if op in trained and not followed:
            last.add(op)
        if op in trained or followed:
            above.update(op.inputs)
        else:
            exact.add(op)
    return exact, last


def _up(size: int, to: int) -> int:
    return -(-size // to) * to
