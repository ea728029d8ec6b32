"""Exploring: ask an oracle, run on workers, tell the oracle.

Trial k is asked only after the trials up to k - window were told, in the order in which they were asked, whenever they
may have finished. Candidates that can train together are asked in blocks, block b after block b - 2 was told.
"""

from __future__ import annotations

import dataclasses
import math
import time
from typing import Any

from kexp.errors import RunError
from kexp.front import cost
from kexp.records import Experiment, Trial, key
from kexp.search.board import AHEAD, Board
from kexp.search.budget import CANDIDATES
from kexp.search.limits import IN_A_ROW, Limits, check_refusal
from kexp.search.oracles import ORACLES, Proposal
from kexp.search.rungs import Rungs
from kexp.search.sketches import AbstractSketches, Outline

TIMED_BLOCK = 32
FEW, LESSONS = 8, 5  # an oracle that learns is told so often in a search of few trials, but not for blocks below FEW
LEAST = 4  # or, where the oracle says how often, below this
# Of the error on validation rows so much is not there on training rows where candidates overfit; and so many must have
# been told before that is asked.
OVERFIT, LEAST_TOLD = 0.25, 6


class Exploring:
    """The first stage of one search. `limits` says what is refused before it is trained."""

    def __init__(self, board: Board, outline: Outline, sketches: AbstractSketches, limits: Limits) -> None:
        experiment = board.experiment
        self._board, self._outline, self._sketches, self._limits = board, outline, sketches, limits
        row = ORACLES[experiment.oracle]
        own: dict[str, Any] = {"recipes": outline.recipes} if row.climbs else {}
        if row.several and row.learns:
            own["costs"] = len(experiment.objectives)
        self._oracle = row.make(
            outline.dimensions, seed=experiment.seed, direction=board.aim.direction, trials=experiment.trials,
            epochs=board.budget.epochs, **own,
        )  # fmt: skip
        self._asked = {
            e.trial.id: Proposal(**e.proposal) for e in board.store.events() if e.kind == "ask" and e.proposal
        }
        self._journal = [trial.id for trial in board.known.values() if trial.stage == "explore"]
        self.block, self._window = _blocks(experiment, outline)
        self._rungs = Rungs(
            board.budget, experiment, block=self.block, workers=round(min(board.workers.size, self._window)),
            begun=board.begun, until=board.explore_until,
        )  # fmt: skip
        self._order: list[int] = []  # ids of the explored, as asked; without those that were refused
        self._told: list[int] = []  # those of them that the oracle was told of, in the same order
        self._idle = False  # the oracle waits to be told
        self._first: dict[tuple[Any, ...], int] = {}  # what a candidate is -> the first trial of it
        self._held = bool(outline.held) and experiment.regularise == "overfitting"
        if self._held:
            self._oracle.hold(outline.held)

    @property
    def asked(self) -> int:
        """How many were asked for and not refused."""
        return len(self._order)

    def run(self) -> list[Trial]:
        """The explored trials that are over, in the order in which they were asked."""
        self._board.planned = self._board.experiment.trials
        while True:
            # As many asks as may be, then one tell: trial k is asked when exactly those up to k - window are told.
            if self._ask_one():
                continue
            self._board.make_jobs()
            if self._tell_one():
                continue
            if len(self._told) == len(self._order):
                if not self._used_up():
                    break  # nothing is left to ask for
                self._climb(over=True)
                continue
            out_of_time = time.monotonic() >= self._board.explore_until
            if not out_of_time or not self._board.anything_finished():
                self._board.submit()
            if (out_of_time and not self._board.running) or not self._board.may_go_on():
                break
            self._board.wait()
        return [self._board.known[id] for id in self._order if self._board.known[id].status != "running"]

    def go_on(self, until: float) -> list[Trial]:
        """Explore `until` then, beyond the usual share of the time; all explored trials."""
        self._board.explore_until = self._rungs.until = until
        return self.run()

    def _ask_one(self) -> bool:
        """Ask for one candidate, if budget, window and oracle allow; one that is refused counts for none of them."""
        if len(self._order) % self.block == 0:
            self._board.make_jobs()  # of the block that is whole
        k = len(self._order) + self._limits.refused
        id = self._journal[k] if k < len(self._journal) else self._board.next_id
        recorded = self._asked.get(id)
        self._climb(over=recorded is None and len(self._order) % self.block == 0 and self._rung_is_over())
        if self._idle or not self._may_ask(
            len(self._order), len(self._told), len(self._journal) - self._limits.refused
        ):
            return False
        proposal = self._oracle.ask(id) if recorded is None else self._oracle.replay(id, recorded)
        if proposal is None:
            self._idle = True  # until more is told
            return False
        if self._propose(id, proposal):
            self._order.append(id)
        return True

    def _climb(self, *, over: bool) -> None:
        """Before the next is asked for: for how long it trains. Where this rung is `over`, for longer."""
        if self._board.budget.rungs == 1:
            return
        while over:
            self._rungs.climb()
            self._board.say(
                "notice", f"candidates train for {self._rungs.epochs} epochs now, the best so far among them"
            )
            self._idle, over = False, self._rung_is_over()
        self._oracle.climb(self._rungs.epochs, self._rungs.most(self._board.pace))

    def _rung_is_over(self) -> bool:
        return self._rungs.over(len(self._order), self._board.pace)

    def _used_up(self) -> bool:
        """Whether a small space was explored, with trials and time left to train its best for longer."""
        wanted = self._board.experiment.trials is None or len(self._order) < self._board.experiment.trials
        return wanted and not self._limits.hopeless and self._rungs.another(self._board.pace)

    def _tell_one(self) -> bool:
        """Tell the oracle of the next trial, in the order in which they were asked, if it is over."""
        if len(self._told) == len(self._order):
            return False
        trial = self._over(self._order[len(self._told)])
        if trial is None:
            return False
        costs = [math.log(max(cost(trial, name), 1e-6)) for name in self._board.experiment.objectives]
        self._oracle.tell(trial.id, trial.score, costs)
        self._told.append(trial.id)
        self._idle = False
        if self._held:
            self._open()
        return True

    def _open(self) -> None:
        """Once the leading candidates overfit, or there is nothing else to try: dropout, augmentation and the like.

        Decided by what was told in order, so that the same search decides the same.
        """
        told = [self._board.known[id] for id in self._told if self._board.known[id].score is not None]
        used_up = self._oracle.exhausted and len(self._order) != self._board.experiment.trials
        if len(told) < LEAST_TOLD and not used_up:
            return
        gaps = [
            gap
            for one in self._board.judge.leaders(told, CANDIDATES)
            if (gap := self._board.judge.overfitting(one)) is not None
        ]
        gap = sum(gaps) / len(gaps) if gaps else 0.0
        if gap < OVERFIT and not used_up:
            return
        self._held = False
        self._oracle.hold({})
        self._board.store.set("opened", {"after": len(self._order), "gap": gap, "held": dict(self._outline.held)})
        why = f"the leading candidates overfit ({gap:.0%} of the error is not there on training rows)"
        why = "all else was tried" if gap < OVERFIT else why
        self._board.say("notice", f"{why}: {', '.join(self._outline.held)} are searched from now on")

    def _may_ask(self, asked: int, told: int, journal: int) -> bool:
        """Whether budget, window and workers want one more proposal; `journal` were asked in an earlier call."""
        limits = self._board.experiment
        # What a time limit had once allowed, the journal knows better than the oracle.
        exhausted = self._oracle.exhausted and not (asked < journal and limits.seconds is not None)
        if exhausted or self._limits.hopeless or (limits.trials is not None and asked >= limits.trials):
            return False
        within = asked % self.block
        if asked - within - told > self._window - self.block:
            return False
        if asked < journal:
            return True  # walk the same way again
        if asked and time.monotonic() >= self._board.explore_until:
            return False
        if within or ORACLES[limits.oracle].learns:
            return True
        # Asking ahead gains nothing where the answer does not depend on what is told.
        return self._board.busy < self._board.workers.size + AHEAD

    def _propose(self, id: int, proposal: Proposal) -> bool:
        """Journal a proposal and start it, unless it, or its equal, ran already. False where it was refused."""
        values, self._board.kinds[id], costs = self._sketches.look(
            proposal.values
        )  # what its build reads is what it is
        costs = self._limits.foretold(costs)
        excess = self._limits.excess(costs, id)
        epochs = proposal.epochs or self._board.budget.epochs
        if proposal.parent is None:
            self._rungs.seen(epochs)
        parent = None if proposal.parent is None else self._board.known[proposal.parent].source
        twin = id if excess else self._first.setdefault((key(values), epochs, parent), id)
        trial = Trial(
            id=id, factory=self._outline.factory, values=values, status="infeasible" if excess else "running",
            parent=parent, same_as=None if twin == id else twin, seed=self._board.experiment.seed, epochs=epochs,
            parameters=costs.parameters, costs=costs, message=excess,
        )  # fmt: skip
        known = self._board.known.get(id)
        if known is None:
            self._board.ask(trial, **proposal._asdict())
            known = trial
        elif key(known.values) != key(values):
            raise RunError(
                f"trial {id} was built from {known.values}, and its factory now reads {values}: the factory has "
                "changed since. Use --fresh (the old run is kept aside), or another --name."
            )
        check_refusal(known, excess)
        if excess:
            self._board.refused = self._limits.refused
            self._oracle.refuse(id)
            if self._limits.hopeless and self._order:
                self._board.say(
                    "notice", f"no more candidates are asked for: the last {IN_A_ROW} were all over a limit"
                )
        elif known.status == "running" and twin == id:
            self._board.start(known, initial_epoch=proposal.initial_epoch, parent=parent)
        return not excess

    def _over(self, id: int) -> Trial | None:
        """The trial when it is over; one that equals an earlier trial is answered from that."""
        trial = self._board.known[id]
        if trial.status != "running":
            return trial
        if trial.same_as is None or self._board.known[trial.same_as].status == "running":
            return None
        message = f"equal to trial {trial.same_as}; not trained again"
        copied = dataclasses.replace(
            self._board.known[trial.same_as], id=id, same_as=trial.same_as, seconds=0.0, message=message
        )
        return self._board.finished(self._board.tell(copied))


def _blocks(experiment: Experiment, outline: Outline) -> tuple[int, float]:
    """How many candidates are asked at once, and how far ahead of what was told."""
    row = ORACLES[experiment.oracle]
    window = experiment.window or row.window or math.inf
    if outline.alone:
        return 1, window
    # Under a time limit not much more than can be trained is asked for: what is left would only be looked through.
    block = row.block if experiment.seconds is None else min(row.block, TIMED_BLOCK)
    waits = False
    if row.lessons is not None and experiment.trials is not None:
        block, waits = min(block, max(LEAST, experiment.trials // row.lessons)), True
    elif row.window is not None and experiment.trials is not None:
        block = min(block, max(FEW, experiment.trials // LESSONS))
    if experiment.window is not None:
        return max(1, min(block, experiment.window // 2)), window
    return block, block if waits else max(window, 2 * block)
