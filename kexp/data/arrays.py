"""Samples that are arrays already: idx files (MNIST's format), and .npz as Keras ships its sets.

idx: http://yann.lecun.com/exdb/mnist/ (LeCun, Cortes, Burges): two zero bytes, the type (8 is uint8), the
number of axes, each axis as a big-endian uint32, then the values.
"""

from __future__ import annotations

import gzip
import re
import zipfile
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexp.data import series
from kexp.data.class_folders import part_codes
from kexp.data.dataset import PART_NAMES, Raw
from kexp.errors import DataError, ExperimentError
from kexp.records import NOUNS, Experiment, Kind, Part

Samples = list[tuple[Part, str, NDArray[Any], NDArray[Any]]]  # for each part: its name as written, x, y

IDX_NAME = re.compile(
    r"(?P<set>.*?)(?P<part>train|t10k|test)?[-_.]?(?P<what>images|labels)[-_.]idx\d-ubyte(\.gz)?",
    re.IGNORECASE,
)
CLASS_NAMES = ("class_names.txt", "labels.txt", "activity_labels.txt", "classes.txt")
NPZ_NAME = re.compile(r"(?P<what>x|y)(_(?P<part>[a-z]+))?", re.IGNORECASE)
NARROW = 8  # channels of series with fewer, and so many times as many steps
NPZ_EXPECTED = (
    "Expected are x and y, or x_train, y_train, x_test and y_test: x of shape (pictures, height, width) or "
    "(pictures, height, width, 1 or 3), of 0..255 or of fractions 0..1, (series, steps, channels) of other numbers, or "
    "(rows, columns) for a table"
)


def is_idx(path: Path) -> bool:
    """Whether `path` is named like a file of MNIST's format, or is a folder with such a file."""
    names = [file.name for file in path.iterdir()] if path.is_dir() else [path.name]
    return any(IDX_NAME.fullmatch(name) for name in names)


def read_idx(path: Path, *, size: tuple[int, ...] = ()) -> Raw:
    """The images and labels in the folder `path`, or those that belong to the file `path`.

    t10k (or test) files are the test part. A class_names.txt, or another of CLASS_NAMES, with a line for each class
    names them; otherwise they are numbers. Raises DataError, naming the file, for one that is missing, cut off, or no
    idx file.
    """
    folder = path if path.is_dir() else path.parent
    sets: dict[str, dict[tuple[str, str], Path]] = {}
    for file in sorted(folder.iterdir()):
        match = IDX_NAME.fullmatch(file.name)
        if match and (path.is_dir() or match["set"] == IDX_NAME.fullmatch(path.name)["set"]):  # type: ignore[index]
            sets.setdefault(match["set"], {})[(match["part"] or "").lower(), match["what"].lower()] = file
    if len(sets) != 1:
        raise DataError(f"{path} holds {len(sets)} sets of idx files ({', '.join(sets)}). Name a file of one of them.")
    files = next(iter(sets.values()))
    samples: Samples = []
    for part in dict.fromkeys(part for part, _ in sorted(files, key=lambda key: key[0] != "train")):
        images, labels = files.get((part, "images")), files.get((part, "labels"))
        if images is None or labels is None:
            raise DataError(
                f"{images or labels} has no {'labels' if images else 'images'} beside it. Put both in {folder}."
            )
        x, y = _read_idx_file(images), _read_idx_file(labels)
        if x.ndim not in (3, 4) or y.ndim != 1 or len(x) != len(y) or x.size == 0:
            raise DataError(
                f"{images} has shape {x.shape}, {labels} has {y.shape}; (n, height, width) and (n,) are "
                "expected, with the same n above 0."
            )
        samples.append(("test" if part in ("t10k", "test") else "train", images.name, x, y))
    codes = np.unique(np.concatenate([y for *_, y in samples]))
    names, notices = _class_names(folder, codes)
    labelled: Samples = [(part, name, x, names[np.searchsorted(codes, y)]) for part, name, x, y in samples]
    return _raw(path, labelled, size=size, labels=tuple(names.tolist()), notices=notices)


