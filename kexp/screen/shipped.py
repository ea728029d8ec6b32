"""Exported files: whether they are right, how fast they are, what they answer; and the way to a phone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from kexp.records import Artifact, Check, Measurement
from kexp.screen.basics import console, dim, plain_table, tick, warning
from kexp.wording import number, size

if TYPE_CHECKING:
    from kexp.phone import Invitation
    from kexp.phone.results import Received
    from kexp.predict import Prediction

LONG_PATH = 32  # beside a path of more letters there is no room for an answer in 80 columns


def verdicts(artifacts: Sequence[Artifact], checks: Sequence[Check], failures: Mapping[str, str]) -> Group:
    """The files of an export with what was measured of each; every check that failed; what is missing."""
    told = {(format, what): check for check in checks for format, _, what in [check.name.partition(" ")]}
    numbers = [what for (_, what), check in told.items() if isinstance(check.value, float) and what != "bytes"]
    # What one package alone is held to would take the room of what all have in common; if it fails, it stands below.
    measured = [what for what in dict.fromkeys(numbers) if 2 * numbers.count(what) > len(artifacts)]
    files = plain_table("", "file", "size", *measured, right=("size", *measured))
    for artifact in artifacts:
        own = {what: check for (format, what), check in told.items() if format == artifact.format}
        cells = [number(own[what].value) if what in own else "" for what in measured]
        good = all(check.ok for check in own.values())
        files.add_row(tick(good), artifact.path, size(artifact.bytes), *cells)
    for format in failures:
        files.add_row(tick(False), Text(f"{format}: not kept", style="red"), "")
    parts: list[RenderableType] = [files] if artifacts or failures else []
    bad = [check for check in checks if not check.ok]
    if bad:
        gate = plain_table("", "failed check", "value", "limit", "advice", right=("value", "limit"), fold=("advice",))
        for check in bad:
            gate.add_row(tick(False), check.name, number(check.value), number(check.limit), warning(check.advice))
        parts += [gate]
    explained = {check.name.split()[0] for check in bad}
    for format, why in failures.items():
        if format not in explained:
            parts.append(Text.assemble(("✗ ", "bold red"), (format, "bold"), f": {why}"))
    parts.append(dim(f"{len(checks)} checks, " + (f"{len(bad)} failed" if bad else "all passed")))
    return Group(*parts)


def measurements(found: Sequence[Measurement], missing: Mapping[str, str]) -> Group:
    """A table for each device, a line for each file; below it which operators take the time."""
    parts: list[RenderableType] = []
    for device in dict.fromkeys(one.device for one in found):
        rows = [one for one in found if one.device == device]
        wide = len({one.threads for one in rows}) > 1
        right = (*["threads"] * wide, "p50 ms", "p95 ms", "start ms", "size", "memory")
        table = plain_table("file", *right, right=right)
        runtime = ""
        for one in rows:
            if one.runtime != runtime:
                runtime = one.runtime
                table.add_row(dim(runtime))
            cells = [
                *[str(one.threads)] * wide,
                f"{one.p50_ms:.3g}",
                f"{one.p95_ms:.3g}",
                "-" if one.start_ms is None else f"{one.start_ms:.3g}",
                "-" if one.bytes is None else size(one.bytes),
                "-" if one.peak_bytes is None else size(one.peak_bytes),
            ]
            table.add_row(f"  {one.artifact}", *cells)
        parts += [Text(device, style="bold"), table]
    told = [one for one in found if one.operators]
    if told:
        table = plain_table("file", "operator", "share", right=("share",), fold=("operator",))
        for one in told:
            for at, (name, share) in enumerate(list(one.operators.items())[:3]):
                table.add_row("" if at else one.artifact, name, f"{share:.0%}")
        parts += [Text(), table]
    for file, why in missing.items():
        parts.append(Text.assemble(tick(False), f" {file}: {why}"))
    if found:
        parts.append(dim("memory: an estimate, what the process took beyond what it had before"))
    return Group(*parts)


def predictions(answers: Sequence[Prediction]) -> Group:
    """A line per sample: the label with its probabilities, or the values; milliseconds; warnings below."""
    repeated = any(answer.p50_ms is not None for answer in answers)
    labelled = any(answer.label for answer in answers)
    times = ("p50 ms", "p95 ms") if repeated else ("ms",)
    table = plain_table("input", *["answer"] * labelled, "values", *times, right=times, fold=("input", "values"))
    for answer, source in zip(answers, _sources(answers), strict=True):
        shown = {name: f"{value:.4f}" if labelled else number(value) for name, value in answer.values.items()}
        told = "  ".join(f"{name} {value}" for name, value in shown.items())
        spent = (answer.p50_ms, answer.p95_ms) if repeated else (answer.ms,)
        label = [Text(answer.label or "none", style="bold")] * labelled
        table.add_row(source, *label, told, *(f"{ms:.2f}" for ms in spent if ms is not None))
    return Group(table, *(warning(f"{a.source}: {text}") for a in answers for text in a.warnings))


def _sources(answers: Sequence[Prediction]) -> list[str]:
    """What each answer is of: its path as given, or the file's name where paths are long and names tell enough."""
    paths = [answer.source for answer in answers]
    names = [path.rpartition("/")[2] for path in paths]
    long = max(map(len, paths), default=0) > LONG_PATH
    return names if long and len(set(names)) == len(set(paths)) else paths


