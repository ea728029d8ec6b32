"""What phones post: checked, judged here, kept with the run, shown; and the command `kexp phone` as a process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
import types
import urllib.request
from pathlib import Path

import phone_site
import pytest
from phone_site import LIMITS, PAGE, check, checks, exported, measured, packed, post, searched
from rich.console import Console

from kexp import pipeline, screen
from kexp.errors import ExportError, PhoneError, RunError
from kexp.phone import Invitation, results, serve
from kexp.phone.adb import need_device
from kexp.store import RunStore, by_device

ROOT = Path(__file__).parents[1]


@pytest.fixture
def files(home):
    """The artifacts of an export named digits, and a run whose model was exported."""
    searched(home)
    return exported(home)


# -- checking -------------------------------------------------------------------------------------


def parse(document, artifacts):
    return results.parse(document if isinstance(document, bytes) else packed(document), artifacts, LIMITS)


def test_a_post_becomes_records(files):
    failed = {"artifact": files[1].path, "sha256": files[1].sha256, "error": "out of\tmemory\x1b[2J" + "!" * 300}
    received = parse(post(measured(files[0]), failed), files)
    assert (received.device, received.user_agent) == ("Pixel 7", "Mozilla/5.0")
    first, second = received.results
    assert first.sha256 == files[0].sha256
    assert first.measurement.artifact == "model_float32.tflite"
    assert (first.measurement.device, first.measurement.runtime) == ("Pixel 7", "LiteRT.js 2.5.3")
    assert (first.measurement.p50_ms, first.measurement.p95_ms, first.measurement.runs) == (0.41, 0.5, 100)
    assert [(c.name, c.value, c.limit, c.ok, c.advice) for c in first.checks] == [
        ("model_float32.tflite phone gap", 0.0039, 0.02, True, ""),
        ("model_float32.tflite phone raw gap", 0.0039, 0.02, True, ""),
    ]
    assert (second.artifact, second.sha256, second.measurement) == (files[1].path, files[1].sha256, None)
    (check,) = second.checks
    assert (check.name, check.limit, check.ok) == ("model_int8.tflite phone runs", "runs", False)
    assert check.value.startswith("out of memory[2J!!")
    assert len(check.value) == 200
    assert check.advice


@pytest.mark.parametrize(
    ("value", "ok"),
    [
        (0.02, True),
        (0.021, False),
        (None, False),  # what JavaScript makes of NaN
        (0, True),
        ("0", False),
        ("not a number", False),  # what the page makes of it
    ],
)
@pytest.mark.parametrize("claimed", [{"ok": True}, {"ok": False}, {"limit": 1e9}, {"limit": "0"}])
def test_the_verdict_is_passed_here_by_the_limits_of_the_export(files, value, ok, claimed):
    found, _ = parse(post(measured(files[0], checks=checks(value=value, **claimed))), files).results[0].checks
    assert (found.ok, found.limit) == (ok, 0.02)
    assert found.advice == ("" if ok else "look")


@pytest.mark.parametrize(
    ("value", "limit", "ok"),
    [("as exported", "as exported", True), ("another file", "as exported", False), ("another", "another", False)],
)
def test_the_file_on_the_phone_is_to_be_the_one_that_was_exported(files, value, limit, ok):
    own = check(name="tflite_float32 phone sha256", value=value, limit=limit)
    found = parse(post(measured(files[0], checks=[*checks(), own])), files).results[0].checks[-1]
    assert (found.name, found.ok) == ("model_float32.tflite phone sha256", ok)


@pytest.mark.parametrize("name", ["phone gap", "model_int8.tflite phone gap", "tflite_int8 phone gap"])
def test_a_check_is_named_after_its_file(files, name):
    found, _ = parse(post(measured(files[1], checks=checks(name=name))), files).results[0].checks
    assert found.name == "model_int8.tflite phone gap"


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("Pixel 7", "Pixel 7"),
        ("  Pixel\t7\n", "Pixel 7"),
        ("\x1b[31mPixel\x07", "[31mPixel"),
        ("Pixel\u202e7", "Pixel7"),
        ("\ud800Pixel", "Pixel"),
        ("هاتف", "هاتف"),
        ("x" * 100, "x" * 60),
        ("\x00", "unnamed"),
        ("", "unnamed"),
    ],
)
def test_the_name_of_a_device_is_made_harmless(files, told, kept):
    received = parse(post(measured(files[0]), device=told), files)
    assert received.device == received.results[0].measurement.device == kept


def without(document, key):
    return {name: value for name, value in document.items() if name != key}


BAD = {
    "not JSON": lambda a: b"{",
    "nothing": lambda a: b"",
    "not UTF-8": lambda a: b'{"device": "\xff"}',
    "a list": lambda a: b"[]",
    "NaN": lambda a: packed(post(measured(a, p50_ms=float("nan")))),
    "infinity": lambda a: packed(post(measured(a, p95_ms=float("inf")))),
    "1e999": lambda a: packed(post(measured(a))).replace(b"0.41", b"1e999"),
    "a huge integer": lambda a: packed(post(measured(a))).replace(b"0.41", b"9" * 400),
    "a number of 5,000 digits": lambda a: packed(post(measured(a))).replace(b"0.41", b"9" * 5000),
    "brackets": lambda a: b"[" * 60000,
    "a key twice": lambda a: packed(post(measured(a))).replace(b'"threads"', b'"runs": 1, "threads"'),
    "an unknown key": lambda a: packed(post(measured(a), extra=1)),
    "an unknown key of an artifact": lambda a: packed(post(measured(a, peak_bytes=1))),
    "an unknown key of a check": lambda a: packed(post(measured(a, checks=checks(extra=1)))),
    "no checks": lambda a: packed(post(measured(a, checks=[]))),
    "no check of raw samples": lambda a: packed(post(measured(a, checks=[check()]))),
    "a check twice": lambda a: packed(post(measured(a, checks=[*checks(), check()]))),
    "a check of its own": lambda a: packed(post(measured(a, checks=[*checks(), check(name="phone luck")]))),
    "a file that is as exported by a number": lambda a: packed(
        post(measured(a, checks=[*checks(), check(name="phone sha256")]))
    ),
    "an error beside times": lambda a: packed(post(measured(a, error="no"))),
    "an error that is no text": lambda a: packed(post({"artifact": a.path, "sha256": a.sha256, "error": 1})),
    "an error of another export": lambda a: packed(post({"artifact": a.path, "sha256": "0" * 64, "error": "no"})),
    "no device": lambda a: packed(without(post(measured(a)), "device")),
    "no sha256": lambda a: packed(post(without(measured(a), "sha256"))),
    "no limit": lambda a: packed(post(measured(a, checks=[without(check(), "limit"), check(name="phone raw gap")]))),
    "no artifacts": lambda a: packed(post()),
    "an artifact twice": lambda a: packed(post(measured(a), measured(a))),
    "too many artifacts": lambda a: packed(post(*[measured(a)] * 33)),
    "an artifact of another export": lambda a: packed(post(measured(a, artifact="model.onnx"))),
    "an artifact outside": lambda a: packed(post(measured(a, artifact="../model.keras"))),
    "another sha256": lambda a: packed(post(measured(a, sha256="0" * 64))),
    "a number as text": lambda a: packed(post(measured(a, p50_ms="0.41"))),
    "true as a number": lambda a: packed(post(measured(a, threads=True))),
    "half a run": lambda a: packed(post(measured(a, runs=1.5))),
    "no runs": lambda a: packed(post(measured(a, runs=0))),
    "p95 below p50": lambda a: packed(post(measured(a, p95_ms=0.4))),
    "negative time": lambda a: packed(post(measured(a, p50_ms=-1.0))),
    "a device that is a number": lambda a: packed(post(measured(a), device=7)),
    "a device of a novel": lambda a: packed(post(measured(a), device="x" * 601)),
    "a long agent": lambda a: packed(post(measured(a), userAgent="x" * 601)),
    "a long runtime": lambda a: packed(post(measured(a, runtime="x" * 201))),
    "an empty runtime": lambda a: packed(post(measured(a, runtime=" "))),
    "escapes in a runtime": lambda a: packed(post(measured(a, runtime="\x1b[2J"))),
    "checks that are no list": lambda a: packed(post(measured(a, checks={}))),
    "a check that is text": lambda a: packed(post(measured(a, checks=["ok"]))),
    "too many checks": lambda a: packed(post(measured(a, checks=[check()] * 33))),
    "a nameless check": lambda a: packed(post(measured(a, checks=checks(name="")))),
    "lines in advice": lambda a: packed(post(measured(a, checks=checks(advice="a\nb")))),
    "ok as text": lambda a: packed(post(measured(a, checks=checks(ok="yes")))),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_post_is_refused(files, what):
    with pytest.raises(ValueError) as refused:
        parse(BAD[what](files[0]), files)
    assert 0 < len(str(refused.value)) < 1000


# -- keeping --------------------------------------------------------------------------------------


def entries(*artifacts, device="Pixel 7", when="2026-11-24T12:00:00+00:00", **changes):
    received = parse(post(*(measured(a, **changes) for a in artifacts), device=device), artifacts)
    return received._replace(when=when).entries()


def model_of(home, name="digits"):
    return json.loads((home / "exported" / name / "export.json").read_text())["model"]


def test_of_each_device_and_file_the_latest_is_kept(home, files):
    model = model_of(home)
    with RunStore.open(home, "digits") as run:
        assert run.devices() == []
        assert run.add_devices(model, entries(*files))
        assert run.add_devices(model, entries(files[0], device="iPhone", when="2026-11-24T13:00:00+00:00"))
        later = "2026-11-24T14:00:00+00:00"
        assert run.add_devices(model, entries(files[1], when=later, p50_ms=0.2, checks=checks(value=1.0)))
    with RunStore.open(home, "digits") as run:
        iphone, pixel = run.devices()
    assert (iphone["device"], pixel["device"], pixel["when"]) == ("iPhone", "Pixel 7", later)
    assert [m["artifact"] for m in pixel["measurements"]] == ["model_float32.tflite", "model_int8.tflite"]
    assert [m["p50_ms"] for m in pixel["measurements"]] == [0.41, 0.2]
    assert [(c["name"].split()[0], c["ok"]) for c in pixel["checks"]] == [
        ("model_float32.tflite", True),
        ("model_float32.tflite", True),
        ("model_int8.tflite", False),
        ("model_int8.tflite", True),
    ]
    assert pixel["sha256"] == {file.path: file.sha256 for file in files}


def test_of_another_model_nothing_is_kept_or_shown(home, files):
    with RunStore.open(home, "digits") as run:
        assert not run.add_devices("0" * 64, entries(*files))
        assert run.devices() == []
        assert run.add_devices(model_of(home), entries(*files))
        run.model.write_bytes(b"a better network")  # the search went on
        assert run.devices() == []
        run.model.unlink()
        assert run.devices() == []
        assert not run.add_devices("", entries(*files))


def test_of_an_earlier_export_nothing_is_shown(home, files):
    with RunStore.open(home, "digits") as run:
        assert run.add_devices(model_of(home), entries(*files))
        now = {files[0].path: files[0].sha256, files[1].path: "0" * 64}  # int8 was made again
        (phone,) = run.devices(now)
        assert [one["artifact"] for one in phone["measurements"]] == [files[0].path]
        assert run.devices({}) == []
    assert len(pipeline.show(home)["devices"][0]["measurements"]) == 2
    manifest = home / "exported" / "digits" / "export.json"
    document = json.loads(manifest.read_text())
    document["artifacts"] = document["artifacts"][1:]
    manifest.write_text(json.dumps(document))
    assert [one["artifact"] for one in pipeline.show(home)["devices"][0]["measurements"]] == [files[1].path]


def test_a_file_that_could_not_run_is_shown_as_failed(home, files, kexp):
    failed = {"artifact": files[1].path, "sha256": files[1].sha256, "error": "out of memory"}
    received = parse(post(measured(files[0]), failed), files)
    with RunStore.open(home, "digits") as run:
        run.add_devices(model_of(home), received.entries())
        (phone,) = run.devices()
    assert [one["artifact"] for one in phone["measurements"]] == [files[0].path]
    row = next(line for line in kexp("show")[1].splitlines() if files[1].path in line)
    assert "✗" in row
    told = text(screen.received(received, True))
    assert "✗ Pixel 7  model_int8.tflite  could not run" in told
    assert "phone runs out of memory, limit runs" in told


def test_entries_are_grouped_by_device():
    assert by_device([]) == []


def test_show_has_the_devices_as_a_table_and_as_json(home, files, kexp):
    assert "device" not in kexp("show")[1]
    with RunStore.open(home, "digits") as run:
        run.add_devices(model_of(home), entries(files[0], device="Pixel 7"))
        run.add_devices(model_of(home), entries(files[1], device="x" * 60, checks=checks(value=1.0)))
    status, out, _ = kexp("show")
    assert status == 0
    assert "Pixel 7" in out
    assert "✓" in out
    assert "✗" in out
    assert max(map(len, out.splitlines())) <= 80
    document = json.loads(kexp("show", "--json")[1])
    assert {device["device"] for device in document["devices"]} == {"Pixel 7", "x" * 60}


# -- what a person sees ---------------------------------------------------------------------------


def text(*things, **options):
    console = Console(width=80, record=True, file=open(os.devnull, "w"), markup=False, highlight=False, **options)  # noqa: SIM115
    for thing in things:
        console.print(thing)
    return console.export_text()


ADDRESS = "http://192.168.100.200:65535/AbCdEfGhIjKlMnOpQrStUv/"


def test_the_qr_code_is_that_of_the_address_in_explicit_colours():
    import segno

    picture = screen.qr_code(ADDRESS)
    lines = picture.plain.split("\n")
    assert len(lines) <= 22
    assert {len(line) for line in lines} == {len(lines[0])}
    assert len(lines[0]) <= 80
    upper = {" ": 0, "▀": 1, "▄": 0, "█": 1}
    lower = {" ": 0, "▀": 0, "▄": 1, "█": 1}
    modules = [[table[glyph] for glyph in line] for line in lines for table in (upper, lower)]
    wanted = segno.make(ADDRESS, error="l", micro=False, boost_error=False)
    rows = [list(row) for row in wanted.matrix_iter(border=2)]
    assert modules[: len(rows)] == rows
    assert not any(map(any, modules[len(rows) :]))
    assert {str(span.style) for span in picture.spans} == {"#000000 on #ffffff"}


@pytest.mark.parametrize("way", ["http", "https", "adb"])
@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("colours", [True, False])
def test_the_invitation_fits_80_columns(way, alone, colours, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # as in a terminal
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "" if colours else "1")
    fingerprint = ":".join(["A1"] * 32)
    to = Invitation(open=ADDRESS, url=ADDRESS, way=way, alone=alone, fingerprint=fingerprint, notices=("look",))
    told = text(screen.invitation(to))
    assert told.startswith(ADDRESS + "\n")
    assert max(map(len, told.splitlines())) <= 80
    assert ("▀" in told) == (way != "adb" and not alone and colours)
    assert fingerprint in told.replace("\n", "").replace(" ", "")


def test_what_came_is_a_line_for_each_file_and_failed_check(files):
    posted = post(measured(files[0]), measured(files[1], checks=checks(value=0.5)))
    received = parse(posted, files)
    told = text(screen.received(received, True))
    assert "✓ Pixel 7  model_float32.tflite  p50 0.41 ms  p95 0.5 ms" in told
    assert "✗ Pixel 7  model_int8.tflite" in told
    assert "✗ phone gap 0.5000, limit 0.0200  look" in told
    assert "not kept" not in told
    assert "not kept" in text(screen.received(received, False))


# -- which export ---------------------------------------------------------------------------------


def test_the_export_is_that_of_the_run_of_the_latest_or_a_folder(home, files, monkeypatch):
    stub = types.ModuleType("kexp.phone.bundle")
    stub.bundle = lambda folder, **options: {**PAGE, "index.html": str(folder).encode()}
    monkeypatch.setitem(sys.modules, "kexp.phone.bundle", stub)
    folder = home.resolve() / "exported" / "digits"
    monkeypatch.chdir(home)
    for what in (None, "digits", str(folder), "exported/digits", "./exported/digits/"):
        with pipeline.phone(home, what, host="127.0.0.1", port=0) as session:
            url = session.invitation.url
            with urllib.request.urlopen(url, timeout=30) as page:
                assert page.read() == str(folder).encode()
            send(url, post(measured(files[0])))
            assert [kept for _, kept in session.results(once=True)] == [True]


def test_what_is_not_exported_is_told_how(home):
    def opened(what=None):
        with pipeline.phone(home, what):
            pass

    with pytest.raises(RunError, match="kexp search"):
        opened()
    searched(home)
    for what in (None, "digits"):
        with pytest.raises(ExportError, match="kexp export digits --tflite"):
            opened(what)
    with pytest.raises(RunError, match="Did you mean 'digits'"):
        opened("digit")
    exported(home, formats=())
    with pytest.raises(ExportError, match=r"no \.tflite"):
        opened("digits")


def test_a_page_that_posts_all_it_has_each_time_is_heard_once(home, files):
    kept = []
    pages = {**PAGE, **{f"model/{file.path}": b"" for file in files}}
    with serve(files, pages, lambda entries: not kept.extend(entries), host="127.0.0.1", port=0) as session:
        url = session.invitation.url
        first, second = measured(files[0]), measured(files[1])
        for posted in (post(first), post(first), post(first, second, device="Pixel 8"), post(first, second)):
            send(url, posted)
        found = [
            (received.device, [result.measurement.artifact for result in received.results])
            for received, _ in session.results(seconds=0.01)
        ]
        assert found == [
            ("Pixel 7", [files[0].path]),
            ("Pixel 8", [files[0].path, files[1].path]),
            ("Pixel 7", [files[1].path]),
        ]
        assert len(kept) == 4
        send(url, post(measured(files[0], p50_ms=0.1)))  # it was measured again
        assert [len(received.results) for received, _ in session.results(once=True)] == [1]


def test_once_is_when_one_phone_has_measured_every_file(files):
    pages = {**PAGE, **{f"model/{file.path}": b"" for file in files}}
    with serve(files, pages, lambda entries: True, host="127.0.0.1", port=0) as session:
        url = session.invitation.url
        for posted in (post(measured(files[0])), post(measured(files[1]), device="Pixel 8"), post(measured(files[1]))):
            send(url, posted)
        send(url, post(measured(files[0]), device="late"))
        found = session.results(once=True)
        assert [received.device for received, _ in found] == ["Pixel 7", "Pixel 8", "Pixel 7"]


# -- the command ----------------------------------------------------------------------------------

# With a page of one line in place of the real one, which npm would have to bring.
PROGRAM = """
import signal, sys, types, phone_site
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored for what runs behind
page = types.ModuleType("kexp.phone.bundle")
page.bundle = lambda folder, *, results, notice: phone_site.PAGE
sys.modules["kexp.phone.bundle"] = page
from kexp.cli import main
sys.argv = ["kexp", *sys.argv[1:]]
main()
"""


@contextlib.contextmanager
def command(home, *arguments, **environment):
    """`kexp phone` with `arguments`, and the address that it told."""
    path = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "phone", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=home, env={**os.environ, "PYTHONPATH": path, "KEXP_HOME": str(home), **environment},
    )  # fmt: skip
    told = []
    try:
        for line in process.stderr:
            told.append(line)
            if "Waiting" in line:
                break
        assert told, process.communicate()
        yield process, told[0].strip()
    finally:
        process.kill()
        process.communicate()


def send(url, document):
    request = urllib.request.Request(f"{url}results", packed(document), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


HERE = ("--host", "127.0.0.1", "--port", "0")


def test_once_ends_with_the_first_results_as_one_document(home, files):
    with command(home, "digits", "--once", "--json", *HERE) as (process, url):
        with urllib.request.urlopen(url, timeout=30) as page:
            assert page.read() == b"the page"
        assert send(url, post(measured(files[0]))) == {"received": True}
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    document = json.loads(out)
    assert out.count("\n") == 1
    assert document["url"] == url
    assert document["devices"][0]["device"] == "Pixel 7"
    assert document["devices"] == pipeline.show(home)["devices"]
    assert "Pixel 7" in err
    assert "not kept" not in err


def test_a_failed_check_exits_1(home, files):
    with command(home, "--once", *HERE) as (process, url):
        send(url, post(measured(files[0], checks=checks(value=0.5))))
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "✗ Pixel 7  model_float32.tflite" in out


def test_results_without_their_run_are_shown_and_not_kept(home):
    files = exported(home, "elsewhere")
    with command(home, "exported/elsewhere", "--once", "--json", *HERE) as (process, url):
        send(url, post(measured(files[0])))
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "not kept" in err
    assert json.loads(out)["devices"][0]["measurements"][0]["artifact"] == files[0].path


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_kill_end_it_cleanly(home, files, ending):
    with command(home, "--json", *HERE) as (process, url):
        send(url, post(measured(files[0], checks=checks(value=0.5))))
        process.send_signal(ending)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert len(json.loads(out)["devices"]) == 1  # what came before the end counts


def test_signals_are_ours_while_it_serves_and_an_ignored_one_stays_ignored(files):
    def handlers():
        return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    found = handlers()
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it from the start
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with serve(files, PAGE, bool, host="127.0.0.1", port=0) as session:
            interrupt, kill = handlers()
            assert kill == signal.SIG_IGN
            assert interrupt not in (signal.default_int_handler, signal.SIG_IGN)
            send(session.invitation.url, post(measured(files[0])))
            signal.raise_signal(signal.SIGINT)  # while nobody listens
            assert len(list(session.results())) == 1
            with pytest.raises(KeyboardInterrupt):  # somebody is in a hurry
                signal.raise_signal(signal.SIGINT)
        assert handlers() == [signal.default_int_handler, signal.SIG_IGN]
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), found, strict=True):
            signal.signal(number, handler)


def test_it_ends_after_the_given_time(home, files):
    with command(home, "--json", "--for", "0.2s", *HERE) as (process, url):
        out, _ = process.communicate(timeout=60)
    assert (process.returncode, json.loads(out)) == (0, {"url": url, "devices": []})


@pytest.mark.parametrize("more", [["--https"], ["--host", "127.0.0.1"]])
def test_a_cable_needs_no_more(home, kexp, more):
    status, _, err = kexp("phone", "--adb", *more)
    assert status == 2
    assert "http://localhost" in err


def test_results_that_nobody_takes_are_refused_in_time(files, monkeypatch):
    monkeypatch.setattr("kexp.phone.WAITING_RESULTS", 2)
    with serve(files, PAGE, lambda entries: True, host="127.0.0.1", port=0) as session:
        for file in files:
            send(session.invitation.url, post(measured(file)))
        with pytest.raises(urllib.error.HTTPError, match="400"):
            send(session.invitation.url, post(measured(files[0])))
        assert len(list(session.results(seconds=0.01))) == 2


# -- a cable --------------------------------------------------------------------------------------

ADB = """#!/bin/sh
echo "$@" >> "$ADB_LOG"
case "$1" in
  devices) printf 'List of devices attached\\n%b\\n' "$ADB_DEVICES" ;;
  reverse) test -z "$ADB_FAILS" || { echo "adb: error: $ADB_FAILS" >&2; exit 1; } ;;