def _read_idx_file(path: Path) -> NDArray[np.uint8]:
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be unpacked: {error}. Fetch it again.") from error
    if len(data) < 4 or data[:3] != b"\0\0\x08" or len(data) < 4 + 4 * data[3]:
        raise DataError(
            f"{path} is no idx file: it begins with {data[:4].hex(' ') or 'nothing'}; 00 00 08 (values of "
            "one byte) and the number of axes are expected. Fetch it again."
        )
    shape = tuple(np.frombuffer(data, ">u4", data[3], 4).tolist())
    values = np.frombuffer(data, np.uint8, offset=4 + 4 * len(shape))
    if len(values) != int(np.prod(shape)):
        raise DataError(
            f"{path} announces {shape}, {int(np.prod(shape)):,} bytes, and has {len(values):,}. It was cut "
            "off, or is another file: fetch it again."
        )
    return values.reshape(shape)


def _class_names(folder: Path, codes: NDArray[Any]) -> tuple[NDArray[np.str_], list[str]]:
    """A name for each of the ascending `codes`: of one of the files CLASS_NAMES in `folder`, if it fits, or the codes.

    A line for each class, or for each number up to the largest; or a number and a name in each line.
    """
    path = next((folder / name for name in CLASS_NAMES if (folder / name).is_file()), None)
    numbers = codes.astype(str)
    if path is None:
        return numbers, []
    lines = _lines(path)
    coded = [re.fullmatch(r"(\d+)[\s,:;=.)-]+(\S.*)", line) for line in lines]
    if all(coded):
        by_code = {int(match[1]): match[2] for match in coded if match}
        if len(set(by_code.values())) == len(lines) and set(codes.tolist()) <= set(by_code):
            return np.array([by_code[code] for code in codes.tolist()]), []
        lines = [by_code[code] for code in sorted(by_code)]  # numbered from 1, where the codes begin with 0
    if len(set(lines)) == len(lines) and len(lines) in (len(codes), int(codes.max()) + 1):
        return np.array(lines)[np.arange(len(codes)) if len(lines) == len(codes) else codes], []
    return numbers, [f"Ignored {path.name}: {len(lines)} names, one for each of {len(codes)} classes is expected."]


def is_npz(path: Path) -> bool:
    """Whether `path` is an .npz, or a folder with train.npz."""
    return path.suffix.lower() == ".npz" if not path.is_dir() else (path / "train.npz").is_file()


def read_npz(path: Path, experiment: Experiment) -> Raw:
    """Pictures, series, or the rows of a table, from x and y, or from x_train, y_train, x_test, y_test, x_val, y_val.

    Whole numbers and text in y are classes, floats are numbers; (n, k) of zeros and a single 1 are classes
    too, of zeros and ones labels. Raises DataError for what is no .npz, or has other keys or shapes.
    """
    path = path / "train.npz" if path.is_dir() else path
    arrays = _load_npz(path)
    if path.stem.lower() == "train" and {"x", "y"} == set(map(str.lower, arrays)):
        for sibling in sorted(path.parent.glob("*.npz")):  # a file for each part
            if sibling.stem.lower() in PART_NAMES and sibling != path:
                arrays |= {f"{name}_{sibling.stem.lower()}": x for name, x in _load_npz(sibling).items()}
    keys: dict[tuple[Part, str], str] = {}
    for key in arrays:
        match = NPZ_NAME.fullmatch(key)
        if match and (match["part"] or "train").lower() in PART_NAMES:
            keys[PART_NAMES[(match["part"] or "train").lower()], match["what"].lower()] = key
    present: list[Part] = [
        part for part in ("train", "validation", "test") if (part, "x") in keys or (part, "y") in keys
    ]
    if "train" not in present or any((part, what) not in keys for part in present for what in "xy"):
        raise DataError(f"{path} has {', '.join(arrays) or 'no arrays'}. {NPZ_EXPECTED}.")
    samples: Samples = []
    for part in present:
        x, y = arrays[keys[part, "x"]], arrays[keys[part, "y"]]
        if y.ndim == 2 and y.shape[1] == 1:
            y = y[:, 0]
        if y.ndim not in (1, 2) or x.ndim == 0 or len(x) != len(y) or len(x) == 0:
            raise DataError(
                f"{path}: {keys[part, 'x']} has shape {x.shape}, {keys[part, 'y']} has {y.shape}; as many "
                "values of y as samples in x are expected."
            )
        samples.append((part, f"{path.name} {keys[part, 'x']}", x, y))
    codes = np.unique(np.concatenate([y for *_, y in samples]))
    labels: tuple[str, ...] = ()
    notices: list[str] = []
    if all(y.ndim == 1 and y.dtype.kind in "ui" for *_, y in samples) and codes[0] >= 0:
        names, notices = _class_names(path.parent, codes)
        if names.tolist() != codes.astype(str).tolist():
            labels = tuple(names.tolist())
            samples = [(part, name, x, names[np.searchsorted(codes, y)]) for part, name, x, y in samples]
    return _raw(path, samples, size=experiment.size, labels=labels, notices=notices, experiment=experiment)


