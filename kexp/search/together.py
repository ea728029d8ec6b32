"""Which trials become one job: those that train together, whatever the number of workers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kexp.layouts import Kind, seconds, together
from kexp.records import Trial
from kexp.search.worker import Job


class Start(NamedTuple):
    """A trial that is to begin: what its network is to others, and where it continues."""

    trial: Trial
    kind: Kind | None = None  # None: it trains alone
    initial_epoch: int = 0
    parent: int | None = None


def jobs(starts: Sequence[Start], rows: int) -> list[Job]:
    """`starts` as jobs, on `rows` training rows; those of one kind, seed and length may share one.

    Those that train alone come first, then the longest job. The first trial of a search is alone: a graph of one is
    made in half the time, so that there is a score to look at after seconds.
    Depends on nothing but `starts`, so that the same search makes the same groups on any machine.
    """
    alone = [_job([start]) for start in starts if _by_itself(start)]
    alike: dict[tuple[int, int, int, int], list[Start]] = {}
    made: list[tuple[float, Job]] = []
    for start in starts:
        if not _by_itself(start):
            trial = start.trial
            alike.setdefault((trial.seed, trial.fold, start.initial_epoch, trial.epochs), []).append(start)
    for (_, _, begun, epochs), some in alike.items():
        by_id = {start.trial.id: start for start in some}
        kinds = {id: start.kind for id, start in by_id.items() if start.kind is not None}
        for group in together(kinds, rows * (epochs - begun)):
            work = seconds([kinds[id].layout for id in group], rows * (epochs - begun))
            made.append((work, _job([by_id[id] for id in sorted(group)])))
    return alone + [job for _, job in sorted(made, key=lambda one: -one[0])]


def _by_itself(start: Start) -> bool:
    return start.kind is None or start.trial.id == 0


def _job(starts: Sequence[Start]) -> Job:
    parents = {start.trial.id: start.parent for start in starts if start.parent is not None}
    return Job(tuple(start.trial for start in starts), starts[0].initial_epoch, parents)
