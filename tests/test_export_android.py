"""The Android project: whole, well-formed, parsed as Kotlin, with the gated network in it; no Android is at hand."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import shutil
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import small_models
import tree_sitter
import tree_sitter_kotlin

from kexp import export
from kexp.errors import ExportError
from kexp.export import android, card, golden, metadata
from kexp.export.android import ASSETS
from kexp.export.package import Package
from kexp.records import Artifact, from_json
from kexp.release import release
from kexp.runtime import open_runtime

KOTLIN = tree_sitter.Parser(tree_sitter.Language(tree_sitter_kotlin.language()))
NASTY = (
    'a "quoted" one', "it's", "$money ${1}", "back\\slash", "</string>", "&amp;", "@string/x", "?attr", "tab\there",
    "قطة سوداء", "x\u202ey", "日本 🐈", "%s %s", "  ",
)  # fmt: skip
MODULE = "app/src/main/kotlin/kexp/app"
SHARED = (
    "README.md", "settings.gradle.kts", "build.gradle.kts", "gradle.properties", "gradle/libs.versions.toml",
    ".gitignore", "app/build.gradle.kts",
    "app/src/main/AndroidManifest.xml", "app/src/main/res/values/strings.xml", "app/src/main/res/values/themes.xml",
    "app/src/main/res/values-ar/strings.xml", "app/src/main/res/values-night/themes.xml",
    "app/src/main/res/drawable/icon.xml", f"{MODULE}/MainActivity.kt", f"{MODULE}/NetworkActivity.kt",
    f"{MODULE}/Network.kt", f"{MODULE}/Answers.kt", f"{MODULE}/Golden.kt", f"{MODULE}/Spec.kt",
    "app/src/androidTest/kotlin/kexp/app/GoldenTest.kt",
    *(f"{ASSETS}/{name}" for name in ("model.tflite", "labels.txt", "kexp.json", "golden.bin")),
)  # fmt: skip
OWN = {
    "digits": (
        f"{MODULE}/Pixels.kt", f"{MODULE}/Pictures.kt", "app/src/test/kotlin/kexp/app/PixelsTest.kt",
        "app/src/androidTest/kotlin/kexp/app/PicturesTest.kt", "app/src/main/res/layout/main_image.xml",
        *(f"{ASSETS}/golden/{i:02}.png" for i in range(golden.COUNT)),
    ),
    "people": (
        f"{MODULE}/Cells.kt", "app/src/test/kotlin/kexp/app/CellsTest.kt", "app/src/test/kotlin/kexp/app/Csv.kt",
        "app/src/main/res/layout/main_table.xml", f"{ASSETS}/golden/rows.csv",
    ),
}  # fmt: skip


def package_of(exported: Path) -> Package:
    document, spec = card.manifest(exported)
    artifacts = tuple(from_json(Artifact, item) for item in document["artifacts"])
    return Package(folder=exported, spec=spec, artifacts=artifacts)


def build(name, folder):
    """The project of a small model, beside what it is made of."""
    exported = getattr(small_models, name)().release.folder
    shutil.copytree(exported, folder, ignore=shutil.ignore_patterns("saved_model", "*.keras"))
    android.write(package_of(folder), folder / "android")
    return folder / "android"


@pytest.fixture(scope="module", params=["digits", "people"])
def project(request, tmp_path_factory):
    return request.param, build(request.param, tmp_path_factory.mktemp("android") / request.param)


@pytest.fixture
def copy(tmp_path):
    return build("people", tmp_path / "people")


def broken_kotlin(content):
    """Where Kotlin's grammar does not hold: lines of errors and of what is missing."""
    found, nodes = [], [KOTLIN.parse(content).root_node]
    while nodes:
        node = nodes.pop()
        if node.type == "ERROR" or node.is_missing:
            found.append(node.start_point.row + 1)
        nodes += node.children
    return sorted(found)


def kotlin_files(path):
    return sorted([*path.rglob("*.kt"), *path.rglob("*.kts")])


def string(path, name, folder="values"):
    """A string resource with Android's own escapes read."""
    tree = ElementTree.parse(path / "app/src/main/res" / folder / "strings.xml")
    (text,) = (item.text for item in tree.iter("string") if item.get("name") == name)

    def one(match):
        return chr(int(match[1][1:], 16)) if match[1][0] == "u" and len(match[1]) == 5 else match[1]

    read = re.sub(r"\\(u[0-9a-f]{4}|.)", one, text)
    return read.encode("utf-16", "surrogatepass").decode("utf-16")


def test_the_tree_is_whole_and_nothing_else_is_in_it(project):
    name, path = project
    files = {file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()}
    assert files == {*SHARED, *OWN[name]}


