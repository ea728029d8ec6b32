"""Plain Optuna on kexp's space, rows and epochs: a loop over `objective(trial)`, each network alone by Keras's `fit`.

    python optuna_search.py EXPERIMENT.toml tpe|nsga2|random TRIALS SECONDS

Run by objectives.py. Samplers as Optuna makes them, but for the seed. It goes on until both TRIALS are over and SECONDS
have passed since it began. What the front end makes of the rows is computed once, not with every trial. A JSON line
after every trial: seconds since the start, the error (1 - accuracy, or RMSE in the target's unit) of the best epoch on
validation rows, the bytes of the int8 file as kexp foretells them.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

START = time.monotonic()

import keras  # noqa: E402 - its loading counts
import optuna  # noqa: E402

from kexp import data, experiment, models  # noqa: E402
from kexp.export.costs import costs  # noqa: E402

SAMPLERS = {
    "tpe": optuna.samplers.TPESampler,
    "nsga2": optuna.samplers.NSGAIISampler,
    "random": optuna.samplers.RandomSampler,
}


class Suggested:
    """Answers a factory's questions by `trial`."""

    def __init__(self, trial: optuna.Trial) -> None:
        self._trial = trial

    def Int(self, name: str, low: int, high: int, step: int | None = None, sampling: str = "linear", **_: Any) -> int:  # noqa: N802
        return self._trial.suggest_int(name, low, high, step=step or 1, log=sampling == "log")

    def Float(  # noqa: N802
        self, name: str, low: float, high: float, step: float | None = None, sampling: str = "linear", **_: Any
    ) -> float:
        return self._trial.suggest_float(name, low, high, step=step, log=sampling == "log")

    def Choice(self, name: str, values: Sequence[Any], **_: Any) -> Any:  # noqa: N802
        return self._trial.suggest_categorical(name, values)

    def Boolean(self, name: str, **_: Any) -> bool:  # noqa: N802
        return bool(self._trial.suggest_categorical(name, [False, True]))


def main() -> None:
    """Search, and say what each trial reached."""
    toml, sampler, trials, seconds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    asked = experiment.load(toml)
    with tempfile.TemporaryDirectory() as cache:
        dataset = data.load(asked, base=toml.parent, cache=Path(cache))
        spec = dataset.spec
        (x, y), (vx, vy) = dataset.take("train"), dataset.take("validation")
    regression = spec.task == "regression"
    if regression:
        y, vy = ((values - spec.target_mean) / spec.target_std for values in (y, vy))
    encoded: dict[str, tuple[Any, Any]] = {}

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        keras.backend.clear_session()
        keras.utils.set_random_seed(asked.seed)
        network = models.build(spec, asked.factory, Suggested(trial))  # type: ignore[arg-type]
        front = network.frontend
        key = json.dumps(front.layers[-1].get_config(), sort_keys=True, default=str)
        if key not in encoded:
            encoded[key] = (front.predict(x, verbose=0), front.predict(vx, verbose=0))
        loss = "mse" if regression else keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        core = network.core
        core.compile(
            keras.optimizers.AdamW(network.learning_rate, weight_decay=network.weight_decay), loss,
            metrics=["mse" if regression else "accuracy"],
        )  # fmt: skip
        history = core.fit(
            encoded[key][0], y, validation_data=(encoded[key][1], vy), epochs=asked.epochs,
            batch_size=asked.batch_size, verbose=0,
        ).history  # fmt: skip
        if regression:
            return math.sqrt(min(history["val_mse"])) * spec.target_std[0], math.log(costs(spec, network).bytes)
        return 1.0 - max(history["val_accuracy"]), math.log(costs(spec, network).bytes)

    def told(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        passed = time.monotonic() - START
        error, size = trial.values
        print(json.dumps({"seconds": passed, "error": error, "bytes": round(math.exp(size))}), flush=True)
        if trial.number + 1 >= trials and passed >= seconds:
            study.stop()

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(directions=["minimize"] * 2, sampler=SAMPLERS[sampler](seed=asked.seed))
    study.optimize(objective, callbacks=[told])


if __name__ == "__main__":
    main()
