"""TensorFlow: .keras files and SavedModel folders."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kexp.errors import ExportError
from kexp.runtime.protocol import AbstractRuntime, Array, brief, check_shape, starts


class KerasRuntime(AbstractRuntime):
    """A .keras file, by TensorFlow. Raises ExportError where Keras cannot open it."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        self.threads = threads  # set by the environment, before TensorFlow is loaded
        import keras

        import kexp.models.layers  # noqa: F401 - the file names layers that this registers

        if not path.is_file():
            raise ExportError(f"{path} does not exist. kexp export writes it.")
        try:
            self._model = keras.saving.load_model(path, compile=False)
        except (ValueError, OSError, TypeError, KeyError, zipfile.BadZipFile) as error:
            raise ExportError(f"{path} cannot be opened by Keras: {brief(error)}") from error
        self.shape = tuple(int(n) for n in self._model.input_shape[1:])
        self.dtype = np.dtype(np.float32)

    def predict(self, x: Array) -> NDArray[np.float32]:
        """Outputs (n, outputs) of raw samples (n, *shape)."""
        check_shape(x, self.shape)
        parts = [np.asarray(self._model(x[i : i + 256].astype(np.float32), training=False)) for i in starts(x, 256)]
        return np.concatenate(parts).astype(np.float32)


class SavedModelRuntime(AbstractRuntime):
    """A SavedModel folder, by TensorFlow. Raises ExportError where there is none."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        self.threads = threads  # set by the environment, before TensorFlow is loaded
        import tensorflow as tf

        try:
            self._loaded = tf.saved_model.load(str(path))  # its weights live as long as it does
            self._serve = self._loaded.signatures["serving_default"]
        except (OSError, ValueError, KeyError, IndexError, TypeError, tf.errors.OpError) as error:
            raise ExportError(f"{path} is no SavedModel that can be served: {brief(error)}") from error
        _, named = self._serve.structured_input_signature
        (self._name, wanted), *_ = named.items()
        self.shape = tuple(int(n) for n in wanted.shape[1:])
        self.dtype = np.dtype(np.float32)

    def predict(self, x: Array) -> NDArray[np.float32]:
        """Outputs (n, outputs) of raw samples (n, *shape)."""
        import tensorflow as tf

        check_shape(x, self.shape)
        parts = []
        for i in starts(x, 256):
            (answer,) = self._serve(**{self._name: tf.constant(x[i : i + 256].astype(np.float32))}).values()
            parts.append(answer.numpy())
        return np.concatenate(parts).astype(np.float32)
