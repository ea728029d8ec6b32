"""Examples a second of Keras's own `fit` on NumPy arrays, on the backend that KERAS_BACKEND names, one thread.

    python keras_fit.py dense|conv

Run by trainer.py, which sets the threads. Ends in one JSON line.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np

SHAPES = {"dense": ((108,), 27_676, 32), "conv": ((28, 28, 1), 6_000, 64)}  # one sample, rows, batch
VALUES: dict[str, dict[str, Any]] = {
    "dense": {"hidden_layers": 3, "units_0": 64, "units_1": 64, "units_2": 64, "dropout": 0.0},
    "conv": {"augmentation": "none"},
}


def rows(kind: str) -> tuple[Any, Any]:
    """Made-up rows, and two classes that can be learnt."""
    shape, n, _ = SHAPES[kind]
    x = np.random.default_rng(0).normal(size=(n, *shape)).astype(np.float32)
    return x, (x.reshape(n, -1)[:, :9].sum(axis=1) > 0).astype(np.int32)


def main() -> None:
    """Three epochs, the best of the last two."""
    import keras

    from kexp.models.conv import conv
    from kexp.models.dense import dense
    from kexp.models.space import HyperParameters

    if keras.backend.backend() == "torch":
        import torch

        torch.set_num_threads(1)
    kind = sys.argv[1]
    x, y = rows(kind)
    entry = keras.Input(x.shape[1:])
    features = {"dense": dense, "conv": conv}[kind](HyperParameters(VALUES[kind]), entry)
    model = keras.Model(entry, keras.layers.Dense(1)(features))
    model.compile(keras.optimizers.AdamW(1e-3), keras.losses.BinaryCrossentropy(from_logits=True))
    times = []
    for _ in range(3):
        start = time.perf_counter()
        model.fit(x, y, batch_size=SHAPES[kind][2], epochs=1, verbose=0)
        times.append(time.perf_counter() - start)
    print(json.dumps({"rate": len(x) / min(times[1:]), "backend": keras.backend.backend()}))


if __name__ == "__main__":
    main()
