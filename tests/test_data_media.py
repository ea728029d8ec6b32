"""Folders and lists of files: which kind they are of, what is read, and what is said of the rest."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from PIL import Image

from kexp.data import load, media, read, readers
from kexp.errors import DataError, ExperimentError
from kexp.records import Experiment


def raw(tmp_path, data="set", **options):
    return read(Experiment(name="x", data=data, **options), base=tmp_path, cache=tmp_path / "cache")


def said(found):
    return " ".join(found.notices)


def make(path, seed=0):
    """A file that is what its ending says; `still.gif` has one frame."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(seed + len(path.name))
    suffix = path.suffix.lower()
    if suffix in (".jpg", ".png", ".gif"):
        pictures = [Image.fromarray(draw.integers(0, 256, (16, 16, 3), np.uint8)) for _ in range(3)]
        moving = suffix == ".gif" and "still" not in path.name
        pictures[0].save(path, **({"save_all": True, "append_images": pictures[1:]} if moving else {}))
    elif suffix in (".wav", ".flac", ".ogg"):
        soundfile.write(path, draw.uniform(-0.5, 0.5, 800), 8000)
    elif suffix == ".csv":
        rows = draw.normal(0, 1, (9, 2)).round(3)
        path.write_text("a,b\n" + "\n".join(f"{a},{b}" for a, b in rows))
    else:
        path.write_text("words")
    return path


def folders(root, names, count=4, classes=("a", "b")):
    """In each class folder, `count` of each of `names`, such as "{}.jpg"."""
    for j, label in enumerate(classes):
        for i in range(count):
            for name in names:
                make(root / label / name.format(i), 10 * j + i)
    return root


# --- what a folder is -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["{}.jpg"], "image"),
        (["{}.JPG"], "image"),
        (["{}.wav"], "sound"),
        (["{}.csv"], "series"),
        (["{}.gif"], "clip"),
        (["still{}.gif"], "image"),
        (["{}.jpg", "{}.gif"], "image"),  # pictures, some of them animated
        (["{}.jpg", "{}.txt"], "image"),
        (["{}.jpg", "{}.csv"], "image"),  # a file of annotations beside each
        (["{}.jpg", "{}.csv", "{}-boxes.csv", "{}-points.csv"], "image"),
        (["{}.wav", "{}.txt"], "sound"),
        (["{}.wav", "{}.csv"], "sound"),
        (["{}.wav", "{}-2.wav", "{}.png"], "sound"),
        (["{}.docx"], None),
    ],
)
def test_a_folder_is_what_most_of_its_files_are(tmp_path, names, kind):
    folders(tmp_path / "set", names)
    assert readers.folder_kind(tmp_path / "set") == kind


def test_a_few_other_files_do_not_make_it_another_kind(tmp_path):
    root = folders(tmp_path / "set", ["{}.jpg"], count=6)
    make(root / "a" / "funny.gif")
    make(root / "a" / "note.wav")
    make(root / "b" / "boxes.csv")
    found = raw(tmp_path)
    assert (found.kind, len(found.x)) == ("image", 13)
    assert "Ignored in set: 2 other files (1 .wav, 1 .csv)" in said(found)
    root = folders(tmp_path / "moves", ["{}.csv"], count=8)
    make(root / "a" / "plot.png")
    assert raw(tmp_path, "moves").kind == "series"


def test_the_kind_may_be_said(tmp_path):
    folders(tmp_path / "set", ["{}.gif", "{}.wav", "{}.csv"])
    for kind in ("image", "clip", "sound", "series"):
        found = raw(tmp_path, kind=kind)
        assert (found.kind, len(found.x)) == (kind, 8)
    with pytest.raises(DataError, match=r"set is nothing that can be read as kind = 'table'\. Expected"):
        raw(tmp_path, kind="table")
    folders(tmp_path / "photos", ["{}.jpg"])
    with pytest.raises(DataError, match=r"photos holds no sounds, only 8 other files \(8 \.jpg\)"):
        raw(tmp_path, "photos", kind="sound")


