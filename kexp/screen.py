"""What a person sees in the end: tables. With kexp.live, what shows work under way, the only one that knows rich.

Functions take plain documents and records and return something to print; `show` prints it. Text of users is
never read as markup. Everything fits 80 columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from kexp.records import Artifact, Check, Finding, Measurement
from kexp.wording import clock as clock
from kexp.wording import number as number
from kexp.wording import short, short_name
from kexp.wording import size as size
from kexp.wording import telling as telling
from kexp.wording import values as values

if TYPE_CHECKING:
    from kexp.phone import Invitation
    from kexp.phone.results import Received
    from kexp.predict import Prediction

LONG_PATH = 32  # beside a path of more letters there is no room for an answer in 80 columns
CONFUSION_CLASSES = 14  # a matrix of more does not fit 80 columns: the commonest confusions are listed instead


def console(*, stderr: bool = False) -> Console:
    """Where to print; nothing in the text is interpreted."""
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False)


def show(*things: RenderableType, stderr: bool = False) -> None:
    """Print `things`, one below the other."""
    screen = console(stderr=stderr)
    for thing in things:
        screen.print(thing)


# -- words and numbers ---------------------------------------------------------------------------


def dim(text: str) -> Text:
    """What is good to know."""
    return Text(text, style="dim")


def warning(text: str) -> Text:
    """What should be looked at."""
    return Text(text, style="yellow")


def following(command: str, why: str = "") -> Text:
    """The next command to type."""
    return Text.assemble(("next  ", "dim"), command, (f"   {why}" if why else "", "dim"))


def _table(*columns: str, right: Sequence[str] = (), fold: Sequence[str] = ()) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns:
        side: Literal["left", "right"] = "right" if name in right else "left"
        table.add_column(name, justify=side, overflow="fold", no_wrap=name not in fold)
    return table


def _mark(ok: bool) -> Text:
    return Text("✓", style="green") if ok else Text("✗", style="bold red")


# -- one function per command --------------------------------------------------------------------


def facts(lines: Iterable[tuple[str, str]], notices: Iterable[str] = ()) -> Group:
    """What was found in the data: label and finding, then notices."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold", ratio=1)
    for label, finding in lines:
        table.add_row(label, finding)
    return Group(table, *map(dim, notices))


SEVERITIES = {"error": ("✗", "bold red"), "warning": ("!", "bold yellow"), "note": ("·", "dim")}


def findings(found: Sequence[Finding], of: str) -> Group:
    """What the doctor found in the data `of`: what, where, what to do."""
    counts = {severity: sum(one.severity == severity for one in found) for severity in SEVERITIES}
    told = ", ".join(f"{count} {name}{'s' if count > 1 else ''}" for name, count in counts.items() if count)
    title = Text.assemble((of, "bold"), (f"  {told or 'nothing found'}", "dim"))
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold", ratio=1)
    for one in found:
        mark, style = SEVERITIES[one.severity]
        table.add_row(Text(mark, style), Text(one.what, "bold" if one.severity == "error" else ""))
        where = list(one.where) + [f"{one.count - len(one.where):,} more"] * (one.count > len(one.where))
        table.add_row("", dim(f"{one.name}" + (f": {'; '.join(where)}" if where else "")))
        if one.advice:
            table.add_row("", Text(f"→ {one.advice}"))
    return Group(title, table) if found else Group(title)


def brief(found: Sequence[Finding], of: str) -> list[Text]:
    """The errors and warnings of the doctor, one line each, and how to see more."""
    grave = [one for one in found if one.severity != "note"]
    lines = [Text.assemble((*SEVERITIES[one.severity],), " ", one.what) for one in grave]
    notes = len(found) - len(grave)
    if grave or notes:
        also = f"{notes} note{'s' if notes > 1 else ''}" if notes else ""
        lines.append(
            dim(f"kexp doctor {of} says more{f': {also}' if also and not grave else f', {also} too' if also else ''}")
        )
    return lines


