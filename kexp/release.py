"""`release`: convert a model, hold every file to the gate, and put what passes into one folder that can ship.

exported/<name>/  one file or folder per format, labels.txt, golden/, README.md (model card), export.json

The folder is built beside and renamed into place, whole. What an earlier export made of the same model is made anew and
stays, as do files that kexp did not write. A file that failed is nowhere in it; where nothing passed there is none.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kexp import export, verify
from kexp.data.dataset import Dataset
from kexp.errors import ExportError
from kexp.export import card, golden
from kexp.records import Artifact, Check
from kexp.runtime import import_modules, open_runtime

CALIBRATION_ROWS = 256
GATE_ROWS = 4000  # validation rows, evenly spaced, where there are more: int16x8 takes milliseconds for each


class Release(NamedTuple):
    """What was exported and what was refused. `failures` tells of each missing format why."""

    folder: Path
    artifacts: list[Artifact]
    checks: list[Check]
    failures: dict[str, str]
    ok: bool


def release(
    model: Path,
    dataset: Dataset,
    formats: Sequence[str],
    folder: Path,
    *,
    tolerances: Mapping[str, float] | None = None,
    trial: int | None = None,
    evaluation: Mapping[str, Any] | None = None,
    modules: Sequence[str] = ("kexp.models.layers",),
) -> Release:
    """Export the .keras file `model` in `formats` (names or "tflite"; all if empty) to `folder`.

    `tolerances` are largest metric drops by format, `evaluation` the document of `evaluate` for the model
    card. Training rows calibrate, validation rows decide. Raises ExportError for formats that do not suit
    the data.
    """
    spec = dataset.spec
    wanted = export.formats(spec.kind, formats)
    wanted = export.formats(spec.kind, [*wanted, *_earlier(folder, verify.digest(model))])
    allowed = {**dict.fromkeys(wanted), **(tolerances or {})}
    for name in allowed:
        export.formats(spec.kind, [name])
    train, validation = (
        _spaced(dataset.rows("train"), CALIBRATION_ROWS),
        _spaced(dataset.rows("validation"), GATE_ROWS),
    )
    x, y = np.asarray(dataset.x[validation]), dataset.y[validation]
    import_modules(modules)  # the file names their layers; before the child, which would fail for each format
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        made = export.export(model, spec, np.asarray(dataset.x[train]), wanted, staging, modules=modules)
        keras = open_runtime(model)
        reference = keras.predict(x)
        names = golden.write(dataset, staging / "golden")
        samples = golden.read(staging / "golden", spec)
        artifacts: list[Artifact] = []
        checks: list[Check] = []
        failures: dict[str, str] = {}
        outputs = {}
        for name in wanted:
            path = made[name]
            if isinstance(path, str):
                failures[name] = path
                continue
            found, why = _judge(name, path, x, y, reference, dataset, allowed[name])
            checks += found
            if why:
                failures[name] = why
                shutil.rmtree(path) if path.is_dir() else path.unlink()
                continue
            outputs[name] = open_runtime(path).predict(samples)
            artifacts.append(
                Artifact(
                    format=name,
                    path=path.name,
                    bytes=verify.size(path),
                    sha256=verify.digest(path),
                    trial=trial,
                )
            )
        if artifacts:
            golden.save_expected(staging / "golden", names, keras.predict(samples), outputs)
            limits = {name: verify.limits(name, spec, len(y), allowed[name]) for name in outputs}
            kept = [check for check in checks if check.name.split()[0] in outputs]
            rows = {part: len(dataset.rows(part)) for part in ("train", "validation")}
            card.write(
                staging, spec, artifacts, kept, limits, rows=rows,
                evaluation=evaluation, trial=trial, modules=modules, model=verify.digest(model),
                golden=verify.digest(staging / "golden"),
            )  # fmt: skip
            _carry_over(folder, staging)
        _replace(staging if artifacts else None, folder)
        return Release(folder, artifacts, checks, failures, not failures)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _judge(
    name: str, path: Path, x: Any, y: Any, reference: Any, dataset: Dataset, tolerance: float | None
) -> tuple[list[Check], str]:
    """The checks of one file, and why it is refused."""
    try:
        outputs = open_runtime(path).predict(x)
    except ExportError as error:
        checks = verify.structure(name, path)
        return [
            *checks,
            Check(name=f"{name} loads", value="no", limit="yes", ok=False, advice=str(error)),
        ], str(error)
    checks = verify.gate(name, reference, outputs, y, dataset.spec, path, tolerance)
    bad = [f"{check.name} {_number(check.value)}, limit {_number(check.limit)}" for check in checks if not check.ok]
    return checks, "; ".join(bad)


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"


def _spaced(rows: Any, count: int) -> Any:
    """At most `count` of `rows`, evenly spaced."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int))]


def _earlier(folder: Path, model: str) -> list[str]:
    """The formats that `folder` holds of the model with that SHA-256."""
    if not (folder / card.MANIFEST).exists():
        return []
    try:
        document, _ = card.manifest(folder)
    except ExportError:  # damaged: it is replaced
        return []
    return [item["format"] for item in document["artifacts"]] if document.get("model") == model else []


def _carry_over(folder: Path, staging: Path) -> None:
    """Copy what somebody else put into `folder`: notes, a licence."""
    ours = {card.MANIFEST, "README.md", "labels.txt", "golden", *(row.file for row in export.FORMATS.values())}
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name not in ours:
            copy = shutil.copytree if path.is_dir() else shutil.copy2
            copy(path, staging / path.name)


def _replace(staging: Path | None, folder: Path) -> None:
    """Put `staging` in the place of `folder`, which may exist; None removes it."""
    old = None
    if folder.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent))
        folder.rename(old / folder.name)
    if staging is not None:
        staging.chmod(0o755)  # mkdtemp makes it private
        staging.rename(folder)
    if old is not None:
        shutil.rmtree(old)
