"""From the journal of a search to the model that it found."""

from __future__ import annotations

from kexp import models
from kexp.data.dataset import Dataset
from kexp.leaderboard import fronted
from kexp.metrics import objective
from kexp.records import EVERY, Experiment, Trial
from kexp.search.choose import Judge
from kexp.store import RunStore
from kexp.verify import digest


def keep_best(run: RunStore, dataset: Dataset, experiment: Experiment) -> Trial:
    """Choose the best of what is in the journal, say why in the run, and write model.keras with its weights.

    Raises ValueError where no trial has a score: then there was nothing to keep.
    """
    best, reason = _best(run, dataset, experiment)
    run.set("chosen", best.id)
    keep(run, dataset, best, reason)
    return best


def keep(run: RunStore, dataset: Dataset, trial: Trial, reason: str) -> None:
    """Make `trial` the model of `run`: model.keras with its weights; `reason` is why.

    Where it is that already, the file stays as it is: what was measured of it would be forgotten with other bytes.
    """
    if not (run.model.is_file() and run.get("kept") == [trial.id, digest(run.model)]):
        _write(run, dataset, trial)
        run.set("kept", [trial.id, digest(run.model)])
    name, _ = objective(dataset.spec.task, run.experiment.objective)
    spared = [trial.source, *(one.source for one in fronted(run).trials)]
    facts = {"best_trial": trial.id, "best": trial.standing[name], "reason": reason, "keep": spared}
    for key, value in facts.items():
        run.set(key, value)


def _write(run: RunStore, dataset: Dataset, trial: Trial) -> None:
    network = models.build(dataset.spec, trial.factory, models.replay(trial.values))
    network.core.set_weights(run.load_weights(trial.source))
    staging = run.model.with_name("staging.keras")
    models.inference(network).save(staging)
    staging.replace(run.model)


def _best(run: RunStore, dataset: Dataset, experiment: Experiment) -> tuple[Trial, str]:
    trials = [trial for trial in run.trials() if trial.score is not None]
    if not trials:
        raise ValueError(f"no trial of run {run.name!r} has a score")
    judge = Judge(
        task=dataset.spec.task, objective=experiment.objective, rows=len(dataset.rows("validation")),
        folded=len(dataset.rows("train", EVERY)) if dataset.folds else 0, max_size=experiment.max_size,
        max_latency=experiment.max_latency,
    )  # fmt: skip
    explored = [trial for trial in trials if trial.stage == "explore"]
    again = [trial for trial in trials if trial.stage != "explore"]
    return judge.choose(explored, again, run.has_weights)
