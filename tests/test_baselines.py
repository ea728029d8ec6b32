"""Simpler models: each row of BASELINES on each kind of data, its features, and what happens when one cannot."""

from __future__ import annotations

import functools
import pickle

import numpy as np
import pytest
import threadpoolctl
from sklearn import datasets

from kexp import baselines, pipeline
from kexp.baselines import estimators, features
from kexp.baselines import measure as measuring
from kexp.data import Dataset, load
from kexp.errors import ExperimentError, RunError
from kexp.experiment import from_data
from kexp.metrics import metrics
from kexp.records import Column, DatasetSpec, Trial
from kexp.store import RunStore

SETS = ("digits", "diabetes", "iris", "tones", "motions", "clips", "sales", "labels", "two_targets")


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("baselines")


@functools.cache
def dataset(name, folder) -> tuple[Dataset, object]:
    source = {"digits": "sklearn:digits", "diabetes": "sklearn:diabetes", "iris": "sklearn:iris"}.get(
        name, f"generated:{name}"
    )
    options = {}
    if name == "labels":
        x, y = datasets.make_multilabel_classification(300, 6, n_classes=3, random_state=0)
        source, options = table(folder / "labels.csv", x, y), {"target": ("y0", "y1", "y2"), "task": "multilabel"}
    elif name == "two_targets":
        x, y = datasets.make_regression(300, 6, n_informative=4, n_targets=2, random_state=0)
        source, options = table(folder / "two.csv", x, y), {"target": ("y0", "y1")}
    question = from_data(source, **options)
    return load(question, base=folder, cache=folder / "cache"), question


def table(path, x, y):
    names = [*(f"x_{i}" for i in range(x.shape[1])), *(f"y{i}" for i in range(y.shape[1]))]
    rows = [",".join(f"{value:g}" for value in row) for row in np.hstack([x, y]).tolist()]
    path.write_text("\n".join([",".join(names), *rows]) + "\n")
    return str(path)


def test_a_baseline_is_timed_by_one_thread_as_files_are():
    threads = set()

    class Timed:
        def predict(self, x):
            threads.update(pool["num_threads"] for pool in threadpoolctl.threadpool_info())

    with threadpoolctl.threadpool_limits(2):
        Timed().predict(None)
        assert threads == {2}
        threads.clear()
        assert baselines.latency(Timed(), np.zeros((3, 2))) >= 0
        assert threads == {1}
        threads.clear()
        Timed().predict(None)
        assert threads == {2}


@pytest.mark.parametrize("name", SETS)
def test_every_baseline_learns_its_kind_of_data(name, folder):
    data, question = dataset(name, folder)
    spec = data.spec
    x, y = data.take("validation")
    scores = {}
    for row in baselines.which(spec):
        trial, model = baselines.train(row, data, question, seconds=1.0)
        again = pickle.loads(pickle.dumps(model))
        outputs = again.predict(x)
        assert outputs.shape == (len(x), spec.outputs) and outputs.dtype == np.float32
        assert metrics(spec.task, y, outputs) == pytest.approx(trial.metrics, rel=1e-4), row
        if spec.task != "regression":
            assert outputs.min() >= 0 and outputs.max() <= 1
        if spec.task == "multiclass":
            np.testing.assert_allclose(outputs.sum(axis=1), 1, rtol=1e-4)
        np.testing.assert_allclose(again.predict(x[:1]), outputs[:1], rtol=1e-3, atol=1e-3 * np.abs(outputs).max())
        assert trial.bytes == pytest.approx(len(pickle.dumps(model, protocol=5)), rel=0.01) and trial.latency_ms > 0
        scores[row] = trial.score
    sign = -1 if spec.task == "regression" else 1
    if name != "sales":  # of a forecast the constant is the naive one, which others may well not reach
        assert sum(sign * score > sign * scores["constant"] for score in scores.values()) >= len(scores) / 2
    assert set(scores) >= {"constant", "linear", "neighbours", "forest", "boosting", "perceptron"}


def test_data_that_are_linear_need_no_more(folder):
    data, question = dataset("two_targets", folder)
    trial, _ = baselines.train("linear", data, question)
    assert trial.metrics["r2"] > 0.999 and trial.values == {"C": 10.0}  # the weakest of the penalties


