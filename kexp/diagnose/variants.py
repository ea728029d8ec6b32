"""Causes told apart by trying: short trainings of the same candidate with one thing changed.

As it is, with other learning rates, with another activation, with more units; each from new weights, on the same rows,
for the same time. What helps is what was wrong.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexp import models
from kexp.diagnose import fit, layers
from kexp.diagnose.subject import Subject, answers, build, few, first, ready
from kexp.forecasts import base
from kexp.metrics import metrics, objective
from kexp.models.dense import ACTIVATIONS
from kexp.records import Finding, Severity, Trial, Value
from kexp.train import Trainer

Array = NDArray[Any]
Progress = Callable[[int, int, str], None]
ROWS = 2000  # that train
SAMPLES = {True: 12_000, False: 40_000}  # that one variant trains on, about: of pixels and sounds, of all else
EPOCHS = (4, 100)
LIMIT_SECONDS = 120.0  # for one variant
RATE_LIMITS = (1e-4, 1.0)  # between which a learning rate of AdamW is looked for ...
RATES = 4  # ... in steps of ten from the candidate's own, the nearest
WIDER = {"units": 4, "filters": 2}  # beginnings of names, and how many times more; a layer's work grows by the square
INSTEAD = {"relu": "silu"}  # others: relu
LEVEL = 0.99  # of the paired bootstrap: several variants are tried
GOOD = 0.9  # of the constant answer's error on training rows: below it something is learnt


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A short training with `changed` values. `idle` is the largest share of dead or saturated units of a layer."""

    name: str
    changed: dict[str, Value]
    epochs: int
    status: str
    seconds: float
    train: float | None  # error on training rows: log loss, or rmse
    score: float | None  # the objective on validation rows
    idle: float | None = None
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A variant and its answers to the validation rows (n, outputs); none where it failed."""

    variant: Variant
    outputs: Array | None = None


def wider(values: dict[str, Value]) -> dict[str, Value]:
    """What makes a candidate wider: its hyperparameters that count units or filters, larger."""
    return {
        name: value * times
        for name, value in values.items()
        for begins, times in WIDER.items()
        if (name.startswith(begins) or name.endswith(begins)) and isinstance(value, int) and not isinstance(value, bool)
    }


def other_activation(values: dict[str, Value]) -> dict[str, Value]:
    """Another activation in the place of each that a candidate has chosen."""
    return {
        name: INSTEAD.get(str(value), "relu")
        for name, value in values.items()
        if "activation" in name and value in ACTIVATIONS
    }


def rates(values: dict[str, Value]) -> dict[str, dict[str, Value]]:
    """Learning rates besides the candidate's own, by what they are called."""
    own = values.get("learning_rate")
    if not isinstance(own, float | int) or isinstance(own, bool) or own <= 0:
        return {}
    low, high = RATE_LIMITS
    first, last = (round(math.log10(limit / own), 6) for limit in (low, high))  # in steps of ten from the own one
    steps = [step for step in range(math.ceil(first), math.floor(last) + 1) if step]
    nearest = sorted(sorted(steps, key=abs)[:RATES])
    return {f"rate {rate:.2g}": {"learning_rate": rate} for rate in (own * 10.0**step for step in nearest)}


def short(one: Subject) -> Subject:
    """`one` on the rows that variants are tried with."""
    return dataclasses.replace(one, dataset=few(one.dataset, ROWS))


def tried(one: Subject, *, rate: bool, design: bool, progress: Progress) -> list[Tried]:
    """The candidate as it is, then with other rates if `rate`, with another activation and more units if `design`.

    `one` is as `short` makes it.
    """
    values = _asked(one)
    changes: dict[str, dict[str, Value]] = {"as it is": {}}
    if rate:
        changes |= rates(values)
    if design:
        changes |= {
            name: new for name, new in (("activation", other_activation(values)), ("units", wider(values))) if new
        }
    fold = max(one.fold, 0)
    n = len(one.dataset.rows("train", fold))
    low, high = EPOCHS
    slow = one.spec.kind != "table" and not one.spec.horizon
    epochs = int(min(max(round(SAMPLES[slow] / max(n, 1)), low), high))
    trainer = Trainer(
        one.dataset, batch_size=min(one.batch_size, n), objective=one.question.objective,
        class_weight=one.question.class_weight,
    )  # fmt: skip
    base = dataclasses.replace(
        one.trial, values=values, epochs=epochs, status="running", stage="explore", parent=None, same_as=None,
        fold=fold, metrics={}, score=None, message="",
    )  # fmt: skip
    trials = {
        name: dataclasses.replace(base, id=at, values={**values, **new})
        for at, (name, new) in enumerate(changes.items())
    }
    done: list[Tried] = []
    for names in _together(list(changes)):
        at = len(done)

        trying = "other learning rates" if len(names) > 1 else names[0]

        def told(epoch: int, at: int = at, name: str = trying) -> None:
            progress(at, len(changes), f"trying {name}: epoch {min(epoch + 1, epochs)}/{epochs}")

        told(0)
        deadline = time.monotonic() + LIMIT_SECONDS * len(names)
        for (trial, fitted), name in zip(
            trainer.run([trials[name] for name in names], deadline=deadline, on_epoch=told), names, strict=True
        ):
            done.append(looked(one, trial, None if fitted is None else fitted.weights, name, changes[name]))
    return done


