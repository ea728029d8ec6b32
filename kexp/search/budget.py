"""How long to train: derived from the size of the data where the experiment does not say.

Time to a good answer, not the last digit, is what the exploring stage is for: candidates are compared on short,
complete learning-rate cycles, and only the leading ones are trained for long, under other seeds (confirm).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kexp.records import DatasetSpec, Experiment

# Samples that one explored candidate trains on. On one core a small convolutional network passes some 3,000 pictures
# a second, a dense one some 150,000 rows: 40 and 7 seconds a candidate.
EXPLORE_SAMPLES = {"image": 120_000, "table": 1_000_000}
EXPLORE_EPOCHS = {"image": (2, 20), "table": (10, 100)}
# Share of a time budget that explores; the rest confirms. Pictures gain from long training, rows from many candidates.
EXPLORE_SHARE = {"image": 0.45, "table": 0.7}
# How many times longer than an explored candidate a finalist may train, longest first; and without a time budget.
# Twice as long made adult's finalists worse (log loss .294 to .301): rows are few, and a candidate overfits.
LONGER = {"image": (8, 7, 6, 5, 4, 3, 2, 1), "table": (1,)}
UNTIMED = {"image": 4, "table": 1}
MARGIN = 1.15  # a training that is planned into a time must not just miss it


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What one search spends: passes over the training rows, batch size, and the shares of its stages."""

    rows: int  # to train on
    epochs: int
    batch_size: int
    explore_share: float


def budget(experiment: Experiment, spec: DatasetSpec, rows: int) -> Budget:
    """The budget of an experiment on `rows` training rows.

    The batch is the power of two next to a hundredth of the rows, from 32 to 128: small enough that a short training
    makes some thousands of steps, and the same for every candidate, so that equal networks can train together.
    """
    low, high = EXPLORE_EPOCHS[spec.kind]
    epochs = min(max(round(EXPLORE_SAMPLES[spec.kind] / max(rows, 1)), low), high)
    batch = min(max(1 << max(0, round(rows / 100) - 1).bit_length(), 32), 128)
    return Budget(
        rows=rows,
        epochs=experiment.epochs or epochs,
        batch_size=min(experiment.batch_size or batch, rows),
        explore_share=EXPLORE_SHARE[spec.kind],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """How leading candidates are run again: which, under how many other seeds, how many times longer."""

    candidates: tuple[int, ...]  # positions among the leaders, best first
    seeds: int
    longer: int


def confirmation(
    experiment: Experiment, spec: DatasetSpec, *, seconds: float | None, costs: Sequence[float], workers: int,
    together: bool = False,
) -> Confirmation | None:  # fmt: skip
    """The longest, then the largest, confirmation that fits `seconds` of `workers` workers.

    `costs` are the seconds that the leaders took to explore, best first; one that is too slow to train for longer
    leaves its place to the next. Without a time limit nothing depends on measured time, so that the same seed gives
    the same search. Where networks train `together`, those of one seed may be one job of one worker. None where the
    experiment wants none, or not one run fits.
    """
    most, seeds = min(experiment.finalists, len(costs)), experiment.seeds
    if not most or not seeds:
        return None
    if seconds is None:
        return Confirmation(candidates=tuple(range(most)), seeds=seeds, longer=UNTIMED[spec.kind])
    sizes = sorted(
        {(c, s) for c in range(1, most + 1) for s in range(1, seeds + 1)},
        key=lambda cs: (-cs[0] * cs[1], -cs[0]),
    )
    for longer in LONGER[spec.kind]:
        fitting = [i for i, cost in enumerate(costs) if cost * longer * MARGIN <= seconds]
        for candidates, repeats in sizes:
            chosen = fitting[:candidates]
            work = repeats * longer * MARGIN * sum(costs[i] for i in chosen)
            jobs = repeats if together else len(chosen) * repeats
            if len(chosen) == candidates and _rounds_fit(work, jobs, workers, seconds):
                return Confirmation(candidates=tuple(chosen), seeds=repeats, longer=longer)
    return None


def _rounds_fit(work: float, jobs: int, workers: int, seconds: float) -> bool:
    """Whether `jobs` jobs of `work` seconds together end in time; a worker that has no job is idle."""
    return -(-jobs // workers) * work / jobs <= seconds
