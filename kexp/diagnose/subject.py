"""What is diagnosed: the network of a run as it is kept, as it began, and rows that it may be looked at with."""

from __future__ import annotations

import dataclasses
import zipfile
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kexp import models
from kexp.data.dataset import PARTS, Dataset
from kexp.diagnose.journal import DIVERGED
from kexp.errors import RunError
from kexp.records import EVERY, DatasetSpec, Experiment, Part, Trial
from kexp.runtime import import_modules, modules
from kexp.store import RunStore
from kexp.train.epoch import prepare
from kexp.train.feed import OnDisk, Samples, samples
from kexp.train.loss import Loss, balanced, losses, weighted

Array = NDArray[Any]
Weights = list[Array]
MOST_ROWS = 4096  # of a part: shares of units and scores are then known to a hundredth or two
MOST_BYTES = 256 << 20  # of their samples
BATCH = 256  # rows that are answered to together


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One candidate of a run; `weights` are those of its core where some were kept, in the order of a fresh build."""

    question: Experiment
    dataset: Dataset  # of few rows, see `few`
    trial: Trial
    batch_size: int
    weights: Weights | None
    balance: Array | None  # weights of classes, as loss.balanced makes them

    @property
    def spec(self) -> DatasetSpec:
        """Of the data."""
        return self.dataset.spec

    @property
    def usable(self) -> bool:
        """Whether there is something to look at: what could not be built, for want of memory say, is left alone."""
        return self.weights is not None or self.trial.message.startswith(DIVERGED)

    @property
    def fold(self) -> int:
        """Which rows it was trained on, as Dataset.rows wants it."""
        return self.trial.fold

    def fresh(self) -> models.Network:
        """The network with the weights that the trial began with."""
        return build(self.spec, self.trial)

    def network(self) -> models.Network:
        """The network with the weights that were kept; as it began, where none were."""
        made = self.fresh()
        if self.weights is not None:
            made.core.set_weights(self.weights)
        return made

    def loss(self, network: models.Network) -> Loss:
        """What training makes small, as in train.epoch: the task's loss of logits, or a user's own of answers."""
        if network.loss is not None:
            return weighted(self.spec, network.loss, self.balance)
        return losses(self.spec, logits=network.answer is not None, weights=self.balance)


def build(spec: DatasetSpec, trial: Trial) -> models.Network:
    """The network of a trial as it begins: the same seed makes the same weights."""
    keras.utils.set_random_seed(trial.seed)
    return models.build(spec, trial.factory, models.replay(trial.values))


def subject(run: RunStore, batch_size: int, most: int = MOST_ROWS) -> Subject:
    """The kept candidate of `run`, the best one where none was kept yet, one that diverged where all failed.

    Raises RunError where no trial ended yet, or where model.keras is no network of the best trial.
    """
    question = run.experiment
    import_modules(modules(question))
    whole = Dataset.open(run.data)
    trials = {trial.id: trial for trial in run.trials()}
    ended = [trial for trial in trials.values() if trial.status in ("failed", "completed", "stopped")]
    ranked = run.best_first()
    best = trials.get(run.get("best_trial", -1)) if run.model.exists() else None
    diverged = [trial for trial in ended if trial.message.startswith(DIVERGED)]
    trial = best or next(iter([*ranked, *reversed(diverged), *reversed(ended)]), None)
    if trial is None:
        raise RunError(f"no trial of the run {run.name!r} has ended yet: there is nothing to diagnose.")
    weights = None
    if best is not None:
        weights = _kept(run, whole.spec, trial)
    elif ranked:
        weights = run.load_weights(trial.source)
    y = whole.y[whole.rows("train")]
    return Subject(
        question=question, dataset=few(whole, most), trial=trial, batch_size=batch_size, weights=weights,
        balance=balanced(whole.spec, y) if question.class_weight == "balanced" else None,
    )  # fmt: skip


def folds(run: RunStore, one: Subject) -> list[Subject]:
    """The runs that tell how good the candidate is on rows it was not trained on, with their weights.

    `one` itself, unless it was trained on all rows in the end: then its runs on folds, those whose weights are there.
    """
    if one.fold != EVERY:
        return [one] if one.weights is not None else []
    found = []
    for trial in run.trials():
        same = trial.stage == "confirm" and trial.parent == one.trial.parent and trial.fold > 0
        if same and trial.status == "completed" and run.has_weights(trial):
            found.append(dataclasses.replace(one, trial=trial, weights=run.load_weights(trial.source)))
    return found


def few(dataset: Dataset, most: int) -> Dataset:
    """`dataset` with at most `most` training and as many validation rows, taken by chance; the rest is in no part."""
    sample = max(dataset.x.nbytes // max(len(dataset.x), 1), 1)
    most = max(min(most, MOST_BYTES // sample), 2)
    part, fold = dataset.part.copy(), None if dataset.fold is None else dataset.fold.copy()
    random = np.random.default_rng(0)
    names: tuple[Part, ...] = ("train", "validation")
    for name in names:
        rows = dataset.rows(name)
        out = random.permutation(rows)[most:]
        part[out] = -1  # no row of PARTS
        if fold is not None:
            fold[out] = 0  # in no fold, as a test row
    return dataclasses.replace(dataset, part=part, fold=fold)


def ready(one: Subject, network: models.Network, part: Part) -> Samples:
    """The rows of a part of `one`, as its network's front end leaves them."""
    return samples(one.spec, network, one.dataset, part, one.fold)


def answers(one: Subject, network: models.Network, rows: Samples) -> Array:
    """What `network` answers to `rows`, (n, outputs), in the task's own units; of a forecast the values themselves.

    Layer by layer: few rows are over before a graph would be traced.
    """
    found = []
    for i in range(0, len(rows.y), BATCH):
        out = network.core(prepare(one.spec, network, first(rows, BATCH, i)), training=False)
        found.append(np.asarray(out if network.answer is None else network.answer(out), np.float64))
    told = np.concatenate(found)
    return told if rows.base is None else told + rows.base


def _kept(run: RunStore, spec: DatasetSpec, trial: Trial) -> Weights:
    """The weights of the core inside model.keras, in the order of a fresh build."""
    path = run.need_model()
    network = build(spec, trial)
    try:
        model = keras.saving.load_model(path, compile=False)
        if network.frontend is None or network.answer is None:  # a user's own whole model
            network.core.set_weights(model.get_weights())
        else:
            inside = model.get_layer("core")
            for layer in network.core.layers:
                if layer.weights:  # what has none, dropout say, is not in the file
                    layer.set_weights(inside.get_layer(layer.name).get_weights())
    except (ValueError, OSError, TypeError, KeyError, zipfile.BadZipFile) as error:
        raise RunError(
            f"{path} does not hold the network of trial {trial.id}: {str(error).splitlines()[0]}. The command that "
            "started the search writes it again."
        ) from error
    weights: Weights = network.core.get_weights()
    return weights


def first(rows: Samples, count: int, start: int = 0) -> tf.Tensor:
    """The features (count or fewer, ...) of `rows` from `start` on."""
    features, stop = rows.features, start + count
    return (
        features.read(np.arange(start, min(stop, len(rows.y))))
        if isinstance(features, OnDisk)
        else features[start:stop]
    )


def counts(dataset: Dataset) -> dict[str, int]:
    """How many rows train and validate."""
    return {name: int(np.count_nonzero(dataset.part == PARTS[name])) for name in ("train", "validation")}
