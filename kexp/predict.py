"""`kexp run`: an exported file on a user's own files: pictures, table rows, recordings, sounds, clips.

Neither TensorFlow nor pandas.
What the model takes and answers is read from the file itself, or from the export.json beside it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np

from kexp.data.samples import SAMPLES, Sample, read
from kexp.errors import DataError, ExportError
from kexp.export import metadata
from kexp.records import DatasetSpec
from kexp.runtime import open_runtime
from kexp.runtime.protocol import AbstractRuntime


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


def run(model: Path, inputs: Sequence[Path], *, repeat: int = 1, top: int = 3, threads: int = 1) -> list[Prediction]:
    """One answer per file, table row and array element of `inputs`, in order, of the `top` labels each.

    Raises ExportError for a model that cannot be run, DataError for an input that does not suit it, naming
    the file and row.
    """
    with contextlib.closing(open_runtime(model, threads)) as runtime:
        spec = describe(model, runtime.texts)
        if runtime.shape != spec.shape:
            raise ExportError(f"{model} takes {runtime.shape}, its description says {spec.shape}. Export it again.")
        samples = [sample for path in inputs for sample in _read(path, spec)]
        if not samples:
            raise DataError(f"no input: {SAMPLES[spec.kind].expected} is expected.")
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


def _answer(runtime: AbstractRuntime, sample: Sample, spec: DatasetSpec, repeat: int, top: int) -> Prediction:
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


def _read(path: Path, spec: DatasetSpec) -> Iterator[Sample]:
    """The samples in one file of a user."""
    expected = SAMPLES[spec.kind].expected
    if not path.exists():
        raise DataError(f"{path} does not exist. Give {expected}.")
    if path.is_dir():
        raise DataError(f"{path} is a folder. Give the files in it: {expected}.")
    yield from read(path, spec)
