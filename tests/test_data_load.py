"""From a path to a data set: readers, statistics of training rows, twins, fingerprints, what init tells."""

import re

import numpy as np
import pytest

from kexp.data import Dataset, columns, describe, load
from kexp.errors import DataError
from kexp.records import Experiment


def people(n=200, seed=0):
    """Lines of a table with every kind of column, and a target that is no chance."""
    rng = np.random.default_rng(seed)
    lines = ["id,age,city,smoker,joined,note,fare,happy"]
    for i in range(n):
        age = rng.integers(18, 90)
        city = rng.choice(["Rome", "Oslo", "Bern"])
        lines.append(
            f"{i},{age},{city},{'yes' if i % 3 else 'no'},2020-{i % 12 + 1:02}-{i % 28 + 1:02},text {i},"
            f"{'' if i % 10 == 0 else round(rng.random() * 99, 2)},{'yes' if age > 50 else 'no'}"
        )
    return lines


def table(tmp_path, lines, name="people.csv"):
    (tmp_path / name).write_text("\n".join(lines) + "\n")
    return name


def read(tmp_path, data, **options):
    return load(Experiment(name="x", data=data, **options), base=tmp_path, cache=tmp_path / "cache")


def test_a_table_of_every_kind(tmp_path):
    dataset = read(tmp_path, table(tmp_path, people()), target=("happy",))
    spec = dataset.spec
    assert (spec.kind, spec.task, spec.labels, spec.target) == ("table", "binary", ("no", "yes"), "happy")
    kinds = {column.name: column.kind for column in spec.columns}
    assert kinds == {
        "age": "number",
        "city": "category",
        "smoker": "boolean",
        "joined": "date",
        "fare": "number",
    }
    assert dataset.x.shape == (200, 5) and dataset.x.dtype == np.float32
    assert dataset.y.shape == (200,) and dataset.y.dtype == np.int32
    assert np.isnan(dataset.x[:, 4]).sum() == 20 and spec.columns[4].missing
    said = " ".join(dataset.notices)
    assert "Column 'id' is left out" in said and "Column 'note' is left out" in said
    assert dataset.ids[0] == "people.csv row 2"


def test_statistics_are_of_training_rows_alone(tmp_path):
    lines = ["a,part,y"] + [f"{i % 10},{'train' if i < 40 else 'val' if i < 50 else 'test'},{i % 4}" for i in range(60)]
    lines[-1] = "1000000,test,500"
    dataset = read(tmp_path, table(tmp_path, lines), target=("y",), split_column="part")
    assert dataset.spec.columns[0].maximum == 9
    assert dataset.spec.target_mean == (1.5,)
    assert dataset.x.max() == 1_000_000


def test_a_raw_row_gives_the_same_numbers_as_training(tmp_path):
    dataset = read(tmp_path, table(tmp_path, people()), target=("happy",))
    for row in (0, 1, 199):
        values, _ = columns.encode_row(dataset.raw.iloc[row].to_dict(), dataset.spec.columns)
        np.testing.assert_array_equal(values, dataset.x[row])
    assert dataset.raw["happy"].tolist() == [dataset.spec.labels[index] for index in dataset.y]


def test_rows_without_target_are_left_out_and_counted(tmp_path):
    lines = people()
    lines[5] = lines[5].rsplit(",", 1)[0] + ",NA"
    lines[9] = lines[9].rsplit(",", 1)[0] + ","
    dataset = read(tmp_path, table(tmp_path, lines), target=("happy",))
    assert len(dataset.x) == len(dataset.y) == len(dataset.ids) == len(dataset.raw) == 198
    assert any("2 rows have no target and are left out, such as people.csv row 6" in n for n in dataset.notices)


def test_a_target_without_any_value_is_refused(tmp_path):
    lines = ["a,y"] + [f"{i % 7}," for i in range(30)]
    with pytest.raises(DataError, match="No row has a value for the target 'y'"):
        read(tmp_path, table(tmp_path, lines), target=("y",))


def test_only_a_target_is_refused(tmp_path):
    with pytest.raises(DataError, match="No column is left as input"):
        read(tmp_path, table(tmp_path, ["y", *("ab" * 20)]), target=("y",))


