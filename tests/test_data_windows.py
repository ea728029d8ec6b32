"""Windows of one long table: which rows they have, which label, and which part."""

from __future__ import annotations

import re

import numpy as np
import pytest

from kexp.data import load, read, samples
from kexp.errors import DataError, ExperimentError
from kexp.records import Experiment


def experiment(**options):
    return Experiment(name="x", data="watch.csv", **{"steps": 10, **options})


def raw(tmp_path, **options):
    return read(experiment(**options), base=tmp_path, cache=tmp_path / "cache")


def said(found):
    return " ".join(found.notices)


def rows_of(found):
    """Indices of the rows (from 0) of each window, from its name: "watch.csv row 2 to 11"."""
    spans = [map(int, re.fullmatch(r"watch\.csv row (\d+) to (\d+)", name).groups()) for name in found.ids]
    return [range(first - 2, last - 1) for first, last in spans]


def watch(tmp_path, rows, header="ax,ay,move", name="watch.csv"):
    (tmp_path / name).write_text("\n".join([header, *rows]) + "\n")
    return rows


def walks(count=240, people=4, change=30):
    """ax is the number of the row, so that a window says which rows it has."""
    return [f"{i}.5,{i % 7},{'run' if i // change % 2 else 'walk'},p{i * people // count}" for i in range(count)]


PEOPLE = "ax,ay,move,who"


def test_windows_are_clustered_with_and_without_classes_to_compare_with(tmp_path):
    watch(tmp_path, walks(), PEOPLE)
    bare = raw(tmp_path, task="clustering", group_column="who", drop=("move",))
    assert (bare.x.shape, bare.y.shape, bare.targets) == ((44, 10, 2), (44, 0), ())
    known = raw(tmp_path, task="clustering", group_column="who", target=("move",))
    assert set(known.y.tolist()) == {"run", "walk"}


def test_windows_of_steps_rows_each_half_a_window_after_the_other(tmp_path):
    watch(tmp_path, walks(), PEOPLE)
    found = raw(tmp_path, target=("move",), group_column="who")
    assert (found.kind, found.channels, found.x.shape) == ("series", ("ax", "ay"), (44, 10, 2))
    for x, rows in zip(found.x, rows_of(found), strict=True):
        assert x[:, 0].tolist() == [row + 0.5 for row in rows] and len(rows) == 10
    assert "240 rows were cut into 44 windows of 10, one every 5." in said(found)


