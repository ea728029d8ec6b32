"""How a convolutional network computes while it trains: the same network, in cheaper operations.

Keras spells batch normalisation as a dozen operations on the whole picture; TensorFlow has one for it and one for its
gradient. And processors that multiply bfloat16 numbers (AVX-512 BF16, AMX) do twice as many of these in a second.
Together a step takes two thirds of its time (benchmarks/README.md). Weights, their updates, batch normalisation and
validation stay in float32.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from kexp.records import DatasetSpec
from kexp.train.stack import plain

# What TensorFlow leaves in float32 when it converts a graph: batch normalisation is seven times slower in bfloat16, and
# dense layers, the logits among them, are too small a part to give up their digits.
_NORMS, _DENSE = "FusedBatchNormV3,FusedBatchNormGradV3", "MatMul"
_LISTS = {"INFERLIST_REMOVE": _NORMS, "ALLOWLIST_REMOVE": _DENSE, "DENYLIST_ADD": f"{_NORMS},{_DENSE}"}
for _name, _operations in _LISTS.items():
    os.environ.setdefault(f"TF_AUTO_MIXED_PRECISION_GRAPH_REWRITE_{_name}", _operations)
_OPTION = "auto_mixed_precision_onednn_bfloat16"


class FusedNormalization(keras.layers.Layer):  # type: ignore[misc]
    """`norm` as it trains, on pictures (n, h, w, c) or series (n, t, c), in one operation; its weights are `norm`'s."""

    def __init__(self, norm: keras.layers.BatchNormalization) -> None:
        super().__init__(name=f"{norm.name}_fused")
        self.norm = norm

    def call(self, x: Any) -> Any:
        """(n, ..., c) -> the same shape; the moving averages follow."""
        norm, flat = self.norm, len(x.shape) == 3
        x = x[:, None] if flat else x
        out, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x, scale=norm.gamma, offset=norm.beta, mean=[], variance=[], epsilon=norm.epsilon, is_training=True
        )
        count = tf.cast(tf.size(x), tf.float32) / float(x.shape[-1])
        biased = variance * (count - 1.0) / count  # what comes out has Bessel's correction, Keras averages without
        norm.moving_mean.assign(norm.moving_mean * norm.momentum + mean * (1.0 - norm.momentum))
        norm.moving_variance.assign(norm.moving_variance * norm.momentum + biased * (1.0 - norm.momentum))
        return out[:, 0] if flat else out

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's."""
        return input_shape


def in_training(core: keras.Model) -> keras.Model:
    """`core` for calls in training: the same layers and weights, its batch normalisations fused where that is the same.

    Anything but a chain or graph of layers (a subclass of Model with a `call` of its own) stays as it is.
    """
    if isinstance(core, keras.Sequential) or not any(map(_fusible, getattr(core, "operations", []))):
        return core

    def call(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
        return FusedNormalization(layer)(args[0]) if _fusible(layer) else layer(*args, **kwargs)

    return keras.models.clone_model(core, call_function=call, clone_function=lambda layer: layer)


def _fusible(layer: Any) -> bool:
    norm = plain(layer, keras.layers.BatchNormalization)
    return norm is not None and norm["center"] and norm["scale"] and len(layer.output.shape) in (3, 4)


def precision(spec: DatasetSpec, core: keras.Model) -> contextlib.AbstractContextManager[None]:
    """Within it, graphs of training compute in bfloat16 what gains by it, on a processor that can.

    Pictures' classes alone: a value to be met exactly may need more than its three digits.
    """
    gains = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)
    if spec.task == "regression" or not has_bfloat16() or not any(isinstance(layer, gains) for layer in core.layers):
        return contextlib.nullcontext()
    return _bfloat16()


@contextlib.contextmanager
def _bfloat16() -> Iterator[None]:
    before = tf.config.optimizer.get_experimental_options().get(_OPTION, False)
    tf.config.optimizer.set_experimental_options({_OPTION: True})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({_OPTION: before})


@functools.cache
def has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 numbers, as far as Linux tells."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        return False
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(flags)
