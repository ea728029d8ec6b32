"""What a core is made of, as far as networks can be stacked.

A core that is a chain of dense layers (each with or without batch normalisation, an activation, dropout) can be
stacked with others of its depth: narrower layers are filled up with zeros, which stay zero while they train.
"""

from __future__ import annotations

import itertools
from typing import Any

import keras

from kexp.layouts import Layout

# Activations with f(0) = 0: what fills up a narrower layer then puts out nothing, and learns nothing.
STACKABLE = frozenset({"elu", "gelu", "leaky_relu", "linear", "relu", "relu6", "selu", "silu", "softsign", "tanh"})


def layout(core: keras.Model) -> Layout | None:
    """What `core` is made of; None where it is no such chain, and trains alone."""
    layers = list(core.layers)
    if any(a.output is not b.input for a, b in itertools.pairwise(layers)):
        return None
    layers = layers[1:]  # the input
    if layers and type(layers[0]) is keras.layers.Flatten and layers[0].data_format == "channels_last":
        layers = layers[1:]
    if not layers or len(layers[-1].output.shape) != 2:
        return None
    widths, biases = [], []
    norms: list[tuple[float, float] | None] = []
    activations: list[str] = []
    dropouts: list[float] = []
    rest = layers[:]
    while rest and (dense := plain(rest.pop(0), keras.layers.Dense)) and len(dense["layer"].output.shape) == 2:
        kernel = dense["layer"].kernel
        widths.append(int(kernel.shape[0]))
        biases.append(bool(dense["use_bias"]))
        if not rest:
            outputs = int(kernel.shape[1])
            if dense["activation"] != "linear":
                return None
            return Layout((*widths, outputs), tuple(biases), tuple(norms), tuple(activations), tuple(dropouts))
        norm = rest and plain(rest[0], keras.layers.BatchNormalization)
        if norm and dense["activation"] == "linear" and norm["center"] and norm["scale"] and not norm["renorm"]:
            norms.append((float(norm["momentum"]), float(norm["epsilon"])))
            rest.pop(0)
        else:
            norms.append(None)
        name = dense["activation"]
        if name == "linear" and rest and (activation := plain(rest[0], keras.layers.Activation)):
            name = activation["activation"]
            rest.pop(0)
        dropout = rest and plain(rest[0], keras.layers.Dropout)
        if dropout and dropout["noise_shape"] is None and dropout["seed"] is None:
            rest.pop(0)
        dropouts.append(float(dropout["rate"]) if dropout else 0.0)
        activations.append(name)
        if not isinstance(name, str) or name not in STACKABLE:  # a user's own function is written down as a dict
            return None
    return None


def plain(layer: Any, kind: type[keras.layers.Layer]) -> dict[str, Any] | None:
    """The configuration of a layer of just this kind that trains, unregularised, in float32; None for all others."""
    if not isinstance(layer, kind) or type(layer) is not kind:
        return None
    if not layer.trainable or layer.dtype_policy.name != "float32":
        return None
    config: dict[str, Any] = layer.get_config()
    if any(value is not None for key, value in config.items() if key.endswith(("_regularizer", "_constraint"))):
        return None
    if config.get("quantization_config") is not None or config.get("axis", -1) not in (-1, [-1]):
        return None
    return {**config, "layer": layer}
