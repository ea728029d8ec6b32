"""Small changes: as large as they say, seeded, of the samples' own form; and whose answers survive them."""

from __future__ import annotations

import typing

import numpy as np
import pytest

from kexp.consistency import BYTES, CHANGES, FEWEST, ROWS, _later, _moved, consistency, rows, same
from kexp.records import AXES, Column, DatasetSpec, Kind

random = np.random.default_rng(0)
TABLE = (
    Column(name="age", kind="number", std=10.0),
    Column(name="city", kind="category", choices=("a", "b", "c")),
    Column(name="day", kind="date", std=100.0),
    Column(name="yes", kind="boolean", choices=("no", "yes")),
)


def spec_of(kind: str, task: str = "binary", columns: tuple[Column, ...] = TABLE, **extra) -> DatasetSpec:
    """Of shapes a change reads nothing."""
    labels = ("a", "b") if task == "binary" else ("a", "b", "c")
    table = kind == "table"
    return DatasetSpec(
        name="s", kind=kind, task=task, shape=(len(columns),) if table else tuple(1 for _ in AXES[kind]),
        outputs=1 if task == "binary" else len(labels), labels=labels, columns=columns if table else (),
        **({"rate": 8000.0} if kind == "sound" else {}), **extra,
    )  # fmt: skip


def samples(kind: str) -> np.ndarray:
    make = {
        "image": lambda: random.integers(0, 256, (40, 20, 30, 3)).astype(np.uint8),
        "table": lambda: np.stack([random.normal(40, 10, 40), np.full(40, 2), np.full(40, 7e3), np.ones(40)], axis=1),
        "series": lambda: random.normal(5, 2, (40, 50, 2)),
        "sound": lambda: random.uniform(-0.4, 0.4, (40, 800)),
        "clip": lambda: random.integers(0, 256, (40, 4, 12, 10, 1)).astype(np.uint8),
    }
    x = make[kind]()
    return x if x.dtype == np.uint8 else x.astype(np.float32)


@pytest.mark.parametrize(("kind", "change"), [(kind, change) for kind, found in CHANGES.items() for change in found])
def test_a_change_is_seeded_and_keeps_the_form(kind, change):
    x, function, spec = samples(kind), CHANGES[kind][change], spec_of(kind, std=(2.0, 2.0))
    before = x.copy()
    one, two, other = (function(x, np.random.default_rng(seed), spec) for seed in (1, 1, 2))
    assert (one.shape, one.dtype) == (x.shape, x.dtype)
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(x, before)
    assert not np.array_equal(one, other)
    assert not np.array_equal(one, x)


def test_every_kind_has_its_changes():
    assert set(typing.get_args(Kind)) == set(CHANGES)
    assert all(CHANGES.values())


def test_a_forecast_is_not_changed_where_another_answer_is_then_right():
    x, ends = samples("series"), lambda x: x[:, -1, :1].astype(np.float64)
    spec = spec_of("series", "regression", std=(2.0, 2.0), target_std=(2.0,), horizon=1, forecast=(0,), seasons=(1,))
    found = consistency(spec, "rmse", x, ends(x), {"model": (ends(x), ends)})
    assert list(found["changes"]) == ["noise 0.1 sd"]
    plain = spec_of("series", "regression", std=(2.0, 2.0), target_std=(2.0,))
    assert len(consistency(plain, "rmse", x, ends(x), {"model": (ends(x), ends)})["changes"]) == 3


def test_a_shift_repeats_the_edge():
    x = random.integers(0, 256, (1, 20, 30, 3)).astype(np.uint8)
    right = _moved(x, [(1.0, 0.0, 1 / 30, 0.0)])
    np.testing.assert_array_equal(right[:, :, 1:], x[:, :, :-1])
    np.testing.assert_array_equal(right[:, :, 0], x[:, :, 0])
    down = _moved(x, [(1.0, 0.0, 0.0, 1 / 20)])
    np.testing.assert_array_equal(down[:, 1:], x[:, :-1])
    np.testing.assert_array_equal(down[:, 0], x[:, 0])


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_a_turn_by_right_angles_is_one(channels):
    x = random.integers(0, 256, (2, 16, 16, channels)).astype(np.uint8)
    turned = _moved(x, [(1.0, 90.0, 0.0, 0.0), (1.0, 180.0, 0.0, 0.0)])
    np.testing.assert_allclose(turned[0].astype(int), np.rot90(x[0], -1), atol=1)  # clockwise
    np.testing.assert_allclose(turned[1].astype(int), np.rot90(x[1], 2), atol=1)


