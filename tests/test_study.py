"""How many layers are enough: what is varied, what the scores say, and a case whose answer is known."""

from __future__ import annotations

import dataclasses
import io
import json

import numpy as np
import pytest
from rich.console import Console

from kexp import pipeline, screen
from kexp.data.dataset import Dataset
from kexp.experiment import from_data
from kexp.knobs import Row, judged, noise, variations, yardstick
from kexp.records import Dimension
from kexp.store import RunStore
from kexp.study import fewer


def dimension(name, *values, kind="choice", low=0, high=0, **options):
    return Dimension(
        name=name, kind=kind, default=values[0] if values else low, values=values, minimum=low, maximum=high, **options
    )


SPACE = (
    dimension("activation", "relu", "tanh"),
    dimension("hidden_layers", kind="int", low=0, high=4),
    dimension("batch_normalization", False, True, kind="boolean"),
    dimension("dropout", kind="float", low=0.0, high=0.5, step=0.1),
    dimension("learning_rate", kind="float", low=1e-4, high=1e-1, sampling="log"),
    *(dimension(f"units_{i}", 16, 32, 64, 128, 256) for i in range(4)),
    dimension("separable", False, True, kind="boolean"),
)
WINNER = {
    "activation": "relu", "hidden_layers": 2, "batch_normalization": False, "dropout": 0.1, "learning_rate": 0.01,
    "units_0": 64, "units_1": 32,
}  # fmt: skip


def test_one_knob_at_a_time_is_varied():
    found = variations(WINNER, SPACE)
    knobs = list(dict.fromkeys(one.knob for one in found))
    assert knobs == ["hidden_layers", "units", "activation", "batch_normalization", "dropout"]
    by = {(one.knob, one.value): one.values for one in found}
    assert [value for knob, value in by if knob == "hidden_layers"] == [0, 1, 2, 3, 4]
    assert by["activation", "tanh"] == {**WINNER, "activation": "tanh"}
    assert by["units", 128] == {**WINNER, "units_0": 128, "units_1": 128}
    assert by["hidden_layers", 4] == {**WINNER, "hidden_layers": 4, "units_2": 32, "units_3": 32}  # as wide as its last
    assert [value for knob, value in by if knob == "dropout"] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])
    assert all(one.values["learning_rate"] == 0.01 for one in found)


def test_of_many_values_some_are_tried_and_the_winners_own():
    many = dimension("filters", kind="int", low=1, high=64)
    found = [one.value for one in variations({"filters": 7}, [many])]
    assert found[0] == 1 and found[-1] == 64 and 7 in found and len(found) <= 6
    assert variations({"filters": 7}, [dimension("filters", kind="fixed")]) == []


@pytest.mark.parametrize(
    ("own", "asked", "values"),
    [
        (0.05, dimension("dropout", kind="float", high=0.1, step=0.3), [0, 0.05]),  # a step that leads out of the range
        (0.05, dimension("dropout", kind="float", high=0.5, step=0.2), [0, 0.05, 0.2, 0.4]),
        (0.1, dimension("dropout", kind="float", high=0.4), [0, 0.1, 0.2, 0.3, 0.4]),
        (32, dimension("units", kind="int", low=16, high=256, step=2, sampling="log"), [16, 32, 64, 128, 256]),
        (64, dimension("units", kind="int", low=16, high=4096, sampling="log"), [16, 64, 256, 1024, 4096]),
        (7, dimension("units", kind="int", low=1, high=10**12), [1, 7, 250000000001, 10**12]),
        (0.1, dimension("cut", kind="float", low=0.01, high=1, sampling="log"), [0.01, 0.0316228, 0.1, 0.316228, 1]),
    ],
)
def test_values_are_those_that_the_search_may_choose(own, asked, values):
    found = [one.value for one in variations({asked.name: own}, [asked], most=len(values))]
    assert found == pytest.approx(values)


def test_the_smallest_that_is_as_good_is_enough():
    rows = [
        Row(0, (0.80, 0.81, 0.79), 10), Row(1, (0.940, 0.952, 0.958), 100), Row(2, (0.941, 0.953, 0.959), 200),
    ]  # fmt: skip
    found = judged("hidden_layers", 2, rows, noise(rows), "max")
    assert (found["best"], found["enough"], found["matters"]) == (2, 1, True)
    assert found["sentence"] == "hidden layers: 1 is enough; 2, the best, is within noise of it."
    errors = [row._replace(scores=tuple(1 - score for score in row.scores)) for row in rows]
    assert judged("hidden_layers", 2, errors, noise(errors), "min")["enough"] == 1


def test_noise_is_not_taken_for_a_difference():
    rows = [Row("relu", (0.90, 0.94), 10), Row("tanh", (0.93, 0.95), 10)]
    found = judged("activation", "relu", rows, noise(rows), "max")
    assert not found["matters"] and found["sentence"] == "activation: no difference that 2 seeds could show."
    clear = [Row("relu", (0.90, 0.901), 10), Row("tanh", (0.95, 0.951), 10)]
    assert judged("activation", "relu", clear, noise(clear), "max")["sentence"] == "activation: tanh is best."
    assert not judged("activation", "relu", clear, noise(clear), "max", least=0.06)["matters"]


def test_noise_is_pooled():
    random = np.random.default_rng(0)
    rows = [Row(i, tuple(random.normal(i, 0.5, 3)), 1) for i in range(2000)]
    assert noise(rows).spread == pytest.approx(0.5, rel=0.03) and noise(rows).degrees == 4000
    assert noise([Row(1, (0.5,), 1)]) is None


def test_one_seed_proves_nothing():
    rows = [Row(8, (0.5,), 10), Row(16, (0.9,), 20)]
    found = judged("filters", 8, rows, noise(rows), "max")
    assert not found["matters"] and found["sentence"] == "filters: 16 was best under one seed, which proves nothing."


