"""Files that hold a sample each: which there are, and what their first bytes say they are."""

from __future__ import annotations

import hashlib
import os
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from kexp.data import clips, pictures, readers, recordings, sounds, tables
from kexp.data.class_folders import parts_of
from kexp.data.dataset import PART_NAMES, PARTS
from kexp.data.doctor.case import Case, counted, finding, listed
from kexp.errors import DataError
from kexp.records import Finding, Kind, Severity

T = TypeVar("T")

SUFFIXES: dict[str, frozenset[str]] = {
    "image": pictures.EXTENSIONS,
    "sound": sounds.EXTENSIONS,
    "clip": clips.EXTENSIONS,
    "series": recordings.EXTENSIONS,  # in class folders
}
MAGIC: tuple[tuple[int, bytes, str], ...] = (  # where, which bytes, what the file is
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"GIF8", "GIF"),
    (0, b"BM", "BMP"),
    (8, b"WEBP", "WEBP"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (4, b"ftypheic", "HEIC"),
    (4, b"ftypmif1", "HEIC"),
    (4, b"ftypavif", "AVIF"),
    (8, b"WAVE", "WAV"),
    (0, b"fLaC", "FLAC"),
    (0, b"OggS", "Ogg"),
    (0, b"ID3", "MP3"),
    (8, b"AVI ", "AVI"),
    (4, b"ftyp", "MP4"),
    (0, b"\x1a\x45\xdf\xa3", "Matroska"),
    (0, b"%PDF", "PDF"),
    (0, b"PK\x03\x04", "zip"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"version https://git-lfs", "Git LFS pointer"),
)
PICTURES = frozenset({"JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "HEIC", "AVIF"})
LISTS = (".csv", ".tsv")


def sniff(file: Path) -> str:
    """What the first bytes say: "JPEG", "web page", "text", "nothing" for an empty file; empty where they say nothing.

    Raises OSError for a file that cannot be opened.
    """
    with file.open("rb") as stream:
        start = stream.read(64)
    if not start:
        return "nothing"
    for at, mark, what in MAGIC:
        if start[at : at + len(mark)] == mark:
            return what
    head = start.lstrip().lower()
    if head.startswith((b"<!doctype", b"<html")):
        return "web page"
    if not start.strip(b"\0"):
        return "zeros"
    return "text" if all(byte in b"\t\n\r" or byte >= 32 for byte in start) and start.isascii() else ""


def kind_at(path: Path) -> Kind:
    """The kind of most files at `path`, as it seems where no reader accepts them."""
    if path.suffix.lower() == ".ts" or (path.is_dir() and any(path.glob("*.ts"))):
        return "series"
    if path.suffix.lower() == ".npz":
        return _kind_of_arrays(path)
    if path.is_dir():
        return readers.folder_kind(path) or "table"
    listed: Counter[Kind] = Counter()
    for kind, suffixes in SUFFIXES.items():
        if kind != "series" and _listed(path, suffixes):
            listed[kind] += 1  # type: ignore[index]
    return listed.most_common(1)[0][0] if listed else "table"


def _kind_of_arrays(path: Path) -> Kind:
    try:
        with np.load(path, allow_pickle=False) as stored:
            axes = {stored[name].ndim: stored[name].dtype.kind for name in stored.files if name.lower().startswith("x")}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
        return "table"
    return "series" if axes.get(3) == "f" else "table" if 2 in axes else "image"


def samples(path: Path, kind: str) -> list[Path]:
    """The files of samples at `path`, sorted: in class folders, or those that a list names; none for other kinds."""
    suffixes = SUFFIXES.get(kind)
    if suffixes is None:
        return []
    if path.is_file():
        return _listed(path, suffixes) if kind != "series" else []
    found = [file for file in _walk(path) if file.suffix.lower() in suffixes]
    deep = 2 if _has_parts(path) else 1
    inside = [file for file in found if len(file.relative_to(path).parts) > deep]
    if not inside and kind != "series":
        lists = [one for one in sorted(path.iterdir()) if one.suffix.lower() in LISTS]
        named = [file for one in lists for file in _listed(one, suffixes)]
        return sorted(set(named)) or sorted(found)
    return sorted(inside)


def behind(path: Path) -> list[Path]:
    """All files that data at `path` may come from: those below a folder, or the file and its siblings of one ending."""
    return sorted(_walk(path) if path.is_dir() else path.parent.glob(f"*{path.suffix}"))


def said(case: Case) -> dict[Path, tuple[str, int | None]]:
    """Class of each file, and its part (PARTS) where the data say so; by its folder, where they could not be read."""
    data, part = case.dataset, case.own_parts
    if data is not None and data.files is not None:
        return {
            Path(file): (case.label(row), None if part is None else int(part[row]))
            for row, file in enumerate(data.files)
        }
    told: dict[Path, tuple[str, int | None]] = {}
    split = case.path.is_dir() and _has_parts(case.path)
    for file in case.files:
        names = file.relative_to(case.path).parts if file.is_relative_to(case.path) else ()
        label = names[1 if split else 0] if len(names) > (2 if split else 1) else ""
        told[file.absolute()] = (label, PARTS[PART_NAMES[names[0].lower()]] if split and names else None)
    return told


def rows_of(case: Case, known: Mapping[Path, T]) -> tuple[NDArray[np.int64], list[T]]:
    """Rows of the data set whose file is `known`, (m,), and what is known of each."""
    if case.dataset is None or case.dataset.files is None:
        return np.empty(0, np.int64), []
    by_name = {str(file.absolute()): what for file, what in known.items()}
    rows = [row for row, file in enumerate(case.dataset.files) if file in by_name]
    return np.array(rows, np.int64), [by_name[case.dataset.files[row]] for row in rows]


def same(case: Case) -> list[Finding]:
    """Files of equal content, where the data could not be read; otherwise `samples` compares what was read."""
    if case.dataset is not None:
        return []
    alike: dict[bytes, list[Path]] = {}
    for file in case.files:
        if file.exists() and file.stat().st_size:
            alike.setdefault(hashlib.blake2b(file.read_bytes(), digest_size=12).digest(), []).append(file)
    labels = said(case)
    sets = [several for several in alike.values() if len(several) > 1]
    found = []
    for name, differ, what in (
        ("twins", False, "an exact twin"),
        ("contradictions", True, "an exact twin in another class"),
    ):
        chosen = [one for one in sets if (len({labels[file.absolute()][0] for file in one}) > 1) == differ]
        if chosen:
            count = sum(map(len, chosen))
            where = [" = ".join(case.name(file) for file in one[:3]) for one in chosen]
            text = f"{count:,} of {len(case.files):,} files have {what}."
            found.append(finding(name, "warning", text, where, "Remove the copies; correct their class."))
    return found


def others(case: Case) -> list[Finding]:
    """Files that are not read, though they hold what samples hold; and those that lie outside the class folders."""
    if not case.path.is_dir() or case.kind not in SUFFIXES or not case.files:
        return []
    suffixes, taken = SUFFIXES[case.kind], set(case.files)
    found: list[Finding] = []
    outside, foreign = [], []
    for file in sorted(_walk(case.path)):
        if file.suffix.lower() in suffixes:
            if file not in taken:
                outside.append(case.name(file))
        elif case.kind == "image" and _sniffed(file) in PICTURES:
            foreign.append(case.name(file))
    if outside:
        what = f"{counted(len(outside), 'file lies', 'files lie')} in no class folder and no list, and "
        what += "is not read." if len(outside) == 1 else "are not read."
        found.append(finding("outside_folders", "warning", what, outside, "Put them in the folder of their class."))
    if foreign:
        what = f"{counted(len(foreign), 'picture has', 'pictures have')} a name that is not read as one."
        advice = (
            f"Give them one of the endings {', '.join(sorted(suffixes))}, converted where they are of another kind."
        )
        found.append(finding("unread_pictures", "warning", what, foreign, advice))
    return found


def absent(case: Case) -> list[Finding]:
    """Files that a list names and that do not exist."""
    gone = [file for file in case.files if not file.exists()]
    if not gone:
        return []
    what = f"{counted(len(gone), 'file')} of the list {'does' if len(gone) == 1 else 'do'} not exist."
    advice = "Paths relative to the folder of the list are expected. Add the files, or remove the rows."
    return [finding("absent_files", "error", what, [case.name(file) for file in gone], advice)]


def each(case: Case, look: Callable[[Path], T], every: int, text: str) -> dict[Path, T]:
    """What `look` says of each file that exists; every so many of them that is told, beginning with `text`."""
    there = [file for file in case.files if file.exists()]
    seen: dict[Path, T] = {}
    # Decoders free the interpreter lock.
    with ThreadPoolExecutor(max(2, os.cpu_count() or 1)) as pool:
        for at, (file, one) in enumerate(zip(there, pool.map(look, there), strict=True)):
            seen[file] = one
            if at % every == 0:
                case.progress(at, len(there), f"{text} {at:,}/{len(there):,}")
    return seen


def broken(case: Case, reasons: Mapping[Path, str], noun: str) -> list[Finding]:
    """Findings on files that cannot be read, by their `reasons`; empty files apart."""
    empty = [file for file in reasons if file.stat().st_size == 0]
    bad = [file for file in reasons if file not in set(empty)]
    found = []
    severity: Severity = "error" if len(reasons) > max(1, len(case.files) // 100) else "warning"
    if empty:
        what = f"{counted(len(empty), 'file is', 'files are')} empty."
        found.append(
            finding("empty_files", severity, what, [case.name(file) for file in empty], "Fetch or remove them.")
        )
    if bad:
        what = f"{len(bad):,} of {counted(len(case.files), noun)} cannot be read."
        where = [f"{case.name(file)}: {reasons[file]}" for file in bad]
        found.append(finding("unreadable_files", severity, what, where, "Replace or remove them."))
    return found


def summary(counts: Counter[str], most: int = 4) -> str:
    """The commonest of `counts` in words: "240 x 320 (1,200), 480 x 640 (7)"."""
    return listed([f"{what} ({count:,})" for what, count in counts.most_common()], most)


def _sniffed(file: Path) -> str:
    try:
        return sniff(file)
    except OSError:
        return ""


def _has_parts(path: Path) -> bool:
    """Whether the folders in `path` are train, val and test, with class folders inside."""
    return bool(parts_of([one.name for one in path.iterdir() if one.is_dir() and not one.name.startswith(".")]))


def _walk(path: Path) -> Iterator[Path]:
    """Files below `path` that are not hidden."""
    for folder, folders, names in os.walk(path):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(folder) / name for name in names if not name.startswith("."))


def _listed(path: Path, suffixes: frozenset[str]) -> list[Path]:
    """The files in the first column of the list at `path` whose cells end with `suffixes`."""
    if path.suffix.lower() not in LISTS:
        return []
    try:
        cells = tables.read_file(path).columns
    except DataError:
        return []
    for column in cells.values():
        if all(Path(cell.strip()).suffix.lower() in suffixes for cell in column):
            return [path.parent / cell.strip() for cell in column]
    return []
