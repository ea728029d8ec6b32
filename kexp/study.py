"""How many layers, neurons, filters, poolings? Around the winner of a run one knob at a time is varied and trained.

Every network here trains as in a search, in the same workers, but in a run of its own that is gone afterwards: the
journal of the search stays what it was. Validation rows judge; the test rows are not read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kexp.data.dataset import Dataset
from kexp.knobs import MOST, Noise, Row, judged, noise, variations, yardstick
from kexp.metrics import METRICS, Direction, objective, sign_of
from kexp.records import Experiment, Trial, key, to_json
from kexp.runtime import import_modules, modules, open_runtime
from kexp.search.budget import budget
from kexp.search.sketches import Sketch
from kexp.search.together import Start, jobs
from kexp.search.worker import Setup
from kexp.search.workers import WORKERS, AbstractWorkers
from kexp.store import RunStore, atomic_write

SEEDS = 3
SECONDS = 600.0
SHARES = (0.125, 0.25, 0.5)  # of the training rows; all of them are the winner itself
LEAST = 10  # rows: what fewer teach is chance
LONGER = 4.0  # times the epochs, at most, of fewer rows: a share of the steps would tell of steps, not of rows
KNOBS = 0.7  # of the time; what the curve over rows gets is the rest
SHUFFLES = 5
POLL_SECONDS = 0.5
FEWER = 3  # values of a knob, where there is no time for two seeds of more
SHARES_RIGHT = ("accuracy", "balanced_accuracy", "f1")
Progress = Callable[[int, int, str], None]
Array = NDArray[Any]


class _Wanted(NamedTuple):
    """A network to train: what it is, and what its build reads."""

    sketch: Sketch
    seed: int


def study(
    run: RunStore, *, workers: int, seeds: int = SEEDS, seconds: float = SECONDS,
    progress: Progress = lambda done, total, text: None,
) -> dict[str, Any]:  # fmt: skip
    """{"run", "metric", "direction", "epochs", "winner": {"trial", "epochs", "values"}, "noise", "knobs": see
    `knobs.judged`, "samples": {"rows": [{"rows", "mean", "scores"}], "sentence"} or None, "columns": [{"name", "drop",
    "spread"}] of a table, "unmeasured", "partly": names of knobs, "interrupted",
    "too_few": whether fewer training rows would lack a class, or be next to none}.

    Takes about `seconds`; what was not measured by then is left out and named. The document is kept with the run.
    Scores are the objective's, on validation rows. Raises RunError where the run has no model yet.
    """
    path = run.need_model()
    dataset, question = Dataset.open(run.data), run.experiment
    winner = next(trial for trial in run.trials() if trial.id == run.get("best_trial"))
    metric, direction = objective(dataset.spec.task, question.objective)
    begun = time.monotonic()
    document: dict[str, Any] = {
        "run": run.name, "metric": metric, "direction": direction, "seeds": seeds,
        "winner": {"trial": winner.id, "epochs": winner.epochs, "values": winner.values},
        "columns": columns(dataset, question, path, progress),
    }  # fmt: skip
    bench = _Bench(run, question, winner, workers, seeds, progress)
    document |= bench.knobs(dataset, metric, direction, begun + KNOBS * seconds)
    document["samples"] = bench.samples(dataset, direction, begun + seconds)
    document |= {
        "epochs": bench.epochs, "seconds": round(time.monotonic() - begun, 1), "interrupted": bench.interrupted,
        "too_few": bench.too_few,
    }  # fmt: skip
    if document["knobs"] or not bench.interrupted:  # an earlier study is worth more than nothing
        atomic_write(run.study, json.dumps(to_json(document), indent=1).encode())
    return document


class _Bench:
    """Trains what is asked for, in runs that are gone afterwards."""

    def __init__(
        self, run: RunStore, question: Experiment, winner: Trial, workers: int, seeds: int, progress: Progress
    ) -> None:
        self._run, self._question, self._winner = run, question, winner
        self._workers, self._seeds, self._progress = workers, seeds, progress
        self.epochs = winner.epochs
        self._own: Sketch | None = None
        self._whole: tuple[float, ...] = ()  # the winner's scores on all training rows
        self._noise: Noise | None = None
        self.interrupted = False  # by Ctrl-C: what was measured is told
        self.too_few = False  # training rows: fewer of them would be none of a class, however long it takes

    def knobs(self, dataset: Dataset, metric: str, direction: Direction, end: float) -> dict[str, Any]:
        """The part of the document on knobs."""
        with self._pool(dataset) as (pool, store):
            sketches = pool.sketches(dataset.spec, self._question)
            self._own = sketches.look(self._winner.values)
            dimensions, rows = sketches.outline().dimensions, len(dataset.rows("train"))
            for most in (MOST, FEWER):
                varied = variations(self._own.values, dimensions, most)
                looked = [(one, sketches.look(one.values)) for one in varied]
                unique = {key(sketch.values): sketch for _, sketch in [*looked, (None, self._own)]}
                self.epochs, fits = self._affordable(len(unique), end - time.monotonic())
                if fits:
                    break
            wanted = [_Wanted(sketch, seed) for seed in range(self._seeds) for sketch in unique.values()]
            scores = self._trained(pool, store, wanted, rows, self.epochs, end, "varying one knob at a time")
        found = {id: Row("", tuple(values), unique[id].parameters) for id, values in scores.items() if values}
        self._whole = found[key(self._own.values)].scores if key(self._own.values) in found else ()
        self._noise = noise(list(found.values()))
        each: dict[str, list[Row]] = {}
        missed = {}
        for one, sketch in looked:
            row = found.get(key(sketch.values))
            if row is None:
                missed[one.knob] = True
            elif all(other.value != one.value for other in each.setdefault(one.knob, [])):
                each[one.knob].append(row._replace(value=one.value))
        # Of shares of rows that are right, one row more or less tells nothing.
        least = 1 / len(dataset.rows("validation")) if metric in SHARES_RIGHT else 0.0
        told = [
            judged(knob, _own_value(knob, self._own), several, self._noise, direction, least=least)
            for knob, several in each.items()
            if len(several) > 1
        ]
        named = {one["name"] for one in told}
        return {
            "noise": self._noise.spread if self._noise else None,
            "knobs": told,
            "unmeasured": [knob for knob in dict.fromkeys(one.knob for one in varied) if knob not in named],
            "partly": [knob for knob in missed if knob in named],
        }

    def samples(self, dataset: Dataset, direction: Direction, end: float) -> dict[str, Any] | None:
        """The winner on fewer training rows: whether more of them would help. None where none was trained in time."""
        if self._own is None or not self._whole:
            return None
        train = dataset.rows("train")
        order = np.random.default_rng(self._question.seed).permutation(train)
        rows = []
        counts = [count for count in fewer(dataset, order) if count >= LEAST]
        self.too_few = not counts
        for count in counts:
            if time.monotonic() > end or self.interrupted:
                continue
            part = _with(dataset, np.sort(order[:count]))
            epochs = round(self.epochs * min(LONGER, len(train) / count))
            with self._pool(part) as (pool, store):
                wanted = [_Wanted(self._own, seed) for seed in range(self._seeds)]
                text = f"training on {count:,} of {len(train):,} rows"
                scores = self._trained(pool, store, wanted, count, epochs, end, text)[key(self._own.values)]
            if scores:
                rows.append(Row(count, tuple(scores), self._own.parameters))
        rows.append(Row(len(train), self._whole, self._own.parameters))
        if len(rows) < 2:
            return None
        return {
            "rows": [{"rows": row.value, "mean": row.mean, "scores": list(row.scores)} for row in rows],
            "sentence": _more(rows, direction, self._noise),
        }

    @contextlib.contextmanager
    def _pool(self, dataset: Dataset) -> Iterator[tuple[AbstractWorkers, RunStore]]:
        """Workers on `dataset`, and the run that they work in, which is gone afterwards."""
        with (
            tempfile.TemporaryDirectory(prefix="kexp-study-") as folder,
            contextlib.closing(WORKERS["processes"]()) as pool,
            RunStore.create(Path(folder), self._run.name, self._question) as store,
        ):
            if dataset.fingerprint == self._run.fingerprint:
                store.data.symlink_to(self._run.data.resolve())
                self._run.features.mkdir(exist_ok=True)  # what a backbone made of the pictures is used here too
                store.features.symlink_to(self._run.features.resolve())
            else:
                dataset.save(store.data)
            plan = budget(self._question, dataset.spec, len(dataset.rows("train")))
            setup = Setup(
                home=folder, run=store.name, batch_size=plan.batch_size, objective=self._question.objective,
                class_weight=self._question.class_weight,
            )  # fmt: skip
            pool.begin(setup, self._workers, store.root / "workers.log")
            yield pool, store

    def _affordable(self, networks: int, seconds: float) -> tuple[int, bool]:
        """Epochs for each, and whether so many fit two seeds: the winner's, or fewer, down to those of the explored."""
        winner = self._winner
        cost = winner.seconds / max(1, winner.epochs)
        fits = seconds * self._workers / (networks * max(cost, 1e-9))
        shortest = min((trial.epochs for trial in self._run.trials() if trial.score is not None), default=winner.epochs)
        epochs = int(min(winner.epochs, max(shortest, fits / self._seeds)))
        return epochs, epochs * min(2, self._seeds) <= fits

    def _trained(
        self, pool: AbstractWorkers, store: RunStore, wanted: Sequence[_Wanted], rows: int, epochs: int, end: float,
        text: str,
    ) -> dict[Any, list[float]]:  # fmt: skip
        """The scores of each network that was trained to its end, one for each seed, by what it is."""
        scores: dict[Any, list[float]] = {key(one.sketch.values): [] for one in wanted}
        starts = [
            Start(
                Trial(
                    id=id, factory=self._winner.factory, values=one.sketch.values, status="running", epochs=epochs,
                    seed=self._question.seed + 1 + one.seed,
                ),
                one.sketch.kind,
            )
            for id, one in enumerate(wanted, 1)
        ]  # fmt: skip
        # A seed after the other: what time does not suffice for is the last seed, and not the last knob.
        waiting = sorted(jobs(starts, rows), key=lambda job: (job.trials[0].seed, len(job.trials) == 1))
        done = 0
        at_work: list[set[int]] = []  # the trials of each job
        self._progress(0, len(starts), text)
        try:
            while (waiting and time.monotonic() < end) or at_work:
                while waiting and len(at_work) < self._workers + 1 and time.monotonic() < end:
                    job = waiting.pop(0)
                    at_work.append({trial.id for trial in job.trials})
                    pool.submit(job._replace(end=end))
                for outcome in pool.poll(POLL_SECONDS):
                    if outcome.epoch is not None:
                        continue
                    trial = outcome.trial
                    at_work = [left for one in at_work if (left := one - {trial.id})]
                    done += 1
                    self._progress(done, len(starts), text)
                    store.weights(trial.id).unlink(missing_ok=True)
                    if trial.status == "completed" and trial.score is not None and math.isfinite(trial.score):
                        scores[key(trial.values)].append(trial.score)
        except KeyboardInterrupt:
            self.interrupted = True
        return scores


