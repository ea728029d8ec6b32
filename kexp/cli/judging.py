"""How good a run's best network is, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import click

from kexp.cli.basics import answer, examples, home_option, json_option, work


@click.command(epilog=examples("kexp evaluate", "kexp evaluate digits --resplits 10", "kexp evaluate digits --json"))
@click.argument("name", required=False)
@click.option("--no-baselines", is_flag=True, help="Fit no simpler models: no verdict where there are none.")
@click.option(
    "--resplits",
    type=click.IntRange(2),
    metavar="N",
    help="Train the network and the best simpler model anew on N other splits of all rows, and ask the verdict of "
    "these: where there are few test rows it sees more.",
)
@home_option
@json_option
def evaluate(name: str | None, no_baselines: bool, resplits: int | None, home: Path, as_json: bool) -> None:
    """Measure a run's best network on the test rows.

    The run is NAME, or the latest finished one. Simpler models are fitted, once, and measured on the same rows: they
    tell whether deep learning was needed.
    """
    from kexp import live, pipeline, screen

    with work(), live.Steps() as steps:
        if not no_baselines:
            pipeline.fit_baselines(home, name, progress=steps)
        document = pipeline.evaluate(home, name, splits=resplits or 0, progress=steps)
    answer(as_json, document, screen.evaluation(document))


@click.command(epilog=examples("kexp diagnose", "kexp diagnose digits --variants", "kexp diagnose digits --json"))
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

    with work(), live.Steps() as steps:
        document = pipeline.diagnose(home, name, try_variants=variants, progress=steps)
    ok = not any(one.severity == "error" for one in document["findings"])
    answer(
        as_json,
        {**document, "ok": ok},
        *screen.diagnosis(document),
        screen.findings(document["findings"], document["run"]),
    )
    return 0 if ok else 1
