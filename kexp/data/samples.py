"""SAMPLES: what one file of a user is to a model, by kind of data; for `kexp run`, and for golden vectors.

Neither TensorFlow nor pandas: a program that only runs a model imports this.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kexp.data.columns import LARGEST, encode_row
from kexp.errors import DataError
from kexp.records import PLURALS, DatasetSpec, Kind

Array = NDArray[Any]


class Sample(NamedTuple):
    """One sample as the model takes it, (*shape,), where it came from, and what is unusual about it."""

    source: str
    x: Array
    warnings: Sequence[str] = ()


@dataclass(frozen=True)
class Form:
    """Files of one kind: how they are read, how a sample is written (not of tables), and what they are called.

    `suffixes` are those that a file must have; None: its content tells. `stem` of what is written has no suffix.
    """

    read: Callable[[Path, DatasetSpec], Iterator[Sample]]
    expected: str
    suffixes: tuple[str, ...] | None = None
    write: Callable[[Array, DatasetSpec, Path], Path] | None = None  # sample, spec, stem -> the file


TABLES = (".csv", ".tsv", ".parquet")


def read(path: Path, spec: DatasetSpec) -> Iterator[Sample]:
    """The samples in one file of a user. Raises DataError, naming file and row, for one that does not suit."""
    form = SAMPLES[spec.kind]
    suffix = path.suffix.lower()
    if suffix == ".npy":
        yield from _array(path, spec)
        return
    if form.suffixes is not None and suffix not in form.suffixes:
        raise DataError(f"{path}: this model takes {TAKES[spec.kind]}. Give {form.expected}.")
    if form.suffixes is None and suffix in TABLES:
        raise DataError(f"{path}: this model takes {TAKES[spec.kind]}. Give {form.expected}.")
    yield from form.read(path, spec)


def _picture(path: Path, spec: DatasetSpec) -> Iterator[Sample]:
    from kexp.data.pictures import decode

    height, width, channels = spec.shape
    yield Sample(str(path), decode(path, (height, width, channels)))


def _write_picture(x: Array, spec: DatasetSpec, stem: Path) -> Path:
    from PIL import Image

    path = stem.with_name(f"{stem.name}.png")
    Image.fromarray(x[:, :, 0] if x.shape[2] == 1 else x).save(path)
    return path


def _rows(path: Path, spec: DatasetSpec) -> Iterator[Sample]:
    from kexp.data.tables import read_file

    table = read_file(path)
    for line, cells in zip(table.lines, zip(*table.columns.values(), strict=True), strict=True):
        source = f"{path} line {line}"
        try:
            vector, warnings = encode_row(dict(zip(table.columns, cells, strict=True)), spec.columns)
        except DataError as error:
            raise DataError(f"{source}: {error}") from error
        yield Sample(source, vector, warnings)


def _recording(path: Path, spec: DatasetSpec) -> Iterator[Sample]:
    """One series: a row for each step; columns by the names of the channels, or in their order.

    Where the columns are the steps of the channels, x0, y0, x1, y1, each row is one; so is each line of a .ts.
    """
    from kexp.data import series, ts

    if path.suffix.lower() == ".ts":
        found, _, lines, _ = ts.parse(path, labelled=False)
        for line, one in zip(lines, found, strict=True):
            if one.shape[1] != spec.shape[1]:
                raise DataError(f"{path} line {line} has {one.shape[1]} channels, {spec.shape[1]} are expected.")
            yield _series(one, f"{path} line {line}", spec)
        return
    from kexp.data.tables import read_file

    table = read_file(path, headless=True)
    like_steps = [name for name in table.columns if name[-1:].isdigit()]
    channels = series.numbered(like_steps, fewest=1)
    if tuple(channels) == spec.channels and not set(spec.channels) <= set(table.columns):
        ids = [f"{path} line {line}" for line in table.lines]
        for source, one in zip(ids, series.side_by_side(table.columns, channels, ids), strict=True):
            yield _series(one, source, spec)
        return
    yield _series(_steps(path, spec), str(path), spec)


def _steps(path: Path, spec: DatasetSpec) -> Array:
    """(n, channels) of a file with a row for each step; of a forecast in the order of its dates, if it has any."""
    from kexp.data import recordings

    names, values, dated = recordings.read(path, spec.channels)
    absent = [name for name in spec.channels if name not in names]
    if not absent:
        places = [names.index(name) for name in spec.channels]
    else:
        timed = [c for c, name in enumerate(names) if recordings.is_time(name)]
        rising = [c for c in timed if recordings.rises(values[:, c])]
        others = [c for c in range(len(names)) if c not in rising]
        # As in training, where columns of times are left out.
        places = others if len(others) == len(spec.channels) < len(names) else list(range(len(names)))
        if len(places) != len(spec.channels):
            raise DataError(
                f"{path} has {len(names)} columns ({', '.join(names[:8])}); {len(spec.channels)} channels are expected:"
                f" {', '.join(spec.channels)}."
            )
        told = any(c in rising or names[c] in dated for c in timed if c in places)
        if told or len(absent) < len(spec.channels):  # in their order, columns would be others than they say
            raise DataError(
                f"{path} has no column {', '.join(absent)} (its columns: {', '.join(names[:8])}). Give the channels "
                f"{', '.join(spec.channels)} by name."
            )
    values = values[:, places]
    return values[_in_order(path)] if spec.horizon else values


def _in_order(path: Path) -> Array:
    """The places of the rows of a table, (n,), the oldest first, by its first column of dates, if it has one."""
    from kexp.data import columns
    from kexp.data.tables import read_file

    table = read_file(path, headless=True)
    for name, cells in table.columns.items():
        format = columns.date_format(columns.count(cells))
        if format is not None:
            moments = [columns.date(cell, format) for cell in cells]
            for line, cell, moment in zip(table.lines, cells, moments, strict=True):
                if moment is None or np.isnan(moment):
                    raise DataError(f"{path} line {line}: {name} = {cell!r} is no date, which the other rows have.")
            return np.argsort(np.array(moments, np.float64), kind="stable")
    return np.arange(len(table.lines))


def _series(values: Array, source: str, spec: DatasetSpec) -> Sample:
    """(n, channels) as the model takes it: of a forecast the last steps, otherwise brought to the length."""
    from kexp.data import series

    steps = spec.shape[0]
    beyond = np.abs(values) > LARGEST  # NaN, a missing value, is not
    if beyond.any():
        raise DataError(f"{source}: step {np.argwhere(beyond)[0][0] + 1} holds an infinite value. Correct it.")
    warnings: list[str] = []
    if spec.horizon:
        if len(values) < steps:
            raise DataError(
                f"{source} has {len(values)} rows, the forecast looks back on {steps}. Give that many, or more."
            )
        gaps = int(np.isnan(values[-steps:]).sum())
        if gaps:
            warnings.append(f"{gaps} missing values were taken from the row before")
        values = series.carried(values)[-steps:]
    try:
        x, missing = series.filled(values)
    except ValueError as error:
        raise DataError(f"{source}: {error}. Fill it in.") from error
    if missing:
        warnings.append(f"{missing} missing values were drawn straight between their neighbours")
    if len(x) != steps:
        what = "cut around their middle" if len(x) > steps else "filled up with the last"
        warnings.append(f"{len(x)} rows were {what}: {steps} are expected")
        x = series.fit(x, steps)
    return Sample(source, x, warnings)


def _write_recording(x: Array, spec: DatasetSpec, stem: Path) -> Path:
    path = stem.with_name(f"{stem.name}.csv")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(spec.channels)
        writer.writerows([[repr(float(value)) for value in row] for row in x])
    return path


def _sound(path: Path, spec: DatasetSpec) -> Iterator[Sample]:
    from kexp.data.sounds import decode

    yield Sample(str(path), decode(path, spec.rate, spec.shape[0]))


def _write_sound(x: Array, spec: DatasetSpec, stem: Path) -> Path:
    import soundfile

    path = stem.with_name(f"{stem.name}.wav")
    soundfile.write(path, x, round(spec.rate), subtype="FLOAT")
    return path


def _clip(path: Path, spec: DatasetSpec) -> Iterator[Sample]:
    """A video; or a picture of all frames one below the other, as golden vectors are written."""
    frames, height, width, channels = spec.shape
    if path.suffix.lower() == ".png":
        from kexp.data.pictures import decode

        strip = decode(path, (frames * height, width, channels))
        yield Sample(str(path), strip.reshape(spec.shape))
        return
    from kexp.data import clips

    yield Sample(str(path), clips.decode(path, (frames, height, width, channels)))


def _write_clip(x: Array, spec: DatasetSpec, stem: Path) -> Path:
    return _write_picture(x.reshape(-1, *x.shape[2:]), spec, stem)


def _array(path: Path, spec: DatasetSpec) -> Iterator[Sample]:
    """Raw samples (n, *shape), or one (*shape,): pictures 0..255, encoded rows, series as measured, sounds -1..1."""
    try:
        x = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{path} is no .npy array of numbers: {error}. Write it with numpy.save.") from error
    shape = ", ".join(map(str, spec.shape))
    if not isinstance(x, np.ndarray) or x.dtype.kind not in "uifb":
        raise DataError(f"{path} holds no numbers. Expected: (n, {shape}), raw samples.")
    if x.shape == spec.shape:
        x = x[None]
    if x.shape[1:] != spec.shape:
        raise DataError(f"{path} is {x.shape}: (n, {shape}) is expected, raw samples.")
    warning = []
    if spec.kind != "table":
        bad = np.flatnonzero(~np.isfinite(x.astype(float)).reshape(len(x), -1).all(axis=1))
        if len(bad):
            ranges = "Pixels are 0 to 255." if spec.pixels else "Numbers are expected."
            raise DataError(f"{path} sample {bad[0]} holds a value that is no number. {ranges}")
    if spec.pixels and len(x) and 0 < x.max() <= 1:
        warning = ["largest pixel is 1 or less: 0 to 255 is expected"]
    if spec.kind == "sound" and len(x) and np.abs(x).max() > 2:
        warning = ["values beyond 2: -1 to 1 is expected"]
    yield from (Sample(f"{path} sample {i}", sample, warning) for i, sample in enumerate(x))


SAMPLES: dict[Kind, Form] = {
    "image": Form(_picture, "pictures, or raw pixels as .npy", None, _write_picture),
    "table": Form(_rows, "CSV files with a header, or rows as .npy", TABLES),
    "series": Form(
        _recording, "a CSV for each series, a row for each step, or .npy", (".csv", ".tsv", ".ts"), _write_recording
    ),
    "sound": Form(_sound, "sound files (wav, flac, ogg, mp3), or samples as .npy", None, _write_sound),
    "clip": Form(_clip, "video files (mp4, avi, gif ...), or frames as .npy", None, _write_clip),
}
TAKES: dict[Kind, str] = {**PLURALS, "table": "rows of a table"}
