"""What differs between runs: the question, what was spent, what came of it; and whether one is shown to be better.

That is told on test rows alone, from what `evaluate` kept, where both were tested on the same ones.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexp.data.dataset import Dataset
from kexp.errors import ExportError, RunError
from kexp.evaluate import LEVEL, stored
from kexp.export.card import manifest
from kexp.leaderboard import ranked
from kexp.metrics import METRICS, objective, sign_of
from kexp.records import DatasetSpec, to_json
from kexp.store import RunStore
from kexp.verdict import RESAMPLES, block, gains, no_coins
from kexp.verify import digest
from kexp.wording import number

Array = NDArray[Any]
NEVER = ("name",)  # fields of an experiment of which it is no news that they differ
BETTER, NOT_SHOWN, NOT_KNOWN, NOT_COMPARABLE = "better", "not shown", "not known", "not comparable"


@dataclass(frozen=True, kw_only=True)
class Tested:
    """What a model answered to test rows: in the order of their names, so that those of two runs lie side by side."""

    run: str
    spec: DatasetSpec
    ids: tuple[str, ...]
    y: Array
    outputs: Array


def compare(runs: Sequence[RunStore], exported: Mapping[str, Path]) -> dict[str, Any]:
    """What differs between `runs`, two or more, as one JSON document; `exported` are folders of exports by run.

    {"metric": the first run's objective, "runs": [see `_one`], "question": [{"field", "values"}] of the experiments,
    what differs alone, "values": [{"name", "values", "differs"}] hyperparameters of the winners, None where there is
    none, "pairs": [see `_pair`] the best beside each other, "answer": one of the four above, "sentence"}.
    Raises RunError for a run that is named twice, or fewer than two.
    """
    twice = [name for name, count in Counter(run.name for run in runs).items() if count > 1]
    if twice or len(runs) < 2:
        what = f"the run {twice[0]!r} is named twice" if twice else f"{len(runs)} run is named"
        raise RunError(f"{what}: two or more different ones are expected. kexp list names them.")
    task = runs[0].get("task")
    metric = objective(task, runs[0].experiment.objective)[0] if task else ""
    found = [_one(run, exported[run.name]) for run in runs]
    tested = [_tested(run) for run in runs]
    pairs, answer, sentence = _judged(found, tested, metric)
    winners = [one["values"] for one in found]
    names = list(dict.fromkeys(name for values in winners for name in values))
    return {
        "metric": metric,
        "runs": found,
        "question": _question(runs),
        "values": [
            {"name": name, "values": (row := [values.get(name) for values in winners]), "differs": _differ(row)}
            for name in names
        ],
        "pairs": pairs,
        "answer": answer,
        "sentence": sentence,
    }


def _one(run: RunStore, exported: Path) -> dict[str, Any]:
    """{"run", "kind", "task", "objective", "rows": by part, "fingerprint", "trials": by status, "seconds", "finished",
    "best": a trial, "score": on validation rows, "variant", "bytes": of the file that ranked it, where one did, "test":
    {"metrics", "interval", "rows"}, or None where the present model was not evaluated, "factory", "values",
    "parameters", "files": bytes by path of the present model's export, "latency": milliseconds by device and file}."""
    task, wanted = run.get("task"), run.experiment.objective
    trials = ranked(run)
    best = run.best
    evaluation = stored(run) if run.model.exists() else None
    test = None
    if evaluation is not None:
        test = {"metrics": evaluation["metrics"], "interval": evaluation["interval"], "rows": evaluation["rows"]}
    files: dict[str, str] = {}
    sizes: dict[str, int] = {}
    with contextlib.suppress(ExportError):
        document = manifest(exported)[0]
        if run.model.exists() and document.get("model") == digest(run.model):
            files = {item["path"]: item["sha256"] for item in document["artifacts"]}
            sizes = {item["path"]: item["bytes"] for item in document["artifacts"]}
    latency = {
        f"{one['device']}, {measured['artifact']}": measured["p50_ms"]
        for one in run.devices(files) for measured in one["measurements"]
    }  # fmt: skip
    if best is not None and best.latency_ms is not None:
        latency["this machine, as searched"] = best.latency_ms
    dataset = Dataset.open(run.data) if Dataset.saved(run.data) else None
    return {
        "run": run.name, "kind": run.get("kind"), "task": task, "objective": objective(task, wanted)[0] if task else "",
        "rows": {part: len(dataset.rows(part)) for part in ("train", "validation")} if dataset else {},
        "fingerprint": run.fingerprint, "trials": dict(Counter(trial.status for trial in trials)),
        "seconds": run.seconds_used, "finished": run.get("finished"),
        "best": run.get("best_trial"), "score": None if best is None else best.score, "test": test,
        "factory": "" if best is None else best.factory, "values": {} if best is None else dict(best.values),
        "parameters": None if best is None else best.parameters,
        "variant": "" if best is None else best.variant, "bytes": None if best is None else best.bytes,
        "files": sizes, "latency": latency,
    }  # fmt: skip


def _question(runs: Sequence[RunStore]) -> list[dict[str, Any]]:
    """The fields of the experiments that differ, those of [space] and [tolerances] each by itself."""
    flat = []
    for run in runs:
        fields: dict[str, Any] = {}
        for name, value in to_json(run.experiment).items():
            fields |= {f"{name}.{key}": one for key, one in value.items()} if isinstance(value, dict) else {name: value}
        flat.append(fields)
    names = [name for name in dict.fromkeys(name for fields in flat for name in fields) if name not in NEVER]
    rows = [{"field": name, "values": [fields.get(name) for fields in flat]} for name in names]
    return [row for row in rows if _differ(row["values"])]


def _differ(row: Sequence[Any]) -> bool:
    return any(type(one) is not type(row[0]) or one != row[0] for one in row)


def _tested(run: RunStore) -> Tested | None:
    """None where the present model was not evaluated."""
    if not run.model.exists() or stored(run) is None or not run.predictions.exists():
        return None
    with np.load(run.predictions, allow_pickle=False) as arrays:
        rows, y, outputs = arrays["rows"], arrays["y"], arrays["outputs_model.keras"]
    dataset = Dataset.open(run.data)
    ids = [dataset.ids[row] for row in rows]
    order = sorted(range(len(ids)), key=ids.__getitem__)
    return Tested(
        run=run.name, spec=dataset.spec, ids=tuple(ids[at] for at in order), y=y[order], outputs=outputs[order]
    )


def _apart(one: Tested, other: Tested) -> str:
    """Why two cannot be compared; empty where they can."""
    for name, a, b in (
        ("tasks", one.spec.task, other.spec.task), ("classes or targets", one.spec.labels, other.spec.labels),
        ("test rows", one.ids, other.ids),
    ):  # fmt: skip
        if a != b:
            return f"they have other {name}"
    return "" if np.array_equal(one.y, other.y) else "the same test rows have other targets"


def _judged(
    found: Sequence[Mapping[str, Any]], tested: Sequence[Tested | None], metric: str
) -> tuple[list[dict[str, Any]], str, str]:
    """The best beside each of the others, and in a word and a sentence what that says."""
    missing = [one["run"] for one, there in zip(found, tested, strict=True) if there is None]
    if missing:
        lost = [one["run"] for one in found if one["best"] is None]
        if lost:
            return [], NOT_KNOWN, f"Not known which is better: {_and(lost)} {_has(lost)} no model yet."
        told = "; ".join(f"kexp evaluate {name}" for name in missing)
        text = f"Not known which is better: {_and(missing)} {_has(missing)} not been measured on test rows: {told}."
        return [], NOT_KNOWN, text
    there = [one for one in tested if one is not None]
    for other in there[1:]:
        if why := _apart(there[0], other):
            return [], NOT_COMPARABLE, f"Not comparable: {there[0].run} and {other.run}: {why}."
    measure, direction, _ = METRICS[metric]
    sign = sign_of(direction)
    order = sorted(there, key=lambda one: sign * measure(one.spec.task, one.y, one.outputs), reverse=True)
    first, others = order[0], order[1:]
    pairs = [_pair(first, other, metric, 1 - (1 - LEVEL) / len(others)) for other in others]
    shown = [pair for pair in pairs if pair["answer"] == BETTER]
    answer = BETTER if len(shown) == len(pairs) else NOT_SHOWN
    return pairs, answer, " ".join(_sentence(pair, metric, len(first.y)) for pair in pairs)


def _pair(one: Tested, other: Tested, metric: str, level: float) -> dict[str, Any]:
    """{"run", "value", "other", "other_value", "gain", "low", "high", "level", "answer"}: by how much `one` is better.

    See verdict.gains; of several pairs each has a wider interval, so that all hold at once (Bonferroni). As there, a
    difference of shares of right answers must pass McNemar's test too. Chance in training is not in it.
    """
    task, (measure, direction, _) = one.spec.task, METRICS[metric]
    sign = sign_of(direction)
    ours, theirs = measure(task, one.y, one.outputs), measure(task, one.y, other.outputs)
    draws = gains(task, metric, one.y, one.outputs, other.outputs, RESAMPLES, block=block(one.spec, len(one.y)))
    low, high = (float(value) for value in np.quantile(draws, ((1 - level) / 2, (1 + level) / 2)))
    sure = no_coins(task, metric, one.y, one.outputs, other.outputs, level)
    return {
        "run": one.run, "value": ours, "other": other.run, "other_value": theirs, "gain": sign * (ours - theirs),
        "low": low, "high": high, "level": level, "answer": BETTER if low > 0 and sure else NOT_SHOWN,
    }  # fmt: skip


def _sentence(pair: Mapping[str, Any], metric: str, rows: int) -> str:
    both = f"{metric.replace('_', ' ')} {number(pair['value'])} against {number(pair['other_value'])}"
    span = f"{100 * pair['level']:.4g}% interval {number(pair['low'])} to {number(pair['high'])}, {rows:,} test rows"
    if pair["answer"] == BETTER:
        return f"{pair['run']} is better than {pair['other']} by {number(pair['gain'])}: {both} ({span})."
    if pair["low"] == pair["high"] == 0:
        return f"No difference between {pair['run']} and {pair['other']}: {both}, both answer {rows:,} test rows alike."
    if pair["low"] > 0:
        span += "; but by McNemar's test so few rows, which only one of them answers right, may be chance"
    return f"No difference is shown between {pair['run']} and {pair['other']}: {both} ({span})."


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _has(names: Sequence[str]) -> str:
    return "has" if len(names) == 1 else "have"