def devices(found: Sequence[Mapping[str, Any]]) -> Group:
    """What phones measured of the exported files, `RunStore.devices`, below something else."""
    columns = ("p50 ms", "p95 ms")
    table = plain_table("device", "file", *columns, "golden", "when", right=columns, fold=("device",))
    for device in found:
        times = {one["artifact"]: (f"{one['p50_ms']:.3g}", f"{one['p95_ms']:.3g}") for one in device["measurements"]}
        for artifact in device["sha256"]:
            own = [check["ok"] for check in device["checks"] if check["name"].split()[0] == artifact]
            mark = tick(all(own)) if own else "-"
            spent = times.get(artifact, ("-", "-"))  # it could not run there
            table.add_row(device["device"], artifact, *spent, mark, device["when"][:16].replace("T", " "))
    return Group(Text(), table)


def received(post: Received, kept: bool) -> Group:
    """What a phone has just measured: a line for each file, and one for each check that failed."""
    lines = []
    for result in post.results:
        bad = [check for check in result.checks if not check.ok]
        measured = result.measurement
        spent = f"p50 {measured.p50_ms:.3g} ms  p95 {measured.p95_ms:.3g} ms" if measured else "could not run"
        lines.append(Text.assemble(tick(not bad), " ", (post.device, "bold"), f"  {result.artifact}  {spent}"))
        for check in bad:
            what = f"  ✗ {check.name.partition(' ')[2]} {number(check.value)}, limit {number(check.limit)}"
            lines.append(Text.assemble((what, "red"), (f"  {check.advice}", "yellow")))
    if not kept:
        lines.append(dim("  shown, not kept: no run here has the model that was exported"))
    return Group(*lines)


WAYS = {  # what a browser allows on each way, and where else to look
    "http": (
        "The phone must be in the same network (Wi-Fi).",
        "By plain http it can take photos with its camera app and choose pictures. A live camera, and use without "
        "a network, need --https (a certificate to trust once) or --adb (a cable, Android). "
        "kexp export --phone makes a folder for a web host of your own.",
    ),
    "https": (
        "The phone must be in the same network (Wi-Fi). The page that opens first tells what to tap once; then "
        "live camera and use without a network work.",
        "Installing the certificate means: this phone believes whoever has the key, which is on this computer alone, "
        "about addresses in local networks, and about none of the internet. The page tells how to remove it. The "
        "phone's own details of the certificate must show this fingerprint (SHA-256):",
    ),
    "adb": (
        "Open this address on the phone, in Chrome. The cable stays in until the page is installed or closed.",
        "Live camera and use without a network work: a browser trusts localhost.",
    ),
    "here": (
        "Only a browser on this computer can open this address.",
        "A phone needs the address of this computer in its network, --host ADDRESS, or a cable, --adb.",
    ),
}


def invitation(to: Invitation) -> Group:
    """The address to open, as text and as a QR code, and what will work there."""
    first, second = WAYS["here" if to.alone else to.way]
    parts: list[RenderableType] = [Text(to.open, style="bold", no_wrap=True, overflow="fold")]
    out = console(stderr=True)  # without colours a dark terminal would show the code's negative
    if out.is_terminal and out.color_system and not out.no_color and to.way != "adb" and not to.alone:
        parts += [Text(), qr_code(to.open), Text()]
    if to.phone:
        parts.append(Text.assemble("On the cable: ", (to.phone, "bold")))
    parts += [Text(first), dim(second)]
    if to.fingerprint:
        pairs = to.fingerprint.split(":")
        parts += [Text("  " + ":".join(pairs[:16]) + ":"), Text("  " + ":".join(pairs[16:]))]
    parts += [warning(notice) for notice in to.notices]
    return Group(*parts, dim("Waiting for results. Ctrl-C ends it."))


def qr_code(text: str) -> Text:
    """A QR code, two rows of modules to a line, black on white whatever the terminal's colours are."""
    import segno

    code = segno.make(text, error="l", micro=False, boost_error=False)
    rows = [list(row) for row in code.matrix_iter(border=2)]
    rows += [[0] * len(rows[0])] * (len(rows) % 2)
    glyphs = {(0, 0): " ", (1, 0): "▀", (0, 1): "▄", (1, 1): "█"}
    picture = Text(no_wrap=True)
    for upper, lower in zip(rows[::2], rows[1::2], strict=True):
        line = "".join(glyphs[bool(a), bool(b)] for a, b in zip(upper, lower, strict=True))
        picture.append(line, style="#000000 on #ffffff").append("\n")
    picture.right_crop(1)
    return picture