def test_products_find_what_lines_cannot(folder):
    random = np.random.default_rng(0)
    x = random.normal(size=(400, 4))
    source = table(folder / "xor.csv", x, ((x[:, :1] * x[:, 1:2]) > 0).astype(int))
    question = from_data(source, target=("y0",))
    data = load(question, base=folder, cache=folder / "cache")
    scores = {name: baselines.train(name, data, question)[0].score for name in ("linear", "pairs")}
    assert scores["linear"] < 0.7 < 0.85 < scores["pairs"]


def test_the_setting_is_chosen_on_validation_rows(folder):
    data, question = dataset("digits", folder)
    trial, model = baselines.train("neighbours", data, question)
    x, y = data.take("train")
    held, truth = data.take("validation")
    by_hand = {}
    for k in (1, 5, 15):
        one = estimators.neighbours(data.spec, {"k": k}, False).fit(model.inputs(x), y)
        by_hand[k] = (one.predict(model.inputs(held)) == truth).mean()
    assert trial.score == max(by_hand.values()) and by_hand[trial.values["k"]] == trial.score


def test_classes_that_count_alike(folder):
    random = np.random.default_rng(0)
    y = (random.random(1500) < 0.1).astype(int)
    x = random.normal(size=(1500, 3)) + y[:, None] * 0.8
    source = table(folder / "rare.csv", x, y[:, None])
    data = load(from_data(source, target=("y0",)), base=folder, cache=folder / "cache")
    found = {}
    for weight in ("none", "balanced"):
        question = from_data(source, target=("y0",), class_weight=weight, objective="balanced_accuracy")
        found[weight] = baselines.train("linear", data, question)[0].score
    assert found["balanced"] > found["none"] + 0.05


def test_a_class_of_a_few_rows_stops_no_model(folder):
    random = np.random.default_rng(0)
    y = np.array([0] * 200 + [1] * 200 + [2] * 3)
    x = random.normal(size=(len(y), 3)) + y[:, None] * 2
    source = table(folder / "scarce.csv", x, y[:, None])
    question = from_data(source, target=("y0",), task="multiclass")
    data = load(question, base=folder, cache=folder / "cache")
    for name in baselines.which(data.spec):
        trial, _ = baselines.train(name, data, question, seconds=2.0)
        assert trial.score > (0.4 if name == "constant" else 0.8), name


def test_an_ensemble_stops_where_it_gets_no_better():
    random = np.random.default_rng(0)
    x, held = random.normal(size=(200, 2)), random.normal(size=(200, 2))
    y, truth = (x[:, 0] > 0).astype(int), (held[:, 0] > 0).astype(int)
    flipped = random.random(200) < 0.3
    y[flipped] = 1 - y[flipped]  # what is left to learn after a while is noise
    spec = DatasetSpec(name="t", kind="table", task="binary", shape=(2,), outputs=1, labels=("a", "b"), columns=(
        Column(name="x", kind="number"), Column(name="y", kind="number"),
    ))  # fmt: skip
    one = estimators.boosting(spec, {"rate": 0.3}, False)

    def score(fitted):
        return -metrics("binary", truth, fitted.predict_proba(held)[:, 1:].astype(np.float32))["log_loss"]

    fitted = estimators.fit(one, x, y, most=1000, seconds=60.0, score=score)
    longer = estimators.boosting(spec, {"rate": 0.3}, False).set_params(max_iter=300).fit(x, y)
    assert fitted.n_iter_ < 100 and score(fitted) > score(longer)


def test_where_rows_are_few_the_folds_decide(folder):
    data, question = dataset("iris", folder)
    assert data.folds == 5
    trial, model = baselines.train("linear", data, question, folds=True)
    scores = []
    for k in range(1, 6):
        rows, held = data.rows("train", k), data.rows("validation", k)
        mean, std = np.asarray(model.inputs(data.x[rows])), None
        one = estimators.linear(data.spec, trial.values, False)
        plain = features.standardised(data.spec, data.x)
        mean, std = plain[rows].mean(axis=0), plain[rows].std(axis=0)
        one.fit((plain[rows] - mean) / std, data.y[rows])
        scores.append((one.predict((plain[held] - mean) / std) == data.y[held]).mean())
    assert trial.score == pytest.approx(np.mean(scores)) and "mean of 5 folds" in trial.message
    np.testing.assert_allclose(model.mean, features.standardised(data.spec, data.x[data.part != 2]).mean(axis=0))


