"""THE MAIN PATH: one short function per command, in the order of the work.

init -> search -> study, fit_baselines -> show -> evaluate -> export -> verify -> phone
        |
        data.load -> Dataset -> search.search -> journal of trials -> search.keep_best -> model.keras
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kexp import benchmark, data, experiment, leaderboard, lean, store, verify
from kexp import compare as comparison
from kexp import evaluate as evaluation
from kexp import study as studies
from kexp.baselines import SECONDS
from kexp.baselines.measure import measure
from kexp.baselines.measure import models as fitted
from kexp.benchmark import Progress
from kexp.data.dataset import Dataset, Raw
from kexp.data.doctor import examine
from kexp.errors import ExperimentError, ExportError, RunError
from kexp.export.card import MANIFEST, manifest
from kexp.formats import formats
from kexp.records import Artifact, Check, Experiment, Finding, Measurement, from_json, to_json
from kexp.resplits import resplits
from kexp.runtime import modules
from kexp.search import check, keep_best, pick_model
from kexp.search import search as search_trials
from kexp.search.budget import budget
from kexp.search.events import Event, Listener, ignore
from kexp.search.workers import WORKERS, AbstractWorkers
from kexp.store import RunStore
from kexp.suspects import suspects
from kexp.wording import typed

if TYPE_CHECKING:
    from kexp.phone import Session, Way
    from kexp.release import Release
    from kexp.report import Report


class Initial(NamedTuple):
    """What `init` saw and wrote."""

    experiment: Experiment
    toml: Path
    lines: list[tuple[str, str]]
    notices: list[str]
    findings: list[Finding]  # of the doctor


def init(
    path: str, *, home: Path, force: bool = False, progress: Progress = lambda done, total, text: None,
    **options: Any,
) -> Initial:  # fmt: skip
    """Look at data, say what they are, and write experiments/<name>.toml, in which `options` are said.

    Raises ExperimentError where that file exists, unless `force`.
    """
    asked = experiment.from_data(path, **options)
    raw = data.read(asked, base=Path.cwd(), cache=store.cache(home))
    dataset = data.prepared(raw, asked)
    findings = examine(asked, base=Path.cwd(), cache=store.cache(home), raw=raw, dataset=dataset, progress=progress)
    spec = dataset.spec
    guessed = (spec.target,) if spec.kind == "table" and spec.target else ()  # one column: several are never guessed
    question = asked
    if asked.task != "clustering":  # of which the target is no column
        horizon = spec.horizon or None  # is said: where a task is named, no table is taken for a forecast
        question = dataclasses.replace(asked, target=asked.target or guessed, task=spec.task, horizon=horizon)
    toml = home / "experiments" / f"{question.name}.toml"
    if toml.exists() and not force:
        raise ExperimentError(f"{toml} exists. Edit it, give another --name, or replace it with --force.")
    toml.parent.mkdir(parents=True, exist_ok=True)
    lines = [*data.describe(dataset), *(("doctor", one.what) for one in findings if one.severity != "note")]
    comment = "\n".join([f"kexp search experiments/{toml.name}", "", *(f"{key}: {text}" for key, text in lines)])
    written = dataclasses.replace(question, data=experiment.seen_from(toml.parent, path))
    store.atomic_write(toml, experiment.dump(written, comment).encode())
    return Initial(question, toml, lines, dataset.notices, findings)


def doctor(
    source: str, *, home: Path, progress: Progress = lambda done, total, text: None, **options: Any
) -> tuple[str, list[Finding]]:  # fmt: skip
    """What is wrong with data: at a path, or of an experiment file, of which `options` overrule what they say.

    Of a run instead: which labels its model contradicts. Returns what was looked at, and the findings.
    """
    if not source.endswith(".toml") and not Path(source).expanduser().exists() and store.exists(home, source):
        with RunStore.open(home, source) as run:
            return f"the validation rows of the run {source}", suspects(run)
    question, base = experiment.asked(source, **options)
    return question.data, examine(question, base=base, cache=store.cache(home), progress=progress)


def search(
    question: Experiment, *, home: Path, base: Path = Path(), workers: int | None = None, fresh: bool = False,
    listener: Listener = ignore, raw: Raw | None = None, doctor: str = "",
) -> bool:  # fmt: skip
    """Load the data, search, keep the best model. An unfinished run of the same name goes on; `fresh` starts again.

    `workers` are processes, as many as there are cores unless it says so; 0 trains in this process. `raw` are samples
    that a program has, in the place of those that the experiment names (`data.memory`). `doctor` is the command that
    says more of the same question, where a person has typed one.

    True if it came to its end; False if Ctrl-C ended it and the best so far was kept. KeyboardInterrupt passes where
    nothing was finished.
    """
    listener(Event(kind="data", text=question.data))
    # They load TensorFlow while the data are read.
    with contextlib.closing(WORKERS["here" if workers == 0 else "processes"]()) as pool:
        raw = raw or data.read(
            question, base=base, cache=store.cache(home),
            progress=lambda done, total: listener(Event(kind="data", text="reading", done=done, planned=total)),
        )  # fmt: skip
        dataset = data.prepared(raw, question)
        question = experiment.with_weights(question, base)
        check(question, dataset.spec, listener)
        formats(dataset.spec.kind, [*question.formats, *question.tolerances])  # a slip shows now, not afterwards
        _warn(question, raw, dataset, home, base, listener, doctor)
        if fresh:
            store.fresh(home, question.name)
        count = _cores() if workers is None else max(1, workers)
        return _search(question, dataset, home, base, pool, count, listener)


def _search(
    question: Experiment, dataset: Dataset, home: Path, base: Path, pool: AbstractWorkers, workers: int,
    listener: Listener,
) -> bool:  # fmt: skip
    with RunStore.open_or_create(home, question) as run, run.lock():
        take_up(run, question, dataset)
        run.set("base", str(base.resolve()))  # from where its data are seen
        for notice in dataset.notices:
            listener(Event(kind="notice", text=notice))
        ended = True
        text = f"{workers} worker{'s' if workers > 1 else ''} starting: TensorFlow takes some seconds to load"
        listener(Event(kind="notice", text=text))
        try:
            search_trials(question, dataset, run, workers=workers, pool=pool, listener=listener)
        except KeyboardInterrupt:
            if not run.best_first():
                raise
            ended = False
        keep_best(run, dataset, question)
    return ended


def _warn(
    question: Experiment, raw: Raw, dataset: Dataset, home: Path, base: Path, listener: Listener, doctor: str = ""
) -> None:
    """What the doctor finds worse than a note, one line each."""

    def told(done: int, total: int, text: str) -> None:
        listener(Event(kind="data", text=text, done=done, planned=total))

    found = examine(question, base=base, cache=store.cache(home), raw=raw, dataset=dataset, progress=told)
    grave = [one for one in found if one.severity != "note"]
    for one in grave:
        listener(Event(kind="notice", text=f"{one.severity}: {one.what}"))
    if grave and not question.data.startswith(experiment.MEMORY):
        doctor = doctor or f"kexp doctor {typed(os.path.normpath(experiment.locate(question.data, base)))}"
        listener(Event(kind="notice", text=f"{doctor} says more"))


def take_up(run: RunStore, question: Experiment, dataset: Dataset) -> None:
    """Make `question` and its rows those of `run`. Raises RunError where it was begun with others, budget aside."""
    run.check_same(question, dataset.fingerprint)
    run.remember(question, dataset.fingerprint)
    if not Dataset.saved(run.data):
        dataset.save(run.data)


def runs(home: Path) -> list[dict[str, Any]]:
    """Each run: name, kind, task, trials (completed), best (validation score), created, finished; newest last."""
    return store.list_runs(home)


def show(home: Path, name: str | None = None) -> dict[str, Any]:
    """The trials of a run, best first, and which is the best, as one JSON document."""
    name = name or store.latest(home)
    with RunStore.open(home, name) as run:
        return leaderboard.document(run, _present(home / "exported" / name))


def fit_baselines(
    home: Path, name: str | None = None, which: Sequence[str] = (), *, again: bool = False,
    seconds: float | None = None, progress: Progress = lambda done, total, text: None,
) -> dict[str, Any]:  # fmt: skip
    """Fit the baselines of a run that are missing, on the rows its networks trained on; `show`'s document then."""
    with RunStore.open(home, name or store.latest(home)) as run:
        run.need_model()
        measure(run, which, again=again, seconds=seconds or SECONDS, progress=progress)
        return leaderboard.document(run, _present(home / "exported" / run.name))


