"""Training: candidates from their values to their metrics and weights, on data that stay loaded."""

from __future__ import annotations

import dataclasses
import gc
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from numpy.typing import NDArray

from kexp import models
from kexp.data.dataset import Dataset
from kexp.errors import FailedTrial
from kexp.layouts import Kind, products
from kexp.metrics import objective
from kexp.records import ClassWeight, DatasetSpec, Trial
from kexp.train.epoch import Fit, Graphs, fit
from kexp.train.feed import OnDisk, Samples, samples
from kexp.train.loss import balanced
from kexp.train.population import Member, Population
from kexp.train.stack import layout

Weights = list[NDArray[Any]]
OnEpoch = Callable[[int], None]  # told the number of every epoch that ended, from 1
Callbacks = Callable[[Trial], Sequence[keras.callbacks.Callback]]
OUT_OF_MEMORY = (tf.errors.ResourceExhaustedError, MemoryError)
ENCODINGS = 2  # of a table, kept in memory: piecewise and standard
KEPT = 4  # graphs of networks that trained alone: those that are promoted were among the last


def kind_of(spec: DatasetSpec, network: models.Network) -> Kind | None:
    """What `network` is to those that may train together with it; None where it trains alone."""
    made = None if network.answer is None else layout(network.core)
    return None if made is None else Kind(network.features, made)


