"""Seconds until a search has reached what plain keras-tuner ends with, from the start of the process.

    python benchmarks/time_to_quality.py --data DIR [--set adult fashion_mnist] [--seeds 5]

keras-tuner's searches are those of search_speed.py, which are run where they are missing: the score is the best that
each ended with. kexp searches with its defaults and the same seed until it is as good, or for ten minutes. That is
compared with the seconds of the keras-tuner trial that reached the score, which may be an early one by luck, and with
those of the whole search, after which its user knows. Kept in benchmarks/results/time_to_quality.json; ends in one JSON
line: "ratio" is the median over the seeds of the first set for the trial that reached it, "ratio_whole" for the whole
search.
"""

from __future__ import annotations

import json
import math
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from acceptance import RESULTS, environment
from search_speed import FILE, SCRIPTS, asked, folder, kept, theirs, version

KEPT = RESULTS / "time_to_quality.json"
MOST_SECONDS = 600


def main() -> None:
    """Measure what is missing, print the table, end in one JSON line."""
    arguments = asked(__doc__, seeds=5).parse_args()
    peers = version(SCRIPTS["keras-tuner"])
    code, known = version() + peers, {}
    ratios: dict[str, dict[str, float]] = {"reached": {}, "whole": {}}
    print(f"{'':31}{'keras-tuner':>20}{'':>8}{'times sooner':>16}")
    print(f"{'data':16}{'seed':>6}{'score':>9}{'reached':>10}{'whole':>10}{'kexp':>8}{'reached':>9}{'whole':>7}")
    for name in arguments.set:
        rows = []
        for seed in range(arguments.seeds):
            peer = kept(FILE, f"{name} keras-tuner {seed}", peers, theirs, arguments.data, name, seed)
            row = kept(KEPT, f"{name} {seed}", code, ours, arguments.data, name, seed, peer["told"])
            row["whole"] = peer["seconds"]
            known[f"{name} {seed}"] = row
            rows.append(row)
            took = f"{row['kexp']:.1f}" if row["kexp"] else "never"
            line = f"{name:16}{seed:>6}{row['score']:>9.4f}{row['reached']:>10.1f}{row['whole']:>10.1f}{took:>8}"
            print(f"{line}{ratio(row, 'reached'):>9.1f}{ratio(row, 'whole'):>7.1f}", flush=True)
        for kind, medians in ratios.items():
            medians[name] = statistics.median(ratio(row, kind) for row in rows)
        print(f"{name:16}{'median':>6}{'':>37}{ratios['reached'][name]:>9.1f}{ratios['whole'][name]:>7.1f}")
    first = arguments.set[0]
    found = {"ratio": ratios["reached"][first], "ratio_whole": ratios["whole"][first]}
    print(json.dumps({"code": code, **found, "ratios": ratios, "runs": known}))


def ratio(row: dict[str, Any], kind: str) -> float:
    """keras-tuner's seconds over kexp's; 0 where kexp never came there."""
    return float(row[kind] / row["kexp"]) if row["kexp"] else 0.0


def ours(data: Path, name: str, seed: int, told: list[dict[str, Any]]) -> dict[str, Any]:
    """The score that keras-tuner ended with, when it reached that, and when `kexp search` did."""
    score = told[-1]["best"]
    reached = next(one["seconds"] for one in told if one["best"] >= score)
    return {"score": score, "reached": reached, "kexp": until(folder(data, name), score, seed)}


def until(data: Path, score: float, seed: int) -> float | None:
    """Seconds until `kexp search` says that its best is at least `score`; None where it never does."""
    with tempfile.TemporaryDirectory() as home:
        toml = Path(home) / "quality.toml"
        toml.write_text(f'data = "{data}"\nseed = {seed}\ntime = "{MOST_SECONDS}s"\n')
        for seconds, line in heard(toml):
            # Lines have four digits; what is rounded up by half a digit is not yet as good.
            if (best := best_of(line)) is not None and best >= math.ceil(score * 1e4) / 1e4:
                return seconds
    return None


def heard(toml: Path, *options: str) -> Iterator[tuple[float, str]]:
    """The lines of `kexp search` on stderr, each with the seconds since it began; an empty one when it has ended.

    Its home is the folder of `toml`. It is ended with the loop over them.
    """
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "kexp", "search", str(toml), *options],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment(toml.parent), text=True,
    )  # fmt: skip
    assert process.stderr is not None
    line = ""
    try:
        for line in process.stderr:
            yield time.monotonic() - start, line
        if process.wait():
            sys.exit(f"kexp search ended with {process.returncode}: {line}")
        yield time.monotonic() - start, ""
    finally:
        process.kill()
        process.wait()


def best_of(line: str) -> float | None:
    """The best accuracy so far, where the line is of a trial that is over."""
    found = re.findall(r"(?:accuracy|best) ([.\d]+)", line) if "  trial " in line else []
    return max(map(float, found), default=None)


if __name__ == "__main__":
    main()
