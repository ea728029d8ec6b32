"""Runs: which there are, what stands in them, what differs between them; the report of one, and clearing up."""

from __future__ import annotations

from pathlib import Path

import click

from kexp.cli.basics import answer, examples, home_option, json_option, work


@click.command("list", epilog=examples("kexp list", "kexp list --json"))
@home_option
@json_option
def list_runs(home: Path, as_json: bool) -> None:
    """List the runs, newest last."""
    from kexp import pipeline, screen

    with work():
        rows = pipeline.runs(home)
    answer(as_json, {"runs": rows}, screen.runs(rows))


@click.command(epilog=examples("kexp show", "kexp show digits --top 5", "kexp show digits --json"))
@click.argument("name", required=False)
@click.option("--top", type=click.IntRange(1), metavar="N", default=20, show_default=True, help="How many trials.")
@home_option
@json_option
def show(name: str | None, top: int, home: Path, as_json: bool) -> None:
    """Show the leaderboard of a run, NAME or the latest."""
    from kexp import pipeline, screen

    with work():
        document = pipeline.show(home, name)
    phones = [screen.devices(document["devices"])] if document.get("devices") else []
    front = [screen.front(document)] if len(document.get("front", {}).get("trials", [])) > 1 else []
    taught = [screen.teachers(document)] if document.get("clustering") else []
    simpler = [screen.baselines(document)] if document.get("baselines") else []
    answer(as_json, document, screen.leaderboard(document, top), *front, *taught, *simpler, *phones)


@click.command(epilog=examples("kexp compare digits digits_small", "kexp compare a b c --json"))
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

    with work():
        document = pipeline.compare(home, names)
    answer(as_json, document, screen.comparison(document))


@click.command(
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
        with work():
            folder, trials = pipeline.tensorboard(home, logs, name)
        told = f"{folder}  {trials} trial{'' if trials == 1 else 's'}"
        answer(as_json, {"folder": folder, "trials": trials}, told, screen.following(f"tensorboard --logdir {logs}"))
        return

    with work(), live.Steps() as steps:
        path, found = pipeline.report(home, name, out=out, progress=steps)
    bytes = path.stat().st_size
    document = {"file": path, "bytes": bytes, "sections": found.sections, "missing": found.missing}
    answer(as_json, document, *map(screen.dim, found.missing), f"{path}  {screen.size(bytes)}")


@click.command(epilog=examples("kexp clean digits", "kexp clean"))
@click.argument("names", nargs=-1)
@home_option
@json_option
def clean(names: tuple[str, ...], home: Path, as_json: bool) -> None:
    """Free what finished runs no longer need.

    Weights of trials that lost are removed, of the runs NAMES, or of all; and decoded pictures of more than a day
    ago, which the next search decodes again.
    """
    from kexp import pipeline, screen

    with work():
        freed = pipeline.clean(home, names)
    answer(as_json, {"bytes": freed}, screen.dim(f"{screen.size(freed)} freed"))
