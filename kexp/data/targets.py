"""What is to be predicted: which column, which task, and the numbers that the network learns.

The task follows from the target unless the experiment names it: text is classes, two values are binary, other
numbers are regression (whole ones are classes in a column that is called so), several columns of yes and no are
multilabel. What was decided is said in a notice.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexp.data import columns, kinds
from kexp.errors import DataError
from kexp.records import Task

MAX_CLASSES = 1000
FEWEST = 3  # samples of a class: one for each part
NAMES = ("target", "targets", "label", "labels", "class", "outcome", "response", "y")  # says what it is
# Whole numbers in a column with such a name are classes, where there are enough rows of each.
CLASSES = ("label", "labels", "class", "classes", "cluster", "category")
COMMA = re.compile(r"[+-]?\d[\d.]*,\d+")  # a number as it is written in half of the world
# Words in the names of columns that people predict; the last column of these is meant, in doubt.
WORDS = frozenset(
    [
        "survived",
        "income",
        "quality",
        "species",
        "price",
        "value",
        "diagnosis",
        "churn",
        "fraud",
        "spam",
        "sentiment",
        "salary",
    ]
)


@dataclass(frozen=True, kw_only=True)
class Target:
    """The target as the network learns it: `y` is (n,) int32 of classes, (n, outputs) float32 otherwise."""

    task: Task
    y: NDArray[Any]
    labels: tuple[str, ...]
    notices: list[str] = field(default_factory=list)


def guess(cells: Mapping[str, Sequence[str]]) -> tuple[str, str]:
    """The column that is most likely the target, and a sentence that says why and how to choose another.

    `cells` holds every column that may be the target. Raises DataError where none may be.
    """
    advice = "Set it with --target NAME, or target = [...] in the experiment."
    legal = [name for name in cells if _legal(name, cells[name])]
    for name in legal:
        if name.strip().lower() in NAMES:
            return name, f"The target is {name!r}, because of its name. {advice}"
    for name in reversed(legal):
        if WORDS & {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)}:
            return name, f"The target is guessed: {name!r}, because of its name. {advice}"
    if not legal:
        comma = [name for name, words in cells.items() if any(COMMA.fullmatch(columns.text(word)) for word in words)]
        hint = f" Numbers have a comma where a point is expected, in {comma[0]!r}: replace it." if comma else ""
        raise DataError(f"None of the columns {', '.join(map(repr, cells))} can be a target.{hint} {advice}")
    return legal[-1], f"The target is guessed: {legal[-1]!r}, the last column that can be one. {advice}"


def present(y: NDArray[Any]) -> NDArray[np.bool_]:
    """Which rows have a value for every target, (n,). `y` is as in dataset.Raw."""
    if y.dtype.kind in "biu":
        return np.ones(len(y), np.bool_)
    missing: NDArray[np.bool_]
    if y.dtype.kind == "f":
        missing = np.isnan(y)
    else:
        missing = np.array([columns.is_missing(cell) for cell in y.ravel()], np.bool_).reshape(y.shape)
    return np.logical_not(missing.reshape(len(y), -1).any(axis=1))


def suggested(cells: NDArray[Any], names: Sequence[str]) -> Task:
    """The task that the cells (n, k) of str suggest, those of rows without a target aside. Raises as `encode`."""
    cells = cells[present(cells)]
    if not len(cells):
        raise DataError(f"No row has a value for the target{_named(names)}. Fill in the column or choose another.")
    return _infer(cells, names)[0]


def encode(
    y: NDArray[Any],
    *,
    names: Sequence[str] = (),
    task: Task | None = None,
    labels: Sequence[str] = (),
    ids: Sequence[str] = (),
) -> Target:
    """The target of all rows; `y` is as in dataset.Raw, without missing values.

    `names` are of the targets, `labels` the classes in the order wanted, `ids` of the rows for messages.
    `task` overrides what the values suggest. Raises DataError for a constant or infinite target, values that
    do not fit the task, too many classes, and a class with fewer than FEWEST samples.
    """
    if not len(y):
        raise DataError(f"No row has a value for the target{_named(names)}. Fill in the column or choose another.")
    names = list(names) or ["class" if y.ndim == 1 else "value"]
    if y.ndim == 1 and y.dtype.kind in "iu" and labels:
        y = np.array([str(labels[index]) for index in y])
    if y.ndim == 1 and task is None and y.dtype.kind != "f":
        task = "binary" if len(np.unique(y)) == 2 else "multiclass"
    notices: list[str] = []
    cells = y.reshape(len(y), -1)
    if y.dtype.kind == "b":
        task = task or "multilabel"
    elif y.dtype.kind == "f":
        task = task or "regression"
    if task is None:
        task, notice = _infer(cells, names)
        notices.append(notice)
    if task == "regression":
        return Target(task=task, y=_numbers(cells, names, ids), labels=tuple(names), notices=notices)
    if task == "multilabel":
        return Target(task=task, y=_flags(cells, names, ids), labels=tuple(names), notices=notices)
    if cells.shape[1] > 1:
        raise DataError(f"task = {task!r} has one target, not {len(names)}: {', '.join(names)}. Name one of them.")
    words = [columns.text(cell) for cell in cells[:, 0]]
    index, found = _classes(words, names[0], task, labels, notices)
    return Target(task=task, y=index, labels=found, notices=notices)


def _infer(cells: NDArray[Any], names: Sequence[str]) -> tuple[Task, str]:
    """The task that the cells suggest, and a notice that says so."""
    advice = 'Set task = "binary", "multiclass", "multilabel" or "regression" in the experiment to override.'
    distinct = [list(dict.fromkeys(map(columns.text, column))) for column in cells.T]
    numeric = [all(columns.number(word) is not None for word in words) for words in distinct]
    if len(names) == 1:
        name, count = repr(names[0]), len(set(_one_spelling(distinct[0])))
        if numeric[0] and count > 2:
            if _are_classes(names[0], cells[:, 0]):
                return "multiclass", f"{name} holds {count} classes, because of its name: multiclass. {advice}"
            whole = all(float(word).is_integer() for word in distinct[0] if math.isfinite(float(word)))
            if whole and count <= 20:
                return "regression", (
                    f"{name} holds {count} different whole numbers: taken as a quantity (regression). "
                    'If they are classes, set task = "multiclass" in the experiment.'
                )
            return "regression", f"{name} holds numbers: regression. {advice}"
        return (
            ("binary", f"{name} has two values: binary classification. {advice}")
            if count == 2
            else ("multiclass", f"{name} has {count} classes: multiclass classification. {advice}")
        )
    if all(columns.pair(words) or (len(words) == 1 and words[0].lower() in BOOLEANS) for words in distinct):
        return "multilabel", f"{len(names)} targets of yes and no: multilabel classification. {advice}"
    if all(numeric):
        return "regression", f"{len(names)} targets of numbers: regression. {advice}"
    wrong = next(name for name, flag in zip(names, numeric, strict=True) if not flag)
    raise DataError(
        f"Several targets are all numbers (regression) or all yes and no (multilabel), but {wrong!r} "
        "holds text. Name one target, or targets of one sort."
    )


def _are_classes(name: str, numbers: NDArray[Any]) -> bool:
    """Whether a column of numbers counts classes: it is called so, they are whole, and each is there often enough."""
    if name.strip().lower() not in CLASSES:
        return False
    counts = Counter(_one_spelling([columns.text(cell) for cell in numbers]))
    whole = all(float(word).is_integer() for word in counts)
    return whole and len(counts) <= MAX_CLASSES and min(counts.values()) >= FEWEST


BOOLEANS = frozenset((*columns.FALSE, *columns.TRUE))


def _numbers(cells: NDArray[Any], names: Sequence[str], ids: Sequence[str]) -> NDArray[np.float32]:
    y = np.empty(cells.shape, np.float64)
    for k, name in enumerate(names):
        table = {cell: columns.number(cell) for cell in dict.fromkeys(cells[:, k].tolist())}
        for row, cell in enumerate(cells[:, k].tolist()):
            value = table[cell]
            if value is None:
                raise DataError(
                    f"{_at(ids, row)}the target {name} = {cell!r} is no number, and regression needs one. "
                    "Correct the cell, empty it (the row is then left out), or name a task of classes."
                )
            if not abs(value) < columns.LARGEST:
                raise DataError(
                    f"{_at(ids, row)}the target {name} = {cell} is not finite, a number below 3.4e38 is "
                    "expected. Correct the cell, or empty it (the row is then left out)."
                )
            y[row, k] = value
        if (y[:, k] == y[0, k]).all():
            raise _constant(name, cells[0, k])
    return y.astype(np.float32)


def _flags(cells: NDArray[Any], names: Sequence[str], ids: Sequence[str]) -> NDArray[np.float32]:
    y = np.empty(cells.shape, np.float32)
    for k, name in enumerate(names):
        for row, cell in enumerate(cells[:, k]):
            word = columns.text(cell).lower()
            word = word.removesuffix(".0")
            if word not in BOOLEANS:
                raise DataError(
                    f"{_at(ids, row)}the target {name} = {str(cell)!r}: multilabel needs yes or no, 0 or 1. "
                    "Correct the cell."
                )
            y[row, k] = word in columns.TRUE
        if (y[:, k] == y[0, k]).all():
            raise _constant(name, cells[0, k])
    return y


def _classes(
    words: Sequence[str], name: str, task: Task, wanted: Sequence[str], notices: list[str]
) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Index of the class of each row, and the classes in their order."""
    if not wanted:
        words = _one_spelling(words)
    counts = Counter(words)
    if len(counts) == 1:
        raise _constant(name, words[0])
    if len(counts) > MAX_CLASSES or len(counts) > len(words) / 2:
        raise DataError(
            f"The target {name!r} has {len(counts):,} different values in {len(words):,} rows: too many for "
            f"classes (at most {MAX_CLASSES}, with two rows each on average). Name another target"
            + (', or set task = "regression".' if all(columns.number(w) is not None for w in counts) else ".")
        )
    if task == "binary" and len(counts) != 2:
        raise DataError(f'The target {name!r} has {len(counts)} classes, binary needs two. Set task = "multiclass".')
    small = sorted((count, word) for word, count in counts.items() if count < FEWEST)
    if small:
        named = ", ".join(f"{word!r} ({count})" for count, word in small[:5]) + (" ..." if small[5:] else "")
        raise DataError(
            f"{len(small)} of the {len(counts)} classes of {name!r} have fewer than {FEWEST} samples: "
            f"{named}. At least {FEWEST} are expected, one each for training, validation and test. "
            "Add samples, or merge or remove the class."
        )
    if wanted:
        strange = next((word for word in counts if word not in wanted), None)
        if strange is not None:
            raise DataError(f"{strange!r} is none of the classes {', '.join(wanted)}. Correct the list or the sample.")
        empty = [word for word in wanted if word not in counts]
        if empty:
            notices.append(f"Classes without a sample are left out: {', '.join(empty)}.")
        order = [word for word in wanted if word in counts]
    else:
        order = _sorted(list(counts))
    index = {word: position for position, word in enumerate(order)}
    return np.array([index[word] for word in words], np.int32), tuple(order)


