"""TensorFlow's own files: the .keras file, and a SavedModel with one signature, "input" -> "output"."""

from __future__ import annotations

import contextlib
import io
import shutil
from pathlib import Path
from typing import Any

from kexp.export.source import Source

ANY_BATCH = "batch_any"


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


def any_batch(source: Source) -> Path:
    """The SavedModel of `source` that takes any number of samples, in its scratch folder: written once."""
    folder = source.scratch / ANY_BATCH
    if not folder.exists():
        write(source.model, folder)
    return folder


def folder(source: Source, path: Path) -> None:
    """Write the SavedModel of `source` to `path`."""
    write(source.model, path)


def keras_file(source: Source, path: Path) -> None:
    """Write model.keras: the file as it is."""
    shutil.copyfile(source.path, path)
