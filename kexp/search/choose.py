"""Which candidates lead, and which one is best: pure functions of trials that are over."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from kexp.metrics import objective, rank
from kexp.models.space import key
from kexp.records import Task, Trial

T = TypeVar("T")
Rank = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Judge:
    """What ranks trials: the objective of a task, measured on so many validation rows."""

    task: Task
    objective: str
    rows: int

    def rank(self, trial: Trial) -> Rank:
        """Larger is better: the objective, then the loss."""
        return rank(self.task, self.objective, trial.metrics)

    def best_first(self, items: Sequence[T], of: Callable[[T], Rank]) -> list[T]:
        """`items` by rank; those whose share of right answers is within a standard error of the best's, by loss.

        On n validation rows such a difference is a coin's toss (Breiman et al. 1984, the one-standard-error rule);
        the loss also sees how sure each answer was. Other objectives decide by themselves.
        """
        best = max(of(item)[0] for item in items)
        margin = 0.0
        if objective(self.task, self.objective)[0] in ("accuracy", "balanced_accuracy"):
            margin = math.sqrt(max(best * (1 - best), 0.0) / self.rows)

        def place(item: T) -> tuple[bool, float, Rank]:
            score, loss = of(item)
            level = score >= best - margin
            return (level, loss if level else 0.0, of(item))

        return sorted(items, key=place, reverse=True)

    def leaders(self, explored: Sequence[Trial], count: int) -> list[Trial]:
        """The best `count` explored trials of different candidates, best first."""
        found: dict[object, Trial] = {}
        for trial in self.best_first(explored, self.rank):
            found.setdefault(key(trial.values), trial)
        return list(found.values())[: max(1, count)]

    def choose(self, explored: Sequence[Trial], confirmed: Sequence[Trial]) -> tuple[Trial, str]:
        """The best run of the candidate whose runs are best on average, and why it is.

        `confirmed` repeat explored trials under other seeds; an exploring run that was as long counts as one more.
        """
        name = objective(self.task, self.objective)[0]
        first = {trial.id: trial for trial in explored}
        runs: dict[int, list[Trial]] = {}
        for trial in confirmed:
            if trial.score is not None and trial.parent is not None:
                runs.setdefault(trial.parent, []).append(trial)
        if not runs:
            best = self.leaders(explored, 1)[0]
            return best, f"best validation {name} of {len(explored)} candidates, one run each"
        for id, repeats in runs.items():
            if id in first and all(t.epochs == first[id].epochs for t in repeats):
                repeats.append(first[id])
        means = {id: _mean([self.rank(t) for t in repeats]) for id, repeats in runs.items()}
        winner = self.best_first(list(means), means.__getitem__)[0]
        scores = _scores(runs, winner)
        return max(runs[winner], key=self.rank), (
            f"candidate {winner}: mean validation {name} {sum(scores) / len(scores):.5g} over {len(scores)} run(s), "
            f"{min(scores):.5g} to {max(scores):.5g}; the best of {len(runs)} candidate(s) that were run again"
        )


def _mean(ranks: Sequence[Rank]) -> Rank:
    return sum(a for a, _ in ranks) / len(ranks), sum(b for _, b in ranks) / len(ranks)


def _scores(runs: Mapping[int, Sequence[Trial]], id: int) -> list[float]:
    return [trial.score for trial in runs[id] if trial.score is not None]
