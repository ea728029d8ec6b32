"""What a forecast is measured from: the naive forecast, the value one season earlier. numpy only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexp.records import DatasetSpec

Array = NDArray[Any]


def places(steps: int, horizon: int, season: int, channels: tuple[int, ...]) -> list[tuple[int, int]]:
    """(step, channel) in a window of `steps` that each output repeats: for each channel, its `horizon` next values."""
    return [(steps - season + step % season, channel) for channel in channels for step in range(horizon)]


def naive(x: Array, *, horizon: int, season: int, channels: tuple[int, ...]) -> Array:
    """(n, steps, channels) windows -> (n, outputs): the last season again (Hyndman and Athanasopoulos, 5.2)."""
    step, channel = np.array(places(x.shape[1], horizon, season, channels)).T
    return np.asarray(x[:, step, channel])


def base(spec: DatasetSpec, x: Array) -> Array:
    """The naive forecast that the network of `spec` starts from, (n, outputs)."""
    return naive(x, horizon=spec.horizon, season=spec.seasons[0], channels=spec.forecast)


def errors(spec: DatasetSpec, x: Array, y: Array) -> dict[str, float]:
    """The root mean squared error of every naive forecast of `spec` on windows `x` and what followed them, `y`."""
    found = {}
    for season in spec.seasons:
        outputs = naive(x, horizon=spec.horizon, season=season, channels=spec.forecast)
        name = "the value before" if season == 1 else f"{season} steps earlier"
        found[name] = float(np.sqrt(np.mean((outputs.astype(np.float64) - y) ** 2)))
    return found
