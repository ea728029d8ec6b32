"""READERS: what can be read, whether it is at a path, and how. Each imports its module when it is asked."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kexp.data.dataset import Raw
from kexp.records import Experiment, Kind

if TYPE_CHECKING:
    from kexp.data import media

Progress = Callable[[int, int], None]
ENOUGH = 1000  # files of a folder that are looked at to say what it holds
MANY = 3  # times as many recordings as other samples


@dataclass(frozen=True)
class Reader:
    """A kind of data: whether a path holds it, and how it is read."""

    matches: Callable[[Path, Experiment], bool]
    read: Callable[[Path, Experiment, Path, Progress | None], Raw]  # path, experiment, cache, progress
    has_target: bool = False  # the experiment chooses the target; elsewhere the data say what it is


def _sklearn(path: Path, experiment: Experiment, cache: Path, progress: Progress | None) -> Raw:
    from kexp.data import sklearn_sets

    return sklearn_sets.read(str(path))


def _generated(path: Path, experiment: Experiment, cache: Path, progress: Progress | None) -> Raw:
    from kexp.data import generated

    return generated.read(str(path), experiment)


def _is_idx(path: Path, experiment: Experiment) -> bool:
    from kexp.data import arrays

    return arrays.is_idx(path)


def _idx(path: Path, experiment: Experiment, cache: Path, progress: Progress | None) -> Raw:
    from kexp.data import arrays

    return arrays.read_idx(path, size=experiment.size)


def _is_npz(path: Path, experiment: Experiment) -> bool:
    from kexp.data import arrays

    return arrays.is_npz(path)


def _npz(path: Path, experiment: Experiment, cache: Path, progress: Progress | None) -> Raw:
    from kexp.data import arrays

    return arrays.read_npz(path, experiment)


def _is_ts(path: Path, experiment: Experiment) -> bool:
    from kexp.data import ts

    return ts.matches(path)


def _ts(path: Path, experiment: Experiment, cache: Path, progress: Progress | None) -> Raw:
    from kexp.data import ts

    return ts.read(path, experiment)


def _is_table(path: Path, experiment: Experiment) -> bool:
    from kexp.data import tables

    return bool(tables.find(path))


def _table(path: Path, experiment: Experiment, cache: Path, progress: Progress | None) -> Raw:
    from kexp.data import rows

    return rows.read(path, experiment)


def _medium(kind: Kind) -> media.Medium:
    module: Any = importlib.import_module(f"kexp.data.{MEDIA[kind]}")
    made: media.Medium = module.medium()
    return made


def _list_of(kind: Kind) -> Reader:
    def matches(path: Path, experiment: Experiment) -> bool:
        from kexp.data import media

        if experiment.kind not in (None, kind):
            return False
        return media.is_list(media.find_list(path, experiment), _medium(kind), asked=experiment.kind == kind)

    def read(path: Path, experiment: Experiment, cache: Path, progress: Progress | None) -> Raw:
        from kexp.data import media

        return media.read_list(media.find_list(path, experiment), _medium(kind), experiment, cache, progress)

    return Reader(matches, read, has_target=True)


def _folder_of(kind: Kind) -> Reader:
    def matches(path: Path, experiment: Experiment) -> bool:
        if not path.is_dir():
            return False
        return (experiment.kind or folder_kind(path)) == kind

    def read(path: Path, experiment: Experiment, cache: Path, progress: Progress | None) -> Raw:
        from kexp.data import media

        return media.read_folder(path, _medium(kind), experiment, cache, progress)

    return Reader(matches, read)


MEDIA: dict[Kind, str] = {  # kind -> its module's name
    "image": "pictures",
    "sound": "sounds",
    "clip": "clips",
    "series": "recordings",
}
READERS: dict[str, Reader] = {  # the first that matches reads
    "sklearn": Reader(lambda path, _: str(path).startswith("sklearn:"), _sklearn),
    "generated": Reader(lambda path, _: str(path).startswith("generated:"), _generated),
    "idx": Reader(_is_idx, _idx),
    "npz": Reader(_is_npz, _npz),
    "ts": Reader(_is_ts, _ts),
    **{f"{kind}_list": _list_of(kind) for kind in MEDIA},
    "table": Reader(_is_table, _table, has_target=True),
    **{f"{kind}_folder": _folder_of(kind) for kind in MEDIA},
}


def folder_kind(path: Path) -> Kind | None:
    """What the files in and below the folder `path` mostly are: pictures, sounds, clips, or recordings; None: nothing.

    A .gif is a clip where it moves and no other pictures are there. CSVs are recordings where they are many more than
    other samples, beside which they rather describe them.
    """
    if not path.is_dir():
        return None
    from kexp.data import media

    suffixes_of = {kind: _medium(kind).extensions for kind in MEDIA}
    inside: Counter[str] = Counter()
    flat: Counter[str] = Counter()
    gifs: list[Path] = []
    for entry in sorted(path.iterdir()):
        if entry.name.startswith("."):
            continue
        files = islice(entry.rglob("*"), ENOUGH) if entry.is_dir() else [entry]
        for file in files:
            suffix = file.suffix.lower()
            (inside if entry.is_dir() else flat)[suffix] += 1
            if suffix == ".gif" and len(gifs) < media.FIRST:
                gifs.append(file)
    for counts in (inside, flat):
        sizes = {kind: sum(counts[suffix] for suffix in suffixes) for kind, suffixes in suffixes_of.items()}
        stills, moving = sizes["image"] - counts[".gif"], sizes["clip"] - counts[".gif"]
        if stills or (not moving and not any(map(media.moves, gifs))):
            sizes["clip"] = moving
        else:
            sizes["image"] = 0
        recorded = sizes.pop("series") if counts is inside else 0
        kind = max(sizes, key=lambda one: sizes[one])
        if recorded > MANY * sizes[kind]:
            return "series"
        if sizes[kind]:
            return kind
    return None
