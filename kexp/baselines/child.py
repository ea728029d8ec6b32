"""The process in which baselines are fitted: `python -m kexp.baselines.child FOLDER`, started by `together`.

FOLDER holds job.json. Each baseline that was fitted is a line of JSON on standard output, its model NAME.pkl in FOLDER.
scikit-learn cannot be interrupted, and may take more memory than there is: the one that has no line is to blame.
"""

from __future__ import annotations

import importlib
import json
import os
import pickle
import sys
from pathlib import Path

from kexp import baselines
from kexp.data.dataset import Dataset
from kexp.errors import KexpError
from kexp.records import Experiment, from_json, to_json


def main(folder: Path) -> None:
    """Do the job in `folder`."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no answer
    for module in ("linear_model", "neighbors", "ensemble", "neural_network", "svm", "multioutput", "multiclass"):
        importlib.import_module(f"sklearn.{module}")  # now, so that it counts for none of them
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    dataset = Dataset.open(Path(job["data"]))
    question = from_json(Experiment, job["experiment"])
    for name in job["names"]:
        try:
            trial, model = baselines.train(name, dataset, question, folds=job["folds"], seconds=job["seconds"])
        except (ValueError, MemoryError, KexpError) as error:
            reason = " ".join(str(error).split())[:200] or "out of memory"
            print(json.dumps({"name": name, "reason": reason}), file=answers, flush=True)
            continue
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(model, protocol=5))
        print(json.dumps({"name": name, "trial": to_json(trial)}), file=answers, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
