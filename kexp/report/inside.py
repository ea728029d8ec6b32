"""A run's model opened up: what its layers put out, and which inputs its answer hangs on. TensorFlow is loaded here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kexp.records import Experiment
from kexp.runtime import import_modules, modules

BATCH = 64
ASIDE = ("naive", "forecast")  # layers beside the way from the input to the core

Array = NDArray[Any]


class Inside(NamedTuple):
    """`entry` maps raw samples (n, *shape) to what `core` eats, `core` that to logits; see kexp.models.

    Of a user's own whole model `entry` is None and `core` is the model: its outputs are answers.
    """

    core: Any  # keras.Model
    entry: Any | None  # keras.Model

    def eaten(self, x: Array) -> Array:
        """Raw samples (n, *shape) -> what the core eats (n, ...)."""
        raw = x.astype(np.float32)
        return raw if self.entry is None else _in_batches(self.entry, raw)

    def outputs(self, names: Sequence[str], eaten: Array) -> dict[str, Array]:
        """What the layers `names` of the core put out, (n, ...), of what `eaten` gave."""
        import keras

        probe = keras.Model(_entrance(self.core), [self.core.get_layer(name).output for name in names])
        found = _in_batches(probe, eaten)
        return dict(zip(names, found if isinstance(found, list) else [found], strict=True))


def open_model(path: Path, question: Experiment) -> Inside:
    """The model in `path`, in its parts. Raises ExportError where a module that it needs is not there."""
    import keras

    import_modules(modules(question))
    model = keras.saving.load_model(path, compile=False)
    names = [layer.name for layer in model.layers]
    if "core" not in names:
        return Inside(model, None)
    x = _entrance(model)
    for layer in model.layers[: names.index("core")]:
        if not isinstance(layer, keras.layers.InputLayer) and layer.name not in ASIDE:
            x = layer(x)
    return Inside(model.get_layer("core"), keras.Model(_entrance(model), x))


def gradient(inside: Inside, x: Array) -> tuple[Array, NDArray[np.int64]]:
    """Of raw samples (n, *shape): the gradient of the largest logit by the input, (n, *shape), and which logit it was.

    A single logit stands for the second class above 0, for the first one below.
    """
    import tensorflow as tf

    raw = tf.constant(x.astype(np.float32))
    with tf.GradientTape() as tape:
        tape.watch(raw)
        eaten = raw if inside.entry is None else inside.entry(raw, training=False)
        logits = inside.core(eaten, training=False)
        if logits.shape[1] == 1:
            middle = 0.5 if inside.entry is None else 0.0  # a user's own model puts out the probability
            winner = tf.cast(logits[:, 0] >= middle, tf.int64)
            won = tf.where(winner == 1, logits[:, 0], -logits[:, 0])
        else:
            winner = tf.argmax(logits, axis=1)
            won = tf.reduce_max(logits, axis=1)
        total = tf.reduce_sum(won)
    return np.asarray(tape.gradient(total, raw)), np.asarray(winner)


def _entrance(model: Any) -> Any:
    """The input of `model`, alone where there is one: a Sequential has no `input` of its own."""
    return model.inputs[0] if len(model.inputs) == 1 else model.inputs


def _in_batches(model: Any, x: Array) -> Any:
    parts = [model(x[i : i + BATCH], training=False) for i in range(0, len(x), BATCH)]
    if isinstance(parts[0], list | tuple):
        return [np.concatenate([np.asarray(part[k]) for part in parts]) for k in range(len(parts[0]))]
    return np.concatenate([np.asarray(part) for part in parts])
