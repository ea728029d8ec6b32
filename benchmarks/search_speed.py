"""Trials per hour: kexp against plain keras-tuner, whole processes in turn, same space, epochs, batches and rows.

    python benchmarks/search_speed.py --data DIR [--set adult fashion_mnist] [--seeds 5] [--autokeras]

The space is kexp's own factory (dense for adult, conv for fashion_mnist), drawn from at random by both. keras-tuner is
installed in a virtual environment of its own in benchmarks/results/peers; its learning rate does not follow a cycle, as
kexp's does. Each measurement is kept in benchmarks/results/search_speed.json and counts while kexp's search code, and
what is measured, are unchanged; an interrupted call goes on. Ends in one JSON line; "ratio" is kexp's trials per hour
over keras-tuner's, of the first set. "best" is the best validation score of as many trials as keras-tuner ran, since
the best of more is better by chance.

AutoKeras searches its own space (on pictures a plain network first, then ResNet-50 on 224 x 224 pixels: on two cores
half an hour is one trial), same rows, epochs and batches, for MOST_SECONDS at the longest; the training of its best
that follows is left out. It has no part in "ratio".
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acceptance import RESULTS, ROOT, SEARCH, digest, kexp

FILE = RESULTS / "search_speed.json"
PEER = "tensorflow==2.21.* keras==3.15.* keras-tuner==1.4.* tensorboard scikit-learn"
# It gives Dense a NumPy integer, which Keras refuses since 3.13 ("Received an invalid value for `units`").
AUTOKERAS = "autokeras==3.0.* tensorflow==2.21.* keras==3.12.* keras-tuner==1.4.* tensorboard"
MOST_SECONDS = 1800.0  # of AutoKeras
SCRIPTS = {"kexp": "", "keras-tuner": "keras_tuner_search.py", "autokeras": "autokeras_search.py"}
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}


@dataclass(frozen=True)
class Case:
    """One data set, what both search, and over how many trials each rate is measured."""

    factory: str
    epochs: int
    batch_size: int
    trials: int
    peer_trials: int
    space: Mapping[str, list[Any]]
    data: str = ""  # the folder, where it is not the case's name


SMALL = {
    "hidden_layers": [1, 2, 3],
    **{f"units_{i}": [16, 32, 64, 128] for i in range(3)},
    "activation": ["relu", "elu", "tanh"],
}
CASES = {
    # Keras's own batch size. Encoded once for both: standardised numbers, one-hot categories, 108 inputs.
    "adult": Case("dense", 5, 32, 256, 24, SMALL),
    "adult_wide": Case("dense", 5, 32, 256, 24, {}, "adult"),  # kexp's whole default space: 0 to 4 layers of 16 to 256
    "fashion_mnist": Case("conv", 2, 64, 128, 24, {}),
}


def main() -> None:
    """Measure what is missing, print the table, end in one JSON line."""
    parser = asked(__doc__, seeds=1)
    parser.add_argument("--autokeras", action="store_true", help="AutoKeras too: half an hour more for each search")
    arguments = parser.parse_args()
    code, known = version(), {}
    runs_of = {"kexp": ours, "keras-tuner": theirs, **({"autokeras": autokeras} if arguments.autokeras else {})}
    for name in arguments.set:
        for seed in range(arguments.seeds):  # in turn, so that a slow hour of the machine hits both
            for who, run in runs_of.items():
                key = f"{name} {who} {seed}"
                known[key] = kept(FILE, key, version(SCRIPTS[who]), run, arguments.data, name, seed)
    print(f"{'data':16}{'':14}{'trials':>8}{'seconds':>9}{'per hour':>10}{'best validation':>24}")
    ratios = {}
    for name in arguments.set:
        rate = {}
        for who in runs_of:
            runs = [known[f"{name} {who} {seed}"] for seed in range(arguments.seeds)]
            rate[who] = statistics.median(3600 * run["trials"] / run["seconds"] for run in runs)
            seconds = statistics.median(run["seconds"] for run in runs)
            best = [run["best"] for run in runs]
            spread = f"{statistics.mean(best):.4f} ({min(best):.4f}-{max(best):.4f})"
            print(f"{name:16}{who:14}{runs[0]['trials']:>8}{seconds:>9.1f}{rate[who]:>10.0f}{spread:>24}")
        ratios[name] = rate["kexp"] / rate["keras-tuner"]
        print(f"{name:16}{'ratio':14}{'':17}{ratios[name]:>10.1f}")
    print(json.dumps({"code": code, "ratio": ratios[arguments.set[0]], "ratios": ratios, "runs": known}))


def asked(doc: str | None, *, seeds: int, sets: Iterable[str] = CASES) -> argparse.ArgumentParser:
    """What reads the command line: data (a path), set, seeds."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"), help="the folder that holds the data sets by name")
    parser.add_argument("--set", nargs="*", choices=list(sets), default=["adult"], help="these data sets")
    parser.add_argument("--seeds", type=int, default=seeds, help="so many searches each")
    return parser


