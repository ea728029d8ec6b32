"""Whether deep learning was needed: planted cases get the answer that they are."""

from __future__ import annotations

import numpy as np
import pytest

from kexp.verdict import Rival, paired, verdict


def answers(y, right, random):
    """Outputs (n, 3) that are right in about this share of the rows."""
    guess = np.where(random.random(len(y)) < right, y, (y + random.integers(1, 3, len(y))) % 3)
    return np.eye(3, dtype=np.float32)[guess]


@pytest.mark.parametrize(
    ("ours", "theirs", "n", "answer"),
    [(0.95, 0.8, 1000, "needed"), (0.8, 0.95, 1000, "not needed"), (0.9, 0.9, 1000, "not shown"),
     (0.95, 0.85, 30, "not shown")],
)  # fmt: skip
def test_the_answer_is_what_was_planted(ours, theirs, n, answer):
    random = np.random.default_rng(1)
    y = random.integers(0, 3, n)
    found = verdict(
        "multiclass", "accuracy", y, answers(y, ours, random), Rival("forest", answers(y, theirs, random), 7)
    )
    assert found["answer"] == answer and found["low"] <= found["gain"] <= found["high"]
    assert "forest, the best of 7 simpler models" in found["sentence"] and f"{n:,} test rows" in found["sentence"]
    assert found["gain"] == pytest.approx(found["network"] - found["rival_value"])


def test_of_an_error_less_is_better():
    random = np.random.default_rng(0)
    y = random.normal(size=(500, 1))
    close, far = y + random.normal(scale=0.5, size=y.shape), y + random.normal(scale=1.0, size=y.shape)
    found = verdict("regression", "rmse", y, close, Rival("linear", far))
    assert found["answer"] == "needed" and found["gain"] > 0.3
    assert verdict("regression", "rmse", y, far, Rival("linear", close))["answer"] == "not needed"


def test_rows_that_both_find_hard_do_not_blur_the_difference():
    random = np.random.default_rng(0)
    y = random.integers(0, 3, 600)
    theirs = answers(y, 0.7, random)
    ours = theirs.copy()
    wrong = np.flatnonzero(theirs.argmax(axis=1) != y)[:20]
    ours[wrong] = np.eye(3)[y[wrong]]  # right where the other is, and in 20 rows more: 3 %, each score known to +-4 %
    low, high = paired("multiclass", "accuracy", y, ours, theirs)
    assert 0.015 < low < 20 / 600 < high < 0.05


def test_the_interval_holds_the_truth_as_often_as_it_says():
    random = np.random.default_rng(3)
    held = 0
    for draw in range(100):
        y = random.integers(0, 3, 300)
        low, high = paired("multiclass", "accuracy", y, answers(y, 0.9, random), answers(y, 0.8, random), seed=draw)
        held += low <= 0.1 <= high
    assert held >= 88  # of 95 expected; fewer than 88 come once in 500 times


def test_a_few_rows_of_difference_are_no_proof():
    """Alone right in 4 of 60 rows: McNemar's exact p is .125; in 6: .031."""
    y = np.zeros(60, np.int64)
    theirs = np.eye(2, dtype=np.float32)[y]
    for alone, answer in ((4, "not shown"), (6, "needed")):
        worse = theirs.copy()
        worse[:alone] = [0, 1]
        assert verdict("multiclass", "accuracy", y, theirs, Rival("linear", worse))["answer"] == answer


def test_windows_that_overlap_are_not_counted_as_if_each_were_new():
    """Two forecasts that are as good, with errors that last for a while: one by one they seem to differ."""
    random = np.random.default_rng(0)
    wrong = {1: 0, 20: 0}
    for draw in range(60):
        errors = np.zeros((2, 300))
        for t in range(1, 300):
            errors[:, t] = 0.85 * errors[:, t - 1] + random.normal(size=2)
        y = np.zeros((300, 1))
        for block in wrong:
            low, high = paired("regression", "rmse", y, errors[0][:, None], errors[1][:, None], block=block, seed=draw)
            wrong[block] += not low <= 0 <= high
    assert wrong[20] <= 12 < 18 <= wrong[1]


def test_no_verdict_without_a_rival_or_a_number():
    y = np.array([0, 1, 1, 0])
    outputs = np.eye(2, dtype=np.float32)[y]
    assert verdict("multiclass", "accuracy", y, outputs, Rival("constant", outputs)) is None
    one = np.array([[1.0]])
    assert verdict("regression", "r2", one, one, Rival("linear", one)) is None


def test_both_alike_and_what_held_the_rival_back_are_said():
    y = np.array([0, 1, 1, 0] * 10)
    outputs = np.eye(2, dtype=np.float32)[y]
    rival = Rival("linear", outputs, 3, "on 20,000 of 50,000 rows", ("forest", "boosting"))
    told = verdict("multiclass", "accuracy", y, outputs, rival)["sentence"]
    assert (
        "of linear (on 20,000 of 50,000 rows), the best of 3 simpler models; on 40 test rows both answer alike" in told
    )
    assert told.endswith("Could not be fitted: forest, boosting.")
