"""Series: one length for all, gaps, .ts files of the UCR archive, and columns that are steps."""

from __future__ import annotations

import numpy as np
import pytest

from kexp.data import load, read, samples, series, ts
from kexp.errors import DataError
from kexp.records import Experiment

NAN = float("nan")


def raw(tmp_path, data, **options):
    return read(Experiment(name="x", data=data, **options), base=tmp_path, cache=tmp_path / "cache")


def said(found):
    return " ".join(found.notices)


# --- one length, no gaps --------------------------------------------------------------------------


def test_a_series_is_cut_around_its_middle_or_its_last_values_are_repeated():
    x = np.arange(14, dtype=np.float32).reshape(7, 2)
    np.testing.assert_array_equal(series.fit(x, 3), x[2:5])
    np.testing.assert_array_equal(series.fit(x, 9), np.concatenate([x, x[-1:], x[-1:]]))
    np.testing.assert_array_equal(series.fit(x, 7), x)


def test_missing_values_are_drawn_straight_between_their_neighbours():
    x, count = series.filled(np.array([[NAN, 1], [2, NAN], [NAN, NAN], [8, 4], [NAN, 5]]))
    np.testing.assert_allclose(x, [[2, 1], [2, 2], [5, 3], [8, 4], [8, 5]])
    assert count == 5 and x.dtype == np.float32
    with pytest.raises(ValueError, match="channel 2 has no value"):
        series.filled(np.array([[1, NAN], [2, NAN]]))


def test_a_carried_value_is_the_one_before_and_never_one_that_comes():
    x = series.carried(np.array([[NAN, 1], [2, NAN], [NAN, NAN], [8, 4]]))
    np.testing.assert_array_equal(x, [[NAN, 1], [2, 1], [2, 1], [8, 4]])


def test_most_are_whole_in_the_length_chosen_and_what_is_done_is_said():
    lengths = [40] * 2 + [50] * 37 + [400]
    x, notices = series.gather([np.ones((n, 2)) for n in lengths], [str(n) for n in lengths], None)
    assert x.shape == (40, 50, 2)
    assert notices == [
        "Recordings have 40 to 400 steps and are brought to 50: 1 are cut around their middle, 2 have their last "
        "values repeated. --steps N sets another number."
    ]
    assert series.gather([np.ones((n, 2)) for n in lengths], [str(n) for n in lengths], 30)[0].shape == (40, 30, 2)
    assert series.gather([np.ones((20_000, 1))] * 3, list("abc"), None)[0].shape == (3, series.LONGEST, 1)


def test_an_infinite_value_another_width_and_an_empty_channel_are_named():
    good = np.ones((5, 2))
    with pytest.raises(DataError, match="b has 3 channels, a has 2"):
        series.gather([good, np.ones((5, 3))], ["a", "b"], None)
    bad = good.copy()
    bad[3, 1] = np.inf
    with pytest.raises(DataError, match="b: step 4 of channel 2 is infinite"):
        series.gather([good, bad], ["a", "b"], None)
    bad[:, 1] = NAN
    with pytest.raises(DataError, match=r"b: channel 2 has no value\. Remove the recording"):
        series.gather([good, bad], ["a", "b"], None)


# --- .ts ------------------------------------------------------------------------------------------

HEADER = """# A comment
@problemName Waves
@timeStamps false
@univariate {univariate}
@classLabel true low high
@data
"""


