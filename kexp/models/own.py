"""A user's own build(hp), as keras-tuner takes it: a whole model, and what it came compiled with."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kexp.errors import ExperimentError
from kexp.records import DatasetSpec


def fields(spec: DatasetSpec, factory: str, model: Any) -> dict[str, Any]:
    """Those of a Network around a user's whole model: it, and the optimiser and loss that it was compiled with.

    Candidates are ranked by kexp's metrics: those of the model are not looked at. Raises ExperimentError for what is no
    model, or one that does not fit the data.
    """
    if not isinstance(model, keras.Model):
        raise ExperimentError(
            f"factory = {factory!r} returned {type(model).__name__}: build(hp) returns a keras.Model."
        )
    core = _shaped(spec, factory, model)
    if core.input_shape[1:] != spec.shape or core.output_shape[1:] != (spec.outputs,):
        raise ExperimentError(
            f"factory = {factory!r} maps {core.input_shape[1:]} to {core.output_shape[1:]}; "
            f"these data need {spec.shape} to {(spec.outputs,)}."
        )
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None:
        return {"core": core}
    rate = optimizer.get_config().get("learning_rate", optimizer.learning_rate)
    scheduled = isinstance(rate, dict | str)  # or a function, written down
    return {
        "core": core, "learning_rate": None if scheduled else float(rate), "optimizer": optimizer,
        "loss": _loss(spec, factory, model.loss),
    }  # fmt: skip


def _shaped(spec: DatasetSpec, factory: str, model: keras.Model) -> keras.Model:
    """`model` with its shapes known: a Sequential without keras.Input, or a subclass, learns them from its first batch.

    A subclass becomes one layer of a model from samples to answers, which is what can be converted.
    """
    if hasattr(model, "input_shape"):
        return model
    try:
        if isinstance(model, keras.Sequential):
            model.build((None, *spec.shape))
            return model
        entry = keras.Input(spec.shape, name="input")
        return keras.Model(entry, model(entry))
    except Exception as error:
        raise ExperimentError(
            f"factory = {factory!r}: its model does not take samples of shape {spec.shape}: {error}"
        ) from error


def check_file(factory: str, model: keras.Model) -> None:
    """Raise ExperimentError where Keras cannot read `model` from a file: before a search that could ship nothing."""
    with tempfile.TemporaryDirectory(prefix="kexp-") as folder:
        file = Path(folder) / "model.keras"
        try:
            model.save(file)
            keras.models.load_model(file, compile=False)
        except Exception as error:  # Keras raises all kinds
            why = str(error).rpartition("Exception encountered: ")[2].partition(". ")[0]
            raise ExperimentError(
                f"factory = {factory!r}: Keras cannot read from a file what it makes: {why}. Write "
                "@keras.saving.register_keras_serializable() above the class of each layer of your own, with a "
                "get_config that names its arguments, and such a layer in the place of a Lambda."
            ) from error


def _loss(spec: DatasetSpec, factory: str, given: Any) -> Callable[[Any, Any], Any] | None:
    """What a model was compiled with, made a function of targets and answers; None where it was compiled without."""
    if given is None:
        return None
    rows = spec.outputs + 1  # not as many as there are outputs: wrong shapes must not fit by chance
    target = np.zeros(rows, np.int32) if spec.task == "multiclass" else np.zeros((rows, spec.outputs), np.float32)
    try:
        loss: Callable[[Any, Any], Any] = keras.losses.get(given)
        loss(target, np.full((rows, spec.outputs), 0.5, np.float32))
    except Exception as error:
        asked = "sparse_categorical_crossentropy" if spec.task == "multiclass" else "one that takes such shapes"
        raise ExperimentError(
            f"factory = {factory!r} compiles its model with the loss {given!r}, which does not take targets of shape "
            f"{target.shape} ({target.dtype}) and answers of shape {(rows, spec.outputs)}: {error}. Use {asked}."
        ) from error
    return loss