def test_an_all_missing_column_is_left_out_and_an_infinite_value_refused(tmp_path):
    lines = ["a,b,y"] + [f"{i % 7},,{i % 2}" for i in range(40)]
    dataset = read(tmp_path, table(tmp_path, lines))
    assert any("'b' is left out: all its cells are missing" in notice for notice in dataset.notices)
    lines[12] = "inf,,1"
    with pytest.raises(DataError, match=r"people\.csv row 13: a = inf"):
        read(tmp_path, table(tmp_path, lines))


def test_a_mistyped_path_is_refused_with_the_nearest_name(tmp_path):
    table(tmp_path, people())
    with pytest.raises(DataError, match=r"does not exist: .* has no 'peopel.csv'. Did you mean 'people.csv'"):
        read(tmp_path, "peopel.csv")
    with pytest.raises(DataError, match="has no 'nowhere'"):
        read(tmp_path, "nowhere/at/all.csv")
    with pytest.raises(DataError, match=r"sklearn:iriss .* Did you mean 'iris'"):
        read(tmp_path, "sklearn:iriss")


def test_what_is_no_data_is_refused(tmp_path):
    (tmp_path / "notes.docx").write_bytes(b"x")
    with pytest.raises(DataError, match=r"notes\.docx is nothing that can be read\. Expected"):
        read(tmp_path, "notes.docx")


def test_the_same_file_gives_the_same_fingerprint_and_another_seed_another(tmp_path):
    name = table(tmp_path, people())
    first = read(tmp_path, name, target=("happy",))
    again = read(tmp_path, name, target=("happy",))
    assert first.fingerprint == again.fingerprint and np.array_equal(first.part, again.part)
    assert read(tmp_path, name, target=("happy",), seed=1).fingerprint != first.fingerprint
    table(tmp_path, people(seed=1))
    assert read(tmp_path, name, target=("happy",)).fingerprint != first.fingerprint


def test_twins_are_reported_and_kept_together(tmp_path):
    lines = ["a,b,y"] + [f"{i // 2},{i // 2 * 7 % 11},{i // 2 % 5 + i % 2 * 0.5}" for i in range(200)]
    dataset = read(tmp_path, table(tmp_path, lines))
    assert (dataset.part[0::2] == dataset.part[1::2]).all()
    notice = next(notice for notice in dataset.notices if "twin" in notice)
    assert "200 of 200 rows have an exact twin" in notice and "kept in one part" in notice
    assert "people.csv row 2 and people.csv row 3" in notice


def test_twins_that_the_data_separate_are_only_reported(tmp_path):
    lines = ["a,b,y"] + [f"{i},{i * 7 % 11},{i % 5}" for i in range(100)]
    table(tmp_path, lines, "train.csv")
    table(tmp_path, [lines[0], *lines[11:31], "500,3,2"], "test.csv")
    dataset = read(tmp_path, ".")
    assert (dataset.part[100:] == 2).all() and (dataset.part[:100] != 2).all()
    shared = sum(dataset.part[i] == 0 for i in range(10, 30))
    assert any(f"{shared} test rows have an exact twin among the training rows" in n for n in dataset.notices)
    assert not any("kept in one part" in notice for notice in dataset.notices)


def test_a_table_without_twins_says_nothing_of_them(tmp_path):
    assert not any("twin" in notice for notice in read(tmp_path, table(tmp_path, people()), target=("happy",)).notices)


def test_too_large_groups_of_twins_are_divided(tmp_path):
    lines = ["a,y"] + [f"{i % 3},{i % 2}" for i in range(300)]
    dataset = read(tmp_path, table(tmp_path, lines))
    assert any("300 rows would, with their twins, be in groups larger than 5%" in notice for notice in dataset.notices)
    assert np.bincount(dataset.part).tolist() == pytest.approx([210, 45, 45], abs=3)


def test_groups_stay_together_also_through_twins(tmp_path):
    lines = ["a,who,y"] + [f"{i * 13 % 50},{i // 4},{i % 2}" for i in range(200)]
    dataset = read(tmp_path, table(tmp_path, lines), group_column="who", target=("y",), drop=())
    for who in range(50):
        assert len(set(dataset.part[who * 4 : who * 4 + 4])) == 1
    assert any("200 rows would, with their twins" in notice for notice in dataset.notices)
    lines = ["a,who,y"] + [f"{i - (i % 40 == 4)},{i // 4},{i % 2}" for i in range(200)]
    dataset = read(tmp_path, table(tmp_path, lines), group_column="who", target=("y",))
    assert all(len(set(dataset.part[start : start + 8])) == 1 for start in range(0, 200, 40))


