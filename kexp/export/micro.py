"""Microcontrollers: whether TensorFlow Lite Micro has a kernel for each operator of a .tflite, and how much memory.

Nothing here is run on one: TFLM is no Python package. The list is that of the `Add...` functions of
https://github.com/tensorflow/tflite-micro/blob/main/tensorflow/lite/micro/micro_mutable_op_resolver.h,
commit 90b983c2b3f1480642e040bbd2ddb37b998f3424 of 2026-08-20. A kernel may still refuse a type: most take int8 and
float32, few take both mixed.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import NamedTuple

from kexp.export import graph
from kexp.runtime.litert import schema

TFLM_DATE = "2026-08-20"
_NAMES = """
ABS ADD ADD_N ARG_MAX ARG_MIN ASSIGN_VARIABLE AVERAGE_POOL_2D BATCH_MATMUL BATCH_TO_SPACE_ND BROADCAST_ARGS
BROADCAST_TO CALL_ONCE CAST CEIL CONCATENATION CONV_2D COS CUMSUM DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE DIV
DYNAMIC_UPDATE_SLICE ELU EMBEDDING_LOOKUP EQUAL EXP EXPAND_DIMS FILL FLOOR FLOOR_DIV FLOOR_MOD FULLY_CONNECTED
GATHER GATHER_ND GREATER GREATER_EQUAL HARD_SWISH IF L2_NORMALIZATION L2_POOL_2D LEAKY_RELU LESS LESS_EQUAL LOG
LOGICAL_AND LOGICAL_NOT LOGICAL_OR LOGISTIC LOG_SOFTMAX MAXIMUM MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG
NOT_EQUAL PACK PAD PADV2 PRELU QUANTIZE READ_VARIABLE REDUCE_ALL REDUCE_MAX REDUCE_MIN RELU RELU6 RESHAPE
RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2 ROUND RSQRT SELECT_V2 SHAPE SIN SLICE SOFTMAX
SPACE_TO_BATCH_ND SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM SVDF
TANH TRANSPOSE TRANSPOSE_CONV UNIDIRECTIONAL_SEQUENCE_LSTM UNPACK VAR_HANDLE WHILE ZEROS_LIKE
"""
TFLM = frozenset(_NAMES.split())
BITS = {"FLOAT32": 32, "INT32": 32, "UINT32": 32, "INT64": 64, "FLOAT16": 16, "INT16": 16, "INT4": 4}  # 8 otherwise


class Use(NamedTuple):
    """An operator of a file: how often it is there, and whether TFLM has a kernel of that name."""

    name: str
    times: int
    kernel: bool


class Arena(NamedTuple):
    """Estimates of working memory in bytes: all tensors that are no constants, and the most alive at once."""

    total: int
    peak: int


def uses(content: bytes) -> list[Use]:
    """The operators of a .tflite's bytes, by name."""
    counts = Counter(graph.kinds(graph.read(content)))
    return [Use(name, counts[name], name in TFLM) for name in sorted(counts)]


def arena(content: bytes) -> Arena:
    """What the tensors of a .tflite's bytes need while it runs.

    TFLM's own arena lies between the two, and adds its records and scratch buffers.
    """
    fb = schema()
    model = graph.read(content)
    types = {value: name for name, value in vars(fb.TensorType).items() if isinstance(value, int)}
    subgraph = model.subgraphs[0]
    first: dict[int, int] = dict.fromkeys(subgraph.inputs, 0)
    last: dict[int, int] = dict.fromkeys(subgraph.outputs, len(subgraph.operators))
    for step, operator in enumerate(subgraph.operators):
        for tensor in operator.outputs:
            first.setdefault(tensor, step)
        for tensor in [*operator.inputs, *operator.outputs]:
            last[tensor] = max(last.get(tensor, 0), step)
    sizes = {}
    for tensor in first:
        shape = subgraph.tensors[tensor].shape
        bits = BITS.get(types.get(subgraph.tensors[tensor].type, ""), 8)
        sizes[tensor] = math.prod(int(n) for n in shape) * bits // 8 if shape is not None else bits // 8
    alive = [
        sum(size for tensor, size in sizes.items() if first[tensor] <= step <= last.get(tensor, -1))
        for step in range(len(subgraph.operators))
    ]
    return Arena(sum(sizes.values()), max(alive, default=0))
