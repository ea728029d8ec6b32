"""The network as an Android project: Gradle, Kotlin, LiteRT; pictures from camera and gallery, or a form for a row.

Made of the int8 file that has passed the gate. The Kotlin reads what it must know from assets/kexp.json, so no label
or column name is ever part of a source file; templates/android/ is copied, and only names, the form of the screen and
a few expected pixels are filled in. Nothing is built here, there is no Android SDK: `checks` holds the assets to the
gate.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

import numpy as np
from numpy.typing import NDArray

from kexp.errors import ExportError
from kexp.export import golden, metadata
from kexp.export.package import Package
from kexp.records import Check, DatasetSpec, at_most, to_json
from kexp.runtime.litert import LiteRTRuntime

SOURCE, FORMAT = "model_int8.tflite", "tflite_int8"
ASSETS, MODEL = Path("app/src/main/assets"), "model.tflite"
GOLDEN_LIMIT = 0.02  # as in Golden.kt
# Files of one kind of data alone, by the end of their path.
ONLY = {
    "image": ("Pixels.kt", "Pictures.kt", "PixelsTest.kt", "PicturesTest.kt", "main_image.xml"),
    "table": ("Cells.kt", "Csv.kt", "CellsTest.kt", "main_table.xml"),
}
ACTIVITY = "MainActivity.kt"


def write(package: Package, path: Path) -> None:
    """Write the project `path` from the int8 file in `package`. Raises ExportError where that is not there."""
    spec, source = package.spec, package.folder / SOURCE
    if not source.is_file():
        raise ExportError(
            f"the Android project is made of {SOURCE}, which is not in {package.folder}. Export tflite_int8."
        )
    for name, text in sources(spec).items():
        target = path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    assets = path / ASSETS
    (assets / "golden").mkdir(parents=True)
    shutil.copyfile(source, assets / MODEL)
    (assets / metadata.LABELS).write_text(metadata.lines(spec.labels), encoding="utf-8")
    (assets / metadata.SPEC).write_text(_spec_text(spec), encoding="utf-8")
    (assets / "golden.bin").write_bytes(golden.binary(package.folder / "golden", spec, FORMAT))
    for file in _samples(package.folder / "golden"):
        shutil.copyfile(file, assets / "golden" / file.name)


def sources(spec: DatasetSpec) -> dict[str, str]:
    """Every text file of the project by its path in it, without the assets."""
    root = resources.files("kexp.export").joinpath("templates/android")
    values = _values(spec)
    out = {}
    for name, file in sorted(_walk(root)):
        stem = name.removesuffix(".in")
        if stem.endswith(tuple(end for kind, ends in ONLY.items() if kind != spec.kind for end in ends)):
            continue
        if "MainActivity." in stem:
            if not stem.endswith(f".{spec.kind}.kt"):
                continue
            stem = str(Path(stem).with_name(ACTIVITY))
        if stem == "gitignore":
            stem = ".gitignore"
        text = file.read_text(encoding="utf-8")
        out[stem] = Template(text).substitute(values) if name.endswith(".in") else text
    return out


def checks(path: Path) -> list[Check]:
    """Whether the project in `path` holds the gated model, its labels and vectors, and the answers are right.

    The gated files are those beside the project. The answers are those of LiteRT on this computer. Raises ExportError
    for a project or a folder that lacks a file.
    """
    assets, gated = path / ASSETS, path.parent / SOURCE
    again = "The files are not those that were exported. Export again."
    try:
        found, wanted = (hashlib.sha256(file.read_bytes()).hexdigest() for file in (assets / MODEL, gated))
        spec = metadata.read_spec(gated)
        if spec is None:
            raise ExportError(f"{gated} does not describe itself. Export it again.")
        labels = (assets / metadata.LABELS).read_text(encoding="utf-8")
        described = (assets / metadata.SPEC).read_text(encoding="utf-8")
        vectors = (assets / "golden.bin").read_bytes()
        wrong = [
            name
            for name, text in sources(spec).items()
            if not (path / name).is_file() or (path / name).read_text(encoding="utf-8") != text
        ]
        here, there = (
            {f.name: f.read_bytes() for f in _samples(g)} for g in (assets / "golden", gated.parent / "golden")
        )
    except (OSError, UnicodeDecodeError) as error:
        raise ExportError(
            f"{path} is no whole Android project beside its {SOURCE}: {error}. Export it again."
        ) from error
    verdicts: list[tuple[str, float | str, float | str, bool]] = [
        ("model sha256", found[:12], wanted[:12], found == wanted),
        ("labels", labels.count("\n"), len(spec.labels), labels == metadata.lines(spec.labels)),
        ("description", *_same(described == _spec_text(spec))),
        ("golden samples", len(here), len(there), here == there),
        ("sources", ", ".join(wrong)[:80] or "as exported", "as exported", not wrong),
    ]
    return [
        *(
            Check(name=f"android {name}", value=value, limit=limit, ok=ok, advice="" if ok else again)
            for name, value, limit, ok in verdicts
        ),
        at_most("android golden answers", _gap(assets / MODEL, vectors, spec), GOLDEN_LIMIT, again),
    ]


def xml_text(text: str) -> str:
    """`text` as an Android string resource: for XML, and for the escapes of resources inside it."""
    out = "".join(_unicode(c) if not c.isprintable() else f"\\{c}" if c in "\\'\"" else c for c in text)
    out = f"\\{out}" if out[:1] in ("@", "?") else out
    return out.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def kotlin_text(text: str) -> str:
    """`text` for between the quotes of a Kotlin string."""
    return "".join(_unicode(c) if not c.isprintable() else f"\\{c}" if c in '\\"$' else c for c in text)


def project_name(name: str) -> str:
    """`name` without what Gradle allows in no project's name."""
    kept = "".join("_" if c in '/\\:<>"?*|' or not c.isprintable() else c for c in name)
    return kept.strip(" .") or "model"


