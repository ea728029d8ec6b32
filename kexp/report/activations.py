"""How the units of each layer answer to validation rows: how their values are spread, and which of them are dead."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kexp.report import markup
from kexp.report.inside import Inside
from kexp.report.markup import Cell, Html

ROWS = 256  # validation rows that are looked at: a unit that is alive shows it in fewer
BINS = 36
STILL = 1e-6  # of its largest value: what a unit's values differ by at most, if it is called dead
ACTIVATIONS = ("Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax")
MANY = 0.25  # share of dead units from which a layer is marked

Array = NDArray[Any]


class Layer(NamedTuple):
    """What one layer put out. A unit is one place of its last axis; it is dead where it never changes."""

    name: str
    function: str
    units: int
    dead: int
    zeros: float  # share of all values
    low: float
    high: float
    counts: tuple[int, ...]  # of BINS equal bins from low to high, zeros of a relu aside


def data(inside: Inside, x: Array) -> list[Layer]:
    """Of raw samples `x` (n, *shape), in the order of the layers; empty where no layer has an activation."""
    names = {}
    for layer in inside.core.layers:
        kind = type(layer).__name__
        function = getattr(getattr(layer, "activation", None), "__name__", kind.lower())
        if (kind in ACTIVATIONS or hasattr(layer, "activation")) and function not in ("linear", "softmax"):
            names[layer.name] = function
    if not names or not len(x):
        return []
    eaten = inside.eaten(x[:ROWS])
    found = []
    for name, function in names.items():  # one after the other: all at once may be gigabytes
        found.append(describe(name, function, inside.outputs([name], eaten)[name]))
    return found


def describe(name: str, function: str, out: Array) -> Layer:
    """Of what a layer put out, (n, ..., units)."""
    flat = out.reshape(-1, out.shape[-1]).astype(np.float64)
    spread = flat.max(axis=0) - flat.min(axis=0)
    dead = int((spread <= STILL * np.maximum(np.abs(flat).max(axis=0), STILL)).sum())
    zeros = float((flat == 0).mean())
    values = flat[flat != 0] if function == "relu" else flat.ravel()
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    counts, _ = np.histogram(values, BINS, (low, high if high > low else low + 1.0))
    return Layer(name, function, out.shape[-1], dead, zeros, low, high, tuple(map(int, counts)))


def draw(found: Sequence[Layer]) -> Html:
    """A table with a small histogram for each layer."""
    rows = []
    for one in found:
        share = one.dead / one.units
        dead = Cell(f"{one.dead:,} of {one.units:,} ({share:.0%})", "bad nowrap" if share >= MANY else "nowrap")
        span = Cell(f"{one.low:.3g} to {one.high:.3g}", "nowrap")
        rows.append((one.name, one.function, dead, f"{one.zeros:.0%}", Cell(_bars(one)), span))
    return markup.table(
        ["layer", "function", "dead units", "zeros", "other values", "from, to"], rows, right=("zeros",)
    )


def _bars(one: Layer) -> Html:
    most = max(one.counts) or 1
    bars = "".join(
        f'<rect x="{at * 4}" y="{30 - 28 * count / most:.1f}" width="3.4" height="{28 * count / most:.1f}"/>'
        for at, count in enumerate(one.counts)
        if count
    )
    return Html(
        f'<svg class="histogram" viewBox="0 0 {BINS * 4} 30" role="img" '
        f'aria-label="histogram of {escape(one.name)}">{bars}</svg>'
    )
