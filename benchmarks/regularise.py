"""Is it worth it to leave dropout, augmentation and weight decay until candidates overfit? The same time for both.

    python benchmarks/regularise.py --data DIR [--set titanic] [--seeds 3] [--time 120]

`regularise = "always"`, the default, searches them from the beginning; "overfitting" opens the space to them once a
quarter of the leading candidates' validation error is not there on training rows. Both search for --time seconds, in
turn, and are measured on test rows. An error is 1 - accuracy, or the RMSE; a row is the mean over seeds of the errors,
of their ratio (below 1: "overfitting" is better), and how often the space was opened. Kept in
benchmarks/results/regularise.json while the code is unchanged; an interrupted call goes on. Ends in one JSON line.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from acceptance import RESULTS, SEARCH, digest, kexp
from search_speed import asked, kept

FILE = RESULTS / "regularise.json"
SETS: dict[str, tuple[str, ...]] = {
    "titanic": ("{data}/titanic/titanic.csv",),
    "wine_quality": ("{data}/wine_quality/winequality.csv",),
    "california_housing": ("{data}/california_housing/housing.csv",),
    "digits": ("sklearn:digits",),
    "fashion_mnist": ("{data}/fashion_mnist",),
    "uci_har": ("{data}/uci_har",),
    "fsdd": ("{data}/fsdd", "--target", "label", "--split-column", "official_split"),
}
WAYS = ("always", "overfitting")


def main() -> None:
    """Measure what is missing, print the table, end in one JSON line."""
    parser = asked(__doc__, seeds=3, sets=SETS)
    parser.add_argument("--time", type=int, default=120, help="seconds of each search")
    parser.set_defaults(set=list(SETS))
    given = parser.parse_args()
    code = digest(*SEARCH)
    found: dict[str, list[dict[str, Any]]] = {}
    for name in given.set:
        for seed in range(given.seeds):
            row = {
                way: kept(
                    FILE, f"{name} {given.time} {seed} {way}", code, searched, given.data, name, way, given.time, seed
                )
                for way in WAYS
            }
            found.setdefault(name, []).append(row)
    print(f"{'data':20}{'always':>10}{'overfitting':>13}{'ratio':>8}{'opened':>9}")
    ratios = []
    for name, rows in found.items():
        errors = {way: statistics.mean(row[way]["error"] for row in rows) for way in WAYS}
        ratio = statistics.geometric_mean(
            max(row["overfitting"]["error"], 1e-4) / max(row["always"]["error"], 1e-4) for row in rows
        )
        ratios.append(ratio)
        opened = sum(row["overfitting"]["opened"] is not None for row in rows)
        print(
            f"{name:20}{errors['always']:>10.4g}{errors['overfitting']:>13.4g}{ratio:>8.3f}{opened:>6} of {len(rows)}"
        )
    print(f"{'all':20}{'':23}{statistics.geometric_mean(ratios):>8.3f}")
    print(json.dumps({"code": code, "time": given.time, "found": found}))


def searched(data: Path, name: str, way: str, seconds: int, seed: int) -> dict[str, Any]:
    """The error on test rows of what one search found, its trials, and when its space was opened."""
    home, run = RESULTS / "home", f"regularise_{name}_{way}"
    source, *options = (part.format(data=data) for part in SETS[name])
    toml = RESULTS / f"{run}.toml"
    lines = {"data": source if ":" in source else str(Path(source).resolve()), "regularise": way, "seed": seed}
    for option, value in zip(options[::2], options[1::2], strict=True):
        lines[option.strip("-").replace("-", "_")] = value
    toml.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in lines.items()))
    status, shown, _ = kexp(home, "search", str(toml), "--fresh", "--time", f"{seconds}s")
    if status:
        raise SystemExit(f"the search of {run} ended with {status}")
    status, tested, _ = kexp(home, "evaluate", run, "--no-baselines")
    if status:
        raise SystemExit(f"kexp evaluate {run} ended with {status}")
    metrics = tested["metrics"]
    error = 1 - metrics["accuracy"] if "accuracy" in metrics else metrics["rmse"]
    return {"error": error, "trials": len(shown["trials"]), "opened": shown["opened"], "best": shown["best"]}


if __name__ == "__main__":
    main()
