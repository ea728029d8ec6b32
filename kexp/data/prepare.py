"""From what a reader found to what every later step reads: twins, parts, encoded cells, statistics.

Whatever is fitted here is fitted on training rows alone.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexp.data import columns, split
from kexp.data.dataset import PARTS, Dataset, Raw
from kexp.data.targets import Target
from kexp.errors import DataError
from kexp.forecasts import naive
from kexp.records import PLURALS, Column, DatasetSpec, Experiment

UNEQUAL = 3.0  # times as many training rows of one class as of another: accuracy then hardly sees the other
FEW = 100  # validation rows: a share of .9 has a standard error of .03 then, and folds measure on all rows
FOLDS = 5
PIXELS = 1 << 22  # looked at together, for statistics: 16 MiB as float32


def prepare(raw: Raw, target: Target, experiment: Experiment) -> Dataset:
    """The data set of `raw`, whose target is `target`.

    Raises DataError where no column, or no row of a part, is left.
    """
    return _table(raw, target, experiment) if raw.kind == "table" else _arrays(raw, target, experiment)


def _table(raw: Raw, target: Target, experiment: Experiment) -> Dataset:
    from kexp.data import kinds

    frame: Any = raw.x
    frame = frame.copy()
    useful, notices = kinds.infer(frame, raw.ids, raw.kinds)
    raw.notices += notices
    part, fold = _parts(raw, target, kinds.row_keys(frame, useful), experiment)
    train = np.flatnonzero(part == PARTS["train"])
    found: list[Column] = []
    x = np.empty((len(part), len(useful)), np.float32)
    for index, (name, (kind, format)) in enumerate(useful.items()):
        cells = frame[name].tolist()
        column = columns.fit(name, kind, [cells[row] for row in train], format=format)
        x[:, index] = columns.encode(cells, column)
        found.append(column)
        unknown = int((x[:, index] == columns.UNKNOWN).sum()) if kind == "category" else 0
        if unknown:
            raw.notices.append(
                f"Column {name!r}: the {len(column.choices)} most frequent texts of the training rows are "
                f"known, {unknown:,} of all cells hold another one."
            )
    frame = frame[list(useful)].copy()
    cells_of_targets = raw.y.reshape(len(raw.y), -1)
    for k, name in enumerate(raw.targets or target.labels[:1]):
        frame[name] = [columns.text(cell) for cell in cells_of_targets[:, k].tolist()]
    return Dataset(
        spec=_spec(raw, target, part, experiment, shape=(len(found),), found=tuple(found)),
        x=x,
        y=target.y,
        part=part,
        fold=fold,
        ids=raw.ids,
        raw=frame,
        notices=raw.notices,
        fingerprint=_fingerprint(x.tobytes(), target, part),
    )


def _arrays(raw: Raw, target: Target, experiment: Experiment) -> Dataset:
    x: NDArray[Any] = raw.x  # type: ignore[assignment]
    digests = b"".join(hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in x)
    part, fold = _parts(raw, target, np.frombuffer(digests, np.uint64), experiment)
    # A sound has one scale for all its samples, which its front end does not need.
    mean, std = ((), ()) if raw.kind == "sound" else _channels(x, np.flatnonzero(part == PARTS["train"]))
    shape = tuple(int(side) for side in x.shape[1:])
    return Dataset(
        spec=_spec(raw, target, part, experiment, shape=shape, mean=mean, std=std),
        x=x,
        y=target.y,
        part=part,
        fold=fold,
        ids=raw.ids,
        files=raw.files,
        notices=raw.notices,
        fingerprint=_fingerprint(digests, target, part),
    )


def _spec(
    raw: Raw,
    target: Target,
    part: NDArray[np.int8],
    experiment: Experiment,
    *,
    shape: tuple[int, ...],
    found: tuple[Column, ...] = (),
    mean: tuple[float, ...] = (),
    std: tuple[float, ...] = (),
) -> DatasetSpec:
    target_mean: tuple[float, ...] = ()
    target_std: tuple[float, ...] = ()
    if target.task == "regression":
        train = part == PARTS["train"]
        values = target.y[train].astype(np.float64)
        if raw.horizon:  # what is learnt is how far the naive forecast is off
            values = values - naive(raw.x[train], horizon=raw.horizon, season=raw.seasons[0], channels=raw.forecast)
        target_mean = tuple(values.mean(axis=0).tolist())
        target_std = tuple(value or 1.0 for value in values.std(axis=0).tolist())
    return DatasetSpec(
        name=experiment.name,
        kind=raw.kind,
        task=target.task,
        shape=shape,
        outputs=1 if target.task == "binary" else len(target.labels),
        labels=target.labels,
        target=", ".join(raw.targets),
        columns=found,
        mean=mean,
        std=std,
        target_mean=target_mean,
        target_std=target_std,
        rate=float(raw.rate),  # an int would be described otherwise than it is read back
        channels=raw.channels,
        horizon=raw.horizon,
        seasons=raw.seasons,
        forecast=raw.forecast,
    )


def _parts(
    raw: Raw, target: Target, keys: NDArray[np.integer], experiment: Experiment
) -> tuple[NDArray[np.int8], NDArray[np.int8] | None]:
    """The part and the fold of each row; rows of equal `keys` stay together where the data let them. Adds notices."""
    groups: NDArray[Any] | None = raw.groups
    loose = 0
    if raw.times is None:
        twins, loose = split.small_twins(keys)
        if groups is None:
            groups = twins
        else:
            groups, unjoined = split.join(groups, twins)
            loose += unjoined
    part = split.split(
        len(target.y),
        y=split.strata(target.y),
        parts=raw.parts,
        groups=groups,
        times=raw.times,
        validation=experiment.validation,
        test=experiment.test,
        seed=experiment.seed,
    )
    raw.notices += _twin_notices(raw, keys, part, loose)
    if raw.groups is not None:
        code = np.unique(raw.groups, return_inverse=True)[1]
        straddling = int((np.bincount(np.unique(code * len(PARTS) + part) // len(PARTS)) > 1).sum())
        if straddling:
            raw.notices.append(f"{straddling:,} groups lie in several parts: the data's own parts say so.")
    if target.task in ("binary", "multiclass"):
        trained = np.bincount(target.y[part == PARTS["train"]], minlength=len(target.labels))
        lost = [label for label, count in zip(target.labels, trained, strict=True) if not count]
        if lost:
            raw.notices.append(f"No training row is of the class {', '.join(lost)}: it cannot be learnt.")
        if experiment.class_weight == "none" and experiment.objective in ("", "accuracy"):
            raw.notices += _unequal(target.labels, trained)
    return part, _folds(raw, target, part, groups, experiment)


def _unequal(labels: tuple[str, ...], counts: NDArray[np.int64]) -> list[str]:
    """What to do where classes have very different numbers of training rows."""
    there = np.flatnonzero(counts)
    most, least = there[counts[there].argmax()], there[counts[there].argmin()]
    if counts[most] <= UNEQUAL * counts[least]:
        return []
    return [
        f"{counts[most]:,} training rows are of the class {labels[most]}, {counts[least]:,} of {labels[least]}: "
        "accuracy hardly counts the rare. Where they matter: --class-weight balanced --objective balanced_accuracy."
    ]


def _folds(
    raw: Raw, target: Target, part: NDArray[np.int8], groups: NDArray[Any] | None, experiment: Experiment
) -> NDArray[np.int8] | None:
    """The fold of each row, where the experiment wants folds, or few rows validate that were chosen by chance."""
    chance = raw.times is None and (raw.parts is None or not (raw.parts == PARTS["validation"]).any())
    few = int((part == PARTS["validation"]).sum()) < FEW
    count = experiment.folds if experiment.folds is not None else FOLDS if chance and few else 0
    if not count:
        return None
    if not chance:
        raise DataError(
            f"folds = {count}: the data say themselves which rows validate, or the rows have an order in time. Remove "
            "--folds."
        )
    try:
        found = split.folds(part, count, y=split.strata(target.y), groups=groups, seed=experiment.seed)
    except DataError:
        if experiment.folds is None:
            return None
        raise
    if experiment.folds is None:
        raw.notices.append(
            f"Few rows validate: leading candidates run on {count} folds, and the best trains once more on all rows "
            "but the test rows (--folds 0: neither)."
        )
    return found


def _twin_notices(raw: Raw, keys: NDArray[Any], part: NDArray[np.int8], loose: int) -> list[str]:
    _, first, code, counts = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    twins = np.flatnonzero(counts[code] > 1)
    if not len(twins):
        return []
    example = twins[np.flatnonzero(twins != first[code[twins]])[0]]
    what = PLURALS[raw.kind]
    notices = [
        f"{len(twins):,} of {len(code):,} {what} have an exact twin (equal inputs), for example "
        f"{raw.ids[first[code[example]]]} and {raw.ids[example]}."
    ]
    if loose:
        notices.append(
            f"{loose:,} {what} would, with their twins, be in groups larger than {split.LARGEST_TWINS:.0%} "
            "of all: there, twins may be in different parts."
        )
    in_train = np.zeros(len(counts), np.bool_)
    in_train[code[part == PARTS["train"]]] = True
    for name in ("test", "validation"):
        shared = int(in_train[code[part == PARTS[name]]].sum())
        if shared:
            notices.append(f"{shared:,} {name} {what} have an exact twin among the training {what}.")
    if len(notices) == 1:
        notices[0] += " Twins are kept in one part."
    return notices


def _channels(x: NDArray[Any], rows: NDArray[np.int64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel over the samples `rows`."""
    channels = x.shape[-1]
    total, squares, count = np.zeros(channels), np.zeros(channels), 0
    step = max(1, PIXELS // int(np.prod(x.shape[1:])))
    for start in range(0, len(rows), step):
        chosen = rows[start : start + step]
        pixels = x[chosen].reshape(-1, channels).astype(np.float64)  # float32's sums differ between processors
        ones = np.ones(len(pixels))
        total += ones @ pixels  # one pass of BLAS: five times faster than sum(axis=0)
        squares += ones @ (pixels * pixels)
        count += len(pixels)
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return tuple(mean.tolist()), tuple(value or 1.0 for value in std.tolist())


def _fingerprint(samples: bytes, target: Target, part: NDArray[np.int8]) -> str:
    """Equal for equal samples, targets and parts, in the same order."""
    digest = hashlib.blake2b(samples, digest_size=16)
    digest.update(target.y.tobytes())
    digest.update(part.tobytes())
    digest.update("\0".join(target.labels).encode())
    return digest.hexdigest()
