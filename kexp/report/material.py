"""All that a report is made of, read once: journal, data, predictions of `evaluate`, the export."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexp import evaluate
from kexp.data.dataset import Dataset
from kexp.errors import ExportError
from kexp.export.card import manifest
from kexp.front import Aim, aim
from kexp.records import Curve, Experiment, Trial, from_json
from kexp.store import RunStore
from kexp.verify import digest

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """What `evaluate` kept of the test rows: their places in the data (n,), targets, and the model's outputs."""

    rows: NDArray[np.int64]
    y: Array  # (n,) classes, or (n, outputs)
    outputs: Array  # (n, outputs)


@dataclass(frozen=True, kw_only=True)
class Material:
    """Of one run. `board` is leaderboard.document's; what is not there, or is of an earlier model, is None."""

    name: str
    board: dict[str, Any]
    trials: tuple[Trial, ...]  # best first
    curves: dict[int, Curve]  # how trainings went, by trial
    told_at: dict[int, float]  # seconds of search, by trial, after which it ended
    seconds: float  # of search altogether
    created: str
    finished: str
    experiment: Experiment
    dataset: Dataset
    model: Path
    evaluation: dict[str, Any] | None
    predictions: Predictions | None
    export: dict[str, Any] | None  # export.json
    study: dict[str, Any] | None = None  # see kexp.study
    diagnosis: dict[str, Any] | None = None  # see kexp.diagnose
    stale: tuple[str, ...] = ()  # "evaluation", "export": there, but of an earlier model

    @property
    def metric(self) -> str:
        """What ranks."""
        return str(self.board["objective"])

    @property
    def upward(self) -> bool:
        """Whether more of it is better."""
        return self.sought.direction == "max"

    @property
    def sought(self) -> Aim:
        """What is sought: the metric, and costs."""
        return aim(self.experiment, self.dataset.spec.task)

    @property
    def best(self) -> Trial | None:
        """The trial whose weights are the model."""
        return next((trial for trial in self.trials if trial.id == self.board["best"]), None)


def gather(run: RunStore, board: dict[str, Any], exported: Path) -> Material:
    """Read everything about `run`; `board` is its leaderboard, `exported` the folder of its export.

    Raises RunError where there is no model yet.
    """
    model = run.need_model()
    evaluation = evaluate.stored(run)
    stale = ["evaluation"] if evaluation is None and run.read_evaluation() is not None else []
    export = None
    with contextlib.suppress(ExportError):
        export = manifest(exported)[0]
    if export and export.get("model") != digest(model):
        export, stale = None, [*stale, "export"]
    return Material(
        name=run.name,
        board=board,
        trials=tuple(from_json(Trial, one) for one in board["trials"]),
        curves=run.curves(),
        told_at=run.told_at(),
        seconds=run.seconds_used,
        created=run.get("created", ""),
        finished=run.get("finished") or "",
        experiment=run.experiment,
        dataset=Dataset.open(run.data),
        model=model,
        evaluation=evaluation,
        predictions=_predictions(run.predictions) if evaluation else None,
        export=export,
        study=_document(run.study),
        diagnosis=_document(run.diagnosis),
        stale=tuple(stale),
    )


def _document(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _predictions(path: Path) -> Predictions | None:
    """None where the file is not there, or is not what evaluate writes: the figures of the document still stand."""
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as arrays:
        if not {"rows", "y", "outputs_model.keras"} <= set(arrays.files):
            return None
        return Predictions(rows=arrays["rows"], y=arrays["y"], outputs=arrays["outputs_model.keras"])
