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
