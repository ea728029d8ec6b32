"""Lines of a table that cannot be read: all of them at once, and a copy of the files without them.

A reader stops at the first such line. The copy has the same line numbers, so that what is found in it is where a person
finds it.
"""

from __future__ import annotations

import csv
import io
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from kexp.data import tables
from kexp.data.doctor.case import counted, finding
from kexp.records import Finding


def mend(path: Path, folder: Path) -> tuple[list[Finding], Path]:
    """Errors on the lines of the table at `path` that cannot be read, and a copy of it in `folder` without them.

    Raises DataError where `tables.find` does.
    """
    files = list(tables.find(path).values())
    found: list[Finding] = []
    for file in files:
        copy = folder / file.name
        if file.suffix.lower() == ".parquet":
            shutil.copyfile(file, copy)
            continue
        more, content = _mended(file)
        found += more
        copy.write_text(content, encoding="utf-8", newline="")
    return found, folder / path.name if path.is_file() else folder


def _mended(file: Path) -> tuple[list[Finding], str]:
    data = file.read_bytes()
    if not data.strip():
        advice = "A header line and rows are expected. Fetch the file again, or remove it."
        return [finding("empty_file", "error", f"{file.name} is empty.", [file.name], advice)], ""
    found: list[Finding] = []
    raw = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    nul = [at for at, line in enumerate(raw) if b"\0" in line]
    if nul:
        what = f"In {file.name}, {counted(len(nul), 'line holds', 'lines hold')} NUL bytes."
        found.append(finding("nul_bytes", "error", what, _at(file, nul), "Save the file as UTF-8 text."))
    texts, foreign = [], []
    for at, line in enumerate(raw):
        kept = line.replace(b"\0", b"")
        try:
            texts.append(kept.decode("utf-8"))
        except UnicodeDecodeError:
            texts.append(kept.decode("latin-1"))
            foreign.append(at)
    if foreign:
        found.append(
            finding(
                "not_utf8", "error", f"In {file.name}, {counted(len(foreign), 'line is', 'lines are')} not UTF-8.",
                _at(file, foreign), "Save the file as UTF-8 (in a spreadsheet: CSV UTF-8).",
            )
        )  # fmt: skip
    more, content = _even(file, "\n".join(texts))
    return found + more, content


def _even(file: Path, content: str) -> tuple[list[Finding], str]:
    """Findings on rows of another width than the header, and `content` with those lines empty."""
    separator = tables.delimiter_of(content, file)
    physical = list(io.StringIO(content, newline=""))
    reader = csv.reader(iter(physical), delimiter=separator)
    found: list[Finding] = []
    wrong: list[int] = []
    widths: Counter[int] = Counter()
    header: list[str] = []
    end = 0
    try:
        for row in reader:
            start, end = end, reader.line_num
            if not row:
                continue
            if not header:
                header = row
                twice = [name for name, count in Counter(name.strip() for name in row).items() if count > 1 and name]
                if twice:
                    what = f"{file.name} names {counted(len(twice), 'column')} twice: {', '.join(twice)}."
                    advice = "Give every column its own name."
                    found.append(finding("column_named_twice", "error", what, twice, advice))
                    physical[start:end] = [_renamed(row, separator), *[""] * (end - start - 1)]
            elif len(row) != len(header):
                wrong.append(end - 1)
                widths[len(row)] += 1
                physical[start:end] = ["\n"] * (end - start)
    except csv.Error as error:
        what = f"{file.name} cannot be read beyond line {reader.line_num}: {error}."
        found.append(finding("broken_line", "error", what, [f"{file.name} row {reader.line_num}"], "Correct the line."))
        del physical[end:]
    if wrong:
        cells = " or ".join(str(width) for width, _ in widths.most_common(3))
        what = (
            f"In {file.name}, {counted(len(wrong), 'row has', 'rows have')} {cells} cells, the header has "
            f"{len(header)} (separated by {separator!r})."
        )
        advice = "Correct these lines; quote cells that hold the separator."
        found.append(finding("ragged_rows", "error", what, _at(file, wrong), advice))
    return found, "".join(physical)


def _renamed(row: Sequence[str], separator: str) -> str:
    seen: Counter[str] = Counter()
    names = []
    for name in row:
        seen[name.strip()] += 1
        names.append(name if seen[name.strip()] == 1 else f"{name.strip()}.{seen[name.strip()]}")
    line = io.StringIO(newline="")
    csv.writer(line, delimiter=separator, lineterminator="\n").writerow(names)
    return line.getvalue()


def _at(file: Path, lines: Sequence[int]) -> list[str]:
    return [f"{file.name} row {line + 1}" for line in lines]
