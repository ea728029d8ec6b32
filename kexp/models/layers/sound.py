"""Sounds: the log-mel spectrogram as front end, and its augmentation."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from kexp.models.layers.augmentation import Augmentation
from kexp.models.layers.series import shifted

FLOOR = 1e-7  # power relative to the loudest: 70 dB below it nothing is heard beside it
SPREAD = 1.5  # about the deviation of what comes out before it is divided by this, in powers of ten


@keras.saving.register_keras_serializable(package="kexp")
class LogMel(keras.layers.Layer):  # type: ignore[misc]
    """(n, samples) in -1..1 -> (n, frames, mels, 1): logarithms of mel band powers, relative to the sound's loudest.

    How loud a recording is, is no matter: a gain changes nothing. Keras's own MelSpectrogram takes decibels relative to
    the loudest of the whole batch, so that an answer would depend on a sample's neighbours. Bands are triangles from
    `low` Hz to half of `rate`, evenly spaced on the mel scale 2595 log10(1 + f / 700) (O'Shaughnessy 1987). Only
    built-in TFLite operators, the FFT among them.
    """

    def __init__(self, rate: float, window: int, hop: int, mels: int, low: float = 40.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate, self.window, self.hop, self.mels, self.low = rate, window, hop, mels, low
        self.fft = 1 << (window - 1).bit_length()
        self._bands = mel_bands(rate, self.fft, mels, low)
        # Hann's, periodic: Keras's own is not, of odd lengths, where TensorFlow makes it.
        self._weights = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)).astype(np.float32)

    def call(self, x: Any) -> Any:
        """(n, samples) -> (n, frames, mels, 1)."""
        # Keras cuts frames as long as the FFT, the window in their middle: so much more is needed at both ends.
        before = (self.fft - self.window) // 2
        after = self.fft - self.window - before + max(0, self.window - x.shape[1])
        if before or after:
            x = ops.pad(x, [[0, 0], [before, after]])
        real, imaginary = ops.stft(
            x, sequence_length=self.window, sequence_stride=self.hop, fft_length=self.fft,
            window=ops.convert_to_tensor(self._weights), center=False,
        )  # fmt: skip
        power = ops.matmul(real * real + imaginary * imaginary, ops.convert_to_tensor(self._bands))
        loudest = ops.max(power, axis=(1, 2), keepdims=True)
        level = ops.log(power / (loudest + 1e-12) + FLOOR) / np.float32(np.log(10.0))
        return ops.expand_dims((level - np.float32(np.log10(FLOOR) / 2)) / np.float32(SPREAD), -1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(n, frames, mels, 1)."""
        samples = max(input_shape[1], self.window)
        return (input_shape[0], 1 + (samples - self.window) // self.hop, self.mels, 1)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs."""
        config = {"rate": self.rate, "window": self.window, "hop": self.hop, "mels": self.mels, "low": self.low}
        return {**super().get_config(), **config}


def mel_bands(rate: float, fft: int, mels: int, low: float) -> np.ndarray:
    """Weights (fft // 2 + 1, mels) of the power at each frequency in each band, of sum 1; none is empty.

    `low` is an eighth of the rate at most, so that there is something above it.
    """
    low = min(low, rate / 8)

    def mel(f: Any) -> Any:
        return 2595.0 * np.log10(1.0 + np.asarray(f) / 700.0)

    edges = 700.0 * (10.0 ** (np.linspace(mel(low), mel(rate / 2), mels + 2) / 2595.0) - 1.0)
    frequencies = np.linspace(0.0, rate / 2, fft // 2 + 1)
    rising = (frequencies[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequencies[:, None]) / (edges[2:] - edges[1:-1])
    bands = np.maximum(0.0, np.minimum(rising, falling))
    nearest = np.abs(frequencies[:, None] - edges[1:-1]).argmin(axis=0)
    empty = bands.sum(axis=0) == 0  # narrower than the distance of two frequencies
    bands[nearest[empty], np.flatnonzero(empty)] = 1.0
    return np.asarray(bands / bands.sum(axis=0), np.float32)


@keras.saving.register_keras_serializable(package="kexp")
class SpecAugment(Augmentation):
    """Shift spectrograms (n, frames, mels, 1) in time, and blank out a stretch of time and a band of frequencies.

    All are shares: `shift` of the frames, uniform in +-; `time` and `frequency` the widest that is blanked out, which
    becomes the mean (Park et al. 2019, "SpecAugment", without warping). `noise` is normal, in standard deviations.
    """

    def __init__(
        self, shift: float = 0.0, time: float = 0.0, frequency: float = 0.0, noise: float = 0.0,
        seed: int | None = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(seed, **kwargs)
        self.shift, self.time, self.frequency, self.noise = shift, time, frequency, noise

    def call(self, x: Any, training: bool = False) -> Any:
        """(n, frames, mels, 1) -> the same shape."""
        if not training:
            return x
        n, frames, mels = ops.shape(x)[0], x.shape[1], x.shape[2]
        if self.shift:
            x = shifted(x, keras.random.uniform((n,), -1.0, 1.0, seed=self.generator) * (self.shift * frames))
        if self.noise:
            x = x + keras.random.normal(ops.shape(x), stddev=self.noise, seed=self.generator)
        if self.time:
            x = x * ops.reshape(self._kept(n, frames, self.time), (-1, frames, 1, 1))
        if self.frequency:
            x = x * ops.reshape(self._kept(n, mels, self.frequency), (-1, 1, mels, 1))
        return x

    def _kept(self, n: Any, size: int, share: float) -> Any:
        """(n, size) of 1, and 0 in a stretch of up to `share` of the size."""
        middle, wide = ops.unstack(keras.random.uniform((2, n, 1), seed=self.generator), 2)
        beside = ops.abs(np.arange(size, dtype=np.float32)[None] + 0.5 - middle * size)
        return ops.cast(beside > wide * (share * size / 2), "float32")

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs."""
        config = {"shift": self.shift, "time": self.time, "frequency": self.frequency, "noise": self.noise}
        return {**super().get_config(), **config}
