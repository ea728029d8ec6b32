"""A Keras model that kexp did not make, brought to the form that it exports: raw samples in, answers out.

What a model expects is not written in its file, so it is measured: pixels as they are, 0 to 1, or -1 to 1, whichever
gives the best answers on validation rows; and answers that are no probabilities get the softmax or sigmoid they lack.
"""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kexp import data
from kexp.data.dataset import Dataset
from kexp.errors import ExportError
from kexp.metrics import classes, metrics, objective
from kexp.records import DatasetSpec, Experiment
from kexp.runtime import import_modules
from kexp.runtime.protocol import brief

SCALES = {"0 to 255": (1.0, 0.0), "0 to 1": (1 / 255, 0.0), "-1 to 1": (1 / 127.5, -1.0)}  # factor, offset
ROWS = 500  # validation rows that decide between them
BETTER = 0.05  # of accuracy, or of the error: what another scale must gain ...
CLEARLY = 0.5  # ... or what the log loss must come down to: a relu network without biases answers alike at every scale
ROUNDED = 0.02  # by which probabilities in bfloat16 may miss a sum of 1
SWAPPED = 0.3  # of accuracy: what another order of the labels must gain before it is called one
GREY = np.array([19595, 38470, 7471])  # ITU-R 601 luma in 65536ths, as Pillow's convert("L")


class Adopted(NamedTuple):
    """`model` is a keras.Model of raw samples (n, *spec.shape); `notices` say what was added, and how good it is."""

    model: Any
    dataset: Dataset
    notices: list[str]


def adopt(
    path: Path, question: Experiment, *, cache: Path, base: Path = Path(), modules: Sequence[str] = ()
) -> Adopted:
    """The model in `path` (.keras or .h5) as a network for the data of `question`.

    `modules` register the layers that the file names. Raises ExportError where Keras cannot open it, or it takes or
    answers something else than the data have.
    """
    import_modules(modules)
    import keras

    try:
        own = keras.saving.load_model(path, compile=False)
    except (ValueError, OSError, TypeError, KeyError, ImportError, zipfile.BadZipFile) as error:
        raise ExportError(
            f"{path} cannot be opened by Keras: {brief(error)}. A .keras or .h5 file is expected; layers of your own "
            "need --module with the module that registers them."
        ) from error
    inputs, outputs = (getattr(own, end, None) or [] for end in ("inputs", "outputs"))
    if len(inputs) != 1 or len(outputs) != 1 or len(own.output_shape) != 2:
        answers = [tuple(one.shape) for one in outputs]
        raise ExportError(
            f"{path} has {len(inputs)} inputs and {len(outputs)} outputs of shape {answers}: one of each is expected, "
            "of a functional model or a Sequential that begins with an Input, and one row of answers for a sample."
        )
    shape = tuple(own.input_shape[1:])
    if len(shape) == 3 and not question.size and None not in shape[:2]:
        question = dataclasses.replace(question, size=shape[:2])
    dataset = _loaded(question, base, cache, outputs=int(own.output_shape[1]))
    if dataset.spec.kind == "image":
        dataset = _coloured(dataset, shape)
    _check(path, own, dataset.spec)
    rows = dataset.rows("validation")
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(ROWS, len(rows))).astype(int))]
    x, y = np.asarray(dataset.x[rows], np.float32), dataset.y[rows]
    return Adopted(*_wrapped(own, dataset, x, y))


def _loaded(question: Experiment, base: Path, cache: Path, outputs: int) -> Dataset:
    dataset = data.load(question, base=base, cache=cache)
    if dataset.spec.task == "binary" and outputs == 2:  # a neuron for each of the two classes
        spec = dataclasses.replace(dataset.spec, task="multiclass", outputs=2)
        return dataclasses.replace(dataset, spec=spec)
    return dataset


def _coloured(dataset: Dataset, shape: tuple[int | None, ...]) -> Dataset:
    """The pictures with as many channels as the model takes."""
    spec = dataset.spec
    wanted = shape[2] if len(shape) == 3 else None
    if wanted not in (1, 3) or wanted == spec.shape[2]:
        return dataset
    x = np.asarray(dataset.x)
    pixels = np.repeat(x, 3, axis=3) if wanted == 3 else ((x @ GREY + 0x8000) >> 16).astype(np.uint8)[..., None]
    spec = dataclasses.replace(spec, shape=(*spec.shape[:2], wanted), mean=(), std=())
    return dataclasses.replace(dataset, spec=spec, x=pixels)


