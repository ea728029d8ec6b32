"""Layers of series: augmentation, shifting by hand, and what a forecast starts from."""

from __future__ import annotations

import numpy as np
import pytest

keras = pytest.importorskip("keras")
from kexp import forecasts  # noqa: E402
from kexp.models.layers import FromLast, Naive, SeriesAugment  # noqa: E402
from kexp.models.layers.series import shifted  # noqa: E402


def series(n=64, steps=40, channels=3):
    return np.random.default_rng(0).normal(size=(n, steps, channels)).astype(np.float32)


def test_shifting_by_hand():
    x = np.arange(1, 5, dtype=np.float32)[None, :, None].repeat(5, axis=0)
    out = np.asarray(shifted(x, np.array([0.0, 1.0, -2.0, 9.0, 0.4], np.float32)))[..., 0]
    assert out.tolist() == [[1, 2, 3, 4], [1, 1, 2, 3], [3, 4, 4, 4], [1, 1, 1, 1], [1, 2, 3, 4]]


def test_shifting_moves_all_that_is_behind_the_second_axis_alike():
    x = np.random.default_rng(0).normal(size=(2, 6, 3, 2)).astype(np.float32)
    out = np.asarray(shifted(x, np.array([2.0, -1.0], np.float32)))
    np.testing.assert_array_equal(out[0], x[0, [0, 0, 0, 1, 2, 3]])
    np.testing.assert_array_equal(out[1], x[1, [1, 2, 3, 4, 5, 5]])


def test_a_shift_is_of_all_channels_and_of_at_most_so_many_steps():
    x = series()
    out = np.asarray(SeriesAugment(shift=0.05, seed=1)(x, training=True))
    found = set()
    for before, after in zip(x, out, strict=True):
        steps = [s for s in range(-2, 3) if np.array_equal(after, before[np.clip(np.arange(40) - s, 0, 39)])]
        assert len(steps) == 1
        found.add(steps[0])
    assert found == {-2, -1, 0, 1, 2}


def test_a_scale_is_one_number_for_each_series():
    x = series(300)
    ratio = np.asarray(SeriesAugment(scale=0.2, seed=1)(x, training=True)) / x
    np.testing.assert_allclose(ratio, ratio[:, :1, :1].repeat(40, axis=1).repeat(3, axis=2), rtol=1e-4)
    factors = ratio[:, 0, 0]
    assert 0.8 <= factors.min() < 0.82 and 1.18 < factors.max() <= 1.2 + 1e-6


def test_noise_is_normal_and_of_every_value():
    x = series(300)
    noise = np.asarray(SeriesAugment(noise=0.1, seed=1)(x, training=True)) - x
    assert abs(noise.mean()) < 0.002 and noise.std() == pytest.approx(0.1, rel=0.02)
    assert abs(np.corrcoef(noise[:, 0, 0], noise[:, 0, 1])[0, 1]) < 0.2


def test_it_does_nothing_at_inference_and_is_seeded():
    x = series(8)
    options = {"shift": 0.1, "scale": 0.2, "noise": 0.1}
    layer = SeriesAugment(**options, seed=1)
    np.testing.assert_array_equal(layer(x), x)
    one, other = (np.asarray(SeriesAugment(**options, seed=1)(x, training=True)) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert not np.array_equal(one, np.asarray(SeriesAugment(**options, seed=2)(x, training=True)))
    np.testing.assert_array_equal(np.asarray(SeriesAugment.from_config(layer.get_config())(x, training=True)), one)
    np.testing.assert_array_equal(SeriesAugment()(x, training=True), x)


# -- forecasts -----------------------------------------------------------------------------------


def test_a_series_is_seen_from_its_last_step():
    x = np.array([[[1, 10], [2, 30], [4, 20]]], np.float32)
    layer = FromLast([2.0, 5.0])
    assert np.asarray(layer(x)).tolist() == [[[-1.5, -2], [-1, 2], [0, 0]]]
    np.testing.assert_allclose(np.asarray(layer(x + 1000)), np.asarray(layer(x)))
    assert FromLast.from_config(layer.get_config()).scale == [2.0, 5.0]
    assert layer.compute_output_shape((None, 3, 2)) == (None, 3, 2)


@pytest.mark.parametrize(
    ("steps", "horizon", "season", "channels"),
    [(10, 1, 1, (0,)), (10, 3, 1, (1,)), (10, 3, 7, (0, 2)), (14, 20, 7, (2, 1)), (7, 7, 7, (0,)), (2, 5, 2, (1,))],
)
def test_the_layer_is_the_naive_forecast(tmp_path, steps, horizon, season, channels):
    x = series(5, steps)
    layer = Naive(horizon, season, list(channels))
    expected = forecasts.naive(x, horizon=horizon, season=season, channels=channels)
    np.testing.assert_array_equal(np.asarray(layer(x)), expected)
    assert layer.compute_output_shape((None, steps, 3)) == (None, expected.shape[1])
    inputs = keras.Input((steps, 3))
    keras.Model(inputs, layer(inputs)).save(tmp_path / "naive.keras")
    again = keras.models.load_model(tmp_path / "naive.keras", compile=False)
    np.testing.assert_array_equal(again.predict(x, verbose=0), expected)


def test_the_naive_forecast_by_hand():
    x = np.arange(10, dtype=float).reshape(1, 10, 1)
    assert forecasts.naive(x, horizon=3, season=1, channels=(0,)).tolist() == [[9, 9, 9]]
    assert forecasts.naive(x, horizon=5, season=3, channels=(0,)).tolist() == [[7, 8, 9, 7, 8]]
    two = np.concatenate([x, 100 + x], axis=2)
    assert forecasts.naive(two, horizon=2, season=4, channels=(1, 0)).tolist() == [[106, 107, 6, 7]]
