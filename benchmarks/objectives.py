"""Fronts of quality and size: kexp against plain Optuna with the same sampler, and against random draws.

    python benchmarks/objectives.py --data DIR [--oracle tpe] [--set digits] [--seeds 5] [--trials 40] [--time 60]

kexp's dense factory is the space of all three, on the same rows, for the same epochs and batches. Plain Optuna is a
loop over `objective(trial)` that trains each network alone by Keras's `fit` (peers/optuna_search.py); random is the
same with its RandomSampler. Objectives are the validation metric and the bytes of the int8 file, foretold for all by
kexp.export.costs. A front is told by its hypervolume: the share that it dominates of what lies between no error at
1 kB and a fixed reference (see SETS) at 1 MB, sizes by their logarithm.

Once for equal trials, and once for equal wall clock, from the start of the process to its end: kexp searches for --time
seconds, and what the others had trained when its process ended counts. They run side by side: each keeps one core busy,
of two. Kept in benchmarks/results/objectives.json while the code is unchanged, of the others the code that they use; an
interrupted call goes on. Ends in one JSON line.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acceptance import RESULTS, ROOT, SEARCH, digest, kexp
from search_speed import QUIET, asked, kept

from kexp import pareto

FILE = RESULTS / "objectives.json"
PEER = ROOT / "benchmarks" / "peers" / "optuna_search.py"
SMALLEST, LARGEST = 1e3, 1e6  # bytes
BESIDE = 20.0  # seconds, at most, that kexp's process takes beside its search: loading, reading, saving


@dataclass(frozen=True)
class Case:
    """One data set; `reference` is the error beyond which nothing counts: of a constant answer, for regressions."""

    source: str
    reference: float
    epochs: int
    batch_size: int
    target: str = ""


SETS = {
    "digits": Case("sklearn:digits", 0.3, 10, 32),
    "wine_quality": Case("{data}/wine_quality/winequality.csv", 0.88, 10, 32, "quality"),
    "california_housing": Case("{data}/california_housing/housing.csv", 115_000.0, 5, 64, "median_house_value"),
}
SIDES = ("kexp", "optuna", "random")


def main() -> None:
    """Measure what is missing, print the table, end in one JSON line."""
    parser = asked(__doc__, seeds=5, sets=SETS)
    parser.add_argument("--oracle", choices=("tpe", "nsga2"), default="tpe", help="the sampler of kexp and Optuna")
    parser.add_argument("--trials", type=int, default=40, help="of each side, for equal trials")
    parser.add_argument("--time", type=int, default=60, help="seconds of kexp's search, for equal wall clock")
    parser.set_defaults(set=list(SETS))
    given = parser.parse_args()
    foretold = ("export/costs.py", "export/plan.py", "export/walk.py")
    code = digest(*SEARCH, "pareto.py", *foretold) + digest_of(Path(__file__))
    of_peers = digest("data", "models", "experiment.py", "layouts.py", "metrics.py", *foretold) + digest_of(PEER)
    of_peers += repr((SETS, BESIDE))
    found: dict[str, Any] = {}
    for name in given.set:
        for seed in range(given.seeds):  # in turn, so that a slow hour of the machine hits all
            limits = (given.trials, given.time)
            key = f"{name} {given.oracle} {given.trials} {given.time} {seed}"
            own = kept(FILE, f"{key} kexp", code, ours, given.data, name, given.oracle, *limits, seed)
            until = (given.trials, given.time + BESIDE)
            if own["wall"] > given.time + BESIDE:
                sys.exit(f"kexp took {own['wall']:.0f} s for a search of {given.time}: raise BESIDE for the others")
            others = kept(FILE, f"{key} peers", of_peers, peers, given.data, name, given.oracle, *until, seed)
            row = {"kexp": own} | {side: within(others[side], own["wall"]) for side in ("optuna", "random")}
            for side in SIDES:
                found.setdefault(name, {}).setdefault(side, []).append(
                    {how: covered(name, row[side][how]) for how in ("trials", "time")}
                    | {"count": len(row[side]["time"]), "wall": row[side]["wall"]}
                )
    print(f"{'data':20}{'':9}{'equal trials':>28}{'equal wall clock':>28}{'trials then':>13}")
    for name, sides in found.items():
        for side, rows in sides.items():
            count = statistics.median(row["count"] for row in rows)
            print(f"{name:20}{side:9}{spread(rows, 'trials'):>28}{spread(rows, 'time'):>28}{count:>13.0f}")
    print(json.dumps({"code": code, "oracle": given.oracle, "hypervolumes": found}))


def spread(rows: list[dict[str, Any]], column: str) -> str:
    """The mean of a column, its least and its most."""
    values = [row[column] for row in rows]
    return f"{statistics.mean(values):.4f} ({min(values):.4f}-{max(values):.4f})"


def covered(name: str, points: list[list[float]]) -> float:
    """The share of the box from (no error, SMALLEST) to the reference that the front of (error, bytes) dominates."""
    width = math.log(LARGEST / SMALLEST)
    scaled = [
        (error / SETS[name].reference, max(0.0, math.log(size / SMALLEST) / width))
        for error, size in points
        if math.isfinite(error)
    ]
    return pareto.hypervolume(scaled, (1.0, 1.0))


def ours(data: Path, name: str, oracle: str, trials: int, seconds: int, seed: int) -> dict[str, Any]:
    """(error, bytes) of what two searches of kexp trained: of so many trials, and of so many seconds."""
    few, _ = searched(data, name, f"trials = {trials}\nfinalists = 0\n", oracle, seed)
    explored = [trial for trial in few if trial["stage"] == "explore"]
    many, wall = searched(data, name, f'time = "{seconds}s"\n', oracle, seed)
    return {"trials": [point(name, t) for t in explored], "time": [point(name, t) for t in many], "wall": wall}


def searched(data: Path, name: str, limits: str, oracle: str, seed: int) -> tuple[list[dict[str, Any]], float]:
    """The scored trials of one search by the command line, and the seconds of its process."""
    with tempfile.TemporaryDirectory() as home:
        toml = written(Path(home), data, name, seed, f'oracle = "{oracle}"\nobjectives = ["size"]\n{limits}')
        status, document, wall = kexp(Path(home), "search", str(toml))
        if status:
            sys.exit(f"kexp search of {name} ended with {status}")
        _, document, _ = kexp(Path(home), "show", "fronts")
    return [trial for trial in document["trials"] if trial["score"] is not None and trial["costs"]], wall


def point(name: str, trial: dict[str, Any]) -> list[float]:
    """Error and bytes of a network, not of its file: as the others' are."""
    score = next(trial["metrics"][metric] for metric in ("accuracy", "rmse") if metric in trial["metrics"])
    return [score if SETS[name].target else 1.0 - score, trial["costs"]["bytes"]]


