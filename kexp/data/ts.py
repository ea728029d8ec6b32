"""Files of series as the UCR and UEA archives have them: .ts (https://www.timeseriesclassification.com).

Lines of @keys, then a line for each series behind @data: channels separated by colons, values by commas, "?" where one
is missing, the class or number to be predicted last.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kexp.data import series
from kexp.data.class_folders import part_codes
from kexp.data.dataset import Raw
from kexp.errors import DataError
from kexp.records import Experiment, Part

NAME = re.compile(r"(?P<set>.*?)[-_]?(?P<part>TRAIN|TEST)?\.ts", re.IGNORECASE)
KEYS = re.compile(rb"(?im)^\s*@(problemname|data|univariate|timestamps|classlabel|targetlabel|equallength|missing)\b")
HEADER = 1 << 18  # bytes that the comments above @data may have


def matches(path: Path) -> bool:
    """Whether `path` is a .ts file of series, or a folder with such files."""
    files = list(path.iterdir()) if path.is_dir() else [path]
    return any(_is_series(file) for file in files)


def _is_series(file: Path) -> bool:
    """A .ts may also be a video (MPEG transport stream), or TypeScript."""
    if file.suffix.lower() != ".ts" or not file.is_file():
        return False
    with file.open("rb") as stream:
        start = stream.read(HEADER)
    return b"\0" not in start and KEYS.search(start) is not None


def read(path: Path, experiment: Experiment) -> Raw:
    """The series in a .ts file, with its sibling of the other part where the name ends in _TRAIN or _TEST.

    Raises DataError, naming file and line, for what is no such file, and for a folder with several sets.
    """
    files = _files(path)
    recordings: list[NDArray[np.float64]] = []
    answers: list[str] = []
    ids: list[str] = []
    parts: list[Part] = []
    both = len(files) > 1
    classes = True
    for part, file in files.items():
        found, targets, lines, of_classes = parse(file)
        if recordings and of_classes != classes:
            raise DataError(f"{file} and {files['train']} differ: one has classes, the other numbers to be predicted.")
        classes = of_classes
        recordings += found
        answers += targets
        ids += [f"{file.name} line {line}" for line in lines]
        parts += ["test" if both and part == "test" else "train"] * len(found)
    x, notices = series.gather(recordings, ids, experiment.steps)
    if both:
        notices.append(f"The data bring their own parts: {', '.join(file.name for file in files.values())}.")
    y = np.array(answers) if classes else _numbers(answers, ids)
    return Raw(
        kind="series", x=x, y=y, targets=("class",) if classes else ("value",), parts=part_codes(parts), ids=ids,
        channels=series.names(x.shape[2]), notices=notices,
    )  # fmt: skip


def _files(path: Path) -> dict[str, Path]:
    """The files of the set that `path` means, by part, training first; "" where the name says none."""
    wanted = None if path.is_dir() else NAME.fullmatch(path.name)
    if wanted is not None and not wanted["part"]:
        return {"": path}
    sets: dict[str, dict[str, Path]] = defaultdict(dict)
    for file in sorted((path if path.is_dir() else path.parent).iterdir()):
        match = NAME.fullmatch(file.name)
        if match and (wanted is None or match["set"] == wanted["set"]) and _is_series(file):
            sets[match["set"]][(match["part"] or "").lower()] = file
    if len(sets) != 1:
        raise DataError(f"{path} holds {len(sets)} sets of series ({', '.join(sets)}). Name a file of one of them.")
    files = next(iter(sets.values()))
    return {part: files[part] for part in ("train", "test") if part in files} or files


def parse(path: Path, *, labelled: bool = True) -> tuple[list[NDArray[np.float64]], list[str], list[int], bool]:
    """Recordings (n, channels), their targets, their lines, and whether the targets are classes.

    `labelled`: a file without targets is refused. Raises DataError, naming file and line, for what is no such file.
    """
    recordings, targets, lines = [], [], []
    inside, classes, has_targets, stamps = False, True, False, False
    text = path.read_text(encoding="utf-8", errors="replace")
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if not inside:
            word, *rest = line.lower().split()
            if word == "@data":
                inside = True
            elif word in ("@classlabel", "@targetlabel") and rest[:1] == ["true"]:
                has_targets, classes = True, word == "@classlabel"
            elif word == "@timestamps":
                stamps = rest[:1] == ["true"]
            continue
        if stamps:
            raise DataError(f"{path} has time stamps in its values; plain values are expected. Write it without them.")
        cells = line.split(":")
        if has_targets:
            targets.append(cells.pop().strip())
        if not cells:
            raise DataError(f"{path} line {number}: no values before the target. Values:target is expected.")
        try:
            channels = [[_value(value) for value in cell.split(",")] for cell in cells]
        except ValueError as error:
            raise DataError(f"{path} line {number}: {error}. Numbers separated by commas are expected.") from error
        if len(set(map(len, channels))) > 1:
            raise DataError(f"{path} line {number}: channels of different lengths. The same is expected of one series.")
        recordings.append(np.array(channels, np.float64).T)
        lines.append(number)
    if not recordings:
        raise DataError(f"{path} has no series behind @data. A .ts file of the UCR archive is expected.")
    if labelled and not has_targets:
        raise DataError(f"{path} names no class (@classLabel true ...): there is nothing to learn from it.")
    return recordings, targets, lines, classes


def _value(cell: str) -> float:
    cell = cell.strip()
    return math.nan if cell in ("?", "") else float(cell)


def _numbers(answers: list[str], ids: list[str]) -> NDArray[np.float64]:
    """(n, 1), NaN where missing."""
    values = np.empty((len(answers), 1), np.float64)
    for row, answer in enumerate(answers):
        try:
            values[row] = _value(answer)
        except ValueError as error:
            raise DataError(f"{ids[row]}: the target {answer!r} is no number, and @targetLabel says so.") from error
    return values
