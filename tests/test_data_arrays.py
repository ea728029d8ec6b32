from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest

from kexp.data import arrays
from kexp.errors import DataError, ExperimentError
from kexp.records import Experiment

RNG = np.random.default_rng(0)


def read_npz(path, *, size=(), **options):
    return arrays.read_npz(path, Experiment(name="x", data="x", size=size, **options))


LABELS = np.array([0, 1, 2, 0, 1, 2], np.uint8)


def idx(array):
    header = b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


def images(count=6, height=5, width=7):
    return RNG.integers(0, 256, (count, height, width), dtype=np.uint8)


def mnist(folder, *, packed=False, parts=("train", "t10k"), prefix="", labels=LABELS):
    folder.mkdir(exist_ok=True)
    stored = {}
    for part in parts:
        stored[part] = images(len(labels))
        for name, content in (("images-idx3", stored[part]), ("labels-idx1", labels)):
            data = gzip.compress(idx(content)) if packed else idx(content)
            (folder / f"{prefix}{part}-{name}-ubyte{'.gz' if packed else ''}").write_bytes(data)
    return stored


# --- idx ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("by_file", [False, True])
def test_train_and_t10k_are_read_as_parts(tmp_path, packed, by_file):
    stored = mnist(tmp_path, packed=packed)
    path = tmp_path / f"train-images-idx3-ubyte{'.gz' if packed else ''}" if by_file else tmp_path
    assert arrays.is_idx(path)
    raw = arrays.read_idx(path)
    assert (raw.kind, raw.labels, raw.targets) == ("image", ("0", "1", "2"), ("class",))
    assert raw.x.shape == (12, 5, 7, 1)
    assert raw.x.dtype == np.uint8
    assert np.array_equal(raw.x[:6, :, :, 0], stored["train"])
    assert np.array_equal(raw.x[6:, :, :, 0], stored["t10k"])
    assert raw.y.tolist() == [str(label) for label in LABELS] * 2
    assert raw.parts.tolist() == [-1] * 6 + [2] * 6
    assert raw.ids[7].startswith("t10k-images-idx3-ubyte")
    assert raw.ids[7].endswith("picture 1")
    assert len(raw.ids) == 12


def test_a_single_pair_leaves_the_parts_open(tmp_path):
    mnist(tmp_path, parts=("train",))
    assert arrays.read_idx(tmp_path).parts is None


def test_a_file_chooses_among_several_sets(tmp_path):
    mnist(tmp_path, prefix="emnist-digits-")
    stored = mnist(tmp_path, prefix="emnist-letters-")
    with pytest.raises(DataError, match=r"2 sets of idx files \(emnist-digits-, emnist-letters-\). Name a file"):
        arrays.read_idx(tmp_path)
    raw = arrays.read_idx(tmp_path / "emnist-letters-t10k-labels-idx1-ubyte")
    assert np.array_equal(raw.x[:6, :, :, 0], stored["train"])


def test_class_names_are_used_when_there_is_one_for_each_class(tmp_path):
    mnist(tmp_path)
    (tmp_path / "class_names.txt").write_text("shirt\nbag\nboot\n", encoding="utf-8")
    raw = arrays.read_idx(tmp_path)
    assert raw.labels == ("shirt", "bag", "boot")
    assert raw.y[:3].tolist() == ["shirt", "bag", "boot"]
    assert raw.notices == []


def test_class_names_may_start_at_one_or_skip_codes(tmp_path):
    mnist(tmp_path, labels=np.array([1, 2, 4], np.uint8))
    (tmp_path / "class_names.txt").write_text("a\nb\nc\n", encoding="utf-8")
    assert arrays.read_idx(tmp_path).y[:3].tolist() == ["a", "b", "c"]
    (tmp_path / "class_names.txt").write_text("zero\na\nb\nthree\nc\n", encoding="utf-8")
    raw = arrays.read_idx(tmp_path)
    assert raw.y[:3].tolist() == ["a", "b", "c"]
    assert raw.labels == ("a", "b", "c")


