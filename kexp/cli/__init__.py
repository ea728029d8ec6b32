"""The command line: each command parses, calls one function of the pipeline, and prints.

stdout carries the answer alone: tables for people, or with --json one document on its last line. Exit status:
0 all good, 1 a check failed or there is something a person can mend, 2 wrong usage, 130 interrupted. The
pipeline is imported inside the commands: it brings TensorFlow, and `kexp --help` must not wait for it.

The modules beside this one hold the commands of one part of the work each; `commands` below puts them in order.
"""

from __future__ import annotations

import json
import os
import sys

import click

from kexp import lean
from kexp.cli import data, exporting, judging, running, runs, searching
from kexp.cli.basics import examples
from kexp.errors import KexpError


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


class _InOrder(click.Group):
    """Commands are listed in the order of the work, not of the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(
    cls=_InOrder,
    commands=[
        data.init,
        data.doctor,
        searching.search,
        runs.list_runs,
        runs.show,
        runs.compare,
        searching.baselines,
        searching.study,
        judging.evaluate,
        judging.diagnose,
        exporting.export,
        exporting.verify,
        running.run,
        running.bench,
        running.phone,
        runs.report,
        runs.clean,
    ],
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
