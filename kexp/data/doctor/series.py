"""Series, before missing values are drawn over and lengths are made equal: what the recordings hold."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kexp.data import recordings, tables, ts
from kexp.data import series as readers
from kexp.data.doctor.case import Case, counted, finding, listed
from kexp.errors import DataError
from kexp.records import Finding, Severity

Recordings = list[tuple[str, NDArray[np.float64]]]  # name, (steps, channels), NaN where missing


def check(case: Case) -> list[Finding]:
    """Findings on the recordings as the user has them; where they lie otherwise, as they were read."""
    found, refused = _recordings(case)
    if not found and case.raw is not None and isinstance(case.raw.x, np.ndarray):
        found = [(name, np.asarray(x, np.float64)) for name, x in zip(case.raw.ids, case.raw.x, strict=True)]
    names = case.raw.channels if case.raw is not None else ()
    return refused + of_recordings(found, names)


def of_recordings(found: Recordings, names: tuple[str, ...] = ()) -> list[Finding]:
    """Findings on recordings (name, (steps, channels)): values, channels, lengths. `names` are of the channels."""
    if not found:
        return []
    widths = Counter(x.shape[1] for _, x in found)
    usual = widths.most_common(1)[0][0]
    told: list[Finding] = []
    odd = [f"{name} has {x.shape[1]}" for name, x in found if x.shape[1] != usual]
    if odd:
        what = f"{counted(len(odd), 'recording')} of {len(found):,} have another number of channels than {usual}."
        told.append(finding("mixed_channels", "error", what, odd, "The same channels are expected in every recording."))
    told += _values([(name, x) for name, x in found if x.shape[1] == usual], usual, names)
    lengths = Counter(len(x) for _, x in found)
    if len(lengths) > 1:
        usual_length = lengths.most_common(1)[0][0]
        others = [f"{name} has {len(x):,}" for name, x in found if len(x) != usual_length]
        what = f"Recordings have {min(lengths):,} to {max(lengths):,} steps, most of them {usual_length:,}."
        advice = "Longer ones are cut, shorter ones filled up; --steps N sets the length."
        told.append(finding("mixed_lengths", "note", what, others, advice))
    return told


def _values(found: Recordings, width: int, names: tuple[str, ...]) -> list[Finding]:
    told: list[Finding] = []
    infinite, lost, still = [], [], []
    missing, share = [], 0
    constant = np.ones(width, np.bool_)  # in every recording, the same value
    first = np.full(width, np.nan)
    gone = np.zeros(width, np.int64)  # recordings that lack a channel
    for name, x in found:
        bad = np.isinf(x)
        if bad.any():
            step, channel = np.argwhere(bad)[0]
            infinite.append(f"{name}, step {step + 1} of channel {_channel(names, int(channel))}")
        nan = np.isnan(x)
        if nan.any():
            share += int(nan.sum())
            step, channel = np.argwhere(nan)[0]
            missing.append(f"{name}, step {step + 1} of channel {_channel(names, int(channel))}")
            gone += nan.all(axis=0)
            if nan.all(axis=0).any():
                lost.append(f"{name}, channel {_channel(names, int(np.flatnonzero(nan.all(axis=0))[0]))}")
        clean = np.where(np.isfinite(x), x, np.nan)
        with np.errstate(all="ignore"):
            low, high = np.fmin.reduce(clean, axis=0), np.fmax.reduce(clean, axis=0)
        first = np.where(np.isnan(first), low, first)
        constant &= np.isnan(low) | ((low == first) & (high == first))
        if len(x) > 1 and bool(np.all(np.isnan(low) | (low == high))):
            still.append(name)
    if infinite:
        what = f"{counted(len(infinite), 'recording holds', 'recordings hold')} infinite values."
        told.append(finding("infinite_values", "error", what, infinite, "Correct them, or mark them as missing (NaN)."))
    if lost:
        what = f"{counted(len(lost), 'recording has', 'recordings have')} a channel without any value."
        told.append(finding("lost_channel", "error", what, lost, "Remove these recordings, or the channel from all."))
    if missing:
        total = sum(x.size for _, x in found)
        what = f"{counted(len(missing), 'recording lacks', 'recordings lack')} values ({share / total:.2%} of all)."
        severity: Severity = "warning" if share > 0.05 * total else "note"
        advice = "They are drawn straight between their neighbours."
        told.append(finding("missing_values", severity, what, missing, advice))
    same = [_channel(names, int(c)) for c in np.flatnonzero(constant)]
    if same and len(same) < width and len(found) > 1:
        what = f"{counted(len(same), 'channel is', 'channels are')} the same everywhere: {listed(same)}."
        told.append(
            finding("constant_channel", "warning", what, same, "It says nothing: a sensor may be off. Remove it.")
        )
    if still:
        what = (
            f"{counted(len(still), 'recording does', 'recordings do')} not move: one value per channel from end to end."
        )
        told.append(finding("still_recordings", "warning", what, still, "A sensor was off or stuck. Remove them."))
    return told


def _channel(names: tuple[str, ...], index: int) -> str:
    return names[index] if index < len(names) else str(index + 1)


def _recordings(case: Case) -> tuple[Recordings, list[Finding]]:
    """The recordings in the user's files, as far as they can be read, and errors on those that cannot."""
    path = case.path
    if path.suffix.lower() == ".npz" or (path / "train.npz").is_file():
        return _npz(path), []
    if path.suffix.lower() == ".ts" or (path.is_dir() and any(path.glob("*.ts"))):
        return _ts(path)
    if path.is_dir() and case.files:
        return _files(case)
    return _wide(case), []


