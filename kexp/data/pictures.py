"""Pictures: `decode` brings one file to the network's shape; readers of class folders and of CSVs of paths.

`decode` is also what `kexp run` calls, so that a photo is treated alike in training and afterwards; hence
this module imports Pillow and NumPy alone, and the rest when a reader is called.
"""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from kexp.errors import DataError

if TYPE_CHECKING:
    from kexp.data.dataset import Raw

Shape = tuple[int, int, int]
Source = Path | bytes | BinaryIO
Progress = Callable[[int, int], None]

EXTENSIONS = frozenset({".jpeg", ".jpg", ".png", ".bmp", ".webp", ".gif"})
LISTS = (".csv", ".tsv")
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP")  # the same, as Pillow names them
EXPECTED = "a jpeg, png, bmp, webp or gif"
LARGEST_AREA = 64 * 64  # pixels, unless the user asks for more: what a CPU trains on in minutes
STEP = 16  # sides of a reduced picture are multiples of it, so four poolings lose no pixels
SAMPLE = 200  # pictures that are looked at to choose size and channels
FIRST = 20  # rows of a CSV that are looked at for a picture that exists
FEW_NUMBERS = 20  # different whole numbers as the target of a CSV are classes

# --- one picture --------------------------------------------------------------------------------


def decode(source: Source, shape: Shape) -> NDArray[np.uint8]:
    """The picture as `shape` = (height, width, channels) uint8, channels 1 (grey) or 3 (red, green, blue).

    Turned upright (EXIF), laid on white where transparent, the first frame where animated; cut around its
    centre to the aspect ratio of `shape`, then resized with an antialiasing filter. Known by its content, not
    its name. Raises DataError, naming the file, for what is no picture or is damaged.
    """
    return as_array(_read(source, shape[:2]), shape[2])


def as_array(picture: Image.Image, channels: int) -> NDArray[np.uint8]:
    """(height, width, channels) uint8 of an L or RGB picture."""
    array = np.asarray(picture.convert("L" if channels == 1 else "RGB"))
    return array[:, :, None] if channels == 1 else array


def fit(picture: Image.Image, height: int, width: int) -> Image.Image:
    """`picture` (L or RGB), cut around its centre to the ratio of height and width, and resized to them."""
    scale = min(picture.width / width, picture.height / height)
    # Rounding may make the cut a hair larger than the picture, which Pillow refuses.
    left, top = max(0.0, (picture.width - width * scale) / 2), max(0.0, (picture.height - height * scale) / 2)
    # Across, then down, in two calls: in one, Pillow 13 chooses the order by the sizes, which changes pixels by a level
    # from one version to another, and from the phone's page, which computes the same in JavaScript.
    across, down = (left, 0, picture.width - left, picture.height), (0, top, width, picture.height - top)
    # Pillow's bilinear filter widens with the reduction: it averages, it does not skip pixels.
    bilinear = Image.Resampling.BILINEAR
    picture = picture.resize((width, picture.height), bilinear, box=across, reducing_gap=2.0)
    return picture.resize((width, height), bilinear, box=down, reducing_gap=2.0)


