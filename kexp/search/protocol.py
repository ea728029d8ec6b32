"""What every oracle is (`AbstractOracle`) and says (`Proposal`), and the space it draws from (`Space`).

A space is coded for the oracles: a dimension that can be listed becomes the position in its list, a
continuous one stays a number. Choices of mixed types, steps that do not divide a range, and defaults beside
the grid are then settled here, once, for all of them.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Container, Mapping, Sequence
from typing import NamedTuple

from kexp.errors import ExperimentError, RunError
from kexp.records import Dimension, Value

Code = int | float
FACTOR = 3  # times as long does a candidate train on the next rung (the eta of successive halving)


class Proposal(NamedTuple):
    """One candidate: hyperparameters, and how far to train it, where the oracle says so.

    `epochs` counts from the candidate's very beginning: with `initial_epoch` 2 and `epochs` 6, four are run,
    from the weights of trial `parent`.
    """

    values: dict[str, Value]
    epochs: int | None = None
    initial_epoch: int = 0
    parent: int | None = None


class AbstractOracle(ABC):
    """Proposes candidates (`ask`), and learns how they did (`tell`). Owned by one thread.

    The same sequence of asks and tells gives the same proposals. An ask that returns None leaves no trace.
    """

    @abstractmethod
    def ask(self, id: int) -> Proposal | None:
        """The candidate for trial `id`; None: nothing until more is told, or never where `exhausted`."""

    @property
    @abstractmethod
    def exhausted(self) -> bool:
        """Whether nothing will be proposed any more."""

    @abstractmethod
    def tell(self, id: int, score: float | None, costs: Sequence[float] = ()) -> None:
        """Trial `id` reached `score`; None, or not a finite number: it failed.

        `costs` are what it is beside that, the less the better: one for each of the experiment's `objectives`. Told to
        oracles alone whose row in ORACLES says that they weigh several.
        """

    @abstractmethod
    def refuse(self, id: int) -> None:
        """Trial `id`, the last that was asked, is infeasible: it does not count as one of the trials wanted.

        It is over, as if it was told. No equal one is proposed again, and the next is asked at once.
        """

    def climb(self, epochs: int, most: int) -> None:
        """Propose new candidates for trainings of `epochs` from now on; the best so far go on, to `most` at the most.

        Asked of oracles whose row in ORACLES says that they climb.
        """
        raise NotImplementedError

    def hold(self, values: Mapping[str, Value]) -> None:
        """Propose nothing but `values` for the dimensions that they name, until `hold({})`.

        Asked of oracles that climb.
        """
        raise NotImplementedError

    @abstractmethod
    def replay(self, id: int, proposal: Proposal) -> Proposal | None:
        """What `ask(id)` returns now, if it once returned `proposal`: that, or None until more is told.

        Cheaper than asking again. Raises RunError where it is seen that this oracle would never have proposed it.
        """


def refused_last(asked: dict[int, dict[str, Code]], refused: Container[int]) -> int:
    """How many of `asked`, ids in the order asked, were refused since the last that was not."""
    return sum(1 for _ in itertools.takewhile(refused.__contains__, reversed(asked)))


def check_replay(id: int, recorded: Proposal, asked: Proposal | None) -> None:
    """Raise RunError if the proposal `recorded` for trial `id` is not what the oracle `asked` for anew."""
    if recorded != asked:
        raise RunError(
            f"the journal says that trial {id} is {recorded.values}, the oracle would now propose "
            f"{asked.values if asked else 'nothing'}: another version of kexp wrote it. Use --fresh."
        )


class Space:
    """The dimensions of a search, coded. What cannot vary is no part of the code.

    Raises ExperimentError for a range that cannot be walked.
    """

    def __init__(self, dimensions: Sequence[Dimension]) -> None:
        for dimension in dimensions:
            _check(dimension)
        self._dimensions = tuple(dimensions)
        self._listed = {d.name: listed(d) for d in dimensions}

    @property
    def size(self) -> float:
        """How many candidates there are: 1 where nothing varies, infinite where something is continuous."""
        return math.prod(math.inf if list is None else len(list) for list in self._listed.values())

    @property
    def free(self) -> dict[str, tuple[Dimension, Sequence[Value] | None]]:
        """What can vary: the dimension, and its values, or None for a continuous one."""
        return {d.name: (d, self._listed[d.name]) for d in self._dimensions if len(self._listed[d.name] or (0, 1)) > 1}

    @property
    def default(self) -> dict[str, Code]:
        """The code of the default candidate, each value moved to the nearest that the space allows."""
        return {name: _code(dimension.default, dimension, values) for name, (dimension, values) in self.free.items()}

    @property
    def ends(self) -> list[dict[str, Code]]:
        """Where a front of quality and cost may end: the default of the least widths, and of the least counts too.

        Widths, and what else is chosen among numbers, are small in it; counts are whole numbers, of layers say. The
        narrower, the longer the steps that a network bears: Adam's as the inverse of the width (Yang et al. 2021,
        "Tensor Programs V"), which is above the usual range for the least widths, so they learn at its top.
        """
        return [self._least("choice"), self._least("choice", "int")]

    def _least(self, *kinds: str) -> dict[str, Code]:
        codes = self.default
        for name, (dimension, values) in self.free.items():
            numbers = values is not None and not any(isinstance(value, str | bool) for value in values)
            if name == "learning_rate":
                codes[name] = _code(max(values) if values and numbers else dimension.maximum, dimension, values)
            elif dimension.kind in kinds and values is not None and numbers:
                codes[name] = min(range(len(values)), key=values.__getitem__)  # type: ignore[arg-type]
        return codes

    def decode(self, codes: Mapping[str, Code]) -> dict[str, Value]:
        """The values of a candidate, fixed ones included, in the order of the dimensions."""
        return {d.name: self._value(d, codes.get(d.name, 0)) for d in self._dimensions}

    def encode(self, values: Mapping[str, Value]) -> dict[str, Code]:
        """The code of what `decode` returned; a dimension that the factory has only now is at its default."""
        return {name: _code(values.get(name, d.default), d, listed) for name, (d, listed) in self.free.items()}

    def _value(self, dimension: Dimension, code: Code) -> Value:
        values = self._listed[dimension.name]
        if values is not None:
            return values[int(code)]
        if dimension.kind == "int":
            return int(code)
        # Six digits: shorter to read, and the last bits of a fitted optimum differ between machines.
        return min(max(float(f"{code:.6g}"), dimension.minimum), dimension.maximum)


def listed(dimension: Dimension) -> Sequence[Value] | None:
    """Every value that `dimension` can have, ascending for numbers; None where it is continuous.

    A whole number on a logarithmic scale without a step counts as continuous.
    """
    low, high, step = dimension.minimum, dimension.maximum, dimension.step
    if dimension.kind == "fixed":
        return (dimension.default,)
    if dimension.kind == "choice":
        return dimension.values
    if dimension.kind == "boolean":
        return dimension.values or (False, True)
    whole = dimension.kind == "int"
    if low == high:
        return (int(low) if whole else float(low),)
    if dimension.sampling == "log":
        if step is None:
            return None
        count = int(math.log(high / low, step) + 1e-9) + 1
        values = [low * step**i for i in range(count)]
    else:
        if whole and (step is None or float(step).is_integer()):
            return range(int(low), int(high) + 1, int(step or 1))
        if step is None:
            return None
        # keras-tuner's own Float(0, .5, step=.1) never reaches .5, because .5 // .1 is 4.
        values = [low + step * i for i in range(int((high - low) / step + 1e-9) + 1)]
    return [int(value) if whole else float(f"{value:.12g}") for value in values]


def _check(dimension: Dimension) -> None:
    if dimension.kind not in ("int", "float"):
        return
    logarithmic = dimension.sampling == "log"
    if dimension.sampling not in ("linear", "log"):
        wrong = f"sampling = {dimension.sampling!r}, linear or log is expected"
    elif dimension.minimum > dimension.maximum:
        wrong = f"min = {dimension.minimum:g} is above max = {dimension.maximum:g}"
    elif logarithmic and dimension.minimum <= 0:
        wrong = f"min = {dimension.minimum:g}, above 0 is expected with sampling = 'log'"
    elif dimension.step is not None and dimension.step <= logarithmic:
        wrong = f"step = {dimension.step:g}, above {int(logarithmic)} is expected"
    else:
        return
    raise ExperimentError(f"[space] {dimension.name}: {wrong}.")


def _code(value: Value, dimension: Dimension, values: Sequence[Value] | None) -> Code:
    if values is None:
        return min(max(float(value), dimension.minimum), dimension.maximum)
    for i, known in enumerate(values):
        if known == value and isinstance(known, bool) == isinstance(value, bool):
            return i
    if isinstance(value, str) or any(isinstance(known, str) for known in values):
        return 0
    return min(range(len(values)), key=lambda i: abs(float(values[i]) - float(value)))
