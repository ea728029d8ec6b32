"""Clusterers of scikit-learn as teachers: many ways to divide the same rows into clusters, none with labels.

Each row of TEACHERS proposes divisions of (n, d) standardised features. Which of them is right is not decided here
but in clusters.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]
Fit = Callable[[Floats, int], Labels]  # features (n, d), seed -> (n,) clusters from 0, noise is -1

MAX_NOISE = 0.25  # share of the rows; a division that calls more of them noise is no division
SPECTRAL = 2500  # rows; an eigenproblem of more takes too long
SPECTRAL_CLUSTERS = 12
NEIGHBOURS = 10  # of the graph that is cut by SpectralClustering
MIN_SAMPLES = (5, 10, 20, 40)
MIN_SIZES = (5, 10, 20, 40, 80)
EPS_QUANTILES = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0)  # of the distance to the min_samples-th neighbour


@dataclass(frozen=True, kw_only=True)
class Division:
    """Rows in clusters: `labels` (n,), clusters from 0, as `teacher` has them; `noise` is the share it gave to none.

    `fit` does the same on other rows; `predict`, where the teacher has one, tells the cluster of rows it did not see.
    """

    teacher: str
    settings: str
    labels: Labels
    noise: float
    fit: Fit
    predict: Callable[[Floats], Labels] | None = None

    @property
    def clusters(self) -> int:
        """How many there are."""
        return int(self.labels.max()) + 1


def divide(
    x: Floats, counts: Sequence[int], *, seed: int, progress: Callable[[], None] = lambda: None
) -> Iterator[Division]:
    """What every teacher makes of the rows `x` (n, d), for each number of clusters in `counts` where it takes one.

    Teachers that find the number themselves are asked at several scales. Yields only divisions into two clusters or
    more, every row in one: noise goes to the cluster of the nearest row that is none. `progress` is called when a
    teacher is done.
    """
    for teacher, propose in TEACHERS.items():
        for settings, found, fit, predict in propose(x, counts, seed):
            noise = float((found < 0).mean())
            if noise > MAX_NOISE or len(np.unique(found[found >= 0])) < 2:
                continue
            labels = without_noise(x, found)
            yield Division(teacher=teacher, settings=settings, labels=labels, noise=noise, fit=fit, predict=predict)
        progress()


def without_noise(x: Floats, labels: Labels) -> Labels:
    """`labels` (n,) counted from 0, a negative one replaced by that of the nearest row of `x` that has a cluster."""
    noise = labels < 0
    if noise.any() and not noise.all():
        labels = labels.copy()
        labels[noise] = nearest(x[~noise], labels[~noise], x[noise])
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def nearest(x: Floats, labels: Labels, others: Floats) -> Labels:
    """For each row of `others` (m, d) the label of the nearest row of `x` (n, d)."""
    from sklearn.neighbors import NearestNeighbors

    rows = NearestNeighbors(n_neighbors=1).fit(x).kneighbors(others, return_distance=False)[:, 0]
    found: Labels = labels[rows]
    return found


Proposal = tuple[str, Labels, Fit, Callable[[Floats], Labels] | None]


def _kmeans(x: Floats, counts: Sequence[int], seed: int) -> Iterator[Proposal]:
    from sklearn.cluster import KMeans

    for count in counts:
        make = partial(KMeans, count, n_init=5)
        model = make(random_state=seed).fit(x)
        yield f"clusters={count}", _labels(model.labels_), partial(_refit, make), partial(_predict, model)


def _mixtures(x: Floats, counts: Sequence[int], seed: int) -> Iterator[Proposal]:
    from sklearn.mixture import GaussianMixture

    width = x.shape[1]
    for shape in ("full", "tied", "diag"):
        for count in counts:
            if count * (width + 2) > len(x):  # fewer rows than parameters
                continue
            make = partial(GaussianMixture, count, covariance_type=shape, reg_covar=1e-4)
            model = make(random_state=seed).fit(x)
            settings = f"clusters={count} covariance={shape}"
            yield settings, _labels(model.predict(x)), partial(_refit, make), partial(_predict, model)


def _linkage(x: Floats, counts: Sequence[int], seed: int) -> Iterator[Proposal]:
    from sklearn.cluster import AgglomerativeClustering

    for linkage in ("single", "average", "complete", "ward"):
        tree = AgglomerativeClustering(n_clusters=None, distance_threshold=0, linkage=linkage).fit(x)
        for count in counts:
            make = partial(_agglomerate, count, linkage)
            yield f"clusters={count} linkage={linkage}", _cut(tree.children_, count), make, None


def _spectral(x: Floats, counts: Sequence[int], seed: int) -> Iterator[Proposal]:
    if len(x) > SPECTRAL:
        return
    for count in counts:
        if count <= SPECTRAL_CLUSTERS:
            make = partial(_cut_graph, count)
            yield f"clusters={count}", make(x, seed), make, None


def _hdbscan(x: Floats, counts: Sequence[int], seed: int) -> Iterator[Proposal]:
    from sklearn.cluster import HDBSCAN

    for samples in MIN_SAMPLES:
        for size in MIN_SIZES:
            if size > len(x) / 4 or 2 * size < samples or samples >= len(x):
                continue
            for method in ("eom", "leaf"):
                make = partial(
                    HDBSCAN, min_cluster_size=size, min_samples=samples, cluster_selection_method=method, copy=True
                )
                settings = f"min_cluster_size={size} min_samples={samples} selection={method}"
                yield settings, _labels(make().fit_predict(x)), partial(_refit_unseeded, make), None


def _dbscan(x: Floats, counts: Sequence[int], seed: int) -> Iterator[Proposal]:
    for samples in MIN_SAMPLES[:3]:
        if samples < len(x):
            for quantile in EPS_QUANTILES:
                make = partial(_dense, samples, quantile)
                yield f"min_samples={samples} eps_quantile={quantile:g}", make(x, seed), make, None


TEACHERS: dict[str, Callable[[Floats, Sequence[int], int], Iterator[Proposal]]] = {
    "KMeans": _kmeans,
    "GaussianMixture": _mixtures,
    "AgglomerativeClustering": _linkage,
    "SpectralClustering": _spectral,
    "HDBSCAN": _hdbscan,
    "DBSCAN": _dbscan,
}


def _labels(found: Any) -> Labels:
    return np.asarray(found, np.int64)


def _predict(model: Any, x: Floats) -> Labels:
    return _labels(model.predict(x))


def _refit(make: Callable[..., Any], x: Floats, seed: int) -> Labels:
    return _labels(make(random_state=seed).fit_predict(x))


def _refit_unseeded(make: Callable[..., Any], x: Floats, seed: int) -> Labels:
    return _labels(make().fit_predict(x))


def _agglomerate(count: int, linkage: str, x: Floats, seed: int) -> Labels:
    from sklearn.cluster import AgglomerativeClustering

    return _labels(AgglomerativeClustering(count, linkage=linkage).fit_predict(x))


def _cut_graph(count: int, x: Floats, seed: int) -> Labels:
    from sklearn.cluster import SpectralClustering
    from sklearn.neighbors import kneighbors_graph

    graph = kneighbors_graph(x, min(NEIGHBOURS, len(x) - 1), include_self=True)
    model = SpectralClustering(count, affinity="precomputed", assign_labels="cluster_qr", random_state=seed)
    return _labels(model.fit_predict(0.5 * (graph + graph.T)))


def _dense(samples: int, quantile: float, x: Floats, seed: int) -> Labels:
    from sklearn.cluster import DBSCAN
    from sklearn.neighbors import NearestNeighbors

    distances = NearestNeighbors(n_neighbors=samples).fit(x).kneighbors()[0][:, -1]
    eps = max(float(np.quantile(distances, quantile)), 1e-9)
    return _labels(DBSCAN(eps=eps, min_samples=samples).fit_predict(x))


def _cut(children: NDArray[np.integer], count: int) -> Labels:
    """Clusters of the tree of merges `children` (n - 1, 2) before its last `count` - 1 merges, (n,)."""
    n = len(children) + 1
    top = 2 * n - 1 - (count - 1)  # nodes from here on are merges that are undone
    found = np.full(2 * n - 1, -1, np.int64)
    roots = [node for node in children[top - n :].ravel() if node < top] if count > 1 else [2 * n - 2]
    found[roots] = np.arange(len(roots))
    for node in range(min(top, 2 * n - 1) - 1, n - 1, -1):
        if found[node] >= 0:
            found[children[node - n]] = found[node]
    return found[:n]
