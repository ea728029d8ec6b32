"""From a network to files, each of them checked."""

from __future__ import annotations

from pathlib import Path

import click

from kexp.cli.basics import F, Parsed, Row, answer, examples, home_option, json_option, target_option, task_option, work
from kexp.experiment import asked, sanitised
from kexp.records import Goal


def _families(command: F) -> F:
    """An option for each family of formats, and --all."""
    from kexp.formats import FAMILIES

    told = {**FAMILIES, "all": "Everything that suits the data."}
    for name, what in reversed(told.items()):
        command = click.option(f"--{name.replace('_', '-')}", name, is_flag=True, help=what)(command)
    return command


def _tolerance(text: str) -> tuple[str, float]:
    format, _, drop = text.partition("=")
    if not drop or not float(drop) >= 0:
        raise ValueError("FORMAT=DROP, such as tflite_int8=0.02, is expected")
    return format, float(drop)


@click.command(
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
    with work(), live.Steps() as steps:
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
    answer(
        as_json,
        document,
        *map(screen.dim, notices),
        screen.verdicts(made.artifacts, made.checks, made.failures),
        screen.dim(str(made.folder)),
    )
    return 0 if made.ok else 1


@click.command(epilog=examples("kexp verify exported/digits"))
@click.argument("folder", type=click.Path(path_type=Path))
@json_option
def verify(folder: Path, as_json: bool) -> int:
    """Check exported files again.

    The files in FOLDER go through the gate that export put them through, from the files alone.
    """
    from kexp import pipeline, screen

    with work():
        artifacts, checks = pipeline.verify_folder(folder)
    answer(as_json, {"artifacts": artifacts, "checks": checks}, screen.verdicts(artifacts, checks, {}))
    return 0 if all(check.ok for check in checks) else 1
