"""Media: one file for each sample, in class folders or named by a list (a CSV of path and label).

Pictures, sounds, clips and recordings differ in what a file is (a `Medium`, made by their own modules), not in how it
is found.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kexp.data.class_folders import check_classes, part_codes, scan
from kexp.data.dataset import Raw
from kexp.errors import DataError
from kexp.records import NOUNS, Experiment, Kind

if TYPE_CHECKING:
    from kexp.data.tables import File

LISTS = (".csv", ".tsv")
FIRST = 20  # rows of a list that are looked at for a file that exists
FEW_NUMBERS = 20  # different whole numbers as the target of a list are classes
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """Samples (n, *shape) of the files that could be read, and the reason for each that could not, by its place."""

    x: NDArray[Any]
    damaged: Mapping[int, str]
    rate: float = 0.0  # as in records.DatasetSpec
    channels: tuple[str, ...] = ()
    notices: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Medium:
    """A kind of file. `load` is of (files, their names, experiment, cache folder, progress)."""

    kind: Kind
    extensions: frozenset[str]
    load: Callable[[Sequence[Path], Sequence[str], Experiment, Path, Progress | None], Loaded]
    bare: bool = True  # a list may name files without their endings
    called: str = ""  # where a file is not called as a sample of the kind

    @property
    def noun(self) -> str:
        """What one file is called."""
        return self.called or NOUNS[self.kind]

    @property
    def expected(self) -> str:
        """What a file may be, in words."""
        return f"a {', '.join(sorted(e.removeprefix('.') for e in self.extensions))} file"


def moves(file: Path) -> bool:
    """Whether a .gif has more than one frame."""
    from PIL import Image

    try:
        with Image.open(file, formats=("GIF",)) as picture:
            return getattr(picture, "n_frames", 1) > 1
    except (OSError, ValueError, EOFError, SyntaxError):
        return False


def read_folder(
    path: Path, medium: Medium, experiment: Experiment, cache: Path, progress: Progress | None = None
) -> Raw:
    """The files under `path`, one folder for each class, optionally inside train/, val/ and test/.

    They are kept, decoded, under `cache`. Raises DataError for what `class_folders` refuses, and for more than max(1,
    1 %) of damaged files.
    """
    rows, notices = scan(path, medium.extensions, noun=medium.noun)
    check_classes(path, rows, noun=medium.noun)
    names = [str(row.name) for row in rows]
    files = [path / name for name in names]
    loaded = medium.load(files, names, experiment, cache, progress)
    kept = _kept(loaded, len(files))
    rows = [rows[i] for i in kept]
    if loaded.damaged:
        check_classes(path, rows, noun=medium.noun)
    return Raw(
        kind=medium.kind,
        x=loaded.x,
        y=np.array([row.label for row in rows]),
        targets=("class",),
        parts=part_codes([row.part for row in rows]),
        ids=[names[i] for i in kept],
        files=[str(files[i].absolute()) for i in kept],
        labels=tuple(sorted({row.label for row in rows})),
        notices=notices + loaded.notices + _skipped(medium, loaded, len(files)),
        rate=loaded.rate,
        channels=loaded.channels,
    )


def find_list(path: Path, experiment: Experiment) -> Path:
    """The list that `path` means: itself; the one list, or train.csv, in a folder.

    A folder that has class folders too is described by its list where the experiment names a column of it.
    """
    if not path.is_dir():
        return path
    lists = [file for file in sorted(path.iterdir()) if file.suffix.lower() in LISTS]
    train = [file for file in lists if file.stem.lower() == "train"]
    folders = [entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
    named = experiment.target or experiment.split_column or experiment.group_column or experiment.time_column
    return (train or lists)[0] if (len(folders) < 2 or named) and (train or len(lists) == 1) else path


def is_list(path: Path, medium: Medium, *, asked: bool = False) -> bool:
    """Whether `path` is a CSV or TSV with a column of paths, of which some among the first are files of `medium`.

    The endings of the paths may be missing. A list of .gif that move is one of clips, unless pictures are `asked` for.
    """
    if path.suffix.lower() not in LISTS or not path.is_file():
        return False
    from kexp.data.tables import delimiter_of

    with path.open("rb") as stream:
        start = stream.read(1 << 16)
    try:
        text = start.decode("utf-8-sig", errors="ignore")
        rows = list(islice(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter_of(text, path)), FIRST + 1))
    except csv.Error:  # the reader of tables says what is wrong
        return False
    rows = [row for row in rows if row]
    if not rows:
        return False
    below = [row for row in rows[1:] if len(row) == len(rows[0])]
    found = [_file(path.parent, cell, medium) for row in below or rows[:1] for cell in row]
    files = [file for file in found if file is not None and file != path]
    return bool(files) and (asked or medium.kind != "image" or not _are_clips(files))


def _are_clips(files: Sequence[Path]) -> bool:
    return all(file.suffix.lower() == ".gif" for file in files) and any(map(moves, files))


def read_list(path: Path, medium: Medium, experiment: Experiment, cache: Path, progress: Progress | None = None) -> Raw:
    """The files that the CSV at `path` lists, by paths relative to its folder, and their targets.

    The target is the experiment's, or the only other column, or what the reader of tables guesses. `y` is (n,) of str
    for text and for at most FEW_NUMBERS different whole numbers, otherwise cells (n, k) as in a table. Raises DataError
    for what the reader of tables refuses, for a file that does not exist (with its row), and for more than max(1, 1 %)
    of damaged files.
    """
    from kexp.data import tables

    table = tables.read_file(path)
    column = _path_column(table, medium)
    if column is None:
        raise DataError(f"{path} has no column of paths: {medium.expected} is expected in every row.")
    if Path(column).suffix.lower() in medium.extensions:
        raise DataError(
            f"{path} line 1 names a {medium.noun}, {column}: a header such as path,label is expected there."
        )
    special = (experiment.split_column, experiment.group_column, experiment.time_column, *experiment.drop)
    left = [name for name in table.columns if name != column and name not in special]
    if not left:
        raise DataError(f"{path} has no column beside {column!r}. A label or a number for each is expected.")
    target = experiment.target or (tuple(left) if len(left) == 1 else ())
    raw: Any = tables.read(path, replace(experiment, target=target))
    names = [cell.strip() for cell in raw.x[column].tolist()]
    found = [_file(path.parent, name, medium) for name in names]
    missing = [f"{row}: {name}" for row, name, file in zip(raw.ids, names, found, strict=True) if file is None]
    if missing:
        raise DataError(
            f"{path} lists {len(missing)} {medium.noun}s that are not in {path.parent} ({'; '.join(missing[:3])}). "
            "Paths relative to the folder of the CSV are expected. Add the files, or remove the rows."
        )
    files = [file for file in found if file is not None]
    unused = [name for name in raw.x.columns if name != column]
    if unused:
        raw.notices.append(f"Columns of {path.name} that are not used: {', '.join(unused)}.")
    loaded = medium.load(files, names, experiment, cache, progress)
    kept = _kept(loaded, len(files))
    return Raw(
        kind=medium.kind,
        x=loaded.x,
        y=_classes_or_cells(raw.y[kept]),
        targets=raw.targets,
        parts=None if raw.parts is None else raw.parts[kept],
        ids=[names[i] for i in kept],
        files=[str(files[i].absolute()) for i in kept],
        groups=None if raw.groups is None else raw.groups[kept],
        times=None if raw.times is None else raw.times[kept],
        notices=raw.notices + loaded.notices + _skipped(medium, loaded, len(files)),
        rate=loaded.rate,
        channels=loaded.channels,
    )


def _kept(loaded: Loaded, total: int) -> NDArray[np.int64]:
    return np.setdiff1d(np.arange(total), list(loaded.damaged))


def _skipped(medium: Medium, loaded: Loaded, total: int) -> list[str]:
    return [f"Skipped 1 of {total} {medium.noun}s: {reason}" for reason in loaded.damaged.values()]


def _file(folder: Path, cell: str, medium: Medium) -> Path | None:
    """The file of `medium` that a cell means, with its ending or without; None where there is none."""
    cell = cell.strip()
    if not cell or len(cell) > 1000 or "\0" in cell:
        return None
    path = folder / cell
    if path.suffix.lower() in medium.extensions:
        return path if path.is_file() else None
    if not medium.bare:
        return None
    if "/" not in cell and "\\" not in cell and not path.parent.is_dir():
        return None
    endings = (path.with_name(path.name + extension) for extension in sorted(medium.extensions) if path.name)
    return next((file for file in endings if file.is_file()), None)


def _path_column(table: File, medium: Medium) -> str | None:
    """The first column of which every cell ends as a file of `medium` does, or some of the first are files."""
    folder = table.path.parent
    for name, cells in table.columns.items():
        if all(Path(cell.strip()).suffix.lower() in medium.extensions for cell in cells):
            return name
    for name, cells in table.columns.items():
        if any(_file(folder, cell, medium) is not None for cell in cells[:FIRST]):
            return name
    return None


def _classes_or_cells(y: NDArray[Any]) -> NDArray[Any]:
    """(n,) of str for a few whole numbers: of files they are classes, where a table means quantities."""
    distinct = {str(cell).strip() for cell in y[:, 0].tolist()}
    digits = all(cell.lstrip("-").isdigit() for cell in distinct)
    return y[:, 0].astype(str) if y.shape[1] == 1 and digits and len(distinct) <= FEW_NUMBERS else y
