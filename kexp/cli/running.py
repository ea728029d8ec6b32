"""Exported files at work: on inputs, against the clock, on a phone."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kexp.cli.basics import Parsed, answer, examples, home_option, json_option, notice, work
from kexp.quantities import parse_duration

if TYPE_CHECKING:
    from kexp.phone import Way


@click.command(
    epilog=examples(
        "kexp run exported/photos/model_int8.tflite cat.jpg dog.jpg",
        "kexp run exported/adult/model_int8.tflite rows.csv --json",
        "kexp run exported/words/model_int8.tflite yes.wav no.mp3",
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

    INPUTS are files as the model was trained on: pictures, sounds, clips, or CSV files with a header and rows; or .npy
    arrays. TensorFlow is not loaded.
    """
    from kexp import predict, screen

    with work():
        answers = predict.run(model, inputs, repeat=repeat, top=top)
    answer(as_json, {"model": model, "predictions": answers}, screen.predictions(answers))


@click.command(epilog=examples("kexp bench", "kexp bench digits --threads 1 --threads 2"))
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

    with work(), live.Steps() as steps:
        found, missing = pipeline.bench(home, what, threads=sorted(set(threads)), progress=steps)
    answer(as_json, {"measurements": found, "failures": missing}, screen.measurements(found, missing))
    return 1 if missing else 0


@click.command(epilog=examples("kexp phone", "kexp phone digits --https", "kexp phone exported/digits --adb"))
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
        with work():
            way: Way = "adb" if adb else "https" if https else "http"
            opening = pipeline.phone(home, what, way=way, host=host, port=port, notice=notice)
            session = stack.enter_context(opening)
        screen.show(screen.invitation(session.invitation), stderr=True)
        for received, kept in session.results(once=once, seconds=seconds):
            screen.show(screen.received(received, kept), stderr=as_json)
            failed |= not all(check.ok for result in received.results for check in result.checks)
        document = session.document()
    if as_json:
        answer(as_json, document)
    return int(failed and (once or seconds is not None))
