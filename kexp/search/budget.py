"""How long to train: derived from the size of the data where the experiment does not say.

Time to a good answer, not the last digit, is what the exploring stage is for: candidates are compared on short,
complete learning-rate cycles, and only the leading ones are trained for long, under other seeds (confirm).
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from kexp.records import DatasetSpec, Experiment, Kind
from kexp.search.oracles import ORACLES
from kexp.search.protocol import FACTOR


class Plan(NamedTuple):
    """What suits a kind of data."""

    samples: int  # that one explored candidate trains on, about
    epochs: tuple[int, int]  # of it, at least and at most
    share: float  # of a time budget that explores; the rest confirms
    rungs: int  # at most
    # How many times longer than on the first rung a finalist may train, longest first, besides what the best one has
    # time for; and without a time budget.
    longer: tuple[int, ...]
    untimed: int
    dense: bool = False  # trainings of milliseconds an epoch: many at once, on few rungs


# On one core a small convolutional network passes some 3,000 pictures a second, a dense one some 150,000 rows: 40 and 7
# seconds a candidate. Pictures gain from long training, rows from many candidates. A search climbs rungs: the best
# candidates, and their offspring, are trained FACTOR times as long as those before. What wins a short training need not
# win a long one (augmentation, dropout, deep networks). Rows reach their samples on the second rung, pictures go on as
# long as there is time for CANDIDATES on a rung: those that evolution takes along (its PARENTS) and at least one new.
# Twice as long as that made adult's finalists worse (log loss .294 to .301): rows are few, and it overfits.
TABLES = Plan(1_000_000, (10, 100), 0.7, 2, (FACTOR, 1), 1, dense=True)
# Heads behind a frozen trunk: few pictures, which make few steps an epoch.
HEADS = TABLES._replace(epochs=(10, 300))
PICTURES = Plan(120_000, (2, 20), 0.45, 8, (64, 48, 36, 28, 22, 16, 12, 10, 8, 7, 6, 5, 4, 3, 2, 1), 4)
PLANS: dict[Kind, Plan] = {
    "image": PICTURES,
    "table": TABLES,
    # Sets of series, sounds and clips are smaller than those of pictures: few epochs would be few steps.
    "series": PICTURES._replace(epochs=(2, 40)),
    "sound": PICTURES._replace(samples=60_000),
    "clip": PICTURES._replace(samples=20_000, epochs=(4, 20)),
}
CANDIDATES = 5
FIRST_RUNG = 0.6  # share of a number of trials that is explored on the first rung; the rest is on the second
MOST_SAMPLES = 4_000_000  # that one finalist trains on: 72 epochs of 55,000 pictures
MOST_EPOCHS = 320  # of it: few rows are known by heart by then
LEAST_STEPS = 200
SMALLEST_BATCH = 8
MARGIN = 1.15  # a training that is planned into a time must not just miss it
# Times as long as explored must a leader be able to train, or come as near to the longest: or another sets the length.
WORTH = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What one search spends: passes over the training rows, batch size, and the shares of its stages."""

    rows: int  # to train on
    epochs: int
    batch_size: int
    explore_share: float
    rungs: int = 1  # each trains FACTOR times as long as the one below; `epochs` is of the first


