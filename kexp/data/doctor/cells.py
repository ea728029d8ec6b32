"""Columns of a table, one by one: cells that cannot be used, and columns that say little or too much."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kexp.data import columns, kinds
from kexp.data.doctor.case import Case, counted, finding, listed
from kexp.records import Finding

MOSTLY = 0.5  # of the cells missing
CODES = frozenset({-1.0, -9.0, -99.0, -999.0, -9999.0, -99999.0, 99.0, 999.0, 9999.0, 99999.0, 999999.0})
WRITTEN = 0.9  # of the known cells of a column of numbers that are read as texts
CODE = re.compile(r"\+?\d{1,3}(?:[ .']\d{3}){1,3}")  # 612 345 678: a telephone number, 110 001, 192.168.100.101
FEW_LETTERS = 5  # different texts such as 4G, or 2F: names of something; measured numbers are more
LETTER = re.compile(r"\d+[a-z]", re.IGNORECASE)
# -1.234,50 and 1,234.50 and 1 234, with a sign of money before or behind, or a unit or % behind; not 1a, a class.
WRITING = re.compile(
    r"[$€£¥]?\s?[-+]?[$€£¥]?\s?(?:\d{1,3}(?:[.,'\s]\d{3})+|\d+)(?:[.,]\d+)?"
    r"\s?(?:[$€£¥%]|usd|eur|gbp|[kmµ]?[gl]|[kcmµ]?m[²³]?|lbs?|oz|ft|[mµ]?s|min|h|k?w|[m]?v|°?[cf]|(?:km|m)/[hs])?",
    re.IGNORECASE,
)
# A column with such a name says whose row it is, or in which recording it was taken.
GROUP = re.compile(
    r"(patient|subject|person|user|speaker|singer|writer|customer|client|participant|volunteer|session|recording|"
    r"device|sensor|machine|animal|site|hospital|scanner|camera|household|driver|player)(_?(id|no|nr|name|number|key))?",
    re.IGNORECASE,
)


def infinite(case: Case) -> list[Finding]:
    """Cells that are infinite numbers."""
    found = []
    for name, cells in ((column.name, column.cells) for column in case.columns):
        rows = infinite_rows(cells)
        if rows:
            example = cells[rows[0]].strip()
            what = f"Column {name!r}: {counted(len(rows), 'cell is', 'cells are')} no finite number, such as {example}."
            advice = "Correct the cells, or empty them: an empty cell counts as missing."
            found.append(finding("infinite_cells", "error", what, _rows(case, rows), advice))
    return found


def infinite_rows(cells: Sequence[str]) -> list[int]:
    """Rows whose cell is a number beyond float32, infinity included, in a column of numbers."""
    values = columns.floats(cells)
    if values is not None:
        return np.flatnonzero(np.abs(values) > columns.LARGEST).tolist()
    read = {cell: columns.number(cell) for cell in dict.fromkeys(cells)}
    numbers = sum(value is not None for value in read.values())
    if numbers < kinds.READABLE * len(read):  # a column of texts may say "inf"
        return []
    return [row for row, cell in enumerate(cells) if abs(read[cell] or 0.0) > columns.LARGEST]


def unreadable(case: Case) -> list[Finding]:
    """Texts in a column of numbers or dates."""
    found = []
    for column in case.columns:
        name, cells, kind = column.name, column.cells, column.kind
        if kind not in ("number", "date") or (kind == "number" and column.numbers is not None):
            continue
        read = {
            cell: columns.number(cell) if kind == "number" else columns.date(cell, column.detail)
            for cell in dict.fromkeys(cells)
        }
        rows = [row for row, cell in enumerate(cells) if read[cell] is None]
        if rows:
            texts = listed([repr(text) for text in dict.fromkeys(cells[row] for row in rows)], 3)
            what = f"Column {name!r}: {counted(len(rows), 'cell is', 'cells are')} no {kind}: {texts}."
            advice = "They count as missing. Correct them where they are slips."
            found.append(finding("unreadable_cells", "warning", what, _rows(case, rows), advice))
    return found


def missing(case: Case) -> list[Finding]:
    """How many cells each input lacks."""
    if case.raw is None:
        return []
    shares: dict[str, float] = {}
    first: dict[str, int] = {}
    rows = len(case.raw.ids)
    for column in case.columns:
        empty = {cell for cell in set(column.cells) if columns.is_missing(cell)}
        if column.kind is None or not empty:
            continue
        gone = [row for row, cell in enumerate(column.cells) if cell in empty]
        shares[column.name], first[column.name] = len(gone) / rows, gone[0]
    found = []
    mostly = [name for name, share in shares.items() if share > MOSTLY]
    for name in mostly:
        what = f"Column {name!r} is missing in {shares[name]:.0%} of the rows."
        advice = f"Fill it in, or see whether it is worth keeping: --drop {name}."
        found.append(finding("mostly_missing", "warning", what, [name], advice))
    some = [name for name in shares if name not in mostly]
    if some:
        named = listed([f"{name} {max(shares[name], 0.001):.1%}" for name in sorted(some, key=lambda n: -shares[n])])
        what = f"{counted(len(some), 'column has', 'columns have')} missing cells: {named}."
        where = [f"{case.raw.ids[first[name]]}, {name}" for name in some]
        found.append(finding("missing_cells", "note", what, where, "The network has an input that says so."))
    return found


def useless(case: Case) -> list[Finding]:
    """Columns that are left out: empty, constant, identifiers, texts."""
    if case.raw is None:
        return []
    groups: dict[str, list[str]] = {"empty": [], "constant": [], "identifier": [], "text": []}
    for column in case.columns:
        if column.kind is None:
            groups[_reason(column.cells, column.detail)].append(column.name)
    said = {
        "empty": ("{} {} no value at all: {}.", "Fill it in, or remove it. It is left out."),
        "constant": ("{} {} the same in every row: {}.", "It says nothing, and is left out."),
        "identifier": (
            "{} only {} the rows: {}.",
            "Nearly every row has another value, which would be learnt by heart: left out.",
        ),
        "text": (
            "{} {} free text: {}.",
            "kexp does not read texts; it is left out. Derive columns from it, if it counts.",
        ),
    }
    verbs = {
        "empty": ("has", "have"),
        "constant": ("is", "are"),
        "identifier": ("names", "name"),
        "text": ("is", "are"),
    }
    found = []
    for reason, names in groups.items():
        if names:
            what = said[reason][0].format(
                counted(len(names), "column"), verbs[reason][len(names) > 1], ", ".join(map(repr, names[:8]))
            )
            found.append(finding(f"{reason}_column", "note", what, names, said[reason][1]))
    return found


def written_otherwise(case: Case) -> list[Finding]:
    """Columns of numbers that are read as texts: decimal commas, thousands in groups, signs of money, units."""
    found = []
    for column in case.columns:
        known = [cell for cell in column.cells if not columns.is_missing(cell)]
        if column.kind in ("number", "date") or column.numbers is not None or not known:
            continue
        written = [row for row, cell in enumerate(column.cells) if _written(cell)]
        plain = sum(columns.number(cell) is not None for cell in known)
        if not written or len(written) + plain < WRITTEN * len(known) or _names(known):
            continue
        cell = column.cells[written[0]].strip()
        what = f"Column {column.name!r} seems to hold numbers, written as {cell!r} in {counted(len(written), 'row')}"
        what += ": it is left out as text." if column.kind is None else ": each text counts as a category."
        advice = "Write them as 1234.5: a point before decimals, no groups, no signs, no units."
        found.append(finding("written_otherwise", "warning", what, _rows(case, written), advice))
    return found


def _names(cells: Sequence[str]) -> bool:
    """Whether texts that look like numbers are names: all codes of one length, or few of a digit and a letter."""
    different = {cell.strip() for cell in cells}
    if all(CODE.fullmatch(cell) for cell in different) and len({len(cell) for cell in different}) == 1:
        return True
    return len(different) <= FEW_LETTERS and all(LETTER.fullmatch(cell) for cell in different)


def _written(cell: str) -> bool:
    """Whether a cell is no number as it stands, but one with a decimal comma, in groups, with a sign or a unit."""
    return columns.number(cell) is None and WRITING.fullmatch(cell.strip()) is not None


def codes(case: Case) -> list[Finding]:
    """Numbers that seem to stand for "not known": -999, 9999 and their like, far from all others."""
    found = []
    for column in case.columns:
        name, values = column.name, column.numbers
        if values is None or column.kind is None:
            continue
        distinct, counts = np.unique(values[np.isfinite(values)], return_counts=True)
        if len(distinct) < 6:
            continue
        for at, inner in ((0, 1), (-1, -2)):
            rest = np.delete(distinct, at)
            gap, spread = abs(distinct[at] - distinct[inner]), rest[-1] - rest[0]
            if distinct[at] in CODES and counts[at] >= max(2, len(values) // 5000) and gap > spread:
                rows = np.flatnonzero(values == distinct[at]).tolist()
                what = (
                    f"Column {name!r} is {distinct[at]:g} in {counted(len(rows), 'row')}, all others are "
                    f"{rest[0]:g} to {rest[-1]:g}."
                )
                advice = "If it stands for a value that is not known, empty these cells."
                found.append(finding("missing_code", "note", what, _rows(case, rows), advice))
    return found


def spellings(case: Case) -> list[Finding]:
    """Texts that differ in case, blanks or a full stop only: categories, and classes."""
    found = []
    for column in case.columns:
        if column.kind == "category":
            counts = columns.count(column.cells)
            found += _spelt(case, f"Column {column.name!r}", "spellings", counts, column.cells)
    if case.raw is not None and case.classes is not None and case.raw.y.dtype.kind in "UO" and case.dataset is not None:
        named = case.raw.targets or ("class",)
        for k, target in enumerate(named if case.raw.y.size else ()):  # rows to be clustered need no target
            words = [columns.text(cell) for cell in case.raw.y.reshape(len(case.raw.y), -1)[:, k].tolist()]
            if case.dataset.spec.task != "multilabel":
                found += _spelt(case, f"The target {target!r}", "class_spellings", Counter(words), words)
    return found


def _spelt(case: Case, what: str, name: str, counts: Counter[str], cells: Sequence[str]) -> list[Finding]:
    alike: dict[str, list[str]] = {}
    for word in counts:
        alike.setdefault(re.sub(r"[\s_.-]+", "", word.casefold()) or word, []).append(word)
    several = [
        sorted(words, key=lambda word: -counts[word])
        for words in alike.values()
        # 1.5 and 15, or -1 and 1, are no spellings of one word
        if len(words) > 1 and columns.pair(words) is None and any(columns.number(word) is None for word in words)
    ]
    if not several:
        return []
    rare = {word for words in several for word in words[1:]}
    rows = [row for row, cell in enumerate(cells) if cell.strip() in rare]
    named = "; ".join(" = ".join(repr(word) for word in words[:3]) for words in several[:3])
    text = f"{what} spells {counted(len(several), 'text')} in several ways: {named}."
    return [finding(name, "warning", text, _rows(case, rows), "Each counts as one of its own. Write it in one way.")]


def groups(case: Case) -> list[Finding]:
    """A column that says whose row it is, where nobody named a group column."""
    if case.raw is None or case.raw.groups is not None:
        return []
    found = []
    for name, cells in ((column.name, column.cells) for column in case.columns):
        distinct = len(set(cells))
        if GROUP.fullmatch(name.strip()) and 2 < distinct <= len(cells) / 2:
            what = f"Column {name!r} seems to say where rows come from: {distinct:,} values in {len(cells):,} rows."
            advice = f"If new ones are to be recognised, keep each in one part: --group-column {name}."
            found.append(finding("group_like_column", "note", what, [name], advice))
    return found


# -- what these share ----------------------------------------------------------------------------


def _reason(cells: Sequence[str], why: str) -> str:
    counts = columns.count(cells)
    if not counts:
        return "empty"
    if len(counts) == 1:
        return "constant"
    if "numbers the rows" in why:
        return "identifier"
    words = np.array([len(word.split()) for word in list(counts)[:1000]], np.float64)
    return "text" if words.mean() >= 2.5 else "identifier"


def _rows(case: Case, rows: Sequence[int] | NDArray[np.int64]) -> list[str]:
    return [case.raw.ids[row] for row in rows] if case.raw is not None else []
