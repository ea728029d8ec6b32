"""The verdict on new splits: the statistics of planted gains, and a run whose network and rival are trained anew."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from kexp import data, evaluate, pipeline
from kexp.cli import commands
from kexp.data.dataset import Raw
from kexp.errors import RunError
from kexp.experiment import asked
from kexp.store import RunStore
from kexp.verdict import corrected, of_splits


def test_training_rows_in_common_widen_the_interval():
    gains = [0.01, 0.03, 0.02, 0.015, 0.025]
    mean, low, high, p = corrected(gains, 0.0)
    plain = stats.ttest_1samp(gains, 0.0)  # what it is where splits have no row in common
    assert mean == pytest.approx(0.02) and p == pytest.approx(plain.pvalue)
    assert (low, high) == pytest.approx(tuple(plain.confidence_interval()))
    _, wider, _, more = corrected(gains, 0.2)
    assert wider < low and more > p
    assert (mean - wider) / (mean - low) == pytest.approx(np.sqrt(2.0))  # 1/5 + 1/5 instead of 1/5


@pytest.mark.parametrize(
    ("gains", "answer"),
    [([0.02, 0.03, 0.025, 0.02], "needed"), ([-2.0, -3.0, -2.5, -2.1], "not needed"), ([0.1, -0.1, 0.1], "not shown"),
     ([0.0, 0.0, 0.0], "not shown"), ([1 - 22 / 23, 22 / 23 - 21 / 23], "not shown")],
)  # fmt: skip
def test_the_answer_is_that_of_the_interval(gains, answer):
    found = of_splits(gains, 0.2, "forest", "accuracy")
    assert found["answer"] == answer
    assert f"On {len(gains)} new splits" in found["sentence"] and "forest" in found["sentence"]
    assert json.loads(json.dumps(found)) == found


def test_it_is_told_which_of_both_is_better():
    assert (
        "is worse than forest by 0.0160 of rmse on average (95%: 0.0"
        in of_splits([-0.014, -0.016, -0.018], 0.2, "forest", "rmse")["sentence"]
    )
    assert (
        "is better than forest by 0.1000 of accuracy on each: "
        in of_splits([0.1, 0.1], 0.2, "forest", "accuracy")["sentence"]
    )


def test_equal_gains_of_two_small_splits_are_no_proof():
    """Two models that are equally good, 23 test rows: what is shown is false, and must be rare."""
    random = np.random.default_rng(0)
    right = (random.random((1000, 2, 2, 23)) < 0.95).mean(axis=-1)  # search, model, split
    shown = [of_splits(one, 0.2, "forest", "accuracy")["answer"] != "not shown" for one in right[:, 0] - right[:, 1]]
    assert np.mean(shown) < 0.05


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A search of iris, with its nearest neighbours beside it."""
    home = tmp_path_factory.mktemp("resplits")
    question, _ = asked("sklearn:iris", trials=1, epochs=3, finalists=0, folds=0)
    pipeline.search(question, home=home, workers=0)
    pipeline.fit_baselines(home, "iris", ["neighbours"])
    return home


def test_both_are_trained_and_tested_anew(home, capsys):
    told = []
    document = pipeline.evaluate(home, "iris", splits=3, progress=lambda done, total, text: told.append(text))
    found = document["resplits"]
    assert found["rival"] == document["verdict"]["rival"] == "neighbours" and found["metric"] == "accuracy"
    assert len(found["gains"]) == len(told) == 3 and len(set(found["gains"])) > 1
    assert found["low"] <= found["mean"] <= found["high"]
    with RunStore.open(home, "iris") as run:
        assert evaluate.stored(run)["resplits"] == found
        assert len(run.trials()) == 1  # the journal of the search stays what it was
    assert pipeline.evaluate(home, "iris")["resplits"] == found  # of the same network: not lost
    assert pipeline.evaluate(home, "iris", splits=3)["resplits"]["gains"] == found["gains"]  # the same splits
    page = pipeline.report(home, "iris")[0].read_text()
    assert page.count(found["sentence"].split(":")[0]) == 1
    command = ["evaluate", "iris", "--no-baselines", "--resplits", "2", "--home", str(home)]
    commands.main(command, standalone_mode=False)
    assert "On 2 new splits" in " ".join(capsys.readouterr().out.split())


