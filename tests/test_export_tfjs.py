"""TensorFlow.js folders: alike in node, self-describing; and refused when they are not the network, or recurrent."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys

import numpy as np
import pytest
import small_models

from kexp import predict, verify
from kexp.errors import DataError, ExportError
from kexp.export import metadata, tfjs
from kexp.export.source import Source
from kexp.release import release
from kexp.runtime import open_runtime
from kexp.runtime.tfjs import LOOPS, operators

pytestmark = pytest.mark.needs("node", "npm")


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Digits, released as a TensorFlow.js folder."""
    net = small_models.digits_net()
    return release(net.model, net.dataset, ["tfjs"], tmp_path_factory.mktemp("tfjs") / "digits")


@pytest.fixture
def folder(digits, tmp_path):
    shutil.copytree(digits.folder, tmp_path / "digits")
    return tmp_path / "digits"


def source(path, spec, scratch):
    scratch.mkdir(exist_ok=True)
    return Source(path=path, spec=spec, calibration=np.zeros((1, *spec.shape)), scratch=scratch)


def plain(tmp_path, *layers):
    """A Source of a plain Keras network of `layers` on (n, 6, 4)."""
    import keras

    keras.utils.set_random_seed(0)
    first = [keras.Input((6, 4, 1)), keras.layers.Reshape((6, 4))]
    keras.Sequential([*first, *layers]).save(tmp_path / "plain.keras")
    spec = dataclasses.replace(small_models.digits_net().dataset.spec, shape=(6, 4, 1))
    return source(tmp_path / "plain.keras", spec, tmp_path / "scratch")


def failed(checks):
    return {check.name for check in checks if not check.ok}


def test_digits_pass_the_gate(digits):
    assert digits.ok, digits.failures
    checks = {check.name: check for check in digits.checks}
    assert checks["tfjs gap"].value < 1e-5  # 3e-7 measured
    assert checks["tfjs operators"].value == "no loops" and checks["tfjs description"].ok
    assert not failed(verify.folder(digits.folder)[1])


def test_the_fast_backend_runs_it_and_latency_is_of_the_model_alone(digits):
    x, expected = small_models.references(small_models.digits_net(), 600)
    runtime = open_runtime(digits.folder / "tfjs")
    assert runtime.backend == "wasm" and runtime.shape == (8, 8, 1) and runtime.dtype == np.float32
    assert runtime.texts == metadata.texts(small_models.digits_net().dataset.spec)
    outputs = runtime.predict(x)  # two batches and a half
    assert outputs.dtype == np.float32
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    assert runtime.predict(x[:0]).shape == (0, 10)
    times = runtime.latency(x[:3], 7)
    assert len(times) == 7 and all(time > 0 for time in times)
    with pytest.raises(DataError, match=r"the model takes \(8, 8, 1\)"):
        runtime.predict(x[..., 0])


@pytest.mark.parametrize("target", ["city", "income"])
def test_tables_with_categories_and_missing_cells(target, tmp_path):
    net = small_models.table_net(target)
    x, expected = small_models.references(net)
    assert np.isnan(x).any()
    tfjs.folder(source(net.model, net.dataset.spec, tmp_path / "scratch"), tmp_path / "tfjs")
    runtime = open_runtime(tmp_path / "tfjs")
    found = verify.gate("tfjs", expected, runtime.predict(x), net.dataset.y, net.dataset.spec, tmp_path / "tfjs")
    assert not failed(found)
    assert np.isfinite(runtime.predict(np.full((1, *x.shape[1:]), np.nan))).all()


def test_the_converter_leaves_nothing_behind_in_this_process(digits):
    assert not {"tensorflowjs", "tensorflow_hub", "tensorflow_decision_forests", "jax", "tf_keras"} & {*sys.modules}
    assert sorted(path.name for path in (digits.folder / "tfjs").iterdir()) == ["group1-shard1of1.bin", "model.json"]


def test_a_recurrent_network_is_refused_before_it_is_converted(tmp_path, monkeypatch):
    import keras

    monkeypatch.setattr(tfjs, "converter", lambda: pytest.fail("it was not refused before"))
    recurrent = plain(tmp_path, keras.layers.LSTM(3, name="memory"), keras.layers.Dense(2))
    with pytest.raises(ExportError, match=r"recurrent layers memory .*While.*another format"):
        tfjs.folder(recurrent, tmp_path / "tfjs")
    assert not (tmp_path / "tfjs").exists()


def test_an_operator_that_wasm_lacks_runs_on_the_other_backend(tmp_path):
    import keras

    mel = keras.layers.MelSpectrogram(
        num_mel_bins=2, sampling_rate=100, sequence_stride=4, fft_length=8, min_freq=1, max_freq=40
    )
    made = plain(tmp_path, keras.layers.Flatten(), mel, keras.layers.Flatten())
    tfjs.folder(made, tmp_path / "tfjs")
    runtime = open_runtime(tmp_path / "tfjs")
    assert "RFFT" in operators(tmp_path / "tfjs") and runtime.backend == "cpu"
    x = np.random.default_rng(0).normal(size=(5, 6, 4, 1)).astype(np.float32)
    np.testing.assert_allclose(runtime.predict(x), np.asarray(made.model(x)), atol=1e-3)  # decibels


