"""Files of sound: each is read once, block by block."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kexp.data.doctor import files, leaks
from kexp.data.doctor.case import Case, counted, finding
from kexp.data.sounds import blocks_of, duration, reason
from kexp.records import Finding

BLOCK = 1 << 18  # samples read at a time
SILENT = 10 ** (-60 / 20)  # peak of full scale, -60 dB, below which nothing can be heard
FULL = 0.999  # of full scale
RUN = 3  # samples in a row at full scale are clipped; one may just touch it
CLIPPED = 0.001  # of the samples in such runs
OFFSET = 0.05  # of full scale, and above a third of what the sound is: a microphone without a filter
SHORT = 0.2  # of the usual length


@dataclass(slots=True)
class Heard:
    """What one file is; or why it cannot be read."""

    reason: str = ""
    rate: int = 0
    channels: int = 0
    frames: int = 0
    peak: float = 0.0
    mean: float = 0.0
    spread: float = 0.0  # standard deviation of all samples
    clipped: float = 0.0  # share of the samples at full scale in runs of RUN or more
    numbers: bool = True  # no value is NaN or infinite: such a file is not read
    same: bool = False  # several channels of which all say the same

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.frames / self.rate if self.rate else 0.0


def check(case: Case) -> list[Finding]:
    """Findings on the files of sounds."""
    heard = files.each(case, hear, 50, "listening")
    found = files.broken(case, {file: one.reason for file, one in heard.items() if one.reason}, "sound")
    good = {file: one for file, one in heard.items() if not one.reason}
    if not good:
        return found
    return found + _levels(case, good) + _forms(case, good) + _told_by_files(case, good)


def hear(file: Path) -> Heard:
    """What is in a file of sound."""
    import soundfile

    if file.stat().st_size == 0:
        return Heard(reason="is empty")
    told = files.sniff(file)
    try:
        with soundfile.SoundFile(str(file)) as sound:
            heard = Heard(rate=sound.samplerate, channels=sound.channels, same=sound.channels > 1)
            _listen(sound, heard)
            promised = sound.frames
    except (soundfile.LibsndfileError, RuntimeError, OSError) as error:
        strange = told and told not in ("WAV", "FLAC", "Ogg", "MP3")
        what = f"is {told}, no sound" if strange else f"cannot be decoded ({reason(error)})"
        return Heard(reason=what)
    if not heard.frames:
        return Heard(reason="holds no samples")
    if not heard.numbers:
        return Heard(reason="holds values that are no numbers")
    if heard.frames < promised:
        return Heard(reason=f"is cut off: {heard.frames:,} of {promised:,} samples are there")
    if told == "WAV" and (lacking := _lacking(file)):
        return Heard(reason=f"is cut off: {lacking:,} bytes of its samples are missing")
    return heard


def _listen(sound: object, heard: Heard) -> None:
    total = squares = 0.0
    clipped = count = 0
    for block in blocks_of(sound, BLOCK):
        if not np.isfinite(block).all():
            heard.numbers = False
            block = np.nan_to_num(block)
        heard.frames += len(block)
        heard.peak = max(heard.peak, float(np.abs(block).max(initial=0.0)))
        total += float(block.sum(dtype=np.float64))
        squares += float((block.astype(np.float64) ** 2).sum())
        count += block.size
        heard.same = heard.same and bool((block == block[:, :1]).all())
        full = np.abs(block) >= FULL
        if full.any():
            runs = full[: len(full) - 2] & full[1:-1] & full[2:] if len(full) >= RUN else np.zeros_like(full[:0])
            inside = np.zeros_like(full)
            for shift in range(RUN):
                inside[shift : shift + len(runs)] |= runs
            clipped += int(inside.sum())
    if count:
        heard.mean = total / count
        heard.spread = max(squares / count - heard.mean**2, 0.0) ** 0.5
        heard.clipped = clipped / count


def _lacking(file: Path) -> int:
    """How many bytes the data chunk of a WAV announces beyond the end of the file; 0 where the length is not known."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        at = 12
        while at + 8 <= size:
            stream.seek(at)
            head = stream.read(8)
            name, length = head[:4], int.from_bytes(head[4:], "little")
            if name == b"data":
                unknown = length in (0, 0xFFFFFFFF, 0x7FFFFFFF)  # written by a program that could not go back
                return 0 if unknown else max(0, at + 8 + length - size)
            at += 8 + length + length % 2
    return 0


