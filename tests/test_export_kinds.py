"""Series, sounds, clips and forecasts from training to every format: the gate passes, and kexp run answers."""

from __future__ import annotations

import functools
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import small_models

from kexp import predict, verify
from kexp.data.samples import SAMPLES
from kexp.export import golden
from kexp.metrics import metrics
from kexp.release import release
from kexp.runtime import open_runtime

FEW = {"stages": 1, "filters": 8, "dense_units": 32}
NETS = {
    "series": ("motions", "conv1d", FEW),
    "sound": ("tones", "conv_sound", FEW),
    "clip": ("clips", "conv_clip", FEW),
    "forecast": ("sales", "dense", {"hidden_layers": 1, "units_0": 32}),
}
AVERAGES = {"pooling": "average", "reduction": "average"}
MORE = {
    "residual": ("motions", "conv1d", {**FEW, "block": "residual", "dilation": 2, "separable": True, **AVERAGES}),
    "late": ("clips", "conv_clip", {**FEW, "fusion": "late", "time_layers": 2, "time_filters": 32}),
    "convolved forecast": ("sales", "conv1d", FEW),
}
_keep = tempfile.TemporaryDirectory(prefix="kexp-tests-")


def net_of(kind):
    name, factory, values = {**NETS, **MORE}[kind]
    return small_models.generated_net(name, factory, **values)


@functools.cache
def exported(kind, *formats):
    net, _ = net_of(kind)
    return release(net.model, net.dataset, formats, Path(_keep.name) / f"{kind}-{'-'.join(formats)}")


@pytest.mark.parametrize("kind", [*NETS, "convolved forecast"])
def test_the_metric_of_training_is_that_of_the_saved_model(kind):
    """Also of a forecast, which learns how far the naive one is off and is measured in the target's units."""
    net, trial = net_of(kind)
    x, y = net.dataset.take("validation")
    found = metrics(net.dataset.spec.task, y, open_runtime(net.model).predict(np.asarray(x)))
    assert trial.metrics == pytest.approx(found, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("kind", NETS)
def test_the_tflite_files_pass_the_gate(kind):
    """float32 equals Keras, int8 is as good: on validation rows, on golden samples, and again from the files alone."""
    net, _ = net_of(kind)
    made = exported(kind, "tflite_float32", "tflite_int8")
    assert made.ok, made.failures
    checks = {check.name: check for check in made.checks}
    regression = net.dataset.spec.task == "regression"
    assert checks["tflite_float32 gap"].value < (1e-4 if regression else 1e-5)
    assert 0 < checks["tflite_int8 gap"].value < (1.0 if regression else 0.35)
    assert all(check.ok for check in verify.folder(made.folder)[1])
    x, expected = small_models.references(net, 40)
    outputs = open_runtime(made.folder / "model_float32.tflite").predict(x)
    scale = np.array(net.dataset.spec.target_std) if regression else 1.0
    assert np.abs((outputs - expected) / scale).max() < 1e-4


@pytest.mark.parametrize("kind", NETS)
def test_kexp_run_answers_golden_samples_as_was_promised(kind):
    made = exported(kind, "tflite_float32", "tflite_int8")
    spec = net_of(kind)[0].dataset.spec
    files = sorted(path for path in (made.folder / "golden").iterdir() if path.name != golden.EXPECTED)
    answers = predict.run(made.folder / "model_int8.tflite", files, top=spec.outputs)
    _, promised = golden.load_expected(made.folder / "golden")
    for answer, row in zip(answers, promised["tflite_int8"], strict=True):
        np.testing.assert_allclose([answer.values[label] for label in spec.labels], row, rtol=1e-5, atol=1e-6)
        assert not answer.warnings
        assert answer.label == ("" if spec.horizon else spec.labels[int(row.argmax())])


@pytest.mark.parametrize("kind", NETS)
def test_another_network_is_refused(kind, tmp_path):
    net, _ = net_of(kind)
    folder = tmp_path / "exported"
    shutil.copytree(exported(kind, "tflite_float32", "tflite_int8").folder, folder)
    x, y = net.dataset.x[:60], net.dataset.y[:60]
    wrong = small_models.impostor(net, tmp_path / "wrong.keras")
    reference = open_runtime(net.model).predict(np.asarray(x))
    outputs = open_runtime(wrong).predict(np.asarray(x))
    file = folder / "model_float32.tflite"
    found = verify.gate("tflite_float32", reference, outputs, y, net.dataset.spec, file)
    assert "tflite_float32 gap" in {check.name for check in found if not check.ok}


@pytest.mark.parametrize("kind", NETS)
def test_a_sample_that_was_written_is_read_back(kind, tmp_path):
    dataset = net_of(kind)[0].dataset
    form = SAMPLES[dataset.spec.kind]
    path = form.write(np.asarray(dataset.x[3]), dataset.spec, tmp_path / "03")
    (sample,) = form.read(path, dataset.spec)
    np.testing.assert_array_equal(sample.x, dataset.x[3])
    assert sample.x.dtype == dataset.x.dtype and not sample.warnings


@pytest.mark.slow
@pytest.mark.parametrize("kind", MORE)
def test_other_shapes_of_network_pass_the_gate(kind):
    made = exported(kind, "tflite_float32", "tflite_int8", "onnx")
    assert made.ok, made.failures


@pytest.mark.slow
@pytest.mark.parametrize("kind", NETS)
def test_every_tflite_variant_and_onnx_pass_the_gate(kind):
    made = exported(kind, "tflite", "onnx") if kind != "sound" else exported(kind, "tflite")
    assert made.ok, made.failures
    names = {artifact.format for artifact in made.artifacts}
    assert {"tflite_float16", "tflite_dynamic", "tflite_int16x8"} <= names
    assert ("tflite_uint8" in names) == (kind == "clip") and ("onnx" in names) == (kind != "sound")


@pytest.mark.slow
@pytest.mark.needs("g++")
@pytest.mark.parametrize("kind", NETS)
def test_the_c_package_answers_as_the_file_that_it_holds(kind):
    made = exported(kind, "c")
    assert made.ok, made.failures
    x = np.asarray(net_of(kind)[0].dataset.x[:20]).astype(np.float32)
    expected = open_runtime(made.folder / "model_int8.tflite").predict(x)
    np.testing.assert_array_equal(open_runtime(made.folder / "c").predict(x), expected)


@pytest.mark.slow
@pytest.mark.needs("node", "npm")
@pytest.mark.parametrize("kind", [*NETS, "late"])
def test_tensorflow_js_answers_alike(kind):
    made = exported(kind, "tfjs")
    assert made.ok, made.failures


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*NETS, "late"])
def test_pytorch_answers_alike(kind):
    pytest.importorskip("torch")
    made = exported(kind, "torch")
    assert made.ok, made.failures