def test_a_table_is_no_other_kind(tmp_path):
    (tmp_path / "t.csv").write_text("a,b,y\n" + "\n".join(f"{i},{i * 7 % 5},{i % 2}" for i in range(30)))
    with pytest.raises(ExperimentError, match=r'kind = "image", but .*t\.csv can only be read as a table'):
        raw(tmp_path, "t.csv", kind="image")


@pytest.mark.parametrize("name", ["1.jpg", "1.wav", "1.gif"])
def test_files_without_class_folders_are_refused_by_their_name(tmp_path, name):
    make(tmp_path / "set" / name)
    with pytest.raises(DataError, match=rf"outside class folders only, such as {name}. One folder for each class"):
        raw(tmp_path)


def test_what_no_reader_knows_is_counted(tmp_path):
    folders(tmp_path / "set", ["{}.m4a"])
    with pytest.raises(
        DataError, match=r"holds no pictures, sounds, clips or recordings, only 8 other .*\(8 \.m4a\)\. Convert"
    ):
        raw(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty holds no pictures, sounds, clips or recordings\."):
        raw(tmp_path, "empty")


def test_hidden_files_and_folders_are_no_samples(tmp_path):
    root = folders(tmp_path / "set", ["{}.wav"])
    make(root / "a" / "._0.wav")
    make(root / ".cache" / "1.jpg")
    (root / "a" / "more").mkdir()
    make(root / "a" / "more" / "9.wav")
    assert len(raw(tmp_path).x) == 9


def test_options_of_other_kinds_are_not_used_and_that_is_said(tmp_path):
    folders(tmp_path / "set", ["{}.jpg"])
    found = raw(tmp_path, steps=10, horizon=2, rate=8000, frames=3, group_column="person", target=("a",))
    for text in (
        "steps is not used: it is of series; these are pictures.",
        "horizon is not used: it is of series; these are pictures.",
        "rate is not used: it is of sounds; these are pictures.",
        "frames is not used: it is of clips; these are pictures.",
        "group_column = person is not used: these data have no columns of that sort.",
        "target = a is not used",
    ):
        assert text in said(found)
    assert "not used" not in said(raw(tmp_path, size=(8, 8)))
    folders(tmp_path / "moves", ["{}.csv"])
    text = said(raw(tmp_path, "moves", steps=5, stride=2, horizon=1))
    assert "horizon is not used: a forecast is made from one long table" in text
    assert "stride is not used: these series are recordings of their own" in text and "steps is" not in text


# --- lists ----------------------------------------------------------------------------------------

LISTED = [("image", ".png"), ("sound", ".wav"), ("clip", ".gif"), ("series", ".csv")]


def listed(tmp_path, suffix, lines=None, *, header="path,label", count=8, name="list.csv", folder="files"):
    for i in range(count):
        make(tmp_path / "set" / folder / f"{i}{suffix}", i)
    lines = lines or [f"{folder}/{i}{suffix},{'ab'[i % 2]}" for i in range(count)]
    (tmp_path / "set" / name).write_text("\n".join([header, *lines]) + "\n")
    return tmp_path / "set" / name


@pytest.mark.parametrize(("kind", "suffix"), LISTED)
@pytest.mark.parametrize("data", ["set", "set/list.csv"])
def test_a_list_of_files_of_every_kind(tmp_path, kind, suffix, data):
    listed(tmp_path, suffix)
    found = raw(tmp_path, data)
    assert (found.kind, len(found.x), found.ids[3]) == (kind, 8, f"files/3{suffix}")
    assert found.y.ravel().tolist() == ["a", "b"] * 4
    assert found.files[3] == str((tmp_path / "set" / "files" / f"3{suffix}").absolute())


@pytest.mark.parametrize(("kind", "suffix"), LISTED[1:3])
def test_endings_may_be_missing(tmp_path, kind, suffix):
    listed(tmp_path, suffix, [f"files/{i},{'ab'[i % 2]}" for i in range(8)])
    if kind == "clip":  # a .gif is also a picture
        assert raw(tmp_path, kind="clip").kind == "clip"
    assert len(raw(tmp_path, kind=kind).x) == 8


def test_a_list_of_animations_may_be_read_as_pictures(tmp_path):
    listed(tmp_path, ".gif")
    assert raw(tmp_path, kind="image").x.shape == (8, 16, 16, 3)


def test_columns_of_a_list_say_parts_and_groups(tmp_path):
    lines = [f"files/{i}.wav,{'ab'[i % 2]},{'test' if i > 5 else 'train'},p{i // 2},{i / 2}" for i in range(8)]
    listed(tmp_path, ".wav", lines, header="file,word,part,person,age")
    found = raw(tmp_path, target=("word",), split_column="part", group_column="person")
    assert found.parts.tolist() == [0] * 6 + [2] * 2 and found.groups.tolist() == [f"p{i // 2}" for i in range(8)]
    assert "Columns of list.csv that are not used: age." in said(found)
    ages = raw(tmp_path, target=("age",), split_column="part")
    assert ages.y.ravel().tolist() == [str(i / 2) for i in range(8)]
    # what is dropped is not the target
    assert raw(tmp_path, drop=("age", "part", "person")).targets == ("word",)


def test_a_list_beside_class_folders_is_used_where_a_column_of_it_is_named(tmp_path):
    root = folders(tmp_path / "set", ["{}.wav"])
    lines = [f"{label}/{i}.wav,{i + 0.25},p{i}" for label in "ab" for i in range(4)]
    (root / "list.csv").write_text("\n".join(["path,speed,person", *lines]))
    assert raw(tmp_path).labels == ("a", "b")
    found = raw(tmp_path, target=("speed",), group_column="person")
    assert found.targets == ("speed",) and found.groups[:4].tolist() == ["p0", "p1", "p2", "p3"]


def test_train_and_test_lists_bring_their_parts(tmp_path):
    listed(tmp_path, ".wav", count=8)
    (tmp_path / "set" / "list.csv").rename(tmp_path / "set" / "train.csv")
    (tmp_path / "set" / "test.csv").write_text("path,label\n" + "\n".join(f"files/{i}.wav,a" for i in range(3)))
    assert raw(tmp_path).parts.tolist() == [-1] * 8 + [2] * 3


def test_a_file_that_a_list_names_and_that_is_not_there_is_named(tmp_path):
    listed(tmp_path, ".wav", ["files/0.wav,a", "files/1.wav,b", "files/lost.wav,a"])
    with pytest.raises(DataError, match=r"lists 1 sounds that are not in .*list\.csv row 4: files/lost\.wav"):
        raw(tmp_path)


def test_a_broken_file_takes_its_row_along(tmp_path):
    lines = [f"files/{i}.wav,{'ab'[i % 2]},p{i}" for i in range(8)]
    listed(tmp_path, ".wav", lines, header="path,label,person")
    (tmp_path / "set" / "files" / "2.wav").write_bytes(b"")
    found = raw(tmp_path, target=("label",), group_column="person")
    assert found.groups.tolist() == ["p0", "p1", "p3", "p4", "p5", "p6", "p7"] and len(found.x) == 7
    assert "Skipped 1 of 8 sounds" in said(found)


def test_whole_numbers_of_files_are_classes_where_they_are_few(tmp_path):
    listed(tmp_path, ".wav", [f"files/{i}.wav,{i % 3}" for i in range(9)], count=9)
    assert raw(tmp_path).y.shape == (9,)
    listed(tmp_path, ".wav", [f"files/{i}.wav,{i}" for i in range(media.FEW_NUMBERS + 1)], count=media.FEW_NUMBERS + 1)
    assert raw(tmp_path).y.shape == (media.FEW_NUMBERS + 1, 1)


def test_a_set_is_split_encoded_and_described(tmp_path):
    folders(tmp_path / "set", ["{}.wav"], count=12)
    dataset = load(Experiment(name="x", data="set"), base=tmp_path, cache=tmp_path / "cache")
    assert dataset.spec.labels == ("a", "b") and dataset.spec.task == "binary" and set(dataset.part) == {0, 1, 2}
