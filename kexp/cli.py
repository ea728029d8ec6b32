"""The command line: each command parses, calls one function of the pipeline, and prints.

stdout carries the answer alone: tables for people, or with --json one document on its last line. Exit status:
0 all good, 1 a check failed or there is something a person can mend, 2 wrong usage, 130 interrupted. The
pipeline is imported inside the commands: it brings TensorFlow, and `kexp --help` must not wait for it.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kexp import lean
from kexp.errors import KexpError, nearest
from kexp.experiment import asked, parse_bytes, parse_count, parse_duration, parse_milliseconds, parse_size, sanitised
from kexp.records import Goal, Kind, to_json

if TYPE_CHECKING:
    from rich.console import RenderableType

    from kexp.phone import Way

F = TypeVar("F", bound=Callable[..., Any])


def main() -> None:
    """Run the command in sys.argv. What a person can mend is one message; a bug keeps its traceback."""
    # TensorFlow's start-up chatter, in this process and its children, unless somebody asks for it.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    lean.ours = True
    try:
        status = commands.main(prog_name="kexp", standalone_mode=False)
    except KexpError as error:
        click.echo(f"{click.style('error:', fg='red', bold=True)} {error}", err=True)
        _say_error(str(error))
        status = 1
    except click.ClickException as error:
        error.show()
        _say_error(error.format_message())
        status = error.exit_code
    except click.Abort:
        click.echo("interrupted", err=True)
        _say_error("interrupted")
        status = 130
    sys.exit(status)


def _say_error(text: str) -> None:
    if "--json" in sys.argv[1:]:
        click.echo(json.dumps({"error": text}, ensure_ascii=False))


# -- what the commands share ---------------------------------------------------------------------


class Row(click.ParamType):  # type: ignore[type-arg]  # generic only in newer versions
    """The name of a row of a table, looked up only when given; "module:function" too, if `own`."""

    name = "name"

    def __init__(self, module: str, table: str, *, own: bool = False) -> None:
        self.module, self.table, self.own = module, table, own

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name as it is; wrong usage, with the nearest name, if there is no such row."""
        with _work():
            rows = getattr(importlib.import_module(self.module), self.table)
        if value not in rows and not (self.own and ":" in value):
            self.fail(f"{value!r} is not known.{nearest(value, rows)}", param, ctx)
        return str(value)


class Parsed(click.ParamType):  # type: ignore[type-arg]
    """Text that `parse` understands or refuses with a ValueError."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name, self.parse = name, parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """What `parse` makes of it."""
        try:
            return self.parse(value)
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)


class _InOrder(click.Group):
    """Commands are listed in the order of the work, not of the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


def _tolerance(text: str) -> tuple[str, float]:
    format, _, drop = text.partition("=")
    if not drop or not float(drop) >= 0:
        raise ValueError("FORMAT=DROP, such as tflite_int8=0.02, is expected")
    return format, float(drop)


home_option = click.option(
    "--home",
    envvar="KEXP_HOME",
    default=".",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where runs/ and exported/ lie. Default: KEXP_HOME, or the current folder.",
)
json_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="One JSON document as the last line of stdout, all else to stderr.",
)
target_option = click.option("--target", multiple=True, metavar="COLUMN", help="What to predict; may be repeated.")
task_option = click.option("--task", type=click.Choice(typing.get_args(Goal)), help="Otherwise told from the target.")
clusters_option = click.option(
    "--clusters", type=click.IntRange(2), metavar="N", help="For --task clustering: so many. Otherwise found out."
)
split_option = click.option("--split-column", metavar="COLUMN", help="It says train, validation or test for each row.")
group_option = click.option("--group-column", metavar="COLUMN", help="Rows of one group stay in one part.")
time_option = click.option("--time-column", metavar="COLUMN", help="The oldest rows train, the newest test.")
drop_option = click.option(
    "--drop", multiple=True, metavar="COLUMN", help="A column that is no input; may be repeated."
)
kind_option = click.option(
    "--kind", type=click.Choice(typing.get_args(Kind)), help="Where a file may be read in two ways."
)
steps_option = click.option(
    "--steps", type=click.IntRange(2), metavar="N", help="Of a series; a long table is cut into windows."
)
stride_option = click.option("--stride", type=click.IntRange(1), metavar="N", help="From one window to the next.")
horizon_option = click.option("--horizon", type=click.IntRange(1), metavar="N", help="Forecast so many next values.")