@pytest.mark.parametrize(("steps", "stride"), [(10, 1), (10, 10), (7, 20), (60, None)])
def test_no_window_lies_across_two_groups(tmp_path, steps, stride):
    watch(tmp_path, walks(), PEOPLE)
    found = raw(tmp_path, target=("move",), group_column="who", steps=steps, stride=stride)
    starts = [row for person in range(4) for row in range(60 * person, 60 * person + 61 - steps, stride or steps // 2)]
    assert [rows[0] for rows in rows_of(found)] == starts
    assert all(rows[0] // 60 == rows[-1] // 60 for rows in rows_of(found))
    assert found.groups.tolist() == [f"p{rows[0] // 60}" for rows in rows_of(found)]


def test_the_label_is_what_most_rows_have(tmp_path):
    lines = watch(tmp_path, walks(), PEOPLE)
    found = raw(tmp_path, target=("move",), group_column="who", stride=3)
    for label, rows in zip(found.y, rows_of(found), strict=True):
        words = [lines[row].split(",")[2] for row in rows]
        assert words.count(label) >= 5


def test_without_groups_no_window_lies_across_two_labels_and_parts_share_no_row(tmp_path):
    lines = watch(tmp_path, [line.rsplit(",", 1)[0] for line in walks(1200, change=200)])
    dataset = load(experiment(target=("move",)), base=tmp_path, cache=tmp_path / "cache")
    labels = [line.split(",")[2] for line in lines]
    used = {}
    for part, label, rows in zip(dataset.part, dataset.y, rows_of(dataset), strict=True):
        assert {labels[row] for row in rows} == {dataset.spec.labels[label]}
        for row in rows:
            assert used.setdefault(row, part) == part
    assert set(dataset.part) == {0, 1, 2}


def test_groups_stay_in_one_part(tmp_path):
    watch(tmp_path, walks(480, people=12), PEOPLE)
    dataset = load(experiment(target=("move",), group_column="who"), base=tmp_path, cache=tmp_path / "cache")
    parts = {}
    for part, rows in zip(dataset.part, rows_of(dataset), strict=True):
        parts.setdefault(rows[0] // 40, set()).add(part)
    assert all(len(found) == 1 for found in parts.values()) and len(parts) == 12


def test_parts_that_the_rows_name_are_kept_and_share_no_window(tmp_path):
    names = ["train"] * 200 + ["val"] * 60 + ["test"] * 40
    lines = [f"{i}.5,{'ab'[i // 20 % 2]},{part}" for i, part in enumerate(names)]
    watch(tmp_path, lines, "ax,move,part")
    found = raw(tmp_path, target=("move",), split_column="part", stride=1)
    code = {"train": 0, "val": 1, "test": 2}
    assert found.parts.tolist() == [code[names[rows[0]]] for rows in rows_of(found)]
    assert all({names[row] for row in rows} == {names[rows[0]]} for rows in rows_of(found))


def test_train_and_test_files(tmp_path):
    watch(tmp_path, walks(240), PEOPLE, "train.csv")
    watch(tmp_path, walks(80), PEOPLE, "test.csv")
    found = read(
        Experiment(name="x", data=".", steps=10, target=("move",), drop=("who",)), base=tmp_path, cache=tmp_path / "c"
    )
    assert {name.split()[0]: part for name, part in zip(found.ids, found.parts, strict=True)} == {
        "train.csv": -1, "test.csv": 2
    }  # fmt: skip


def test_rows_are_brought_into_the_order_of_their_times(tmp_path):
    lines = [f"{i},{line}" for i, line in enumerate(walks())]
    order = np.random.default_rng(0).permutation(len(lines))
    watch(tmp_path, [lines[i] for i in order], "t,ax,ay,move,who")
    found = raw(tmp_path, target=("move",), group_column="who", time_column="t")
    assert found.x.shape == (44, 10, 2) and (np.diff(found.x[:, :, 0], axis=1) == 1).all()
    assert "t" not in found.channels


def test_rows_of_several_people_may_alternate(tmp_path):
    lines = walks()
    watch(tmp_path, [lines[i + 60 * person] for i in range(60) for person in range(4)], PEOPLE)
    found = raw(tmp_path, target=("move",), group_column="who")
    assert found.x.shape == (44, 10, 2) and (np.diff(found.x[:, :, 0], axis=1) == 1).all()
    assert found.ids[0] == "watch.csv row 2 to 38"


@pytest.mark.parametrize(
    ("column", "task", "y"),
    [
        ("label", "multiclass", ["0", "1", "2"]),  # because of its name
        ("held", "binary", ["0", "1"]),  # two values
        ("load", "regression", None),
    ],
)
def test_whole_numbers_are_classes_where_a_table_would_say_so(tmp_path, column, task, y):
    top = 2 if column == "held" else 3
    watch(tmp_path, [f"{i / 7:.3f},{i // 40 % top}" for i in range(600)], f"ax,{column}")
    dataset = load(experiment(target=(column,)), base=tmp_path, cache=tmp_path / "cache")
    assert dataset.spec.task == task
    if y:
        assert list(dataset.spec.labels) == y
    else:
        assert dataset.y.dtype == np.float32
        asked = load(experiment(target=(column,), task="multiclass"), base=tmp_path, cache=tmp_path / "cache")
        assert asked.spec.labels == ("0", "1", "2")


def test_a_number_to_be_predicted_is_the_mean_of_the_window(tmp_path):
    watch(tmp_path, [f"{i / 7:.3f},{i * 1.5},{-i}" for i in range(300)], "ax,power,heat")
    found = raw(tmp_path, target=("power", "heat"))
    for y, rows in zip(found.y, rows_of(found), strict=True):
        assert y.tolist() == pytest.approx([np.mean(rows) * 1.5, -np.mean(rows)])
    assert found.targets == ("power", "heat") and found.channels == ("ax",)


def test_rows_without_a_label_and_with_gaps(tmp_path):
    lines = walks(240, people=2)
    lines[3] = "NA,?,walk,p0"
    lines[0] = ",1,walk,p0"
    lines[119] = ",1,run,p0"
    lines[120] = "999,,walk,p1"
    for i in range(200, 240):
        lines[i] = lines[i].replace("run", "").replace("walk", "")
    watch(tmp_path, lines, PEOPLE)
    found = raw(tmp_path, target=("move",), group_column="who")
    assert "5 missing values were drawn straight" in said(found)
    assert "rows have no target and are left out" in said(found)
    assert found.x[0, 3].tolist() == [3.5, 3]  # between 2 and 4
    assert found.x[0, 0, 0] == 1.5 and found.x[22, -1, 0] == 118.5  # not of the other group, which begins with 999
    assert max(rows[0] for rows in rows_of(found)) < 200


def test_what_cannot_be_a_channel_is_left_out_and_said(tmp_path):
    lines = [f"{i},{line},note {i},7" for i, line in enumerate(walks())]
    watch(tmp_path, lines, "id,ax,ay,move,who,note,empty")
    (tmp_path / "watch.csv").write_text((tmp_path / "watch.csv").read_text().replace(",7\n", ",\n"))
    found = raw(tmp_path, target=("move",), group_column="who")
    assert found.channels == ("ax", "ay")
    for name, reason in (("id", "it numbers the rows"), ("note", "it holds text"), ("empty", "all its cells")):
        assert f"{name!r} is left out: {reason}" in said(found)


def test_short_stretches_are_said_and_too_short_ones_refused(tmp_path):
    lines = walks(240, change=30)
    lines = [line.replace("run", "jump") if 100 <= i < 105 else line for i, line in enumerate(lines)]
    watch(tmp_path, [line.rsplit(",", 1)[0] for line in lines])
    assert "5 rows are in stretches shorter than a window" in said(raw(tmp_path, target=("move",), steps=6))
    with pytest.raises(DataError, match=r"No window of 50 rows fits: the longest stretch .* has 30 rows.*--steps"):
        raw(tmp_path, target=("move",), steps=50)


def test_an_infinite_value_no_number_and_several_labels_are_refused(tmp_path):
    lines = walks()
    lines[4] = "inf,1,walk,p0"
    watch(tmp_path, lines, PEOPLE)
    with pytest.raises(DataError, match=r"watch\.csv row 6: ax is infinite"):
        raw(tmp_path, target=("move",), group_column="who")
    watch(tmp_path, [f"a{i},{'xy'[i // 30 % 2]}" for i in range(100)], "word,move")
    with pytest.raises(DataError, match=r"No column of numbers is left.*'word' is left out"):
        raw(tmp_path, target=("move",))
    watch(tmp_path, [f"{i / 3},{i // 30 % 2},{i // 50 % 2}" for i in range(100)], "ax,u,v")
    with pytest.raises(DataError, match=r"Windows of several labels \(u, v\)"):
        raw(tmp_path, target=("u", "v"))
    watch(tmp_path, [f"{i / 3:.2f},{i % 9 if i % 50 else 'x'}" for i in range(100)], "ax,power")
    with pytest.raises(DataError, match=r"watch\.csv row 2: the target power = 'x', a finite number"):
        raw(tmp_path, target=("power",), task="regression")
    with pytest.raises(ExperimentError, match='kind = "table" has no steps'):
        raw(tmp_path, target=("power",), kind="table")


def test_a_whole_column_of_a_group_that_is_missing_is_named(tmp_path):
    lines = [line if "p1" not in line else "," + line.split(",", 1)[1] for line in walks()]
    watch(tmp_path, lines, PEOPLE)
    with pytest.raises(DataError, match=r"watch\.csv row 62 to watch\.csv row 121: ax has no value in any.*--drop ax"):
        raw(tmp_path, target=("move",), group_column="who")


def test_kexp_run_reads_a_window_of_the_table_as_training_did(tmp_path):
    lines = watch(tmp_path, walks(480, people=8), PEOPLE)
    dataset = load(experiment(target=("move",), group_column="who"), base=tmp_path, cache=tmp_path / "cache")
    for x, rows in list(zip(dataset.x, rows_of(dataset), strict=True))[::7]:
        watch(tmp_path, [lines[row] for row in rows], PEOPLE, "one.csv")
        (sample,) = samples.read(tmp_path / "one.csv", dataset.spec)
        np.testing.assert_array_equal(sample.x, x)
        assert not sample.warnings
