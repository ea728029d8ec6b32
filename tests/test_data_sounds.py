"""Sounds: rates, channels and lengths that differ, files that are broken, and long ones."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
from scipy.signal import resample_poly

from kexp.data import describe, load, read, samples, sounds
from kexp.errors import DataError
from kexp.records import Experiment


def tone(seconds=0.5, rate=8000, pitch=440.0, channels=1, loud=0.5):
    t = np.arange(round(seconds * rate)) / rate
    x = loud * np.sin(2 * np.pi * pitch * t)
    return np.stack([x * (1 - 0.5 * c) for c in range(channels)], axis=1)


def write(path, x=None, rate=8000, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone(rate=rate) if x is None else x, rate, **options)
    return path


def words(root, count=4, classes=("no", "yes"), **options):
    for pitch, label in zip((300, 700), classes, strict=True):
        for i in range(count):
            write(root / label / f"{i}.wav", tone(pitch=pitch + 9 * i), **options)
    return root


def raw(tmp_path, data="words", **options):
    return read(Experiment(name="x", data=data, **options), base=tmp_path, cache=tmp_path / "cache")


def said(found):
    return " ".join(found.notices)


# --- one file -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "error"), [("a.wav", 1e-4), ("a.flac", 1e-4), ("a.ogg", 0.05), ("a.mp3", 0.05)])
def test_every_kind_of_file_is_read(tmp_path, name, error):
    x, rate = sounds.read(write(tmp_path / name, tone(rate=16_000), 16_000))
    assert (x.dtype, x.ndim, rate) == (np.float32, 1, 16_000.0)
    assert len(x) >= 8000
    assert np.abs(x[1000:7000] - tone(rate=16_000)[1000:7000, 0]).max() < error


def test_channels_are_averaged(tmp_path):
    x, _ = sounds.read(write(tmp_path / "a.wav", tone(channels=2), subtype="FLOAT"))
    np.testing.assert_allclose(x, 0.75 * tone()[:, 0], atol=1e-6)


@pytest.mark.parametrize(("rate", "wanted"), [(8000, 16_000), (44_100, 16_000), (48_000, 16_000), (11_025, 8000)])
def test_another_rate_is_what_scipy_makes(tmp_path, rate, wanted):
    x, _ = sounds.read(write(tmp_path / "a.wav", tone(rate=rate), rate))
    common = np.gcd(rate, wanted)
    expected = resample_poly(x, wanted // common, rate // common)
    got = sounds.decode(tmp_path / "a.wav", wanted, len(expected))
    np.testing.assert_array_equal(got, expected.astype(np.float32))
    assert abs(len(got) - 0.5 * wanted) <= 1
    inside = slice(200, -200)
    np.testing.assert_allclose(got[inside], tone(rate=wanted)[: len(got), 0][inside], atol=5e-3)


def test_a_long_sound_is_cut_around_its_middle_and_a_short_one_filled_up():
    x = np.arange(10, dtype=np.float32)
    assert sounds.fit(x, 4).tolist() == [3, 4, 5, 6]
    assert sounds.fit(x, 5).tolist() == [2, 3, 4, 5, 6]
    assert sounds.fit(x[:2], 4).tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize(("rate", "wanted"), [(44_100, 16_000), (48_000, 16_000), (8000, 16_000), (16_000, 16_000)])
@pytest.mark.parametrize("name", ["a.wav", "a.ogg"])
def test_of_a_very_long_file_only_the_middle_is_kept_and_it_is_the_same(tmp_path, monkeypatch, name, rate, wanted):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (rate * 3 + 17, 2))
    path = write(tmp_path / name, noise, rate)
    whole = sounds.decode(path, wanted, wanted)
    kept = []
    monkeypatch.setattr(sounds, "LARGE", 1000)
    monkeypatch.setattr(sounds, "BLOCK", 4096)
    monkeypatch.setattr(sounds, "_whole", kept.append)
    np.testing.assert_allclose(sounds.decode(path, wanted, wanted), whole, atol=1e-6)
    assert not kept


def test_all_of_a_long_file_that_is_wanted_is_read(tmp_path, monkeypatch):
    path = write(tmp_path / "a.wav")
    whole = sounds.decode(path, 8000, 9000)
    monkeypatch.setattr(sounds, "LARGE", 1000)
    np.testing.assert_array_equal(sounds.decode(path, 8000, 9000), whole)


def test_an_mp3_without_a_frame_is_not_said_to_be_missing(tmp_path):
    (tmp_path / "a.mp3").write_bytes(b"ID3" + bytes(300))
    with pytest.raises(DataError, match=r"a\.mp3 is no sound.*\(there is no sound in it\)"):
        sounds.decode(tmp_path / "a.mp3", 8000, 100)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"a\.wav is no sound, or damaged: a wav, flac, ogg or mp3 is expected"),
        (b"words, not sound", r"a\.wav is no sound"),
        (b"RIFF\x24\0\0\0WAVEfmt ", r"a\.wav is no sound"),
    ],
)
def test_what_is_no_sound_is_named(tmp_path, content, message):
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(DataError, match=message):
        sounds.decode(tmp_path / "a.wav", 8000, 100)


def test_no_samples_and_values_that_are_no_numbers_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"empty\.wav holds no samples"):
        sounds.read(write(tmp_path / "empty.wav", np.zeros((0, 1))))
    x = tone()
    x[100] = np.nan
    with pytest.raises(DataError, match=r"nan\.wav holds values that are no numbers. Replace"):
        sounds.read(write(tmp_path / "nan.wav", x, subtype="FLOAT"))
    with pytest.raises(DataError, match=r"gone\.wav is no sound"):
        sounds.read(tmp_path / "gone.wav")


def test_of_a_file_that_is_cut_off_what_is_there_is_read(tmp_path):
    """Its header announces more, for which soundfile's own blocks hand out memory that nobody has written to."""
    whole = write(tmp_path / "whole.mp3", tone(seconds=3))
    content = whole.read_bytes()
    (tmp_path / "cut.mp3").write_bytes(content[: len(content) // 2])
    x, cut = sounds.read(whole)[0], sounds.read(tmp_path / "cut.mp3")[0]
    assert 0.3 * len(x) < len(cut) < 0.7 * len(x)
    np.testing.assert_allclose(cut[: len(cut) - 2000], x[: len(cut) - 2000], atol=1e-3)


def test_a_wrong_ending_does_not_matter_and_a_stream_is_read(tmp_path):
    flac = write(tmp_path / "a.flac")
    flac.rename(tmp_path / "a.wav")
    np.testing.assert_allclose(sounds.read(tmp_path / "a.wav")[0], tone()[:, 0], atol=1e-4)
    stream = io.BytesIO((tmp_path / "a.wav").read_bytes())
    np.testing.assert_array_equal(sounds.read(stream)[0], sounds.read(tmp_path / "a.wav")[0])


# --- folders --------------------------------------------------------------------------------------


def test_class_folders(tmp_path):
    words(tmp_path / "words")
    found = raw(tmp_path)
    assert (found.kind, found.labels, found.rate, found.x.shape) == ("sound", ("no", "yes"), 8000.0, (8, 4000))
    assert found.x.dtype == np.float32 and found.ids[0] == "no/0.wav" and found.notices == []
    np.testing.assert_array_equal(found.x[5], sounds.decode(tmp_path / "words" / "yes" / "1.wav", 8000, 4000))


def test_rates_channels_and_lengths_that_differ_are_met_and_said(tmp_path):
    root = words(tmp_path / "words", 4)
    write(root / "no" / "44.wav", tone(rate=44_100), 44_100)
    write(root / "no" / "stereo.ogg", tone(0.2, channels=2))
    write(root / "yes" / "long.flac", tone(3.0))
    found = raw(tmp_path)
    assert found.rate == 8000 and found.x.shape == (11, 24_000)
    text = said(found)
    assert "brought to 8,000 Hz (10 of 8,000 Hz, 1 of 44,100 Hz). --rate HZ" in text
    assert "Of 1 of the sounds, the channels are averaged." in text
    assert "Sounds last 0.2 to 3 s and are brought to 3 s: 0 are cut around their middle, 10 filled up" in text
    assert said(raw(tmp_path)) == text  # from the cache too
    short = raw(tmp_path, length=0.5, rate=16_000)
    assert short.rate == 16_000 and short.x.shape == (11, 8000)
    assert "1 are cut around their middle, 1 filled up with silence" in said(short)


def test_songs_are_reduced_to_what_a_phone_can_take(tmp_path):
    for label in ("blues", "jazz"):
        for i in range(3):
            write(tmp_path / "songs" / label / f"{i}.ogg", np.tile(tone(1, 22_050, 200 + i), (60, 1)), 22_050)
    found = raw(tmp_path, "songs")
    assert found.rate == 16_000 and found.x.shape == (6, 160_000)
    assert "Sounds last 60 to 60 s and are brought to 10 s: 6 are cut around their middle" in said(found)


def test_the_second_time_nothing_is_decoded(tmp_path, monkeypatch):
    words(tmp_path / "words")
    first = raw(tmp_path)
    monkeypatch.setattr(sounds, "decode", None)
    monkeypatch.setattr(soundfile, "info", None)
    again = raw(tmp_path)
    np.testing.assert_array_equal(again.x, first.x)
    assert again.rate == first.rate


def test_one_broken_sound_is_skipped_and_named_and_more_are_refused(tmp_path):
    root = words(tmp_path / "words", 6)
    (root / "no" / "3.wav").write_bytes(b"")
    found = raw(tmp_path)
    assert len(found.x) == len(found.ids) == 11 and "no/3.wav" not in found.ids
    assert "Skipped 1 of 12 sounds" in said(found) and "3.wav is no sound" in said(found)
    (root / "yes" / "1.wav").write_text("words")
    with pytest.raises(DataError, match=r"2 of 12 sounds cannot be read; at most 1"):
        raw(tmp_path)


def test_when_no_sound_can_be_read_the_first_are_named(tmp_path):
    for label in ("a", "b"):
        for i in range(3):
            (tmp_path / "words" / label).mkdir(parents=True, exist_ok=True)
            (tmp_path / "words" / label / f"{i}.wav").write_text("words")
    with pytest.raises(DataError, match=r"6 of 6 sounds cannot be read.*\n.*a/0\.wav is no sound"):
        raw(tmp_path)


def test_a_flat_folder_says_that_class_folders_are_expected(tmp_path):
    write(tmp_path / "flat" / "a.wav")
    with pytest.raises(DataError, match=r"holds sounds outside class folders only, such as a\.wav\. One folder for"):
        raw(tmp_path, "flat")


def test_a_saved_set_says_what_a_sample_is(tmp_path):
    words(tmp_path / "words", 8)
    dataset = load(Experiment(name="x", data="words"), base=tmp_path, cache=tmp_path / "cache")
    assert dict(describe(dataset))["size"] == "0.5 s at 8,000 Hz"
    assert dataset.spec.mean == () and dataset.spec.rate == 8000.0


# --- kexp run -------------------------------------------------------------------------------------


def test_kexp_run_reads_a_file_as_training_did_and_what_is_written_is_exact(tmp_path):
    root = words(tmp_path / "words", 8)
    write(root / "no" / "other.ogg", tone(0.7, 44_100, channels=2), 44_100)
    dataset = load(Experiment(name="x", data="words"), base=tmp_path, cache=tmp_path / "cache")
    for file, x in zip(dataset.files, dataset.x, strict=True):
        (sample,) = samples.read(type(tmp_path)(file), dataset.spec)
        np.testing.assert_array_equal(sample.x, x)
    written = samples.SAMPLES["sound"].write(dataset.x[3], dataset.spec, tmp_path / "golden")
    (sample,) = samples.read(written, dataset.spec)
    np.testing.assert_array_equal(sample.x, dataset.x[3])
