"""TensorFlow.js: the folder tfjs/, a graph model of the SavedModel (model.json and its weights).

The converter, tensorflowjs 4.22.0, cannot be a dependency: it would replace TensorFlow by an older one and bring jax.
What is needed of it is a few files of Python that work with ours. They are installed without dependencies into the
user's cache, and run in a process of their own (`python -m kexp.export.tfjs PACKAGE SAVED_MODEL FOLDER TEXTS`), where
two packages that they import and do not use are empty modules.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from kexp import npm
from kexp.errors import ExportError
from kexp.export import metadata, saved_model
from kexp.export.source import Source
from kexp.runtime.tfjs import LOOPS

CONVERTER = "tensorflowjs==4.22.0"
TIMEOUT_S = 300.0  # of pip, and of a conversion that takes seconds


def folder(source: Source, path: Path) -> None:
    """Write tfjs/. Raises ExportError for a recurrent network, and where the converter cannot be fetched or fails."""
    model = saved_model.any_batch(source)
    _refuse_loops(source, model)
    texts = source.scratch / "texts.json"
    texts.write_text(json.dumps(metadata.texts(source.spec)), encoding="utf-8")
    command = [sys.executable, "-m", "kexp.export.tfjs", *map(str, (converter(), model, path, texts))]
    done = _run(command, "the TensorFlow.js converter")
    if done.returncode != 0 or not (path / "model.json").is_file():
        said = " | ".join(line.strip() for line in done.stdout.strip().splitlines()[-3:])[:400]
        raise ExportError(f"the TensorFlow.js converter failed (exit status {done.returncode}): {said}")


def converter() -> Path:
    """The folder with the converter's package, in the user's cache; it is fetched by pip the first time.

    It appears whole or not at all. Raises ExportError where pip is missing or fails.
    """
    target = npm.cache().parent / "python" / CONVERTER.replace("==", "-")
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".install-", dir=target.parent) as scratch:
        staging = Path(scratch) / target.name
        options = ["--no-deps", "--quiet", "--disable-pip-version-check", "--target", str(staging)]
        done = _run([sys.executable, "-m", "pip", "install", *options, CONVERTER], "pip")
        if done.returncode != 0 or not (staging / "tensorflowjs" / "converters").is_dir():
            said = " | ".join(line.strip() for line in done.stdout.strip().splitlines()[-3:])[:400]
            raise ExportError(
                f"the TensorFlow.js converter ({CONVERTER}) is needed once, and pip could not fetch it "
                f"(exit status {done.returncode}): {said or 'it said nothing'}. The network is needed once."
            )
        try:
            staging.rename(target)
        except OSError:
            if not target.is_dir():  # otherwise another process was first, with the same content
                raise
    return target


def _refuse_loops(source: Source, folder: Path) -> None:
    """Raise ExportError where the graph has loops."""
    from tensorflow.core.protobuf import saved_model_pb2

    content = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    graphs = [meta.graph_def for meta in content.meta_graphs]
    nodes = [node.op for graph in graphs for node in graph.node]
    nodes += [node.op for graph in graphs for function in graph.library.function for node in function.node_def]
    loops = sorted({op for op in nodes if op.startswith(LOOPS)})
    if loops:
        names = _recurrent(source.model)
        what = f"the recurrent layers {', '.join(names)}" if names else "a loop"
        raise ExportError(
            f"the network has {what} ({', '.join(loops)}), which TensorFlow.js does not run right. Use a network "
            "without recurrent layers, or another format."
        )


def _recurrent(model: Any) -> list[str]:
    """The names of the recurrent layers in a keras.Model."""
    import keras

    found = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            found += _recurrent(layer)
        elif isinstance(layer, keras.layers.RNN | keras.layers.Bidirectional):
            found.append(layer.name)
    return found


def _run(command: list[str], what: str) -> subprocess.CompletedProcess[str]:
    """Run `command`, both outputs as one text. Raises ExportError where it does not end."""
    # The folder that kexp is in first: this process may have been started in another one.
    search = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])])
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", timeout=TIMEOUT_S, check=False, env={**os.environ, "PYTHONPATH": search},
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise ExportError(f"{what} did not finish in {TIMEOUT_S:g} s. Try again.") from error


def main(package: Path, model: Path, target: Path, texts: Path) -> None:
    """Convert the SavedModel `model` to `target`, with `texts` (JSON) inside; for a process of its own."""
    for name in ("tensorflow_decision_forests", "tensorflow_hub"):  # imported, and not used for this
        sys.modules[name] = _module(name)
    for name in ("tensorflowjs", "tensorflowjs.converters"):  # their __init__ would import tf_keras and jax
        sys.modules[name] = _module(name, package.joinpath(*name.split(".")))
    from tensorflowjs.converters import tf_saved_model_conversion_v2

    tf_saved_model_conversion_v2.convert_tf_saved_model(
        str(model), str(target), metadata=json.loads(texts.read_text(encoding="utf-8"))
    )


def _module(name: str, folder: Path | None = None) -> ModuleType:
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, None)
    if folder is not None:
        if not folder.is_dir():
            raise ExportError(f"{folder} is missing: remove {folder.parents[0]} and export again.")
        module.__path__ = [str(folder)]
    return module


if __name__ == "__main__":
    shutil.rmtree(sys.argv[3], ignore_errors=True)
    main(*map(Path, sys.argv[1:5]))