@pytest.mark.parametrize("names", ["shirt\nbag\n", "shirt\nbag\nbag\n"])
def test_class_names_that_do_not_fit_are_ignored_with_a_notice(tmp_path, names):
    mnist(tmp_path)
    (tmp_path / "class_names.txt").write_text(names, encoding="utf-8")
    raw = arrays.read_idx(tmp_path)
    assert raw.labels == ("0", "1", "2")
    assert "Ignored class_names.txt" in raw.notices[0]


def test_ten_and_more_classes_stay_in_order_of_their_number(tmp_path):
    mnist(tmp_path, labels=np.arange(12, dtype=np.uint8))
    assert arrays.read_idx(tmp_path).labels == tuple(str(i) for i in range(12))


def test_other_folders_and_files_are_no_idx(tmp_path):
    (tmp_path / "train.csv").write_text("a,b")
    assert not arrays.is_idx(tmp_path)
    assert not arrays.is_idx(tmp_path / "train.csv")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no idx file: it begins with nothing"),
        (b"\x89PNG....", "is no idx file: it begins with 89 50 4e 47; 00 00 08"),
        (b"\0\0\x0d\x03" + bytes(12), "is no idx file"),
        (b"\0\0\x08\x03\0\0", "is no idx file"),
        (idx(images())[:-1], r"announces \(6, 5, 7\), 210 bytes, and has 209"),
        (idx(images()) + b"x", "and has 211"),
        (gzip.compress(idx(images()))[:-20], "cannot be unpacked"),
        (b"\x1f\x8b\x08 words", "cannot be unpacked"),
        (idx(images(5)), r"has shape \(5, 5, 7\), .* has \(6,\)"),
        (idx(LABELS), r"has shape \(6,\)"),
        (idx(images(0)), r"has shape \(0, 5, 7\)"),
    ],
)
def test_a_bad_idx_file_is_named(tmp_path, content, message):
    mnist(tmp_path)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(DataError, match=rf"train-images-idx3-ubyte.*{message}"):
        arrays.read_idx(tmp_path)


@pytest.mark.parametrize("what", ["images-idx3", "labels-idx1"])
def test_a_missing_half_of_a_pair_is_named(tmp_path, what):
    mnist(tmp_path)
    (tmp_path / f"t10k-{what}-ubyte").unlink()
    with pytest.raises(DataError, match=rf"t10k-.* has no {what.split('-')[0]} beside it"):
        arrays.read_idx(tmp_path)


def test_parts_of_other_sizes_are_refused(tmp_path):
    mnist(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(images(6, 9, 9)))
    with pytest.raises(DataError, match=r"t10k-images.*\(6, 9, 9\).*\(6, 5, 7\).*same"):
        arrays.read_idx(tmp_path)


# --- npz ------------------------------------------------------------------------------------------


def npz(tmp_path, **stored):
    np.savez(tmp_path / "set.npz", **stored)
    return tmp_path / "set.npz"


def test_x_and_y(tmp_path):
    x = RNG.integers(0, 256, (6, 4, 5, 3), dtype=np.uint8)
    raw = read_npz(npz(tmp_path, x=x, y=LABELS))
    assert (raw.kind, raw.parts, raw.notices) == ("image", None, [])
    assert np.array_equal(raw.x, x)
    assert raw.y.tolist() == [str(label) for label in LABELS]
    assert raw.ids[2] == "set.npz x picture 2"


def test_keras_style_with_and_without_validation(tmp_path):
    x = images()
    raw = read_npz(npz(tmp_path, x_train=x, y_train=LABELS[:, None], x_test=x[:2], y_test=LABELS[:2, None]))
    assert raw.x.shape == (8, 5, 7, 1)
    assert raw.parts.tolist() == [-1] * 6 + [2] * 2
    raw = read_npz(
        npz(
            tmp_path,
            X_train=x,
            y_train=LABELS,
            X_val=x[:1],
            y_val=LABELS[:1],
            X_test=x[:2],
            y_test=LABELS[:2],
        )
    )
    assert raw.parts.tolist() == [0] * 6 + [1] + [2] * 2