def application_id(name: str) -> str:
    """An application id for `name`, different for different names: letters, digits and _ after kexp.app."""
    kept = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    if kept != name or not kept[:1].isalpha():
        kept = f"model_{kept}_{hashlib.sha256(name.encode()).hexdigest()[:8]}".replace("__", "_")
    return f"kexp.app.{kept}"


def _unicode(letter: str) -> str:
    """Java's escapes of a character; two for one beyond 16 bits."""
    units = letter.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def _walk(folder: Traversable, prefix: str = "") -> list[tuple[str, Traversable]]:
    found: list[tuple[str, Traversable]] = []
    for item in folder.iterdir():
        name = prefix + item.name
        found += _walk(item, f"{name}/") if item.is_dir() else [(name, item)]
    return found


def _samples(folder: Path) -> list[Path]:
    """The golden samples as files, without the answers: packages are made before those are complete."""
    return sorted(file for file in folder.iterdir() if file.name != golden.EXPECTED)


def _spec_text(spec: DatasetSpec) -> str:
    return json.dumps(to_json(spec), ensure_ascii=False, indent=1) + "\n"


def _same(same: bool) -> tuple[str, str, bool]:
    return "as exported" if same else "another", "as exported", same


def _gap(model: Path, vectors: bytes, spec: DatasetSpec) -> float:
    """The largest difference between what golden.bin says and what the model answers here; NaN where it is damaged."""
    numbers = np.frombuffer(vectors[12:], "<f4") if len(vectors) % 4 == 0 else np.empty(0)
    samples, inputs, outputs = np.frombuffer(vectors[:12].ljust(12, b"\0"), "<u4").tolist()
    if (inputs, outputs) != (int(np.prod(spec.shape)), spec.outputs) or len(numbers) != samples * (inputs + outputs):
        return float("nan")
    x, expected = np.split(numbers, [samples * inputs])
    found = LiteRTRuntime(model).predict(x.reshape(samples, *spec.shape))
    units = np.array([std or 1.0 for std in spec.target_std] or [1.0]) if spec.task == "regression" else 1.0
    return float(np.max(np.abs(found - expected.reshape(samples, outputs)) / units)) if samples else float("nan")


def _values(spec: DatasetSpec) -> dict[str, str]:
    picture = spec.kind == "image"
    camera = ("camera.core", "camera.camera2", "camera.lifecycle", "camera.view", "exifinterface")
    permissions = (
        '\n    <uses-permission android:name="android.permission.CAMERA" />\n\n'
        '    <uses-feature\n        android:name="android.hardware.camera.any"\n        android:required="false" />\n'
    )
    pictures = "| `Pixels.kt`, `Pictures.kt` | a photo becomes numbers: upright, cut, resized as in training |"
    cells = "| `Cells.kt` | the text of a row becomes the numbers of the input, as in training |"
    title = "".join(c if c.isprintable() and c not in "`*_<>[]\\#|" else "_" for c in spec.name)
    return {
        "title": title,
        "project": kotlin_text(project_name(spec.name)),
        "application": application_id(spec.name),
        "label": xml_text(spec.name),
        "permissions": permissions if picture else "",
        "dependencies": "".join(f"    implementation(libs.androidx.{name})\n" for name in camera) if picture else "",
        "cases": _cases() if picture else "",
        "what": "it takes a photo, or a picture of the gallery"
        if picture
        else "it shows a form with a field per column",
        "jvm": "pictures are resized as in Python" if picture else "rows are encoded as in Python",
        "files": pictures if picture else cells,
        "parts": "`Pixels.kt`" if picture else "`Cells.kt`",
        "input": (
            "A photo is turned upright (EXIF), cut around its centre, resized with averaging, transparent parts become "
            "white; the network gets its pixels as 0 to 255."
            if picture
            else "A field without a value is NaN, a text that is no choice of its column is -1; the network normalises."
        ),
    }


def _cases() -> str:
    """Assertions for PixelsTest.kt: pictures of a formula, and what Pillow makes of them here."""
    lines = []
    for (width, height), (high, wide) in (((5, 4), (2, 3)), ((3, 2), (4, 5)), ((40, 23), (3, 2)), ((23, 47), (2, 4))):
        expected = ", ".join(map(str, _fitted(width, height, high, wide).ravel().tolist()))
        lines += [
            "        assertArrayEquals(",
            f"            intArrayOf({expected}),",
            f"            picture({width}, {height}).fit({high}, {wide}).values,",
            "        )",
        ]
    return "\n".join(lines)


def _fitted(width: int, height: int, high: int, wide: int) -> NDArray[np.uint8]:
    from PIL import Image

    from kexp.data.pictures import fit

    index = np.arange(width * height * 3)
    picture = ((index * 7919 + index // 5 * 31) % 256).astype(np.uint8).reshape(height, width, 3)
    return np.asarray(fit(Image.fromarray(picture), high, wide))