def test_groups_that_the_data_divide_are_reported(tmp_path):
    lines = ["a,who,part,y"]
    lines += [f"{i * 7 % 31},{i % 20},{['train', 'val', 'test'][i // 40 % 3]},{i % 9}" for i in range(120)]
    name = table(tmp_path, lines)
    dataset = read(tmp_path, name, group_column="who", split_column="part", target=("y",))
    assert any("20 groups lie in several parts" in notice for notice in dataset.notices)
    free = read(tmp_path, name, group_column="who", drop=("part",), target=("y",))
    assert not any("lie in several parts" in notice for notice in free.notices)


def test_a_folder_with_pictures_and_one_list_of_them_is_read_by_the_list(tmp_path):
    from PIL import Image

    (tmp_path / "set" / "img").mkdir(parents=True)
    lines = ["path,brightness"]
    for i in range(20):
        Image.new("L", (8, 8), i * 12).save(tmp_path / "set" / "img" / f"{i}.png")
        lines.append(f"img/{i}.png,{i / 8}")
    (tmp_path / "set" / "list.csv").write_text("\n".join(lines))
    dataset = read(tmp_path, "set")
    assert (dataset.spec.kind, dataset.spec.task, dataset.x.shape) == ("image", "regression", (20, 8, 8, 1))
    assert dataset.y[:, 0].tolist() == [i / 8 for i in range(20)]
    assert dataset.files[3].endswith("3.png")


def test_class_folders_beside_a_table_are_read_as_pictures(tmp_path):
    from PIL import Image

    for i in range(20):
        (tmp_path / "set" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), i * 12).save(tmp_path / "set" / "ab"[i % 2] / f"{i}.png")
    table(tmp_path / "set", people(), "notes.csv")
    dataset = read(tmp_path, "set")
    assert (dataset.spec.kind, dataset.spec.task, dataset.spec.labels) == ("image", "binary", ("a", "b"))


def test_a_time_column_orders_the_parts(tmp_path):
    lines = ["a,day,y"] + [f"{i * 13 % 50},2020-{i // 28 + 1:02}-{i % 28 + 1:02},{i % 9}" for i in range(200)]
    dataset = read(tmp_path, table(tmp_path, lines), time_column="day", target=("y",))
    assert (np.diff(dataset.part) >= 0).all() and set(dataset.part) == {0, 1, 2}
    assert [column.name for column in dataset.spec.columns] == ["a"]


def test_a_class_without_training_rows_is_said(tmp_path):
    lines = ["a,part,y"] + [f"{i % 10},{'train' if i < 40 else 'test'},{'ab'[i % 2]}" for i in range(60)]
    lines += [f"{i},test,c" for i in range(3)]
    dataset = read(tmp_path, table(tmp_path, lines), target=("y",), split_column="part")
    assert any("No training row is of the class c" in notice for notice in dataset.notices)


def test_classes_of_very_unequal_sizes_are_said_with_what_to_do(tmp_path):
    path = table(tmp_path, ["a,y"] + [f"{i * 7 % 50},{'rare' if i % 8 == 0 else 'usual'}" for i in range(400)])
    said = " ".join(read(tmp_path, path, target=("y",)).notices)
    assert re.search(r"(\d+) training rows are of the class usual, (\d+) of rare:", said), said
    assert "--class-weight balanced --objective balanced_accuracy" in said
    for known in ({"class_weight": "balanced"}, {"objective": "f1"}):
        assert "of rare" not in " ".join(read(tmp_path, path, target=("y",), **known).notices)
    path = table(tmp_path, ["a,y"] + [f"{i * 7 % 50},{'less' if i % 3 == 0 else 'usual'}" for i in range(400)])
    assert "training rows are of the class" not in " ".join(read(tmp_path, path, target=("y",)).notices)


@pytest.mark.parametrize(
    ("name", "kind", "task", "shape", "labels"),
    [
        ("digits", "image", "multiclass", (8, 8, 1), 10),
        ("iris", "table", "multiclass", (4,), 3),
        ("wine", "table", "multiclass", (13,), 3),
        ("breast_cancer", "table", "binary", (30,), 2),
        ("diabetes", "table", "regression", (10,), 1),
    ],
)
def test_the_sets_of_scikit_learn(tmp_path, name, kind, task, shape, labels):
    dataset = read(tmp_path, f"sklearn:{name}")
    assert (dataset.spec.kind, dataset.spec.task, dataset.spec.shape) == (kind, task, shape)
    assert len(dataset.spec.labels) == labels
    assert dataset.x.shape == (len(dataset.y), *shape)
    assert set(dataset.part) == {0, 1, 2}


