"""One file of a user as a sample, by kind of data: what training saw, and what does not suit."""

from __future__ import annotations

import subprocess
import sys
import typing
from pathlib import Path

import numpy as np
import pytest

from kexp.data import load, samples
from kexp.errors import DataError
from kexp.records import AXES, Column, DatasetSpec, Experiment, Kind

SHAPES = {"image": (4, 6, 3), "series": (5, 2), "sound": (80,), "clip": (3, 4, 6, 1)}


def spec_of(kind, shape=None, **options):
    shape = shape or SHAPES[kind]
    series = {"channels": tuple(f"c{i}" for i in range(shape[-1]))} if kind == "series" else {}
    sound = {"rate": 8000.0} if kind == "sound" else {}
    return DatasetSpec(
        name="x", kind=kind, task="binary", shape=shape, outputs=1, labels=("no", "yes"), **series, **sound, **options
    )


def sample_of(kind, shape=None):
    draw = np.random.default_rng(0)
    shape = shape or SHAPES[kind]
    if kind in ("image", "clip"):
        return draw.integers(0, 256, shape, np.uint8)
    return draw.uniform(-1, 1, shape).astype(np.float32)


def test_every_kind_has_its_files():
    assert set(samples.SAMPLES) == set(samples.TAKES) == set(typing.get_args(Kind)) == set(AXES)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("image", (4, 6, 3)), ("image", (5, 5, 1)), ("clip", (3, 4, 6, 1)), ("clip", (2, 5, 3, 3)), ("series", (5, 2)),
        ("series", (7, 1)), ("sound", (80,)),
    ],
)  # fmt: skip
def test_what_is_written_is_read_exactly(tmp_path, kind, shape):
    x, spec = sample_of(kind, shape), spec_of(kind, shape)
    path = samples.SAMPLES[kind].write(x, spec, tmp_path / "01.golden")
    assert path.name.startswith("01.golden.")
    (sample,) = samples.read(path, spec)
    np.testing.assert_array_equal(sample.x, x)
    assert not sample.warnings and sample.source == str(path)


@pytest.mark.parametrize("kind", ["series", "sound"])
@pytest.mark.parametrize("value", [1e-30, -3.4e38, 1 / 3, 16_777_217.0])
def test_any_value_of_float32_is_written_exactly(tmp_path, kind, value):
    x = np.full(SHAPES[kind], value, np.float32)
    (sample,) = samples.read(samples.SAMPLES[kind].write(x, spec_of(kind), tmp_path / "a"), spec_of(kind))
    np.testing.assert_array_equal(sample.x, x)


@pytest.mark.parametrize("kind", SHAPES)
def test_arrays_are_raw_samples(tmp_path, kind):
    x = np.stack([sample_of(kind)] * 3)
    np.save(tmp_path / "a.npy", x)
    found = list(samples.read(tmp_path / "a.npy", spec_of(kind)))
    np.testing.assert_array_equal([sample.x for sample in found], x)
    assert found[2].source.endswith("a.npy sample 2")
    np.save(tmp_path / "a.npy", x[0])
    assert len(list(samples.read(tmp_path / "a.npy", spec_of(kind)))) == 1
    np.save(tmp_path / "a.npy", x[:, :2])
    with pytest.raises(DataError, match=r"a\.npy is \(3, 2.*is expected, raw samples"):
        list(samples.read(tmp_path / "a.npy", spec_of(kind)))
    bad = x.astype(np.float32)
    bad[1].flat[0] = np.nan
    np.save(tmp_path / "a.npy", bad)
    with pytest.raises(DataError, match=r"a\.npy sample 1 holds a value that is no number"):
        list(samples.read(tmp_path / "a.npy", spec_of(kind)))
    np.save(tmp_path / "a.npy", np.array(["a"]))
    with pytest.raises(DataError, match="holds no numbers"):
        list(samples.read(tmp_path / "a.npy", spec_of(kind)))


