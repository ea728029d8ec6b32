"""Data: `load` finds out what is at a path, and brings it to the one form that every later step reads.

What can be read is a row of READERS, in readers.py. Statistics are of the training rows alone.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from kexp.data import class_folders, prepare, targets
from kexp.data.dataset import PARTS, Dataset, Raw
from kexp.data.readers import READERS, Progress, Reader
from kexp.errors import DataError, ExperimentError, nearest
from kexp.experiment import BUNDLED, MEMORY, locate
from kexp.records import PLURALS, DatasetSpec, Experiment, Kind

__all__ = ["READERS", "Dataset", "Raw", "Reader", "describe", "load", "prepared", "read"]

NAMES: dict[Kind, str] = {**PLURALS, "table": "a table"}
OF: dict[str, tuple[Kind, ...]] = {  # options that are of some kinds of data alone
    "size": ("image", "clip"),
    "length": ("sound",),
    "rate": ("sound",),
    "frames": ("clip",),
    "steps": ("series",),
    "stride": ("series",),
    "horizon": ("series",),
}
FOREIGN = {  # what phones and scanners write, and is not read
    ".m4a": "Convert .m4a to .wav or .flac.",
    ".aac": "Convert .aac to .wav or .flac.",
    ".opus": "Convert .opus to .wav or .ogg.",
    ".heic": "Convert .heic to .jpg.",
    ".tif": "Convert .tif to .png.",
}
MAX_COLUMNS = 40  # that are described one by one


def load(experiment: Experiment, *, base: Path = Path(), cache: Path, progress: Progress | None = None) -> Dataset:
    """The data that `experiment` names, read, split and encoded.

    A path is relative to `base`, otherwise to the current folder. Decoded files are kept under `cache`;
    `progress` is told how many of how many are done. Raises DataError where there is nothing, or what is there
    cannot be used.
    """
    return prepared(read(experiment, base=base, cache=cache, progress=progress), experiment, progress)


def read(experiment: Experiment, *, base: Path = Path(), cache: Path, progress: Progress | None = None) -> Raw:
    """The samples that `experiment` names, with a target each, before it is encoded; arguments and errors as `load`."""
    if experiment.clusters and experiment.task != "clustering":
        raise ExperimentError(
            f'clusters = {experiment.clusters} goes with task = "clustering" alone. Remove or add one.'
        )
    if experiment.data.startswith(MEMORY):
        raise DataError(
            f'data = "{experiment.data}": the samples were arrays of a program, which kept none of them for another '
            "search. Search from that program again, or write the samples into files."
        )
    path = Path(locate(experiment.data, base))
    if not experiment.data.startswith(BUNDLED) and not path.exists():
        raise DataError(_not_there(path))
    reader = next((row for row in READERS.values() if row.matches(path, experiment)), None)
    if reader is None:
        raise DataError(_nothing(path, experiment))
    raw = reader.read(path, experiment, cache, progress)
    _check_kind(path, raw, experiment)
    raw.notices += _unused(raw, experiment, reader)
    return raw if experiment.task == "clustering" else _with_target(raw)  # a cluster needs no target


def _check_kind(path: Path, raw: Raw, experiment: Experiment) -> None:
    if experiment.kind not in (None, raw.kind) and not experiment.data.startswith(BUNDLED):
        raise ExperimentError(
            f'kind = "{experiment.kind}", but {path} can only be read as {NAMES[raw.kind]} ("{raw.kind}"). Remove the '
            "kind, or name other data."
        )


def _unused(raw: Raw, experiment: Experiment, reader: Reader) -> list[str]:
    """What the experiment says of the data that these data have no use for."""
    notices = []
    if not reader.has_target:
        if experiment.target:
            notices.append(f"target = {', '.join(experiment.target)} is not used: these data name their own.")
        for name in ("split_column", "group_column", "time_column", "drop"):
            value = getattr(experiment, name)
            if value:
                shown = value if isinstance(value, str) else ", ".join(value)
                notices.append(f"{name} = {shown} is not used: these data have no columns of that sort.")
    if experiment.data.startswith("generated:"):  # they say so themselves
        return notices
    for name, of in OF.items():
        if getattr(experiment, name) and raw.kind not in of:
            notices.append(
                f"{name} is not used: it is of {' and '.join(NAMES[kind] for kind in of)}; these are {NAMES[raw.kind]}."
            )
    if raw.kind == "series" and experiment.horizon and not raw.horizon:
        notices.append("horizon is not used: a forecast is made from one long table.")
    if raw.kind == "series" and experiment.stride and raw.files is not None:
        notices.append("stride is not used: these series are recordings of their own. One long table is cut.")
    return notices


def prepared(raw: Raw, experiment: Experiment, progress: Progress | None = None) -> Dataset:
    """What `read` returned, split and encoded. Raises DataError where that cannot be done."""
    if experiment.task == "clustering":
        from kexp.data import clustering

        return clustering.prepared(raw, experiment, progress)
    target = targets.encode(raw.y, names=raw.targets, task=experiment.task, labels=raw.labels, ids=raw.ids)
    raw.notices += target.notices
    return prepare.prepare(raw, target, experiment)


def describe(dataset: Dataset) -> list[tuple[str, str]]:
    """What a person wants to know about the data before a search: (name, text) lines."""
    spec = dataset.spec
    lines = [("kind", spec.kind), ("task", spec.task), ("samples", f"{len(dataset.y):,}")]
    counts = [(part, len(dataset.rows(part))) for part in PARTS]
    lines.append(("parts", ", ".join(f"{part} {count:,}" for part, count in counts)))
    lines += [("size", text) for text in [_size(spec)] if text]
    if spec.target:
        lines.append(("target", spec.target))
    if spec.task in ("binary", "multiclass"):
        sizes = np.bincount(dataset.y, minlength=len(spec.labels))
        shown = [f"{label} {size:,}" for label, size in zip(spec.labels, sizes, strict=True)]
        more = f" ... ({len(shown)} classes)" if len(shown) > 20 else ""
        lines.append(("classes", ", ".join(shown[:20]) + more))
        lines.append(("largest class", f"{sizes.max() / sizes.sum():.1%} of the samples"))
    elif spec.task == "multilabel":
        shares = zip(spec.labels, dataset.y.mean(axis=0), strict=True)
        lines.append(("labels", ", ".join(f"{label} {share:.1%}" for label, share in shares)))
    else:
        for k, label in enumerate(spec.labels):
            values = dataset.y[:, k]
            lines.append((f"{label}", f"{values.min():g}..{values.max():g}, mean {values.mean():g}"))
    for column in spec.columns[:MAX_COLUMNS]:
        lines.append((f"column {column.name}", _column_text(column.kind, column.choices, column.missing)))
    if len(spec.columns) > MAX_COLUMNS:
        kinds = Counter(column.kind for column in spec.columns)
        named = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        lines.append(("columns", f"{len(spec.columns)} altogether: {named}"))
    return lines + [("notice", notice) for notice in dataset.notices]


def _size(spec: DatasetSpec) -> str:
    """The shape of a sample in words; empty for a row of a table, whose columns are told one by one."""
    if spec.pixels:
        frames, (height, width, channels) = spec.shape[:-3], spec.shape[-3:]
        text = f"{height} x {width}, {'grey' if channels == 1 else 'colour'}"
        return f"{frames[0]} frames of {text}" if frames else text
    if spec.kind == "sound":
        return f"{spec.shape[0] / spec.rate:.3g} s at {spec.rate:,.0f} Hz"
    if spec.kind == "series":
        steps, channels = spec.shape
        return f"{steps:,} steps of {', '.join(spec.channels[:8]) or channels}{' ...' if channels > 8 else ''}"
    return ""


def _column_text(kind: str, choices: tuple[str, ...], missing: bool) -> str:
    shown = f": {', '.join(choices[:6])}{' ...' if len(choices) > 6 else ''}" if choices else ""
    return f"{kind}{shown}{' (some missing)' if missing else ''}"


def _with_target(raw: Raw) -> Raw:
    """The rows whose target is known."""
    there = targets.present(raw.y)
    if there.all() or not there.any():
        return raw if there.any() else replace(raw, y=raw.y[:0])
    rows = np.flatnonzero(there)
    gone = np.flatnonzero(~there)
    raw.notices.append(
        f"{len(gone):,} {'row has' if len(gone) == 1 else 'rows have'} no target and "
        f"{'is' if len(gone) == 1 else 'are'} left out, such as {raw.ids[gone[0]]}."
    )
    return raw.take(rows)


def _nothing(path: Path, experiment: Experiment) -> str:
    """What to say of a path that no reader reads."""
    what = f"{path} is nothing that can be read{f' as kind = {experiment.kind!r}' if experiment.kind else ''}."
    if path.is_dir() and not experiment.kind:
        others = class_folders.counted(path)
        what = f"{path} holds no pictures, sounds, clips or recordings{others and f', only {others}'}."
        what += "".join(f" {advice}" for suffix, advice in FOREIGN.items() if f" {suffix}" in others)
    return (
        f"{what} Expected: a folder of class folders with pictures, sounds, clips or recordings, a CSV with their "
        "paths, a table (.csv, .tsv, .parquet; or a folder with train.csv and test.csv), series (.ts), idx files, or "
        "an .npz with x and y."
    )


def _not_there(path: Path) -> str:
    """What to say of a path that does not exist, with the nearest name in the folder that does."""
    missing, folder = path, path.parent
    while not folder.exists() and folder != folder.parent:
        missing, folder = folder, folder.parent
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    hint = nearest(missing.name, names)
    if "Did you mean" not in hint and len(names) > 20:
        hint = ""
    return f"{path} does not exist: {folder.absolute()} has no {missing.name!r}.{hint}"
