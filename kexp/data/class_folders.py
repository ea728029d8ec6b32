"""Class folders: which class, and which of train, validation and test, a file has by where it lies.

root/cat/1.jpg   root/dog/more/2.jpg             the folder below root is the class
root/train/cat/1.jpg   root/test/cat/2.jpg       ... unless it names a part; then the one below is
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from kexp.data.dataset import PART_NAMES, PARTS
from kexp.errors import DataError, nearest
from kexp.records import Part

FEWEST = 3  # files of a class: one each for training, validation and test


@dataclass(frozen=True, slots=True)
class Row:
    """One file: its path relative to the root, its class, and its part ("train" where nothing is said)."""

    name: PurePosixPath
    label: str
    part: Part


def scan(root: Path, extensions: Collection[str], *, noun: str) -> tuple[list[Row], list[str]]:
    """The files below `root` that lie in class folders, sorted by path, and notices on all the others.

    `extensions` are in lower case, with the dot; other and hidden files are counted in one notice. `noun` is
    what one file is called in messages. Raises DataError when there are no such files, or no class folders.
    """
    found, others = _walk(root, extensions)
    wanted = f"One folder for each class is expected, with its {noun}s inside ({', '.join(sorted(extensions))})."
    if not found:
        raise DataError(f"{root} holds no {noun}s{others and f', only {others}'}. {wanted}")
    tops = {name.parts[0] for name in found if len(name.parts) > 1}
    roles = parts_of(tops)
    rows: list[Row] = []
    outside: list[PurePosixPath] = []
    for name in found:
        if len(name.parts) > 2 and name.parts[0] in roles:
            rows.append(Row(name, name.parts[1], roles[name.parts[0]]))
        elif not roles and len(name.parts) > 1:
            rows.append(Row(name, name.parts[0], "train"))
        else:
            outside.append(name)
    if not rows:
        raise DataError(f"{root} holds {noun}s outside class folders only, such as {outside[0]}. {wanted}")
    notices = []
    if outside:
        notices.append(f"Ignored {_count(len(outside), noun)} outside the class folders, such as {outside[0]}.")
    if others:
        notices.append(f"Ignored in {root.name}: {others}.")
    return rows, notices


def parts_of(folders: Collection[str]) -> dict[str, Part]:
    """The part that each of `folders`, which lie side by side, is named after; empty where they are classes.

    "train" among "bus" and "car" is a class; alone, or beside "test" or "val", it is a part.
    """
    roles = {name: PART_NAMES[name.lower()] for name in folders if name.lower() in PART_NAMES}
    split = "train" in roles.values() and (len(set(roles.values())) > 1 or len(roles) == len(folders))
    return roles if split else {}


def check_classes(root: Path, rows: Sequence[Row], *, noun: str) -> None:
    """Raise DataError for fewer than two classes, or a class with too few files to be in every part."""
    counts = Counter(row.label for row in rows)
    if len(counts) < 2:
        only = next(iter(counts), "none")
        inner = sorted(p.name for p in (root / only).iterdir() if p.is_dir()) if (root / only).is_dir() else []
        hint = f" Did you mean {root / only}, which holds {', '.join(inner[:4])}?" if len(inner) > 1 else ""
        raise DataError(
            f"{root} has one class folder with {noun}s, {only!r}; at least two are expected, a folder for "
            f"each class.{hint}"
        )
    trained = Counter(row.label for row in rows if row.part == "train")
    unknown = sorted(set(counts) - set(trained))
    if unknown:
        raise DataError(
            f"{root}: class {unknown[0]!r} has no training {noun}s; every class of the other parts "
            f"needs some.{nearest(unknown[0], trained)}"
        )
    least = FEWEST + 1 - len({row.part for row in rows})  # training files also serve the parts that have no folder
    few = sorted(label for label in trained if trained[label] < least)
    if few:
        more = f" ({len(few) - 1} more classes have too few)" if len(few) > 1 else ""
        reason = "one each for training, validation and test" if least == FEWEST else "one for each part to fill"
        raise DataError(
            f"{root}: class {few[0]!r} has {_count(trained[few[0]], noun)}{more}; at least {least} are "
            f"expected, {reason}. Add {noun}s, or remove the folder."
        )


def part_codes(parts: Sequence[Part]) -> NDArray[np.int8] | None:
    """Raw.parts of rows that the data put in `parts`, or None if all are "train".

    Training rows stay undecided (-1) unless both other parts are given: the missing one is taken from them.
    """
    given = set(parts)
    if given <= {"train"}:
        return None
    train = PARTS["train"] if len(given) == len(PARTS) else -1
    return np.array([train if part == "train" else PARTS[part] for part in parts], dtype=np.int8)


def counted(root: Path) -> str:
    """How many files of which endings lie below `root`, in words; empty where there are none."""
    return _walk(root, ())[1]


def _walk(root: Path, extensions: Collection[str]) -> tuple[list[PurePosixPath], str]:
    """Files with `extensions` below `root`, relative to it and sorted, and a count in words of all others."""
    found: list[PurePosixPath] = []
    others: Counter[str] = Counter()
    seen: set[tuple[int, int]] = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        state = Path(folder).stat()
        if (state.st_dev, state.st_ino) in seen:  # a link back to a folder above would never end
            folders.clear()
            continue
        seen.add((state.st_dev, state.st_ino))
        folders[:] = [name for name in sorted(folders) if not name.startswith(".")]
        below = PurePosixPath(Path(folder).relative_to(root).as_posix())
        for name in sorted(files):
            suffix = PurePosixPath(name).suffix.lower()
            if name.startswith("."):
                others["hidden"] += 1
            elif suffix in extensions:
                found.append(below / name)
            else:
                others[suffix or "without extension"] += 1
    kinds = ", ".join(f"{count} {kind}" for kind, count in others.most_common())
    return sorted(found), f"{_count(others.total(), 'other file')} ({kinds})" if others else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"