def test_fractions_are_scaled_with_a_notice_and_whole_numbers_kept(tmp_path):
    x = images()
    raw = read_npz(npz(tmp_path, x=(x / 255).astype(np.float32), y=LABELS))
    assert np.array_equal(raw.x[..., 0], x)
    assert "0..255" in raw.notices[0]
    for dtype in (np.int64, np.float32):
        raw = read_npz(npz(tmp_path, x=x.astype(dtype), y=LABELS))
        assert np.array_equal(raw.x[..., 0], x)
        assert raw.notices == []


def test_large_pictures_are_brought_to_the_size_a_folder_would_have(tmp_path):
    from PIL import Image

    from kexp.data import pictures

    x = RNG.integers(0, 256, (6, 90, 120, 3), dtype=np.uint8)
    raw = read_npz(npz(tmp_path, x=x, y=LABELS))
    assert raw.x.shape == (6, 48, 64, 3)
    assert "90 x 120 were brought to 48 x 64" in raw.notices[0]
    Image.fromarray(x[0]).save(tmp_path / "a.png")
    assert np.array_equal(raw.x[0], pictures.decode(tmp_path / "a.png", (48, 64, 3)))
    assert read_npz(npz(tmp_path, x=x[..., 0], y=LABELS), size=(9, 6)).x.shape == (6, 9, 6, 1)


def test_rows_of_numbers_are_a_table_of_text(tmp_path):
    x = np.array([[0.1, 2], [3, 4], [5, 6]], np.float32)
    raw = read_npz(npz(tmp_path, x=x, y=np.array(["a", "b", "a"])))
    assert raw.kind == "table"
    assert list(raw.x.columns) == ["x0", "x1"]
    assert raw.x["x0"].tolist() == ["0.1", "3.0", "5.0"]
    assert raw.y.tolist() == ["a", "b", "a"]
    assert raw.ids[1] == "set.npz x row 1"


@pytest.mark.parametrize(
    ("y", "expected", "targets"),
    [
        (np.array([3, 1, 3, 1, 3, 1]), ["3", "1", "3", "1", "3", "1"], ("class",)),
        (np.array([b"a", b"b"] * 3), ["a", "b"] * 3, ("class",)),
        (np.array([0.5, 1, 2, 3, 4, 5], np.float32), [[0.5], [1], [2], [3], [4], [5]], ("y0",)),
        (np.eye(3, dtype=np.float32)[LABELS], ["0", "1", "2"] * 2, ("class",)),
        (np.array([[1, 1]] * 3 + [[0, 1]] * 3), [[True, True]] * 3 + [[False, True]] * 3, ("y0", "y1")),
        (np.array([[1.5, 2]] * 6), [[1.5, 2.0]] * 6, ("y0", "y1")),
    ],
)
def test_what_y_means(tmp_path, y, expected, targets):
    raw = read_npz(npz(tmp_path, x=images(), y=y))
    assert raw.y.tolist() == expected
    assert raw.targets == targets


