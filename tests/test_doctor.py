"""The doctor: every planted defect is found and named with its file and row; clean data are left in peace."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest
import small_models
import soundfile
from PIL import Image, ImageEnhance, ImageFilter
from rich.console import Console
from scipy.fft import dct

from kexp import cli, screen
from kexp.data import doctor
from kexp.data.doctor import case, leaks, near, series, sounds
from kexp.experiment import from_data
from kexp.records import DatasetSpec, Experiment, Finding, from_json, to_json
from kexp.store import RunStore
from kexp.suspects import contradicted

ROWS = 240


def examine(path, tmp_path, **options):
    return doctor.examine(from_data(str(path), **options), cache=tmp_path / "cache")


def named(found, name):
    """The one finding called `name`."""
    several = [one for one in found if one.name == name]
    assert len(several) == 1, f"{name} is not among {[one.name for one in found]}"
    return several[0]


def grave(found):
    return [one for one in found if one.severity != "note"]


# -- clean data of each kind ---------------------------------------------------------------------


def table():
    """Columns of a table from which the answer follows only together, without a twin."""
    random = np.random.default_rng(0)
    size, weight = random.normal(10, 2, ROWS).round(3), random.normal(50, 9, ROWS).round(3)
    colour = random.choice(["red", "green", "blue"], ROWS)
    noise = random.normal(0, 1, ROWS)
    answer = np.where(size / 2 + weight / 9 + noise > 10.5, "yes", "no")
    return {"size": size, "weight": weight, "colour": colour, "answer": answer}


def write(path, columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [",".join(columns)]
    lines += [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def picture(seed, side=96):
    """A photo's stand-in: smooth blobs, none like another."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (12, 12, 3), np.uint8))
    return coarse.resize((side, side), Image.Resampling.BICUBIC)


def photos(root, per_class=12):
    for at, label in enumerate(("cat", "dog")):
        (root / label).mkdir(parents=True, exist_ok=True)
        for i in range(per_class):
            picture(100 * at + i).save(root / label / f"{i:02}.png")
    return root


def tone(seed, rate=8000, seconds=0.4):
    random = np.random.default_rng(seed)
    at = np.arange(int(rate * seconds)) / rate
    wave = np.sin(2 * np.pi * random.uniform(200, 900) * at + random.uniform(0, 6))
    return 0.4 * wave + random.normal(0, 0.02, len(at))


def sounds_in(root, per_class=6):
    for at, label in enumerate(("low", "high")):
        (root / label).mkdir(parents=True, exist_ok=True)
        for i in range(per_class):
            soundfile.write(root / label / f"{i}.wav", tone(100 * at + i), 8000)
    return root


def write_clip(path, pictures, rate=10):
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for pixels in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


def frames(seed, count=12, side=64):
    pixels = np.asarray(picture(seed, side))
    return [np.roll(pixels, 3 * i, axis=1).copy() for i in range(count)]


def clips_in(root, per_class=4):
    for at, label in enumerate(("left", "right")):
        (root / label).mkdir(parents=True, exist_ok=True)
        for i in range(per_class):
            write_clip(root / label / f"{i}.mp4", frames(100 * at + i))
    return root


def walks(count=60, steps=30, channels=3):
    random = np.random.default_rng(1)
    return random.normal(0, 1, (count, steps, channels)).cumsum(axis=1), np.arange(count) % 2


def write_npz(path, x, y):
    np.savez(path, x=x.astype(np.float32), y=y)
    return path


# -- the negative: clean data --------------------------------------------------------------------


def test_clean_data_of_every_kind_have_no_finding(tmp_path):
    sets = {
        "table": write(tmp_path / "clean.csv", table()),
        "image": photos(tmp_path / "photos"),
        "sound": sounds_in(tmp_path / "sounds"),
        "clip": clips_in(tmp_path / "clips"),
        "series": write_npz(tmp_path / "walks.npz", *walks()),
    }
    assert set(sets) == set(doctor.CHECKS)
    for kind, path in sets.items():
        found = [one for one in examine(path, tmp_path) if one.name != "few_samples"]  # the sets are tiny
        assert found == [], kind


