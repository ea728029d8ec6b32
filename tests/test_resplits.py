"""The verdict on new splits: the statistics of planted gains, and a run whose network and rival are trained anew."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from kexp import evaluate, pipeline
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
     ([0.0, 0.0, 0.0], "not shown")],
)  # fmt: skip
def test_the_answer_is_that_of_the_interval(gains, answer):
    found = of_splits(gains, 0.2, "forest", "accuracy")
    assert found["answer"] == answer
    assert f"On {len(gains)} new splits" in found["sentence"] and "forest" in found["sentence"]
    assert json.loads(json.dumps(found)) == found


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A search of iris, with a forest beside it."""
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
    commands.main(["evaluate", "iris", "--resplits", "2", "--home", str(home)], standalone_mode=False)
    assert "On 2 new splits" in " ".join(capsys.readouterr().out.split())


def test_data_with_test_rows_of_their_own_have_no_other_split(home, monkeypatch):
    document = pipeline.evaluate(home, "iris")

    def parted(*_, **__):
        return Raw(kind="table", x=np.zeros((3, 1)), y=np.zeros((3, 1)), ids=["a", "b", "c"],
                   parts=np.array([0, 1, 2], np.int8))  # fmt: skip

    with RunStore.open(home, "iris") as run:
        monkeypatch.setattr("kexp.data.read", parted)
        with pytest.raises(RunError, match="say themselves which rows test"):
            pipeline.resplits(run, document, 2, cache=home)
        with pytest.raises(RunError, match="no simpler model"):
            pipeline.resplits(run, {**document, "verdict": None}, 2, cache=home)
