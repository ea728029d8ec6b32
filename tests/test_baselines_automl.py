"""H2O AutoML as a baseline: what is said where it or Java is missing, its server, its files, and one real search."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest
from sklearn import datasets

from kexp import baselines, pipeline
from kexp.baselines import automl, estimators
from kexp.baselines import measure as measuring
from kexp.data import load
from kexp.errors import ExperimentError, RunError
from kexp.experiment import from_data
from kexp.metrics import metrics
from kexp.records import Column, DatasetSpec
from kexp.store import RunStore

COLUMNS = (Column(name="age", kind="number"), Column(name="town", kind="category", choices=("Oslo", "Rome")))


def table(**more):
    known = {"task": "multiclass", "outputs": 4, "labels": ("a", "b", "c", "d"), "columns": COLUMNS} | more
    return DatasetSpec(name="t", kind="table", shape=(2,), **known)


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A function: kexp finds H2O's module, and as Java a shell script that it is given."""

    def put(script):
        module = types.ModuleType("h2o")
        module.__file__, module.__version__ = str(tmp_path / "h2o" / "__init__.py"), "1.0"
        monkeypatch.setitem(sys.modules, "h2o", module)
        monkeypatch.delenv("JAVA_HOME", raising=False)
        java = tmp_path / "java"
        java.write_text(f"#!/bin/sh\n{script}\n")
        java.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    return put


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    question = from_data(
        "sklearn:breast_cancer", trials=1, epochs=3, finalists=1, seeds=1, folds=0,
        space={"hidden_layers": 1, "units_0": 16},
    )  # fmt: skip
    assert pipeline.search(question, home=home, workers=1)
    return home, question.name


# -- where something is missing ---------------------------------------------------------------------------------------


def test_it_is_fitted_only_where_it_is_asked_for():
    assert "h2o" not in baselines.which(table()) and "h2o" in baselines.which(table(), extras=True)


def test_without_h2o_the_message_says_how_to_install_it(searched, monkeypatch):
    monkeypatch.setitem(sys.modules, "h2o", None)
    with pytest.raises(ExperimentError, match=r"needs H2O.*pip install 'kexp\[h2o\]'.*Java too"):
        pipeline.fit_baselines(*searched, ["h2o"])
    found = pipeline.fit_baselines(*searched, ["constant"])["baselines"]
    assert [one["factory"] for one in found] == ["constant"]  # the others need none of it


def test_without_java_the_message_says_what_to_install(searched, program, monkeypatch):
    program("exit 1")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ExperimentError, match=r"needs Java.*a JRE.*apt-get install default-jre-headless"):
        pipeline.fit_baselines(*searched, ["h2o"])
    fitted = automl.AutoML(table(), binaries=[b"one"])
    with pytest.raises(ExperimentError, match="needs Java"):
        pickle.loads(pickle.dumps(fitted)).predict_proba(np.zeros((1, 2)))


def test_java_is_found_where_java_home_says(program, tmp_path, monkeypatch):
    program("exit 1")
    (tmp_path / "home" / "bin").mkdir(parents=True)
    (tmp_path / "java").rename(tmp_path / "home" / "bin" / "java")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    assert automl.java() == str(tmp_path / "home" / "bin" / "java")


# -- the server -------------------------------------------------------------------------------------------------------


def test_a_server_that_does_not_start_leaves_its_last_words(program):
    program("echo Only Java 8 to 17 is supported, system version is 42\nexit 1")
    with pytest.raises(RunError, match=r"did not start; its last words: Only Java 8 to 17 .* 42"), automl.server():
        raise AssertionError


def test_a_server_that_never_answers_is_ended(program, tmp_path, monkeypatch):
    program(f"echo $$ > {tmp_path}/pid\nexec sleep 60")
    monkeypatch.setattr(automl, "START_S", 1.5)
    with pytest.raises(RunError, match="last words: none"), automl.server():
        raise AssertionError
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_the_server_ends_with_the_process_that_started_it(tmp_path):
    owner = (
        "import subprocess, sys, time\nfrom kexp.baselines import automl\n"
        "subprocess.Popen([sys.executable, '-c', automl._GUARD, 'sh', '-c', sys.argv[1]], stdin=subprocess.PIPE)\n"
        "time.sleep(60)\n"
    )
    pid = tmp_path / "pid"
    process = subprocess.Popen([sys.executable, "-c", owner, f"echo $$ > {pid}.new; mv {pid}.new {pid}; exec sleep 60"])
    try:
        assert _soon(pid.exists, 60)
    finally:
        process.kill()
        process.wait()
    assert _soon(lambda: not _runs(int(pid.read_text())), 10)


def _soon(true, seconds):
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.05)
    return true()


