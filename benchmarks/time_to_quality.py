"""Seconds until a search has reached what plain keras-tuner ends with, from the start of the process.

    python benchmarks/time_to_quality.py --data DIR [--set adult fashion_mnist] [--seeds 5]

keras-tuner's searches are those of search_speed.py, which are run where they are missing: the score is the best that
each ended with, its time that of the trial which reached it. kexp searches with its defaults and the same seed until it
is as good, or for ten minutes. Kept in benchmarks/results/time_to_quality.json; ends in one JSON line; "ratio" is
keras-tuner's seconds over kexp's, the median over the seeds, of the first set.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from acceptance import RESULTS, ROOT
from search_speed import CASES, FILE, theirs, version

KEPT = RESULTS / "time_to_quality.json"
MOST_SECONDS = 600


def main() -> None:
    """Measure what is missing, print the table, end in one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="data", help="the folder that holds the data sets by name")
    parser.add_argument("--set", nargs="*", choices=CASES, default=["adult"], help="these data sets")
    parser.add_argument("--seeds", type=int, default=5, help="so many searches each")
    arguments = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    peers: dict[str, Any] = json.loads(FILE.read_text()) if FILE.exists() else {}
    known: dict[str, Any] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    code, ratios = version(), {}
    print(f"{'data':16}{'seed':>6}{'score':>9}{'keras-tuner':>13}{'kexp':>8}{'ratio':>8}")
    for name in arguments.set:
        case = CASES[name]
        folder = Path(arguments.data) / (case.data or name)
        for seed in range(arguments.seeds):
            key = f"{name} keras-tuner {seed}"
            if peers.get(key, {}).get("code") != code:
                peers[key] = {**theirs(folder, case, seed), "code": code}
                FILE.write_text(json.dumps(peers, indent=1))
            told = peers[key]["told"]
            score = told[-1]["best"]
            theirs_at = next(one["seconds"] for one in told if one["best"] >= score)
            if known.get(f"{name} {seed}", {}).get("code") != code:
                seconds = ours(folder, score, seed)
                known[f"{name} {seed}"] = {"score": score, "kexp": seconds, "keras-tuner": theirs_at, "code": code}
                KEPT.write_text(json.dumps(known, indent=1))
            row = known[f"{name} {seed}"]
            took = f"{row['kexp']:.1f}" if row["kexp"] else "never"
            line = f"{name:16}{seed:>6}{score:>9.4f}{row['keras-tuner']:>13.1f}{took:>8}{ratio(row):>8.1f}"
            print(line, flush=True)
        rows = [known[f"{name} {seed}"] for seed in range(arguments.seeds)]
        ratios[name] = statistics.median(map(ratio, rows))
        print(f"{name:16}{'median':>6}{'':>30}{ratios[name]:>8.1f}")
    print(json.dumps({"code": code, "ratio": ratios[arguments.set[0]], "ratios": ratios, "runs": known}))


def ratio(row: dict[str, Any]) -> float:
    """keras-tuner's seconds over kexp's; 0 where kexp never came there."""
    return float(row["keras-tuner"] / row["kexp"]) if row["kexp"] else 0.0


def ours(data: Path, score: float, seed: int) -> float | None:
    """Seconds until `kexp search` says that its best is at least `score`; None where it never does."""
    with tempfile.TemporaryDirectory() as home:
        toml = Path(home) / "quality.toml"
        toml.write_text(f'data = "{data.resolve()}"\nseed = {seed}\ntime = "{MOST_SECONDS}s"\n')
        environment = {**os.environ, "KEXP_HOME": home, "PYTHONPATH": str(ROOT)}
        start = time.monotonic()
        command = [sys.executable, "-m", "kexp", "search", str(toml)]
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment, text=True
        )
        assert process.stderr is not None
        for line in process.stderr:
            found = re.search(r"accuracy ([.\d]+) in .*best ([.\d]+)", line)
            # Lines have four digits; what is rounded up by half a digit is not yet as good.
            if found and max(map(float, found.groups())) >= math.ceil(score * 1e4) / 1e4:
                process.kill()
                process.wait()
                return time.monotonic() - start
        process.wait()
    return None


if __name__ == "__main__":
    main()