def waves(path, count=12, channels=1, steps=8, lengths=None, header=HEADER):
    lines = []
    for i in range(count):
        n = lengths[i % len(lengths)] if lengths else steps
        cells = [",".join(f"{i + c + k / 8}" for k in range(n)) for c in range(channels)]
        lines.append(":".join([*cells, "low" if i % 2 else "high"]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(header.format(univariate=str(channels == 1).lower()) + "\n".join(lines) + "\n")
    return path


def test_one_channel_with_train_and_test(tmp_path):
    waves(tmp_path / "set" / "Waves_TRAIN.ts", 14)
    waves(tmp_path / "set" / "Waves_TEST.ts", 6)
    for data in ("set", "set/Waves_TRAIN.ts", "set/Waves_TEST.ts"):
        found = raw(tmp_path, data)
        assert (found.kind, found.x.shape, found.channels, found.targets) == ("series", (20, 8, 1), ("x",), ("class",))
        assert found.y[:2].tolist() == ["high", "low"] and found.parts.tolist() == [-1] * 14 + [2] * 6
        assert found.x[2, :, 0].tolist() == [2 + k / 8 for k in range(8)]
        assert found.ids[0] == "Waves_TRAIN.ts line 7"
        assert "The data bring their own parts: Waves_TRAIN.ts, Waves_TEST.ts." in said(found)


def test_several_channels_of_unequal_lengths_with_gaps(tmp_path):
    path = waves(tmp_path / "Waves.ts", 12, channels=3, lengths=[8, 8, 8, 6])
    path.write_text(path.read_text().replace("0.0,0.125,0.25", "0.0,?,0.25"))
    found = raw(tmp_path, "Waves.ts")
    assert found.x.shape == (12, 8, 3) and found.channels == ("x1", "x2", "x3") and found.parts is None
    assert found.x[0, 1, 0] == 0.125 and found.x[0, 0].tolist() == [0, 1, 2]
    assert "1 missing values were drawn straight" in said(found)
    assert "6 to 8 steps and are brought to 8: 0 are cut around their middle, 3 have" in said(found)
    assert raw(tmp_path, "Waves.ts", steps=4).x.shape == (12, 4, 3)


def test_numbers_to_be_predicted(tmp_path):
    header = "@problemName Heat\n@univariate true\n@targetlabel true\n@data\n"
    lines = [f"{i},{i + 1},{i + 2}:{i / 4}" for i in range(20)]
    lines[5] = "5,6,7:?"
    (tmp_path / "Heat.ts").write_text(header + "\n".join(lines))
    found = raw(tmp_path, "Heat.ts")
    assert found.y.shape == (19, 1) and found.y[6, 0] == 7 / 4 and found.targets == ("value",)
    assert "1 row has no target and is left out, such as Heat.ts line 10" in said(found)
    dataset = load(Experiment(name="x", data="Heat.ts"), base=tmp_path, cache=tmp_path / "cache")
    assert dataset.spec.task == "regression"
    (tmp_path / "Heat.ts").write_text(header + "\n".join([*lines, "1,2,3:hot"]))
    with pytest.raises(DataError, match=r"Heat\.ts line 25: the target 'hot' is no number, and @targetLabel says so"):
        raw(tmp_path, "Heat.ts")


def test_the_file_that_is_named_is_the_one_that_is_read(tmp_path):
    waves(tmp_path / "Waves.ts", 8)
    waves(tmp_path / "Waves_TRAIN.ts", 20)
    waves(tmp_path / "Other_TRAIN.ts", 10)
    assert len(raw(tmp_path, "Waves.ts").x) == 8
    assert len(raw(tmp_path, "Other_TRAIN.ts").x) == 10
    with pytest.raises(DataError, match=r"holds 2 sets of series \(Other, Waves\). Name a file"):
        raw(tmp_path, ".")


def test_a_test_file_alone_is_divided(tmp_path):
    waves(tmp_path / "Waves_TEST.ts", 20)
    found = raw(tmp_path, "Waves_TEST.ts")
    assert len(found.x) == 20 and found.parts is None


@pytest.mark.parametrize(
    ("content", "is_one"),
    [
        (b"@problemName Waves\n@data\n1,2:a\n", True),
        (b"# comment\n" * 5000 + b"  @Data\n1:a\n", True),
        (b"\x47\x40\x11\x10\0@data\n" + bytes(500), False),  # MPEG
        (b"import { Component } from '@angular/core';\n@Component({ selector: 'app' })\nexport class A {}\n", False),
        (b"const x = 1;\n", False),
        (b"", False),
    ],
)
def test_videos_and_typescript_are_no_series(tmp_path, content, is_one):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.ts").write_bytes(content)
    assert ts.matches(tmp_path / "set" / "a.ts") == ts.matches(tmp_path / "set") == is_one


def test_other_files_called_ts_beside_a_set_are_left_alone(tmp_path):
    waves(tmp_path / "set" / "Waves_TRAIN.ts", 12)
    (tmp_path / "set" / "film.ts").write_bytes(b"\x47" + bytes(187))
    (tmp_path / "set" / "code.ts").write_text("@Injectable()\nexport class A {}\n")
    (tmp_path / "set" / "folder.ts").mkdir()
    assert len(raw(tmp_path, "set").x) == 12


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("@classLabel true a b\n@data\n", "has no series behind @data"),
        ("@classLabel true a b\n@data\n1,two:a\n", "line 3: could not convert string to float: 'two'"),
        ("@classLabel true a b\n@data\na\n", "line 3: no values before the target"),
        ("@classLabel true a b\n@data\n1,2:3:a\n", "line 3: channels of different lengths"),
        ("@classLabel false\n@data\n1,2\n", "names no class"),
        ("@timestamps true\n@classLabel true a\n@data\n(0,1),(1,2):a\n", "has time stamps in its values"),
    ],
)
def test_a_ts_file_that_cannot_be_right_is_named_with_its_line(tmp_path, lines, message):
    (tmp_path / "a.ts").write_text(lines)
    with pytest.raises(DataError, match=rf"a\.ts.*{message}"):
        raw(tmp_path, "a.ts")


