"""scikit-learn's models behind one face: raw samples in, (n, outputs) out, just as a network answers."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexp import forecasts
from kexp.baselines import features
from kexp.records import DatasetSpec, Value

Array = NDArray[Any]
Make = Callable[[DatasetSpec, dict[str, Value], bool], Any]  # spec, setting, whether classes count alike -> estimator
GROWTH = 1.6  # of an ensemble from one look at the clock to the next
PATIENCE = 2.5  # times the members of the best so far: an ensemble that is no better by then grows no more
_ALONE = ("n_estimators", "max_iter")
_INSIDE = ("estimator__n_estimators", "estimator__max_iter")


@dataclass
class Fitted:
    """A trained baseline; pickled it is the file that would ship."""

    spec: DatasetSpec
    prepare: Callable[[DatasetSpec, Array], Array] | features.Rocket
    estimator: Any
    mean: Array | None = None  # of features that are standardised once more
    std: Array | None = None

    def inputs(self, x: Array) -> Array:
        """What the estimator sees of samples (n, *shape)."""
        prepare = self.prepare
        found = prepare.transform(x) if isinstance(prepare, features.Rocket) else prepare(self.spec, x)
        return found if self.mean is None or self.std is None else (found - self.mean) / self.std

    def predict(self, x: Array) -> Array:
        """Samples (n, *shape) -> (n, outputs): probabilities, or values in the target's units."""
        return self.answers(self.inputs(x), x)

    def answers(self, inputs: Array, x: Array) -> Array:
        """The same, where the inputs of `x` are made already."""
        return outputs(self.spec, self.estimator, inputs, x)


def outputs(spec: DatasetSpec, estimator: Any, inputs: Array, x: Array) -> Array:
    """(n, outputs) of an estimator that learnt `targets`."""
    if spec.task == "regression":
        found: Array = np.asarray(estimator.predict(inputs), np.float64).reshape(len(x), -1)
        found = found * np.array(spec.target_std) + (0.0 if spec.horizon else np.array(spec.target_mean))
        return np.asarray(found + (forecasts.base(spec, x) if spec.horizon else 0.0), np.float32)
    if not hasattr(estimator, "predict_proba"):
        scores = estimator.decision_function(inputs)
        if scores.ndim == 1 and spec.task != "multilabel":
            scores = np.stack([-scores, scores], axis=1) / 2
        found = _logistic(scores) if spec.task == "multilabel" else _softmax(scores)
    else:
        found = np.asarray(estimator.predict_proba(inputs))
    found = found.reshape(len(x), -1)
    if spec.task != "multilabel":  # a class without training rows is no column of theirs
        whole = np.zeros((len(x), len(spec.labels)), np.float32)
        whole[:, np.asarray(estimator.classes_, int)] = found
        found = whole[:, 1:] if spec.task == "binary" else whole
    return np.asarray(found, np.float32)


def targets(spec: DatasetSpec, x: Array, y: Array) -> Array:
    """What an estimator learns: classes as they are, values in deviations, a forecast's from the naive one."""
    if spec.task != "regression":
        return y
    found = y - forecasts.base(spec, x) if spec.horizon else y - np.array(spec.target_mean)
    found = np.asarray(found / np.array(spec.target_std), np.float64)
    return found[:, 0] if found.shape[1] == 1 else found


# -- one function for each model: spec, setting, balanced -> estimator -------------------------------------------------


def constant(spec: DatasetSpec, setting: dict[str, Value], balanced: bool) -> Any:
    """The shares of the classes, or the mean; of a forecast, the naive one itself."""
    from sklearn.dummy import DummyClassifier, DummyRegressor

    if spec.task == "regression":
        return (
            DummyRegressor(strategy="constant", constant=np.zeros(spec.outputs)) if spec.horizon else DummyRegressor()
        )
    return _each(spec, DummyClassifier(strategy="prior"))


def linear(spec: DatasetSpec, setting: dict[str, Value], balanced: bool) -> Any:
    """Logistic or ridge regression."""
    from sklearn.linear_model import LogisticRegression, Ridge

    strength = float(setting["C"])
    if spec.task == "regression":
        return Ridge(alpha=1 / strength)
    weight = "balanced" if balanced else None
    return _each(spec, LogisticRegression(C=strength, max_iter=300, class_weight=weight))


def pairs(spec: DatasetSpec, setting: dict[str, Value], balanced: bool) -> Any:
    """The same, of the columns and of every product of two, squares too."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    return make_pipeline(PolynomialFeatures(2, include_bias=False), StandardScaler(), linear(spec, setting, balanced))


def neighbours(spec: DatasetSpec, setting: dict[str, Value], balanced: bool) -> Any:
    """The nearest training samples, the nearer the more they count."""
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

    many = {"n_neighbors": int(setting["k"]), "weights": "distance"}
    return KNeighborsRegressor(**many) if spec.task == "regression" else _each(spec, KNeighborsClassifier(**many))


def forest(spec: DatasetSpec, setting: dict[str, Value], balanced: bool) -> Any:
    """A random forest, grown while there is time."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    options = {"n_estimators": 20, "min_samples_leaf": int(setting["leaf"]), "random_state": 0, "n_jobs": -1}
    if spec.task == "regression":
        return RandomForestRegressor(**options, max_features=1 / 3)
    weight = "balanced" if balanced else None
    return _each(spec, RandomForestClassifier(**options, class_weight=weight))