def test_zooming_in_makes_things_larger():
    x = np.zeros((1, 21, 21, 1), np.uint8)
    x[0, 8:13, 8:13] = 255
    larger, smaller = (_moved(x, [(factor, 0.0, 0.0, 0.0)])[0].astype(int).sum() / 255 for factor in (1.2, 0.8))
    assert (larger, smaller) == pytest.approx((25 * 1.2**2, 25 * 0.8**2), rel=0.1)


def test_all_frames_of_a_clip_move_alike():
    frame = random.integers(0, 256, (1, 12, 10, 1)).astype(np.uint8)
    clip = np.repeat(frame[:, None], 4, axis=1)
    for change in ("shift 8%", "rotation 10°", "zoom 10%", "brightness 15%"):
        moved = CHANGES["clip"][change](clip, np.random.default_rng(0), spec_of("clip"))
        assert (moved == moved[:, :1]).all()
        assert not np.array_equal(moved, clip)
    numbered = np.arange(4, dtype=np.uint8).reshape(1, 4, 1, 1, 1)
    moved = CHANGES["clip"]["time 1 frame"](np.repeat(numbered, 20, axis=0), np.random.default_rng(0), spec_of("clip"))
    assert {tuple(one) for one in moved.reshape(20, 4)} == {(0, 0, 1, 2), (1, 2, 3, 3)}


def test_pixels_become_brighter_and_noisier_by_what_is_said():
    grey = np.full((400, 8, 8, 1), 100, np.uint8)
    shades = CHANGES["image"]["brightness 15%"](grey, np.random.default_rng(0), spec_of("image"))
    assert (shades.min(), shades.max()) == (85, 115)
    noisy = CHANGES["image"]["noise 5 of 255"](grey, np.random.default_rng(0), spec_of("image"))
    assert noisy.std() == pytest.approx(5.0, rel=0.05)
    white = CHANGES["image"]["brightness 15%"](np.full_like(grey, 250), np.random.default_rng(0), spec_of("image"))
    assert white.max() == 255 and white.min() > 200  # cut, not wrapped around


def test_numbers_of_a_table_move_and_nothing_else_does():
    x = np.array([[40, 1, 7000, 1], [np.nan, -1, 8000, 0]] * 50, np.float32)
    moved = CHANGES["table"]["numbers 0.05 sd"](x, np.random.default_rng(0), spec_of("table"))
    np.testing.assert_array_equal(moved[:, [1, 3]], x[:, [1, 3]])
    np.testing.assert_array_equal(np.isnan(moved), np.isnan(x))
    step = moved - x
    assert set(np.round(step[::2, 0], 4)) == {-0.5, 0.5}
    assert set(np.round(step[:, 2], 2)) == {-5.0, 5.0}


def test_time_moves_and_the_end_is_repeated_or_silent():
    x = np.arange(6, dtype=np.float32).reshape(1, 6) + 1
    assert _later(x, np.array([2])).tolist() == [[1, 1, 1, 2, 3, 4]]
    assert _later(x, np.array([-2])).tolist() == [[3, 4, 5, 6, 6, 6]]
    assert _later(x, np.array([2]), silence=True).tolist() == [[0, 0, 1, 2, 3, 4]]
    assert _later(x, np.array([-2]), silence=True).tolist() == [[3, 4, 5, 6, 0, 0]]
    ramp = np.repeat(np.arange(100, dtype=np.float32).reshape(1, 100, 1), 200, axis=0)
    steps = 50 - CHANGES["series"]["time 5%"](ramp, np.random.default_rng(0), spec_of("series"))[:, 50, 0]
    assert set(steps) == {-5, -4, -3, -2, -1, 1, 2, 3, 4, 5}


def test_a_series_moves_by_its_channels_deviations():
    x = np.zeros((50, 200, 2), np.float32)
    noisy = CHANGES["series"]["noise 0.1 sd"](x, np.random.default_rng(0), spec_of("series", std=(2.0, 30.0)))
    assert noisy.std(axis=(0, 1)) == pytest.approx([0.2, 3.0], rel=0.05)
    scaled = CHANGES["series"]["scale 10%"](x + 1, np.random.default_rng(0), spec_of("series"))
    assert scaled.min() >= 0.9 and scaled.max() <= 1.1
    assert (scaled == scaled[:, :1, :1]).all()