def runs(rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    """The runs of a home, newest last."""
    if not rows:
        return dim("no runs yet: kexp search sklearn:digits makes one")
    table = _table("run", "kind", "task", "trials", "best", "created", right=("trials", "best"))
    for row in rows:
        created = str(row["created"])[:16].replace("T", " ")
        table.add_row(row["name"], row["kind"], row["task"], str(row["trials"]), number(row["best"]), created)
    return table


def _again(trial: Mapping[str, Any]) -> str:
    """How a trial repeats another one."""
    if trial["stage"] == "refit":
        return "on all rows"
    return f"fold {trial['fold']}" if trial.get("fold") else "again"


def leaderboard(document: Mapping[str, Any], top: int) -> Group:
    """The first `top` trials of `pipeline.show`'s document, best first; of their values those that differ."""
    trials = [trial for trial in document["trials"] if trial["status"] != "infeasible"]
    objective = document["objective"]
    shown = trials[:top]
    shown += [trial for trial in trials[top:] if trial["id"] == document.get("best")]  # by its mean, or its loss
    file = next((short_name(trial["variant"]) for trial in shown if trial["shipped"]), "")
    right = ("trial", objective, *((file, "size", "ms") if file else ("weights",)), "time")
    table = _table("", *right, "values", right=right)
    table.expand = True  # one line for each trial, as wide as the screen
    table.columns[-1].overflow, table.columns[-1].ratio = "ellipsis", 1
    differing = telling(shown)
    for trial in shown:
        best = trial["id"] == document.get("best")
        strong = "bold" if best else ""
        told = values(trial["values"], differing)
        if trial["stage"] != "explore":
            told = f"as trial {trial['parent']}, {_again(trial)}"
        table.add_row(
            Text("★", style="green") if best else "",
            str(trial["id"]),
            Text(number(trial["score"]), style="" if file else strong),
            *(_file(trial, objective, strong) if file else [number(trial["parameters"])]),
            clock(trial["seconds"]),
            told if trial["status"] == "completed" else Text(f"{trial['status']}: {trial['message'] or told}", "dim"),
        )
    winner: list[RenderableType] = [
        Text.assemble(("best  ", "dim"), f"trial {trial['id']}, {trial['factory']}: {values(trial['values'])}")
        for trial in trials
        if trial["id"] == document.get("best")
    ]
    if document.get("reason"):
        winner.append(dim(document["reason"]))
    counts: dict[str, int] = {}
    for trial in trials:
        counts[trial["status"]] = counts.get(trial["status"], 0) + 1
    summary = ", ".join(f"{count} {status}" for status, count in counts.items())
    hidden = f"; the first {top} are shown" if len(trials) > top else ""
    lines = [f"{summary}{hidden}", *_refused(document)]
    return Group(Text(document["run"], style="bold"), table, *map(dim, lines), *winner)


FILES = ("model_float32.tflite", "model_int8.tflite")  # whose sizes tell enough


def comparison(document: Mapping[str, Any]) -> Group:
    """Runs side by side: what came of each, where the questions and the winners differ, and which is better."""
    runs, metric = document["runs"], document["metric"]
    table = _table("", "", *(one["run"] for one in runs), fold=[one["run"] for one in runs])

    def add(label: str, cells: Sequence[object], *, differs: bool = False) -> None:
        table.add_row(Text("≠" if differs else "", "yellow"), label, *(str(cell) for cell in cells))

    def part(title: str) -> None:
        table.add_row("", Text(title, "bold"))

    tests = [one["test"] or {} for one in runs]
    add(f"{metric}, test rows", [number((one.get("metrics") or {}).get(metric)) for one in tests])
    spans = [one.get("interval") or {} for one in tests]
    if any(span.get("metric") == metric for span in spans):
        told = [
            f"{number(s['low'])} to {number(s['high'])}" if s.get("metric") == metric else "-" for s in spans
        ]  # fmt: skip
        add("95% interval", told)
    names = {one["objective"] for one in runs}
    for name in sorted(names, key=lambda one: one != metric):
        add(f"{name}, validation", [number(one["score"]) if one["objective"] == name else "-" for one in runs])
    add("trials", [", ".join(f"{count} {status}" for status, count in one["trials"].items()) or "-" for one in runs])
    add("time", [clock(one["seconds"]) for one in runs])
    rows = [f"{one['rows']['train']:,} + {one['rows']['validation']:,}" if one["rows"] else "-" for one in runs]
    add("rows that train + validate", rows, differs=len({one["fingerprint"] for one in runs}) > 1)
    add("weights", [number(one["parameters"]) for one in runs])
    if any(one["bytes"] is not None for one in runs):
        told = [
            f"{size(one['bytes'])} {short_name(one['variant'])}" if one["bytes"] is not None else "-" for one in runs
        ]
        add("file that ranked it", told)
    for file in (name for name in FILES if any(name in one["files"] for one in runs)):
        add(file, [size(one["files"][file]) if file in one["files"] else "-" for one in runs])
    for where in dict.fromkeys(where for one in runs for where in one["latency"]):
        add(f"ms, {where}", [f"{one['latency'][where]:.3g}" if where in one["latency"] else "-" for one in runs])
    if document["question"]:
        part("what was asked")
    for row in document["question"]:
        add(row["field"], [_told(value) for value in row["values"]], differs=True)
    part("the winner")
    factories = [one["factory"] or "-" for one in runs]
    add("factory", factories, differs=len(set(factories)) > 1)
    for row in sorted(document["values"], key=lambda row: not row["differs"]):
        add(row["name"], ["-" if value is None else short(value) for value in row["values"]], differs=row["differs"])
    style = "bold" if document["answer"] in ("better", "not shown") else "yellow"
    return Group(table, Text(), Text(document["sentence"], style))


def _told(value: Any) -> str:
    """A value of an experiment: a dash for what was left to kexp."""
    if value in (None, "", [], {}):
        return "-"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_told(one)}" for name, one in value.items())
    return ", ".join(map(_told, value)) if isinstance(value, list) else short(value)


