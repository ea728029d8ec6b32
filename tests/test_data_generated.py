"""Generated sets: the same everywhere, as they are described, too hard for one number, and found by their names."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from kexp.data import describe, generated, load
from kexp.data.doctor import examine
from kexp.errors import DataError
from kexp.records import DatasetSpec, Experiment, from_json, to_json


def read(tmp_path, name, **options):
    return load(Experiment(name="x", data=f"generated:{name}", **options), base=tmp_path, cache=tmp_path / "cache")


@pytest.mark.parametrize(
    ("name", "shape", "classes", "digest"),
    [
        ("tones", (400, 4000), 4, "47bf7ade8ed66671"),
        ("motions", (384, 100, 3), 4, "d853038cbff5fe0f"),
        ("clips", (400, 12, 24, 24, 1), 5, "d75c520b9edcc813"),
        ("sales", (1376, 24, 1), 1, "de66ecfc712889df"),
    ],
)
def test_every_machine_makes_the_same(tmp_path, name, shape, classes, digest):
    dataset = read(tmp_path, name)
    assert dataset.x.shape == shape and len(dataset.spec.labels) == classes
    assert hashlib.blake2b(dataset.x.tobytes(), digest_size=8).hexdigest() == digest
    assert dataset.fingerprint == read(tmp_path, name).fingerprint
    assert json.dumps(to_json(dataset.spec)) == json.dumps(to_json(from_json(DatasetSpec, to_json(dataset.spec))))
    assert len(set(dataset.ids)) == len(dataset.ids) == len(dataset.y)


def test_tones_are_what_they_are_called(tmp_path):
    """How the loudest frequency moves through the middle of each sound."""
    dataset = read(tmp_path, "tones")
    assert dataset.spec.rate == 8000 and 0.2 < np.abs(dataset.x).max() < 1
    for label, sign in (("up", 1), ("down", -1)):
        x = dataset.x[dataset.y == dataset.spec.labels.index(label)]
        slopes = []
        for sound in x:
            frames = np.lib.stride_tricks.sliding_window_view(sound, 512)[::64] * np.hanning(512)
            power = np.abs(np.fft.rfft(frames, 4096)) ** 2
            loud = power.max(axis=1)
            inside = np.flatnonzero(loud > 0.3 * loud.max())
            slopes.append(np.polyfit(inside, power[inside].argmax(axis=1), 1)[0])
        assert np.mean(np.array(slopes) * sign > 0) > 0.9


def test_motions_keep_a_person_in_one_part_and_lie_in_gravity(tmp_path):
    dataset = read(tmp_path, "motions")
    people = np.array([name.split(", ")[1] for name in dataset.ids])
    assert len(set(people)) == 12
    assert all(len(set(dataset.part[people == person])) == 1 for person in set(people))
    assert dataset.spec.channels == ("acc x", "acc y", "acc z") and dataset.spec.rate == 50
    still = dataset.x[dataset.y == dataset.spec.labels.index("still")]
    np.testing.assert_allclose(np.linalg.norm(still.mean(axis=1), axis=1), 1.0, atol=0.06)
    spread = {label: dataset.x[dataset.y == i].std(axis=1).mean() for i, label in enumerate(dataset.spec.labels)}
    assert spread["still"] < spread["walking"] < spread["running"]


def test_clips_move_as_they_are_called_and_no_frame_tells(tmp_path):
    """Where the picture correlates best with the one before, on the torus on which the disc moves."""
    dataset = read(tmp_path, "clips")
    assert dataset.x.dtype == np.uint8
    wanted = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}
    for label in wanted:
        x = dataset.x[dataset.y == dataset.spec.labels.index(label)][..., 0].astype(float)
        right = []
        for clip in x:
            first, last = np.fft.fft2(clip[:4].mean(axis=0)), np.fft.fft2(clip[-4:].mean(axis=0))
            found = np.fft.ifft2(last * first.conj()).real
            found[0, 0] = -np.inf
            moved = (np.array(np.unravel_index(found.argmax(), found.shape)) + 12) % 24 - 12
            right.append(np.argmax(moved @ np.array(list(wanted.values())).T) == list(wanted).index(label))
        assert np.mean(right) > 0.6  # a fourth by chance; discs that hardly stand out are not found
    grey = dataset.x[:, 5].mean(axis=(1, 2, 3))
    means = [grey[dataset.y == dataset.spec.labels.index(label)].mean() for label in wanted]
    assert np.ptp(means) < 0.5 * grey.std()  # 80 clips each: a standard error of .11


def test_sales_are_read_as_a_table_of_dates_and_numbers_would_be(tmp_path):
    """The same numbers from a CSV give the same windows, season and parts."""
    dataset = read(tmp_path, "sales", horizon=7, steps=35)
    assert (dataset.spec.horizon, dataset.spec.seasons[0], dataset.spec.shape) == (7, 7, (35, 1))
    assert dataset.spec.labels == tuple(f"sold +{k}" for k in range(1, 8))
    long = read(tmp_path, "sales", horizon=1, steps=2)
    sold = np.concatenate([long.x[0, :, 0], long.y[:, 0]])
    days = np.datetime64("2022-01-03") + np.arange(len(sold))
    lines = [f"{day},{value:.0f}" for day, value in zip(days, sold, strict=True)]
    (tmp_path / "sales.csv").write_text("\n".join(["day,sold", *lines]) + "\n")
    from_file = load(
        Experiment(name="x", data="sales.csv", horizon=7, steps=35), base=tmp_path, cache=tmp_path / "cache"
    )
    np.testing.assert_array_equal(from_file.x, dataset.x)
    np.testing.assert_array_equal(from_file.y, dataset.y)
    np.testing.assert_array_equal(from_file.part, dataset.part)
    assert from_file.spec.seasons == dataset.spec.seasons


def test_a_mistyped_name_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(DataError, match=r"generated:motion is none .* Did you mean 'motions'"):
        read(tmp_path, "motion")
    with pytest.raises(DataError, match=r"Known: clips, motions, sales, tones"):
        read(tmp_path, "xyz")


@pytest.mark.parametrize("name", generated.SETS)
def test_the_doctor_reads_them_and_finds_no_error(tmp_path, name):
    found = examine(Experiment(name="x", data=f"generated:{name}"), cache=tmp_path / "cache")
    assert [one.name for one in found if one.severity == "error"] == []
    (refused,) = examine(Experiment(name="x", data=f"generated:{name}x"), cache=tmp_path / "cache")
    assert refused.severity == "error" and f"Did you mean {name!r}" in refused.what + refused.advice


def test_options_that_change_nothing_are_said(tmp_path):
    dataset = read(tmp_path, "tones", length=1.0, rate=16_000)
    assert "length, rate: not used, generated:tones is as it was made." in dataset.notices
    assert not any("not used" in notice for notice in read(tmp_path, "sales", horizon=2, steps=30).notices)
    assert dict(describe(dataset))["size"] == "0.5 s at 8,000 Hz"


def test_the_sets_are_those_of_the_readme():
    from pathlib import Path

    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.startswith("| bundled sets"))
    assert all(name in line.split("generated:")[1] for name in generated.SETS)
