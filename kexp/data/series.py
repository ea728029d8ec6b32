"""Series: .ts files, tables with numbered columns, and `gather`, which brings recordings to one length.

A sample is (steps, channels) float32 as measured. `fit` brings recordings of unequal length to one; it is also what
`kexp run` calls.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kexp.data import columns
from kexp.data.class_folders import part_codes
from kexp.data.dataset import Raw
from kexp.errors import DataError
from kexp.records import Experiment, Part

COVERED = 0.95  # share of the recordings that are whole in the length chosen
LONGEST = 10_000  # steps, unless the user asks for more
FEWEST_STEPS = 4  # of numbered columns: x1, y1, x2, y2 may be two points
TS_NAME = re.compile(r"(?P<set>.*?)[-_]?(?P<part>TRAIN|TEST)?\.ts", re.IGNORECASE)
Array = NDArray[np.float32]


def fit(x: Array, steps: int) -> Array:
    """(n, channels) as (steps, channels): cut around the middle, or the last values repeated at the end."""
    start = max(0, (len(x) - steps) // 2)
    x = x[start : start + steps]
    return np.pad(x, ((0, steps - len(x)), (0, 0)), mode="edge")


def filled(x: NDArray[np.floating]) -> tuple[Array, int]:
    """(n, channels) with missing values (NaN) drawn straight between their neighbours, and how many there were.

    Raises ValueError for a channel without a value.
    """
    x = np.asarray(x, np.float64)
    missing = np.isnan(x)
    if missing.any():
        x = x.copy()
        at = np.arange(len(x))
        for c in np.flatnonzero(missing.any(axis=0)):
            gone = missing[:, c]
            if gone.all():
                raise ValueError(f"channel {c + 1} has no value")
            x[gone, c] = np.interp(at[gone], at[~gone], x[~gone, c])
    return x.astype(np.float32), int(missing.sum())


def gather(
    recordings: Sequence[NDArray[np.floating]], ids: Sequence[str], wanted: int | None
) -> tuple[Array, list[str]]:
    """Recordings (n, channels) of one width as (m, steps, channels), and what is said of it.

    Raises DataError, by the name in `ids`, for one that has no value, an infinite one, or another width.
    """
    width = recordings[0].shape[1]
    whole, missing = [], 0
    for one, name in zip(recordings, ids, strict=True):
        if one.shape[1] != width:
            raise DataError(f"{name} has {one.shape[1]} channels, {ids[0]} has {width}: the same number is expected.")
        if np.isinf(one).any():
            step, channel = np.argwhere(np.isinf(one))[0]
            raise DataError(f"{name}: step {step + 1} of channel {channel + 1} is infinite. Correct or empty it.")
        try:
            found, gone = filled(one)
        except ValueError as error:
            raise DataError(f"{name}: {error}. Remove the recording.") from error
        whole.append(found)
        missing += gone
    lengths = np.array([len(one) for one in whole])
    steps = wanted or min(LONGEST, int(np.quantile(lengths, COVERED, method="higher")))
    notices = []
    if missing:
        notices.append(f"{missing:,} missing values were drawn straight between their neighbours.")
    longer, shorter = int((lengths > steps).sum()), int((lengths < steps).sum())
    if longer or shorter:
        notices.append(
            f"Recordings have {lengths.min():,} to {lengths.max():,} steps and are brought to {steps:,}: {longer:,} "
            f"are cut around their middle, {shorter:,} have their last values repeated. --steps N sets another number."
        )
    return np.stack([fit(one, steps) for one in whole]), notices


# --- .ts: the format of the UCR and UEA archives ------------------------------------------------


def is_ts(path: Path) -> bool:
    """Whether `path` is a .ts file of series, or a folder with such files."""
    files = list(path.iterdir()) if path.is_dir() else [path]
    return any(file.suffix.lower() == ".ts" and _is_text(file) for file in files)


def read_ts(path: Path, experiment: Experiment) -> Raw:
    """The series in a .ts file, with its sibling of the other part where the name ends in _TRAIN or _TEST.

    Raises DataError, naming file and line, for what is no such file, and for a folder with several sets.
    """
    folder = path if path.is_dir() else path.parent
    sets: dict[str, dict[str, Path]] = defaultdict(dict)
    for file in sorted(folder.iterdir()):
        match = TS_NAME.fullmatch(file.name)
        if match and (path.is_dir() or match["set"] == TS_NAME.fullmatch(path.name)["set"]):  # type: ignore[index]
            sets[match["set"]][(match["part"] or "").lower()] = file
    if len(sets) != 1:
        raise DataError(f"{path} holds {len(sets)} sets of series ({', '.join(sets)}). Name a file of one of them.")
    files = next(iter(sets.values()))
    wanted = [files[part] for part in ("train", "test") if part in files] or [files[""]]
    recordings: list[NDArray[np.float64]] = []
    answers: list[str] = []
    ids: list[str] = []
    parts: list[Part] = []
    classes = True
    for file in wanted:
        found, targets, lines, classes = parse_ts(file)
        recordings += found
        answers += targets
        ids += [f"{file.name} line {line}" for line in lines]
        parts += ["test" if "test" in files and file == files["test"] and len(wanted) > 1 else "train"] * len(found)
    x, notices = gather(recordings, ids, experiment.steps)
    if len(wanted) > 1:
        notices.append(f"The data bring their own parts: {', '.join(file.name for file in wanted)}.")
    y = np.array(answers) if classes else np.array(answers, np.float64)[:, None]
    return Raw(
        kind="series", x=x, y=y, targets=("class",) if classes else ("value",), parts=part_codes(parts), ids=ids,
        channels=names(x.shape[2]), notices=notices,
    )  # fmt: skip


def _is_text(file: Path) -> bool:
    """A .ts may also be a video (MPEG transport stream), or TypeScript."""
    with file.open("rb") as stream:
        return any(line.lstrip().lower().startswith(b"@") for line in stream.read(1 << 16).splitlines()[:200])


def parse_ts(path: Path) -> tuple[list[NDArray[np.float64]], list[str], list[int], bool]:
    """Recordings (n, channels), their targets, their lines, and whether the targets are classes."""
    recordings, targets, lines = [], [], []
    inside, classes, labelled, stamps = False, True, False, False
    text = path.read_text(encoding="utf-8", errors="replace")
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        word, _, rest = line.partition(" ")
        if not inside:
            key = word.lower()
            if key == "@data":
                inside = True
            elif key in ("@classlabel", "@targetlabel"):
                labelled = rest.lower().split()[:1] == ["true"] or labelled
                classes = key == "@classlabel" if rest.lower().startswith("true") else classes
            elif key == "@timestamps":
                stamps = rest.strip().lower() == "true"
            continue
        if stamps:
            raise DataError(f"{path} has time stamps in its values; plain values are expected. Write it without them.")
        cells = line.split(":")
        if labelled:
            targets.append(cells.pop().strip())
        try:
            channels = [[_value(value) for value in cell.split(",")] for cell in cells]
        except ValueError as error:
            raise DataError(f"{path} line {number}: {error}. Numbers separated by commas are expected.") from error
        longest = max(map(len, channels))
        if min(map(len, channels)) < longest:
            raise DataError(f"{path} line {number}: channels of different lengths. The same is expected of one series.")
        recordings.append(np.array(channels, np.float64).T)
        lines.append(number)
    if not recordings:
        raise DataError(f"{path} has no series behind @data. A .ts file of the UCR archive is expected.")
    if not labelled:
        raise DataError(f"{path} names no class (@classLabel true ...): there is nothing to learn from it.")
    return recordings, targets, lines, classes


def _value(cell: str) -> float:
    cell = cell.strip()
    return float("nan") if cell in ("?", "") else float(cell)


# --- numbered columns ---------------------------------------------------------------------------


def numbered(names: Sequence[str]) -> dict[str, list[str]]:
    """Columns of each channel in the order of their numbers, where all `names` are like x0, y0, x1, y1; else empty.

    At least two channels, each with the same FEWEST_STEPS numbers or more: one alone may be any list of features.
    """
    found: dict[str, dict[int, str]] = defaultdict(dict)
    for name in names:
        match = re.fullmatch(r"(.*?)[_.\- ]?(\d+)", name.strip())
        if match is None or int(match[2]) in found[match[1]]:
            return {}
        found[match[1]][int(match[2])] = name
    counts = {tuple(sorted(channel)) for channel in found.values()}
    if len(counts) != 1 or len(found) < 2:
        return {}
    steps = next(iter(counts))
    if len(steps) < FEWEST_STEPS or list(steps) != list(range(steps[0], steps[0] + len(steps))):
        return {}
    return {channel or "x": [steps_of[k] for k in steps] for channel, steps_of in found.items()}


def from_table(raw: Raw, experiment: Experiment) -> Raw:
    """A table whose columns are the steps of series, as series. Raises DataError for a cell that is no number."""
    frame = raw.x
    channels = numbered(list(frame.columns)) or {"x": list(frame.columns)}  # type: ignore[union-attr]
    x = np.empty((len(raw.ids), len(next(iter(channels.values()))), len(channels)), np.float64)
    for c, names in enumerate(channels.values()):
        for step, name in enumerate(names):
            cells = frame[name].tolist()  # type: ignore[call-overload]
            values = columns.floats(cells)
            if values is None:
                bad = next(
                    i for i, cell in enumerate(cells) if not columns.is_missing(cell) and columns.number(cell) is None
                )
                raise DataError(f"{raw.ids[bad]}: {name} = {cells[bad]!r} is no number, and a step of a series is one.")
            x[:, step, c] = values
    found, notices = gather(list(x), raw.ids, experiment.steps)
    named = ", ".join(f"{channel} ({names[0]} to {names[-1]})" for channel, names in channels.items())
    notices.append(f'Columns are the steps of series: {named}. kind = "table" reads them as columns of a table.')
    raw.notices += notices
    return Raw(
        kind="series", x=found, y=raw.y, targets=raw.targets, parts=raw.parts, ids=raw.ids, groups=raw.groups,
        times=raw.times, channels=tuple(channels), notices=raw.notices,
    )  # fmt: skip


def names(count: int) -> tuple[str, ...]:
    """Of channels that have none."""
    return ("x",) if count == 1 else tuple(f"x{i + 1}" for i in range(count))
