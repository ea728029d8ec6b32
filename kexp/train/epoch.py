"""Train one candidate: each epoch is one call of one graph.

`fit` in plain Keras spends most of a small network's time between steps; here the samples are tensors, and
permutation, gather, forward, backward and optimiser of a whole epoch run inside one `tf.function` (on one thread,
dense 64-64-64: about 9 times the examples per second of `fit` on numpy arrays).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kexp.data.dataset import Dataset
from kexp.errors import FailedTrial
from kexp.metrics import metrics, rank
from kexp.models import Network
from kexp.records import DatasetSpec, Part
from kexp.train.arithmetic import in_training, precision

Array = NDArray[Any]
WARM_UP = 0.1  # share of the steps over which the learning rate rises; then a cosine down to FLOOR of it
FLOOR = 0.01  # Loshchilov and Hutter 2017, "SGDR", with one cycle
MEMORY_BYTES = 2 << 30  # of the samples of one part: more of them are read from disk in every epoch
SLAB_BYTES = 64 << 20  # of what is read ahead
FORWARD_ROWS = 64  # in one forward pass of validation: what lies between two layers then stays in the cache


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


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Rows of one part: `features` (n, ...) what the core eats (or raw pictures), `y` as in Dataset."""

    features: tf.Tensor | OnDisk
    y: Array
    targets: tf.Tensor  # y as the loss wants it: (n,) int32, or (n, outputs) float32 (a regression's standardised)


@dataclass(kw_only=True)
class Fit:
    """What training left: the best epoch's metrics and weights (of the core), and the curves."""

    metrics: dict[str, float]
    weights: list[Array]
    epochs: int
    stopped: bool = False  # by the deadline
    history: list[dict[str, float]] = field(default_factory=list)


def samples(spec: DatasetSpec, network: Network, dataset: Dataset, part: Part) -> Samples:
    """Rows of one part made ready: tables pass the front end once, pictures stay uint8 until the last moment."""
    rows = dataset.rows(part)
    y = dataset.y[rows]
    features: tf.Tensor | OnDisk
    if network.frontend is not None and spec.kind != "image":
        chunks = [network.frontend(dataset.x[rows[i : i + 8192]], training=False) for i in range(0, len(rows), 8192)]
        features = tf.concat(chunks, axis=0)
    elif dataset.x.nbytes / len(dataset.x) * len(rows) > MEMORY_BYTES:
        features = OnDisk(dataset.x, rows)
    else:
        features = tf.constant(dataset.x[rows])
    target = y
    if spec.task == "regression" and network.answer is not None:
        target = (y - np.array(spec.target_mean)) / np.array(spec.target_std)
    if spec.task != "multiclass":
        target = np.asarray(target, np.float32).reshape(len(y), spec.outputs)
    return Samples(features=features, y=y, targets=tf.constant(target))


