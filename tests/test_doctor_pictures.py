"""The doctor of pictures: planted defects are found with their file, twins and near twins among them."""

from __future__ import annotations

import numpy as np
import pytest
from doctor_cases import examine, named, photos, picture, planted
from PIL import Image, ImageEnhance, ImageFilter
from scipy.fft import dct

from kexp.data.doctor import near


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
    one = planted(examine(root, tmp_path), name, severity, "few_samples")
    assert any(where in place for place in one.where), one


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