# -- features ---------------------------------------------------------------------------------------------------------


def test_columns_are_standardised_categories_spread_and_gaps_told():
    columns = (
        Column(name="age", kind="number", mean=10.0, std=2.0, missing=True),
        Column(name="town", kind="category", choices=("Oslo", "Rome")),
    )
    spec = DatasetSpec(name="t", kind="table", task="binary", shape=(2,), outputs=1, labels=("a", "b"), columns=columns)
    x = np.array([[12, 1], [np.nan, 0], [8, -1]], np.float32)
    assert features.standardised(spec, x).tolist() == [[1, 0, 0, 1], [0, 1, 1, 0], [-1, 0, 0, 0]]


def picture(height, width, channels=1):
    return DatasetSpec(
        name="p", kind="image", task="binary", shape=(height, width, channels), outputs=1, labels=("a", "b")
    )


def test_large_pictures_are_averaged_down():
    x = np.zeros((1, 64, 96, 3), np.uint8)
    x[:, :, 48:] = 255
    found = features.pixels(picture(64, 96, 3), x).reshape(21, 32, 3)
    assert found[:, :16].max() == 0 and found[:, 16:].min() == 1


@pytest.mark.parametrize("shape", [(1, 200), (4, 300), (1, 1), (3, 3)])
def test_pictures_of_any_shape_leave_something_to_learn_from(shape):
    x = np.zeros((2, *shape, 1), np.uint8)
    x[1] = 200
    dark, bright = features.pixels(picture(*shape), x)
    assert len(dark) >= 1 and bright.min() > 0.7 and dark.max() == 0
    assert features.hog(picture(*shape), x).shape[1] >= 9


def test_what_is_large_is_averaged_down():
    clip = DatasetSpec(name="c", kind="clip", task="binary", shape=(40, 64, 64, 3), outputs=1, labels=("a", "b"))
    assert features.pixels(clip, np.full((1, 40, 64, 64, 3), 255, np.uint8)).shape[1] <= 10_000
    long = DatasetSpec(
        name="s", kind="series", task="binary", shape=(5000, 3), outputs=1, labels=("a", "b"), mean=(0.0,) * 3,
        std=(1.0,) * 3,
    )  # fmt: skip
    found = features.values(long, np.ones((2, 5000, 3), np.float32))
    assert found.shape == (2, 7500) and (found == 1).all()


def test_orientations_are_of_edges_and_not_of_light():
    across, down = np.zeros((28, 28)), np.zeros((28, 28))
    across[:, 14:], down[14:] = 100, 100
    x = np.stack([across, down, across + 50, across * 2, across[:, ::-1]])[..., None].astype(np.uint8)
    found = features.hog(picture(28, 28), x).reshape(5, 6, 6, 4, 9)
    strongest = found.sum(axis=(1, 2, 3)).argmax(axis=1)
    assert strongest[0] == 0 and strongest[1] in (4, 5)  # of gradients along x, along y: 90 of 180 degrees is 4.5 of 9
    np.testing.assert_allclose(found[2], found[0], atol=1e-5)
    np.testing.assert_allclose(found[3], found[0], atol=1e-3)
    np.testing.assert_allclose(found[4].sum(axis=(0, 1, 2)), found[0].sum(axis=(0, 1, 2)), rtol=0.05)


def test_a_kernel_answers_as_a_convolution_does():
    random = np.random.default_rng(0)
    x = random.normal(size=(2, 50, 3)).astype(np.float32)
    seen = np.zeros((84, 3), np.bool_)
    seen[:, [0, 2]] = True
    found = features._convolved(x, 3, seen)
    weights = np.full(9, -1.0)
    weights[list(features._TWOS[17])] = 2
    spread = np.zeros(25)
    spread[::3] = weights
    expected = np.convolve(x[1, :, 0] + x[1, :, 2], spread[::-1], "same")
    np.testing.assert_allclose(found[1, 17], expected, atol=1e-4)
    assert weights.sum() == 0  # so that a constant added to a series changes nothing inside it


