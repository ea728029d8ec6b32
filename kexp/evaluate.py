"""The test split of a run, read here alone: metrics with their uncertainty, confusion, residuals, consistency.

Predictions are kept in the run, so that everything which later speaks of the test split reads those.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexp.consistency import consistency
from kexp.data.dataset import Dataset
from kexp.errors import RunError
from kexp.export import card
from kexp.forecasts import errors
from kexp.metrics import METRICS, adjusted_rand, classes, metrics, objective
from kexp.records import DatasetSpec, Experiment, to_json
from kexp.runtime import import_modules, modules, open_runtime
from kexp.store import RunStore, atomic_write
from kexp.verdict import Rival, block, verdict
from kexp.verify import digest

INT8 = "model_int8.tflite"
UNSAID = ("mean of", "no ms")  # notes on a baseline that say nothing of what it answers
LEVEL = 0.95
RESAMPLES = 2000
Array = NDArray[Any]


def evaluate(
    store: RunStore, exported: Path | None = None, others: Mapping[str, Callable[[Array], Array]] | None = None,
    notes: Mapping[str, str] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Metrics of the run's model, and of the .tflite files in `exported`, on the test rows, as one JSON document.

    {"run", "model": SHA-256 of model.keras, "split", "rows", "metrics": {name: value}, "interval": {"metric", "low",
    "high", "level"}, "confusion" or "residuals", "naive": {which: its RMSE} beside a forecast, "teacher_rand": see
    `_truth`, "files": {file: metrics}, "consistency": what `consistency.consistency` says of the model and the int8
    file, "baselines": {name: metrics}, "verdict": see `verdict.verdict`, or None,
    "resplits": what `resplits.resplits` found of this model beside this rival, or None}. `others` predict as the model
    does, by name, the best on the validation rows first; `notes` say by name what held one back, or why it is missing.
    The predictions, (n, outputs) by model, are stored. Raises RunError where there is no model yet, or no test row.
    """
    model = digest(store.need_model())
    import_modules(modules(store.experiment))
    dataset = Dataset.open(store.data)
    x, y = dataset.take("test")
    if not len(y):
        raise RunError(
            f"the run {store.name!r} has no test rows (test = 0): all of them train and validate. Measure its model on "
            "rows of your own with kexp run, or search with a share for test."
        )
    files = _files(model, exported)
    runtimes = {path.name: open_runtime(path) for path in [store.model, *files]}
    outputs = {name: runtime.predict(x) for name, runtime in runtimes.items()}
    document = describe(dataset.spec, store.experiment, y, outputs[store.model.name])
    document["naive"] = errors(dataset.spec, np.asarray(x), y) if dataset.spec.horizon else None
    document["files"] = {path.name: metrics(dataset.spec.task, y, outputs[path.name]) for path in files}
    document |= _truth(dataset, outputs, document, store.model.name)
    told = {name: (outputs[name], runtimes[name].predict) for name in (store.model.name, INT8) if name in runtimes}
    document["consistency"] = consistency(dataset.spec, document["interval"]["metric"], x, y, told)
    simple = {name: predict(x) for name, predict in (others or {}).items()}
    document["baselines"] = {name: metrics(dataset.spec.task, y, out) for name, out in simple.items()}
    document["verdict"] = _verdict(dataset.spec, document["interval"]["metric"], y, outputs, simple, notes or {})
    outputs |= {f"baseline_{name}": out for name, out in simple.items()}
    document["resplits"] = _resplits(stored(store) or {}, document["verdict"])
    result = {"run": store.name, "model": model, "split": "test", **document}
    store.save_predictions(rows=dataset.rows("test"), y=y, **{f"outputs_{name}": out for name, out in outputs.items()})
    atomic_write(store.evaluation, json.dumps(to_json(result), indent=1).encode())
    return result


def _verdict(
    spec: DatasetSpec, metric: str, y: Array, outputs: Mapping[str, Array], simple: Mapping[str, Array],
    notes: Mapping[str, str],
) -> dict[str, Any] | None:  # fmt: skip
    """Of the best of the simpler models."""
    if not simple:
        return None
    name, out = next(iter(simple.items()))
    absent = tuple(other for other in notes if other not in simple)
    rival = Rival(name, out, len(simple), held_back(notes.get(name, "")), absent)
    return verdict(spec.task, metric, y, outputs["model.keras"], rival, block=block(spec, len(y)))


