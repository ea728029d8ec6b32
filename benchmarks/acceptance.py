"""The acceptance runs of the project's issues, one after the other: init, search, evaluate, export, with defaults.

    python benchmarks/acceptance.py --data DIR [--only fashion_mnist adult] [--again]

DIR holds the data sets by name. What was measured is kept in benchmarks/results/acceptance.json and counts while the
code that it measured is unchanged; an interrupted call goes on where it was. Ends in one JSON line.

    python benchmarks/acceptance.py --data DIR --only fashion_1h fashion_2h

search for an hour, and for two, and ask for the accuracy of the int8 file. These run when they are named alone; one
that was interrupted goes on with its search.

    python benchmarks/acceptance.py --data DIR --group kinds
    python benchmarks/acceptance.py --data DIR --group clusters

are sounds, series and clips, and clusterings; beside the rest, `kexp run` answers a golden sample, and the page of
`kexp phone` checks itself in Chromium. `--group backbone` has a network learn one set of pictures, and another search
begin with what it learnt.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
SEARCH = ("data", "models", "train", "search", "layouts.py", "metrics.py")  # code whose change makes a search void
EXPORT = ("export", "formats.py", "release.py", "verify.py", "runtime", "evaluate.py")  # and its export and evaluation


DEFAULT_SECONDS = 600.0  # of a search that names no time


@dataclass(frozen=True)
class Case:
    """One data set: where it is, what to predict, and what must be reached on the test rows."""

    source: str
    metric: str
    limit: float | None = None  # at least for accuracy, at most for rmse
    about: tuple[str, ...] = ()  # options that say what the data are: of init, whose file search reads
    more: str = ""  # lines for the experiment file that init has written
    options: tuple[str, ...] = ()  # of search alone
    seconds: float = DEFAULT_SECONDS  # that the search may take, beside the epoch that was running, loading and saving
    long: bool = False  # runs where it is named, goes on where it was interrupted, and is judged by its int8 file
    group: str = ""  # runs where it is named, or its group is
    page: bool = False  # its page is opened too
    refusals: bool = False  # held too where the gate refuses formats other than int8: what is shown is the way there
    before: float = 30.0  # seconds until a search's clock starts: reading, loading

    @property
    def most_seconds(self) -> float:
        """Of the search's process."""
        return self.seconds * 1.1 + self.before


