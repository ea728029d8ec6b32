"""`conv1d`: series through stages of convolutions in time, plain or residual and dilated, each with a pooling."""

from __future__ import annotations

from typing import Any

import keras

from kexp.errors import ExperimentError
from kexp.models.conv import head
from kexp.models.dense import ACTIVATIONS
from kexp.models.layers import SeriesAugment
from kexp.models.space import HyperParameters
from kexp.records import Recipes

AUGMENTATIONS: dict[str, dict[str, Any]] = {
    "none": {},
    "shift": {"shift": 0.05},
    "jitter": {"shift": 0.05, "scale": 0.1, "noise": 0.05},
    "strong": {"shift": 0.1, "scale": 0.2, "noise": 0.1},
}
# Besides the default: the fully convolutional network of Wang et al. 2017, "Time series classification from scratch".
RECIPES = Recipes(
    short=({"augmentation": "none", "dropout": 0.0},),
    long=(
        {
            "stages": 2, "block": "residual", "filters": 32, "filter_growth": 2.0, "kernel_size": 7,
            "reduction": "average", "dense_layers": 0, "dropout": 0.0,
        },
    ),
)  # fmt: skip


def conv1d(hp: HyperParameters, x: Any) -> Any:
    """(n, steps, channels) -> features (n, units).

    A pooling halves the steps; the last stage sees at least 4 of them. Kernels are odd, so that both sides of a step
    count alike. In a residual block (He et al. 2016) the second convolution looks `dilation` times as far.
    """
    if len(x.shape) != 3:
        raise ExperimentError(f"factory = 'conv1d' takes series; these samples have shape {x.shape[1:]}. Use 'dense'.")
    x = SeriesAugment(
        **AUGMENTATIONS[hp.Choice("augmentation", list(AUGMENTATIONS), default="jitter")], name="augment"
    )(x)
    most = _stages(x.shape[1])
    count = hp.Int("stages", 1, most, default=min(3, most))
    residual = hp.Choice("block", ["plain", "residual"], default="plain") == "residual"
    filters = hp.Choice("filters", [8, 16, 32, 64], default=32)
    growth = hp.Choice("filter_growth", [1.0, 1.5, 2.0], default=1.5)
    kernel = hp.Choice("kernel_size", [3, 5, 7, 9, 11], default=7)
    dilation = hp.Choice("dilation", [1, 2, 4], default=1) if residual else 1
    separable = hp.Boolean("separable", default=False)
    pooling = hp.Choice("pooling", ["max", "average"], default="max")
    normalise = hp.Boolean("conv_batch_normalization", default=True)
    activation = hp.Choice("conv_activation", ACTIVATIONS, default="relu")

    def convolution(x: Any, width: int, name: str, dilation: int = 1) -> Any:
        size = min(kernel, x.shape[1] - 1 + x.shape[1] % 2)
        layer = keras.layers.SeparableConv1D if separable and x.shape[2] > 3 else keras.layers.Conv1D
        options = {"padding": "same", "use_bias": not normalise, "dilation_rate": dilation, "name": name}
        return layer(width, size, **options)(x)

    def normalised(x: Any, name: str) -> Any:
        return keras.layers.BatchNormalization(name=name)(x) if normalise else x

    for stage in range(count):
        width = max(8, round(filters * growth**stage / 8) * 8)
        if residual:
            inner = normalised(convolution(x, width, f"conv_{stage}_0"), f"norm_{stage}_0")
            inner = keras.layers.Activation(activation, name=f"{activation}_{stage}_0")(inner)
            inner = normalised(convolution(inner, width, f"conv_{stage}_1", dilation), f"norm_{stage}_1")
            skip = keras.layers.Conv1D(width, 1, name=f"skip_{stage}")(x) if x.shape[2] != width else x
            x = keras.layers.Add(name=f"add_{stage}")([inner, skip])
            x = keras.layers.Activation(activation, name=f"{activation}_{stage}")(x)
        else:
            x = convolution(x, width, f"conv_{stage}")
        if x.shape[1] >= 4:
            pool = keras.layers.MaxPooling1D if pooling == "max" else keras.layers.AveragePooling1D
            x = pool(2, padding="same", name=f"pool_{stage}")(x)
        if not residual:
            x = normalised(x, f"norm_{stage}")
            x = keras.layers.Activation(activation, name=f"{activation}_{stage}")(x)
    return head(hp, x, activation)


def _stages(steps: int) -> int:
    """How many poolings leave at least 4 steps; one at least."""
    count = 0
    while steps >= 8 and count < 6:
        steps = -(-steps // 2)
        count += 1
    return max(count, 1)
