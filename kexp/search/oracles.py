"""Who proposes the next candidate: the table of oracles, and grid search, which needs nobody's help.

The first proposal of each is the default candidate, a recipe made by hand. keras-tuner and Optuna are imported when
one of their oracles is made, not before (keras-tuner brings TensorFlow: 5 seconds).
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from kexp import lean
from kexp.errors import ExperimentError
from kexp.records import NO_RECIPES, Dimension, Recipes
from kexp.search.protocol import AbstractOracle, Proposal, Space, check_replay

__all__ = ["ORACLES", "AbstractOracle", "GridOracle", "OracleRow", "Proposal"]

Direction = Literal["max", "min"]


class OracleRow(NamedTuple):
    """How an oracle is made; whether what it asks depends on what it was told; one line for people.

    `window` is how far it may be asked ahead of what it was told, so that workers have work; None: no limit, it
    waits by itself where it must. Networks that can train together are asked for `block` at a time, block b after
    block b - 2 was told. In a search of so many trials and no more, one with `lessons` is told of all before each
    block, and that often.

    `make(dimensions, *, seed, direction, trials, epochs)`: propose `trials` candidates at most (None: all),
    trained for `epochs`, the better the higher ("max") or lower ("min") their score. What climbs takes `recipes` too,
    what learns, of several objectives, `costs`: how many are told beside the score, 0 unless said.
    Raises ExperimentError for a space that the oracle cannot walk.
    """

    make: Callable[..., AbstractOracle]
    learns: bool
    doc: str
    window: int | None = None
    block: int = 256
    lessons: int | None = None
    climbs: bool = False  # it begins with short trainings, and takes the best of them on to longer ones
    several: bool = False  # it weighs several objectives against each other, or looks at none


class GridOracle(AbstractOracle):
    """Every combination once: the default first, then all others, the last dimension turning fastest."""

    def __init__(self, dimensions: Sequence[Dimension], *, trials: int | None = None) -> None:
        self._space = Space(dimensions)
        endless = [name for name, (_, values) in self._space.free.items() if values is None]
        if endless:
            raise ExperimentError(
                f"the grid oracle cannot list {' and '.join(endless)}: continuous, without a step. "
                f"Give [space] {endless[0]} = [values], or a step, or choose another oracle."
            )
        self._left = int(self._space.size)  # combinations
        self._trials = int(self._space.size) if trials is None else trials  # still wanted
        self._codes = self._walk()

    def _walk(self) -> itertools.chain[tuple[int, ...]]:
        default = tuple(int(code) for code in self._space.default.values())
        ranges = (range(len(values or ())) for _, values in self._space.free.values())
        return itertools.chain([default], (codes for codes in itertools.product(*ranges) if codes != default))

    def ask(self, id: int) -> Proposal | None:
        """The next combination; None when all were proposed."""
        if self.exhausted:
            return None
        self._left, self._trials = self._left - 1, self._trials - 1
        return Proposal(self._space.decode(dict(zip(self._space.free, next(self._codes), strict=True))))

    @property
    def exhausted(self) -> bool:
        """Whether every combination was proposed, or as many as were wanted."""
        return self._left == 0 or self._trials <= 0

    def tell(self, id: int, score: float | None, costs: Sequence[float] = ()) -> None:
        """A grid learns nothing."""

    def refuse(self, id: int) -> None:
        """Another combination is proposed in its place, if one is left."""
        self._trials += 1

    def replay(self, id: int, proposal: Proposal) -> Proposal | None:
        """Step over `proposal`. Raises RunError if the grid has another one in its place."""
        check_replay(id, proposal, self.ask(id))
        return proposal


def _grid(
    dimensions: Sequence[Dimension], *, seed: int, direction: Direction, trials: int | None, epochs: int
) -> AbstractOracle:
    return GridOracle(dimensions, trials=trials)


def _sampling(
    dimensions: Sequence[Dimension], *, seed: int, direction: Direction, trials: int | None, epochs: int, model: bool
) -> AbstractOracle:
    lean.keras()
    from kexp.search.tuner_oracles import SamplingOracle

    return SamplingOracle(dimensions, seed=seed, direction=direction, trials=trials, model=model)


def _evolution(
    dimensions: Sequence[Dimension], *, seed: int, direction: Direction, trials: int | None, epochs: int,
    recipes: Recipes = NO_RECIPES, costs: int = 0,
) -> AbstractOracle:  # fmt: skip
    from kexp.search.evolution import EvolutionOracle

    if costs:
        space = Space(dimensions)
        recipes = recipes._replace(short=(*map(space.decode, space.ends), *recipes.short))
    return EvolutionOracle(dimensions, seed=seed, direction=direction, trials=trials, epochs=epochs, recipes=recipes)


def _optuna(
    dimensions: Sequence[Dimension], *, seed: int, direction: Direction, trials: int | None, epochs: int,
    sampler: str, costs: int = 0,
) -> AbstractOracle:  # fmt: skip
    from kexp.search.optuna_oracles import OptunaOracle

    return OptunaOracle(dimensions, sampler=sampler, seed=seed, direction=direction, trials=trials, costs=costs)


def _hyperband(
    dimensions: Sequence[Dimension], *, seed: int, direction: Direction, trials: int | None, epochs: int
) -> AbstractOracle:
    lean.keras()
    from kexp.search.tuner_oracles import HyperbandOracle

    return HyperbandOracle(dimensions, seed=seed, direction=direction, trials=trials, epochs=epochs)


ORACLES: dict[str, OracleRow] = {
    "random": OracleRow(
        functools.partial(_sampling, model=False),
        learns=False,
        doc="candidates drawn evenly from the space",
        several=True,
    ),
    "bayesian": OracleRow(
        functools.partial(_sampling, model=True),
        learns=True,
        doc="a Gaussian process over what was scored so far",
        window=16,
        block=8,
    ),
    "evolution": OracleRow(
        _evolution,
        learns=True,
        doc="small changes to the best so far",
        window=6,
        block=8,
        climbs=True,
        several=True,
    ),
    "hyperband": OracleRow(_hyperband, learns=True, doc="many short trainings, the best third goes on"),
    "tpe": OracleRow(
        functools.partial(_optuna, sampler="tpe"),
        learns=True,
        doc="Optuna's tree of Parzen estimators",
        window=16,
        block=32,
        lessons=10,
        several=True,
    ),
    "nsga2": OracleRow(
        functools.partial(_optuna, sampler="nsga2"),
        learns=True,
        doc="Optuna's NSGA-II: generations bred from the front so far",
        window=16,
        block=16,
        lessons=10,
        several=True,
    ),
    "grid": OracleRow(_grid, learns=False, doc="every combination, for small spaces", several=True),
}
