"""Runs and their trials: lists and leaderboards, and what is compared with a run's best network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from kexp.screen.basics import dim, following, plain_table, warning
from kexp.wording import TOO_FEW, clock, number, refusal, short, short_name, size, telling, values

FILES = ("model_float32.tflite", "model_int8.tflite")  # whose sizes tell enough


def runs(rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    """The runs of a home, newest last."""
    if not rows:
        return dim("no runs yet: kexp search sklearn:digits makes one")
    table = plain_table("run", "kind", "task", "trials", "best", "created", right=("trials", "best"))
    for row in rows:
        created = str(row["created"])[:16].replace("T", " ")
        table.add_row(row["name"], row["kind"], row["task"], str(row["trials"]), number(row["best"]), created)
    return table


def leaderboard(document: Mapping[str, Any], top: int) -> Group:
    """The first `top` trials of `pipeline.show`'s document, best first; of their values those that differ."""
    trials = [trial for trial in document["trials"] if trial["status"] != "infeasible"]
    objective = document["objective"]
    shown = trials[:top]
    shown += [trial for trial in trials[top:] if trial["id"] == document.get("best")]  # by its mean, or its loss
    file = next((short_name(trial["variant"]) for trial in shown if trial["shipped"]), "")
    right = ("trial", objective, *((file, "size", "ms") if file else ("weights",)), "time")
    table = plain_table("", *right, "values", right=right)
    table.expand = True  # one line for each trial, as wide as the screen
    table.columns[-1].overflow, table.columns[-1].ratio = "ellipsis", 1
    differing = telling(shown)
    for trial in shown:
        best = trial["id"] == document.get("best")
        strong = "bold" if best else ""
        told = values(trial["values"], differing)
        if trial["stage"] != "explore":
            told = f"as trial {trial['parent']}, {_again(trial)}"
        if trial["refused"]:
            told = refusal(trial["refused"], bool(trial["shipped"]))
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
    winner += [dim(document[told]) for told in ("reason", "turned") if document.get(told)]
    counts: dict[str, int] = {}
    for trial in trials:
        counts[trial["status"]] = counts.get(trial["status"], 0) + 1
    summary = ", ".join(f"{count} {status}" for status, count in counts.items())
    hidden = f"; the first {top} are shown" if len(trials) > top else ""
    lines = [f"{summary}{hidden}", *_refused(document)]
    return Group(Text(document["run"], style="bold"), table, *map(dim, lines), *winner)


def _again(trial: Mapping[str, Any]) -> str:
    """How a trial repeats another one."""
    if trial["stage"] == "refit":
        return "on all rows"
    return f"fold {trial['fold']}" if trial.get("fold") else "again"


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


def _file(trial: Mapping[str, Any], metric: str, style: str = "") -> list[RenderableType]:
    """The cells of a trial's file: its metric, size and milliseconds; empty ones where there is none."""
    if not trial["shipped"]:
        return ["", "", ""]
    milliseconds = "" if trial["latency_ms"] is None else f"{trial['latency_ms']:.2g}"
    return [Text(number(trial["shipped"].get(metric)), style=style), size(trial["bytes"]), milliseconds]


def comparison(document: Mapping[str, Any]) -> Group:
    """Runs side by side: what came of each, where the questions and the winners differ, and which is better."""
    runs, metric = document["runs"], document["metric"]
    table = plain_table("", "", *(one["run"] for one in runs), fold=[one["run"] for one in runs])

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


def front(document: Mapping[str, Any]) -> Group:
    """The networks of which none other is better in every respect, and what each of `kexp export --pick` means."""
    found = document["front"]
    metric, by_id = found["metric"], {trial["id"]: trial for trial in document["trials"]}
    right = ("trial", metric, "size", "ms", "weights")
    table = plain_table("", *right, "", right=right)
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
    table = plain_table("simpler model", *right, "", right=right, fold=("",))
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
        table = plain_table("knob", "", "value", metric, "+-", "weights", "", right=(metric, "+-", "weights"))
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
        late += [] if document["samples"] or document.get("too_few") else ["fewer training rows"]
        if late:
            parts.append(warning(f"no time was left for {', '.join(late)}: --time gives more"))
    if document.get("too_few"):
        parts.append(dim(TOO_FEW))
    if document["samples"]:
        rows = plain_table("training rows", metric, right=("training rows", metric))
        for row in document["samples"]["rows"]:
            rows.add_row(f"{row['rows']:,}", number(row["mean"]))
        parts += [Text(), rows, Text(document["samples"]["sentence"])]
    if document["columns"]:
        worse = plain_table(
            "column", f"{metric} lost when shuffled", "+-", right=(f"{metric} lost when shuffled", "+-")
        )
        for column in document["columns"][:20]:
            worse.add_row(column["name"], number(column["drop"]), dim(number(column["spread"])))
        parts += [Text(), worse]
    return Group(Text.assemble((document["run"], "bold"), (title + fewer, "dim")), *parts)


def teachers(document: Mapping[str, Any], top: int = 5) -> Group:
    """What clusters a run learns, and the best of the divisions that its teachers made."""
    found = document["clustering"]
    scores = ("thin_borders", "agreement", "stability", "silhouette")
    heads = [name.replace("_", " ") for name in scores]
    table = plain_table("", "teacher", *heads, right=heads, fold=("teacher", "thin borders"))
    for one in found["teachers"][:top]:
        cells = ["-" if one[name] is None else f"{one[name]:.2f}" for name in scores]
        table.add_row(str(one["clusters"]), f"{one['teacher']} {one['settings']}", *cells)
    sizes = ", ".join(f"{size:,}" for size in found["sizes"])
    told = dim(f"the first teaches, of {len(found['teachers'])} divisions; its clusters have {sizes}")
    return Group(Text(), table, told)
