"""Files of clips: each is decoded once, a small grey picture of every frame."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kexp.data.doctor import files, leaks
from kexp.data.doctor.case import Case, counted, finding
from kexp.records import Finding

SIDE = 16  # of the grey picture that a frame is compared by
STILL = 0.5  # of 255: mean difference of a frame from the first, below which nothing moves
DARK = 4.0  # of 255: brightest grey, below which nothing is seen
EVERY = 8  # frames; of the first as many, each is looked at
SHORT = 0.2  # of the usual number of frames


@dataclass(slots=True)
class Seen:
    """What one file is; or why it cannot be read."""

    reason: str = ""
    width: int = 0
    height: int = 0
    frames: int = 0
    rate: float = 0.0
    moves: float = 0.0  # largest mean difference of a frame from the first
    brightest: float = 0.0


def check(case: Case) -> list[Finding]:
    """Findings on the files of clips."""
    seen = files.each(case, watch, 10, "watching")
    found = files.broken(case, {file: one.reason for file, one in seen.items() if one.reason}, "clip")
    good = {file: one for file, one in seen.items() if not one.reason}
    if not good:
        return found
    return found + _contents(case, good) + _forms(case, good) + _told_by_files(case, good)


def watch(file: Path) -> Seen:
    """What is in a file of a clip."""
    import av

    if file.stat().st_size == 0:
        return Seen(reason="is empty")
    seen = Seen()
    first = None
    try:
        with av.open(str(file)) as container:
            if not container.streams.video:
                return Seen(reason="holds no pictures")
            stream = container.streams.video[0]
            seen.rate = float(stream.average_rate or 0)
            promised = stream.frames
            for frame in container.decode(stream):
                seen.frames += 1
                seen.width, seen.height = frame.width, frame.height
                if seen.frames > EVERY and seen.frames % EVERY:
                    continue
                grey = frame.reformat(SIDE, SIDE, "gray").to_ndarray().astype(np.float32)
                first = grey if first is None else first
                seen.moves = max(seen.moves, float(np.abs(grey - first).mean()))
                seen.brightest = max(seen.brightest, float(grey.max()))
    except (av.FFmpegError, OSError, ValueError) as error:
        told = files.sniff(file)
        if told in ("web page", "text", "Git LFS pointer", "zip", "PDF", "zeros"):
            return Seen(reason=f"is {told}, no clip")
        after = f" after {counted(seen.frames, 'frame')}" if seen.frames else ""
        return Seen(reason=f"is cut off or damaged{after} ({str(error).split(';')[0].split('] ')[-1]})")
    if not seen.frames:
        return Seen(reason="holds no frame")
    if promised and seen.frames < 0.9 * promised:
        return Seen(reason=f"is cut off: {seen.frames:,} of {promised:,} frames are there")
    return seen


def _contents(case: Case, good: dict[Path, Seen]) -> list[Finding]:
    found = []
    single = [case.name(file) for file, one in good.items() if one.frames == 1]
    if single:
        what = f"{counted(len(single), 'clip has', 'clips have')} a single frame."
        found.append(finding("single_frame", "warning", what, single, "These are pictures. Remove them."))
    still = [
        case.name(file) for file, one in good.items() if one.frames > 1 and one.moves < STILL and one.brightest >= DARK
    ]
    if still:
        what = f"In {counted(len(still), 'clip')} nothing moves."
        found.append(finding("still_clips", "warning", what, still, "See whether the recording stuck."))
    dark = [case.name(file) for file, one in good.items() if one.brightest < DARK]
    if dark:
        what = f"{counted(len(dark), 'clip is', 'clips are')} black from end to end."
        found.append(finding("black_clips", "warning", what, dark, "Record again, or remove them."))
    usual = float(np.median([one.frames for one in good.values()]))
    short = [f"{case.name(file)}: {one.frames}" for file, one in good.items() if 1 < one.frames < SHORT * usual]
    if short:
        what = f"{counted(len(short), 'clip has', 'clips have')} far fewer frames than usual ({usual:.0f})."
        found.append(finding("short_clips", "warning", what, short, "See whether the recording was cut off."))
    return found


def _forms(case: Case, good: dict[Path, Seen]) -> list[Finding]:
    found = []
    sizes = Counter(f"{one.width} x {one.height}" for one in good.values())
    if len(sizes) > 1:
        usual = sizes.most_common(1)[0][0]
        odd = [f"{case.name(file)} is {one.width} x {one.height}" for file, one in good.items()
               if f"{one.width} x {one.height}" != usual]  # fmt: skip
        what = f"Clips have {len(sizes):,} different sizes (width x height): {files.summary(sizes, 3)}."
        found.append(finding("mixed_sizes", "note", what, odd, "They are cut around their centre and brought to one."))
    rates = Counter(f"{one.rate:.3g} frames a second" for one in good.values() if one.rate)
    if len(rates) > 1:
        usual = rates.most_common(1)[0][0]
        odd = [case.name(file) for file, one in good.items() if f"{one.rate:.3g} frames a second" != usual]
        what = f"Clips have {len(rates)} rates: {files.summary(rates, 3)}."
        found.append(
            finding("mixed_rates", "note", what, odd, "Frames are taken evenly over each clip, whatever its rate.")
        )
    return found


def _told_by_files(case: Case, good: dict[Path, Seen]) -> list[Finding]:
    rows, chosen = files.rows_of(case, good)
    properties = {
        "width": np.array([one.width for one in chosen], np.float64),
        "height": np.array([one.height for one in chosen], np.float64),
        "frame rate": np.array([one.rate for one in chosen], np.float64),
        "number of frames": np.array([one.frames for one in chosen], np.float64),
    }
    return leaks.properties_of_files(case, properties, rows)
