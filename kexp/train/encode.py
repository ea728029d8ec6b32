"""What a front end that works once makes of rows: kept on disk where it takes long, for all processes of a search."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kexp.store import atomic_write

Array = NDArray[Any]
ENCODED_BYTES = 4 << 20  # of samples that pass the front end together: a spectrogram takes several times as much
PICTURES = 32  # that pass a trunk together: its feature maps are larger than they are
WAIT = 0.2  # seconds between two looks at whether another process is done


def encoded(frontend: keras.Model, x: Array, rows: NDArray[np.int64]) -> tf.Tensor:
    """Features (n, ...) of `rows` of `x`."""
    size = max(1, ENCODED_BYTES // x[0].nbytes)
    chunks = [frontend(x[rows[i : i + size]], training=False) for i in range(0, len(rows), size)]
    return tf.concat(chunks, axis=0)


def seen(
    frontend: keras.Model, x: Array, rows: NDArray[np.int64], *, keep: Path | None, name: str,
    alive: Callable[[], object],
) -> tf.Tensor:  # fmt: skip
    """Features (n, units) that a frozen trunk makes of pictures, in a graph: a fifth of the time.

    They are read from the folder `keep` where they lie there under `name`, otherwise left there; of some processes that
    want the same, one computes. `alive` is called now and then.
    """
    if keep is None:
        return tf.constant(_computed(frontend, x, rows, alive))
    keep.mkdir(parents=True, exist_ok=True)
    path = keep / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.npy"
    with _alone(path.with_suffix(".lock"), alive):
        if not path.exists():
            file = io.BytesIO()
            np.save(file, _computed(frontend, x, rows, alive))
            atomic_write(path, file.getvalue())
    return tf.constant(np.load(path))


def _computed(frontend: keras.Model, x: Array, rows: NDArray[np.int64], alive: Callable[[], object]) -> Array:
    look = tf.function(
        lambda pixels: frontend(tf.cast(pixels, tf.float32), training=False),
        input_signature=[tf.TensorSpec((None, *x.shape[1:]), x.dtype)],
    )
    found = np.empty((len(rows), *frontend.output_shape[1:]), np.float32)
    for i in range(0, len(rows), PICTURES):
        found[i : i + PICTURES] = look(x[rows[i : i + PICTURES]]).numpy()
        alive()
    return found


@contextlib.contextmanager
def _alone(path: Path, alive: Callable[[], object]) -> Iterator[None]:
    """Hold the lock `path`, which ends with the process."""
    with path.open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                alive()
                time.sleep(WAIT)
        yield