def _together(names: Sequence[str]) -> list[list[str]]:
    """Those that differ in the learning rate alone share a graph; of the others each is waited for alone."""
    same = [name for name in names if name == "as it is" or name.startswith("rate ")]
    return [same, *([name] for name in names if name not in same)]


def _asked(one: Subject) -> dict[str, Value]:
    """Every value that the build reads, those that the trial left at their defaults too."""
    hp = models.replay(one.trial.values)
    models.build(one.spec, one.trial.factory, hp)
    return dict(hp.read)


def looked(one: Subject, trial: Trial, weights: Any, name: str, changed: dict[str, Value]) -> Tried:
    """A training that ended, and what its network answers to the rows of `one`; `weights` are None where it failed."""
    common: dict[str, Any] = {"name": name, "changed": changed, "epochs": trial.epochs, "seconds": trial.seconds}
    if weights is None:
        return Tried(
            variant=Variant(**common, status=trial.status, train=None, score=None, message=trial.message)
        )  # fmt: skip
    subject = dataclasses.replace(one, trial=trial, weights=weights)
    network = build(one.spec, trial)
    network.core.set_weights(weights)
    train, validation = ready(subject, network, "train"), ready(subject, network, "validation")
    outputs = answers(subject, network, validation)
    error = fit.error_of(one.spec.task, metrics(one.spec.task, train.y, answers(subject, network, train)))
    ranked, _ = objective(one.spec.task, one.question.objective)
    score = metrics(one.spec.task, validation.y, outputs)[ranked]
    idle = layers.idle_share(layers.activities(one.spec, network, first(train, layers.PASS_ROWS)))
    return Tried(
        variant=Variant(
            **common, status=trial.status, train=error, score=score, idle=idle, message=trial.message
        ),
        outputs=outputs,
    )  # fmt: skip


# -- what they say --------------------------------------------------------------------------------


def rate_verdict(one: Subject, done: Sequence[Tried], kept: Tried | None) -> list[Finding]:
    """Whether another learning rate is clearly better than the candidate's own; `kept` is the network of the run."""
    own, others = done[0], [t for t in done if t.variant.name.startswith("rate ") and t.outputs is not None]
    rate = _asked(one).get("learning_rate")
    if not others or not isinstance(rate, float | int):
        return []
    y = one.dataset.y[one.dataset.rows("validation", max(one.fold, 0))]
    rows = one.dataset.rows("train", max(one.fold, 0))
    train_y = one.dataset.y[rows]
    task, name = one.spec.task, objective(one.spec.task, one.question.objective)[0]
    nothing = fit.constant(task, train_y, len(train_y), one.spec.outputs)
    if one.spec.horizon:
        nothing = base(one.spec, one.dataset.x[rows])
    bare = fit.error_of(task, metrics(task, train_y, nothing))
    best = min(others, key=lambda t: _error(t))
    changed = float(best.variant.changed["learning_rate"])
    if not _error(best) < GOOD * bare:
        return []
    reached = f"in {best.variant.epochs} epochs, learning_rate = {changed:.2g} reached {_told(best, task, name)}"
    if changed < rate:
        broken = not _error(own) < bare
        if broken or (_error(best) < _error(own) and _better(task, name, y, best, own)):
            what = (
                f"learning_rate = {rate:.3g} is too high: {reached}, {rate:.3g} {_told(own, task, name, 'reached ')}."
            )
            return [_rate_finding("learning_rate_high", what, changed, "error" if broken else "warning")]
        return []
    beaten = kept if kept is not None else own
    if _error(best) < _error(own) / 2 and _error(best) < _error(beaten) and _better(task, name, y, best, beaten):
        after = f" after {one.trial.epochs} epochs" if kept is not None else ""
        what = f"learning_rate = {rate:.3g} is too low: {reached}, {rate:.3g}{after} {_told(beaten, task, name)}."
        return [_rate_finding("learning_rate_low", what, changed, "warning")]
    return []


