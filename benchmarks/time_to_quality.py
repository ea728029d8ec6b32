"""Seconds until a search has reached what plain keras-tuner ends with, from the start of the process.

    python benchmarks/time_to_quality.py --data DIR [--set adult fashion_mnist] [--seeds 5]

keras-tuner's searches are those of search_speed.py, which are run where they are missing: the score is the best that
each ended with, its time that of the trial which reached it. kexp searches with its defaults and the same seed until it
is as good, or for ten minutes. Kept in benchmarks/results/time_to_quality.json; ends in one JSON line; "ratio" is
keras-tuner's seconds over kexp's, the median over the seeds, of the first set.
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
from pathlib import Path
from typing import Any

from acceptance import RESULTS, environment
from search_speed import FILE, asked, folder, kept, theirs, version

KEPT = RESULTS / "time_to_quality.json"
MOST_SECONDS = 600


def main() -> None:
    """Measure what is missing, print the table, end in one JSON line."""
    arguments = asked(__doc__, seeds=5)
    code, ratios, known = version(), {}, {}
    print(f"{'data':16}{'seed':>6}{'score':>9}{'keras-tuner':>13}{'kexp':>8}{'ratio':>8}")
    for name in arguments.set:
        rows = []
        for seed in range(arguments.seeds):
            peer = kept(FILE, f"{name} keras-tuner {seed}", code, theirs, arguments.data, name, seed)
            row = kept(KEPT, f"{name} {seed}", code, ours, arguments.data, name, seed, peer["told"])
            known[f"{name} {seed}"] = row
            rows.append(row)
            took = f"{row['kexp']:.1f}" if row["kexp"] else "never"
            line = f"{name:16}{seed:>6}{row['score']:>9.4f}{row['keras-tuner']:>13.1f}{took:>8}{ratio(row):>8.1f}"
            print(line, flush=True)
        ratios[name] = statistics.median(map(ratio, rows))
        print(f"{name:16}{'median':>6}{'':>30}{ratios[name]:>8.1f}")
    print(json.dumps({"code": code, "ratio": ratios[arguments.set[0]], "ratios": ratios, "runs": known}))


def ratio(row: dict[str, Any]) -> float:
    """keras-tuner's seconds over kexp's; 0 where kexp never came there."""
    return float(row["keras-tuner"] / row["kexp"]) if row["kexp"] else 0.0


def ours(data: Path, name: str, seed: int, told: list[dict[str, Any]]) -> dict[str, Any]:
    """The score that keras-tuner ended with, when it reached that, and when `kexp search` did."""
    score = told[-1]["best"]
    reached = next(one["seconds"] for one in told if one["best"] >= score)
    return {"score": score, "keras-tuner": reached, "kexp": until(folder(data, name), score, seed)}


def until(data: Path, score: float, seed: int) -> float | None:
    """Seconds until `kexp search` says that its best is at least `score`; None where it never does."""
    with tempfile.TemporaryDirectory() as home:
        toml = Path(home) / "quality.toml"
        toml.write_text(f'data = "{data}"\nseed = {seed}\ntime = "{MOST_SECONDS}s"\n')
        start = time.monotonic()
        command = [sys.executable, "-m", "kexp", "search", str(toml)]
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment(Path(home)), text=True
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
