from __future__ import annotations

import io
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from kexp.data import cache as cache_module
from kexp.data import media, pictures
from kexp.data.dataset import PARTS
from kexp.errors import DataError
from kexp.records import Experiment

RNG = np.random.default_rng(0)
RED, GREEN, WHITE = (255, 0, 0), (0, 255, 0), (255, 255, 255)


def noise(height=12, width=16, channels=3):
    shape = (height, width) if channels == 1 else (height, width, channels)
    return Image.fromarray(RNG.integers(0, 256, shape, dtype=np.uint8))


def class_folders(root, classes=("cat", "dog"), count=4, make=noise):
    for name in classes:
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            make().save(root / name / f"{i}.png")
    return root


def halves(first=RED, second=GREEN, height=32, width=64):
    """A picture with `first` on its left and `second` on its right."""
    picture = Image.new("RGB", (width, height), first)
    picture.paste(second, (width // 2, 0, width, height))
    return picture


def is_like(pixel, colour, slack=12):
    return bool((abs(np.asarray(pixel, int) - np.asarray(colour, int)) <= slack).all())


def asked(size=(), **options):
    return Experiment(name="pictures", data="pictures", size=size, **options)


def read_folder(path, *, cache, progress=None, size=()):
    return media.read_folder(path, pictures.medium(), asked(size), cache, progress)


def read_csv(path, *, cache, **options):
    experiment = asked(**options)
    return media.read_list(media.find_list(path, experiment), pictures.medium(), experiment, cache)


def is_picture_csv(path):
    return media.is_list(media.find_list(path, asked()), pictures.medium())


def saved(picture, format="PNG", **options):
    stream = io.BytesIO()
    picture.save(stream, format, **options)
    return stream.getvalue()


# --- decode -----------------------------------------------------------------------------------


def test_a_picture_of_the_wanted_size_keeps_every_pixel(tmp_path):
    picture = noise()
    picture.save(tmp_path / "a.png")
    decoded = pictures.decode(tmp_path / "a.png", (12, 16, 3))
    assert decoded.dtype == np.uint8
    assert np.array_equal(decoded, np.asarray(picture))


def test_a_path_bytes_and_a_stream_give_the_same_pixels(tmp_path):
    data = saved(noise(50, 40))
    (tmp_path / "a.png").write_bytes(data)
    one = pictures.decode(tmp_path / "a.png", (8, 8, 3))
    assert np.array_equal(one, pictures.decode(data, (8, 8, 3)))
    assert np.array_equal(one, pictures.decode(io.BytesIO(data), (8, 8, 3)))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "BMP", "WEBP", "GIF"])
def test_every_format_is_read_by_content_whatever_its_extension(tmp_path, format):
    (tmp_path / "a.jpg").write_bytes(saved(halves(), format))
    decoded = pictures.decode(tmp_path / "a.jpg", (16, 32, 3))
    assert is_like(decoded[8, 4], RED)
    assert is_like(decoded[8, 28], GREEN)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(orientation):
    sides = {1: "left", 2: "right", 3: "right", 4: "left", 5: "top", 6: "top", 7: "bottom", 8: "bottom"}
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = pictures.decode(saved(halves(height=64), "JPEG", exif=exif), (32, 32, 3))
    where = {"left": (16, 4), "right": (16, 28), "top": (4, 16), "bottom": (28, 16)}
    assert is_like(decoded[where[sides[orientation]]], RED)


def test_all_orientations_agree_with_pillow():
    from PIL import ImageOps

    picture = noise(24, 40)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = saved(picture, exif=exif)
        upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
        decoded = pictures.decode(data, (upright.height, upright.width, 3))
        assert np.array_equal(decoded, np.asarray(upright)), orientation


