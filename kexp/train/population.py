"""Train many dense networks at once: an epoch of all of them is one call of one graph.

The weights of k networks are stacked, (k, inputs, outputs); rows are gathered once for all, and the first layer of all
of them is one matrix product. Each network has its own learning rate, weight decay, activations, dropout, widths
(narrower layers are filled up with zeros), best epoch and end. What comes out is what each would be alone, but for the
order of sums.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kexp.layouts import GRAPH_SECONDS, Layout, products, seconds
from kexp.models import Network, answer_layer
from kexp.records import DatasetSpec
from kexp.train.epoch import Course, Fit, cycle, diverged, permutation, prepare
from kexp.train.feed import Samples, chunks
from kexp.train.loss import losses

Array = NDArray[Any]
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7  # Keras's Adam
COMPILE_FROM = 20e9  # floating-point operations of a training: with fewer, compiling takes longer than it saves
VALIDATION_BYTES = 32 << 20  # of activations in one forward pass
KEEP_BITS = 24  # of the noise of dropout


class Member(NamedTuple):
    """One network to train, from the weights that it has, and what it is made of."""

    network: Network
    layout: Layout


class Population:
    """Trains populations on one data set; graphs are kept, for others of the same shapes.

    `weights` say how much a row of each class counts, see `loss.balanced`.
    """

    def __init__(self, spec: DatasetSpec, weights: Array | None = None) -> None:
        self._spec, self._weights = spec, weights
        self._graphs: dict[object, Callable[..., Any]] = {}

    def fit(
        self,
        members: Sequence[Member],
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
        last: bool = False,
    ) -> list[Fit | str]:
        """What training left of each of `members`, or why it failed. Their layouts have one topology.

        As `epoch.fit`: one cycle of the learning rate over the epochs, the best epoch's weights, patience; or `last`.
        """
        n, spec = int(train.features.shape[0]), self._spec
        batch = min(batch_size, n)
        steps = n // batch
        total = float(steps * (epochs - initial_epoch))
        courses = [Course(spec, objective, epochs - initial_epoch) for _ in members]
        failures: dict[int, str] = {}
        inside = list(range(len(members)))  # positions of those in the graph
        alive = inside[:]  # of those that still train; the others leave the graph when that pays
        state = _State(members)
        run = self._graph(members, n * (epochs - initial_epoch))
        held = _chunks(validation, members)
        for epoch in range(initial_epoch, epochs):
            order = tf.constant(permutation(seed, epoch, n, steps, batch))
            first = tf.constant(float(steps * (epoch - initial_epoch)))
            loss, outputs = state.step(run, train, order, first, total, seed, held)
            over_time = time.monotonic() > deadline and epoch + 1 < epochs
            seen = not last or over_time or epoch + 1 == epochs
            for i in alive[:]:
                place = inside.index(i)
                if not math.isfinite(loss[place]):
                    failures[i] = diverged(epoch, loss[place], members[i].network.learning_rate)
                    alive.remove(i)
                    continue
                out = outputs[place, : len(validation.y)]
                now = validation.metrics(spec, out) if seen else {}
                missed = validation.loss(spec, out, now) if seen else math.nan
                if courses[i].add(epoch, float(loss[place]), now, missed, functools.partial(state.weights, place)):
                    alive.remove(i)
            if on_epoch is not None:
                on_epoch(epoch + 1)
            if over_time:
                for i in alive:
                    courses[i].best.stopped = True
                break
            if not alive:
                break
            left = n * (epochs - epoch - 1)
            if _seconds(members, inside, left) > _seconds(members, alive, left) + GRAPH_SECONDS:
                state = state.without([inside.index(i) for i in inside if i not in alive])
                inside = alive[:]
                run = self._graph(state.members, left)
        self._know(members, {i: one.best for i, one in enumerate(courses) if i not in failures}, train, batch * steps)
        return [failures.get(i) or course.best for i, course in enumerate(courses)]

    def _know(self, members: Sequence[Member], fits: dict[int, Fit], train: Samples, rows: int) -> None:
        """Tell each of `fits`, by the place of its member, how its weights do on training rows.

        Without a graph: it would take longer to be made than the few operations take.
        """
        if not fits:
            return
        within = [members[i] for i in fits]
        state = _State(within, [fit.weights for fit in fits.values()])
        names = tuple(sorted({name for member in within for name in member.layout.activations}))
        forward = _forward(self._spec, within[0].network, within[0].layout, names, False)
        known, answer = train.some(rows * max(len(fit.history) for fit in fits.values())), answer_layer(self._spec)
        outputs = [answer(forward(state.values, state.settings, x, None)[0]).numpy() for x in _chunks(known, within)]
        together = np.concatenate(outputs, axis=1)[:, : len(known.y)]
        for fit, out in zip(fits.values(), together, strict=True):
            fit.train = known.metrics(self._spec, out)

    def _graph(self, members: Sequence[Member], examples: int) -> Callable[..., Any]:
        """The graph for networks like these; its shapes are settled when it is called."""
        layout = members[0].layout
        names = tuple(sorted({name for member in members for name in member.layout.activations}))
        noisy = any(any(member.layout.dropouts) for member in members)
        work = 6.0 * examples * sum(products(member.layout.widths) for member in members)
        compiled = work >= COMPILE_FROM and _can_compile()
        kind = (layout.topology, names, noisy, compiled)
        if kind not in self._graphs:
            step = _epoch(self._spec, members[0].network, layout, names, noisy, self._weights)
            self._graphs[kind] = tf.function(step, jit_compile=compiled, autograph=False)
        return self._graphs[kind]


@functools.cache
def _can_compile() -> bool:
    """Whether this TensorFlow has XLA for what it runs on; some builds have not."""
    try:
        tf.function(lambda x: x + 1.0, jit_compile=True)(tf.constant(1.0))
    except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError, tf.errors.NotFoundError):
        return False
    return True


class _State:
    """Stacked weights, their moments, and the settings of each network.

    Slots follow Keras's order of a network's weights. Kernels are (k, inputs, outputs), but for the first, (inputs, k,
    outputs), which multiplies rows that all share; vectors are (k, 1, units).
    """

    def __init__(self, members: Sequence[Member], weights: Sequence[list[Array]] | None = None) -> None:
        self.members = list(members)
        self._arrays: list[Array] = []  # the values, as of the last step
        layouts = [member.layout for member in members]
        self.slots = _slots(layouts[0])
        widest = [max(widths) for widths in zip(*(one.widths for one in layouts), strict=True)]
        weights = weights or [member.network.core.get_weights() for member in members]
        self.values = []
        for k, slot in enumerate(self.slots):
            shape = (widest[slot.layer], widest[slot.layer + 1]) if slot.kernel else (1, widest[slot.layer + 1])
            stacked = np.zeros((len(members), *shape), np.float32)
            for i, arrays in enumerate(weights):
                array = np.atleast_2d(arrays[k])
                stacked[i, : array.shape[0], : array.shape[1]] = array
            self.values.append(tf.constant(stacked.transpose(1, 0, 2) if slot.first else stacked))
        trained = [value for value, slot in zip(self.values, self.slots, strict=True) if slot.trained]
        self.moments = [tf.zeros_like(value) for value in (*trained, *trained)]
        names = sorted({name for one in layouts for name in one.activations})
        self.settings = [
            tf.constant([member.network.learning_rate for member in members], tf.float32),
            tf.constant([member.network.weight_decay for member in members], tf.float32),
            tf.constant([[1.0 - rate for rate in one.dropouts] for one in layouts], tf.float32),
            tf.constant([[names.index(name) for name in one.activations] for one in layouts], tf.int32),
        ]

    def step(self, run: Callable[..., Any], train: Samples, *rest: Any) -> tuple[Array, Array]:
        """One epoch: the mean loss (k,) of each network, and its answers (k, rows, outputs) on validation rows."""
        order, first, total, seed, held = rest
        self.values, self.moments, loss, outputs = run(
            self.values, self.moments, self.settings, train.features, train.targets,
            order, first, tf.constant(total), tf.constant(seed % 2**32, tf.uint32), held,
        )  # fmt: skip
        self._arrays = [value.numpy() for value in self.values]
        return loss.numpy(), outputs.numpy()

    def weights(self, place: int) -> list[Array]:
        """The weights of the network at `place`, as Keras lists them."""
        widths = self.members[place].layout.widths
        found = []
        for slot, array in zip(self.slots, self._arrays, strict=True):
            array = array[:, place] if slot.first else array[place]
            array = array[: widths[slot.layer] if slot.kernel else 1, : widths[slot.layer + 1]]
            found.append(array.copy() if slot.kernel else array[0].copy())
        return found

    def without(self, places: Sequence[int]) -> _State:
        """The others alone."""
        kept = [i for i in range(len(self.members)) if i not in places]
        other = _State([self.members[i] for i in kept])
        trained = [slot for slot in self.slots if slot.trained]

        def cut(value: tf.Tensor, slot: _Slot, like: tf.Tensor) -> tf.Tensor:
            return tf.gather(value, kept, axis=int(slot.first))[tuple(slice(size) for size in like.shape)]

        other.values = [cut(*three) for three in zip(self.values, self.slots, other.values, strict=True)]
        other.moments = [cut(*three) for three in zip(self.moments, (*trained, *trained), other.moments, strict=True)]
        return other


class _Slot(NamedTuple):
    """One of the arrays of a network: of which dense layer, and what it is there."""

    layer: int
    what: str

    @property
    def kernel(self) -> bool:
        return self.what == "kernel"

    @property
    def first(self) -> bool:
        return self.kernel and self.layer == 0

    @property
    def trained(self) -> bool:
        return self.what not in ("mean", "variance")


def _slots(layout: Layout) -> list[_Slot]:
    found = []
    for layer, bias in enumerate(layout.biases):
        norm = layer < len(layout.norms) and layout.norms[layer] is not None
        names = ["kernel", *(["bias"] if bias else []), *(["gamma", "beta", "mean", "variance"] if norm else [])]
        found += [_Slot(layer, name) for name in names]
    return found


def _epoch(
    spec: DatasetSpec, network: Network, layout: Layout, names: Sequence[str], noisy: bool, balance: Array | None
) -> Callable[..., Any]:
    """The function of one epoch, to be made a graph."""
    slots, answer = _slots(layout), answer_layer(spec)
    loss_of = losses(spec, logits=True, weights=balance)
    trained = [k for k, slot in enumerate(slots) if slot.trained]
    forward = _forward(spec, network, layout, names, noisy)

    def run(
        values: list[tf.Tensor], moments: list[tf.Tensor], settings: list[tf.Tensor], features: tf.Tensor,
        targets: tf.Tensor, order: tf.Tensor, first: tf.Tensor, total: tf.Tensor, seed: tf.Tensor, held: tf.Tensor,
    ) -> Any:  # fmt: skip
        rate, decay = settings[:2]
        k, steps, half = rate.shape[0], order.shape[0], len(trained)

        def step(i: tf.Tensor, values: list[tf.Tensor], moments: list[tf.Tensor], lost: tf.Tensor) -> Any:
            now = first + tf.cast(i, tf.float32)
            rows = order[i]
            x, y = tf.gather(features, rows), tf.gather(targets, rows)
            weights = [values[k] for k in trained]
            with tf.GradientTape() as tape:
                tape.watch(weights)
                logits, after = forward(values, settings, x, lambda layer, shape: _noise(seed, now, layer, shape))
                loss = tf.reduce_mean(tf.reshape(loss_of(y, logits), [k, -1]), axis=1)
                together = tf.reduce_sum(loss)  # none depends on another's weights
            gradients = tape.gradient(together, weights)
            share = cycle(now, total)
            rise = share * tf.sqrt(1.0 - BETA_2 ** (now + 1.0)) / (1.0 - BETA_1 ** (now + 1.0))
            one, two = moments[:half], moments[half:]
            for j, (slot, gradient) in enumerate(zip(trained, gradients, strict=True)):
                shape = [1, -1, 1] if slots[slot].first else [-1, 1, 1]
                pace, shrink = tf.reshape(rate, shape), tf.reshape(decay, shape)
                one[j] += (gradient - one[j]) * (1.0 - BETA_1)
                two[j] += (gradient * gradient - two[j]) * (1.0 - BETA_2)
                shrunk = weights[j] - weights[j] * (shrink * pace * share)
                after[slot] = shrunk - one[j] * (pace * rise) / (tf.sqrt(two[j]) + EPSILON)
            return i + 1, after, one + two, lost + loss

        begin = (tf.constant(0), values, moments, tf.zeros_like(rate))
        _, values, moments, lost = tf.while_loop(lambda i, *_: i < steps, step, begin)
        outputs = tf.map_fn(
            lambda x: answer(forward(values, settings, x, None)[0]), held, fn_output_signature=tf.float32
        )
        outputs = tf.reshape(tf.transpose(outputs, [1, 0, 2, 3]), [k, -1, spec.outputs])
        return values, moments, lost / float(steps), outputs

    return run


def _forward(
    spec: DatasetSpec, network: Network, layout: Layout, names: Sequence[str], noisy: bool
) -> Callable[..., Any]:
    """The function that answers, of networks whose activations are among `names`; `noisy` where one has dropout."""
    slots, hidden = _slots(layout), len(layout.activations)
    functions = [keras.activations.get(name) for name in names]

    def forward(values: list[tf.Tensor], settings: list[tf.Tensor], x: tf.Tensor, noise: Any) -> Any:
        """Logits (k, rows, outputs) of rows (rows, ...), and the values that follow; `noise(layer, shape)` or None."""
        _, _, keep, which = settings
        k = keep.shape[0]
        x = prepare(spec, network, x)
        h = tf.reshape(x, [-1, layout.widths[0]])
        after = list(values)
        at = {slot: i for i, slot in enumerate(slots)}
        for layer in range(hidden + 1):
            kernel = values[at[_Slot(layer, "kernel")]]
            if layer == 0:
                h = tf.matmul(h, tf.reshape(kernel, [layout.widths[0], -1]))
                h = tf.transpose(tf.reshape(h, [-1, k, kernel.shape[2]]), [1, 0, 2])
            else:
                h = tf.matmul(h, kernel)
            if layout.biases[layer]:
                h += values[at[_Slot(layer, "bias")]]
            if layer == hidden:
                break
            if (norm := layout.norms[layer]) is not None:
                gamma, beta, mean, variance = (at[_Slot(layer, name)] for name in ("gamma", "beta", "mean", "variance"))
                momentum, epsilon = norm
                middle, spread = values[mean], values[variance]
                if noise is not None:
                    middle, spread = tf.nn.moments(h, axes=[1], keepdims=True)
                    after[mean] = values[mean] * momentum + middle * (1.0 - momentum)
                    after[variance] = values[variance] * momentum + spread * (1.0 - momentum)
                h = (h - middle) * (tf.math.rsqrt(spread + epsilon) * values[gamma]) + values[beta]
            found = functions[0](h)
            for i, function in enumerate(functions[1:], 1):
                found = tf.where(tf.equal(which[:, layer], i)[:, None, None], function(h), found)
            h = found
            if noisy and noise is not None:
                kept = keep[:, layer][:, None, None]
                h = tf.where(noise(layer, h.shape) < tf.cast(kept * 2.0**KEEP_BITS, tf.int32), h / kept, 0.0)
        return h, after

    return forward


def _noise(seed: tf.Tensor, step: tf.Tensor, layer: int, shape: Sequence[Any]) -> tf.Tensor:
    """Whole numbers (1, rows, units) below 2 ** KEEP_BITS for the dropout behind `layer`, the same for each network.

    Each depends on its own place alone, so that neither the width nor the number of networks matters.
    """
    base = _mixed(_mixed(_mixed(seed) + tf.cast(step, tf.uint32)) + tf.constant(layer, tf.uint32))
    rows = _mixed(base + tf.cast(tf.range(shape[1]), tf.uint32))
    units = _mixed(rows[:, None] + tf.cast(tf.range(shape[2]), tf.uint32) * tf.constant(0x9E3779B9, tf.uint32))
    return tf.cast(tf.bitwise.right_shift(units, tf.constant(32 - KEEP_BITS, tf.uint32)), tf.int32)[None]


def _mixed(x: tf.Tensor) -> tf.Tensor:
    """A hash of 32 bits: Wellons 2018, "Prospecting for Hash Functions", lowbias32."""
    x = tf.bitwise.bitwise_xor(x, tf.bitwise.right_shift(x, tf.constant(16, tf.uint32)))
    x *= tf.constant(0x7FEB352D, tf.uint32)
    x = tf.bitwise.bitwise_xor(x, tf.bitwise.right_shift(x, tf.constant(15, tf.uint32)))
    x *= tf.constant(0x846CA68B, tf.uint32)
    return tf.bitwise.bitwise_xor(x, tf.bitwise.right_shift(x, tf.constant(16, tf.uint32)))


def _chunks(validation: Samples, members: Sequence[Member]) -> tf.Tensor:
    """Validation rows as (chunks, rows, ...): the activations of one are VALIDATION_BYTES at most."""
    widest = max(max(member.layout.widths) for member in members)
    return chunks(validation.features, max(64, VALIDATION_BYTES // (16 * widest * len(members))))


def _seconds(members: Sequence[Member], which: Sequence[int], examples: int) -> float:
    return seconds([members[i].layout for i in which], examples)
