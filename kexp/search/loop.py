"""The search: explore, make files of the leading candidates, run these again, make their files; `keep_best` chooses.

The same seed gives the same search on one worker or many, a budget in trials provided. A killed search goes on by
walking the same way again, with what the journal holds in the place of training.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from kexp import lean
from kexp.errors import SearchError
from kexp.records import DatasetSpec, Experiment, Trial
from kexp.search.board import GRACE, Board
from kexp.search.budget import Budget
from kexp.search.choose import Judge
from kexp.search.confirm import NO_FOLDS, Confirming, Folds
from kexp.search.converters import Converters
from kexp.search.events import Listener
from kexp.search.explore import Exploring
from kexp.search.files import SHARE_BEFORE, Files
from kexp.search.limits import Limits
from kexp.search.sketches import AbstractSketches
from kexp.search.workers import AbstractWorkers
from kexp.store import RunStore


class Search:
    """One search on one run. Made anew each time: its state is the journal."""

    def __init__(
        self, experiment: Experiment, spec: DatasetSpec, sketches: AbstractSketches, store: RunStore,
        workers: AbstractWorkers, budget: Budget, validation_rows: int, listener: Listener, folds: Folds = NO_FOLDS,
        converters: Converters | None = None,
    ) -> None:  # fmt: skip
        judge = Judge(
            task=spec.task, objective=experiment.objective, rows=validation_rows, folded=folds.rows,
            max_size=experiment.max_size, max_latency=experiment.max_latency,
        )  # fmt: skip
        self.outline = sketches.outline()
        self._board = Board(experiment, spec, store, workers, budget, judge, listener)
        self._files = Files(self._board, converters)
        self._sketches, self._spec, self._folds = sketches, spec, folds

    def run(self) -> None:
        """Explore and confirm within the budget. Raises SearchError when not one trial finished."""
        board, files = self._board, self._files
        board.say("stage", "explore")
        limits = Limits(board.experiment, files.foretell(self.outline, self._sketches))
        exploring = Exploring(board, self.outline, self._sketches, limits)
        confirming = Confirming(board, self._spec, self._folds, together=exploring.block > 1)
        explored = exploring.run()
        finished = _scored(explored)
        if not finished:
            nothing_fits = limits.refused and not exploring.asked
            raise SearchError(limits.nothing_fits() if nothing_fits else _nothing_finished(explored))
        lean.beside()  # the best will be built in this process
        leaders = confirming.leaders(finished)
        # One more than are run again, so that one that int8 spoils gives way; with a time limit, as many as it allows.
        least = 0 if board.timed else board.experiment.finalists + 1
        files.make(leaders, SHARE_BEFORE, least=least, done=board.budget.explore_share)
        board.train_until = board.end - files.reserve(confirming.runs)
        plan = confirming.plan(finished, exploring.asked)
        if plan is None and board.train_until - time.monotonic() > GRACE * (board.experiment.seconds or math.inf):
            board.say("notice", "no second training fits into the time that is left, so exploring goes on")
            finished = _scored(exploring.go_on(board.train_until))
        if plan is not None:
            board.say("stage", "confirm")
            confirming.run(*plan)
            if self._folds.number:  # the files decide which candidate learns all rows
                files.make_again()
                confirming.refit(finished, plan[0])
        files.ship(confirming.leaders(finished)[0])
        files.settle(finished)


def _scored(trials: Sequence[Trial]) -> list[Trial]:
    return [trial for trial in trials if trial.score is not None]


def _nothing_finished(explored: Sequence[Trial]) -> str:
    reasons = [f"trial {t.id}: {t.message}" for t in explored if t.message][:3]
    return (
        f"Not one of {len(explored)} trials finished, so there is nothing to choose from. "
        + " ".join(reasons)
        + " Expected at least one; give more --time, or a smaller space in the experiment's [space]."
    )
