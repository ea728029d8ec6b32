"""The files of the leading candidates: made, measured, kept in the run, within a share of the time."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence

from kexp.errors import RunError
from kexp.front import PICKS, fit, front, pick, whole
from kexp.records import Trial
from kexp.search.board import Board
from kexp.search.confirm import FRONT, spread
from kexp.search.converters import Converters
from kexp.search.events import Event
from kexp.search.latency import LatencyModel
from kexp.search.probes import probes
from kexp.search.sketches import AbstractSketches, Outline
from kexp.wording import size

# Of the time of a search, at most, for the files of the leading candidates: before these are run again, and after.
SHARE_BEFORE, SHARE_AFTER = 0.03, 0.05
MOST = 0.08  # of the time of a search, for all files together; what it cannot do without may make it a tenth
USUAL_SECONDS = 2.5  # of one file, until this search knows better
TRIES = 8  # of those that would be chosen have a file made for that
# What these may take: two are measured in any case, the others in this share of the time.
SHARE_PROBES, LEAST_PROBES = 0.1, 2


class Files:
    """Of one search. Without `converters` there are none."""

    def __init__(self, board: Board, converters: Converters | None) -> None:
        self._board, self._converters = board, converters

    def foretell(self, outline: Outline, sketches: AbstractSketches) -> LatencyModel | None:
        """What foretells the milliseconds of a candidate, where they are limited or sought: fitted to a few files.

        These are made of untrained candidates before the search begins; the model is kept in the run.
        """
        experiment, store = self._board.experiment, self._board.store
        if experiment.max_latency is None and "latency" not in experiment.objectives:
            return None
        kept = store.get("latency_model")
        known = LatencyModel.read(kept)
        if known is None and kept is not None:
            raise RunError(
                f"the run {store.name!r} is of an earlier kexp, which foretold milliseconds otherwise: what it trained "
                "would not be told apart from what is too slow. Use --fresh (the old run is kept aside), or another "
                "--name."
            )
        if known is None and self._converters is not None:
            begun, measured = time.monotonic(), []
            until = begun + SHARE_PROBES * (experiment.seconds or math.inf)
            chosen = probes(outline, sketches.look, seed=experiment.seed)
            for done, one in enumerate(chosen):
                if done >= LEAST_PROBES and time.monotonic() >= until:
                    break
                text = "measuring how fast this machine is"
                self._board.listener(Event(kind="data", text=text, done=done, planned=len(chosen)))
                found = self._converters.probe(outline.factory, one.values)
                measured += [] if found is None else [(one.costs, found[1])]
            known = LatencyModel.fitted(measured)
            if known is not None:
                store.set("latency_model", known.document())
                self._board.say(
                    "notice", f"milliseconds are foretold from {len(measured)} files that were measured here"
                )
            self._count(begun)
        return known

    def reserve(self, runs: int) -> float:
        """Seconds that are kept for the files of those that are run again."""
        if not self._board.timed or self._converters is None:
            return 0.0
        each = float(self._board.store.get("seconds each conversion", USUAL_SECONDS))
        return min(SHARE_AFTER * (self._board.experiment.seconds or 0.0), 1.0 + runs * each / self._board.workers.size)

    def make(self, trials: Sequence[Trial], share: float, *, least: int, done: float = 1.0) -> None:
        """Make the files of `trials` that have none, in `share` of the time; of the first `least` in any case.

        The time is what the search will have taken, of which `done` is over, about.
        """
        if self._converters is None:
            return
        trials = self._board.now(trials)
        missing = {t.id: t for t in trials if not t.variant and self._board.store.has_weights(t)}
        needed = [missing.pop(t.id) for t in trials[:least] if t.id in missing]
        planned = len(needed) + len(missing)
        # Where trials end a search it takes less time than it may.
        begun = time.monotonic()
        likely = min((begun - self._board.begun) / done, self._board.end - self._board.begun)
        left = MOST * likely - self._counted
        until = min(begun + min(share * likely, left), self._board.end)
        made = []
        for some, end in ((needed, math.inf), ([*missing.values()], until)):
            for trial in self._converters.convert(some, end):
                self._keep_file(trial)
                made.append(trial)
                text = "making files of the leading"
                self._board.listener(Event(kind="data", text=text, done=len(made), planned=planned))
        if made:
            each = (time.monotonic() - begun) * self._board.workers.size / len(made)
            self._board.store.set("seconds each conversion", each)
        untimed = self._board.now(trials)
        for trial in self._converters.timed([t for t in untimed if t.bytes is not None and t.latency_ms is None]):
            self._keep_file(trial)
        self._count(begun)
        if made:
            for trial in [t for t in self._board.known.values() if t.stage == "refit" and t.bytes is not None]:
                self._keep_file(trial)  # files of its folds may have come after its own
            self._board.say("notice", _files_text(self._board.now(made)))

    @property
    def _counted(self) -> float:
        """Seconds that files took so far."""
        return float(self._board.store.get("conversion seconds", 0.0))

    def _count(self, begun: float) -> None:
        self._board.store.set("conversion seconds", self._counted + time.monotonic() - begun)

    def make_again(self, *others: Trial) -> None:
        """Make the files of those that were run again, best candidate first, and of `others`."""
        runs: dict[int | None, list[Trial]] = {}
        for id in sorted(self._board.again or ()):
            if (trial := self._board.known[id]).score is not None:
                runs.setdefault(trial.parent, []).append(trial)
        best_first = sorted(runs.values(), key=self._board.judge.mean, reverse=True)
        again = [trial for some in best_first for trial in some]
        least = len(best_first[0]) if best_first and self._board.timed else len(again)
        self.make([*again, *others], SHARE_AFTER, least=max(1, least))

    def ship(self, leader: Trial) -> None:
        """Make the files of those that were run again, of the explored `leader`, and of the front.

        The leader is chosen where no run under another seed comes near it. Of several objectives whatever `export
        --pick` may mean has a file in any case.
        """
        self.make_again(leader)
        found = front(fit(whole(self._board.known.values())), self._board.aim)
        picks = [pick(how, found, self._board.aim) for how in PICKS] if found else []
        each = {one.id: one for one in [*picks, *spread(found, FRONT)]}  # one trial may be several picks
        least = len({one.id for one in picks}) if self._board.experiment.objectives else 0
        self.make([*each.values()], SHARE_AFTER / 2, least=least)

    def settle(self, explored: Sequence[Trial]) -> None:
        """Make the file of what will be chosen, if it has none: only of a file it is known whether it can ship.

        What is over a limit, or refused, is not chosen, and the next one is looked at; one even when the time is up.
        """
        board = self._board
        for tried in range(TRIES if self._converters is not None else 0):
            if tried and board.timed and time.monotonic() >= board.end:
                return
            again = [board.known[id] for id in board.again or ()]
            best, _ = board.judge.choose(board.now(explored), again, board.store.has_weights)
            if best.variant:
                return
            self.make([best], SHARE_AFTER, least=1)

    def _keep_file(self, trial: Trial) -> None:
        if trial.stage == "refit" and trial.bytes is not None:
            trial = dataclasses.replace(
                trial, shipped=self._board.mean_on_folds(trial, lambda one: one.shipped),
                floats=self._board.mean_on_folds(trial, lambda one: one.floats),
            )  # fmt: skip
        self._board.known[trial.id] = trial
        self._board.store.record_file(trial)


def _files_text(made: Sequence[Trial]) -> str:
    sizes = sorted(trial.bytes for trial in made if trial.bytes is not None)
    failed = len(made) - len(sizes)
    text = f"{len(sizes)} file(s) made ({made[0].variant})"
    if sizes:
        text += f": {size(sizes[0])}" + (f" to {size(sizes[-1])}" if len(sizes) > 1 else "")
    first = next((trial.message for trial in made if trial.bytes is None), "")
    text += f"; {failed} cannot be made, the first: {first.partition(': ')[2]}" if failed else ""
    refused = [trial.refused for trial in made if trial.refused and trial.shipped]
    return text + (f"; the gate refuses {len(refused)}, the first: {refused[0]}" if refused else "")