def test_clean_numbers_to_predict_have_no_finding(tmp_path):
    columns = table()
    columns["price"] = (columns["size"] * columns["weight"] + np.arange(ROWS) % 7).round(2)
    del columns["answer"]
    assert examine(write(tmp_path / "prices.csv", columns), tmp_path, target=["price"]) == []


@pytest.mark.parametrize("name", ["wine", "breast_cancer", "diabetes", "digits"])
def test_sets_that_are_clean_have_no_finding(tmp_path, name):
    assert examine(f"sklearn:{name}", tmp_path) == []


# -- tables --------------------------------------------------------------------------------------


def infinite(columns):
    columns["size"] = columns["size"].astype(object)
    columns["size"][[4, 9]] = "inf"


def no_number(columns):
    columns["size"] = columns["size"].astype(object)
    columns["size"][7] = "twelve"


def mostly_missing(columns):
    columns["age"] = [str(i) if i % 4 == 0 else "" for i in range(ROWS)]


def some_missing(columns):
    columns["size"] = columns["size"].astype(object)
    columns["size"][[3, 30]] = ""


def empty(columns):
    columns["remark"] = [""] * ROWS


def constant(columns):
    columns["unit"] = ["kg"] * ROWS


def identifier(columns):
    columns["id"] = np.arange(1, ROWS + 1)


def free_text(columns):
    columns["note"] = [f"the {i}th thing that was seen on a walk" for i in range(ROWS)]


def code(columns):
    columns["size"][[5, 50, 100]] = -999


def spelt(columns):
    columns["colour"] = columns["colour"].astype(object)
    columns["colour"][[11, 12]] = "Red "


def spelt_classes(columns):
    columns["answer"] = np.where(np.arange(ROWS) % 3 == 0, "maybe", columns["answer"]).astype(object)
    columns["answer"][[20, 21, 22]] = "Maybe."


def copied(columns):
    columns["verdict"] = np.where(columns["answer"] == "yes", "B", "A")


def leaked(columns):
    columns["score"] = np.where(columns["answer"] == "yes", 5.0, 1.0) + np.arange(ROWS) / 100


def leaked_by_absence(columns):
    columns["refund"] = [f"{i + 0.5}" if answer == "yes" else "" for i, answer in enumerate(columns["answer"])]


def same_twice(columns):
    columns["pounds"] = (columns["weight"] * 2.2046).round(4)


def renamed(columns):
    columns["shade"] = np.array([{"red": "r", "green": "g", "blue": "b"}[one] for one in columns["colour"]])


def repeated(columns):
    for name in columns:
        columns[name][33] = columns[name][3]


def contradicting(columns):
    repeated(columns)
    columns["answer"][33] = "no" if columns["answer"][3] == "yes" else "yes"


def grouped(columns):
    columns["patient_id"] = np.array([f"P{i % 12}" for i in range(ROWS)])


def rare(columns):
    columns["answer"] = columns["answer"].astype(object)
    columns["answer"][:8] = "hardly"


def tiny(columns):
    columns["answer"] = columns["answer"].astype(object)
    columns["answer"][[60, 61]] = "never"


def unlabelled(columns):
    columns["answer"] = columns["answer"].astype(object)
    columns["answer"][17] = ""