def _families(command: F) -> F:
    """An option for each family of formats, and --all."""
    from kexp.formats import FAMILIES

    told = {**FAMILIES, "all": "Everything that suits the data."}
    for name, what in reversed(told.items()):
        command = click.option(f"--{name.replace('_', '-')}", name, is_flag=True, help=what)(command)
    return command


def examples(*lines: str) -> str:
    """The end of a command's help."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


@contextlib.contextmanager
def _work() -> Iterator[None]:
    """While this lasts stdout is silent: what Python prints goes to stderr, what native code prints nowhere.

    TensorFlow and LiteRT announce themselves at any log level. TF_CPP_MIN_LOG_LEVEL=0 lets all through.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    # Left open: loggers that are made meanwhile keep it, and may speak when Python ends.
    voice = open(os.dup(2), "w", buffering=1, encoding="utf-8", errors="backslashreplace")  # noqa: PTH123, SIM115
    nowhere = os.open(os.devnull, os.O_WRONLY)
    native = 2 if os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3") < "3" else nowhere
    os.dup2(native, 1)
    os.dup2(native, 2)
    try:
        with contextlib.redirect_stdout(voice), contextlib.redirect_stderr(voice):
            yield
    finally:
        voice.flush()
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)
        for descriptor in (*kept, nowhere):
            os.close(descriptor)


def _notice(text: str) -> None:
    from kexp import screen

    screen.show(screen.dim(text), stderr=True)


def _answer(as_json: bool, document: Any, *tables: RenderableType) -> None:
    if as_json:
        click.echo(json.dumps(to_json(document), ensure_ascii=False, allow_nan=False, default=os.fspath))
    else:
        from kexp import screen

        screen.show(*tables)


@click.group(
    cls=_InOrder,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=examples(
        "kexp search sklearn:digits --time 2m",
        "kexp export digits --tflite",
        "kexp run exported/digits/model_int8.tflite picture.png",
    ),
)
@click.version_option(package_name="kexp")
def commands() -> None:
    """From labelled data to a small, tuned, verified neural network that runs on a phone."""


# -- the commands, in the order of the work ------------------------------------------------------


@commands.command(epilog=examples("kexp init ../photos", "kexp init adult.csv --target income"))
@click.argument("data")
@target_option
@task_option
@clusters_option
@click.option("--name", help="Of the experiment; otherwise the data's.")
@click.option("--force", is_flag=True, help="Write over an experiment file that exists.")
@home_option
@json_option
def init(
    data: str,
    target: tuple[str, ...],
    task: Goal | None,
    clusters: int | None,
    name: str | None,
    force: bool,
    home: Path,
    as_json: bool,
) -> None:
    """Look at DATA and write an experiment file."""
    from kexp import live, pipeline, screen

    with _work(), live.Steps() as steps:
        found = pipeline.init(
            data, home=home, target=target, task=task, clusters=clusters, name=name, force=force, progress=steps
        )
    facts = [line for line in found.lines if line[0] not in ("notice", "doctor")]
    document = {
        "experiment": found.experiment,
        "toml": found.toml,
        "lines": dict(facts),
        "notices": list(found.notices),
        "findings": found.findings,
    }
    _answer(
        as_json,
        document,
        screen.facts(facts, found.notices),
        *screen.brief(found.findings, data),
        screen.following(f"kexp search {found.toml}", "that file may be edited first"),
    )


@commands.command(
    epilog=examples(
        "kexp doctor ../photos",
        "kexp doctor adult.csv --target income",
        "kexp doctor experiments/adult.toml --json",
        "kexp doctor digits",
    )
)
@click.argument("source", metavar="EXPERIMENT.toml|DATA|RUN")
@target_option
@task_option
@clusters_option
@split_option
@group_option
@time_option
@drop_option
@kind_option
@steps_option
@stride_option
@horizon_option
@home_option
@json_option
def doctor(source: str, home: Path, as_json: bool, **options: Any) -> int:
    """Say what is wrong with data.

    By file and row: what cannot be read, leaks of the target, copies, contradicting labels, and more, with what to
    do about each. Of a RUN: the validation rows whose label its best network contradicts. The exit status is 1 if
    there is an error, with which training would be meaningless.
    """
    from kexp import live, pipeline, screen

    with _work(), live.Steps() as steps:
        of, found = pipeline.doctor(source, home=home, progress=steps, **options)
    document = {"of": of, "ok": not any(one.severity == "error" for one in found), "findings": found}
    _answer(as_json, document, screen.findings(found, of))
    return 0 if document["ok"] else 1


