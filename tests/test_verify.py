"""The gate refuses what is not the model, and passes what is; the same from an exported folder alone."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys

import numpy as np
import pytest
import small_models

from kexp import verify
from kexp.errors import ExportError
from kexp.export import metadata
from kexp.formats import FORMATS, formats
from kexp.records import Check, DatasetSpec
from kexp.runtime import open_runtime
from kexp.runtime.litert import CUSTOM, operators

CLASSES = DatasetSpec(name="c", kind="image", task="multiclass", shape=(2, 2, 1), outputs=3, labels=("a", "b", "c"))
NUMBER = DatasetSpec(
    name="n", kind="image", task="regression", shape=(2, 2, 1), outputs=1, labels=("y",), target_mean=(5.0,),
    target_std=(10.0,),
)  # fmt: skip


@pytest.fixture(scope="module")
def exported():
    return small_models.digits()


@pytest.fixture
def folder(exported, tmp_path):
    """A copy of an exported folder, without what needs TensorFlow."""
    shutil.copytree(exported.release.folder, tmp_path / "digits")
    keep(tmp_path / "digits", "tflite_float32", "tflite_int8")
    return tmp_path / "digits"


def keep(folder, *formats):
    document = json.loads((folder / "export.json").read_text())
    document["artifacts"] = [item for item in document["artifacts"] if item["format"] in formats]
    (folder / "export.json").write_text(json.dumps(document))
    for path in [folder / row.file for format, row in FORMATS.items() if format not in formats]:
        if path.exists():
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def resign(folder):
    """Make the checksums right, so that another check must find what is wrong."""
    document = json.loads((folder / "export.json").read_text())
    for item in document["artifacts"]:
        item["sha256"] = verify.digest(folder / item["path"])
    (folder / "export.json").write_text(json.dumps(document))


def failed(checks):
    return {check.name for check in checks if not check.ok}


def sample(n=200, seed=0):
    """Probabilities of a good classifier (n, 3), and the classes (n,)."""
    random = np.random.default_rng(seed)
    y = random.integers(0, 3, n)
    logits = random.normal(0, 1, (n, 3)) + 4 * np.eye(3)[y]
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True), y


def one_wrong_in(outputs, y, count):
    """`outputs` with `count` right answers made wrong, no probability changed by more than the gap allows."""
    worse = outputs.copy()
    margin = np.sort(outputs, 1)[:, -1] - np.sort(outputs, 1)[:, -2]
    right = np.flatnonzero(outputs.argmax(1) == y)
    for row in right[np.argsort(margin[right])[:count]]:
        first, second = np.argsort(-outputs[row])[:2]
        worse[row, [first, second]] = worse[row, [second, first]]
    return worse


@pytest.fixture(scope="module")
def path(exported):
    return exported.release.folder / "model_float32.tflite"


# -- outputs in, Checks out ----------------------------------------------------------------------


@pytest.mark.parametrize("format", FORMATS)
def test_equal_outputs_pass(format, path):
    outputs, y = sample()
    assert not failed(verify.gate(format, outputs, outputs.copy(), y, CLASSES, path))
    values = np.random.default_rng(0).normal(5, 10, (50, 1))
    assert not failed(verify.gate(format, values, values.copy(), values + 1, NUMBER, path))


@pytest.mark.parametrize(
    ("format", "limit"),
    [("keras", 2e-5), ("saved_model", 2e-5), ("tflite_float32", 2e-5), ("tflite_float16", 0.02)]
    + [(f"tflite_{name}", 0.35) for name in ("dynamic", "int8", "uint8", "int16x8")],
)
def test_the_gap_of_a_classifier_has_its_limit(format, limit, path):
    outputs, y = sample()
    outputs = outputs * 0.5  # room to move one probability without changing an answer
    for share, expected in ((0.9, set()), (1.1, {f"{format} gap"})):
        moved = outputs.copy()
        moved[3, (int(outputs[3].argmin()) if limit < 0.1 else int(outputs[3].argmax()))] += limit * share
        assert failed(verify.gate(format, outputs, moved, y, CLASSES, path)) - {f"{format} accuracy drop"} == expected


@pytest.mark.parametrize(
    ("format", "limit"), [("tflite_float32", 1e-4), ("tflite_float16", 0.02), ("tflite_int8", 1.0)]
)
def test_the_gap_of_a_regression_is_in_deviations_of_its_target(format, limit, path):
    values = np.random.default_rng(0).normal(5, 10, (5000, 1))
    for share, expected in ((0.9, set()), (1.1, {f"{format} gap"})):
        moved = values.copy()
        moved[7] += 10.0 * limit * share
        assert failed(verify.gate(format, values, moved, values + 20, NUMBER, path)) == expected


@pytest.mark.parametrize(
    ("format", "passes", "fails", "rows"),
    [
        ("tflite_float32", 0, 1, 1000),
        ("tflite_float16", 2, 3, 1000),
        ("tflite_float16", 1, 2, 300),
        ("tflite_int8", 10, 11, 1000),
        ("tflite_int8", 1, 2, 50),
    ],
)
def test_the_drop_of_accuracy_has_its_limit(format, passes, fails, rows, path):
    outputs, y = sample(rows)
    name = f"{format} accuracy drop"
    assert name not in failed(verify.gate(format, outputs, one_wrong_in(outputs, y, passes), y, CLASSES, path))
    assert name in failed(verify.gate(format, outputs, one_wrong_in(outputs, y, fails), y, CLASSES, path))


def test_a_better_file_passes(path):
    outputs, y = sample(1000)
    worse = one_wrong_in(outputs, y, 30)
    assert not failed(verify.gate("tflite_int8", worse, outputs, y, CLASSES, path)) - {"tflite_int8 gap"}


@pytest.mark.parametrize(
    ("format", "limit"), [("tflite_float32", 1e-4), ("tflite_float16", 0.002), ("tflite_int8", 0.02)]
)
def test_the_rise_of_the_error_has_its_limit(format, limit, path):
    values = np.random.default_rng(0).normal(5, 10, (400, 1))
    error = np.random.default_rng(1).normal(0, 2, (400, 1))
    for share, ok in ((0.9, True), (1.1, False)):
        outputs = values + error * (1 + limit * share)
        checks = verify.gate(format, values + error, outputs, values, NUMBER, path)
        assert (f"{format} rmse drop" not in failed(checks)) is ok


def test_a_tolerance_replaces_the_largest_drop(path):
    outputs, y = sample(1000)
    worse = one_wrong_in(outputs, y, 30)
    assert "tflite_int8 accuracy drop" in failed(verify.gate("tflite_int8", outputs, worse, y, CLASSES, path))
    assert "tflite_int8 accuracy drop" not in failed(
        verify.gate("tflite_int8", outputs, worse, y, CLASSES, path, tolerance=0.03)
    )


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("spec", [CLASSES, NUMBER], ids=["classes", "number"])
def test_what_is_no_number_fails(bad, spec, path):
    outputs, y = sample()
    if spec is NUMBER:
        outputs, y = outputs[:, :1], outputs[:, :1]
    broken = outputs.copy()
    broken[5, 0] = bad
    metric = "rmse" if spec is NUMBER else "accuracy"
    wrong = failed(verify.gate("tflite_int8", outputs, broken, y, spec, path))
    assert wrong == {"tflite_int8 gap", f"tflite_int8 {metric} drop"}


def test_outputs_of_another_number_fail(path):
    outputs, y = sample()
    wrong = failed(verify.gate("tflite_int8", outputs, outputs[:, :2], y, CLASSES, path))
    assert wrong == {"tflite_int8 gap", "tflite_int8 accuracy drop"}


def test_a_perfect_regression_may_stay_perfect_and_no_worse(path):
    values = np.arange(20.0).reshape(-1, 1)
    assert not failed(verify.gate("tflite_int8", values, values, values, NUMBER, path))
    assert "tflite_int8 rmse drop" in failed(verify.gate("tflite_int8", values, values + 0.1, values, NUMBER, path))


# -- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change", [lambda w: w + np.random.default_rng(0).normal(0, w.std() / 5, w.shape), lambda w: w * np.nan],
    ids=["other weights", "not a number"],
)  # fmt: skip
def test_other_weights_are_refused(exported, tmp_path, change):
    dataset, model, made = exported
    x, y = dataset.take("validation")
    reference = open_runtime(model).predict(x)
    good, bad = made.folder / "model_float32.tflite", tmp_path / "bad.tflite"
    bad.write_bytes(small_models.with_weights(good, change))
    for file, ok in ((good, True), (bad, False)):
        checks = verify.gate("tflite_float32", reference, open_runtime(file).predict(x), y, dataset.spec, file)
        assert ("tflite_float32 gap" not in failed(checks)) is ok


@pytest.fixture(scope="module")
def flex(tmp_path_factory):
    """A file with an operator that is not built in."""
    import tensorflow as tf

    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((1, 4, 4, 4, 1), tf.float32)])
        def __call__(self, x):
            return tf.nn.max_pool3d(x, 2, 2, "VALID")

    module = Module()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.__call__.get_concrete_function()], module)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    path = tmp_path_factory.mktemp("flex") / "flex.tflite"
    path.write_bytes(converter.convert())
    return path


def test_operators_that_are_not_built_in_are_refused(flex, path):
    assert CUSTOM + "FlexMaxPool3D" in operators(flex)
    wrong = [check for check in verify.structure("tflite_float32", flex) if not check.ok]
    assert [check.name for check in wrong] == ["tflite_float32 operators"] and wrong[0].value == "FlexMaxPool3D"
    assert not failed(verify.structure("tflite_float32", path))
    with pytest.raises(ExportError, match="cannot be run by LiteRT"):
        open_runtime(flex)


# -- from the folder alone -----------------------------------------------------------------------


def test_an_exported_folder_passes_as_it_is(exported):
    artifacts, checks = verify.folder(exported.release.folder)
    assert not failed(checks)
    assert [artifact.format for artifact in artifacts] == formats("image")
    names = {check.name for check in checks}
    for artifact in artifacts:
        for what in ("sha256", "bytes", "golden gap", "golden repeat", "accuracy drop"):
            assert f"{artifact.format} {what}" in names


@pytest.mark.parametrize("exported", [small_models.people, small_models.diabetes], ids=["people", "diabetes"])
def test_an_exported_table_passes_as_it_is(exported):
    assert not failed(verify.folder(exported().release.folder)[1])


def test_a_folder_of_tflite_files_needs_no_tensorflow(folder):
    code = (
        "import sys; from pathlib import Path; from kexp import verify\n"
        "checks = verify.folder(Path(sys.argv[1]))[1]\n"
        "print(all(c.ok for c in checks), *{'tensorflow', 'keras', 'pandas', 'sklearn'}.intersection(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["True"], done.stdout + done.stderr


def test_a_changed_file_is_found(folder):
    file = folder / "model_int8.tflite"
    file.write_bytes(file.read_bytes()[:-1] + b"\1")
    assert "tflite_int8 sha256" in failed(verify.folder(folder)[1])


def test_a_changed_file_is_found_by_its_outputs(folder):
    file = folder / "model_float32.tflite"
    spec = metadata.read_spec(file)
    metadata.write(file, small_models.with_weights(file, lambda w: w * 1.2), spec)
    resign(folder)
    wrong = failed(verify.folder(folder)[1])
    assert wrong == {"tflite_float32 golden gap", "tflite_float32 golden repeat"}


def test_a_missing_and_a_truncated_file_are_found(folder):
    (folder / "model_int8.tflite").unlink()
    file = folder / "model_float32.tflite"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    resigned = json.loads((folder / "export.json").read_text())
    resigned["artifacts"][0]["sha256"] = verify.digest(file)
    (folder / "export.json").write_text(json.dumps(resigned))
    wrong = failed(verify.folder(folder)[1])
    assert wrong == {"tflite_int8 file", "tflite_float32 loads"}


def test_another_description_is_found(folder, exported):
    import dataclasses

    file = folder / "model_int8.tflite"
    spec = dataclasses.replace(exported.dataset.spec, labels=tuple(reversed(exported.dataset.spec.labels)))
    metadata.write(file, file.read_bytes(), spec)
    resign(folder)
    assert failed(verify.folder(folder)[1]) == {"tflite_int8 description"}


def test_other_labels_are_found(folder):
    assert not failed(verify.folder(folder)[1])
    labels = (folder / "labels.txt").read_text().split()
    (folder / "labels.txt").write_text("\n".join([labels[1], labels[0], *labels[2:]]) + "\n")
    assert failed(verify.folder(folder)[1]) == {"labels"}
    (folder / "labels.txt").unlink()
    assert failed(verify.folder(folder)[1]) == {"labels"}


def test_swapped_golden_samples_are_found(folder):
    one, other = folder / "golden" / "00.png", folder / "golden" / "01.png"
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    assert "tflite_float32 golden gap" in failed(verify.folder(folder)[1])


def test_a_drop_that_export_stored_as_failed_fails_again(folder):
    document = json.loads((folder / "export.json").read_text())
    document["checks"].append({"name": "tflite_int8 accuracy drop", "value": 0.5, "limit": 0.01, "ok": False})
    (folder / "export.json").write_text(json.dumps(document))
    assert failed(verify.folder(folder)[1]) == {"tflite_int8 accuracy drop"}


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("export.json", None, "holds no export.json"),
        ("export.json", "{", "damaged"),
        ("export.json", "[]", "damaged"),
        ("export.json", "{}", "damaged"),
        ("golden/expected.json", "{}", "cannot be read"),
        ("golden/expected.json", None, "cannot be read"),
        ("golden/03.png", None, "11 samples"),
        ("golden/03.png", "no picture", "golden samples"),
    ],
)
def test_a_folder_that_is_not_whole_is_refused(folder, file, content, message):
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(content)
    with pytest.raises(ExportError, match=message):
        verify.folder(folder)


def test_a_file_that_went_through_no_gate_is_named(folder):
    (folder / "stranger.tflite").write_bytes(b"?")
    assert "stranger.tflite listed" in failed(verify.folder(folder)[1])


def test_golden_vectors_that_were_changed_are_named(folder):
    expected = folder / "golden" / "expected.json"
    expected.write_text(expected.read_text().replace("0.9", "0.8"))
    assert "golden sha256" in failed(verify.folder(folder)[1])


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ExportError, match="no folder that is there"):
        verify.folder(tmp_path / "nosuch")


def test_a_folder_of_nothing_is_refused(tmp_path):
    with pytest.raises(ExportError, match="no folder that is there"):
        verify.folder(tmp_path / "gone")


def test_the_limit_of_bytes_is_none():
    assert (
        Check(name="tflite_int8 bytes", value=1, limit=math.inf, ok=True)
        == verify.structure("tflite_int8", _one_byte())[0]
    )


def _one_byte():
    path = small_models.folder("bytes") / "labels.txt"
    path.write_text("x")
    return path