def test_damaged_exif_does_not_spoil_a_good_picture():
    data = saved(halves(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12")
    assert pictures.decode(data, (16, 32, 3)).shape == (16, 32, 3)


def test_alpha_lies_on_white_and_palettes_are_resolved():
    clear = Image.new("RGBA", (8, 8), (*RED, 0))
    assert is_like(pictures.decode(saved(clear), (8, 8, 3))[0, 0], WHITE, 0)
    half = Image.new("RGBA", (8, 8), (*RED, 128))
    assert is_like(pictures.decode(saved(half), (8, 8, 3))[0, 0], (255, 127, 127), 1)
    grey = Image.new("LA", (8, 8), (100, 0))
    assert pictures.decode(saved(grey), (8, 8, 1))[0, 0, 0] == 255
    palette = halves().convert("P", palette=Image.Palette.ADAPTIVE)
    assert is_like(pictures.decode(saved(palette), (16, 32, 3))[0, 0], RED, 0)
    cut = Image.new("P", (8, 8), 0)
    cut.putpalette([*RED, *GREEN])
    assert is_like(pictures.decode(saved(cut, transparency=0), (8, 8, 3))[0, 0], WHITE, 0)


def test_cmyk_16_bit_and_1_bit_pictures():
    cmyk = saved(halves().convert("CMYK"), "JPEG", quality=95)
    assert is_like(pictures.decode(cmyk, (16, 32, 3))[8, 4], RED)
    deep = Image.fromarray(np.array([[0, 257, 65535, 32896]], dtype=np.uint16))
    assert pictures.decode(saved(deep), (1, 4, 1))[0, :, 0].tolist() == [0, 1, 255, 128]
    assert pictures.decode(saved(deep), (1, 4, 3))[0, 2].tolist() == [255, 255, 255]
    bits = Image.fromarray(np.array([[True, False]]))
    assert pictures.decode(saved(bits), (1, 2, 1))[0, :, 0].tolist() == [255, 0]


def test_the_first_frame_of_an_animation_counts():
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN)]
    for format in ("GIF", "WEBP"):
        data = saved(frames[0], format, save_all=True, append_images=frames[1:])
        assert is_like(pictures.decode(data, (8, 8, 3))[4, 4], RED)


def test_the_centre_is_kept_at_the_wanted_ratio():
    wide = Image.new("RGB", (90, 30), RED)
    wide.paste(GREEN, (30, 0, 60, 30))
    assert is_like(pictures.decode(saved(wide), (10, 10, 3)).reshape(-1, 3), GREEN, 30)
    assert is_like(pictures.decode(saved(wide.rotate(90, expand=True)), (10, 10, 3)).reshape(-1, 3), GREEN, 30)


def test_resizing_averages_instead_of_skipping_pixels():
    board = np.zeros((128, 128), np.uint8)
    board[::2, ::2] = board[1::2, 1::2] = 255
    decoded = pictures.decode(saved(Image.fromarray(board)), (8, 8, 1))
    assert abs(decoded.astype(int) - 128).max() <= 3


def test_a_large_jpeg_decoded_at_a_fraction_looks_like_the_whole_one():
    y, x = np.mgrid[0:600, 0:800]
    smooth = np.stack([x * 255 / 800, y * 255 / 600, (x + y) * 255 / 1400], -1).astype(np.uint8)
    decoded = pictures.decode(saved(Image.fromarray(smooth), "JPEG", quality=95), (48, 64, 3))
    whole = np.asarray(Image.fromarray(smooth).resize((64, 48), Image.Resampling.BOX), int)
    assert abs(decoded - whole).max() <= 6


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"these are words\n", "no picture"),
        (b"", "no picture"),
        (saved(noise(64, 64), "JPEG")[:-900], "damaged"),
        (saved(noise(64, 64))[:-900], "damaged"),
        (saved(noise(64, 64), "BMP")[:-900], "damaged"),
        (saved(noise(64, 64), "GIF")[:-900], "damaged"),
        (saved(noise(64, 64), "WEBP")[:-900], "damaged|no picture"),
    ],
)
def test_what_is_no_whole_picture_is_refused_by_name(tmp_path, content, reason):
    (tmp_path / "odd.png").write_bytes(content)
    with pytest.raises(DataError, match=rf"odd\.png is .*({reason}).*Replace or remove it"):
        pictures.decode(tmp_path / "odd.png", (8, 8, 3))


def test_a_missing_file_a_folder_and_bytes_are_named_too(tmp_path):
    with pytest.raises(DataError, match=r"none\.png cannot be opened"):
        pictures.decode(tmp_path / "none.png", (8, 8, 3))
    with pytest.raises(DataError, match="cannot be opened"):
        pictures.decode(tmp_path, (8, 8, 3))
    with pytest.raises(DataError, match="the picture is no picture"):
        pictures.decode(b"x", (8, 8, 3))