@commands.command(
    epilog=examples(
        "kexp search experiments/digits.toml",
        "kexp search ../photos --time 30m --workers 2",
        "kexp search adult.csv --target income --trials 100 --oracle bayesian",
        "kexp search ../photos --time 30m --max-parameters 100k",
        "kexp search ../photos --objective accuracy --objective size",
        "kexp search sales.csv --horizon 7",
        "kexp search customers.csv --task clustering --clusters 5",
    )
)
@click.argument("source", metavar="EXPERIMENT.toml|DATA")
@target_option
@task_option
@clusters_option
@click.option("--time", type=Parsed("duration", parse_duration), help="Stop after this long: 90s, 10m, 1h30m.")
@click.option(
    "--trials",
    type=click.IntRange(1),
    metavar="N",
    help="Stop after so many. Neither given: 40 trials or 10m.",
)
@click.option(
    "--epochs",
    type=click.IntRange(1),
    metavar="N",
    help="Passes over the training rows of every explored trial. Not given: the best so far train for longer.",
)
@click.option("--batch-size", type=click.IntRange(1), metavar="N", help="Training rows per step.")
@click.option("--seed", type=click.IntRange(0), metavar="N", help="The same seed searches the same trials.")
@click.option("--folds", type=click.IntRange(0), metavar="N", help="Leading trials run on N folds. Of few rows: 5.")
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Processes that train at the same time.")
@click.option(
    "--oracle",
    type=Row("kexp.search.oracles", "ORACLES"),
    help="evolution, random, bayesian, hyperband, tpe, nsga2 or grid.",
)
@click.option(
    "--factory",
    type=Row("kexp.models", "FACTORIES", own=True),
    help="dense, conv, conv1d, conv_sound, conv_clip, backbone, or your own module:function.",
)
@click.option("--name", help="Of the run; otherwise the experiment's.")
@click.option("--fresh", is_flag=True, help="Start anew; an earlier run of that name is kept aside.")
@kind_option
@click.option("--size", type=Parsed("size", parse_size), help="Height x width of pictures and clips, such as 48x64.")
@click.option("--length", type=Parsed("duration", parse_duration), help="That sounds are brought to: 1s.")
@click.option("--rate", type=click.IntRange(1), metavar="HZ", help="That sounds are brought to.")
@click.option("--frames", type=click.IntRange(1), metavar="N", help="Of a clip.")
@steps_option
@stride_option
@horizon_option
@click.option(
    "--objective",
    multiple=True,
    help="What ranks the trials: accuracy, balanced_accuracy, f1, auc, log_loss, rmse ... May be repeated, with what "
    "is sought beside it: size, latency, memory, parameters.",
)
@click.option(
    "--class-weight",
    type=click.Choice(["none", "balanced"]),
    help="balanced: in training each class counts as much as any other, however few its rows.",
)
@click.option(
    "--max-parameters",
    type=Parsed("count", parse_count),
    metavar="N",
    help="Train no network with more: 100000, 100k, 1.5M.",
)
@click.option(
    "--max-size",
    type=Parsed("size", parse_bytes),
    metavar="SIZE",
    help="Train none whose int8 file would be larger: 150kB, 1.5MB. 1 kB is 1,000 bytes.",
)
@click.option(
    "--max-latency",
    type=Parsed("time", parse_milliseconds),
    metavar="TIME",
    help="Train none that would take longer for one sample, on this machine with one thread: 5ms.",
)
@click.option(
    "--max-memory",
    type=Parsed("size", parse_bytes),
    metavar="SIZE",
    help="Train none that would need more beside its weights, an estimate: 256kB.",
)
@split_option
@group_option
@time_option
@drop_option
@home_option
@json_option
def search(
    source: str, name: str | None, workers: int | None, fresh: bool, home: Path, as_json: bool, **options: Any
) -> None:
    """Search for the best network.

    EXPERIMENT.toml holds the question; for DATA alone, all else is derived from them. Ctrl-C once ends the
    search with what is finished; the same command goes on from there.
    """
    experiment, base = asked(source, name=name, **options)

    from kexp import live, pipeline, screen

    with _work(), live.SearchView(experiment.objective) as view:
        ended = pipeline.search(experiment, home=home, base=base, workers=workers, fresh=fresh, listener=view)
        document = pipeline.show(home, experiment.name)
    if not ended:
        screen.show(screen.warning("interrupted: the best so far; the same command goes on"), stderr=True)
    _answer(
        as_json,
        document,
        screen.leaderboard(document, top=5),
        screen.following(f"kexp export {experiment.name} --tflite"),
    )


