"""Which candidates lead, and which one is best: pure functions of trials that are over."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from kexp.front import converted
from kexp.metrics import objective, rank
from kexp.records import Task, Trial, key

LUCK = 0.02  # of an error: how far one run may be from the mean of its candidate
FAR = 1.25  # times the best error, or the loss of one run: what is further behind is so by no chance
WAY_OUT = 2.0  # times the best error, at most, of what has no file yet where every file that was made is refused

T = TypeVar("T")
Rank = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Judge:
    """What ranks trials: the objective of a task, measured on so many validation rows."""

    task: Task
    objective: str
    rows: int
    folded: int = 0  # rows of all folds, where leading candidates run on them
    max_size: int | None = None  # bytes of a file that may be chosen
    max_latency: float | None = None  # milliseconds of it

    def rank(self, trial: Trial) -> Rank:
        """Larger is better: the objective, then the loss; of its file, where there is one."""
        return rank(self.task, self.objective, trial.standing)

    def fits(self, trial: Trial) -> bool:
        """Whether the file of `trial` can ship: it is within the limits and passes the gate, as far as is known."""
        return not trial.refused and self.excess(trial) <= 1

    def excess(self, trial: Trial) -> float:
        """How many times larger or slower than allowed the file of `trial` is; at most 1 where it fits, or is not."""
        size = 0.0 if trial.bytes is None or self.max_size is None else trial.bytes / self.max_size
        slow = 0.0 if trial.latency_ms is None or self.max_latency is None else trial.latency_ms / self.max_latency
        return max(size, slow)

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

    def _beyond_luck(self, one: Trial, runs: Sequence[Trial]) -> bool:
        """Whether `one` is ahead of `runs` by more than a seed may give: of their mean in score, or of each in loss.

        Where every longer training overfits, right answers may stay about as many while the wrong ones become sure.
        """
        score, loss = self.rank(one)
        others = list(map(self.rank, runs))
        behind = all(other[0] <= score and -other[1] > FAR * -loss for other in others)
        return behind or score > _mean(others)[0] + self._luck(score)

    def leaders(self, explored: Sequence[Trial], count: int) -> list[Trial]:
        """The best `count` explored trials of different candidates, best first; none that is far behind the best."""
        found: dict[object, Trial] = {}
        for trial in self.best_first(explored, self.rank):
            found.setdefault(key(trial.values), trial)
        first, *others = found.values()
        return [first, *self._near(first, others)][: max(1, count)]

    def _near(self, best: Trial, trials: Sequence[Trial], far: float = FAR) -> list[Trial]:
        """Those of `trials` whose error is at most `far` times that of `best`."""
        limit = far * self._error(best) + 2 / self.rows
        return [trial for trial in trials if self._error(trial) <= limit]

    def _error(self, trial: Trial) -> float:
        """What is missing to the best score that there can be: 1 of a share, 0 of a loss."""
        score = trial.standing.get(objective(self.task, self.objective)[0], math.nan)
        return 1.0 - score if objective(self.task, self.objective)[1] == "max" else score

    def overfitting(self, trial: Trial) -> float | None:
        """How much of the error on validation rows is not there on training rows, from 1 down; None if not known.

        Of a loss, or of what is missing to a share of 1, as the network in floats has them after its training.
        """
        name, direction = objective(self.task, self.objective)
        seen, unseen = trial.train.get(name), trial.metrics.get(name)
        if seen is None or unseen is None:
            return None
        if direction == "max":
            seen, unseen = 1.0 - seen, 1.0 - unseen
        return (unseen - seen) / unseen if unseen > 0 else 0.0

    def decide(self, trials: Sequence[Trial]) -> tuple[Trial, str]:
        """What is best of all `trials` of a search that have a score, and why: the one that `choose` tells.

        In its place its candidate as trained on all rows, where it was, unless its file is what cannot ship.
        """
        by_stage = {stage: [t for t in trials if t.stage == stage] for stage in ("explore", "confirm", "refit")}
        best, reason = self.choose(by_stage["explore"], by_stage["confirm"])
        whole = [t for t in by_stage["refit"] if t.parent == best.parent and t.status == "completed"]
        if whole and (self.fits(whole[-1]) or not self.fits(best)):
            best, reason = whole[-1], f"{reason}; trained once more on all rows but the test rows"
        return best, reason

    def choose(self, explored: Sequence[Trial], confirmed: Sequence[Trial]) -> tuple[Trial, str]:
        """The best run of the candidate whose runs are best on average, and why it is.

        `confirmed` repeat explored trials under other seeds, or on folds; an exploring run under another seed that was
        as long counts as one more. A candidate is passed over where no run of it `fits` and a run of another does; one
        that fits by one run stands with the mean of all: those that are left would be no fair sample of it.
        """
        if self.folded and any(trial.fold for trial in confirmed):
            return replace(self, rows=self.folded, folded=0).choose(explored, confirmed)
        name = objective(self.task, self.objective)[0]
        able, again, note = self._fitting(explored, _repeats(explored, confirmed))
        scored = [trial for trial in (*explored, *confirmed) if trial.score is not None]
        if not able and not again:
            nearest = min([trial for trial in scored if trial.shipped], key=self.excess)
            far = f"trial {nearest.id} is the nearest, {self.excess(nearest):.2f} times"
            able, note = [nearest], f"no file is within the limits; {far}; "
        leader = self.leaders(converted(able), 1)[0] if able else None
        if leader and not again:
            told = f"{note}best validation {name} of {len(able)} candidates, one run each"
            return leader, told + _passed_over(leader, scored)
        whole_files = {id: runs for id, runs in again.items() if all(t.shipped for t in runs)}
        again = whole_files or again  # a file's score beside that of a network in floats would not be fair
        means = {id: _mean([self.rank(t) for t in runs]) for id, runs in again.items()}
        winner = self.best_first(list(means), means.__getitem__)[0]
        runs = again[winner]
        folds = any(t.fold for t in runs)  # on few rows no exploring run is to be believed
        if leader and not folds and leader not in again.get(leader.id, []) and self._beyond_luck(leader, runs):
            told = f"{note}best validation {name} of {len(able)} candidates; no run under other seeds came near it"
            return leader, told + _passed_over(leader, scored)
        scores, what = [t.standing[name] for t in runs], "fold" if folds else "run"
        best = max(converted([t for t in runs if self.fits(t)]) or runs, key=self.rank)
        told = (
            f"{note}candidate {winner}: mean validation {name} {sum(scores) / len(scores):.5g} over {len(scores)} "
            f"{what}(s), {min(scores):.5g} to {max(scores):.5g}; the best of {len(again)} candidate(s) that were run "
            "again"
        )
        return best, told + _passed_over(best, scored)

    def _fitting(
        self, explored: Sequence[Trial], runs: Mapping[int, list[Trial]]
    ) -> tuple[Sequence[Trial], Mapping[int, list[Trial]], str]:
        """Of both those that may be chosen, and what is to be said of that; nothing where none is within the limits.

        What was not tried may fit. Where all that was tried is refused, it is no way out if it is far behind.
        """
        within = [t for some in (explored, *runs.values()) for t in some if self.excess(t) <= 1]
        able = [trial for trial in explored if self.fits(trial)]
        again = {id: some for id, some in runs.items() if any(map(self.fits, some))}
        if any(t.refused for t in within) and not any(t.shipped and self.fits(t) for t in within):
            able = self._near(max(within, key=self.rank), able, WAY_OUT)
        if able or again:
            return able, again, ""
        made = any(t.shipped for some in (explored, *runs.values()) for t in some)
        least = {t.id for t in within if t.shipped or not made}
        again = {id: some for id, some in runs.items() if any(t.id in least for t in some)}
        note = "the gate refuses every file that was made; " if made else "no file that was tried can be made; "
        return [t for t in explored if t.id in least], again, note


def _repeats(explored: Sequence[Trial], confirmed: Sequence[Trial]) -> dict[int, list[Trial]]:
    """By the id of the explored trial that they repeat: the longest runs, with that trial where it was as long."""
    first = {trial.id: trial for trial in explored}
    runs: dict[int, list[Trial]] = {}
    whole = [trial for trial in confirmed if trial.status == "completed"]  # not cut short by the time limit
    for trial in whole or confirmed:
        if trial.score is not None and trial.parent is not None:
            runs.setdefault(trial.parent, []).append(trial)
    for id, repeats in runs.items():
        longest = max(trial.epochs for trial in repeats)  # of a search that went on with more time
        repeats[:] = [trial for trial in repeats if trial.epochs == longest]
        if id in first and all(
            (t.epochs, t.status, 0) == (first[id].epochs, first[id].status, t.fold) for t in repeats
        ):
            repeats.append(first[id])
    return runs


def _passed_over(best: Trial, trials: Sequence[Trial]) -> str:
    """How many candidates had files made of which none can ship, that of `best` aside."""
    passing = {key(trial.values) for trial in trials if trial.shipped and not trial.refused}
    count = len({key(trial.values) for trial in trials if trial.refused} - passing - {key(best.values)})
    return f"; of {count} other candidate(s) no file can ship" if count else ""


def _mean(ranks: Sequence[Rank]) -> Rank:
    return sum(a for a, _ in ranks) / len(ranks), sum(b for _, b in ranks) / len(ranks)
