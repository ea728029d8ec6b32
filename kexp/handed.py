"""A build(hp) that a program hands in itself, as keras-tuner takes it, by a name that every process can import.

A function of a module is that module's. What no module has (a notebook's function, a lambda, a HyperModel), or one that
other processes would not find (it lies beside a script), is kept as a file with the folders that modules are found in,
and `kexp.handed:/path/of/it.pickle` is its name: `module:function`, as an experiment file names a factory.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import inspect
import os
import pickle
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from kexp.errors import ExperimentError

SUFFIX = ".pickle"


def name(build: Any, folder: Path) -> str:
    """The factory of an experiment that is `build`: a function of hp, or an object with a method `build(hp)`.

    What no module has is written into `folder`. Raises ExperimentError for what is neither, or cannot be written.
    """
    if isinstance(build, type):
        raise ExperimentError(f"build = {build!r} is a class: an instance of it is expected, {build.__name__}().")
    made = build if callable(build) and not hasattr(build, "build") else getattr(build, "build", None)
    if not callable(made):
        raise ExperimentError(f"build = {build!r}: a function build(hp) is expected, or an object with such a method.")
    _takes_hp(build, made)
    module, path = getattr(made, "__module__", None) or "", getattr(made, "__qualname__", "")
    if (
        made is build
        and module != "__main__"
        and path.isidentifier()
        and _has(module, path, build)
        and _everywhere(module)
    ):
        return f"{module}:{path}"
    import cloudpickle  # what __main__ has goes by value

    try:
        content: bytes = cloudpickle.dumps((made, _layers()))
    except Exception as error:
        raise ExperimentError(
            f"build = {build!r} cannot be handed to other processes: {error}. Put it into a module of its own, and "
            "give factory = 'module:function'."
        ) from error
    folders = [str(Path(entry).resolve()) for entry in sys.path]
    content = pickle.dumps((folders, content))
    folder.mkdir(parents=True, exist_ok=True)
    file = folder.resolve() / f"build-{hashlib.blake2b(content, digest_size=8).hexdigest()}{SUFFIX}"
    file.write_bytes(content)
    return f"{__name__}:{file}"


def _takes_hp(build: Any, made: Any) -> None:
    """Raise ExperimentError for what takes neither hp alone nor, as a factory of features, hp and x."""
    try:
        signature = inspect.signature(made)
    except ValueError:  # some that are written in C have none
        return
    for questions in (1, 2):
        with contextlib.suppress(TypeError):
            signature.bind(*[None] * questions)
            return
    raise ExperimentError(f"build = {build!r} takes {signature}: one argument is expected, build(hp).")


def _has(module: str, function: str, build: Any) -> bool:
    try:
        return getattr(importlib.import_module(module), function, None) is build
    except ImportError:
        return False


def _everywhere(module: str) -> bool:
    """Whether another process finds this module: where Python is, in PYTHONPATH or in the current folder."""
    top, here = module.partition(".")[0], str(Path.cwd())
    given = {here, *os.environ.get("PYTHONPATH", "").split(os.pathsep)}
    python = [Path(prefix) for prefix in (sys.prefix, sys.base_prefix)]
    path = [entry for entry in sys.path if entry in given or any(map(Path(entry).is_relative_to, python))]
    found = PathFinder.find_spec(top, [here, *path])
    return found is not None and found.origin == getattr(sys.modules[top], "__file__", None)


def __getattr__(path: str) -> Any:
    if not path.endswith(SUFFIX) or not Path(path).is_file():
        raise AttributeError(f"{path} is no build(hp) that a program left there")
    return _load(path)


@functools.lru_cache(maxsize=8)
def _load(path: str) -> Any:
    folders, content = pickle.loads(Path(path).read_bytes())  # the user's own program, in the user's own folder
    sys.path += [entry for entry in folders if entry not in sys.path]  # last: what this process has goes first
    made, layers = pickle.loads(content)
    if layers:
        import keras
    for key, layer in layers.items():
        package, _, name = key.rpartition(">")
        keras.saving.register_keras_serializable(package, name)(layer)
    return made


def _layers() -> dict[str, Any]:
    """What this program registered with Keras, by its key, and other processes would not by importing a module."""
    import keras  # TensorFlow's seconds, which only who hands something in has

    registered = keras.saving.get_custom_objects().items()
    return {key: layer for key, layer in registered if ">" in key and _by_value(layer)}


def _by_value(layer: Any) -> bool:
    """Whether it goes into a file as it is written, as cloudpickle decides: what is no attribute of a module."""
    module, path = getattr(layer, "__module__", None) or "__main__", getattr(layer, "__qualname__", "")
    return module == "__main__" or not path.isidentifier()
