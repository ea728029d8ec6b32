"""The estimators as scikit-learn's own programs use them."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from scipy.stats import randint
from sklearn.base import clone
from sklearn.datasets import load_iris, make_regression
from sklearn.exceptions import NotFittedError
from sklearn.inspection import permutation_importance
from sklearn.model_selection import GridSearchCV, GroupKFold, RandomizedSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import kexp
from kexp import estimators
from kexp.errors import ExperimentError, KexpError, RunError, SamplesError
from kexp.store import RunStore

pytestmark = pytest.mark.slow

IRIS, SPECIES = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])[SPECIES]
RANDOM = np.random.default_rng(0)
# One network, trained in this process: a fit of a second.
SMALL = {"time": None, "trials": 1, "epochs": 12, "workers": 0, "options": {"finalists": 0, "folds": 0}}


def classifier(**options):
    return kexp.KexpClassifier(**{**SMALL, **options})


def regressor(**options):
    return kexp.KexpRegressor(**{**SMALL, **options})


@pytest.fixture(scope="module")
def fitted():
    """A classifier of iris; tests only ask it."""
    return classifier().fit(IRIS, NAMES)


@pytest.mark.parametrize("estimator", [classifier(), regressor()], ids=["classifier", "regressor"])
def test_scikit_learn_s_own_checks_pass(estimator):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of scikit-learn, on what it gives to estimators in these checks
        results = check_estimator(estimator, expected_failed_checks=estimators.EXCEPTIONS, on_skip=None, on_fail=None)
    failed = {one["check_name"]: one["exception"] for one in results if one["status"] == "failed"}
    assert not failed
    excused = {one["check_name"]: one["status"] for one in results if one["status"] in ("skipped", "xfail")}
    assert set(excused) <= set(estimators.EXCEPTIONS) and len(excused) <= 2
    assert sum(one["status"] == "passed" for one in results) > 45


def test_labels_come_back_as_they_were(fitted):
    assert fitted.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    assert fitted.score(IRIS, NAMES) > 0.85 and fitted.best_score_ > 0.8
    np.testing.assert_allclose(fitted.predict_proba(IRIS).sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    "labels",
    [SPECIES > 0, SPECIES - 1.0, np.array(["", "nan", "1"])[SPECIES], np.array(["1", "1.0", " 1"], object)[SPECIES]],
    ids=["flags", "numbers", "missing words", "one spelling"],
)
def test_labels_may_be_of_any_kind(labels):
    model = classifier().fit(IRIS, labels)
    assert model.classes_.tolist() == np.unique(labels).tolist()
    assert model.score(IRIS, labels) > 0.85


def test_the_run_is_a_run(fitted):
    assert len(fitted.run_.leaderboard()) == 1
    assert "<b>classifier</b>" in fitted.run_._repr_html_()
    with RunStore.open(fitted.run_.home, fitted.run_.name) as run:
        assert run.need_model() == fitted.model_
    with pytest.raises(RunError, match="no test rows"):
        fitted.run_.evaluate()


def test_the_run_of_an_estimator_without_a_home_goes_with_it():
    model = classifier().fit(IRIS, SPECIES)
    home = model.run_.home
    assert (home / "runs").is_dir()
    del model
    assert not home.exists()


def test_a_run_that_is_held_stays_there():
    run = classifier().fit(IRIS, SPECIES).run_
    assert len(run.leaderboard()) == 1
    home = run.home
    del run
    assert not home.exists()


def test_a_pickle_predicts_in_another_process(fitted, tmp_path):
    path = tmp_path / "model.pickle"
    path.write_bytes(pickle.dumps(fitted))
    np.save(tmp_path / "x.npy", IRIS)
    program = (
        "import pickle, sys, numpy, pathlib\n"
        "model = pickle.loads(pathlib.Path('model.pickle').read_bytes())\n"
        "print('tensorflow' in sys.modules, hasattr(model, 'run_'))\n"
        "numpy.save('p.npy', model.predict_proba(numpy.load('x.npy')))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]  # TensorFlow is loaded by the first prediction
    np.testing.assert_allclose(np.load(tmp_path / "p.npy"), fitted.predict_proba(IRIS), atol=1e-6)


def test_runs_stay_in_a_home_under_names_of_their_own(tmp_path):
    model = classifier(home=tmp_path)
    names = [model.fit(IRIS, SPECIES).run_.name for _ in range(2)]
    assert names == ["classifier", "classifier-2"]
    assert [one["name"] for one in kexp.runs(tmp_path)] == names
    again = pickle.loads(pickle.dumps(model))
    assert again.run_.best.id == model.run_.best.id and again.model_ == model.model_
    named = classifier(home=tmp_path, name="iris")
    for _ in range(2):
        named.fit(IRIS, SPECIES)
    assert {one["name"] for one in kexp.runs(tmp_path)} == {*names, "iris", "iris.1"}


def test_a_table_of_mixed_columns(tmp_path):
    n = 120
    frame = pd.DataFrame(
        {
            "size": np.where(RANDOM.random(n) < 0.1, np.nan, RANDOM.normal(size=n)),
            "town": pd.Categorical(np.array(["here", "there", "nowhere"])[np.arange(n) % 3]),
            "open": np.arange(n) % 2 == 0,
            "word": np.array(["yes", "no", None], object)[RANDOM.integers(0, 3, n)],
        }
    )
    y = np.where(np.arange(n) % 3 == 0, "rich", "poor")
    model = classifier().fit(frame, y)
    assert model.feature_names_in_.tolist() == list(frame.columns)
    assert model.score(frame, y) > 0.9
    strange = frame.head(3).assign(town=pd.Categorical(["elsewhere"] * 3), size=np.nan)
    assert set(model.predict(strange)) <= {"rich", "poor"}
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame.rename(columns={"town": "city"}))


def test_columns_go_by_their_place_where_only_one_side_has_names(fitted):
    named = pd.DataFrame(IRIS, columns=["sepal length (cm)", "sepal width", "petal length", "petal width"])
    with pytest.warns(UserWarning, match="fitted without feature names"):
        assert (fitted.predict(named) == fitted.predict(IRIS)).all()
    for frame in (named, pd.DataFrame(IRIS)):  # of the second all names are numbers, which scikit-learn has nowhere
        model = classifier().fit(frame, NAMES)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "X does not have valid feature names")
            np.testing.assert_array_equal(model.predict_proba(IRIS), model.predict_proba(frame))
            assert permutation_importance(model, IRIS, NAMES, n_repeats=1)["importances_mean"].max() > 0.1


def test_an_array_does_not_stand_for_columns_that_are_no_numbers():
    frame = pd.DataFrame({"size": IRIS[:, 0], "large": IRIS[:, 2] > 2})
    model = classifier(epochs=1).fit(frame, SPECIES)
    with (
        pytest.warns(UserWarning, match="valid feature names"),
        pytest.raises(SamplesError, match=r"'large' of the Data.* boolean"),
    ):
        model.predict(frame.to_numpy(float))


def test_pictures():
    x = RANDOM.integers(0, 40, (80, 10, 10), np.uint8)
    y = np.arange(80) % 2
    x[y == 1, 2:8, 2:8] += 200
    model = classifier(epochs=4, space={"stages": 1, "filters": 4}).fit(x, y)
    assert model.run_.leaderboard()["factory"].tolist() == ["conv"]
    assert model.score(x, y) > 0.9
    with pytest.raises(SamplesError, match="255"):
        model.predict(x / 255)
    with pytest.raises(ValueError, match="100 features"):  # as a table
        model.predict(x.reshape(80, 100))


def test_series():
    y = np.arange(60) % 2
    steps = np.linspace(0, 6.28, 32)
    x = np.sin(steps * np.where(y, 4, 1)[:, None] + RANDOM.random((60, 1)))[:, :, None]
    model = classifier(epochs=8).fit(x, y)
    assert model.run_.leaderboard()["factory"].tolist() == ["conv1d"]
    assert model.score(x, y) > 0.9


def test_series_of_one_channel_may_be_the_rows_of_a_frame():
    y = np.arange(60) % 2
    x = pd.DataFrame(np.sin(np.linspace(0, 6.28, 32) * np.where(y, 4, 1)[:, None] + RANDOM.random((60, 1))))
    model = classifier(kind="series", epochs=2).fit(x, y)
    assert model.run_.leaderboard()["factory"].tolist() == ["conv1d"]
    np.testing.assert_array_equal(model.predict_proba(x), model.predict_proba(x.to_numpy()))


def test_several_labels_each():
    x = RANDOM.normal(size=(200, 3))
    y = (x > 0).astype(int)
    model = classifier(epochs=20).fit(x, y)
    assert model.predict(x).shape == model.predict_proba(x).shape == (200, 3)
    assert model.score(x, y) > 0.7  # all three right
    with pytest.raises(ValueError, match="0 and 1 are expected"):
        classifier().fit(x, y + 1)


def test_several_numbers_each():
    x, y = make_regression(200, 4, n_targets=2, random_state=0)
    model = regressor(epochs=40).fit(x, y)
    assert model.predict(x).shape == (200, 2) and model.predict(x).dtype == np.float32
    assert model.score(x, y) > 0.8


def test_rows_of_a_group_are_on_one_side(tmp_path):
    groups = np.arange(len(IRIS)) // 5
    model = classifier(home=tmp_path).fit(IRIS, SPECIES, groups)
    with RunStore.open(tmp_path, model.run_.name) as run:
        part = np.load(run.data / "part.npy")
    assert set(part.tolist()) == {0, 1}
    assert all(len(set(part[groups == group])) == 1 for group in np.unique(groups))


def test_groups_may_be_a_column_and_nothing_else(tmp_path):
    column = pd.DataFrame({"who": np.arange(len(IRIS)) // 5}).astype(str)
    assert classifier(epochs=1).fit(IRIS, SPECIES, column).score(IRIS, SPECIES) > 0
    with pytest.raises(ValueError, match="1d array"):
        classifier().fit(IRIS, SPECIES, np.zeros((150, 2)))


def test_it_is_chosen_and_validated_like_any_other():
    search = GridSearchCV(classifier(), {"epochs": [1, 12]}, cv=2).fit(IRIS, SPECIES)
    assert search.best_params_ == {"epochs": 12} and search.best_estimator_.score(IRIS, SPECIES) > 0.85
    scores = cross_val_score(
        make_pipeline(StandardScaler(), classifier()), IRIS, SPECIES, groups=np.arange(150) % 10, cv=GroupKFold(2)
    )
    assert scores.min() > 0.8


def test_parameters_are_those_of_an_experiment():
    model = classifier(space={"hidden_layers": 1, "units_0": 8}, random_state=7, objective="log_loss")
    again = clone(model).set_params(max_parameters="10k")
    assert again.get_params()["space"] == model.space
    board = again.fit(IRIS, SPECIES).run_.leaderboard()
    assert board["units_0"].tolist() == [8] and board["seed"].tolist() == [7]
    assert again.best_score_ == pytest.approx(board["log_loss"].iloc[0])


def test_parameters_may_be_numpy_s_numbers_as_a_grid_holds_them():
    given = {"epochs": np.int64(2), "space": {"units_0": np.int64(8), "dropout": np.array([0.0, 0.1])}}
    board = classifier(**given, trials=np.arange(3)[1]).fit(IRIS, SPECIES).run_.leaderboard()
    assert board["units_0"].tolist() == [8]
    search = RandomizedSearchCV(classifier(), {"epochs": randint(1, 3)}, n_iter=1, cv=2, error_score="raise")
    assert search.fit(IRIS, SPECIES).best_params_["epochs"] in (1, 2)


def test_the_name_may_be_among_the_options(tmp_path):
    model = classifier(home=tmp_path, epochs=1, options={**SMALL["options"], "name": "flowers"}).fit(IRIS, SPECIES)
    assert model.run_.name == "flowers" and model.run_.best.id == 0


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"objective": "f11"}, "Did you mean 'f1'"),
        ({"options": {"finalist": 1}}, "Did you mean 'finalists'"),
        ({"time": "soon"}, "a time such as"),
        ({"max_size": "10k"}, "workers=0 makes none"),
        ({"factory": "dense", "build": len}, "Give one of them"),
        ({"build": "dense"}, r"build\(hp\) is expected"),
    ],
)
def test_parameters_that_cannot_be_say_why(options, what):
    with pytest.raises(ExperimentError, match=what):
        classifier(**options).fit(IRIS, SPECIES)


@pytest.mark.parametrize(
    ("x", "y", "what"),
    [
        (IRIS, np.zeros(150), "class"),
        (IRIS[:8], np.arange(8), "too many for classes"),
        (IRIS[:4] * np.inf, [0, 1, 0, 1], "infinity"),
        (RANDOM.random((20, 4, 4, 3)), np.arange(20) % 2, "255"),
    ],
    ids=["one class", "many classes", "infinite", "fractions"],
)
def test_samples_that_cannot_be_used_are_value_errors_that_say_why(x, y, what):
    with pytest.raises(ValueError, match=what) as found:
        classifier().fit(x, y)
    assert isinstance(found.value, KexpError) or "sklearn" in str(found.traceback[-1].path)


def test_after_a_fit_that_failed_there_is_nothing_to_predict_with():
    model = classifier(epochs=1).fit(IRIS, SPECIES)
    with pytest.raises(SamplesError):
        model.fit(IRIS, np.zeros(150))
    with pytest.raises(NotFittedError):
        model.predict(IRIS)
    assert not hasattr(model, "run_")


def test_after_a_fit_that_failed_it_can_be_pickled():
    model = classifier(objective="f11")
    with pytest.raises(ExperimentError):
        model.fit(IRIS, SPECIES)
    again = pickle.loads(pickle.dumps(model)).set_params(objective="f1", epochs=1)
    assert again.fit(IRIS, SPECIES).predict(IRIS).shape == (150,)


def test_targets_may_be_a_series_of_any_type():
    for y in (pd.Series(NAMES), pd.Series(NAMES, dtype="category"), pd.Series(SPECIES, index=range(150, 0, -1))):
        model = classifier(epochs=1).fit(pd.DataFrame(IRIS), y)
        assert model.classes_.tolist() == np.unique(np.asarray(y)).tolist()


class Hyper:
    """As keras-tuner's HyperModel."""

    def __init__(self, most):
        self.most = most

    def build(self, hp):
        units = hp.Int("units", 4, self.most)
        return keras.Sequential(
            [keras.Input((4,)), keras.layers.Dense(units, "relu"), keras.layers.Dense(3, "softmax")]
        )