def test_a_picture_of_absurd_size_is_refused(tmp_path, monkeypatch):
    noise(40, 40).save(tmp_path / "vast.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(DataError, match=r"vast\.png is too large"):
        pictures.decode(tmp_path / "vast.png", (8, 8, 3))


def test_importing_the_decoder_loads_nothing_heavy():
    code = "import sys, kexp.data.pictures; print(*sorted({n.split('.')[0] for n in sys.modules}))"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"pandas", "sklearn", "tensorflow", "keras"} & set(modules.split())


# --- size ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "chosen"),
    [
        ([(8, 8)], (8, 8)),
        ([(28, 28), (28, 28)], (28, 28)),
        ([(192, 256)], (48, 64)),
        ([(256, 192)], (64, 48)),
        ([(3000, 3000)], (64, 64)),
        ([(100, 400)], (32, 128)),
        ([(20, 20), (30, 40), (50, 60)], (30, 40)),
        ([(64, 64)], (64, 64)),
        ([(1, 3)], (1, 3)),
    ],
)
def test_the_size_follows_the_pictures(sizes, chosen):
    assert pictures.choose_size(sizes) == chosen


@pytest.mark.parametrize("ratio", [0.001, 0.05, 0.1, 0.3, 0.5, 0.56, 0.75, 0.9, 1.0, 1.5, 3.0, 40.0, 5000.0])
def test_a_reduced_size_is_bounded_and_of_whole_steps(ratio):
    height, width = pictures.choose_size([(int(10_000 * ratio), 10_000)])
    assert height * width <= pictures.LARGEST_AREA
    assert height % pictures.STEP == width % pictures.STEP == 0
    assert min(height, width) >= pictures.STEP


# --- folders ------------------------------------------------------------------------------------


def test_class_folders(tmp_path):
    root = class_folders(tmp_path / "pets", ("dog", "cat"))
    (root / "cat" / "more" / "deep").mkdir(parents=True)
    noise().save(root / "cat" / "more" / "deep" / "X.PNG")
    raw = read_folder(root, cache=tmp_path / "cache")
    assert (raw.kind, raw.labels, raw.parts, raw.notices) == ("image", ("cat", "dog"), None, [])
    assert raw.x.shape == (9, 12, 16, 3)
    assert raw.x.dtype == np.uint8
    assert isinstance(raw.x, np.memmap)
    assert raw.ids[0] == "cat/0.png"
    assert "cat/more/deep/X.PNG" in raw.ids
    assert raw.y.tolist() == [name.split("/")[0] for name in raw.ids]
    for x, name, file in zip(raw.x, raw.ids, raw.files, strict=True):
        assert file == str(root / name)
        assert np.array_equal(x, np.asarray(Image.open(file)))


def test_files_of_other_kinds_and_hidden_ones_are_counted(tmp_path):
    root = class_folders(tmp_path / "pets")
    (root / "SOURCE.md").write_text("where from")
    (root / "LICENSE").write_text("free")
    (root / "cat" / "notes.txt").write_text("good")
    (root / "cat" / ".DS_Store").write_text("")
    (root / ".git").mkdir()
    noise().save(root / ".git" / "hidden.png")
    raw = read_folder(root, cache=tmp_path / "cache")
    assert len(raw.x) == 8
    assert raw.notices == ["Ignored in pets: 4 other files (1 without extension, 1 .md, 1 hidden, 1 .txt)."]


def test_a_picture_beside_the_class_folders_is_no_sample(tmp_path):
    root = class_folders(tmp_path / "pets")
    noise().save(root / "overview.png")
    raw = read_folder(root, cache=tmp_path / "cache")
    assert len(raw.x) == 8
    assert raw.notices == ["Ignored 1 picture outside the class folders, such as overview.png."]


@pytest.mark.parametrize(
    ("folders", "train"),
    [
        (("train", "val", "test"), PARTS["train"]),
        (("Train", "validation", "TEST"), PARTS["train"]),
        (("train", "test"), -1),
        (("train", "valid"), -1),
    ],
)
def test_given_parts_are_respected(tmp_path, folders, train):
    for folder in folders:
        class_folders(tmp_path / "pets" / folder)
    raw = read_folder(tmp_path / "pets", cache=tmp_path / "cache")
    codes = {"train": train, "val": 1, "valid": 1, "validation": 1, "test": 2}
    assert raw.parts.dtype == np.int8
    assert raw.parts.tolist() == [codes[name.split("/")[0].lower()] for name in raw.ids]
    assert raw.labels == ("cat", "dog")


