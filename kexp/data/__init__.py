"""Data: `load` finds out what is at a path, and brings it to the one form that every later step reads.

What can be read is a row of READERS. Statistics are of the training rows alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from kexp.data import prepare, targets
from kexp.data.dataset import PARTS, Dataset, Raw
from kexp.errors import DataError, nearest
from kexp.experiment import SKLEARN, locate
from kexp.records import Experiment

__all__ = ["READERS", "Dataset", "Raw", "Reader", "describe", "load", "prepared", "read"]

MAX_COLUMNS = 40  # that are described one by one
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Reader:
    """A kind of data: whether a path holds it, and how it is read."""

    matches: Callable[[Path], bool]
    read: Callable[[Path, Experiment, Path, Progress | None], Raw]  # path, experiment, cache, progress
    has_target: bool = False  # the experiment chooses the target; elsewhere the data say what it is


def load(experiment: Experiment, *, base: Path = Path(), cache: Path, progress: Progress | None = None) -> Dataset:
    """The data that `experiment` names, read, split and encoded.

    A path is relative to `base`, otherwise to the current folder. Decoded pictures are kept under `cache`;
    `progress` is told how many of how many are done. Raises DataError where there is nothing, or what is there
    cannot be used.
    """
    return prepared(read(experiment, base=base, cache=cache, progress=progress), experiment)


def read(experiment: Experiment, *, base: Path = Path(), cache: Path, progress: Progress | None = None) -> Raw:
    """The samples that `experiment` names, with a target each, before it is encoded; arguments and errors as `load`."""
    path = Path(locate(experiment.data, base))
    if not experiment.data.startswith(SKLEARN) and not path.exists():
        raise DataError(_not_there(path))
    reader = next((row for row in READERS.values() if row.matches(path)), None)
    if reader is None:
        raise DataError(
            f"{path} is nothing that can be read. Expected: a folder of class folders with pictures, a table "
            "(.csv, .tsv, .parquet; or a folder with train.csv and test.csv), a CSV with paths of pictures, "
            "idx files, or an .npz with x and y."
        )
    raw = reader.read(path, experiment, cache, progress)
    if experiment.target and not reader.has_target:
        raw.notices.append(f"target = {', '.join(experiment.target)} is not used: these data name their own.")
    return _with_target(raw)


def prepared(raw: Raw, experiment: Experiment) -> Dataset:
    """What `read` returned, split and encoded. Raises DataError where that cannot be done."""
    target = targets.encode(raw.y, names=raw.targets, task=experiment.task, labels=raw.labels, ids=raw.ids)
    raw.notices += target.notices
    return prepare.prepare(raw, target, experiment)


def describe(dataset: Dataset) -> list[tuple[str, str]]:
    """What a person wants to know about the data before a search: (name, text) lines."""
    spec = dataset.spec
    lines = [("kind", spec.kind), ("task", spec.task), ("samples", f"{len(dataset.y):,}")]
    counts = [(part, len(dataset.rows(part))) for part in PARTS]
    lines.append(("parts", ", ".join(f"{part} {count:,}" for part, count in counts)))
    if spec.kind == "image":
        lines.append(("size", f"{spec.shape[0]} x {spec.shape[1]}, {'grey' if spec.shape[2] == 1 else 'colour'}"))
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
    return replace(
        raw,
        x=raw.x[rows] if isinstance(raw.x, np.ndarray) else raw.x.iloc[rows].reset_index(drop=True),
        y=raw.y[rows],
        parts=None if raw.parts is None else raw.parts[rows],
        ids=[raw.ids[row] for row in rows],
        files=None if raw.files is None else [raw.files[row] for row in rows],
        groups=None if raw.groups is None else raw.groups[rows],
        times=None if raw.times is None else raw.times[rows],
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


def _sklearn(path: Path, experiment: Experiment, cache: Path, progress: Progress | None) -> Raw:
    from kexp.data import sklearn_sets

    return sklearn_sets.read(str(path))


def _is_idx(path: Path) -> bool:
    from kexp.data import arrays

    return arrays.is_idx(path)


def _idx(path: Path, experiment: Experiment, cache: Path, progress: Progress | None) -> Raw:
    from kexp.data import arrays

    return arrays.read_idx(path, size=experiment.size)


def _npz(path: Path, experiment: Experiment, cache: Path, progress: Progress | None) -> Raw:
    from kexp.data import arrays

    return arrays.read_npz(path, size=experiment.size)


def _is_picture_csv(path: Path) -> bool:
    from kexp.data import pictures

    return pictures.is_picture_csv(_list_in(path))


def _list_in(path: Path) -> Path:
    """The one CSV, or the train.csv, in a folder that has no class folders for it to describe."""
    if not path.is_dir():
        return path
    lists = [file for file in sorted(path.iterdir()) if file.suffix.lower() in (".csv", ".tsv")]
    train = [file for file in lists if file.stem.lower() == "train"]
    folders = [entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
    return (train or lists)[0] if len(folders) < 2 and (train or len(lists) == 1) else path


def _picture_csv(path: Path, experiment: Experiment, cache: Path, progress: Progress | None) -> Raw:
    from kexp.data import pictures

    return pictures.read_csv(
        _list_in(path),
        target=experiment.target,
        split_column=experiment.split_column,
        group_column=experiment.group_column,
        time_column=experiment.time_column,
        size=experiment.size,
        cache=cache,
        progress=progress,
    )


def _is_table(path: Path) -> bool:
    from kexp.data import tables

    return bool(tables.find(path))


def _table(path: Path, experiment: Experiment, cache: Path, progress: Progress | None) -> Raw:
    from kexp.data import tables

    return tables.read(path, experiment)


def _picture_folder(path: Path, experiment: Experiment, cache: Path, progress: Progress | None) -> Raw:
    from kexp.data import pictures

    return pictures.read_folder(path, size=experiment.size, cache=cache, progress=progress)


# The first that matches reads. Folders of pictures are last: any folder may be one, and says if it is none.
READERS: dict[str, Reader] = {
    "sklearn": Reader(lambda path: str(path).startswith("sklearn:"), _sklearn),
    "idx": Reader(_is_idx, _idx),
    "npz": Reader(lambda path: path.suffix.lower() == ".npz", _npz),
    "picture_csv": Reader(_is_picture_csv, _picture_csv, has_target=True),
    "table": Reader(_is_table, _table, has_target=True),
    "picture_folder": Reader(Path.is_dir, _picture_folder),
}