def test_what_is_no_npz_is_refused(tmp_path):
    (tmp_path / "set.npz").write_text("words")
    with pytest.raises(DataError, match=r"set\.npz is no \.npz file"):
        read_npz(tmp_path / "set.npz")
    path = npz(tmp_path, x=images(), y=LABELS)
    data = path.read_bytes()
    path.write_bytes(data[:200] + bytes(40) + data[240:])
    with pytest.raises(DataError, match="cannot be read"):
        read_npz(path)
    objects = npz(tmp_path, x=np.array([images(1), "x"], dtype=object), y=LABELS[:2])
    with pytest.raises(DataError, match=r"cannot be read.*Arrays of numbers or text"):
        read_npz(objects)


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"a": LABELS}, "has a. Expected are x and y"),
        ({}, "has no arrays"),
        ({"x": images()}, "has x. Expected"),
        ({"x_test": images(), "y_test": LABELS}, "has x_test, y_test. Expected"),
        ({"x_train": images(), "y_train": LABELS, "x_test": images()}, "Expected are x and y"),
        ({"x": images(5), "y": LABELS}, r"x has shape \(5, 5, 7\), y has \(6,\)"),
        ({"x": images(0), "y": LABELS[:0]}, r"x has shape \(0, 5, 7\)"),
        ({"x": LABELS, "y": LABELS}, r"x has shape \(6,\) and type uint8"),
        ({"x": np.zeros((6, 4, 4, 2)), "y": LABELS}, r"x has shape \(6, 4, 4, 2\)"),
        ({"x": np.zeros((6, 3, 8, 8)), "y": LABELS}, "Move the axis of the channels to the end"),
        ({"x": images()[..., None] - 3.5, "y": LABELS}, "x has values from -"),
        ({"x": images()[..., None] * 1.7, "y": LABELS}, "x has values from"),
        ({"x": np.full((6, 4, 4, 1), np.nan), "y": LABELS}, "x has values from nan to nan"),
        ({"x": np.full((6, 4, 4), np.nan), "y": LABELS}, "x series 0: channel 1 has no value"),
        ({"x": images(), "y": np.array([1, 2, np.nan, 1, 2, 3])}, "y is nan in row 2"),
        ({"x": images(), "y": np.zeros((6, 2, 2))}, r"y has \(6, 2, 2\)"),
        ({"x": np.full((6, 2), "a"), "y": LABELS}, "x is of type <U1"),
        (
            {"x_train": images(), "y_train": LABELS, "x_test": images(6, 9, 9), "y_test": LABELS},
            r"x_test.*\(6, 9, 9\).*the same",
        ),
    ],
)
def test_other_keys_shapes_and_values_are_refused(tmp_path, stored, message):
    with pytest.raises(DataError, match=rf"set\.npz.*{message}"):
        read_npz(npz(tmp_path, **stored))


# --- what an .npz holds ---------------------------------------------------------------------------

SENSORS = RNG.normal(0, 9, (12, 40, 3)).round(3)
HALVES = np.array(["a", "b"] * 6)


def saved(tmp_path, x, y=HALVES, name="set.npz", **more):
    np.savez(tmp_path / name, x=x, y=y, **more)
    return tmp_path / name


@pytest.mark.parametrize(
    ("x", "kind", "shape"),
    [
        (RNG.normal(0, 1, (12, 5)), "table", (5,)),
        (SENSORS, "series", (40, 3)),
        (SENSORS.astype(np.float32), "series", (40, 3)),
        ((SENSORS * 100).astype(np.int16), "series", (40, 3)),  # what a sensor's converter puts out
        (np.abs(SENSORS).clip(0, 9) / 9, "series", (40, 3)),  # 0..1, but no picture is 40 x 3
        (RNG.integers(0, 256, (12, 20, 24), np.uint8), "image", (20, 24, 1)),
        (RNG.integers(0, 256, (12, 20, 24)), "image", (20, 24, 1)),
        (RNG.random((12, 20, 24)), "image", (20, 24, 1)),
        (RNG.integers(0, 256, (12, 20, 24, 3), np.uint8), "image", (20, 24, 3)),
    ],
)
def test_the_axes_and_values_say_what_samples_are(tmp_path, x, kind, shape):
    raw = read_npz(saved(tmp_path, x))
    assert (raw.kind, raw.x.shape) == (kind, (12, *shape))
    if kind == "series":
        np.testing.assert_array_equal(raw.x, x.astype(np.float32))
        assert raw.channels == ("x1", "x2", "x3") and raw.ids[3] == "set.npz x series 3"


