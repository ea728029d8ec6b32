"""Hyperparameters, define-by-run: one class that declares a space, and replays one candidate of it.

A factory asks for a value where it needs it: `hp.Int("hidden_layers", 0, 4)`. The signatures are keras-tuner's, so a
`build(hp)` written for keras-tuner works unchanged. No keras-tuner is needed to declare or to replay.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar

from kexp.errors import ExperimentError, nearest
from kexp.records import Dimension, Value

T = TypeVar("T")


class HyperParameters:
    """Answers each question of a factory from `values`, or by the default, and notes what was asked.

    `overrides` are an experiment's [space]: name -> fixed value, [choices], or {min, max, step, sampling}.
    `asked` holds every dimension in the order asked, `read` the values given: the identity of a candidate.
    """

    def __init__(self, values: Mapping[str, Value] | None = None, overrides: Mapping[str, Any] | None = None) -> None:
        self._given = dict(values or {})
        self._overrides = dict(overrides or {})
        self.asked: dict[str, Dimension] = {}
        self.read: dict[str, Value] = {}
        self._active = True  # outside a conditional_scope that is not entered

    def Int(  # noqa: N802 - keras-tuner's name
        self,
        name: str,
        min_value: int,
        max_value: int,
        step: int | None = None,
        sampling: str = "linear",
        default: int | None = None,
    ) -> int:
        """A whole number from `min_value` to `max_value`, both included."""
        low, high = int(min_value), int(max_value)
        start = low if default is None else min(max(int(default), low), high)
        dimension = Dimension(
            name=name, kind="int", default=start, minimum=low, maximum=high,
            step=step, sampling="log" if sampling == "log" else "linear",
        )  # fmt: skip
        return int(self._answer(dimension))

    def Float(  # noqa: N802
        self,
        name: str,
        min_value: float,
        max_value: float,
        step: float | None = None,
        sampling: str = "linear",
        default: float | None = None,
    ) -> float:
        """A number from `min_value` to `max_value`."""
        dimension = Dimension(
            name=name, kind="float", default=min_value if default is None else default, minimum=min_value,
            maximum=max_value, step=step, sampling="log" if sampling == "log" else "linear",
        )  # fmt: skip
        return float(self._answer(dimension))

    def Choice(  # noqa: N802
        self, name: str, values: Sequence[Any], ordered: bool | None = None, default: Any = None
    ) -> Any:
        """One of `values`. `ordered` is taken for keras-tuner's sake."""
        start = values[0] if default is None else default
        return self._answer(Dimension(name=name, kind="choice", default=start, values=tuple(values)))

    def Boolean(self, name: str, default: bool = False) -> bool:  # noqa: N802
        """True or False."""
        return bool(self._answer(Dimension(name=name, kind="boolean", default=default, values=(False, True))))

    def Fixed(self, name: str, value: Any) -> Any:  # noqa: N802
        """A value that is named but not searched."""
        return self._answer(Dimension(name=name, kind="fixed", default=value))

    def get(self, name: str) -> Any:
        """The answer to a question that was asked before. Raises KeyError for another."""
        return self.read[name]

    @contextlib.contextmanager
    def conditional_scope(self, parent_name: str, parent_values: Any) -> Iterator[None]:
        """Questions inside are asked only where `parent_name` was answered with one of `parent_values`.

        Otherwise they are answered by their defaults, which are no part of the candidate.
        """
        values = list(parent_values) if isinstance(parent_values, list | tuple) else [parent_values]
        before, self._active = self._active, self._active and self.read[parent_name] in values
        try:
            yield
        finally:
            self._active = before

    def fresh(self) -> HyperParameters:
        """The same answers, with nothing asked yet."""
        return HyperParameters(self._given, self._overrides)

    def take(self, asked: Mapping[str, Dimension], read: Mapping[str, Value]) -> bool:
        """Whether these questions would be answered like that; if so, they are noted as asked."""
        if any(self._given.get(name, self._overridden(asked[name]).default) != read[name] for name in asked):
            return False
        for dimension in asked.values():
            self._answer(dimension)
        return True

    def _overridden(self, dimension: Dimension) -> Dimension:
        if dimension.name in self._overrides:
            return _override(dimension, self._overrides[dimension.name])
        return dimension

    def _answer(self, dimension: Dimension) -> Value:
        dimension = self._overridden(dimension)
        if not self._active:
            return dimension.default
        self.asked[dimension.name] = dimension
        value = self._given.get(dimension.name, dimension.default)
        self.read[dimension.name] = value
        return value


