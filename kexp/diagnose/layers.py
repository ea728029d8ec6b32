"""What every layer of a core puts out: its range, units that are dead or saturated, and one sample all the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kexp.models import Network
from kexp.models.layers import Augmentation
from kexp.records import DatasetSpec, Finding, Severity
from kexp.train.epoch import prepare
from kexp.train.loss import Loss

Array = NDArray[Any]
PASS_BYTES = 64 << 20  # of the largest layer's output in one forward pass
PASS_ROWS = 256
# A unit is dead where it puts out nothing for every sample ("dying ReLU": Maas et al. 2013; Lu et al. 2019). What puts
# out exactly 0 learns nothing any more; silu and gelu only come near to it, with next to no slope left.
DEAD: dict[str, float] = {"relu": 0.0, "relu6": 0.0, "silu": 1e-3, "swish": 1e-3, "gelu": 1e-3}
# Slope of an activation, as a share of its steepest, told from what it puts out (derivatives of their formulas).
SLOPES: dict[str, Callable[[Array], Array]] = {
    "tanh": lambda a: 1 - a * a,
    "sigmoid": lambda a: 4 * a * (1 - a),
    "softsign": lambda a: (1 - np.abs(a)) ** 2,
    "elu": lambda a: np.where(a < 0, a + 1, 1.0),
    "hard_sigmoid": lambda a: ((a > 0) & (a < 1)).astype(np.float64),
    "relu6": lambda a: (a < 6).astype(np.float64),
}
FLAT = 0.05  # a slope below this share of the steepest lets no gradient through: saturated (Glorot and Bengio 2010) ...
ALWAYS = 0.95  # ... where it is so for this share of the samples, and places
SOME, MANY = 0.1, 0.5  # shares of a layer's units: more is a note, a warning
CLASSES = {"ReLU": "relu", "ELU": "elu", "LeakyReLU": "leaky_relu", "PReLU": "prelu"}  # layers that are activations


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """What a layer put out for some rows. Of `units` (the last axis) some are dead or saturated; 0 but of activations.

    `behind` is the layer whose weights feed it, itself where it has weights.
    """

    layer: str
    kind: str
    shape: tuple[int, ...]  # of one sample
    minimum: float
    maximum: float
    activation: str = ""
    behind: str = ""
    units: int = 0
    dead: int = 0
    saturated: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """One sample at one layer: what came out, and the norm of the loss's gradient there (None: no way back to it)."""

    layer: str
    shape: tuple[int, ...]
    minimum: float
    mean: float
    maximum: float
    gradient: float | None = None


class Opened(NamedTuple):
    """A core that puts out what each of its layers does, in the order of the work; its answer comes last.

    What is idle in the `last` layers, whose output is the answer, is no fault: a sure answer is one.
    """

    model: keras.Model
    layers: list[Any]
    last: list[bool]