def boosting(spec: DatasetSpec, setting: dict[str, Value], balanced: bool) -> Any:
    """Gradient boosting over histograms, grown while there is time and it helps.

    Its own early stopping would hold back a tenth of the training rows, and refuse classes of one row.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.multioutput import MultiOutputRegressor

    codes = [column.kind == "category" and len(column.choices) < 255 for column in spec.columns]
    options: dict[str, Any] = {
        "max_iter": 20, "learning_rate": float(setting["rate"]), "early_stopping": False, "random_state": 0,
        "categorical_features": codes if any(codes) else None,
    }  # fmt: skip
    if spec.task == "regression":
        one = HistGradientBoostingRegressor(**options)
        return one if spec.outputs == 1 else MultiOutputRegressor(one)
    return _each(spec, HistGradientBoostingClassifier(**options, class_weight="balanced" if balanced else None))


def perceptron(spec: DatasetSpec, setting: dict[str, Value], balanced: bool) -> Any:
    """scikit-learn's own network, as it comes: one hidden layer of 100."""
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    options: dict[str, Any] = {"max_iter": 300, "random_state": 0, "alpha": float(setting["alpha"])}
    return MLPRegressor(**options) if spec.task == "regression" else _each(spec, MLPClassifier(**options))


def kernel(spec: DatasetSpec, setting: dict[str, Value], balanced: bool) -> Any:
    """A support vector machine with radial basis functions."""
    from sklearn.multioutput import MultiOutputRegressor
    from sklearn.svm import SVC, SVR

    if spec.task == "regression":
        return SVR(C=float(setting["C"])) if spec.outputs == 1 else MultiOutputRegressor(SVR(C=float(setting["C"])))
    return _each(spec, SVC(C=float(setting["C"]), class_weight="balanced" if balanced else None))


def ridge(spec: DatasetSpec, setting: dict[str, Value], balanced: bool) -> Any:
    """Ridge regression on classes too, its strength by leaving one out: what MiniRocket's authors put behind it."""
    from sklearn.linear_model import RidgeClassifierCV, RidgeCV

    strengths = np.logspace(-3, 3, 10)
    if spec.task == "regression":
        return RidgeCV(alphas=strengths)
    return _each(spec, RidgeClassifierCV(alphas=strengths, class_weight="balanced" if balanced else None))


def _each(spec: DatasetSpec, classifier: Any) -> Any:
    """`classifier` itself, or one of it for each label where a sample may have several."""
    from sklearn.multiclass import OneVsRestClassifier

    return OneVsRestClassifier(classifier) if spec.task == "multilabel" else classifier


def fit(
    estimator: Any, inputs: Array, wanted: Array, *, most: int = 0, seconds: float = 0.0,
    score: Callable[[Any], float] = lambda estimator: 0.0,
) -> Any:  # fmt: skip
    """Fit `estimator`. One that grows does so to `most` members, while `seconds` last and `score` of it gets larger.

    scikit-learn says of many that they did not converge: what comes of it is measured.
    """
    start = time.monotonic()
    name = next((name for name in (*_ALONE, *_INSIDE) if name in estimator.get_params()), "")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not most or not name:
            return estimator.fit(inputs, wanted)
        if name in _ALONE:  # otherwise there is one for each label or target, and those are built anew every time
            estimator.set_params(warm_start=True)
        count, best, scored = int(estimator.get_params()[name]), 0, -math.inf
        while True:
            estimator.fit(inputs, wanted)
            found = score(estimator)
            if found > scored:
                best, scored = count, found
            spent = time.monotonic() - start
            more = min(most, int(count * GROWTH))
            if more == count or count > PATIENCE * best or spent * GROWTH > seconds:
                break
            count = more
            estimator.set_params(**{name: count})
        if name != "n_estimators" and best < count:  # more trees of a forest do no harm
            estimator.set_params(**{name: best}, **({"warm_start": False} if name in _ALONE else {}))
            estimator.fit(inputs, wanted)
        return estimator


def members(estimator: Any) -> dict[str, Any]:
    """How far an ensemble has grown, as the parameter that says so."""
    parameters = estimator.get_params()
    return {name: parameters[name] for name in (*_ALONE, *_INSIDE) if name in parameters}


def _softmax(x: Array) -> Array:
    grown = np.exp(x - x.max(axis=1, keepdims=True))
    return np.asarray(grown / grown.sum(axis=1, keepdims=True))


def _logistic(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))
