"""The doctor of series, sounds and clips: planted defects are found with their file, step and channel."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from doctor_cases import (
    clips_in,
    examine,
    frames,
    named,
    planted,
    sounds_in,
    tone,
    walks,
    write,
    write_clip,
    write_npz,
)

from kexp.data.doctor import series, sounds

# -- series ----------------------------------------------------------------------------------------


def test_defects_of_series_are_found_by_recording_step_and_channel(tmp_path):
    x, y = walks()
    x[4, 7, 1] = np.nan
    x[9] = 2.5
    x[30] = x[2]
    x[:, :, 2] = 1.0
    found = examine(write_npz(tmp_path / "walks.npz", x, y), tmp_path)
    assert named(found, "missing_values").where == ("walks.npz x series 4, step 8 of channel x2",)
    assert named(found, "constant_channel").where == ("x3",)
    assert named(found, "twins").where == ("walks.npz x series 2 = walks.npz x series 30",)
    x[:, :, 2] = walks()[0][:, :, 2]
    x[9] = 2.5
    assert named(examine(write_npz(tmp_path / "still.npz", x, y), tmp_path), "still_recordings").where == (
        "still.npz x series 9",
    )


def test_an_infinite_value_in_a_series_is_an_error_and_hides_nothing_else(tmp_path):
    x, y = walks()
    x[3, 5, 0] = np.inf
    x[8, :, 1] = np.nan
    found = examine(write_npz(tmp_path / "walks.npz", x, y), tmp_path)
    assert named(found, "infinite_values").where == ("walks.npz x series 3, step 6 of channel 1",)
    assert named(found, "lost_channel").where == ("walks.npz x series 8, channel 2",)
    assert named(found, "refused").severity == "error"


def test_recordings_in_folders(tmp_path):
    x, y = walks(24)
    for at, (one, label) in enumerate(zip(x, y, strict=True)):
        columns = dict(zip("abc", one[: 20 if at == 6 else 30].T.round(4), strict=True))
        write(tmp_path / "moves" / f"class{label}" / f"{at:02}.csv", columns)
    found = examine(tmp_path / "moves", tmp_path)
    assert named(found, "mixed_lengths").where == ("class0/06.csv has 20",)
    (tmp_path / "moves" / "class1" / "05.csv").write_text("a,b,c\n1,2,x\n")
    write(tmp_path / "moves" / "class1" / "07.csv", {"a": [1, 2], "b": [1, 2]})
    found = examine(tmp_path / "moves", tmp_path)
    assert "class1/05.csv line 2: c = 'x'" in named(found, "unreadable_files").where[0]
    assert named(found, "mixed_columns").where == ("class1/07.csv has a, b",)


def test_recordings_of_unequal_width():
    found = series.of_recordings([("a", np.eye(4)), ("b", np.eye(4)), ("c", np.eye(4)[:, :3])])
    assert named(found, "mixed_channels").where == ("c has 3",)


# -- sounds and clips ------------------------------------------------------------------------------


def silent(root):
    soundfile.write(root / "low" / "2.wav", np.zeros(3200), 8000)


def clipped(root):
    soundfile.write(root / "low" / "2.wav", np.clip(4 * tone(2), -1, 1), 8000)


def offset(root):
    soundfile.write(root / "high" / "3.wav", 0.5 * tone(103) + 0.3, 8000)


def other_rate(root):
    soundfile.write(root / "high" / "1.wav", tone(101, rate=16000), 16000)


def stereo(root):
    soundfile.write(root / "high" / "1.wav", np.stack([tone(101), tone(102)], axis=1), 8000)


def cut_off(root):
    file = root / "low" / "4.wav"
    file.write_bytes(file.read_bytes()[:-1001])


def cut_short(root):
    whole = root / "low" / "4.mp3"
    (root / "low" / "4.wav").unlink()
    soundfile.write(whole, np.tile(tone(4), 8), 8000)
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])


def no_numbers(root):
    x = tone(4)
    x[7] = np.nan
    soundfile.write(root / "low" / "4.wav", x, 8000, subtype="FLOAT")


def too_short(root):
    soundfile.write(root / "low" / "5.wav", tone(5, seconds=0.03), 8000)


def no_sound(root):
    (root / "low" / "1.wav").write_text("<html>not found</html>")


def no_bytes(root):
    (root / "low" / "1.wav").write_bytes(b"")


def heard_twice(root):
    (root / "high" / "again.wav").write_bytes((root / "low" / "0.wav").read_bytes())


@pytest.mark.parametrize(
    ("plant", "name", "severity", "where"),
    [
        (silent, "silence", "warning", "low/2.wav"),
        (clipped, "clipping", "warning", "low/2.wav"),
        (offset, "dc_offset", "warning", "high/3.wav: +0.30"),
        (other_rate, "mixed_rates", "note", "high/1.wav: 16,000 Hz"),
        (stereo, "mixed_channels", "note", "high/1.wav: 2 channels"),
        (cut_off, "unreadable_files", "warning", "low/4.wav: is cut off"),
        (cut_short, "unreadable_files", "warning", "low/4.mp3: is cut off"),
        (no_numbers, "unreadable_files", "warning", "low/4.wav: holds values that are no numbers"),
        (too_short, "short_sounds", "warning", "low/5.wav: 0.03 s"),
        (too_short, "mixed_lengths", "note", "low/5.wav: 0.03 s"),
        (no_sound, "unreadable_files", "warning", "low/1.wav: is web page, no sound"),
        (no_bytes, "empty_files", "warning", "low/1.wav"),
        (heard_twice, "contradictions", "warning", "high/again.wav (high) = low/0.wav (low)"),
    ],
)
def test_a_defect_of_sounds_is_found(tmp_path, plant, name, severity, where):
    root = sounds_in(tmp_path / "sounds")
    plant(root)
    one = planted(examine(root, tmp_path), name, severity, "few_samples", "short_sounds")
    assert any(place.startswith(where) for place in one.where), one


def test_a_pair_of_equal_files_is_one_place_where_the_data_cannot_be_read(tmp_path):
    root = sounds_in(tmp_path / "sounds")
    for at, file in enumerate(root.rglob("[1-5].wav")):
        file.write_text(f"no sound {at}")
    (root / "low" / "again.wav").write_bytes((root / "low" / "0.wav").read_bytes())
    one = named(examine(root, tmp_path), "twins")
    assert (one.where, one.count) == (("low/0.wav = low/again.wav",), 1)


def test_a_loud_sound_that_is_not_clipped_is_not_called_so(tmp_path):
    wave = tone(1)
    soundfile.write(tmp_path / "loud.wav", wave / np.abs(wave).max(), 8000)
    heard = sounds.hear(tmp_path / "loud.wav")
    assert heard.peak > 0.99
    assert heard.clipped == 0


def one_frame(root):
    write_clip(root / "left" / "2.mp4", frames(2)[:1])


def still(root):
    write_clip(root / "left" / "2.mp4", frames(2)[:1] * 12)


def black(root):
    write_clip(root / "right" / "1.mp4", [np.zeros((64, 64, 3), np.uint8)] * 12)


def larger(root):
    write_clip(root / "right" / "3.mp4", frames(103, side=96))


def faster(root):
    write_clip(root / "right" / "3.mp4", frames(103), rate=25)


def cut_clip(root):
    file = root / "left" / "0.mp4"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@pytest.mark.parametrize(
    ("plant", "name", "severity", "where"),
    [
        (one_frame, "single_frame", "warning", "left/2.mp4"),
        (still, "still_clips", "warning", "left/2.mp4"),
        (black, "black_clips", "warning", "right/1.mp4"),
        (larger, "mixed_sizes", "note", "right/3.mp4 is 96 x 96"),
        (faster, "mixed_rates", "note", "right/3.mp4"),
        (cut_clip, "unreadable_files", "warning", "left/0.mp4: is cut off or damaged"),
    ],
)
def test_a_defect_of_clips_is_found(tmp_path, plant, name, severity, where):
    root = clips_in(tmp_path / "clips")
    plant(root)
    one = planted(examine(root, tmp_path), name, severity, "few_samples")
    assert any(place.startswith(where) for place in one.where), one


def test_moments_that_are_there_twice_gaps_and_missing_values_of_a_forecast_are_told(tmp_path):
    days = np.arange(np.datetime64("2024-01-01"), np.datetime64("2024-04-30")).astype(str).tolist()
    rows = [f"{day},{100 + 10 * (i % 7) + i % 3}" for i, day in enumerate(days)]
    path = tmp_path / "sales.csv"
    path.write_text("\n".join(["day,sold", *rows]) + "\n")
    assert examine(path, tmp_path, horizon=3) == []
    rows[40] = f"{days[40]},"
    path.write_text("\n".join(["day,sold", *rows[:21], *rows[20:60], *rows[65:]]) + "\n")
    assert {one.name for one in examine(path, tmp_path)} == {
        "moments_twice",
        "gaps_in_time",
        "missing_steps",
    }  # guessed
    found = {one.name: one for one in examine(path, tmp_path, horizon=3)}
    assert set(found) == {"moments_twice", "gaps_in_time", "missing_steps"}
    assert "sales.csv row 22 and sales.csv row 23" in found["moments_twice"].what
    assert "(sales.csv row 63)" in found["gaps_in_time"].what
