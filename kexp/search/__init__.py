"""`search`: from an experiment and its data to a journal of trials and the best of them."""

from __future__ import annotations

from dataclasses import replace

from kexp import lean
from kexp.data.dataset import Dataset
from kexp.errors import ExperimentError, nearest
from kexp.formats import FORMATS, SHIPS, formats, shipping
from kexp.front import PICKS
from kexp.leaderboard import fronted
from kexp.metrics import objective
from kexp.records import EVERY, DatasetSpec, Experiment, Trial
from kexp.runtime import modules
from kexp.search.budget import Budget, budget
from kexp.search.confirm import NO_FOLDS, Folds
from kexp.search.convert import Request
from kexp.search.events import Event, Listener, ignore
from kexp.search.loop import Search
from kexp.search.oracles import ORACLES
from kexp.search.worker import Setup
from kexp.search.workers import WORKERS, AbstractWorkers
from kexp.store import RunStore

FACTORY_NAMES = ("dense", "conv", "conv1d", "conv_sound", "conv_clip", "backbone")  # rows of models.FACTORIES


def check(experiment: Experiment, spec: DatasetSpec, listener: Listener = ignore) -> None:
    """Raise ExperimentError for an oracle, objective or factory that cannot be.

    Weights that a backbone begins with are downloaded where they are missing; `listener` hears of it.
    """
    if experiment.oracle not in ORACLES:
        raise ExperimentError(f"oracle = {experiment.oracle!r} does not exist.{nearest(experiment.oracle, ORACLES)}")
    objective(spec.task, experiment.objective)
    if experiment.regularise == "overfitting" and not ORACLES[experiment.oracle].climbs:
        raise ExperimentError(
            f"regularise = 'overfitting' takes oracle = 'evolution', which can leave the wider space for later; "
            f"{experiment.oracle!r} draws from all of it from the beginning."
        )
    if experiment.objectives and not ORACLES[experiment.oracle].several:
        able = ", ".join(name for name, row in ORACLES.items() if row.several)
        raise ExperimentError(
            f"oracle = {experiment.oracle!r} seeks one objective, and {len(experiment.objectives) + 1} are asked for "
            f"({', '.join((objective(spec.task, experiment.objective)[0], *experiment.objectives))}). "
            f"Use one of {able}."
        )
    sized = [
        name for name, asked in (("max_size", experiment.max_size), ("size", "size" in experiment.objectives)) if asked
    ]
    if sized and (variant := shipping(spec.kind, experiment.formats)) != SHIPS:
        raise ExperimentError(
            f"{sized[0]} counts the bytes of {SHIPS}, and with formats = {', '.join(experiment.formats)} {variant} "
            f"ships. Add {SHIPS} to formats, or use max_parameters or the objective parameters."
        )
    if experiment.class_weight != "none" and spec.task == "regression":
        raise ExperimentError(
            f"class_weight = {experiment.class_weight!r} is for classes, and the task is regression. Leave it out."
        )
    if experiment.factory == "backbone":
        lean.keras()
        from kexp.models import pretrained

        def told(done: int, total: int, text: str) -> None:
            if not done:
                listener(Event(kind="notice", text=f"downloading {text}"))
            listener(Event(kind="data", text=f"{text}, kB", done=done // 1000, planned=total // 1000))

        if spec.kind != "image":
            raise ExperimentError(f"factory = 'backbone' takes pictures; these samples are of kind {spec.kind!r}.")
        pretrained.check(experiment.space, told)
    if experiment.factory not in ("", *FACTORY_NAMES):
        lean.keras()
        from kexp import models  # brings TensorFlow: seconds

        models.check_factory(experiment.factory)


def search(
    experiment: Experiment,
    dataset: Dataset,
    store: RunStore,
    *,
    workers: int,
    pool: AbstractWorkers | None = None,
    listener: Listener = ignore,
) -> None:
    """Search on the saved data set of `store`, whose lock the caller holds; `keep_best` then chooses.

    `pool` is where it runs, a row of WORKERS; it is closed at the end.
    What has finished is in the journal at any moment; KeyboardInterrupt and bugs pass through after the workers ended.
    Raises ExperimentError for an oracle, factory, space or objective that cannot be, SearchError when nothing finished.
    """
    spec = dataset.spec
    check(experiment, spec)
    plan = _kept(store, budget(experiment, spec, len(dataset.rows("train"))))
    store.set("kind", spec.kind)
    store.set("task", spec.task)
    setup = Setup(
        home=str(store.root.parent.parent),
        run=store.name,
        batch_size=plan.batch_size,
        objective=experiment.objective,
        class_weight=experiment.class_weight,
    )
    pool = pool or WORKERS["processes"]()
    converters = None
    try:
        pool.begin(setup, workers, store.root / "workers.log")
        rows = len(dataset.rows("validation"))
        folds = Folds(dataset.folds, len(dataset.rows("train", EVERY))) if dataset.folds else NO_FOLDS
        sketches = pool.sketches(spec, experiment)
        variant = shipping(spec.kind, experiment.formats)
        ships = variant in formats(spec.kind, experiment.formats)
        names = (variant, FORMATS[variant].family)
        drops = {name: drop for name, drop in experiment.tolerances.items() if name in names}
        store.judge_files_by({"variant": variant, "ships": ships, "tolerances": drops})
        converters = pool.converters(Request(setup.home, store.name, variant, tuple(modules(experiment)), ships))
        found = Search(experiment, spec, sketches, store, pool, plan, rows, listener, folds, converters)
        text = f"{plan.epochs} epochs, batches of {plan.batch_size}, {len(found.outline.dimensions)} hyperparameters"
        listener(Event(kind="plan", text=text, planned=experiment.trials, seconds_left=experiment.seconds))
        found.run()
    finally:
        if converters is not None:
            converters.close()
        pool.close()
    store.finish()


def _kept(store: RunStore, plan: Budget) -> Budget:
    """`plan` with the rungs that this run began with: another number of trials must not mix their lengths."""
    rungs = store.get("rungs")
    if rungs is None:
        rungs = {"epochs": plan.epochs, "rungs": plan.rungs}
        store.set("rungs", rungs)
    return replace(plan, **rungs)


def pick_model(run: RunStore, how: str) -> Trial:
    """Make the network that `how`, a row of front.PICKS, means of the front of `run` its model; unless it is already.

    Raises RunError where a search is at work on it, or found nothing yet.
    """
    run.need_model()
    found = fronted(run)
    chosen = found.picks[how]
    if chosen.id != run.get("best_trial"):
        lean.keras()
        from kexp.search.keep import keep

        with run.lock():
            why = f"{PICKS[how][1]}, of {len(found.trials)} networks on the front; picked by hand"
            keep(run, Dataset.open(run.data), chosen, why)
    return chosen


def keep_best(run: RunStore, dataset: Dataset, experiment: Experiment) -> Trial:
    """Choose the best of what is in the journal of `run`, and write model.keras with its weights."""
    lean.keras()
    from kexp.search.keep import keep_best

    return keep_best(run, dataset, experiment)
