"""ONNX files: alike by ONNX Runtime, standard operators, self-describing; and refused when they are not."""

from __future__ import annotations

import shutil
import subprocess
import sys

import numpy as np
import onnx
import pytest
import small_models

from kexp import predict, verify
from kexp.errors import ExportError
from kexp.export import metadata
from kexp.export.onnx import model as write
from kexp.export.source import Source
from kexp.release import release
from kexp.runtime import open_runtime
from kexp.runtime.onnx import operators


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Digits, released as ONNX alone."""
    net = small_models.digits_net()
    return release(net.model, net.dataset, ["onnx"], tmp_path_factory.mktemp("onnx") / "digits")


@pytest.fixture
def folder(exported, tmp_path):
    shutil.copytree(exported.folder, tmp_path / "digits")
    return tmp_path / "digits"


def source(net, scratch, spec=None, model=None):
    scratch.mkdir(exist_ok=True)
    return Source(
        path=model or net.model, spec=spec or net.dataset.spec, calibration=net.dataset.x[:8], scratch=scratch
    )


def failed(checks):
    return {check.name for check in checks if not check.ok}


def test_digits_pass_the_gate(exported):
    assert exported.ok, exported.failures
    checks = {check.name: check for check in exported.checks}
    assert checks["onnx gap"].value < 1e-5  # 3e-7 measured
    assert checks["onnx operators"].value == checks["onnx operators"].limit == "standard only"
    assert set(checks) == {f"onnx {what}" for what in ("bytes", "operators", "gap", "accuracy drop", "description")}
    assert not failed(verify.folder(exported.folder)[1])


def test_the_file_says_what_it_takes_and_nothing_of_this_machine(exported):
    path = exported.folder / "model.onnx"
    file = onnx.load(path)
    names = [value.name for value in (*file.graph.input, *file.graph.output)]
    assert names == ["input", "output"]
    shape = file.graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_param or dim.dim_value for dim in shape] == ["batch", 8, 8, 1]
    assert [(row.domain, row.version) for row in file.opset_import] == [("", 17)]
    assert {row.key: row.value for row in file.metadata_props} == metadata.texts(small_models.digits_net().dataset.spec)
    assert b"/tmp/" not in path.read_bytes()


@pytest.mark.parametrize("target", ["city", "income"])
def test_tables_with_categories_and_missing_cells(target, tmp_path):
    net = small_models.table_net(target)
    x, expected = small_models.references(net)
    x = x.copy()
    assert np.isnan(x).any()
    write(source(net, tmp_path / "scratch"), tmp_path / "model.onnx")
    runtime = open_runtime(tmp_path / "model.onnx")
    assert runtime.shape == net.dataset.spec.shape and runtime.dtype == np.float32
    outputs = runtime.predict(x)
    assert outputs.dtype == np.float32
    found = verify.gate("onnx", expected, outputs, net.dataset.y, net.dataset.spec, tmp_path / "model.onnx")
    assert not failed(found)
    assert runtime.predict(x[:0]).shape == (0, net.dataset.spec.outputs)
    assert np.isfinite(runtime.predict(np.full((1, *x.shape[1:]), np.nan))).all()


def test_another_network_is_refused(exported, folder, tmp_path):
    net = small_models.digits_net()
    x, expected = small_models.references(net, 300)
    wrong = small_models.impostor(net, tmp_path / "wrong.keras")
    write(source(net, tmp_path / "scratch", model=wrong), folder / "model.onnx")
    outputs = open_runtime(folder / "model.onnx").predict(x)
    found = verify.gate("onnx", expected, outputs, net.dataset.y[:300], net.dataset.spec, folder / "model.onnx")
    assert "onnx gap" in failed(found)
    assert {"onnx sha256", "onnx golden gap", "onnx golden repeat"} == failed(verify.folder(folder)[1])


def test_wrong_labels_are_noticed(folder):
    file = onnx.load(folder / "model.onnx")
    spec = small_models.relabelled(small_models.digits_net().dataset.spec)
    onnx.helper.set_model_props(file, metadata.texts(spec))
    onnx.save(file, folder / "model.onnx")
    small_models.resign(folder)
    assert failed(verify.folder(folder)[1]) == {"onnx description"}
    del file.metadata_props[:]
    onnx.save(file, folder / "model.onnx")
    small_models.resign(folder)
    (check,) = [check for check in verify.folder(folder)[1] if not check.ok]
    assert check.name == "onnx description" and check.value == "none"


def test_a_file_that_nobody_exported_is_noticed(folder):
    shutil.copy(folder / "model.onnx", folder / "other.onnx")
    assert failed(verify.folder(folder)[1]) == {"other.onnx listed"}


def small(*nodes):
    """An ONNX file of (1, 2) float32 -> (1, 2), of these nodes."""
    value = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 2]) for name in ("input", "output")]
    graph = onnx.helper.make_graph(list(nodes), "g", value[:1], value[1:])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)


def test_an_operator_that_is_not_of_the_standard_is_refused(tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save(small(onnx.helper.make_node("Gelu", ["input"], ["output"], domain="com.microsoft")), path)
    assert operators(path) == ["com.microsoft:Gelu"]
    (check,) = [check for check in verify.structure("onnx", path) if not check.ok]
    assert check.name == "onnx operators" and check.value == "com.microsoft:Gelu" and "other layers" in check.advice


def test_operators_inside_a_condition_are_found(tmp_path):
    branch = small(onnx.helper.make_node("Gelu", ["input"], ["output"], domain="com.microsoft")).graph
    node = onnx.helper.make_node("If", ["input"], ["output"], then_branch=branch, else_branch=branch)
    onnx.save(small(node), tmp_path / "model.onnx")
    assert operators(tmp_path / "model.onnx") == ["If", "com.microsoft:Gelu"]


def test_it_runs_alone_and_one_of_others_is_refused(exported, tmp_path):
    shutil.copy(exported.folder / "model.onnx", tmp_path / "any.onnx")
    pictures = sorted((exported.folder / "golden").glob("*.png"))
    (answer,) = predict.run(tmp_path / "any.onnx", pictures[:1], repeat=3)
    assert answer.label in "0123456789" and answer.p50_ms > 0
    onnx.save(small(onnx.helper.make_node("Relu", ["input"], ["output"])), tmp_path / "other.onnx")
    with pytest.raises(ExportError, match="does not describe itself"):
        predict.run(tmp_path / "other.onnx", pictures[:1])
    two = small(onnx.helper.make_node("Add", ["input", "more"], ["output"]))
    two.graph.input.append(onnx.helper.make_tensor_value_info("more", onnx.TensorProto.FLOAT, [1, 2]))
    onnx.save(two, tmp_path / "two.onnx")
    with pytest.raises(ExportError, match="one input of float32 and one output"):
        open_runtime(tmp_path / "two.onnx")


DAMAGE = """
import random, sys
from pathlib import Path
from kexp.errors import ExportError
from kexp.runtime.onnx import OnnxRuntime, operators
good, bad = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2])
random.seed(0)
damaged = [good[: len(good) * part // 30] for part in range(30)]
for _ in range(30):
    wild = bytearray(good)
    start = random.randrange(0, len(good) - 300)
    wild[start : start + 300] = random.randbytes(300)
    damaged.append(bytes(wild))
refused = 0
for number, content in enumerate(damaged):
    bad.write_bytes(content)
    for look in (operators, OnnxRuntime):
        try:
            look(bad)
        except ExportError:
            refused += look is OnnxRuntime and number < 30
print(refused)
"""


def test_a_damaged_file_is_a_message_and_never_ends_the_process(exported, tmp_path):
    command = [sys.executable, "-c", DAMAGE, str(exported.folder / "model.onnx"), str(tmp_path / "bad.onnx")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "30"
    with pytest.raises(ExportError, match="cannot be read"):
        open_runtime(tmp_path / "gone.onnx")
