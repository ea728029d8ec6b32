"""How much of the wall clock the workers of a search compute, and where the rest goes.

    python benchmarks/busy.py --data DIR [--trials 24]

A search of fashion_mnist on two workers over trainer.py's convolutional network, the learning rate free, two epochs,
batches of 64. A share is (trials x epochs x training rows) / (examples a second of one worker) / (wall clock of the
whole process x workers), with three rates: trainer.py's ("alone"), the same measured by two processes at once, as two
workers run ("at once"), and two at once on the rows of the search, without its validation ("rows"). Where the rest
goes is told in seconds of the workers, by the last rate. Kept in benchmarks/results/busy.json; ends in one JSON line.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import re
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "peers"))

import trainer
from acceptance import RESULTS, SEARCH, digest, kexp
from keras_fit import SHAPES, VALUES
from search_speed import kept
from time_to_quality import heard

FILE = RESULTS / "busy.json"
WORKERS, EPOCHS, BATCH = 2, 2, SHAPES["conv"][2]


def main() -> None:
    """Measure what is missing, print the table, end in one JSON line."""
    if sys.argv[1:2] == ["rows"]:
        print(json.dumps(measure(Path(sys.argv[2]))))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"), help="the folder that holds fashion_mnist")
    parser.add_argument("--trials", type=int, default=24)
    arguments = parser.parse_args()
    data = (arguments.data / "fashion_mnist").resolve()
    text = Path(__file__).read_text() + Path(trainer.__file__).read_text()
    code = digest(*SEARCH) + hashlib.sha256(text.encode()).hexdigest()[:8]
    command = [sys.executable, trainer.__file__, "conv", "0"]
    alone = kept(FILE, "alone", code, lambda: {"rate": trainer.run(command, {})["rate"]})["rate"]
    pair = kept(FILE, "at once", code, lambda: {"rate": statistics.mean(one["rate"] for one in at_once(command))})
    own = kept(FILE, "rows", code, rows, data)
    found = kept(FILE, f"search {arguments.trials}", code, search, data, arguments.trials, own["values"])

    examples, spent = found["trials"] * EPOCHS * own["rows"], found["seconds"] * WORKERS
    rates = {"alone": alone, "at once": pair["rate"], "rows": own["rate"]}
    shares = {name: examples / rate / spent for name, rate in rates.items()}
    print(f"{found['trials']} trials, {examples:,} examples, {found['seconds']:.1f} s of {WORKERS} workers\n")
    print(f"{'rate of one worker':30}{'examples/s':>12}{'computing':>12}")
    for name, rate in rates.items():
        print(f"{name:30}{rate:>12,.0f}{shares[name]:>12.1%}")
    validation = found["trials"] * (EPOCHS - EPOCHS // 2) * own["validation"]  # of the second half of the epochs
    parts = {
        "training": examples / own["rate"],
        "validation": validation,
        "graphs": WORKERS * own["graph"],  # the networks differ in the learning rate alone, and share them
        "start": found["start"],
        "end": found["end"],
        "between trials": spent - found["start"] - found["end"] - found["trained"],
    }
    parts["not explained"] = spent - sum(parts.values())
    print(f"\n{'seconds of workers':30}{'':12}{'share':>12}")
    for name, seconds in parts.items():
        print(f"{name:30}{seconds:>12.1f}{seconds / spent:>12.1%}")
    print(json.dumps({"code": code, "rates": rates, "shares": shares, "seconds": parts, "search": found}))


def at_once(command: list[str]) -> list[dict[str, Any]]:
    """What as many processes as there are workers say, all of them at once."""
    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(lambda _: trainer.run(command, {}), range(WORKERS)))


def rows(data: Path) -> dict[str, Any]:
    """`measure` in two processes at once: their mean."""
    found = at_once([sys.executable, __file__, "rows", str(data)])
    return {**found[0], **{key: statistics.mean(o[key] for o in found) for key in ("rate", "validation", "graph")}}


def measure(data: Path) -> dict[str, Any]:
    """Examples a second on the search's own rows; seconds of a validation, and of making the graphs of a trial."""
    from kexp import experiment, models
    from kexp.data import load
    from kexp.train.epoch import fit
    from kexp.train.feed import samples

    with tempfile.TemporaryDirectory() as cache:
        dataset = load(experiment.from_data(str(data)), base=Path(), cache=Path(cache))
        hp = models.replay(VALUES["conv"])
        network = models.build(dataset.spec, "conv", hp)
        train, validation = (samples(dataset.spec, network, dataset, part) for part in ("train", "validation"))
    ends = [time.perf_counter()]
    fit(
        dataset.spec, network, train, validation, epochs=4, batch_size=BATCH, seed=0,
        on_epoch=lambda epoch: ends.append(time.perf_counter()),
    )  # fmt: skip
    # The first makes the graph of training, the third that of validation; the second half is validated.
    first, second, third, fourth = (after - before for before, after in itertools.pairwise(ends))
    return {
        "rows": len(train.y), "rate": len(train.y) / second, "validation": fourth - second,
        "graph": first - second + third - fourth,
        "values": {name: value for name, value in hp.read.items() if name != "learning_rate"},
    }  # fmt: skip


def search(data: Path, trials: int, values: dict[str, Any]) -> dict[str, Any]:
    """Seconds of a search's process; seconds of its workers until they began, since they ended, and at trials."""
    with tempfile.TemporaryDirectory() as home:
        toml = Path(home) / "busy.toml"
        space = "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())
        toml.write_text(
            f'data = "{data}"\nfactory = "conv"\noracle = "random"\ntrials = {trials}\nepochs = {EPOCHS}\n'
            f"batch_size = {BATCH}\nfinalists = 0\n[space]\n{space}"
        )
        ends = {}  # when each trial was over
        for at, line in heard(toml, "--workers", str(WORKERS)):
            if trial := re.search(r"  trial (\d+) .* in ", line):
                ends[int(trial[1])] = at
        _, shown, _ = kexp(Path(home), "show", "busy")
    took = {trial["id"]: trial["seconds"] for trial in shown["trials"]}
    over = [(ended, took[id]) for id, ended in ends.items()]
    return {
        "trials": len(over), "seconds": at, "trained": sum(took.values()),
        "start": sum(ended - seconds for ended, seconds in over[:WORKERS]),
        "end": sum(at - ended for ended, _ in over[-WORKERS:]),
    }  # fmt: skip


if __name__ == "__main__":
    main()
