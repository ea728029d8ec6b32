"""`release`: convert a model, hold every file to the gate, and put what passes into one folder that can ship.

exported/<name>/  one file or folder per format, labels.txt, golden/, README.md (model card), export.json

The folder is built beside and renamed into place, whole. What an earlier export made of the same model stays, and so do
files that kexp did not write. A file that failed is nowhere in it; where nothing is left there is no folder.
"""

from __future__ import annotations

import contextlib
import numbers
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kexp import export, exported, verify
from kexp.data.dataset import Dataset
from kexp.errors import ExportError
from kexp.export import card, golden, rows
from kexp.export.package import Package
from kexp.export.source import CARES, Care
from kexp.formats import FORMATS
from kexp.formats import formats as formats_of
from kexp.records import Artifact, Check, DatasetSpec
from kexp.runtime import import_modules, open_runtime
from kexp.runtime.protocol import brief

Progress = Callable[[int, int, str], None]
CAREFUL = ("tflite_int8", "tflite_uint8")


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
    fold: int = 0,
    evaluation: Mapping[str, Any] | None = None,
    modules: Sequence[str] = ("kexp.models.layers",),
    identity: str = "",
    progress: Progress = lambda done, total, text: None,
) -> Release:
    """Export the .keras file `model` in `formats` (as `kexp.formats.formats` takes them) to `folder`.

    `tolerances` are largest metric drops by format or family, `evaluation` the document of `evaluate` for the model
    card; `identity` tells whether an earlier export was of the same model, otherwise its SHA-256 does; `progress` is
    told how many steps of how many are done, and the next one. Training rows calibrate, validation rows decide, both
    of `fold`. Raises ExportError for formats that do not suit the data.
    """
    spec = dataset.spec
    asked = formats_of(spec.kind, formats)
    identity = identity or verify.digest(model)
    earlier = exported.earlier(folder, identity, spec)
    wanted = formats_of(spec.kind, [*asked, *earlier])
    allowed = tolerated(spec, wanted, tolerances or {})
    train, validation = rows.calibrating(dataset, fold), rows.judging(dataset, fold)
    x, y = np.asarray(dataset.x[validation]), dataset.y[validation]
    import_modules(modules)  # the file names their layers; before the child, which would fail for each format
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        names = golden.write(dataset, staging / "golden")
        samples = golden.read(staging / "golden", spec)
        stays = exported.stays(earlier, asked, folder / "golden", staging / "golden")
        simple = [name for name in wanted if not FORMATS[name].parts and name not in stays]
        packages = [name for name in wanted if FORMATS[name].parts and name not in stays]
        steps = 2 * len(simple) + len(packages)

        def converting(done: int) -> None:
            progress(done, steps, f"making {[*simple, *packages, ''][min(done, max(len(simple) - 1, 0))]}")

        converting(0)
        calibration = np.asarray(dataset.x[train])
        made = export.export(model, spec, calibration, simple, staging, modules=modules, progress=converting)
        keras = open_runtime(model)
        gate = _Gate(
            staging=staging, dataset=dataset, x=x, y=y, reference=keras.predict(x), samples=samples,
            allowed=allowed, trial=trial,
        )  # fmt: skip
        for name in stays:
            gate.keep(folder, earlier[name])
        for done, name in enumerate(simple, len(simple)):
            progress(done, steps, f"checking {name}")
            gate.judge(name, made[name])
        for care in CARES:
            again = [name for name in CAREFUL if name in gate.failures and isinstance(made[name], Path)]
            if again:
                progress(2 * len(simple), steps, f"making {' and '.join(again)} again, {_said(care)}")
                made |= export.export(model, spec, calibration, again, staging, modules=modules, care=care)
            for name in again:
                gate.judge(name, made[name])

        def describe() -> None:
            golden.save_expected(staging / "golden", names, keras.predict(samples), gate.outputs)
            limits = {
                name: earlier[name].limits if name in stays else verify.limits(name, spec, len(y), allowed[name])
                for name in gate.outputs
            }
            kept = [check for check in gate.checks if check.name.split()[0] in gate.outputs]
            counts = {part: len(dataset.rows(part)) for part in ("train", "validation")}
            card.write(
                staging, spec, gate.artifacts, kept, limits, rows=counts,
                evaluation=evaluation, trial=trial, modules=modules, model=identity,
                golden=verify.digest(staging / "golden"), clustering=dataset.clustering,
            )  # fmt: skip

        if packages and gate.artifacts:
            describe()  # packages hold the golden answers of their parts, and what export.json says of them
        for done, name in enumerate(packages, 2 * len(simple)):
            progress(done, steps, f"making {name}")
            gate.judge(name, _pack(name, spec, gate))
        gate.artifacts.sort(key=lambda artifact: wanted.index(artifact.format))
        if gate.artifacts:
            describe()
        else:
            shutil.rmtree(staging / "golden")
        exported.carry_over(folder, staging)
        exported.replace(staging if any(staging.iterdir()) else None, folder)
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

    def keep(self, folder: Path, earlier: exported.Earlier) -> None:
        """Take over a file of `folder` that passed in an earlier export of the same model."""
        name, source = earlier.artifact.format, folder / earlier.artifact.path
        exported.copy(source, self.staging / source.name)
        self.artifacts.append(earlier.artifact)
        self.checks += earlier.checks
        self.outputs[name] = earlier.outputs

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
        except Exception as error:  # noqa: BLE001 - a runtime may raise anything; the other formats go on
            self.outputs.pop(name, None)
            why = _reason(error)
            unloaded = Check(name=f"{name} loads", value="no", limit="yes", ok=False, advice=why)
            with contextlib.suppress(ExportError):
                return [*verify.structure(name, path), unloaded], why
            return [unloaded], why
        if wrong := verify.wrong(checks):
            del self.outputs[name]
        return checks, wrong


