"""Every exported file is measured in a process of its own; what cannot be is told, and stops nothing."""

from __future__ import annotations

import json
import shutil

import pytest
import small_models
from click.testing import CliRunner

from kexp import benchmark
from kexp.cli import commands
from kexp.errors import ExportError
from kexp.records import Measurement, from_json, to_json
from kexp.runtime import profile


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An export of two files, of which one is damaged."""
    folder = tmp_path_factory.mktemp("home") / "exported" / "digits"
    source = small_models.digits().release.folder
    shutil.copytree(source, folder)
    document = json.loads((folder / "export.json").read_text())
    kept = ("tflite_int8", "tflite_float16")
    document["artifacts"] = [item for item in document["artifacts"] if item["format"] in kept]
    (folder / "export.json").write_text(json.dumps(document))
    content = (folder / "model_float16.tflite").read_bytes()
    (folder / "model_float16.tflite").write_bytes(content[: len(content) // 3])
    return folder


def test_each_file_is_measured_and_a_damaged_one_is_told(folder):
    done = CliRunner().invoke(commands, ["bench", str(folder), "--threads", "2", "--json"], standalone_mode=False)
    assert done.return_value == 1, done.output
    document = json.loads(done.stdout.splitlines()[-1])
    (found,) = (from_json(Measurement, item) for item in document["measurements"])
    assert found.artifact == "model_int8.tflite" and found.threads == 2 and found.runtime.startswith("LiteRT ")
    assert "XNNPACK" in found.runtime and found.bytes == (folder / "model_int8.tflite").stat().st_size
    assert 0 < found.p50_ms <= found.p95_ms and found.start_ms > 0 and found.runs >= 10
    assert found.peak_bytes is not None and 0 < found.peak_bytes < 100_000_000
    assert list(document["failures"]) == ["model_float16.tflite"]
    assert "cannot be run" in document["failures"]["model_float16.tflite"]


def test_progress_counts_the_files(folder, monkeypatch):
    monkeypatch.setattr(benchmark, "_in_child", lambda folder, file, threads: f"{file} {threads}")
    heard = []
    found, missing = benchmark.benchmark(folder, (1, 2), lambda *told: heard.append(told))
    assert found == [] and set(missing) == {"model_float16.tflite", "model_int8.tflite"}
    assert [done for done, _, _ in heard] == [0, 1, 2, 3, 4] and {total for _, total, _ in heard} == {4}


def test_a_process_that_dies_is_told(folder, monkeypatch):
    monkeypatch.setattr(benchmark.sys, "executable", shutil.which("false"))
    assert benchmark._in_child(folder, "model_int8.tflite", 1) == "its process ended with 1"


def test_a_folder_without_an_export_is_refused(tmp_path):
    with pytest.raises(ExportError, match=r"no export\.json"):
        benchmark.benchmark(tmp_path)


def test_a_measurement_survives_json():
    one = Measurement(
        artifact="m.tflite", device="d", runtime="r", threads=1, p50_ms=1.0, p95_ms=2.0, runs=3, operators={"CONV": 0.5}
    )
    assert from_json(Measurement, json.loads(json.dumps(to_json(one)))) == one


# -- operators ------------------------------------------------------------------------------------


def test_the_shares_of_operators_add_up(tmp_path):
    """A network that takes more than the profiler's microseconds."""
    import keras

    from kexp.export import saved_model

    inputs = keras.Input((64, 64, 8), name="input")
    output = keras.layers.GlobalMaxPooling2D()(keras.layers.Conv2D(32, 5, activation="relu")(inputs))
    saved_model.write(keras.Model(inputs, output), tmp_path / "saved", batch=1)
    import tensorflow as tf

    (tmp_path / "m.tflite").write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "saved")).convert())
    found = profile.shares(tmp_path / "m.tflite")
    assert sum(found.values()) == pytest.approx(1, abs=0.02)
    first = next(iter(found))
    assert first.startswith("Convolution") and found[first] > 0.5


def test_of_a_damaged_file_there_are_no_shares(tmp_path):
    (tmp_path / "m.tflite").write_bytes(b"\x1c\0\0\0TFL3" + b"\xff" * 60)
    assert profile.shares(tmp_path / "m.tflite") == {}


def test_runs_that_are_too_short_have_no_shares():
    row = "  Delegate/Add (ND)   2   {}   100.000%  100.000%  0.000  100"
    text = f"== Summary by node type ==\n{row}\n== Delegate Statistics"
    assert profile.read(text.format("0.500")) == {"Add (ND)": 1.0}
    assert profile.read(text.format("0.001")) == {}
    assert profile.read("nothing of the kind") == {}