def test_digits_are_bytes_and_their_statistics_are_of_training_pictures(tmp_path):
    dataset = read(tmp_path, "sklearn:digits")
    assert dataset.x.dtype == np.uint8 and dataset.x.max() == 255
    pixels = dataset.take("train")[0].astype(np.float64)
    assert dataset.spec.mean == pytest.approx([pixels.mean()], rel=1e-12)
    assert dataset.spec.std == pytest.approx([pixels.std()], rel=1e-12)


def test_a_target_for_data_that_name_their_own_is_not_used_and_said(tmp_path):
    dataset = read(tmp_path, "sklearn:iris", target=("petal",))
    assert any("target = petal is not used" in notice for notice in dataset.notices)


def test_several_targets_and_a_task_that_overrides(tmp_path):
    lines = ["a,b,u,v,grade"] + [f"{i},{i * 7 % 11},{i % 2},{i // 2 % 2},{i % 4}" for i in range(100)]
    name = table(tmp_path, lines)
    both = read(tmp_path, name, target=("u", "v"))
    assert (both.spec.task, both.spec.labels, both.y.shape) == ("multilabel", ("u", "v"), (100, 2))
    assert both.raw[["u", "v"]].iloc[3].tolist() == ["1", "1"]
    two = read(tmp_path, name, target=("u", "grade"), task="regression")
    assert two.spec.outputs == 2 and len(two.spec.target_mean) == 2
    assert read(tmp_path, name, target=("grade",)).spec.task == "regression"
    assert read(tmp_path, name, target=("grade",), task="multiclass").spec.labels == ("0", "1", "2", "3")


def test_a_saved_table_opens_as_it_was(tmp_path):
    dataset = read(tmp_path, table(tmp_path, people()), target=("happy",))
    (tmp_path / "run").mkdir()
    dataset.save(tmp_path / "run")
    opened = Dataset.open(tmp_path / "run")
    assert opened.spec == dataset.spec and opened.fingerprint == dataset.fingerprint
    np.testing.assert_array_equal(opened.x, dataset.x)
    assert opened.raw.equals(dataset.raw) or opened.raw.to_dict() == dataset.raw.to_dict()


def test_description(tmp_path):
    lines = describe(read(tmp_path, table(tmp_path, people())))
    said = {name: text for name, text in lines if name != "notice"}
    assert (said["kind"], said["task"], said["samples"]) == ("table", "binary", "200")
    assert said["parts"] == "train 140, validation 30, test 30"
    assert said["column city"].startswith("category: ")
    assert said["column fare"] == "number (some missing)"
    assert any(name == "notice" and "The target is guessed: 'happy'" in text for name, text in lines)
    wide = [",".join(["y", *(f"c{i}" for i in range(60))])]
    wide += [",".join(str((row * (i + 3)) % 97) for i in range(61)) for row in range(50)]
    said = dict(describe(read(tmp_path, table(tmp_path, wide))))
    assert said["columns"] == "60 altogether: 60 number" and "column c59" not in said
    assert dict(describe(read(tmp_path, "sklearn:diabetes")))["progression"].startswith("25..346")
    assert dict(describe(read(tmp_path, "sklearn:digits")))["size"] == "8 x 8, grey"


# --- which reader reads ---------------------------------------------------------------------------


def _media(folder, suffix, inside=("a", "b"), count=4):
    """Files of an ending in folders; their content counts only for a .gif, which moves."""
    from PIL import Image

    for name in inside:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            file = folder / name / f"{i}{suffix}"
            if suffix == ".gif":
                first, *more = (Image.new("L", (8, 8), 80 * k) for k in range(3))
                first.save(file, save_all=True, append_images=more)
            elif suffix == ".csv":
                file.write_text("x,y\n1,2\n3,4\n")
            else:
                file.write_bytes(b"any")


def _list(folder, suffix):
    _media(folder, suffix, ("files",))
    (folder / "list.csv").write_text("\n".join(["path,label", *(f"files/{i}{suffix},{i % 2}" for i in range(4))]))


def _write(name, content):
    def make(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)

    return make


