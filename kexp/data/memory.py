"""Samples that a program has in memory: arrays and data frames, as a reader would hand them over.

What a network was trained on and what it is asked about later pass through the same functions here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kexp.data import columns, series
from kexp.data.dataset import Raw
from kexp.errors import DataError
from kexp.records import AXES, Column, ColumnKind, DatasetSpec, Kind

EXPECTED = (
    "Expected are the columns of a table (n, columns), or a DataFrame; pictures (n, height, width) or (n, height, "
    "width, 1 or 3) of whole numbers 0..255 (uint8); or series (n, steps, channels) of other numbers"
)
AXES_OF: dict[Kind, tuple[int, ...]] = {"table": (2,), "image": (3, 4), "series": (2, 3)}


def raw(
    x: Any, y: NDArray[Any], *, kind: Kind | None = None, targets: tuple[str, ...] = (), labels: tuple[str, ...] = (),
    groups: ArrayLike | None = None, size: tuple[int, ...] = (), steps: int | None = None,
) -> Raw:  # fmt: skip
    """Samples `x`, an array or a pandas.DataFrame, with their targets.

    `y` is as in dataset.Raw, or (n,) positions in `labels`. `size`, (height, width), and `steps` are what samples are
    brought to. Raises DataError for what is none of EXPECTED.
    """
    kind = kind_of(x, kind)
    ids = [f"row {index}" for index in range(len(x))]
    found = Raw(
        kind=kind, x=np.empty(0), y=y, targets=targets, labels=labels, ids=ids,
        groups=None if groups is None else np.asarray(groups),
    )  # fmt: skip
    if kind == "table":
        import pandas as pd

        table = _table(x)
        found.x = pd.DataFrame({name: _cells(name, values) for name, values in table.items()}, dtype=object)
        told = {name: _told(values) for name, values in table.items()}
        found.kinds = {name: known for name, known in told.items() if known is not None}
    elif kind == "image":
        found.x = _pictures(x, size, found.notices)
    else:
        found.x, notices = series.gather(list(_steps(x)), ids, steps)
        found.notices += notices
        found.channels = series.names(found.x.shape[2])
    return found


def kind_of(x: Any, wanted: Kind | None = None) -> Kind:
    """What the samples `x` are. Raises DataError where they can be nothing, or not what is `wanted`."""
    axes = 2 if hasattr(x, "columns") else x.ndim
    if wanted is not None and wanted not in AXES_OF:
        raise DataError(f"kind = {wanted!r} is not made of arrays here. {EXPECTED}; search files for the others.")
    if wanted is not None and axes in AXES_OF[wanted]:
        return wanted
    if wanted is None and axes == 2:
        return "table"
    if wanted is None and axes == 4:
        return "image"
    if wanted is None and axes == 3:
        return "image" if x.dtype == np.uint8 else "series"
    raise DataError(f"X has shape {x.shape}{f', which is no kind = {wanted!r}' if wanted else ''}. {EXPECTED}.")


def encode(x: Any, spec: DatasetSpec) -> NDArray[Any]:
    """Samples `x` as the model of `spec` takes them, (n, *spec.shape): `raw`'s, without their targets.

    A cell that is no number, date or boolean where one is expected counts as missing, as in training. Raises DataError
    for samples of another shape, and for a column that is missing.
    """
    kind_of(x, spec.kind)
    if spec.kind == "table":
        table = _table(x)
        for column in spec.columns:
            if column.name not in table:
                raise DataError(f"X has no column {column.name!r}, which the model was trained with.")
        found = np.empty((len(x), len(spec.columns)), np.float32)
        for index, column in enumerate(spec.columns):
            found[:, index] = _column(table[column.name], column)
        return found
    if spec.kind == "image":
        pictures = _pictures(x, spec.shape[:2], [])
        return _of_shape(pictures, spec)
    whole, _ = series.gather(list(_steps(x)), [f"row {index}" for index in range(len(x))], spec.shape[0])
    return _of_shape(whole, spec)


def _of_shape(x: NDArray[Any], spec: DatasetSpec) -> NDArray[Any]:
    if x.shape[1:] != spec.shape:
        named = ", ".join(AXES[spec.kind])
        raise DataError(f"X has samples of shape {x.shape[1:]}, the model takes ({named}) = {spec.shape}.")
    return x


# --- tables -------------------------------------------------------------------------------------


def _table(x: Any) -> Mapping[str, Any]:
    """The columns of a data frame or of an array, (n,) each, by name; an array's are x0, x1 and so on."""
    if not hasattr(x, "columns"):
        return {f"x{index}": x[:, index] for index in range(x.shape[1])}
    names = [str(name).strip() for name in x.columns]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"X has two columns {twice!r}. Give every column its own name.")
    return {name: x.iloc[:, index] for index, name in enumerate(names)}