def study(
    home: Path, name: str | None = None, *, workers: int | None = None, seeds: int | None = None,
    seconds: float | None = None, progress: Progress = lambda done, total, text: None,
) -> dict[str, Any]:  # fmt: skip
    """One knob at a time around the winner, fewer training rows, and shuffled columns: which of them matter."""
    with RunStore.open(home, name or store.latest(home)) as run:
        return studies.study(
            run, workers=workers or _cores(), seeds=seeds or studies.SEEDS, seconds=seconds or studies.SECONDS,
            progress=progress,
        )  # fmt: skip


def evaluate(
    home: Path, name: str | None = None, *, splits: int = 0, progress: Progress = lambda done, total, text: None
) -> dict[str, Any]:
    """The test split: metrics, interval, confusion or residuals, of the model and of the exported files.

    With `splits`, the verdict is asked again on so many new splits: see `resplits.resplits`.
    """
    with RunStore.open(home, name or store.latest(home)) as run:
        notes = {one.factory: one.message for one in run.baselines(leaderboard.refitted(run)) if one.message}
        document = evaluation.evaluate(run, home / "exported" / run.name, fitted(run), notes)
        return resplits(run, document, splits, cache=store.cache(home), progress=progress) if splits else document


def diagnose(
    home: Path, name: str | None = None, *, try_variants: bool | None = None,
    progress: Progress = lambda done, total, text: None,
) -> dict[str, Any]:  # fmt: skip
    """Why the best network of a run is as good, or as bad, as it is: see `diagnose.diagnose`. No test row is read.

    What was found is kept, for the report.
    """
    progress(0, 1, "loading TensorFlow")
    lean.keras()
    from kexp.diagnose import diagnose

    with RunStore.open(home, name or store.latest(home)) as run:
        dataset = Dataset.open(run.data)
        plan = budget(run.experiment, dataset.spec, len(dataset.rows("train")))
        found = diagnose(run, batch_size=plan.batch_size, try_variants=try_variants, progress=progress)
        store.atomic_write(run.diagnosis, json.dumps(to_json(found), indent=1).encode())
        return found


