"""Which strategy is the default: the best validation score of each at a quarter, at half and at the end of a time.

    python benchmarks/oracles.py --data DIR [--set adult fashion_mnist] [--seeds 3] [--time 90]

`kexp search` with its defaults but for the oracle, the time and the seed. "chosen" is the validation score of the
network that it kept, which was trained again; the others are of what had been explored or trained again by then, from
the start of the process. Kept in benchmarks/results/oracles.json; ends in one JSON line.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from acceptance import RESULTS, SEARCH, digest, kexp
from search_speed import asked, folder, kept
from time_to_quality import best_of, heard

FILE = RESULTS / "oracles.json"
ORACLES = ("evolution", "random", "bayesian", "hyperband")
SECONDS = {"adult": 90, "fashion_mnist": 300}
PARTS = {"quarter": 0.25, "half": 0.5, "whole": 1.0}


def main() -> None:
    """Measure what is missing, print the table, end in one JSON line."""
    parser = asked(__doc__, seeds=3, sets=SECONDS)
    parser.add_argument("--time", type=int, help="seconds of each search")
    parser.set_defaults(set=list(SECONDS))
    arguments = parser.parse_args()
    code, known = digest(*SEARCH), {}
    for name in arguments.set:
        for seed in range(arguments.seeds):  # in turn, so that a slow hour of the machine hits all
            for oracle in ORACLES:
                seconds = arguments.time or SECONDS[name]
                key = f"{name} {oracle} {seconds} {seed}"
                known[key] = kept(FILE, key, code, measure, folder(arguments.data, name), oracle, seconds, seed)
    columns = (*PARTS, "chosen")
    print(f"{'data':16}{'oracle':12}{'seconds':>8}{'trials':>8}" + "".join(f"{one:>26}" for one in columns))
    for name in arguments.set:
        seconds = arguments.time or SECONDS[name]
        for oracle in ORACLES:
            rows = [known[f"{name} {oracle} {seconds} {seed}"] for seed in range(arguments.seeds)]
            trials = statistics.median(row["trials"] for row in rows)
            print(f"{name:16}{oracle:12}{seconds:>8}{trials:>8.0f}" + "".join(spread(rows, one) for one in columns))
    print(json.dumps({"code": code, "runs": known}))


def spread(rows: list[dict[str, Any]], column: str) -> str:
    """The mean of a column, its least and its most; nothing where a search had no score by then."""
    scores = [row[column] for row in rows]
    if None in scores:
        return f"{'-':>26}"
    return f"{f'{statistics.mean(scores):.4f} ({min(scores):.4f}-{max(scores):.4f})':>26}"


def measure(data: Path, oracle: str, seconds: int, seed: int) -> dict[str, Any]:
    """One search: the best score by each part of the time, and that of what was chosen."""
    best: dict[str, float | None] = dict.fromkeys(PARTS)
    with tempfile.TemporaryDirectory() as home:
        toml = Path(home) / "oracle.toml"
        toml.write_text(f'data = "{data}"\noracle = "{oracle}"\nseed = {seed}\ntime = "{seconds}s"\n')
        for at, line in heard(toml):
            score = best_of(line)
            for part, share in PARTS.items():
                if score is not None and (at <= share * seconds or part == "whole"):
                    best[part] = max(score, best[part] or 0.0)
        _, shown, _ = kexp(Path(home), "show", "oracle")
    trials = {trial["id"]: trial for trial in shown["trials"]}
    explored = sum(trial["stage"] == "explore" and trial["score"] is not None for trial in trials.values())
    return {**best, "chosen": trials[shown["best"]]["score"], "trials": explored}


if __name__ == "__main__":
    main()