def test_the_kind_may_be_said(tmp_path):
    two, three = saved(tmp_path, RNG.normal(0, 1, (12, 30))), saved(tmp_path, RNG.random((12, 20, 24)), name="b.npz")
    assert read_npz(two, kind="series").x.shape == (12, 30, 1) and read_npz(two, kind="series").channels == ("x",)
    assert read_npz(three, kind="series").x.shape == (12, 20, 24)
    four = saved(tmp_path, RNG.random((12, 9, 9, 3)), name="c.npz")
    for path, kind, axes in ((three, "table", "2"), (two, "image", "3 or 4"), (four, "series", "2 or 3")):
        with pytest.raises(ExperimentError, match=rf'kind = "{kind}": .*has x of shape .*, {axes} axes are expected'):
            read_npz(path, kind=kind)


def test_series_of_an_npz_are_brought_to_steps_and_filled(tmp_path):
    x = SENSORS.copy()
    x[2, 5, 1] = np.nan
    raw = read_npz(saved(tmp_path, x), steps=20)
    assert raw.x.shape == (12, 20, 3) and np.isfinite(raw.x).all()
    assert any("1 missing values" in one for one in raw.notices)
    x[3, 5, 1] = np.inf
    with pytest.raises(DataError, match=r"set\.npz x series 3: step 6 of channel 2 is infinite"):
        read_npz(saved(tmp_path, x))


def test_a_file_for_each_part_and_names_beside_them(tmp_path):
    codes = np.arange(12) % 3
    saved(tmp_path, SENSORS, codes, "train.npz")
    saved(tmp_path, SENSORS[:6], codes[:6], "test.npz")
    saved(tmp_path, SENSORS, codes, "other.npz")
    (tmp_path / "channels.txt").write_text("acc x\nacc y\nacc z\n")
    (tmp_path / "activity_labels.txt").write_text("0 walking\n1 sitting\n2 lying down\n")
    for path in (tmp_path, tmp_path / "train.npz"):
        raw = read_npz(path)
        assert raw.x.shape == (18, 40, 3) and raw.parts.tolist() == [-1] * 12 + [2] * 6
        assert raw.channels == ("acc x", "acc y", "acc z")
        assert raw.labels == ("walking", "sitting", "lying down") and raw.y[:3].tolist() == list(raw.labels)
        assert raw.ids[12] == "train.npz x_test series 0"
    assert len(read_npz(tmp_path / "other.npz").x) == 12


def test_channels_that_do_not_fit_are_not_used(tmp_path):
    (tmp_path / "channels.txt").write_text("one\ntwo\n")
    assert read_npz(saved(tmp_path, SENSORS)).channels == ("x1", "x2", "x3")
    (tmp_path / "channels.txt").write_text("one\none\ntwo\n")
    assert read_npz(saved(tmp_path, SENSORS)).channels == ("x1", "x2", "x3")


@pytest.mark.parametrize(
    ("name", "text", "labels"),
    [
        ("labels.txt", "walk\nsit\nlie\n", ("walk", "sit", "lie")),
        ("class_names.txt", "1: walk\n2: sit\n3: lie\n", ("walk", "sit", "lie")),  # the codes are 0 to 2
        ("activity_labels.txt", "2,lie\n0,walk\n1,sit\n", ("walk", "sit", "lie")),
        ("classes.txt", "walk\nsit\n", ()),
    ],
)
def test_names_of_classes_beside_an_npz(tmp_path, name, text, labels):
    (tmp_path / name).write_text(text)
    raw = read_npz(saved(tmp_path, SENSORS, np.arange(12) % 3))
    assert raw.labels == labels
    assert raw.y[:3].tolist() == (list(labels) or ["0", "1", "2"])
    assert any("Ignored classes.txt" in one for one in raw.notices) == (not labels)


def test_names_are_of_codes_alone(tmp_path):
    (tmp_path / "labels.txt").write_text("walk\nsit\n")
    assert read_npz(saved(tmp_path, SENSORS, HALVES)).labels == ()
    assert read_npz(saved(tmp_path, SENSORS, np.arange(12) / 4)).y.dtype == np.float64
