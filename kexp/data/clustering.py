"""Rows without labels become rows with them: a clusterer divides them all, and what it found is learnt as classes.

The teacher divides all rows, those that validate and test too: it is told no label, so none can leak. The network
learns from the training rows alone, so its answers on test rows tell whether it knows the clusters or the rows. Where
the data do have classes, the teacher never sees them: `evaluate` compares with them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kexp.data import clusters, columns, prepare
from kexp.data.clusters import Progress
from kexp.data.dataset import Dataset, Raw
from kexp.data.embedding import embed, plane
from kexp.data.targets import Target
from kexp.records import Clustering, Experiment

NAME = "cluster"
UNKNOWN = -1


def prepared(raw: Raw, experiment: Experiment, progress: Progress | None = None) -> Dataset:
    """The samples of `raw` with their clusters as classes, split and encoded; classes that they had are its truth.

    Raises DataError for what `clusters.choose` and `prepare.prepare` refuse.
    """
    x, features = embed(raw, seed=experiment.seed)
    found = clusters.choose(x, experiment.clusters, seed=experiment.seed, progress=progress)
    sizes = np.bincount(found.labels)
    labels = tuple(f"{NAME} {k + 1}" for k in range(len(sizes)))
    target = Target(task="multiclass", y=found.labels.astype(np.int32), labels=labels)
    names = list(raw.x.columns) if raw.kind == "table" else []  # type: ignore[union-attr]
    name = next(name for name in (NAME, f"{NAME}_", f"{NAME}__") if name not in names)
    known = truth(raw)
    shown, places, how = plane(x, found.exemplars, seed=experiment.seed)
    dataset = prepare.prepare(
        replace(
            raw,
            y=np.array(labels)[found.labels],
            targets=(name,),
            labels=labels,
            notices=raw.notices + found.notices,
        ),
        target,
        experiment,
    )
    return replace(
        dataset,
        truth=known,
        clustering=Clustering(
            sizes=tuple(sizes.tolist()),
            exemplars=tuple(raw.ids[row] for row in found.exemplars),
            features=features,
            teachers=found.teachers,
            plane=how,
            places=tuple((float(a), float(b)) for a, b in places.round(3)),
            members=tuple(found.labels[shown].tolist()),
        ),
    )


def truth(raw: Raw) -> NDArray[np.int32] | None:
    """The class of each row as the data have it, (n,), UNKNOWN where missing; None where they have none."""
    if raw.y.size == 0 or (raw.y.ndim == 2 and raw.y.shape[1] != 1) or raw.y.dtype.kind == "b":
        return None
    words = [columns.text(cell) for cell in raw.y.ravel().tolist()]
    known = {word: code for code, word in enumerate(sorted({word for word in words if not columns.is_missing(word)}))}
    return np.array([known.get(word, UNKNOWN) for word in words], np.int32) if len(known) > 1 else None
