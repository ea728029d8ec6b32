"""The graph inside a .tflite: read, changed and written; and which of its operators must stay float."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np

from kexp.runtime.litert import schema

# Operators that hold trained weights; what comes before the first of them is the front end.
TRAINABLE = (
    "FULLY_CONNECTED",
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "CONV_3D",
    "TRANSPOSE_CONV",
    "BATCH_MATMUL",
    "UNIDIRECTIONAL_SEQUENCE_LSTM",
    "WHILE",
)
SCALING = ("MUL", "ADD", "SUB", "DIV")

_FRONT_END = re.compile(r"^[^;]*/frontend(_\d+)?/")  # of the joined names of what an operator puts out


class Parts(NamedTuple):
    """Operators by the joined names of what they put out, as ai-edge-quantizer's recipes address them.

    front: before the first trained operator; what carries the name of the front end holds constants, no trained weights
    (the mel bands of a spectrogram). wild: between an exponential and the selection that discards its
    overflow (how Keras writes selu): one int8 scale for values up to e^x leaves nothing of the small ones.
    channels: scale each channel by a constant of its own (a batch normalisation that no convolution could take in, a
    depthwise convolution): one int8 scale for all channels leaves little of the small ones.
    blocks: of each trained operator, it and what follows it up to the next one; a depthwise convolution counts as none.
    last: the trained operators that nothing trained follows. tail: what comes after those.
    """

    front: list[str]
    wild: list[str]
    channels: list[str]
    blocks: list[list[str]]
    last: list[str]
    tail: list[str]


def read(content: bytes) -> Any:
    """The mutable model (schema.ModelT) in a .tflite's bytes, with all its constants inside.

    The quantizer may put them behind the flatbuffer, where `offset` and `size` say: written again without them, a
    file would load, and lack its weights when it runs.
    """
    model = schema().ModelT.InitFromPackedBuf(content, 0)
    for buffer in model.buffers:
        if buffer.offset > 1:  # 1 is the placeholder of a writer that has not settled it
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    return model


def write(model: Any) -> bytes:
    """The bytes of a .tflite of `model`."""
    import flatbuffers

    fb = schema()

    class Aligned(fb.BufferT):  # type: ignore[misc, name-defined]
        """A buffer at a multiple of 16 bytes, which the schema asks for and its Python code does not do."""

        def Pack(self, builder: Any) -> Any:  # noqa: N802 - called by generated code
            vector = None
            if self.data is not None and len(self.data):
                raw = bytes(bytearray(self.data))
                builder.StartVector(1, len(raw), 16)
                head = builder.Head() - len(raw)
                builder.head = head
                builder.Bytes[head : head + len(raw)] = raw
                vector = builder.EndVector()
            fb.BufferStart(builder)
            if vector is not None:
                fb.BufferAddData(builder, vector)
            return fb.BufferEnd(builder)

    model.buffers = [Aligned(buffer.data) for buffer in model.buffers]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def kinds(model: Any) -> list[str]:
    """What each operator of a model that `read` gave computes, in the order of execution: "CONV_2D" ..."""
    names = {value: name for name, value in vars(schema().BuiltinOperator).items() if isinstance(value, int)}
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    return [names.get(codes[operator.opcodeIndex], "CUSTOM") for operator in model.subgraphs[0].operators]


def parts(content: bytes) -> Parts:
    """Which operators of a float .tflite are front end, wild, last and tail."""
    model = read(content)
    graph, every = model.subgraphs[0], kinds(model)

    def name(operator: Any) -> str:
        return ";".join(graph.tensors[i].name.decode() for i in operator.outputs) + ";"

    def constant(tensor: int) -> bool:
        data = model.buffers[graph.tensors[tensor].buffer].data
        return data is not None and len(data) > 0

    found = Parts([], [], [], [], [], [])
    trained = 0
    below: set[int] = set()  # tensors that depend on a trained operator
    exponential: set[int] = set()
    for operator, kind in zip(graph.operators, every, strict=True):  # in the order of execution, as the file has them
        inputs = set(operator.inputs)
        if (kind in TRAINABLE and not _FRONT_END.search(name(operator))) or inputs & below:
            below.update(operator.outputs)
            trained += kind in TRAINABLE and kind != "DEPTHWISE_CONV_2D"
            if len(found.blocks) < max(1, trained):
                found.blocks.append([])
            found.blocks[-1].append(name(operator))
        else:
            found.front.append(name(operator))
        if kind == "DEPTHWISE_CONV_2D" or (kind in SCALING and any(constant(i) for i in operator.inputs)):
            found.channels.append(name(operator))
        if kind == "EXP" or (inputs & exponential and kind not in TRAINABLE):
            found.wild.append(name(operator))
            if kind not in ("SELECT", "SELECT_V2"):
                exponential.update(operator.outputs)
    above: set[int] = set()  # tensors that a trained operator depends on
    for operator, kind in zip(reversed(graph.operators), reversed(every), strict=True):
        followed = bool(set(operator.outputs) & above)
        if kind in TRAINABLE and not followed:
            found.last.append(name(operator))
        if kind in TRAINABLE or followed:
            above.update(operator.inputs)
        elif name(operator) not in found.front:
            found.tail.append(name(operator))
    return found


def with_uint8_input(content: bytes) -> bytes:
    """The same file, taking raw pixels 0..255 as uint8 (scale 1, zero point 0) instead of float32.

    One DEQUANTIZE is put before everything, so both files answer alike on whole pixels.
    """
    fb = schema()
    model = read(content)
    graph = model.subgraphs[0]
    (index,) = graph.inputs
    pixels = graph.tensors[index]
    floats = fb.TensorT(shape=pixels.shape, type=pixels.type, name=pixels.name + b"_float", hasRank=pixels.hasRank)
    graph.tensors.append(floats)
    inside = len(graph.tensors) - 1
    for operator in graph.operators:
        operator.inputs = [inside if i == index else i for i in operator.inputs]
    pixels.type = fb.TensorType.UINT8
    pixels.quantization = fb.QuantizationParametersT(scale=[1.0], zeroPoint=[0])
    dequantize = fb.BuiltinOperator.DEQUANTIZE
    model.operatorCodes.append(fb.OperatorCodeT(builtinCode=dequantize, deprecatedBuiltinCode=dequantize, version=1))
    first = fb.OperatorT(opcodeIndex=len(model.operatorCodes) - 1, inputs=[index], outputs=[inside])
    graph.operators.insert(0, first)
    return write(model)
