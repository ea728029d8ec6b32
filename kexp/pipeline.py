"""THE MAIN PATH: one short function per command, in the order of the work.

init -> search -> show -> evaluate -> export -> verify
        |
        data.load -> Dataset -> search.search -> best trial -> model.keras
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kexp import data, experiment, store, verify
from kexp import evaluate as evaluation
from kexp.data.dataset import Dataset
from kexp.errors import ExperimentError, RunError
from kexp.metrics import objective
from kexp.records import Artifact, Check, Experiment, Task, Trial, to_json
from kexp.search.events import Event, Listener, ignore
from kexp.store import RunStore

if TYPE_CHECKING:
    import keras
    import pandas as pd

    from kexp.release import Release


class InitResult(NamedTuple):
    """What `init` saw and wrote."""

    experiment: Experiment
    toml: Path
    lines: list[tuple[str, str]]
    notices: list[str]


def init(
    path: str,
    *,
    home: Path,
    target: tuple[str, ...] = (),
    task: Task | None = None,
    name: str | None = None,
    force: bool = False,
) -> InitResult:
    """Look at data, say what they are, and write experiments/<name>.toml.

    Raises ExperimentError where that file exists, unless `force`.
    """
    question = experiment.from_data(path, target=target, task=task, name=name)
    dataset = data.load(question, base=Path.cwd(), cache=store.cache(home))
    question = dataclasses.replace(question, target=question.target or _target(dataset), task=dataset.spec.task)
    toml = home / "experiments" / f"{question.name}.toml"
    if toml.exists() and not force:
        raise ExperimentError(f"{toml} exists. Edit it, give another --name, or replace it with --force.")
    toml.parent.mkdir(parents=True, exist_ok=True)
    lines = data.describe(dataset)
    comment = "\n".join([f"kexp search experiments/{toml.name}", "", *(f"{key}: {text}" for key, text in lines)])
    written = dataclasses.replace(question, data=_from(toml.parent, path))
    store.atomic_write(toml, experiment.dump(written, comment).encode())
    return InitResult(question, toml, lines, dataset.notices)


def search(
    question: Experiment,
    *,
    home: Path,
    base: Path = Path(),
    workers: int | None = None,
    fresh: bool = False,
    listener: Listener = ignore,
) -> Run:
    """Load the data, search, keep the best model. An unfinished run of the same name goes on; --fresh starts again.

    KeyboardInterrupt ends the search gracefully: what is finished is chosen from, if anything is.
    """
    from kexp.search import search as search_trials

    if fresh:
        store.fresh(home, question.name)
    listener(Event(kind="data", text=question.data))
    dataset = data.load(question, base=base, cache=store.cache(home), progress=_progress(listener))
    with _run(question, home=home) as run, run.lock():
        run.check_same(question, dataset.fingerprint)
        run.remember(question, dataset.fingerprint)
        if not (run.data / "dataset.json").exists():
            run.data.mkdir(exist_ok=True)
            dataset.save(run.data)
        for notice in dataset.notices:
            listener(Event(kind="notice", text=notice))
        interrupted = False
        try:
            search_trials(question, dataset, run, workers=workers or _cores(), listener=listener)
        except KeyboardInterrupt:
            if not _finished(run):
                raise
            interrupted = True
        _keep_best(run, dataset)
        return Run(home=home, name=run.name, interrupted=interrupted)


def runs(home: Path) -> list[dict[str, Any]]:
    """Each run: name, kind, task, trials (completed), best (validation score), created, finished; newest last."""
    return store.list_runs(home)


def show(home: Path, name: str | None = None) -> dict[str, Any]:
    """The trials of a run, best first, and which is the best, as one JSON document."""
    with RunStore.open(home, name or store.latest(home)) as run:
        task = run.get("task")
        metric = objective(task, run.experiment.objective)[0] if task else run.experiment.objective
        return {
            "run": run.name,
            "objective": metric,
            "experiment": to_json(run.experiment),
            "best": run.get("best_trial"),
            "reason": run.get("reason", ""),
            "finished": run.get("finished"),
            "trials": [to_json(trial) for trial in _ranked(run)],
        }


def evaluate(home: Path, name: str | None = None) -> dict[str, Any]:
    """The test split: metrics, interval, confusion or residuals, of the model and of the exported files."""
    with RunStore.open(home, name or store.latest(home)) as run:
        _need_model(run)
        return evaluation.evaluate(run, home / "exported" / run.name)


def export(
    home: Path,
    name: str | None = None,
    formats: Sequence[str] = (),
    tolerances: dict[str, float] | None = None,
) -> Release:
    """Convert the best model, hold each file to the gate, and keep what passes in exported/<name>/."""
    from kexp.release import release

    with RunStore.open(home, name or store.latest(home)) as run:
        question = run.experiment
        return release(
            _need_model(run),
            Dataset.open(run.data),
            formats or question.formats,
            home / "exported" / run.name,
            tolerances={**question.tolerances, **(tolerances or {})},
            trial=run.get("best_trial"),
            evaluation=run.read_evaluation(),
            modules=_modules(question),
        )


def verify_folder(folder: Path) -> tuple[list[Artifact], list[Check]]:
    """The gate again, from the exported files alone."""
    return verify.folder(folder)


def clean(home: Path, names: Sequence[str] = ()) -> int:
    """Remove weights that nothing needs; the bytes freed."""
    return store.clean(home, names)


# From Python


@dataclass(frozen=True, kw_only=True)
class Run:
    """A search that is over, by name; everything it found is on disk."""

    home: Path
    name: str
    interrupted: bool = False

    def leaderboard(self) -> pd.DataFrame:
        """The trials, best first: a row each, metrics and hyperparameters as columns."""
        import pandas as pd

        rows = []
        for trial in show(self.home, self.name)["trials"]:
            values, metrics = trial.pop("values"), trial.pop("metrics")
            rows.append({**trial, **metrics, **values})
        return pd.DataFrame(rows)

    @property
    def best(self) -> Trial:
        """The trial whose weights are the model."""
        with RunStore.open(self.home, self.name) as run:
            id = run.get("best_trial")
            return next(trial for trial in run.trials() if trial.id == id)

    def model(self) -> keras.Model:
        """The best network, from raw samples to answers."""
        import keras

        import kexp.models.layers  # noqa: F401 - registers what the file names

        with RunStore.open(self.home, self.name) as run:
            return keras.models.load_model(_need_model(run), compile=False)

    def evaluate(self) -> dict[str, Any]:
        """See `pipeline.evaluate`."""
        return evaluate(self.home, self.name)

    def export(self, *formats: str, tolerances: dict[str, float] | None = None) -> Release:
        """See `pipeline.export`; without formats, all that suit the data."""
        return export(self.home, self.name, formats, tolerances)


def search_data(
    source: str | Path,
    *,
    home: str | Path | None = None,
    workers: int | None = None,
    fresh: bool = False,
    **options: Any,
) -> Run:
    """Search on data or on an experiment file, as `kexp search` does: `kexp.search("photos/", time="10m")`."""
    path = Path(source)
    if path.suffix == ".toml":
        question, base = experiment.override(experiment.load(path), **options), path.parent
    else:
        question, base = experiment.from_data(str(source), **options), Path()
    return search(experiment.with_budget(question), home=store.home(home), base=base, workers=workers, fresh=fresh)


def open_run(name: str | None = None, home: str | Path | None = None) -> Run:
    """The run `name`, or the latest finished one. Raises RunError where there is none."""
    where = store.home(home)
    with RunStore.open(where, name or store.latest(where)) as run:
        return Run(home=where, name=run.name)


# Pieces


@contextlib.contextmanager
def _run(question: Experiment, *, home: Path) -> Iterator[RunStore]:
    """The run of that name: the one that exists, or a new one."""
    if store.exists(home, question.name):
        opened = RunStore.open(home, question.name)
    else:
        opened = RunStore.create(home, question.name, question)
    with opened:
        yield opened


def _keep_best(run: RunStore, dataset: Dataset) -> None:
    """Write model.keras from the weights of the best trial."""
    from kexp import models

    best = run.get("best_trial")
    if best is None:  # interrupted before it was chosen
        best = _ranked(run)[0].id
        run.set("best_trial", best)
        run.set("reason", "the best so far; the search was interrupted")
    trial = next(t for t in run.trials() if t.id == best)
    source = trial.parent if trial.message.startswith("equal to trial ") and trial.parent is not None else trial.id
    network = models.build(dataset.spec, trial.factory, models.replay(trial.values))
    network.core.set_weights(run.load_weights(source))
    staging = run.model.with_name("staging.keras")
    models.inference(network).save(staging)
    staging.replace(run.model)


def _modules(question: Experiment) -> list[str]:
    """What must be imported before model.keras opens: it registers the layers that the file names."""
    own = question.factory.partition(":")[0] if ":" in question.factory else ""
    return ["kexp.models.layers", *([own] if own else [])]


def _finished(run: RunStore) -> list[Trial]:
    return [trial for trial in run.trials() if trial.score is not None]


def _ranked(run: RunStore) -> list[Trial]:
    """Trials, best first; then those without a score, in order. What a dead driver left running is stopped."""
    from kexp.metrics import rank

    task, wanted = run.get("task"), run.experiment.objective
    idle = not run.locked()
    trials = [
        dataclasses.replace(t, status="stopped", message="interrupted; the next search trains it again")
        if t.status == "running" and idle
        else t
        for t in run.trials()
    ]
    scored = sorted(
        (t for t in trials if t.score is not None), key=lambda t: rank(task, wanted, t.metrics), reverse=True
    )
    return scored + [t for t in trials if t.score is None]


def _need_model(run: RunStore) -> Path:
    if not run.model.exists():
        raise RunError(f"the run {run.name!r} has no model yet. The command that started its search continues it.")
    return run.model


def _target(dataset: Dataset) -> tuple[str, ...]:
    """The guessed target, so that the experiment file says what was asked."""
    return tuple(dataset.spec.target.split(", ")) if dataset.spec.kind == "table" and dataset.spec.target else ()


def _from(folder: Path, path: str) -> str:
    """`path` as seen from `folder`; a data set's own name as it is."""
    import os

    return path if ":" in path else os.path.relpath(Path(path).resolve(), folder.resolve())


def _cores() -> int:
    import os

    return max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def _progress(listener: Listener) -> Any:
    return lambda done, total: listener(Event(kind="data", text="reading", done=done, planned=total))