def export(
    home: Path, name: str | None = None, wanted: Sequence[str] = (), tolerances: dict[str, float] | None = None,
    progress: Progress = lambda done, total, text: None, *, pick: str | None = None,
) -> Release:  # fmt: skip
    """Convert the best model, hold each file to the gate, and keep what passes in exported/<name>/.

    `pick`, a row of front.PICKS, makes another network of the front the run's model first.
    """
    from kexp.release import release

    with RunStore.open(home, name or store.latest(home)) as run:
        question = run.experiment
        if pick is not None:
            pick_model(run, pick)
        best = run.best
        return release(
            run.need_model(), Dataset.open(run.data), wanted or question.formats, home / "exported" / run.name,
            tolerances={**question.tolerances, **(tolerances or {})}, trial=best.id if best else None,
            fold=best.fold if best else 0, evaluation=evaluation.stored(run), modules=modules(question),
            progress=progress,
        )  # fmt: skip


def export_model(
    model: Path, question: Experiment, *, home: Path, base: Path = Path(), wanted: Sequence[str] = (),
    tolerances: dict[str, float] | None = None, own: Sequence[str] = (),
    progress: Progress = lambda done, total, text: None,
) -> tuple[Release, list[str]]:  # fmt: skip
    """`export` for a Keras model that kexp did not make, on the data of `question`; and what was found out about it.

    `own` are modules that register layers of the model.
    """
    from kexp.adopt import adopt
    from kexp.release import release

    target = home / "exported" / question.name
    if (target / MANIFEST).is_file() and manifest(target)[0].get("trial") is not None:
        raise ExportError(f"{target} is the export of the run {question.name!r}. Give this one another --name.")
    found = adopt(model, question, cache=store.cache(home), base=base, modules=own)
    with tempfile.TemporaryDirectory(prefix="kexp-adopted-") as folder:
        path = Path(folder) / "model.keras"
        found.model.save(path)
        made = release(
            path, found.dataset, wanted or question.formats, target,
            tolerances={**question.tolerances, **(tolerances or {})}, modules=["kexp.models.layers", *own],
            identity=f"{verify.digest(model)} {found.dataset.fingerprint}", progress=progress,
        )  # fmt: skip
    return made, [*found.dataset.notices, *found.notices]


