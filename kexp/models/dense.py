"""`dense`: a multilayer perceptron. No hidden layer makes it a linear model."""

from __future__ import annotations

from typing import Any

import keras

from kexp.models.space import HyperParameters

ACTIVATIONS = ["relu", "silu", "elu", "tanh"]


def dense(hp: HyperParameters, x: Any) -> Any:
    """(n, ...) -> features (n, units of the last hidden layer); pictures are flattened."""
    if len(x.shape) > 2:
        x = keras.layers.Flatten(name="flatten")(x)
    return hidden(hp, x, most=4, layers=2, units=128)


def hidden(hp: HyperParameters, x: Any, *, most: int, layers: int, units: int, dropout: float = 0.1) -> Any:
    """Up to `most` hidden layers behind (n, features); `layers`, `units` and `dropout` are the defaults."""
    count = hp.Int("hidden_layers", 0, most, default=layers)
    activation = hp.Choice("activation", ACTIVATIONS, default="relu")
    normalise = hp.Boolean("batch_normalization", default=False)
    rate = hp.Float("dropout", 0.0, 0.5, step=0.1, default=dropout)
    for i in range(count):
        width = hp.Choice(f"units_{i}", [16, 32, 64, 128, 256], default=units)
        x = keras.layers.Dense(width, use_bias=not normalise, name=f"dense_{i}")(x)
        if normalise:
            x = keras.layers.BatchNormalization(name=f"dense_norm_{i}")(x)
        x = keras.layers.Activation(activation, name=f"dense_{activation}_{i}")(x)
        if rate:
            x = keras.layers.Dropout(rate, name=f"dropout_{i}")(x)
    return x
