"""A build(hp) that a program hands in: a name that other processes can import."""

from __future__ import annotations

import functools
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from kexp import handed
from kexp.errors import ExperimentError
from kexp.records import Experiment
from kexp.runtime import import_modules, modules


def doubled(hp):
    return 2 * hp


class Times:
    """As keras-tuner's HyperModel."""

    def __init__(self, factor):
        self.factor = factor

    def build(self, hp):
        return self.factor * hp


def found(factory):
    module, _, function = factory.partition(":")
    import_modules([module])
    return getattr(sys.modules[module], function)


def test_a_function_of_a_module_is_named_by_it(tmp_path, monkeypatch):
    monkeypatch.chdir(Path(__file__).parent)
    assert handed.name(doubled, tmp_path) == f"{__name__}:doubled"
    assert not list(tmp_path.iterdir())


def test_what_no_module_has_is_kept_as_a_file(tmp_path):
    factor = 5
    factories = [handed.name(build, tmp_path) for build in (lambda hp: factor * hp, Times(7))]
    assert [found(factory)(3) for factory in factories] == [15, 21]
    assert handed.name(lambda hp: factor * hp, tmp_path) not in factories  # another function, another file
    assert len(list(tmp_path.iterdir())) == 3


def test_a_notebook_s_function_reaches_another_process(tmp_path):
    program = "from kexp import handed; import pathlib, math\ndef build(hp): return math.floor(hp)\n"
    program += f"print(handed.name(build, pathlib.Path({str(tmp_path)!r})))"
    factory = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
    assert found(factory)(2.5) == 2


def test_a_notebook_s_registered_layer_reaches_another_process(tmp_path):
    program = "from kexp import handed; import pathlib, keras\n@keras.saving.register_keras_serializable('mine')\n"
    program += "class Twice(keras.layers.Layer):\n    def call(self, x):\n        return 2 * x\n"
    program += "def build(hp):\n    return keras.Sequential([keras.Input((1,)), Twice()])\n"
    program += f"build(None).save({str(tmp_path / 'model.keras')!r})\n"
    program += f"print(handed.name(build, pathlib.Path({str(tmp_path)!r})))"
    factory = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
    names = modules(Experiment(name="x", data="y", factory=factory))
    reader = f"from kexp.runtime import import_modules; import keras; import_modules({names!r})\n"
    reader += f"print(keras.models.load_model({str(tmp_path / 'model.keras')!r}).layers[-1].get_config()['name'])"
    done = subprocess.run([sys.executable, "-c", reader], capture_output=True, text=True, check=False)
    assert done.stdout.split()[-1:] == ["twice"], done.stderr
    import_modules([*names, "kexp.handed:/nowhere/build-1.pickle"])  # what is gone may not be needed


def test_a_function_of_a_module_beside_a_script_reaches_another_process(tmp_path, monkeypatch):
    (tmp_path / "beside_a_script.py").write_text("def build(hp):\n    return 2 * hp\n")
    monkeypatch.syspath_prepend(tmp_path)
    build = importlib.import_module("beside_a_script").build
    for given in (build, lambda hp: build(hp)):
        factory = handed.name(given, tmp_path / "handed")
        program = f"from kexp import models; print(models._factory({factory!r})(4))"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert done.stdout.split()[-1:] == ["8"], done.stderr


@pytest.mark.parametrize("build", ["dense", 3, type("Empty", (), {})()])
def test_what_builds_nothing_is_refused(tmp_path, build):
    with pytest.raises(ExperimentError, match=r"build\(hp\) is expected"):
        handed.name(build, tmp_path)


@pytest.mark.parametrize(
    ("build", "what"), [(Times, r"instance of it is expected, Times\(\)"), (lambda: None, r"takes \(\): one argument")]
)
def test_what_takes_no_hp_is_refused_before_a_search(tmp_path, build, what):
    with pytest.raises(ExperimentError, match=what):
        handed.name(build, tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_has_questions_of_its_own_is_taken(tmp_path):
    for build in (lambda hp, factor=2: factor * hp, functools.partial(lambda hp, factor: factor * hp, factor=2)):
        assert found(handed.name(build, tmp_path))(3) == 6
    assert handed.name(lambda hp, x: x, tmp_path)  # a factory of features


def test_what_cannot_be_written_says_what_to_do(tmp_path):
    stream = (tmp_path / "open").open("w")
    with stream, pytest.raises(ExperimentError, match="module of its own"):
        handed.name(lambda hp: stream, tmp_path)


def test_a_file_that_is_gone_is_no_attribute():
    with pytest.raises(AttributeError, match="no build"):
        getattr(handed, "/nowhere/build-1.pickle")