def _load_npz(path: Path) -> dict[str, NDArray[Any]]:
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path} is no .npz file (a zip of arrays, as numpy.savez writes it).")
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}. Arrays of numbers or text are expected.") from error


def _raw(
    path: Path,
    samples: Samples,
    *,
    size: tuple[int, ...],
    labels: tuple[str, ...] = (),
    notices: list[str] | None = None,
    experiment: Experiment | None = None,
) -> Raw:
    notices = list(notices or [])
    for _, name, x, y in samples[1:]:
        if (x.shape[1:], y.shape[1:]) != (samples[0][2].shape[1:], samples[0][3].shape[1:]):
            raise DataError(
                f"{path}: {name} and its y have shapes {x.shape} and {y.shape}, {samples[0][1]} and its y "
                f"{samples[0][2].shape} and {samples[0][3].shape}: the same are expected but for the first."
            )
    x = np.concatenate([x for _, _, x, _ in samples]) if len(samples) > 1 else samples[0][2]
    y = _targets(path, np.concatenate([y for *_, y in samples]))
    parts = part_codes([part for part, _, x_part, _ in samples for _ in range(len(x_part))])
    kind = _kind(path, x, experiment)
    noun = NOUNS[kind]
    ids = [f"{name} {noun} {i}" for _, name, part, _ in samples for i in range(len(part))]
    made = partial(
        Raw, kind=kind, y=y, parts=parts, ids=ids, labels=labels, notices=notices,
        targets=("class",) if y.ndim == 1 else tuple(f"y{i}" for i in range(y.shape[1])),
    )  # fmt: skip
    if kind == "table":
        if x.dtype.kind not in "buif":
            raise DataError(f"{path}: x is of type {x.dtype}. {NPZ_EXPECTED}.")
        import pandas as pd

        return made(x=pd.DataFrame({f"x{i}": x[:, i].astype(str).tolist() for i in range(x.shape[1])}))
    if kind == "series":
        found = np.asarray(x[:, :, None] if x.ndim == 2 else x, np.float64)
        whole, told = series.gather(list(found), ids, experiment.steps if experiment else None)
        notices += told
        return made(x=whole, channels=_channel_names(path, whole.shape[2]))
    return made(x=resized(_bytes(path, x, notices), size, notices))


def _kind(path: Path, x: NDArray[Any], experiment: Experiment | None) -> Kind:
    """What the samples `x` are: three axes are series where they cannot be, or hardly are, pictures."""
    wanted = experiment.kind if experiment else None
    axes: dict[Kind, tuple[int, ...]] = {"table": (2,), "series": (2, 3), "image": (3, 4)}
    if wanted in axes:
        if x.ndim not in axes[wanted]:
            raise ExperimentError(
                f'kind = "{wanted}": {path} has x of shape {x.shape}, {" or ".join(map(str, axes[wanted]))} axes are '
                "expected. Remove the kind."
            )
        return wanted
    if x.ndim == 2:
        return "table"
    if experiment is None or x.ndim != 3 or x.dtype.kind not in "if":
        return "image"
    low, high = float(x.min()), float(x.max())  # NaN, and no picture, if one value is
    bytes_ = low >= 0 and high <= 255 and bool((x == np.rint(x)).all())
    fractions = low >= 0 and high <= 1
    narrow = x.shape[2] < NARROW and x.shape[1] >= NARROW * x.shape[2]  # no picture is like that
    named = len(_lines(path.parent / "channels.txt")) == x.shape[2]
    return "series" if named or narrow or not (bytes_ or fractions) else "image"