def _own_value(knob: str, own: Sketch) -> Any:
    """The winner's value of `knob`; of several layers that differ, all of them."""
    names = [name for name in own.values if re.fullmatch(rf"{re.escape(knob)}(_\d+)?", name)]
    values = [own.values[name] for name in names]
    return values[0] if len(set(values)) == 1 else values


def fewer(dataset: Dataset, order: NDArray[np.int64]) -> list[int]:
    """How many of the training rows, in this `order`, SHARES of them are; those alone that lack no class."""
    counts = [round(share * len(order)) for share in SHARES]
    if dataset.spec.task == "regression":
        return counts
    every = set(dataset.y[order].ravel().tolist())
    return [count for count in counts if set(dataset.y[order[:count]].ravel().tolist()) == every]


def _with(dataset: Dataset, rows: NDArray[np.int64]) -> Dataset:
    """`dataset` with these training rows alone, and all that validate; no test rows."""
    kept = np.sort(np.concatenate([rows, dataset.rows("validation")]))
    return dataclasses.replace(
        dataset, x=np.asarray(dataset.x[kept]), y=dataset.y[kept], part=dataset.part[kept],
        ids=[dataset.ids[row] for row in kept], files=None, raw=None, fold=None, truth=None,
        fingerprint=f"{dataset.fingerprint} {len(rows)}",
    )  # fmt: skip


