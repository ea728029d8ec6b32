"""What the first filters of a convolutional network make of one validation sample, and what pooling leaves of it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kexp.report.inside import Inside
from kexp.report.markup import Html
from kexp.report.pictures import heat, png, tiles

CONVOLUTIONS = ("Conv1D", "Conv2D", "SeparableConv1D", "SeparableConv2D", "DepthwiseConv1D", "DepthwiseConv2D")
POOLINGS = ("MaxPooling1D", "MaxPooling2D", "AveragePooling1D", "AveragePooling2D")
MAPS = 24  # that are shown, the first ones
ACROSS = 6
STRIPS = 12  # of a series
SHEET, LARGEST = 560, 700  # pixels of all maps together, about and at most
STRIP, GAP = 14, 4

Array = NDArray[Any]


class Maps(NamedTuple):
    """What one layer put out: (maps, height, width), of series (maps, 1, steps); `of` is how many there are."""

    layer: str
    what: str
    values: Array
    of: int


def data(inside: Inside, sample: Array) -> list[Maps]:
    """Of `sample` (*shape): the first convolution, then what goes into the first pooling and comes out of it.

    Empty where the network has no convolution that can be seen, as that of a pretrained trunk cannot.
    """
    layers = list(inside.core.layers)
    first = next((layer for layer in layers if type(layer).__name__ in CONVOLUTIONS), None)
    if first is None:
        return []
    after = layers[layers.index(first) :]
    pool = next((layer for layer in after if type(layer).__name__ in POOLINGS), None)
    wanted = {first.name: "filters of the first convolution"}
    if pool is not None:
        into = layers[layers.index(pool) - 1]
        if into.name not in wanted:
            wanted[into.name] = "what goes into the first pooling"
        kind = "max pooling" if type(pool).__name__.startswith("Max") else "average pooling"
        wanted[pool.name] = f"what {kind} leaves of them"
    found = inside.outputs(list(wanted), inside.eaten(sample[None]))
    return [_maps(name, what, found[name][0]) for name, what in wanted.items() if found[name].ndim in (3, 4)]


def _maps(layer: str, what: str, out: Array) -> Maps:
    """(height, width, maps) or (steps, maps) -> one Maps."""
    planes = out[None] if out.ndim == 2 else out
    return Maps(layer, what, np.moveaxis(planes, -1, 0)[:MAPS], out.shape[-1])


def size(found: Maps) -> str:
    """How large each map is: "8 x 8", "100 steps"."""
    _, height, width = found.values.shape
    return f"{width} steps" if height == 1 else f"{height} x {width}"


def shown(found: Maps) -> int:
    """How many maps `draw` shows."""
    return min(len(found.values), STRIPS) if found.values.shape[1] == 1 else len(found.values)


def draw(found: Maps) -> Html:
    """All maps in one picture, each from its own lowest to its own highest value; of series one strip for each."""
    values = found.values.astype(np.float64)
    low = values.min(axis=(1, 2), keepdims=True)
    span = values.max(axis=(1, 2), keepdims=True) - low
    even = (values - low) / np.where(span > 0, span, 1.0)
    _, height, width = even.shape
    if height == 1:
        even = even[:STRIPS].repeat(STRIP, axis=1).repeat(max(1, round(SHEET / width)), axis=2)
        sheet = tiles(even, across=1, gap=GAP)
    else:
        times = max(1, round((SHEET / ACROSS - GAP) / width))
        sheet = tiles(even.repeat(times, axis=1).repeat(times, axis=2), across=ACROSS, gap=GAP)
    picture = heat(sheet, 0.0, 1.0)
    clear = np.where(np.isnan(sheet), 0, 255).astype(np.uint8)  # the gaps take the colour of the page
    said = f"{shown(found)} maps of {found.layer}, {size(found)} each"
    return png(np.dstack([picture, clear]), said, largest=LARGEST, kind="maps", dotted=False)
