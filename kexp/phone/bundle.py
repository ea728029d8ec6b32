"""The page that a phone opens, as a mapping of relative URLs to content: whoever serves or writes it adds nothing.

The page runs the exported .tflite files itself, by LiteRT.js, and replays the golden vectors on the phone. All URLs
are relative, so it works under any path of any host; a service worker, named after the content, keeps it when the
server is gone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kexp.errors import ExportError
from kexp.export import card, golden
from kexp.export.package import Package
from kexp.formats import FORMATS
from kexp.npm import npm_folder
from kexp.phone.results import ABOUT
from kexp.records import Artifact, DatasetSpec, from_json, to_json
from kexp.runtime import open_runtime
from kexp.verify import REPEATS, digest

HERE = Path(__file__).parent
PACKAGE_JSON = HERE / "package.json"
PAGE = HERE / "page"
MARKER = "sw.js"  # a folder that holds it is a page that we wrote
INPUTS = "golden/inputs.bin"

# What LiteRT.js needs on one thread: its core, and the WebAssembly with and without relaxed SIMD, of which a browser
# takes one.
_LITERT = {
    "litert/index.js": "@litertjs/core/dist/index.js",
    "litert/wasm-utils.js": "@litertjs/wasm-utils/dist/index.js",
    **{
        f"litert/litert_wasm{variant}_internal.{end}": f"@litertjs/core/wasm/litert_wasm{variant}_internal.{end}"
        for variant in ("", "_compat")
        for end in ("js", "wasm")
    },
}
_BARE_IMPORT = 'from "@litertjs/wasm-utils"'  # no bundler and no import map, so it becomes a relative URL

# Largest difference from Python's answers where the phone itself decodes and resizes golden pictures that are JPEG or
# WebP, or turned; others give the same pixels as in Python, and are held to the limit of the very tensors. Measured in
# Chromium 156 (128 JPEGs, 70 x 90 to 1203 x 1597, 4:4:4 to 4:2:0, a net of 6 classes): a JPEG that Pillow decodes at
# full size is equal; one that it decodes at 1/2 to 1/8 differs by 7 of 255 at most, .25 in the mean, and so the answers
# by .0063 (float32) and .019 (int8). A filter that does not average is .22 off, swapped colours .71; what is as small
# as a shift by one pixel (.04) passes. What is quantised has steps that a pixel may cross: on real photos (trashnet,
# 12 of 512 x 384 to 64 x 48) float32 and float16 were .013 off, int16x8 .017, int8 .062, dynamic .087.
RAW_LOSSY = {"float": 0.05, "quantised": 0.15}

Content = bytes | Path


def bundle(exported: Path, *, results: bool, notice: Callable[[str], None] | None = None) -> dict[str, Content]:
    """Relative URL -> content of everything that the page for the folder `exported` needs.

    `results` is True where a server takes POSTs at the relative URL `results`; `notice` is told of what takes seconds.
    Raises ExportError where `exported` holds no .tflite with a float32 input, or holds one that was changed.
    """
    document, spec = card.manifest(exported)
    artifacts = _artifacts(exported, document)
    if not artifacts:
        raise ExportError(
            f"{exported} holds no .tflite that takes float32, which is what the page of a phone runs. "
            "Make one: kexp export NAME --tflite."
        )
    files: dict[str, Content] = {
        path.relative_to(PAGE).as_posix(): path
        for path in sorted(PAGE.rglob("*"))
        if path.is_file() and path.name != MARKER
    }
    files |= _litert(npm_folder(PACKAGE_JSON, notice))
    files |= {f"model/{artifact.path}": exported / artifact.path for artifact in artifacts}
    files |= _golden(exported, document, spec)
    files["manifest.webmanifest"] = _json(_web_manifest(spec))
    lossy = golden.lossy(exported / "golden") if spec.kind == "image" else {}
    files[ABOUT] = _json(_about(document, spec, artifacts, results, lossy))
    files[MARKER] = worker(files)
    return files


def write(package: Package, path: Path) -> None:
    """Write the page for the files of `package` to the folder `path`, for a web host that takes no results."""
    for url, content in bundle(package.folder, results=False).items():
        target = path / url
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.read_bytes())


def _artifacts(exported: Path, document: Mapping[str, Any]) -> list[Artifact]:
    """The .tflite files that the page can run, in the order of export.json."""
    found = []
    for entry in document["artifacts"]:
        artifact = from_json(Artifact, entry)
        path = exported / artifact.path
        if path.suffix != ".tflite":
            continue
        if not path.is_file() or digest(path) != artifact.sha256:
            raise ExportError(
                f"{path} is {'changed' if path.is_file() else 'missing'}: it is not the file that passed its gate. "
                "Export again."
            )
        if open_runtime(path).dtype == np.float32:  # LiteRT.js does not say how to read integer outputs
            found.append(artifact)
    return found


def _litert(modules: Path) -> dict[str, Content]:
    files: dict[str, Content] = {url: modules / path for url, path in _LITERT.items()}
    for path in files.values():
        if isinstance(path, Path) and not path.is_file():
            raise ExportError(f"{path} is missing. Remove {modules.parent}; it is fetched again.")
    for url in ("litert/index.js", "litert/wasm-utils.js"):
        text = (modules / _LITERT[url]).read_text(encoding="utf-8")
        if url == "litert/index.js":
            if text.count(_BARE_IMPORT) != 1:
                raise ExportError(f"{modules / _LITERT[url]} does not import as expected. Remove {modules.parent}.")
            text = text.replace(_BARE_IMPORT, 'from "./wasm-utils.js"')
        kept = [line for line in text.splitlines() if not line.startswith("//# sourceMappingURL=")]
        files[url] = ("\n".join(kept) + "\n").encode()
    return files


def _golden(exported: Path, document: Mapping[str, Any], spec: DatasetSpec) -> dict[str, Content]:
    """The raw samples as they are, expected.json, and the tensors that Python feeds, float32 (n, *shape)."""
    folder = exported / "golden"
    if document.get("golden") and digest(folder) != document["golden"]:
        raise ExportError(
            f"{folder} was changed: it does not hold the samples and answers of this export. Export again."
        )
    reference, _ = golden.load_expected(folder)
    inputs = golden.replayable(folder, spec, len(reference))
    files: dict[str, Content] = {f"golden/{path.name}": path for path in sorted(folder.iterdir()) if path.is_file()}
    files[INPUTS] = inputs.astype("<f4").tobytes()
    return files


def _about(
    document: Mapping[str, Any], spec: DatasetSpec, artifacts: list[Artifact], results: bool, lossy: Mapping[str, bool]
) -> dict[str, Any]:
    """What the page must know of the model: model/about.json.

    `limits` has the checks that a phone must make of each format, by name: its verdict is passed by them here too.
    """
    limits = {}
    for artifact in artifacts:
        computes = "float" if FORMATS[artifact.format].exact else "quantised"
        gap = REPEATS[computes]
        limits[artifact.format] = {"phone gap": gap}
        if not (lossy and all(lossy.values())):
            limits[artifact.format]["phone raw gap"] = gap
        if any(lossy.values()):
            limits[artifact.format]["phone raw gap lossy"] = max(gap, RAW_LOSSY[computes])
    return {
        "name": spec.name,
        "task": spec.task,
        "kind": spec.kind,
        "spec": to_json(spec),
        "evaluation": _evaluation(document.get("evaluation")),
        "artifacts": [
            {name: getattr(artifact, name) for name in ("format", "path", "bytes", "sha256")} for artifact in artifacts
        ],
        "limits": limits,
        "lossy": [name for name, one in lossy.items() if one],
        "results": results,
        "created": document.get("created", ""),
        "kexp": document.get("kexp", ""),
        "runtime": "LiteRT.js " + json.loads(PACKAGE_JSON.read_text())["dependencies"]["@litertjs/core"],
    }


def _evaluation(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The metric that has an interval, of the model and of each file, on the test rows; None where not evaluated."""
    interval = (found or {}).get("interval") or {}
    if not found or interval.get("metric") not in found["metrics"]:
        return None
    name = interval["metric"]
    files = {path: metrics[name] for path, metrics in (found.get("files") or {}).items() if name in metrics}
    return {**interval, "value": found["metrics"][name], "rows": found["rows"], "files": files}


