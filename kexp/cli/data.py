"""Before a search: an experiment file for data, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kexp.cli.basics import (
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
from kexp.wording import typed


@click.command(
    epilog=examples(
        "kexp init ../photos",
        "kexp init adult.csv --target income",
        "kexp init sounds.csv --target label --group-column speaker",
        "kexp init sales.csv --horizon 7",
    )
)
@click.argument("data")
@question_options
@column_options
@sample_options
@click.option("--name", help="Of the experiment; otherwise the data's.")
@click.option("--force", is_flag=True, help="Write over an experiment file that exists.")
@home_option
@json_option
def init(data: str, force: bool, home: Path, as_json: bool, **options: Any) -> None:
    """Look at DATA and write an experiment file."""
    from kexp import live, pipeline, screen

    with work(), live.Steps() as steps:
        found = pipeline.init(data, home=home, force=force, progress=steps, **options)
    facts = [line for line in found.lines if line[0] not in ("notice", "doctor")]
    document = {
        "experiment": found.experiment,
        "toml": found.toml,
        "lines": dict(facts),
        "notices": list(found.notices),
        "findings": found.findings,
    }
    answer(
        as_json,
        document,
        screen.facts(facts, found.notices),
        *screen.brief(found.findings, f"kexp doctor {typed(found.toml)}"),
        screen.following(at_home(f"kexp search {typed(found.toml)}"), "that file may be edited first"),
    )


@click.command(
    epilog=examples(
        "kexp doctor ../photos",
        "kexp doctor adult.csv --target income",
        "kexp doctor experiments/adult.toml --json",
        "kexp doctor digits",
    )
)
@click.argument("source", metavar="EXPERIMENT.toml|DATA|RUN")
@question_options
@column_options
@sample_options
@home_option
@json_option
def doctor(source: str, home: Path, as_json: bool, **options: Any) -> int:
    """Say what is wrong with data.

    By file and row: what cannot be read, leaks of the target, copies, contradicting labels, and more, with what to
    do about each. Of a RUN: the validation rows whose label its best network contradicts. The exit status is 1 if
    there is an error, with which training would be meaningless.
    """
    from kexp import live, pipeline, screen

    with work(), live.Steps() as steps:
        of, found = pipeline.doctor(source, home=home, progress=steps, **options)
    document = {"of": of, "ok": not any(one.severity == "error" for one in found), "findings": found}
    answer(as_json, document, screen.findings(found, of))
    return 0 if document["ok"] else 1
