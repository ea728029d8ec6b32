"""Every format of five networks, each verified and timed in its own runtime: gaps, bytes and milliseconds.

    python benchmarks/formats.py --data DIR [--only digits adult] [--again]

The networks are those that acceptance.py found, or are searched for as it does. What was measured is kept in
benchmarks/results/formats.json and counts while the code that it measured is unchanged. Prints a table and ends in one
JSON line. All formats need: node and npm, a C++ compiler, and the torch extra.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from acceptance import CASES, EXPORT, RESULTS, SEARCH, digest, kexp, search

NAMES = ("digits", "fashion_mnist", "trashnet", "adult", "california_housing")
CODE = (*SEARCH, *EXPORT, "benchmark.py", "phone", "npm.py")


def measure(name: str, data: str, home: Path) -> dict[str, Any]:
    """Search unless this code's acceptance run is there, export everything, verify it from the files, and time it."""
    accepted = RESULTS / "acceptance.json"
    row = json.loads(accepted.read_text()).get(name, {}) if accepted.exists() else {}
    if row.get("search_code") != digest(*SEARCH) or not (home / "runs" / name / "model.keras").exists():
        print(f"{name}: search ...", file=sys.stderr, flush=True)
        found = search(name, CASES[name], data, home)
        if "error" in found:
            return found
    print(f"{name}: export, verify, bench ...", file=sys.stderr, flush=True)
    status, exported, seconds = kexp(home, "export", name, "--all")
    folder = str(home / "exported" / name)
    again, verified, _ = kexp(home, "verify", folder)
    timed, measured, _ = kexp(home, "bench", name)
    checks = {check["name"]: check for check in [*exported.get("checks", []), *verified.get("checks", [])]}
    times = {one["artifact"]: one for one in measured.get("measurements", []) if one["threads"] == 1}
    return {
        "export_seconds": round(seconds),
        "ok": status == again == timed == 0,
        "refused": {**exported.get("failures", {}), **measured.get("failures", {})},
        "failed": [name for name, check in checks.items() if not check["ok"]],
        "files": {
            item["format"]: {
                "bytes": item["bytes"],
                "gap": checks[f"{item['format']} gap"]["value"],
                "drop": next(
                    c["value"] for n, c in checks.items() if n.startswith(f"{item['format']} ") and n.endswith(" drop")
                ),
                "p50_ms": times.get(item["path"], {}).get("p50_ms"),
                "start_ms": times.get(item["path"], {}).get("start_ms"),
                "runtime": times.get(item["path"], {}).get("runtime"),
            }
            for item in exported.get("artifacts", [])
        },
    }


def show(name: str, row: dict[str, Any], current: bool) -> None:
    """Print the rows of one network."""
    told = "" if current else ", by other code"
    print(
        f"\n{name}: {'all passed' if row.get('ok') else 'NOT ALL PASSED'}{told}; exported in {row['export_seconds']} s"
    )
    print(f"  {'format':16}{'bytes':>12}{'gap':>11}{'drop':>10}{'p50 ms':>9}{'start ms':>10}  runtime")
    for format, one in row["files"].items():
        p50, start = ("-" if one[key] is None else f"{one[key]:.3g}" for key in ("p50_ms", "start_ms"))
        print(
            f"  {format:16}{one['bytes']:>12,}{one['gap']:>11.2g}{one['drop']:>10.2g}{p50:>9}{start:>10}"
            f"  {one['runtime'] or ''}"
        )
    for format, why in row["refused"].items():
        print(f"  {format:16} refused: {why}")
    if row["failed"]:
        print(f"  failed checks: {', '.join(row['failed'])}")


def main() -> None:
    """Measure what is missing, print the table, end in one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="data", help="the folder that holds the data sets by name")
    parser.add_argument("--only", nargs="*", choices=NAMES, help="these networks alone")
    parser.add_argument("--again", action="store_true", help="measure anew what counts still")
    arguments = parser.parse_args()
    file, home = RESULTS / "formats.json", RESULTS / "home"
    home.mkdir(parents=True, exist_ok=True)
    known: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    code = digest(*CODE)
    for name in arguments.only or NAMES:
        if known.get(name, {}).get("code") != code or arguments.again:
            found = measure(name, arguments.data, home)
            known[name] = {**found, "code": code, "date": time.strftime("%Y-%m-%d")}
            file.write_text(json.dumps(known, indent=1))
    for name in NAMES:
        row = known.get(name)
        if row is None or "files" not in row:
            print(f"\n{name}: {(row or {}).get('error', 'not measured')}")
        else:
            show(name, row, row["code"] == code)
    print(json.dumps({"code": code, "results": known}))
    sys.exit(0 if all(known.get(name, {}).get("ok") for name in arguments.only or NAMES) else 1)


if __name__ == "__main__":
    main()