def kept(file: Path, key: str, code: str, measure: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """What `file` holds under `key` where it is by this `code`; otherwise what is measured now, and kept there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    known: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    if known.get(key, {}).get("code") != code:
        print(f"{key} ...", file=sys.stderr, flush=True)
        known[key] = {**measure(*arguments), "code": code}
        file.write_text(json.dumps(known, indent=1))
    return dict(known[key])


def folder(data: Path, name: str) -> Path:
    """Where the rows of a case are."""
    return (data / (CASES[name].data or name)).resolve()


def ours(data: Path, name: str, seed: int) -> dict[str, Any]:
    """One `kexp search` of its own home, from start to exit."""
    case = CASES[name]
    with tempfile.TemporaryDirectory() as home:
        toml = Path(home) / "speed.toml"
        space = "".join(f"{name} = {json.dumps(values)}\n" for name, values in case.space.items())
        space += 'numeric_encoding = "standard"\n' if case.factory == "dense" else ""
        toml.write_text(
            f'data = "{folder(data, name)}"\nfactory = "{case.factory}"\noracle = "random"\ntrials = {case.trials}\n'
            f"epochs = {case.epochs}\nbatch_size = {case.batch_size}\nfinalists = 0\nseed = {seed}\n[space]\n{space}"
        )
        status, document, seconds = kexp(Path(home), "search", str(toml))
    if status:
        sys.exit(f"kexp search ended with {status}")
    trials = [trial for trial in document["trials"] if trial["status"] == "completed"]
    scores = {trial["id"]: trial["score"] for trial in trials}
    as_many = [scores[id] for id in sorted(scores)][: case.peer_trials]
    return {
        "trials": len(trials), "seconds": round(seconds, 1), "best": max(as_many), "best_of_all": max(scores.values())
    }  # fmt: skip


def theirs(data: Path, name: str, seed: int) -> dict[str, Any]:
    """One search by plain keras-tuner, from start to exit."""
    return by_peer(peer("keras-tuner", PEER), "keras_tuner_search.py", data, name, seed)


def autokeras(data: Path, name: str, seed: int) -> dict[str, Any]:
    """One search by AutoKeras, from start to the end of its last trial, or of MOST_SECONDS."""
    return by_peer(peer("autokeras", AUTOKERAS), "autokeras_search.py", data, name, seed, MOST_SECONDS)


def by_peer(python: Path, script: str, data: Path, name: str, seed: int, most: float | None = None) -> dict[str, Any]:
    """One search by a script of peers/, for `most` seconds, the rows ready as arrays."""
    case = CASES[name]
    with tempfile.TemporaryDirectory() as place:
        rows, space = Path(place) / "rows.npz", Path(place) / "space.json"
        document = arrays(folder(data, name), rows, seed) | {
            "factory": case.factory, "trials": case.peer_trials, "epochs": case.epochs, "seed": seed,
            "batch_size": case.batch_size, "space": dict(case.space),
        }  # fmt: skip
        space.write_text(json.dumps(document))
        command = [str(python), str(ROOT / "benchmarks" / "peers" / script), str(rows), str(space), place]
        start = time.monotonic()
        try:
            output = subprocess.run(
                command, stdout=subprocess.PIPE, env={**os.environ, **QUIET, "PYTHONPATH": str(ROOT)}, check=True,
                timeout=most,
            ).stdout  # fmt: skip
        except subprocess.TimeoutExpired as ended:
            output = ended.stdout or b""
        seconds = time.monotonic() - start
    told = [json.loads(line) for line in output.decode().splitlines() if line.startswith('{"seconds"')]
    last = told[-1] if told else {"trials": 0, "best": float("nan")}
    return {**last, "seconds": round(seconds, 1), "told": told}


def peer(name: str, packages: str) -> Path:
    """The Python of a virtual environment with `packages`, made where it is not there."""
    folder = RESULTS / "peers" / name
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        print(f"installing {packages} ...", file=sys.stderr, flush=True)
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *packages.split()], check=True)
        (folder / "ready").write_text(packages)
    return python


def version(script: str = "") -> str:
    """Of what is measured, and the code that it depends on: kexp's search; of a peer its script, rows and factories."""
    text = (ROOT / "benchmarks" / "peers" / script).read_text() if script else ""
    return (
        digest(*(("data", "models") if script else SEARCH)) + hashlib.sha256(f"{CASES}{text}".encode()).hexdigest()[:8]
    )


def arrays(data: Path, file: Path, seed: int) -> dict[str, Any]:
    """Write the rows that kexp trains on under `seed`, as it encodes them; what keras-tuner must know beside."""
    script = (
        "import sys, json, numpy as np\n"
        "from pathlib import Path\n"
        "from kexp import data, experiment, models, store\n"
        "asked = experiment.from_data(sys.argv[1], seed=int(sys.argv[3]))\n"
        "dataset = data.load(asked, base=Path(), cache=Path(sys.argv[2]).parent)\n"
        "spec = dataset.spec\n"
        "hp = models.replay({'numeric_encoding': 'standard'})\n"
        "encode = (lambda x: x) if spec.kind == 'image' else (lambda x: models.front_end(spec, hp)(x).numpy())\n"
        "(x, y), (vx, vy) = dataset.take('train'), dataset.take('validation')\n"
        "np.savez(sys.argv[2], x=encode(x), y=y, vx=encode(vx), vy=vy)\n"
        "many = lambda values: values[0] if values else 0\n"
        "print(json.dumps({'outputs': spec.outputs, 'mean': many(spec.mean), 'std': many(spec.std)}))\n"
    )
    command = [sys.executable, "-c", script, str(data), str(file), str(seed)]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, env={**os.environ, **QUIET, "PYTHONPATH": str(ROOT)}, text=True, check=True
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    main()
