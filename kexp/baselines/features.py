"""Samples as the numbers that a classical model is given, (n, *shape) -> (n, features) float32. numpy and SciPy only.

None of these learns from labels, and what they learn from samples (rocket's thresholds) is of training rows alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexp.records import DatasetSpec

Array = NDArray[Any]
SIDE = 32  # pixels: larger pictures are averaged down, or a linear model has more numbers to learn than rows
CLIP_SIDE = 16
MOST_CATEGORIES = 50  # a column of more becomes that many, the rest one
ORIENTATIONS = 9
CELLS = 7  # of a picture's shorter side, about
COEFFICIENTS = 20
MEL_BANDS = 40
WINDOW_SECONDS = 0.025  # of sound, every half of which a frame begins
KERNEL = 9
FEATURES = 2000  # of rocket: the paper's 10,000 gain little and cost five times the time
CHUNK = 256
MOST = 10_000  # numbers of a sample: what is larger is averaged down to it
EPSILON = 1e-6


def cells(spec: DatasetSpec, x: Array) -> Array:
    """Encoded table rows as trees take them: codes stay codes, a missing value is NaN."""
    return np.asarray(x, np.float32)


def standardised(spec: DatasetSpec, x: Array) -> Array:
    """Encoded table rows as everything else takes them: numbers standardised, a column for each category, and of what
    may be missing whether it is."""
    found = []
    for at, column in enumerate(spec.columns):
        values = np.asarray(x[:, at], np.float32)
        if column.kind == "category":
            count = min(len(column.choices), MOST_CATEGORIES)
            found.append((values[:, None] == np.arange(count)).astype(np.float32))
            continue
        found.append(np.nan_to_num((values - column.mean) / (column.std or 1.0), posinf=0.0, neginf=0.0)[:, None])
        if column.missing:
            found.append(np.isnan(values).astype(np.float32)[:, None])
    return np.concatenate(found, axis=1)


def pixels(spec: DatasetSpec, x: Array) -> Array:
    """Pictures or clips 0..255 as values 0..1, averaged down."""
    side = SIDE
    if spec.kind == "clip":
        frames, _, _, channels = spec.shape
        side = max(2, min(CLIP_SIDE, int((MOST / (frames * channels)) ** 0.5)))
    return np.concatenate([_smaller(x[at : at + CHUNK], side) for at in range(0, len(x), CHUNK)]).reshape(len(x), -1)


def hog(spec: DatasetSpec, x: Array) -> Array:
    """Histograms of oriented gradients (Dalal and Triggs 2005): 9 unsigned orientations in cells, blocks of 2 x 2 cells
    scaled to length one, clipped at .2 and scaled again; of a picture in colour, the channel of the largest gradient.
    """
    height, width, _ = spec.shape
    cell = min(max(2, min(height, width) // CELLS), height, width)
    return np.concatenate([_hog(np.asarray(x[at : at + CHUNK], np.float32), cell) for at in range(0, len(x), CHUNK)])


def values(spec: DatasetSpec, x: Array) -> Array:
    """Series (n, steps, channels), each channel standardised by the training rows, missing values the mean.

    Of long ones so many steps are averaged that MOST numbers are left.
    """
    mean, std = np.array(spec.mean, np.float32), np.array(spec.std, np.float32)
    scaled = (np.asarray(x, np.float32) - mean) / np.where(std > 0, std, 1)
    scaled = np.nan_to_num(scaled, posinf=0.0, neginf=0.0)
    steps, channels = spec.shape
    several = -(-steps * channels // MOST)
    if several > 1:
        whole = steps // several * several
        scaled = scaled[:, :whole].reshape(len(x), -1, several, channels).mean(axis=2)
    return scaled.reshape(len(x), -1)


def mfcc(spec: DatasetSpec, x: Array) -> Array:
    """Mean and spread over time of a sound's cepstral coefficients (Davis and Mermelstein 1980) and of their change.

    The coefficients are of the logarithm of 40 mel bands, relative to the loudest of the sound.
    """
    from scipy.fft import dct, next_fast_len

    window = min(next_fast_len(round(WINDOW_SECONDS * spec.rate)), spec.shape[0])
    bank = _mel_bank(spec.rate, window)
    found = np.empty((len(x), 4 * COEFFICIENTS), np.float32)
    for row, sound in enumerate(x):
        frames = np.lib.stride_tricks.sliding_window_view(np.asarray(sound, np.float32), window)[:: max(1, window // 2)]
        power = np.abs(np.fft.rfft(frames * np.hanning(window).astype(np.float32), axis=1)) ** 2
        bands = power @ bank
        level = np.log(bands / (bands.max() + EPSILON) + EPSILON)
        coefficients = dct(level, axis=1, norm="ortho")[:, :COEFFICIENTS]
        change = np.diff(coefficients, axis=0) if len(coefficients) > 1 else np.zeros_like(coefficients)
        parts = (coefficients.mean(0), coefficients.std(0), change.mean(0), change.std(0))
        found[row] = np.concatenate(parts)
    return found


@dataclass
class Rocket:
    """The share of a series that is above a threshold after a kernel went over it, for many kernels (MiniRocket:
    Dempster, Schmidt, Webb 2021, https://arxiv.org/abs/2012.08791).

    The 84 kernels have nine weights, three of them 2 and six -1, at several dilations; thresholds are quantiles of what
    a kernel answers to a training series. Of several channels each kernel at each dilation sees some, added up.
    """

    seed: int = 0
    plan: list[tuple[int, NDArray[np.bool_], Array]] = field(default_factory=list)
    mean: Any = 0.0
    std: Any = 1.0

    def fit(self, x: Array) -> Rocket:
        """Choose channels and thresholds by training series (n, steps, channels)."""
        random = np.random.default_rng(self.seed)
        self.mean = np.nanmean(x, axis=(0, 1), keepdims=True).astype(np.float32)
        self.std = np.nanstd(x, axis=(0, 1), keepdims=True).astype(np.float32)
        self.std[self.std == 0] = 1
        steps, channels = x.shape[1:]
        longest = max(1, (steps - 1) // (KERNEL - 1))
        dilations = np.unique(np.geomspace(1, longest, min(32, max(1, longest))).astype(int))[:: 1 + longest // 64]
        each = max(1, FEATURES // (len(_TWOS) * len(dilations)))
        sample = self._scaled(x[random.choice(len(x), min(len(x), 32), replace=False)])
        golden = (np.arange(1, each + 1) * ((5**0.5 - 1) / 2)) % 1  # quantiles that fill 0..1 evenly, however many
        self.plan = []
        for dilation in dilations.tolist():
            seen = np.zeros((len(_TWOS), channels), np.bool_)
            for kernel in range(len(_TWOS)):
                count = int(2 ** random.uniform(0, np.log2(min(channels, KERNEL) + 1)))
                seen[kernel, random.choice(channels, min(count, channels), replace=False)] = True
            answers = _convolved(sample, dilation, seen)
            thresholds = np.quantile(answers, golden, axis=(0, 2)).T.astype(np.float32)
            self.plan.append((dilation, seen, thresholds))
        return self

    def transform(self, x: Array) -> Array:
        """(n, steps, channels) -> (n, features), shares."""
        found = []
        for at in range(0, len(x), CHUNK):
            scaled = self._scaled(x[at : at + CHUNK])
            parts = []
            for dilation, seen, thresholds in self.plan:
                answers = _convolved(scaled, dilation, seen)
                shares = [(answers > thresholds[:, k, None]).mean(axis=2) for k in range(thresholds.shape[1])]
                parts.append(np.concatenate(shares, axis=1))
            found.append(np.concatenate(parts, axis=1))
        return np.concatenate(found).astype(np.float32)

    def _scaled(self, x: Array) -> Array:
        return np.asarray(np.nan_to_num((np.asarray(x, np.float32) - self.mean) / self.std))


def _twos() -> NDArray[np.int64]:
    from itertools import combinations

    return np.array(list(combinations(range(KERNEL), 3)))


_TWOS = _twos()  # (84, 3): where each kernel has its twos


def _convolved(x: Array, dilation: int, seen: NDArray[np.bool_]) -> Array:
    """(n, steps, channels) -> (n, 84, steps): every kernel over the sum of the channels that it sees, zeros outside."""
    half = dilation * (KERNEL // 2)
    steps = x.shape[1]
    total = np.matmul(seen.astype(np.float32), np.pad(x, ((0, 0), (half, half), (0, 0))).swapaxes(1, 2))
    shifted = [total[:, :, k * dilation : k * dilation + steps] for k in range(KERNEL)]
    found = np.asarray(-np.sum(shifted, axis=0))  # weights -1 everywhere, and 3 more make 2
    for kernel, twos in enumerate(_TWOS):
        for at in twos:
            found[:, kernel] += 3 * shifted[at][:, kernel]
    return found


def _smaller(x: Array, side: int) -> Array:
    """Frames (..., height, width, channels) 0..255 with neighbours averaged until the longer side is at most `side`."""
    height, width, channels = x.shape[-3:]
    step = -(-max(height, width) // side)
    x = np.asarray(x, np.float32) / 255
    if step == 1:
        return x
    down, across = min(step, height), min(step, width)
    high, wide = height // down, width // across
    top, left = (height - high * down) // 2, (width - wide * across) // 2
    x = x[..., top : top + high * down, left : left + wide * across, :]
    shape = (*x.shape[:-3], high, down, wide, across, channels)
    return np.asarray(x.reshape(shape).mean(axis=(-4, -2)))


def _hog(x: Array, cell: int) -> Array:
    across, down = np.zeros_like(x), np.zeros_like(x)
    across[:, :, 1:-1] = x[:, :, 2:] - x[:, :, :-2]
    down[:, 1:-1] = x[:, 2:] - x[:, :-2]
    strength = np.hypot(across, down)
    strongest = strength.argmax(axis=3)[..., None]
    across, down, strength = (np.take_along_axis(a, strongest, axis=3)[..., 0] for a in (across, down, strength))
    angle = np.arctan2(down, across) % np.pi / np.pi * ORIENTATIONS
    n, height, width = strength.shape
    high, wide = height // cell, width // cell
    low = np.floor(angle).astype(np.int64)
    share = (angle - low).astype(np.float32)
    histogram = np.zeros((n, high, wide, ORIENTATIONS), np.float32)
    for orientation in range(ORIENTATIONS):  # each pixel votes for the two nearest orientations
        votes = strength * (
            (low % ORIENTATIONS == orientation) * (1 - share) + ((low + 1) % ORIENTATIONS == orientation) * share
        )
        votes = votes[:, : high * cell, : wide * cell].reshape(n, high, cell, wide, cell)
        histogram[..., orientation] = votes.sum(axis=(2, 4))
    if high < 2 or wide < 2:
        return _unit(histogram.reshape(n, -1))
    corners = (histogram[:, a : high - 1 + a, b : wide - 1 + b] for a in (0, 1) for b in (0, 1))
    blocks = np.concatenate(list(corners), axis=3)
    return _unit(np.minimum(_unit(blocks), 0.2)).reshape(n, -1)


def _unit(x: Array) -> Array:
    found: Array = x / np.sqrt((x**2).sum(axis=-1, keepdims=True) + EPSILON)
    return found


def _mel_bank(rate: float, window: int) -> Array:
    """(window // 2 + 1, MEL_BANDS) triangles, evenly spaced in mel (2595 log10(1 + f / 700), O'Shaughnessy 1987)."""
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + rate / 2 / 700), MEL_BANDS + 2) / 2595) - 1)
    f = np.fft.rfftfreq(window, 1 / rate)[:, None]
    rise = (f - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - f) / (edges[2:] - edges[1:-1])
    bank: Array = np.maximum(0, np.minimum(rise, fall)).astype(np.float32)
    return bank
