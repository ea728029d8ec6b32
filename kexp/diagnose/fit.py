"""Over- and underfit: what is answered to training rows, to rows that were not trained on, and by nothing at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexp.data.doctor.samples import FEW
from kexp.diagnose.subject import Subject, answers, ready
from kexp.evaluate import LEVEL, interval
from kexp.metrics import METRICS, metrics, objective
from kexp.records import EVERY, DatasetSpec, Experiment, Finding, Part, Task, Trial
from kexp.verdict import gains

Array = NDArray[Any]
# Of what lies between the constant answer and a perfect one: how far training rows may be ahead before it is worth a
# note, and a warning. An error (rmse, log loss) is told on the same scale, as its share of the constant answer's.
AHEAD: dict[str, tuple[float, float]] = {"share": (0.03, 0.1), "error": (0.1, 0.25)}
SHARES = ("accuracy", "balanced_accuracy", "f1", "auc")
HALF = 0.5  # of that way: a network that does not come so far on its own training rows may be too small
SHUFFLES = 300  # of the targets; the mean and spread of what chance reaches are then known well enough
SIGNIFICANT = 0.05
DRAWS = 400  # of rows, to tell which of two networks is better


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """Targets and answers (n, outputs): of training rows, and of rows that the network did not train on (or none)."""

    train_y: Array
    train: Array
    y: Array
    outputs: Array
    naive: Array | None = None  # what a forecast is measured from
    train_naive: Array | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """Every metric on training rows, on validation rows, and of the constant answer on the latter (of a forecast, the
    naive one). `way` is how far each comes from the constant answer (0) to a perfect one (1), by the objective.
    """

    metric: str
    train: dict[str, float]
    validation: dict[str, float]
    constant: dict[str, float]
    low: float  # of the objective on validation rows, an interval of LEVEL
    high: float
    train_way: float
    validation_way: float
    signal: float  # standard deviations that validation answers are better than the same answers in another order
    needed: float  # so many are more than luck, as often as the validation rows were looked at
    rows: dict[str, int] = field(default_factory=dict)
    naive: bool = False  # whether "constant" is of the naive forecast


def answered(subjects: Sequence[Subject]) -> Answered:
    """Of one network, or of those on all folds, one below the other. `subjects` are as subject.folds gives them."""
    names: tuple[Part, ...] = ("train", "validation")
    parts: dict[str, list[Array]] = {name: [] for name in names}
    targets: dict[str, list[Array]] = {name: [] for name in names}
    bases: dict[str, list[Array]] = {name: [] for name in names}
    network = subjects[0].network()
    for one in subjects:
        if one.weights is not None:
            network.core.set_weights(one.weights)
        for part in names:
            rows = ready(one, network, part)
            parts[part].append(answers(one, network, rows))
            targets[part].append(rows.y)
            if rows.base is not None:
                bases[part].append(rows.base)
    return Answered(
        train_y=np.concatenate(targets["train"]), train=np.concatenate(parts["train"]),
        y=np.concatenate(targets["validation"]), outputs=np.concatenate(parts["validation"]),
        naive=np.concatenate(bases["validation"]) if bases["validation"] else None,
        train_naive=np.concatenate(bases["train"]) if bases["train"] else None,
    )  # fmt: skip


def constant(task: Task, y: Array, n: int, outputs: int) -> Array:
    """The best constant answer (n, outputs) to rows like those with targets `y`: shares of classes, or the mean."""
    if task == "multiclass":
        row = np.bincount(y, minlength=outputs) / max(len(y), 1)
    else:
        row = np.asarray(y, np.float64).reshape(len(y), outputs).mean(axis=0)
    return np.broadcast_to(row, (n, outputs)).copy()


def fitted(spec: DatasetSpec, question: Experiment, trials: Sequence[Trial], told: Answered) -> Fitted:
    """How good the answers are on either rows, beside the constant answer's."""
    name, _ = objective(spec.task, question.objective)
    nothing = constant(spec.task, told.train_y, len(told.y), spec.outputs) if told.naive is None else told.naive
    train, validation = (metrics(spec.task, y, out) for y, out in ((told.train_y, told.train), (told.y, told.outputs)))
    bare = metrics(spec.task, told.y, nothing)
    own = constant(spec.task, told.train_y, len(told.train_y), spec.outputs)
    bare_train = metrics(spec.task, told.train_y, own if told.train_naive is None else told.train_naive)
    low, high = interval(spec, name, told.y, told.outputs)
    looks = sum(max(t.epochs, 1) for t in trials if t.score is not None and t.fold == 0)
    return Fitted(
        metric=name, train=train, validation=validation, constant=bare, low=low, high=high,
        train_way=way(name, train[name], bare_train[name]), validation_way=way(name, validation[name], bare[name]),
        signal=signal(spec.task, told.y, told.outputs - (0 if told.naive is None else told.naive), told.naive),
        needed=NormalDist().inv_cdf(1 - SIGNIFICANT / max(looks, 1)),
        rows={"train": len(told.train_y), "validation": len(told.y)}, naive=told.naive is not None,
    )  # fmt: skip


def way(name: str, value: float, bare: float) -> float:
    """How far `value` comes from the constant answer's (0) to a perfect one (1); below 0 where it is worse."""
    perfect = 1.0 if METRICS[name][1] == "max" else 0.0
    return (value - bare) / (perfect - bare) if perfect != bare else 0.0


