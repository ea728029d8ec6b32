"""What a candidate may cost at most, judged before it is trained: one that costs more is refused."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

from kexp.errors import RunError
from kexp.records import Costs, Experiment, Trial
from kexp.search.latency import LatencyModel

IN_A_ROW = 500  # proposals that were all refused: no more will be asked for. One that is built takes some 30 ms


class Row(NamedTuple):
    """One limit: a field of Experiment that says what is allowed, what of Costs it limits, and how people read it.

    `excess` is a sentence about a candidate, with its cost and what is allowed; `step` what the option counts in.
    """

    field: str
    of: Callable[[Costs], float | None]
    shown: Callable[[float], str]
    excess: str
    unit: str
    step: float


def _bytes(count: float) -> str:
    """1 kB is 1,000 bytes."""
    for unit, size in (("MB", 1_000_000), ("kB", 1000)):
        if count >= size:
            return f"{_digits(count / size)} {unit}"
    return f"{count:.0f} B"


def _digits(value: float) -> str:
    """Three of them at least, and no zeros behind the point."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


LIMITS = (
    Row("max_parameters", lambda c: c.parameters, lambda n: f"{n:,.0f}", "has {} parameters, more than the {} allowed",
        "", 1),
    Row("max_size", lambda c: c.bytes, _bytes, "would have about {} as int8, more than the {} allowed", "kB", 1000),
    Row("max_latency", lambda c: c.latency_ms, lambda n: f"{_digits(n)} ms",
        "would take about {} for one sample on this machine, more than the {} allowed", "ms", 1),
    Row("max_memory", lambda c: c.memory, _bytes,
        "would need about {} of memory beside its weights, by estimate, more than the {} allowed", "kB", 1000),
)  # fmt: skip


class Nearest(NamedTuple):
    """A refused candidate: by how much it is over the limit that it is furthest over, and which it is over."""

    factor: float
    trial: int
    over: tuple[tuple[Row, float], ...]  # limits and costs, the furthest first


class Limits:
    """Judges the proposals of one search, in the order in which they were asked, and counts those that it refused.

    `latency` foretells milliseconds; without it none is judged by them.
    """

    def __init__(self, experiment: Experiment, latency: LatencyModel | None = None) -> None:
        self._rows = [(row, most) for row in LIMITS if (most := getattr(experiment, row.field)) is not None]
        self._latency = latency
        self._nearest: Nearest | None = None
        self._in_a_row = 0
        self.refused = 0

    def foretold(self, costs: Costs) -> Costs:
        """`costs` with the milliseconds that the model of this machine foretells."""
        return costs if self._latency is None else dataclasses.replace(costs, latency_ms=self._latency(costs))

    def excess(self, costs: Costs, trial: int) -> str:
        """Why a candidate of such `costs`, which would be `trial`, is refused; nothing where it is not."""
        over = []
        for row, most in self._rows:
            value = row.of(costs)
            if value is not None and value > most:
                over.append((value / most, row, value))
        if not over:
            self._in_a_row = 0
            return ""
        self.refused += 1
        self._in_a_row += 1
        over.sort(key=lambda each: -each[0])
        if self._nearest is None or over[0][0] < self._nearest.factor:
            self._nearest = Nearest(over[0][0], trial, tuple((row, value) for _, row, value in over))
        return self._told(tuple((row, value) for _, row, value in over))

    def _told(self, over: tuple[tuple[Row, float], ...]) -> str:
        allowed = {row.field: most for row, most in self._rows}
        return "; ".join(row.excess.format(row.shown(value), row.shown(allowed[row.field])) for row, value in over)

    @property
    def hopeless(self) -> bool:
        """Whether so many in a row were refused that the next would hardly be accepted."""
        return self._in_a_row >= IN_A_ROW

    def nothing_fits(self) -> str:
        """The error message of a search in which every proposal was refused: the nearest, and what it is over."""
        text = f"Not one of {self.refused:,} proposed candidates is within the limits. "
        if self._nearest is not None:
            options = " ".join(_option(row, value) for row, value in self._nearest.over)
            text += f"The nearest, trial {self._nearest.trial}, {self._told(self._nearest.over)}: "
            text += f"{options} would let it in. "
        return text + "Use --fresh with larger limits, or with smaller networks in the experiment's [space]."


def _option(row: Row, value: float) -> str:
    """The option of the command line that lets `value` in: two digits, rounded up."""
    value /= row.step
    last = 10.0 ** (math.floor(math.log10(value)) - 1)
    rounded = math.ceil(value / last - 1e-9) * last
    shown = f"{rounded:.0f}" if last >= 1 else f"{rounded:.3g}"
    return f"--{row.field.replace('_', '-')} {shown}{row.unit}"


def check_refusal(known: Trial, excess: str) -> None:
    """Raise RunError where `known`, of the journal, was refused and would not be now, or the other way round."""
    if known.status != "running" and (known.status == "infeasible") != bool(excess):
        was = known.message if known.status == "infeasible" else "was trained"
        raise RunError(
            f"trial {known.id} {was}, and now {excess or 'is within the limits'}: its factory "
            "has changed since. Use --fresh (the old run is kept aside), or another --name."
        )
