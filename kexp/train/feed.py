"""The rows that train and validate: tensors, or read from disk in every epoch where they are too many."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kexp.data.dataset import PARTS, Dataset
from kexp.forecasts import base
from kexp.metrics import metrics
from kexp.models import Network
from kexp.records import DatasetSpec, Part
from kexp.train.encode import encoded, seen

Array = NDArray[Any]
MEMORY_BYTES = 2 << 30  # of the samples of one part: more of them are read from disk in every epoch
SLAB_BYTES = 64 << 20  # of what is read ahead
# Training rows that a network is measured on when its training is over: of the rows that it saw in all its epochs a
# share, for an answer takes a third of the time of a step; but no fewer than tell something, and no more than needed.
KNOWN_SHARE, KNOWN_LEAST, KNOWN_MOST = 0.03, 200, 2000


@dataclass(frozen=True)
class OnDisk:
    """Rows `rows` of a memory-mapped array, too many to be held."""

    x: Array
    rows: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, ...)."""
        return (len(self.rows), *self.x.shape[1:])

    def read(self, places: NDArray[Any]) -> tf.Tensor:
        """The samples at `places`, (m,) of 0 to n - 1."""
        return tf.constant(self.x[self.rows[places]])

    def spans(self, multiple: int) -> list[NDArray[Any]]:
        """All places in order, as many together as are read at once: a multiple of `multiple`, but for the last."""
        size = multiple * max(1, SLAB_BYTES // (multiple * self.x[0].nbytes))
        return [np.arange(i, min(i + size, len(self.rows))) for i in range(0, len(self.rows), size)]


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Rows of one part: `features` (n, ...) what the core eats (or raw pictures), `y` as in Dataset."""

    features: tf.Tensor | OnDisk
    y: Array
    targets: tf.Tensor  # y as the loss wants it: (n,) int32, or (n, outputs) float32 (a regression's standardised)
    base: Array | None = None  # (n, outputs), what answers are added to: the naive forecast

    def metrics(self, spec: DatasetSpec, answers: Array) -> dict[str, float]:
        """Every metric of the answers (n, outputs) of a core and its answer layer."""
        return metrics(spec.task, self.y, answers if self.base is None else answers + self.base)

    def loss(self, spec: DatasetSpec, answers: Array, found: dict[str, float]) -> float:
        """What training makes small, of answers whose metrics were `found`: without weights of classes."""
        if spec.task != "regression":
            return found["log_loss"]
        missed = (self.y if self.base is None else self.y - self.base) - answers.astype(np.float64)
        return float(np.mean((missed / np.array(spec.target_std)) ** 2))

    def some(self, trained: int) -> Samples:
        """Rows by chance, the same each time, by which a training that saw `trained` rows is told from others.

        So few that answering to them is no cost beside that training.
        """
        n = len(self.y)
        count = min(n, KNOWN_MOST, max(KNOWN_LEAST, int(KNOWN_SHARE * trained)))
        if count == n and not isinstance(self.features, OnDisk):
            return self
        rows = np.sort(np.random.default_rng(0).permutation(n)[:count])
        on_disk = isinstance(self.features, OnDisk)
        features = self.features.read(rows) if on_disk else tf.gather(self.features, rows)
        naive = None if self.base is None else self.base[rows]
        return Samples(features=features, y=self.y[rows], targets=tf.gather(self.targets, rows), base=naive)


def samples(
    spec: DatasetSpec, network: Network, dataset: Dataset, part: Part, fold: int = 0, *, keep: Path | None = None,
    alive: Callable[[], object] = lambda: None,
) -> Samples:  # fmt: skip
    """Rows of one part, of `fold`, made ready: they pass a front end that works once, otherwise pixels stay bytes.

    What it makes of pixels takes long, and is kept in the folder `keep`; `alive` is called now and then meanwhile.
    """
    rows = dataset.rows(part, fold)
    y = dataset.y[rows]
    features: tf.Tensor | OnDisk
    if network.frontend is not None and network.once:
        if spec.pixels:
            # What is kept is of both parts, and so of all folds.
            known = rows if keep is None else np.flatnonzero(dataset.part != PARTS["test"])
            made = seen(network.frontend, dataset.x, known, keep=keep, name=network.features, alive=alive)
            features = tf.gather(made, np.searchsorted(known, rows))
        else:
            features = encoded(network.frontend, dataset.x, rows)
    elif dataset.x.nbytes / len(dataset.x) * len(rows) > MEMORY_BYTES:
        features = OnDisk(dataset.x, rows)
    else:
        features = tf.constant(dataset.x[rows])
    target, naive = y, None
    if spec.horizon and network.base is not None:
        naive = base(spec, dataset.x[rows])
        target = y - naive
    if spec.task == "regression" and network.answer is not None:
        target = (target - np.array(spec.target_mean)) / np.array(spec.target_std)
    if spec.task != "multiclass":
        target = np.asarray(target, np.float32).reshape(len(y), spec.outputs)
    return Samples(features=features, y=y, targets=tf.constant(target), base=naive)


def slabs(part: Samples, order: NDArray[np.int32]) -> Iterator[tuple[tf.Tensor, tf.Tensor, tf.Tensor]]:
    """Features, targets, and which of them each step takes: all at once, or as many as are read ahead from disk."""
    features = part.features
    if not isinstance(features, OnDisk):
        yield features, part.targets, tf.constant(order)
        return
    size = max(1, SLAB_BYTES // (order.shape[1] * features.x[0].nbytes))
    slabs = [order[i : i + size] for i in range(0, len(order), size)]
    with ThreadPoolExecutor(1) as reader:
        ahead = reader.submit(features.read, slabs[0].ravel())
        for i, slab in enumerate(slabs):
            read = ahead.result()
            if i + 1 < len(slabs):
                ahead = reader.submit(features.read, slabs[i + 1].ravel())
            yield read, tf.gather(part.targets, slab.ravel()), tf.reshape(tf.range(slab.size), slab.shape)


def even(n: int, size: int) -> int:
    """Rows of each chunk where `n` rows are cut into as few as can be, of `size` at most."""
    return -(-n // -(-n // size))


def chunks(features: tf.Tensor, size: int) -> tf.Tensor:
    """Rows (n, ...) as (chunks, size or fewer, ...), the last one filled up with zeros."""
    return cut(features, even(int(features.shape[0]), size))


def cut(features: tf.Tensor, size: int) -> tf.Tensor:
    """Rows (n, ...) as (chunks, size, ...), the last one filled up with zeros."""
    n = int(features.shape[0])
    count = -(-n // size)
    filled = tf.pad(features, [[0, count * size - n], *[[0, 0]] * (len(features.shape) - 1)])
    return tf.reshape(filled, [count, size, *features.shape[1:]])