@commands.command("list", epilog=examples("kexp list", "kexp list --json"))
@home_option
@json_option
def list_runs(home: Path, as_json: bool) -> None:
    """List the runs, newest last."""
    from kexp import pipeline, screen

    with _work():
        rows = pipeline.runs(home)
    _answer(as_json, {"runs": rows}, screen.runs(rows))


@commands.command(epilog=examples("kexp show", "kexp show digits --top 5", "kexp show digits --json"))
@click.argument("name", required=False)
@click.option("--top", type=click.IntRange(1), metavar="N", default=20, show_default=True, help="How many trials.")
@home_option
@json_option
def show(name: str | None, top: int, home: Path, as_json: bool) -> None:
    """Show the leaderboard of a run, NAME or the latest."""
    from kexp import pipeline, screen

    with _work():
        document = pipeline.show(home, name)
    phones = [screen.devices(document["devices"])] if document.get("devices") else []
    front = [screen.front(document)] if len(document.get("front", {}).get("trials", [])) > 1 else []
    taught = [screen.teachers(document)] if document.get("clustering") else []
    simpler = [screen.baselines(document)] if document.get("baselines") else []
    _answer(as_json, document, screen.leaderboard(document, top), *front, *taught, *simpler, *phones)


@commands.command(epilog=examples("kexp compare digits digits_small", "kexp compare a b c --json"))
@click.argument("names", nargs=-1, required=True, metavar="RUN RUN...")
@home_option
@json_option
def compare(names: tuple[str, ...], home: Path, as_json: bool) -> None:
    """Say what differs between runs.

    Of two RUNs or more: the question, what was spent, the best networks with their values, sizes and times; and
    whether one is better, where kexp evaluate measured them on the same test rows.
    """
    if len(names) < 2:
        raise click.UsageError("two runs or more are expected; kexp list names them")

    from kexp import pipeline, screen

    with _work():
        document = pipeline.compare(home, names)
    _answer(as_json, document, screen.comparison(document))


@commands.command(
    epilog=examples(
        "kexp baselines", "kexp baselines digits --only forest --again", "kexp baselines digits --only h2o --time 5m"
    )
)
@click.argument("name", required=False)
@click.option("--only", multiple=True, type=Row("kexp.baselines", "BASELINES"), help="This one alone; may be repeated.")
@click.option("--again", is_flag=True, help="Fit what was fitted before, too.")
@click.option("--time", type=Parsed("duration", parse_duration), help="For each, about; otherwise 60s.")
@home_option
@json_option
def baselines(
    name: str | None, only: tuple[str, ...], again: bool, time: float | None, home: Path, as_json: bool
) -> None:
    """Fit simpler models on the rows of a run.

    Linear models, neighbours, forests and more, on the rows that the networks of NAME, or of the latest run, were
    trained on; kexp show lists them, kexp evaluate says whether deep learning was needed. H2O AutoML, an extra that
    needs Java, is one of them where --only h2o asks for it.
    """
    from kexp import live, pipeline, screen

    with _work(), live.Steps() as steps:
        document = pipeline.fit_baselines(home, name, only, again=again, seconds=time, progress=steps)
    _answer(as_json, document, screen.baselines(document), screen.following(f"kexp evaluate {document['run']}"))