def _npz(path: Path) -> Recordings:
    found: Recordings = []
    for file in sorted(path.glob("*.npz")) if path.is_dir() else [path]:
        try:
            with np.load(file, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files if name.lower().startswith("x")}
        except (OSError, ValueError):
            continue
        for name, x in arrays.items():
            if x.dtype.kind in "buif" and x.ndim in (2, 3):
                whole = np.asarray(x if x.ndim == 3 else x[:, :, None], np.float64)
                found += [(f"{file.name} {name} series {i}", one) for i, one in enumerate(whole)]
    return found


def _ts(path: Path) -> tuple[Recordings, list[Finding]]:
    found: Recordings = []
    refused: list[str] = []
    match = ts.NAME.fullmatch(path.name)
    for file in sorted((path if path.is_dir() else path.parent).glob("*.ts")):
        other = ts.NAME.fullmatch(file.name)
        if match and other and match["set"] != other["set"]:
            continue
        try:
            values, _, lines, _ = ts.parse(file)
        except DataError as error:
            refused.append(str(error))
            continue
        found += [(f"{file.name} line {line}", x) for line, x in zip(lines, values, strict=True)]
    return found, _unreadable(refused, len(refused))


def _files(case: Case) -> tuple[Recordings, list[Finding]]:
    found: Recordings = []
    headers: Counter[tuple[str, ...]] = Counter()
    read: list[tuple[Path, tuple[str, ...], NDArray[np.float64]]] = []
    refused: list[str] = []
    for at, file in enumerate(case.files):
        if at % 50 == 0:
            case.progress(at, len(case.files), f"reading recordings {at:,}/{len(case.files):,}")
        try:
            names, values = recordings.recording(file)
        except DataError as error:
            refused.append(str(error).replace(str(file), case.name(file)))
            continue
        headers[names] += 1
        read.append((file, names, values))
    told = _unreadable(refused, len(case.files))
    if not read:
        return [], told
    usual = headers.most_common(1)[0][0]
    odd = [f"{case.name(file)} has {listed(names, 4)}" for file, names, _ in read if names != usual]
    if odd:
        what = f"{counted(len(odd), 'recording')} of {len(read):,} have other columns than {listed(usual, 6)}."
        told.append(finding("mixed_columns", "error", what, odd, "The same columns are expected in every recording."))
    found = [(case.name(file), values) for file, names, values in read if names == usual]
    return found, told


def _unreadable(refused: list[str], total: int) -> list[Finding]:
    if not refused:
        return []
    what = f"{counted(len(refused), 'recording file')} of {total:,} cannot be read."
    return [finding("unreadable_files", "error", what, refused, "Correct, replace or remove them.")]


def _wide(case: Case) -> Recordings:
    """Tables whose columns are steps, and long tables: rows of one recording each, or one recording."""
    if not tables.find(case.path):  # a set that a formula makes
        return []
    try:
        raw = tables.read(case.path, case.question)
    except DataError:
        return []
    frame = raw.x
    if isinstance(frame, np.ndarray):
        return []
    channels = readers.numbered([str(name) for name in frame.columns])
    if not channels:
        return []
    from kexp.data import columns

    stacked = np.empty((len(raw.ids), len(next(iter(channels.values()))), len(channels)))
    for c, names in enumerate(channels.values()):
        for step, name in enumerate(names):
            values = columns.floats(frame[name].tolist())
            if values is None:
                return []
            stacked[:, step, c] = values
    return list(zip(raw.ids, stacked, strict=True))
