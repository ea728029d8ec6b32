"""Which candidates lead, and which one is best: pure functions of trials that are over."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from kexp.front import converted, unshippable
from kexp.metrics import objective, rank
from kexp.records import Task, Trial, key

LUCK = 0.02  # of an error: how far one run may be from the mean of its candidate
FAR = 1.25  # times the best error, or the loss of one run: what is further behind is so by no chance
WAY_OUT = 2.0  # times the best error: what has no file yet is tried where every file that was made is refused

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
        limit = FAR * self._error(self.rank(first)) + 2 / self.rows
        return [first, *(trial for trial in others if self._error(self.rank(trial)) <= limit)][: max(1, count)]

    def _error(self, rank: Rank) -> float:
        """What is missing to the best score that there can be: 1 of a share, 0 of a loss."""
        return (1.0 if objective(self.task, self.objective)[1] == "max" else 0.0) - rank[0]

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

    def choose(
        self, explored: Sequence[Trial], again: Sequence[Trial], there: Callable[[Trial], bool] = lambda _: True
    ) -> tuple[Trial, str]:
        """The best run of the candidate whose runs are best on average, and why it is.

        `again` repeat explored trials under other seeds, on folds, or (refit) on all rows, which then ship; an
        exploring run under another seed that was as long counts as one more. A candidate is passed over where no file
        of it can ship and one of another can. One that has such a file stands with the mean of all its runs: those
        that are left would be no fair sample of it. `there` tells which trials still have weights.
        """
        if self.folded and any(trial.fold for trial in again):
            return replace(self, rows=self.folded, folded=0).choose(explored, again, there)
        explored = [trial for trial in explored if trial.same_as is None]
        name = objective(self.task, self.objective)[0]
        all_trials = [trial for trial in (*explored, *again) if trial.score is not None]
        runs = _repeats(explored, [trial for trial in all_trials if trial.stage == "confirm"])
        refits = [t for t in all_trials if t.stage == "refit" and t.status == "completed"]
        whole = {id: t for id, some in runs.items() for t in refits if t.parent == id and t.epochs >= some[0].epochs}
        count = {trial.id: trial for some in (explored, *runs.values(), whole.values()) for trial in some}
        able, note = self._able([trial for trial in count.values() if there(trial)] or [*count.values()], runs)
        files = {id: [t for t in (whole.get(id), *some) if t and t.id in able] for id, some in runs.items()}
        single = [trial for trial in explored if trial.id in able]
        leader = self.leaders(converted(single), 1)[0] if single else None
        if leader and not any(files.values()):
            told = f"{note}best validation {name} of {len(single)} candidates, one run each"
            return leader, told + _passed_over(leader, all_trials)
        found = {id: some for id, some in runs.items() if files[id]}
        whole_files = {id: some for id, some in found.items() if all(t.shipped for t in some)}
        compared = whole_files or found  # a file's score beside that of a network in floats would not be fair
        refitted = {id: some for id, some in found.items() if whole.get(id) in files[id]}  # this was chosen before
        eligible = refitted or compared
        means = {id: self.mean(some) for id, some in eligible.items()}
        winner = self.best_first(list(means), means.__getitem__)[0]
        folds = any(t.fold for t in runs[winner])  # on few rows no exploring run is to be believed
        other = leader and not folds and leader not in eligible.get(leader.id, [])
        if leader and other and self._beyond_luck(leader, runs[winner]):
            told = f"{note}best validation {name} of {len(single)} candidates; no run under other seeds came near it"
            return leader, told + _passed_over(leader, all_trials)
        scores, what = [t.standing[name] for t in runs[winner]], "fold" if folds else "run"
        refit = [t for t in files[winner] if t.stage == "refit"]
        best = max(refit or converted(files[winner]), key=self.rank)
        told = (
            f"{note}candidate {winner}: mean validation {name} {sum(scores) / len(scores):.5g} over {len(scores)} "
            f"{what}(s), {min(scores):.5g} to {max(scores):.5g}; the best of {len(compared)} candidate(s) that were "
            "run again"
        )
        told += " and have files" if len(compared) < len(found) else ""
        told += "; trained once more on all rows but the test rows" if refit else ""
        return best, told + _passed_over(best, all_trials)

    def _able(self, trials: Sequence[Trial], runs: Mapping[int, list[Trial]]) -> tuple[set[int], str]:
        """The ids of those that may be chosen, and what is to be said of that: whose files fit, as far as is known.

        Where all that was tried is refused, what was not tried is a way out, unless it is far behind. Then the nearest
        to the limits, of those that pass the gate; then those that do not.
        """
        fit = [trial for trial in trials if self.fits(trial)]
        refused = [trial for trial in trials if trial.refused]
        if refused and not any(trial.bytes is not None for trial in fit):
            best = max(map(self.mean, [*([t] for t in trials if t.stage != "confirm"), *runs.values()]))
            fit = [trial for trial in fit if self._near(self.rank(trial), best)]
        if fit:
            return {trial.id for trial in fit}, ""
        made = [trial for trial in trials if trial.bytes is not None]
        if passing := [trial for trial in made if not trial.refused]:
            nearest = min(passing, key=self.excess)
            far = f"trial {nearest.id} is the nearest, {self.excess(nearest):.2f} times"
            return {nearest.id}, f"no file is within the limits; {far}; "
        note = "the gate refuses every file that was made; " if made else "no file that was tried can be made; "
        return {trial.id for trial in made or refused}, note

    def _near(self, rank: Rank, best: Rank) -> bool:
        """Whether a network is worth a try where better ones cannot ship: at most WAY_OUT times the error.

        And two standard errors, as of a share with one wrong answer at least.
        """
        luck = 2 * self._margin(min(best[0], 1 - 1 / self.rows)) + 2 / self.rows
        return self._error(rank) <= WAY_OUT * self._error(best) + luck

    def mean(self, trials: Sequence[Trial]) -> Rank:
        """The mean of their ranks."""
        return _mean([self.rank(trial) for trial in trials])


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
    count = len(unshippable(trials) - {key(best.values)})
    return f"; of {count} other candidate(s) no file can ship" if count else ""


def _mean(ranks: Sequence[Rank]) -> Rank:
    return sum(a for a, _ in ranks) / len(ranks), sum(b for _, b in ranks) / len(ranks)