@commands.command(epilog=examples("kexp study", "kexp study digits --time 30m --json"))
@click.argument("name", required=False)
@click.option("--time", type=Parsed("duration", parse_duration), help="About; otherwise 10m.")
@click.option("--seeds", type=click.IntRange(2), metavar="N", help="Networks of each kind that are trained; else 3.")
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Processes that train at the same time.")
@home_option
@json_option
def study(
    name: str | None, time: float | None, seeds: int | None, workers: int | None, home: Path, as_json: bool
) -> None:
    """Tell how many layers and neurons are enough.

    Around the best network of NAME, or of the latest run, one thing at a time is varied and trained under several
    seeds. It is trained on fewer rows too, which tells whether more would help; of a table each column is shuffled.
    """
    from kexp import live, pipeline, screen

    with _work(), live.Steps() as steps:
        document = pipeline.study(home, name, workers=workers, seeds=seeds, seconds=time, progress=steps)
    _answer(as_json, document, screen.study(document))


@commands.command(epilog=examples("kexp evaluate", "kexp evaluate digits --json"))
@click.argument("name", required=False)
@click.option("--no-baselines", is_flag=True, help="Fit no simpler models: no verdict where there are none.")
@home_option
@json_option
def evaluate(name: str | None, no_baselines: bool, home: Path, as_json: bool) -> None:
    """Measure a run's best network on the test rows.

    The run is NAME, or the latest finished one. Simpler models are fitted, once, and measured on the same rows: they
    tell whether deep learning was needed.
    """
    from kexp import live, pipeline, screen

    with _work(), live.Steps() as steps:
        if not no_baselines:
            pipeline.fit_baselines(home, name, progress=steps)
        document = pipeline.evaluate(home, name)
    _answer(as_json, document, screen.evaluation(document))


@commands.command(epilog=examples("kexp diagnose", "kexp diagnose digits --variants", "kexp diagnose digits --json"))
@click.argument("name", required=False)
@click.option(
    "--variants/--no-variants",
    default=None,
    help="Short trainings with another learning rate, another activation, more units: up to some minutes. Not given: "
    "where a finding may have such a cause.",
)
@home_option
@json_option
def diagnose(name: str | None, variants: bool | None, home: Path, as_json: bool) -> int:
    """Say what is wrong with a network.

    Of the run NAME, or the latest finished one: dead and saturated units, gradients, learning rate, over- and underfit,
    calibration, and one sample layer by layer; of a run that failed, what its journal shows. Test rows are not read.
    The exit status is 1 if there is an error, with which the network is of no use.
    """
    from kexp import live, pipeline, screen

    with _work(), live.Steps() as steps:
        document = pipeline.diagnose(home, name, try_variants=variants, progress=steps)
    ok = not any(one.severity == "error" for one in document["findings"])
    _answer(
        as_json,
        {**document, "ok": ok},
        *screen.diagnosis(document),
        screen.findings(document["findings"], document["run"]),
    )
    return 0 if ok else 1


@commands.command(
    epilog=examples(
        "kexp export --tflite",
        "kexp export digits --format tflite_int8 --format saved_model",
        "kexp export digits --tflite --tolerance tflite_int8=0.02",
        "kexp export digits --all",
        "kexp export digits --pick smallest --tflite",
        "kexp export my_model.keras --data ../photos --tflite",
    )
)
@click.argument("name", required=False, metavar="[RUN|MODEL.keras]")
@_families
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=Row("kexp.formats", "FORMATS"),
    help="One format; may be repeated. None at all: those of the experiment, or keras, saved_model and tflite.",
)
@click.option(
    "--tolerance",
    "tolerances",
    multiple=True,
    type=Parsed("format=drop", _tolerance),
    help="Largest drop of the metric that passes the gate; may be repeated.",
)
@click.option(
    "--pick",
    type=Row("kexp.front", "PICKS"),
    help="Of the run's front: best, smallest, fastest or knee. It is the run's network from then on.",
)
@click.option("--data", help="For MODEL.keras: the data, or the experiment file, that it is for.")
@target_option
@task_option
@click.option("--name", "called", help="For MODEL.keras: the name of the export; otherwise the file's.")
@click.option("--module", "modules", multiple=True, help="For MODEL.keras: registers its own layers; may be repeated.")
@home_option
@json_option
def export(
    name: str | None,
    formats: tuple[str, ...],
    tolerances: tuple[tuple[str, float], ...],
    pick: str | None,
    data: str | None,
    target: tuple[str, ...],
    task: Goal | None,
    called: str | None,
    modules: tuple[str, ...],
    home: Path,
    as_json: bool,
    **families: bool,
) -> int:
    """Write a run's best network, every file checked.

    The run is NAME, or the latest finished one; the files go to exported/NAME. A file that fails its gate is
    not left there, and the exit status is 1. A Keras model that kexp did not make goes the same way, with the data
    that it is for.
    """
    from kexp import live, pipeline, screen

    model = Path(name) if name and name.endswith((".keras", ".h5")) else None
    if model is not None and data is None:
        raise click.UsageError(f"{name} needs --data with the data that it is for")
    if model is None and (data or target or task or called or modules):
        raise click.UsageError("--data, --target, --task, --name and --module go with a MODEL.keras")
    if model is not None and pick:
        raise click.UsageError("--pick goes with a run: a MODEL.keras has no front")
    wanted = [*(family for family, given in families.items() if given), *formats]
    if wanted and "keras" not in wanted:
        wanted.append("keras")
    notices: list[str] = []
    with _work(), live.Steps() as steps:
        if model is None or data is None:
            made = pipeline.export(home, name, wanted, dict(tolerances), steps, pick=pick)
        else:
            question, base = asked(data, name=sanitised(called or model.stem), target=target, task=task)
            made, notices = pipeline.export_model(
                model,
                question,
                home=home,
                base=base,
                wanted=wanted,
                tolerances=dict(tolerances),
                own=modules,
                progress=steps,
            )
    document = {
        "folder": made.folder,
        "artifacts": made.artifacts,
        "checks": made.checks,
        "failures": made.failures,
        "ok": made.ok,
    }
    if model is not None:
        document["notices"] = notices
    _answer(
        as_json,
        document,
        *map(screen.dim, notices),
        screen.verdicts(made.artifacts, made.checks, made.failures),
        screen.dim(str(made.folder)),
    )
    return 0 if made.ok else 1


