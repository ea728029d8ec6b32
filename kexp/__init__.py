"""kexp: from labelled data to a small, tuned, verified neural network that runs on a phone.

    import kexp
    run = kexp.search("photos/", time="10m")
    run.leaderboard()  # a pandas DataFrame
    run.export("tflite_int8")

Public names are found when they are first used, so that importing kexp loads nothing heavy. Some steps have
the name of the module that does them (kexp.search, kexp.compare): those are the modules, and can be called.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any

_NAMES = {  # public name -> the module that has it
    "Experiment": "kexp.records",
    "KexpClassifier": "kexp.estimators",
    "KexpError": "kexp.errors",
    "KexpRegressor": "kexp.estimators",
    "init": "kexp.api",
    "load": "kexp.api",
    "runs": "kexp.api",
}
_STEPS = ("compare", "search", "verify")  # modules that are called as the functions of kexp.api that have their names

__all__ = [
    "Experiment",
    "KexpClassifier",
    "KexpError",
    "KexpRegressor",
    "compare",
    "init",
    "load",
    "runs",
    "search",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name in _STEPS:
        return importlib.import_module(f"kexp.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    raise AttributeError(f"module 'kexp' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


class _Step(types.ModuleType):
    """A module of kexp that can be called as the step it is named after."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        step = getattr(importlib.import_module("kexp.api"), self.__name__.removeprefix("kexp."))
        return step(*arguments, **options)


class _Package(types.ModuleType):
    """kexp itself. Python binds a submodule here once it is imported, in place of a function of that name."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _STEPS and type(value) is types.ModuleType:
            value.__class__ = _Step
        types.ModuleType.__setattr__(self, name, value)


sys.modules[__name__].__class__ = _Package
