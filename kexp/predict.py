"""`kexp run`: an exported file on a user's own pictures, table rows or arrays. Neither TensorFlow nor pandas.

What the model takes and answers is read from the file itself, or from the export.json beside it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kexp.data.columns import encode_row
from kexp.errors import DataError, ExportError
from kexp.export import metadata
from kexp.records import DatasetSpec
from kexp.runtime import open_runtime
from kexp.runtime.protocol import AbstractRuntime

TABLES = (".csv", ".tsv", ".parquet")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The answer to one sample.

    `values` are probabilities by label, the largest first, or numbers by target. `label` is the most probable
    label, of a multilabel task all at .5 or more, of a regression empty. `ms` is the time of the model alone,
    `p50_ms` and `p95_ms` over the repetitions, where there were any.
    """

    source: str  # a file; "rows.csv line 3"; "x.npy sample 0"
    label: str
    values: dict[str, float]
    ms: float
    p50_ms: float | None = None
    p95_ms: float | None = None
    warnings: tuple[str, ...] = field(default=())


class _Sample(NamedTuple):
    source: str
    x: NDArray[Any]  # (*shape,)
    warnings: Sequence[str] = ()


def run(model: Path, inputs: Sequence[Path], *, repeat: int = 1, top: int = 3, threads: int = 1) -> list[Prediction]:
    """One answer per picture, table row and array element of `inputs`, in order, of the `top` labels each.

    Raises ExportError for a model that cannot be run, DataError for an input that does not suit it, naming
    the file and row.
    """
    with contextlib.closing(open_runtime(model, threads)) as runtime:
        spec = describe(model, runtime.texts)
        if runtime.shape != spec.shape:
            raise ExportError(f"{model} takes {runtime.shape}, its description says {spec.shape}. Export it again.")
        samples = [sample for path in inputs for sample in _read(path, spec)]
        if not samples:
            raise DataError(f"no input: {_expected(spec)} is expected.")
        runtime.predict(samples[0].x[None])  # the first one allocates, and would be the slowest of all
        return [_answer(runtime, sample, spec, repeat, top) for sample in samples]


def describe(model: Path, texts: Mapping[str, str] = MappingProxyType({})) -> DatasetSpec:
    """What the model takes and answers; `texts` are those that its runtime found in it.

    Raises ExportError where neither file nor export.json says it.
    """
    if metadata.SPEC in texts:
        return metadata.parse(texts[metadata.SPEC], model)
    inside = metadata.read_spec(model) if model.suffix == ".tflite" else None
    if inside is not None:
        return inside
    from kexp.export import card

    if not (model.parent / card.MANIFEST).exists():
        raise ExportError(
            f"{model} does not describe itself, and no {card.MANIFEST} lies beside it. "
            "Give a file that kexp export wrote."
        )
    return card.manifest(model.parent)[1]


def _answer(runtime: AbstractRuntime, sample: _Sample, spec: DatasetSpec, repeat: int, top: int) -> Prediction:
    times = runtime.latency(sample.x[None], repeat)
    outputs = runtime.predict(sample.x[None])[0].astype(float)
    p50, p95 = np.percentile(times, (50, 95)) if repeat > 1 else (None, None)
    if not np.isfinite(outputs).all():
        raise ExportError(
            f"{sample.source}: the model answers {outputs.tolist()}, which is no number. Export it again."
        )
    values = dict(zip(metadata.axis_labels(spec), outputs.tolist(), strict=True))
    label = ""
    if spec.task == "binary":
        values[spec.labels[0]] = 1.0 - values[spec.labels[-1]]
    if spec.task == "multilabel":
        label = ", ".join(name for name, value in values.items() if value >= 0.5)
    if spec.task != "regression":
        # At an equal probability of two, the binary threshold says the second, argmax the first.
        ties = {name: place for place, name in enumerate(metadata.axis_labels(spec))}
        ranked = sorted(values, key=lambda name: (-values[name], ties.get(name, len(ties))))
        label = label if spec.task == "multilabel" else ranked[0]
        values = {name: values[name] for name in ranked[:top]}
    return Prediction(
        source=sample.source,
        label=label,
        values=values,
        ms=float(np.median(times)),
        p50_ms=None if p50 is None else float(p50),
        p95_ms=None if p95 is None else float(p95),
        warnings=tuple(sample.warnings),
    )


def _read(path: Path, spec: DatasetSpec) -> Iterator[_Sample]:
    """The samples in one file of a user."""
    if not path.exists():
        raise DataError(f"{path} does not exist. Give {_expected(spec)}.")
    if path.is_dir():
        raise DataError(f"{path} is a folder. Give the files in it: {_expected(spec)}.")
    suffix = path.suffix.lower()
    if suffix == ".npy":
        yield from _array(path, spec)
    elif spec.kind == "table":
        if suffix not in TABLES:
            raise DataError(f"{path}: this model takes rows of a table. Give {_expected(spec)}.")
        yield from _rows(path, spec)
    else:
        if suffix in TABLES:
            raise DataError(f"{path}: this model takes pictures. Give {_expected(spec)}.")
        from kexp.data.pictures import decode

        height, width, channels = spec.shape
        yield _Sample(str(path), decode(path, (height, width, channels)))


def _rows(path: Path, spec: DatasetSpec) -> Iterator[_Sample]:
    from kexp.data.tables import read_file

    table = read_file(path)
    for line, cells in zip(table.lines, zip(*table.columns.values(), strict=True), strict=True):
        source = f"{path} line {line}"
        try:
            vector, warnings = encode_row(dict(zip(table.columns, cells, strict=True)), spec.columns)
        except DataError as error:
            raise DataError(f"{source}: {error}") from error
        yield _Sample(source, vector, warnings)


def _array(path: Path, spec: DatasetSpec) -> Iterator[_Sample]:
    """Raw samples (n, *shape), or one (*shape,): pictures 0..255, encoded rows."""
    try:
        x = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{path} is no .npy array of numbers: {error}. Write it with numpy.save.") from error
    if not isinstance(x, np.ndarray) or x.dtype.kind not in "uifb":
        raise DataError(f"{path} holds no numbers. Expected: (n, {', '.join(map(str, spec.shape))}), raw samples.")
    if x.shape == spec.shape:
        x = x[None]
    if x.shape[1:] != spec.shape:
        raise DataError(f"{path} is {x.shape}: (n, {', '.join(map(str, spec.shape))}) is expected, raw samples.")
    if spec.kind == "image":
        bad = np.flatnonzero(~np.isfinite(x.astype(float)).reshape(len(x), -1).all(axis=1))
        if len(bad):
            raise DataError(f"{path} sample {bad[0]} holds a value that is no number. Pixels are 0 to 255.")
        warning = ["largest pixel is 1 or less: 0 to 255 is expected"] if len(x) and 0 < x.max() <= 1 else []
    else:
        warning = []
    yield from (_Sample(f"{path} sample {i}", sample, warning) for i, sample in enumerate(x))


def _expected(spec: DatasetSpec) -> str:
    return "pictures, or raw pixels as .npy" if spec.kind == "image" else "CSV files with a header, or rows as .npy"