def _file(trial: Mapping[str, Any], metric: str, style: str = "") -> list[RenderableType]:
    """The cells of a trial's file: its metric, size and milliseconds; empty ones where there is none."""
    if not trial["shipped"]:
        return ["", "", ""]
    milliseconds = "" if trial["latency_ms"] is None else f"{trial['latency_ms']:.2g}"
    return [Text(number(trial["shipped"].get(metric)), style=style), size(trial["bytes"]), milliseconds]


def front(document: Mapping[str, Any]) -> Group:
    """The networks of which none other is better in every respect, and what each of `kexp export --pick` means."""
    found = document["front"]
    metric, by_id = found["metric"], {trial["id"]: trial for trial in document["trials"]}
    right = ("trial", metric, "size", "ms", "weights")
    table = _table("", *right, "", right=right)
    for id in found["trials"]:
        trial = by_id[id]
        bytes_, slow = trial["bytes"], trial["latency_ms"]
        table.add_row(
            Text("★", style="green") if id == document.get("best") else "",
            str(id),
            number({**trial["metrics"], **trial["shipped"]}.get(metric)),
            "" if bytes_ is None else size(bytes_),
            "" if slow is None else f"{slow:.2g}",
            number(trial["parameters"]),
            dim(", ".join(how for how, picked in found["picks"].items() if picked == id)),
        )
    volume = found["hypervolume"]
    told = f"better {metric} costs {' and '.join(found['costs'])}"
    told += "" if volume is None else f"; hypervolume {volume:.3f} of 1"
    return Group(
        Text("\nfront", "bold"), table, dim(told), following(f"kexp export {document['run']} --pick smallest --tflite")
    )


def baselines(document: Mapping[str, Any]) -> Group:
    """What simpler models reach on the validation rows, best first, and the network beside them."""
    objective = document["objective"]
    right = (objective, "size", "ms", "time")
    table = _table("simpler model", *right, "", right=right, fold=("",))
    network = next((trial for trial in document["trials"] if trial["id"] == document.get("best")), None)
    if network is not None:
        cells = _file(network, objective) if network["shipped"] else [number(network["score"]), "", ""]
        table.add_row(dim("the network"), *cells, clock(network["seconds"]), "")
    for one in document["baselines"]:
        told = ", ".join(filter(None, (values(one["values"]), one["message"])))
        milliseconds = "-" if one["latency_ms"] is None else f"{one['latency_ms']:.2f}"
        weight = "-" if one["bytes"] is None else size(one["bytes"])
        table.add_row(one["factory"], number(one["score"]), weight, milliseconds, clock(one["seconds"]), dim(told))
    return Group(Text(), table)


