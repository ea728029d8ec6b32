"""Are costs that are told before training those of the file? Bytes, memory, operators, milliseconds, and the telling.

    python benchmarks/costs.py [--candidates 8] [--only digits_conv ...]

Candidates are drawn from the space of each factory, the default one first, on sets that need no download. Each is
built, with biases and statistics as a training leaves them, converted to int8 as `kexp export` does, and measured: one
sample, one thread. Memory is compared with the most that is alive at once in the file. The model of latency is fitted
to the first candidates of a factory, as a search would measure them, and asked about the others. Ends in one JSON line.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kexp import data, models
from kexp.data.dataset import Dataset
from kexp.export import micro, tflite
from kexp.export.source import Source
from kexp.records import Costs, DatasetSpec, Dimension, Experiment, Value
from kexp.runtime import open_runtime
from kexp.search.latency import LatencyModel
from kexp.search.probes import probes
from kexp.search.sketches import Sketches

CASES: dict[str, tuple[dict[str, Any], str, dict[str, Value]]] = {  # data, factory, [space]
    "iris_dense": ({"data": "sklearn:iris"}, "dense", {}),
    "diabetes_dense": ({"data": "sklearn:diabetes"}, "dense", {}),
    "digits_dense": ({"data": "sklearn:digits"}, "dense", {}),
    "digits_conv": ({"data": "sklearn:digits"}, "conv", {}),
    "digits_32_conv": ({"data": "sklearn:digits", "size": (32, 32)}, "conv", {}),
    "digits_backbone": ({"data": "sklearn:digits", "size": (32, 32)}, "backbone", {"weights": "none"}),
    "motions_conv1d": ({"data": "generated:motions"}, "conv1d", {}),
    "sales_dense": ({"data": "generated:sales", "horizon": 3}, "dense", {}),
    "tones_conv_sound": ({"data": "generated:tones"}, "conv_sound", {}),
    "clips_conv_clip": ({"data": "generated:clips"}, "conv_clip", {}),
}
ROWS = 16  # that calibrate, and run
RUNS, WARM_UP = 200, 20
AS_TRAINED = ("bias", "beta", "gamma", "variance", "mean")  # whose zeros and ones no training leaves


class Found(NamedTuple):
    """One candidate: what was told, what is in its file, and the milliseconds."""

    told: Costs
    bytes: int
    operators: int
    memory: int
    milliseconds: float


def draw(dimensions: tuple[Dimension, ...], dice: random.Random) -> dict[str, Value]:
    """Values at random."""
    found: dict[str, Value] = {}
    for one in dimensions:
        if one.values:
            found[one.name] = dice.choice(one.values)
        elif one.kind == "int":
            found[one.name] = dice.randint(int(one.minimum), int(one.maximum))
        elif one.kind == "float":
            value = dice.uniform(one.minimum, one.maximum)
            found[one.name] = round(value / one.step) * one.step if one.step else value
    return found


def measure(dataset: Dataset, factory: str, values: dict[str, Value], told: Costs) -> Found:
    """A candidate's file."""
    x = np.asarray(dataset.x[dataset.rows("train")[:ROWS]])
    network = models.build(dataset.spec, factory, models.replay(values))
    dice = np.random.default_rng(0)
    for weight in network.core.weights:
        if weight.path.endswith(AS_TRAINED):
            weight.assign(np.asarray(weight) + np.abs(dice.normal(0, 0.05, weight.shape)))
    with tempfile.TemporaryDirectory(prefix="kexp-costs-") as name:
        folder = Path(name)
        models.inference(network).save(folder / "model.keras")
        path = folder / "model_int8.tflite"
        source = Source(path=folder / "model.keras", spec=dataset.spec, calibration=x, scratch=folder)
        tflite.int8(source, path)
        content = path.read_bytes()
        with contextlib.closing(open_runtime(path)) as runtime:
            runtime.latency(x, WARM_UP)
            # The median of five: other work on the machine shows in some of them.
            p50 = statistics.median(float(np.median(runtime.latency(x, RUNS // 5))) for _ in range(5))
    models.forget()
    tflite.forget()
    operators = sum(use.times for use in micro.uses(content))
    return Found(told, len(content), operators, micro.arena(content).peak, p50)


def look_ms(spec: DatasetSpec, question: Experiment, drawn: list[dict[str, Value]]) -> float:
    """Milliseconds of a processor to tell what one candidate costs, after the first."""
    sketches = Sketches(spec, question)
    sketches.look({})
    begun = time.process_time()
    for values in drawn:
        sketches.look(values)
    return (time.process_time() - begun) * 1000 / len(drawn)


def case(name: str, count: int, cache: Path) -> tuple[dict[str, Any], list[Found]]:
    """What was told and found of one factory on one set."""
    what, factory, space = CASES[name]
    question = Experiment(name=name, factory=factory, space=space, **what)
    dataset = data.load(question, cache=cache)
    sketches = Sketches(dataset.spec, question)
    outline, dice = sketches.outline(), random.Random(0)
    asked = [one for one, _ in probes(outline, sketches.look, seed=0)]
    asked += [draw(outline.dimensions, dice) for _ in range(count)]
    found = []
    for values in asked:
        sketch = sketches.look(values)
        found.append(measure(dataset, factory, sketch.values, sketch.costs))
        one = found[-1]
        print(
            f"{name:18} {one.bytes:9,} B {one.told.bytes / one.bytes - 1:+6.1%}  memory {one.memory:8,} "
            f"{one.told.memory / one.memory - 1:+6.1%}  operators {one.operators:3} "
            f"{one.told.operators - one.operators:+}  macs {one.told.macs:11,}  {one.milliseconds:7.3f} ms",
            flush=True,
        )
    fitted, asked_about = found[: len(asked) - count], found[len(asked) - count :]
    model = LatencyModel.fitted([(one.told, one.milliseconds) for one in fitted])
    off = [max(model(o.told) / o.milliseconds, o.milliseconds / model(o.told)) for o in asked_about] if model else []
    unbuilt = look_ms(dataset.spec, question, [draw(outline.dimensions, dice) for _ in range(20)])
    return {
        "bytes off, most": round(max(abs(o.told.bytes / o.bytes - 1) for o in found), 4),
        "bytes off, B": max(abs(o.told.bytes - o.bytes) for o in found),
        "memory off, most": round(max(abs(o.told.memory / o.memory - 1) for o in found), 4),
        "operators equal": sum(o.told.operators == o.operators for o in found),
        "candidates": len(found),
        "latency off, median": round(statistics.median(off), 2) if off else None,
        "latency off, most": round(max(off), 2) if off else None,
        "look ms": round(unbuilt, 2),
    }, found


def main() -> None:
    """Measure, print a line for each candidate and factory, end in one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=CASES, help="these alone")
    parser.add_argument("--candidates", type=int, default=6, metavar="N", help="beside those that a model is fitted to")
    arguments = parser.parse_args()
    told = {}
    with tempfile.TemporaryDirectory(prefix="kexp-costs-data-") as cache:
        for name in arguments.only or CASES:
            told[name], _ = case(name, arguments.candidates, Path(cache) / name)
            print(f"{name:18} {told[name]}\n", flush=True)
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
