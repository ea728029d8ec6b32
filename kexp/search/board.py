"""What is known of the trials of one search, and who is at work on them: the journal, the jobs, the time."""

from __future__ import annotations

import dataclasses
import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from kexp.front import Aim, aim
from kexp.layouts import Kind
from kexp.records import Curve, DatasetSpec, Experiment, Trial
from kexp.search.budget import CANDIDATES, Budget
from kexp.search.choose import Judge
from kexp.search.events import Event, Listener
from kexp.search.together import Start, jobs
from kexp.search.worker import Job
from kexp.search.workers import AbstractWorkers, Outcome
from kexp.store import RunStore

SLOW = 3.0  # times the first trial's seconds, after which an explored one is stopped in a search with a time limit
MANY = 12  # of the shortest trainings, one after another, fit exploring: those that are no slower are not stopped
AHEAD = 1  # jobs that wait at the workers, so that none is idle while the next candidate is asked for and built
GRAPH_SECONDS = 10.0  # allowed on top: a graph is traced and compiled however little the network has to learn
GRACE = 0.05  # of a time budget: for so long what is being explored may go on after exploring is over
POLL_SECONDS = 0.5


class Board:
    """The trials of one run by their ids, as last recorded, and the workers that some of them are at.

    Times are of time.monotonic: `begun` and `end` of the search, `explore_until`, `train_until` (the rest is for
    files), and `until`, when what is being run again ends at the latest.
    """

    def __init__(
        self, experiment: Experiment, spec: DatasetSpec, store: RunStore, workers: AbstractWorkers, budget: Budget,
        judge: Judge, listener: Listener,
    ) -> None:  # fmt: skip
        self.experiment, self.store, self.workers, self.budget = experiment, store, workers, budget
        self.judge, self.listener = judge, listener
        self.aim: Aim = aim(experiment, spec.task)
        self.timed, self._seconds = experiment.seconds is not None, experiment.seconds or math.inf
        self.begun = time.monotonic() - store.seconds_used
        self.end = self.train_until = self.until = self.begun + self._seconds
        # One that had come to confirming and goes on with a larger budget explores in its share of what is added.
        plan = store.get("confirmation")
        begun = time.monotonic() if plan is not None and plan["budget"][1] != experiment.seconds else self.begun
        self.explore_until = begun + budget.explore_share * (self.end - begun)
        self.known = {trial.id: trial for trial in store.trials()}
        self.pace = self._leading()  # renewed with each trial that is over: it is looked at with every ask
        self.kinds: dict[int, Kind | None] = {}  # of the networks that were looked at
        self.again: set[int] | None = None  # the trials of the second stage; None in the first
        self.planned: int | None = None  # trials of the present stage
        self.refused = 0  # proposals of the present stage
        self._starts: list[Start] = []  # asked, not yet made jobs
        self._pending: deque[Job] = deque()  # waiting for a worker
        self._jobs: list[Job] = []  # at the workers
        self.running: dict[int, Trial] = {}  # the trials of these

    def now(self, trials: Iterable[Trial]) -> list[Trial]:
        """`trials` as they are known now."""
        return [self.known[trial.id] for trial in trials]

    @property
    def next_id(self) -> int:
        """Of a trial that is new."""
        return max(self.known, default=-1) + 1

    @property
    def busy(self) -> int:
        """Jobs at the workers, and those that wait for one."""
        return len(self._pending) + len(self._jobs)

    def ask(self, trial: Trial, **proposal: Any) -> None:
        """Journal that `trial` is to be run; `proposal` as `RunStore.record_ask` takes it."""
        self.store.record_ask(trial, **proposal)
        self.known[trial.id] = trial

    def drop(self) -> None:
        """Forget what was started and is not at a worker."""
        self._pending.clear()
        self._starts.clear()

    def start(self, trial: Trial, *, initial_epoch: int = 0, parent: int | None = None) -> None:
        """Have `trial` trained, on from `initial_epoch` with the weights of `parent`."""
        if parent is not None and not self.store.weights(parent).exists():
            parent, initial_epoch = None, 0  # they were cleaned away: it starts anew
        self._starts.append(Start(trial, self.kinds.get(trial.id), initial_epoch, parent))

    def make_jobs(self) -> None:
        """Everything that was started becomes jobs; what goes on with a training comes first: it leads so far."""
        self._pending.extend(jobs(self._starts, self.budget.rows))
        self._pending = deque(sorted(self._pending, key=lambda job: not job.initial_epoch))
        self._starts.clear()

    def submit(self) -> None:
        """Give the workers what they can take: what is not given can still be dropped when the time is up."""
        while self._pending and len(self._jobs) < self.workers.size + self._ahead(self._pending[0]):
            job = self._pending.popleft()
            job = job._replace(end=self._latest(job), seconds=self._most_seconds(job))
            self._jobs.append(job)
            self.running |= {trial.id: trial for trial in job.trials}
            self.store.set("finished", None)  # it was, if this run had ended and now goes on
            self.workers.submit(job)
            for trial in job.trials:
                self.say("started", trial=trial)

    def _ahead(self, job: Job) -> int:
        """How many jobs may wait at the workers: none that would begin when exploring is nearly over.

        Such a one cannot be taken back, and would take the time of the leading candidates (trashnet: 2 of 10 minutes).
        """
        if not self.timed or _stage(job) != "explore":
            return AHEAD
        epochs = sum(trial.epochs - job.initial_epoch for trial in job.trials)
        typical = epochs * (self._typical() or 0.0)
        return AHEAD if time.monotonic() + typical < self.explore_until else 0

    def _latest(self, job: Job) -> float:
        """When a trial ends at the latest. Before anything has finished, whatever it is has the whole time."""
        if not self.timed or _stage(job) != "explore" or not self.anything_finished():
            return self.until
        return min(self.until, self.explore_until + GRACE * self._seconds)

    def _most_seconds(self, job: Job) -> float:
        """How long a trial may take: no explored one far longer than the first, by the epoch.

        Without a time limit nothing depends on measured time.
        """
        first = next((t for t in self.known.values() if t.stage == "explore" and t.status == "completed"), None)
        if not self.timed or first is None or _stage(job) != "explore":
            return math.inf
        epochs = sum(trial.epochs - job.initial_epoch for trial in job.trials)
        usual = (self.explore_until - self.begun) / (MANY * self.budget.epochs)
        return GRAPH_SECONDS + max(SLOW * self.cost(first), usual) * epochs

    def wait(self) -> None:
        """Take in what the workers did in the next moment."""
        outcomes = self.workers.poll(POLL_SECONDS)
        over = [outcome.trial for outcome in outcomes if outcome.epoch is None]
        for trial in over:
            self.running.pop(trial.id, None)
        self._jobs = [job for job in self._jobs if any(trial.id in self.running for trial in job.trials)]
        if over:
            curves = {outcome.trial.id: outcome.curve for outcome in outcomes}
            with self.store.at_once():  # a group is in the journal whole, or trains again
                over = [self.tell(trial, curves[trial.id]) for trial in over]
        for trial in over:
            self.finished(trial)
        for outcome in outcomes:
            if outcome.epoch is not None:
                self.say("epoch", _epoch_text(outcome), trial=outcome.trial)

    def tell(self, trial: Trial, curve: Curve | None = None) -> Trial:
        """Journal how `trial` ended; as it counts."""
        if trial.stage == "refit" and trial.score is not None:
            trial = self._as_on_folds(trial)
        if trial.score is not None and not math.isfinite(trial.score):
            trial = dataclasses.replace(trial, status="failed", score=None, message="its score is not a number")
        self.store.record_tell(trial, curve)
        return trial

    def _as_on_folds(self, trial: Trial) -> Trial:
        """A trial that learnt every row, with the mean metrics of its candidate on folds: its own tell nothing."""
        means = self.mean_on_folds(trial, lambda one: one.metrics)
        return dataclasses.replace(trial, metrics=means, score=means[self.aim.metric])

    def mean_on_folds(self, trial: Trial, of: Callable[[Trial], dict[str, float]]) -> dict[str, float]:
        """The mean of what is known (`of`) of the candidate of `trial` on each fold; nothing where a fold lacks it."""
        folds = [t for t in self.known.values() if t.parent == trial.parent and t.fold > 0 and t.score is not None]
        told = [of(one) for one in folds]
        if not folds or not all(told):
            return {}
        return {name: sum(one[name] for one in told) / len(told) for name in trial.metrics}

    def finished(self, trial: Trial) -> Trial:
        """Take in a trial whose end is in the journal."""
        self.known[trial.id] = trial
        self.pace = self._leading()
        self.say("finished", trial.message, trial=trial)
        return trial

    def may_go_on(self) -> bool:
        """Whether to wait for the workers: not long after the time is up, unless nothing has finished yet.

        A worker ends a trial by itself after the epoch in which the time ran out; this is for epochs without end.
        """
        if not self.timed or not self.anything_finished():
            return True
        return time.monotonic() < self.end + max(15.0, 0.1 * self._seconds)

    def anything_finished(self) -> bool:
        """Whether any trial has a score."""
        return any(trial.score is not None for trial in self.known.values())

    def cost(self, trial: Trial) -> float:
        """Seconds that an epoch of a candidate took; of one that was stopped, no fewer than of those that were not."""
        trial = self.known[trial.source]
        begun = self.known[trial.parent].epochs if trial.parent is not None and trial.stage == "explore" else 0
        least = self.pace or 0.0 if trial.status == "stopped" else 0.0
        return max(least, trial.seconds / max(1, trial.epochs - begun))

    def _typical(self) -> float | None:
        """The median of what an epoch of an explored candidate took; None before the first."""
        done = [self.cost(t) for t in self.known.values() if t.stage == "explore" and t.status == "completed"]
        return sorted(done)[len(done) // 2] if done else None

    def _leading(self) -> float | None:
        """The mean of what an epoch of the best candidates took, which are slower than most; None before the first."""
        done = [t for t in self.known.values() if t.stage == "explore" and t.status == "completed"]
        best = self.judge.leaders(done, CANDIDATES) if done else []
        return sum(map(self.cost, best)) / len(best) if best else None

    def say(self, kind: Any, text: str = "", trial: Trial | None = None) -> None:
        """Tell the listener."""
        over = [t for t in self.known.values() if t.status not in ("running", "infeasible")]
        scored = [t for t in over if t.score is not None]
        left = None if not self.timed else max(0.0, self.end - time.monotonic())
        self.listener(
            Event(
                kind=kind,
                text=text,
                trial=trial,
                done=sum(t.stage == "explore" if self.again is None else t.id in self.again for t in over),
                running=len(self.running),
                refused=self.refused if self.again is None else 0,
                planned=self.planned,
                best=max(scored, key=self.judge.rank) if scored else None,
                seconds_left=left,
            )
        )


def _stage(job: Job) -> str:
    return job.trials[0].stage


def _epoch_text(outcome: Outcome) -> str:
    return f"epoch {outcome.epoch} of {outcome.trial.epochs}"