def test_a_sound_becomes_louder_and_noisier_by_what_is_said():
    x, spec = samples("sound"), spec_of("sound")
    factors = CHANGES["sound"]["gain 6 dB"](x, np.random.default_rng(0), spec)[:, 7] / x[:, 7]
    assert 0.5 < factors.min() < 0.8 and 1.3 < factors.max() < 2.0
    assert np.abs(CHANGES["sound"]["gain 6 dB"](x * 2.5, np.random.default_rng(0), spec)).max() == 1.0
    noise = CHANGES["sound"]["noise -20 dB"](x, np.random.default_rng(0), spec) - x
    assert 20 * np.log10(x.std() / noise.std()) == pytest.approx(20.0, abs=0.2)
    silent = np.zeros_like(x)
    np.testing.assert_array_equal(CHANGES["sound"]["noise -20 dB"](silent, np.random.default_rng(0), spec), silent)


def test_what_is_the_same_answer():
    found = same(spec_of("image"), np.array([[0.4], [0.4]]), np.array([[0.1], [0.6]]))
    assert found.tolist() == [True, False]
    found = same(spec_of("image", "multiclass"), np.eye(3), np.eye(3)[[0, 2, 2]])
    assert found.tolist() == [True, False, True]
    found = same(spec_of("image", "multilabel"), np.eye(3), np.array([[1, 0, 0], [1, 1, 0], [0.2, 0, 0.9]]))
    assert found.tolist() == [True, False, True]
    spec = spec_of("image", "regression", target_mean=(0.0, 0.0, 0.0), target_std=(1.0, 10.0, 1.0))
    after = np.array([[0.09, 0.9, 0], [0.11, 0, 0], [0, 1.1, 0]])
    assert same(spec, np.zeros((3, 3)), after).tolist() == [True, False, False]


def test_rows_are_spread_evenly_and_few_where_samples_are_large():
    assert rows(np.zeros((7, 1))).tolist() == list(range(7))
    found = rows(np.zeros((2 * ROWS, 1)))
    assert found.tolist() == list(range(0, 2 * ROWS, 2))
    large = np.broadcast_to(np.uint8(0), (1000, BYTES // 200))
    assert len(rows(large)) == 200
    assert len(rows(np.broadcast_to(np.uint8(0), (1000, BYTES)))) == FEWEST


def test_a_model_that_looks_at_what_changes_is_found_out():
    x = np.full((700, 8, 8, 1), 100, np.uint8)
    x[::2] += 12  # so near each other that a change of brightness makes one the other
    y = (np.arange(700) % 2 == 0).astype(np.int32)

    def bright(x):
        return (x.mean(axis=(1, 2, 3), keepdims=True) > 106).reshape(-1, 1).astype(np.float32)

    def blind(x):
        return np.zeros((len(x), 1), np.float32)

    models = {"model.keras": (bright(x), bright), "model_int8.tflite": (blind(x), blind)}
    found = consistency(spec_of("image"), "accuracy", x, y, models)
    assert (found["rows"], found["metric"]) == (500, "accuracy")
    assert found["before"] == {"model.keras": 1.0, "model_int8.tflite": pytest.approx(0.5, abs=0.1)}
    told = found["changes"]["brightness 15%"]
    assert 0.4 < told["model.keras"]["same"] < 0.8
    assert told["model.keras"]["value"] == told["model.keras"]["same"]  # it was right about all of them
    assert told["model_int8.tflite"] == {"same": 1.0, "value": found["before"]["model_int8.tflite"]}
    assert "shift 8%" not in found["changes"]  # a picture of one grey does not change
    assert consistency(spec_of("image"), "accuracy", x, y, models) == found


def test_a_table_without_numbers_does_not_change():
    columns = (Column(name="city", kind="category", choices=("a", "b")),)
    x = np.zeros((20, 1), np.float32)
    models = {"model.keras": (np.zeros((20, 1)), lambda x: np.zeros((len(x), 1)))}
    found = consistency(spec_of("table", columns=columns), "accuracy", x, np.zeros(20, np.int32), models)
    assert (found["changes"], found["before"]) == ({}, {"model.keras": 1.0})
