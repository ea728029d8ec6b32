"""Recordings: a CSV for each series, in class folders or named by a list."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kexp.data import load, read, recordings, samples
from kexp.errors import DataError
from kexp.records import Experiment

NAN = float("nan")


def raw(tmp_path, data="motions", **options):
    return read(Experiment(name="x", data=data, **options), base=tmp_path, cache=tmp_path / "cache")


def said(found):
    return " ".join(found.notices)


def values(i, steps=12, channels=2):
    return np.round(np.arange(steps)[:, None] / 8 + np.arange(channels) + i, 3)


def write(path, x, header=("ax", "ay"), times=None, separator=","):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [separator.join(header)] if header else []
    for k, row in enumerate(x):
        cells = [*([] if times is None else [str(times[k])]), *("" if np.isnan(v) else repr(float(v)) for v in row)]
        lines.append(separator.join(cells))
    path.write_text("\n".join(lines) + "\n")
    return path


def motions(root, count=4, **options):
    for j, label in enumerate(("run", "walk")):
        for i in range(count):
            write(root / label / f"{i}.csv", values(i + 10 * j), **options)
    return root


# --- one file -------------------------------------------------------------------------------------


def test_with_a_header_without_and_with_other_separators(tmp_path):
    for header, names in ((("ax", "ay"), ("ax", "ay")), ((), ("x1", "x2")), (("0", "1"), ("0", "1"))):
        for separator in ",;\t":
            found, x = recordings.recording(write(tmp_path / "a.csv", values(3), header, separator=separator))
            assert found == names
            np.testing.assert_array_equal(x, values(3))


def test_a_file_without_header_may_begin_with_a_gap(tmp_path):
    x = values(3)
    x[0, 0] = x[4, 1] = NAN
    names, found = recordings.recording(write(tmp_path / "a.csv", x, ()))
    assert names == ("x1", "x2")
    np.testing.assert_array_equal(found, x)


def test_what_is_no_number_is_named_with_its_line(tmp_path):
    path = write(tmp_path / "a.csv", values(1))
    path.write_text(path.read_text().replace("1.25,2.25", "1.25,two"))
    with pytest.raises(DataError, match=r"a\.csv line 4: ay = 'two' is no number"):
        recordings.recording(path)
    for content, message in (
        ("", "is empty"),
        ("ax,ay\n", "has a header and no rows"),
        ("ax,ay\n1\n", "line 2: 1 cel"),
    ):
        path.write_text(content)
        with pytest.raises(DataError, match=message):
            recordings.recording(path)


def test_dates_become_seconds(tmp_path):
    times = [f"2024-03-01 10:00:{k / 50:06.3f}" for k in range(12)]
    path = write(tmp_path / "a.csv", values(1), ("timestamp", "ax", "ay"), times)
    found = recordings.read(path)
    assert found.dates == {"timestamp"}
    np.testing.assert_allclose(np.diff(found.values[:, 0]), 0.02, atol=1e-5)


# --- folders --------------------------------------------------------------------------------------


def test_class_folders(tmp_path):
    motions(tmp_path / "motions")
    found = raw(tmp_path)
    assert (found.kind, found.labels, found.x.shape) == ("series", ("run", "walk"), (8, 12, 2))
    assert (found.channels, found.rate, found.ids[4]) == (("ax", "ay"), 0.0, "walk/0.csv")
    np.testing.assert_array_equal(found.x[5], values(11).astype(np.float32))
    assert found.files[0].endswith("run/0.csv") and found.notices == []


def test_parts_lengths_and_gaps(tmp_path):
    motions(tmp_path / "motions" / "train", 6)
    motions(tmp_path / "motions" / "test", 2)
    x = values(0, 20)
    x[3, 0] = NAN
    write(tmp_path / "motions" / "train" / "run" / "long.csv", x)
    found = raw(tmp_path, steps=10)
    assert found.x.shape == (17, 10, 2) and sorted(set(found.parts.tolist())) == [-1, 2]
    assert "1 missing values" in said(found) and "12 to 20 steps and are brought to 10: 17 are cut" in said(found)


@pytest.mark.parametrize(
    ("name", "times", "rate"),
    [
        ("time", np.arange(12) / 50, 50.0),
        ("t", np.arange(12) * 20, 50.0),
        ("Timestamp", np.arange(12) * 20 + 1_700_000_000_000, 50.0),
        ("seconds", np.arange(12) * 5, 0.2),
        ("time (s)", np.arange(12) * 2, 0.5),
        ("ms", np.arange(12) * 2000, 0.5),
        ("index", np.arange(12) * 2, 0.0),
        ("frame", np.arange(12), 0.0),
        ("", np.arange(12), 0.0),  # the index that pandas writes
        ("time", [f"2024-03-01T10:00:{k / 10:06.3f}+02:00" for k in range(12)], 10.0),
    ],
)
def test_a_column_of_times_is_left_out_and_tells_the_rate(tmp_path, name, times, rate):
    motions(tmp_path / "motions", header=(name, "ax", "ay"), times=times)
    found = raw(tmp_path)
    assert found.channels == ("ax", "ay") and found.x.shape == (8, 12, 2)
    assert "only tells the time and is left out" in said(found)
    assert found.rate == pytest.approx(rate, rel=1e-3)


def test_a_column_called_t_that_does_not_rise_is_a_channel(tmp_path):
    motions(tmp_path / "motions", header=("t", "ax", "ay"), times=np.arange(12) % 5)
    assert raw(tmp_path).channels == ("t", "ax", "ay")


def test_times_alone_are_no_recording(tmp_path):
    for label in "ab":
        for i in range(3):
            write(tmp_path / "motions" / label / f"{i}.csv", np.empty((9, 0)), ("t",), np.arange(9))
    with pytest.raises(DataError, match="has no column of values beside times"):
        raw(tmp_path)


def test_columns_in_another_order_are_put_right_and_others_are_refused(tmp_path):
    root = motions(tmp_path / "motions")
    write(root / "run" / "turned.csv", values(0)[:, ::-1], ("ay", "ax"))
    found = raw(tmp_path)
    np.testing.assert_array_equal(found.x[found.ids.index("run/turned.csv")], values(0).astype(np.float32))
    write(root / "walk" / "other.csv", values(0), ("ax", "gx"))
    found = raw(tmp_path)
    assert len(found.x) == len(found.ids) == 9 and "walk/other.csv" not in found.ids
    assert "other.csv has the columns ax, gx; most recordings have ax, ay" in said(found)
    write(root / "walk" / "more.csv", values(0, channels=3), ("ax", "ay", "az"))
    with pytest.raises(DataError, match=r"2 of 11 recordings cannot be read; at most 1[\s\S]*other\.csv has the"):
        raw(tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "is empty"),
        ("ax,ay\n1,inf\n2,2\n", "step 1 of channel 2 is infinite"),
        ("ax,ay\n1,\n2,\n", "channel 2 has no value"),
        ("ax,ay\n1,two\n", "ay = 'two' is no number"),
    ],
)
def test_one_broken_recording_is_skipped_and_named_and_more_are_refused(tmp_path, content, reason):
    root = motions(tmp_path / "motions")
    (root / "run" / "1.csv").write_text(content)
    found = raw(tmp_path)
    assert len(found.x) == len(found.y) == len(found.ids) == len(found.files) == 7
    assert "Skipped 1 of 8 recordings" in said(found) and reason in said(found)
    np.testing.assert_array_equal(found.x[1], values(2).astype(np.float32))
    (root / "walk" / "1.csv").write_text(content)
    with pytest.raises(DataError, match=r"2 of 8 recordings cannot be read"):
        raw(tmp_path)


def test_a_list_of_recordings_knows_groups_and_numbers(tmp_path):
    root = motions(tmp_path / "motions")
    lines = ["file,speed,person"]
    for label in ("run", "walk"):
        lines += [f"{label}/{i}.csv,{i + 0.5},p{i % 2}" for i in range(4)]
    (root / "list.csv").write_text("\n".join(lines))
    found = raw(tmp_path, "motions/list.csv", target=("speed",), group_column="person")
    assert (found.kind, found.x.shape, found.targets) == ("series", (8, 12, 2), ("speed",))
    assert found.groups.tolist() == ["p0", "p1"] * 4 and found.channels == ("ax", "ay")
    assert raw(tmp_path, target=("speed",), group_column="person").groups is not None  # the folder is read by its list
    assert raw(tmp_path).groups is None  # ... where the experiment names a column of it


def test_a_column_of_words_that_are_names_of_tables_is_no_list(tmp_path):
    for name in ("train", "test"):
        lines = ["a,part,y"] + [f"{i},{('train', 'test')[i % 2]},{i % 5}" for i in range(20)]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines))
    assert raw(tmp_path, "train.csv").kind == "table"


# --- kexp run -------------------------------------------------------------------------------------


def test_kexp_run_reads_a_file_as_training_did_and_what_is_written_is_exact(tmp_path):
    root = motions(tmp_path / "motions", 8, header=("time", "ax", "ay"), times=np.arange(12) / 50)
    x = values(0, 15) / 3
    x[2, 1] = NAN
    write(root / "run" / "long.csv", x, ("time", "ax", "ay"), np.arange(15) / 50)
    dataset = load(Experiment(name="x", data="motions"), base=tmp_path, cache=tmp_path / "cache")
    for file, found in zip(dataset.files, dataset.x, strict=True):
        (sample,) = samples.read(Path(file), dataset.spec)
        np.testing.assert_array_equal(sample.x, found)
    long = dataset.x[dataset.ids.index("run/long.csv")]
    written = samples.SAMPLES["series"].write(long, dataset.spec, tmp_path / "golden")
    (sample,) = samples.read(written, dataset.spec)
    np.testing.assert_array_equal(sample.x, long)


def test_kexp_run_takes_headless_files_and_more_columns_and_says_what_it_lacks(tmp_path):
    motions(tmp_path / "motions", 8)
    spec = load(Experiment(name="x", data="motions"), base=tmp_path, cache=tmp_path / "cache").spec

    def x(*arguments, **options):
        (sample,) = samples.read(write(tmp_path / "a.csv", *arguments, **options), spec)
        return sample.x

    np.testing.assert_array_equal(x(values(1), ()), values(1).astype(np.float32))
    turned = x(values(1)[:, ::-1], ("when", "ay", "ax"), ["noon"] * 12)
    np.testing.assert_array_equal(turned, values(1).astype(np.float32))
    timed = x(values(1), ("t", "gx", "gy"), np.arange(12))
    np.testing.assert_array_equal(timed, values(1).astype(np.float32))
    with pytest.raises(DataError, match=r"has 1 columns \(ax\); 2 channels are expected: ax, ay"):
        x(values(1, channels=1), ("ax",))
    bad = values(1)
    bad[3, 0] = np.inf
    with pytest.raises(DataError, match=r"a\.csv: step 4 holds an infinite value"):
        x(bad)