def _channel_names(path: Path, count: int) -> tuple[str, ...]:
    """The lines of channels.txt beside the arrays, if there is one for each channel."""
    names = _lines(path.parent / "channels.txt")
    return tuple(names) if len(set(names)) == len(names) == count else series.names(count)


def _lines(path: Path) -> list[str]:
    """The lines of the text at `path` that are not empty; none where there is no such file."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    return [line.strip() for line in text.splitlines() if line.strip()]


def _bytes(path: Path, x: NDArray[Any], notices: list[str]) -> NDArray[np.uint8]:
    """Pictures of 0..255 or fractions 0..1 as (n, height, width, channels) uint8."""
    if x.ndim == 3:
        x = x[..., None]
    if x.ndim != 4 or x.shape[3] not in (1, 3) or 0 in x.shape or x.dtype.kind not in "buif":
        hint = " Move the axis of the channels to the end." if x.ndim == 4 and x.shape[1] in (1, 3) else ""
        raise DataError(f"{path}: x has shape {x.shape} and type {x.dtype}.{hint} {NPZ_EXPECTED}.")
    if x.dtype == np.uint8:
        return x
    low, high = float(x.min()), float(x.max())  # NaN if one value is
    if x.dtype.kind == "f" and low >= 0 and high <= 1:
        notices.append(f"{path.name}: pictures of 0..1 were brought to 0..255.")
        return (x * 255 + 0.5).astype(np.uint8)
    whole = x.dtype.kind in "bui" or bool((x == np.rint(x)).all())
    if not (whole and low >= 0 and high <= 255):
        raise DataError(f"{path}: x has values from {low:g} to {high:g} of type {x.dtype}. {NPZ_EXPECTED}.")
    return x.astype(np.uint8)


def resized(x: NDArray[np.uint8], size: tuple[int, ...], notices: list[str]) -> NDArray[np.uint8]:
    """Pictures (n, height, width, channels) brought to `size`, or to the size that suits theirs. Adds to `notices`."""
    from PIL import Image

    from kexp.data.pictures import as_array, choose_size, fit

    found = x.shape[1:3]
    height, width = size or choose_size([(found[0], found[1])])
    if (height, width) == found:
        return x
    notices.append(f"Pictures of {found[0]} x {found[1]} were brought to {height} x {width} (height x width).")
    channels = x.shape[3]
    resized = np.empty((len(x), height, width, channels), np.uint8)
    for i, pixels in enumerate(x):
        picture = Image.fromarray(pixels.squeeze(2) if channels == 1 else pixels)
        resized[i] = as_array(fit(picture, height, width), channels)
    return resized


def _targets(path: Path, y: NDArray[Any]) -> NDArray[Any]:
    """`y` as str (n,) for classes, float64 (n, k) for numbers, bool (n, k) for labels; see `read_npz`."""
    if y.dtype.kind == "S":
        y = np.char.decode(y, "utf-8", "replace")
    if y.dtype.kind not in "buifU" or (y.ndim == 2 and y.dtype.kind == "U"):
        raise DataError(
            f"{path}: y has shape {y.shape} and type {y.dtype}; numbers, or one text for each, are expected."
        )
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        row = int(np.argwhere(~np.isfinite(y))[0][0])
        raise DataError(f"{path}: y is {y[row]} in row {row} (counted from 0). Numbers are expected; remove the row.")
    if y.ndim == 1:
        return y.astype(np.float64)[:, None] if y.dtype.kind == "f" else y.astype(str)
    if np.isin(y, (0, 1)).all():
        return y.argmax(axis=1).astype(str) if (y.sum(axis=1) == 1).all() else y.astype(bool)
    return y.astype(np.float64)
