"""From the journal of a search to the model that it found."""

from __future__ import annotations

from kexp import models
from kexp.data.dataset import Dataset
from kexp.records import EVERY, Experiment, Trial
from kexp.search.choose import Judge, source
from kexp.store import RunStore


def keep_best(run: RunStore, dataset: Dataset, experiment: Experiment) -> Trial:
    """Choose the best of what is in the journal, say why in the run, and write model.keras with its weights.

    Raises ValueError where no trial has a score: then there was nothing to keep.
    """
    trials = [trial for trial in run.trials() if trial.score is not None]
    if not trials:
        raise ValueError(f"no trial of run {run.name!r} has a score")
    judge = Judge(
        task=dataset.spec.task, objective=experiment.objective, rows=len(dataset.rows("validation")),
        folded=len(dataset.rows("train", EVERY)) if dataset.folds else 0,
    )  # fmt: skip
    explored = [trial for trial in trials if trial.stage == "explore"]
    best, reason = judge.choose(explored, [trial for trial in trials if trial.stage == "confirm"])
    whole = [t for t in trials if t.stage == "refit" and t.parent == best.parent and t.status == "completed"]
    if whole:
        best, reason = whole[-1], f"{reason}; trained once more on all rows but the test rows"
    network = models.build(dataset.spec, best.factory, models.replay(best.values))
    network.core.set_weights(run.load_weights(source(best)))
    staging = run.model.with_name("staging.keras")
    models.inference(network).save(staging)
    staging.replace(run.model)
    for name, value in (("best_trial", best.id), ("best", best.score), ("reason", reason), ("keep", [source(best)])):
        run.set(name, value)
    return best