@commands.command(epilog=examples("kexp verify exported/digits"))
@click.argument("folder", type=click.Path(path_type=Path))
@json_option
def verify(folder: Path, as_json: bool) -> int:
    """Check exported files again.

    The files in FOLDER go through the gate that export put them through, from the files alone.
    """
    from kexp import pipeline, screen

    with _work():
        artifacts, checks = pipeline.verify_folder(folder)
    _answer(as_json, {"artifacts": artifacts, "checks": checks}, screen.verdicts(artifacts, checks, {}))
    return 0 if all(check.ok for check in checks) else 1


@commands.command(
    epilog=examples(
        "kexp run exported/photos/model_int8.tflite cat.jpg dog.jpg",
        "kexp run exported/adult/model_int8.tflite rows.csv --json",
        "kexp run exported/photos/model_int8.tflite cat.jpg --repeat 100",
    )
)
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--repeat",
    type=click.IntRange(1),
    metavar="N",
    default=1,
    show_default=True,
    help="Run each so often, for p50, p95.",
)
@click.option(
    "--top",
    type=click.IntRange(1),
    metavar="N",
    default=3,
    show_default=True,
    help="How many labels of each.",
)
@json_option
def run(model: Path, inputs: tuple[Path, ...], repeat: int, top: int, as_json: bool) -> None:
    """Run an exported file on inputs.

    INPUTS are pictures, CSV files with a header and rows, or .npy arrays. TensorFlow is not loaded.
    """
    from kexp import predict, screen

    with _work():
        answers = predict.run(model, inputs, repeat=repeat, top=top)
    _answer(as_json, {"model": model, "predictions": answers}, screen.predictions(answers))


@commands.command(epilog=examples("kexp bench", "kexp bench digits --threads 1 --threads 2"))
@click.argument("what", required=False, metavar="[RUN|FOLDER]")
@click.option(
    "--threads", type=click.IntRange(1), multiple=True, metavar="N", default=(1,), help="Default: 1; may be repeated."
)
@home_option
@json_option
def bench(what: str | None, threads: tuple[int, ...], home: Path, as_json: bool) -> int:
    """Measure how fast exported files are here.

    Every file of the run RUN, of the latest, or in FOLDER, one sample at a time, each in a fresh process. Phones that
    opened the page of kexp phone stand in the same table. Leave the machine alone meanwhile.
    """
    from kexp import live, pipeline, screen

    with _work(), live.Steps() as steps:
        found, missing = pipeline.bench(home, what, threads=sorted(set(threads)), progress=steps)
    _answer(as_json, {"measurements": found, "failures": missing}, screen.measurements(found, missing))
    return 1 if missing else 0


