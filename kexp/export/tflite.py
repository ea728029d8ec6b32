"""A Keras model as .tflite files of batch 1, built-in operators only.

TensorFlow's converter makes the float32 file, ai-edge-quantizer all others from it. Measured on small conv
and dense nets with six activations (2026-11, TensorFlow 2.21, quantizer 0.10): TensorFlow's own int8 ruins
11 of 12 tables (accuracy .96 -> .61, RMSE 63 -> 93) and selu (.93 -> .23), its int16x8 refuses elu, selu and
tables; here the front end, and what only selu needs, stays float (.96, 62, .94), and all of them convert.

float16    weights halved; the last layer of a regression stays float32: the target's units in it overflow
dynamic    int8 weights, float activations
int8       int8 weights and activations, float input and output; the last layer as in `dynamic`, so that no
           answer is cut off at the largest one seen in calibration (gap .44 -> .06 where that happened); what
           scales channels one by one stays float (a separable network, 379 photos: drop .029 -> .003); ranges of
           activations are all that the calibration rows reach, less a share of the rows where `source.care` says so:
           what lies beyond is cut off, what lies within gets finer steps; its last resort are float first blocks
uint8      int8 that takes raw pixels
int16x8    int8 weights, int16 activations, ranges widened fourfold: int16 has bits to spare (gap .44 -> .04)
"""

from __future__ import annotations

import contextlib
import functools
import io
import re
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from kexp.export import graph, metadata, saved_model
from kexp.export.fold import fold
from kexp.export.source import Source

HEADROOM = 4.0  # int16x8: how far beyond the calibrated range a value may go


def float32(source: Source, path: Path) -> None:
    """Write model_float32.tflite."""
    metadata.write(path, _float32(source), source.spec)


def float16(source: Source, path: Path) -> None:
    """Write model_float16.tflite."""
    from ai_edge_quantizer import qtyping

    half = qtyping.OpQuantizationConfig(
        weight_tensor_config=qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT),
        compute_precision=qtyping.ComputePrecision.FLOAT,
        explicit_dequantize=True,
    )
    recipe = _Recipe(_float32(source))
    recipe.manager.add_quantization_config(".*", "*", half, "float_casting")
    if source.spec.task == "regression":
        recipe.keep_float(recipe.parts.last)
    metadata.write(path, recipe.quantise(), source.spec)


def dynamic(source: Source, path: Path) -> None:
    """Write model_dynamic.tflite."""
    recipe = _Recipe(_float32(source))
    recipe.manager.add_dynamic_config(".*", "*", num_bits=8)
    recipe.keep_float(recipe.parts.front)
    metadata.write(path, recipe.quantise(), source.spec)


def int8(source: Source, path: Path) -> None:
    """Write model_int8.tflite."""
    metadata.write(path, _int8(source), source.spec)


def uint8(source: Source, path: Path) -> None:
    """Write model_uint8.tflite."""
    metadata.write(path, graph.with_uint8_input(_int8(source)), source.spec)


def int16x8(source: Source, path: Path) -> None:
    """Write model_int16x8.tflite."""
    recipe = _Recipe(_float32(source))
    recipe.manager.add_static_config(".*", "*", activation_num_bits=16, weight_num_bits=8)
    recipe.keep_float(recipe.parts.front + recipe.parts.wild)
    metadata.write(path, recipe.quantise(source, headroom=HEADROOM), source.spec)


@functools.cache
def _float32(source: Source) -> bytes:
    model = source.model
    import tensorflow as tf

    folder = source.scratch / "batch_1"
    saved_model.write(fold(model), folder, batch=1)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    return bytes(converter.convert())


@functools.cache
def _int8(source: Source) -> bytes:
    recipe = _Recipe(_float32(source))
    parts = recipe.parts
    recipe.manager.add_static_config(".*", "*", activation_num_bits=8, weight_num_bits=8)
    spared = [name for block in parts.blocks[: source.care.floats] for name in block]
    recipe.keep_float(parts.front + parts.wild + parts.channels + parts.tail + spared)
    for name in parts.last:
        recipe.manager.add_dynamic_config(_exactly(name), "*", num_bits=8)
    return recipe.quantise(source)


def forget() -> None:
    """Let go of the files that are kept for other variants of the same source."""
    _float32.cache_clear()
    _int8.cache_clear()


class _Recipe:
    """What to do with each operator of a float file; input and output of the file stay float."""

    def __init__(self, content: bytes) -> None:
        from ai_edge_quantizer import recipe_manager

        self.content = content
        self.parts = graph.parts(content)
        self.manager = recipe_manager.RecipeManager()  # of two rules for one operator the later holds

    def keep_float(self, names: Sequence[str]) -> None:
        for name in names:
            self.manager.add_quantization_config(_exactly(name), "*", algorithm_key="no_quantize")

    def quantise(self, source: Source | None = None, headroom: float = 1.0) -> bytes:
        """The quantised file; activations need a `source` of samples for their ranges."""
        from ai_edge_quantizer import quantizer

        ranges = None
        if source is not None:
            for edge in ("INPUT", "OUTPUT"):
                self.manager.add_quantization_config(".*", edge, algorithm_key="no_quantize")
            ranges = _ranges(self, source, headroom)
        made = quantizer.Quantizer(self.content, self.manager.get_quantization_recipe())
        with contextlib.redirect_stdout(io.StringIO()):
            result = made.quantize(ranges, enable_progress_report=False)
        return bytes(result.quantized_model)


def _ranges(recipe: _Recipe, source: Source, headroom: float) -> dict[str, Any]:
    """Smallest and largest value of each tensor over the calibration samples, both times `headroom`.

    Of `source.care.clip` of the samples the ends do not count. The quantizer's own default is a moving average, which
    clips far more (gap .34 instead of .01).
    """
    from ai_edge_quantizer import calibrator

    observer = calibrator.Calibrator(recipe.content, num_threads=1, qsv_update_func=lambda _, new: new)
    (signature, names), *_ = observer.get_signature_list().items()
    # It asks about every operator again with every sample: that was half of the time.
    told = SimpleNamespace(get_quantization_configs=functools.cache(recipe.manager.get_quantization_configs))
    seen: list[dict[str, Any]] = []  # of each sample, by tensor: its "min" and "max"
    for sample in source.samples:
        observer.calibrate({signature: [{names["inputs"][0]: sample[None]}]}, told)
        seen.append({name: dict(found) for name, found in observer.get_model_qsvs().items()})
    ranges = seen[0]
    for name, found in ranges.items():
        for end, share in (("min", source.care.clip), ("max", 1 - source.care.clip)):
            if end in found:
                values = np.stack([each[name][end] for each in seen])
                found[end] = (np.quantile(values, share, axis=0) * headroom).astype(values.dtype)
    return ranges


def _exactly(name: str) -> str:
    return f"^{re.escape(name)}$"
