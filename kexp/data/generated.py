"""Data sets that a formula makes: one for each kind of data that scikit-learn brings none of. They need no download.

What comes out is the same on every machine: numpy's PCG64 draws, and values are rounded to what a file would hold (16
bits, thousandths, bytes, whole numbers), so that no processor's last digit is left. Each is hard enough that a simple
model errs, and none tells anything about the world: they are for a first try, for tests, and for seeing what works.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexp.data.dataset import Raw
from kexp.errors import DataError, nearest
from kexp.records import Experiment

PREFIX = "generated:"
SEED = 20_260  # of all sets; another is another set
GRAVITY = np.array([0.0, 0.0, 1.0])  # of the sensor at rest, in g
Array = NDArray[Any]


def read(name: str, experiment: Experiment) -> Raw:
    """The set `name`, as "generated:tones". Raises DataError for a name that there is not."""
    name = name.removeprefix(PREFIX)
    if name not in SETS:
        raise DataError(f"generated:{name} is none of the generated data sets.{nearest(name, SETS)}")
    raw = SETS[name](np.random.default_rng(SEED), experiment)
    asked = ("kind", "size", "length", "rate", "frames", "steps", "stride", "horizon")
    unused = [key for key in asked if getattr(experiment, key) and not (raw.horizon and key in ("steps", "horizon"))]
    if unused:
        raw.notices.append(f"{', '.join(unused)}: not used, generated:{name} is as it was made.")
    return raw


def tones(draw: np.random.Generator, experiment: Experiment) -> Raw:
    """400 sounds (4000,) of half a second at 8 kHz: is it a tone, does it rise, does it fall, or is it noise?

    sin of the phase 2 pi integral f(t) dt, where f goes from p to p, p r, p / r in .15 to .35 s, p is 300 to 2,000 Hz
    and r 1.04 to 1.5, evenly on logarithmic scales. Noise is 40 sines of random frequencies within p * 1.1 ** (-1..1).
    All rise and fall as half a sine does, begin anywhere, and are 6 to 60 times as loud as the white noise below them.
    """
    rate, samples = 8000, 4000
    names = ("tone", "up", "down", "noise")
    y = np.tile(np.arange(4), 100)
    x = np.empty((len(y), samples), np.float32)
    for i, what in enumerate(y):
        long = int(draw.integers(int(0.15 * rate), int(0.35 * rate)))
        start = int(draw.integers(0, samples - long))
        pitch = 300.0 * (2000 / 300) ** draw.random()
        ratio = 1.04 * (1.5 / 1.04) ** draw.random()
        t = np.arange(long) / long
        if what == 3:
            pitches = pitch * 1.1 ** draw.uniform(-1, 1, (40, 1))
            wave = np.sin(2 * np.pi * (pitches * t * long / rate + draw.random((40, 1)))).sum(axis=0) / np.sqrt(40)
        else:
            end = pitch * (1.0, ratio, 1 / ratio)[what]
            wave = np.sin(2 * np.pi * (np.cumsum(pitch + (end - pitch) * t) / rate + draw.random()))
        loud = 0.03 * 10 ** draw.random()
        x[i] = draw.standard_normal(samples) * (loud / 6 / 10 ** draw.random())
        x[i, start : start + long] += loud * wave * np.sin(np.pi * t)
    x = (np.rint(x * 32768) / 32768).astype(np.float32)
    return Raw(kind="sound", x=x, y=np.array(names)[y], targets=("class",), ids=_ids("tones", x), rate=rate)


def motions(draw: np.random.Generator, experiment: Experiment) -> Raw:
    """384 series (100, 3) of an acceleration sensor in g, 2 s at 50 Hz: walking, running, waving, or still?

    Twelve people, each a group, of whom each has an own pace and strength (.7 to 1.4 times). A step is a bounce, sin(2
    pi f t) + .4 sin(4 pi f t + b), with sway at half of f; walking has f 1.6 to 2.2 Hz and .1 to .4 g, running 2.3 to
    3.1 Hz and .3 to 1 g, waving is sway alone of .8 to 2.8 Hz and .05 to .8 g. All have noise of .02 to .2 g, and the
    sensor is turned by up to 60 degrees about a random axis, gravity and all.
    """
    rate, steps, people = 50, 100, 12
    names = ("walking", "running", "waving", "still")
    y = np.tile(np.arange(4), people * 8)
    groups = np.repeat(np.arange(people), 32)
    own = draw.uniform(0.7, 1.4, (people, 2))  # pace, strength
    t = np.arange(steps) / rate
    x = np.empty((len(y), steps, 3))
    for i, what in enumerate(y):
        low, high = ((1.6, 2.2), (2.3, 3.1), (0.8, 2.8), (1.0, 1.0))[what]
        weak, strong = ((0.1, 0.4), (0.3, 1.0), (0.05, 0.8), (0.0, 0.0))[what]
        pace = draw.uniform(low, high) * own[groups[i], 0] ** 0.5
        strength = draw.uniform(weak, strong) * own[groups[i], 1]
        phase = 2 * np.pi * (pace * t + draw.random())
        bounce = np.sin(phase) + 0.4 * np.sin(2 * phase + 2 * np.pi * draw.random())
        sway = np.sin(phase / 2 + draw.random()) if what < 2 else np.sin(phase)
        share = (0.3, 1.0) if what < 2 else (1.0, 0.2)  # of sway and of bounce
        moved = np.stack([share[0] * sway, 0.3 * sway, share[1] * bounce], axis=1) * strength + GRAVITY
        noise = 0.02 * 10 ** draw.random()
        x[i] = moved @ _turned(draw, np.pi / 3) + draw.standard_normal((steps, 3)) * noise
    x = np.rint(x * 1000) / 1000
    return Raw(
        kind="series", x=x.astype(np.float32), y=np.array(names)[y], targets=("class",), groups=groups,
        ids=[f"{one}, person {group + 1}" for one, group in zip(_ids("motions", x), groups, strict=True)], rate=rate,
        channels=("acc x", "acc y", "acc z"), notices=["Each of 12 people is in one part alone."],
    )  # fmt: skip


def clips(draw: np.random.Generator, experiment: Experiment) -> Raw:
    """400 clips (12, 24, 24, 1), one second: does a disc move up, down, left or right, or does it grow?

    Of radius 2 to 4 pixels and 30 to 120 grey values above the background of 40 to 100, with a soft edge, it moves by
    .2 to .8 pixels a frame, a fifth of that aside, or grows by .05 to .3; each pixel has noise of 25 grey values. What
    is gone at one side comes in at the other. No single frame tells which it is.
    """
    frames, side = 12, 24
    names = ("up", "down", "left", "right", "grow")
    ways = np.array([(-1, 0), (1, 0), (0, -1), (0, 1), (0, 0)])
    y = np.tile(np.arange(5), 80)
    x = np.empty((len(y), frames, side, side, 1), np.uint8)
    row, column = np.mgrid[:side, :side].astype(np.float64)
    for i, what in enumerate(y):
        radius = draw.uniform(2, 4) + (draw.uniform(0.05, 0.3) if what == 4 else 0.0) * np.arange(frames)
        move = ways[what] * draw.uniform(0.2, 0.8) + ways[what][::-1] * draw.uniform(-0.1, 0.1)
        at = draw.uniform(0, side, 2) + move * np.arange(frames)[:, None]
        away = [(axis - at[:, k, None, None] + side / 2) % side - side / 2 for k, axis in enumerate((row, column))]
        disc = np.clip(radius[:, None, None] + 0.5 - np.hypot(*away), 0, 1)
        grey = draw.uniform(40, 100) + draw.uniform(30, 120) * disc + 25 * draw.standard_normal(disc.shape)
        x[i, ..., 0] = np.clip(np.rint(grey), 0, 255)
    return Raw(kind="clip", x=x, y=np.array(names)[y], targets=("class",), ids=_ids("clips", x), rate=float(frames))


def sales(draw: np.random.Generator, experiment: Experiment) -> Raw:
    """1,400 days of what a shop sold: a forecast of the next values, as of a CSV of dates and numbers.

    (200 + .12 d) (1 + .15 sin(2 pi d / 365.25)) week(d) (1 + a(d)) + e, rounded. week has .8, .85, .9, 1, 1.25, 1.4 and
    .6 from Monday on; a(d) = .8 a(d - 1) + noise of .05 is what lasts for some days, e noise of 8 what does not.
    """
    import pandas as pd

    from kexp.data import horizons

    days = 1400
    d = np.arange(days)
    lasting = np.zeros(days)
    shocks = 0.05 * draw.standard_normal(days)
    for k in range(1, days):
        lasting[k] = 0.8 * lasting[k - 1] + shocks[k]
    week = np.array([0.8, 0.85, 0.9, 1.0, 1.25, 1.4, 0.6])[d % 7]
    level = (200 + 0.12 * d) * (1 + 0.15 * np.sin(2 * np.pi * d / 365.25)) * week * (1 + lasting)
    sold = np.rint(level + 8 * draw.standard_normal(days))
    dates = (np.datetime64("2022-01-03") + d).astype(str)  # a Monday
    raw = Raw(
        kind="table", x=pd.DataFrame({"sold": [f"{value:.0f}" for value in sold]}, dtype=object), y=sold[:, None],
        targets=("sold",), ids=[f"sales {day}" for day in dates],
    )  # fmt: skip
    return horizons.forecasts(raw, experiment, targets=raw.targets, times=d)


SETS: dict[str, Callable[[np.random.Generator, Experiment], Raw]] = {
    "tones": tones,
    "motions": motions,
    "clips": clips,
    "sales": sales,
}


def _ids(name: str, x: Array) -> list[str]:
    return [f"{name} sample {i}" for i in range(len(x))]


def _turned(draw: np.random.Generator, most: float) -> Array:
    """The (3, 3) matrix of a turn by up to `most` about a random axis (Rodrigues)."""
    axis = draw.standard_normal(3)
    a, b, c = axis / np.sqrt((axis**2).sum())
    angle = draw.uniform(0, most)
    k = np.array([[0, -c, b], [c, 0, -a], [-b, a, 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * (k @ k))
