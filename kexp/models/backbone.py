"""`backbone`: what another network has learnt to see, and a head that learns the rest from few pictures.

    frozen        front end = the trunk, pooled: runs once for each picture; core = dense layers, trained many at once
    fine-tuned    core = augmentation, the trunk, whose last blocks train at a small rate, and the dense layers
    from nothing  the same, where all of it trains (weights = "none")

How an experiment says it:

    factory = "backbone"

    [space]
    weights = "imagenet"             # or "none", or a .keras file, as runs/NAME/model.keras
    backbone = "mobilenet_v3_small"  # a row of NETWORKS; not of a file
    trained_blocks = [0, 2]          # otherwise 0: frozen
"""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras

from kexp.errors import ExperimentError
from kexp.models import pretrained
from kexp.models.conv import AUGMENTATIONS
from kexp.models.dense import Usual, hidden
from kexp.models.layers import Augment
from kexp.models.pretrained import RANDOM
from kexp.models.space import HyperParameters
from kexp.records import DatasetSpec

USUAL = Usual(most=2, layers=1, units=128, dropout=0.3)  # hidden layers
TRUNKS = 2  # frozen ones that are kept: a search may choose between some


class Plan(NamedTuple):
    """Which trunk a candidate has, and how many of its last blocks train; None: all."""

    network: str
    weights: str
    digest: str  # of the file that the weights are in
    reduction: str
    blocks: int | None


def plan(hp: HyperParameters) -> Plan:
    """What a candidate is, as far as its trunk goes. Raises ExperimentError for what cannot be."""
    weights = str(hp.Fixed("weights", pretrained.IMAGENET))
    if pretrained.is_file(weights):
        network, found = "", pretrained.digest(weights)
        began = hp.Fixed("weights_sha256", found)  # part of what a candidate is: its head fits no other trunk
        if began != found:
            raise ExperimentError(
                f"{weights} is not the file that the search began with (SHA-256 {began}, now {found}). Put that back, "
                "or use --fresh."
            )
        reduction = str(hp.Choice("reduction", ["average", "flatten"], default="average"))
    else:
        network, found, reduction = str(hp.Fixed("backbone", next(iter(pretrained.NETWORKS)))), "", "average"
    if weights == RANDOM:
        return Plan(network, weights, found, reduction, None)
    blocks = hp.Fixed("trained_blocks", 0)
    if isinstance(blocks, bool) or not isinstance(blocks, int) or blocks < 0:
        raise ExperimentError(f"[space] trained_blocks = {blocks!r}: 0 or a larger whole number is expected.")
    return Plan(network, weights, found, reduction, blocks)


def front(spec: DatasetSpec, hp: HyperParameters) -> keras.Model:
    """Raw pictures (n, *shape) to what the core eats: features (n, units) of a frozen trunk, else pixels.

    Its name says what it makes: those of one name make the same.
    """
    if spec.kind != "image":
        raise ExperimentError(f"factory = 'backbone' takes pictures; these samples are of kind {spec.kind!r}.")
    found = plan(hp)
    if found.blocks == 0:
        return _frozen(found, spec.shape, pretrained.bare())
    inputs = keras.Input(spec.shape, name="input")
    return keras.Model(inputs, keras.layers.Identity(name="frontend")(inputs), name="frontend")


def backbone(hp: HyperParameters, x: Any) -> Any:
    """What `front` put out -> features (n, units)."""
    found = plan(hp)
    if found.blocks != 0:
        x = Augment(**AUGMENTATIONS[hp.Choice("augmentation", list(AUGMENTATIONS), default="flip")], name="augment")(x)
        trunk = pretrained.trunk(found.network, found.weights, tuple(x.shape[1:]))
        if found.blocks is not None:
            pretrained.train_last(trunk, found.blocks)
        x = _reduced(found, trunk(x))
    return hidden(hp, x, USUAL)


def slow(hp: HyperParameters, core: keras.Model, rate: float, decay: float) -> keras.optimizers.Optimizer | None:
    """What trains a core whose trunk has learnt already: slowly, and without decay. None: as any other core."""
    found = plan(hp)
    if not found.blocks:
        return None
    share = hp.Float("backbone_rate", 0.01, 0.3, sampling="log", default=0.05)  # of the learning rate
    if pretrained.bare():
        return None  # there are no variables to move
    inside = core.get_layer("backbone").trainable_variables
    made = Paced(rate, weight_decay=decay, share=share, slow=inside)
    made.exclude_from_weight_decay(var_list=inside)
    return made


class Paced(keras.optimizers.AdamW):  # type: ignore[misc]
    """AdamW that moves the variables `slow` by a `share` of what it moves others."""

    def __init__(self, learning_rate: float, *, share: float, slow: Sequence[Any], **kwargs: Any) -> None:
        super().__init__(learning_rate, **kwargs)
        self._share = share
        self._slow = {id(one) for variable in slow for one in (variable, variable.value)}  # a step is told the latter

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One step of one variable."""
        super().update_step(gradient, variable, learning_rate * (self._share if id(variable) in self._slow else 1.0))


@functools.lru_cache(maxsize=2 * TRUNKS)
def _frozen(found: Plan, shape: tuple[int, ...], bare: bool) -> keras.Model:
    """A front end of which networks share one: nothing in it trains. `bare` tells apart what has no weights."""
    state = random.getstate()  # from which Keras seeds initial weights: those of heads must not depend on the cache
    trunk = pretrained.trunk(found.network, found.weights, shape)
    random.setstate(state)
    trunk.trainable = False
    inputs = keras.Input(shape, name="input")
    size = "x".join(map(str, shape))
    name = "_".join(filter(None, (found.network, found.digest or found.weights, found.reduction, size)))
    return keras.Model(inputs, _reduced(found, trunk(inputs)), name=name)


def _reduced(found: Plan, x: Any) -> Any:
    if found.reduction == "flatten":
        return keras.layers.Flatten(name="flattened")(x)
    return keras.layers.GlobalAveragePooling2D(name="average")(x)