SMALL = ("--max-parameters", "100k")
CASES = {
    "digits": Case("sklearn:digits", "accuracy", 0.97),
    "diabetes": Case("sklearn:diabetes", "rmse"),
    "titanic": Case("{data}/titanic/titanic.csv", "accuracy"),
    "wine_quality": Case("{data}/wine_quality/winequality.csv", "rmse"),
    "california_housing": Case("{data}/california_housing/housing.csv", "rmse", 53_500.0),
    "adult": Case("{data}/adult", "accuracy", 0.855),
    "trashnet": Case("{data}/trashnet", "accuracy", 0.78),
    "fashion_mnist": Case("{data}/fashion_mnist", "accuracy", 0.91),
    "fashion_1h": Case(
        "{data}/fashion_mnist", "accuracy", 0.93, options=(*SMALL, "--time", "1h"), seconds=3600.0, long=True
    ),
    "fashion_2h": Case(
        "{data}/fashion_mnist", "accuracy", 0.935, options=(*SMALL, "--time", "2h"), seconds=7200.0, long=True
    ),
}
SPLIT = ("--target", "label", "--split-column")
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
SHAPES = (
    "fcps_atom", "fcps_chainlink", "fcps_engytime", "fcps_hepta", "fcps_lsun", "fcps_target", "fcps_tetra",
    "fcps_twodiamonds", "fcps_wingnut", "sipu_aggregation", "sipu_s1", "sipu_s2", "sipu_unbalance", "uci_wine",
)  # fmt: skip
CASES |= {
    name: Case(source, metric, limit, tuple(about), seconds=60.0 * minutes, group="kinds", page=True)
    for name, source, minutes, metric, limit, *about in (
        ("gunpoint", "{data}/ucr_gunpoint", 5, "accuracy", 0.97),
        ("fsdd", "{data}/fsdd", 10, "accuracy", 0.985, *SPLIT, "official_split"),
        ("utd_mhad_depth", "{data}/utd_mhad_depth", 10, "accuracy", 0.72, *SPLIT, "cross_subject_split"),
        ("italypowerdemand", "{data}/ucr_italypowerdemand", 10, "accuracy", 0.955),
        ("basicmotions", "{data}/ucr_basicmotions", 3, "accuracy", None),
        ("finger_gestures", "{data}/finger_gestures", 3, "accuracy", None),
        ("airline", "{data}/forecasting/airline-passengers.csv", 2, "rmse", None),
        ("temperatures", "{data}/forecasting/daily-min-temperatures.csv", 2, "rmse", None),
        *((f"fsdd_{one}", "{lists}/fsdd_" + one + ".csv", 4, "accuracy", None, *SPLIT, "part") for one in SPEAKERS),
    )
}
CASES |= {
    f"uci_har_{k}": Case("{data}/uci_har", "accuracy", options=("--seed", str(k)), group="kinds", page=True)
    for k in range(3)
}
CASES |= {
    f"cluster_{name}": Case(
        "{data}/clustering/" + name + ".csv", "accuracy", about=("--task", "clustering", "--target", "label"),
        seconds=60.0, group="clusters", page=True, before=60.0,  # two hundred divisions
    )
    for name in SHAPES
}  # fmt: skip
CASES |= {
    "tinted": Case(
        "{lists}/tinted.npz", "accuracy", about=("--size", "48x64"), seconds=90.0, group="backbone", page=True
    ),
    "trashnet_tinted": Case(
        "{data}/trashnet", "accuracy", more='factory = "backbone"\n[space]\nweights = "../runs/tinted/model.keras"\n',
        seconds=120.0, group="backbone", page=True, refusals=True,
    ),
}  # fmt: skip
MEANS = {  # of the test metric of several cases
    "fsdd, a speaker left out": ([f"fsdd_{one}" for one in SPEAKERS], 0.74),
    "uci_har": ([f"uci_har_{k}" for k in range(3)], 0.91),
}
CLUSTERS_APART = 0.02  # mean adjusted Rand index of teacher and int8 file on rows not trained on, at most


def lists(data: str) -> Path:
    """The folder of what is made of the data sets in `data`: lists of fsdd's sounds, and tinted pictures."""
    folder, root = RESULTS / "lists", Path(data).resolve()
    folder.mkdir(exist_ok=True)
    if (root / "fsdd" / "split.csv").is_file():
        speakers(root / "fsdd", folder)
    if (root / "fashion_mnist").is_dir() and not (folder / "tinted.npz").exists():
        tinted(root / "fashion_mnist", folder / "tinted.npz")
    return folder


def speakers(root: Path, folder: Path) -> None:
    """Lists of the sounds in `root` that leave one speaker out for the test, by absolute paths."""
    with (root / "split.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for speaker in SPEAKERS:
        with (folder / f"fsdd_{speaker}.csv").open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["path", "label", "part"])
            for row in rows:
                writer.writerow([root / row["path"], row["label"], "test" if row["speaker"] == speaker else "train"])


def tinted(root: Path, file: Path, count: int = 3_000) -> None:
    """The first `count` pictures of Fashion-MNIST, 48 x 64 and each in a colour of its own: what a backbone learns."""
    with gzip.open(root / "train-images-idx3-ubyte.gz") as stream:
        grey = np.frombuffer(stream.read(), np.uint8, offset=16).reshape(-1, 28, 28)[:count]
    with gzip.open(root / "train-labels-idx1-ubyte.gz") as stream:
        labels = np.frombuffer(stream.read(), np.uint8, offset=8)[:count]
    large = np.stack([np.asarray(Image.fromarray(one).resize((64, 48))) for one in grey])
    colours = np.random.default_rng(0).uniform(0.3, 1.0, (count, 1, 1, 3))
    np.savez_compressed(file, x=(large[..., None] * colours).astype(np.uint8), y=labels)


