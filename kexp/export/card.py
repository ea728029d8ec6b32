"""What stands beside the files: labels.txt, README.md (the model card) and export.json.

The card is for whoever puts a file into a program: what it was trained on, how good it is, what to feed it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

from kexp.errors import ExportError
from kexp.export import inputs, metadata, scatter
from kexp.records import PLURALS, Artifact, Check, Clustering, Column, DatasetSpec, from_json, to_json

MANIFEST = "export.json"
ELSEWHERE = {  # how a program runs what is no .tflite
    "saved_model": '`tf.saved_model.load("saved_model").signatures["serving_default"](input=x)["output"]`',
    "onnx": '`onnxruntime.InferenceSession("model.onnx").run(None, {"input": x})[0]`',
    "torch_export": '`torch.export.load("model.pt2").module()(x)`, without Keras',
    "torch_script": '`torch.jit.load("model.pt")(x)`, without Keras; C++ too',
    "tfjs": '`(await tf.loadGraphModel("tfjs/model.json")).predict(x)`',
    "c": "`c/README.md` tells how to compile and call it; `c/OPERATORS.md` what microcontrollers have",
    "android": "`android/README.md`: open the folder in Android Studio",
    "phone": "`phone/`: put it on any https host. The golden samples lie in it: whoever opens the page can read them",
}


def write(
    folder: Path,
    spec: DatasetSpec,
    artifacts: Sequence[Artifact],
    checks: Sequence[Check],
    limits: Mapping[str, Sequence[float]],
    *,
    rows: Mapping[str, int],
    evaluation: Mapping[str, Any] | None = None,
    trial: int | None = None,
    modules: Sequence[str] = (),
    model: str = "",
    golden: str = "",
    clustering: Clustering | None = None,
) -> None:
    """Write labels.txt, README.md, export.json and, of clusters, their picture into `folder`.

    `limits` are (gap, drop) by format, `rows` how many rows trained and validated, `evaluation` the document
    of the test split, if there is one, `model` the SHA-256 of the .keras file that was exported, `golden` that of the
    folder of golden vectors, `clustering` what the classes are where they were found and not given.
    """
    (folder / metadata.LABELS).write_text(metadata.lines(spec.labels), encoding="utf-8")
    if clustering and clustering.places:
        (folder / scatter.NAME).write_text(scatter.svg(clustering, spec.labels), encoding="utf-8")
    card = _card(spec, artifacts, checks, rows, evaluation, trial is not None, clustering)
    (folder / "README.md").write_text(card, encoding="utf-8")
    document = {
        "name": spec.name,
        "kexp": version("kexp"),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "trial": trial,
        "model": model,
        "golden": golden,
        "modules": list(modules),
        "spec": to_json(spec),
        "artifacts": to_json(list(artifacts)),
        "limits": {format: list(pair) for format, pair in limits.items()},
        "checks": to_json(list(checks)),
        "evaluation": to_json(dict(evaluation)) if evaluation else None,
    }
    (folder / MANIFEST).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def manifest(exported: Path) -> tuple[dict[str, Any], DatasetSpec]:
    """export.json and the DatasetSpec in it. Raises ExportError where it is missing or damaged."""
    path = exported / MANIFEST
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        spec = from_json(DatasetSpec, document["spec"])
        document["artifacts"], document["limits"], document["checks"]
    except OSError as error:
        if not exported.is_dir():
            raise ExportError(f"{exported} is no folder that is there. kexp export makes exported/NAME.") from error
        raise ExportError(f"{exported} holds no {MANIFEST}: {error.strerror}. kexp export makes it.") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else error
        raise ExportError(f"{path} is damaged ({what}). Export again.") from error
    return document, spec


def _card(
    spec: DatasetSpec,
    artifacts: Sequence[Artifact],
    checks: Sequence[Check],
    rows: Mapping[str, int],
    evaluation: Mapping[str, Any] | None,
    ours: bool,
    clustering: Clustering | None,
) -> str:
    sections = [
        f"# {spec.name}\n\n{_task(spec)} {'Made' if ours else 'Converted'} by kexp {version('kexp')}.",
        f"## Data\n\n{_data(spec, rows)}",
        *([f"## Clusters\n\n{_clusters(spec, clustering)}"] if clustering else []),
        f"## Quality\n\n{_quality(evaluation, ours)}",
        f"## Files\n\n{_files(artifacts, checks)}",
        f"## Input\n\n{_input(spec, artifacts)}",
        f"## Output\n\n{_output(spec)}",
    ]
    tflite = [artifact.path for artifact in artifacts if artifact.path.endswith(".tflite")]
    if tflite:
        best = next((path for path in tflite if path == "model_int8.tflite"), tflite[0])
        sections.append(f"## Use\n\n```sh\nkexp run {best} {inputs.EXAMPLE[spec.kind]}\n```\n\n{_snippet(spec, best)}")
    others = [f"- {ELSEWHERE[artifact.format]}" for artifact in artifacts if artifact.format in ELSEWHERE]
    if others:
        sections.append(
            "## Elsewhere\n\n`x` is the input as above; these take any number of samples at once, packages one.\n\n"
            + "\n".join(others)
        )
    sections.append(
        "## Check\n\n`golden/` holds samples as a user has them, and in `expected.json` the answers of each "
        "file. A program that feeds the model right gets the same numbers; `kexp verify .` does it here. \n\n"
        "Known limits: the model knows data like those it was trained on. Nothing here tells how it answers "
        "on other cameras, places, times or people."
    )
    return "\n\n".join(sections) + "\n"


def _task(spec: DatasetSpec) -> str:
    what = inputs.A[spec.kind]
    named = ", ".join(spec.labels[:20]) + (" ..." if len(spec.labels) > 20 else "")
    target = f"`{spec.target}`" if spec.target else "the target"
    return {
        "binary": f"{what} in, the probability of `{spec.labels[-1]}` out (otherwise `{spec.labels[0]}`).",
        "multiclass": f"{what} in, a probability for each of {len(spec.labels)} classes out: {named}.",
        "multilabel": f"{what} in, a probability for each of {len(spec.labels)} labels out: {named}.",
        "regression": f"{what} in, {target} out ({named}).",
    }[spec.task]


def _data(spec: DatasetSpec, rows: Mapping[str, int]) -> str:
    lines = [f"- {count:,} rows for {part}" for part, count in rows.items()]
    if spec.kind == "image":
        height, width, channels = spec.shape
        lines.append(f"- pictures of {width} x {height} pixels, {'grey' if channels == 1 else 'in colour'}")
    else:
        lines.append(f"- {len(spec.columns)} columns" if spec.kind == "table" else f"- {inputs.size(spec)}")
    if spec.task == "regression":
        for label, mean, std in zip(spec.labels, spec.target_mean, spec.target_std, strict=False):
            lines.append(f"- {label}: mean {mean:.6g}, standard deviation {std:.6g}")
    return "\n".join(lines)


def _clusters(spec: DatasetSpec, clustering: Clustering) -> str:
    """Who found them, in what, and for each its size and the sample that is most like the rest of it."""
    teacher = clustering.teachers[0]
    lines = [
        f"Nobody named these classes: {teacher.teacher} of scikit-learn ({teacher.settings}) found them, without "
        f"labels, in {clustering.features}. It was the best of {len(clustering.teachers)} divisions; the network "
        "learnt to say of new samples what it would say. Look at the exemplars before you give a cluster a name.",
        "",
        f"| cluster | {PLURALS[spec.kind]} | exemplar |",
        "|---|---:|---|",
    ]
    for label, size, exemplar in zip(spec.labels, clustering.sizes, clustering.exemplars, strict=True):
        lines.append(f"| {label} | {size:,} | {_cell(exemplar)} |")
    if clustering.places:
        what = f"{len(clustering.places):,} {PLURALS[spec.kind]}, coloured by cluster; a number marks its exemplar."
        lines += ["", f"![The clusters]({scatter.NAME})", "", f"{what} {clustering.plane}"]
    return "\n".join(lines)


def _quality(evaluation: Mapping[str, Any] | None, ours: bool) -> str:
    if not ours:
        return "kexp did not train this model, and cannot know which rows did: measure it on rows that it never saw."
    if not evaluation:
        return "Not evaluated on the test split before this export: `kexp evaluate`, then `kexp export` again."
    lines = [f"On {evaluation['rows']:,} test rows, which took no part in training or choosing:", ""]
    interval = evaluation.get("interval") or {}
    for name, value in evaluation["metrics"].items():
        span = ""
        if interval.get("metric") == name:
            span = f" ({interval['level']:.0%} interval {interval['low']:.4g} to {interval['high']:.4g})"
        lines.append(f"- {name.replace('_', ' ')}: {value:.4g}{span}")
    for name, value in (evaluation.get("naive") or {}).items():
        lines.append(f"- rmse of a naive forecast, {name}: {value:.4g}")
    consistency = evaluation.get("consistency") or {}
    if consistency.get("changes"):
        stay = [f"{change} {_stay(models)}" for change, models in consistency["changes"].items()]
        lines += [
            "",
            f"Of {consistency['rows']:,} of them, changed a little, so many get the same answer: {', '.join(stay)}.",
        ]
    return "\n".join(lines)


def _stay(models: Mapping[str, Mapping[str, float]]) -> str:
    """The share of answers that stay, and in brackets that of the int8 file."""
    first, *more = (f"{found['same']:.1%}" for found in models.values())
    return f"{first} (int8 {more[0]})" if more else first


def _files(artifacts: Sequence[Artifact], checks: Sequence[Check]) -> str:
    """One line per file: its size, and how far it is from the Keras model on validation rows."""
    lines = ["| file | bytes | largest difference | metric drop |", "|---|---:|---:|---:|"]
    for artifact in artifacts:
        gap = _value(checks, f"{artifact.format} gap")
        drop = next((_value([c], c.name) for c in checks if _is_drop(c, artifact.format)), "")
        lines.append(f"| {artifact.path} | {artifact.bytes:,} | {gap} | {drop} |")
    lines += [
        "",
        "Differences are from the Keras model on validation rows: of probabilities, or in standard "
        "deviations of the target. A drop is of the accuracy as a share, or of the error relative to "
        "the Keras model's; below zero the file is better.",
    ]
    return "\n".join(lines)


def _is_drop(check: Check, format: str) -> bool:
    return check.name.startswith(f"{format} ") and check.name.endswith(" drop")


def _value(checks: Sequence[Check], name: str) -> str:
    found = next((check.value for check in checks if check.name == name), "")
    return found if isinstance(found, str) else f"{found:.2g}"


def _input(spec: DatasetSpec, artifacts: Sequence[Artifact]) -> str:
    if spec.kind == "image":
        return _picture_input(spec, artifacts)
    if spec.kind == "table":
        return _table_input(spec)
    shape = ", ".join(map(str, (1, *spec.shape)))
    return (
        f"One tensor `input`, float32 ({shape}), {inputs.order(spec)}. Nothing is to be scaled: the model does that."
        f"\n\n{inputs.treatment(spec)}"
    )


def _picture_input(spec: DatasetSpec, artifacts: Sequence[Artifact]) -> str:
    height, width, channels = spec.shape
    pixels = any(artifact.format == "tflite_uint8" for artifact in artifacts)
    uint8 = " `model_uint8.tflite` takes the same as uint8." if pixels else ""
    colours = "one grey channel" if channels == 1 else "channels red, green, blue"
    return (
        f"One tensor `input`, float32 (1, {height}, {width}, {channels}): {colours}, raw values 0 to 255, "
        f"as they are: the model does the scaling.{uint8}\n\n"
        "kexp turns a photo upright (EXIF), cuts it around its centre to this aspect ratio and resizes it "
        "with an antialiasing filter; transparent parts become white. `kexp.data.pictures.decode` does exactly that."
    )


def _table_input(spec: DatasetSpec) -> str:
    lines = [
        f"One tensor `input`, float32 (1, {len(spec.columns)}): one number per column, in this order. "
        "A missing value is NaN, in any column. A category that is not listed is -1. Nothing is "
        "to be scaled: the model does that. Outside the range of the training rows answers are guesses.",
        "",
        "| position | column | number to put in | training rows |",
        "|---:|---|---|---|",
    ]
    for position, column in enumerate(spec.columns):
        how, seen = _encoding(column)
        seen += "; some missing" if column.missing else ""
        lines.append(f"| {position} | {_cell(column.name)} | {how} | {seen} |")
    return "\n".join(lines)


def _encoding(column: Column) -> tuple[str, str]:
    """How a column becomes a number, and what the training rows had."""
    span = f"{_number(column.minimum, column)} to {_number(column.maximum, column)}"
    if column.kind == "category":
        codes = ", ".join(f"`{_cell(choice)}` = {code}" for code, choice in enumerate(column.choices))
        return f"code: {codes}", f"{len(column.choices)} categories"
    if column.kind == "boolean":
        return f"{_cell(column.choices[0])} = 0, {_cell(column.choices[1])} = 1", "both"
    if column.kind == "date":
        return "days since 1970-01-01 (UTC), the time of day as a fraction", span
    return "the number itself", span


def _number(value: float, column: Column) -> str:
    if column.kind != "date":
        return f"{value:.6g}"
    return f"{value:.6g} ({datetime(1970, 1, 1) + timedelta(days=value):%Y-%m-%d})"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ") or "(empty)"


def _output(spec: DatasetSpec) -> str:
    if spec.task == "regression":
        names = ", ".join(spec.labels)
        return f"One tensor `output`, float32 (1, {spec.outputs}): {names}, in the target's own units."
    if spec.task == "binary":
        first, second = spec.labels
        return f"One tensor `output`, float32 (1, 1): the probability of `{second}`; `{first}` has the rest."
    tail = "They add up to 1." if spec.task == "multiclass" else "Each stands for itself: take those from 0.5 up."
    what = "a probability per line of `labels.txt`, in that order."
    return f"One tensor `output`, float32 (1, {spec.outputs}): {what} {tail}"


def _snippet(spec: DatasetSpec, file: str) -> str:
    """A program that runs the file with nothing but ai_edge_litert."""
    if spec.kind == "image":
        height, width, channels = spec.shape
        mode = "L" if channels == 1 else "RGB"
        kind = "uint8" if "uint8" in file else "float32"
        head = "from PIL import Image, ImageOps\n"
        read = (
            f'picture = ImageOps.exif_transpose(Image.open("picture.jpg")).convert("{mode}")\n'
            f"picture = ImageOps.fit(picture, ({width}, {height}), Image.Resampling.BILINEAR)  # nearly as kexp does\n"
            f"x = np.asarray(picture, np.{kind}).reshape(1, {height}, {width}, {channels})  # 0 to 255"
        )
    elif spec.kind != "table":
        head, read = inputs.snippet(spec)
    else:
        head = ""
        read = f"x = np.full((1, {len(spec.columns)}), np.nan, np.float32)  # NaN: missing\n" + "\n".join(
            f"x[0, {i}] = {_some(column)}  # {column.name}" for i, column in list(enumerate(spec.columns))[:3]
        )
    return f"""```python
import numpy as np
from ai_edge_litert.interpreter import Interpreter
{head}
{read}

model = Interpreter("{file}")
model.allocate_tensors()
model.set_tensor(model.get_input_details()[0]["index"], x)
model.invoke()
print(model.get_tensor(model.get_output_details()[0]["index"]))
```"""


def _some(column: Column) -> str:
    """A value that a training row may have had."""
    return "0" if column.kind in ("category", "boolean") else f"{column.mean:.6g}"
