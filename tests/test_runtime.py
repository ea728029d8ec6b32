"""Files are run alike by every runtime, and a damaged file is a message, never the end of the process."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import small_models

from kexp.errors import DataError, ExportError
from kexp.runtime import RUNTIMES, open_runtime
from kexp.runtime.litert import LiteRTRuntime, operators


@pytest.fixture(scope="module")
def exported():
    return small_models.digits()


@pytest.fixture(scope="module")
def float32(exported):
    return exported.release.folder / "model_float32.tflite"


def test_every_runtime_gives_the_same_outputs(exported, float32):
    x = np.asarray(exported.dataset.x[:7])
    folder = exported.release.folder
    files = {"LiteRT": float32, "Keras": folder / "model.keras", "TensorFlow": folder / "saved_model"}
    assert set(files) <= set(RUNTIMES)  # the others: test_export_onnx.py, _torch.py, _tfjs.py and so on
    found = {name: open_runtime(path) for name, path in files.items()}
    expected = found["Keras"].predict(x)
    assert expected.shape == (7, 10) and expected.dtype == np.float32
    for runtime in found.values():
        assert runtime.shape == (8, 8, 1)
        np.testing.assert_allclose(runtime.predict(x), expected, atol=1e-5)


def test_a_uint8_file_takes_the_same_pixels(exported):
    pixels = np.asarray(exported.dataset.x[:20])
    runtime = open_runtime(exported.release.folder / "model_uint8.tflite")
    twin = open_runtime(exported.release.folder / "model_int8.tflite")
    assert runtime.dtype == np.uint8 and twin.dtype == np.float32
    np.testing.assert_allclose(runtime.predict(pixels), twin.predict(pixels), atol=1e-6)
    wild = pixels.astype(np.float32) + 0.4  # rounded, then cut off at 0 and 255
    np.testing.assert_array_equal(runtime.predict(wild), runtime.predict(pixels))
    np.testing.assert_array_equal(runtime.predict(pixels + 1000.0), runtime.predict(np.full_like(pixels, 255)))


def test_latency_is_measured_per_run(exported, float32):
    times = open_runtime(float32).latency(np.asarray(exported.dataset.x[:3]), runs=5)
    assert len(times) == 5 and min(times) > 0


def test_samples_of_another_shape_are_refused(float32):
    with pytest.raises(DataError, match=r"\(8, 8\), the model takes \(8, 8, 1\)"):
        open_runtime(float32).predict(np.zeros((2, 8, 8)))


def test_no_rows_are_no_outputs(float32):
    assert open_runtime(float32).predict(np.zeros((0, 8, 8, 1))).shape == (0, 10)


def test_operators_are_named(float32):
    found = operators(float32)
    assert "CONV_2D" in found and not [name for name in found if name.startswith("CUSTOM")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no TFLite model"),
        (b"GIF89a" * 40, "no TFLite model"),
        (b"\x1c\0\0\0TFL3" + bytes(range(256)), "cannot be run"),
    ],
)
def test_what_is_no_model_is_refused(tmp_path, content, message):
    (tmp_path / "m.tflite").write_bytes(content)
    with pytest.raises(ExportError, match=message):
        LiteRTRuntime(tmp_path / "m.tflite")


def test_operators_of_a_damaged_file_are_refused(tmp_path):
    (tmp_path / "m.tflite").write_bytes(b"\x1c\0\0\0TFL3" + b"\xff" * 60)
    with pytest.raises(ExportError, match="damaged"):
        operators(tmp_path / "m.tflite")


def test_files_that_are_not_there_or_of_another_kind_are_refused(tmp_path):
    (tmp_path / "m.bin").write_bytes(b"x")
    (tmp_path / "plain").write_bytes(b"x")
    (tmp_path / "m.keras").write_bytes(b"no zip")
    for name, message in [
        ("gone.tflite", "cannot be read"), ("m.bin", "no model that kexp can run"), ("plain", "no model that"),
        ("gone.keras", "does not exist"), ("m.keras", "cannot be opened"), ("gone", "no model that kexp can run"),
    ]:  # fmt: skip
        with pytest.raises(ExportError, match=message):
            open_runtime(tmp_path / name)


DAMAGE = """
import random, sys
from pathlib import Path
from kexp.errors import ExportError
from kexp.runtime.litert import LiteRTRuntime, operators
good, bad = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2])
flat = good.rindex(b"PK\\x03\\x04", 0, good.rindex(b"PK\\x03\\x04"))  # where the zip at the end begins
random.seed(0)
damaged = [good[: flat * part // 40] for part in range(40)]
for _ in range(40):
    wild = bytearray(good)
    start = random.randrange(8, flat - 400)
    wild[start : start + 300] = random.randbytes(300)
    damaged.append(bytes(wild))
refused = 0
for number, content in enumerate(damaged):
    bad.write_bytes(content)
    for look in (operators, LiteRTRuntime):
        try:
            look(bad)
        except ExportError:
            refused += look is LiteRTRuntime and number < 40
print(refused)
"""


def test_a_damaged_file_never_ends_the_process(float32, tmp_path):
    command = [sys.executable, "-c", DAMAGE, str(float32), str(tmp_path / "bad.tflite")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "40"  # every truncated one was refused