def _rate_finding(name: str, what: str, rate: float, severity: Severity) -> Finding:
    span = f'{{min = {rate / 3:.1g}, max = {rate * 3:.1g}, sampling = "log"}}'
    advice = f"In [space] of the experiment: learning_rate = {span}."
    return Finding(name=name, severity=severity, what=what, advice=advice)


def again_verdict(one: Subject, done: Sequence[Tried], kept: Tried | None, ill: bool) -> list[Finding]:
    """Whether the same network, trained anew for a short while, is better than the `kept` one."""
    own, epochs = done[0], one.trial.epochs
    task, name = one.spec.task, objective(one.spec.task, one.question.objective)[0]
    y = one.dataset.y[one.dataset.rows("validation", max(one.fold, 0))]
    if kept is None or not _error(own) < _error(kept) or not _better(task, name, y, own, kept):
        return []
    severity: Severity = "warning" if ill else "note"
    reached = f"{_told(own, task, name)} after {own.variant.epochs} epochs from new weights, {_told(kept, task, name)}"
    idle, before = own.variant.idle or 0.0, kept.variant.idle or 0.0
    lost = before >= layers.MANY and idle < before / 2
    if own.variant.epochs > epochs and not lost:
        what = f"It was trained too shortly: {reached} as it is kept, after {epochs}."
        advice = "Search again with more --time, or with more --epochs."
        return [Finding(name="too_short", severity=severity, what=what, advice=advice)]
    what = f"Its training went wrong, not its design: {reached} as it is kept, after {epochs}."
    if lost:
        what += f" Of the worst layer's units {idle:.0%} are idle then, {before:.0%} now: it lost them on its way."
    advice = "Search again under another --seed; a smaller learning rate makes it less a matter of luck."
    return [Finding(name="bad_training", severity=severity, what=what, advice=advice)]


def design_verdict(one: Subject, done: Sequence[Tried], ill: bool) -> list[Finding]:
    """Whether another activation, or more units, is what the candidate lacks; a note at most unless it is `ill`."""
    by_name = {t.variant.name: t for t in done}
    own = by_name["as it is"]
    told = {name: by_name[name] for name in ("activation", "units") if name in by_name}
    if not told:
        return []
    task, name = one.spec.task, objective(one.spec.task, one.question.objective)[0]
    y = one.dataset.y[one.dataset.rows("validation", max(one.fold, 0))]
    helps = [t for t in told.values() if t.outputs is not None and _better(task, name, y, t, own)]
    helps.sort(key=lambda t: _error(t))
    scores = "; ".join(f"{_shown(t)} {_told(t, task, name)}" for t in [own, *told.values()])
    scores = f"short trainings: {scores}"
    if not helps:
        if not ill:
            return []
        what = f"Neither another activation nor more units help ({scores})."
        advice = "The cause lies elsewhere: the learning rate, too short a training, or what the inputs can tell."
        return [Finding(name="design", severity="note", what=what, advice=advice)]
    helper = helps[0]
    kind = "wrong_activation" if helper.variant.name == "activation" else "too_few_units"
    changed, was = helper.variant.changed, _asked(one)
    asked = ", ".join(f"{key} = {value}" for key, value in changed.items())
    said = "Another activation helps" if kind == "wrong_activation" else "More units help"
    if len(helps) > 1:
        said += ", and more than more units" if kind == "wrong_activation" else ", and more than another activation"
    return [
        Finding(
            name=kind, severity="warning" if ill else "note", what=f"{said} ({scores}).",
            where=tuple(f"{key}: {was[key]} -> {new}" for key, new in changed.items()),
            count=len(changed), advice=f"Let the search try it: {asked} in [space] of the experiment.",
        )
    ]  # fmt: skip


def _shown(t: Tried) -> str:
    changed = list(dict.fromkeys(map(str, t.variant.changed.values())))
    return t.variant.name if t.variant.name == "as it is" else f"{t.variant.name} {'/'.join(changed)}"


def _told(t: Tried, task: Any, name: str, verb: str = "") -> str:
    if t.variant.train is None or t.variant.score is None:
        return t.variant.message.split(":")[0] or t.variant.status
    return f"{verb}{name} {t.variant.score:.4g}"


def _error(t: Tried) -> float:
    """On training rows; infinite where there is none."""
    return t.variant.train if t.variant.train is not None and math.isfinite(t.variant.train) else math.inf


def _better(task: Any, name: str, y: Array, new: Tried, old: Tried) -> bool:
    if new.outputs is None or old.outputs is None:
        return new.outputs is not None
    usable = np.isfinite(old.outputs).all() and len(old.outputs) == len(y)
    return not usable or fit.better(task, name, y, new.outputs, old.outputs, level=LEVEL)