@pytest.mark.parametrize("values", [2, 3, 6])
def test_a_knob_without_effect_seldom_matters(values):
    """Once in twenty times, however many values it has: the best of many is luckier than the better of two."""
    random = np.random.default_rng(values)
    wrong = 0
    for _ in range(400):
        rows = [Row(k, tuple(random.normal(0, 1, 3)), 1) for k in range(values)]
        wrong += judged("knob", 0, rows, noise(rows), "max")["matters"]
    assert 4 <= wrong <= 38  # 20 are expected, with a standard deviation of 4.4
    assert yardstick(2, 1000) == pytest.approx(1.96, abs=0.02) and yardstick(6, 12) > 3


def test_a_class_of_one_row_is_said_to_be_too_few_and_not_that_time_was_short(studied):
    home, document = studied
    dataset = Dataset.open(home / "runs" / "signs" / "data")
    order = dataset.rows("train")
    assert fewer(dataset, order) == [44, 88, 175]
    y = dataset.y.copy()
    y[order] = 0
    y[order[-1]] = 1  # no half has it
    assert fewer(dataclasses.replace(dataset, y=y), order) == []
    numbers = dataclasses.replace(dataset.spec, task="regression", labels=("label",))
    assert fewer(dataclasses.replace(dataset, y=y, spec=numbers), order) == [44, 88, 175]
    assert document["too_few"] is False
    buffer = io.StringIO()
    Console(file=buffer, width=80).print(screen.study({**document, "samples": None, "too_few": True}))
    assert "lack a class" in buffer.getvalue() and "no time was left" not in buffer.getvalue()


def test_ctrl_c_leaves_what_was_measured(studied, monkeypatch):
    home, before = studied

    def press(done, total, text):
        if text.startswith("varying") and done >= 1:
            raise KeyboardInterrupt

    document = pipeline.study(home, "signs", workers=1, seeds=2, seconds=300, progress=press)
    assert document["interrupted"] and document["samples"] is None and document["unmeasured"] == ["hidden_layers"]
    with RunStore.open(home, "signs") as run:
        assert json.loads(run.study.read_text()) == before  # which says more
    buffer = io.StringIO()
    Console(file=buffer, width=80).print(screen.study(document))
    assert "interrupted: what was measured by then" in buffer.getvalue()


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    """A table whose label is whether two of its four columns have the same sign: no line tells that."""
    home = tmp_path_factory.mktemp("home")
    random = np.random.default_rng(0)
    x = random.normal(size=(500, 4))
    rows = [f"{a:.3f},{b:.3f},{c:.3f},{d:.3f},{'same' if a * b > 0 else 'other'}" for a, b, c, d in x]
    (home / "signs.csv").write_text("\n".join(["a,b,c,d,label", *rows]) + "\n")
    question = from_data(
        str(home / "signs.csv"), trials=1, epochs=60, finalists=1, seeds=1, batch_size=16,
        space={
            "hidden_layers": [2, 0, 1], "units_0": 32, "units_1": 32, "activation": "relu", "dropout": 0.0,
            "batch_normalization": False, "learning_rate": 0.01, "weight_decay": 0.0, "numeric_encoding": "standard",
        },
    )  # fmt: skip
    assert pipeline.search(question, home=home, workers=1)
    before = pipeline.show(home, "signs")
    told = []
    document = pipeline.study(home, "signs", workers=1, seeds=2, seconds=300, progress=lambda *step: told.append(step))
    assert told and pipeline.show(home, "signs") == before  # the journal is what it was
    return home, document


def test_a_layer_is_needed_and_one_is_enough(studied):
    _, document = studied
    knob = next(knob for knob in document["knobs"] if knob["name"] == "hidden_layers")
    means = {row["value"]: row["mean"] for row in knob["rows"]}
    assert means[0] < 0.75 < 0.85 < means[1] and knob["matters"] and knob["winner"] == 2
    assert knob["enough"] in (1, 2) and all(len(row["scores"]) == 2 for row in knob["rows"])
    weights = {row["value"]: row["parameters"] for row in knob["rows"]}
    assert weights[0] < weights[1] < weights[2]
    assert not document["unmeasured"]


def test_columns_that_say_nothing_do_not_matter(studied):
    _, document = studied
    drops = {one["name"]: one["drop"] for one in document["columns"]}
    assert set(list(drops)[:2]) == {"a", "b"} and min(drops["a"], drops["b"]) > 0.2
    assert max(abs(drops["c"]), abs(drops["d"])) < 0.1


def test_fewer_rows_are_worse(studied):
    _, document = studied
    rows = document["samples"]["rows"]
    assert [row["rows"] for row in rows] == [44, 88, 175, 350]
    assert rows[0]["mean"] < rows[-1]["mean"]
    assert document["samples"]["sentence"].startswith("More data")


def test_what_was_found_is_kept_and_shown(studied):
    home, document = studied
    with RunStore.open(home, "signs") as run:
        assert json.loads(run.study.read_text()) == document
    buffer = io.StringIO()
    Console(file=buffer, width=80).print(screen.study(document))
    text = buffer.getvalue()
    assert "hidden_layers" in text and "accuracy lost when shuffled" in text and "…" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_what_there_was_no_time_for_is_named(studied):
    home, _ = studied
    document = pipeline.study(home, "signs", workers=1, seeds=2, seconds=0.1)
    assert document["unmeasured"] == ["hidden_layers"] and document["knobs"] == [] and document["samples"] is None
    assert not document["interrupted"]
    buffer = io.StringIO()
    Console(file=buffer, width=80).print(screen.study(document))
    assert "no time was left for hidden_layers, fewer training rows" in buffer.getvalue()