esac
"""
PIXEL = "2A0911FDH2006K         device usb:1-1 product:panther model:Pixel_7 device:panther transport_id:1"
SECOND = "emulator-5554          device product:sdk model:Emulator device:emu transport_id:2"
DENIED = "2A0911FDH2006K         no permissions (missing udev rules? user is in the plugdev group); see [http]"
WAITING = "2A0911FDH2006K         unauthorized usb:1-1 transport_id:1"


@pytest.fixture
def cable(tmp_path, monkeypatch):
    """A stand-in for adb on the PATH; what it was asked is in the file returned."""
    (tmp_path / "bin").mkdir()
    adb = tmp_path / "bin" / "adb"
    adb.write_text(ADB)
    adb.chmod(adb.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{adb.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("ADB_LOG", str(tmp_path / "asked"))
    monkeypatch.setenv("ADB_DEVICES", PIXEL)
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)
    return tmp_path / "asked"


def test_by_cable_the_phone_s_localhost_leads_here_until_the_end(home, files, cable):
    with command(home, "--adb", "--port", "0", "--json") as (process, url):
        port = url.split(":")[2].partition("/")[0]
        assert url.startswith("http://localhost:")
        assert cable.read_text().splitlines()[-1] == f"reverse tcp:{port} tcp:{port}"
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert cable.read_text().splitlines()[-1] == f"reverse --remove tcp:{port}"


@pytest.mark.parametrize(
    ("devices", "said"),
    [
        ("", "USB debugging"),
        (WAITING, "allow USB debugging"),
        (DENIED, "udev rules"),
        (f"{DENIED}\\n{WAITING}", "allow USB debugging"),
        (f"{PIXEL}\\n{SECOND}", "2A0911FDH2006K, emulator-5554. Set ANDROID_SERIAL"),
    ],
)
def test_a_phone_that_is_not_ready_is_told_how(cable, monkeypatch, devices, said):
    monkeypatch.setenv("ADB_DEVICES", devices)
    with pytest.raises(PhoneError, match=said.replace(".", r"\.")):
        need_device()


def test_of_several_phones_the_chosen_one_is_taken(cable, monkeypatch):
    assert need_device() == "Pixel 7"
    monkeypatch.setenv("ADB_DEVICES", f"{PIXEL}\\n{SECOND}")
    monkeypatch.setenv("ANDROID_SERIAL", "emulator-5554")
    assert need_device() == "Emulator"


def test_without_adb_it_is_told_where_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PhoneError, match="adb is not installed"):
        need_device()


def test_a_cable_that_fails_ends_it_with_the_reason(cable, files, monkeypatch):
    monkeypatch.setenv("ADB_FAILS", "more than one device")
    with pytest.raises(PhoneError, match="more than one device"), serve(files, PAGE, bool, way="adb", port=0):
        pass
    assert phone_site.TOKEN not in cable.read_text()