def test_parts_of_different_sorts_are_refused(tmp_path):
    waves(tmp_path / "W_TRAIN.ts")
    (tmp_path / "W_TEST.ts").write_text("@targetlabel true\n@data\n1,2,3,4,5,6,7,8:0.5\n")
    with pytest.raises(DataError, match="one has classes, the other numbers"):
        raw(tmp_path, "W_TEST.ts")


# --- numbered columns -----------------------------------------------------------------------------


def wide(tmp_path, names, rows=24, extra=None, cell=lambda row, column: f"{row + column / 100}", name="wide.csv"):
    head = [*names, *(extra or {}), "move"]
    lines = [",".join(head)]
    for i in range(rows):
        own = [cell(i, c) for c in range(len(names))]
        lines.append(",".join([*own, *(values[i % len(values)] for values in (extra or {}).values()), "ab"[i % 2]]))
    (tmp_path / name).write_text("\n".join(lines) + "\n")
    return name


POINTS = [f"{axis}{k}" for k in range(10) for axis in "xy"]


def test_columns_of_two_channels_are_the_steps_of_series(tmp_path):
    found = raw(tmp_path, wide(tmp_path, POINTS))
    assert (found.kind, found.x.shape, found.channels) == ("series", (24, 10, 2), ("x", "y"))
    np.testing.assert_allclose(found.x[3, 1], [3.02, 3.03])
    assert 'Columns are the steps of series: x (x0 to x9), y (y0 to y9). kind = "table" reads' in said(found)
    assert raw(tmp_path, "wide.csv", steps=5).x.shape == (24, 5, 2)


def test_the_kind_decides_between_table_and_series(tmp_path):
    assert raw(tmp_path, wide(tmp_path, POINTS), kind="table").kind == "table"
    one = wide(tmp_path, [f"t{k}" for k in (2, 0, 1, 3, 4)], name="one.csv")
    assert raw(tmp_path, one).kind == "table"
    found = raw(tmp_path, one, kind="series")
    assert (found.x.shape, found.channels) == ((24, 5, 1), ("t",))
    np.testing.assert_allclose(found.x[0, :, 0], [0.01, 0.02, 0, 0.03, 0.04])  # by their numbers
    loose = raw(tmp_path, wide(tmp_path, ["a", "b", "c"], name="loose.csv"), kind="series")
    assert (loose.x.shape, loose.channels) == ((24, 3, 1), ("x",))


