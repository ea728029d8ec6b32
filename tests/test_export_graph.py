"""What export.graph tells of the operators of a .tflite: its blocks, of which the first may stay float."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import small_models

from kexp import export
from kexp.export import graph, tflite
from kexp.export.source import Care, Source


@pytest.mark.parametrize("separable", [False, True])
def test_a_block_is_a_convolution_and_what_follows_it(tmp_path, separable):
    layers = keras.layers
    layer = layers.SeparableConv2D if separable else layers.Conv2D
    inputs = keras.Input((16, 16, 4))
    x = layers.Activation("silu")(layers.MaxPooling2D(2)(layer(8, 3)(layers.Rescaling(0.1)(inputs))))
    outputs = layers.Dense(3)(layers.Flatten()(layer(8, 3)(x)))
    keras.Model(inputs, outputs).save(tmp_path / "model.keras")
    source = Source(path=tmp_path / "model.keras", spec=None, calibration=np.zeros(1), scratch=tmp_path)
    content = tflite._float32(source)
    file = graph.read(content)
    tensors, operators = file.subgraphs[0].tensors, file.subgraphs[0].operators
    names = [tensors[operator.outputs[0]].name.decode() + ";" for operator in operators]
    kinds = dict(zip(names, graph.kinds(file), strict=True))
    blocks = [[kinds[name] for name in block] for block in graph.parts(content).blocks]
    first = ["CONV_2D", "MAX_POOL_2D", "LOGISTIC", "MUL"]
    # The depthwise half of the second one is float anyhow.
    assert blocks[0] == (["DEPTHWISE_CONV_2D", *first, "DEPTHWISE_CONV_2D"] if separable else first)
    assert [block[0] for block in blocks[1:]] == ["CONV_2D", "FULLY_CONNECTED"]


@pytest.mark.parametrize("floats", [0, 1, 2, 9])
def test_so_many_first_blocks_stay_float(tmp_path, floats):
    dataset = small_models.digits().dataset
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Rescaling(0.1, name="frontend")(inputs)
    for filters in (4, 6, 8):
        x = keras.layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
    outputs = keras.layers.Dense(10, activation="softmax")(keras.layers.Flatten()(x))
    keras.Model(inputs, outputs).save(tmp_path / "model.keras")
    x = np.asarray(dataset.x[dataset.rows("train")[:16]])
    made = export.export(tmp_path / "model.keras", dataset.spec, x, ["tflite_int8"], tmp_path, care=Care(floats=floats))
    file = graph.read(made["tflite_int8"].read_bytes())
    tensors, types = file.subgraphs[0].tensors, graph.schema().TensorType
    found = zip(file.subgraphs[0].operators, graph.kinds(file), strict=True)
    trained = [operator for operator, kind in found if kind in ("CONV_2D", "FULLY_CONNECTED")]
    assert [tensors[o.inputs[0]].type == types.FLOAT32 for o in trained] == [i < floats for i in range(3)] + [True]
    assert tensors[trained[-1].inputs[1]].type == types.INT8  # as in `dynamic`, whatever is asked
