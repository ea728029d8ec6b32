"""Sounds: `decode` brings one file to the network's rate and length; `medium` is what media.py reads folders by.

`decode` is also what `kexp run` calls, so that a recording is treated alike in training and afterwards.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kexp.errors import DataError

if TYPE_CHECKING:
    from kexp.data.media import Loaded, Medium
    from kexp.records import Experiment

Source = Path | BinaryIO
Progress = Callable[[int, int], None]

EXTENSIONS = frozenset({".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif"})
EXPECTED = "a wav, flac, ogg or mp3"
HIGHEST_RATE = 16_000  # Hz, unless the user asks for more: speech and most events lie below its half
LONGEST = 160_000  # samples of one sound, unless the user asks for more
LARGE = 1 << 22  # samples of a channel: of a longer file only what is needed is kept in memory
BLOCK = 1 << 16  # samples that are read at once
TAPS = 10  # zero crossings of scipy's filter to each side
COVERED = 0.95  # share of the sounds that are whole in the length chosen


def decode(source: Source, rate: float, samples: int) -> NDArray[np.float32]:
    """The sound as (samples,) float32 in -1..1, at `rate` Hz.

    Channels are averaged. A longer one is cut around its middle, a shorter one has zeros at its end. Raises DataError,
    naming the file, for what is no sound or is damaged.
    """
    with _opened(source) as file:
        if file.frames > LARGE and (found := _middle(file, rate, samples)) is not None:
            return found
        x, its_rate = _whole(file), float(file.samplerate)
    return fit(resample(x, its_rate, rate), samples)


def read(source: Source) -> tuple[NDArray[np.float32], float]:
    """All samples of a file, (n,) float32 in -1..1, channels averaged, and their rate. Raises DataError as `decode`."""
    with _opened(source) as file:
        return _whole(file), float(file.samplerate)


@contextmanager
def _opened(source: Source) -> Iterator[Any]:
    """The open file; what soundfile raises inside becomes a DataError that names it."""
    import soundfile

    name = _name(source)
    try:
        with soundfile.SoundFile(source) as file:
            yield file
    except (soundfile.LibsndfileError, RuntimeError, OSError, TypeError) as error:
        raise DataError(f"{name} is no sound, or damaged: {EXPECTED} is expected ({reason(error)}).") from error
    except ValueError as error:
        raise DataError(f"{name} {error}. Replace or remove it.") from error


def _whole(file: Any) -> NDArray[np.float32]:
    """All samples, (n,), channels averaged. Raises ValueError for none, and for what is no number."""
    blocks = [_mono(block) for block in blocks_of(file)]
    if not sum(map(len, blocks)):
        raise ValueError(f"holds no samples: {EXPECTED} with some sound is expected")
    x: NDArray[np.float32] = np.concatenate(blocks)
    return x


def blocks_of(file: Any, size: int = BLOCK) -> Iterator[NDArray[np.float32]]:
    """All samples of an open file, (n, channels) at a time; of one that is cut off, those that are there.

    soundfile's own `blocks` goes by how many samples the file announces, and hands out memory that nobody has written
    to for those that are not there.
    """
    while len(block := file.read(size, dtype="float32", always_2d=True)):
        yield block


def _mono(block: NDArray[np.float32]) -> NDArray[np.float32]:
    if not np.isfinite(block).all():
        raise ValueError("holds values that are no numbers")
    x: NDArray[np.float32] = block.mean(axis=1, dtype=np.float32)
    return x


def _middle(file: Any, rate: float, samples: int) -> NDArray[np.float32] | None:
    """What `fit` leaves of a long sound, read without the rest; None where all is needed, or less is there than said.

    The same values as of the whole: the filter of `resample` reaches TAPS samples of the slower rate to each side, and
    the piece begins where a sample of both rates does.
    """
    up, down = _ratio(file.samplerate, rate)
    total = -(-file.frames * up // down)  # samples after resampling
    if total <= samples:
        return None
    start = (total - samples) // 2
    reach = (TAPS + 1) * max(1, -(-down // up)) + 1
    first = max(0, start * down // up - reach) // down * down
    last = min(file.frames, (start + samples) * down // up + reach + 1)
    blocks: list[NDArray[np.float32]] = []
    at = 0
    for block in blocks_of(file):  # seeking in mp3 and ogg is not exact
        if at + len(block) > first:
            blocks.append(_mono(block[max(0, first - at) : last - at]))
        at += len(block)
        if at >= last:
            break
    if at < last:
        file.seek(0)
        return None
    found = resample(np.concatenate(blocks), file.samplerate, rate)
    begin = start - first * up // down
    return found[begin : begin + samples]


def resample(x: NDArray[np.float32], rate: float, wanted: float) -> NDArray[np.float32]:
    """(n,) at `rate` as (ceil(n * wanted / rate),) at `wanted` Hz, by scipy's polyphase filter."""
    if rate == wanted:
        return x
    from scipy.signal import resample_poly

    return np.asarray(resample_poly(x, *_ratio(rate, wanted)), np.float32)