class Remembered(Generic[T]):
    """What `make` made of hyperparameters, kept for others that answer its questions alike."""

    def __init__(self, make: Callable[[HyperParameters], T]) -> None:
        self._make = make
        self._made: list[tuple[HyperParameters, T]] = []

    def __call__(self, hp: HyperParameters) -> T:
        """As `make` does. What it asks is noted in `hp`."""
        for asked, made in self._made:
            if hp.take(asked.asked, asked.read):
                return made
        own = hp.fresh()
        made = self._make(own)
        self._made.append((own, made))
        hp.take(own.asked, own.read)
        return made


def declare(
    build: Callable[[HyperParameters], object], overrides: Mapping[str, Any], *, thorough: bool = True,
    branches: Sequence[Mapping[str, Value]] = (),
) -> tuple[Dimension, ...]:  # fmt: skip
    """Every dimension that `build` can ask for, before the first candidate is proposed.

    Counts are answered with their largest value, so that what hangs on them (`units_3`) is asked for. `branches` are
    answers behind which more is asked for, where they may be given; if `thorough`, each choice and boolean is tried in
    turn, until nothing new is asked (a build each).

    Raises ExperimentError for an override of what the factory does not ask for.
    """
    known: dict[str, Dimension] = {}
    tried: set[tuple[str, Value]] = set()

    def visit(values: Mapping[str, Value]) -> None:
        hp = HyperParameters({**_extremes(known.values()), **values}, overrides)
        build(hp)
        for name, dimension in hp.asked.items():
            known.setdefault(name, dimension)

    visit({})
    while True:
        before = len(known)
        visit({})
        for branch in branches:
            if all(name in known and value in known[name].values for name, value in branch.items()):
                visit(branch)
        for dimension in list(known.values()) if thorough else ():
            for value in dimension.values:
                if (dimension.name, value) not in tried:
                    tried.add((dimension.name, value))
                    visit({dimension.name: value})
        if len(known) == before:
            break
    unknown = [name for name in overrides if name not in known]
    if unknown:  # one that only other overrides put out of use (units of a layer that is not there) does no harm
        everything = {dimension.name for dimension in declare(build, {}, thorough=thorough, branches=branches)}
        wrong = next((name for name in unknown if name not in everything), None)
        if wrong is not None:
            raise ExperimentError(
                f"[space] {wrong!r} is no hyperparameter of this factory.{nearest(wrong, everything)}"
            )
    return tuple(known.values())


def _extremes(dimensions: Any) -> dict[str, Value]:
    """The largest value of every count: what depends on a count is asked for only then."""
    largest: dict[str, Value] = {d.name: int(d.maximum) for d in dimensions if d.kind == "int"}
    for d in dimensions:
        if d.kind == "choice" and all(type(value) is int for value in d.values):
            largest[d.name] = max(d.values)
    return largest


def _override(dimension: Dimension, wanted: Any) -> Dimension:
    """`dimension` as the experiment's [space] wants it."""
    name = dimension.name
    if isinstance(wanted, list | tuple):
        if not wanted:
            raise ExperimentError(f"[space] {name} = []: at least one value is expected.")
        default = dimension.default if dimension.default in wanted else wanted[0]
        return replace(dimension, kind="choice", values=tuple(wanted), default=default)
    if isinstance(wanted, dict):
        return _range(dimension, wanted)
    return replace(dimension, kind="fixed", default=wanted, values=())


def _range(dimension: Dimension, wanted: Mapping[str, Any]) -> Dimension:
    """`dimension` from min to max: whole numbers where all that it could be so far were whole."""
    name, numeric = dimension.name, dimension.kind in ("int", "float")
    for key in wanted:
        if key not in ("min", "max", "step", "sampling"):
            raise ExperimentError(f"[space] {name}.{key} is not known: min, max, step or sampling is expected.")
    choices = dimension.values or (dimension.default,)
    if not numeric and (not all(_is_number(value) for value in choices) or not {"min", "max"} <= set(wanted)):
        raise ExperimentError(
            f"[space] {name} is one of {list(choices)}: list those wanted, {name} = [...]. "
            "A range takes the place of numbers only, and needs min and max."
        )
    low, high = wanted.get("min", dimension.minimum), wanted.get("max", dimension.maximum)
    whole = dimension.kind == "int" if numeric else all(isinstance(value, int) for value in choices)
    for key, value in (("min", low), ("max", high)):
        if not _is_number(value) or (whole and value != int(value)):
            raise ExperimentError(f"[space] {name}.{key} = {value!r}: a {'whole ' if whole else ''}number is expected.")
    if low > high:
        raise ExperimentError(f"[space] {name}: min = {low} is above max = {high}.")
    number = int if whole else float
    return replace(
        dimension, kind="int" if whole else "float", minimum=number(low), maximum=number(high), values=(),
        default=number(min(max(dimension.default, low), high)),  # type: ignore[type-var]
        step=wanted.get("step", dimension.step), sampling=wanted.get("sampling", dimension.sampling),
    )  # fmt: skip


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
