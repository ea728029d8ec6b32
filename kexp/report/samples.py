"""One sample of any kind, to be seen: a picture, frames, a sound's waveform and spectrogram, lines, cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexp.data.dataset import Dataset
from kexp.records import DatasetSpec, Kind
from kexp.report import plot
from kexp.report.markup import Html, join, pairs
from kexp.report.pictures import heat, png
from kexp.wording import number

FRAMES = 4  # of a clip that are shown
CHANNELS = 6  # of a series that are drawn
POINTS = 240  # of a line
WINDOW_S = 0.025  # of the spectrogram, seconds: as speech is usually looked at
FLOOR_DB = 70.0  # below the loudest: what is softer is not heard beside it
LINES = 12  # columns of a table that are told
SHEET = (280.0, 120.0)

Array = NDArray[Any]


def draw(dataset: Dataset, row: int, said: str) -> Html:
    """The sample in `row` of the data set; `said` describes it to who does not see it."""
    if dataset.spec.kind == "table":
        return cells(dataset, row)
    return DRAW[dataset.spec.kind](np.asarray(dataset.x[row]), dataset.spec, said)


def picture(x: Array, spec: DatasetSpec, said: str) -> Html:
    """(height, width, channels) in 0..255."""
    return png(x, said)


def clip(x: Array, spec: DatasetSpec, said: str) -> Html:
    """(frames, height, width, channels): FRAMES of them, evenly spread, side by side."""
    at = np.linspace(0, len(x) - 1, min(FRAMES, len(x))).round().astype(int)
    return png(np.concatenate([x[i] for i in at], axis=1), said, largest=320, kind="strip")


def sound(x: Array, spec: DatasetSpec, said: str) -> Html:
    """(samples,) in -1..1: its waveform, and below it its spectrogram."""
    picture = png(spectrogram(x, spec.rate), f"spectrogram of {said}", largest=280, kind="strip", dotted=False)
    return join(_sheet([_area(*envelope(x))], f"waveform of {said}", 56.0), picture)


def series(x: Array, spec: DatasetSpec, said: str) -> Html:
    """(steps, channels): a line for each of CHANNELS, each on its own scale."""
    width, height = SHEET
    lines = []
    for channel in range(min(CHANNELS, x.shape[1])):
        values = x[:, channel].astype(np.float64)
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        lines.append(plot.line(_places(values, width, height, low, high), f"trace trace-{channel}"))
    return _sheet(lines, said, height)


def forecast(x: Array, spec: DatasetSpec, true: Array, answer: Array) -> Html:
    """The past of the first foretold channel, what followed (`true`, (outputs,)), and what was said (`answer`)."""
    width, height = SHEET
    past = x[:, spec.forecast[0]].astype(np.float64)[-max(4 * spec.horizon, 24) :]
    own, said = (part[: spec.horizon].astype(np.float64) for part in (true, answer))
    every = np.concatenate([past, own, said])
    low, high = float(every.min()), float(every.max())
    count = len(past) + spec.horizon
    after = {"trace trace-0": np.r_[past, own], "trace answer": np.r_[past[-1:], said]}
    lines = [
        plot.line(_places(values, width, height, low, high, count=count, start=count - len(values)), kind)
        for kind, values in after.items()
    ]
    return _sheet(lines, f"a forecast of {spec.horizon} steps: true and, dashed, answered", height)


def cells(dataset: Dataset, row: int) -> Html:
    """The columns of a row as the user wrote them, LINES at most."""
    return pairs(cell_texts(dataset, row, LINES))


def cell_texts(dataset: Dataset, row: int, most: int) -> dict[str, str]:
    """Column -> what stands in it, of the first `most` input columns."""
    found = {}
    for at, column in enumerate(dataset.spec.columns[:most]):
        if dataset.raw is not None and column.name in dataset.raw.columns:
            cell = dataset.raw[column.name].iloc[row]
            found[column.name] = "" if cell is None or cell != cell else str(cell)
        else:
            found[column.name] = number(float(dataset.x[row, at]))
    return found


def envelope(x: Array) -> tuple[Array, Array]:
    """(samples,) -> the lowest and the highest value in each of POINTS equal stretches at most."""
    edges = np.linspace(0, len(x), min(POINTS, len(x)) + 1).astype(int)[:-1]
    return np.minimum.reduceat(x, edges), np.maximum.reduceat(x, edges)


def spectrogram(x: Array, rate: float) -> NDArray[np.uint8]:
    """(samples,) -> (frequencies, frames, 3) uint8, low frequencies below: how loud, in colours.

    What is FLOOR_DB softer than the loudest, or softer than half of the picture, is dark: noise does not veil the rest.
    Short-time Fourier transform with Hann's window of WINDOW_S, half a window apart.
    """
    window = max(16, min(len(x), round(rate * WINDOW_S)))
    hop = max(window // 2, -(-len(x) // 2 // POINTS))
    starts = np.arange(0, max(len(x) - window, 0) + 1, hop)
    frames = np.stack([x[start : start + window] for start in starts]).astype(np.float64) * np.hanning(window)
    level = 10 * np.log10(np.abs(np.fft.rfft(frames, axis=1)) ** 2 + 1e-12)
    loudest, usual = float(level.max()), float(np.median(level))
    return heat(level.T[::-1], max(loudest - FLOOR_DB, min(usual, loudest - 1)), loudest)


def _places(
    values: Array, width: float, height: float, low: float, high: float, *, count: int = 0, start: int = 0
) -> list[tuple[float, float]]:  # fmt: skip
    """`values` on a sheet; `count` steps fill its width, of which the first is `start`. Of many steps some stand."""
    count = count or len(values)
    at = np.unique(np.linspace(0, len(values) - 1, min(len(values), POINTS)).round().astype(int))
    span = (high - low) or 1.0
    return [
        (4 + (start + i) / max(count - 1, 1) * (width - 8), 5 + (high - float(values[i])) / span * (height - 10))
        for i in at
        if np.isfinite(values[i])
    ]


def _area(low: Array, high: Array) -> str:
    width, height = SHEET[0], 56.0
    most = float(max(np.abs(low).max(), np.abs(high).max(), 1e-9))
    top = _places(high, width, height, -most, most)
    bottom = _places(low, width, height, -most, most)
    path = " L".join(f"{x:.1f} {y:.1f}" for x, y in [*top, *reversed(bottom)])
    return f'<path class="area" d="M{path} Z"/>'


def _sheet(marks: Sequence[str], said: str, height: float) -> Html:
    frame = plot.opening(SHEET[0], height, said, kind="sheet")
    return Html("".join([frame, *marks, "</svg>"]))


DRAW: dict[Kind, Callable[[Array, DatasetSpec, str], Html]] = {
    "image": picture,
    "clip": clip,
    "sound": sound,
    "series": series,
}
