"""Inputs that say the answer, and inputs that say the same as another one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexp.data.dataset import PARTS
from kexp.data.doctor.case import Case, finding
from kexp.records import Finding

ROWS = 4_000  # that are looked at for a leak; test rows are not among them
FEWEST = 30  # rows: with fewer, one column may be right by chance
NEAR = 0.99  # balanced accuracy, or share of a target's variance, that one column explains
SAME = 0.9999  # correlation of two columns of numbers that say the same
SMALL = 0.999  # of the rows in which a copy of the target must agree: some cells may be slips
FOLDS = 3
BINS = 256
OUTPUTS = 10  # targets that are looked at


def columns_of_table(case: Case) -> list[Finding]:
    """Columns from which alone the target follows."""
    data = case.dataset
    if data is None or not data.spec.columns:
        return []
    usable = np.flatnonzero(data.part != PARTS["test"])
    if len(usable) < FEWEST:
        return []
    rows = np.sort(np.random.default_rng(0).permutation(usable)[:ROWS])
    found = []
    for at, column in enumerate(data.spec.columns):
        values = _filled(data.x[:, at])
        for k, (name, y) in enumerate(_targets(case)):
            if k == OUTPUTS:
                break
            told = _copy(case, column.name, values, name, y, usable)
            told = told or _leak(case, f"Column {column.name!r}", column.name, values[rows], y[rows], name)
            if told is not None:
                found.append(told)
                break
    return found


def properties_of_files(case: Case, properties: Mapping[str, NDArray[Any]], rows: NDArray[np.int64]) -> list[Finding]:
    """What is said of files (size, format ...) from which alone the class follows. `rows` are those of `dataset`.

    `properties` are (m,) numbers or texts, m as long as `rows`.
    """
    data = case.dataset
    if data is None or case.classes is None:
        return []
    chosen = np.flatnonzero(data.part[rows] != PARTS["test"])
    chosen = np.sort(np.random.default_rng(0).permutation(chosen)[:ROWS])
    if len(chosen) < FEWEST:
        return []
    y = case.classes[rows][chosen]
    found = []
    for name, values in properties.items():
        codes = np.unique(values, return_inverse=True)[1] if values.dtype.kind in "UO" else values
        score = _score(codes[chosen].astype(np.float64), y, numbers=False)
        if score >= NEAR:
            what = f"The {name} of a file alone tells its class in {score:.1%} of the cases."
            advice = "A network may learn that instead of what is in it. Bring all classes to the same form."
            found.append(finding("file_leak", "warning", what, [name], advice))
    return found


def twin_columns(case: Case) -> list[Finding]:
    """Pairs of columns that say the same: one is another spelling, or another unit, of the other."""
    data = case.dataset
    if data is None or len(data.spec.columns) < 2 or len(data.y) < FEWEST:
        return []
    names = [column.name for column in data.spec.columns]
    # As text where categories are many: more than MAX_CHOICES have one code in x.
    frame = data.raw
    filled = [_filled(data.x[:, at]) for at in range(len(names))]
    codes = [
        np.unique(filled[at] if frame is None or column.kind != "category" else frame[column.name].astype(str),
                  return_inverse=True)[1].reshape(-1)
        for at, column in enumerate(data.spec.columns)
    ]  # fmt: skip
    sizes = [int(code.max()) + 1 for code in codes]
    order = [column.kind in ("number", "date") for column in data.spec.columns]
    matrix = np.array([(values - values.mean()) / (values.std() or 1.0) for values in filled])
    related = np.abs(matrix @ matrix.T) / matrix.shape[1]
    found, done = [], set()
    for a in range(len(names)):
        for b in range(a + 1, len(names)):
            if b in done or min(sizes[a], sizes[b]) < 2:
                continue
            same = False
            if sizes[a] == sizes[b] and sizes[a] <= len(data.y) / 3:
                same = len(np.unique(codes[a] * np.int64(sizes[b]) + codes[b])) == sizes[a]
            elif order[a] and order[b]:
                same = bool(related[a, b] >= SAME)
            if same:
                done.add(b)
                what = f"Columns {names[a]!r} and {names[b]!r} say the same."
                advice = f"One is enough, and the other one more question for an app to ask: --drop {names[b]}."
                found.append(finding("twin_columns", "note", what, [names[a], names[b]], advice))
    return found


def _targets(case: Case) -> list[tuple[str, NDArray[Any]]]:
    """Name and values of what is predicted: classes as integers, numbers as floats."""
    data = case.dataset
    if data is None:
        return []
    if data.y.ndim == 1:
        return [(data.spec.target or "class", data.y)]
    numbers = data.spec.task == "regression"
    return [
        (label, data.y[:, k] if numbers else data.y[:, k].astype(np.int64)) for k, label in enumerate(data.spec.labels)
    ]


def _copy(
    case: Case, column: str, values: NDArray[np.float64], target: str, y: NDArray[Any], rows: NDArray[np.int64]
) -> Finding | None:
    """An error where `values` (n,) are the target itself: equal, or one text for each class."""
    x, y = values[rows], y[rows]
    if y.dtype.kind == "f":
        same = float(np.isclose(x, y, rtol=1e-5, atol=1e-8).mean()) >= SMALL and len(np.unique(y)) > 2
        how = "the same numbers"
    else:
        code = np.unique(x, return_inverse=True)[1]
        pairs, counts = np.unique(np.stack([code, y]), axis=1, return_counts=True)
        kept = pairs[:, counts > (1 - SMALL) * len(y)]
        one_to_one = len(np.unique(kept[0])) == len(np.unique(kept[1])) == kept.shape[1] == len(np.unique(y))
        same = one_to_one and kept.shape[1] > 1 and counts[counts > (1 - SMALL) * len(y)].sum() >= SMALL * len(y)
        how = "one value for each class"
    if not same:
        return None
    if case.question.task == "clustering":
        return _decides(f"Column {column!r}", column)
    what = f"Column {column!r} is the target {target!r} under another name: {how}."
    advice = f"An app will not have it. Leave it out: --drop {column}."
    return finding("target_copy", "error", what, [column], advice)


def _decides(what: str, column: str) -> Finding:
    """Clusters are made of the columns: what one of them says is no leak, but may hide what the others say."""
    advice = f"If the others are to tell the clusters, leave it out: --drop {column}."
    return finding("deciding_column", "note", f"{what} alone decides the clusters.", [column], advice)


def _leak(case: Case, what: str, column: str, x: NDArray[np.float64], y: NDArray[Any], target: str) -> Finding | None:
    numbers = y.dtype.kind == "f"
    score = _score(x, y, numbers=numbers)
    if score < NEAR:
        return None
    if case.question.task == "clustering":
        return _decides(what, column)
    how = (
        f"explains {score:.1%} of what varies in {target!r}"
        if numbers
        else f"tells {target!r} in {score:.1%} of the cases"
    )
    advice = f"If it is known only when the answer is, leave it out: --drop {column}."
    return finding("target_leak", "warning", f"{what} alone {how}.", [column], advice)


def _score(x: NDArray[np.float64], y: NDArray[Any], *, numbers: bool) -> float:
    """Balanced accuracy, or R², of a small tree on rows that it was not fitted on, from `x` (n,) alone."""
    if not _possible(x, y, numbers=numbers):
        return 0.0
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    fold = np.random.default_rng(1).permutation(len(y)) % FOLDS
    # Few leaves: a tree of many would be slow, and says no more.
    leaves = 200 if numbers else max(32, 2 * len(np.unique(y)))
    guess = np.empty(len(y), np.float64 if numbers else np.int64)
    for one in range(FOLDS):
        tree: Any = (DecisionTreeRegressor if numbers else DecisionTreeClassifier)(
            max_leaf_nodes=leaves, random_state=0, **({} if numbers else {"class_weight": "balanced"})
        )
        tree.fit(x[fold != one, None], y[fold != one])
        guess[fold == one] = tree.predict(x[fold == one, None])
    if numbers:
        return float(1 - ((guess - y) ** 2).sum() / ((y - y.mean()) ** 2).sum())
    return float(np.mean([(guess[y == label] == label).mean() for label in np.unique(y)]))


def _possible(x: NDArray[np.float64], y: NDArray[Any], *, numbers: bool) -> bool:
    """Whether x, in BINS bins at most, tells y of the same rows nearly well enough: otherwise no tree need be grown.

    scikit-learn alone takes two seconds to load, and most data have no leak.
    """
    edges = np.unique(x)
    if len(edges) < 2 or len(np.unique(y)) < 2:
        return False
    if len(edges) > BINS:
        edges = np.unique(np.quantile(x, np.linspace(0, 1, BINS + 1)))
    bin = np.searchsorted(edges, x, side="right")
    sizes = np.maximum(np.bincount(bin), 1)
    if numbers:
        mean = np.bincount(bin, weights=y) / sizes
        return bool(1 - ((mean[bin] - y) ** 2).sum() / ((y - y.mean()) ** 2).sum() >= NEAR - 0.01)
    classes, code = np.unique(y, return_inverse=True)
    table = np.zeros((len(sizes), len(classes)))
    np.add.at(table, (bin, code), 1 / np.bincount(code)[code])  # every class counts alike
    guess = table.argmax(axis=1)[bin]
    return bool(np.mean([(guess[code == k] == k).mean() for k in range(len(classes))]) >= NEAR - 0.01)


def _filled(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """`values` with a number below all others where they are missing: that a value is missing may tell too."""
    values = values.astype(np.float64)
    known = values[np.isfinite(values)]
    return np.where(np.isfinite(values), values, (known.min() if len(known) else 0.0) - 1.0)
