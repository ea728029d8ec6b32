"""Training: one candidate from its values to its metrics and weights, on data that stay loaded."""

from __future__ import annotations

import dataclasses
import gc
import json
import math
import time
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from numpy.typing import NDArray

from kexp import models
from kexp.data.dataset import Dataset
from kexp.errors import FailedTrial
from kexp.metrics import objective
from kexp.records import Trial
from kexp.train.epoch import Fit, Samples, fit, samples

ENCODINGS = 2  # of a table, kept in memory: piecewise and standard


class Trainer:
    """Trains candidates on one data set, one after the other; samples and features are kept between them."""

    def __init__(self, dataset: Dataset, *, batch_size: int, objective: str = "") -> None:
        self.spec = dataset.spec
        self._dataset = dataset
        self._batch_size = batch_size
        self._objective = objective
        gc.collect()
        gc.freeze()  # the collection after every trial need not search the libraries: a quarter of a second
        self._samples: dict[str, tuple[Samples, Samples]] = {}  # by the front end's configuration

    def run(
        self,
        trial: Trial,
        *,
        initial_epoch: int = 0,
        weights: list[NDArray[Any]] | None = None,
        deadline: float = math.inf,
        on_epoch: Callable[[int, dict[str, float]], None] | None = None,
    ) -> tuple[Trial, Fit | None]:
        """The finished trial, and what training left; None where the trial failed, the reason in its message.

        `weights` are those of the parent that the trial continues from `initial_epoch`.
        """
        start = time.monotonic()
        keras.backend.clear_session(free_memory=False)  # the collection below has done that
        keras.utils.set_random_seed(trial.seed)
        fitted: Fit | None = None
        message, parameters = "", None
        try:
            network = models.build(self.spec, trial.factory, models.replay(trial.values))
            parameters = int(network.core.count_params())
            if weights is not None:
                network.core.set_weights(weights)
            train, validation = self._ready(network)
            fitted = fit(
                self.spec, network, train, validation,
                epochs=trial.epochs, initial_epoch=initial_epoch, batch_size=self._batch_size, seed=trial.seed,
                objective=self._objective, deadline=deadline, on_epoch=on_epoch,
            )  # fmt: skip
        except FailedTrial as error:
            message = str(error)
        except (tf.errors.ResourceExhaustedError, MemoryError) as error:
            message = f"out of memory: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        finally:
            network = None  # type: ignore[assignment]
            gc.collect()
        done = dataclasses.replace(trial, seconds=round(time.monotonic() - start, 3), parameters=parameters)
        if fitted is None:
            return dataclasses.replace(done, status="failed", message=message), None
        name, _ = objective(self.spec.task, self._objective)
        status = "stopped" if fitted.stopped else "completed"
        text = f"stopped by the time limit after {len(fitted.history)} epochs" if fitted.stopped else ""
        metrics = {key: float(value) for key, value in fitted.metrics.items()}
        done = dataclasses.replace(done, status=status, metrics=metrics, score=metrics[name], message=text)  # type: ignore[arg-type]
        return done, fitted

    def _ready(self, network: models.Network) -> tuple[Samples, Samples]:
        """Training and validation samples as this network's front end leaves them; those of two front ends are kept.

        The rows are read from the data set again for another front end, so that memory holds them once.
        """
        frontend = network.frontend
        same = "raw"
        if frontend is not None and self.spec.kind != "image":
            same = json.dumps(frontend.layers[-1].get_config(), sort_keys=True, default=str)
        if same not in self._samples:
            while len(self._samples) >= ENCODINGS:
                del self._samples[next(iter(self._samples))]
            train = samples(self.spec, network, *self._dataset.take("train"))
            self._samples[same] = (train, samples(self.spec, network, *self._dataset.take("validation")))
        return self._samples[same]