def test_data_with_test_rows_of_their_own_have_no_other_split(home, monkeypatch):
    document = pipeline.evaluate(home, "iris")

    def parted(*_, **__):
        return Raw(kind="table", x=np.zeros((3, 1)), y=np.zeros((3, 1)), ids=["a", "b", "c"],
                   parts=np.array([0, 1, 2], np.int8))  # fmt: skip

    with RunStore.open(home, "iris") as run:
        with pytest.raises(RunError, match="at least 2"):
            pipeline.resplits(run, document, 1, cache=home)
        monkeypatch.setattr("kexp.data.read", parted)
        with pytest.raises(RunError, match="say themselves which rows test"):
            pipeline.resplits(run, document, 2, cache=home)
        with pytest.raises(RunError, match="no simpler model"):
            pipeline.resplits(run, {**document, "verdict": None}, 2, cache=home)


@pytest.mark.parametrize("kept", [np.arange(149), np.arange(150)[::-1]])
def test_other_rows_than_the_search_read_are_refused(home, monkeypatch, kept):
    document = pipeline.evaluate(home, "iris")
    with RunStore.open(home, "iris") as run:
        raw = data.read(run.experiment, cache=home)
        monkeypatch.setattr("kexp.data.read", lambda *_, **__: raw.take(kept))
        with pytest.raises(RunError, match="holds other rows now"):
            pipeline.resplits(run, document, 2, cache=home)


def test_what_new_splits_said_is_of_one_rival(home):
    with RunStore.open(home, "iris") as run:
        document = run.read_evaluation()
        other = {**document, "resplits": {"rival": "another", "answer": "needed", "sentence": "So."}}
        run.evaluation.write_text(json.dumps(other))
    assert pipeline.evaluate(home, "iris")["resplits"] is None


@pytest.mark.parametrize("whole", [1, 3])
def test_ctrl_c_keeps_the_splits_that_are_over(home, monkeypatch, whole):
    document, done = pipeline.evaluate(home, "iris"), []

    def one(*_):
        if len(done) == whole:
            raise KeyboardInterrupt
        done.append(0.1 * len(done))
        return done[-1], 0.2

    monkeypatch.setattr("kexp.resplits._gain", one)
    with RunStore.open(home, "iris") as run:
        if whole < 2:
            with pytest.raises(KeyboardInterrupt):
                pipeline.resplits(run, document, 5, cache=home)
        else:
            assert "On 3 new splits" in pipeline.resplits(run, document, 5, cache=home)["resplits"]["sentence"]


def test_a_rival_that_cannot_be_fitted_on_a_split_is_told_of(home, monkeypatch):
    def refuse(*_, **__):
        raise ValueError("61 inputs: it takes 60 at most")

    document = pipeline.evaluate(home, "iris")
    monkeypatch.setattr("kexp.baselines.train", refuse)
    with RunStore.open(home, "iris") as run, pytest.raises(RunError, match="cannot be fitted on another split: 61"):
        pipeline.resplits(run, document, 2, cache=home)


def test_clusters_stay_those_that_the_search_was_taught(tmp_path, monkeypatch):
    question, _ = asked("sklearn:iris", task="clustering", trials=1, epochs=2, finalists=0, folds=0)
    pipeline.search(question, home=tmp_path, workers=0)
    pipeline.fit_baselines(tmp_path, "iris", ["neighbours"])
    monkeypatch.setattr("kexp.data.clusters.choose", None)  # no teacher is asked again
    found = pipeline.evaluate(tmp_path, "iris", splits=2)["resplits"]
    assert found["metric"] == "accuracy" and len(found["gains"]) == 2
