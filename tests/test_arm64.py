"""The exported files on the architecture of phones: ARM64, under qemu, by the kernels that LiteRT has for it.

A missing qemu is a failure and not a skip: what did not run proves nothing.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import arm64
import numpy as np
import pytest
import small_models

from kexp.export import graph
from kexp.runtime import open_runtime
from kexp.runtime.litert import schema

pytestmark = [pytest.mark.slow, pytest.mark.needs("qemu-aarch64-static", "apt-get", "dpkg-deb")]
FLOAT = 1e-5  # sums in another order; measured: 2e-7
NETS = ("digits", "people")
EXACT = ("model_float32", "model_float16", "model_dynamic")


@pytest.fixture(scope="module", params=NETS)
def answers(request, tmp_path_factory):
    """Of one network, by file: what this computer's LiteRT answers, what ARM64's does, and the file."""
    exported = getattr(small_models, request.param)()
    folder = tmp_path_factory.mktemp("arm64")
    files = sorted(exported.release.folder.glob("*.tflite"))
    for file in files:
        shutil.copy(file, folder)
    x = np.asarray(exported.dataset.x[:40]).astype(np.float32)
    np.save(folder / "x.npy", x)
    assert arm64.run(Path(__file__).with_name("arm64_predict.py"), folder).split() == ["aarch64"]
    with np.load(folder / "outputs.npz") as found:
        assert set(found) == {file.stem for file in files}
        return {file.stem: (open_runtime(file).predict(x), found[file.stem], file) for file in files}


def quantum(file):
    """The step of the last integer tensor of a .tflite: of its outputs, or of the logits that float softmax follows.

    Halves are rounded elsewhere on ARM64, so one step may differ; measured: a fiftieth to a tenth of one.
    """
    fb, model = schema(), graph.read(file.read_bytes())
    tensors = model.subgraphs[0].tensors
    floats = fb.TensorType.FLOAT32
    for operator in reversed(model.subgraphs[0].operators):
        for index in [*operator.outputs, *operator.inputs]:
            tensor = tensors[index]
            quantised = tensor.quantization is not None and tensor.quantization.scale is not None
            if tensor.type != floats and quantised and len(tensor.quantization.scale) == 1:
                return float(tensor.quantization.scale[0])
    raise AssertionError(f"{file} has no quantised tensor")


def gaps(answers):
    """By file: the largest difference, and what it may be."""
    return {
        name: (float(np.abs(here - there).max()), FLOAT if name in EXACT else quantum(file))
        for name, (here, there, file) in answers.items()
    }


def test_arm64_answers_as_this_computer(answers):
    found = gaps(answers)
    assert set(EXACT) < set(found) and "model_int8" in found
    for name, (gap, limit) in found.items():
        assert gap <= limit, f"{name}: {gap:.3g} between ARM64 and here, limit {limit:.3g}"


def test_another_answer_would_be_noticed(answers):
    spoilt = {name: (here, there + np.float32(0.04), file) for name, (here, there, file) in answers.items()}
    assert all(gap > limit for gap, limit in gaps(spoilt).values())


def test_without_qemu_the_message_names_the_package(monkeypatch):
    monkeypatch.setattr(arm64, "QEMU", "qemu-that-is-not-here")
    with pytest.raises(arm64.MissingError, match="apt-get install qemu-user-static"):
        arm64.ready()
