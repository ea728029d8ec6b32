"""What the journal of a run tells without any network: how trials ended, and whether longer training helped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from kexp.curves import turned
from kexp.metrics import objective, sign_of
from kexp.records import Curve, Experiment, Finding, Severity, Task, Trial, key

DIVERGED = "diverged"  # how train.epoch.diverged begins
OUT_OF_MEMORY = "out of memory"  # and train's other message
SOME = 0.25  # share of the trials: more is worth a warning
GAIN = 0.02  # of what is missing to the best score: less is luck
SHOWN = 10


def journal(trials: Sequence[Trial], task: Task, wanted: str) -> dict[str, Any]:
    """{"trials": {status: count}, "diverged": [{"trial", "learning_rate", "message"}], "failed": {message: count}}."""
    failed = [trial for trial in trials if trial.status == "failed"]
    return {
        "trials": dict(Counter(trial.status for trial in trials)),
        "objective": objective(task, wanted)[0],
        "diverged": [
            {"trial": t.id, "learning_rate": t.values.get("learning_rate"), "message": t.message}
            for t in failed if t.message.startswith(DIVERGED)
        ],
        "failed": dict(Counter(t.message for t in failed if not t.message.startswith(DIVERGED))),
    }  # fmt: skip


def curve(trials: Sequence[Trial], best: Trial) -> list[dict[str, Any]]:
    """The explored trainings of the best candidate, shortest first: {"trial", "epochs", "score", "metrics"}."""
    explored = (t for t in trials if t.score is not None and t.stage == "explore" and not t.fold)
    same = [t for t in explored if key(t.values) == key(best.values)]
    same.sort(key=lambda t: (t.epochs, t.id))
    return [{"trial": t.id, "epochs": t.epochs, "score": t.score, "metrics": t.metrics} for t in same]


def ended_badly(trials: Sequence[Trial]) -> list[Finding]:
    """Trials that diverged, and trials that ran out of memory. An error where nothing else is left."""
    ended = [trial for trial in trials if trial.status in ("completed", "stopped", "failed")]
    scored = [trial for trial in ended if trial.score is not None]
    failed = [trial for trial in ended if trial.status == "failed"]
    found = []
    for name, begins, advice in (
        (
            DIVERGED, DIVERGED,
            "The learning rate is too high for these networks, or the inputs have no bounds (kexp doctor). Lower "
            "learning_rate in [space] of the experiment; batch normalisation bears more.",
        ),
        (
            "out_of_memory", OUT_OF_MEMORY,
            "max_parameters in the experiment, a smaller size, or a smaller batch_size keeps networks that fit.",
        ),
    ):  # fmt: skip
        hit = [trial for trial in failed if trial.message.startswith(begins)]
        if not hit:
            continue
        severity: Severity = "error" if not scored else "warning" if len(hit) > SOME * len(ended) else "note"
        what = f"{len(hit):,} of {len(ended):,} trials {'diverged' if name == DIVERGED else 'ran out of memory'}"
        where = tuple(f"trial {trial.id}: {trial.message}" for trial in hit[:SHOWN])
        told = f"{_rates(hit, scored)}." if name == DIVERGED else "."
        found.append(
            Finding(name=name, severity=severity, what=what + told, where=where, count=len(hit), advice=advice)
        )
    if not scored and not found:
        where = tuple(f"trial {trial.id}: {trial.message.splitlines()[0]}" for trial in failed[:SHOWN] if trial.message)
        found.append(
            Finding(
                name="all_failed", severity="error", where=where, count=len(failed),
                what=f"None of {len(ended):,} trials has a score.", advice="Their messages say why.",
            )
        )  # fmt: skip
    return found


def _rates(diverged: Sequence[Trial], scored: Sequence[Trial]) -> str:
    """At which learning rates, and at which not."""
    bad = [float(t.values["learning_rate"]) for t in diverged if "learning_rate" in t.values]
    good = [float(t.values["learning_rate"]) for t in scored if "learning_rate" in t.values]
    if not bad:
        return ""
    told = (
        f", with learning rates from {min(bad):.3g} on"
        if min(bad) < max(bad)
        else f", with learning_rate = {bad[0]:.3g}"
    )
    return told + (f"; those that did not had {max(good):.3g} at most" if good and max(good) < min(bad) else "")


def unfinished(points: Sequence[dict[str, Any]], task: Task, question: Experiment) -> list[Finding]:
    """Whether the best candidate was still getting better when its longest training ended."""
    name, direction = objective(task, question.objective)
    if len({point["epochs"] for point in points}) < 2:
        return []
    shorter, longer = points[-2], points[-1]
    gain = (longer["score"] - shorter["score"]) * sign_of(direction)
    missing = 1 - shorter["score"] if direction == "max" else abs(shorter["score"])
    if not gain > GAIN * missing:
        return []
    what = (
        f"Longer training still helped: {name} {shorter['score']:.4g} after {shorter['epochs']} epochs, "
        f"{longer['score']:.4g} after {longer['epochs']}."
    )
    return [Finding(name="still_learning", severity="note", what=what, advice="More --time, or more --epochs.")]


def by_heart(curve: Curve | None) -> list[Finding]:
    """Whether the best network's validation loss rose again while the loss of training rows fell."""
    turn = None if curve is None else turned(curve)
    if turn is None:
        return []
    what = (
        f"Validation loss was lowest after epoch {turn.epoch}, {turn.lowest:.4g}, and came to {turn.end:.4g} while the "
        "loss of training rows went on falling: from there on they were learnt by heart."
    )
    advice = "More dropout, weight_decay or augmentation, fewer units, fewer epochs; more rows help most."
    return [Finding(name="learnt_by_heart", severity="note", what=what, advice=advice)]
