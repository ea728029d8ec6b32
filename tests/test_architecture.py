"""The shape of kexp, read from its source: imports point one way, and every dependency has its owner."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "kexp"

# A module may import from rows above its own, and from its own row if that makes no circle.
LAYERS = [
    {"errors", "lean", "wording", "pareto", "quantities"},
    {"records"},
    {
        "store",
        "experiment",
        "data",
        "models",
        "handed",
        "layouts",
        "metrics",
        "front",
        "curves",
        "consistency",
        "forecasts",
        "formats",
        "npm",
    },
    {"train", "runtime", "export"},
    {
        "evaluate",
        "suspects",
        "verdict",
        "verify",
        "diagnose",
        "benchmark",
        "predict",
        "release",
        "leaderboard",
        "compare",
        "adopt",
        "exported",
    },
    {"search", "baselines", "knobs", "study", "resplits"},
    {"report", "phone"},
    {"pipeline"},
    {"api", "estimators", "notebook"},
    {"screen", "live", "cli", "__main__", "__init__"},
]
# Dependency -> the modules that may import it: a package by its name and a dot, a module by its full name.
OWNERS = {
    "keras_tuner": ("search.",),
    "optuna": ("search.",),
    "ray": ("search.",),
    "click": ("cli.",),
    "tensorboard": ("report.tensorboard",),
    "rich": ("screen.", "live"),
    "h2o": ("baselines.automl",),
    "sklearn": ("data.", "baselines.", "report.importance", "estimators"),
    "cloudpickle": ("handed",),
    "ai_edge_litert": ("runtime.litert",),
    "ai_edge_quantizer": ("export.",),
    "onnx": ("export.onnx", "runtime.onnx"),
    "tf2onnx": ("export.onnx",),
    "onnxruntime": ("runtime.onnx",),
    "torch": ("runtime.torch",),
    "tensorflowjs": ("export.tfjs",),
    "PIL": ("consistency", "data.", "predict", "export.", "report.pictures"),
    "pyarrow": ("data.",),
    "cryptography": ("phone.certificates",),
    "segno": ("screen.shipped",),
    "sqlite3": ("store.journal",),
    "tomllib": ("experiment",),
}
HEAVY = {
    "tensorflow",
    "keras",
    "keras_tuner",
    "pandas",
    "sklearn",
    "PIL",
    "ai_edge_litert",
    "ai_edge_quantizer",
    "numpy",
}


def name_of(path):
    """kexp/data/split.py -> data.split; kexp/data/__init__.py -> data.__init__"""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


SOURCES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in SOURCES.items()}


def imports(tree):
    """Full names that a module imports, those inside functions too; not those for type checkers alone."""
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for child in block.body
        for node in ast.walk(child)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def internal(tree):
    """Modules of kexp that a module imports, as `name_of` names them."""
    for full in imports(tree):
        if full.startswith("kexp."):
            parts = full.removeprefix("kexp.").split(".")
            for end in range(len(parts), 0, -1):
                name = ".".join(parts[:end])
                if name in TREES or f"{name}.__init__" in TREES:
                    yield name if name in TREES else f"{name}.__init__"
                    break


def layer_of(name):
    top = name.split(".")[0]
    return next((at for at, row in enumerate(LAYERS) if top in row), None)


def circles(graph):
    """A circle of imports in `graph`, or nothing."""
    done = set()

    def walk(name, path):
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for other in graph[name]:
            found = walk(other, [*path, name])
            if found:
                return found
        done.add(name)
        return []

    return next((found for name in graph if (found := walk(name, []))), [])


def upward(graph):
    return [
        f"{name} imports {other}"
        for name, others in graph.items()
        for other in others
        if layer_of(other) > layer_of(name)
    ]


def graph_of(trees):
    return {name: sorted(set(internal(tree)) - {name}) for name, tree in trees.items()}


def test_every_module_has_its_layer():
    assert not [name for name in TREES if layer_of(name) is None], "give the new module a place in LAYERS"


def test_imports_point_one_way():
    assert not upward(graph_of(TREES))


def test_there_is_no_circle_of_imports():
    # A package's __init__ gathers its own modules; they may read each other, not it.
    assert not circles(graph_of(TREES))


def test_the_checks_above_can_fail():
    source = {"errors": "def later():\n    from kexp.records import Trial", "records": "import kexp.errors"}
    graph = graph_of({name: ast.parse(text) for name, text in source.items()})
    assert upward(graph) == ["errors imports records"]
    assert circles(graph) == ["errors", "records", "errors"]


def offenders(trees, dependency, owners):
    return [
        name
        for name, tree in trees.items()
        if not any(name == owner or (owner.endswith(".") and name.startswith(owner)) for owner in owners)
        and any(full.split(".")[0] == dependency for full in imports(tree))
    ]


@pytest.mark.parametrize("dependency", sorted(OWNERS))
def test_every_dependency_has_its_owner(dependency):
    assert not offenders(TREES, dependency, OWNERS[dependency])
    thief = {**TREES, "errors": ast.parse(f"def later():\n    import {dependency}")}
    assert offenders(thief, dependency, OWNERS[dependency]) == ["errors"]


def test_no_module_imports_the_package_itself():
    for name, tree in TREES.items():
        assert "kexp" not in set(imports(tree)), name


def test_only_evaluate_takes_the_test_rows_of_a_run():
    taking = re.compile(r"""\b(?:take|rows)\(\s*["']test["']""")
    assert taking.search('dataset.take("test")')
    found = {name for name, path in SOURCES.items() if taking.search(path.read_text(encoding="utf-8"))}
    of_other_splits = {"resplits"}
    assert {name for name in found if not name.startswith("data.")} - of_other_splits <= {"evaluate"}


@pytest.mark.parametrize("module", ["kexp", "kexp.cli", "kexp.records", "kexp.errors", "kexp.experiment"])
def test_nothing_heavy_is_imported_by(module):
    code = f"import sys, {module}; print(*{HEAVY!r}.intersection(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("module", ["kexp.pipeline", "kexp.predict", "kexp.export", "kexp.search.oracles"])
def test_tensorflow_is_not_imported_by(module):
    # `kexp list`, `kexp show` and `kexp run` must not wait for it.
    code = f"import sys, {module}; print(*{{'tensorflow', 'keras', 'keras_tuner'}}.intersection(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("name", sorted(TREES))
def test_every_module_says_what_it_is(name):
    assert ast.get_docstring(TREES[name])


def test_public_names_are_those_in_all():
    import kexp

    assert sorted(kexp.__all__) == kexp.__all__ == dir(kexp)
    assert set(kexp.__all__) == set(kexp._NAMES) | set(kexp._STEPS)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        kexp.nothing  # noqa: B018


@pytest.mark.slow
def test_public_names_exist_and_steps_can_be_called_whatever_was_imported_before():
    code = """
import kexp, types
from kexp.formats import FORMATS
from kexp import verify
import kexp.search.events
for name in kexp.__all__:
    assert callable(getattr(kexp, name)), name
assert isinstance(kexp.search, types.ModuleType) and isinstance(verify, types.ModuleType)
from kexp import api
for name in kexp._STEPS:
    assert callable(getattr(api, name))
api.search = lambda source, **options: (source, options)
assert kexp.search("photos", time="10m") == ("photos", {"time": "10m"})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
