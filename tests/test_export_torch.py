"""PyTorch files: alike without Keras and TensorFlow, self-describing; and refused when they are not the network."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys

import numpy as np
import pytest
import small_models

from kexp import export, predict, verify
from kexp.errors import ExportError
from kexp.export import metadata
from kexp.export.source import Source
from kexp.export.torch import _window, exported, script
from kexp.formats import FORMATS
from kexp.release import release
from kexp.runtime import open_runtime
from kexp.runtime.torch import library

BOTH = ["torch_export", "torch_script"]


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Digits, released as both files."""
    net = small_models.digits_net()
    return release(net.model, net.dataset, ["torch"], tmp_path_factory.mktemp("torch") / "digits")


@pytest.fixture(scope="module")
def impostor(tmp_path_factory):
    """Both files of another network, with the labels in another order inside."""
    net, place = small_models.digits_net(), tmp_path_factory.mktemp("impostor")
    wrong = small_models.impostor(net, place / "wrong.keras")
    spec = small_models.relabelled(net.dataset.spec)
    return export.export(wrong, spec, net.dataset.x[:8], BOTH, place)


@pytest.fixture
def folder(digits, tmp_path):
    shutil.copytree(digits.folder, tmp_path / "digits")
    return tmp_path / "digits"


def failed(checks):
    return {check.name for check in checks if not check.ok}


def test_digits_pass_the_gate(digits):
    assert digits.ok, digits.failures
    checks = {check.name: check for check in digits.checks}
    for format in BOTH:
        assert checks[f"{format} gap"].value < 1e-5  # 5e-7 measured
        assert checks[f"{format} description"].ok
    assert not failed(verify.folder(digits.folder)[1])


def test_tables_with_categories_and_missing_cells(tmp_path):
    for target in ("city", "income"):
        net = small_models.table_net(target)
        x, expected = small_models.references(net)
        assert np.isnan(x).any()
        made = export.export(net.model, net.dataset.spec, x[:8], BOTH, tmp_path)
        for format in BOTH:
            path = made[format]
            assert not isinstance(path, str), path
            outputs = open_runtime(path).predict(x)
            assert outputs.dtype == np.float32
            assert not failed(verify.gate(format, expected, outputs, net.dataset.y, net.dataset.spec, path))
            runtime = open_runtime(path)
            np.testing.assert_allclose(runtime.predict(x[:1]), expected[:1], rtol=1e-5, atol=1e-6)
            assert runtime.predict(x[:0]).shape == (0, net.dataset.spec.outputs)
            assert np.isfinite(runtime.predict(np.full((3, *x.shape[1:]), np.nan))).all()


def test_uneven_average_pooling_is_that_of_tensorflow(tmp_path):
    import keras

    keras.utils.set_random_seed(0)
    inputs = keras.Input((17, 12, 3), name="input")
    x = keras.layers.AveragePooling2D(3, strides=2, padding="same")(inputs)
    x = keras.layers.AveragePooling2D(2, padding="valid")(x)
    x = keras.layers.AveragePooling2D((3, 2), strides=(2, 1), padding="same")(x)
    model = keras.Model(inputs, keras.layers.Flatten()(x))
    model.save(tmp_path / "m.keras")
    pixels = np.random.default_rng(0).uniform(0, 1, (5, 17, 12, 3)).astype(np.float32)
    expected = np.asarray(model(pixels))
    spec = dataclasses.replace(
        small_models.digits_net().dataset.spec, shape=(17, 12, 3), mean=(0.0,) * 3, std=(1.0,) * 3
    )
    made = export.export(tmp_path / "m.keras", spec, pixels, BOTH, tmp_path)
    for format in BOTH:
        np.testing.assert_allclose(open_runtime(made[format]).predict(pixels), expected, atol=1e-6)


def test_windows_of_uneven_padding():
    (before, after), share = _window(4, 3, 2)  # TensorFlow pads at the end first
    assert (before, after) == (0, 1) and share.tolist() == [1, 2 / 3]
    (before, after), share = _window(5, 3, 1)
    assert (before, after) == (1, 1) and share.tolist() == [2 / 3, 1, 1, 1, 2 / 3]


def test_another_network_is_refused(digits, impostor, folder):
    net = small_models.digits_net()
    x, expected = small_models.references(net, 300)
    for format in BOTH:
        outputs = open_runtime(impostor[format]).predict(x)
        found = verify.gate(format, expected, outputs, net.dataset.y[:300], net.dataset.spec, impostor[format])
        assert f"{format} gap" in failed(found)
        shutil.copy(impostor[format], folder / FORMATS[format].file)
    what = ("sha256", "description", "golden gap", "golden repeat")
    assert failed(verify.folder(folder)[1]) == {f"{format} {each}" for format in BOTH for each in what}


