"""One run: its journal, the question it asks, and its files."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexp.errors import RunError, nearest
from kexp.metrics import rank
from kexp.records import Experiment, Trial, from_json, to_json
from kexp.store.devices import by_device
from kexp.store.files import replacing
from kexp.store.journal import Journal, is_run

# What may differ between a run and its continuation. `data` is where rows lie; the fingerprint says which.
BUDGET = ("name", "data", "trials", "seconds", "finalists", "seeds", "formats", "tolerances")


class RunStore(Journal):
    """One run: its journal, and what lies beside it. Made by `create` or `open`; a context manager that closes it.

    Whoever writes the journal holds `lock()`; reading needs no lock.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.data = root / "data"
        self.features = root / "features"
        self.fitted = root / "baselines"
        self.study = root / "study.json"
        self.diagnosis = root / "diagnosis.json"
        self.model = root / "model.keras"
        self.evaluation = root / "evaluation.json"
        self.predictions = root / "evaluation.npz"
        self.report = root / "report.html"

    @classmethod
    def create(cls, home: Path, name: str, experiment: Experiment) -> RunStore:
        """A new, empty run. Raises RunError for a bad name, or where the run exists already."""
        if not re.fullmatch(r"\w[\w.-]*", name):
            raise RunError(f"{name!r} cannot name a run: letters, digits and . _ - are expected. Use --name.")
        root = home / "runs" / name
        if is_run(root):
            raise RunError(
                f"the run {name!r} exists under {root.parent}. Continue it, or use --fresh or another --name."
            )
        (root / "weights").mkdir(parents=True, exist_ok=True)
        store = cls(root)
        store.lay_out()
        store.remember(experiment, "")  # last: without an experiment this is no run yet
        return store

    @classmethod
    def open_or_create(cls, home: Path, experiment: Experiment) -> RunStore:
        """The run of the experiment's name: the one that exists, or a new one."""
        if is_run(home / "runs" / experiment.name):
            return cls.open(home, experiment.name)
        return cls.create(home, experiment.name, experiment)

    @classmethod
    def open(cls, home: Path, name: str) -> RunStore:
        """The run `name`. Raises RunError, with the nearest name, where there is none."""
        root = home / "runs" / name
        if not is_run(root):
            names = names_of(home)
            advice = nearest(name, names) if names else " There is none yet: kexp search makes one."
            raise RunError(f"no run is named {name!r} under {home / 'runs'}.{advice}")
        store = cls(root)
        store.write_through()
        return store

    # The question

    @property
    def experiment(self) -> Experiment:
        """The question that this run asks."""
        return from_json(Experiment, self.get("experiment"))

    @property
    def fingerprint(self) -> str:
        """Of the rows; empty until `remember` was told."""
        return str(self.get("fingerprint", ""))

    def remember(self, experiment: Experiment, fingerprint: str) -> None:
        """Keep `experiment` and the `fingerprint` of its rows, both or neither."""
        self.set_all({"fingerprint": fingerprint, "experiment": to_json(experiment)})

    def check_same(self, experiment: Experiment, fingerprint: str) -> None:
        """Raise RunError naming the first field in which the run differs from `experiment`, budget aside.

        Then of the rows: a fingerprint is compared where both sides have one.
        """
        way_out = "Use --fresh to start again (the old run is kept aside), or another --name."
        # Of a field that the run's kexp did not know, from_json gives the default.
        old, new = (json.loads(json.dumps(to_json(one))) for one in (self.experiment, experiment))
        for field in dataclasses.fields(Experiment):
            was, wanted = old[field.name], new[field.name]
            if field.name not in BUDGET and was != wanted:
                raise RunError(
                    f"the run {self.name!r} was started with {field.name} = {was!r}, "
                    f"{wanted!r} is asked for now. {way_out}"
                )
        if fingerprint and self.fingerprint and fingerprint != self.fingerprint:
            raise RunError(
                f"the run {self.name!r} was started with other rows than {experiment.data} holds now "
                f"(data, fingerprint {self.fingerprint[:8]}, now {fingerprint[:8]}), or than this version of kexp "
                f"makes of them. {way_out}"
            )

    # Trials by rank

    def best_first(self) -> list[Trial]:
        """The trials that have a score, best first, by what the run's experiment ranks.

        Those with a file come first: to set a network's score in floats beside a file's would not be fair.
        """
        best = self.in_order([trial for trial in self.trials() if trial.score is not None])
        return sorted(best, key=lambda trial: not trial.shipped)

    def in_order(self, trials: Iterable[Trial]) -> list[Trial]:
        """`trials`, best first, by what the run's experiment ranks."""
        task, wanted = self.get("task"), self.experiment.objective
        return sorted(trials, key=lambda trial: rank(task, wanted, trial.standing), reverse=True)

    @property
    def best(self) -> Trial | None:
        """The trial that the model is; None before there was one."""
        id = self.get("best_trial")
        return next((trial for trial in self.trials() if trial.id == id), None)

    # The model, and weights

    def need_model(self) -> Path:
        """The file of the best model. Raises RunError where no search came so far."""
        if not self.model.exists():
            raise RunError(f"the run {self.name!r} has no model yet. The command that started its search continues it.")
        return self.model

    def weights(self, id: int) -> Path:
        """The file of the weights of trial `id`, whether it is there or not."""
        return self.root / "weights" / f"{id}.npz"

    def has_weights(self, trial: Trial) -> bool:
        """Whether `trial` can be built: `kexp clean` leaves few."""
        return self.weights(trial.source).exists()

    def file(self, id: int) -> Path:
        """The .tflite of trial `id`, whether it is there or not."""
        return self.root / "files" / f"{id}.tflite"

    def save_weights(self, id: int, weights: Sequence[NDArray[Any]]) -> None:
        """Keep the weights of trial `id`, in their order; on the disk before this returns."""
        with replacing(self.weights(id)) as file:
            np.savez(file, *weights)

    def load_weights(self, id: int) -> list[NDArray[Any]]:
        """The weights of trial `id` in the order they were saved. Raises RunError where they are gone."""
        try:
            with np.load(self.weights(id), allow_pickle=False) as arrays:
                return [arrays[f"arr_{i}"] for i in range(len(arrays.files))]
        except FileNotFoundError as error:
            raise RunError(
                f"the weights of trial {id} of run {self.name!r} are not there: kexp clean removes all but "
                "those of the best trials. Choose another trial, or search again with --fresh."
            ) from error

    # What no network was asked

    def save_baseline(self, trial: Trial, model: bytes, folds: bool) -> None:
        """Keep a fitted baseline, in place of an earlier one of its name; `folds` as `baselines` asks for it."""
        self.fitted.mkdir(exist_ok=True)
        with replacing(self.fitted / f"{trial.factory}.pkl") as file:
            file.write(model)
        self.set(f"baseline {trial.factory}", {"trial": to_json(trial), "folds": folds})

    def baselines(self, folds: bool) -> list[Trial]:
        """The baselines that were fitted: on all rows but the test rows if `folds`, otherwise on the training rows."""
        found = self.get_all("baseline").values()
        return [from_json(Trial, one["trial"]) for one in found if one["folds"] == folds]

    def load_baseline(self, name: str) -> bytes:
        """The model that `save_baseline` kept."""
        return (self.fitted / f"{name}.pkl").read_bytes()

    # What evaluate found

    def save_predictions(self, **arrays: NDArray[Any]) -> None:
        """Keep arrays by name: rows, y, and the outputs of each model on them."""
        with replacing(self.predictions) as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    def read_evaluation(self) -> dict[str, Any] | None:
        """The document that evaluate wrote, None before it did."""
        if not self.evaluation.exists():
            return None
        return dict(json.loads(self.evaluation.read_text(encoding="utf-8")))

    # What phones measured

    def add_devices(self, model: str, entries: Sequence[dict[str, Any]]) -> bool:
        """Keep what a phone measured of exported files, in place of what it last told of the same file.

        `model` is the SHA-256 of the .keras file that was exported; False, and nothing is kept, where that is not
        this run's. Needs no lock: a search may go on meanwhile.
        """
        if not model or model != self._model_digest():
            return False
        self.set_all({f"device {entry['artifact']} {entry['device']}": {**entry, "model": model} for entry in entries})
        return True

    def devices(self, current: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        """What phones measured of this run's present model, as `by_device` groups it.

        `current` is the SHA-256 of each file that is exported now, by path: what was measured of others is left out.
        """
        measured = self.get_all("device").values()
        model = self._model_digest() if measured else ""
        entries = [entry for entry in measured if entry["model"] == model]
        if current is not None:
            entries = [entry for entry in entries if current.get(entry["artifact"]) == entry["sha256"]]
        return by_device(entries)

    def _model_digest(self) -> str:
        return hashlib.sha256(self.model.read_bytes()).hexdigest() if self.model.exists() else ""


def names_of(home: Path) -> list[str]:
    """The names of all runs of `home`, in the order of the alphabet."""
    folder = home / "runs"
    return sorted(path.name for path in folder.iterdir() if is_run(path)) if folder.is_dir() else []