def study(document: Mapping[str, Any]) -> Group:
    """What each knob does, what fewer rows would have done, and which columns matter."""
    metric = document["metric"]
    parts: list[RenderableType] = []
    found = document["winner"]
    title = f"  around trial {found['trial']}, {document['seeds']} seeds, {document['epochs']} epochs each"
    fewer = f" (it had {found['epochs']})" if document["epochs"] < found["epochs"] else ""
    if document["knobs"]:
        table = _table("knob", "", "value", metric, "+-", "weights", "", right=(metric, "+-", "weights"))
        for knob in document["knobs"]:
            for at, row in enumerate(knob["rows"]):
                mark = next((word for word in ("enough", "best") if row["value"] == knob[word] and knob["matters"]), "")
                table.add_row(
                    Text(knob["name"], "bold") if at == 0 else "",
                    Text("★" if row["value"] == knob["winner"] else "", "green"),
                    short(row["value"]),
                    Text(number(row["mean"]), "bold" if row["value"] == knob["enough"] and knob["matters"] else ""),
                    dim(f"{(max(row['scores']) - min(row['scores'])) / 2:.2g}" if len(row["scores"]) > 1 else ""),
                    f"{row['parameters']:,}",
                    Text(mark, "green"),
                )
        parts += [table, Text(), *(Text(knob["sentence"]) for knob in document["knobs"])]
    if document["interrupted"]:
        parts.append(warning("interrupted: what was measured by then"))
    else:
        late = [*document["unmeasured"], *(f"some values of {knob}" for knob in document["partly"])]
        late += [] if document["samples"] else ["fewer training rows"]
        if late:
            parts.append(warning(f"no time was left for {', '.join(late)}: --time gives more"))
    if document["samples"]:
        rows = _table("training rows", metric, right=("training rows", metric))
        for row in document["samples"]["rows"]:
            rows.add_row(f"{row['rows']:,}", number(row["mean"]))
        parts += [Text(), rows, Text(document["samples"]["sentence"])]
    if document["columns"]:
        worse = _table("column", f"{metric} lost when shuffled", "+-", right=(f"{metric} lost when shuffled", "+-"))
        for column in document["columns"][:20]:
            worse.add_row(column["name"], number(column["drop"]), dim(number(column["spread"])))
        parts += [Text(), worse]
    return Group(Text.assemble((document["run"], "bold"), (title + fewer, "dim")), *parts)


def teachers(document: Mapping[str, Any], top: int = 5) -> Group:
    """What clusters a run learns, and the best of the divisions that its teachers made."""
    found = document["clustering"]
    scores = ("thin_borders", "agreement", "stability", "silhouette")
    heads = [name.replace("_", " ") for name in scores]
    table = _table("", "teacher", *heads, right=heads, fold=("teacher", "thin borders"))
    for one in found["teachers"][:top]:
        cells = ["-" if one[name] is None else f"{one[name]:.2f}" for name in scores]
        table.add_row(str(one["clusters"]), f"{one['teacher']} {one['settings']}", *cells)
    sizes = ", ".join(f"{size:,}" for size in found["sizes"])
    told = dim(f"the first teaches, of {len(found['teachers'])} divisions; its clusters have {sizes}")
    return Group(Text(), table, told)


def _refused(document: Mapping[str, Any]) -> list[str]:
    """How many proposals were too large to be trained: a line, or none."""
    proposed = [trial["status"] for trial in document["trials"] if trial["stage"] == "explore"]
    count = proposed.count("infeasible")
    asked = document.get("experiment", {})
    shown: dict[str, Callable[[Any], str]] = {
        "max_parameters": lambda count: f"{count:,} parameters", "max_size": size,
        "max_latency": lambda ms: f"{ms:g} ms", "max_memory": lambda count: f"{size(count)} of memory",
    }  # fmt: skip
    limits = [show(asked[name]) for name, show in shown.items() if asked.get(name) is not None]
    return [f"{count:,} of {len(proposed):,} proposals had more than {' or '.join(limits)}"] if count else []