def _more(rows: Sequence[Row], direction: Direction, found: Noise | None) -> str:
    sign = sign_of(direction)
    *_, half, whole = rows
    gain = sign * (whole.mean - half.mean)
    what = (
        f"from {half.value:,} to {whole.value:,} training rows it {'gained' if gain >= 0 else 'lost'} {abs(gain):.4g}"
    )
    if found is None:
        return f"One seed each proves nothing: {what}."
    chance = yardstick(2, found.degrees) * found.spread * math.sqrt(1 / len(half.scores) + 1 / len(whole.scores))
    if gain > chance:
        return f"More data would probably help: {what}."
    return f"More data of the same kind would probably not help much: {what}, chance alone may be {chance:.2g}."


def columns(dataset: Dataset, question: Experiment, model: Path, progress: Progress) -> list[dict[str, Any]]:
    """How much worse the model answers validation rows when one column is shuffled, the most first; [] of no table.

    That is permutation importance (Breiman 2001; Fisher, Rudin, Dominici 2019), the mean of SHUFFLES, in the units of
    the objective. Of two columns that say the same neither may seem to matter.
    """
    spec = dataset.spec
    if spec.kind != "table":
        return []
    import_modules(modules(question))
    runtime = open_runtime(model)
    x, y = dataset.take("validation")
    measure, direction, _ = METRICS[objective(spec.task, question.objective)[0]]
    sign = sign_of(direction)
    before = measure(spec.task, y, runtime.predict(x))
    random = np.random.default_rng(question.seed)
    found = []
    for at, column in enumerate(spec.columns):
        progress(at, len(spec.columns), f"shuffling {column.name}")
        drops = []
        for _ in range(SHUFFLES):
            shuffled = np.array(x)
            shuffled[:, at] = shuffled[random.permutation(len(x)), at]
            drops.append(sign * (before - measure(spec.task, y, runtime.predict(shuffled))))
        found.append({"name": column.name, "drop": float(np.mean(drops)), "spread": float(np.std(drops))})
    return sorted(found, key=lambda one: -one["drop"])
