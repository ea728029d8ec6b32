"""Drawn pictures of two sets of classes, and a network that was trained on one of them, for tests of backbones."""

from __future__ import annotations

import functools

import keras
import numpy as np
from small_models import Trained, folder, train

from kexp.data.dataset import Dataset
from kexp.records import DatasetSpec

FIRST, SECOND = ("dot", "square", "stripe"), ("ring", "bar", "cross")
SOURCE = {"stages": 2, "filters": 8, "dense_units": 32, "learning_rate": 0.01, "augmentation": "none"}


def draw(name, random, height, width):
    """A bright figure somewhere on dark ground, (height, width) in 0..255."""
    y, x = np.mgrid[:height, :width] - random.integers(9, min(height, width) - 9, (2, 1, 1))
    far = {
        "dot": np.hypot(y, x) / 6,
        "square": np.maximum(abs(y), abs(x)) / 6,
        "stripe": np.maximum(abs(y - x) / 3, np.maximum(abs(y), abs(x)) / 8),
        "ring": abs(np.hypot(y, x) - 6) / 2,
        "bar": np.maximum(abs(y) / 2, abs(x) / 8),
        "cross": np.maximum(np.minimum(abs(y), abs(x)) / 2, np.maximum(abs(y), abs(x)) / 8),
    }[name]
    picture = np.where(far <= 1, random.integers(130, 256), random.integers(0, 100))
    return np.clip(picture + random.normal(0, 8, (height, width)), 0, 255)


def pictures(names, each, shape=(24, 24, 3), seed=0):
    """uint8 pictures (n, *shape) and their classes, in turn."""
    random = np.random.default_rng(seed)
    y = np.arange(each * len(names), dtype=np.int32) % len(names)
    x = np.stack([draw(names[k], random, *shape[:2]) for k in y])[..., None]
    colour = random.uniform(0.7, 1.0, (len(y), 1, 1, shape[2]))
    return (x * colour).astype(np.uint8), y


def dataset(names, each, shape=(24, 24, 3), seed=0, labels=None):
    """Three of four train, the fourth validates."""
    x, y = pictures(names, each, shape, seed)
    spec = DatasetSpec(
        name="drawn", kind="image", task="multiclass", shape=shape, outputs=len(names), labels=labels or names,
        mean=tuple(map(float, x.mean((0, 1, 2)))), std=tuple(map(float, x.std((0, 1, 2)))),
    )  # fmt: skip
    return Dataset(spec=spec, x=x, y=y, part=(np.arange(len(y)) // 3 % 4 == 3).astype(np.int8), ids=[])


@functools.cache
def source():
    """A network that knows FIRST, as a run leaves it."""
    path = folder("source") / "model.keras"
    known = dataset(FIRST, 60)
    train(known, "conv", SOURCE, path, epochs=6)
    return Trained(known, path)


def maps_of(path, x):
    """The last feature maps (n, h, w, c) inside a model that the factory `conv` made: what its head flattens."""
    model = keras.saving.load_model(path, compile=False)
    core = model.get_layer("core")
    inside = keras.Model(core.inputs, core.get_layer("flatten").input)
    return np.asarray(inside(model.get_layer("frontend")(x.astype(np.float32)), training=False))
