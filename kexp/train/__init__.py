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
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kexp import models
from kexp.data.dataset import Dataset
from kexp.errors import FailedTrial
from kexp.metrics import objective
from kexp.records import Trial
from kexp.train.epoch import Fit, Samples, fit, samples


class Trainer:
    """Trains candidates on one data set, one after the other; samples and features are kept between them."""

    def __init__(self, dataset: Dataset, *, batch_size: int, objective: str = "") -> None:
        self.spec = dataset.spec
        self._rows = {part: dataset.take(part) for part in ("train", "validation")}
        self._batch_size = batch_size
        self._objective = objective
        self._samples: dict[str, tuple[Samples, Samples]] = {}

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
        keras.backend.clear_session()
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
        """Training and validation samples as this network's front end leaves them; made once per front end."""
        frontend = network.frontend
        same = "raw"
        if frontend is not None and self.spec.kind != "image":
            same = json.dumps(frontend.layers[-1].get_config(), sort_keys=True, default=str)
        if same not in self._samples:
            train, validation = self._rows["train"], self._rows["validation"]
            self._samples[same] = (
                samples(self.spec, network, np.asarray(train[0]), train[1]),
                samples(self.spec, network, np.asarray(validation[0]), validation[1]),
            )
        return self._samples[same]