def evaluation(document: Mapping[str, Any]) -> Group:
    """Metrics on the test rows, with the interval, and where the model errs."""
    interval = document.get("interval") or {}
    table = _table("metric", "value", "interval", right=("value",))
    for name, value in document["metrics"].items():
        span = ""
        if interval.get("metric") == name:
            span = f"{number(interval['low'])} to {number(interval['high'])}  ({interval['level']:.0%})"
        table.add_row(name, number(value), span)
    if document.get("teacher_rand") is not None:
        table.add_row(dim("adjusted_rand of the teacher"), number(document["teacher_rand"]), "")
    parts: list[RenderableType] = [table]
    if document.get("naive"):
        naive = _table("naive forecast", "rmse", right=("rmse",))
        for name, value in document["naive"].items():
            naive.add_row(name, number(value))
        parts += [Text(), naive]
    names = list(document["metrics"])
    for head, others in (("simpler model", document.get("baselines")), ("file", document.get("files"))):
        if others:
            beside = _table(head, *names, right=names)
            for name, found in others.items():
                beside.add_row(name, *(number(found.get(metric)) for metric in names))
            parts += [Text(), beside]
    if document.get("confusion"):
        parts += [Text(), _confusion(document["confusion"]["labels"], document["confusion"]["matrix"])]
    if document.get("residuals"):
        residuals = _table("residual", "value", right=("value",))
        for name, value in _flat(document["residuals"]):
            residuals.add_row(name, number(value))
        parts += [Text(), residuals]
    if (document.get("consistency") or {}).get("changes"):
        parts += [Text(), _consistency(document["consistency"])]
    if document.get("verdict"):
        parts += [Text(), Text(document["verdict"]["sentence"], style="bold")]
    elif set(document.get("baselines") or {}) == {"constant"}:
        parts += [Text(), warning("No simpler model could be fitted: kexp baselines says why. So there is no verdict.")]
    title = Text.assemble((document["run"], "bold"), (f"  {document['rows']:,} {document['split']} rows", "dim"))
    return Group(title, *parts)


def _consistency(found: Mapping[str, Any]) -> RenderableType:
    """Answers that stay, and how good they are, of samples that were changed a little; of the int8 file beside it."""
    names = list(found["before"])
    table = _table("change", right=())
    for name in names:
        table.add_column("same answer" if name == names[0] else "int8 same", justify="right", no_wrap=True)
        table.add_column(found["metric"], justify="right", no_wrap=True)
    table.add_row("none", *(cell for name in names for cell in ("", number(found["before"][name]))), style="dim")
    for change, told in found["changes"].items():
        cells = [cell for name in names for cell in (f"{told[name]['same']:.1%}", number(told[name]["value"]))]
        table.add_row(change, *cells)
    return table


LAYERS_SHOWN = 40  # of deeper networks the first and last; --json has all


def diagnosis(document: Mapping[str, Any]) -> list[RenderableType]:
    """Tables of `pipeline.diagnose`'s document, but for its findings: layers, one sample, fit, what was tried."""
    parts: list[RenderableType] = []
    if document["layers"]:
        parts += [_layers(document["layers"]), dim(LEGEND), Text()]
    if document["sample"]:
        sample = document["sample"]
        title = Text(f"{sample['id']} ({sample['target']}), forward and back", overflow="ellipsis", no_wrap=True)
        parts += [title, _one_sample(sample), dim("gradient: norm of that of its loss, at this place"), Text()]
    objective = document["journal"]["objective"]
    if document["fit"]:
        parts.append(_fitted(document["fit"], document["calibration"]))
        if len(document["curve"]) > 1:
            told = ", ".join(f"{number(point['score'])} after {point['epochs']}" for point in document["curve"])
            parts.append(dim(f"{objective} of this candidate by epochs: {told}"))
        parts.append(Text())
    if document["variants"]:
        epochs = max(row["epochs"] for row in document["variants"])
        told = f"short trainings of {epochs} epochs from new weights; of many rows some"
        parts += [_variants(document["variants"], objective), dim(told), Text()]
    return parts


