"""Tables on narrow screens: words are broken, digits are not cut off."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from kexp import screen

LONG = 'a class with <b>a very long</b> [red]name[/red] that "nobody" 読む can pronounce in one breath'


def printed(thing, width: int) -> list[str]:
    sheet = io.StringIO()
    Console(file=sheet, width=width, markup=False, highlight=False, emoji=False).print(thing)
    return sheet.getvalue().splitlines()


def evaluated(**parts):
    metrics = {"accuracy": 0.9175, "balanced_accuracy": 0.9164, "f1": 0.9178, "auc": 0.9949, "log_loss": 0.2587}
    interval = {"metric": "accuracy", "low": 0.9119, "high": 0.9227, "level": 0.95}
    return {"run": "fashion", "rows": 10_000, "split": "test", "metrics": metrics, "interval": interval, **parts}


@pytest.mark.parametrize("width", [60, 80])
def test_counts_of_a_confusion_matrix_are_whole(width):
    labels = ["Trouser", "Ankle boot", *(f"{k}th class of clothes" for k in range(8))]
    matrix = [[987 if true == said else 10 * true + said for said in range(10)] for true in range(10)]
    lines = printed(screen.evaluation(evaluated(confusion={"labels": labels, "matrix": matrix})), width)
    assert sum(line.count("987") for line in lines) == 10
    assert all(len(line) <= width for line in lines)


def test_simpler_models_have_no_column_for_what_nobody_measured_of_them():
    """How far clusters agree with known classes is asked of the network alone, and the column would break names."""
    metrics = {**evaluated()["metrics"], "adjusted_rand": 0.9}
    found = evaluated(baselines={"perceptron": evaluated()["metrics"]}) | {"metrics": metrics}
    lines = printed(screen.evaluation(found), 80)
    assert any(line.startswith("perceptron ") for line in lines)
    assert sum("adjusted_rand" in line for line in lines) == 1


def test_errors_of_several_numbers_stand_in_a_row_for_each():
    shares = ("5%", "25%", "50%", "75%", "95%")
    found = {f"sales +{k}": dict.fromkeys(shares, 12.345 * k) for k in range(1, 8)}
    lines = printed(screen.evaluation(evaluated(residuals=found)), 80)
    assert sum(line.startswith("sales +") for line in lines) == 7
    (head,) = [line for line in lines if "5%" in line and "50%" in line]
    assert head.split()[-5:] == list(shares)


@pytest.mark.parametrize("width", [60, 80])
def test_simpler_models_keep_their_digits(width):
    others = {name: dict(evaluated()["metrics"], f1=0.8123) for name in ("neighbours", "perceptron")}
    text = "\n".join(printed(screen.evaluation(evaluated(baselines=others)), width))
    assert text.count("0.8123") == 2 and text.count("0.2587") == 3
    assert "balanced_accuracy" in text


@pytest.mark.parametrize("width", [60, 80])
def test_long_names_of_classes_leave_room_for_how_often(width):
    labels = [f"{LONG} {k}" for k in range(20)]
    matrix = [[123 if (true, said) == (3, 7) else 0 for said in range(20)] for true in range(20)]
    lines = printed(screen.evaluation(evaluated(confusion={"labels": labels, "matrix": matrix})), width)
    assert any(line.split()[:1] == ["123"] for line in lines)
    text = "".join("".join(lines).split())
    assert text.count("pronounce") == 2 and "[red]" in text


def test_what_has_no_room_at_all_says_that_it_is_cut():
    others = {"neighbours": evaluated()["metrics"]}
    text = "\n".join(printed(screen.evaluation(evaluated(baselines=others)), 40))
    assert "…" in text


@pytest.mark.parametrize(("naive", "head"), [(True, "naive"), (False, "constant")])
def test_a_diagnosis_of_a_forecast_names_the_naive_one(naive, head):
    each = {name: {"rmse": value} for name, value in (("train", 1.0), ("validation", 2.0), ("constant", 3.0))}
    document = {
        "run": "sales", "layers": [], "sample": None, "fit": {**each, "naive": naive}, "calibration": None,
        "curve": [], "variants": [], "journal": {"objective": "rmse"},
    }  # fmt: skip
    lines = [line for part in screen.diagnosis(document) for line in printed(part, 80)]
    assert lines[0].split() == ["metric", "training", "validation", head]


def test_numbers_beyond_what_floats_know_are_short():
    assert [screen.number(value) for value in (1e30, -1.23456e15, 999e12)] == [
        "1e+30", "-1.235e+15", "999,000,000,000,000",
    ]  # fmt: skip
