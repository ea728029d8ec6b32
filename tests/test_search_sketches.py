"""Networks are looked at in another process as in this one, and in this one where the other is gone."""

from __future__ import annotations

import pytest

from kexp.errors import ExperimentError
from kexp.records import Column, DatasetSpec, Experiment
from kexp.search.forks import Forks
from kexp.search.sketches import RemoteSketches, Sketches

TABLE = DatasetSpec(
    name="t", kind="table", task="binary", shape=(2,), outputs=1, labels=("a", "b"),
    columns=(Column(name="x", kind="number"), Column(name="y", kind="number")),
)  # fmt: skip
IMAGE = DatasetSpec(
    name="p", kind="image", task="binary", shape=(12, 12, 1), outputs=1, labels=("a", "b"), mean=(0.0,), std=(1.0,)
)
QUESTION = Experiment(name="q", data="d")
MINE = """
import keras
def build(hp):
    if hp.Choice("kind", ["good", "bug"]) == "bug":
        raise KeyError("planted bug")
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
"""


@pytest.fixture(scope="module")
def forks():
    found = Forks({})
    yield found
    found.close()


def remote(forks, tmp_path, spec, experiment):
    number, connection = forks.fork(tmp_path / "log")
    return number, RemoteSketches(connection, spec, experiment)


@pytest.mark.parametrize("spec", [TABLE, IMAGE])
def test_another_process_sees_what_this_one_sees(forks, tmp_path, spec):
    here, (_, there) = Sketches(spec, QUESTION), remote(forks, tmp_path, spec, QUESTION)
    outline = there.outline()
    assert outline == here.outline()
    assert outline.alone == (spec is IMAGE)
    assert outline.factory == ("conv" if spec is IMAGE else "dense")
    for values in ({}, {"dropout": 0.3, "learning_rate": 1e-3, "no_such": 1}):
        sketch = there.look(values)
        assert sketch == here.look(values)
        assert sketch.costs.parameters > 0 and sketch.costs.bytes > 0 and "no_such" not in sketch.values
        assert (sketch.kind is None) == (spec is IMAGE)


def test_errors_and_bugs_of_a_factory_come_back(forks, tmp_path, monkeypatch):
    _, there = remote(forks, tmp_path, TABLE, Experiment(name="q", data="d", factory="no_such"))
    with pytest.raises(ExperimentError, match="no_such"):
        there.outline()
    (tmp_path / "mine_sketched.py").write_text(MINE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    own = Forks({})
    try:
        _, there = remote(own, tmp_path, TABLE, Experiment(name="q", data="d", factory="mine_sketched:build"))
        assert there.look({}).values == {"kind": "good"}
        with pytest.raises(RuntimeError, match="planted bug"):
            there.look({"kind": "bug"})
        assert there.look({}).costs.parameters == 3  # it is still there
    finally:
        own.close()


def test_where_the_process_is_gone_this_one_builds(forks, tmp_path):
    number, there = remote(forks, tmp_path, TABLE, QUESTION)
    before = there.look({})
    forks.end(number, tmp_path / "log")
    assert there.look({}) == before
    assert there.outline() == Sketches(TABLE, QUESTION).outline()