def test_every_xml_file_is_well_formed(project):
    _, path = project
    files = list(path.rglob("*.xml"))
    assert len(files) >= 7
    for file in files:
        ElementTree.parse(file)


def test_every_kotlin_file_parses_and_nothing_was_left_to_fill_in(project):
    _, path = project
    files = kotlin_files(path)
    assert len(files) >= 12
    for file in files:
        assert not broken_kotlin(file.read_bytes()), file
    for file in [*files, *path.rglob("*.xml"), path / "README.md"]:
        assert not re.search(
            r"\$\$|\$(?:title|project|label|cases|parts|dependencies|permissions)\b", file.read_text()
        ), file
    assert broken_kotlin(b"fun broken( { val x = }")  # the check can fail


def test_texts_are_there_in_both_languages_and_every_one_that_is_used_exists(project):
    _, path = project
    names = {
        folder: {
            item.get("name")
            for item in ElementTree.parse(path / f"app/src/main/res/{folder}/strings.xml").iter("string")
        }
        for folder in ("values", "values-ar")
    }
    assert names["values"] == names["values-ar"]
    text = "".join(file.read_text() for file in [*kotlin_files(path), *path.rglob("*.xml")])
    assert set(re.findall(r"R\.string\.(\w+)|@string/(\w+)", text)) <= {(n, "") for n in names["values"]} | {
        ("", n) for n in names["values"]
    }
    ids = set(re.findall(r"@\+id/(\w+)", text))
    assert set(re.findall(r"R\.id\.(\w+)", text)) == ids
    for folder in ("values", "values-ar"):  # the same numbers are put into both
        for name in names[folder]:
            english, other = (string(path, name, f) for f in ("values", folder))
            assert sorted(re.findall(r"%\d\$\w", english)) == sorted(re.findall(r"%\d\$\w", other)), name


def test_dependencies_that_are_named_are_in_the_catalogue(project):
    _, path = project
    catalogue = tomllib.loads((path / "gradle/libs.versions.toml").read_text())
    named = re.findall(r"libs\.([\w.]+)", "".join(f.read_text() for f in path.rglob("*.kts")))
    known = {key.replace("-", ".") for key in catalogue["libraries"]}
    known |= {f"plugins.{key.replace('-', '.')}" for key in catalogue["plugins"]}
    assert named and set(named) <= known
    assert catalogue["libraries"]["litert"]["module"] == "com.google.ai.edge.litert:litert"
    versions = {item["version"]["ref"] for part in ("libraries", "plugins") for item in catalogue[part].values()}
    assert versions == set(catalogue["versions"])


def test_only_pictures_ask_for_the_camera(project):
    name, path = project
    manifest = (path / "app/src/main/AndroidManifest.xml").read_text()
    assert ("permission.CAMERA" in manifest) == (name == "digits")
    assert 'supportsRtl="true"' in manifest
    assert not re.search(
        r"(?:Left|Right)=|layout_margin(?:Left|Right)", "".join(f.read_text() for f in path.rglob("*.xml"))
    )


def test_assets_are_the_gated_files(project):
    _, path = project
    digest = [
        hashlib.sha256(f.read_bytes()).hexdigest()
        for f in (path / ASSETS / "model.tflite", path.parent / android.SOURCE)
    ]
    assert digest[0] == digest[1]
    assert (path / ASSETS / "labels.txt").read_bytes() == (path.parent / "labels.txt").read_bytes()
    for file in (path / ASSETS / "golden").iterdir():
        assert file.read_bytes() == (path.parent / "golden" / file.name).read_bytes()
    found = android.checks(path)
    assert all(check.ok for check in found) and len(found) == 6
    (answers,) = (check for check in found if check.name == "android golden answers")
    assert answers.value == 0.0


def test_the_project_runs_as_the_file_inside_does(project):
    name, path = project
    x = np.asarray(getattr(small_models, name)().dataset.x[:5])
    np.testing.assert_array_equal(open_runtime(path).predict(x), open_runtime(path.parent / android.SOURCE).predict(x))


def test_release_makes_it_and_the_c_package_of_files_that_passed(tmp_path, monkeypatch):
    made = small_models.digits()

    def copied(model, spec, calibration, formats, folder, **_):  # converted once, by small_models
        for file in (made.release.folder / "model_int8.tflite", made.release.folder / "labels.txt"):
            shutil.copyfile(file, folder / file.name)
        return {"tflite_int8": folder / "model_int8.tflite"}

    monkeypatch.setattr(export, "export", copied)
    released = release(made.model, made.dataset, ["android", "c"], tmp_path / "digits")
    assert released.ok and [a.format for a in released.artifacts] == ["tflite_int8", "c", "android"]
    assert all(check.ok for check in android.checks(tmp_path / "digits" / "android"))


