"""Clips: `decode` brings one video file to the network's frames; `medium` is what media.py reads folders by.

`decode` is also what `kexp run` calls, so that a clip is treated alike in training and afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kexp.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

    from kexp.data.media import Loaded, Medium
    from kexp.records import Experiment

Shape = tuple[int, int, int, int]
Source = Path | BinaryIO
Progress = Callable[[int, int], None]

EXTENSIONS = frozenset({".mp4", ".avi", ".gif", ".mov", ".mkv", ".webm", ".m4v"})
EXPECTED = "an mp4, avi, gif, mov, mkv or webm"
FRAMES = 16  # of a clip, unless the user asks for another number
LARGEST_AREA = 48 * 48  # pixels of a frame, unless the user asks for more
GREY = 6  # levels that channels may differ by in a clip without colours: codecs leave some
SAMPLE = 40  # clips that are looked at to choose size, channels and rate


def decode(source: Source, shape: Shape) -> NDArray[np.uint8]:
    """The clip as `shape` = (frames, height, width, channels) uint8, channels 1 (grey) or 3 (red, green, blue).

    Frame i is the one that is shown in the middle of the i-th of equal spans of the clip; each is cut around its centre
    and resized as a picture is. Raises DataError, naming the file, for what is no video or is damaged.
    """
    from kexp.data.pictures import as_array, fit

    frames, height, width, channels = shape
    chosen = _chosen(source, frames)
    ready = {id(picture): as_array(fit(picture, height, width), channels) for picture in chosen}
    return np.stack([ready[id(picture)] for picture in chosen])


def medium() -> Medium:
    """What a clip is to the readers of folders and lists."""
    from kexp.data.media import Medium

    return Medium(kind="clip", extensions=EXTENSIONS, load=_load)


class _Seen(NamedTuple):
    """What a file is, as far as the shape of all depends on it."""

    size: tuple[int, int]  # height, width
    seconds: float
    frames: int
    grey: bool


def _load(
    files: Sequence[Path], names: Sequence[str], experiment: Experiment, cache: Path, progress: Progress | None
) -> Loaded:
    from kexp.data.cache import fill, fingerprint, lookup
    from kexp.data.media import Loaded

    shape, seconds, notices = _look(files, experiment)
    key = fingerprint(files, names, ("clip", *shape))
    decoded = lookup(cache, key)
    if decoded is None:
        decoded = fill(cache, key, files, shape, decode, progress, noun="clip")
    return Loaded(x=decoded.x, damaged=decoded.damaged, rate=shape[0] / seconds if seconds else 0.0, notices=notices)


def _look(files: Sequence[Path], experiment: Experiment) -> tuple[Shape, float, list[str]]:
    """The shape to bring `files` to, the median duration in seconds, and what is said of it."""
    from kexp.data.cache import refuse_damaged
    from kexp.data.pictures import choose_size

    sample = [files[i] for i in np.unique(np.linspace(0, len(files) - 1, SAMPLE).astype(int))]
    seen, reasons = [], []
    for file in sample:
        try:
            seen.append(_see(file))
        except DataError as error:
            reasons.append(str(error))
    if not seen:
        refuse_damaged(reasons, len(sample), "clip")
        raise DataError(reasons[0])
    frames = experiment.frames or min(FRAMES, max(2, max(one.frames for one in seen)))
    height, width = experiment.size or choose_size([one.size for one in seen], LARGEST_AREA)
    channels = 1 if all(one.grey for one in seen) else 3
    seconds = float(np.median([one.seconds for one in seen]))
    counts = [one.frames for one in seen]
    notice = (
        f"Clips have {min(counts)} to {max(counts)} frames: {frames} evenly spaced ones of each are used, brought to "
        f"{height} x {width}. --frames N and --size HxW set others."
    )
    return (frames, height, width, channels), seconds, [notice]


def _see(file: Path) -> _Seen:
    with _opened(file) as container:
        frames = _count(container)
        rate = float(container.streams.video[0].average_rate or 0)
    (picture,) = _chosen(file, 1)
    pixels = np.asarray(picture.resize((32, 32)), np.int16)
    grey = bool(np.abs(pixels - pixels.mean(axis=2, keepdims=True)).max() <= GREY)
    return _Seen((picture.height, picture.width), frames / rate if rate else 0.0, frames, grey)


@contextmanager
def _opened(source: Source) -> Iterator[Any]:
    """The open container; what PyAV raises inside becomes a DataError that names the file."""
    import av

    name = str(source) if isinstance(source, Path) else str(getattr(source, "name", "the clip"))
    try:
        with av.open(str(source) if isinstance(source, Path) else source) as container:
            if not container.streams.video:
                raise DataError(f"{name} holds no pictures: {EXPECTED} is expected. Replace or remove it.")
            yield container
    except (av.FFmpegError, OSError, ValueError) as error:
        raise DataError(f"{name} is no clip, or damaged: {EXPECTED} is expected ({error}).") from error


def _chosen(source: Source, frames: int) -> list[Image.Image]:
    """The frames in the middle of `frames` equal spans, RGB; one may be there several times."""
    with _opened(source) as container:
        stream = container.streams.video[0]
        count = _count(container)
        if not count:
            raise DataError(f"{getattr(source, 'name', source)} holds no frame: {EXPECTED} is expected.")
        places = [min(count - 1, int((i + 0.5) * count / frames)) for i in range(frames)]
        wanted = set(places)
        container.seek(0)
        found = {i: frame.to_image() for i, frame in enumerate(container.decode(stream)) if i in wanted}
    return [found[i] for i in places]


def _count(container: Any) -> int:
    """How many frames there are: what a file says of itself may be wrong, so they are counted."""
    return sum(1 for _ in container.decode(container.streams.video[0]))
