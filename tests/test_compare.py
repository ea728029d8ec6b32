"""Runs side by side: what differs, and whether one is better, where the same test rows tell."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from kexp import compare, pipeline
from kexp.data.dataset import Dataset
from kexp.errors import RunError
from kexp.records import Column, DatasetSpec, Experiment, Trial
from kexp.store import RunStore
from kexp.verify import digest

ROWS = 300
SPEC = DatasetSpec(
    name="d", kind="table", task="binary", shape=(1,), outputs=1, labels=("no", "yes"),
    columns=(Column(name="x", kind="number"),),
)  # fmt: skip


def made(home, name, right, *, spec=SPEC, ids=None, y=None, evaluated=True, model=True, seed=0, **asked):
    """A run whose model answers a share `right` of the test rows right: the first ones."""
    random = np.random.default_rng(0)
    y = random.integers(0, 2, ROWS).astype(np.int32) if y is None else y
    dataset = Dataset(
        spec=spec, x=np.zeros((ROWS + 20, 1), np.float32), y=np.concatenate([y, y[:20]]),
        part=np.array([2] * ROWS + [0] * 15 + [1] * 5, np.int8),
        ids=[f"{ids or 'd.csv'} row {n}" for n in range(ROWS + 20)], fingerprint=f"{name[0]}0123456789",
    )  # fmt: skip
    values = {"units_0": 8 * len(name), "activation": "relu"}
    metrics = {"accuracy": right, "log_loss": 1 - right, "balanced_accuracy": right}
    trial = Trial(id=0, factory="dense", values=values, status="completed", metrics=metrics, score=right, parameters=99,
                  variant="tflite_int8", bytes=8000 + len(name), latency_ms=0.5)  # fmt: skip
    with RunStore.create(home, name, Experiment(name=name, data="d.csv", seed=seed, **asked)) as run:
        dataset.save(run.data)
        run.set("task", spec.task)
        run.set("kind", spec.kind)
        run.record_ask(dataclasses.replace(trial, status="running"))
        run.record_tell(trial)
        if not model:
            return
        run.set("best_trial", 0)
        run.model.write_bytes(name.encode())
        if evaluated:
            good = np.arange(ROWS) < right * ROWS
            outputs = np.where(good == (y == 1), 0.9, 0.1).astype(np.float32)[:, None]
            document = {
                "model": digest(run.model), "rows": ROWS, "metrics": {"accuracy": float(good.mean())},
                "interval": {"metric": "accuracy", "low": 0.1, "high": 0.9, "level": 0.95},
            }  # fmt: skip
            run.evaluation.write_text(json.dumps(document))
            run.save_predictions(rows=np.arange(ROWS), y=y, **{"outputs_model.keras": outputs})


def test_the_better_of_two_is_named_whichever_comes_first(home):
    made(home, "weak", 0.8)
    made(home, "strong", 0.9, seed=1, space={"dropout": 0.5}, trials=9)
    for names in (("weak", "strong"), ("strong", "weak")):
        found = pipeline.compare(home, names)
        (pair,) = found["pairs"]
        assert (found["answer"], pair["run"], pair["other"]) == ("better", "strong", "weak")
        assert pair["gain"] == pytest.approx(0.1) and 0.05 < pair["low"] < 0.1 < pair["high"] < 0.15
        assert found["sentence"].startswith("strong is better than weak by 0.1000: accuracy 0.9000 against 0.8000 (95%")
        told = {row["field"]: row["values"] for row in found["question"]}
        assert set(told) == {"seed", "trials", "space.dropout"} and "name" not in told
        assert told["space.dropout"] == ([None, 0.5] if names[0] == "weak" else [0.5, None])
        differs = {row["name"]: row["differs"] for row in found["values"]}
        assert differs == {"units_0": True, "activation": False}


def test_a_small_difference_is_not_shown_and_none_is_none(home):
    made(home, "a", 0.89)
    made(home, "b", 0.9)
    made(home, "c", 0.9)
    found = pipeline.compare(home, ["a", "b"])
    assert found["answer"] == "not shown" and found["sentence"].startswith("No difference is shown between b and a")
    assert "both answer 300 test rows alike" in pipeline.compare(home, ["b", "c"])["sentence"]


def test_a_difference_on_a_few_rows_is_chance_by_mcnemar(home):
    made(home, "a", 1.0)
    made(home, "b", 1 - 5 / ROWS)
    found = pipeline.compare(home, ["a", "b"])
    assert found["pairs"][0]["low"] > 0 and found["answer"] == "not shown" and "McNemar" in found["sentence"]


def test_of_three_the_best_is_held_beside_each_with_wider_intervals(home):
    for name, right in (("a", 0.9), ("b", 0.7), ("c", 0.893)):
        made(home, name, right)
    found = pipeline.compare(home, ["a", "b", "c"])
    assert [(pair["other"], pair["answer"]) for pair in found["pairs"]] == [("c", "not shown"), ("b", "better")]
    assert [pair["level"] for pair in found["pairs"]] == pytest.approx([0.975] * 2) and "97.5% interval" in found[
        "sentence"
    ]
    assert found["answer"] == "not shown"


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"ids": "other.csv"}, "other test rows"),
        ({"y": np.zeros(ROWS, np.int32)}, "the same test rows have other targets"),
        ({"spec": dataclasses.replace(SPEC, labels=("no", "maybe"))}, "other classes or targets"),
        ({"spec": dataclasses.replace(SPEC, task="multilabel", labels=("no",))}, "other tasks"),
    ],
)
def test_what_was_tested_otherwise_is_not_comparable(home, other, why):
    made(home, "a", 0.9)
    made(home, "b", 0.5, **other)
    found = pipeline.compare(home, ["a", "b"])
    assert found["answer"] == "not comparable" and why in found["sentence"] and not found["pairs"]


def test_the_same_rows_in_another_order_are_the_same(home):
    made(home, "a", 0.8)
    made(home, "b", 0.9)
    with RunStore.open(home, "b") as run:
        with np.load(run.predictions) as kept:
            arrays = {name: kept[name][::-1] for name in kept.files}
        run.save_predictions(**arrays)
    assert pipeline.compare(home, ["a", "b"])["pairs"][0]["gain"] == pytest.approx(0.1)


def test_what_was_not_evaluated_or_has_no_model_is_said_with_the_command(home):
    made(home, "a", 0.9)
    made(home, "b", 0.9, evaluated=False)
    found = pipeline.compare(home, ["a", "b"])
    assert found["answer"] == "not known" and "kexp evaluate b." in found["sentence"]
    with RunStore.open(home, "a") as run:  # evaluated, and then another model came
        run.model.write_bytes(b"another")
    assert "kexp evaluate a; kexp evaluate b" in pipeline.compare(home, ["a", "b"])["sentence"]
    made(home, "c", 0.9, model=False)
    assert pipeline.compare(home, ["a", "c"])["sentence"] == "Not known which is better: c has no model yet."


def test_a_run_is_compared_with_another_one_that_is_there(home, kexp):
    made(home, "alpha", 0.9)
    with pytest.raises(RunError, match="'alpha' is named twice"):
        pipeline.compare(home, ["alpha", "alpha"])
    with pytest.raises(RunError, match="alpha"):
        pipeline.compare(home, ["alpha", "alhpa"])
    with RunStore.open(home, "alpha") as run, pytest.raises(RunError, match="1 run is named"):
        compare.compare([run], {"alpha": home})
    assert kexp("compare", "alpha")[0] == 2
    status, _, err = kexp("compare", "alpha", "nothing")
    assert status == 1 and "no run is named 'nothing'" in err


def test_the_command_shows_and_tells_it(home, kexp):
    made(home, "weak", 0.8)
    made(home, "strong", 0.9, seed=1)
    status, out, _ = kexp("compare", "weak", "strong")
    assert status == 0 and "strong is better than weak" in out
    assert all(len(line) <= 80 for line in out.splitlines())
    lines = [line.split() for line in out.splitlines()]
    assert ["≠", "seed", "0", "1"] in lines and ["≠", "units_0", "32", "48"] in lines
    assert ["activation", "relu", "relu"] in lines and ["accuracy,", "test", "rows", "0.8000", "0.9000"] in lines
    assert ["file", "that", "ranked", "it", "8.0", "KB", "int8", "8.0", "KB", "int8"] in lines
    document = json.loads(kexp("compare", "weak", "strong", "--json")[1].splitlines()[-1])
    assert document["answer"] == "better" and document["runs"][1]["run"] == "strong"