def test_train_alone_leaves_all_parts_open(tmp_path):
    class_folders(tmp_path / "pets" / "train")
    raw = read_folder(tmp_path / "pets", cache=tmp_path / "cache")
    assert raw.parts is None
    assert raw.labels == ("cat", "dog")


def test_train_among_vehicles_is_a_class(tmp_path):
    root = class_folders(tmp_path / "vehicles", ("bus", "train"))
    assert read_folder(root, cache=tmp_path / "cache").labels == ("bus", "train")


def test_an_unlabelled_test_folder_is_left_out(tmp_path):
    class_folders(tmp_path / "pets" / "train")
    (tmp_path / "pets" / "test").mkdir()
    noise().save(tmp_path / "pets" / "test" / "1.png")
    raw = read_folder(tmp_path / "pets", cache=tmp_path / "cache")
    assert raw.parts is None
    assert raw.notices == ["Ignored 1 picture outside the class folders, such as test/1.png."]


def test_a_test_class_that_training_lacks_is_refused(tmp_path):
    class_folders(tmp_path / "pets" / "train")
    class_folders(tmp_path / "pets" / "test", ("cat", "dog", "dogs"))
    with pytest.raises(DataError, match=r"class 'dogs' has no training pictures.*Did you mean 'dog'"):
        read_folder(tmp_path / "pets", cache=tmp_path / "cache")


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"holds no pictures\. One folder for each class is expected"):
        read_folder(tmp_path, cache=tmp_path / "cache")
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.heic").write_text("")
    with pytest.raises(DataError, match=r"holds no pictures, only 1 other file \(1 \.heic\)"):
        read_folder(tmp_path, cache=tmp_path / "cache")


def test_pictures_without_class_folders_are_refused(tmp_path):
    noise().save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"outside class folders only, such as a\.png"):
        read_folder(tmp_path, cache=tmp_path / "cache")


def test_one_class_is_refused_and_a_folder_inside_suggested(tmp_path):
    root = class_folders(tmp_path / "pets", ("cat",))
    with pytest.raises(DataError, match="one class folder with pictures, 'cat'; at least two"):
        read_folder(root, cache=tmp_path / "cache")
    class_folders(tmp_path / "outer" / "resized")
    with pytest.raises(DataError, match=r"Did you mean .*resized, which holds cat, dog\?"):
        read_folder(tmp_path / "outer", cache=tmp_path / "cache")


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_class_needs_three_pictures(tmp_path, count):
    root = class_folders(tmp_path / "pets")
    class_folders(root, ("rare",), count)
    if count >= 3:
        assert read_folder(root, cache=tmp_path / "cache").labels == ("cat", "dog", "rare")
        return
    with pytest.raises(DataError, match=f"class 'rare' has {count} picture.*at least 3.*one each for training"):
        read_folder(root, cache=tmp_path / "cache")


@pytest.mark.parametrize(("parts", "least"), [(("train", "val", "test"), 1), (("train", "test"), 2)])
def test_given_parts_need_fewer_training_pictures(tmp_path, parts, least):
    root = tmp_path / "pets"
    for part in parts:
        class_folders(root / part)
    class_folders(root / "train", ("rare",), least)
    assert "rare" in read_folder(root, cache=tmp_path / "cache").labels
    if least > 1:
        (root / "train" / "rare" / "0.png").unlink()
        with pytest.raises(DataError, match="class 'rare' has 1 picture; at least 2"):
            read_folder(root, cache=tmp_path / "cache")


def test_a_link_to_a_folder_above_does_not_loop(tmp_path):
    root = class_folders(tmp_path / "pets")
    (root / "cat" / "again").symlink_to(root, target_is_directory=True)
    assert len(read_folder(root, cache=tmp_path / "cache").x) == 8


# --- channels and size of a set -------------------------------------------------------------------


def test_grey_sets_have_one_channel_however_they_are_stored(tmp_path):
    root = class_folders(tmp_path / "pets", make=lambda: noise(channels=1))
    noise(channels=1).convert("RGB").save(root / "cat" / "rgb.png")
    noise(channels=1).convert("RGBA").save(root / "cat" / "rgba.png")
    raw = read_folder(root, cache=tmp_path / "cache")
    assert raw.x.shape == (10, 12, 16, 1)
    assert np.array_equal(raw.x[0, :, :, 0], np.asarray(Image.open(raw.files[0])))