def budget(experiment: Experiment, spec: DatasetSpec, rows: int) -> Budget:
    """The budget of an experiment on `rows` training rows.

    The batch is the power of two next to a hundredth of the rows, from 32 to 128: small enough that a short training
    makes some thousands of steps, and the same for every candidate, so that equal networks can train together. Of few
    recordings it is smaller, 8 at least, and the shortest training makes LEAST_STEPS.
    """
    plan = plan_of(spec, experiment)
    low, high = plan.epochs
    epochs = min(max(round(plan.samples / max(rows, 1)), low), high)
    batch = min(max(1 << max(0, round(rows / 100) - 1).bit_length(), 32), 128)
    if spec.kind not in ("image", "table") and not spec.horizon:
        batch = min(batch, max(SMALLEST_BATCH, 1 << max(0, (rows // 8).bit_length() - 1)))
        epochs = min(max(epochs, LEAST_STEPS * batch // max(rows, 1)), MOST_EPOCHS)
    few = experiment.trials is not None and experiment.trials * (1 - FIRST_RUNG) < CANDIDATES
    climbs = ORACLES[experiment.oracle].climbs and experiment.epochs is None and not few
    if climbs and plan.dense:
        epochs = -(-epochs // FACTOR)
    return Budget(
        rows=rows,
        epochs=experiment.epochs or epochs,
        batch_size=min(experiment.batch_size or batch, rows),
        explore_share=plan.share,
        rungs=plan.rungs if climbs else 1,
    )


def plan_of(spec: DatasetSpec, experiment: Experiment) -> Plan:
    """What suits the data: forecasts are trained as rows of a table are, and so is what a frozen trunk puts out."""
    space = experiment.space
    if experiment.factory == "backbone" and space.get("trained_blocks", 0) == 0 and space.get("weights") != "none":
        return HEADS
    return TABLES if spec.horizon else PLANS[spec.kind]


def affordable(budget: Budget, seconds: float, cost: float, workers: int) -> int:
    """How many rungs a search climbs in `seconds`: on each there is time for CANDIDATES, and for as many as below.

    `cost` is what an epoch of one of the leading candidates takes in seconds.
    """
    count = 1
    # Each of them trains on one worker alone: more workers than candidates make none of them sooner.
    seconds *= min(workers, CANDIDATES)
    while count < budget.rungs and CANDIDATES * cost * budget.epochs * _lengths(count + 1) <= seconds:
        count += 1
    return count


def share_until(rung: int, rungs: int) -> float:
    """The share of the time to explore after which `rung` (from 0) of `rungs` is over: each has as many candidates."""
    return _lengths(rung + 1) / _lengths(rungs)


def _lengths(rungs: int) -> int:
    """Of one training on each of `rungs` rungs, in trainings on the first."""
    return sum(FACTOR**rung for rung in range(rungs))


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """How leading candidates are run again: which, under how many other seeds, for how many epochs."""

    candidates: tuple[int, ...]  # positions among the leaders, best first
    seeds: int
    epochs: int


def confirmation(
    experiment: Experiment, spec: DatasetSpec, budget: Budget, *, seconds: float | None,
    costs: Sequence[float], explored: Sequence[int], workers: int, together: bool = False, folds: int = 0,
) -> Confirmation | None:  # fmt: skip
    """The longest, then the largest, confirmation of the best that fits `seconds` of `workers` workers.

    `costs` are the seconds that an epoch of each leader took, best first, `explored` the epochs that it was explored
    for. The best sets the length; one that is too slow (WORTH) leaves that to the next, and may have no run. Without a
    time limit nothing depends on measured time, so that the same seed gives the same search. Where networks train
    `together`, those of one seed may be one job of one worker. With `folds`, each runs on all of them, and the best
    once more on every row. None where the experiment wants none, or not one run
    fits.
    """
    plan = plan_of(spec, experiment)
    most, seeds = min(experiment.finalists, len(costs)), folds or experiment.seeds
    if not most or not seeds:
        return None
    if seconds is None:
        usual = FACTOR if plan.dense and budget.rungs > 1 else plan.untimed
        epochs = max(budget.epochs * usual, *explored)
        return Confirmation(candidates=tuple(range(most)), seeds=seeds, epochs=epochs)
    seconds /= MARGIN
    sizes = sorted(
        {(c, s) for c in range(1, most + 1) for s in range(folds or 1, seeds + 1)},
        key=lambda cs: (-cs[0] * cs[1], -cs[0]),
    )
    multiples = plan.longer if budget.rungs > 1 or not plan.dense else (1,)
    most_epochs = min(MOST_EPOCHS, MOST_SAMPLES // budget.rows)
    longer = {m * budget.epochs for m in multiples if m == 1 or m * budget.epochs <= most_epochs}
    # As long as it was explored for is never too long: what leads from a high rung must not give way to a lower one.
    lengths = sorted({max(epochs, min(explored)) for epochs in longer} | set(explored), reverse=True)
    enough = min(WORTH * max(explored), lengths[0] / WORTH)
    for cost, begun in zip(costs, explored, strict=True):
        longest = int(min(lengths[0], seconds / max(cost, 1e-9)))
        if longest >= max(begun, enough):  # those behind it train no longer, however fast they are
            lengths = [longest, *(epochs for epochs in lengths if epochs < longest)]
            break
    busy = min(max(2, workers), most * seeds)  # runs: one would be luck, and a worker without a run would be idle
    for least in (busy, 1):
        for epochs in lengths:
            fitting = [
                i for i, (cost, begun) in enumerate(zip(costs, explored, strict=True))
                if begun <= epochs and cost * epochs <= seconds
            ]  # fmt: skip
            for candidates, repeats in sizes:
                chosen = fitting[:candidates]
                works = [epochs * costs[i] for i in chosen]
                jobs = ([sum(works)] if together else works) * repeats + [max(works, default=0.0)] * bool(folds)
                if (
                    len(chosen) == candidates
                    and len(jobs) >= (1 if together else least)
                    and _until(jobs, workers) <= seconds
                ):
                    return Confirmation(candidates=tuple(chosen), seeds=repeats, epochs=epochs)
    return None


def _until(jobs: Sequence[float], workers: int) -> float:
    """When the last of `jobs`, of so many seconds each, is done: whoever is free takes the next."""
    ends = [0.0] * workers
    for job in jobs:
        heapq.heapreplace(ends, ends[0] + job)
    return max(ends)
