"""Which candidates to convert and measure before a search, so that what others take can be foretold."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from kexp.records import Costs, Dimension, Value
from kexp.search.sketches import Outline, Sketch

FEW = 4  # six foretold no better
DRAWN = 40  # that are looked at, among which those are chosen that differ most


class Probe(NamedTuple):
    """One to be measured."""

    values: dict[str, Value]
    costs: Costs


def probes(
    outline: Outline, look: Callable[[Mapping[str, Value]], Sketch], *, seed: int, few: int = FEW
) -> list[Probe]:
    """Up to `few` candidates of a space: the default, and those that are furthest from all before in what they cost.

    Besides the default these are recipes, the smallest and the largest of everything, and draws by `seed`.
    """
    asked: list[Mapping[str, Value]] = [{}, *outline.recipes.short, *outline.recipes.long]
    asked += [_extreme(outline.dimensions, least) for least in (True, False)]
    dice = random.Random(seed)
    asked += [{one.name: _drawn(one, dice) for one in outline.dimensions} for _ in range(DRAWN)]
    looked: dict[object, Probe] = {}
    for values in asked:
        sketch = look(values)
        looked.setdefault(_structure(sketch), Probe(sketch.values, sketch.costs))
    first, *others = looked.values()
    chosen = [first]
    while others and len(chosen) < few:
        furthest = max(others, key=lambda one: min(_distance(one.costs, other.costs) for other in chosen))
        others.remove(furthest)
        chosen.append(furthest)
    return chosen


def _structure(sketch: Sketch) -> object:
    """Candidates that cost the same tell the same."""
    costs = sketch.costs
    return costs.work, costs.bytes, costs.operators, costs.memory


def _distance(one: Costs, other: Costs) -> float:
    """By what factor they differ, in whichever they differ most."""
    counts = [(each.work, each.bytes, each.operators, each.memory) for each in (one, other)]
    return max(abs(math.log((a + 1) / (b + 1))) for a, b in zip(*counts, strict=True))


def _extreme(dimensions: Sequence[Dimension], least: bool) -> dict[str, Value]:
    """The smallest number of each dimension that is one, or the largest; other choices as they are by default."""
    found: dict[str, Value] = {}
    for one in dimensions:
        numbers = [value for value in one.values if isinstance(value, int | float) and not isinstance(value, bool)]
        if numbers and len(numbers) == len(one.values):
            found[one.name] = min(numbers) if least else max(numbers)
        elif one.kind == "int":
            found[one.name] = int(one.minimum if least else one.maximum)
    return found


def _drawn(one: Dimension, dice: random.Random) -> Value:
    if one.values:
        return dice.choice(one.values)
    if one.kind == "int":
        return dice.randint(int(one.minimum), int(one.maximum))
    return one.default  # what a number that is no count is, tells little of what a network costs
