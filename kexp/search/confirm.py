"""Confirming: the leading candidates again, under other seeds or on folds, and for longer where that fits the time."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import NamedTuple

from kexp.front import converted, front, unshippable
from kexp.records import EVERY, DatasetSpec, Stage, Trial, key, to_json
from kexp.search.board import Board
from kexp.search.budget import MARGIN, Confirmation, confirmation

SPARE_LEADERS = 3  # beyond the finalists, for those that are too slow to be trained for longer
FRONT = 8  # candidates of a front that are run again, and have files made


class Folds(NamedTuple):
    """How many folds leading candidates run on, and how many rows there are in all of them."""

    number: int = 0
    rows: int = 0


NO_FOLDS = Folds()


class Confirming:
    """The second stage of one search; networks that are explored `together` are run again together."""

    def __init__(self, board: Board, spec: DatasetSpec, folds: Folds, *, together: bool) -> None:
        self._board, self._spec, self._folds, self._together = board, spec, folds.number, together
        limits = board.experiment
        # Of several objectives it is the front that is run again, once: none of it is compared with another.
        self._limits = (
            dataclasses.replace(limits, finalists=FRONT, seeds=1) if limits.objectives and limits.finalists else limits
        )

    @property
    def runs(self) -> int:
        """How many trainings there may be."""
        each = self._folds or self._limits.seeds
        return self._limits.finalists * each + bool(self._folds)

    def leaders(self, finished: Sequence[Trial]) -> list[Trial]:
        """Those that may be run again, best first; of several objectives the front, as far as it is not too long."""
        limits = self._limits
        finished = [trial for trial in self._board.now(finished) if trial.same_as is None]
        spoilt = unshippable(finished)  # hardly better on another rung
        finished = [t for t in finished if not t.refused and key(t.values) not in spoilt] or finished
        if limits.objectives:
            return spread(front(finished, self._board.aim), FRONT)
        count = limits.finalists + SPARE_LEADERS
        first = self._board.judge.leaders(converted(finished), count)
        there = {key(trial.values) for trial in first}  # on another rung they have no file
        rest = [trial for trial in finished if key(trial.values) not in there]
        return first + self._board.judge.leaders(rest, count)[: count - len(first)] if rest else first

    def plan(self, finished: Sequence[Trial], asked: int) -> tuple[Confirmation, list[Trial]] | None:
        """How the leading candidates are run again, and which these are: decided once for each budget."""
        limits, known = self._limits, self._board.store.get("confirmation")
        budget = [asked, limits.seconds, limits.finalists, self._folds or limits.seeds]
        if known is None or known["budget"] != budget:
            leaders = self.leaders(finished)
            left = self._board.train_until - time.monotonic() if self._board.timed else None
            chosen = confirmation(
                limits, self._spec, self._board.budget, seconds=left, costs=list(map(self._board.cost, leaders)),
                explored=[trial.epochs for trial in leaders], workers=self._board.workers.size, together=self._together,
                folds=self._folds,
            )  # fmt: skip
            known = {"budget": budget, "plan": to_json(chosen), "leaders": [t.id for t in leaders]}
            self._board.store.set("confirmation", known)
        if known["plan"] is None:
            return None
        return Confirmation(**known["plan"]), [self._board.known[id] for id in known["leaders"]]

    def run(self, chosen: Confirmation, leaders: list[Trial]) -> None:
        """Run the leading candidates again under other seeds, or on folds, and for longer where that fits the budget.

        Of folds there is time left for `refit`.
        """
        limits = self._limits
        self._board.drop()  # what exploring left
        again = [leaders[i] for i in chosen.candidates]
        refit = max(map(self._board.cost, again)) * chosen.epochs * MARGIN if self._folds else 0.0
        self._board.until = self._board.train_until - refit
        wanted = [(leader, k) for k in range(1, chosen.seeds + 1) for leader in again]
        self._board.again = {
            self._confirm_one(leader, limits.seed + k, chosen.epochs, fold=k if self._folds else 0)
            for leader, k in wanted
        }
        self._board.planned = len(wanted) + bool(self._folds)
        each = f"on {chosen.seeds} folds" if self._folds else f"{chosen.seeds} seed(s) each"
        self._board.say(
            "notice", f"{len(chosen.candidates)} leading candidate(s) again, {each}, {chosen.epochs} epochs"
        )
        self._run_again()

    def refit(self, explored: list[Trial], chosen: Confirmation) -> None:
        """Of folds, train the candidate that is best on average once more, on all rows but the test rows.

        Once: where that was begun already, it is the same candidate, whatever is known of others by now.
        """
        board = self._board
        again = [board.known[id] for id in board.again or ()]
        parents = {trial.parent for trial in again}
        refits = [t for t in board.known.values() if t.stage == "refit" and t.parent in parents]
        begun = [t for t in refits if t.status in ("running", "completed") and t.epochs == chosen.epochs]
        if not again:
            return
        best = begun[-1] if begun else board.judge.choose(board.now(explored), again)[0]
        late = time.monotonic() + board.cost(best) * best.epochs > board.end
        if best.parent is not None and best.fold and (begun or not late):
            board.until = board.end  # cut by a second that folds or files took too long, all of it would be for nothing
            leader, seed = board.known[best.parent], self._limits.seed + 1
            id = self._confirm_one(leader, seed, best.epochs, fold=EVERY, stage="refit")
            board.again = {*(board.again or ()), id}
            self._run_again()

    def _run_again(self) -> None:
        """Run what was started, to its end or that of the time."""
        self._board.make_jobs()
        self._board.submit()
        while self._board.running and self._board.may_go_on():
            self._board.wait()
            if time.monotonic() < self._board.until:  # what would begin after the end would be one epoch, and no proof
                self._board.submit()

    def _confirm_one(self, leader: Trial, seed: int, epochs: int, *, fold: int, stage: Stage = "confirm") -> int:
        """Start the trial that repeats `leader` under `seed`, on `fold`, unless it is over. Its id."""
        like = (stage, leader.id, seed, epochs, fold)
        same = (t for t in self._board.known.values() if (t.stage, t.parent, t.seed, t.epochs, t.fold) == like)
        trial = next(same, None)
        if trial is None:
            trial = Trial(
                id=self._board.next_id, factory=leader.factory, values=leader.values, status="running",
                stage=stage, parent=leader.id, seed=seed, epochs=epochs, fold=fold, costs=leader.costs,
            )  # fmt: skip
            self._board.ask(trial)
        if trial.status == "running":
            self._board.kinds[trial.id] = self._board.kinds[leader.id]
            self._board.start(trial)
        return trial.id


def spread(trials: Sequence[Trial], count: int) -> list[Trial]:
    """At most `count` of `trials`, evenly spaced, the first and the last among them."""
    step = max(1.0, (len(trials) - 1) / max(1, count - 1))
    return [trials[round(i * step)] for i in range(min(count, len(trials)))]
