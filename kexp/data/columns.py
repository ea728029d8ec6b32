"""How the cells of a table become numbers: fitted on training rows, the same code for search and `kexp run`.

A cell is text, as in a CSV, or a Python value, as in JSON; both go through its text. Each distinct text is
looked at once. No pandas here: a program that only runs a model imports this module.
"""

from __future__ import annotations

import datetime
import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from kexp.errors import DataError, nearest
from kexp.records import Column, ColumnKind

MISSING = frozenset({"", "na", "n/a", "nan", "null", "?"})  # not "None", which is a category more often
FALSE = ("no", "false", "0", "n", "f")
TRUE = ("yes", "true", "1", "y", "t")  # TRUE[i] is the opposite of FALSE[i]
MAX_CHOICES = 50
BINS = 16
UNKNOWN = -1.0  # the code of a category that no training row has
LARGEST = float(np.finfo(np.float32).max)  # the network computes in float32
_EPOCH = datetime.datetime(1970, 1, 1)
_DAYS = ("%Y/%m/%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%d/%m/%y", "%m/%d/%y")
_MONTHS = ("%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%d-%b-%Y", "%d-%b-%y")
DATE_FORMATS = ("", "%Y-%m", *(day + time for time in ("", " %H:%M", " %H:%M:%S") for day in _DAYS + _MONTHS))


def text(cell: object) -> str:
    """The cell as text without blanks around it; None is empty."""
    return "" if cell is None else str(cell).strip()


def is_missing(cell: object) -> bool:
    """Whether the cell says that there is no value: empty, NA, N/A, NaN, null, None or ?, in any case."""
    return text(cell).lower() in MISSING


def count(cells: Sequence[object]) -> Counter[str]:
    """How often each text occurs among the present cells."""
    counts: Counter[str] = Counter()
    for word, times in Counter(_words(cells)).items():  # each distinct text is stripped once
        if not is_missing(word):
            counts[word.strip()] += times
    return counts


def number(cell: object) -> float | None:
    """The number that a cell holds, NaN where missing, None where it is something else. May be infinite."""
    word = text(cell)
    if word.lower() in MISSING:
        return math.nan
    if isinstance(cell, bool):
        return float(cell)
    try:
        return None if "_" in word else float(word)  # Python reads 1_000 as a number, no CSV means that
    except ValueError:
        return None


def floats(cells: Sequence[str]) -> NDArray[np.float64] | None:
    """All cells as `number` reads them, at once, (n,); None where a cell is no plain number, NaN or empty."""
    known = dict.fromkeys(cells, 0.0)  # most columns say the same again and again
    try:
        for cell in known:
            known[cell] = float(cell or "nan")
    except ValueError:
        return None
    return None if "_" in "".join(known) else np.fromiter(map(known.__getitem__, cells), np.float64, len(cells))


def readable(cells: Sequence[str]) -> NDArray[np.float64] | None:
    """All cells as `number` reads them, NaN where missing, (n,); None where one is neither number nor missing."""
    values = floats(cells)
    if values is not None:
        return values
    table = {cell: number(cell) for cell in dict.fromkeys(cells)}
    if None in table.values():
        return None
    return np.array([table[cell] for cell in cells], np.float64)


def date(cell: object, format: str = "") -> float | None:
    """Days since 1970-01-01 (UTC), the time of day as a fraction; NaN where missing, None where no date."""
    word = text(cell)
    if word.lower() in MISSING:
        return math.nan
    try:
        read = datetime.datetime.fromisoformat
        moment = datetime.datetime.strptime(word, format) if format else read(word)
    except ValueError:
        return None
    if moment.tzinfo is not None:
        moment = moment.astimezone(datetime.UTC).replace(tzinfo=None)
    return (moment - _EPOCH) / datetime.timedelta(days=1)


def date_format(present: Counter[str], share: float = 0.95) -> str | None:
    """The format that most `present` cells have, at least `share` of them; None where there is none."""
    counts = {word: times for word, times in present.items() if any(map(str.isdigit, word))}
    few = list(counts)[:20]
    best, most = None, share * present.total()
    for format in DATE_FORMATS:
        if sum(date(word, format) is not None for word in few) * 2 <= len(few):
            continue
        fits = sum(times for word, times in counts.items() if date(word, format) is not None)
        if fits and fits >= most and (best is None or fits > most):
            best, most = format, fits
    return best


def pair(words: Sequence[str]) -> tuple[str, str] | None:
    """(false, true) when `words` are exactly two that mean that (yes and no, 0 and 1 ...), else None."""
    lower = {word.lower(): word for word in words}
    for false, true in zip(FALSE, TRUE, strict=True):
        if set(lower) == {false, true}:
            return lower[false], lower[true]
    return None


def fit(name: str, kind: ColumnKind, cells: Sequence[object], *, format: str = "") -> Column:
    """The column as the training rows have it; `cells` are of training rows alone, `format` is that of dates.

    Raises DataError for a cell that is not of this kind, or that is infinite.
    """
    counts = count(cells)
    missing = counts.total() < len(cells)
    if kind == "boolean":
        false, true = pair(list(counts)) or _either(name, list(counts))
        column = Column(name=name, kind=kind, choices=(false, true), missing=missing)
    elif kind == "category":
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        choices = tuple(word for word, _ in ranked[:MAX_CHOICES])
        return Column(name=name, kind=kind, choices=choices, missing=missing)  # positions have no mean
    else:
        column = Column(name=name, kind=kind, missing=missing, format=format)
    values = encode(cells, column).astype(np.float64)
    values = values[~np.isnan(values)]
    if not len(values):
        return column
    edges: tuple[float, ...] = ()
    if kind != "boolean" and len(np.unique(values)) > 2:
        quantiles = np.quantile(values, np.linspace(0, 1, BINS + 1))
        # in float32, because that is what the network compares them with
        edges = tuple(float(edge) for edge in np.unique(quantiles.astype(np.float32)))
    return Column(
        name=name,
        kind=kind,
        choices=column.choices,
        minimum=float(values.min()),
        maximum=float(values.max()),
        mean=float(values.mean()),
        std=float(values.std()) or 1.0,
        edges=edges,
        missing=missing,
        format=format,
    )


