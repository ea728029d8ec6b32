"""The gate of exported files: outputs in, Checks out; and the gate again from an exported folder alone.

A file passes if it loads with built-in operators, answers as the Keras model does (gap), and is as good on
the validation rows (drop). Whoever computed the outputs, the gate is the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kexp.errors import ExportError
from kexp.export import android, c, golden, metadata
from kexp.export.card import MANIFEST, manifest
from kexp.formats import FORMATS
from kexp.metrics import metrics, objective
from kexp.records import Artifact, Check, DatasetSpec, at_most, from_json
from kexp.runtime import import_modules, onnx, open_runtime, runtime_of, tfjs
from kexp.runtime.litert import CUSTOM, operators

Array = NDArray[Any]
REPEATS = {
    "float": 1e-4,
    "quantised": 0.02,
}  # between machines: rounding, and a quantum or two of int8 (measured)


class Limits(NamedTuple):
    """Of one file. gap: in probability, or in standard deviations of the target. drop: of the metric."""

    gap: float
    drop: float


# Largest gaps measured (18 small nets: six activations, pictures and tables, TensorFlow 2.21, 2026-11), of
# probabilities / in deviations: float32 1.3e-6 / 1.7e-6, float16 .0015 / .0018, dynamic .055 / .071,
# int16x8 .046 / .054, int8 .14 / .65 (a row far outside the calibration rows). The quantised limits leave
# about twice that for harder nets: the drop judges quality, the gap finds a file that computes something else. What
# computes in float32 elsewhere (ONNX, PyTorch, TensorFlow.js) had .7e-6 at most; a pooling computed wrongly, in a
# network of random weights, 3.6e-5. A target far from zero loses digits: 2,000 +- 5 has 2.4e-5 by rounding alone.
# Drops: accuracy as a share, RMSE relative to the Keras model's.
EXACT, EXACT_REGRESSION = Limits(2e-5, 0.0), Limits(1e-4, 1e-4)
HALF = Limits(0.02, 0.002)
QUANTISED = Limits(0.35, 0.01)
QUANTISED_REGRESSION = Limits(1.0, 0.02)
# What CMake, g++ as the README of a C package says, Gradle and Android Studio leave in a package.
BUILT = {"build", "kexp_model", ".gradle", ".idea", ".kotlin", ".cxx", "local.properties"}
PACKAGES = {"c": c.checks, "android": android.checks}  # whether what they hold is what passed the gate
TELLING = ("onnx", "torch", "tfjs")  # families whose runtime reads the labels and the description in the file


def limits(format: str, spec: DatasetSpec, rows: int, tolerance: float | None = None) -> Limits:
    """What `format` is held to on `rows` validation rows; `tolerance` replaces the largest metric drop."""
    if FORMATS[format].exact:
        chosen = EXACT_REGRESSION if spec.task == "regression" else EXACT
    else:
        half = format == "tflite_float16"
        chosen = HALF if half else QUANTISED_REGRESSION if spec.task == "regression" else QUANTISED
        if spec.task != "regression":  # of few rows one sample is more than the limit, and any rounding may turn one
            chosen = chosen._replace(drop=max(chosen.drop, round(1 / max(rows, 1), 9)))
    return chosen if tolerance is None else chosen._replace(drop=tolerance)


def gate(
    format: str,
    reference: Array,
    outputs: Array,
    y: Array,
    spec: DatasetSpec,
    path: Path,
    tolerance: float | None = None,
) -> list[Check]:
    """Verdicts on a file: `reference` (n, outputs) of the Keras model, `outputs` of the file, targets `y`."""
    held = limits(format, spec, len(y), tolerance)
    name, _ = objective(spec.task)
    return [
        *structure(format, path),
        gap(format, reference, outputs, spec, held.gap),
        at_most(
            f"{format} {name} drop",
            drop(reference, outputs, y, spec),
            held.drop,
            f"Use another format, or allow more with --tolerance {format}=DROP.",
        ),
    ]


def wrong(checks: Iterable[Check]) -> str:
    """Which of `checks` are not ok, in words; "" where all are."""
    bad = [check for check in checks if not check.ok]
    return "; ".join(f"{check.name} {_number(check.value)}, limit {_number(check.limit)}" for check in bad)


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"


def structure(format: str, path: Path) -> list[Check]:
    """What can be told without running: bytes, which have no limit, and whether the operators are everywhere."""
    checks = [Check(name=f"{format} bytes", value=size(path), limit=math.inf, ok=True)]
    limit, strange, advice = _operators(path)
    if limit:
        found = ", ".join(strange) or limit
        checks.append(
            Check(
                name=f"{format} operators",
                value=found,
                limit=limit,
                ok=not strange,
                advice=f"{advice} lacks these operators: use other layers in the network." if strange else "",
            )
        )
    if path.is_dir() and format in PACKAGES:
        checks += PACKAGES[format](path)
    return checks


def _operators(path: Path) -> tuple[str, list[str], str]:
    """Which operators a file may have, those in it beyond that, and who lacks them; "" where any will do."""
    if path.suffix == ".tflite":
        custom = [name.removeprefix(CUSTOM) for name in operators(path) if name.startswith(CUSTOM)]
        return "built-in only", custom, "A phone's LiteRT"
    if path.suffix == ".onnx":
        return "standard only", [name for name in onnx.operators(path) if ":" in name], "A phone's ONNX runtime"
    if path.is_dir() and (path / "model.json").is_file():
        return "no loops", [name for name in tfjs.operators(path) if name.startswith(tfjs.LOOPS)], "TensorFlow.js"
    return "", [], ""


def told(format: str, spec: DatasetSpec, texts: Mapping[str, str]) -> list[Check]:
    """Whether a file says inside what it takes and answers: `texts` as its runtime read them."""
    if FORMATS[format].family not in TELLING:
        return []
    ok = dict(texts) == metadata.texts(spec)
    limit = f"as {MANIFEST}"
    value = limit if ok else "another description" if texts else "none"
    advice = "" if ok else "The labels or the description inside are not those of the network. Export again."
    return [Check(name=f"{format} description", value=value, limit=limit, ok=ok, advice=advice)]


def gap(format: str, reference: Array, outputs: Array, spec: DatasetSpec, limit: float, what: str = "gap") -> Check:
    """The largest difference of outputs (n, outputs): of probabilities, or in deviations of the target."""
    advice = "The file does not compute what the model does: report the network, and use another format."
    if reference.shape != outputs.shape or not reference.size:
        value = math.nan
    else:
        difference = np.abs(outputs.astype(np.float64) - reference.astype(np.float64))
        if spec.task == "regression":
            difference = difference / np.array([s or 1.0 for s in spec.target_std] or [1.0])
        value = float(difference.max())
    return at_most(f"{format} {what}", value, limit, advice)


def drop(reference: Array, outputs: Array, y: Array, spec: DatasetSpec) -> float:
    """How much worse the outputs are than `reference`: accuracy as a share, RMSE relative, or NaN."""
    if reference.shape != outputs.shape or not np.isfinite(outputs).all():
        return math.nan
    name, direction = objective(spec.task)
    before, after = (metrics(spec.task, y, values)[name] for values in (reference, outputs))
    if direction == "max":
        return round(before - after, 9)  # shares of rows are no exact floats, and the limit may be one sample
    return after / before - 1 if before else (0.0 if after == before else math.inf)


def folder(exported: Path) -> tuple[list[Artifact], list[Check]]:
    """The artifacts of an exported folder, and the gate from its files alone.

    The metric drop needs all validation rows; its verdict is the one that export stored. TensorFlow is
    loaded only where model.keras or saved_model is there. Raises ExportError where the folder holds no
    export.
    """
    document, spec = manifest(exported)
    artifacts = [from_json(Artifact, item) for item in document["artifacts"]]
    reference, stored = golden.load_expected(exported / "golden")
    x = golden.replayable(exported / "golden", spec, len(reference))
    if any(artifact.path.endswith(".keras") for artifact in artifacts):
        import_modules(document.get("modules", []))
    checks = [_labels(exported, spec), *_golden(exported, document), *_strangers(exported, artifacts)]
    for artifact in artifacts:
        checks += _file(exported, artifact, spec, x, reference, stored, Limits(*document["limits"][artifact.format]))
    checks += [from_json(Check, item) for item in document["checks"] if item["name"].endswith(" drop")]
    return artifacts, checks


def _golden(exported: Path, document: dict[str, Any]) -> list[Check]:
    """Whether the golden vectors are those that were exported."""
    wanted = document.get("golden", "")
    if not wanted:
        return []
    found = digest(exported / "golden")
    advice = "" if found == wanted else "The samples or their answers were changed: no other check means anything now."
    return [Check(name="golden sha256", value=found[:12], limit=wanted[:12], ok=found == wanted, advice=advice)]


def _strangers(exported: Path, artifacts: list[Artifact]) -> list[Check]:
    """Model files that went through no gate."""
    listed = {artifact.path for artifact in artifacts}
    advice = "It is not in export.json, so nobody checked it: remove it, or export it."
    return [
        Check(name=f"{path.name} listed", value="no", limit="yes", ok=False, advice=advice)
        for path in sorted(exported.iterdir())
        if _is_model(path) and path.name not in listed
    ]


def _is_model(path: Path) -> bool:
    try:
        return bool(runtime_of(path))
    except ExportError:
        return False


def digest(path: Path) -> str:
    """SHA-256 of a file; of a folder, of its files' names and contents in order, but for what building it left."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    total = hashlib.sha256()
    for file in sorted(_files(path)):
        total.update(f"{file.relative_to(path).as_posix()}\0{digest(file)}\n".encode())
    return total.hexdigest()


