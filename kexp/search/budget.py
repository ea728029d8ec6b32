"""How long to train: derived from the size of the data where the experiment does not say.

Time to a good answer, not the last digit, is what the exploring stage is for: candidates are compared on short,
complete learning-rate cycles, and only the leading ones are trained for long, under other seeds (confirm).
"""

from __future__ import annotations

from dataclasses import dataclass

from kexp.records import DatasetSpec, Experiment

# Samples that one explored candidate trains on. On one core a small convolutional network passes some 3,000 pictures
# a second, a dense one some 150,000 rows: about a minute and about ten seconds a candidate.
EXPLORE_SAMPLES = {"image": 200_000, "table": 1_000_000}
EXPLORE_EPOCHS = {"image": (4, 40), "table": (10, 100)}
# Share of a time budget that explores; the rest confirms. Pictures gain from long training, rows from many candidates.
EXPLORE_SHARE = {"image": 0.5, "table": 0.7}
# How many times longer than an explored candidate a finalist may train, longest first; without a time budget, the middle.
LONGER = {"image": (4, 3, 2, 1), "table": (2, 1)}
UNTIMED = {"image": 2, "table": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What one search spends: passes over the training rows, batch size, and the shares of its stages."""

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
        epochs=experiment.epochs or epochs,
        batch_size=min(experiment.batch_size or batch, rows),
        explore_share=EXPLORE_SHARE[spec.kind],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """How the leading candidates are run again: so many, under so many other seeds, so many times longer."""

    candidates: int
    seeds: int
    longer: int


def confirmation(
    experiment: Experiment, spec: DatasetSpec, *, seconds: float | None, cost: float, workers: int
) -> Confirmation | None:
    """The longest confirmation that fits `seconds` of `workers` workers, when one exploring trial costs `cost` seconds.

    Without a time limit it does not depend on measured time, so the same seed gives the same search. None where the
    experiment wants none, or there is no time for one run.
    """
    candidates, seeds = experiment.finalists, experiment.seeds
    if not candidates or not seeds:
        return None
    if seconds is None:
        return Confirmation(candidates=candidates, seeds=seeds, longer=UNTIMED[spec.kind])
    for longer in LONGER[spec.kind]:
        for c, s in ((candidates, seeds), (min(2, candidates), seeds), (min(2, candidates), 1)):
            rounds = -(-c * s // workers)
            if rounds * longer * cost * 1.1 <= seconds:
                return Confirmation(candidates=c, seeds=s, longer=longer)
    return Confirmation(candidates=1, seeds=1, longer=1) if cost <= seconds else None