def _one_spelling(words: Sequence[str]) -> Sequence[str]:
    """1 and 1.0 are one class, and so are Yes and yes."""
    distinct = Counter(words)
    values = {word: columns.number(word) for word in distinct}
    if all(value is not None and math.isfinite(value) for value in values.values()):
        table = {word: repr(value).removesuffix(".0") for word, value in values.items()}
    elif columns.pair([word.lower() for word in distinct]):
        first = {word.lower(): word for word, _ in reversed(distinct.most_common())}
        table = {word: first[word.lower()] for word in distinct}
    else:
        return words
    return [table[word] for word in words]


def _sorted(words: list[str]) -> list[str]:
    """False before true, numbers by value, text by name: the second of two classes is the positive one."""
    both = columns.pair(words)
    if both:
        return list(both)
    values = {word: columns.number(word) for word in words}
    return sorted(words, key=lambda word: (values[word] is None, values[word] or 0.0, word))


def _legal(name: str, cells: Sequence[str]) -> bool:
    """Whether a column may be the target: not constant, no date, no identifier, not too many texts."""
    values = columns.floats(cells)
    if values is not None and len(np.unique(values[~np.isnan(values)])) > 2:
        return name.strip().lower() in NAMES or not kinds.numbers_rows(name, values)
    counts = columns.count(cells)
    total = counts.total()
    if len(counts) < 2:
        return False
    if all(columns.number(word) is not None for word in counts):
        return True
    if columns.date_format(counts) is not None:
        return False
    return len(counts) <= min(MAX_CLASSES, total / 2) and min(counts.values()) >= FEWEST


def _constant(name: str, value: object) -> DataError:
    return DataError(
        f"The target {name!r} is {columns.text(value)!r} in every row: there is nothing to learn. "
        "Two different values at least are expected. Name another target, or add samples of another class."
    )


def _named(names: Sequence[str]) -> str:
    return f" {', '.join(map(repr, names))}" if names else ""


def _at(ids: Sequence[str], row: int) -> str:
    return f"{ids[row]}: " if ids else ""
