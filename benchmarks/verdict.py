"""Does the verdict of one split agree with ten? Search, simpler models and test rows under ten seeds, which split anew.

    python benchmarks/verdict.py --data DIR [--only titanic] [--time 60]

The verdict of `kexp evaluate` knows the chance in the test rows of one split. Here the split, the training and the
choice of the simpler model are drawn anew each time, and the gains are tested by the corrected resampled t-test, which
allows for training rows in common: t = mean / sqrt((1/k + n_test/n_train) variance), k - 1 degrees of freedom (Nadeau
and Bengio 2003, `kexp.verdict.of_splits`). Of the first split's run, `kexp evaluate --resplits 10` keeps the network
that was found, and trains and tests it anew, on splits of which nine are also those of searches: its answer should be
that of the ten searches. Rows with equal inputs stay in one part, as in every search. What was measured is kept in
benchmarks/results/verdict.json while the code is unchanged. Ends in one JSON line.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from acceptance import EXPORT, RESULTS, SEARCH, digest, kexp

from kexp.verdict import of_splits

SETS = {
    "titanic": ("{data}/titanic/titanic.csv",),
    "wine_quality": ("{data}/wine_quality/winequality.csv",),
    "digits": ("sklearn:digits",),
}
SPLITS = 10
CODE = (*SEARCH, *EXPORT, "baselines", "verdict.py", "resplits.py")


def main() -> None:
    """Measure what is missing, print the table, end in one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="data", help="the folder that holds the data sets by name")
    parser.add_argument("--only", nargs="*", choices=SETS, help="these data sets alone")
    parser.add_argument("--time", type=int, default=60, metavar="S", help="of each search")
    arguments = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    file, home, code = RESULTS / "verdict.json", RESULTS / "home", digest(*CODE)
    known: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    for name in arguments.only or SETS:
        for seed in range(SPLITS):
            run = f"verdict_{name}_{seed}"
            if known.get(run, {}).get("code") == code:
                continue
            print(f"{name}: split {seed + 1} of {SPLITS} ...", file=sys.stderr, flush=True)
            source = [part.format(data=arguments.data) for part in SETS[name]]
            limits = ("--seed", str(seed), "--time", f"{arguments.time}s")
            status, _, _ = kexp(home, "search", *source, "--name", run, "--fresh", *limits)
            if status:
                sys.exit(f"the search of {run} ended with {status}")
            status, found, _ = kexp(home, "evaluate", run)
            if status or not found.get("verdict"):
                sys.exit(f"{run} has no verdict: kexp evaluate ended with {status}")
            known[run] = {"code": code, "test_rows": found["rows"], **found["verdict"]}
            file.write_text(json.dumps(known, indent=1))
        again = f"resplits_{name}"
        if known.get(again, {}).get("code") != code:
            status, found, _ = kexp(home, "evaluate", f"verdict_{name}_0", "--resplits", str(SPLITS))
            if status:
                sys.exit(f"kexp evaluate --resplits of {name} ended with {status}")
            known[again] = {"code": code, **found["resplits"]}
            file.write_text(json.dumps(known, indent=1))
    heads = f"{'data':14}{'metric':>10}{'one split':>13}{'mean gain':>11}{'p':>8}{'ten searches':>14}{'--resplits':>13}"
    print(f"{heads}  each split")
    results = {}
    for name in SETS:
        rows = [known[run] for seed in range(SPLITS) if (run := f"verdict_{name}_{seed}") in known]
        if len(rows) < SPLITS:
            print(f"{name:14}not measured")
            continue
        # 15 % of the rows test, 70 % train: the default of every search that brings no parts of its own
        ten = of_splits([row["gain"] for row in rows], 0.15 / 0.70, "the best simpler model", rows[0]["metric"])
        each = [row["answer"] for row in rows]
        told = ", ".join(f"{each.count(answer)} {answer}" for answer in dict.fromkeys(each))
        own = known.get(f"resplits_{name}", {})
        line = f"{name:14}{ten['metric']:>10}{each[0]:>13}{ten['mean']:>11.4f}{ten['p']:>8.3f}{ten['answer']:>14}"
        print(f"{line}{own.get('answer', '-'):>13}  {told}")
        agree = ten["answer"] == own.get("answer")
        results[name] = {"searches": ten, "each": each, "resplits": own, "agree": agree}
    print(json.dumps({"code": code, "results": results}))


if __name__ == "__main__":
    main()
