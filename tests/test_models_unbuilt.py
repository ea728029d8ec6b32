"""Networks of dense layers are known from their values: the same sketch as if they were built, in a millisecond."""

from __future__ import annotations

import random

import keras
import pytest
from test_export_costs import FORECAST, GREY, PICTURES, SERIES, SOUND, TABLE

from kexp import models
from kexp.errors import ExperimentError
from kexp.models.space import HyperParameters, Remembered
from kexp.records import Experiment
from kexp.search.sketches import Sketches


def draws(spec, question, count):
    dice = random.Random(0)
    dimensions = models.space(spec, question)
    for _ in range(count):
        values = {}
        for one in dimensions:
            if one.values:
                values[one.name] = dice.choice(one.values)
            elif one.kind == "int":
                values[one.name] = dice.randint(int(one.minimum), int(one.maximum))
            elif one.kind == "float":
                values[one.name] = round(dice.uniform(one.minimum, one.maximum), 1 if one.step else 6)
        yield values


def both(spec, question):
    """Sketches that need not build, and such that must."""
    built = Sketches(spec, question)
    built._unbuilt.known = lambda hp: None
    return Sketches(spec, question), built


SPACE = {"units_0": [8, 24], "hidden_layers": {"min": 1, "max": 2}, "dropout": 0.0, "learning_rate": 1e-3}


@pytest.mark.parametrize(
    ("spec", "space", "count"),
    [(TABLE, {}, 80), (TABLE, SPACE, 20), (GREY, {}, 30), (SERIES, {}, 30), (FORECAST, {}, 20), (SOUND, {}, 20)],
)
def test_what_is_not_built_is_as_if_it_were(spec, space, count):
    question = Experiment(name="q", data="d", factory="dense", space=space)
    known, built = both(spec, question)
    for values in draws(spec, question, count):
        one, other = known.look(values), built.look(values)
        assert one == other
        assert list(one.values) == list(other.values)


def test_the_heads_of_a_frozen_trunk_are_not_built_and_others_are(tmp_path):
    trunk = tmp_path / "trunk.keras"
    keras.Sequential([keras.Input((16, 20, 3)), keras.layers.Conv2D(4, 3, name="conv_0_0")]).save(trunk)
    for blocks in (0, 1):
        space = {"weights": str(trunk), "trained_blocks": blocks}
        question = Experiment(name="q", data="d", factory="backbone", space=space)
        known, built = both(PICTURES, question)
        hp = HyperParameters({}, space)
        assert (known._unbuilt.known(hp) is None) == bool(blocks)
        for values in draws(PICTURES, question, 4):
            assert known.look(values) == built.look(values)


@pytest.mark.parametrize("space", [{"activation": "gelu"}, {"units_0": [8, 0]}, {"dropout": 1.5}])
def test_what_keras_has_something_to_say_about_is_built(space):
    hp = HyperParameters({"units_0": 0}, space)
    assert models.Unbuilt(GREY, "dense").known(hp) is None


def test_a_factory_that_does_not_suit_the_data_says_so():
    with pytest.raises(ExperimentError, match="takes pictures"):
        models.Unbuilt(TABLE, "backbone").known(HyperParameters({}, {"weights": "imagenet"}))


def test_what_was_made_is_remembered_by_the_answers_alone():
    made = []

    def make(hp):
        made.append(hp.Choice("kind", ["a", "b"]))
        if made[-1] == "b":
            hp.Int("more", 1, 3, default=2)
        return len(made)

    remembered = Remembered(make)
    assert [remembered(HyperParameters({"kind": kind, "other": i})) for i, kind in enumerate("aabba")] == [
        1,
        1,
        2,
        2,
        1,
    ]
    assert remembered(HyperParameters({"kind": "b", "more": 3})) == 3
    hp = HyperParameters({"kind": "b", "more": 3})
    assert remembered(hp) == 3 and hp.read == {"kind": "b", "more": 3} and list(hp.asked) == ["kind", "more"]
    assert made == ["a", "b", "b"]
    hp = HyperParameters({}, {"kind": ["b", "a"]})
    remembered(hp)
    assert hp.asked["kind"].values == ("b", "a")
