"""`release`: convert a model, hold every file to the gate, and put what passes into one folder that can ship.

exported/<name>/  one file or folder per format, labels.txt, golden/, README.md (model card), export.json

The folder is built beside and renamed into place, whole. What an earlier export made of the same model is made anew and
stays, as do files that kexp did not write. A file that failed is nowhere in it; where nothing passed there is none.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kexp import export, verify
from kexp.data.dataset import Dataset
from kexp.errors import ExportError
from kexp.export import card, golden
from kexp.export.package import Package
from kexp.formats import FORMATS
from kexp.formats import formats as formats_of
from kexp.records import Artifact, Check, DatasetSpec
from kexp.runtime import import_modules, open_runtime

Progress = Callable[[int, int, str], None]
CALIBRATION_ROWS = 256
# Share of calibration rows whose outermost values do not count, tried in turn where int8 loses too much: ranges that a
# few rows stretch leave coarse steps to all others (trashnet, mean difference of the outputs .0037, .0030, .0029).
CLIPS = (0.01, 0.05)
CLIPPED = ("tflite_int8", "tflite_uint8")
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
    progress: Progress = lambda done, total, text: None,
) -> Release:
    """Export the .keras file `model` in `formats` (names or "tflite"; all if empty) to `folder`.

    `tolerances` are largest metric drops by format, `evaluation` the document of `evaluate` for the model
    card; `progress` is told how many steps of how many are done, and the next one. Training rows calibrate, validation
    rows decide. Raises ExportError for formats that do not suit
    the data.
    """
    spec = dataset.spec
    wanted = formats_of(spec.kind, formats)
    wanted = formats_of(spec.kind, [*wanted, *_earlier(folder, verify.digest(model))])
    allowed = {**dict.fromkeys(wanted), **(tolerances or {})}
    for name in allowed:
        formats_of(spec.kind, [name])
    train = _spaced(dataset.rows("train"), CALIBRATION_ROWS)
    validation = _spaced(dataset.rows("validation"), GATE_ROWS)
    x, y = np.asarray(dataset.x[validation]), dataset.y[validation]
    import_modules(modules)  # the file names their layers; before the child, which would fail for each format
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        simple = [name for name in wanted if not FORMATS[name].parts]
        packages = [name for name in wanted if FORMATS[name].parts]
        steps = 2 * len(simple) + len(packages)

        def converting(done: int) -> None:
            progress(done, steps, f"making {simple[min(done, len(simple) - 1)]}")

        converting(0)
        calibration = np.asarray(dataset.x[train])
        made = export.export(model, spec, calibration, simple, staging, modules=modules, progress=converting)
        keras = open_runtime(model)
        names = golden.write(dataset, staging / "golden")
        samples = golden.read(staging / "golden", spec)
        gate = _Gate(
            staging=staging, dataset=dataset, x=x, y=y, reference=keras.predict(x), samples=samples,
            allowed=allowed, trial=trial,
        )  # fmt: skip
        for done, name in enumerate(simple, len(simple)):
            progress(done, steps, f"checking {name}")
            gate.judge(name, made[name])
        for clip in CLIPS:
            again = [name for name in CLIPPED if name in gate.failures and isinstance(made[name], Path)]
            if again:
                progress(2 * len(simple), steps, f"making {' and '.join(again)} again, ranges cut by {clip:.0%}")
                made |= export.export(model, spec, calibration, again, staging, modules=modules, clip=clip)
            for name in again:
                gate.judge(name, made[name])

        def describe() -> None:
            golden.save_expected(staging / "golden", names, keras.predict(samples), gate.outputs)
            limits = {name: verify.limits(name, spec, len(y), allowed[name]) for name in gate.outputs}
            kept = [check for check in gate.checks if check.name.split()[0] in gate.outputs]
            rows = {part: len(dataset.rows(part)) for part in ("train", "validation")}
            card.write(
                staging, spec, gate.artifacts, kept, limits, rows=rows,
                evaluation=evaluation, trial=trial, modules=modules, model=verify.digest(model),
                golden=verify.digest(staging / "golden"),
            )  # fmt: skip

        gate.artifacts.sort(key=lambda artifact: wanted.index(artifact.format))
        if packages and gate.artifacts:
            describe()  # packages hold the golden answers of their parts, and what export.json says of them
        for done, name in enumerate(packages, 2 * len(simple)):
            progress(done, steps, f"making {name}")
            gate.judge(name, _pack(name, spec, gate))
        if gate.artifacts:
            describe()
            _carry_over(folder, staging)
        _replace(staging if gate.artifacts else None, folder)
        return Release(folder, gate.artifacts, gate.checks, gate.failures, not gate.failures)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


@dataclass(kw_only=True)
class _Gate:
    """What the files in `staging` are held to, and how those that were judged did."""

    staging: Path
    dataset: Dataset
    x: Any  # (n, *shape), validation rows
    y: Any
    reference: Any  # (n, outputs) of the Keras model
    samples: Any  # golden ones
    allowed: Mapping[str, float | None]
    trial: int | None
    artifacts: list[Artifact] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)  # of the golden samples, by format

    def judge(self, name: str, made: Path | str) -> None:
        """Keep the file or folder `made`, or remove it and note why; a text is why it was not made at all.

        What was found of an earlier file of that format is forgotten.
        """
        self.failures.pop(name, None)
        self.checks = [check for check in self.checks if check.name.split()[0] != name]
        if isinstance(made, str):
            self.failures[name] = made
            return
        checks, why = self._checks(name, made)
        self.checks += checks
        if why:
            self.failures[name] = why
            shutil.rmtree(made) if made.is_dir() else made.unlink()
            return
        self.artifacts.append(
            Artifact(
                format=name,
                path=made.name,
                bytes=verify.size(made),
                sha256=verify.digest(made),
                trial=self.trial,
            )
        )

    def _checks(self, name: str, path: Path) -> tuple[list[Check], str]:
        """The checks of one file, and why it is refused."""
        spec, tolerance = self.dataset.spec, self.allowed[name]
        try:
            with contextlib.closing(open_runtime(path)) as runtime:
                told = verify.told(name, spec, runtime.texts)
                outputs, self.outputs[name] = runtime.predict(self.x), runtime.predict(self.samples)
            checks = [*verify.gate(name, self.reference, outputs, self.y, spec, path, tolerance), *told]
        except ExportError as error:
            self.outputs.pop(name, None)
            unloaded = Check(name=f"{name} loads", value="no", limit="yes", ok=False, advice=str(error))
            return [*verify.structure(name, path), unloaded] if path.is_file() else [unloaded], str(error)
        bad = [check for check in checks if not check.ok]
        wrong = [f"{check.name} {_number(check.value)}, limit {_number(check.limit)}" for check in bad]
        if wrong:
            del self.outputs[name]
        return checks, "; ".join(wrong)


def _pack(name: str, spec: DatasetSpec, gate: _Gate) -> Path | str:
    """The package `name` of files that passed, or why there is none."""
    row = FORMATS[name]
    if refused := [part for part in row.parts if part in gate.failures]:
        return f"it is made of {', '.join(refused)}, which did not pass"
    path = gate.staging / row.file
    try:
        export.write(name, Package(folder=gate.staging, spec=spec, artifacts=tuple(gate.artifacts)), path)
    except ExportError as error:
        shutil.rmtree(path, ignore_errors=True)
        return str(error)
    passed = {artifact.sha256 for artifact in gate.artifacts}
    strange = [file.name for file in path.rglob("*.tflite") if verify.digest(file) not in passed]
    return f"it holds {', '.join(strange)}, which passed no gate" if strange else path


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
    ours = {card.MANIFEST, "README.md", "labels.txt", "golden", *(row.file for row in FORMATS.values())}
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
