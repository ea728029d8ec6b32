"""Every experiment that ships runs from search to export, evaluation and `kexp run`: one trial of one epoch.

Trials are trained in this process, so that TensorFlow is loaded once; all else is the pipeline that the command runs.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

from kexp import experiment, pipeline, predict
from kexp.data.dataset import Dataset
from kexp.export import golden
from kexp.export.card import manifest
from kexp.forecasts import errors
from kexp.search.workers import WORKERS, AbstractWorkers, Outcome
from kexp.store import RunStore

ROOT = Path(__file__).parents[1]
FORMATS = ("tflite_float32", "tflite_int8")
ONE = {"trials": 1, "epochs": 1, "finalists": 0}

pytestmark = pytest.mark.slow


class Here(AbstractWorkers):
    """Trains in this process, one trial after the other."""

    size = 1

    def begin(self, setup, size, log):
        from kexp.train import Trainer

        with RunStore.open(Path(setup.home), setup.run) as run:
            dataset = Dataset.open(run.data)
        self._where = (Path(setup.home), setup.run)
        self._trainer = Trainer(dataset, batch_size=setup.batch_size, objective=setup.objective)
        self._done = []

    def submit(self, job):
        with RunStore.open(*self._where) as run:
            for trial, fitted in self._trainer.run(job.trials, deadline=min(job.end, time.monotonic() + job.seconds)):
                run.save_weights(trial.id, fitted.weights)
                self._done.append(Outcome(trial))

    def poll(self, timeout):
        done, self._done = self._done, []
        return done

    def close(self):
        pass


@pytest.mark.parametrize("path", sorted((ROOT / "experiments").glob("*.toml")), ids=lambda path: path.stem)
def test_it_runs_from_search_to_export(path, home, monkeypatch):
    monkeypatch.setitem(WORKERS, "processes", Here)
    question, base = experiment.asked(str(path), **ONE)
    assert pipeline.search(question, home=home, base=base, workers=1)
    made = pipeline.export(home, path.stem, FORMATS)
    assert made.ok, made.failures
    assert [artifact.format for artifact in made.artifacts] == list(FORMATS)

    document = pipeline.evaluate(home, path.stem)
    assert set(document["files"]) == {f"model_{name.removeprefix('tflite_')}.tflite" for name in FORMATS}
    with RunStore.open(home, path.stem) as run:
        dataset = Dataset.open(run.data)
    x, y = dataset.take("test")
    assert document["rows"] == len(y)
    assert all(np.isfinite(value) for value in document["metrics"].values())
    assert document["naive"] == (errors(dataset.spec, np.asarray(x), y) if dataset.spec.horizon else None)
    for name, value in document["metrics"].items():
        assert document["files"]["model_float32.tflite"][name] == pytest.approx(value, rel=1e-3, abs=1e-5)

    (first,) = [trial for trial in pipeline.show(home, path.stem)["trials"] if trial["status"] == "completed"]
    assert first["parameters"] > 0 and manifest(made.folder)[0]["trial"] == first["id"]

    samples = sorted(p for p in (made.folder / "golden").iterdir() if p.name != golden.EXPECTED)
    answers = predict.run(made.folder / "model_int8.tflite", samples[:1], top=len(dataset.spec.labels))
    promised = json.loads((made.folder / "golden" / golden.EXPECTED).read_text())["outputs"]["tflite_int8"]
    for answer, row in zip(answers, promised, strict=False):
        axis = dataset.spec.labels[-1:] if dataset.spec.task == "binary" else dataset.spec.labels
        np.testing.assert_allclose([answer.values[label] for label in axis], row, rtol=1e-5, atol=1e-6)
    assert all(check.ok for check in pipeline.verify_folder(made.folder)[1])


def test_every_kind_of_data_has_an_experiment():
    """Read without training: what a person tries first must be there for each."""
    from kexp import data
    from kexp.records import AXES

    questions = [experiment.load(path) for path in (ROOT / "experiments").glob("*.toml")]
    found = {data.load(question, cache=Path("unused")).spec.kind for question in questions}
    assert found == set(AXES)
