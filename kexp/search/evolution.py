"""`evolution`: small changes to the best so far, beginning with the default candidate.

For searches of ten to a hundred trials in twenty dimensions, where the default is a good recipe and even draws rarely
find one as good. Of several objectives those are the best that few or none dominate and that are far from each other
(Deb et al. 2002, "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II"). Tournament-free variant of evolution
for architectures (Real et al. 2019, "Regularized Evolution for Image Classifier Architecture Search"): no ageing, since
a candidate's score hardly depends on luck here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from kexp import pareto
from kexp.metrics import sign_of
from kexp.records import Dimension, Recipes, Value
from kexp.search.protocol import FACTOR, AbstractOracle, Code, Proposal, Space, refused_last

PARENTS = 4  # the best so many may have offspring, and are trained for longer
CHANGES = 3.0  # dimensions that change, on average
STRANGERS = 0.15  # share of proposals drawn evenly from the space, while trainings are short: few are any good
STRIDE = 0.2  # standard deviation of a change to a number, as a share of its range
WIDER = 4  # of so many refused in a row changes CHANGES dimensions more: what is feasible may be far away
REDRAWS = 1000  # draws that were all proposed before: the space counts as used up


class EvolutionOracle(AbstractOracle):
    """Each proposal depends on nothing but the seed, how many came before, what was told, and where it climbed."""

    def __init__(
        self, dimensions: Sequence[Dimension], *, seed: int, direction: Literal["max", "min"], trials: int | None,
        epochs: int, recipes: Recipes,
    ) -> None:  # fmt: skip
        self._space = Space(dimensions)
        self._seed = seed
        self._sign = sign_of(direction)
        self._trials = math.inf if trials is None else trials
        self._asked: dict[int, dict[str, Code]] = {}  # id -> code, in the order asked
        self._short, self._long = ([self._made(values) for values in some] for some in recipes)
        self._first = self._new = self._most = epochs  # of a training: the shortest; of new ones; of promoted ones
        self._epochs: dict[int, int] = {}  # of each that was asked, in all: the longer ones prove more
        self._scores: dict[int, float] = {}  # of those that did not fail; higher is better
        self._costs: dict[int, tuple[float, ...]] = {}  # of these, where costs are told
        self._told: set[int] = set()
        self._refused: set[int] = set()
        self._seen: set[tuple[Code, ...]] = set()
        self._used_up = False
        self._held: dict[str, Code] = {}

    def ask(self, id: int) -> Proposal | None:
        """The next candidate; None when there is none left."""
        if self.exhausted:
            return None
        random = np.random.default_rng((self._seed, len(self._asked)))
        found = self._by_hand() or self._promoted()
        if found is None:
            codes = self._offspring(random)
            if codes is None:
                self._used_up = True
                return None
            found = codes, None, self._new
        codes, parent, epochs = found
        begun = 0 if parent is None else self._epochs[parent]
        length = None if epochs == self._first else epochs
        return self.replay(id, Proposal(self._space.decode(codes), length, begun, parent))

    @property
    def exhausted(self) -> bool:
        """Whether as many as were wanted were proposed, or all there are, and none of them is to train for longer."""
        if len(self._asked) - len(self._refused) >= self._trials:
            return True
        used_up = self._used_up or len(self._seen) >= self._space.size
        return used_up and self._by_hand() is None and self._promoted() is None

    def tell(self, id: int, score: float | None, costs: Sequence[float] = ()) -> None:
        """Remember score and costs of trial `id`; a failed one has no offspring."""
        if id not in self._asked or id in self._told:
            raise ValueError(f"trial {id} was not asked of this oracle, or is told twice")
        self._told.add(id)
        if score is not None and math.isfinite(score):
            self._scores[id] = self._sign * score
            self._costs[id] = tuple(math.inf if math.isnan(cost) else float(cost) for cost in costs)

    def refuse(self, id: int) -> None:
        """Trial `id` was seen, and is nobody's parent: it has no score."""
        self.tell(id, None)
        self._refused.add(id)

    def climb(self, epochs: int, most: int) -> None:
        """New candidates train for `epochs` from now on, and the best so far are promoted to `most`, step by step."""
        self._new, self._most = epochs, max(epochs, most)

    def hold(self, values: Mapping[str, Value]) -> None:
        """See AbstractOracle. What was made by hand is proposed anew where it was not proposed as it is now."""
        made = self._made(values)
        self._held = {name: made[name] for name in values if name in made}
        self._used_up = False

    def replay(self, id: int, proposal: Proposal) -> Proposal | None:
        """Note `proposal`."""
        codes = self._space.encode(proposal.values)
        self._asked[id], self._epochs[id] = codes, proposal.epochs or self._first
        self._seen.add(tuple(codes.values()))
        return proposal

    def _best(self, epochs: int | None = None) -> list[int]:
        """The best of those that trained for `epochs`; of all, the longest trained first, each candidate once."""
        known = [id for id in self._scores if epochs in (None, self._epochs[id])]
        places = self._places(known)
        known.sort(key=lambda id: (-self._epochs[id], *places[id], -self._scores[id], id))
        found: dict[tuple[Code, ...], int] = {}
        for id in known:
            found.setdefault(tuple(self._asked[id].values()), id)
        return list(found.values())

    def _places(self, known: Sequence[int]) -> dict[int, tuple[float, float]]:
        """Of each of `known`, the less the better: how many fronts are before its own, and how crowded it is there.

        Among those that trained for as long. Where no costs are told all are alike.
        """
        places = dict.fromkeys(known, (0.0, 0.0))
        alike: dict[int, list[int]] = {}
        for id in known:
            if self._costs[id]:
                alike.setdefault(self._epochs[id], []).append(id)
        for some in alike.values():
            points = np.array([(-self._scores[id], *self._costs[id]) for id in some])
            ranks = pareto.ranks(points)
            for rank in range(int(ranks.max()) + 1):
                there = np.flatnonzero(ranks == rank)
                for i, distance in zip(there, pareto.crowding(points[there]), strict=True):
                    places[some[i]] = (float(rank), -float(distance))
        return places

    def _made(self, values: Mapping[str, Value]) -> dict[str, Code]:
        """The default candidate with `values` in it, as near as the space allows."""
        codes = self._space.encode({**self._space.decode(self._space.default), **values})
        return self._space.encode(self._space.decode(codes))  # a bound may have more digits than a value

    def _by_hand(self) -> tuple[dict[str, Code], int | None, int] | None:
        """The default first, then the recipes whose time has come."""
        if not self._asked:
            return self._as_held(self._space.default), None, self._new
        if self._new == self._first:  # those for longer trainings are promoted, after one, as any other
            some = map(self._as_held, [self._made({}), *self._short])
            codes = next((codes for codes in some if tuple(codes.values()) not in self._seen), None)
        else:
            some = map(self._as_held, self._long)
            codes = next((codes for codes in some if codes not in self._longer(self._first + 1)), None)
        return None if codes is None else (codes, None, self._new)

    def _as_held(self, codes: dict[str, Code]) -> dict[str, Code]:
        return {**codes, **self._held}

    def _longer(self, epochs: int) -> list[dict[str, Code]]:
        """Those that were asked for trainings of `epochs` or more."""
        return [self._asked[id] for id, length in self._epochs.items() if length >= epochs]

    def _promoted(self) -> tuple[dict[str, Code], int | None, int] | None:
        """Codes, parent and length of one that is to be trained FACTOR times as long now: of FACTOR the best.

        As many are told late as workers are at work, and take their place then: asynchronous successive halving (Li et
        al. 2020, "A System for Massively Parallel Hyperparameter Tuning"). Ahead of the new ones it goes on from what
        it has learned, as after a warm restart (Loshchilov and Hutter 2017); beside them it trains anew, as they do.
        """
        length = self._most
        while length >= self._new and length > self._first:
            there = self._longer(length)
            below = self._best(length // FACTOR)
            ahead = length > self._new
            for id in below[: min(PARENTS, max(len(below) // FACTOR, not ahead))]:
                if self._asked[id] not in there:
                    return self._asked[id], id if ahead else None, length
            length //= FACTOR
        return None

    def _offspring(self, random: np.random.Generator) -> dict[str, Code] | None:
        """A candidate that was not proposed before."""
        best = self._best()[:PARENTS]
        changes = CHANGES * (1 + refused_last(self._asked, self._refused) // WIDER)
        for draw in range(REDRAWS):
            parent = self._asked[best[random.integers(len(best))]] if best else self._space.default
            # Where the neighbours are used up, only strangers are left.
            stranger = draw > REDRAWS // 4 or (self._new == self._first and random.random() < STRANGERS)
            chance = 1.0 if stranger else changes / max(len(parent), 1)
            codes = {
                name: self._changed(name, code, random, anew=stranger) if random.random() < chance else code
                for name, code in parent.items()
            }
            codes = self._as_held(codes)
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