def test_a_build_of_keras_tuner_s_is_handed_in(tmp_path):
    def build(hp):
        return Hyper(8).build(hp)

    for given in (Hyper(6), build):
        model = classifier(build=given, trials=2, epochs=30).fit(IRIS, SPECIES)
        assert model.run_.leaderboard()["units"].between(4, 8).all()
        assert model.predict(IRIS).shape == (150,)
        again = pickle.loads(pickle.dumps(model.set_params(build=None)))
        assert again.score(IRIS, SPECIES) == model.score(IRIS, SPECIES)


def test_a_notebook_s_build_reaches_the_processes_that_train(tmp_path):
    program = """
import keras, kexp
from sklearn.datasets import load_iris

def build(hp):
    answer = keras.layers.Dense(3, "softmax")
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(hp.Int("units", 4, 16), "relu"), answer])

X, y = load_iris(return_X_y=True)
options = {"finalists": 0, "folds": 0}
model = kexp.KexpClassifier(time=None, trials=1, epochs=3, workers=1, build=build, home=".", options=options).fit(X, y)
print(model.run_.leaderboard()["units"].tolist(), model.predict(X).shape, model.export("tflite_float32"))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "(150,)" in done.stdout and (tmp_path / "exported/classifier/model_float32.tflite").is_file()


def test_export_goes_through_the_gate(fitted, tmp_path):
    with pytest.raises(RunError, match="Say to="):
        fitted.export("tflite_float32")
    folder = fitted.export("tflite_float32", to=tmp_path / "out")
    assert (folder / "model_float32.tflite").is_file() and "setosa" in (folder / "labels.txt").read_text()
    artifacts, checks = kexp.verify(folder)
    assert artifacts and all(check.ok for check in checks)
    with pytest.raises(RunError, match="without its run"):
        pickle.loads(pickle.dumps(fitted)).export("tflite_float32", to=tmp_path / "other")


def test_the_random_numbers_of_the_program_go_on_as_they_were():
    np.random.seed(3)
    expected = np.random.random(2)
    np.random.seed(3)
    drawn = [np.random.random()]
    classifier(epochs=1).fit(IRIS, SPECIES)
    assert [*drawn, np.random.random()] == expected.tolist()


def test_every_exception_is_told_in_the_readme():
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    assert all(name in text for name in estimators.EXCEPTIONS)