def _told(values: Any) -> ColumnKind | None:
    """The kind of a column whose type says it; None where its cells must."""
    kind = getattr(values.dtype, "kind", "O")
    if kind in "iufm":
        return "number"
    if kind == "M":
        return "date"
    return "category" if str(values.dtype) == "category" else None


def _cells(name: str, values: Any) -> list[str]:
    """The cells of a column as a CSV would have them, empty where there is no value. Raises DataError for infinity."""
    if _told(values) == "number":
        numbers = _numbers(name, values)
        return ["" if number != number else repr(number) for number in numbers.tolist()]
    missing = values.isna().tolist() if hasattr(values, "isna") else [False] * len(values)
    return ["" if gone else columns.text(value) for value, gone in zip(values.tolist(), missing, strict=True)]


def _numbers(name: str, values: Any) -> NDArray[np.float64]:
    if values.dtype.kind == "m":
        values = values / np.timedelta64(1, "s")
    given = values.to_numpy(np.float64, na_value=np.nan) if hasattr(values, "to_numpy") else values
    numbers: NDArray[np.float64] = np.asarray(given, np.float64)
    large = np.abs(numbers) > columns.LARGEST
    if large.any():
        row = int(np.flatnonzero(large)[0])
        raise DataError(
            f"Column {name!r} is {numbers[row]} in row {row} (counted from 0): infinity, or too large for float32. "
            "Correct the value, or leave it missing (NaN)."
        )
    return numbers


def _column(values: Any, column: Column) -> NDArray[np.float32]:
    """One number for each cell, (n,), as records.Column says; of true, 1 and 1.0 all mean the one that it learned."""
    told = _told(values)
    if column.kind == "number" and (told == "number" or getattr(values.dtype, "kind", "O") == "b"):
        return _numbers(column.name, values).astype(np.float32)
    cells = _cells(column.name, values)
    if column.choices and told == "number":
        cells = [cell if cell in column.choices else cell.removesuffix(".0") for cell in cells]
    try:
        return columns.encode(cells, column)
    except DataError:
        known = {cell: _readable(cell, column) for cell in dict.fromkeys(cells)}
        return columns.encode([cell if known[cell] else "" for cell in cells], column)


def _readable(cell: str, column: Column) -> bool:
    try:
        columns.encode([cell], column)
    except DataError:
        return False
    return True


# --- arrays -------------------------------------------------------------------------------------


def _pictures(x: NDArray[Any], size: tuple[int, ...], notices: list[str]) -> NDArray[np.uint8]:
    """(n, height, width, channels) uint8 of `size`; of their own where that suits a phone."""
    from kexp.data.arrays import resized

    x = x[..., None] if x.ndim == 3 else x
    whole = x.dtype == np.uint8 or (x.dtype.kind in "iu" and x.size > 0 and x.min() >= 0 and x.max() <= 255)
    if not whole or x.shape[3] not in (1, 3):
        hint = " Fractions 0..1: (X * 255).astype('uint8')." if x.dtype.kind == "f" else ""
        raise DataError(f"X has shape {x.shape} and type {x.dtype}.{hint} {EXPECTED}.")
    return resized(x.astype(np.uint8), size, notices)


def _steps(x: NDArray[Any]) -> NDArray[np.float64]:
    """(n, steps, channels)."""
    return np.asarray(x[:, :, None] if x.ndim == 2 else x, np.float64)
