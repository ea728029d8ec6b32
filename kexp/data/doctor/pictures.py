"""Files of pictures: each is opened and decoded once, as a small grey picture is enough to compare it by."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import warnings
import zlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from kexp.data import cache
from kexp.data.dataset import PARTS
from kexp.data.doctor import files, leaks, near
from kexp.data.doctor.case import Case, Progress, counted, finding
from kexp.data.pictures import FORMATS
from kexp.records import Finding, Severity
from kexp.store import atomic_write

SIDE = 64  # of the square grey picture that is compared
FLAT = 1.0  # standard deviation of grey levels, of 255, below which a picture shows nothing
ENDINGS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".gif": "GIF",
    ".bmp": "BMP",
    ".webp": "WEBP",
}
VERSION = 1  # raise it when the same file would look otherwise


@dataclass(frozen=True, slots=True)
class Look:
    """What one file is: format, upright size, colours, whether it shows anything; or why it cannot be read."""

    reason: str = ""
    format: str = ""
    width: int = 0
    height: int = 0
    mode: str = ""
    flat: bool = False
    digest: int = 0  # of the file's bytes


@dataclass(frozen=True, slots=True)
class Looks:
    """All files in their order: what each is, and thumbs (n, SIDE, SIDE) uint8, grey, zero where unreadable."""

    looks: list[Look]
    thumbs: NDArray[np.uint8]


def look_at(paths: Sequence[Path], store: Path | None, progress: Progress) -> Looks:
    """Open and decode all `paths` on every core; what was seen is kept in `store`, if given."""
    names = [str(path) for path in paths]
    key = "looks-" + cache.fingerprint(
        [p for p in paths if p.exists()], [n for n in names if Path(n).exists()], VERSION
    )
    kept = _stored(store, key, len(paths))
    if kept is not None:
        return kept
    thumbs = np.zeros((len(paths), SIDE, SIDE), np.uint8)
    looks: list[Look] = []
    with ThreadPoolExecutor(max(2, os.cpu_count() or 1)) as pool:  # Pillow frees the interpreter lock while it decodes
        for at, (look, thumb) in enumerate(pool.map(_look, paths)):
            looks.append(look)
            if thumb is not None:
                thumbs[at] = thumb
            if at % 50 == 0:
                progress(at, len(paths), f"looking at pictures {at:,}/{len(paths):,}")
    if store is not None:
        store.mkdir(parents=True, exist_ok=True)
        np.save(store / f"{key}.npy", thumbs)
        atomic_write(store / f"{key}.json", json.dumps([asdict(look) for look in looks]).encode())
    return Looks(looks, thumbs)


def _stored(store: Path | None, key: str, count: int) -> Looks | None:
    try:
        if store is None:
            return None
        looks = [Look(**one) for one in json.loads((store / f"{key}.json").read_text(encoding="utf-8"))]
        thumbs = np.load(store / f"{key}.npy")
    except (OSError, ValueError, TypeError):
        return None
    return Looks(looks, thumbs) if len(looks) == len(thumbs) == count else None


def _look(path: Path) -> tuple[Look, NDArray[np.uint8] | None]:
    try:
        data = path.read_bytes()
    except OSError as error:
        return Look(reason=f"cannot be opened ({error.strerror})"), None
    digest = int.from_bytes(hashlib.blake2b(data, digest_size=6).digest(), "big")
    if not data:
        return Look(reason="is empty", digest=digest), None
    try:
        with warnings.catch_warnings(), Image.open(path, formats=FORMATS) as picture:
            warnings.simplefilter("ignore")
            width, height, mode, format = *picture.size, picture.mode, picture.format or ""
            picture.draft(None, (2 * SIDE, 2 * SIDE))
            picture.load()
            upright = ImageOps.exif_transpose(picture)
            if (upright.width > upright.height) != (picture.width > picture.height):
                width, height = height, width
            grey = upright.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    except UnidentifiedImageError:
        return Look(reason=_what(path), digest=digest), None
    except Image.DecompressionBombError:
        return Look(reason="is too large to decode", digest=digest), None
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error) as error:
        return Look(reason=f"is cut off or damaged ({str(error).split('(')[0].strip()})", digest=digest), None
    thumb = np.asarray(grey)
    flat = float(thumb.std()) < FLAT
    return Look(format=format, width=width, height=height, mode=mode, flat=flat, digest=digest), thumb


def _what(path: Path) -> str:
    """Why a file is no picture, in words."""
    is_a = files.sniff(path)
    return f"is {is_a}, no picture that can be read" if is_a else "is no picture"


def of_files(case: Case, looks: Looks) -> list[Finding]:
    """What the files are: unreadable, named otherwise than they are, of mixed sizes, of one colour."""
    pairs = [(file, look) for file, look in zip(case.files, looks.looks, strict=True) if file.exists()]
    found = files.broken(case, {file: look.reason for file, look in pairs if look.reason}, "picture")
    good = [(file, look) for file, look in pairs if not look.reason]
    wrong = [
        f"{case.name(file)} is {look.format}"
        for file, look in good
        if ENDINGS.get(file.suffix.lower(), look.format) != look.format
    ]
    if wrong:
        what = f"{counted(len(wrong), 'file has', 'files have')} the ending of another format."
        found.append(
            finding("wrong_ending", "note", what, wrong, "kexp goes by what is inside; other programs may not.")
        )
    sizes = Counter(f"{look.width} x {look.height}" for _, look in good)
    if len(sizes) > 1:
        usual = sizes.most_common(1)[0][0]
        odd = [f"{case.name(file)} is {look.width} x {look.height}" for file, look in good
               if f"{look.width} x {look.height}" != usual]  # fmt: skip
        what = f"Pictures have {len(sizes):,} different sizes (width x height): {files.summary(sizes, 3)}."
        found.append(finding("mixed_sizes", "note", what, odd, "They are cut around their centre and brought to one."))
    flat = [case.name(file) for file, look in good if look.flat]
    if flat:
        what = f"{counted(len(flat), 'picture is', 'pictures are')} of one colour."
        found.append(finding("blank_pictures", "warning", what, flat, "Remove them, unless that is what they show."))
    return found + _told_by_files(case, looks)


def _told_by_files(case: Case, looks: Looks) -> list[Finding]:
    known = {file: look for file, look in zip(case.files, looks.looks, strict=True) if not look.reason}
    rows, chosen = files.rows_of(case, known)
    properties = {
        "width": np.array([look.width for look in chosen], np.float64),
        "height": np.array([look.height for look in chosen], np.float64),
        "format": np.array([look.format for look in chosen]),
        "colour mode": np.array([look.mode for look in chosen]),
    }
    return leaks.properties_of_files(case, properties, rows)


def nearly_same(case: Case, looks: Looks | None) -> list[Finding]:
    """Pictures that are nearly, not exactly, the same: of files, otherwise of the arrays."""
    if looks is not None and case.files:
        labels = files.said(case)
        kept = [at for at, (file, look) in enumerate(zip(case.files, looks.looks, strict=True))
                if not look.reason and not look.flat and file.absolute() in labels]  # fmt: skip
        thumbs = looks.thumbs[kept]
        names = [case.name(case.files[at]) for at in kept]
        told = [labels[case.files[at].absolute()] for at in kept]
        exact = np.array([looks.looks[at].digest for at in kept], np.uint64)
    elif case.dataset is not None:
        x, part = case.dataset.x, case.own_parts
        thumbs = (
            x[..., 0] if x.shape[-1] == 1 else np.asarray(x @ np.array([0.299, 0.587, 0.114], np.float32), np.uint8)
        )
        names = case.dataset.ids
        told = [(case.label(row), None if part is None else int(part[row])) for row in range(len(x))]
        exact = case.keys
    else:
        return []
    if len(thumbs) < 2 or min(thumbs.shape[1:]) < near.SMALLEST:
        return []
    pairs = near.find(thumbs, case.progress)
    if case.question.task == "clustering":  # clusters that were found contradict nobody
        told = [("", part) for _, part in told]
    return _near_findings(pairs[exact[pairs[:, 0]] != exact[pairs[:, 1]]], names, told)


def _near_findings(
    pairs: NDArray[np.int64], names: Sequence[str], told: Sequence[tuple[str, int | None]]
) -> list[Finding]:
    if not len(pairs):
        return []
    label = np.unique([label for label, _ in told], return_inverse=True)[1]
    part = np.array([-1 if part is None else part for _, part in told])
    other = label[pairs[:, 0]] != label[pairs[:, 1]]
    train = PARTS["train"]
    cut = (part[pairs[:, 0]] != part[pairs[:, 1]]) & ((part[pairs] == train).any(axis=1))

    def where(chosen: NDArray[np.int64], *, labels: bool = False) -> list[str]:
        return [
            " ~ ".join(f"{names[i]} ({told[i][0]})" if labels else names[i] for i in pair) for pair in chosen.tolist()
        ]

    found = []
    if other.any():
        what = f"{counted(int(other.sum()), 'pair')} of pictures are nearly the same and have different labels."
        advice = "Look at them: one of the labels is likely wrong."
        found.append(finding("near_contradictions", "warning", what, where(pairs[other], labels=True), advice))
    if cut.any():
        outside = len(np.unique(pairs[cut][part[pairs[cut]] != train]))
        what = f"{counted(outside, 'picture')} outside the training part nearly "
        what += "equals one in it." if outside == 1 else "equal some in it."
        advice = "The scores are too good by them. Move both of a pair into one part."
        found.append(finding("near_twins_across_parts", "warning", what, where(pairs[cut]), advice, count=outside))
    plain = ~other & ~cut
    if plain.any():
        what = f"{counted(int(plain.sum()), 'pair')} of pictures are nearly the same."
        advice = (
            "Keep one of each, or name a group column that keeps them in one part: kexp does so for exact twins alone."
        )
        severity: Severity = "warning" if plain.sum() > 0.01 * len(names) else "note"
        found.append(finding("near_twins", severity, what, where(pairs[plain]), advice))
    return found
