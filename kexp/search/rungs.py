"""The rungs that a search climbs: how long new candidates train, and how far ahead of them the best go.

Asynchronous successive halving (Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning") whose new
candidates do not stay on the lowest rung: what wins a short training (few layers, no augmentation) need not win a long
one, so that those that are asked for later train for longer.
"""

from __future__ import annotations

import math
import time

from kexp.records import Experiment
from kexp.search.budget import FIRST_RUNG, Budget, affordable, share_until
from kexp.search.protocol import FACTOR

PROMOTION = 0.25  # of the time to explore: no training ahead of the new ones takes more


class Rungs:
    """Where one search stands; `cost` is the seconds of an epoch of the leading candidates, None before the first.

    `block` candidates are asked for at once, and `workers` train at once, from `begun` until `until` (of
    time.monotonic). What depends on time counts in a search with a time limit alone.
    """

    def __init__(
        self, budget: Budget, experiment: Experiment, *, block: int, workers: int, begun: float, until: float
    ) -> None:
        self.epochs = budget.epochs  # of a new candidate
        self._budget, self._block, self._workers = budget, block, workers
        self._trials, self._timed = experiment.trials, experiment.seconds is not None
        self._begun, self.until = begun, until

    def seen(self, epochs: int) -> None:
        """A new candidate trains for `epochs`, as a killed search had decided."""
        if self._budget.rungs > 1:
            self.epochs = max(self.epochs, epochs)

    def climb(self) -> None:
        """New candidates train for FACTOR times as long from now on."""
        self.epochs *= FACTOR

    def over(self, asked: int, cost: float | None) -> bool:
        """Whether this rung has had its share of the trials, so many being `asked`, or of the time."""
        if self._budget.rungs == 1:
            return False
        if self._trials is not None and not self._rung and asked >= self._first(self._trials):
            return True
        if not self._timed or not self.another(cost):
            return False
        share = share_until(self._rung, self._count(cost))
        return time.monotonic() >= self._begun + (self.until - self._begun) * share

    def another(self, cost: float | None) -> bool:
        """Whether there is time for a rung above this one."""
        return self._rung + 1 < self._count(cost) and time.monotonic() < self.until

    def most(self, cost: float | None) -> int:
        """For how many epochs the best may train while new ones do not: to wait for all these would be time lost.

        Where networks train together nothing goes ahead: those of one length share a graph.
        """
        if self._block > 1:
            return self.epochs
        if not self._timed:
            return self.epochs * FACTOR if self.another(cost) else self.epochs
        most = self.epochs
        longest = min(PROMOTION * (self.until - self._begun), self.until - time.monotonic())
        for _ in range(self._rung + 1, self._budget.rungs):
            if cost is None or (FACTOR - 1) * most * cost > longest:
                break
            most *= FACTOR
        return most

    @property
    def _rung(self) -> int:
        """Of new candidates, from 0."""
        return round(math.log(self.epochs / self._budget.epochs, FACTOR))

    def _count(self, cost: float | None) -> int:
        """How many rungs there are: two at most where nothing depends on time."""
        if not self._timed:
            return min(2, self._budget.rungs)
        return 1 if cost is None else affordable(self._budget, self.until - self._begun, cost, self._workers)

    def _first(self, trials: int) -> int:
        """How many of `trials` are explored on the first rung: whole blocks, one at least."""
        return max(1, int(FIRST_RUNG * trials / self._block)) * self._block