def _levels(case: Case, good: dict[Path, Heard]) -> list[Finding]:
    found = []
    silent = [case.name(file) for file, one in good.items() if one.peak < SILENT]
    if silent:
        what = f"{counted(len(silent), 'sound is', 'sounds are')} silent (no sample above -60 dB)."
        found.append(finding("silence", "warning", what, silent, "Record again, or remove, unless silence is a class."))
    clipped = [
        f"{case.name(file)}: {one.clipped:.1%} of its samples" for file, one in good.items() if one.clipped > CLIPPED
    ]
    if clipped:
        what = f"{counted(len(clipped), 'sound is', 'sounds are')} clipped: it was too loud for the recorder."
        found.append(
            finding("clipping", "warning", what, clipped, "Record with less gain where that can be done again.")
        )
    offset = [
        f"{case.name(file)}: {one.mean:+.2f} of full scale"
        for file, one in good.items()
        if abs(one.mean) > OFFSET and abs(one.mean) > one.spread / 3
    ]
    if offset:
        what = f"{counted(len(offset), 'sound has', 'sounds have')} a DC offset: it swings around another level than 0."
        found.append(
            finding("dc_offset", "warning", what, offset, "Subtract the mean, or check the microphone's input.")
        )
    return found


def _forms(case: Case, good: dict[Path, Heard]) -> list[Finding]:
    found = []
    rates = {file: f"{one.rate:,} Hz" for file, one in good.items()}
    channels = {file: counted(one.channels, "channel") for file, one in good.items()}
    for name, what, of, advice in (
        ("mixed_rates", "sample rates", rates, "They are brought to one rate."),
        ("mixed_channels", "numbers of channels", channels, "Channels are averaged."),
    ):
        counts = Counter(of.values())
        if len(counts) > 1:
            usual = counts.most_common(1)[0][0]
            odd = [f"{case.name(file)}: {form}" for file, form in of.items() if form != usual]
            text = f"Sounds have {len(counts)} {what}: {files.summary(counts)}."
            found.append(finding(name, "note", text, odd, advice))
    seconds = np.array([one.seconds for one in good.values()])
    usual_length = float(np.median(seconds))
    brief = {file: one.seconds for file, one in good.items() if one.seconds < SHORT * usual_length}
    short = [f"{case.name(file)}: {duration(its)} s" for file, its in brief.items()]
    if short:
        what = f"{counted(len(short), 'sound is', 'sounds are')} much shorter than usual ({duration(usual_length)} s)."
        found.append(
            finding("short_sounds", "warning", what, short, "Listen to them: a recording may have been cut off.")
        )
    if seconds.max() > 1.5 * seconds.min():
        what = f"Sounds last {duration(seconds.min())} to {duration(seconds.max())} s, "
        what += f"half of them {duration(usual_length)} s or less."
        advice = "Longer ones are cut, shorter ones filled up with silence; --length sets the length."
        order = sorted(good, key=lambda file: good[file].seconds)
        ends = [f"{case.name(file)}: {duration(good[file].seconds)} s" for file in (order[0], order[-1])]
        found.append(finding("mixed_lengths", "note", what, ends, advice))
    return found


def _told_by_files(case: Case, good: dict[Path, Heard]) -> list[Finding]:
    rows, chosen = files.rows_of(case, good)
    properties = {
        "sample rate": np.array([one.rate for one in chosen], np.float64),
        "number of channels": np.array([one.channels for one in chosen], np.float64),
        "length": np.array([one.seconds for one in chosen], np.float64),
    }
    return leaks.properties_of_files(case, properties, rows)
