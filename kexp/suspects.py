"""Labels that a run's best model does not believe: on validation rows, which it was not trained on, never on test rows.

A model that errs with confidence is wrong itself, or was told something wrong. Which of the two, a person sees.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexp.data.dataset import Dataset
from kexp.records import DatasetSpec, Finding
from kexp.runtime import import_modules, modules, open_runtime
from kexp.store import RunStore

SHOWN = 10
SURE = 0.9  # of what it says; and at least as sure as it usually is of that class, where it is right
FAR = 6.0  # robust standard deviations that a number is off
Array = NDArray[Any]


def suspects(store: RunStore) -> list[Finding]:
    """A warning on the validation rows of the run whose label its model contradicts with confidence; or nothing.

    Raises RunError where there is no model yet.
    """
    path = store.need_model()
    import_modules(modules(store.experiment))
    dataset = Dataset.open(store.data)
    rows = dataset.rows("validation")
    x, y = dataset.take("validation")
    outputs = np.asarray(open_runtime(path).predict(x), np.float64)
    found = contradicted(dataset.spec, y, outputs)
    if not found:
        return []
    where = tuple(f"{dataset.ids[rows[at]]}: {text}" for at, text in found[:SHOWN])
    what = (
        f"{len(found):,} of {len(rows):,} validation rows have a label that the best model contradicts with confidence."
    )
    if dataset.spec.task == "regression":
        what = f"{len(found):,} of {len(rows):,} validation rows have a target far from what the best model says."
    advice = "Look at these: the label is wrong, or the sample is hard. Correct what is wrong, and search again."
    return [Finding(name="label_suspects", severity="warning", what=what, where=where, count=len(found), advice=advice)]


def contradicted(spec: DatasetSpec, y: Array, outputs: Array) -> list[tuple[int, str]]:
    """Rows, worst first, that `outputs` (n, outputs) contradict, and how, in words; `y` is as in Dataset.

    Classes: what the model says has SURE probability, and as much as it has on average where it is the label (the
    thresholds of confident learning, Northcutt et al. 2021). Numbers: FAR robust standard deviations off.
    """
    if spec.task == "regression":
        return _far(spec, y, outputs)
    if spec.task == "multilabel":
        return _flags(spec, y, outputs)
    p = np.concatenate([1 - outputs, outputs], axis=1) if spec.task == "binary" else outputs
    at = np.arange(len(y))
    guess, own = p.argmax(axis=1), p[at, y]
    usual = np.array([p[y == k, k].mean() if (y == k).any() else 1.0 for k in range(p.shape[1])])
    sure = p[at, guess]
    rows = np.flatnonzero((guess != y) & (sure >= np.maximum(SURE, usual[guess])))
    rows = rows[np.argsort(own[rows] - sure[rows], kind="stable")]
    return [
        (int(row), f"labelled {spec.labels[y[row]]}, the model says {spec.labels[guess[row]]} ({sure[row]:.3f})")
        for row in rows
    ]


def _flags(spec: DatasetSpec, y: Array, outputs: Array) -> list[tuple[int, str]]:
    off = np.abs(outputs - y)
    worst = off.argmax(axis=1)
    most = off[np.arange(len(y)), worst]
    rows = np.flatnonzero(most >= max(SURE, 0.95))
    rows = rows[np.argsort(-most[rows], kind="stable")]
    said = {True: "labelled", False: "not labelled"}
    return [
        (
            int(row),
            f"{said[bool(y[row, worst[row]])]} {spec.labels[worst[row]]}, the model gives it "
            f"{outputs[row, worst[row]]:.3f}",
        )
        for row in rows
    ]


def _far(spec: DatasetSpec, y: Array, outputs: Array) -> list[tuple[int, str]]:
    error = outputs - y
    centre = np.median(error, axis=0)
    spread = 1.4826 * np.median(np.abs(error - centre), axis=0)  # the standard deviation, were errors normal
    off = np.abs(error - centre) / np.where(spread > 0, spread, np.inf)
    worst = off.argmax(axis=1)
    most = off[np.arange(len(y)), worst]
    rows = np.flatnonzero(most >= FAR)
    rows = rows[np.argsort(-most[rows], kind="stable")]
    return [
        (int(row), f"{spec.labels[worst[row]]} {y[row, worst[row]]:g}, the model says {outputs[row, worst[row]]:.4g}")
        for row in rows
    ]
