"""The search: ask an oracle, run on workers, tell the oracle; then run the leading candidates again and choose.

The same seed gives the same search on one worker or many: trial k is asked only after the trials up to k - window
were told, in the order in which they were asked, whenever they may have finished. A killed search goes on by walking
the same way again, with what the journal holds in the place of training.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from kexp import models
from kexp.errors import RunError, SearchError
from kexp.metrics import objective, rank
from kexp.models.space import HyperParameters, key
from kexp.records import DatasetSpec, Dimension, Experiment, Trial, Value, to_json
from kexp.search.budget import Budget, Confirmation, confirmation
from kexp.search.events import Event, Listener
from kexp.search.oracles import ORACLES, Proposal
from kexp.search.worker import Job
from kexp.search.workers import AbstractWorkers, Outcome
from kexp.store import RunStore

T = TypeVar("T")

WINDOW = 16  # how far an oracle that learns may be asked ahead of what it was told
POLL_SECONDS = 0.5


class Search:
    """One search on one run: `run` explores, confirms and chooses. Made anew for each call, its state is the journal."""

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
        self._validation_rows = validation_rows
        self.factory = experiment.factory or models.default_factory(spec)
        self.direction = objective(spec.task, experiment.objective)[1]
        self._row = ORACLES[experiment.oracle]
        self._oracle = self._row.make(
            dimensions, seed=experiment.seed, direction=self.direction, trials=experiment.trials, epochs=budget.epochs
        )
        self._begun = time.monotonic() - store.seconds_used
        self._known = {trial.id: trial for trial in store.trials()}
        self._asked = {e.trial.id: Proposal(**e.proposal) for e in store.events() if e.kind == "ask" and e.proposal}
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
        best, reason = self._choose(finished, self._confirm(finished, len(explored)))
        self.store.set("best_trial", best.id)
        self.store.set("best", best.score)
        self.store.set("reason", reason)
        self.store.set("keep", [best.id])
        return best

    # explore

    def _explore(self) -> list[Trial]:
        """The explored trials, in the order in which they were asked."""
        journal = [t for t in self._known.values() if t.stage == "explore"]
        window = self.experiment.window or (WINDOW if self._row.learns else None)
        if self.experiment.oracle == "hyperband":
            window = self.experiment.window  # it waits by itself where a rung is not over
        order: list[int] = []  # ids, as asked
        same: dict[tuple[Any, ...], int] = {}
        told, idle = 0, False
        self._planned = self.experiment.trials
        share = self.budget.explore_share
        until = math.inf if self.experiment.seconds is None else self._begun + share * self.experiment.seconds
        while True:
            while not idle and not self._oracle.exhausted and self._may_ask(order, told, window, until, journal):
                id = journal[len(order)].id if len(order) < len(journal) else max(self._known, default=-1) + 1
                proposal = self._asked.get(id)
                if proposal is not None:
                    self._oracle.replay(id, proposal)
                else:
                    proposal = self._oracle.ask(id)
                if proposal is None:
                    idle = not self._oracle.exhausted
                    break
                self._propose(id, proposal, same)
                order.append(id)
            while told < len(order) and (trial := self._over(order[told])) is not None:
                self._oracle.tell(trial.id, trial.score)
                told, idle = told + 1, False
            if told == len(order):
                if idle:
                    raise RunError(f"the {self.experiment.oracle} oracle waits for a trial that was never asked")
                if not self._may_ask(order, told, window, until, journal) or self._oracle.exhausted:
                    return [self._known[id] for id in order]
            elif not self._may_go_on(order[told]):
                return [self._known[id] for id in order[:told]]
            else:
                self._wait()

    def _may_ask(self, order: list[int], told: int, window: int | None, until: float, journal: list[Trial]) -> bool:
        """Whether budget, window and the workers want one more proposal."""
        k = len(order)
        if self.experiment.trials is not None and k >= self.experiment.trials:
            return False
        if window is not None and k - told >= window:
            return False
        if k < len(journal):
            return True  # it was asked before: walk the same way
        if k and time.monotonic() >= until:
            return False
        # Asking ahead of the workers gains nothing where the answer does not depend on what is told.
        return self._row.learns or len(self._running) < 2 * self.workers.size

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
        leaders = self._leaders(explored)
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
        while self._running and self._may_go_on(next(iter(self._running))):
            self._wait()
        return [self._known[id] for id in ids if self._known[id].status != "running"]

    def _plan(self, leaders: list[Trial]) -> Confirmation | None:
        left = None
        if self.experiment.seconds is not None:
            left = self._begun + self.experiment.seconds - time.monotonic()
        costs = [trial.seconds for trial in leaders]
        return confirmation(self.experiment, self.spec, seconds=left, costs=costs, workers=self.workers.size)

    def _leaders(self, explored: list[Trial]) -> list[Trial]:
        """The best explored trials of distinct candidates, best first."""
        leaders: dict[tuple[Any, ...], Trial] = {}
        for trial in self._best_first(explored, self._rank):
            leaders.setdefault(key(trial.values), trial)
        return list(leaders.values())[: max(1, self.experiment.finalists)]

    def _best_first(self, items: list[T], of: Callable[[T], tuple[float, float]]) -> list[T]:
        """`items` by their rank; those whose share of right answers is within one standard error of the best's, by loss.

        On n validation rows such a difference is a coin's toss (Breiman et al. 1984, the one-standard-error rule);
        the loss also sees how sure each answer was. Other objectives decide by themselves.
        """
        best = max(of(item)[0] for item in items)
        margin = 0.0
        if objective(self.spec.task, self.experiment.objective)[0] in ("accuracy", "balanced_accuracy"):
            margin = math.sqrt(max(best * (1 - best), 0.0) / self._validation_rows)
        return sorted(items, key=lambda i: (of(i)[0] >= best - margin, of(i)[1] if of(i)[0] >= best - margin else 0.0, of(i)), reverse=True)

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

    def _choose(self, explored: list[Trial], confirmed: list[Trial]) -> tuple[Trial, str]:
        """The best run of the candidate whose runs are best on average, and why it is."""
        by_leader: dict[int, list[Trial]] = {}
        for trial in confirmed:
            if trial.score is not None and trial.parent is not None:
                by_leader.setdefault(trial.parent, []).append(trial)
        for id, runs in by_leader.items():
            if all(t.epochs == self._known[id].epochs for t in runs):
                runs.append(self._known[id])  # the exploring run was as long: it is one more seed
        name = objective(self.spec.task, self.experiment.objective)[0]
        if not by_leader:
            best = self._leaders(explored)[0]
            return best, f"best validation {name} of {len(explored)} candidates, one run each"
        means = {id: _mean([self._rank(t) for t in runs]) for id, runs in by_leader.items()}
        winner = self._best_first(list(means), lambda id: means[id])[0]
        best = max(by_leader[winner], key=self._rank)
        scores = [t.score for t in by_leader[winner] if t.score is not None]
        return best, (
            f"candidate {winner}: mean validation {name} {sum(scores) / len(scores):.5g} over {len(scores)} run(s), "
            f"{min(scores):.5g} to {max(scores):.5g}; the best of {len(by_leader)} candidates that were run again"
        )

    # workers

    def _start(self, trial: Trial, *, initial_epoch: int = 0, parent: int | None = None) -> None:
        deadline = math.inf if self.experiment.seconds is None else self._begun + self.experiment.seconds
        self._running[trial.id] = trial
        self.workers.submit(Job(trial, initial_epoch, parent, deadline))
        self._say("started", trial=trial)

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

    def _may_go_on(self, id: int) -> bool:
        """Whether to wait for trial `id`: not long after the time is up, unless nothing has finished yet.

        A worker ends a trial by itself after the epoch in which the time ran out; this is for epochs without end.
        """
        if self.experiment.seconds is None or not any(t.score is not None for t in self._known.values()):
            return True
        late = time.monotonic() - self._begun - self.experiment.seconds
        return late < max(15.0, 0.1 * self.experiment.seconds)

    def _rank(self, trial: Trial) -> tuple[float, float]:
        return rank(self.spec.task, self.experiment.objective, trial.metrics)

    def _say(self, kind: Any, text: str = "", trial: Trial | None = None) -> None:
        over = [t for t in self._known.values() if t.status != "running"]
        scored = [t for t in over if t.score is not None]
        stage = trial.stage if trial else "explore"
        left = None
        if self.experiment.seconds is not None:
            left = max(0.0, self._begun + self.experiment.seconds - time.monotonic())
        self.listener(
            Event(
                kind=kind, text=text, trial=trial, done=sum(t.stage == stage for t in over), running=len(self._running),
                planned=self._planned, best=max(scored, key=self._rank) if scored else None, seconds_left=left,
            )  # fmt: skip
        )


def _mean(ranks: list[tuple[float, float]]) -> tuple[float, float]:
    return sum(a for a, _ in ranks) / len(ranks), sum(b for _, b in ranks) / len(ranks)


def _epoch_text(outcome: Outcome) -> str:
    return f"epoch {outcome.epoch} of {outcome.trial.epochs}"


def _nothing_finished(explored: list[Trial]) -> str:
    reasons = [f"trial {t.id}: {t.message}" for t in explored if t.message][:3]
    return (
        f"Not one of {len(explored)} trials finished, so there is nothing to choose from. "
        + " ".join(reasons)
        + " Expected at least one; give more --time, or a smaller space in the experiment's [space]."
    )


def telling(values: dict[str, Value], dimensions: Sequence[Dimension]) -> dict[str, Value]:
    """The values of a candidate that are not the defaults: what tells it from the others."""
    defaults = {d.name: d.default for d in dimensions}
    return {name: value for name, value in values.items() if defaults.get(name) != value}