def test_a_coloured_picture_outside_the_sample_makes_the_set_coloured(tmp_path, monkeypatch):
    root = class_folders(tmp_path / "pets", make=lambda: noise(channels=1))
    noise().save(root / "cat" / "2.png")
    monkeypatch.setattr(pictures, "SAMPLE", 2)
    raw = read_folder(root, cache=tmp_path / "cache")
    assert raw.x.shape == (8, 12, 16, 3)
    assert np.array_equal(raw.x[2], np.asarray(Image.open(root / "cat" / "2.png")))
    assert [path.name for path in (tmp_path / "cache").iterdir() if "." in path.name] == []


def test_what_the_set_holds_is_what_decode_gives(tmp_path):
    root = class_folders(tmp_path / "pets", make=lambda: noise(90, 120))
    raw = read_folder(root, cache=tmp_path / "cache")
    assert raw.x.shape[1:] == (48, 64, 3)
    for x, file in zip(raw.x, raw.files, strict=True):
        with open(file, "rb") as stream:
            assert np.array_equal(x, pictures.decode(stream, x.shape))


def test_the_size_may_be_set(tmp_path):
    root = class_folders(tmp_path / "pets")
    assert read_folder(root, size=(20, 10), cache=tmp_path / "cache").x.shape == (8, 20, 10, 3)


# --- cache ----------------------------------------------------------------------------------------


@pytest.fixture
def decoded(monkeypatch):
    """The names of the files that are decoded, in a list."""
    names, decode = [], pictures.decode
    monkeypatch.setattr(pictures, "decode", lambda file, shape: (names.append(file.name), decode(file, shape))[1])
    return names


def test_the_second_time_nothing_is_decoded(tmp_path, decoded):
    root = class_folders(tmp_path / "pets")
    progress = []
    one = read_folder(root, cache=tmp_path / "cache", progress=lambda *now: progress.append(now))
    assert len(decoded) == 8
    assert progress[-1] == (8, 8)
    two = read_folder(root, cache=tmp_path / "cache")
    assert len(decoded) == 8
    assert np.array_equal(one.x, two.x)


def test_a_changed_file_a_new_file_or_another_size_is_decoded_anew(tmp_path, decoded):
    root = class_folders(tmp_path / "pets")
    read_folder(root, cache=tmp_path / "cache")
    os.utime(root / "cat" / "0.png", (1, 1))
    read_folder(root, cache=tmp_path / "cache")
    assert len(decoded) == 16
    noise().save(root / "cat" / "new.png")
    read_folder(root, cache=tmp_path / "cache")
    assert len(decoded) == 25
    read_folder(root, size=(4, 4), cache=tmp_path / "cache")
    assert len(decoded) == 34


def test_a_moved_set_is_found_again(tmp_path, decoded):
    root = class_folders(tmp_path / "pets")
    read_folder(root, cache=tmp_path / "cache")
    raw = read_folder(root.rename(tmp_path / "animals"), cache=tmp_path / "cache")
    assert len(decoded) == 8
    assert raw.files[0] == str(tmp_path / "animals" / "cat" / "0.png")


def test_a_spoilt_cache_is_made_again(tmp_path, decoded):
    root = class_folders(tmp_path / "pets")
    one = read_folder(root, cache=tmp_path / "cache")
    expected = np.array(one.x)
    (folder,) = (tmp_path / "cache").iterdir()
    (folder / "x.npy").write_bytes(b"cut off")
    assert np.array_equal(read_folder(root, cache=tmp_path / "cache").x, expected)
    assert len(decoded) == 16


