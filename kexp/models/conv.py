"""`conv`: stages of convolutions and a pooling, then flatten or average, then dense layers."""

from __future__ import annotations

from typing import Any

import keras

from kexp.errors import ExperimentError
from kexp.models.dense import ACTIVATIONS
from kexp.models.layers import Augment
from kexp.models.space import HyperParameters
from kexp.records import Recipes

AUGMENTATIONS: dict[str, dict[str, Any]] = {
    "none": {},
    "shift": {"shift": 0.08},
    "flip": {"flip": True, "shift": 0.08},
    "pose": {"flip": True, "shift": 0.08, "rotate": 15.0, "zoom": 0.15},
}
# Besides the default: with nothing that holds back what learns for moments; and twice as deep, for whole trainings,
# with shifts alone, since a mirror image may be another class. On Fashion-MNIST, validation: .90 instead of .88 after 2
# epochs; .943 after 44, the most of what was tried (experiments/LOG.md).
RECIPES = Recipes(
    short=({"augmentation": "none", "dropout": 0.0},),
    long=(
        {
            "augmentation": "shift", "erase": 0.5, "convolutions": 2, "filters": 16, "filter_growth": 2.0,
            "reduction": "flatten", "dense_layers": 0, "dropout": 0.1, "learning_rate": 6e-3, "weight_decay": 0.05,
        },
    ),
)  # fmt: skip


def conv(hp: HyperParameters, x: Any) -> Any:
    """(n, h, w, c) -> features (n, units).

    Batch normalisation follows the pooling, where it works on a quarter of the pixels and costs a quarter.
    The number of stages is bounded by the picture: the last one sees at least 3 x 3 pixels.
    """
    if len(x.shape) != 4:
        raise ExperimentError(f"factory = 'conv' takes pictures; these samples have shape {x.shape[1:]}. Use 'dense'.")
    side = min(x.shape[1], x.shape[2])
    pose = AUGMENTATIONS[hp.Choice("augmentation", list(AUGMENTATIONS), default="flip")]
    erase = hp.Choice("erase", [0.0, 0.25, 0.5], default=0.0) if pose else 0.0
    x = Augment(**pose, erase=erase, name="augment")(x)
    pool = hp.Choice("pool_size", [2, 3], default=2)
    most = _stages(side, 2)
    stages = hp.Int("stages", 1, most, default=min(3 if side < 40 else 4, most))
    filters = hp.Choice("filters", [8, 16, 24, 32], default=24)
    growth = hp.Choice("filter_growth", [1.0, 1.5, 2.0], default=1.5)
    kernel = hp.Choice("kernel_size", [3, 5, 7], default=3)
    per_stage = hp.Int("convolutions", 1, 2, default=1)
    separable = hp.Boolean("separable", default=False)
    padding = hp.Choice("padding", ["same", "valid"], default="same")
    pooling = hp.Choice("pooling", ["max", "average"], default="max")
    normalise = hp.Boolean("conv_batch_normalization", default=True)
    activation = hp.Choice("conv_activation", ACTIVATIONS, default="relu")
    for stage in range(stages):
        width = max(8, round(filters * growth**stage / 8) * 8)  # multiples of 8 suit SIMD units
        for i in range(per_stage):
            name = f"conv_{stage}_{i}"
            size = min(kernel, x.shape[1], x.shape[2])
            size -= 1 - size % 2  # odd, and no larger than the picture
            # The first layer has few input channels: depthwise would leave it next to nothing to learn from.
            layer = keras.layers.SeparableConv2D if separable and (stage or i) else keras.layers.Conv2D
            x = layer(width, size, padding=padding, use_bias=not normalise, name=name)(x)
            if i < per_stage - 1:
                if normalise:
                    x = keras.layers.BatchNormalization(name=f"{name}_norm")(x)
                x = keras.layers.Activation(activation, name=f"{name}_{activation}")(x)
        if min(x.shape[1], x.shape[2]) >= max(pool, 3):
            layer = keras.layers.MaxPooling2D if pooling == "max" else keras.layers.AveragePooling2D
            x = layer(pool, strides=2, padding="same", name=f"pool_{stage}")(x)
        if normalise:
            x = keras.layers.BatchNormalization(name=f"norm_{stage}")(x)
        x = keras.layers.Activation(activation, name=f"{activation}_{stage}")(x)
    if hp.Choice("reduction", ["flatten", "average"], default="flatten") == "average":
        x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    else:
        x = keras.layers.Flatten(name="flatten")(x)
    layers = hp.Int("dense_layers", 0, 2, default=1)
    units = hp.Choice("dense_units", [32, 64, 128], default=64)
    dropout = hp.Float("dropout", 0.0, 0.5, step=0.1, default=0.2)
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    for i in range(layers):
        x = keras.layers.Dense(units, name=f"dense_{i}")(x)
        x = keras.layers.Activation(activation, name=f"dense_{activation}_{i}")(x)
        if dropout:
            x = keras.layers.Dropout(dropout, name=f"dropout_{i}")(x)
    return x


def _stages(side: int, pool: int) -> int:
    """How many poolings leave at least 3 x 3 pixels; one at least."""
    count = 0
    while side >= 6 and count < 5:
        side = -(-side // pool)
        count += 1
    return max(count, 1)
