"""Which networks can train together: what they are made of, and who shares a graph with whom.

Numbers alone: who asks need not load TensorFlow.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

# What one more graph costs in seconds of one core (trace and compile), and the floating-point operations a second of
# one that runs, on the machine in benchmarks/README.md. They decide who trains with whom: constants, so that it is the
# same everywhere.
GRAPH_SECONDS = 2.5
RATE = 42e9
# Networks in one graph: with more, weights and their moments leave the cache (32 of three layers of 64 units pass
# 867k examples a second on one core, 128 of them 616k).
MOST = 32
# A group takes no longer than this, as far as RATE tells, so that a search is not one job on one of many cores and a
# time limit loses little; and has no more weights, which its moments, gradients and copies multiply by six.
MOST_SECONDS = 30.0
MOST_WEIGHTS = 8_000_000


class Layout(NamedTuple):
    """A chain of dense layers. The tuples of what follows a hidden layer have one entry for each of them."""

    widths: tuple[int, ...]  # inputs, hidden layers, outputs
    biases: tuple[bool, ...]  # of each dense layer, the last one included
    norms: tuple[tuple[float, float] | None, ...]  # (momentum, epsilon) of a batch normalisation
    activations: tuple[str, ...]
    dropouts: tuple[float, ...]  # rates; 0: none

    @property
    def topology(self) -> tuple[object, ...]:
        """What networks that train together have in common."""
        return (len(self.widths), self.widths[0], self.widths[-1], self.biases, self.norms)


class Kind(NamedTuple):
    """What a network is to others: the features that it eats, and its layers."""

    features: str
    layout: Layout

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for networks that can train together."""
        return (self.features, self.layout.topology)


def products(widths: Sequence[int]) -> int:
    """Multiplications of one example on its way through layers of these widths."""
    return sum(a * b for a, b in itertools.pairwise(widths))


def together(kinds: Mapping[int, Kind], examples: int) -> list[list[int]]:
    """Groups of ids: those that cost least when each group is one graph, filled up to its widest layers.

    `examples` pass each network in training (rows times epochs). Groups are merged, two at a time, as long as the
    graph that is saved costs more than the zeros that fill up the narrower ones.
    """
    groups: list[list[int]] = []
    for key in dict.fromkeys(kind.key for kind in kinds.values()):
        ids = [id for id, kind in kinds.items() if kind.key == key]
        groups += _merged([[id] for id in ids], {id: kinds[id].layout for id in ids}, examples)
    return groups


def seconds(layouts: Sequence[Layout], examples: int) -> float:
    """What the training of a group takes, its graph aside, about."""
    # Forward, and twice as much backward: each multiplication with its addition.
    return examples * 6 * _weights(layouts) / RATE


def _weights(layouts: Sequence[Layout]) -> int:
    """Numbers in the kernels of a group: all are filled up to the widest."""
    widest = [max(widths) for widths in zip(*(one.widths for one in layouts), strict=True)]
    return len(layouts) * products(widest)


def _merged(groups: list[list[int]], layouts: Mapping[int, Layout], examples: int) -> list[list[int]]:
    def cost(group: list[int]) -> float:
        return GRAPH_SECONDS + seconds([layouts[id] for id in group], examples)

    def fits(group: list[int]) -> bool:
        some = [layouts[id] for id in group]
        return len(group) <= MOST and seconds(some, examples) <= MOST_SECONDS and _weights(some) <= MOST_WEIGHTS

    while True:
        pairs = [(a, b) for a, b in itertools.combinations(groups, 2) if fits(a + b)]
        saved = [cost(a) + cost(b) - cost(a + b) for a, b in pairs]
        if not saved or max(saved) <= 0:
            return groups
        a, b = pairs[saved.index(max(saved))]
        groups = [a + b if group is a else group for group in groups if group is not b]