def size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder, but for what building it left."""
    return path.stat().st_size if path.is_file() else sum(file.stat().st_size for file in _files(path))


def _files(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file() and not BUILT & {*p.relative_to(folder).parts}]


def _file(
    exported: Path,
    artifact: Artifact,
    spec: DatasetSpec,
    x: Array,
    reference: Array,
    stored: dict[str, Array],
    held: Limits,
) -> list[Check]:
    """Every check of one file; one that cannot be read or run ends with the check that says so."""
    format, path = artifact.format, exported / artifact.path
    again = f"The file is not the one that was exported. kexp export makes it again in {exported.name}."
    if not path.exists():
        return [Check(name=f"{format} file", value="missing", limit=artifact.path, ok=False, advice=again)]
    found = digest(path)
    same = found == artifact.sha256
    checks = [
        Check(
            name=f"{format} sha256",
            value=found[:12],
            limit=artifact.sha256[:12],
            ok=same,
            advice="" if same else again,
        )
    ]
    try:
        checks += structure(format, path)
        if path.suffix == ".tflite":
            described = metadata.read_spec(path) == spec
            inside = "as export.json" if described else "another description"
            checks.append(
                Check(
                    name=f"{format} description",
                    value=inside,
                    limit="as export.json",
                    ok=described,
                    advice=again,
                )
            )
        with contextlib.closing(open_runtime(path)) as runtime:
            checks += told(format, spec, runtime.texts)
            outputs = runtime.predict(x)
    except ExportError as error:
        return [
            *checks,
            Check(name=f"{format} loads", value=str(error), limit="loads", ok=False, advice="" if same else again),
        ]
    repeats = REPEATS["float" if FORMATS[format].exact else "quantised"]
    expected = stored.get(format, np.empty((0, 0)))
    return [
        *checks,
        gap(format, reference, outputs, spec, held.gap, "golden gap"),
        gap(format, expected, outputs, spec, repeats, "golden repeat"),
    ]


def _labels(exported: Path, spec: DatasetSpec) -> Check:
    try:
        found = (exported / metadata.LABELS).read_text(encoding="utf-8")
    except OSError:
        found = ""
    ok = found == metadata.lines(spec.labels)
    advice = "" if ok else f"{metadata.LABELS} differs from {MANIFEST}. Export again."
    return Check(name="labels", value=found.count("\n"), limit=len(spec.labels), ok=ok, advice=advice)