def choose_size(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The (height, width) to bring pictures of these (height, width) to: the median, or less of LARGEST_AREA.

    A reduced size keeps the ratio as far as multiples of STEP can: 192 x 256 becomes 48 x 64.
    """
    height, width = (int(np.median([size[axis] for size in sizes])) for axis in (0, 1))
    if height * width <= LARGEST_AREA:
        return max(1, height), max(1, width)
    tall = math.sqrt(LARGEST_AREA * height / width)
    longest = LARGEST_AREA // STEP
    sides = [min(longest, max(STEP, int(side + 1e-6) // STEP * STEP)) for side in (tall, LARGEST_AREA / tall)]
    return sides[0], sides[1]


def _read(source: Source, size: tuple[int, int]) -> Image.Image:
    """The upright picture, L or RGB, brought to `size` = (height, width)."""
    with _opened(source) as picture:
        orientation = _orientation(picture)
        height, width = size[::-1] if orientation >= 5 else size
        scale = min(picture.width / width, picture.height / height)
        # A JPEG is decoded at 1/2, 1/4 or 1/8 straight away, to no less than twice the size wanted.
        picture.draft(None, (int(2 * picture.width / scale), int(2 * picture.height / scale)))
        picture.load()
    fitted = fit(_plain(picture), height, width)
    return fitted.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else fitted


_UPRIGHT = {  # EXIF orientation -> what makes it upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _orientation(picture: Image.Image) -> int:
    try:
        found = picture.getexif().get(0x0112, 1)
    except (SyntaxError, ValueError, struct.error):  # unreadable EXIF around a good picture
        return 1
    return found if found in _UPRIGHT else 1


@contextmanager
def _opened(source: Source) -> Iterator[Image.Image]:
    """An open Pillow picture; what Pillow raises inside becomes a DataError that names the file."""
    name = str(source) if isinstance(source, Path) else str(getattr(source, "name", "the picture"))
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS) as picture:
            yield picture
    except UnidentifiedImageError as error:
        raise DataError(f"{name} is no picture: {EXPECTED} is expected. Replace or remove it.") from error
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise DataError(f"{name} cannot be opened ({error.strerror}): {EXPECTED} is expected.") from error
    except Image.DecompressionBombError as error:
        raise DataError(f"{name} is too large to decode: {error} Reduce it first.") from error
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error) as error:
        raise DataError(f"{name} is a damaged picture ({error}). Replace or remove it.") from error


def _plain(picture: Image.Image) -> Image.Image:
    """The picture as 8-bit L or RGB, without palette, transparency or deeper pixels."""
    if picture.mode.startswith("I"):  # 16-bit grey, as scanners and depth cameras write it
        deep = np.asarray(picture).astype(np.int64).clip(0, 65535)
        return Image.fromarray(((deep + 128) // 257).astype(np.uint8))
    if picture.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in picture.info:
        white = Image.new("RGBA", picture.size, "white")
        white.alpha_composite(picture.convert("RGBA"))
        return white.convert("RGB")
    if picture.mode in ("L", "RGB"):
        return picture
    return picture.convert("L" if picture.mode == "1" else "RGB")


def _is_grey(picture: Image.Image) -> bool:
    if picture.mode == "L":
        return True
    pixels = np.asarray(picture)
    return bool((pixels == pixels[:, :, :1]).all())


# --- many pictures ------------------------------------------------------------------------------


class _Coloured(Exception):  # noqa: N818 - never leaves this module
    """A picture has colours in a set that looked grey."""


def _decode_grey(file: Path, shape: Shape) -> NDArray[np.uint8]:
    picture = _read(file, shape[:2])
    if not _is_grey(picture):
        raise _Coloured
    return as_array(picture, 1)


def _look(files: Sequence[Path], size: tuple[int, ...]) -> Shape:
    """The shape to decode `files` to, from SAMPLE of them, evenly spread."""
    sizes, grey, reasons = [], True, []
    sample = [files[i] for i in np.unique(np.linspace(0, len(files) - 1, SAMPLE).astype(int))]
    for file in sample:
        try:
            with _opened(file) as picture:
                upright = picture.size if _orientation(picture) >= 5 else picture.size[::-1]
            grey = grey and _is_grey(_read(file, (32, 32)))
            sizes.append(upright)
        except DataError as error:
            reasons.append(str(error))
    if not sizes:
        from kexp.data.cache import refuse_damaged

        refuse_damaged(reasons, len(sample))
        raise DataError(reasons[0])
    height, width = size or choose_size(sizes)
    return height, width, 1 if grey else 3


def _load(
    files: Sequence[Path], names: Sequence[str], size: tuple[int, ...], cache: Path, progress: Progress | None
) -> tuple[NDArray[np.uint8], NDArray[np.int64], list[str]]:
    """Decoded pictures, from the cache if it has them; indices of those that are whole; notices on others."""
    from kexp.data.cache import fill, fingerprint, lookup

    key = fingerprint(files, names, size)
    decoded = lookup(cache, key)
    if decoded is None:
        height, width, channels = _look(files, size)
        try:
            decode_one = _decode_grey if channels == 1 else decode
            decoded = fill(cache, key, files, (height, width, channels), decode_one, progress)
        except _Coloured:
            decoded = fill(cache, key, files, (height, width, 3), decode, progress)
    kept = np.setdiff1d(np.arange(len(files)), list(decoded.damaged))
    skipped = [f"Skipped 1 of {len(files)} pictures: {reason}" for reason in decoded.damaged.values()]
    return decoded.x, kept, skipped


def read_folder(path: Path, *, size: tuple[int, ...] = (), cache: Path, progress: Progress | None = None) -> Raw:
    """The pictures under `path`, one folder for each class, optionally inside train/, val/ and test/.

    They are brought to `size`, (height, width), or what `choose_size` says, and kept under `cache`. Raises
    DataError for what `class_folders` refuses, and for more than max(1, 1 %) of damaged pictures.
    """
    from kexp.data.class_folders import check_classes, part_codes, scan
    from kexp.data.dataset import Raw

    rows, notices = scan(path, EXTENSIONS, noun="picture")
    check_classes(path, rows, noun="picture")
    names = [str(row.name) for row in rows]
    files = [path / name for name in names]
    x, kept, skipped = _load(files, names, size, cache, progress)
    rows = [rows[i] for i in kept]
    if skipped:
        check_classes(path, rows, noun="picture")
    return Raw(
        kind="image",
        x=x,
        y=np.array([row.label for row in rows]),
        targets=("class",),
        parts=part_codes([row.part for row in rows]),
        ids=[names[i] for i in kept],
        files=[str(files[i].absolute()) for i in kept],
        labels=tuple(sorted({row.label for row in rows})),
        notices=notices + skipped,
    )


def is_picture_csv(path: Path) -> bool:
    """Whether `path` is a CSV or TSV with a column of picture paths, of which some among the first exist.

    Or a folder with one CSV or TSV, which is such a one.
    """
    from kexp.data.tables import read_file

    path = _only_csv(path) or path
    if path.suffix.lower() not in LISTS or not path.is_file():
        return False
    with path.open("rb") as stream:
        start = stream.read(1 << 16).lower()
    if not any(extension.encode() in start for extension in EXTENSIONS):
        return False
    try:
        cells = read_file(path).columns
    except DataError:  # the reader of tables says what is wrong
        return False
    column = _path_column(cells)
    return column is not None and any((path.parent / cell.strip()).is_file() for cell in cells[column][:FIRST])


def read_csv(
    path: Path,
    *,
    target: Sequence[str] = (),
    split_column: str = "",
    group_column: str = "",
    time_column: str = "",
    size: tuple[int, ...] = (),
    cache: Path,
    progress: Progress | None = None,
) -> Raw:
    """The pictures that the CSV at `path` lists, by paths relative to its folder, and their targets.

    The target is `target`, or the only other column, or what the reader of tables guesses. `y` is (n,) of str
    for text and for at most FEW_NUMBERS different whole numbers, otherwise cells (n, k) as in a table. Raises
    DataError for what the reader of tables refuses, for a file that does not exist (with its row), and for
    more than max(1, 1 %) of damaged pictures.
    """
    from kexp.data import tables
    from kexp.data.dataset import Raw
    from kexp.records import Experiment

    path = _only_csv(path) or path
    cells = tables.read_file(path).columns
    column = _path_column(cells)
    if column is None:
        raise DataError(f"{path} has no column of picture paths: {EXPECTED} file is expected in every row.")
    if Path(column).suffix.lower() in EXTENSIONS:
        raise DataError(f"{path} line 1 names a picture, {column}: a header such as path,label is expected there.")
    special = (split_column, group_column, time_column)
    left = [name for name in cells if name != column and name not in special]
    if not left:
        raise DataError(f"{path} has no column beside {column!r}. A label or a number for each is expected.")
    raw: Any = tables.read(
        path,
        Experiment(
            name=path.stem,
            data=str(path),
            target=tuple(target) or (tuple(left) if len(left) == 1 else ()),
            split_column=split_column,
            group_column=group_column,
            time_column=time_column,
        ),
    )
    names = [cell.strip() for cell in raw.x[column].tolist()]
    files = [path.parent / name for name in names]
    missing = [f"{row}: {name}" for row, name, file in zip(raw.ids, names, files, strict=True) if not file.is_file()]
    if missing:
        raise DataError(
            f"{path} lists {len(missing)} pictures that are not in {path.parent} ({'; '.join(missing[:3])}). "
            "Paths relative to the folder of the CSV are expected. Add the files, or remove the rows."
        )
    unused = [name for name in raw.x.columns if name != column]
    if unused:
        raw.notices.append(f"Columns of {path.name} that are not used: {', '.join(unused)}.")
    x, kept, skipped = _load(files, names, size, cache, progress)
    return Raw(
        kind="image",
        x=x,
        y=_classes_or_cells(raw.y[kept]),
        targets=raw.targets,
        parts=None if raw.parts is None else raw.parts[kept],
        ids=[names[i] for i in kept],
        files=[str(files[i].absolute()) for i in kept],
        groups=None if raw.groups is None else raw.groups[kept],
        times=None if raw.times is None else raw.times[kept],
        notices=raw.notices + skipped,
    )


def _only_csv(folder: Path) -> Path | None:
    found = [file for file in folder.iterdir() if file.suffix.lower() in LISTS] if folder.is_dir() else []
    return found[0] if len(found) == 1 else None


def _path_column(cells: Mapping[str, Sequence[str]]) -> str | None:
    """The first column of which every cell ends as a picture does."""
    for name, column in cells.items():
        if all(Path(cell.strip()).suffix.lower() in EXTENSIONS for cell in column):
            return name
    return None


def _classes_or_cells(y: NDArray[Any]) -> NDArray[Any]:
    """(n,) of str for a few whole numbers: of pictures they are classes, where a table means quantities."""
    distinct = {str(cell).strip() for cell in y[:, 0].tolist()}
    digits = all(cell.lstrip("-").isdigit() for cell in distinct)
    return y[:, 0].astype(str) if y.shape[1] == 1 and digits and len(distinct) <= FEW_NUMBERS else y