def test_another_network_is_refused(folder, tmp_path):
    net = small_models.digits_net()
    x, expected = small_models.references(net, 300)
    wrong = small_models.impostor(net, tmp_path / "wrong.keras")
    spec = small_models.relabelled(net.dataset.spec)  # and the labels are in another order
    shutil.rmtree(folder / "tfjs")
    tfjs.folder(source(wrong, spec, tmp_path / "scratch"), folder / "tfjs")
    outputs = open_runtime(folder / "tfjs").predict(x)
    found = verify.gate("tfjs", expected, outputs, net.dataset.y[:300], net.dataset.spec, folder / "tfjs")
    assert "tfjs gap" in failed(found)
    what = ("sha256", "description", "golden gap", "golden repeat")
    assert failed(verify.folder(folder)[1]) == {f"tfjs {each}" for each in what}


def edit(file, change):
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))


def test_wrong_labels_are_noticed(folder):
    texts = metadata.texts(small_models.relabelled(small_models.digits_net().dataset.spec))
    edit(folder / "tfjs" / "model.json", lambda document: document.update(userDefinedMetadata=texts))
    small_models.resign(folder)
    assert failed(verify.folder(folder)[1]) == {"tfjs description"}


def test_a_loop_in_the_graph_is_refused(folder):
    node = {"name": "loop", "op": "TensorListReserve", "input": []}
    edit(folder / "tfjs" / "model.json", lambda document: document["modelTopology"]["node"].append(node))
    (check,) = [check for check in verify.structure("tfjs", folder / "tfjs") if not check.ok]
    assert check.name == "tfjs operators" and check.value == "TensorListReserve" and check.value.startswith(LOOPS)


def test_a_damaged_folder_is_a_message(folder):
    place = folder / "tfjs"
    shard, model = place / "group1-shard1of1.bin", place / "model.json"
    weights, text = shard.read_bytes(), model.read_text()
    for part in (0, 0.3, 0.99):
        shard.write_bytes(weights[: int(len(weights) * part)])
        with pytest.raises(ExportError, match=r"bytes, .* are expected. Export it again"):
            open_runtime(place)
    shard.unlink()
    with pytest.raises(ExportError, match="no such file"):
        open_runtime(place)
    shard.write_bytes(weights)
    for part in (0, 0.5, 0.95):
        model.write_text(text[: int(len(text) * part)])
        with pytest.raises(ExportError, match=r"cannot be run by TensorFlow.js"):
            open_runtime(place)
        with pytest.raises(ExportError, match="damaged"):
            operators(place)
    model.write_text(text)
    edit(model, lambda document: document["modelTopology"]["node"][-1].update(op="NoSuchThing"))
    with pytest.raises(ExportError, match=r"wasm: .*; cpu: "):
        open_runtime(place)
    assert {"tfjs sha256", "tfjs loads"} <= failed(verify.folder(folder)[1])


def test_it_runs_alone(digits, tmp_path):
    shutil.copytree(digits.folder / "tfjs", tmp_path / "any")
    picture = sorted((digits.folder / "golden").glob("*.png"))[0]
    (answer,) = predict.run(tmp_path / "any", [picture], repeat=3)
    assert answer.label in "0123456789" and answer.p50_ms > 0


def test_node_ends_with_the_runtime_and_its_death_is_a_message(digits):
    x = small_models.references(small_models.digits_net(), 2)[0]
    runtime = open_runtime(digits.folder / "tfjs")
    process = runtime._process
    assert process.poll() is None
    runtime.close()
    assert process.poll() == 0  # it ended by itself
    forgotten = open_runtime(digits.folder / "tfjs")
    process = forgotten._process
    del forgotten
    assert process.poll() == 0
    killed = open_runtime(digits.folder / "tfjs")
    killed._process.kill()
    with pytest.raises(ExportError, match="node died with exit status -9"):
        killed.predict(x)


def test_where_node_is_missing_the_message_says_what_to_install(digits, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ExportError, match=r"node, which is not on the PATH. Install Node.js 18"):
        open_runtime(digits.folder / "tfjs")


def test_where_the_converter_cannot_be_fetched_the_message_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(ExportError, match=r"tensorflowjs==4.22.0.*pip could not fetch it.*network is needed once"):
        tfjs.converter()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_broken_converter_is_a_message(tmp_path, monkeypatch):
    import keras

    (tmp_path / "empty").mkdir()
    monkeypatch.setattr(tfjs, "converter", lambda: tmp_path / "empty")
    with pytest.raises(ExportError, match=r"converter failed .exit status 1.: .*is missing"):
        tfjs.folder(plain(tmp_path, keras.layers.Flatten()), tmp_path / "tfjs")