def _resplits(before: Mapping[str, Any], verdict: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What new splits said in the document `before`, of the same model: it holds while the rival is the same."""
    found: dict[str, Any] | None = before.get("resplits")
    return found if found and verdict and found["rival"] == verdict["rival"] else None


def held_back(message: str) -> str:
    """Of what is known of a baseline the part that says what held it back; "" where nothing did."""
    return ", ".join(part for part in message.split(", ") if not part.startswith(UNSAID)).rstrip(".")


def _truth(dataset: Dataset, outputs: Mapping[str, Array], document: dict[str, Any], model: str) -> dict[str, Any]:
    """Of clusters, where the data have classes: "adjusted_rand" with them goes among the metrics of each.

    Returns {"teacher_rand": that of the clusterer itself on the same rows}, otherwise nothing.
    """
    rows = dataset.rows("test")
    known = dataset.truth[rows] >= 0 if dataset.truth is not None else np.zeros(len(rows), np.bool_)
    if dataset.truth is None or not known.any():
        return {}
    truth = dataset.truth[rows][known]
    for name, out in outputs.items():
        value = adjusted_rand(classes(dataset.spec.task, out)[known], truth)
        found = document["metrics"] if name == model else document["files"][name]
        found["adjusted_rand"] = value
    return {"teacher_rand": adjusted_rand(dataset.y[rows][known], truth)}


def stored(store: RunStore) -> dict[str, Any] | None:
    """What `evaluate` found of the run's model; None where it was not asked, or found it of an earlier model."""
    document = store.read_evaluation()
    return document if document and document.get("model") == digest(store.need_model()) else None


def _files(model: str, exported: Path | None) -> list[Path]:
    """The .tflite files in `exported` that were made of the .keras file of this SHA-256, not of an earlier one."""
    if exported is None or not (exported / card.MANIFEST).exists():
        return []
    document, _ = card.manifest(exported)
    return sorted(exported.glob("*.tflite")) if document.get("model") == model else []


def describe(spec: DatasetSpec, experiment: Experiment, y: Array, outputs: Array) -> dict[str, Any]:
    """Metrics, interval and errors of `outputs` (n, outputs) against `y`."""
    name, _ = objective(spec.task, experiment.objective)
    low, high = interval(spec, name, y, outputs)
    document: dict[str, Any] = {
        "rows": len(y),
        "metrics": metrics(spec.task, y, outputs),
        "interval": {"metric": name, "low": low, "high": high, "level": LEVEL},
        "confusion": None,
        "residuals": None,
    }
    if spec.task in ("binary", "multiclass"):
        matrix = np.zeros((len(spec.labels), len(spec.labels)), np.int64)
        np.add.at(matrix, (y, classes(spec.task, outputs)), 1)
        document["confusion"] = {"labels": list(spec.labels), "matrix": matrix.tolist()}  # rows: truth
    if spec.task == "regression":
        error = outputs.astype(np.float64) - y
        shares = (0.05, 0.25, 0.5, 0.75, 0.95)
        document["residuals"] = {
            label: {f"{share:.0%}": float(q) for share, q in zip(shares, np.quantile(error[:, i], shares), strict=True)}
            for i, label in enumerate(spec.labels)
        }
    return document


def interval(spec: DatasetSpec, name: str, y: Array, outputs: Array) -> tuple[float, float]:
    """The LEVEL interval of a metric: Wilson's (1927) for accuracy, the percentile bootstrap for the rest."""
    n = len(y)
    if name == "accuracy" and spec.task != "multilabel":
        return wilson(float(metrics(spec.task, y, outputs)[name]), n)
    random = np.random.default_rng(0)
    measure = METRICS[name][0]  # alone: the others would take most of the time
    draws = []
    for _ in range(RESAMPLES if n <= 20_000 else RESAMPLES // 10):
        rows = random.integers(0, n, n)
        draws.append(measure(spec.task, y[rows], outputs[rows]))
    low, high = np.quantile(draws, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    if low == high == 1.0 and name in ("balanced_accuracy", "f1"):
        return wilson(1.0, n)  # all rows are right, in every resample too: which says nothing of how few they are
    return float(low), float(high)


def wilson(share: float, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's score interval (1927) of a share of `n` trials; `z` is that of 95 %."""
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)
