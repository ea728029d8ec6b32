"""diagnose(run): why a network is as good, or as bad, as it is, from training and validation rows alone.

    journal      how trials ended, whether longer training helped       (all that there is of a run without a model)
    layers       what each puts out: ranges, dead and saturated units; one sample forward and back
    gradients    of each layer, with the kept weights and with new ones; how far real steps move the weights
    fit          training rows beside validation rows beside a constant answer; calibration
    variants     short trainings with one thing changed, where something is wrong: what helps was the cause

An error means that the network is of no use, a warning that something costs quality, a note is good to know.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from kexp.curves import curve_of
from kexp.diagnose import calibration, fit, gradients, journal, layers, variants
from kexp.diagnose.subject import Subject, counts, first, folds, ready, subject
from kexp.records import Finding, to_json
from kexp.store import RunStore

__all__ = ["diagnose"]

Progress = Callable[[int, int, str], None]
ORDER = ("error", "warning", "note")
LOOKED = 1024  # training rows that layers are looked at with
PARTS = 6  # of the work, for whoever watches
# Findings that another learning rate may explain, and those that the design may.
OF_RATE = (
    "diverged",
    "learning_rate_high",
    "learning_rate_low",
    "nothing_learnt",
    "underfit",
    "no_better_than_constant",
)
OF_DESIGN = ("dead_units", "saturated_units", "underfit")


def diagnose(
    run: RunStore, *, batch_size: int, try_variants: bool | None = None,
    progress: Progress = lambda done, total, text: None,
) -> dict[str, Any]:  # fmt: skip
    """What is wrong with the best network of `run`, as one document; of a run that failed, what its journal shows.

    {"run", "trial": a records.Trial, "kept": whether it has weights, "rows": {part: count}, "journal": see
    `journal.journal`, "curve": see `journal.curve`, "layers": a row for each, with shape, range, dead and saturated
    units, norms of the gradient ("gradient" with the kept weights, "gradient_new" with initial ones) and "update",
    "sample": {"id", "target", "layers"}, "steps": a gradients.Steps, "fit": a fit.Fitted, "calibration": see
    `calibration.calibration`, "variants": a list of variants.Variant, "findings": a list of records.Finding, worst
    first}. What could not be told is None or empty.

    `batch_size` is that of the search. Variants are tried where a finding may have their cause, always if
    `try_variants` is True, never if False. Raises RunError where no trial has ended.
    """
    one = subject(run, batch_size)
    trials = run.trials()
    task = one.spec.task
    points = journal.curve(trials, one.trial)
    document: dict[str, Any] = {
        "run": run.name, "trial": to_json(one.trial), "kept": one.weights is not None, "rows": counts(one.dataset),
        "journal": journal.journal(trials, task, one.question.objective), "curve": points, "layers": [], "sample": None,
        "steps": None, "fit": None, "calibration": None, "variants": [],
    }  # fmt: skip
    found = [*journal.ended_badly(trials), *journal.unfinished(points, task, one.question)]
    found += journal.by_heart(curve_of(one.trial, {trial.id: trial for trial in trials}, run.curves()))
    found += _network(one, document, progress) if one.usable else []
    judged = folds(run, one)
    progress(3, PARTS, "answers to training and validation rows")
    found += _fit(run, one, judged, document)
    anchor = judged[0] if judged else one
    names = {f.name for f in found if f.severity != "note" or f.name == "underfit"}
    if document["fit"] and document["fit"]["train_way"] > fit.HALF:
        names -= {"nothing_learnt"}  # it was, of training rows: no rate explains that others are not like them
    rate, design = bool(names & set(OF_RATE)), bool(names & set(OF_DESIGN))
    if one.usable and try_variants is not False and (rate or design or try_variants):
        found += _try(anchor, document, found, rate or bool(try_variants), design or bool(try_variants), progress)
    document["findings"] = sorted(_once(found), key=lambda f: ORDER.index(f.severity))
    return document


def _network(one: Subject, document: dict[str, Any], progress: Progress) -> list[Finding]:
    """Layers, gradients and steps: into the document; and what is found in them."""
    progress(0, PARTS, "what each layer puts out")
    network = one.network()
    rows = ready(one, network, "train")
    loss = one.loss(network)
    features = first(rows, LOOKED)
    seen = layers.activities(one.spec, network, features) if one.weights is not None else []
    found = layers.idle_units(seen, int(features.shape[0]))
    progress(1, PARTS, "gradients")
    fresh = one.fresh()
    new = gradients.gradients(one.spec, fresh, rows, one.loss(fresh))
    kept = gradients.gradients(one.spec, network, rows, loss) if one.weights is not None else []
    flow = gradients.flow(new, "new")
    # What is wrong from the beginning need not be said again; nor that nothing passes units that are dead.
    if not flow and not any(f.name == "dead_units" and f.severity != "note" for f in found):
        flow = gradients.flow(kept, "kept")
    found += flow
    progress(2, PARTS, "steps of the optimiser")
    steps = gradients.steps(one)
    found += gradients.pace(steps)
    document["steps"] = to_json(steps)
    document["layers"] = _table(seen, kept, new, steps)
    if one.weights is not None:
        document["sample"] = _sample(one, network, loss)
    return found


def _table(
    seen: list[layers.Activity], kept: list[gradients.Gradient], new: list[gradients.Gradient], steps: gradients.Steps
) -> list[dict[str, Any]]:
    """A row for each layer, in the order of the work; what has weights inside another model stands at the end."""
    rows: dict[str, dict[str, Any]] = {one.layer: to_json(one) for one in seen}
    for key, each in (("gradient", kept), ("gradient_new", new)):
        for one in each:
            row = rows.setdefault(one.layer, {"layer": one.layer})
            row |= {key: to_json(one.norm), "parameters": one.parameters}
    for layer, ratio in steps.ratios.items():
        rows.setdefault(layer, {"layer": layer})["update"] = to_json(ratio)
    return list(rows.values())


def _sample(one: Subject, network: Any, loss: Any) -> dict[str, Any]:
    """The first validation row, all the way through the network and back."""
    rows = ready(one, network, "validation")
    row = int(one.dataset.rows("validation", one.fold)[0])
    passed = layers.one_sample(
        one.spec, network, np.asarray(one.dataset.x[row : row + 1]), first(rows, 1), rows.targets[:1], loss
    )
    target = np.atleast_1d(one.dataset.y[row])
    classes = one.spec.task in ("binary", "multiclass")
    told = one.spec.labels[int(target[0])] if classes else ", ".join(f"{value:g}" for value in target)
    return {"id": one.dataset.ids[row], "target": told, "layers": to_json(passed)}


def _fit(run: RunStore, one: Subject, judged: list[Subject], document: dict[str, Any]) -> list[Finding]:
    """Answers to training rows beside those to others: into the document; and what is found in them."""
    rows = document["rows"]["train"] if one.fold >= 0 else sum(document["rows"].values())
    if one.weights is None:
        return fit.few_rows(one.spec, rows)
    if not judged:
        return [*fit.few_rows(one.spec, rows), *fit.seen_all(judged, one)]
    told = fit.answered(judged)
    if not fit.finite(told):
        what = "Some answers of the network are no numbers."
        advice = "Inputs without bounds (kexp doctor), or weights that diverged: lower learning_rate."
        return [Finding(name="not_finite", severity="error", what=what, advice=advice)]
    found = fit.fitted(one.spec, one.question, run.trials(), told)
    document["fit"] = {**to_json(found), "runs": [each.trial.source for each in judged]}
    document["calibration"] = calibration.calibration(one.spec.task, told.y, told.outputs)
    return [*fit.fits(one.spec, found, rows), *calibration.miscalibrated(document["calibration"])]


def _try(
    anchor: Subject, document: dict[str, Any], found: list[Finding], rate: bool, design: bool, progress: Progress
) -> list[Finding]:
    """Short trainings with one thing changed: into the document; and what they tell."""
    small = variants.short(anchor)

    def told(done: int, total: int, text: str) -> None:
        progress(total + done, 2 * total, text)

    done = variants.tried(small, rate=rate, design=design, progress=told)
    kept = None
    if anchor.weights is not None:
        kept = variants.looked(
            small, dataclasses.replace(small.trial, fold=max(small.fold, 0)), small.weights, "kept", {}
        )
    document["variants"] = [to_json(each.variant) for each in done]
    ill = any(f.name in OF_DESIGN and (f.severity != "note" or f.name == "underfit") for f in found)
    rates = variants.rate_verdict(small, done, kept) if rate else []
    if rates:  # under a wrong one nothing else can be judged
        return rates
    again = variants.again_verdict(small, done, kept, ill)
    return [*again, *(variants.design_verdict(small, done, ill) if design else [])]


def _once(found: list[Finding]) -> list[Finding]:
    """Of findings of one name the gravest, and of these the last: what was tried says more than what was reckoned."""
    best: dict[str, Finding] = {}
    for one in found:
        if one.name not in best or ORDER.index(one.severity) <= ORDER.index(best[one.name].severity):
            best[one.name] = one
    return list(best.values())
