"""Train one candidate: each epoch is one call of one graph.

`fit` in plain Keras spends most of a small network's time between steps; here the samples are tensors, and
permutation, gather, forward, backward and optimiser of a whole epoch run inside one `tf.function` (on one thread,
dense 64-64-64: about 9 times the examples per second of `fit` on numpy arrays).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kexp.errors import FailedTrial
from kexp.metrics import rank
from kexp.models import Network
from kexp.records import Curve, DatasetSpec
from kexp.train.arithmetic import in_training, precision
from kexp.train.feed import OnDisk, Samples, cut, even, slabs
from kexp.train.loss import losses, weighted
from kexp.train.watch import Watched

Array = NDArray[Any]
WARM_UP = 0.1  # share of the steps over which the learning rate rises; then a cosine down to FLOOR of it
FLOOR = 0.01  # Loshchilov and Hutter 2017, "SGDR", with one cycle
FORWARD_ROWS = 64  # in one forward pass of validation: what lies between two layers then stays in the cache


@dataclass(kw_only=True)
class Fit:
    """What training left: the best epoch's metrics and weights (of the core), and the curves.

    `train` are metrics of these weights on training rows, see Samples.some.
    """

    metrics: dict[str, float]
    weights: list[Array]
    epochs: int
    stopped: bool = False  # by the deadline
    history: list[dict[str, float]] = field(default_factory=list)
    train: dict[str, float] = field(default_factory=dict)

    def curve(self, objective: str, validated: bool = True) -> Curve:
        """Its history as it is kept, to six digits, with the metric `objective`; the loss alone unless `validated`."""

        def column(key: str) -> tuple[float | None, ...]:
            known = validated or key == "loss"
            return tuple(float(f"{one[key]:.6g}") if known and key in one else None for one in self.history)

        return Curve(
            epochs=tuple(int(one["epoch"]) for one in self.history), running_loss=column("loss"),
            validation_loss=column("validation_loss"), score=column(objective),
        )  # fmt: skip


class Graphs:
    """One network, its optimiser, and the graphs that train and validate it. Made in most of a second.

    Another network that differs in nothing but weights and learning rate can train in it (`take`). Its optimiser is
    that of `network`, or AdamW. `weights` are of classes, as `loss.balanced` makes them.
    """

    def __init__(self, spec: DatasetSpec, network: Network, weights: Array | None = None) -> None:
        self.network = network
        own = network.optimizer
        self.optimizer = own or keras.optimizers.AdamW(network.learning_rate, weight_decay=network.weight_decay)
        self.optimizer.build(network.core.trainable_variables)
        self.train = _epoch_graph(spec, network, self.optimizer, weights)
        self.answers = _answers(spec, network)

    def take(self, network: Network) -> None:
        """Begin as `network` does: with its weights, its state of chance, and an optimiser that has seen nothing."""
        for mine, its in zip(self.network.core.variables, network.core.variables, strict=True):
            mine.assign(its)
        for variable in self.optimizer.variables:
            variable.assign(keras.ops.zeros_like(variable))


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
    graphs: Graphs | None = None,
    weights: Array | None = None,
    last: bool = False,
) -> Fit:
    """Train `network.core` from epoch `initial_epoch` to `epochs`; the best epoch's weights are kept.

    Those of the `last` epoch instead, where the validation rows must not choose it.

    With `graphs`, of an equal network, that one is trained in the place of this, from its weights. Otherwise `weights`
    say how much a row of each class counts, see `loss.balanced`.

    The learning rate makes one cycle over the epochs that are asked for. Keras's `callbacks` are called at the ends of
    training and epochs, with "loss" and "val_..." of every metric; their `model` is the core. A learning rate that one
    sets is the peak of the cycle from then on, and what sets `stop_training` ends the training. Ends early after
    `patience` epochs that did not improve the objective on `validation`, or at `deadline` (of time.monotonic).
    Pictures are not validated in the first half of the epochs, unless it ends there or callbacks want to know: the best
    epoch is hardly among them, the rate being high, and they would take a twentieth of the time.
    Raises FailedTrial when the loss stops being a number.
    """
    n = int(train.features.shape[0])
    batch = min(batch_size, n)
    steps = n // batch
    total = tf.constant(steps * (epochs - initial_epoch), tf.float32)
    if graphs is None:
        graphs = Graphs(spec, network, weights)
    else:
        graphs.take(network)
    core = graphs.network.core
    watched = Watched(network, graphs.optimizer, callbacks, epochs)
    course = Course(spec, objective, epochs - initial_epoch)
    unseen = (initial_epoch + epochs) // 2 if spec.pixels and not callbacks else 0
    unseen = epochs - 1 if last else unseen
    for epoch in range(initial_epoch, epochs):
        step, loss = steps * (epoch - initial_epoch), 0.0
        peak = watched.begin(epoch)
        for features, targets, order in slabs(train, permutation(seed, epoch, n, steps, batch)):
            with precision(spec, core):
                first = tf.constant(step, tf.float32)
                loss += float(graphs.train(features, targets, order, first, total, peak)) / steps
            step += int(order.shape[0])
            if on_epoch is not None and isinstance(train.features, OnDisk):
                on_epoch(epoch)  # so many ended; such an epoch may take longer than silence is borne
        if not math.isfinite(loss):
            raise FailedTrial(diverged(epoch, loss, network.learning_rate))
        over_time = time.monotonic() > deadline and epoch + 1 < epochs
        seen = epoch >= unseen or over_time
        out = graphs.answers(validation) if seen else None
        now = {} if out is None else validation.metrics(spec, out)
        held = math.nan if out is None else validation.loss(spec, out, now)
        over = course.add(epoch, loss, now, held, core.get_weights)
        if on_epoch is not None:
            on_epoch(epoch + 1)
        watched.end(epoch, {"loss": loss, **{f"val_{name}": value for name, value in now.items()}})
        if over or watched.stopped:
            break
        if over_time:
            course.best.stopped = True
            break
    watched.close(course.best.history[-1])
    core.set_weights(course.best.weights)
    known = train.some(step * batch)
    course.best.train = known.metrics(spec, graphs.answers(known, even(len(validation.y), FORWARD_ROWS)))
    return course.best


def patience_of(epochs: int) -> int:
    """Epochs without a better score after which a training of so many is over."""
    return max(8, epochs // 2)  # what one cycle of the learning rate gains, it gains at its end


class Course:
    """How the training of one network goes, epoch by epoch."""

    def __init__(self, spec: DatasetSpec, objective: str, epochs: int) -> None:
        self._best: Fit | None = None
        self._task, self._objective = spec.task, objective
        self._patience = patience_of(epochs)
        self._history: list[dict[str, float]] = []

    def add(
        self, epoch: int, loss: float, now: dict[str, float], held: float, weights: Callable[[], list[Array]]
    ) -> bool:
        """Epoch `epoch` (from 0) ended, with the metrics `now` and the loss `held` if it was validated.

        Whether the training is over.
        """
        self._history.append({"epoch": float(epoch + 1), "loss": loss, **now})
        if not now:
            return False
        self._history[-1]["validation_loss"] = held
        if self._best is None or self._rank(now) > self._rank(self._best.metrics):
            self._best = Fit(metrics=now, weights=weights(), epochs=epoch + 1, history=self._history)
        return epoch + 1 - self._best.epochs >= self._patience

    @property
    def best(self) -> Fit:
        """What the best of the validated epochs left."""
        if self._best is None:
            raise ValueError("nothing to train: there was no epoch")
        return self._best

    def _rank(self, metrics: dict[str, float]) -> tuple[float, float]:
        return rank(self._task, self._objective, metrics)


def permutation(seed: int, epoch: int, n: int, steps: int, batch: int) -> NDArray[np.int32]:
    """Which of `n` rows each step takes, (steps, batch): the same for all networks under one seed."""
    order = np.random.default_rng((seed, epoch)).permutation(n)[: steps * batch]
    return order.reshape(steps, batch).astype(np.int32)


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
    """What the core eats: pixels pass the front end here, batch by batch, unless they have."""
    if spec.pixels and not network.once:
        features = tf.cast(features, tf.float32)
        return network.frontend(features) if network.frontend is not None else features
    return features


def _epoch_graph(
    spec: DatasetSpec, network: Network, optimizer: keras.optimizers.Optimizer, balance: Array | None
) -> Callable[..., tf.Tensor]:
    """The graph of an epoch, or a part of one.

    (features, targets, order (steps, batch), first step, steps of the whole training, peak of the learning rate) ->
    the sum of the steps' losses.
    """
    core, cyclic = in_training(network.core), network.learning_rate is not None
    weights = network.core.trainable_variables
    if network.loss is not None:
        loss_of = weighted(spec, network.loss, balance)
    else:
        loss_of = losses(spec, logits=network.answer is not None, weights=balance)

    @tf.function  # type: ignore[untyped-decorator]
    def run(
        features: tf.Tensor, targets: tf.Tensor, order: tf.Tensor, first: tf.Tensor, total: tf.Tensor, peak: tf.Tensor
    ) -> tf.Tensor:
        summed = tf.constant(0.0)
        for i in tf.range(tf.shape(order)[0]):
            step = first + tf.cast(i, tf.float32)
            if cyclic:
                optimizer.learning_rate.assign(peak * cycle(step, total))
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


def _answers(spec: DatasetSpec, network: Network) -> Callable[..., Array]:
    """Computes answers (n, outputs) to the rows of a part, in the task's own terms: so many at a time, if told."""
    answer = network.answer
    traced: dict[tuple[int, ...], Callable[[tf.Tensor], tf.Tensor]] = {}

    def one(rows: tf.Tensor) -> tf.Tensor:
        out = network.core(prepare(spec, network, rows), training=False)
        return out if answer is None else answer(out)

    @tf.function  # type: ignore[untyped-decorator]
    def forward(held: tf.Tensor) -> tf.Tensor:
        return tf.reshape(tf.map_fn(one, held, fn_output_signature=tf.float32), [-1, spec.outputs])

    def run(features: tf.Tensor, size: int) -> Array:
        held = cut(features, size)
        shape = tuple(held.shape[1:])
        if shape not in traced:  # for any number of chunks: that of training rows is another one
            traced[shape] = forward.get_concrete_function(tf.TensorSpec([None, *shape], held.dtype))
        found: Array = traced[shape](held).numpy()
        return found[: features.shape[0]]

    def read(part: Samples, size: int = 0) -> Array:
        features, size = part.features, size or even(len(part.y), FORWARD_ROWS)
        if not isinstance(features, OnDisk):
            return run(features, size)
        return np.concatenate([run(features.read(span), size) for span in features.spans(size)])

    return read
