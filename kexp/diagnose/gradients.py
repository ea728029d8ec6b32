"""Gradients of the loss, layer by layer, and how far steps of the optimiser really move the weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kexp.diagnose.subject import Subject, first, ready
from kexp.models import Network
from kexp.records import DatasetSpec, Finding
from kexp.train.epoch import Graphs, permutation, prepare
from kexp.train.feed import Samples
from kexp.train.loss import Loss

Array = NDArray[Any]
BATCH = 256  # rows of which a gradient is the mean
# A layer whose gradient (root mean square of its numbers) is so many times smaller, or larger, than the last layer's
# while the network is new: it hardly learns, or breaks what it learnt (Glorot and Bengio 2010; Pascanu et al. 2013). Of
# kexp's factories on ten sets of data it was .08 to 3.4 times as large (experiments/LOG.md).
FAR = 1e4
STEPS = 20
# Norm of a step over the norm of the weights that it moves. About 1e-3 is usual once a training runs
# (https://cs231n.github.io/neural-networks-3/#ratio); the first steps of AdamW at the peak of its cycle are longer:
# .003 to .02 of kexp's factories at their usual rates (experiments/LOG.md).
LONG, SHORT = 0.5, 1e-5
USUAL = 1e-2  # the highest learning rate that kexp's factories ask for by themselves, but for heads behind a trunk


@dataclass(frozen=True, slots=True, kw_only=True)
class Gradient:
    """Of the loss of a batch with respect to a layer's weights: its norm, and that of the weights."""

    layer: str
    norm: float
    weights: float
    parameters: int

    @property
    def rms(self) -> float:
        """Root mean square: what layers of unlike sizes may be compared by."""
        return self.norm / math.sqrt(max(self.parameters, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Real steps of a fresh network at the peak of its learning rate: how far they went, and what became of the loss.

    `ratios` are by layer, the mean over the steps of |step| / |weights|, of what has two axes at least (biases begin
    at 0). Not finite where the weights stopped being numbers.
    """

    steps: int
    learning_rate: float | None
    before: float
    after: float
    ratios: dict[str, float]


def layer_of(variable: Any) -> str:
    """The name of the layer that has a variable."""
    return str(variable.path.rpartition("/")[0])


def gradients(spec: DatasetSpec, network: Network, rows: Samples, loss: Loss) -> list[Gradient]:
    """Of the mean loss of a batch of `rows`, as in training: dropout, batch statistics. The weights stay."""
    core = network.core
    kept = core.get_weights()
    with tf.GradientTape() as tape:
        x = prepare(spec, network, first(rows, BATCH))
        lost = tf.reduce_mean(loss(rows.targets[:BATCH], core(x, training=True)))
    variables = core.trainable_variables
    found: dict[str, list[tuple[Array, Array]]] = {}
    raw = tape.gradient(lost, [variable.value for variable in variables], unconnected_gradients="zero")
    for variable, gradient in zip(variables, raw, strict=True):
        pair = (np.asarray(tf.convert_to_tensor(gradient), np.float64), np.asarray(variable.value, np.float64))
        found.setdefault(layer_of(variable), []).append(pair)
    core.set_weights(kept)  # batch normalisation has seen a batch
    return [
        Gradient(
            layer=layer, norm=_norm([g for g, _ in pairs]), weights=_norm([w for _, w in pairs]),
            parameters=sum(w.size for _, w in pairs),
        )
        for layer, pairs in found.items()
    ]  # fmt: skip


def _norm(arrays: list[Array]) -> float:
    return math.sqrt(sum(float(np.sum(a * a)) for a in arrays))


def steps(one: Subject, count: int = STEPS) -> Steps:
    """`count` steps of the trial's optimiser at its learning rate, on training batches, from its initial weights."""
    network = one.fresh()
    graphs = Graphs(one.spec, network, one.balance)
    rows = ready(one, network, "train")
    n = int(rows.features.shape[0])
    batch = min(one.batch_size, n)
    per_epoch = n // batch
    moved = {v.path: v for v in network.core.trainable_variables if len(v.shape) > 1}
    ratios: dict[str, list[float]] = {}
    before = mean_loss(one, network, rows)
    peak = tf.constant(network.learning_rate or 0.0, tf.float32)
    first = tf.constant(0.0), tf.constant(1.0)  # the only step of a cycle of one is at its peak
    for step in range(count):
        epoch, at = divmod(step, per_epoch)
        order = permutation(one.trial.seed, epoch, n, per_epoch, batch)[at : at + 1]
        was = {path: np.asarray(v.value, np.float64) for path, v in moved.items()}
        graphs.train(rows.features, rows.targets, tf.constant(order), *first, peak)
        for path, variable in moved.items():
            step_norm = float(np.linalg.norm(np.asarray(variable.value, np.float64) - was[path]))
            size = float(np.linalg.norm(was[path]))
            ratios.setdefault(layer_of(variable), []).append(step_norm / size if size else 0.0)
    return Steps(
        steps=count, learning_rate=network.learning_rate, before=before, after=mean_loss(one, network, rows),
        ratios={layer: float(np.mean(each)) for layer, each in ratios.items()},
    )  # fmt: skip


def mean_loss(one: Subject, network: Network, rows: Samples) -> float:
    """Of up to BATCH x 4 rows, as the network answers."""
    loss = one.loss(network)
    found, many = [], min(int(rows.features.shape[0]), 4 * BATCH)
    for i in range(0, many, BATCH):
        out = network.core(prepare(one.spec, network, first(rows, BATCH, i)), training=False)
        found.append(float(tf.reduce_mean(loss(rows.targets[i : i + BATCH], out))))
    return float(np.mean(found))


def flow(found: list[Gradient], when: Literal["new", "kept"]) -> list[Finding]:
    """Vanishing and exploding gradients: layers whose gradient is FAR from the last layer's; not finite is an error."""
    if not found:
        return []
    broken = [one for one in found if not math.isfinite(one.norm)]
    now = "as the network begins" if when == "new" else "at the weights that were kept"
    if broken:
        return [
            Finding(
                name="exploding_gradients", severity="error", count=len(broken),
                what=f"The loss's gradient is no number {now}.", where=tuple(one.layer for one in broken),
                advice="Look for inputs without bounds (kexp doctor), a layer that divides or takes a logarithm, or a "
                "learning rate that is far too high.",
            )
        ]  # fmt: skip
    last = found[-1].rms
    vanishing = [one for one in found[:-1] if one.rms < last / FAR]
    exploding = [one for one in found[:-1] if one.rms > last * FAR]
    made = []
    for name, layers, verb, advice in (
        (
            "vanishing_gradients", vanishing, "hardly learn",
            "Fewer layers, batch normalisation, relu or silu in the place of sigmoid or tanh, or residual blocks.",
        ),
        (
            "exploding_gradients", exploding, "are thrown far by every step",
            "Fewer layers, batch normalisation, smaller initial weights, or gradients that are clipped.",
        ),
    ):  # fmt: skip
        if layers:
            times = (last / layers[0].rms if layers[0].rms else math.inf) if name[0] == "v" else layers[0].rms / last
            size = "smaller" if name[0] == "v" else "larger"
            told = "0" if times == math.inf else f"{times:.1g} times {size} than the last layer's"
            what = f"{len(layers)} of {len(found)} layers {verb}: the gradient of {layers[0].layer} is {told} {now}."
            where = tuple(f"{one.layer}: {one.norm:.2g}" for one in layers)
            made.append(
                Finding(name=name, severity="warning", what=what, where=where, count=len(layers), advice=advice)
            )
    return made


def pace(found: Steps) -> list[Finding]:
    """A learning rate whose steps are longer than LONG of the weights, or shorter than SHORT, or end in no number."""
    if found.learning_rate is None:
        return []
    rate = f"learning_rate = {found.learning_rate:.3g}"
    worst = max(found.ratios.values(), default=0.0)
    if not math.isfinite(found.after) or not worst <= LONG:
        where = tuple(f"{layer}: {ratio:.2g}" for layer, ratio in found.ratios.items() if not ratio <= LONG)
        told = f"each of its first steps changes weights by {worst:.2g} times what they are, and the loss from "
        told += f"{found.before:.3g} to {found.after:.3g} in {found.steps} steps"
        if not math.isfinite(worst) or not math.isfinite(found.after):
            told = f"after {found.steps} steps the loss is {found.after:.3g}"
        lower = min(found.learning_rate / 10, USUAL)
        return [
            Finding(
                name="learning_rate_high", severity="warning", where=where, count=len(where),
                what=f"{rate} is too high: {told}.",
                advice=f"Try {lower:.2g} and less: learning_rate in [space] of the experiment.",
            )
        ]  # fmt: skip
    if worst < SHORT:
        return [
            Finding(
                name="learning_rate_low", severity="warning",
                what=f"{rate} is too low: a step changes no layer by more than {worst:.1g} of what it is.",
                advice=f"Try {found.learning_rate * 100:.2g}: learning_rate in [space] of the experiment.",
            )
        ]  # fmt: skip
    return []