def verify_folder(folder: Path) -> tuple[list[Artifact], list[Check]]:
    """The gate again, from the exported files alone."""
    return verify.folder(folder)


def bench(
    home: Path, which: str | None = None, *, threads: Sequence[int] = (1,),
    progress: Progress = lambda done, total, text: None,
) -> tuple[list[Measurement], dict[str, str]]:  # fmt: skip
    """How fast every exported file of a run, or in a folder, is here and on the phones that told; why not, by file."""
    folder = exported(home, which).resolve()
    found, missing = benchmark.benchmark(folder, threads, progress)
    if store.exists(home, folder.name):
        with RunStore.open(home, folder.name) as run:
            phones = [one for device in run.devices(_present(folder)) for one in device["measurements"]]
        found += [from_json(Measurement, one) for one in phones]
    return found, missing


def exported(home: Path, which: str | None = None) -> Path:
    """The folder of an export: `which` itself where it is one, otherwise that of the run so named, or the latest."""
    if which is not None and (Path(which) / MANIFEST).is_file():
        return Path(which)
    name = which or store.latest(home)
    folder = home / "exported" / name
    if not (folder / MANIFEST).is_file():
        with RunStore.open(home, name):  # says so where there is no such run either
            raise ExportError(f"nothing of {name!r} is exported yet: kexp export {name} --tflite makes {folder}.")
    return folder


@contextlib.contextmanager
def phone(
    home: Path, which: str | None = None, *, way: Way = "http", host: str | None = None, port: int | None = None,
    notice: Callable[[str], None] = lambda text: None,
) -> Iterator[Session]:  # fmt: skip
    """Serve an export to phones while this lasts: that of the run `which`, of the latest, or the folder `which`.

    What phones measure is kept with the run of the folder's name, where its model is the one that was exported.
    """
    from kexp.phone import serve
    from kexp.phone.bundle import bundle

    folder = exported(home, which).resolve()
    document, _ = manifest(folder)

    def keep(entries: list[dict[str, Any]]) -> bool:
        if not store.exists(home, folder.name):
            return False
        with RunStore.open(home, folder.name) as run:
            return run.add_devices(document.get("model", ""), entries)

    artifacts = [from_json(Artifact, item) for item in document["artifacts"]]
    files = bundle(folder, results=True, notice=notice)
    with serve(artifacts, files, keep, way=way, host=host, port=port) as session:
        yield session


def report(
    home: Path, name: str | None = None, *, out: Path | None = None,
    progress: Progress = lambda done, total, text: None,
) -> tuple[Path, Report]:  # fmt: skip
    """Write all that is known of a run as one HTML file: to `out`, otherwise into the run. Returns where, and what."""
    from kexp.report import report as made

    name = name or store.latest(home)
    folder = home / "exported" / name
    with RunStore.open(home, name) as run:
        found = made(run, leaderboard.document(run, _present(folder)), folder, progress)
        path = out or run.report
        if path.is_dir() or not path.parent.is_dir():
            raise RunError(f"{path} cannot be written: a file in a folder that is there is expected. Change --out.")
        store.atomic_write(path, found.html.encode())
    return path, found


def tensorboard(home: Path, folder: Path, name: str | None = None) -> tuple[Path, int]:
    """Write the trials of a run as event files for TensorBoard, into `folder`/NAME; where, and how many trials."""
    from kexp.report.tensorboard import write

    with RunStore.open(home, name or store.latest(home)) as run:
        return write(run, folder)


def compare(home: Path, names: Sequence[str]) -> dict[str, Any]:
    """What differs between runs, and whether one is shown to be better: see `compare.compare`."""
    with contextlib.ExitStack() as stack:
        runs = [stack.enter_context(RunStore.open(home, name)) for name in names]
        return comparison.compare(runs, {name: home / "exported" / name for name in names})


def clean(home: Path, names: Sequence[str] = ()) -> int:
    """Remove weights and decoded pictures that nothing needs; the bytes freed."""
    return store.clean(home, names)


def _present(folder: Path) -> dict[str, str]:
    """SHA-256 of each file that an export holds, by path; none where there is no export, or a damaged one."""
    with contextlib.suppress(ExportError):
        return {item["path"]: item["sha256"] for item in manifest(folder)[0]["artifacts"]}
    return {}


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