def fit(
    spec: DatasetSpec,
    network: Network,
    train: Samples,
    validation: Samples,
    *,
    epochs: int,
    initial_epoch: int = 0,
    batch_size: int,
    seed: int,
    objective: str = "",
    deadline: float = math.inf,
    on_epoch: Callable[[int], None] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Fit:
    """Train `network.core` from epoch `initial_epoch` to `epochs`; the best epoch's weights are kept.

    The learning rate makes one cycle over the epochs that are asked for. Keras's `callbacks` are called at the ends of
    training and epochs, with "loss" and "val_..." of every metric; their `model` is the core. A learning rate that one
    sets is the peak of the cycle from then on, and what sets `stop_training` ends the training. Ends early after
    `patience` epochs that did not improve the objective on `validation`, or at `deadline` (of time.monotonic).
    Raises FailedTrial when the loss stops being a number.
    """
    n = int(train.features.shape[0])
    batch = min(batch_size, n)
    steps = n // batch
    total = steps * (epochs - initial_epoch)
    optimizer = network.optimizer or keras.optimizers.AdamW(network.learning_rate, weight_decay=network.weight_decay)
    optimizer.build(network.core.trainable_variables)
    run = _epoch_graph(spec, network, optimizer, total)
    watched = _Watched(network, optimizer, callbacks, epochs)
    answers = _answers(spec, network, validation)
    patience = patience_of(epochs - initial_epoch)
    best: Fit | None = None
    history: list[dict[str, float]] = []
    for epoch in range(initial_epoch, epochs):
        step, loss = steps * (epoch - initial_epoch), 0.0
        peak = watched.begin(epoch)
        for features, targets, order in _slabs(train, permutation(seed, epoch, n, steps, batch)):
            with precision(spec, network.core):
                loss += float(run(features, targets, order, tf.constant(step, tf.float32), peak)) / steps
            step += int(order.shape[0])
        if not math.isfinite(loss):
            raise FailedTrial(diverged(epoch, loss, network.learning_rate))
        now = metrics(spec.task, validation.y, answers()[: len(validation.y)])
        history.append({"epoch": float(epoch + 1), "loss": loss, **now})
        if best is None or rank(spec.task, objective, now) > rank(spec.task, objective, best.metrics):
            best = Fit(metrics=now, weights=network.core.get_weights(), epochs=epoch + 1)
        if on_epoch is not None:
            on_epoch(epoch + 1)
        watched.end(epoch, {"loss": loss, **{f"val_{name}": value for name, value in now.items()}})
        if epoch + 1 - best.epochs >= patience or watched.stopped:
            break
        if time.monotonic() > deadline and epoch + 1 < epochs:
            best.stopped = True
            break
    if best is None:
        raise ValueError(f"nothing to train: epochs = {epochs}, initial_epoch = {initial_epoch}")
    watched.close(history[-1])
    network.core.set_weights(best.weights)
    best.history = history
    return best


def patience_of(epochs: int) -> int:
    """Epochs without a better score after which a training of so many ends."""
    return max(8, epochs // 2)  # what one cycle of the learning rate gains, it gains at its end


def permutation(seed: int, epoch: int, n: int, steps: int, batch: int) -> NDArray[np.int32]:
    """Which of `n` rows each step takes, (steps, batch): the same for all networks under one seed."""
    order = np.random.default_rng((seed, epoch)).permutation(n)[: steps * batch]
    return order.reshape(steps, batch).astype(np.int32)


class _Watched:
    """Keras's callbacks around a training by graphs; without any it does nothing."""

    def __init__(
        self,
        network: Network,
        optimizer: keras.optimizers.Optimizer,
        callbacks: Sequence[keras.callbacks.Callback],
        epochs: int,
    ) -> None:
        self._core, self._optimizer, self._peak = network.core, optimizer, network.learning_rate
        self._list = None
        if callbacks:
            if getattr(network.core, "optimizer", None) is not optimizer:
                network.core.compile(optimizer)  # callbacks reach it through the model
            network.core.stop_training = False
            self._list = keras.callbacks.CallbackList(list(callbacks), model=network.core, epochs=epochs)
            self._list.on_train_begin()

    @property
    def stopped(self) -> bool:
        """Whether a callback wants the training to end."""
        return self._list is not None and bool(self._core.stop_training)

    def begin(self, epoch: int) -> tf.Tensor:
        """The peak of the cycle in `epoch` (from 0); 0 where the optimiser has a schedule of its own."""
        if self._list is not None:
            if self._peak is not None:
                self._optimizer.learning_rate = self._peak  # what callbacks see and change is the peak
            self._list.on_epoch_begin(epoch)
            self._read()
        return tf.constant(self._peak or 0.0, tf.float32)

    def end(self, epoch: int, logs: dict[str, float]) -> None:
        if self._list is not None:
            if self._peak is not None:
                self._optimizer.learning_rate = self._peak
            self._list.on_epoch_end(epoch, logs)
            self._read()

    def close(self, logs: dict[str, float]) -> None:
        if self._list is not None:
            self._list.on_train_end(logs)

    def _read(self) -> None:
        if self._peak is not None:
            self._peak = float(self._optimizer.learning_rate)


def diverged(epoch: int, loss: float, rate: float | None) -> str:
    """What is said of a network whose mean loss in `epoch` (from 0) is no number."""
    text = "a schedule of its own" if rate is None else f"{rate:.3g}"
    return f"diverged in epoch {epoch + 1}: the loss is {loss} (learning_rate = {text})"


def cycle(step: tf.Tensor, total: float | tf.Tensor) -> tf.Tensor:
    """Share of the peak learning rate at `step` of `total`: a straight rise, then a cosine."""
    warm = tf.maximum(1.0, WARM_UP * total)
    falling = 0.5 * (1.0 + tf.cos(np.pi * (step - warm) / tf.maximum(1.0, total - warm)))
    return tf.minimum(tf.where(step < warm, (step + 1.0) / warm, FLOOR + (1.0 - FLOOR) * falling), 1.0)


def prepare(spec: DatasetSpec, network: Network, features: tf.Tensor) -> tf.Tensor:
    """What the core eats: pictures pass the front end here, batch by batch."""
    if spec.kind == "image":
        features = tf.cast(features, tf.float32)
        return network.frontend(features) if network.frontend is not None else features
    return features


def _slabs(part: Samples, order: NDArray[np.int32]) -> Iterator[tuple[tf.Tensor, tf.Tensor, tf.Tensor]]:
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


def _epoch_graph(
    spec: DatasetSpec, network: Network, optimizer: keras.optimizers.Optimizer, total: int
) -> Callable[..., tf.Tensor]:
    """The graph of an epoch, or a part of one.

    (features, targets, order (steps, batch), first step, peak of the learning rate) -> the sum of the steps' losses.
    `total` are the steps of the whole training.
    """
    core, cyclic = in_training(network.core), network.learning_rate is not None
    loss_of, weights = network.loss or losses(spec, logits=network.answer is not None), network.core.trainable_variables

    @tf.function  # type: ignore[untyped-decorator]
    def run(features: tf.Tensor, targets: tf.Tensor, order: tf.Tensor, first: tf.Tensor, peak: tf.Tensor) -> tf.Tensor:
        summed = tf.constant(0.0)
        for i in tf.range(tf.shape(order)[0]):
            step = first + tf.cast(i, tf.float32)
            if cyclic:
                optimizer.learning_rate.assign(peak * cycle(step, float(total)))
            rows = order[i]
            x, y = prepare(spec, network, tf.gather(features, rows)), tf.gather(targets, rows)
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(loss_of(y, core(x, training=True)))
                if core.losses:
                    loss += tf.add_n(core.losses)
            optimizer.apply(tape.gradient(loss, weights), weights)
            summed += loss
        return summed

    return run  # type: ignore[no-any-return]


def _answers(spec: DatasetSpec, network: Network, part: Samples) -> Callable[[], Array]:
    """Computes answers (n or a little more, outputs) to the rows of `part`, in the task's own terms."""
    answer, features = network.answer, part.features

    def one(rows: tf.Tensor) -> tf.Tensor:
        out = network.core(prepare(spec, network, rows), training=False)
        return out if answer is None else answer(out)

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def forward(held: tf.Tensor) -> tf.Tensor:
        return tf.reshape(tf.map_fn(one, held, fn_output_signature=tf.float32), [-1, spec.outputs])

    if not isinstance(features, OnDisk):
        held = chunks(features, FORWARD_ROWS)
        return lambda: forward(held).numpy()  # type: ignore[no-any-return]
    size = FORWARD_ROWS * max(1, SLAB_BYTES // (FORWARD_ROWS * features.x[0].nbytes))
    places = [np.arange(i, min(i + size, len(part.y))) for i in range(0, len(part.y), size)]

    def read() -> Array:
        found = [forward(chunks(features.read(some), FORWARD_ROWS)).numpy()[: len(some)] for some in places]
        return np.concatenate(found)

    return read


def chunks(features: tf.Tensor, size: int) -> tf.Tensor:
    """Rows (n, ...) as (chunks, size or fewer, ...), the last one filled up with zeros."""
    n = int(features.shape[0])
    count = -(-n // size)
    size = -(-n // count)
    filled = tf.pad(features, [[0, count * size - n], *[[0, 0]] * (len(features.shape) - 1)])
    return tf.reshape(filled, [count, size, *features.shape[1:]])


def losses(spec: DatasetSpec, *, logits: bool) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The losses of a batch for a task: cross entropy, or squared errors of the standardised target.

    (rows,) or (rows, outputs) targets and (..., rows, outputs) answers -> (..., rows), or one for each output.
    """
    if spec.task == "multiclass":
        if logits:
            sparse = tf.nn.sparse_softmax_cross_entropy_with_logits
            return lambda y, out: sparse(tf.broadcast_to(y, tf.shape(out)[:-1]), out)
        return lambda y, out: keras.losses.sparse_categorical_crossentropy(y, out)
    if spec.task in ("binary", "multilabel"):
        if logits:
            return lambda y, out: tf.nn.sigmoid_cross_entropy_with_logits(tf.broadcast_to(y, tf.shape(out)), out)
        return lambda y, out: keras.losses.binary_crossentropy(y, out)
    if logits:
        return lambda y, out: tf.square(y - out)
    # A user's own model answers in the target's units; the loss is scaled so that learning rates mean the same.
    scale = tf.constant(spec.target_std, tf.float32)
    return lambda y, out: tf.square((y - out) / scale)
