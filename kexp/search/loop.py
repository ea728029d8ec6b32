"""The search: ask an oracle, run on workers, tell the oracle; then run the leading candidates again and choose.

The same seed gives the same search on one worker or many: trial k is asked only after the trials up to k - window
were told, in the order in which they were asked, whenever they may have finished. A killed search goes on by walking
the same way again, with what the journal holds in the place of training.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from kexp import models
from kexp.errors import RunError, SearchError
from kexp.metrics import objective
from kexp.models.space import HyperParameters, key
from kexp.records import DatasetSpec, Dimension, Experiment, Trial, to_json
from kexp.search.budget import Budget, Confirmation, confirmation
from kexp.search.choose import Judge
from kexp.search.events import Event, Listener
from kexp.search.oracles import ORACLES, Proposal
from kexp.search.worker import Job
from kexp.search.workers import AbstractWorkers, Outcome
from kexp.store import RunStore

SLOW = 3.0  # times the first trial's seconds, after which an explored one is stopped in a search with a time limit
AHEAD = 1  # jobs that wait at the workers, so that none is idle while the next candidate is asked for and built
SPARE_LEADERS = 3  # beyond the finalists, for those that are too slow to be trained for longer
POLL_SECONDS = 0.5


class Search:
    """One search on one run: `run` explores, confirms and chooses. Made anew each time: its state is the journal."""

    def __init__(
        self,
        experiment: Experiment,
        spec: DatasetSpec,
        dimensions: Sequence[Dimension],
        store: RunStore,
        workers: AbstractWorkers,
        budget: Budget,
        validation_rows: int,
        listener: Listener,
    ) -> None:
        self.experiment, self.spec, self.store, self.workers = experiment, spec, store, workers
        self.budget, self.listener = budget, listener
        self.judge = Judge(task=spec.task, objective=experiment.objective, rows=validation_rows)
        self.factory = experiment.factory or models.default_factory(spec)
        self._oracle = ORACLES[experiment.oracle].make(
            dimensions,
            seed=experiment.seed,
            direction=objective(spec.task, experiment.objective)[1],
            trials=experiment.trials,
            epochs=budget.epochs,
        )
        begun = time.monotonic() - store.seconds_used
        seconds = math.inf if experiment.seconds is None else experiment.seconds
        self._end = begun + seconds
        self._explore_until = begun + budget.explore_share * seconds
        self._known = {trial.id: trial for trial in store.trials()}
        self._asked = {e.trial.id: Proposal(**e.proposal) for e in store.events() if e.kind == "ask" and e.proposal}
        self._pending: deque[Job] = deque()  # asked, waiting for a worker
        self._running: dict[int, Trial] = {}
        self._planned: int | None = None

    def run(self) -> Trial:
        """Search within the budget; the trial that is best. Raises SearchError when not one finished."""
        self._say("stage", "explore")
        explored = self._explore()
        finished = [trial for trial in explored if trial.score is not None]
        if not finished:
            raise SearchError(_nothing_finished(explored))
        self._say("stage", "confirm")
        best, reason = self.judge.choose(finished, self._confirm(finished, len(explored)))
        self.store.set("best_trial", best.id)
        self.store.set("best", best.score)
        self.store.set("reason", reason)
        self.store.set("keep", [best.id])
        return best

    # explore

    def _explore(self) -> list[Trial]:
        """The explored trials that are over, in the order in which they were asked."""
        journal = [trial.id for trial in self._known.values() if trial.stage == "explore"]
        order: list[int] = []  # ids, as asked
        same: dict[tuple[Any, ...], int] = {}  # what a candidate is -> the first trial of it
        told, idle = 0, False
        self._planned = self.experiment.trials
        while True:
            while not idle and self._may_ask(len(order), told, len(journal)):
                id = journal[len(order)] if len(order) < len(journal) else max(self._known, default=-1) + 1
                proposal = self._asked.get(id)
                if proposal is not None:
                    self._oracle.replay(id, proposal)
                else:
                    proposal = self._oracle.ask(id)
                if proposal is None:
                    idle = True  # until more is told
                    break
                order.append(id)
                self._propose(id, proposal, same)
            while told < len(order) and (trial := self._over(order[told])) is not None:
                self._oracle.tell(trial.id, trial.score)
                told, idle = told + 1, False
            out_of_time = bool(order) and time.monotonic() >= self._explore_until
            if not out_of_time or not any(trial.score is not None for trial in self._known.values()):
                self._submit()
            if told == len(order) and (idle or not self._may_ask(told, told, len(journal))):
                break
            if told < len(order):
                if (out_of_time and not self._running) or not self._may_go_on():
                    break
                self._wait()
        self._pending.clear()
        return [self._known[id] for id in order if self._known[id].status != "running"]

    def _may_ask(self, asked: int, told: int, journal: int) -> bool:
        """Whether budget, window and workers want one more proposal; `journal` were asked in an earlier call."""
        row, limits = ORACLES[self.experiment.oracle], self.experiment
        if self._oracle.exhausted or (limits.trials is not None and asked >= limits.trials):
            return False
        window = limits.window or row.window or math.inf
        if asked - told >= window:
            return False
        if asked < journal:
            return True  # walk the same way again
        if asked and time.monotonic() >= self._explore_until:
            return False
        # Asking ahead gains nothing where the answer does not depend on what is told.
        return row.learns or len(self._pending) + len(self._running) < self.workers.size + AHEAD

    def _propose(self, id: int, proposal: Proposal, same: dict[tuple[Any, ...], int]) -> None:
        """Journal a proposal and start it, unless it, or its equal, ran already."""
        hp = HyperParameters(proposal.values, self.experiment.space)
        models.build(self.spec, self.factory, hp)  # what its build reads is what it is
        epochs = proposal.epochs or self.budget.epochs
        values = dict(hp.read)
        identity = (key(values), epochs, proposal.parent)
        twin = same.setdefault(identity, id)
        trial = Trial(
            id=id, factory=self.factory, values=values, status="running", parent=proposal.parent,
            seed=self.experiment.seed, epochs=epochs, message=f"equal to trial {twin}" if twin != id else "",
        )  # fmt: skip
        known = self._known.get(id)
        if known is None:
            self.store.record_ask(trial, **proposal._asdict())
            self._known[id] = known = trial
        elif key(known.values) != key(values):
            raise RunError(
                f"trial {id} was built from {known.values}, and its factory now reads {values}: the factory has "
                "changed since. Use --fresh (the old run is kept aside), or another --name."
            )
        if known.status == "running" and twin == id:
            self._start(known, initial_epoch=proposal.initial_epoch, parent=proposal.parent)

    def _over(self, id: int) -> Trial | None:
        """The trial when it is over; one that equals an earlier trial is answered from that."""
        trial = self._known[id]
        if trial.status != "running":
            return trial
        if id in self._running or not trial.message.startswith("equal to trial "):
            return None
        twin = self._known[int(trial.message.rsplit(" ", 1)[1])]
        if twin.status == "running":
            return None
        copied = dataclasses.replace(
            twin, id=id, parent=twin.id, seconds=0.0, message=f"{trial.message}; not trained again"
        )
        return self._finished(copied)

    # confirm

    def _confirm(self, explored: list[Trial], asked: int) -> list[Trial]:
        """The leading candidates, run again under other seeds and for longer where that fits the budget."""
        leaders = self.judge.leaders(explored, self.experiment.finalists + SPARE_LEADERS)
        plan = self.store.get("confirmation")
        if plan is None or plan["asked"] != asked:
            chosen = self._plan(leaders)
            plan = {"asked": asked, "plan": to_json(chosen), "leaders": [t.id for t in leaders]}
            self.store.set("confirmation", plan)
        if plan["plan"] is None:
            return []
        chosen = Confirmation(**plan["plan"])
        wanted = [
            (self._known[leader], self.experiment.seed + 1 + s)
            for s in range(chosen.seeds)
            for leader in (plan["leaders"][i] for i in chosen.candidates)
        ]
        self._planned = len(wanted)
        text = f"{len(chosen.candidates)} leading candidate(s) again, {chosen.seeds} seed(s) each"
        self._say("notice", text + (f", {chosen.longer} times longer" if chosen.longer > 1 else ""))
        ids = [self._confirm_one(leader, seed, leader.epochs * chosen.longer) for leader, seed in wanted]
        self._submit()
        while self._running and self._may_go_on():
            self._wait()
            self._submit()
        return [self._known[id] for id in ids if self._known[id].status != "running"]

    def _plan(self, leaders: list[Trial]) -> Confirmation | None:
        left = None if self.experiment.seconds is None else self._end - time.monotonic()
        costs = [trial.seconds for trial in leaders]
        return confirmation(self.experiment, self.spec, seconds=left, costs=costs, workers=self.workers.size)

    def _confirm_one(self, leader: Trial, seed: int, epochs: int) -> int:
        """The id of the trial that repeats `leader` under `seed`: the journal's, or a new one that is started."""
        for trial in self._known.values():
            if (trial.stage, trial.parent, trial.seed, trial.epochs) == ("confirm", leader.id, seed, epochs):
                if trial.status == "running":
                    self._start(trial)
                return trial.id
        trial = Trial(
            id=max(self._known) + 1, factory=leader.factory, values=leader.values, status="running", stage="confirm",
            parent=leader.id, seed=seed, epochs=epochs,
        )  # fmt: skip
        self.store.record_ask(trial)
        self._known[trial.id] = trial
        self._start(trial)
        return trial.id

    # workers

    def _start(self, trial: Trial, *, initial_epoch: int = 0, parent: int | None = None) -> None:
        self._pending.append(Job(trial, initial_epoch, parent))

    def _submit(self) -> None:
        """Give the workers what they can take: what is not given can still be dropped when the time is up."""
        while self._pending and len(self._running) < self.workers.size + AHEAD:
            job = self._pending.popleft()._replace(deadline=self._deadline())
            self._running[job.trial.id] = job.trial
            self.workers.submit(job)
            self._say("started", trial=job.trial)

    def _deadline(self) -> float:
        """When a trial that starts now must end: with the time, and no explored one may take far longer than the first.

        Without a time limit nothing depends on measured time.
        """
        first = next((t for t in self._known.values() if t.stage == "explore" and t.status == "completed"), None)
        if self.experiment.seconds is None or first is None or time.monotonic() >= self._explore_until:
            return self._end
        return min(self._end, time.monotonic() + SLOW * first.seconds)

    def _wait(self) -> None:
        """Take in what the workers did in the next moment."""
        for outcome in self.workers.poll(POLL_SECONDS):
            if outcome.epoch is None:
                self._running.pop(outcome.trial.id, None)
                self._finished(outcome.trial)
            else:
                self._say("epoch", _epoch_text(outcome), trial=outcome.trial)

    def _finished(self, trial: Trial) -> Trial:
        if trial.score is not None and not math.isfinite(trial.score):
            trial = dataclasses.replace(trial, status="failed", score=None, message="its score is not a number")
        self.store.record_tell(trial)
        self._known[trial.id] = trial
        self._say("finished", trial.message, trial=trial)
        return trial

    def _may_go_on(self) -> bool:
        """Whether to wait for the workers: not long after the time is up, unless nothing has finished yet.

        A worker ends a trial by itself after the epoch in which the time ran out; this is for epochs without end.
        """
        if self.experiment.seconds is None or not any(t.score is not None for t in self._known.values()):
            return True
        return time.monotonic() < self._end + max(15.0, 0.1 * self.experiment.seconds)

    def _say(self, kind: Any, text: str = "", trial: Trial | None = None) -> None:
        over = [t for t in self._known.values() if t.status != "running"]
        scored = [t for t in over if t.score is not None]
        stage = trial.stage if trial else "explore"
        left = None if self.experiment.seconds is None else max(0.0, self._end - time.monotonic())
        self.listener(
            Event(
                kind=kind,
                text=text,
                trial=trial,
                done=sum(t.stage == stage for t in over),
                running=len(self._running),
                planned=self._planned,
                best=max(scored, key=self.judge.rank) if scored else None,
                seconds_left=left,
            )
        )


def _epoch_text(outcome: Outcome) -> str:
    return f"epoch {outcome.epoch} of {outcome.trial.epochs}"


def _nothing_finished(explored: list[Trial]) -> str:
    reasons = [f"trial {t.id}: {t.message}" for t in explored if t.message][:3]
    return (
        f"Not one of {len(explored)} trials finished, so there is nothing to choose from. "
        + " ".join(reasons)
        + " Expected at least one; give more --time, or a smaller space in the experiment's [space]."
    )
