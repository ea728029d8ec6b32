"""scikit-learn's way to the same search: KexpClassifier and KexpRegressor, with fit, predict and score.

    model = kexp.KexpClassifier(time=60).fit(X, y)
    model.predict(X_new)
    model.run_.leaderboard()

`fit` is a search: what a run offers, `run_` does. scikit-learn's `check_estimator` holds both, but for EXCEPTIONS.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import (
    check_array,
    check_consistent_length,
    check_is_fitted,
    check_random_state,
    column_or_1d,
    validate_data,
)

from kexp import experiment, handed, metrics, pipeline, store
from kexp.api import Run
from kexp.data import columns, memory
from kexp.data.dataset import Dataset, Raw
from kexp.errors import DataError, ExperimentError, RunError, SamplesError
from kexp.records import DatasetSpec, Kind
from kexp.runtime import import_modules, modules, open_runtime
from kexp.runtime.protocol import AbstractRuntime
from kexp.search.events import Event
from kexp.store import RunStore

Array = NDArray[Any]

# Checks of scikit-learn that are not passed, or that it skips itself, each with its reason. All others pass.
EXCEPTIONS: dict[str, str] = {
    "check_regressor_multioutput": "several numbers come back as float32, which networks compute in, not as float64",
    "check_array_api_input": "skipped: asked only where SCIPY_ARRAY_API is set, and passed there",
    "check_classifiers_multilabel_output_format_decision_function": "skipped: there is no decision_function",
}


class _Network:
    """A network as bytes, which go into a pickle, and opened when it is first asked."""

    def __init__(self, content: bytes, spec: DatasetSpec, needed: list[str]) -> None:
        self.content, self.spec, self.needed = content, spec, needed
        self._runtime: AbstractRuntime | None = None

    def answer(self, samples: Array) -> NDArray[np.float32]:
        """Outputs (n, outputs) of encoded samples (n, *spec.shape)."""
        if self._runtime is None:
            import_modules(self.needed)
            with tempfile.TemporaryDirectory(prefix="kexp-") as folder:
                path = Path(folder) / "model.keras"
                path.write_bytes(self.content)
                self._runtime = open_runtime(path)
        return self._runtime.predict(samples)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_runtime": None}


class _Estimator(BaseEstimator):  # type: ignore[misc]
    """What both have. Parameters and attributes are those of KexpClassifier."""

    _name = ""

    def __init__(
        self, *, time: float | str | None = 60.0, trials: int | None = None, epochs: int | None = None,
        factory: str = "", build: Any = None, space: Mapping[str, Any] | None = None, objective: str = "",
        max_parameters: int | str | None = None, max_size: int | str | None = None, kind: Kind | None = None,
        options: Mapping[str, Any] | None = None, random_state: Any = None, workers: int | None = None,
        name: str | None = None, home: str | Path | None = None, verbose: int = 0,
    ) -> None:  # fmt: skip
        self.time = time
        self.trials = trials
        self.epochs = epochs
        self.factory = factory
        self.build = build
        self.space = space
        self.objective = objective
        self.max_parameters = max_parameters
        self.max_size = max_size
        self.kind = kind
        self.options = options
        self.random_state = random_state
        self.workers = workers
        self.name = name
        self.home = home
        self.verbose = verbose

    def fit(self, X: Any, y: Any, groups: ArrayLike | None = None) -> Self:
        """Search on samples `X` (n, ...) and their targets `y` (n,) or (n, k), and keep the best network.

        All rows train or validate: there is no test part. Rows of equal `groups` (n,) are on one side. Raises
        SamplesError, which is a ValueError, for samples that cannot be used, ExperimentError for parameters that
        cannot be, SearchError where nothing finished.
        """
        for name in ("_network", "run_", "model_", "best_score_"):  # of an earlier fit: this one may fail
            self.__dict__.pop(name, None)
        X, y = self._checked(X, y)
        self._columns = _names(X)
        if groups is not None:
            groups = column_or_1d(groups)
            check_consistent_length(X, groups)
        try:
            self._search(self._raw(X, y, groups))
        except DataError as error:
            raise SamplesError(str(error)) from error
        return self

    def predict(self, X: Any) -> Array:
        """The answer to each sample of `X` (n, ...), (n,) or (n, k) as `y` was."""
        return self._answers(self._outputs(X))

    def export(self, *formats: str, to: str | Path | None = None, tolerances: dict[str, float] | None = None) -> Path:
        """The folder with the model in `formats`, each held to its gate: see `Run.export`.

        `to` is where the folder is copied, which an estimator without `home` needs: its own is removed with it.
        Raises ExportError where a file did not pass, RunError where the run is not there any more.
        """
        check_is_fitted(self)
        if getattr(self, "run_", None) is None:
            raise RunError("this estimator came without its run. Fit it with home='a folder', where runs are kept.")
        if to is None and self.home is None:
            raise RunError("this estimator has no home that stays. Say to='a folder', or fit it with home='a folder'.")
        made = self.run_.export(*formats, tolerances=tolerances)
        if to is None:
            return made.folder
        shutil.copytree(made.folder, to, dirs_exist_ok=True)
        return Path(to)

    # what differs

    def _raw(self, X: Any, y: Array, groups: ArrayLike | None) -> Raw:
        raise NotImplementedError

    def _task(self) -> str | None:
        return None

    def _answers(self, outputs: Array) -> Array:
        raise NotImplementedError

    # how

    def _checked(self, X: Any, y: Any) -> tuple[Any, Array]:
        if _is_frame(X) and self.kind in (None, "table"):
            X, y = validate_data(self, X, y, skip_check_array=True)
        else:
            X, y = validate_data(
                self, X, y, allow_nd=True, multi_output=True, ensure_all_finite="allow-nan", ensure_min_samples=2,
                copy=False,
            )  # fmt: skip
        y = check_array(y, ensure_2d=False, dtype=None, input_name="y")
        check_consistent_length(X, y)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return X, y

    def _search(self, raw: Raw) -> None:
        self._passes = self.home is None  # the run goes when nobody holds it any more
        home = Path(tempfile.mkdtemp(prefix="kexp-")) if self._passes else store.home(self.home)
        options = self.options or {}
        name = options.get("name") or self.name or _free(home, self._name)
        run_ = Run(home=home, name=name)
        if self._passes:
            weakref.finalize(run_, shutil.rmtree, home, ignore_errors=True)
        seed = self.random_state if self.random_state is not None else 0
        if not isinstance(seed, int | np.integer):
            seed = check_random_state(seed).randint(1 << 31)
        if self.build is not None and self.factory:
            raise ExperimentError(f"build and factory = {self.factory!r} both say what to build. Give one of them.")
        factory = handed.name(self.build, home / "handed") if self.build is not None else self.factory
        given = {
            "name": name, "task": self._task(), "time": self.time, "trials": self.trials, "epochs": self.epochs,
            "factory": factory, "space": dict(self.space or {}), "objective": self.objective, "seed": int(seed),
            "max_parameters": self.max_parameters, "max_size": self.max_size, "kind": self.kind, "test": 0.0,
        }  # fmt: skip
        asked = experiment.from_data(f"{experiment.MEMORY}{name}", **{**given, **options})
        of_files = {
            "max_size": asked.max_size,
            "max_latency": asked.max_latency,
            "latency": "latency" in asked.objectives,
        }
        if self.workers == 0 and (named := [name for name, given in of_files.items() if given]):
            raise ExperimentError(
                f"{named[0]} is of files, and workers=0 makes none. Use workers=1, or max_parameters."
            )
        self.notices_: list[str] = []
        pipeline.search(
            experiment.with_budget(asked), home=home, workers=self.workers, fresh=True, listener=self._heard, raw=raw
        )
        self.run_ = run_
        with RunStore.open(home, name) as run:
            self.model_ = run.need_model()
            self.best_score_ = float(run.get("best"))
            spec = Dataset.open(run.data).spec
            self._network = _Network(self.model_.read_bytes(), spec, modules(run.experiment))

    def _heard(self, event: Event) -> None:
        if event.kind == "notice" and event.text:
            self.notices_.append(event.text)
        if self.verbose and event.kind in ("notice", "plan", "finished") and (event.text or event.trial):
            trial = event.trial
            score = "" if trial is None or trial.score is None else f"trial {trial.id}: {trial.score:.4g}"
            print(" ".join(part for part in (score, event.text) if part))

    def _outputs(self, X: Any) -> NDArray[np.float32]:
        """What the network answers to samples, (n, outputs)."""
        check_is_fitted(self)
        if _is_frame(X) and self._network.spec.kind == "table":
            X = validate_data(self, X, reset=False, skip_check_array=True)
        else:
            X = validate_data(self, X, reset=False, allow_nd=True, ensure_all_finite="allow-nan")
        try:
            samples = memory.encode(self._by_place(X), self._network.spec)
        except DataError as error:
            raise SamplesError(str(error)) from error
        return self._network.answer(samples)

    def _by_place(self, X: Any) -> Any:
        """A table `X` under the names that columns had in fit: a frame for an array then, or the other way round.

        As everywhere in scikit-learn, which has warned of it. Raises DataError where an array cannot say what it means.
        """
        if self._network.spec.kind != "table" or set(self._columns) == set(_names(X)):
            return X
        if _is_frame(X):
            return X.set_axis(list(self._columns), axis=1)
        other = next((column for column in self._network.spec.columns if column.kind != "number"), None)
        if other is not None:
            raise DataError(
                f"X is an array, but column {other.name!r} of the DataFrame that fit was given is a {other.kind}. "
                "Give a DataFrame with the same columns."
            )
        import pandas as pd

        return pd.DataFrame(X, columns=list(self._columns))

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_network")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.three_d_array = True
        tags.target_tags.multi_output = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """All but a run that does not stay."""
        state = dict(super().__getstate__())
        if state.get("_passes"):
            for name in ("run_", "model_"):  # neither is there after a fit that failed
                state.pop(name, None)
        return state


class KexpClassifier(ClassifierMixin, _Estimator):  # type: ignore[misc]
    """A classifier that is the best of many small networks.

    Parameters are the keys of an experiment file: `time` and `trials` are the budget (without either, as for `kexp
    search`), `factory` or `build` what is built, `options` holds keys that have no parameter here (finalists, folds,
    oracle, class_weight ...). `build` is a function build(hp) or a HyperModel, as keras-tuner takes them. `kind` is
    "table", "image" or "series", where the shape of X does not say it. `random_state` None is 0: the same rows and a
    budget in trials find the same network. `workers` are processes; 0 trains in this one, which suits searches of
    seconds. `home` is the folder of runs; without it the run is removed with the estimator and `run_`. With `name` the
    run has this name, and an earlier one is kept aside.

    X: (n, columns) or a DataFrame of numbers, booleans, categories, texts, dates, with missing values; pictures (n,
    height, width) or (n, height, width, 1 or 3) uint8; series (n, steps, channels). y: (n,) of labels of any kind, or
    (n, k) of 0 and 1 for several labels each.

    Attributes: `run_` (a Run), `model_` (path of its model.keras), `classes_`, `n_features_in_`, `feature_names_in_`,
    `best_score_` (the objective on validation rows), `notices_` (what a person should know of the data).

    Predictions are the Keras network's own, by TensorFlow: it is there for every network, and exactly what was scored.
    A pickle carries it, and the run where there is a `home`. The checks of scikit-learn's `check_estimator` that are
    not passed, or skipped, are estimators.EXCEPTIONS.
    """

    _name = "classifier"

    def predict_proba(self, X: Any) -> NDArray[np.float32]:
        """Probabilities, (n, classes) in the order of `classes_`; of several labels each, (n, labels)."""
        outputs = self._outputs(X)
        return np.hstack([1 - outputs, outputs]) if self._network.spec.task == "binary" else outputs

    def _raw(self, X: Any, y: Array, groups: ArrayLike | None) -> Raw:
        check_classification_targets(y)
        if y.ndim == 2:
            if type_of_target(y) != "multilabel-indicator" or not np.isin(y, (0, 1)).all():
                raise SamplesError(f"y has shape {y.shape}: of several labels each, 0 and 1 are expected.")
            self.classes_ = np.arange(y.shape[1])
            names = tuple(f"y{index}" for index in range(y.shape[1]))
            return memory.raw(X, y.astype(bool), kind=self.kind, targets=names, groups=groups)
        self.classes_, positions = np.unique(y, return_inverse=True)
        labels = _labels(self.classes_)
        return memory.raw(X, positions, kind=self.kind, targets=("class",), labels=labels, groups=groups)

    def _answers(self, outputs: Array) -> Array:
        task = self._network.spec.task
        found = metrics.classes(task, outputs)
        return found if task == "multilabel" else self.classes_[found]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class KexpRegressor(RegressorMixin, _Estimator):  # type: ignore[misc]
    """A regression that is the best of many small networks; see KexpClassifier. y: (n,) or (n, targets) of numbers."""

    _name = "regressor"

    def _task(self) -> str:
        return "regression"

    def _raw(self, X: Any, y: Array, groups: ArrayLike | None) -> Raw:
        try:
            numbers = np.asarray(y, np.float64)
        except ValueError as error:
            raise SamplesError(f"y holds {error}: numbers are expected.") from error
        self._flat = numbers.ndim == 1
        numbers = numbers.reshape(len(numbers), -1)
        names = ("y",) if self._flat else tuple(f"y{index}" for index in range(numbers.shape[1]))
        return memory.raw(X, numbers, kind=self.kind, targets=names, groups=groups)

    def _answers(self, outputs: Array) -> Array:
        return outputs[:, 0] if self._flat else outputs


def _is_frame(x: Any) -> bool:
    return hasattr(x, "iloc") and hasattr(x, "columns")


def _names(x: Any) -> tuple[str, ...]:
    """What the columns of a table are called, as memory.raw calls them; nothing for samples of other kinds."""
    if _is_frame(x):
        return tuple(str(name).strip() for name in x.columns)
    return tuple(f"x{index}" for index in range(x.shape[1])) if x.ndim == 2 else ()


def _labels(classes: Array) -> tuple[str, ...]:
    """A text for each of the classes, which an export is labelled with; all different."""
    texts = [columns.text(one).removesuffix(".0") for one in classes.tolist()]
    plain = len(set(texts)) == len(texts) and not any(map(columns.is_missing, texts))
    return tuple(texts) if plain else tuple(f"class {index}" for index in range(len(texts)))


def _free(home: Path, name: str) -> str:
    """`name`, or with the first number with which there is no run yet."""
    number = 1
    while store.exists(home, found := name if number == 1 else f"{name}-{number}"):
        number += 1
    return found
