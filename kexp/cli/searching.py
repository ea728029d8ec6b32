"""What trains: the search, simpler models beside it, and what is varied around its best network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from kexp.cli.basics import (
    Parsed,
    Row,
    answer,
    at_home,
    column_options,
    examples,
    home_option,
    json_option,
    question_options,
    sample_options,
    work,
)
from kexp.cli.data import doctor
from kexp.experiment import asked
from kexp.quantities import format_duration, parse_bytes, parse_count, parse_duration, parse_milliseconds
from kexp.wording import typed

OWN = ("source", "home", "as_json")  # parameters of the doctor that do not say what the data are


@click.command(
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
@question_options
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
@sample_options
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
@column_options
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

    with work(), live.SearchView(experiment.objective) as view:
        ended = pipeline.search(
            experiment, home=home, base=base, workers=workers, fresh=fresh, listener=view, doctor=_doctor(source)
        )
        document = pipeline.show(home, experiment.name)
    if not ended:
        screen.show(screen.warning("interrupted: the best so far; the same command goes on"), stderr=True)
    answer(
        as_json,
        document,
        screen.leaderboard(document, top=5),
        screen.following(at_home(f"kexp export {experiment.name} --tflite")),
    )


def _doctor(source: str) -> str:
    """`kexp doctor SOURCE` with what was typed to say what the data are: without it another question is examined."""
    context = click.get_current_context()
    words = ["kexp", "doctor", source]
    for option in doctor.params:
        name = option.name or ""
        if name in OWN or context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        given = context.params[name]
        if name == "size":
            given = "x".join(map(str, given))
        elif name == "length":
            given = format_duration(given)
        for value in given if isinstance(given, tuple) else (given,):
            words += [option.opts[0], str(value)]
    return " ".join(map(typed, words))


@click.command(
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

    with work(), live.Steps() as steps:
        document = pipeline.fit_baselines(home, name, only, again=again, seconds=time, progress=steps)
    answer(as_json, document, screen.baselines(document), screen.following(at_home(f"kexp evaluate {document['run']}")))


@click.command(epilog=examples("kexp study", "kexp study digits --time 30m --json"))
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

    with work(), live.Steps() as steps:
        document = pipeline.study(home, name, workers=workers, seeds=seeds, seconds=time, progress=steps)
    answer(as_json, document, screen.study(document))
