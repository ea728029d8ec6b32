"""A Keras model as a SavedModel folder, with one signature: "input" -> "output"."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any


def write(model: Any, folder: Path, batch: int | None = None) -> None:
    """Write `model` to `folder`, taking (batch, *shape) float32; any number of samples if `batch` is None.

    Not by `model.export`: that leaves random augmentation active.
    """
    import keras
    import tensorflow as tf

    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        "serving_default",
        lambda input: {"output": model(input, training=False)},
        input_signature=[tf.TensorSpec((batch, *model.input_shape[1:]), tf.float32, name="input")],
    )
    with contextlib.redirect_stdout(io.StringIO()):
        archive.write_out(str(folder), verbose=False)
