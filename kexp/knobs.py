"""What is varied around a candidate, one knob at a time, and what the scores say of each knob. No training here."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from kexp.metrics import Direction, sign_of
from kexp.records import Dimension, Value
from kexp.search.protocol import listed

MOST = 6  # values of one knob
BETWEEN = 5  # values of one that has no steps ...
COUNTED = 10_000  # ... or more of them than this
# How a training goes, not what a network is: searched on logarithmic scales, and not what a learner asks about.
TRAINING = ("learning_rate", "backbone_rate", "weight_decay", "label_smoothing", "mixup", "optimizer")
ORDER = (
    "layers",
    "stages",
    "convolutions",
    "units",
    "filters",
    "kernel",
    "pool",
    "reduction",
    "activation",
    "normal",
    "dropout",
)


class Variation(NamedTuple):
    """A candidate that differs from the winner in one knob."""

    knob: str
    value: Value
    values: dict[str, Value]


def variations(winner: Mapping[str, Value], dimensions: Sequence[Dimension], most: int = MOST) -> list[Variation]:
    """At most `most` values of every knob that `winner` has, its own among them; knobs asked about most come first.

    Names that end in a number (`units_0`, `units_1`) are one knob, which sets all of them alike: neurons in each layer.
    A layer that the winner lacks is as wide as its last.
    """
    groups: dict[str, list[Dimension]] = {}
    for dimension in dimensions:
        if dimension.name in winner and not dimension.name.startswith(TRAINING):
            groups.setdefault(re.sub(r"_\d+$", "", dimension.name), []).append(dimension)
    found = []
    for knob in sorted(groups, key=_place):
        several = groups[knob]
        own = winner[several[0].name]
        for value in _values(several[0], own, most):
            changed = dict(winner) | {one.name: value for one in several}
            if len(several) == 1 and several[0].kind == "int":
                changed = _widened(changed, dimensions)
            found.append(Variation(knob, value, changed))
    return found


def _place(knob: str) -> tuple[int, str]:
    return next((at for at, word in enumerate(ORDER) if word in knob), len(ORDER)), knob


def _values(dimension: Dimension, own: Value, most: int) -> list[Value]:
    """At most `most` values of a dimension, evenly spread, the winner's own and the ends among them."""
    known = () if dimension.kind == "fixed" else listed(dimension)
    every = _spread(dimension) if known is None or len(known) > COUNTED else list(known)
    if own not in every:
        every = [*every, own] if isinstance(own, str | bool) else sorted([*every, own], key=float)
    if len(every) > most:
        at = every.index(own)
        spread = {round(i * (len(every) - 1) / (most - 2)) for i in range(most - 1)}
        every = [value for i, value in enumerate(every) if i in spread or i == at]
    return every if len(every) > 1 else []


def _spread(dimension: Dimension) -> list[Value]:
    """BETWEEN values of a dimension that has no steps, its ends among them, as it is sampled."""
    low, high = dimension.minimum, dimension.maximum
    shares = [i / (BETWEEN - 1) for i in range(BETWEEN)]
    if dimension.sampling == "log":
        values = [low * (high / low) ** share for share in shares]
    else:
        values = [low + (high - low) * share for share in shares]
    return list(dict.fromkeys(round(v) if dimension.kind == "int" else float(f"{v:.6g}") for v in values))


def _widened(values: Mapping[str, Value], dimensions: Sequence[Dimension]) -> dict[str, Value]:
    """`values` with those of `units_2` and its like, where they are missing, as `units_1` has it."""
    found = dict(values)
    for dimension in dimensions:
        match = re.fullmatch(r"(.+)_(\d+)", dimension.name)
        if match and dimension.name not in found:
            before = f"{match[1]}_{int(match[2]) - 1}"
            if before in found:
                found[dimension.name] = found[before]
    return found


class Row(NamedTuple):
    """One value of a knob: the scores under each seed, and how many weights the network has."""

    value: Value
    scores: tuple[float, ...]
    parameters: int

    @property
    def mean(self) -> float:
        """Of the scores."""
        return math.fsum(self.scores) / len(self.scores)


class Noise(NamedTuple):
    """The standard deviation of a score under another seed, and of how many degrees of freedom it is known."""

    spread: float
    degrees: int


def noise(rows: Sequence[Row]) -> Noise | None:
    """Pooled over `rows`; None where no row has two scores."""
    squares = sum((score - row.mean) ** 2 for row in rows for score in row.scores)
    degrees = sum(len(row.scores) - 1 for row in rows)
    return Noise(math.sqrt(squares / degrees), degrees) if degrees else None


@functools.cache
def yardstick(values: int, degrees: int) -> float:
    """By how many standard errors two means of `values` differ by chance, once in twenty: the best of many is luckier.

    Tukey's studentized range (1949), divided by the square root of two: 1.96 for two values and much that is known.
    """
    from scipy.stats import studentized_range

    return float(studentized_range.ppf(0.95, values, min(degrees, 1000))) / math.sqrt(2)


def judged(
    knob: str, own: Value, rows: Sequence[Row], found: Noise | None, direction: Direction, *, least: float = 0.0
) -> dict[str, Any]:  # fmt: skip
    """{"name", "winner", "rows", "best": a value, "enough": a value, "matters", "sentence"} of a knob's `rows`.

    `found` is `noise` of all rows that were measured. The difference of two means has the standard error
    spread sqrt(1/a + 1/b); a value within `yardstick` of them of the best, or within `least`, is as good as far as is
    known, and of those the one with the fewest weights is enough. The knob matters where the worst is not among them.
    """
    sign = sign_of(direction)
    best = max(rows, key=lambda row: sign * row.mean)

    def close(row: Row) -> bool:
        if found is None:
            return True
        error = found.spread * math.sqrt(1 / len(row.scores) + 1 / len(best.scores))
        return sign * (best.mean - row.mean) <= max(yardstick(len(rows), found.degrees) * error, least) + 1e-9

    good = [row for row in rows if close(row)]
    enough = min(good, key=lambda row: (row.parameters, -sign * row.mean))
    return {
        "name": knob,
        "winner": own,
        "rows": [
            {"value": row.value, "mean": row.mean, "scores": list(row.scores), "parameters": row.parameters}
            for row in rows
        ],
        "best": best.value,
        "enough": enough.value,
        "matters": len(good) < len(rows),
        "sentence": _sentence(knob, rows, best, enough, good, found is not None),
    }


def _sentence(knob: str, rows: Sequence[Row], best: Row, enough: Row, good: Sequence[Row], known: bool) -> str:
    name = knob.replace("_", " ")
    if not known:
        return f"{name}: {_said(best.value)} was best under one seed, which proves nothing."
    if len(good) == len(rows):
        several = len({row.parameters for row in good}) > 1
        least = f"; {_said(enough.value)} has the fewest weights" if several else ""
        seeds = min(len(row.scores) for row in rows)
        return f"{name}: no difference that {seeds} seed{'s' if seeds > 1 else ''} could show{least}."
    if enough.value == best.value:
        return f"{name}: {_said(best.value)} is best."
    if enough.parameters < best.parameters:
        return f"{name}: {_said(enough.value)} is enough; {_said(best.value)}, the best, is within noise of it."
    return f"{name}: {_said(best.value)} is best, {_said(enough.value)} within noise of it."


def _said(value: Value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
