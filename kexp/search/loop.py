"""The search: ask an oracle, run on workers, tell the oracle; then run the leading candidates again and choose.

The same seed gives the same search on one worker or many: trial k is asked only after the trials up to k - window
were told, in the order in which they were asked, whenever they may have finished. Candidates that can train together
are asked in blocks, block b after block b - 2 was told. A killed search goes on by walking the same way again, with
what the journal holds in the place of training.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from kexp import lean
from kexp.errors import RunError, SearchError
from kexp.front import aim, cost, front
from kexp.layouts import Kind
from kexp.records import EVERY, Curve, DatasetSpec, Experiment, Stage, Trial, key, to_json
from kexp.search.budget import CANDIDATES, MARGIN, Budget, Confirmation, confirmation
from kexp.search.choose import Judge, converted
from kexp.search.converters import Converters
from kexp.search.events import Event, Listener
from kexp.search.latency import LatencyModel
from kexp.search.limits import IN_A_ROW, Limits, check_refusal
from kexp.search.oracles import ORACLES, Proposal
from kexp.search.rungs import Rungs
from kexp.search.sketches import AbstractSketches
from kexp.search.together import Start, jobs
from kexp.search.worker import Job
from kexp.search.workers import AbstractWorkers, Outcome
from kexp.store import RunStore
from kexp.wording import size

SLOW = 3.0  # times the first trial's seconds, after which an explored one is stopped in a search with a time limit
MANY = 12  # of the shortest trainings, one after another, fit exploring: those that are no slower are not stopped
AHEAD = 1  # jobs that wait at the workers, so that none is idle while the next candidate is asked for and built
GRAPH_SECONDS = 10.0  # allowed on top: a graph is traced and compiled however little the network has to learn
TIMED_BLOCK = 32
GRACE = 0.05  # of a time budget: for so long what is being explored may go on after exploring is over
SPARE_LEADERS = 3  # beyond the finalists, for those that are too slow to be trained for longer
POLL_SECONDS = 0.5
# Of the error on validation rows so much is not there on training rows where candidates overfit; and so many must have
# been told before that is asked.
OVERFIT, LEAST_TOLD = 0.25, 6
# Of the time of a search, at most, for the files of the leading candidates: before these are run again, and after.
SHARE_BEFORE, SHARE_AFTER = 0.03, 0.05
USUAL_SECONDS = 2.5  # of one file, until this search knows better
FRONT = 8  # candidates of a front that are run again, and have files made


class Folds(NamedTuple):
    """How many folds leading candidates run on, and how many rows there are in all of them."""

    number: int = 0
    rows: int = 0


NO_FOLDS = Folds()


class Search:
    """One search on one run: `run` explores, confirms and chooses. Made anew each time: its state is the journal."""

    def __init__(
        self,
        experiment: Experiment,
        spec: DatasetSpec,
        sketches: AbstractSketches,
        store: RunStore,
        workers: AbstractWorkers,
        budget: Budget,
        validation_rows: int,
        listener: Listener,
        folds: Folds = NO_FOLDS,
        converters: Converters | None = None,
    ) -> None:
        self._converters = converters
        self.experiment, self.spec, self.store, self.workers = experiment, spec, store, workers
        self.budget, self.listener, self.folds = budget, listener, folds
        self.judge = Judge(
            task=spec.task, objective=experiment.objective, rows=validation_rows, folded=folds.rows,
            max_size=experiment.max_size, max_latency=experiment.max_latency,
        )  # fmt: skip
        self._sketches, self.outline = sketches, sketches.outline()
        self.factory = self.outline.factory
        self.aim = aim(experiment, spec.task)
        row = ORACLES[experiment.oracle]
        own: dict[str, Any] = {"recipes": self.outline.recipes} if row.climbs else {}
        if row.several and row.learns:
            own["costs"] = len(experiment.objectives)
        self._oracle = row.make(
            self.outline.dimensions,
            seed=experiment.seed,
            direction=self.aim.direction,
            trials=experiment.trials,
            epochs=budget.epochs,
            **own,
        )
        self._begun = time.monotonic() - store.seconds_used
        seconds = math.inf if experiment.seconds is None else experiment.seconds
        self._end = self._train_until = self._until = self._begun + seconds
        # One that had come to confirming and goes on with a larger budget explores in its share of what is added.
        plan = store.get("confirmation")
        begun = time.monotonic() if plan is not None and plan["budget"][1] != experiment.seconds else self._begun
        self._explore_until = begun + budget.explore_share * (self._end - begun)
        self._known = {trial.id: trial for trial in store.trials()}
        self._asked = {e.trial.id: Proposal(**e.proposal) for e in store.events() if e.kind == "ask" and e.proposal}
        self._pace = self._leading()  # renewed with each trial that is over: it is looked at with every ask
        self._block, self._window = self._blocks()
        self._rungs = Rungs(
            budget, experiment, block=self._block, workers=round(min(workers.size, self._window)),
            begun=self._begun, until=self._explore_until,
        )  # fmt: skip
        self._kinds: dict[int, Kind | None] = {}  # of the networks that were built
        self._starts: list[Start] = []  # asked, not yet made jobs
        self._pending: deque[Job] = deque()  # waiting for a worker
        self._jobs: list[Job] = []  # at the workers
        self._running: dict[int, Trial] = {}  # the trials of these
        self._again: set[int] | None = None  # the trials of the second stage; None in the first
        self._planned: int | None = None
        self._journal = [trial.id for trial in self._known.values() if trial.stage == "explore"]
        self._limits = Limits(experiment, LatencyModel.read(store.get("latency_model")))
        self._order: list[int] = []  # ids of the explored, as asked; without those that were refused
        self._told: list[int] = []  # those of them that the oracle was told of, in the same order
        self._idle = False  # the oracle waits to be told
        self._first: dict[tuple[Any, ...], int] = {}  # what a candidate is -> the first trial of it
        self._held = bool(self.outline.held) and experiment.regularise == "overfitting"
        if self._held:
            self._oracle.hold(self.outline.held)

    def run(self) -> None:
        """Explore and confirm within the budget. Raises SearchError when not one trial finished."""
        self._say("stage", "explore")
        explored = self._explore()
        finished = [trial for trial in explored if trial.score is not None]
        if not finished:
            nothing_fits = self._limits.refused and not self._order
            raise SearchError(self._limits.nothing_fits() if nothing_fits else _nothing_finished(explored))
        lean.beside()  # the best will be built in this process
        leaders = self._leaders(finished)
        self._files(leaders, SHARE_BEFORE, least=0 if self._timed else len(leaders))
        self._train_until = self._end - self._reserve()
        chosen = self._confirmation(finished, len(explored))
        if chosen is None and self._train_until - time.monotonic() > GRACE * (self.experiment.seconds or math.inf):
            self._say("notice", "no second training fits into the time that is left, so exploring goes on")
            self._explore_until = self._rungs.until = self._train_until
            finished = [trial for trial in self._explore() if trial.score is not None]
        if chosen is not None:
            self._say("stage", "confirm")
            self._confirm(finished, *chosen)
        self._ship(finished)

    @property
    def _timed(self) -> bool:
        return self.experiment.seconds is not None

    # explore

    def _explore(self) -> list[Trial]:
        """The explored trials that are over, in the order in which they were asked."""
        self._planned = self.experiment.trials
        while True:
            # As many asks as may be, then one tell: trial k is asked when exactly those up to k - window are told.
            if self._ask_one():
                continue
            self._make_jobs()
            if self._tell_one():
                continue
            if len(self._told) == len(self._order):
                if not self._used_up():
                    break  # nothing is left to ask for
                self._climb(over=True)
                continue
            out_of_time = time.monotonic() >= self._explore_until
            if not out_of_time or not self._anything_finished():
                self._submit()
            if (out_of_time and not self._running) or not self._may_go_on():
                break
            self._wait()
        return [self._known[id] for id in self._order if self._known[id].status != "running"]

    def _ask_one(self) -> bool:
        """Ask for one candidate, if budget, window and oracle allow; one that is refused counts for none of them."""
        if len(self._order) % self._block == 0:
            self._make_jobs()  # of the block that is whole
        k = len(self._order) + self._limits.refused
        id = self._journal[k] if k < len(self._journal) else max(self._known, default=-1) + 1
        recorded = self._asked.get(id)
        self._climb(over=recorded is None and len(self._order) % self._block == 0 and self._rung_is_over())
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
        if self.budget.rungs == 1:
            return
        while over:
            self._rungs.climb()
            self._say("notice", f"candidates train for {self._rungs.epochs} epochs now, the best so far among them")
            self._idle, over = False, self._rung_is_over()
        self._oracle.climb(self._rungs.epochs, self._rungs.most(self._pace))

    def _rung_is_over(self) -> bool:
        return self._rungs.over(len(self._order), self._pace)

    def _used_up(self) -> bool:
        """Whether a small space was explored, with trials and time left to train its best for longer."""
        wanted = self.experiment.trials is None or len(self._order) < self.experiment.trials
        return wanted and not self._limits.hopeless and self._rungs.another(self._pace)

    def _tell_one(self) -> bool:
        """Tell the oracle of the next trial, in the order in which they were asked, if it is over."""
        if len(self._told) == len(self._order):
            return False
        trial = self._over(self._order[len(self._told)])
        if trial is None:
            return False
        costs = [math.log(max(cost(trial, name), 1e-6)) for name in self.experiment.objectives]
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
        told = [self._known[id] for id in self._told if self._known[id].score is not None]
        used_up = self._oracle.exhausted and len(self._order) != self.experiment.trials
        if len(told) < LEAST_TOLD and not used_up:
            return
        gaps = [gap for one in self.judge.leaders(told, CANDIDATES) if (gap := self.judge.gap(one)) is not None]
        gap = sum(gaps) / len(gaps) if gaps else 0.0
        if gap < OVERFIT and not used_up:
            return
        self._held = False
        self._oracle.hold({})
        self.store.set("opened", {"after": len(self._order), "gap": gap, "held": dict(self.outline.held)})
        why = f"the leading candidates overfit ({gap:.0%} of the error is not there on training rows)"
        why = "all else was tried" if gap < OVERFIT else why
        self._say("notice", f"{why}: {', '.join(self.outline.held)} are searched from now on")

    def _may_ask(self, asked: int, told: int, journal: int) -> bool:
        """Whether budget, window and workers want one more proposal; `journal` were asked in an earlier call."""
        limits = self.experiment
        # What a time limit had once allowed, the journal knows better than the oracle.
        exhausted = self._oracle.exhausted and not (asked < journal and limits.seconds is not None)
        if exhausted or self._limits.hopeless or (limits.trials is not None and asked >= limits.trials):
            return False
        within = asked % self._block
        if asked - within - told > self._window - self._block:
            return False
        if asked < journal:
            return True  # walk the same way again
        if asked and time.monotonic() >= self._explore_until:
            return False
        if within or ORACLES[limits.oracle].learns:
            return True
        # Asking ahead gains nothing where the answer does not depend on what is told.
        return len(self._pending) + len(self._jobs) < self.workers.size + AHEAD

    def _propose(self, id: int, proposal: Proposal) -> bool:
        """Journal a proposal and start it, unless it, or its equal, ran already. False where it was refused."""
        values, self._kinds[id], costs = self._sketches.look(proposal.values)  # what its build reads is what it is
        costs = self._limits.foretold(costs)
        excess = self._limits.excess(costs, id)
        epochs = proposal.epochs or self.budget.epochs
        if proposal.parent is None:
            self._rungs.seen(epochs)
        parent = None if proposal.parent is None else self._known[proposal.parent].source
        twin = id if excess else self._first.setdefault((key(values), epochs, parent), id)
        trial = Trial(
            id=id, factory=self.factory, values=values, status="infeasible" if excess else "running", parent=parent,
            same_as=None if twin == id else twin, seed=self.experiment.seed, epochs=epochs,
            parameters=costs.parameters, costs=costs, message=excess,
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
        check_refusal(known, excess)
        if excess:
            self._oracle.refuse(id)
            if self._limits.hopeless and self._order:
                self._say("notice", f"no more candidates are asked for: the last {IN_A_ROW} were all over a limit")
        elif known.status == "running" and twin == id:
            self._start(known, initial_epoch=proposal.initial_epoch, parent=parent)
        return not excess

    def _over(self, id: int) -> Trial | None:
        """The trial when it is over; one that equals an earlier trial is answered from that."""
        trial = self._known[id]
        if trial.status != "running":
            return trial
        if trial.same_as is None or self._known[trial.same_as].status == "running":
            return None
        message = f"equal to trial {trial.same_as}; not trained again"
        copied = dataclasses.replace(
            self._known[trial.same_as], id=id, same_as=trial.same_as, seconds=0.0, message=message
        )
        return self._finished(self._tell_journal(copied))

    # confirm

    def _leaders(self, finished: Sequence[Trial]) -> list[Trial]:
        """Those that may be run again, best first; of several objectives the front, as far as it is not too long."""
        limits = self.experiment
        finished = [self._known[trial.id] for trial in finished]
        if limits.objectives:
            return _spread(front(finished, self.aim), FRONT)
        count = limits.finalists + SPARE_LEADERS
        first = self.judge.leaders(converted(finished), count)
        rest = [trial for trial in finished if trial not in first]
        return first + self.judge.leaders(rest, count)[: count - len(first)] if rest else first

    def _confirmation(self, finished: Sequence[Trial], asked: int) -> tuple[Confirmation, list[Trial]] | None:
        """How the leading candidates are run again, and which these are: decided once for each budget."""
        limits, known = self.experiment, self.store.get("confirmation")
        if limits.objectives:
            limits = dataclasses.replace(limits, finalists=FRONT, seeds=1)
        budget = [asked, limits.seconds, limits.finalists, self.folds.number or limits.seeds]
        if known is None or known["budget"] != budget:
            leaders = self._leaders(finished)
            left = self._train_until - time.monotonic() if self._timed else None
            chosen = confirmation(
                limits, self.spec, self.budget, seconds=left, costs=[self._cost(trial) for trial in leaders],
                explored=[trial.epochs for trial in leaders], workers=self.workers.size, together=self._block > 1,
                folds=self.folds.number,
            )  # fmt: skip
            known = {"budget": budget, "plan": to_json(chosen), "leaders": [t.id for t in leaders]}
            self.store.set("confirmation", known)
        if known["plan"] is None:
            return None
        return Confirmation(**known["plan"]), [self._known[id] for id in known["leaders"]]

    def _confirm(self, explored: list[Trial], chosen: Confirmation, leaders: list[Trial]) -> None:
        """Run the leading candidates again under other seeds, or on folds, and for longer where that fits the budget.

        Of folds, the candidate that is best on average trains once more, on all rows but the test rows.
        """
        limits = self.experiment
        self._pending.clear()  # what exploring left
        self._starts.clear()
        again = [leaders[i] for i in chosen.candidates]
        refit = max(map(self._cost, again)) * chosen.epochs * MARGIN if self.folds.number else 0.0
        self._until = self._train_until - refit
        wanted = [(leader, k) for k in range(1, chosen.seeds + 1) for leader in again]
        self._again = {
            self._confirm_one(leader, limits.seed + k, chosen.epochs, fold=k if self.folds.number else 0)
            for leader, k in wanted
        }
        self._planned = len(wanted) + bool(self.folds.number)
        each = f"on {chosen.seeds} folds" if self.folds.number else f"{chosen.seeds} seed(s) each"
        self._say("notice", f"{len(chosen.candidates)} leading candidate(s) again, {each}, {chosen.epochs} epochs")
        self._run_again()
        if self.folds.number and (time.monotonic() < self._train_until or self._refits()):
            best, _ = self.judge.choose(explored, [self._known[id] for id in self._again])
            if best.parent is not None and best.fold:
                leader = self._known[best.parent]
                self._until = self._train_until
                self._again.add(self._confirm_one(leader, limits.seed + 1, best.epochs, fold=EVERY, stage="refit"))
                self._run_again()

    def _refits(self) -> list[Trial]:
        return [trial for trial in self._known.values() if trial.stage == "refit"]

    def _may_begin(self) -> bool:
        return time.monotonic() < self._until

    def _run_again(self) -> None:
        """Run what was started, to its end or that of the time."""
        self._make_jobs()
        self._submit()
        while self._running and self._may_go_on():
            self._wait()
            if self._may_begin():  # what would begin after the end would be one epoch, and no proof
                self._submit()

    def _cost(self, trial: Trial) -> float:
        """Seconds that an epoch of a candidate took; of one that was stopped, no fewer than of those that were not."""
        trial = self._known[trial.source]
        begun = self._known[trial.parent].epochs if trial.parent is not None and trial.stage == "explore" else 0
        least = self._pace or 0.0 if trial.status == "stopped" else 0.0
        return max(least, trial.seconds / max(1, trial.epochs - begun))

    def _typical(self) -> float | None:
        """The median of what an epoch of an explored candidate took; None before the first."""
        done = [self._cost(t) for t in self._known.values() if t.stage == "explore" and t.status == "completed"]
        return sorted(done)[len(done) // 2] if done else None

    def _leading(self) -> float | None:
        """The mean of what an epoch of the best candidates took, which are slower than most; None before the first."""
        done = [t for t in self._known.values() if t.stage == "explore" and t.status == "completed"]
        best = self.judge.leaders(done, CANDIDATES) if done else []
        return sum(map(self._cost, best)) / len(best) if best else None

    def _confirm_one(self, leader: Trial, seed: int, epochs: int, *, fold: int, stage: Stage = "confirm") -> int:
        """Start the trial that repeats `leader` under `seed`, on `fold`, unless it is over. Its id."""
        like = (stage, leader.id, seed, epochs, fold)
        same = (t for t in self._known.values() if (t.stage, t.parent, t.seed, t.epochs, t.fold) == like)
        trial = next(same, None)
        if trial is None:
            trial = Trial(
                id=max(self._known) + 1, factory=leader.factory, values=leader.values, status="running",
                stage=stage, parent=leader.id, seed=seed, epochs=epochs, fold=fold, costs=leader.costs,
            )  # fmt: skip
            self.store.record_ask(trial)
            self._known[trial.id] = trial
        if trial.status == "running":
            self._kinds[trial.id] = self._kinds[leader.id]
            self._start(trial)
        return trial.id

    # files

    def _reserve(self) -> float:
        """Seconds that are kept for the files of those that are run again."""
        if not self._timed or self._converters is None:
            return 0.0
        limits = self.experiment
        runs = FRONT if limits.objectives else limits.finalists * (self.folds.number or limits.seeds) + 1
        each = float(self.store.get("seconds each conversion", USUAL_SECONDS))
        return min(SHARE_AFTER * (limits.seconds or 0.0), 1.0 + runs * each / self.workers.size)

    def _ship(self, finished: Sequence[Trial]) -> None:
        """Make the files of those that were run again, best first, then of the front."""
        runs: dict[int | None, list[Trial]] = {}
        for id in self._again or ():
            if (trial := self._known[id]).score is not None:
                runs.setdefault(trial.parent, []).append(trial)
        best_first = sorted(runs.values(), key=lambda some: max(map(self.judge.rank, some)), reverse=True)
        again = [trial for some in best_first for trial in some]
        leader = self._leaders(finished)[:1]  # it is chosen where no run under another seed comes near it
        least = len(best_first[0]) if best_first and self._timed else len(again)
        self._files([*again, *leader], SHARE_AFTER, least=max(1, least))
        everything = [t for t in self._known.values() if t.score is not None and t.fold <= 0 and t.same_as is None]
        self._files(_spread(front(everything, self.aim), FRONT), SHARE_AFTER / 2, least=0)

    def _files(self, trials: Sequence[Trial], share: float, *, least: int) -> None:
        """Make the files of `trials` that have none, in `share` of the time; of the first `least` in any case."""
        if self._converters is None:
            return
        trials = [self._known[trial.id] for trial in trials]
        missing = [t for t in trials if not t.variant and self.store.weights(t.source).exists()]
        begun, spent, done = time.monotonic(), self.experiment.seconds or time.monotonic() - self._begun, 0
        until = min(begun + share * spent, self._end)
        for some, end in ((missing[:least], math.inf), (missing[least:], until)):
            for trial in self._converters.convert(some, end):
                self._keep_file(trial)
                done += 1
                self.listener(Event(kind="data", text="making files of the leading", done=done, planned=len(missing)))
        made = [self._known[trial.id] for trial in missing if self._known[trial.id].variant]
        if made:
            self.store.set("seconds each conversion", (time.monotonic() - begun) * self.workers.size / len(made))
        untimed = [self._known[trial.id] for trial in trials]
        for trial in self._converters.timed([t for t in untimed if t.shipped and t.latency_ms is None]):
            self._keep_file(trial)
        self.store.set("conversion seconds", self.store.get("conversion seconds", 0.0) + time.monotonic() - begun)
        if made:
            self._say("notice", _files_text([self._known[trial.id] for trial in made]))

    def _keep_file(self, trial: Trial) -> None:
        if trial.stage == "refit" and trial.shipped:
            trial = dataclasses.replace(trial, shipped=self._mean_on_folds(trial, lambda one: one.shipped))
        self._known[trial.id] = trial
        self.store.record_file(trial)

    # workers

    def _blocks(self) -> tuple[int, float]:
        """How many candidates are asked at once, and how far ahead of what was told."""
        row = ORACLES[self.experiment.oracle]
        window = self.experiment.window or row.window or math.inf
        if self.outline.alone:
            return 1, window
        # Under a time limit not much more than can be trained is asked for: what is left would only be looked through.
        block = row.block if self.experiment.seconds is None else min(row.block, TIMED_BLOCK)
        if self.experiment.window is None:
            return block, max(window, 2 * block)
        return max(1, min(block, self.experiment.window // 2)), window

    def _start(self, trial: Trial, *, initial_epoch: int = 0, parent: int | None = None) -> None:
        if parent is not None and not self.store.weights(parent).exists():
            parent, initial_epoch = None, 0  # they were cleaned away: it starts anew
        self._starts.append(Start(trial, self._kinds.get(trial.id), initial_epoch, parent))

    def _make_jobs(self) -> None:
        """Everything that was started becomes jobs; what goes on with a training comes first: it leads so far."""
        self._pending.extend(jobs(self._starts, self.budget.rows))
        self._pending = deque(sorted(self._pending, key=lambda job: not job.initial_epoch))
        self._starts.clear()

    def _submit(self) -> None:
        """Give the workers what they can take: what is not given can still be dropped when the time is up."""
        while self._pending and len(self._jobs) < self.workers.size + self._ahead(self._pending[0]):
            job = self._pending.popleft()
            job = job._replace(end=self._latest(job), seconds=self._most_seconds(job))
            self._jobs.append(job)
            self._running |= {trial.id: trial for trial in job.trials}
            self.store.set("finished", None)  # it was, if this run had ended and now goes on
            self.workers.submit(job)
            for trial in job.trials:
                self._say("started", trial=trial)

    def _ahead(self, job: Job) -> int:
        """How many jobs may wait at the workers: none that would begin when exploring is nearly over.

        Such a one cannot be taken back, and would take the time of the leading candidates (trashnet: 2 of 10 minutes).
        """
        if self.experiment.seconds is None or _stage(job) != "explore":
            return AHEAD
        epochs = sum(trial.epochs - job.initial_epoch for trial in job.trials)
        typical = epochs * (self._typical() or 0.0)
        return AHEAD if time.monotonic() + typical < self._explore_until else 0

    def _latest(self, job: Job) -> float:
        """When a trial ends at the latest. Before anything has finished, whatever it is has the whole time."""
        if self.experiment.seconds is None or _stage(job) != "explore" or not self._anything_finished():
            return self._until
        return min(self._until, self._explore_until + GRACE * self.experiment.seconds)

    def _most_seconds(self, job: Job) -> float:
        """How long a trial may take: no explored one far longer than the first, by the epoch.

        Without a time limit nothing depends on measured time.
        """
        first = next((t for t in self._known.values() if t.stage == "explore" and t.status == "completed"), None)
        if self.experiment.seconds is None or first is None or _stage(job) != "explore":
            return math.inf
        epochs = sum(trial.epochs - job.initial_epoch for trial in job.trials)
        usual = (self._explore_until - self._begun) / (MANY * self.budget.epochs)
        return GRAPH_SECONDS + max(SLOW * self._cost(first), usual) * epochs

    def _wait(self) -> None:
        """Take in what the workers did in the next moment."""
        outcomes = self.workers.poll(POLL_SECONDS)
        over = [outcome.trial for outcome in outcomes if outcome.epoch is None]
        for trial in over:
            self._running.pop(trial.id, None)
        self._jobs = [job for job in self._jobs if any(trial.id in self._running for trial in job.trials)]
        if over:
            curves = {outcome.trial.id: outcome.curve for outcome in outcomes}
            with self.store.at_once():  # a group is in the journal whole, or trains again
                over = [self._tell_journal(trial, curves[trial.id]) for trial in over]
        for trial in over:
            self._finished(trial)
        for outcome in outcomes:
            if outcome.epoch is not None:
                self._say("epoch", _epoch_text(outcome), trial=outcome.trial)

    def _tell_journal(self, trial: Trial, curve: Curve | None = None) -> Trial:
        if trial.stage == "refit" and trial.score is not None:
            trial = self._as_on_folds(trial)
        if trial.score is not None and not math.isfinite(trial.score):
            trial = dataclasses.replace(trial, status="failed", score=None, message="its score is not a number")
        self.store.record_tell(trial, curve)
        return trial

    def _as_on_folds(self, trial: Trial) -> Trial:
        """A trial that learnt every row, with the mean metrics of its candidate on folds: its own tell nothing."""
        means = self._mean_on_folds(trial, lambda one: one.metrics)
        return dataclasses.replace(trial, metrics=means, score=means[self.aim.metric])

    def _mean_on_folds(self, trial: Trial, of: Callable[[Trial], dict[str, float]]) -> dict[str, float]:
        folds = [t for t in self._known.values() if t.parent == trial.parent and t.fold > 0 and t.score is not None]
        told = [found for one in folds if (found := of(one))]
        return {name: sum(one[name] for one in told) / len(told) for name in trial.metrics} if told else {}

    def _finished(self, trial: Trial) -> Trial:
        self._known[trial.id] = trial
        self._pace = self._leading()
        self._say("finished", trial.message, trial=trial)
        return trial

    def _may_go_on(self) -> bool:
        """Whether to wait for the workers: not long after the time is up, unless nothing has finished yet.

        A worker ends a trial by itself after the epoch in which the time ran out; this is for epochs without end.
        """
        if self.experiment.seconds is None or not self._anything_finished():
            return True
        return time.monotonic() < self._end + max(15.0, 0.1 * self.experiment.seconds)

    def _anything_finished(self) -> bool:
        return any(trial.score is not None for trial in self._known.values())

    def _say(self, kind: Any, text: str = "", trial: Trial | None = None) -> None:
        over = [t for t in self._known.values() if t.status not in ("running", "infeasible")]
        scored = [t for t in over if t.score is not None]
        left = None if self.experiment.seconds is None else max(0.0, self._end - time.monotonic())
        self.listener(
            Event(
                kind=kind,
                text=text,
                trial=trial,
                done=sum(t.stage == "explore" if self._again is None else t.id in self._again for t in over),
                running=len(self._running),
                refused=self._limits.refused if self._again is None else 0,
                planned=self._planned,
                best=max(scored, key=self.judge.rank) if scored else None,
                seconds_left=left,
            )
        )


def _spread(trials: Sequence[Trial], count: int) -> list[Trial]:
    """At most `count` of `trials`, evenly spaced, the first and the last among them."""
    step = max(1.0, (len(trials) - 1) / max(1, count - 1))
    return [trials[round(i * step)] for i in range(min(count, len(trials)))]


def _files_text(made: Sequence[Trial]) -> str:
    sizes = sorted(trial.bytes for trial in made if trial.bytes is not None)
    failed = len(made) - len(sizes)
    text = f"{len(sizes)} file(s) made ({made[0].variant})"
    if sizes:
        text += f": {size(sizes[0])}" + (f" to {size(sizes[-1])}" if len(sizes) > 1 else "")
    return text + (f"; {failed} cannot be made, the first: {made[0].message}" if failed else "")


def _stage(job: Job) -> str:
    return job.trials[0].stage


def _epoch_text(outcome: Outcome) -> str:
    return f"epoch {outcome.epoch} of {outcome.trial.epochs}"


def _nothing_finished(explored: list[Trial]) -> str:
    reasons = [f"trial {t.id}: {t.message}" for t in explored if t.message][:3]
    return (
        f"Not one of {len(explored)} trials finished, so there is nothing to choose from. "
        + " ".join(reasons)
        + " Expected at least one; give more --time, or a smaller space in the experiment's [space]."
    )
