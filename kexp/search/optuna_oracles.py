"""Optuna's TPE and NSGA-II, for one objective or several; no other module imports optuna.

What is told once cannot be unsaid in a study, and samplers draw from a stream of numbers that a killed search does not
have any more. So each draw comes from a new sampler, whose seed says how many came before, and what it has drawn is put
into the study as from a journal: enqueued, its values as short as a proposal's. A replayed study is the same study.
"""

from __future__ import annotations

import contextlib
import math
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, TPESampler
from optuna.trial import Trial, TrialState

from kexp.metrics import sign_of
from kexp.records import Dimension, Value
from kexp.search.protocol import AbstractOracle, Code, Proposal, Space

GENERATION = 16  # candidates of NSGA-II; Optuna's 50 are more than many searches have in all
STARTUP = 10  # even draws before TPE makes a model: Optuna's own number
DRAWS = 10  # of a sampler that were all proposed before: then one is drawn evenly
REDRAWS = 1000  # even draws that were all proposed before: the space counts as used up


def _tpe(seed: int, feasible: int) -> BaseSampler:
    # Before one is feasible its model would be of those that are not, of which it would take the first for the best.
    return TPESampler(seed=seed, constant_liar=True, n_startup_trials=STARTUP if feasible else sys.maxsize)


def _nsga2(seed: int, feasible: int) -> BaseSampler:
    return NSGAIISampler(seed=seed, population_size=GENERATION)


# From a seed, and how many were scored, refused ones left out.
SAMPLERS: dict[str, Callable[[int, int], BaseSampler]] = {"tpe": _tpe, "nsga2": _nsga2}


class OptunaOracle(AbstractOracle):
    """A row of SAMPLERS, told of a score and of `costs` more numbers. No candidate is proposed twice.

    What is running is known to TPE, which keeps away from it. What was refused is told as infeasible, dominated by all
    that is not: both samplers go on from the few that are feasible as soon as there is one.
    """

    def __init__(
        self, dimensions: Sequence[Dimension], *, sampler: str, seed: int, direction: Literal["max", "min"],
        trials: int | None, costs: int,
    ) -> None:  # fmt: skip
        self._space = Space(dimensions)
        self._sampler, self._seed = sampler, seed
        self._sign = -sign_of(direction)  # all is minimised
        self._trials = math.inf if trials is None else trials
        self._costs = costs
        self._by_hand = [self._space.default, *(self._space.ends if costs else ())]
        self._distributions = {name: _distribution(*free) for name, free in self._space.free.items()}
        with _quiet():
            self._study = optuna.create_study(directions=["minimize"] * (1 + costs), sampler=SAMPLERS[sampler](0, 0))
        self._asked: dict[int, Trial] = {}  # in the order asked
        self._told: set[int] = set()
        self._refused = self._feasible = 0
        self._seen: set[tuple[Value, ...]] = set()
        self._used_up = False

    def ask(self, id: int) -> Proposal | None:
        """The next candidate; None when there is none left."""
        if self.exhausted:
            return None
        codes = next((codes for codes in self._by_hand if self._is_new(codes)), None) or self._drawn()
        if codes is None:
            self._used_up = True
            return None
        return self.replay(id, Proposal(self._space.decode(codes)))

    @property
    def exhausted(self) -> bool:
        """Whether as many as were wanted, or all there are, have been proposed."""
        feasible = len(self._asked) - self._refused
        return self._used_up or len(self._seen) >= self._space.size or feasible >= self._trials

    def tell(self, id: int, score: float | None, costs: Sequence[float] = ()) -> None:
        """Trial `id` reached `score` at `costs`; one whose score or costs are not finite numbers failed."""
        trial = self._over(id)
        values = [math.nan if score is None else self._sign * float(score), *map(float, costs)]
        if len(values) != 1 + self._costs:
            raise ValueError(f"trial {id} is told {len(values) - 1} costs, {self._costs} are expected")
        with _quiet():
            if all(map(math.isfinite, values)):
                self._study.tell(trial, values)
                self._feasible += 1
            else:
                self._study.tell(trial, state=TrialState.FAIL)

    def refuse(self, id: int) -> None:
        """Trial `id` is none of the trials wanted, and the next is drawn elsewhere."""
        trial = self._over(id)
        self._refused += 1
        with _quiet():
            trial.set_constraint("feasible", 1.0)  # above 0: it is not
            self._study.tell(trial, [0.0] * (1 + self._costs))

    def replay(self, id: int, proposal: Proposal) -> Proposal | None:
        """Note `proposal`: cheaper than to draw it again, and the same to every later draw."""
        codes = self._space.encode(proposal.values)
        with _quiet():
            self._study.sampler = sampler = SAMPLERS[self._sampler](0, 0)
            self._study.enqueue_trial(codes)
            self._asked[id] = self._study.ask(self._distributions)
            if isinstance(sampler, NSGAIISampler):
                # A study notes both with the draw: the generation of each candidate, and once for each its parents.
                noted = self._study.get_trials(deepcopy=False)[-1]
                sampler.get_parent_population(self._study, sampler.get_trial_generation(self._study, noted))
        self._seen.add(tuple(proposal.values.values()))
        return proposal

    def _drawn(self) -> dict[str, Code] | None:
        """A candidate that was not proposed before."""
        number = len(self._asked)
        for draw in range(DRAWS):
            seed = np.random.SeedSequence((self._seed, number, draw)).generate_state(1)[0]
            with _quiet():
                self._study.sampler = SAMPLERS[self._sampler](int(seed), self._feasible)
                trial = self._study.ask(self._distributions)
                self._study.tell(trial, state=TrialState.FAIL)  # a draw that failed counts for no sampler
            if self._is_new(trial.params):
                return trial.params
        random, free = np.random.default_rng((self._seed, number)), self._space.free
        evenly = ({name: _even(*each, random) for name, each in free.items()} for _ in range(REDRAWS))
        return next((codes for codes in evenly if self._is_new(codes)), None)

    def _is_new(self, codes: dict[str, Code]) -> bool:
        return tuple(self._space.decode(codes).values()) not in self._seen

    def _over(self, id: int) -> Trial:
        if id not in self._asked or id in self._told:
            raise ValueError(f"trial {id} was not asked of this oracle, or is told twice")
        self._told.add(id)
        return self._asked[id]


def _distribution(dimension: Dimension, listed: Sequence[Value] | None) -> BaseDistribution:
    """Of the codes of a dimension: positions in a list of names have no order."""
    log = dimension.sampling == "log"
    if listed is None:
        if dimension.kind == "int":
            return IntDistribution(int(dimension.minimum), int(dimension.maximum), log=log)
        return FloatDistribution(dimension.minimum, dimension.maximum, log=log)
    if dimension.kind in ("choice", "boolean") and any(isinstance(value, str | bool) for value in listed):
        return CategoricalDistribution(range(len(listed)))
    return IntDistribution(0, len(listed) - 1)


def _even(dimension: Dimension, listed: Sequence[Value] | None, random: np.random.Generator) -> Code:
    if listed is not None:
        return int(random.integers(len(listed)))
    low, high, log = dimension.minimum, dimension.maximum, dimension.sampling == "log"
    drawn = math.exp(random.uniform(math.log(low), math.log(high))) if log else float(random.uniform(low, high))
    return round(drawn) if dimension.kind == "int" else drawn


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what Optuna says, its warnings of experiments included; a caller's own studies are heard afterwards."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(before)
