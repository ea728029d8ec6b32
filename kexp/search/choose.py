"""Which candidates lead, and which one is best: pure functions of trials that are over."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from kexp.metrics import objective, rank
from kexp.records import Task, Trial, key

LUCK = 0.02  # of an error: how far one run may be from the mean of its candidate
FAR = 1.25  # times the best error: a candidate that is further behind is not run again, however fast it may be

T = TypeVar("T")
Rank = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Judge:
    """What ranks trials: the objective of a task, measured on so many validation rows."""

    task: Task
    objective: str
    rows: int
    folded: int = 0  # rows of all folds, where leading candidates run on them

    def rank(self, trial: Trial) -> Rank:
        """Larger is better: the objective, then the loss."""
        return rank(self.task, self.objective, trial.metrics)

    def best_first(self, items: Sequence[T], of: Callable[[T], Rank]) -> list[T]:
        """`items` by rank; those whose share of right answers is within a standard error of the best's, by loss.

        On n validation rows such a difference is a coin's toss (Breiman et al. 1984, the one-standard-error rule);
        the loss also sees how sure each answer was. Other objectives decide by themselves.
        """
        best = max(of(item)[0] for item in items)
        margin = self._margin(best)

        def place(item: T) -> tuple[bool, float, Rank]:
            score, loss = of(item)
            level = score >= best - margin
            return (level, loss if level else 0.0, of(item))

        return sorted(items, key=place, reverse=True)

    def _margin(self, score: float) -> float:
        """One standard error of a share of right answers; 0 for other objectives."""
        if objective(self.task, self.objective)[0] not in ("accuracy", "balanced_accuracy"):
            return 0.0
        return math.sqrt(max(score * (1 - score), 0.0) / self.rows)

    def _luck(self, score: float) -> float:
        """What one run may owe to its seed: two standard errors of a share, or LUCK of an error."""
        return 2 * self._margin(score) or LUCK * abs(score)

    def leaders(self, explored: Sequence[Trial], count: int) -> list[Trial]:
        """The best `count` explored trials of different candidates, best first; none that is far behind the best."""
        found: dict[object, Trial] = {}
        for trial in self.best_first(explored, self.rank):
            found.setdefault(key(trial.values), trial)
        first, *others = found.values()
        limit = FAR * self._error(first) + 2 / self.rows
        return [first, *(trial for trial in others if self._error(trial) <= limit)][: max(1, count)]

    def _error(self, trial: Trial) -> float:
        """What is missing to the best score that there can be: 1 of a share, 0 of a loss."""
        score = math.nan if trial.score is None else trial.score
        return 1.0 - score if objective(self.task, self.objective)[1] == "max" else score

    def choose(self, explored: Sequence[Trial], confirmed: Sequence[Trial]) -> tuple[Trial, str]:
        """The best run of the candidate whose runs are best on average, and why it is.

        `confirmed` repeat explored trials under other seeds, or on folds; an exploring run under another seed that was
        as long counts as one more.
        """
        if self.folded and any(trial.fold for trial in confirmed):
            return replace(self, rows=self.folded, folded=0).choose(explored, confirmed)
        name = objective(self.task, self.objective)[0]
        first = {trial.id: trial for trial in explored}
        runs: dict[int, list[Trial]] = {}
        whole = [trial for trial in confirmed if trial.status == "completed"]  # not cut short by the time limit
        for trial in whole or confirmed:
            if trial.score is not None and trial.parent is not None:
                runs.setdefault(trial.parent, []).append(trial)
        if not runs:
            best = self.leaders(explored, 1)[0]
            return best, f"best validation {name} of {len(explored)} candidates, one run each"
        for id, repeats in runs.items():
            longest = max(trial.epochs for trial in repeats)  # of a search that went on with more time
            repeats[:] = [trial for trial in repeats if trial.epochs == longest]
            if id in first and all(
                (t.epochs, t.status, 0) == (first[id].epochs, first[id].status, t.fold) for t in repeats
            ):
                repeats.append(first[id])
        means = {id: _mean([self.rank(t) for t in repeats]) for id, repeats in runs.items()}
        winner = self.best_first(list(means), means.__getitem__)[0]
        leader = self.leaders(explored, 1)[0]
        folds = any(t.fold for t in runs[winner])  # on few rows no exploring run is to be believed
        mine = self.rank(leader)[0]
        if not folds and leader not in runs.get(leader.id, []) and mine > means[winner][0] + self._luck(mine):
            text = "no run under other seeds came near it"
            return leader, f"best validation {name} of {len(explored)} candidates; {text}"
        scores, what = _scores(runs, winner), "fold" if folds else "run"
        return max(runs[winner], key=self.rank), (
            f"candidate {winner}: mean validation {name} {sum(scores) / len(scores):.5g} over {len(scores)} {what}(s), "
            f"{min(scores):.5g} to {max(scores):.5g}; the best of {len(runs)} candidate(s) that were run again"
        )


def source(trial: Trial) -> int:
    """The id of the trial whose weights are this trial's: its own, or that of the equal one in its place."""
    return trial.id if trial.same_as is None else trial.same_as


def _mean(ranks: Sequence[Rank]) -> Rank:
    return sum(a for a, _ in ranks) / len(ranks), sum(b for _, b in ranks) / len(ranks)


def _scores(runs: Mapping[int, Sequence[Trial]], id: int) -> list[float]:
    return [trial.score for trial in runs[id] if trial.score is not None]