@pytest.mark.parametrize(
    "names",
    [
        [f"v{k}" for k in range(12)],  # one channel: any list of features
        ["x1", "y1", "x2", "y2", "x3", "y3"],  # too few steps: these are three points
        ["x0", "x1", "x2", "x3", "y0", "y1", "y2", "y4"],  # other numbers
        ["x0", "x1", "x2", "x4", "y0", "y1", "y2", "y4"],  # a gap
        [*POINTS, "age"],
    ],
)
def test_other_columns_stay_a_table(tmp_path, names):
    assert raw(tmp_path, wide(tmp_path, names)).kind == "table"


def test_numbered_questions_with_words_for_answers_stay_a_table(tmp_path):
    names = [f"{part}{k}" for part in "qp" for k in range(5)]
    path = wide(tmp_path, names, cell=lambda row, column: ("yes", "no", "maybe")[(row + column) % 3])
    assert raw(tmp_path, path).kind == "table"
    with pytest.raises(DataError, match=r"wide\.csv row 2: q0 = 'yes' is no number.*--drop q0"):
        raw(tmp_path, path, kind="series")


def test_missing_cells_and_columns_that_are_no_steps(tmp_path):
    name = wide(
        tmp_path, POINTS, extra={"who": ["ann", "bob"], "id": ["7", "9"]},
        cell=lambda row, column: "NA" if (row, column) == (1, 4) else f"{row + column / 100}",
    )  # fmt: skip
    assert raw(tmp_path, name).kind == "table"
    found = raw(tmp_path, name, kind="series")
    assert found.x.shape == (24, 10, 2)
    np.testing.assert_allclose(found.x[1, 2], [1.04, 1.05])
    assert "Columns that are no steps of the series are left out: who, id." in said(found)
    found = raw(tmp_path, name, drop=("id",), group_column="who")
    assert found.kind == "series" and found.groups[:2].tolist() == ["ann", "bob"]
    assert "1 missing values were drawn" in said(found)


# --- kexp run -------------------------------------------------------------------------------------


def test_kexp_run_reads_what_was_trained_on_and_what_is_written_is_exact(tmp_path):
    table = load(Experiment(name="x", data=wide(tmp_path, POINTS)), base=tmp_path, cache=tmp_path / "cache")
    rows = list(samples.read(tmp_path / "wide.csv", table.spec))
    np.testing.assert_array_equal([row.x for row in rows], table.x)
    assert rows[3].source.endswith("wide.csv line 5")
    waves(tmp_path / "W_TRAIN.ts", 12, channels=2, lengths=[8, 6])
    set_ = load(Experiment(name="x", data="W_TRAIN.ts"), base=tmp_path, cache=tmp_path / "cache")
    rows = list(samples.read(tmp_path / "W_TRAIN.ts", set_.spec))
    np.testing.assert_array_equal([row.x for row in rows], set_.x)
    assert rows[1].warnings == ["6 rows were filled up with the last: 8 are expected"]
    for spec, x in ((table.spec, table.x[3]), (set_.spec, set_.x[1] / 3)):
        written = samples.SAMPLES["series"].write(x, spec, tmp_path / "golden")
        (sample,) = samples.read(written, spec)
        np.testing.assert_array_equal(sample.x, x)
        assert not sample.warnings


def test_a_ts_file_of_other_channels_is_refused_by_kexp_run(tmp_path):
    waves(tmp_path / "W.ts", 12, channels=2)
    set_ = load(Experiment(name="x", data="W.ts"), base=tmp_path, cache=tmp_path / "cache")
    with pytest.raises(DataError, match="line 7 has 1 channels, 2 are expected"):
        list(samples.read(waves(tmp_path / "V.ts", 12), set_.spec))