@pytest.mark.parametrize(
    ("plant", "name", "severity", "where"),
    [
        (infinite, "infinite_cells", "error", "planted.csv row 6"),
        (no_number, "unreadable_cells", "warning", "planted.csv row 9"),
        (mostly_missing, "mostly_missing", "warning", "age"),
        (some_missing, "missing_cells", "note", "planted.csv row 5, size"),
        (empty, "empty_column", "note", "remark"),
        (constant, "constant_column", "note", "unit"),
        (identifier, "identifier_column", "note", "id"),
        (free_text, "text_column", "note", "note"),
        (code, "missing_code", "note", "planted.csv row 7"),
        (spelt, "spellings", "warning", "planted.csv row 13"),
        (spelt_classes, "class_spellings", "warning", "planted.csv row 22"),
        (copied, "target_copy", "error", "verdict"),
        (leaked, "target_leak", "warning", "score"),
        (leaked_by_absence, "target_leak", "warning", "refund"),
        (same_twice, "twin_columns", "note", "weight"),
        (renamed, "twin_columns", "note", "shade"),
        (repeated, "twins", "note", "planted.csv row 5 = planted.csv row 35"),
        (contradicting, "contradictions", "note", "planted.csv row 5"),
        (grouped, "group_like_column", "note", "patient_id"),
        (rare, "few_samples", "warning", "hardly"),
        (rare, "unequal_classes", "warning", "hardly"),
        (tiny, "tiny_classes", "error", "planted.csv row 62"),
        (unlabelled, "no_target", "note", "planted.csv row 19"),
    ],
)
def test_a_defect_of_a_table_is_found_and_nothing_else_is_called_grave(tmp_path, plant, name, severity, where):
    columns = table()
    plant(columns)
    found = examine(write(tmp_path / "planted.csv", columns), tmp_path, target=["answer"])
    one = named(found, name)
    assert one.severity == severity
    assert any(where in place for place in (*one.where, one.what)), one
    assert one.advice
    assert {other.name for other in grave(found)} <= {name, "few_samples", "unequal_classes", "mostly_missing"}


def test_a_number_to_predict_under_another_name_is_a_copy_and_a_function_of_it_a_leak(tmp_path):
    columns = table()
    columns["price"] = (columns["size"] * columns["weight"]).round(2)
    columns["cost"] = columns["price"]
    columns["tax"] = (columns["price"] ** 1.5).round(4)
    del columns["answer"]
    found = examine(write(tmp_path / "prices.csv", columns), tmp_path, target=["price"])
    assert (named(found, "target_copy").severity, named(found, "target_copy").where) == ("error", ("cost",))
    assert named(found, "target_leak").where == ("tax",)


def test_a_target_that_was_cut_off_at_a_largest_value_is_named(tmp_path):
    columns = table()
    columns["price"] = np.minimum((columns["size"] * columns["weight"]).round(2), 620)
    del columns["answer"]
    one = named(examine(write(tmp_path / "prices.csv", columns), tmp_path, target=["price"]), "capped_target")
    rows = np.flatnonzero(columns["price"] == 620)
    assert set(one.where) <= {f"prices.csv row {row + 2}" for row in rows}
    assert 10 <= one.count <= len(rows)  # test rows are not looked at


def test_of_a_rare_class_a_column_that_only_guesses_the_common_one_is_no_leak(tmp_path):
    columns = table()
    columns["answer"] = np.where(np.arange(ROWS) % 40 == 0, "yes", "no")
    found = examine(write(tmp_path / "rare.csv", columns), tmp_path, target=["answer"])
    assert not [one for one in found if "target" in one.name]


