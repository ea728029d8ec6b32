"""The folder that a phone is given: whole, of files that passed their gate, and named by its content."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from phone_page import exported, page, spec_of
from PIL import Image

from kexp.errors import ExportError
from kexp.export import card, golden
from kexp.phone.bundle import PAGE, bundle
from kexp.records import to_json
from kexp.verify import REPEATS

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["digits", "people"])
def test_the_bundle_holds_the_page_the_model_and_the_golden_vectors(name):
    files = page(name)
    static = {path.relative_to(PAGE).as_posix() for path in PAGE.rglob("*") if path.is_file()}
    assert static <= set(files)
    about = json.loads(files["model/about.json"])
    assert about["spec"] == to_json(spec_of(name))
    assert about["results"] is True
    formats = [artifact["format"] for artifact in about["artifacts"]]
    assert "tflite_uint8" not in formats  # its outputs are integers, of which LiteRT.js does not tell the scale
    assert formats == ["tflite_float32", "tflite_float16", "tflite_dynamic", "tflite_int8", "tflite_int16x8"]
    for format, kind in (("tflite_float32", "float"), ("tflite_int8", "quantised")):
        assert about["limits"][format] == {"phone gap": REPEATS[kind], "phone raw gap": REPEATS[kind]}
    assert about["lossy"] == []
    for artifact in about["artifacts"]:
        assert files[f"model/{artifact['path']}"] == exported(name) / artifact["path"]
    inputs = np.frombuffer(files["golden/inputs.bin"], "<f4").reshape(-1, *spec_of(name).shape)
    np.testing.assert_array_equal(inputs, golden.read(exported(name) / "golden", spec_of(name)).astype(np.float32))
    assert files["golden/expected.json"] == exported(name) / "golden" / "expected.json"
    assert b'"@litertjs' not in files["litert/index.js"]
    web = json.loads(files["manifest.webmanifest"])
    assert web["start_url"] == web["scope"] == "./"
    for icon in web["icons"]:
        assert icon["src"] in files
        if icon["sizes"] != "any":
            assert "x".join(map(str, Image.open(files[icon["src"]]).size)) == icon["sizes"]


def test_the_metric_with_its_interval_is_told(tmp_path):
    folder = shutil.copytree(exported("people"), tmp_path / "people")
    document = json.loads((folder / card.MANIFEST).read_text())
    document["evaluation"] = {
        "rows": 60,
        "metrics": {"accuracy": 0.9, "log_loss": 0.3},
        "interval": {"metric": "accuracy", "low": 0.8, "high": 0.95, "level": 0.95},
        "files": {"model_int8.tflite": {"accuracy": 0.88, "log_loss": 0.3}},
    }
    (folder / card.MANIFEST).write_text(json.dumps(document))
    about = json.loads(bundle(folder, results=False)["model/about.json"])
    assert about["results"] is False
    assert about["evaluation"] == {
        "metric": "accuracy",
        "value": 0.9,
        "low": 0.8,
        "high": 0.95,
        "level": 0.95,
        "rows": 60,
        "files": {"model_int8.tflite": 0.88},
    }


def test_a_folder_without_a_tflite_is_refused(tmp_path):
    folder = shutil.copytree(exported("people"), tmp_path / "people")
    document = json.loads((folder / card.MANIFEST).read_text())
    document["artifacts"] = []
    (folder / card.MANIFEST).write_text(json.dumps(document))
    with pytest.raises(ExportError, match=r"no \.tflite.*kexp export NAME --tflite"):
        bundle(folder, results=False)


def test_a_file_that_is_not_what_passed_its_gate_is_refused(tmp_path):
    folder = shutil.copytree(exported("people"), tmp_path / "people")
    with (folder / "model_int8.tflite").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ExportError, match=r"model_int8\.tflite is changed"):
        bundle(folder, results=False)
    (folder / "model_int8.tflite").unlink()
    with pytest.raises(ExportError, match=r"model_int8\.tflite is missing"):
        bundle(folder, results=False)


@pytest.mark.parametrize("name", ["expected.json", "rows.csv"])
def test_golden_vectors_that_were_changed_are_refused(tmp_path, name):
    folder = shutil.copytree(exported("people"), tmp_path / "people")
    path = folder / "golden" / name
    path.write_text(path.read_text().replace("1", "2", 1))
    with pytest.raises(ExportError, match=r"golden was changed: .* Export again"):
        bundle(folder, results=False)


def test_a_runtime_that_is_not_whole_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("kexp.phone.bundle.npm_folder", lambda *_: tmp_path / "cache" / "node_modules")
    with pytest.raises(ExportError, match=rf"index\.js is missing\. Remove {tmp_path}/cache; it is fetched again"):
        bundle(exported("people"), results=False)


def test_other_content_makes_another_worker(tmp_path):
    one, other = bundle(exported("people"), results=False), bundle(exported("people"), results=True)
    assert one["sw.js"] != other["sw.js"]
    assert one["sw.js"] == bundle(exported("people"), results=False)["sw.js"]