# -- refused ---------------------------------------------------------------------------------------


def failed(path):
    return [check.name.removeprefix("android ") for check in android.checks(path) if not check.ok]


def flip(path, start, length):
    content = bytearray(path.read_bytes())
    content[start : start + length] = bytes(255 - byte for byte in content[start : start + length])
    path.write_bytes(content)


def test_changed_weights_are_refused(copy):
    model = copy / ASSETS / "model.tflite"
    names = np.frombuffer(model.read_bytes(), np.uint8)
    flip(model, len(names) // 2, 600)
    with pytest.MonkeyPatch.context() as patch:  # what runs damaged weights is not the matter here
        patch.setattr(android, "_gap", lambda *_: 0.0)
        assert failed(copy) == ["model sha256"]


def test_another_network_and_damaged_vectors_are_refused(copy):
    vectors, (_, spec) = (copy / ASSETS / "golden.bin").read_bytes(), card.manifest(copy.parent)
    shutil.copyfile(copy.parent / "model_dynamic.tflite", copy / ASSETS / "model.tflite")
    assert "model sha256" in failed(copy)
    spoilt = bytearray(vectors)
    spoilt[-4:] = np.float32(float("nan")).tobytes()
    (copy / ASSETS / "golden.bin").write_bytes(spoilt)
    assert "golden answers" in failed(copy)
    assert np.isnan(android._gap(copy / ASSETS / "model.tflite", vectors[:-4], spec))
    assert np.isnan(android._gap(copy / ASSETS / "model.tflite", b"", spec))


@pytest.mark.parametrize(
    ("name", "change", "check"),
    [
        (f"{ASSETS}/labels.txt", lambda text: text.replace("yes", "no"), "labels"),
        (f"{ASSETS}/kexp.json", lambda text: text.replace("Bonn", "Berlin"), "description"),
        (f"{ASSETS}/golden/rows.csv", lambda text: text + "1,Bonn,yes,2020-01-01,1,yes\n", "golden samples"),
        (f"{MODULE}/Cells.kt", lambda text: text.replace("NaN", "0.0"), "sources"),
    ],
)
def test_a_changed_file_is_refused(copy, name, change, check):
    file = copy / name
    file.write_text(change(file.read_text(encoding="utf-8")), encoding="utf-8")
    assert failed(copy) == [check]


def test_a_project_without_its_model_is_refused(copy):
    (copy / ASSETS / "model.tflite").unlink()
    for look in (android.checks, open_runtime):
        with pytest.raises(ExportError, match=r"Export it again|kexp export writes such files"):
            look(copy)


def test_nothing_is_made_without_the_int8_file(tmp_path):
    package = package_of(small_models.people().release.folder)
    with pytest.raises(ExportError, match=r"made of model_int8.tflite, which is not in"):
        android.write(dataclasses.replace(package, folder=tmp_path), tmp_path / "android")


# -- names -----------------------------------------------------------------------------------------


def test_nasty_names_are_data_everywhere(tmp_path):
    shutil.copytree(small_models.digits().release.folder, tmp_path / "digits")
    package = package_of(tmp_path / "digits")
    for number, name in enumerate(NASTY):
        spec = dataclasses.replace(package.spec, name=name, labels=tuple(f"{name}{i}" for i in range(10)))
        path = tmp_path / f"android{number}"
        android.write(dataclasses.replace(package, spec=spec), path)
        for file in path.rglob("*.xml"):
            ElementTree.parse(file)
        for file in path.rglob("*.kts"):
            assert not broken_kotlin(file.read_bytes())
        settings = (path / "settings.gradle.kts").read_text(encoding="utf-8")
        assert not re.search(r"(?<!\\)\$", settings)
        assert not set(re.search(r'name = "(.*)"', settings)[1].replace("\\\\", "").replace("\\u", "")) & set(
            '/:<>?*|"'
        )
        assert string(path, "app_name") == name
        described = from_json(type(spec), json.loads((path / ASSETS / metadata.SPEC).read_text("utf-8")))
        assert described == spec


def test_application_ids_are_legal_and_differ():
    ids = [android.application_id(name) for name in [*NASTY, "digits", "a b", "a_b", "A_B", "1x", "x" * 40]]
    assert len(set(ids)) == len(ids) and "kexp.app.digits" in ids
    for found in ids:
        assert re.fullmatch(r"kexp\.app\.[a-z][a-z0-9_]*", found), found