def signal(task: Task, y: Array, outputs: Array, naive: Array | None = None) -> float:
    """Standard deviations by which the answers suit the targets better than in random order (a permutation test).

    Ojala and Garriga 2010, "Permutation Tests for Studying Classifier Performance". What is measured is the area under
    the ROC curve, which no unequal sizes of classes deceive, or the correlation, of a forecast that of its changes.
    0 where all answers, or all targets, are equal.
    """
    if len(y) < 2:
        return 0.0
    random = np.random.default_rng(0)
    target = y if naive is None else y - naive
    if task == "regression":
        a, b = (np.asarray(v, np.float64) - np.mean(v, axis=0) for v in (outputs, target))
        spread = np.sqrt((a * a).sum(axis=0) * (b * b).sum(axis=0))
        usable = spread > 0
        if not usable.any():
            return 0.0
        a, b, spread = a[:, usable], b[:, usable], spread[usable]

        def measure(order: Array) -> float:
            return float(((a * b[order]).sum(axis=0) / spread).mean())
    else:
        area = METRICS["auc"][0]

        def measure(order: Array) -> float:
            return area(task, target[order], outputs)

    true = measure(np.arange(len(y)))
    chance = [measure(random.permutation(len(y))) for _ in range(SHUFFLES)]
    spread_of_chance = float(np.std(chance))
    return (true - float(np.mean(chance))) / spread_of_chance if spread_of_chance > 1e-12 else 0.0


def fits(spec: DatasetSpec, found: Fitted, rows: int) -> list[Finding]:
    """Too few rows, nothing learnt, overfit, and what may be underfit; `rows` train in all."""
    made = few_rows(spec, rows)
    name = found.metric
    told = f"{name} {found.train[name]:.4g} on training rows, {found.validation[name]:.4g} on validation rows"
    bare = "the naive forecast" if spec.horizon else "the constant answer"
    learnt = found.signal > found.needed
    if not learnt:
        made.append(_nothing(found, told, bare))
    elif found.validation_way <= 0:
        made.append(
            Finding(
                name="no_better_than_constant", severity="warning",
                what=f"Its answers tell something, but {name} is no better than {bare}'s: "
                f"{found.validation[name]:.4g}, {bare} alone {found.constant[name]:.4g}.",
                advice='Where classes are very unequal, class_weight = "balanced" or objective = "auc" ranks by what '
                "is learnt. Otherwise see what else is found here.",
            )
        )  # fmt: skip
    ahead = found.train_way - found.validation_way
    some, much = AHEAD["share" if name in SHARES else "error"]
    outside = found.train[name] > found.high if METRICS[name][1] == "max" else found.train[name] < found.low
    if found.train_way > 0 and outside and ahead > some:
        span = f"{LEVEL:.0%} interval {found.low:.4g} to {found.high:.4g}"
        what = f"It knows its training rows better than others: {told} ({span})."
        advice = "More rows help most. Otherwise fewer units, more dropout or weight_decay"
        advice += ", stronger augmentation." if spec.kind != "table" else "."
        made.append(Finding(name="overfit", severity="warning" if ahead > much else "note", what=what, advice=advice))
    elif learnt and found.train_way < HALF:
        what = (
            f"Even on its training rows it comes {found.train_way:.0%} of the way from {bare} to a perfect one: {told}."
        )
        advice = "The targets may not be told from these inputs, or the network is too small, or trained too shortly."
        made.append(Finding(name="underfit", severity="note", what=what, advice=advice))
    return made


def few_rows(spec: DatasetSpec, rows: int) -> list[Finding]:
    """A warning on fewer than FEW training rows for each class, or output."""
    many = max(2, spec.outputs) if spec.task != "regression" else spec.outputs
    if rows >= FEW * many:
        return []
    what = f"There are {rows:,} training rows: {rows / many:.1f} for each {'class' if many > 1 else 'output'}."
    advice = f"A network learns so few by heart. {FEW} for each are little already; add rows, or take a simpler model."
    return [Finding(name="few_rows", severity="warning", what=what, advice=advice)]


def _nothing(found: Fitted, told: str, bare: str) -> Finding:
    name = found.metric
    luck = f"{found.signal:.1f} standard deviations above chance, {found.needed:.1f} would be more than luck"
    what = f"Nothing was learnt that holds for other rows: {told}, {bare} {found.constant[name]:.4g} ({luck})."
    if found.train_way > HALF:
        what += " Training rows were learnt by heart."
        advice = (
            "The inputs say nothing about the targets, as if labels were shuffled: see that each label stands at its "
            "own sample (kexp doctor), and that inputs hold what the target depends on."
        )
    else:
        advice = (
            "Not even training rows were learnt: see the learning rate and the units here; where nothing is found of "
            "them, inputs may say nothing about the targets (labels in a wrong order?)."
        )
    return Finding(name="nothing_learnt", severity="error", what=what, advice=advice)


def seen_all(subjects: Sequence[Subject], one: Subject) -> list[Finding]:
    """A note where the network was trained on validation rows too, and nothing else is left to ask."""
    if one.trial.fold != EVERY or subjects:
        return []
    what = "The kept network was trained on all rows but the test rows, and the weights of its runs on folds are gone."
    advice = "What it does on rows that it has not seen can only be told from the journal; kexp clean removed the rest."
    return [Finding(name="validation_seen", severity="note", what=what, advice=advice)]


def finite(told: Answered) -> bool:
    """Whether all answers are numbers."""
    return bool(np.isfinite(told.train).all() and np.isfinite(told.outputs).all())


def error_of(task: Task, values: dict[str, float]) -> float:
    """The metric nearest to what training makes small: log loss, or rmse."""
    return values["rmse" if task == "regression" else "log_loss"]


def better(task: Task, name: str, y: Array, new: Array, old: Array, *, level: float) -> bool:
    """Whether `new` answers (n, outputs) have a better metric than `old`: in a share `level` of resampled rows."""
    found = gains(task, name, y, new, old, DRAWS)
    return bool((found > 0).sum() >= level * DRAWS and not np.isnan(found[-1]))
