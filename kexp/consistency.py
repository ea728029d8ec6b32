"""Whether a model answers alike when a sample changes a little: a step aside, a darker room, a noisier sensor.

Answers that do not survive what any camera or microphone does are answers of luck (Hendrycks and Dietterich 2019 call
the test of it robustness to perturbations). Changes are made of plain arrays with numpy and Pillow: no TensorFlow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexp.metrics import METRICS, classes
from kexp.records import DatasetSpec, Kind

Array = NDArray[Any]
Random = np.random.Generator
Change = Callable[[Array, Random, DatasetSpec], Array]  # samples (n, *shape) -> as many, of the same type

ROWS = 500  # that are changed: .98 of them is then known to .01 ...
BYTES = 128 << 20  # ... and fewer of large samples, but FEWEST, so that it takes seconds
FEWEST = 100
MOVED = 0.1  # of the target's standard deviation: a number that moves less counts as the same answer

SHIFT, ANGLE, ZOOM, BRIGHTNESS, GRAIN = 0.08, 10.0, 0.1, 0.15, 5.0  # of the side, degrees, shares, of 255
NUMBERS = 0.05  # standard deviations of a column
LATER, UNREST, SCALE = 0.05, 0.1, 0.1  # of a series: share of the steps, standard deviations of a channel, share
DELAY, GAIN, SNR = 0.1, 6.0, 20.0  # of a sound: share of the samples, decibels


def rows(x: Array) -> NDArray[np.int64]:
    """Which of the samples `x` (n, *shape) are changed: ROWS at most, evenly spread."""
    n = len(x)
    count = min(n, ROWS, max(FEWEST, BYTES * n // max(x.nbytes, 1)))
    return np.arange(count) * n // max(count, 1)


def consistency(
    spec: DatasetSpec,
    metric: str,
    x: Array,
    y: Array,
    models: Mapping[str, tuple[Array, Callable[[Array], Array]]],
) -> dict[str, Any]:
    """How many answers stay, and how good they are, under each change of CHANGES, as a JSON document.

    `x` (n, *shape) and `y` are all test rows; of each model by name its outputs (n, outputs) for them, and its function
    from samples to outputs. {"rows", "metric", "before": {model: value}, "changes": {change: {model: {"same": share of
    the answers, "value": of the metric}}}}, the metric on the changed rows alone. A change that leaves all samples as
    they are, as of numbers where a table has none, is left out; so is, of a forecast, one after which another answer is
    right.
    """
    chosen = rows(x)
    x, y = x[chosen], y[chosen]
    measure = METRICS[metric][0]
    before = {name: outputs[chosen] for name, (outputs, _) in models.items()}
    changes: dict[str, dict[str, dict[str, float]]] = {}
    for seed, (change, function) in enumerate(CHANGES[spec.kind].items()):
        if spec.horizon and change in MOVING:
            continue
        changed = function(x, np.random.default_rng(seed), spec)
        if np.array_equal(changed, x, equal_nan=x.dtype.kind == "f"):
            continue
        changes[change] = {}
        for name, (_, predict) in models.items():
            after = predict(changed)
            share = float(np.mean(same(spec, before[name], after)))
            changes[change][name] = {"same": share, "value": measure(spec.task, y, after)}
    values = {name: measure(spec.task, y, outputs) for name, outputs in before.items()}
    return {"rows": len(chosen), "metric": metric, "before": values, "changes": changes}


def same(spec: DatasetSpec, before: Array, after: Array) -> NDArray[np.bool_]:
    """Where two sets of outputs (n, outputs) are the same answer, (n,): the class, all labels, or nearly the numbers.

    Of a regression each number moves by less than MOVED standard deviations of its target.
    """
    if spec.task == "regression":
        moved = np.abs(after.astype(np.float64) - before)
        return np.asarray((moved < MOVED * np.array(spec.target_std)).all(axis=1))
    equal = classes(spec.task, before) == classes(spec.task, after)
    return np.asarray(equal if equal.ndim == 1 else equal.all(axis=1))


# -- pictures (n, height, width, channels) and clips (n, frames, height, width, channels), 0 to 255 --------------------


def _shift(x: Array, random: Random, spec: DatasetSpec) -> Array:
    way = random.uniform(-SHIFT, SHIFT, (len(x), 2))
    return _moved(x, [(1.0, 0.0, across, down) for across, down in way])


def _rotation(x: Array, random: Random, spec: DatasetSpec) -> Array:
    return _moved(x, [(1.0, angle, 0.0, 0.0) for angle in random.uniform(-ANGLE, ANGLE, len(x))])


def _zoom(x: Array, random: Random, spec: DatasetSpec) -> Array:
    return _moved(x, [(factor, 0.0, 0.0, 0.0) for factor in random.uniform(1 - ZOOM, 1 + ZOOM, len(x))])


def _brightness(x: Array, random: Random, spec: DatasetSpec) -> Array:
    factors = random.uniform(1 - BRIGHTNESS, 1 + BRIGHTNESS, len(x)).astype(np.float32)
    return _pixels(x, (sample * factor for sample, factor in zip(x, factors, strict=True)))


def _grain(x: Array, random: Random, spec: DatasetSpec) -> Array:
    """Noise of a sensor: another one in every frame of a clip."""
    return _pixels(x, (sample + np.float32(GRAIN) * random.standard_normal(sample.shape, np.float32) for sample in x))


def _moved(x: Array, ways: list[tuple[float, float, float, float]]) -> Array:
    """Pictures, or all frames of clips, zoomed, turned by degrees, and shifted by shares of width and height.

    What comes in from outside repeats the edge: black would be a change of its own.
    """
    from PIL import Image

    height, width, channels = x.shape[-3:]
    edge = math.ceil((SHIFT + math.sin(math.radians(ANGLE))) * max(height, width))
    out = np.empty_like(x)
    for sample, result, (factor, angle, across, down) in zip(x, out, ways, strict=True):
        cos, sin = (turn(math.radians(angle)) / factor for turn in (math.cos, math.sin))
        middle, centre = width * (0.5 + across), height * (0.5 + down)  # where the middle of the picture is afterwards
        back = (  # from a place in the result to one in the padded picture
            cos, sin, width / 2 + edge - cos * middle - sin * centre,
            -sin, cos, height / 2 + edge + sin * middle - cos * centre,
        )  # fmt: skip
        frames = sample.reshape(-1, height, width, channels)
        for at, frame in enumerate(np.pad(frames, ((0, 0), (edge, edge), (edge, edge), (0, 0)), mode="edge")):
            planes = [frame] if channels == 3 else [frame[..., i] for i in range(channels)]
            moved = [
                np.asarray(
                    Image.fromarray(np.ascontiguousarray(plane)).transform(
                        (width, height), Image.Transform.AFFINE, back, Image.Resampling.BILINEAR
                    )
                )
                for plane in planes
            ]
            result.reshape(frames.shape)[at] = moved[0] if channels == 3 else np.stack(moved, axis=-1)
    return out


def _pixels(x: Array, samples: Iterable[Array]) -> Array:
    """`samples` of numbers as pixels like `x`: one after the other, as numbers all may be gigabytes."""
    out = np.empty_like(x)
    for result, sample in zip(out, samples, strict=True):
        result[...] = np.clip(np.rint(sample), 0, 255)
    return out


def _frame(x: Array, random: Random, spec: DatasetSpec) -> Array:
    return _later(x, random.choice((-1, 1), len(x)))


# -- rows of a table (n, columns) --------------------------------------------------------------------------------------


def _numbers(x: Array, random: Random, spec: DatasetSpec) -> Array:
    """Each number up or down; what is missing stays so."""
    step = [NUMBERS * column.std if column.kind in ("number", "date") else 0.0 for column in spec.columns]
    return np.asarray(x + random.choice((-1, 1), x.shape) * np.array(step), x.dtype)


# -- series (n, steps, channels) and sounds (n, samples) in -1..1 ------------------------------------------------------


def _time(x: Array, random: Random, spec: DatasetSpec) -> Array:
    return _later(x, _steps(LATER, x, random))


def _unrest(x: Array, random: Random, spec: DatasetSpec) -> Array:
    return np.asarray(x + UNREST * np.array(spec.std) * random.standard_normal(x.shape), x.dtype)


def _scale(x: Array, random: Random, spec: DatasetSpec) -> Array:
    return np.asarray(x * _each(random.uniform(1 - SCALE, 1 + SCALE, len(x)), x), x.dtype)


def _delay(x: Array, random: Random, spec: DatasetSpec) -> Array:
    return _later(x, _steps(DELAY, x, random), silence=True)


def _gain(x: Array, random: Random, spec: DatasetSpec) -> Array:
    """Louder or softer; what is too loud is cut, as a microphone does."""
    return np.asarray(np.clip(x * _each(10 ** (random.uniform(-GAIN, GAIN, len(x)) / 20), x), -1, 1), x.dtype)


def _hiss(x: Array, random: Random, spec: DatasetSpec) -> Array:
    """White noise, so much softer than the sound."""
    loud = np.sqrt(np.mean(np.square(x, dtype=np.float64), axis=tuple(range(1, x.ndim))))
    return np.asarray(x + _each(loud * 10 ** (-SNR / 20), x) * random.standard_normal(x.shape), x.dtype)


def _steps(share: float, x: Array, random: Random) -> NDArray[np.int64]:
    """How many steps later each sample is to come, or earlier: up to `share` of all, one at least."""
    most = max(1, round(share * x.shape[1]))
    return np.asarray(random.integers(1, most, len(x), endpoint=True) * random.choice((-1, 1), len(x)))


def _later(x: Array, steps: Array, *, silence: bool = False) -> Array:
    """Samples (n, time, ...), each moved by its `steps`; what comes in repeats the end, or is 0."""
    places = np.arange(x.shape[1]) - steps[:, None]
    inside = np.clip(places, 0, x.shape[1] - 1)
    moved = x[np.arange(len(x))[:, None], inside]
    if silence:
        moved[places != inside] = 0
    return moved


def _each(values: Array, x: Array) -> Array:
    """(n,) values that multiply samples (n, ...)."""
    return values.reshape(-1, *[1] * (x.ndim - 1))


PICTURES: dict[str, Change] = {
    f"shift {SHIFT:.0%}": _shift,
    f"rotation {ANGLE:.0f}°": _rotation,
    f"zoom {ZOOM:.0%}": _zoom,
    f"brightness {BRIGHTNESS:.0%}": _brightness,
    f"noise {GRAIN:.0f} of 255": _grain,
}
CHANGES: dict[Kind, dict[str, Change]] = {  # each says what is done to a sample, at most
    "image": PICTURES,
    "table": {f"numbers {NUMBERS:g} sd": _numbers},
    "series": {f"time {LATER:.0%}": _time, f"noise {UNREST:g} sd": _unrest, f"scale {SCALE:.0%}": _scale},
    "sound": {f"time {DELAY:.0%}": _delay, f"gain {GAIN:.0f} dB": _gain, f"noise -{SNR:.0f} dB": _hiss},
    "clip": {**PICTURES, "time 1 frame": _frame},
}
# What follows a series that is later, or larger, is another value too: of a forecast that tells nothing.
MOVING = {f"time {LATER:.0%}", f"scale {SCALE:.0%}"}