def _runs(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


# -- what goes there and comes back -----------------------------------------------------------------------------------


def test_rows_are_written_as_h2o_reads_them(tmp_path):
    told = {}

    def import_file(path, **options):
        told.update(options, text=Path(path).read_text())

    x = np.array([[0.1, 1], [np.nan, 0], [8, -1]], np.float32)
    one = automl.AutoML(table(), balanced=True)
    one._frame(types.SimpleNamespace(import_file=import_file), tmp_path, x, np.array([0, 3, 3]))
    assert told["text"].splitlines() == ["x0,x1,y,weight", "0.1,k1,c0,1.5", "NA,k0,c3,0.75", "8.0,NA,c3,0.75"]
    assert told["col_types"] == {"x0": "numeric", "x1": "enum", "y": "enum", "weight": "numeric"}
    assert told["na_strings"] == ["NA"]


def test_answers_are_in_the_order_of_the_classes(monkeypatch):
    spec = table()
    one = automl.AutoML(spec, classes_=[0, 1, 3])  # no training row is a c
    answers = {"predict": np.array(["c1"]), "c3": np.array([0.3]), "c0": np.array([0.1]), "c1": np.array([0.6])}
    monkeypatch.setattr(automl.AutoML, "_answers", lambda self, inputs: [answers])
    np.testing.assert_allclose(estimators.outputs(spec, one, np.zeros((1, 2)), np.zeros((1, 2))), [[0.1, 0.6, 0, 0.3]])
    several = table(task="multilabel", outputs=2, labels=("a", "b"))
    found = [{"c0": np.array([0.2]), "c1": np.array([0.8])}, {"c0": np.array([1.0])}]  # no training row has label b
    monkeypatch.setattr(automl.AutoML, "_answers", lambda self, inputs: found)
    one = automl.AutoML(several)
    np.testing.assert_allclose(estimators.outputs(several, one, np.zeros((1, 2)), np.zeros((1, 2))), [[0.8, 0]])


def test_no_search_where_there_is_no_time_for_one():
    one = automl.AutoML(table(task="regression", outputs=24, labels=tuple(f"y{at}" for at in range(24))))
    with pytest.raises(ValueError, match="2 s for each of 24 outputs: it takes 4 s at least, which --time gives it"):
        one.fit(np.zeros((9, 2)), np.zeros((9, 24)), seconds=48.0, seed=0, metric="rmse")


# -- the real one -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.extra("h2o", "java")
def test_of_a_run_it_is_fitted_kept_and_measured_on_test_rows(searched):
    home, name = searched
    pipeline.fit_baselines(home, name, ["constant", "h2o"], seconds=25.0)
    with RunStore.open(home, name) as run:
        found = {one.factory: one for one in run.baselines(folds=False)}
        trial = found["h2o"]
        assert trial.status == "completed" and trial.values["models"] >= 1, trial.message
        assert trial.score > found["constant"].score + 0.05  # by how much, that the machine's other work decides
        kept = pickle.loads(run.load_baseline("h2o"))
    assert trial.bytes == len(kept.estimator.binaries[0]) > 1000 and trial.latency_ms is None
    document = pipeline.evaluate(home, name)
    assert document["baselines"]["h2o"]["accuracy"] > document["baselines"]["constant"]["accuracy"] + 0.05
    assert document["verdict"]["rival"] == "h2o" and "no ms" not in document["verdict"]["sentence"]
    kept.estimator.version = "3.0"
    with pytest.raises(RunError, match=r"fitted by H2O 3\.0.* --only h2o --again"):
        kept.predict(np.zeros((1, 30), np.float32))


@pytest.mark.slow
@pytest.mark.extra("h2o", "java")
@pytest.mark.parametrize("name", ["three_classes", "two_targets"])
def test_what_was_kept_answers_as_it_did(name, tmp_path, monkeypatch):
    monkeypatch.setattr(automl, "MOST", 1)  # which it stops at, long before its time is over
    monkeypatch.setattr(automl, "LEFT_OUT", ["DeepLearning", "XGBoost", "StackedEnsemble"])
    if name == "three_classes":
        x, y = datasets.make_classification(300, 5, n_informative=4, n_redundant=0, n_classes=3, random_state=0)
        options = {"target": ("y0",), "task": "multiclass", "class_weight": "balanced"}
    else:
        x, y = datasets.make_regression(300, 5, n_informative=4, n_targets=2, random_state=0)
        options = {"target": ("y0", "y1")}
    rows = np.hstack([x, y.reshape(len(x), -1)])
    header = ",".join([*(f"x_{i}" for i in range(5)), *(f"y{i}" for i in range(rows.shape[1] - 5))])
    lines = [",".join(f"{value:g}" for value in row) + f",{'red' if row[0] > 0 else 'blue'}" for row in rows.tolist()]
    (tmp_path / "some.csv").write_text("\n".join([f"{header},colour", *lines]) + "\n")
    question = from_data(str(tmp_path / "some.csv"), **options)
    data = load(question, base=tmp_path, cache=tmp_path / "cache")
    with automl.server():
        trial, model = baselines.train("h2o", data, question, seconds=60.0)
        held, truth = data.take("validation")
        outputs = pickle.loads(pickle.dumps(model)).predict(held)
        first = model.predict(held[:1])
    assert outputs.shape == (len(held), data.spec.outputs) and outputs.dtype == np.float32
    assert metrics(data.spec.task, truth, outputs) == pytest.approx(trial.metrics, rel=1e-4)
    np.testing.assert_allclose(first, outputs[:1], rtol=1e-4)
    assert trial.metrics["r2" if name == "two_targets" else "accuracy"] > (0.1 if name == "two_targets" else 0.4)
    assert len(model.estimator.binaries) == (2 if name == "two_targets" else 1)


def test_nothing_is_left_running():
    assert automl._running is None and measuring.BASELINES["h2o"].extra
