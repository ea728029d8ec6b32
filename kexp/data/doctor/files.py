"""Files that hold a sample each: which there are, and what their first bytes say they are."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from kexp.data import tables
from kexp.data.dataset import PART_NAMES
from kexp.data.doctor.case import Case, counted, finding, listed
from kexp.data.pictures import EXTENSIONS
from kexp.errors import DataError
from kexp.records import Finding

SUFFIXES: dict[str, frozenset[str]] = {
    "image": EXTENSIONS,
    "sound": frozenset({".wav", ".flac", ".ogg", ".mp3", ".opus", ".aiff", ".aif"}),
    "clip": frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg"}),
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


def kind_at(path: Path) -> str:
    """The kind of most files at `path`, where no reader accepts them: "image", "sound", "clip", otherwise "table"."""
    counts: Counter[str] = Counter()
    for file in _walk(path) if path.is_dir() else []:
        counts.update(kind for kind, suffixes in SUFFIXES.items() if file.suffix.lower() in suffixes)
    if path.is_file():
        counts.update(kind for kind in SUFFIXES if _listed(path, SUFFIXES[kind]))
    return counts.most_common(1)[0][0] if counts else "table"


def samples(path: Path, kind: str) -> list[Path]:
    """The files of samples at `path`, sorted: in class folders, or those that a list names; none for other kinds."""
    suffixes = SUFFIXES.get(kind)
    if suffixes is None:
        return []
    if path.is_file():
        return _listed(path, suffixes)
    found = [file for file in _walk(path) if file.suffix.lower() in suffixes]
    if any(len(file.relative_to(path).parts) > 1 for file in found):
        tops = {file.relative_to(path).parts[0].lower() for file in found}
        deep = 2 if tops & set(PART_NAMES) and any(len(file.relative_to(path).parts) > 2 for file in found) else 1
        inside = [file for file in found if len(file.relative_to(path).parts) > deep]
        for one in path.iterdir():  # a folder whose list names what lies in it
            if one.suffix.lower() in LISTS and (listed_there := _listed(one, suffixes)):
                return sorted(set(listed_there) | set(inside))
        return sorted(inside)
    return sorted(found)


def others(case: Case) -> list[Finding]:
    """Files that are not read, though they hold what samples hold; and those that lie outside the class folders."""
    if not case.path.is_dir() or case.kind not in SUFFIXES:
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
        what = f"{counted(len(outside), 'file lies', 'files lie')} outside the class folders and "
        what += "is not read." if len(outside) == 1 else "are not read."
        found.append(finding("outside_folders", "warning", what, outside, "Put them in the folder of their class."))
    if foreign:
        what = f"{counted(len(foreign), 'picture has', 'pictures have')} a name that is not read as one."
        advice = f"Give them one of the endings {', '.join(sorted(suffixes))}, converted where they are of another kind."
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


def broken(case: Case, reasons: dict[Path, str], noun: str) -> list[Finding]:
    """Findings on files that cannot be read, by their `reasons`; empty files apart."""
    empty = [file for file in reasons if file.stat().st_size == 0]
    bad = [file for file in reasons if file not in set(empty)]
    found = []
    severity = "error" if len(reasons) > max(1, len(case.files) // 100) else "warning"
    if empty:
        what = f"{counted(len(empty), 'file is', 'files are')} empty."
        found.append(finding("empty_files", severity, what, [case.name(file) for file in empty], "Fetch or remove them."))  # type: ignore[arg-type]
    if bad:
        what = f"{counted(len(bad), noun)} of {len(case.files):,} cannot be read."
        where = [f"{case.name(file)}: {reasons[file]}" for file in bad]
        found.append(finding("unreadable_files", severity, what, where, "Replace or remove them."))  # type: ignore[arg-type]
    return found


def summary(counts: Counter[str], most: int = 4) -> str:
    """The commonest of `counts` in words: "240 x 320 (1,200), 480 x 640 (7)"."""
    return listed([f"{what} ({count:,})" for what, count in counts.most_common()], most)


def _sniffed(file: Path) -> str:
    try:
        return sniff(file)
    except OSError:
        return ""


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
