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
    assert "forest" in found["sentence"] and f"{n:,} test rows" in found["sentence"]
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
