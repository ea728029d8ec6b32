"""The network as C: an array, labels and a small program that runs it with LiteRT's C API.

    c/model.h, model.cc    the .tflite as an aligned array, labels, columns; plain C, for microcontrollers as well
    c/network.h, .cc       kexp_open, kexp_run, kexp_close, by LiteRT; litert_c.h declares what they call
    c/main.cc              a program: samples in, answers out; --golden is the self-test with golden.bin
    c/CMakeLists.txt, README.md, OPERATORS.md

The package is made of the int8 file that has passed the gate, byte by byte; `checks` holds it to that. The files that
do not depend on the network are templates/c/, copied as they are.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from importlib import resources
from pathlib import Path
from string import Template

import numpy as np

from kexp.errors import ExportError
from kexp.export import golden, inputs, metadata, micro
from kexp.export.package import Package
from kexp.records import AXES, Check, Column, DatasetSpec

SOURCE = "model_int8.tflite"
FORMAT = "tflite_int8"
COPIED = ("litert_c.h", "network.h", "network.cc", "main.cc", "CMakeLists.txt")
COMPILE = "g++ -std=c++17 -O2 -Wall -Wextra -Werror main.cc network.cc model.cc"
# Of probabilities, or of deviations of the target: a quantum of int8 between processors (.0039 measured on ARM64)
# turns into several where it is early in the network. On one machine the answers are equal to the last bit.
GOLDEN_LIMIT = 0.02
PER_LINE = 24


def write(package: Package, path: Path) -> None:
    """Write the folder `path` from the int8 file in `package`. Raises ExportError where that is not there."""
    spec, source = package.spec, package.folder / SOURCE
    if not source.is_file():
        raise ExportError(f"the C package is made of {SOURCE}, which is not in {package.folder}. Export tflite_int8.")
    content = source.read_bytes()
    path.mkdir(parents=True)
    templates = resources.files("kexp.export").joinpath("templates/c")
    for name in COPIED:
        with resources.as_file(templates.joinpath(name)) as template:
            shutil.copyfile(template, path / name)
    values = {
        "name": comment(spec.name),
        "bytes": str(len(content)),
        "sha256": hashlib.sha256(content).hexdigest(),
        "inputs": str(int(np.prod(spec.shape))),
        "outputs": str(spec.outputs),
        "num_labels": str(len(spec.labels)),
        "task": f"KEXP_{spec.task.upper()}",
        "limit": f"{GOLDEN_LIMIT:g}",
        "compile": COMPILE,
    }
    for name, more in (
        ("model.h", _header(spec)),
        ("model.cc", _body(spec, content)),
        ("README.md", _readme(spec)),
        ("OPERATORS.md", _operators(content)),
    ):
        template_text = templates.joinpath(f"{name}.in").read_text(encoding="utf-8")
        (path / name).write_text(Template(template_text).substitute(values | more), encoding="utf-8")
    (path / "golden.bin").write_bytes(golden.binary(package.folder / "golden", spec, FORMAT))


def literal(text: str) -> str:
    """`text` as a C string literal, which no compiler reads otherwise: no trigraph, no control or bidi character."""
    simple = {'"': '\\"', "\\": "\\\\", "?": "\\?"}
    out = "".join(
        simple.get(c) or (c if c.isprintable() else "".join(f"\\{byte:03o}" for byte in c.encode("utf-8")))
        for c in text
    )
    return f'"{out}"'


def unliteral(source: str) -> str:
    """What a literal that `literal` wrote stands for. Raises ValueError for bytes that are no UTF-8."""

    def one(match: re.Match[bytes]) -> bytes:
        escape = match[1]
        return bytes([int(escape, 8)]) if escape.isdigit() else escape

    return re.sub(rb"\\([0-7]{3}|.)", one, source[1:-1].encode("utf-8"), flags=re.DOTALL).decode("utf-8")


def comment(text: str) -> str:
    """`text` for a comment of either kind and for Markdown: on one line, and it ends neither."""
    kept = "".join(c if c.isprintable() and c not in "\\`?" else "_" for c in text)
    return kept.replace("*/", "*_").replace("/*", "/_")


def checks(path: Path) -> list[Check]:
    """Whether the C package in `path` holds the gated model, all of it, and the labels that belong to it.

    The gated file is the one beside the package. Raises ExportError for a package that lacks a file.
    """
    try:
        header, body = ((path / name).read_text(encoding="utf-8") for name in ("model.h", "model.cc"))
        gated = (path.parent / SOURCE).read_bytes()
    except (OSError, UnicodeDecodeError) as error:
        raise ExportError(f"{path} is no whole C package beside its {SOURCE}: {error}. Export it again.") from error
    again = "The files are not those that were exported. Export again."
    array = model_bytes(body)
    told = re.search(r"^#define KEXP_MODEL_SHA256 \"(\w+)\"$", header, re.MULTILINE)
    found, wanted = (hashlib.sha256(content).hexdigest() for content in (array, gated))
    spec = metadata.read_spec(path.parent / SOURCE)
    labels = labels_of(body)
    expected = spec.labels if spec else ()
    verdicts = [
        ("c model sha256", found[:12], wanted[:12], found == wanted),
        ("c stated sha256", told[1][:12] if told else "none", wanted[:12], told is not None and told[1] == wanted),
        ("c labels", ", ".join(labels)[:60], ", ".join(expected)[:60], labels == expected),
    ]
    for name in COPIED:
        ours = resources.files("kexp.export").joinpath("templates/c", name).read_bytes()
        same = (path / name).is_file() and (path / name).read_bytes() == ours
        verdicts.append((f"c {name}", "as exported" if same else "another", "as exported", same))
    return [
        Check(name=name, value=value, limit=limit, ok=ok, advice="" if ok else again)
        for name, value, limit, ok in verdicts
    ]


def model_bytes(body: str) -> bytes:
    """The array in the text of a model.cc; empty where there is none."""
    found = re.search(r"kexp_model\[[^]]*\] = \{([^}]*)\}", body)
    return bytes(int(number) & 255 for number in re.findall(r"\d+", found[1])) if found else b""


def labels_of(body: str) -> tuple[str, ...]:
    """The labels in the text of a model.cc; empty where they cannot be read."""
    found = re.search(r"kexp_labels\[[^]]*\] = \{\n(.*?)\n\};", body, re.DOTALL)
    try:
        return tuple(unliteral(m) for m in re.findall(r'"(?:[^"\\]|\\.)*"', found[1])) if found else ()
    except ValueError:
        return ()


def _header(spec: DatasetSpec) -> dict[str, str]:
    if spec.kind == "image":
        height, width, channels = spec.shape
        order = "grey" if channels == 1 else "red, green, blue"
        about = (
            f"One picture: {height} rows of {width} pixels of {channels} number(s) ({order}), each 0 to 255.\n"
            " * Upright, cut around its centre to this ratio, resized with averaging, transparent parts white.\n"
            " * Nothing is to be scaled: the network does that."
        )
        extra = f"#define KEXP_HEIGHT {height}\n#define KEXP_WIDTH {width}\n#define KEXP_CHANNELS {channels}\n"
        return {"input": about, "extra": extra}
    if spec.kind != "table":
        text = f"One of {inputs.size(spec)}.\n * {comment(inputs.order(spec))}."
        sides = zip(AXES[spec.kind], spec.shape, strict=True)
        extra = "".join(f"#define KEXP_{axis.upper()} {side}\n" for axis, side in sides)
        return {"input": f"{text}\n * Nothing is to be scaled: the network does that.", "extra": extra}
    lines = [
        "One row of a table: one number per column, in the order below. A missing value is NaN, in any column.",
        " * Nothing is to be scaled: the network does that.",
        *(f" *   {position}  {_encoding(column)}" for position, column in enumerate(spec.columns)),
    ]
    return {"input": "\n".join(lines), "extra": _COLUMNS}


_COLUMNS = """
typedef struct {
  const char *name;
  const char *kind;           /* number, boolean, category or date */
  int num_choices;            /* of a category, and 2 of a boolean: no, yes; otherwise 0 */
  const char *const *choices; /* the number to put in is the position here; -1 is one that is not here */
} kexp_column;
extern const kexp_column kexp_columns[KEXP_INPUTS];
"""


def _encoding(column: Column) -> str:
    name = comment(column.name)
    if column.kind == "category":
        return f"{name}: the position of the text in its choices, -1 for any other text"
    if column.kind == "boolean":
        return f"{name}: 0 for {comment(column.choices[0])}, 1 for {comment(column.choices[1])}"
    if column.kind == "date":
        return f"{name}: days since 1970-01-01 (UTC), the time of day as a fraction"
    return f"{name}: the number itself"


def _body(spec: DatasetSpec, content: bytes) -> dict[str, str]:
    lines = (content[i : i + PER_LINE] for i in range(0, len(content), PER_LINE))
    choices = [
        f"static const char *const choices_{i}[] = {{{', '.join(map(literal, column.choices))}}};\n"
        for i, column in enumerate(spec.columns)
        if column.choices
    ]
    columns = [
        f'  {{{literal(column.name)}, "{column.kind}", {len(column.choices)}, '
        f"{f'choices_{i}' if column.choices else '0'}}},\n"
        for i, column in enumerate(spec.columns)
    ]
    table = "".join([*choices, "const kexp_column kexp_columns[KEXP_INPUTS] = {\n", *columns, "};\n"])
    units = [std or 1.0 for std in spec.target_std] if spec.task == "regression" else []
    return {
        "array": ",\n".join("  " + ",".join(map(str, line)) for line in lines),
        "labels": ",\n".join(f"  {literal(label)}" for label in spec.labels),
        "units": ", ".join(f"{unit:.17g}" for unit in units or [1.0] * spec.outputs),
        "columns": table if spec.columns else "",
    }


def _readme(spec: DatasetSpec) -> dict[str, str]:
    fixed = {"image": "pixels 0 to 255, channels last", "table": "one number per column"}
    what = fixed.get(spec.kind) or inputs.order(spec)
    answers = {
        "binary": f"the probability of {comment(spec.labels[-1])}",
        "multiclass": "one probability per label",
        "multilabel": "one probability per label, each for itself",
        "regression": "one value per target, in its own units",
    }
    return {"what": what, "answers": answers[spec.task]}


def _operators(content: bytes) -> dict[str, str]:
    found, memory = micro.uses(content), micro.arena(content)
    missing = [use.name for use in found if not use.kernel]
    rows = "\n".join(f"| {use.name} | {use.times} | {'yes' if use.kernel else '**no**'} |" for use in found)
    verdict = (
        f"TensorFlow Lite Micro has no kernel for {', '.join(missing)}: this file does not run there."
        if missing
        else "TensorFlow Lite Micro has a kernel of each name."
    )
    adds = " ".join(use.name for use in found)
    return {
        "operators": rows, "verdict": verdict, "date": micro.TFLM_DATE, "adds": adds,
        "total": f"{memory.total:,}", "peak": f"{memory.peak:,}", "count": str(len(found)),
    }  # fmt: skip