def encode(cells: Sequence[object], column: Column) -> NDArray[np.float32]:
    """One number per cell, (n,), as records.Column says: NaN where missing, -1 for an unknown category.

    Raises DataError for a cell that is no number, date or boolean where one is expected, or is infinite.
    """
    words = _words(cells)
    values = floats(words) if column.kind == "number" else None
    if values is not None and not (np.abs(values) > LARGEST).any():
        return values.astype(np.float32)
    known = {choice: float(index) for index, choice in enumerate(column.choices)}
    table = {word: _value(word.strip(), column, known) for word in dict.fromkeys(words)}
    return np.array([table[word] for word in words], dtype=np.float32)


def encode_row(row: Mapping[str, object], columns: Sequence[Column]) -> tuple[NDArray[np.float32], list[str]]:
    """One sample (columns,) from a row as the user has it, and what is unusual about it, in words.

    Unusual: a value outside the range of the training rows, an unknown category, no value where every
    training row had one, a cell that cannot be read. Raises DataError for a row with no known column.
    """
    if not any(column.name in row for column in columns):
        raise DataError(
            f"The row has none of the columns that the model knows: it has {', '.join(map(repr, row))}, "
            f"expected are {', '.join(column.name for column in columns)}. Name them in the first line."
        )
    values = np.full(len(columns), np.nan, np.float32)
    warnings: list[str] = []
    for index, column in enumerate(columns):
        if column.name not in row:
            hint = nearest(column.name, [name for name in row if name not in {c.name for c in columns}])
            hint = hint if "Did you mean" in hint else ""
            warnings.append(f"{column.name} is not in the row: taken as missing.{hint}")
            continue
        cell = row[column.name]
        try:
            values[index] = encode([cell], column)[0]
        except DataError:  # as in training, where such a cell counts as missing
            warnings.append(f"{column.name} = {text(cell)!r} cannot be read as a {column.kind}: taken as missing.")
            continue
        warning = _unusual(cell, float(values[index]), column)
        if warning:
            warnings.append(warning)
    return values, warnings


def _words(cells: Sequence[object]) -> list[str]:
    return [cell if type(cell) is str else text(cell) for cell in cells]


def _value(word: str, column: Column, known: Mapping[str, float]) -> float:
    if word.lower() in MISSING:
        return math.nan
    if column.kind == "category":
        return known.get(word, UNKNOWN)
    if column.kind == "boolean":
        return _boolean(word, column)
    value = number(word) if column.kind == "number" else date(word, column.format)
    if value is None:
        what = "a number" if column.kind == "number" else f"a date such as {_day(column.maximum, column)}"
        raise DataError(f"{column.name} = {word!r}: {what} is expected. Correct the cell, or leave it empty.")
    if abs(value) > LARGEST:
        raise DataError(
            f"{column.name} = {word}: a finite number below 3.4e38 is expected. Correct the cell or empty it."
        )
    return value


def _boolean(word: str, column: Column) -> float:
    lower = word.lower()
    for meaning, words in ((0.0, FALSE), (1.0, TRUE)):
        if lower == column.choices[int(meaning)].lower():
            return meaning
        if lower in words and column.choices[int(meaning)].lower() in words:
            return meaning
    raise DataError(f"{column.name} = {word!r}: {' or '.join(column.choices)} is expected. Correct the cell.")


def _either(name: str, present: Sequence[str]) -> tuple[str, str]:
    """The pair of which the training rows have one word only."""
    for false, true in zip(FALSE, TRUE, strict=True):
        if {word.lower() for word in present} <= {false, true}:
            return false, true
    raise DataError(f"{name} has the values {', '.join(sorted(set(present))[:5])}: yes or no, 0 or 1 is expected.")


def _unusual(cell: object, value: float, column: Column) -> str:
    word = text(cell)
    if math.isnan(value):
        return "" if column.missing else f"{column.name} has no value, and every training row had one."
    if column.kind == "category":
        if value != UNKNOWN:
            return ""
        known = ", ".join(column.choices[:10]) + (" ..." if len(column.choices) > 10 else "")
        hint = nearest(word, column.choices)
        hint = hint if "Did you mean" in hint else ""
        return f"{column.name} = {word} was not seen in training (known: {known}).{hint}"
    if column.kind == "boolean" or column.minimum <= value <= column.maximum:
        return ""
    low, high = (_day(end, column) for end in (column.minimum, column.maximum))
    return f"{column.name} = {word} is outside {low}..{high} seen in training."


def _day(value: float, column: Column) -> str:
    """A number of the column's range as its cells are written."""
    if column.kind == "number":
        return f"{value:.7g}"
    moment = _EPOCH + datetime.timedelta(days=value)
    return moment.strftime(column.format or "%Y-%m-%d")
