"""`conv`: stages of convolutions and a pooling, then flatten or average, then dense layers. Sounds and clips too."""

from __future__ import annotations

from typing import Any

import keras

from kexp.errors import ExperimentError
from kexp.models.dense import ACTIVATIONS
from kexp.models.layers import Augment, ClipAugment, Folded, SpecAugment, Unfolded
from kexp.models.space import HyperParameters
from kexp.records import Recipes

AUGMENTATIONS: dict[str, dict[str, Any]] = {
    "none": {},
    "shift": {"shift": 0.08},
    "flip": {"flip": True, "shift": 0.08},
    "pose": {"flip": True, "shift": 0.08, "rotate": 15.0, "zoom": 0.15},
}
SPEC_AUGMENTATIONS: dict[str, dict[str, Any]] = {
    "none": {},
    "shift": {"shift": 0.1},
    "mask": {"shift": 0.1, "time": 0.2, "frequency": 0.2},
    "noise": {"shift": 0.1, "time": 0.2, "frequency": 0.2, "noise": 0.2},
}
CLIP_AUGMENTATIONS: dict[str, dict[str, Any]] = {
    "none": {},
    "shift": {"shift": 0.08, "time": 0.08},
    "zoom": {"shift": 0.08, "time": 0.08, "rotate": 5.0, "zoom": 0.1},
    "flip": {"flip": True, "shift": 0.08, "time": 0.08, "zoom": 0.1},
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
    """
    if len(x.shape) != 4:
        raise ExperimentError(f"factory = 'conv' takes pictures; these samples have shape {x.shape[1:]}. Use 'dense'.")
    pose = AUGMENTATIONS[hp.Choice("augmentation", list(AUGMENTATIONS), default="flip")]
    erase = hp.Choice("erase", [0.0, 0.25, 0.5], default=0.0) if pose else 0.0
    x = Augment(**pose, erase=erase, name="augment")(x)
    return head(hp, *stages(hp, x))


def conv_sound(hp: HyperParameters, x: Any) -> Any:
    """Spectrograms (n, frames, mels, 1) -> features (n, units), as `conv`."""
    if len(x.shape) != 4:
        raise ExperimentError(f"factory = 'conv_sound' takes spectrograms; these samples have shape {x.shape[1:]}.")
    masks = SPEC_AUGMENTATIONS[hp.Choice("augmentation", list(SPEC_AUGMENTATIONS), default="shift")]
    x = SpecAugment(**masks, name="augment")(x)
    return head(hp, *stages(hp, x))


def conv_clip(hp: HyperParameters, x: Any) -> Any:
    """(n, frames, h, w, c) -> features (n, units): frames as channels of one picture, or each alone and then in time.

    Both are made of what a phone's runtime has built in; Conv3D and pooling in three dimensions are not everywhere.
    """
    if len(x.shape) != 5:
        raise ExperimentError(f"factory = 'conv_clip' takes clips; these samples have shape {x.shape[1:]}.")
    pose = CLIP_AUGMENTATIONS[hp.Choice("augmentation", list(CLIP_AUGMENTATIONS), default="shift")]
    x = ClipAugment(**pose, name="augment")(x)
    frames, height, width, channels = x.shape[1:]
    if hp.Choice("fusion", ["early", "late"], default="early") == "early":
        x = keras.layers.Permute((2, 3, 1, 4), name="frames_last")(x)
        x = keras.layers.Reshape((height, width, frames * channels), name="stacked")(x)
        return head(hp, *stages(hp, x))
    x, activation = stages(hp, Folded(name="frames")(x))
    x = keras.layers.GlobalAveragePooling2D(name="each_frame")(x)
    x = Unfolded(frames, name="in_time")(x)
    filters = hp.Choice("time_filters", [32, 64, 128], default=64)
    for i in range(hp.Int("time_layers", 1, 2, default=1)):
        x = keras.layers.Conv1D(filters, min(5, frames - 1 + frames % 2), padding="same", name=f"time_{i}")(x)
        x = keras.layers.BatchNormalization(name=f"time_norm_{i}")(x)
        x = keras.layers.Activation(activation, name=f"time_{activation}_{i}")(x)
        x = keras.layers.MaxPooling1D(2, padding="same", name=f"time_pool_{i}")(x)
    return head(hp, x, activation)


def stages(hp: HyperParameters, x: Any) -> tuple[Any, str]:
    """(n, h, w, c) -> (n, h', w', filters of the last stage), and the activation.

    The number of stages is bounded by the picture: the last one sees at least 3 x 3 pixels.
    """
    side = min(x.shape[1], x.shape[2])
    pool = hp.Choice("pool_size", [2, 3], default=2)
    most = _stages(side, 2)
    count = hp.Int("stages", 1, most, default=min(3 if side < 40 else 4, most))
    filters = hp.Choice("filters", [8, 16, 24, 32], default=24)
    growth = hp.Choice("filter_growth", [1.0, 1.5, 2.0], default=1.5)
    kernel = hp.Choice("kernel_size", [3, 5, 7], default=3)
    per_stage = hp.Int("convolutions", 1, 2, default=1)
    separable = hp.Boolean("separable", default=False)
    padding = hp.Choice("padding", ["same", "valid"], default="same")
    pooling = hp.Choice("pooling", ["max", "average"], default="max")
    normalise = hp.Boolean("conv_batch_normalization", default=True)
    activation = hp.Choice("conv_activation", ACTIVATIONS, default="relu")
    for stage in range(count):
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
    return x, activation


def head(hp: HyperParameters, x: Any, activation: str) -> Any:
    """(n, ..., channels) of convolutions -> features (n, units): flattened or averaged, then dense layers."""
    average = keras.layers.GlobalAveragePooling2D if len(x.shape) == 4 else keras.layers.GlobalAveragePooling1D
    if hp.Choice("reduction", ["flatten", "average"], default="flatten") == "average":
        x = average(name="average")(x)
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