def _check(path: Path, own: Any, spec: DatasetSpec) -> None:
    """Raise ExportError unless the model maps samples of these data to their outputs."""
    shape = tuple(own.input_shape[1:])
    if len(shape) != len(spec.shape) or any(n not in (None, m) for n, m in zip(shape, spec.shape, strict=True)):
        told = ""
        if spec.kind == "table":
            told = " kexp feeds a number for each column, in this order: " + ", ".join(
                f"{column.name} ({column.kind})" for column in spec.columns
            )
        raise ExportError(f"{path} takes {shape}, a sample of these data is {spec.shape}.{told}")
    if own.output_shape[1] != spec.outputs:
        raise ExportError(
            f"{path} answers with {own.output_shape[1]} numbers, {spec.task} of {len(spec.labels)} labels has "
            f"{spec.outputs}: {', '.join(spec.labels[:10])}. Give the data that it was trained on, or --task."
        )


def _wrapped(own: Any, dataset: Dataset, x: NDArray[np.float32], y: NDArray[Any]) -> tuple[Any, Dataset, list[str]]:
    """The model with what it lacks, the data set, and notices; `x` (n, *shape) and `y` are validation rows."""
    import keras

    spec = dataset.spec
    name, _ = objective(spec.task)
    judge = name if spec.task == "regression" else "log_loss"  # accuracy hardly sees the scale of a relu network
    scales = SCALES if spec.kind == "image" else {"as they are": (1.0, 0.0)}
    outputs = {scale: np.asarray(own(x * a + b, training=False)) for scale, (a, b) in scales.items()}
    last = _missing(spec, outputs)
    answers = {scale: np.asarray(last(values)) if last else values for scale, values in outputs.items()}
    loss = {scale: float(metrics(spec.task, y, found)[judge]) for scale, found in answers.items()}
    value = {scale: float(metrics(spec.task, y, found)[name]) for scale, found in answers.items()}
    for found in answers.values():
        _check_order(spec, y, found, max(value.values()))
    raw, best = next(iter(scales)), min(loss, key=lambda scale: loss[scale])
    better = value[best] < value[raw] * (1 - BETTER) if spec.task == "regression" else value[best] > value[raw] + BETTER
    chosen = best if better or loss[best] < CLEARLY * loss[raw] else raw
    notices = [f"{name} {value[chosen]:.4g} on {len(y):,} validation rows of these data"]
    inputs = keras.Input(spec.shape, name="input")
    features = inputs
    if chosen != raw:
        factor, offset = scales[chosen]
        features = keras.layers.Rescaling(factor, offset)(features)
        told = f"{judge} {loss[chosen]:.4g}, as they are {loss[raw]:.4g}"
        notices.append(f"pixels are scaled {chosen} inside the exported model: {told}")
    output = own(features)
    if last is not None:
        output = last(output)
        notices.append(f"its answers are no probabilities: {last.activation.__name__} was added")
    return keras.Model(inputs, output, name="model"), dataset, notices


def _check_order(spec: DatasetSpec, y: NDArray[Any], answers: NDArray[Any], best: float) -> None:
    """Raise ExportError where the answers (n, outputs) are right but for the order of the labels.

    `best` is the accuracy that they have in this order at the best scale.
    """
    if spec.task not in ("binary", "multiclass"):
        return
    table = np.zeros((len(spec.labels), len(spec.labels)), np.int64)  # rows: the answer, columns: the truth
    np.add.at(table, (classes(spec.task, answers), y), 1)
    meant = table.argmax(axis=1)
    said = np.flatnonzero(table.sum(axis=1))
    if len(said) < 2 or len(set(meant[said])) < len(said):  # no order of the labels: it is bad in another way
        return
    right = table[said, meant[said]].sum() / max(len(y), 1)
    if right > best and right - table.trace() / max(len(y), 1) > SWAPPED:
        swapped = [f"{spec.labels[i]} for {spec.labels[meant[i]]}" for i in said if meant[i] != i]
        raise ExportError(
            f"the model answers {', '.join(swapped[:5])}: it was trained with the labels in another order than "
            f"{', '.join(spec.labels[:10])}. Rename the classes of the data so that they sort as in its training."
        )


def _missing(spec: DatasetSpec, outputs: dict[str, NDArray[Any]]) -> Any:
    """The layer that makes probabilities of logits; None where they are probabilities, or numbers are wanted."""
    import keras

    if spec.task == "regression":
        return None
    values = np.concatenate([np.asarray(each, np.float32) for each in outputs.values()])
    within = bool(((values >= 0) & (values <= 1)).all())
    if spec.task == "multiclass":
        return (
            None if within and np.allclose(values.sum(axis=1), 1, atol=ROUNDED) else keras.layers.Activation("softmax")
        )
    return None if within else keras.layers.Activation("sigmoid")