def test_rows_that_differ_in_nothing_but_the_answer_make_training_meaningless(tmp_path):
    columns = {"colour": np.array(["red", "blue"])[np.arange(ROWS) // 2 % 2], "answer": np.arange(ROWS) % 2}
    assert (
        named(examine(write(tmp_path / "coin.csv", columns), tmp_path, target=["answer"]), "contradictions").severity
        == "error"
    )


def test_every_broken_line_is_found_at_once_and_the_rest_is_still_examined(tmp_path):
    columns = table()
    columns["verdict"] = np.where(columns["answer"] == "yes", "B", "A")
    path = write(tmp_path / "broken.csv", columns)
    lines = path.read_bytes().split(b"\n")
    lines[3] += b",more"
    lines[8] = b"1,2"
    lines[20] = lines[20].replace(b",", b"\xe4,", 1)
    lines[30] = b"\0" + lines[30]
    path.write_bytes(b"\n".join(lines))
    found = examine(path, tmp_path, target=["answer"])
    assert named(found, "ragged_rows").where == ("broken.csv row 4", "broken.csv row 9")
    assert named(found, "not_utf8").where == ("broken.csv row 21",)
    assert named(found, "nul_bytes").where == ("broken.csv row 31",)
    assert named(found, "target_copy").where == ("verdict",)
    assert not [one for one in found if one.name == "refused"]


def test_a_column_named_twice_does_not_hide_the_others(tmp_path):
    path = write(tmp_path / "twice.csv", table())
    path.write_text(path.read_text().replace("size,weight", "size,size", 1))
    found = examine(path, tmp_path, target=["answer"])
    assert named(found, "column_named_twice").where == ("size",)
    assert len(grave(found)) == 1


def test_a_quoted_cell_of_several_lines_keeps_the_line_numbers(tmp_path):
    path = tmp_path / "quoted.csv"
    rows = [f'{i},"a\nb {i % 3}",{"yes" if i % 2 else "no"}' for i in range(40)]
    path.write_text("\n".join(["size,text,answer", *rows, "1,2"]) + "\n")
    assert named(examine(path, tmp_path, target=["answer"]), "ragged_rows").where == ("quoted.csv row 82",)


@pytest.mark.parametrize(("text", "name"), [("", "empty_file"), ("a,b\n", "refused"), ("1,2\n3,4\n", "refused")])
def test_a_table_that_is_none_is_an_error(tmp_path, text, name):
    (tmp_path / "none.csv").write_text(text)
    assert named(examine(tmp_path / "none.csv", tmp_path), name).severity == "error"


def test_a_constant_target_is_refused_and_the_columns_are_still_looked_at(tmp_path):
    columns = table() | {"answer": np.array(["no"] * ROWS), "unit": np.array(["kg"] * ROWS)}
    found = examine(write(tmp_path / "same.csv", columns), tmp_path, target=["answer"])
    assert "nothing to learn" in named(found, "refused").what
    assert named(found, "constant_column").where == ("unit",)


# -- parts, groups, times ------------------------------------------------------------------------


def test_test_rows_that_are_training_rows_too_are_found(tmp_path):
    columns = table()
    whole = {name: values[:200] for name, values in columns.items()}
    test = {name: np.concatenate([values[200:], values[10:13]]) for name, values in columns.items()}
    write(tmp_path / "set" / "train.csv", whole)
    write(tmp_path / "set" / "test.csv", test)
    one = named(examine(tmp_path / "set", tmp_path, target=["answer"]), "twins_across_test")
    assert (one.severity, one.count, one.where[0]) == ("warning", 3, "test.csv row 42 = train.csv row 12")


def test_where_most_test_rows_are_training_rows_the_score_is_meaningless(tmp_path):
    columns = table()
    write(tmp_path / "set" / "train.csv", columns)
    write(tmp_path / "set" / "test.csv", {name: values[:40] for name, values in columns.items()})
    assert named(examine(tmp_path / "set", tmp_path, target=["answer"]), "twins_across_test").severity == "error"


def test_groups_that_the_data_s_own_parts_cut_are_named(tmp_path):
    columns = table()
    columns["who"] = np.array([f"P{i // 20}" for i in range(ROWS)])
    columns["part"] = np.where(np.arange(ROWS) < 190, "train", "test")  # P9 has rows on both sides
    path = write(tmp_path / "cut.csv", columns)
    found = examine(path, tmp_path, target=["answer"], split_column="part", group_column="who")
    assert named(found, "groups_across_parts").where == ("P9",)
    columns["part"] = np.where(np.arange(ROWS) < 200, "train", "test")
    assert (
        grave(examine(write(path, columns), tmp_path, target=["answer"], split_column="part", group_column="who")) == []
    )


def test_test_rows_older_than_training_rows_are_named(tmp_path):
    columns = table()
    columns["taken"] = np.array([f"2024-{1 + i // 28 % 12:02}-{1 + i % 28:02}" for i in range(ROWS)])
    columns["part"] = np.where(np.isin(np.arange(ROWS), (5, 6)) | (np.arange(ROWS) > 200), "test", "train")
    path = write(tmp_path / "times.csv", columns)
    options = {"target": ["answer"], "split_column": "part", "time_column": "taken"}
    assert named(examine(path, tmp_path, **options), "time_order").where == ("times.csv row 7", "times.csv row 8")
    columns["part"] = np.where(np.arange(ROWS) > 200, "test", "train")
    assert grave(examine(write(path, columns), tmp_path, **options)) == []


# -- pictures ------------------------------------------------------------------------------------


def empty_file(root):
    (root / "cat" / "03.png").write_bytes(b"")


def truncated(root):
    file = root / "dog" / "04.png"
    file.write_bytes(file.read_bytes()[:-2000])


def web_page(root):
    (root / "cat" / "05.png").write_text("<!DOCTYPE html><html>not found</html>")


def wrong_ending(root):
    (root / "cat" / "06.png").rename(root / "cat" / "06.jpg")


def other_size(root):
    picture(6, 128).save(root / "cat" / "06.png")


def one_colour(root):
    Image.new("RGB", (96, 96), "grey").save(root / "dog" / "07.png")


def exact_copy(root):
    (root / "dog" / "copy.png").write_bytes((root / "dog" / "01.png").read_bytes())


def in_two_classes(root):
    (root / "dog" / "copy.png").write_bytes((root / "cat" / "01.png").read_bytes())


def saved_again(root):
    ImageEnhance.Brightness(picture(102)).enhance(1.2).save(root / "dog" / "again.jpg", quality=60)


def saved_again_elsewhere(root):
    picture(2).filter(ImageFilter.GaussianBlur(0.6)).resize((70, 70)).save(root / "dog" / "again.jpg", quality=80)


def outside(root):
    picture(77).save(root / "lost.png")


def unread(root):
    picture(77).save(root / "cat" / "scan.tiff")


def by_format(root):
    for file in sorted((root / "dog").iterdir()):
        Image.open(file).save(file.with_suffix(".jpg"))
        file.unlink()


@pytest.mark.parametrize(
    ("plant", "name", "severity", "where"),
    [
        (empty_file, "empty_files", "warning", "cat/03.png"),
        (truncated, "unreadable_files", "warning", "dog/04.png: is cut off"),
        (web_page, "unreadable_files", "warning", "cat/05.png: is web page"),
        (wrong_ending, "wrong_ending", "note", "cat/06.jpg is PNG"),
        (other_size, "mixed_sizes", "note", "cat/06.png is 128 x 128"),
        (one_colour, "blank_pictures", "warning", "dog/07.png"),
        (exact_copy, "twins", "warning", "dog/01.png = dog/copy.png"),
        (in_two_classes, "contradictions", "warning", "cat/01.png (cat) = dog/copy.png (dog)"),
        (saved_again, "near_twins", "warning", "dog/02.png ~ dog/again.jpg"),
        (saved_again_elsewhere, "near_contradictions", "warning", "cat/02.png (cat) ~ dog/again.jpg (dog)"),
        (outside, "outside_folders", "warning", "lost.png"),
        (unread, "unread_pictures", "warning", "cat/scan.tiff"),
        (by_format, "file_leak", "warning", "format"),
    ],
)
def test_a_defect_of_pictures_is_found(tmp_path, plant, name, severity, where):
    root = photos(tmp_path / "photos", per_class=24)
    plant(root)
    found = examine(root, tmp_path)
    one = named(found, name)
    assert one.severity == severity
    assert any(where in place for place in one.where), one
    assert {other.name for other in grave(found)} <= {name, "few_samples"}


def test_where_the_reader_refuses_all_that_is_wrong_is_told_nevertheless(tmp_path):
    root = photos(tmp_path / "photos")
    for i in range(4):
        (root / "cat" / f"{i:02}.png").write_bytes(b"\xff\xd8\xff no picture")
    empty_file(root)
    in_two_classes(root)
    (root / "dog" / "twin.png").write_bytes((root / "dog" / "09.png").read_bytes())
    saved_again(root)
    found = examine(root, tmp_path)
    assert "cannot be read" in named(found, "refused").what
    assert named(found, "unreadable_files").severity == "error"
    assert named(found, "empty_files").where == ("cat/03.png",)
    assert named(found, "twins").where == ("dog/09.png = dog/twin.png",)
    assert named(found, "near_twins").where == ("dog/02.png ~ dog/again.jpg",)


def test_twins_and_near_twins_across_the_data_s_own_parts(tmp_path):
    root = tmp_path / "parts"
    for part, first in (("train", 0), ("test", 500)):
        for at, label in enumerate(("cat", "dog")):
            (root / part / label).mkdir(parents=True)
            for i in range(8):
                picture(first + 100 * at + i).save(root / part / label / f"{i}.png")
    (root / "test" / "cat" / "same.png").write_bytes((root / "train" / "cat" / "1.png").read_bytes())
    ImageEnhance.Brightness(picture(102)).enhance(0.8).save(root / "test" / "dog" / "darker.png")
    found = examine(root, tmp_path)
    assert named(found, "twins_across_test").where == ("test/cat/same.png = train/cat/1.png",)
    assert named(found, "near_twins_across_parts").where == ("test/dog/darker.png ~ train/dog/2.png",)


def test_a_list_that_names_files_which_do_not_exist(tmp_path):
    root = photos(tmp_path / "photos")
    names = [f"{label}/{i:02}.png" for label in ("cat", "dog") for i in range(12)]
    rows = [f"{name},{name[:3]}" for name in [*names, "cat/99.png"]]
    (root / "list.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    found = examine(root / "list.csv", tmp_path)
    assert named(found, "absent_files").where == ("cat/99.png",)
    assert named(found, "absent_files").severity == "error"


def test_pictures_that_are_alike_only_in_their_ground_are_no_twins():
    thumbs = np.full((40, 64, 64), 200, np.uint8)
    random = np.random.default_rng(0)
    for thumb in thumbs:  # one dark thing somewhere in the middle of a plain ground, as products are photographed
        at = random.integers(16, 30, 2)
        thumb[at[0] : at[0] + 18, at[1] : at[1] + 18] = random.integers(0, 120, (18, 18))
    assert len(near.find(thumbs)) == 0
    assert near.find(np.concatenate([thumbs, thumbs[7:8] // 2 + 60])).tolist() == [[7, 40]]


def test_the_perceptual_hash_is_the_signs_of_the_lowest_cosine_frequencies():
    thumbs = np.stack([np.asarray(picture(seed, 32).convert("L")) for seed in range(20)])
    low = dct(dct(thumbs.astype(float), axis=1), axis=2)[:, :8, :8].reshape(20, 64)
    bits = low > np.median(low, axis=1, keepdims=True)
    theirs = [int("".join("01"[int(bit)] for bit in row), 2) for row in bits]
    assert [int(code) for code in near.hashes(thumbs)] == theirs


# -- series --------------------------------------------------------------------------------------


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


# -- sounds and clips ----------------------------------------------------------------------------


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
    found = examine(root, tmp_path)
    one = named(found, name)
    assert one.severity == severity
    assert any(place.startswith(where) for place in one.where), one
    assert {other.name for other in grave(found)} <= {name, "few_samples", "short_sounds"}


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
    found = examine(root, tmp_path)
    one = named(found, name)
    assert one.severity == severity
    assert any(place.startswith(where) for place in one.where), one
    assert {other.name for other in grave(found)} <= {name, "few_samples"}


# -- labels that a model contradicts -------------------------------------------------------------


def spec(task, outputs):
    labels = ("no", "yes") if task == "binary" else tuple("abc")[:outputs]
    return DatasetSpec(
        name="s", kind="series", task=task, shape=(4, 1), outputs=outputs, labels=labels,
    )  # fmt: skip


def test_only_labels_that_are_contradicted_with_confidence_are_suspects():
    y = np.array([0, 0, 1, 1, 2, 2])
    outputs = np.array(
        [[0.97, 0.02, 0.01], [0.01, 0.98, 0.01], [0.1, 0.8, 0.1], [0.6, 0.4, 0], [0, 0.01, 0.99], [0.95, 0.0, 0.05]]
    )
    assert [row for row, _ in contradicted(spec("multiclass", 3), y, outputs)] == [1, 5]
    assert contradicted(spec("multiclass", 3), y, outputs)[0][1] == "labelled a, the model says b (0.980)"
    binary = np.array([[0.02], [0.04], [0.98], [0.99], [0.97]])
    assert [row for row, _ in contradicted(spec("binary", 1), np.array([0, 1, 1, 1, 0]), binary)] == [4, 1]


def test_suspects_of_numbers_and_of_several_labels():
    random = np.random.default_rng(0)
    y = random.normal(0, 1, (200, 1))
    outputs = y + random.normal(0, 0.1, (200, 1))
    y[17] += 5
    assert [row for row, _ in contradicted(spec("regression", 1), y, outputs)] == [17]
    flags = np.array([[1, 0, 0], [0, 1, 1.0]])
    said = np.array([[0.9, 0.1, 0.01], [0.1, 0.99, 0.02]])
    assert contradicted(spec("multilabel", 3), flags, said) == [(1, "labelled c, the model gives it 0.020")]


@pytest.mark.slow
def test_of_a_run_the_validation_rows_with_wrong_labels_are_named_and_no_test_rows(tmp_path, kexp):
    net = small_models.digits_net()
    random = np.random.default_rng(0)
    y = net.dataset.y.copy()
    wrong = {part: random.permutation(net.dataset.rows(part))[:5] for part in ("validation", "test")}
    for rows in wrong.values():
        y[rows] = (y[rows] + 3) % 10
    with RunStore.create(tmp_path, "digits", Experiment(name="digits", data="sklearn:digits")) as run:
        dataclasses.replace(net.dataset, y=y).save(run.data)
        shutil.copy(net.model, run.model)
    status, out, _ = kexp("doctor", "digits", "--home", tmp_path, "--json")
    document = json.loads(out)
    (one,) = document["findings"]
    rows = {int(place.split(":")[0].rsplit(" ", 1)[1]) for place in one["where"]}
    assert status == 0
    assert document["of"] == "the validation rows of the run digits"
    assert len(rows & set(wrong["validation"].tolist())) >= 3  # the net is a small one, and not always sure
    assert not rows & set(wrong["test"].tolist())


def test_a_search_says_what_is_grave_in_a_line_each(tmp_path):
    from kexp import data, pipeline

    columns = table() | {"unit": ["kg"] * ROWS}
    copied(columns)
    question = from_data(str(write(tmp_path / "copy.csv", columns)), target=["answer"])
    raw = data.read(question, cache=tmp_path)
    dataset = data.prepared(raw, question)
    heard = []
    pipeline._warn(question, raw, dataset, tmp_path, tmp_path, heard.append)
    told = [event.text for event in heard if event.kind == "notice"]
    assert len(told) == 2
    assert told[0].startswith("error: Column 'verdict' is the target")
    assert told[1] == f"kexp doctor {tmp_path / 'copy.csv'} says more"


# -- the record, what is kept, and the command line ----------------------------------------------


def test_a_finding_survives_json():
    one = case.finding("twins", "note", "two rows", ["row 1", "row 2"] * 4, "remove one")
    assert (one.count, len(one.where)) == (8, case.SHOWN)
    assert from_json(Finding, json.loads(json.dumps(to_json(one)))) == one


def test_what_was_found_is_kept_for_the_same_data_and_not_for_others(tmp_path, monkeypatch):
    from kexp import data

    path = write(tmp_path / "kept.csv", table() | {"unit": ["kg"] * ROWS})
    question = from_data(str(path), target=["answer"])

    def again():
        raw = data.read(question, cache=tmp_path / "cache")
        dataset = data.prepared(raw, question)
        return doctor.examine(question, cache=tmp_path / "cache", raw=raw, dataset=dataset)

    first = again()
    assert [one.name for one in first] == ["constant_column"]
    with monkeypatch.context() as patch:
        patch.setattr(doctor, "CHECKS", {"table": {}})
        assert again() == first
        write(path, table())
        assert again() == []


def test_a_leak_needs_rows_that_were_not_fitted():
    random = np.random.default_rng(0)
    y = random.integers(0, 2, 200)
    assert leaks._score(np.arange(200.0), y, numbers=False) < 0.7  # by heart it would be 1
    assert leaks._score(y + random.normal(0, 0.01, 200), y, numbers=False) == 1


def test_the_command_exits_1_for_an_error_alone(tmp_path, kexp):
    columns = table()
    path = write(tmp_path / "clean.csv", columns)
    status, out, _ = kexp("doctor", path, "--target", "answer", "--home", tmp_path)
    assert status == 0
    assert "nothing found" in " ".join(out.split())
    spelt(columns)
    status, out, _ = kexp("doctor", write(path, columns), "--target", "answer", "--home", tmp_path)
    assert status == 0
    assert "spellings" in out
    copied(columns)
    status, out, _ = kexp("doctor", write(path, columns), "--target", "answer", "--home", tmp_path)
    assert status == 1
    assert "target_copy" in out
    status, out, _ = kexp("doctor", path, "--target", "answer", "--drop", "verdict", "--home", tmp_path)
    assert status == 0


def test_the_command_speaks_json(tmp_path, kexp):
    columns = table()
    copied(columns)
    path = write(tmp_path / "copy.csv", columns)
    status, out, _ = kexp("doctor", path, "--target", "answer", "--home", tmp_path, "--json")
    document = json.loads(out)
    assert (status, document["ok"], document["of"]) == (1, False, str(path))
    assert document["findings"][0]["name"] == "target_copy"
    assert document["findings"][0]["where"] == ["verdict"]


def test_nothing_there_is_one_message(tmp_path, kexp):
    status, out, err = kexp("doctor", tmp_path / "nothing.csv", "--home", tmp_path)
    assert (status, out) == (1, "")
    assert "does not exist" in err


def test_init_tells_what_is_grave_and_where_more_is_said(tmp_path, kexp):
    columns = table()
    copied(columns)
    constant(columns)
    path = write(tmp_path / "copy.csv", columns)
    status, out, _ = kexp("init", path, "--target", "answer", "--home", tmp_path)
    assert status == 0
    assert "✗ Column 'verdict' is the target" in out
    assert "kexp doctor" in out
    toml = (tmp_path / "experiments" / "copy.toml").read_text()
    assert "# doctor: Column 'verdict'" in toml
    status, out, _ = kexp("doctor", tmp_path / "experiments" / "copy.toml", "--home", tmp_path)
    assert status == 1


def test_findings_fit_80_columns():
    long = case.finding(
        "twins", "error", "rows " * 40, [f"a very long name of a file {i}.csv row {i}" for i in range(9)], "x " * 90
    )
    console = Console(width=80, markup=False)
    with console.capture() as shown:
        console.print(screen.findings([long], "data"))
        console.print(*screen.brief([long], "data"), sep="\n")
    lines = shown.get().splitlines()
    assert max(map(len, lines)) <= 80
    assert "4 more" in shown.get()


def test_the_help_of_the_command_names_what_it_is_for(kexp):
    status, out, _ = kexp("doctor", "--help")
    assert status == 0
    assert "EXPERIMENT.toml|DATA|RUN" in out
    assert "doctor" in cli.commands.commands
