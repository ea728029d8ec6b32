"""Clips: `decode` brings one video file to the network's frames; `medium` is what media.py reads folders by.

`decode` is also what `kexp run` calls, so that a clip is treated alike in training and afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeVar

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
T = TypeVar("T")

EXTENSIONS = frozenset({".mp4", ".avi", ".gif", ".mov", ".mkv", ".webm", ".m4v"})
EXPECTED = "an mp4, avi, gif, mov, mkv or webm"
FRAMES = 16  # of a clip, unless the user asks for another number
LARGEST_AREA = 48 * 48  # pixels of a frame, unless the user asks for more
GREY = 6  # levels that channels may differ by in a clip without colours: codecs leave some
NUDGE = 0.0006  # seconds: where a span's middle is where a frame begins, that frame is meant; files round times to 1 ms
SAMPLE = 40  # clips that are looked at to choose size, channels and rate


def decode(source: Source, shape: Shape) -> NDArray[np.uint8]:
    """The clip as `shape` = (frames, height, width, channels) uint8, channels 1 (grey) or 3 (red, green, blue).

    Frame i is the one that is shown in the middle of the i-th of equal spans of the clip, spans of time where it says
    when its frames are shown; each is cut around its centre and resized as a picture is. Raises DataError, naming the
    file, for what is no video or is damaged.
    """
    from kexp.data.pictures import as_array, fit

    frames, height, width, channels = shape
    return np.stack(_chosen(source, frames, lambda one: as_array(fit(one, height, width), channels))[0])


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

    key = fingerprint(files, names, ("clip by time", experiment.frames, experiment.size))
    decoded = lookup(cache, key)
    if decoded is None:
        shape, seconds, notices = _look(files, experiment)
        told = {"seconds": seconds, "notices": notices}
        decoded = fill(cache, key, files, shape, decode, progress, noun="clip", told=told)
    seconds = float(decoded.told["seconds"])
    return Loaded(
        x=decoded.x,
        damaged=decoded.damaged,
        rate=decoded.x.shape[1] / seconds if seconds else 0.0,
        notices=list(decoded.told["notices"]),
    )


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
    def look(picture: Image.Image) -> tuple[tuple[int, int], bool]:
        pixels = np.asarray(picture.resize((32, 32)), np.int16)
        grey = np.abs(pixels - pixels.mean(axis=2, keepdims=True)).max() <= GREY
        return (picture.height, picture.width), bool(grey)

    ((size, grey), *_), frames, rate = _chosen(file, 1, look)
    return _Seen(size, frames / rate if rate else 0.0, frames, grey)


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
        raise DataError(f"{name} is no clip, or damaged: {EXPECTED} is expected ({_reason(error)}).") from error


def _reason(error: Exception) -> str:
    """What PyAV says, without the path, which was told, and a number that nobody knows: [Errno 1094995529]."""
    return str(getattr(error, "strerror", None) or error)


def _chosen(source: Source, frames: int, made: Callable[[Image.Image], T]) -> tuple[list[T], int, float]:
    """What is `made` of the frames in the middle of `frames` equal spans; how many there are, and how many a second.

    One frame may be in several spans. Pictures are upright, RGB; one after the other is in memory.
    """
    with _opened(source) as container:
        stream = container.streams.video[0]
        rate = float(stream.average_rate or 0)
        shown = (packet for packet in container.demux(stream) if packet.size > 0 and not packet.is_discard)
        packets = [(packet.pts, packet.duration or 0) for packet in shown]  # without what an edit list cuts away
        count, animation = len(packets), container.format.name == "gif"
        nudge = NUDGE / float(stream.time_base or 1)
    times = None if animation else _times(packets)
    while True:
        if times is not None and len(times) == count + 1:
            middles = times[0] + (np.arange(frames) + 0.5) / frames * (times[-1] - times[0]) + nudge
            places = (np.searchsorted(times[:-1], middles, side="right") - 1).tolist()
        else:
            places = [min(count - 1, int((i + 0.5) * count / frames)) for i in range(frames)]
        wanted = set(places)
        found: dict[int, T] = {}
        number = 0
        if not isinstance(source, Path):
            source.seek(0)
        with _opened(source) as container:
            for frame in container.decode(container.streams.video[0]):
                if number in wanted:
                    found[number] = made(_upright(frame))
                number += 1
        if not number:
            raise DataError(f"{getattr(source, 'name', source)} holds no frame: {EXPECTED} is expected.")
        if number == count:
            return [found[i] for i in places], count, rate
        count = number  # what a file says of itself may be wrong: again, with what was there


def _times(packets: Sequence[tuple[int | None, int]]) -> NDArray[np.int64] | None:
    """When each frame is shown, and when the last one ends, (n + 1,); None where the file does not say.

    Phones film at rates that vary with the light: the n-th frame is not the one of its share of the time, and the
    phone's page, which can go by time alone, would look at others.
    """
    if not packets or any(pts is None for pts, _ in packets):
        return None
    shown = np.array(sorted(packets), np.int64)
    if len(np.unique(shown[:, 0])) < len(shown):
        return None
    steps = np.diff(shown[:, 0])
    last = int(shown[-1, 1]) or (int(np.median(steps)) if len(steps) else 1)
    return np.append(shown[:, 0], shown[-1, 0] + last)


def _upright(frame: Any) -> Image.Image:
    """The frame as it is shown: a phone that is held upright films lying down, and writes by how much to turn."""
    picture: Image.Image = frame.to_image()
    turn = round(frame.rotation / 90) % 4  # against the clock
    return picture.rotate(90 * turn, expand=True) if turn else picture