def _said(care: Care) -> str:
    blocks = "the first block float" if care.floats == 1 else f"the first {care.floats} blocks float"
    return f"ranges cut by {care.clip:.0%}" + (f", {blocks}" if care.floats else "")


def _pack(name: str, spec: DatasetSpec, gate: _Gate) -> Path | str:
    """The package `name` of files that passed, or why there is none."""
    row = FORMATS[name]
    refused = [part for part in row.parts if part in gate.failures]
    if len(refused) == len(row.parts):
        return f"it is made of {', '.join(refused)}, which did not pass"
    path = gate.staging / row.file
    try:
        export.write(name, Package(folder=gate.staging, spec=spec, artifacts=tuple(gate.artifacts)), path)
    except Exception as error:  # noqa: BLE001 - as where a converter is run
        shutil.rmtree(path, ignore_errors=True)
        return _reason(error)
    passed = {artifact.sha256 for artifact in gate.artifacts}
    strange = [file.name for file in path.rglob("*.tflite") if verify.digest(file) not in passed]
    return f"it holds {', '.join(strange)}, which passed no gate" if strange else path


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, ExportError) else f"{type(error).__name__}: {brief(error)}"


def tolerated(spec: DatasetSpec, wanted: Sequence[str], given: Mapping[str, float]) -> dict[str, float | None]:
    """The largest drop that each of `wanted` may have. Raises ExportError for a name that is no format or family, and
    for a drop that is no number of 0 or more: no file could pass it.

    A package may lose what the file that it holds may lose.
    """
    allowed: dict[str, float | None] = dict.fromkeys(wanted)
    for name, drop in sorted(given.items(), key=lambda item: item[0] in FORMATS):  # a format after its family
        named = formats_of(spec.kind, [name])
        if isinstance(drop, bool) or not isinstance(drop, numbers.Real) or not drop >= 0:
            raise ExportError(f"tolerances: {name} = {drop!r}: a drop of 0 or more is expected, such as 0.02.")
        allowed |= {one: drop for one in named if one == name or FORMATS[one].family == name}
    for name in wanted:
        if FORMATS[name].parts and allowed[name] is None:
            allowed[name] = allowed.get("tflite_int8")
    return allowed