def _web_manifest(spec: DatasetSpec) -> dict[str, Any]:
    icons = [
        {"src": "icon-192.png", "sizes": "192x192", "type": "image/png", "purpose": "any"},
        {"src": "icon-512.png", "sizes": "512x512", "type": "image/png", "purpose": "any"},
        {"src": "icon-maskable-512.png", "sizes": "512x512", "type": "image/png", "purpose": "maskable"},
        {"src": "icon.svg", "sizes": "any", "type": "image/svg+xml", "purpose": "any"},
    ]
    return {
        "name": f"{spec.name} · kexp",
        "short_name": spec.name[:12],
        "start_url": "./",
        "scope": "./",
        "display": "standalone",
        "background_color": "#f5f4f0",
        "theme_color": "#0b6e63",
        "icons": icons,
    }


def worker(files: Mapping[str, Content]) -> bytes:
    """The service worker with the digest of every file: other content makes another worker, which the phone takes."""
    digests = {url: _digest(content) for url, content in sorted(files.items()) if url != MARKER}
    text = (PAGE / MARKER).read_text(encoding="utf-8")
    return text.replace("{} /* filled in */", json.dumps(digests, indent=1)).encode()


def _digest(content: Content) -> str:
    return digest(content) if isinstance(content, Path) else hashlib.sha256(content).hexdigest()


def _json(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()
