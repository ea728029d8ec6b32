"""The log-mel front end against a reference of its own, and the augmentation of spectrograms."""

from __future__ import annotations

import numpy as np
import pytest

keras = pytest.importorskip("keras")
from kexp.models.layers import LogMel, SpecAugment  # noqa: E402
from kexp.models.layers.sound import FLOOR, SPREAD, mel_bands  # noqa: E402

FORMS = [
    (8000, 256, 128, 48, 4000),
    (22050, 706, 353, 32, 9000),
    (16000, 512, 128, 64, 5000),
    (11025, 353, 200, 40, 700),
]


def sounds(n, samples, seed=0):
    random = np.random.default_rng(seed)
    t = np.arange(samples)
    waves = np.sin(random.uniform(0.02, 1.5, (n, 1)) * t) * random.uniform(0.1, 0.9, (n, 1))
    return (waves + 0.01 * random.standard_normal((n, samples))).astype(np.float32)


def reference(x, rate, window, hop, mels, low=40.0):
    """One sound (samples,) -> (frames, mels), frame by frame and band by band in float64."""
    fft = 1
    while fft < window:
        fft *= 2
    x = np.concatenate([x.astype(np.float64), np.zeros(max(0, window - len(x)))])
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    starts = range(0, len(x) - window + 1, hop)
    power = np.array([np.abs(np.fft.rfft(x[start : start + window] * hann, fft)) ** 2 for start in starts])
    mel_of = [2595 * np.log10(1 + f / 700) for f in (low, rate / 2)]
    edges = 700 * (10 ** (np.linspace(*mel_of, mels + 2) / 2595) - 1)
    bands = np.zeros((len(power), mels))
    for band in range(mels):
        weights = np.array(
            [
                max(0.0, min((f - edges[band]) / (edges[band + 1] - edges[band]),
                             (edges[band + 2] - f) / (edges[band + 2] - edges[band + 1])))
                for f in np.arange(fft // 2 + 1) * rate / fft
            ]
        )  # fmt: skip
        if not weights.sum():
            weights[np.argmin(np.abs(np.arange(fft // 2 + 1) * rate / fft - edges[band + 1]))] = 1
        bands[:, band] = power @ (weights / weights.sum())
    return (np.log10(bands / bands.max() + FLOOR) - np.log10(FLOOR) / 2) / SPREAD


@pytest.mark.parametrize(("rate", "window", "hop", "mels", "samples"), FORMS)
def test_it_is_the_reference(rate, window, hop, mels, samples):
    x = sounds(3, samples)
    layer = LogMel(rate, window, hop, mels)
    out = np.asarray(layer(x))
    assert out.shape[1:] == layer.compute_output_shape((None, samples))[1:]
    expected = np.stack([reference(one, rate, window, hop, mels) for one in x])[..., None]
    np.testing.assert_allclose(out, expected, atol=2e-3)  # of 4.7 from floor to top; float32 cannot do 70 dB exactly
    assert np.abs(out - expected).mean() < 2e-5


def test_a_gain_changes_nothing_and_neighbours_do_not():
    x = sounds(4, 4000)
    layer = LogMel(8000, 256, 128, 48)
    out = np.asarray(layer(x))
    np.testing.assert_allclose(np.asarray(layer(x * 0.01)), out, atol=1e-3)
    loud = np.concatenate([x[:1], 100 * x[1:]])
    np.testing.assert_array_equal(np.asarray(layer(loud))[0], out[0])
    np.testing.assert_allclose(np.asarray(layer(x[:1]))[0], out[0], atol=1e-5)


def test_silence_and_a_single_click_are_numbers():
    x = np.zeros((2, 2000), np.float32)
    x[1, 700] = 1.0
    out = np.asarray(LogMel(8000, 256, 128, 48)(x))
    assert np.isfinite(out).all()
    assert np.ptp(out[0]) == 0 and np.ptp(out[1]) > 1
    assert np.isfinite(np.asarray(LogMel(8000, 256, 128, 48)(np.ones((1, 1), np.float32)))).all()


@pytest.mark.parametrize("samples", [30, 100, 706])
def test_a_sound_shorter_than_a_window_is_one_frame(samples):
    x = sounds(2, samples)
    layer = LogMel(22050, 706, 353, 32)
    out = np.asarray(layer(x))
    assert out.shape == (2, 1, 32, 1) == (2, *layer.compute_output_shape((2, samples))[1:])
    np.testing.assert_allclose(out[0, :, :, 0], reference(x[0], 22050, 706, 353, 32), atol=2e-3)


def test_what_comes_out_is_about_standardised():
    out = np.asarray(LogMel(8000, 256, 128, 48)(sounds(20, 4000)))
    assert abs(out.mean()) < 1.2 and 0.4 < out.std() < 1.2


@pytest.mark.parametrize(("rate", "fft", "mels"), [(8000, 256, 64), (44100, 2048, 32), (16000, 512, 48), (64, 32, 32)])
def test_no_band_is_empty_and_each_weighs_the_same(rate, fft, mels):
    bands = mel_bands(rate, fft, mels, 40.0)
    assert bands.shape == (fft // 2 + 1, mels) and (bands >= 0).all()
    np.testing.assert_allclose(bands.sum(axis=0), 1.0, rtol=1e-6)
    centres = np.arange(fft // 2 + 1) @ bands
    assert (np.diff(centres) >= 0).all()


def test_a_saved_layer_is_the_same(tmp_path):
    x = sounds(2, 3000)
    inputs = keras.Input((3000,))
    model = keras.Model(inputs, LogMel(11025, 353, 200, 40, low=60.0)(inputs))
    model.save(tmp_path / "mel.keras")
    again = keras.models.load_model(tmp_path / "mel.keras", compile=False)
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
    assert again.layers[-1].low == 60.0


# -- augmentation --------------------------------------------------------------------------------


def spectrograms(n=64, frames=30, mels=20):
    return np.random.default_rng(0).uniform(1, 2, (n, frames, mels, 1)).astype(np.float32)


def test_shifting_moves_all_bands_alike_and_repeats_the_ends():
    x = spectrograms()
    out = np.asarray(SpecAugment(shift=0.1, seed=1)(x, training=True))
    found = set()
    for before, after in zip(x, out, strict=True):
        steps = [s for s in range(-3, 4) if np.array_equal(after, before[np.clip(np.arange(30) - s, 0, 29)])]
        assert len(steps) == 1
        found.add(steps[0])
    assert found == {-3, -2, -1, 0, 1, 2, 3}


@pytest.mark.parametrize(("option", "axis", "size"), [("time", 1, 30), ("frequency", 2, 20)])
def test_a_stretch_of_time_or_a_band_of_frequencies_is_blanked_out(option, axis, size):
    x = spectrograms(500)
    out = np.asarray(SpecAugment(**{option: 0.2}, seed=1)(x, training=True))
    gone = out == 0
    np.testing.assert_array_equal(out[~gone], x[~gone])
    others = tuple(a for a in (1, 2, 3) if a != axis)
    along = gone.all(axis=others)
    np.testing.assert_array_equal(along, gone.any(axis=others))  # the whole height, or the whole width
    assert along.sum(axis=1).max() == round(0.2 * size)
    assert (np.diff(along.astype(int), axis=1) == 1).sum(axis=1).max() == 1  # one stretch
    assert along.any(axis=0).all()  # anywhere
    assert 0.06 < along.mean() < 0.11  # half of .2, less what lies outside


def test_noise_is_normal_and_everywhere():
    x = spectrograms(200)
    noise = np.asarray(SpecAugment(noise=0.2, seed=1)(x, training=True)) - x
    assert abs(noise.mean()) < 0.005 and noise.std() == pytest.approx(0.2, rel=0.02)
    assert len(np.unique(noise.round(4))) > 1000


def test_it_does_nothing_at_inference_and_is_seeded():
    x = spectrograms(8)
    options = {"shift": 0.1, "time": 0.2, "frequency": 0.2, "noise": 0.2}
    layer = SpecAugment(**options, seed=1)
    np.testing.assert_array_equal(layer(x), x)
    np.testing.assert_array_equal(layer(x, training=False), x)
    one, other = (np.asarray(SpecAugment(**options, seed=1)(x, training=True)) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert not np.array_equal(one, np.asarray(SpecAugment(**options, seed=2)(x, training=True)))
    np.testing.assert_array_equal(SpecAugment()(x, training=True), x)
    again = SpecAugment.from_config(layer.get_config())
    np.testing.assert_array_equal(np.asarray(again(x, training=True)), one)
