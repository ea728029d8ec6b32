"""`evolution`: small changes to the best so far, beginning with the default candidate.

For searches of ten to a hundred trials in twenty dimensions, where the default is a good recipe and even draws rarely
find one as good. Tournament-free variant of evolution for architectures (Real et al. 2019, "Regularized Evolution for
Image Classifier Architecture Search"): no ageing, since a candidate's score hardly depends on luck here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from kexp.records import Dimension
from kexp.search.protocol import AbstractOracle, Code, Proposal, Space, refused_last

PARENTS = 4  # the best so many may have offspring
CHANGES = 3.0  # dimensions that change, on average
STRANGERS = 0.15  # share of proposals drawn evenly from the space
STRIDE = 0.2  # standard deviation of a change to a number, as a share of its range
WIDER = 4  # of so many refused in a row changes CHANGES dimensions more: what is feasible may be far away
REDRAWS = 1000  # draws that were all proposed before: the space counts as used up


class EvolutionOracle(AbstractOracle):
    """Each proposal depends on nothing but the seed, how many came before, and the scores told."""

    def __init__(
        self, dimensions: Sequence[Dimension], *, seed: int, direction: Literal["max", "min"], trials: int | None
    ) -> None:
        self._space = Space(dimensions)
        self._seed = seed
        self._sign = 1.0 if direction == "max" else -1.0
        self._trials = math.inf if trials is None else trials
        self._asked: dict[int, dict[str, Code]] = {}  # id -> code, in the order asked
        self._epochs: list[int | None] = [None]  # of a training, by rung: the longer ones prove more
        self._rungs: dict[int, int] = {}  # of each that was asked
        self._scores: dict[int, float] = {}  # of those that did not fail; higher is better
        self._told: set[int] = set()
        self._refused: set[int] = set()
        self._seen: set[tuple[Code, ...]] = set()
        self._used_up = False

    def ask(self, id: int) -> Proposal | None:
        """The next candidate; None when there is none left."""
        if self.exhausted:
            return None
        random = np.random.default_rng((self._seed, len(self._asked)))
        codes = self._space.default if not self._asked else self._promoted() or self._offspring(random)
        if codes is None:
            self._used_up = True
            return None
        return self.replay(id, Proposal(self._space.decode(codes), self._epochs[-1]))

    @property
    def exhausted(self) -> bool:
        """Whether as many as were wanted, or all there are, have been proposed."""
        feasible = len(self._asked) - len(self._refused)
        return self._used_up or len(self._seen) >= self._space.size or feasible >= self._trials

    def tell(self, id: int, score: float | None) -> None:
        """Remember the score of trial `id`; a failed one has no offspring."""
        if id not in self._asked or id in self._told:
            raise ValueError(f"trial {id} was not asked of this oracle, or is told twice")
        self._told.add(id)
        if score is not None and math.isfinite(score):
            self._scores[id] = self._sign * score

    def refuse(self, id: int) -> None:
        """Trial `id` was seen, and is nobody's parent: it has no score."""
        self.tell(id, None)
        self._refused.add(id)

    def climb(self, epochs: int) -> None:
        """The next rung: the best of the one below are trained again, for `epochs`, and their offspring."""
        self._epochs.append(epochs)

    def replay(self, id: int, proposal: Proposal) -> Proposal | None:
        """Note `proposal`."""
        if proposal.epochs is not None and proposal.epochs != self._epochs[-1]:
            self.climb(proposal.epochs)
        codes = self._space.encode(proposal.values)
        self._asked[id], self._rungs[id] = codes, len(self._epochs) - 1
        self._seen.add(tuple(codes.values()))
        return proposal

    def _best(self, highest: int) -> list[int]:
        """The best up to rung `highest`: those on the highest that has any, then those below."""
        known = [id for id in self._scores if self._rungs[id] <= highest]
        return sorted(known, key=lambda id: (-self._rungs[id], -self._scores[id], id))[:PARENTS]

    def _promoted(self) -> dict[str, Code] | None:
        """One of the best on the rung below that was not yet asked for on this one.

        As many are told late as workers are at work, and take their place then: asynchronous successive halving (Li et
        al. 2020, "A System for Massively Parallel Hyperparameter Tuning").
        """
        top = len(self._epochs) - 1
        here = [self._asked[id] for id in self._asked if self._rungs[id] == top]
        best = (self._asked[id] for id in self._best(top - 1) if self._rungs[id] == top - 1)
        return next((codes for codes in best if codes not in here), None)

    def _offspring(self, random: np.random.Generator) -> dict[str, Code] | None:
        """A candidate that was not proposed before."""
        best = self._best(len(self._epochs) - 1)
        changes = CHANGES * (1 + refused_last(self._asked, self._refused) // WIDER)
        for draw in range(REDRAWS):
            parent = self._asked[best[random.integers(len(best))]] if best else self._space.default
            # Where the neighbours are used up, only strangers are left.
            stranger = draw > REDRAWS // 4 or random.random() < STRANGERS
            chance = 1.0 if stranger else changes / max(len(parent), 1)
            codes = {
                name: self._changed(name, code, random, anew=stranger) if random.random() < chance else code
                for name, code in parent.items()
            }
            if tuple(self._space.encode(self._space.decode(codes)).values()) not in self._seen:
                return codes
        return None

    def _changed(self, name: str, code: Code, random: np.random.Generator, *, anew: bool) -> Code:
        """Another value of a dimension: near the old one for numbers, any for names."""
        dimension, listed = self._space.free[name]
        if listed is not None:
            count = len(listed)
            if anew or any(isinstance(value, str | bool) for value in listed):
                return int(random.integers(count))
            step = max(1, round(abs(random.normal(0.0, STRIDE * count))))
            return int(min(max(int(code) + int(random.choice((-step, step))), 0), count - 1))
        low, high, log = dimension.minimum, dimension.maximum, dimension.sampling == "log"
        if log:
            low, high, code = math.log(low), math.log(high), math.log(code)
        moved = random.uniform(low, high) if anew else random.normal(code, STRIDE * (high - low))
        moved = math.exp(moved) if log else moved
        moved = min(max(float(moved), dimension.minimum), dimension.maximum)
        return round(moved) if dimension.kind == "int" else moved
