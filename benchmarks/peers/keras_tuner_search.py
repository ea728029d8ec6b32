"""Plain keras-tuner on the same space, data and epochs: RandomSearch over kexp's own factory, `fit` on NumPy arrays.

    python keras_tuner_search.py ROWS.npz SPACE.json FOLDER

Run by search_speed.py in a virtual environment with tensorflow and keras-tuner. ROWS holds x, y (training) and vx, vy
(validation); SPACE names factory, trials, epochs, batch_size, seed and outputs. A JSON line after every trial says the
seconds since the start, the trials that are over, and the best validation accuracy of any epoch so far.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

START = time.monotonic()

import keras  # noqa: E402 - its loading counts
import keras_tuner  # noqa: E402
import numpy as np  # noqa: E402

from kexp.models.conv import conv  # noqa: E402
from kexp.models.dense import dense  # noqa: E402

FACTORIES = {"dense": dense, "conv": conv}


def main() -> None:
    """Search, and say how far it has come."""
    rows, asked = np.load(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text("utf-8"))
    x, y, vx, vy = (rows[name] for name in ("x", "y", "vx", "vy"))

    def build(hp: keras_tuner.HyperParameters) -> Any:
        for name, values in asked["space"].items():
            hp.Choice(name, values)  # what is asked for again under its name keeps these
        inputs = entry = keras.Input(x.shape[1:])
        if asked["factory"] == "conv":
            entry = keras.layers.Rescaling(1 / asked["std"], -asked["mean"] / asked["std"])(inputs)
        features = FACTORIES[asked["factory"]](hp, entry)
        logits = keras.layers.Dense(asked["outputs"])(features)
        model = keras.Model(inputs, logits)
        rate = hp.Float("learning_rate", 3e-4, 1e-2, sampling="log", default=2e-3)
        decay = hp.Float("weight_decay", 1e-5, 1e-1, sampling="log", default=1e-2)
        one = asked["outputs"] == 1
        loss = keras.losses.BinaryCrossentropy if one else keras.losses.SparseCategoricalCrossentropy
        right = keras.metrics.BinaryAccuracy(threshold=0.0, name="accuracy") if one else "accuracy"
        model.compile(keras.optimizers.AdamW(rate, weight_decay=decay), loss(from_logits=True), metrics=[right])
        return model

    class Told(keras_tuner.RandomSearch):  # type: ignore[misc]
        def on_trial_end(self, trial: Any) -> None:
            super().on_trial_end(trial)
            scores = [one.score for one in self.oracle.trials.values() if one.score is not None]
            told = {"seconds": time.monotonic() - START, "trials": len(scores), "best": max(scores)}
            print(json.dumps(told), flush=True)

    tuner = Told(
        build, objective="val_accuracy", max_trials=asked["trials"], seed=asked["seed"] + 1, directory=sys.argv[3],
        project_name="search", overwrite=True,
    )  # fmt: skip
    tuner.search(x, y, validation_data=(vx, vy), epochs=asked["epochs"], batch_size=asked["batch_size"], verbose=0)


if __name__ == "__main__":
    main()
