"""Records survive a trip through JSON, refuse what cannot be, and a check fails on NaN."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest

from kexp import records
from kexp.records import (
    Artifact,
    Check,
    Clustering,
    Column,
    Costs,
    Curve,
    DatasetSpec,
    Dimension,
    Experiment,
    Finding,
    Measurement,
    Teacher,
    Trial,
    at_most,
    from_json,
    to_json,
)

COLUMN = Column(name="age", kind="number", edges=(1.0, 2.5), missing=True)
SPEC = DatasetSpec(
    name="t", kind="table", task="regression", shape=(1,), outputs=1, labels=("y",), columns=(COLUMN,),
    target_mean=(3.0,), target_std=(2.0,),
)  # fmt: skip
TEACHER = Teacher(
    teacher="KMeans", settings="clusters=2", clusters=2, score=None, thin_borders=0.5, agreement=0.9, stability=None,
    silhouette=0.4, noise=0.0,
)  # fmt: skip
COSTS = Costs(parameters=9, bytes=2000, macs=8, operators=3, memory=64, latency_ms=0.1)
EXAMPLES = [
    COLUMN,
    SPEC,
    Experiment(
        name="e", data="d", target=("a", "b"), space={"units": [1, 2], "rate": {"min": 0.1}}, seconds=5.0, trials=3
    ),
    Dimension(name="d", kind="choice", default="a", values=("a", 1, 2.5, True)),
    Trial(id=3, factory="dense", values={"units": 3, "on": True}, status="completed", metrics={"rmse": 1.5}, score=1.5),
    COSTS,
    Trial(id=4, factory="dense", values={}, status="running", costs=COSTS),
    Curve(epochs=(3, 4), running_loss=(0.7, 0.5), validation_loss=(None, 0.6), score=(None, 0.8)),
    Artifact(format="keras", path="model.keras", bytes=3, sha256="ab", trial=1),
    Check(name="gap", value=0.1, limit=0.2, ok=True),
    Finding(name="twins", severity="note", what="two rows", where=("a.csv row 2",), count=2, advice="remove one"),
    TEACHER,
    Clustering(sizes=(3, 2), exemplars=("row 1", "row 4"), features="columns", teachers=(TEACHER,)),
    Clustering(
        sizes=(2, 1),
        exemplars=("row 1", "row 4"),
        features="columns",
        teachers=(TEACHER,),
        plane="as they are",
        places=((0.0, 1.5), (2.0, -1.0), (0.25, 1.0)),
        members=(0, 1, 0),
    ),
    Measurement(artifact="a", device="host", runtime="litert", threads=1, p50_ms=0.1, p95_ms=0.2, runs=10),
]


@pytest.mark.parametrize("record", EXAMPLES, ids=lambda r: type(r).__name__)
def test_json_there_and_back(record):
    assert from_json(type(record), json.loads(json.dumps(to_json(record)))) == record


def test_every_record_has_an_example():
    defined = {
        value
        for value in vars(records).values()
        if dataclasses.is_dataclass(value) and value.__module__ == records.__name__
    }
    assert defined == {type(record) for record in EXAMPLES}


def test_records_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        EXAMPLES[0].name = "other"


def test_a_field_that_a_record_does_not_have():
    with pytest.raises(TypeError, match="colour"):
        from_json(Artifact, {"format": "a", "path": "b", "bytes": 1, "sha256": "", "colour": 3})


def test_json_has_no_nan():
    assert json.dumps(to_json({"a": math.nan, "b": (math.inf,)}), allow_nan=False) == '{"a": null, "b": [null]}'


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"trials": 0}, "trials = 0"),
        ({"max_parameters": 0}, "max_parameters = 0"),
        ({"seconds": -1.0}, "seconds"),
        ({"validation": 0.9, "test": 0.2}, "below 1"),
    ],
)
def test_an_experiment_that_cannot_be(fields, words):
    with pytest.raises(ValueError, match=words):
        Experiment(name="e", data="d", **fields)


@pytest.mark.parametrize("fields", [{"outputs": 2}, {"shape": (3,)}, {"kind": "image"}])
def test_a_spec_that_contradicts_itself(fields):
    with pytest.raises(ValueError, match=r"outputs|shape|kind image"):
        dataclasses.replace(SPEC, **fields)


@pytest.mark.parametrize(("value", "ok"), [(0.1, True), (0.2, True), (0.3, False), (math.nan, False)])
def test_a_check_fails_above_its_limit_and_for_nan(value, ok):
    found = at_most("gap", value, 0.2, "do this")
    assert found.ok is ok
    assert found.advice == ("" if ok else "do this")
