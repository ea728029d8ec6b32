"""Examples a second of each way to train the same network, on one thread, and the share of the machine's peak.

    python benchmarks/trainer.py

Keras's `fit` on the TensorFlow, Torch and JAX backends (each installed in benchmarks/results/peers), kexp's trainer of
one network, and its populations. Dense: 108 inputs, three layers of 64, batches of 32. Conv: kexp's default for
28 x 28 pictures, batches of 64. Adam counts as time, not as arithmetic. Ends in one JSON line.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "peers"))

from acceptance import ROOT
from keras_fit import SHAPES, VALUES, rows
from search_speed import PEER, peer

from kexp.search.workers import ENVIRONMENT

BACKENDS = {
    "tensorflow": PEER,
    "torch": "torch==2.13.* keras==3.15.* scikit-learn",
    "jax": "jax keras==3.15.* scikit-learn",
}


def main() -> None:
    """Each row in a process of its own; print the table, end in one JSON line."""
    if sys.argv[1:]:
        print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
        return
    peak = run([sys.executable, __file__, "peak", "0"], {})["rate"]
    print(f"matrix product of 1024 x 1024, float32: {peak / 1e9:.0f} GFLOP/s\n")
    print(f"{'':8}{'':26}{'examples/s':>12}{'times fit':>11}{'of peak':>9}")
    found: dict[str, dict[str, float]] = {}
    for kind in SHAPES:
        table: dict[str, dict[str, Any]] = {}
        for backend, packages in BACKENDS.items():
            python = str(peer("keras-tuner" if backend == "tensorflow" else backend, packages))
            script = str(ROOT / "benchmarks" / "peers" / "keras_fit.py")
            table[f"fit, {backend}"] = run([python, script, kind], {"KERAS_BACKEND": backend})
        for size in (0, 1, 8, 32) if kind == "dense" else (0,):
            name = f"kexp, {size} at once" if size else "kexp, alone"
            table[name] = run([sys.executable, __file__, kind, str(size)], {})
        work = table["kexp, alone"]["flop"]
        for name, row in table.items():
            times, share = row["rate"] / table["fit, tensorflow"]["rate"], row["rate"] * work / peak
            print(f"{kind:8}{name:26}{row['rate']:>12,.0f}{times:>11.1f}{share:>9.1%}")
        found[kind] = {name: row["rate"] for name, row in table.items()}
    print(json.dumps({"peak": peak, "rates": found}))


def run(command: list[str], more: dict[str, str]) -> dict[str, Any]:
    """The JSON line of a process on one thread, as a worker of a search is."""
    alone = {**os.environ, **ENVIRONMENT, "OPENBLAS_NUM_THREADS": "1", **more, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, env=alone, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measure(kind: str, size: int) -> dict[str, float]:
    """Examples a second, of all networks together, and floating-point operations of an example; 0: alone."""
    import numpy as np
    import tensorflow as tf

    if kind == "peak":
        a = tf.constant(np.random.default_rng(0).normal(size=(1024, 1024)).astype(np.float32))
        return {"rate": 2 * 1024**3 / best(lambda: tf.matmul(a, a).numpy())}
    from kexp import models
    from kexp.records import Column, DatasetSpec
    from kexp.train.epoch import fit
    from kexp.train.feed import Samples
    from kexp.train.population import Member, Population
    from kexp.train.stack import layout

    x, y = rows(kind)
    shape, _, batch = SHAPES[kind]
    columns = tuple(Column(name=f"c{i}", kind="number") for i in range(shape[0])) if kind == "dense" else ()
    spec = DatasetSpec(
        name="t", kind="table" if columns else "image", task="binary", shape=shape, outputs=1, labels=("a", "b"),
        columns=columns, mean=(0.0,), std=(1.0,),
    )  # fmt: skip
    data = Samples(features=tf.constant(x), y=y, targets=tf.constant(y[:, None].astype(np.float32)))
    few = Samples(features=data.features[:64], y=y[:64], targets=data.targets[:64])
    networks = [models.build(spec, kind, models.replay(VALUES[kind])) for _ in range(max(1, size))]
    ends = [time.perf_counter()]
    heard = {"on_epoch": lambda epoch: ends.append(time.perf_counter())}
    if size:
        members = [Member(network, made) for network in networks if (made := layout(network.core))]
        Population(spec).fit(members, data, few, epochs=3, batch_size=batch, seed=0, **heard)
    else:
        fit(spec, networks[0], data, few, epochs=3, batch_size=batch, seed=0, **heard)
    seconds = min(b - a for a, b in itertools.pairwise(ends[1:]))  # the first epoch compiles
    return {"rate": len(x) * max(1, size) / seconds, "flop": 6 * multiplications(networks[0].core)}


def multiplications(core: Any) -> int:
    """Of one example on its way through the kernels of a network."""
    total = 0
    for layer in core.layers:
        kernel = getattr(layer, "kernel", None)
        if kernel is not None:
            places = int(layer.output.shape[1] * layer.output.shape[2]) if len(layer.output.shape) == 4 else 1
            total += places * math.prod(int(side) for side in kernel.shape)
    return total


def best(work: Any) -> float:
    """Seconds of the fastest of ten calls."""
    times = []
    for _ in range(10):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


if __name__ == "__main__":
    main()