def test_wrong_labels_are_noticed(digits, impostor):
    spec = small_models.digits_net().dataset.spec
    for format in BOTH:
        right, wrong = (open_runtime(path).texts for path in (digits.folder / FORMATS[format].file, impostor[format]))
        assert right == metadata.texts(spec) and not failed(verify.told(format, spec, right))
        assert failed(verify.told(format, spec, wrong)) == {f"{format} description"}


def test_nothing_of_this_machine_or_of_the_data_is_in_the_files(digits):
    import zipfile

    dataset = small_models.digits_net().dataset
    samples = [sample.astype(np.float32).tobytes() for sample in np.asarray(dataset.x[dataset.rows("train")])]
    for format in BOTH:
        with zipfile.ZipFile(digits.folder / FORMATS[format].file) as archive:
            for name in archive.namelist():
                assert not name.endswith(".debug_pkl")
                content = archive.read(name)
                assert b"site-packages" not in content and b"/kexp/" not in content, name
                assert not any(sample in content for sample in samples), name


ALONE = """
import sys
BLOCKED = ("keras", "tensorflow", "tf_keras", "ai_edge_litert")
sys.modules.update(dict.fromkeys(BLOCKED))  # None: importing it fails, as where it is not installed
import numpy as np
from pathlib import Path
from kexp.runtime import open_runtime
for path in sys.argv[3:]:
    runtime = open_runtime(Path(path))
    np.testing.assert_allclose(runtime.predict(np.load(sys.argv[1])), np.load(sys.argv[2]), atol=1e-5)
    assert len(runtime.latency(np.load(sys.argv[1]), 3)) == 3
print("ran")
import torch
for path in sys.argv[3:]:  # and by PyTorch alone
    module = torch.export.load(path).module() if path.endswith("2") else torch.jit.load(path)
    with torch.inference_mode():
        found = module(torch.from_numpy(np.load(sys.argv[1]).astype(np.float32))).numpy()
    np.testing.assert_allclose(found, np.load(sys.argv[2]), atol=1e-5)
print(*[name for name in BLOCKED if sys.modules[name] is not None])
"""


def test_they_run_where_keras_and_tensorflow_cannot_be_imported(digits, tmp_path):
    x, expected = small_models.references(small_models.digits_net(), 7)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", expected)
    files = [str(digits.folder / FORMATS[format].file) for format in BOTH]
    command = [sys.executable, "-c", ALONE, str(tmp_path / "x.npy"), str(tmp_path / "y.npy"), *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["ran"]


def test_they_run_alone(digits, tmp_path):
    picture = sorted((digits.folder / "golden").glob("*.png"))[0]
    for name in ("model.pt2", "model.pt"):
        shutil.copy(digits.folder / name, tmp_path / name)
        (answer,) = predict.run(tmp_path / name, [picture])
        assert answer.label in "0123456789"


def test_where_pytorch_is_missing_the_message_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    source = Source(
        path=tmp_path / "no.keras", spec=small_models.digits_net().dataset.spec, calibration=np.zeros(1),
        scratch=tmp_path,
    )  # fmt: skip
    (tmp_path / "model.pt").touch()
    for attempt in (
        library,
        lambda: exported(source, tmp_path / "model.pt2"),
        lambda: script(source, tmp_path / "model.pt"),
        lambda: open_runtime(tmp_path / "model.pt"),
    ):
        with pytest.raises(ExportError, match=r"pip install 'kexp\[torch\]', or pip install 'torch==2.13"):
            attempt()


def test_one_of_others_is_refused(tmp_path):
    import torch

    torch.jit.save(torch.jit.trace(torch.nn.ReLU(), torch.zeros(1, 2)), str(tmp_path / "other.pt"))
    with pytest.raises(ExportError, match="does not say what it takes"):
        open_runtime(tmp_path / "other.pt")
    with pytest.raises(ExportError, match="does not exist"):
        open_runtime(tmp_path / "gone.pt2")


DAMAGE = """
import random, sys
from pathlib import Path
from kexp.errors import ExportError
from kexp.runtime import open_runtime
random.seed(0)
refused = 0
for path in map(Path, sys.argv[2:]):
    good, bad = path.read_bytes(), Path(sys.argv[1]) / ("bad" + path.suffix)
    damaged = [good[: len(good) * part // 15] for part in range(15)]
    for _ in range(15):
        wild = bytearray(good)
        start = random.randrange(0, len(good) - 300)
        wild[start : start + 300] = random.randbytes(300)
        damaged.append(bytes(wild))
    for number, content in enumerate(damaged):
        bad.write_bytes(content)
        try:
            open_runtime(bad)
        except ExportError:
            refused += number < 15
print(refused)
"""


def test_a_damaged_file_is_a_message_and_never_ends_the_process(digits, tmp_path):
    files = [str(digits.folder / FORMATS[format].file) for format in BOTH]
    command = [sys.executable, "-c", DAMAGE, str(tmp_path), *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "30"