class Trainer:
    """Trains candidates on one data set; samples, features and graphs are kept between them.

    `callbacks` makes those of Keras that watch a trial (see `fit`); each trial then trains alone. `class_weight` is an
    Experiment's: what each class weighs is decided by the training rows. What a frozen trunk makes of pictures is kept
    in the folder `keep` too, for others that train on the same data.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        batch_size: int,
        objective: str = "",
        class_weight: ClassWeight = "none",
        callbacks: Callbacks | None = None,
        keep: Path | None = None,
    ) -> None:
        self.spec = dataset.spec
        self._dataset = dataset
        self._batch_size = batch_size
        self._objective = objective
        self._callbacks = callbacks
        self._keep = keep
        weighing = class_weight == "balanced"
        self._weights = balanced(dataset.spec, dataset.y[dataset.rows("train")]) if weighing else None
        self._population = Population(dataset.spec, self._weights)
        gc.collect()
        gc.freeze()  # the collection after every trial need not search the libraries: a quarter of a second
        # By the front end's configuration, and the fold.
        self._samples: dict[tuple[str, int], tuple[Samples, Samples]] = {}
        self._graphs: dict[str, Graphs] = {}  # by all values but the learning rate; the last used is last

    def run(
        self,
        trials: Sequence[Trial],
        *,
        initial_epoch: int = 0,
        weights: Mapping[int, Weights] | None = None,
        deadline: float = math.inf,
        on_epoch: OnEpoch | None = None,
    ) -> list[tuple[Trial, Fit | None]]:
        """The finished trials, and what training left; None where one failed, the reason in its message.

        They share seed, fold and epochs; those of one kind share a graph, and its seconds, by their arithmetic.
        `weights` are those of the parent that a trial (by its id) continues from `initial_epoch`.
        """
        keras.backend.clear_session(free_memory=False)  # the collection below does that
        groups: dict[object, list[tuple[Trial, models.Network, Kind | None]]] = {}
        done: dict[int, tuple[Trial, Fit | None]] = {}
        for trial in trials:
            keras.utils.set_random_seed(trial.seed)
            try:
                network = models.build(self.spec, trial.factory, models.replay(trial.values))
            except OUT_OF_MEMORY as error:
                done[trial.id] = (dataclasses.replace(trial, status="failed", message=_too_large(error)), None)
                continue
            if weights and trial.id in weights:
                network.core.set_weights(weights[trial.id])
            kind = None if self._callbacks else kind_of(self.spec, network)
            groups.setdefault(trial.id if kind is None else kind.key, []).append((trial, network, kind))
        for group in groups.values():
            for trial, fitted in self._fit(group, initial_epoch, deadline, on_epoch):
                done[trial.id] = (trial, fitted)
        groups.clear()
        group, network = [], None  # type: ignore[assignment]
        gc.collect()
        return [done[trial.id] for trial in trials]

    def _fit(
        self,
        group: list[tuple[Trial, models.Network, Kind | None]],
        initial_epoch: int,
        deadline: float,
        on_epoch: OnEpoch | None,
    ) -> list[tuple[Trial, Fit | None]]:
        """Train those of one kind together, or one that has no kind."""

        def each() -> list[tuple[Trial, Fit | None]]:
            return [done for one in group for done in self._fit([one], initial_epoch, deadline, on_epoch)]

        start = time.monotonic()
        first, network, _ = group[0]
        members = [Member(network, kind.layout) for _, network, kind in group if kind is not None]
        fits: list[Fit | str]
        try:
            options: dict[str, Any] = {
                "epochs": first.epochs, "initial_epoch": initial_epoch, "batch_size": self._batch_size,
                "seed": first.seed, "objective": self._objective, "deadline": deadline, "on_epoch": on_epoch,
                "last": first.fold != 0,
            }  # fmt: skip
            train, validation = self._ready(network, first.fold, lambda: on_epoch and on_epoch(initial_epoch))
            start = time.monotonic()  # what is kept for others is not this one's cost
            if members and not any(isinstance(part.features, OnDisk) for part in (train, validation)):
                fits = self._population.fit(members, train, validation, **options)
            elif len(group) > 1:  # what is read for one is not kept for the next
                return each()
            else:
                watching = self._callbacks(first) if self._callbacks else ()
                graphs = self._shared(first, network)
                options |= {"callbacks": watching, "graphs": graphs, "weights": self._weights}
                fits = [fit(self.spec, network, train, validation, **options)]
        except FailedTrial as error:
            fits = [str(error)]  # of the one that trained alone: a population says which of its members failed
        except OUT_OF_MEMORY as error:
            self._graphs.clear()
            if len(group) > 1:  # there may be room for each
                return each()
            fits = [_too_large(error)]
        seconds = time.monotonic() - start
        work = [products(kind.layout.widths) if kind else 1 for _, _, kind in group]
        shares = [seconds * one / sum(work) for one in work]
        return [
            self._finished(trial, network, fitted, share)
            for (trial, network, _), fitted, share in zip(group, fits, shares, strict=True)
        ]

    def _finished(
        self, trial: Trial, network: models.Network, fitted: Fit | str, seconds: float
    ) -> tuple[Trial, Fit | None]:
        parameters = network.parameters
        done = dataclasses.replace(trial, seconds=round(seconds, 3), parameters=parameters)
        if isinstance(fitted, str):
            return dataclasses.replace(done, status="failed", message=fitted), None
        name, _ = objective(self.spec.task, self._objective)
        text = f"its time was up after {len(fitted.history)} epochs" if fitted.stopped else ""
        metrics = {key: float(value) for key, value in fitted.metrics.items()}
        status = "stopped" if fitted.stopped else "completed"
        done = dataclasses.replace(done, status=status, metrics=metrics, score=metrics[name], message=text)  # type: ignore[arg-type]
        done = dataclasses.replace(done, train={key: float(value) for key, value in fitted.train.items()})
        return done, fitted

    def _shared(self, trial: Trial, network: models.Network) -> Graphs | None:
        """Graphs for `network`: if possible those of one that differs in weights and learning rate alone.

        None where that cannot be known: of a user's own factory, or of networks that callbacks look at.
        """
        if self._callbacks or trial.factory not in models.FACTORIES:
            return None
        same = {name: value for name, value in trial.values.items() if name != "learning_rate"}
        key = json.dumps([trial.factory, same], sort_keys=True)
        graphs = self._graphs.pop(key, None) or Graphs(self.spec, network, self._weights)
        self._graphs[key] = graphs
        while len(self._graphs) > KEPT:
            del self._graphs[next(iter(self._graphs))]
        return graphs

    def _ready(self, network: models.Network, fold: int, alive: Callable[[], object]) -> tuple[Samples, Samples]:
        """Training and validation samples as this network's front end leaves them; those of two front ends are kept.

        The rows are read from the data set again for another front end, so that memory holds them once. `alive` is
        called now and then meanwhile.
        """
        same = (network.features, fold)
        if same not in self._samples:
            while len(self._samples) >= ENCODINGS:
                del self._samples[next(iter(self._samples))]
            options: dict[str, Any] = {"keep": self._keep, "alive": alive}
            train = samples(self.spec, network, self._dataset, "train", fold, **options)
            validation = samples(self.spec, network, self._dataset, "validation", fold, **options)
            self._samples[same] = (train, validation)
        return self._samples[same]


def _too_large(error: Exception) -> str:
    return f"out of memory: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
