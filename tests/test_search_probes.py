"""Candidates to be measured: few, of one space, the default first, and as unlike as there are."""

from __future__ import annotations

import dataclasses

import pytest

from kexp.records import Costs, Dimension, Recipes
from kexp.search.probes import FEW, probes
from kexp.search.sketches import Outline, Sketch

DIMENSIONS = (
    Dimension(name="layers", kind="int", default=2, minimum=0, maximum=9),
    Dimension(name="units", kind="choice", default=64, values=(16, 64, 1024)),
    Dimension(name="activation", kind="choice", default="relu", values=("relu", "tanh")),
    Dimension(name="flat", kind="boolean", default=True, values=(False, True)),
    Dimension(name="learning_rate", kind="float", default=1e-3, minimum=1e-4, maximum=1e-2),
)
OUTLINE = Outline("f", DIMENSIONS, Recipes(long=({"layers": 5},)), alone=False)


def look(values):
    read = {one.name: values.get(one.name, one.default) for one in DIMENSIONS}
    macs = read["layers"] * read["units"] ** 2
    costs = Costs(
        parameters=macs, bytes=macs + 500, macs=macs, work=macs, operators=read["layers"] + 3, memory=9
    )  # fmt: skip
    return Sketch(read, None, costs)


def test_the_default_comes_first_and_the_ends_are_among_the_few():
    found = probes(OUTLINE, look, seed=0)
    assert len(found) == FEW
    assert found[0].values == look({}).values and found[0].costs == look({}).costs
    macs = [one.costs.macs for one in found]
    assert min(macs) == 0 and max(macs) == 9 * 1024**2
    assert len(set(macs)) == FEW
    assert {one.values["learning_rate"] for one in found} == {1e-3}


def test_the_same_seed_asks_the_same():
    assert probes(OUTLINE, look, seed=3) == probes(OUTLINE, look, seed=3)
    several = [[one.values for one in probes(OUTLINE, look, seed=seed)] for seed in range(5)]
    assert any(one != several[0] for one in several)


@pytest.mark.parametrize("few", [1, 3])
def test_there_are_no_more_than_are_wanted_or_differ(few):
    assert len(probes(OUTLINE, look, seed=0, few=few)) == few
    fixed = dataclasses.replace(DIMENSIONS[0], kind="fixed", values=())
    alike = Outline("f", (fixed,), Recipes(), alone=False)
    assert len(probes(alike, lambda values: look({}), seed=0)) == 1