def opened(core: keras.Model) -> Opened | None:
    """None for a Model with a `call` of its own, whose layers cannot be told apart from outside.

    What only acts in training, augmentation and dropout, is left out.
    """
    seen: list[tuple[Any, Any]] = []

    def call(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
        out = layer(*args, **kwargs)
        seen.append((layer, out))
        return out

    if isinstance(core, keras.Sequential):
        seen = [(layer, layer.output) for layer in core.layers]
        inputs, answer = core.inputs, core.outputs[0]
    elif getattr(core, "operations", []):
        clone = keras.models.clone_model(core, call_function=call, clone_function=lambda layer: layer)
        inputs, answer = clone.inputs, clone.outputs[0]
    else:
        return None
    idle = (keras.layers.InputLayer, keras.layers.Dropout, Augmentation)
    told = [(layer, out) for layer, out in seen if not isinstance(layer, idle) and isinstance(out, keras.KerasTensor)]
    outs = [out for _, out in told]
    return Opened(keras.Model(inputs, [*outs, answer]), [layer for layer, _ in told], [out is answer for out in outs])


def activation_of(layer: Any) -> str:
    """The name of a layer's activation; empty where it has none, or a function of a user's own."""
    name = (
        layer.get_config().get("activation") if type(layer).__name__ not in CLASSES else CLASSES[type(layer).__name__]
    )
    return name if isinstance(name, str) and name != "linear" else ""


def activities(spec: DatasetSpec, network: Network, features: tf.Tensor) -> list[Activity]:
    """What every layer of the core puts out for rows (n, ...) of features; empty where layers cannot be seen."""
    looking = opened(network.core)
    if looking is None:
        return []
    tallies = [
        _Tally("" if last else activation_of(layer)) for layer, last in zip(looking.layers, looking.last, strict=True)
    ]
    largest = max(4 * int(np.prod([n or 1 for n in out.shape[1:]])) for out in looking.model.outputs)
    rows = int(np.clip(PASS_BYTES // largest, 1, PASS_ROWS))
    for i in range(0, int(features.shape[0]), rows):
        outs = looking.model(prepare(spec, network, features[i : i + rows]), training=False)
        for tally, out in zip(tallies, outs, strict=False):  # the answer is the last layer's output again
            tally.add(np.asarray(out))
    found, behind = [], ""
    for layer, tally in zip(looking.layers, tallies, strict=True):
        behind = layer.name if any(len(weight.shape) > 1 for weight in layer.weights) else behind
        found.append(tally.result(layer, behind))
    return found


class _Tally:
    """Adds up what a layer puts out, batch by batch."""

    def __init__(self, activation: str) -> None:
        self._activation = activation
        self._minimum, self._maximum = np.inf, -np.inf
        self._most: Array | None = None  # (units,) the largest of all |outputs|
        self._flat: Array | float = 0.0  # (units,) how many outputs lie where there is no slope
        self._count = 0
        self._shape: tuple[int, ...] = ()

    def add(self, out: Array) -> None:
        """(rows, ..., units)."""
        self._shape = out.shape[1:]
        self._minimum, self._maximum = min(self._minimum, float(out.min())), max(self._maximum, float(out.max()))
        if not self._activation:
            return
        flat = out.reshape(-1, out.shape[-1])
        most = np.abs(flat).max(axis=0)
        self._most = most if self._most is None else np.maximum(self._most, most)
        slope = SLOPES.get(self._activation)
        if slope is not None:
            self._flat = self._flat + (slope(flat) < FLAT).sum(axis=0)
        self._count += len(flat)

    def result(self, layer: Any, behind: str) -> Activity:
        """What came together."""
        dead = saturated = units = 0
        if self._activation and self._most is not None:
            units = len(self._most)
            dead = int((self._most <= DEAD.get(self._activation, 0.0)).sum())
            saturated = int((np.broadcast_to(self._flat, units) >= ALWAYS * self._count).sum())
        return Activity(
            layer=layer.name, kind=type(layer).__name__, shape=tuple(map(int, self._shape)), minimum=self._minimum,
            maximum=self._maximum, activation=self._activation, behind=behind, units=units, dead=dead,
            saturated=saturated,
        )  # fmt: skip


def one_sample(
    spec: DatasetSpec, network: Network, raw: Array, features: tf.Tensor, target: tf.Tensor, loss: Loss
) -> list[Passed]:
    """A sample forward, layer by layer, and the gradient of its loss back, as the network answers (not as it trains).

    `raw` is (1, *shape), `features` (1, ...) what its front end made of it, `target` (1,) or (1, outputs).
    """
    x = prepare(spec, network, features)
    looking = opened(network.core)
    names = [layer.name for layer in looking.layers] if looking else []
    with tf.GradientTape() as tape:
        tape.watch(x)
        outs = looking.model(x, training=False) if looking else [network.core(x, training=False)]
        lost = tf.reduce_mean(loss(target, outs[-1]))
    back = tape.gradient(lost, [x, *outs])
    passed = [_passed("input", np.asarray(raw, np.float64))]
    if network.frontend is not None:
        passed.append(_passed("frontend", np.asarray(x), back[0]))
    for name, out, gradient in zip([*names, "answer"], outs, back[1:], strict=True):
        if name != "answer":
            passed.append(_passed(name, np.asarray(out), gradient))
        else:
            answer = outs[-1] if network.answer is None else network.answer(outs[-1])
            passed.append(_passed("answer", np.asarray(answer)))
    return passed


def _passed(name: str, values: Array, gradient: Any = None) -> Passed:
    return Passed(
        layer=name, shape=tuple(map(int, values.shape[1:])), minimum=float(np.nanmin(values)),
        mean=float(np.nanmean(values)), maximum=float(np.nanmax(values)),
        gradient=None if gradient is None else float(np.linalg.norm(np.asarray(gradient, np.float64))),
    )  # fmt: skip


def idle_share(found: list[Activity]) -> float:
    """The largest share of dead or saturated units that a layer has; 0 where there is no activation."""
    return max(((one.dead + one.saturated) / one.units for one in found if one.units), default=0.0)


def idle_units(found: list[Activity], rows: int) -> list[Finding]:
    """Dead and saturated units in `found`, worst first: a note from SOME of a layer's units on, an error if all."""
    return [*_idle(found, "dead", rows), *_idle(found, "saturated", rows)]


def _idle(found: list[Activity], what: str, rows: int) -> list[Finding]:
    shares = [(getattr(one, what) / one.units, one) for one in found if one.units]
    hit = sorted((pair for pair in shares if pair[0] >= SOME), key=lambda pair: -pair[0])
    if not hit:
        return []
    worst = hit[0][0]
    places = tuple(f"{one.layer} (behind {one.behind}): {getattr(one, what)} of {one.units}" for _, one in hit)
    does = "put out nothing" if what == "dead" else f"are saturated (slope below {FLAT:.0%} of the steepest)"
    text = f"{worst:.0%} of the units of {hit[0][1].layer} {does} for every one of {rows:,} training rows."
    if what == "saturated":
        text = text.replace("every one", f"{ALWAYS:.0%}")
    advice = {
        "dead": "They learn nothing any more. A smaller learning rate, another activation (silu, elu) or batch "
        "normalisation keeps units alive.",
        "saturated": "Next to no gradient passes them. Smaller weights (weight_decay), batch normalisation, or relu "
        "or silu in their place.",
    }[what]
    severity: Severity = "note" if worst < MANY else "error" if worst == 1.0 and what == "dead" else "warning"
    if severity == "note":
        advice = "So few do no harm; fewer units may do as well."
    return [Finding(name=f"{what}_units", severity=severity, what=text, where=places, count=len(hit), advice=advice)]
