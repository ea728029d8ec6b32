"""How good a division into clusters is, told without labels: three scores that need no shape, and the silhouette.

thin borders   A cluster is well made where its border runs through thin places, and no border as thin runs through
               it. In the graph of nearest neighbours an edge that leaves a cluster is compared with the edges inside:
               its mutual reachability distance (Campello et al. 2013) against the usual core distance of the sparser
               of the two clusters. That is DBCV's question (Moulavi, Jaskowiak, Campello, Zimek, Sander 2014,
               "Density-Based Clustering Validation"), asked of averages instead of the single longest and shortest
               edges: clusters that touch, as most real ones do, have a border to be judged where DBCV sees only their
               closest pair. Whether a thin border runs through a cluster is asked of all the divisions there are:
               another's cluster inside it, well parted from the rest of it, speaks against it.
agreement      How much the best of the teachers of other families agree (adjusted Rand index): balls are found by all
               of them where there are balls, chains by those that can where there are chains; what is not there, each
               finds elsewhere.
stability      How much the same teacher agrees with itself on parts of the rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kexp.data.teachers import Division, Floats, Labels, without_noise
from kexp.metrics import adjusted_rand

NEIGHBOURS = 10
# A border is also thin where few edges cross it: fewer than this share of those that cut a ball of that size in two.
NARROW = 0.25
INSIDE = 0.95  # of a cluster's rows lie in another one: it is part of that
SMALLEST = 0.005  # of the rows: what is smaller says nothing against the cluster that it lies in
PAIR = 2.0  # divisions whose numbers of clusters differ by more are not compared
FAMILIES = 2  # that agree best
RESAMPLES = 3
SHARE = 0.8  # of the rows, in each
Scores = NDArray[np.float64]


def thin_borders(x: Floats, divisions: Sequence[Division]) -> Scores:
    """For each division of the rows `x` (n, d) the mean over rows of how well its cluster is made, 0..1."""
    n, width = x.shape
    edges = _edges(x)
    places: dict[bytes, int] = {}
    members: list[NDArray[np.bool_]] = []
    of: list[list[int]] = []
    parted: list[Scores] = []  # (clusters, 2) of each division
    for division in divisions:
        masks = division.labels[None, :] == np.arange(division.clusters)[:, None]
        here = []
        for mask in masks:
            key = np.packbits(mask).tobytes()
            if key not in places:
                places[key] = len(members)
                members.append(mask)
            here.append(places[key])
        of.append(here)
        parted.append(_parted(x, division.labels, edges, width))
    best = np.zeros((len(members), 2))
    for here, values in zip(of, parted, strict=True):
        np.maximum.at(best, here, values)
    whole = 1 - _within(np.array(members, np.float32), best)
    sizes = np.array([mask.sum() for mask in members], np.float64)
    scores = np.empty(len(divisions))
    for k, (here, values) in enumerate(zip(of, parted, strict=True)):
        scores[k] = float(((values * whole[here]).mean(axis=1) * sizes[here]).sum() / n)
    return scores


def agreements(divisions: Sequence[Division]) -> Scores:
    """For each division the mean agreement, an adjusted Rand index, of the FAMILIES that agree with it best."""
    families = sorted({family(one) for one in divisions})
    best = np.zeros((len(divisions), len(families)))
    for i, one in enumerate(divisions):
        for j in range(i):
            other = divisions[j]
            ratio = one.clusters / other.clusters
            if family(one) == family(other) or not 1 / PAIR <= ratio <= PAIR:
                continue
            value = adjusted_rand(one.labels, other.labels)
            for here, there in ((i, other), (j, one)):
                k = families.index(family(there))
                best[here, k] = max(best[here, k], value)
    means: Scores = np.sort(best, axis=1)[:, -FAMILIES:].mean(axis=1)
    return means


def family(division: Division) -> str:
    """Teachers of one family see alike: their agreement says little."""
    if division.teacher in ("HDBSCAN", "DBSCAN"):
        return "density"
    linkage = division.settings.rpartition("linkage=")[2] if "linkage=" in division.settings else ""
    return division.teacher + linkage


def stability(x: Floats, division: Division, *, seed: int) -> float:
    """The mean adjusted Rand index of the division of `x` (n, d) and of those of RESAMPLES parts of the rows."""
    values = []
    for draw in range(RESAMPLES):
        rows = np.random.default_rng((seed, draw)).permutation(len(x))[: int(SHARE * len(x))]
        found = without_noise(x[rows], division.fit(x[rows], seed + draw))
        values.append(adjusted_rand(found, division.labels[rows]))
    return float(np.mean(values))


def silhouettes(x: Floats, divisions: Sequence[Labels]) -> Scores:
    """The mean silhouette (Rousseeuw 1987) of each division (n,) of `x` (n, d); a cluster of one row counts as 0."""
    from sklearn.metrics import pairwise_distances

    distances = pairwise_distances(x).astype(np.float32)
    scores = np.empty(len(divisions))
    for k, division in enumerate(divisions):
        labels = np.unique(division, return_inverse=True)[1]
        sizes = np.bincount(labels)
        if len(sizes) < 2:
            scores[k] = 0.0
            continue
        sums = distances @ np.eye(len(sizes), dtype=np.float32)[labels]
        rows = np.arange(len(labels))
        own = sums[rows, labels] / np.maximum(sizes[labels] - 1, 1)
        means = sums / sizes
        means[rows, labels] = np.inf
        other = means.min(axis=1)
        values = np.where(sizes[labels] > 1, (other - own) / np.maximum(np.maximum(other, own), 1e-12), 0.0)
        scores[k] = float(values.mean())
    return scores


Edges = tuple[NDArray[np.int64], NDArray[np.int64], Scores, Scores]


def _edges(x: Floats) -> Edges:
    """Both ends and mutual reachability distance of each edge to a nearest neighbour, and core distances (n,)."""
    from sklearn.neighbors import NearestNeighbors

    count = min(NEIGHBOURS, len(x) - 1)
    distances, found = NearestNeighbors(n_neighbors=count).fit(x).kneighbors()
    core = distances[:, -1] + 1e-9
    start = np.repeat(np.arange(len(x)), count)
    end = found.ravel()
    return start, end, np.maximum(distances.ravel(), np.maximum(core[start], core[end])), core


def _parted(x: Floats, labels: Labels, edges: Edges, width: int) -> Scores:
    """How thin the border of each cluster is, (clusters, 2): for its density alone, and for how narrow it is too."""
    start, end, reach, core = edges
    sizes = np.bincount(labels)
    usual = np.array([_usual(x, labels == cluster, core) for cluster in range(len(sizes))])
    a, b = labels[start], labels[end]
    crosses = a != b
    a, b = a[crosses], b[crosses]
    ratio = np.minimum(1, np.maximum(usual[a], usual[b]) / reach[crosses])
    dense = np.bincount(a, ratio, len(sizes)) + np.bincount(b, ratio, len(sizes))
    crossing = np.bincount(a, minlength=len(sizes)) + np.bincount(b, minlength=len(sizes))
    smaller = np.minimum(sizes, len(labels) - sizes)
    # What a cut through a ball of m rows of d dimensions meets; of more than three the rows fill fewer.
    ball = 2 * NEIGHBOURS * smaller ** (1 - 1 / min(width, 3))
    narrow = np.maximum(crossing, NARROW * ball)
    return 1 - np.stack([dense / np.maximum(crossing, 1), dense / np.maximum(narrow, 1)], axis=1)


def _usual(x: Floats, mask: NDArray[np.bool_], core: Scores) -> float:
    """The usual core distance in a cluster; of one with few rows, whose neighbours are elsewhere, their own."""
    size = int(mask.sum())
    if size > 2 * NEIGHBOURS:
        return float(np.median(core[mask]))
    if size == 1:
        return float("inf")
    rows = x[mask].astype(np.float64)
    distances = np.sqrt(((rows[:, None] - rows[None]) ** 2).sum(axis=-1))
    return float(np.median(np.sort(distances, axis=1)[:, min(NEIGHBOURS, size - 1)])) + 1e-9


def _within(members: Floats, parted: Scores) -> Scores:
    """For each cluster (m, n) how well parted, (m, 2), the best of those is that lie inside it."""
    sizes = members.sum(axis=1)
    common = members @ members.T  # [whole, part]
    few = max(SMALLEST * members.shape[1], NEIGHBOURS / 2)
    counts = (common >= INSIDE * sizes[None, :]) & (sizes[None, :] >= few)
    counts &= sizes[:, None] - common >= np.maximum((1 - INSIDE) * sizes[:, None], few)
    found = np.zeros_like(parted)
    for k in range(parted.shape[1]):
        found[:, k] = np.where(counts, parted[None, :, k], 0).max(axis=1)
    return found
