"""Memory of a long search: resident bytes of driver and workers from trial 50 to the last.

    python benchmarks/memory.py [--set digits] [--trials 500] [--data DIR]

Searches at random, one short epoch a trial (breast_cancer: 400, so that its populations are compiled; fashion_mnist,
from DIR: networks of 8 filters, since it has 60,000 rows), and reads /proc twice a second (Linux). Ends in one JSON
line; "growth" is the largest median of 25 trials over that of the first 25 after trial 50: of all, of the driver, and
of its workers with the process that starts them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from acceptance import environment

SETS = {
    "digits": ("sklearn:digits", "conv", 1, ""),
    "breast_cancer": ("sklearn:breast_cancer", "dense", 400, ""),
    "fashion_mnist": ("{data}/fashion_mnist", "conv", 1, "filters = 8\nfilter_growth = 1.0\nkernel_size = 3\n"),
}
STEP = 25
WHO = ("all", "driver", "workers")


def main() -> None:
    """Search, watch, print the table, end in one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=SETS, default="digits", help="breast_cancer is of rows")
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--data", type=Path, default=Path("data"), help="the folder that holds fashion_mnist")
    arguments = parser.parse_args()
    source, factory, epochs, space = SETS[arguments.set]
    source = source.format(data=arguments.data.resolve())
    with tempfile.TemporaryDirectory() as home:
        toml = Path(home) / "memory.toml"
        toml.write_text(
            f'data = "{source}"\nfactory = "{factory}"\noracle = "random"\ntrials = {arguments.trials}\n'
            f"epochs = {epochs}\nfinalists = 0\nwindow = 16\n[space]\n{space}"
        )
        command = [sys.executable, "-m", "kexp", "search", str(toml), "--workers", "2"]
        log = (Path(home) / "log").open("w+")
        start = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, env=environment(Path(home)))
        seen: list[tuple[int, dict[str, int]]] = []  # trials that were over, bytes
        while process.poll() is None:
            over = sum("  trial " in line for line in Path(log.name).read_text().splitlines())
            seen.append((over, tree(process.pid)))
            time.sleep(0.5)
        seconds = time.monotonic() - start
        if process.returncode:
            sys.exit(f"the search ended with {process.returncode}:\n{Path(log.name).read_text()[-2000:]}")
    parts = {at: [sizes for over, sizes in seen if at <= over < at + STEP] for at in range(50, arguments.trials, STEP)}
    medians = {
        at: {who: statistics.median(sizes[who] for sizes in part) for who in WHO} for at, part in parts.items() if part
    }
    print(f"{'trials':>12}" + "".join(f"{f'{who}, MB':>14}" for who in WHO))
    for at, sizes in medians.items():
        print(f"{f'{at}-{at + STEP - 1}':>12}" + "".join(f"{size / 1e6:>14.0f}" for size in sizes.values()))
    first = next(iter(medians.values()))
    growth = {who: max(sizes[who] for sizes in medians.values()) / first[who] for who in WHO}
    print(f"{'growth':>12}" + "".join(f"{one:>14.3f}" for one in growth.values()))
    print(json.dumps({"set": arguments.set, "trials": arguments.trials, "seconds": round(seconds), "growth": growth,
                      "megabytes": {at: {who: round(size / 1e6) for who, size in sizes.items()}
                                    for at, sizes in medians.items()}}))  # fmt: skip


def tree(root: int) -> dict[str, int]:
    """Resident bytes of a process and of all below it; what they share is counted for each."""
    parents: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        parents.setdefault(int(fields[1]), []).append(int(status.parent.name))
    sizes, waiting = dict.fromkeys(WHO, 0), [root]
    while waiting:
        process = waiting.pop()
        waiting += parents.get(process, [])
        try:
            size = int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except OSError:
            continue
        sizes["all"] += size
        sizes["driver" if process == root else "workers"] += size
    return sizes


if __name__ == "__main__":
    main()
