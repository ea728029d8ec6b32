"""The trials of a run, best first: the document that `kexp show` prints and `Run.leaderboard` makes a table of."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from kexp.data.dataset import Dataset
from kexp.front import PICKS, Aim, aim, front, hypervolume, pick, shippable, turned
from kexp.metrics import objective
from kexp.records import Clustering, Trial, to_json
from kexp.store import RunStore
from kexp.wording import number


def document(run: RunStore, exported: Mapping[str, str] | None = None) -> dict[str, Any]:
    """{"run", "objective": the metric that ranks, "experiment", "best": an id, "reason", "finished", "trials",
    "baselines": the simpler models that were fitted, best first, "opened": when and why the space was opened to what
    keeps networks from overfitting, or None, "front": see `_front`, "turned": which network would lead in floats, a
    sentence, or "", "devices": what phones measured, "clustering": a records.Clustering or None}; of devices those that
    measured files in `exported` (SHA-256 by path) alone, if given.
    """
    task, wanted = run.get("task"), run.experiment.objective
    return {
        "run": run.name,
        "objective": objective(task, wanted)[0] if task else wanted,
        "experiment": to_json(run.experiment),
        "best": run.get("best_trial"),
        "reason": run.get("reason", ""),
        "finished": run.get("finished"),
        "trials": [to_json(trial) for trial in ranked(run)],
        "baselines": [to_json(trial) for trial in run.in_order(run.baselines(refitted(run)))],
        "opened": run.get("opened"),
        "front": _front(run) if task else {},
        "turned": _turned(run) if task else "",
        "devices": run.devices(exported),
        "clustering": to_json(_clustering(run)),
    }


def _front(run: RunStore) -> dict[str, Any]:
    """{"metric", "costs", "trials": ids of the front and of what was chosen, best first, "picks": which of them a row
    of PICKS means, "hypervolume": see `front.hypervolume`}.
    """
    found = fronted(run)
    return {
        "metric": found.sought.metric,
        "costs": list(found.sought.costs),
        "trials": [trial.id for trial in found.trials],
        "picks": {how: trial.id for how, trial in found.picks.items()},
        "hypervolume": hypervolume(found.of, found.sought),
    }


def _turned(run: RunStore) -> str:
    """How the format that ships changes which network leads: a sentence, or "" where it does not, or by no digit."""
    sought = aim(run.experiment, run.get("task"))
    found = turned(shippable(run.trials()), sought)
    if found is None:
        return ""
    file, network = found
    floats = [number(trial.floats[sought.metric]) for trial in (network, file)]
    shipped = [number(trial.shipped[sought.metric]) for trial in (file, network)]
    if floats[0] == floats[1] or shipped[0] == shipped[1]:
        return ""
    return (
        f"of those with a file trial {network.id} leads in floats, {floats[0]} to {floats[1]} of trial {file.id}; of "
        f"the files, on the same rows, that of trial {file.id}, {shipped[0]} to {shipped[1]}"
    )


class Front(NamedTuple):
    """The front of a run among the trials `of` which it is, with what the search chose, best first; and who is meant.

    `picks` has a trial for each row of front.PICKS, and is empty where no trial has a score.
    """

    sought: Aim
    of: Sequence[Trial]
    trials: list[Trial]
    picks: dict[str, Trial]


def fronted(run: RunStore) -> Front:
    """The front of `run`, a search that knows its task."""
    sought = aim(run.experiment, run.get("task"))
    trials = run.trials()
    some = shippable(trials)
    found = front(some, sought)
    chosen = next((trial for trial in trials if trial.id == run.get("chosen")), None)  # may be of some folds alone
    if chosen is not None and chosen not in found:
        found = sorted([*found, chosen], key=sought.error)
    picks = {how: pick(how, found, sought, chosen) for how in PICKS} if found else {}
    return Front(sought, some, found, picks)


def _clustering(run: RunStore) -> Clustering | None:
    """What the network was taught, where that are clusters."""
    there = run.experiment.task == "clustering" and Dataset.saved(run.data)
    return Dataset.open(run.data).clustering if there else None


def refitted(run: RunStore) -> bool:
    """Whether the model of `run` was trained on all rows but the test rows, after it was chosen on folds."""
    best = run.best
    return best is not None and best.stage == "refit"


def ranked(run: RunStore) -> list[Trial]:
    """Trials, best first; then those without a score, in order.

    What is asked and not told, while no process works on the run, was stopped; why depends on how the search ended.
    """
    why = "not started: the time was up" if run.get("finished") else "interrupted; the next search trains it again"
    busy = run.locked()
    rest = [trial for trial in run.trials() if trial.score is None]
    return run.best_first() + [
        dataclasses.replace(trial, status="stopped", message=why) if trial.status == "running" and not busy else trial
        for trial in rest
    ]