def peers(data: Path, name: str, sampler: str, trials: int, seconds: float, seed: int) -> dict[str, Any]:
    """Plain Optuna with the sampler, and with random draws, side by side: each keeps one core busy, kexp keeps two."""
    with ThreadPoolExecutor(2) as both:
        sides = {"optuna": sampler, "random": "random"}
        asked = {side: both.submit(theirs, data, name, by, trials, seconds, seed) for side, by in sides.items()}
        return {side: one.result() for side, one in asked.items()}


def theirs(data: Path, name: str, sampler: str, trials: int, seconds: float, seed: int) -> dict[str, Any]:
    """[error, bytes, seconds since its start] of what plain Optuna trained, for so many trials and so long at least."""
    with tempfile.TemporaryDirectory() as home:
        toml = written(Path(home), data, name, seed, "")
        command = [sys.executable, str(PEER), str(toml), sampler, str(trials), str(seconds)]
        environment = {**os.environ, **QUIET, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, stdout=subprocess.PIPE, env=environment, text=True, check=True)
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"seconds"')]
    return {"told": [[one["error"], one["bytes"], one["seconds"]] for one in told], "trials": trials}


def within(side: dict[str, Any], seconds: float) -> dict[str, Any]:
    """What a peer had trained after so many trials, and after so many seconds."""
    told = side["told"]
    return {
        "trials": [point[:2] for point in told[: side["trials"]]],
        "time": [point[:2] for point in told if point[2] <= seconds],
        "wall": told[-1][2],
    }


def written(home: Path, data: Path, name: str, seed: int, more: str) -> Path:
    """The experiment of one search."""
    case, toml = SETS[name], home / "fronts.toml"
    target = f'target = ["{case.target}"]\ntask = "regression"\n' if case.target else ""
    toml.write_text(
        f'data = "{case.source.format(data=data.resolve())}"\nfactory = "dense"\nseed = {seed}\n{target}'
        f"epochs = {case.epochs}\nbatch_size = {case.batch_size}\n{more}"
    )
    return toml


def digest_of(*files: Path) -> str:
    """Of these files."""
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:8]


if __name__ == "__main__":
    main()