@pytest.mark.parametrize(
    ("kind", "name", "content", "message"),
    [
        ("image", "a.csv", "a,b\n1,2\n", r"a\.csv: this model takes pictures. Give pictures"),
        ("sound", "a.csv", "a,b\n1,2\n", r"a\.csv: this model takes sounds. Give sound files"),
        ("clip", "a.tsv", "a\tb\n1\t2\n", r"a\.tsv: this model takes clips. Give video files"),
        ("series", "a.png", "", r"a\.png: this model takes series. Give a CSV for each series"),
        ("table", "a.wav", "", r"a\.wav: this model takes rows of a table. Give CSV files"),
        ("sound", "a.wav", "words", r"a\.wav is no sound"),
        ("clip", "a.mp4", "words", r"a\.mp4 is no clip"),
        ("image", "a.jpg", "words", r"a\.jpg is no picture"),
        ("series", "a.csv", "", r"a\.csv is empty"),
        ("series", "a.npy", "words", r"a\.npy is no \.npy array of numbers"),
    ],
)
def test_files_of_another_kind_are_refused_by_name(tmp_path, kind, name, content, message):
    (tmp_path / name).write_text(content)
    spec = (
        DatasetSpec(
            name="x", kind="table", task="binary", shape=(1,), outputs=1, labels=("no", "yes"),
            columns=(Column(name="a", kind="number"),),
        )
        if kind == "table"
        else spec_of(kind)
    )  # fmt: skip
    with pytest.raises(DataError, match=message):
        list(samples.read(tmp_path / name, spec))


def test_a_picture_and_a_row_are_read_as_training_did(tmp_path):
    from PIL import Image

    draw = np.random.default_rng(0)
    for label in "ab":
        (tmp_path / "photos" / label).mkdir(parents=True)
        for i in range(8):
            Image.fromarray(draw.integers(0, 256, (90, 120, 3), np.uint8)).save(
                tmp_path / "photos" / label / f"{i}.jpg"
            )
    photos = load(Experiment(name="x", data="photos"), base=tmp_path, cache=tmp_path / "cache")
    for file, x in zip(photos.files, photos.x, strict=True):
        np.testing.assert_array_equal(next(samples.read(Path(file), photos.spec)).x, x)
    lines = ["size,colour,y"] + [f"{i * 7 % 31},{'red' if i % 3 else 'blue'},{i % 2}" for i in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    table = load(Experiment(name="x", data="t.csv", target=("y",)), base=tmp_path, cache=tmp_path / "cache")
    rows = list(samples.read(tmp_path / "t.csv", table.spec))
    np.testing.assert_array_equal([row.x for row in rows], table.x)
    assert rows[4].source.endswith("t.csv line 6")


def test_what_is_unusual_about_a_series_is_said(tmp_path):
    spec = spec_of("series")

    def warnings(lines):
        (tmp_path / "a.csv").write_text("\n".join(["c0,c1", *lines]))
        return list(next(samples.read(tmp_path / "a.csv", spec)).warnings)

    assert warnings(["1,2"] * 5) == []
    assert warnings(["1,2"] * 8) == ["8 rows were cut around their middle: 5 are expected"]
    assert warnings(["1,2"] * 3) == ["3 rows were filled up with the last: 5 are expected"]
    assert warnings(["1,2", "NA,2", *["1,2"] * 3]) == ["1 missing values were drawn straight between their neighbours"]
    with pytest.raises(DataError, match=r"a\.csv: channel 2 has no value. Fill it in"):
        warnings(["1,"] * 5)


@pytest.mark.parametrize("cell", ["inf", "-Infinity", "1e39"])
def test_a_series_with_a_value_beyond_float32_is_refused(tmp_path, cell):
    path = tmp_path / "a.csv"
    path.write_text("c0,c1\n1,2\n3," + cell + "\n")
    with pytest.raises(DataError, match=r"a\.csv: step 2 holds an infinite value"):
        list(samples.read(path, spec_of("series")))


def test_samples_of_series_are_read_without_pandas_and_tensorflow(tmp_path):
    (tmp_path / "a.csv").write_text("\n".join(["c0,c1", *["1,2"] * 5]))
    code = (
        "import sys; from pathlib import Path\n"
        "from kexp.data import samples; from kexp.records import DatasetSpec\n"
        "spec = DatasetSpec(name='x', kind='series', task='binary', shape=(5, 2), outputs=1, labels=('a', 'b'),"
        " channels=('c0', 'c1'))\n"
        f"assert next(samples.read(Path({str(tmp_path / 'a.csv')!r}), spec)).x.shape == (5, 2)\n"
        "assert not {'pandas', 'tensorflow', 'av', 'soundfile', 'scipy'} & set(sys.modules), sorted(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