TS = b"@problemName a\n@classLabel true a b\n@data\n1,2:a\n"
TABLE = b"a,b\n1,2\n"
CASES = {  # what lies in a folder, which path is given, and the reader that is meant
    "idx folder": (_write("train-images-idx3-ubyte", b"x"), "", "idx"),
    "idx file": (_write("t10k-labels-idx1-ubyte.gz", b"x"), "t10k-labels-idx1-ubyte.gz", "idx"),
    "npz file": (_write("any.npz", b"x"), "any.npz", "npz"),
    "npz folder": (_write("train.npz", b"x"), "", "npz"),
    "ts file": (_write("Set_TRAIN.ts", TS), "Set_TRAIN.ts", "ts"),
    "ts folder": (_write("Set_TRAIN.ts", TS), "", "ts"),
    "csv": (_write("any.csv", TABLE), "any.csv", "table"),
    "tsv": (_write("any.tsv", b"a\tb\n1\t2\n"), "any.tsv", "table"),
    "parquet": (_write("any.parquet", b"x"), "any.parquet", "table"),
    "folder of one table": (_write("any.csv", TABLE), "", "table"),
    "folder of train.csv": (_write("train.csv", TABLE), "", "table"),
    "pictures": (lambda folder: _media(folder, ".jpg"), "", "image_folder"),
    "pictures in parts": (lambda folder: _media(folder, ".png", ("train/a", "train/b", "test/a")), "", "image_folder"),
    "sounds": (lambda folder: _media(folder, ".wav"), "", "sound_folder"),
    "sounds in parts": (lambda folder: _media(folder, ".mp3", ("train/a", "train/b", "test/a")), "", "sound_folder"),
    "clips": (lambda folder: _media(folder, ".mp4"), "", "clip_folder"),
    "animations": (lambda folder: _media(folder, ".gif"), "", "clip_folder"),
    "recordings": (lambda folder: _media(folder, ".csv"), "", "series_folder"),
    "list of pictures": (lambda folder: _list(folder, ".png"), "list.csv", "image_list"),
    "folder with a list of pictures": (lambda folder: _list(folder, ".png"), "", "image_list"),
    "list of sounds": (lambda folder: _list(folder, ".flac"), "list.csv", "sound_list"),
    "folder with a list of sounds": (lambda folder: _list(folder, ".flac"), "", "sound_list"),
    "list of clips": (lambda folder: _list(folder, ".mp4"), "list.csv", "clip_list"),
    "list of animations": (lambda folder: _list(folder, ".gif"), "list.csv", "clip_list"),
    "list of recordings": (lambda folder: _list(folder, ".csv"), "list.csv", "series_list"),
    "folder with a list of recordings": (lambda folder: _list(folder, ".csv"), "", "series_list"),
}


@pytest.mark.parametrize("case", CASES)
def test_each_reader_is_chosen_for_its_kind_of_path(tmp_path, case):
    from kexp.data import READERS

    make, name, wanted = CASES[case]
    make(tmp_path / "data")
    path = tmp_path / "data" / name if name else tmp_path / "data"
    question = Experiment(name="x", data=str(path))
    assert next((row for row, reader in READERS.items() if reader.matches(path, question)), None) == wanted


@pytest.mark.parametrize("name", ["sklearn", "generated"])
def test_a_bundled_set_is_no_path(name):
    from pathlib import Path

    from kexp.data import READERS

    question = Experiment(name="x", data=f"{name}:any")
    chosen = next(row for row, reader in READERS.items() if reader.matches(Path(question.data), question))
    assert chosen == name


def test_every_reader_has_a_case():
    from kexp.data import READERS

    assert {wanted for _, _, wanted in CASES.values()} | {"sklearn", "generated"} == set(READERS)


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: folder.mkdir(),
        _write("film.ts", b"\x47\0" * 94),
        _write("code.ts", b"@Component({})\nexport class A {}\n"),
        _write("notes.txt", b"words"),
        lambda folder: _media(folder, ".docx"),
        lambda folder: _media(folder, ".m4a"),
    ],
)
def test_no_reader_takes_what_is_none_of_theirs(tmp_path, make):
    make(tmp_path / "data")
    with pytest.raises(DataError, match=r"holds no pictures, sounds, clips or recordings.*Expected"):
        read(tmp_path, "data")
    files = [file for file in (tmp_path / "data").iterdir() if file.is_file()]
    for file in files:
        with pytest.raises(DataError, match=r"is nothing that can be read\. Expected"):
            read(tmp_path, f"data/{file.name}")