def test_a_louder_or_later_sound_has_the_same_coefficients():
    spec = DatasetSpec(name="s", kind="sound", task="binary", shape=(8000,), outputs=1, labels=("a", "b"), rate=8000.0)
    t = np.arange(4000) / 8000
    x = np.zeros((4, 8000), np.float32)
    x[0, 1000:5000] = x[1, 1000:5000] = x[2, 2600:6600] = np.sin(2 * np.pi * 440 * t)
    x[1] *= 0.25
    x[3, 1000:5000] = np.sin(2 * np.pi * 1900 * t)
    found = features.mfcc(spec, x)
    far = np.abs(found - found[0]).max(axis=1)
    assert far[1] < 0.05 and far[2] < 0.5 < 3 < far[3]


# -- of a run ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    question = from_data(
        "sklearn:breast_cancer", trials=1, epochs=20, finalists=1, seeds=1, folds=0,
        space={"hidden_layers": 1, "units_0": 16},
    )  # fmt: skip
    assert pipeline.search(question, home=home, workers=1)
    return home, question.name


def test_from_a_run_to_its_verdict(searched):
    home, name = searched
    told = []
    found = pipeline.fit_baselines(home, name, seconds=10.0, progress=lambda *step: told.append(step))
    fitted = {one["factory"]: one["score"] for one in found["baselines"]}
    assert list(fitted.values()) == sorted(fitted.values(), reverse=True)
    assert set(fitted) == {"constant", "linear", "pairs", "neighbours", "forest", "boosting", "perceptron"}
    assert (0, 7, "fitting constant") in told and pipeline.show(home, name)["baselines"] == found["baselines"]
    told.clear()
    assert pipeline.fit_baselines(home, name, progress=lambda *step: told.append(step)) == found
    assert not told  # all were there
    document = pipeline.evaluate(home, name)
    best = next(iter(fitted))
    assert document["verdict"]["rival"] == best
    assert document["verdict"]["rival_value"] == document["baselines"][best]["accuracy"] > 0.9
    assert document["verdict"]["network"] == document["metrics"]["accuracy"]
    with RunStore.open(home, name) as run, np.load(run.predictions) as kept:
        data = Dataset.open(run.data)
        assert kept[f"outputs_baseline_{best}"].shape == (len(data.rows("test")), 1)
        assert (
            metrics("binary", kept["y"], kept[f"outputs_baseline_{best}"])["accuracy"]
            == document["verdict"]["rival_value"]
        )


def test_a_name_that_is_no_baseline_is_refused(searched):
    home, name = searched
    with pytest.raises(ExperimentError, match=r"'forst' is no baseline: .* 'forest'"):
        pipeline.fit_baselines(home, name, ["forst"])
    with pytest.raises(ExperimentError, match="'rocket' is not for data of kind table"):
        pipeline.fit_baselines(home, name, ["rocket"])


def test_one_that_takes_too_long_is_stopped_and_the_rest_goes_on(searched, monkeypatch):
    home, name = searched
    monkeypatch.setattr(measuring, "PATIENCE", 0.001)
    monkeypatch.setattr(measuring, "START_S", 0.0)
    with RunStore.open(home, name) as run:
        (found,) = [one for one in measuring.measure(run, ["linear"], again=True) if one.factory == "linear"]
        assert (found.status, found.score) == ("failed", None) and "stopped after 0 s" in found.message
        assert "linear" not in measuring.models(run) and "forest" in measuring.models(run)
        monkeypatch.undo()
        measuring.measure(run, ["linear"], again=True)
        assert "linear" in measuring.models(run)


def test_one_that_cannot_take_the_data_says_why(searched, monkeypatch):
    home, name = searched
    with RunStore.open(home, name) as run:
        data = Dataset.open(run.data)
        wide = baselines.BASELINES["pairs"].__class__(**{**vars(baselines.BASELINES["pairs"]), "inputs": 5})
        monkeypatch.setitem(baselines.BASELINES, "pairs", wide)
        with pytest.raises(ValueError, match="30 inputs: it takes 5 at most"):
            baselines.train("pairs", data, run.experiment)


def test_a_model_of_another_version_is_told_apart_from_a_bug(searched):
    home, name = searched
    with RunStore.open(home, name) as run:
        run.save_baseline(
            Trial(
                id=1, factory="linear", values={}, status="completed", score=0.5,
                metrics={"accuracy": 0.5, "log_loss": 1.0},
            ),
            b"\x80\x05garbage", folds=False,
        )  # fmt: skip
        with pytest.raises(RunError, match="kexp baselines breast_cancer --again"):
            measuring.models(run)
        measuring.measure(run, ["linear"], again=True)