def _layers(rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    right = ("out", "largest", "dead", "flat", "gradient", "new", "step")
    table = _table("layer", *right, right=right)
    for row in _ends(rows):
        if row is None:
            table.add_row(dim("..."))
            continue
        cells = [_tiny(max(abs(row["minimum"]), abs(row["maximum"]))) if "minimum" in row else ""]
        cells += [f"{row[key] / row['units']:.0%}" if row.get("units") else "" for key in ("dead", "saturated")]
        cells += [_tiny(row[key]) if key in row else "" for key in ("gradient", "gradient_new", "update")]
        table.add_row(_ended(row["layer"], 17), _shape(row.get("shape")), *cells)
    return table


def _one_sample(sample: Mapping[str, Any]) -> RenderableType:
    right = ("shape", "least", "mean", "most", "gradient")
    table = _table("layer", *right, right=right)
    for row in _ends(sample["layers"]):
        cells = ["..."]
        if row is not None:
            back = "" if row["gradient"] is None else _tiny(row["gradient"])
            numbers = [_tiny(row[key]) for key in ("minimum", "mean", "maximum")]
            cells = [_ended(row["layer"], 24), _shape(row["shape"]), *numbers, back]
        table.add_row(*cells)
    return table


def _fitted(found: Mapping[str, Any], calibration: Mapping[str, Any] | None) -> RenderableType:
    right = ("training", "validation", "constant")
    table = _table("metric", *right, right=right)
    for name, value in found["validation"].items():
        table.add_row(name, number(found["train"][name]), number(value), number(found["constant"][name]))
    if calibration:
        table.add_row("ECE", "", number(calibration["ece"]), "")
    return table


def _variants(rows: Sequence[Mapping[str, Any]], objective: str) -> RenderableType:
    right = ("training error", objective, "idle units")
    table = _table("tried", "changed", *right, right=right, fold=("changed",))
    for row in rows:
        told = [number(row["train"]), number(row["score"])] if row["train"] is not None else [row["status"], "-"]
        told.append("-" if row["idle"] is None else f"{row['idle']:.0%}")
        table.add_row(row["name"], "" if row["name"].startswith("rate") else values(row["changed"]), *told)
    return table


LEGEND = (
    "out, largest: shape, and largest size of a number. dead, flat: units that put out nothing, that are saturated. "
    "gradient: its norm with the kept weights, and with new ones. step: of the optimiser from these, as a share of the "
    "weights."
)


def _ends(rows: Sequence[Any]) -> list[Any]:
    half = LAYERS_SHOWN // 2
    return list(rows) if len(rows) <= LAYERS_SHOWN else [*rows[:half], None, *rows[-half:]]


def _shape(shape: Sequence[int] | None) -> str:
    return "x".join(map(str, shape)) if shape else ""


def _tiny(value: float | None) -> str:
    """Two or three telling digits, seven letters or eight; of what is not finite, and so null in JSON, a word."""
    if value is None or value != value:
        return "nan"
    return f"{value:.3g}" if 0.01 <= abs(value) < 1000 or value == 0 else f"{value:.1e}"


def _ended(text: str, most: int) -> str:
    """At most so many letters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _confusion(labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> RenderableType:
    if len(labels) <= CONFUSION_CLASSES:
        heads = [str(index) for index in range(len(labels))]
        table = _table("true \\ predicted", *heads, right=heads)
        for index, (label, row) in enumerate(zip(labels, matrix, strict=True)):
            cells = [
                Text(str(count) if count else "·", "green" if at == index else "" if count else "dim")
                for at, count in enumerate(row)
            ]
            table.add_row(label if label == str(index) else f"{index} {label[:16]}", *cells)
        return table
    wrong = [
        (count, labels[true], labels[guess])
        for true, row in enumerate(matrix)
        for guess, count in enumerate(row)
        if true != guess and count
    ]
    table = _table("times", "true", "predicted", right=("times",))
    for count, true, guess in sorted(wrong, key=lambda one: -one[0])[:10]:
        table.add_row(str(count), true, guess)
    return table


def verdicts(artifacts: Sequence[Artifact], checks: Sequence[Check], failures: Mapping[str, str]) -> Group:
    """The files of an export with what was measured of each; every check that failed; what is missing."""
    told = {(format, what): check for check in checks for format, _, what in [check.name.partition(" ")]}
    numbers = [what for (_, what), check in told.items() if isinstance(check.value, float) and what != "bytes"]
    # What one package alone is held to would take the room of what all have in common; if it fails, it stands below.
    measured = [what for what in dict.fromkeys(numbers) if 2 * numbers.count(what) > len(artifacts)]
    files = _table("", "file", "size", *measured, right=("size", *measured))
    for artifact in artifacts:
        own = {what: check for (format, what), check in told.items() if format == artifact.format}
        cells = [number(own[what].value) if what in own else "" for what in measured]
        good = all(check.ok for check in own.values())
        files.add_row(_mark(good), artifact.path, size(artifact.bytes), *cells)
    for format in failures:
        files.add_row(_mark(False), Text(f"{format}: not kept", style="red"), "")
    parts: list[RenderableType] = [files] if artifacts or failures else []
    bad = [check for check in checks if not check.ok]
    if bad:
        gate = _table("", "failed check", "value", "limit", "advice", right=("value", "limit"), fold=("advice",))
        for check in bad:
            gate.add_row(_mark(False), check.name, number(check.value), number(check.limit), warning(check.advice))
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
        table = _table("file", *right, right=right)
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
        table = _table("file", "operator", "share", right=("share",), fold=("operator",))
        for one in told:
            for at, (name, share) in enumerate(list(one.operators.items())[:3]):
                table.add_row("" if at else one.artifact, name, f"{share:.0%}")
        parts += [Text(), table]
    for file, why in missing.items():
        parts.append(Text.assemble(_mark(False), f" {file}: {why}"))
    if found:
        parts.append(dim("memory: an estimate, what the process took beyond what it had before"))
    return Group(*parts)


def predictions(answers: Sequence[Prediction]) -> Group:
    """A line per sample: the label with its probabilities, or the values; milliseconds; warnings below."""
    repeated = any(answer.p50_ms is not None for answer in answers)
    labelled = any(answer.label for answer in answers)
    times = ("p50 ms", "p95 ms") if repeated else ("ms",)
    table = _table("input", *["answer"] * labelled, "values", *times, right=times, fold=("input", "values"))
    for answer, source in zip(answers, _sources(answers), strict=True):
        shown = {name: f"{value:.4f}" if labelled else number(value) for name, value in answer.values.items()}
        told = "  ".join(f"{name} {value}" for name, value in shown.items())
        spent = (answer.p50_ms, answer.p95_ms) if repeated else (answer.ms,)
        label = [Text(answer.label or "none", style="bold")] * labelled
        table.add_row(source, *label, told, *(f"{ms:.2f}" for ms in spent if ms is not None))
    return Group(table, *(warning(f"{a.source}: {text}") for a in answers for text in a.warnings))


def devices(found: Sequence[Mapping[str, Any]]) -> Group:
    """What phones measured of the exported files, `RunStore.devices`, below something else."""
    columns = ("p50 ms", "p95 ms")
    table = _table("device", "file", *columns, "golden", "when", right=columns, fold=("device",))
    for device in found:
        times = {one["artifact"]: (f"{one['p50_ms']:.3g}", f"{one['p95_ms']:.3g}") for one in device["measurements"]}
        for artifact in device["sha256"]:
            own = [check["ok"] for check in device["checks"] if check["name"].split()[0] == artifact]
            mark = _mark(all(own)) if own else "-"
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
        lines.append(Text.assemble(_mark(not bad), " ", (post.device, "bold"), f"  {result.artifact}  {spent}"))
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


def _sources(answers: Sequence[Prediction]) -> list[str]:
    """What each answer is of: its path as given, or the file's name where paths are long and names tell enough."""
    paths = [answer.source for answer in answers]
    names = [path.rpartition("/")[2] for path in paths]
    long = max(map(len, paths), default=0) > LONG_PATH
    return names if long and len(set(names)) == len(set(paths)) else paths


def _flat(document: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for name, value in document.items():
        pairs += _flat(value, f"{prefix}{name} ") if isinstance(value, Mapping) else [(f"{prefix}{name}", value)]
    return pairs
