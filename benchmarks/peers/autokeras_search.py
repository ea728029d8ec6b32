"""AutoKeras on the same rows, epochs and batches, in its own space.

    python autokeras_search.py ROWS.npz SPACE.json FOLDER

Run by search_speed.py in a virtual environment with autokeras; arguments and lines as of keras_tuner_search.py. "best"
is the best validation accuracy, and the process ends with the last trial: AutoKeras would train the best once more.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

START = time.monotonic()

import autokeras  # noqa: E402 - its loading counts
import numpy as np  # noqa: E402 - as above
from autokeras.tuners import task_specific  # noqa: E402 - as above

TASKS = {
    "dense": (autokeras.StructuredDataClassifier, task_specific.StructuredDataClassifierTuner),
    "conv": (autokeras.ImageClassifier, task_specific.ImageClassifierTuner),
}


def main() -> None:
    """Search, and say how far it has come."""
    rows, asked = np.load(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text("utf-8"))
    x, y, vx, vy = (rows[name] for name in ("x", "y", "vx", "vy"))
    task, tuner = TASKS[asked["factory"]]

    class Told(tuner):  # type: ignore[misc,valid-type]  # which one depends on the task
        def on_trial_end(self, trial: Any) -> None:
            super().on_trial_end(trial)
            scores = [one.score for one in self.oracle.trials.values() if one.score is not None]
            told = {"seconds": time.monotonic() - START, "trials": len(scores), "best": max(scores, default=0.0)}
            print(json.dumps(told), flush=True)
            if len(self.oracle.end_order) >= asked["trials"]:
                sys.exit()

    search = task(
        max_trials=asked["trials"], objective="val_accuracy", tuner=Told, seed=asked["seed"] + 1, directory=sys.argv[3]
    )
    search.fit(x, y, validation_data=(vx, vy), epochs=asked["epochs"], batch_size=asked["batch_size"], verbose=0)


if __name__ == "__main__":
    main()
