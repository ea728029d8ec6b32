"""Layers of clips: frames as pictures and back, and augmentation that treats all frames of a clip alike."""

from __future__ import annotations

import numpy as np
import pytest

keras = pytest.importorskip("keras")
from kexp.models.layers import ClipAugment, Folded, Unfolded  # noqa: E402


def clips(n=48, frames=10, height=8, width=12, channels=2):
    return np.random.default_rng(0).uniform(1, 2, (n, frames, height, width, channels)).astype(np.float32)


def test_frames_become_pictures_and_come_together_again(tmp_path):
    x = clips(3)
    pictures = np.asarray(Folded()(x))
    np.testing.assert_array_equal(pictures, x.reshape(30, 8, 12, 2))
    together = np.asarray(Unfolded(10)(pictures.reshape(30, -1)))
    np.testing.assert_array_equal(together, x.reshape(3, 10, -1))
    assert Folded().compute_output_shape((3, 10, 8, 12, 2)) == (30, 8, 12, 2)
    assert Folded().compute_output_shape((None, 10, 8, 12, 2)) == (None, 8, 12, 2)
    assert Unfolded(10).compute_output_shape((30, 5)) == (3, 10, 5)
    assert Unfolded(10).compute_output_shape((None, 5)) == (None, 10, 5)
    inputs = keras.Input((10, 8, 12, 2))
    flat = keras.layers.Flatten()(Folded()(inputs))
    keras.Model(inputs, Unfolded(10)(flat)).save(tmp_path / "folded.keras")
    again = keras.models.load_model(tmp_path / "folded.keras", compile=False)
    np.testing.assert_array_equal(again.predict(x, verbose=0), x.reshape(3, 10, -1))


def test_all_frames_of_a_clip_are_changed_alike_and_clips_are_not():
    still = clips()[:, :1].repeat(10, axis=1)
    layer = ClipAugment(flip=True, shift=0.2, rotate=10.0, zoom=0.1, erase=0.5, time=0.2, seed=1)
    out = np.asarray(layer(still, training=True))
    np.testing.assert_allclose(out, out[:, :1].repeat(10, axis=1), atol=1e-5)
    same = still[:1].repeat(48, axis=0)
    out = np.asarray(ClipAugment(shift=0.2, seed=1)(same, training=True))
    assert len({one.tobytes() for one in out}) > 5


def test_a_flip_is_of_every_frame_and_channel():
    x = clips()
    out = np.asarray(ClipAugment(flip=True, seed=3)(x, training=True))
    mirrored = [np.array_equal(after, before[:, :, ::-1]) for before, after in zip(x, out, strict=True)]
    plain = [np.array_equal(after, before) for before, after in zip(x, out, strict=True)]
    assert all(a != b for a, b in zip(mirrored, plain, strict=True)) and any(mirrored) and any(plain)


def test_a_shift_in_time_moves_frames_and_leaves_them_as_they_are():
    x = clips()
    out = np.asarray(ClipAugment(time=0.2, seed=1)(x, training=True))
    found = set()
    for before, after in zip(x, out, strict=True):
        steps = [s for s in range(-2, 3) if np.array_equal(after, before[np.clip(np.arange(10) - s, 0, 9)])]
        assert len(steps) == 1
        found.add(steps[0])
    assert found == {-2, -1, 0, 1, 2}


def test_it_does_nothing_at_inference_and_is_seeded():
    x = clips(6)
    options = {"flip": True, "shift": 0.1, "time": 0.2, "zoom": 0.1}
    layer = ClipAugment(**options, seed=1)
    np.testing.assert_array_equal(layer(x), x)
    one, other = (np.asarray(ClipAugment(**options, seed=1)(x, training=True)) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert not np.array_equal(one, np.asarray(ClipAugment(**options, seed=2)(x, training=True)))
    np.testing.assert_array_equal(np.asarray(ClipAugment.from_config(layer.get_config())(x, training=True)), one)
    np.testing.assert_array_equal(ClipAugment()(x, training=True), x)


def test_one_frame_is_a_clip_too():
    x = clips(4, frames=1)
    out = np.asarray(ClipAugment(shift=0.2, time=0.5, seed=1)(x, training=True))
    assert out.shape == x.shape and not np.array_equal(out, x)
