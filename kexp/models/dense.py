"""`dense`: a multilayer perceptron. No hidden layer makes it a linear model."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras

from kexp.models.space import HyperParameters

ACTIVATIONS = ["relu", "silu", "elu", "tanh"]


class Usual(NamedTuple):
    """Hidden layers of a factory: how many there may be, and the defaults of what is asked of them."""

    most: int
    layers: int
    units: int
    dropout: float


class Hidden(NamedTuple):
    """Hidden layers as they are to be."""

    widths: tuple[int, ...]
    activation: str
    normalise: bool
    dropout: float


USUAL = Usual(most=4, layers=2, units=128, dropout=0.1)


def dense(hp: HyperParameters, x: Any) -> Any:
    """(n, ...) -> features (n, units of the last hidden layer); pictures are flattened."""
    if len(x.shape) > 2:
        x = keras.layers.Flatten(name="flatten")(x)
    return hidden(hp, x, USUAL)


def asked(hp: HyperParameters, usual: Usual) -> Hidden:
    """The answers of `hp`, from which `hidden` builds."""
    count = hp.Int("hidden_layers", 0, usual.most, default=usual.layers)
    activation = hp.Choice("activation", ACTIVATIONS, default="relu")
    normalise = hp.Boolean("batch_normalization", default=False)
    dropout = hp.Float("dropout", 0.0, 0.5, step=0.1, default=usual.dropout)
    widths = [hp.Choice(f"units_{i}", [16, 32, 64, 128, 256], default=usual.units) for i in range(count)]
    return Hidden(tuple(widths), activation, normalise, dropout)


def hidden(hp: HyperParameters, x: Any, usual: Usual) -> Any:
    """Hidden layers behind (n, features)."""
    widths, activation, normalise, dropout = asked(hp, usual)
    for i, width in enumerate(widths):
        x = keras.layers.Dense(width, use_bias=not normalise, name=f"dense_{i}")(x)
        if normalise:
            x = keras.layers.BatchNormalization(name=f"dense_norm_{i}")(x)
        x = keras.layers.Activation(activation, name=f"dense_{activation}_{i}")(x)
        if dropout:
            x = keras.layers.Dropout(dropout, name=f"dropout_{i}")(x)
    return x