def test_an_interrupted_decoding_leaves_nothing_behind(tmp_path, monkeypatch):
    root = class_folders(tmp_path / "pets")

    def interrupted(file, shape):
        raise KeyboardInterrupt

    monkeypatch.setattr(pictures, "decode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        read_folder(root, cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_full_disk_is_said_before_it_is_hit(tmp_path, monkeypatch):
    root = class_folders(tmp_path / "pets")
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(cache_module.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DataError, match=r"10 are free\. Make room"):
        read_folder(root, cache=tmp_path / "cache")


def test_one_damaged_picture_is_named_skipped_and_remembered(tmp_path):
    root = class_folders(tmp_path / "pets")
    (root / "cat" / "1.png").write_bytes(saved(noise(64, 64))[:-900])
    for _ in range(2):
        raw = read_folder(root, cache=tmp_path / "cache")
        assert raw.x.shape == (7, 12, 16, 3)
        assert "cat/1.png" not in raw.ids
        assert len(raw.ids) == len(raw.files) == len(raw.y) == 7
        assert len(raw.notices) == 1
        assert raw.notices[0].startswith("Skipped 1 of 8 pictures")
        assert "cat/1.png is a damaged picture" in raw.notices[0]
        assert np.array_equal(raw.x[1], np.asarray(Image.open(root / "cat" / "2.png")))


@pytest.mark.parametrize("total", [8, 300])
def test_above_one_percent_the_damaged_are_named_and_it_stops(tmp_path, total):
    root = class_folders(tmp_path / "pets", count=total // 2, make=lambda: noise(2, 2))
    allowed = max(1, total // 100)
    for i in range(allowed):
        (root / "cat" / f"{i}.png").write_text("words")
    assert len(read_folder(root, cache=tmp_path / "cache").x) == total - allowed
    (root / "dog" / "0.png").write_text("words")
    with pytest.raises(
        DataError, match=rf"{allowed + 1} of {total} pictures cannot be read(.|\n)*cat/0\.png is no pic"
    ):
        read_folder(root, cache=tmp_path / "cache")


def test_when_all_pictures_are_damaged_the_first_are_named(tmp_path):
    root = class_folders(tmp_path / "pets")
    for file in root.rglob("*.png"):
        file.write_text("words")
    with pytest.raises(DataError, match=r"8 of 8 pictures cannot be read(.|\n)*cat/0\.png"):
        read_folder(root, cache=tmp_path / "cache")


def test_a_class_that_damage_makes_too_small_is_refused(tmp_path):
    root = class_folders(tmp_path / "pets")
    class_folders(root, ("rare",), 3)
    (root / "rare" / "0.png").write_text("words")
    with pytest.raises(DataError, match="class 'rare' has 2 pictures"):
        read_folder(root, cache=tmp_path / "cache")


# --- CSV ------------------------------------------------------------------------------------------


def listed(tmp_path, rows, header="path,label", count=6):
    (tmp_path / "img").mkdir(exist_ok=True)
    for i in range(count):
        noise().save(tmp_path / "img" / f"{i}.png")
    path = tmp_path / "labels.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def test_a_csv_of_paths_and_labels(tmp_path):
    path = listed(tmp_path, [f"img/{i}.png,{'cat' if i % 2 else 'dog'}" for i in range(6)])
    assert is_picture_csv(path)
    raw = read_csv(path, cache=tmp_path / "cache")
    assert raw.x.shape == (6, 12, 16, 3)
    assert (raw.targets, raw.parts, raw.ids[1]) == (("label",), None, "img/1.png")
    assert raw.y.ravel().tolist() == ["dog", "cat"] * 3
    assert raw.files[1] == str(tmp_path / "img" / "1.png")


def test_a_folder_with_one_csv_of_paths_is_read_by_it(tmp_path):
    path = listed(tmp_path, [f"img/{i}.png,{'cat' if i % 2 else 'dog'}" for i in range(6)])
    assert is_picture_csv(path.parent)
    assert len(read_csv(path.parent, cache=tmp_path / "cache").x) == 6
    assert not is_picture_csv(tmp_path / "img")


def test_few_whole_numbers_are_classes_and_other_numbers_stay_cells(tmp_path):
    digits = listed(tmp_path, [f"img/{i}.png,{i % 2}" for i in range(6)])
    raw = read_csv(digits, cache=tmp_path / "cache")
    assert raw.y.shape == (6,)
    assert raw.y.tolist() == ["0", "1"] * 3
    ages = listed(tmp_path, [f"img/{i}.png,{i + 0.5}" for i in range(6)], header="path,age")
    raw = read_csv(ages, cache=tmp_path / "cache")
    assert raw.y.shape == (6, 1)
    assert [float(cell) for cell in raw.y[:, 0]] == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5]


def test_several_targets_and_columns_for_the_split(tmp_path):
    rows = [f"{i},img/{i}.png,{i * 2.5},{-i},{'test' if i > 3 else 'train'},s{i // 2}" for i in range(6)]
    path = listed(tmp_path, rows, header="nr,file,x,y,part,subject")
    assert is_picture_csv(path)
    raw = read_csv(path, target=("x", "y"), split_column="part", group_column="subject", cache=tmp_path / "cache")
    assert raw.targets == ("x", "y")
    assert raw.y.astype(float).tolist() == [[i * 2.5, -i] for i in range(6)]
    assert raw.groups.tolist() == ["s0", "s0", "s1", "s1", "s2", "s2"]
    assert raw.parts[4:].tolist() == [2, 2]
    assert any("not used: nr" in notice for notice in raw.notices)


def test_the_endings_of_paths_may_be_missing(tmp_path):
    path = listed(tmp_path, [f"img/{i},{'cat' if i % 2 else 'dog'}" for i in range(6)])
    assert is_picture_csv(path)
    raw = read_csv(path, cache=tmp_path / "cache")
    assert (len(raw.x), raw.files[1]) == (6, str(tmp_path / "img" / "1.png"))


def test_tables_are_no_picture_csv(tmp_path):
    for name, content in (
        ("plain.csv", "a,b\n1,2\n3,4\n"),
        ("gone.csv", "photo,price\nx.jpg,3\ny.jpg,4\n"),
        ("mixed.csv", "photo,price\nlabels.png,3\nnone,4\n"),
        ("empty.csv", ""),
        ("ragged.csv", "path,label\na.png,1\nb.png\n"),
    ):
        (tmp_path / name).write_text(content)
        assert not is_picture_csv(tmp_path / name), name
    (tmp_path / "bytes.csv").write_bytes(b"path,label\n\xff.png,\xff\n")
    assert not is_picture_csv(tmp_path / "bytes.csv")
    assert not is_picture_csv(tmp_path / "none.csv")
    assert not is_picture_csv(tmp_path)


def test_a_missing_file_is_named_with_its_row(tmp_path):
    path = listed(tmp_path, ["img/0.png,a", "img/1.png,b", "img/lost.png,a"])
    assert is_picture_csv(path)
    with pytest.raises(DataError, match=r"lists 1 pictures that are not in .*labels\.csv row 4: img/lost\.png"):
        read_csv(path, cache=tmp_path / "cache")


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        ("path,label", ["img/0.png,a", "img/1.png,b,c"], "line 3: 3 cells, the header has 2"),
        ("path,label", ["img/0.png,a", "img/1.png"], "line 3: 1 cells, the header has 2"),
        ("img/5.png,b", ["img/0.png,a", "img/1.png,b"], "line 1 names a picture"),
        ("path", ["img/0.png", "img/1.png"], "no column beside 'path'"),
        ("path,label", ["elsewhere/0,a", "elsewhere/1,b"], "no column of paths"),
    ],
)
def test_a_csv_that_cannot_be_right_is_refused(tmp_path, header, rows, message):
    path = listed(tmp_path, rows, header=header)
    with pytest.raises(DataError, match=message):
        read_csv(path, cache=tmp_path / "cache")