def digest(*entries: str) -> str:
    """Of the code in these entries of kexp/."""
    total = hashlib.sha256()
    for entry in entries:
        path = ROOT / "kexp" / entry
        inside = (file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
        for file in sorted(inside) if path.is_dir() else [path]:
            total.update(file.read_bytes())
    return total.hexdigest()[:16]


def environment(home: Path) -> dict[str, str]:
    """Of a kexp command that runs this repository's code, with its runs in `home`."""
    return {**os.environ, "KEXP_HOME": str(home), "PYTHONPATH": str(ROOT)}


def kexp(home: Path, *arguments: str) -> tuple[int, dict[str, Any], float]:
    """Exit status, the JSON document, and seconds of one kexp command."""
    start = time.monotonic()
    command = [sys.executable, "-m", "kexp", *arguments, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, env=environment(home), text=True)
    lines = done.stdout.strip().splitlines()
    return done.returncode, json.loads(lines[-1]) if lines else {}, time.monotonic() - start


def search(name: str, case: Case, data: str, home: Path, *, begun: bool = False) -> dict[str, Any]:
    """Search one data set; where that has `begun`, go on."""
    toml = home / "experiments" / f"{name}.toml"
    if not (begun and toml.exists()):  # init itself may have been interrupted
        source = case.source.format(data=data, lists=lists(data))
        status, _, _ = kexp(home, "init", source, "--name", name, "--force", *case.about)
        if status:
            return {"ok": False, "error": f"init ended with {status}"}
        toml.write_text(toml.read_text() + case.more)
    limits = () if case.seconds == DEFAULT_SECONDS or case.long else ("--time", f"{case.seconds:.0f}s")
    anew = () if begun else ("--fresh",)
    status, shown, seconds = kexp(home, "search", str(toml), "--workers", "2", *anew, *case.options, *limits)
    if status:
        return {"ok": False, "error": f"search ended with {status}"}
    return {"search_seconds": round(seconds), "trials": len(shown["trials"]), "reason": shown["reason"]}


def ship(name: str, case: Case, home: Path, seconds: float) -> dict[str, Any]:
    """Export what was found, and evaluate it."""
    status, exported, _ = kexp(home, "export", name, "--tflite")
    _, evaluated, _ = kexp(home, "evaluate", name, "--no-baselines")
    value = evaluated["metrics"][case.metric]
    int8 = evaluated["files"].get("model_int8.tflite", {}).get(case.metric)
    judged = int8 if case.long else value
    limit = case.limit
    if naive := evaluated.get("naive"):
        limit = min(naive.values())
    reached = limit is None or (
        judged is not None and (judged >= limit if case.metric == "accuracy" else judged < limit)
    )
    files = {artifact["format"]: artifact["bytes"] for artifact in exported.get("artifacts", [])}
    more = further(name, case, home) if "tflite_int8" in files else {}
    return {
        "ok": bool(
            reached
            and (status == 0 or case.refusals)
            and "tflite_int8" in files
            and seconds <= case.most_seconds
            and more.get("runs", True)
            and more.get("page", "passed") == "passed"
        ),
        "metric": case.metric,
        "test": value,
        "int8": int8,
        "interval": [evaluated["interval"]["low"], evaluated["interval"]["high"]],
        "limit": limit,
        "rand": {name: value.get("adjusted_rand") for name, value in evaluated["files"].items()},
        "teacher_rand": evaluated.get("teacher_rand"),
        **more,
        "bytes_int8": files.get("tflite_int8"),
        "bytes_float32": files.get("tflite_float32"),
        "refused": exported.get("failures", {}),
        "worst_drop": max(
            (c["value"] for c in exported.get("checks", []) if c["name"].endswith(" drop")), default=None
        ),
    }


def further(name: str, case: Case, home: Path) -> dict[str, Any]:
    """Whether `kexp run` answers a golden sample, and what the phone's page says of the export in Chromium."""
    folder = home / "exported" / name
    sample = next(iter(sorted(path for path in (folder / "golden").iterdir() if path.suffix != ".json")))
    environ = environment(home)
    command = [sys.executable, "-m", "kexp", "run", str(folder / "model_int8.tflite"), str(sample), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, env=environ, text=True)
    found: dict[str, Any] = {"runs": done.returncode == 0}
    if case.page:
        done = subprocess.run(
            [sys.executable, str(ROOT / "tests" / "page_verdict.py"), str(folder)],
            stdout=subprocess.PIPE, env=environ, text=True,
        )  # fmt: skip
        found["page"] = done.stdout.strip().splitlines()[-1] if done.returncode == 0 else "failed"
    return found


def main() -> None:
    """Run what is missing, print the table, end in one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="data", help="the folder that holds the data sets by name")
    parser.add_argument("--only", nargs="*", choices=CASES, help="these data sets alone")
    parser.add_argument("--group", choices=sorted({case.group for case in CASES.values()} - {""}), help="all of these")
    parser.add_argument("--again", action="store_true", help="measure anew what counts still")
    arguments = parser.parse_args()
    file = RESULTS / "acceptance.json"
    RESULTS.mkdir(parents=True, exist_ok=True)
    known: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    home = RESULTS / "home"
    home.mkdir(exist_ok=True)
    group = arguments.group or ""
    wanted = arguments.only or [name for name, case in CASES.items() if not case.long and case.group == group]
    for name in wanted:
        case, row = CASES[name], known.get(name, {})
        code = {"search_code": digest(*SEARCH), "code": digest(*SEARCH, *EXPORT)}
        again = arguments.again and name in wanted
        if row.get("search_code") != code["search_code"] or again:
            print(f"{name}: search ...", file=sys.stderr, flush=True)
            begun = case.long and row.get("begun") == code["search_code"] and not again
            if case.long and not begun:
                known[name] = {"begun": code["search_code"]}
                file.write_text(json.dumps(known, indent=1))
            row = search(name, case, arguments.data, home, begun=begun)
            kind = "begun" if case.long and "error" in row else "search_code"  # which goes on when it is called again
            row[kind] = code["search_code"]
            known[name] = row
            file.write_text(json.dumps(known, indent=1))
        if row.get("code") != code["code"] and "error" not in row:
            print(f"{name}: export, evaluate ...", file=sys.stderr, flush=True)
            row |= {**ship(name, case, home, row["search_seconds"]), **code, "date": time.strftime("%Y-%m-%d")}
            file.write_text(json.dumps(known, indent=1))
    code = digest(*SEARCH, *EXPORT)
    print(f"{'data':20}{'metric':10}{'test':>10}{'int8':>10}{'limit':>10}{'int8 bytes':>12}{'search':>8}  verdict")
    for name, case in CASES.items():
        row = known.get(name)
        if row is None and (case.long or case.group != group):
            continue
        if row is None or "test" not in row:
            print(f"{name:20}{(row or {}).get('error', 'not measured')}")
            continue
        verdict = ("held" if row["ok"] else "NOT HELD") + ("" if row["code"] == code else ", by other code")
        print(
            f"{name:20}{row['metric']:10}{row['test']:>10.5g}{row['int8'] or float('nan'):>10.5g}"
            f"{row['limit'] or '-':>10}"
            f"{row['bytes_int8'] or 0:>12,}{row['search_seconds']:>7}s  {verdict}"
        )
    for title, (names, limit) in MEANS.items():
        values = [known[name]["test"] for name in names if "test" in known.get(name, {})]
        if len(values) == len(names):
            mean = sum(values) / len(values)
            print(
                f"{title}: mean {mean:.4f} of {len(values)}, limit {limit}, {'held' if mean >= limit else 'NOT HELD'}"
            )
    pairs = [
        (row["teacher_rand"], row["rand"]["model_int8.tflite"])
        for name, row in known.items()
        if name.startswith("cluster_")
        and row.get("teacher_rand") is not None
        and row["rand"].get("model_int8.tflite") is not None
    ]
    if pairs:
        teacher, shipped = (sum(values) / len(pairs) for values in zip(*pairs, strict=True))
        verdict = "held" if abs(teacher - shipped) <= CLUSTERS_APART else "NOT HELD"
        print(
            f"{len(pairs)} clusterings: mean adjusted Rand index, teachers {teacher:.4f}, int8 {shipped:.4f}, {verdict}"
        )
    print(json.dumps({"code": code, "results": known}))


if __name__ == "__main__":
    main()