def _ratio(rate: float, wanted: float) -> tuple[int, int]:
    """By how much samples become more, and then fewer."""
    common = math.gcd(round(rate), round(wanted))
    return round(wanted) // common, round(rate) // common


def fit(x: NDArray[np.float32], samples: int) -> NDArray[np.float32]:
    """(n,) as (samples,): cut around the middle, or zeros at the end."""
    start = max(0, (len(x) - samples) // 2)
    x = x[start : start + samples]
    return np.pad(x, (0, samples - len(x)))


class Form(NamedTuple):
    """What sounds are brought to: Hz, and samples."""

    rate: int
    samples: int


def medium() -> Medium:
    """What a sound is to the readers of folders and lists."""
    from kexp.data.media import Medium

    return Medium(kind="sound", extensions=EXTENSIONS, load=_load)


def _load(
    files: Sequence[Path], names: Sequence[str], experiment: Experiment, cache: Path, progress: Progress | None
) -> Loaded:
    from kexp.data.cache import fill, fingerprint, lookup
    from kexp.data.media import Loaded

    key = fingerprint(files, names, ("sound", experiment.rate, experiment.length))
    decoded = lookup(cache, key)
    if decoded is None:
        form, notices = _look(files, experiment)

        def one(file: Path, shape: tuple[int]) -> NDArray[Any]:
            return decode(file, form.rate, shape[0])

        told = {"rate": form.rate, "notices": notices}
        decoded = fill(cache, key, files, (form.samples,), one, progress, dtype=np.float32, noun="sound", told=told)
    return Loaded(
        x=decoded.x,
        damaged=decoded.damaged,
        rate=float(decoded.told["rate"]),
        notices=list(decoded.told["notices"]),
    )


def _look(files: Sequence[Path], experiment: Experiment) -> tuple[Form, list[str]]:
    """Rate and length to bring `files` to, and what is said of it."""
    import soundfile

    from kexp.data.cache import refuse_damaged

    infos, reasons = [], []
    for file in files:
        try:
            infos.append(soundfile.info(str(file)))
        except (soundfile.LibsndfileError, RuntimeError, OSError) as error:
            reasons.append(f"{file} is no sound, or damaged: {EXPECTED} is expected ({reason(error)}).")
    refuse_damaged(reasons, len(files), "sound")
    if not infos:
        raise DataError(reasons[0])
    rates = Counter(info.samplerate for info in infos)
    usual = rates.most_common(1)[0][0]
    rate = experiment.rate or min(usual, HIGHEST_RATE)
    seconds = np.sort([info.frames / info.samplerate for info in infos])
    length = experiment.length or min(float(np.quantile(seconds, COVERED, method="higher")), LONGEST / rate)
    form = Form(rate, max(1, round(length * rate)))
    notices = []
    if len(rates) > 1 or usual != rate:
        named = ", ".join(f"{count:,} of {r:,} Hz" for r, count in rates.most_common(4))
        notices.append(f"Sounds are brought to {rate:,} Hz ({named}). --rate HZ sets another rate.")
    several = sum(info.channels > 1 for info in infos)
    if several:
        notices.append(f"Of {several:,} of the sounds, the channels are averaged.")
    longer = int((seconds > form.samples / rate + 0.5 / rate).sum())
    shorter = int((seconds < form.samples / rate - 0.5 / rate).sum())
    if longer or shorter:
        notices.append(
            f"Sounds last {duration(seconds[0])} to {duration(seconds[-1])} s and are brought to "
            f"{form.samples / rate:.3g} s: "
            f"{longer:,} are cut around their middle, {shorter:,} filled up with silence. --length TIME sets another."
        )
    return form, notices


def duration(seconds: float) -> str:
    """Seconds for people: 0.25, 1.4, 120, 16,000; never 1.6e+04."""
    if seconds >= 100:
        return f"{seconds:,.0f}"
    return f"{seconds:.3g}" if seconds >= 0.001 else f"{seconds:.6f}".rstrip("0")


def _name(source: Source) -> str:
    return str(source) if isinstance(source, Path) else str(getattr(source, "name", "the sound"))


def reason(error: Exception) -> str:
    """What libsndfile says, without the path, which was told."""
    said = " ".join((getattr(error, "error_string", "") or str(error)).split())[:200].removesuffix(".")
    # Its word for an mp3 without a frame, though it exists.
    return "there is no sound in it" if said.startswith("File does not exist") else said