def test_a_target_that_the_csv_lacks_is_refused_with_the_nearest(tmp_path):
    path = listed(tmp_path, ["img/0.png,a", "img/1.png,b"])
    with pytest.raises(DataError, match=r"no column 'lable'.*Did you mean 'label'\?"):
        read_csv(path, target=("lable",), cache=tmp_path / "cache")


def test_a_damaged_picture_of_a_csv_takes_its_row_along(tmp_path):
    path = listed(tmp_path, [f"img/{i}.png,{'abc'[i // 2]},g{i}" for i in range(6)], header="path,label,g")
    (tmp_path / "img" / "2.png").write_text("words")
    raw = read_csv(path, target=("label",), group_column="g", cache=tmp_path / "cache")
    assert raw.y.ravel().tolist() == ["a", "a", "b", "c", "c"]
    assert raw.groups.tolist() == ["g0", "g1", "g3", "g4", "g5"]
    assert raw.ids == [f"img/{i}.png" for i in (0, 1, 3, 4, 5)]
    assert any("2.png is no picture" in notice for notice in raw.notices)


def test_a_cut_that_rounding_makes_larger_than_the_picture():
    # 28 * (29 / 28) is a hair more than 29, and Pillow refuses a box that begins at -1e-15.
    assert pictures.fit(Image.new("RGB", (29, 30)), 28, 28).size == (28, 28)
    assert pictures.fit(Image.new("RGB", (77, 58)), 28, 28).size == (28, 28)
