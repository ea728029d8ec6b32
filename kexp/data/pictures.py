"""Pictures: `decode` brings one file to the network's shape; `medium` is what media.py reads folders and lists by.

`decode` is also what `kexp run` calls, so that a photo is treated alike in training and afterwards; hence
this module imports Pillow and NumPy alone, and the rest when a reader is called.
"""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from kexp.errors import DataError

if TYPE_CHECKING:
    from kexp.data.media import Loaded, Medium
    from kexp.records import Experiment

Shape = tuple[int, int, int]
Source = Path | bytes | BinaryIO
Progress = Callable[[int, int], None]

EXTENSIONS = frozenset({".jpeg", ".jpg", ".png", ".bmp", ".webp", ".gif"})
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP")  # the same, as Pillow names them
EXPECTED = "a jpeg, png, bmp, webp or gif"
LARGEST_AREA = 64 * 64  # pixels, unless the user asks for more: what a CPU trains on in minutes
STEP = 16  # sides of a reduced picture are multiples of it, so four poolings lose no pixels
SAMPLE = 200  # pictures that are looked at to choose size and channels

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


def choose_size(sizes: Sequence[tuple[int, int]], largest: int = LARGEST_AREA) -> tuple[int, int]:
    """The (height, width) to bring pictures of these (height, width) to: the median, or an area of `largest` at most.

    A reduced size keeps the ratio as far as multiples of STEP can: 192 x 256 becomes 48 x 64.
    """
    height, width = (int(np.median([size[axis] for size in sizes])) for axis in (0, 1))
    if height * width <= largest:
        return max(1, height), max(1, width)
    tall = math.sqrt(largest * height / width)
    longest = largest // STEP
    sides = [min(longest, max(STEP, int(side + 1e-6) // STEP * STEP)) for side in (tall, largest / tall)]
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
    files: Sequence[Path], names: Sequence[str], experiment: Experiment, cache: Path, progress: Progress | None
) -> Loaded:
    """Decoded pictures, from the cache if it has them, brought to the experiment's size or what `choose_size` says."""
    from kexp.data.cache import fill, fingerprint, lookup
    from kexp.data.media import Loaded

    size = experiment.size
    key = fingerprint(files, names, size)
    decoded = lookup(cache, key)
    if decoded is None:
        height, width, channels = _look(files, size)
        try:
            decode_one = _decode_grey if channels == 1 else decode
            decoded = fill(cache, key, files, (height, width, channels), decode_one, progress)
        except _Coloured:
            decoded = fill(cache, key, files, (height, width, 3), decode, progress)
    return Loaded(x=decoded.x, damaged=decoded.damaged)


def medium() -> Medium:
    """What a picture is to the readers of folders and lists."""
    from kexp.data.media import Medium

    return Medium(kind="image", extensions=EXTENSIONS, load=_load)