@commands.command(epilog=examples("kexp phone", "kexp phone digits --https", "kexp phone exported/digits --adb"))
@click.argument("what", metavar="[RUN|FOLDER]", required=False)
@click.option("--https", is_flag=True, help="With a certificate that the phone is told to trust once.")
@click.option("--adb", is_flag=True, help="To an Android phone on a USB cable.")
@click.option("--host", metavar="ADDRESS", help="Of this computer. Default: the one in the local network.")
@click.option("--port", type=click.IntRange(0, 65535), metavar="N", help="Default: 8765; in use: a free one, as for 0.")
@click.option("--once", is_flag=True, help="End when one phone has measured every file.")
@click.option("--for", "seconds", type=Parsed("duration", parse_duration), help="End after this long: 90s, 10m.")
@home_option
@json_option
def phone(
    what: str | None,
    https: bool,
    adb: bool,
    host: str | None,
    port: int | None,
    once: bool,
    seconds: float | None,
    home: Path,
    as_json: bool,
) -> int:
    """Serve the page that a phone opens.

    It runs the exported files of RUN, the latest if not named, or those in FOLDER, on pictures or rows and against
    the golden vectors, and sends back how fast each is. Plain http lets a phone take photos; a live camera and
    offline use need --https or --adb. Ctrl-C ends it. With --once or --for the exit status is 1 if a check failed.
    """
    if adb and (https or host):
        raise click.UsageError("--adb leads the phone to http://localhost, which it trusts: no --https, no --host.")

    from kexp import pipeline, screen

    failed = False
    with contextlib.ExitStack() as stack:
        with _work():
            way: Way = "adb" if adb else "https" if https else "http"
            opening = pipeline.phone(home, what, way=way, host=host, port=port, notice=_notice)
            session = stack.enter_context(opening)
        screen.show(screen.invitation(session.invitation), stderr=True)
        for received, kept in session.results(once=once, seconds=seconds):
            screen.show(screen.received(received, kept), stderr=as_json)
            failed |= not all(check.ok for result in received.results for check in result.checks)
        document = session.document()
    if as_json:
        _answer(as_json, document)
    return int(failed and (once or seconds is not None))


@commands.command(
    epilog=examples("kexp report", "kexp report digits --out digits.html", "kexp report digits --tensorboard logs")
)
@click.argument("name", required=False)
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Otherwise runs/NAME/report.html.")
@click.option(
    "--tensorboard",
    "logs",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Instead, event files in DIR/NAME: what trials reached, epoch by epoch, and their hyperparameters.",
)
@home_option
@json_option
def report(name: str | None, out: Path | None, logs: Path | None, home: Path, as_json: bool) -> None:
    """Write all about a run as one HTML file.

    The run is NAME, or the latest finished one. The file opens in any browser, offline. What was evaluated, exported
    or measured on phones before stands in it.
    """
    if out is not None and logs is not None:
        raise click.UsageError("--out is of the HTML file, which --tensorboard does not write: one of the two.")

    from kexp import live, pipeline, screen

    if logs is not None:
        with _work():
            folder, trials = pipeline.tensorboard(home, logs, name)
        told = f"{folder}  {trials} trial{'' if trials == 1 else 's'}"
        _answer(as_json, {"folder": folder, "trials": trials}, told, screen.following(f"tensorboard --logdir {logs}"))
        return

    with _work(), live.Steps() as steps:
        path, found = pipeline.report(home, name, out=out, progress=steps)
    bytes = path.stat().st_size
    document = {"file": path, "bytes": bytes, "sections": found.sections, "missing": found.missing}
    _answer(as_json, document, *map(screen.dim, found.missing), f"{path}  {screen.size(bytes)}")


@commands.command(epilog=examples("kexp clean digits", "kexp clean"))
@click.argument("names", nargs=-1)
@home_option
@json_option
def clean(names: tuple[str, ...], home: Path, as_json: bool) -> None:
    """Free what finished runs no longer need.

    Weights of trials that lost are removed, of the runs NAMES, or of all; and decoded pictures of more than a day
    ago, which the next search decodes again.
    """
    from kexp import pipeline, screen

    with _work():
        freed = pipeline.clean(home, names)
    _answer(as_json, {"bytes": freed}, screen.dim(f"{screen.size(freed)} freed"))
