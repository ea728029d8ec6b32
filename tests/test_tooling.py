"""The tools' own checks as tests, so that one command checks everything, and the README kept true."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from kexp import experiment

ROOT = Path(__file__).parents[1]


def run(*arguments, folder=ROOT, **environment):
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("arguments", [("ruff", "check", "."), ("ruff", "format", "--check", ".")], ids=" ".join)
def test_ruff_finds_nothing(arguments):
    done = run(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_mypy_finds_nothing():
    done = run("mypy")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("import pytest\n\ndef test_one():\n    pytest.skip('no reason')\n", "in a test"),
        ("import pytest\n\n@pytest.mark.skip\ndef test_one():\n    pass\n", "by a mark"),
        (
            "import pytest\n\npytest.importorskip('no_such_module')\n\ndef test_one():\n    pass\n",
            "of a module",
        ),
        (
            "import pytest\n\n@pytest.mark.needs('no-such-program')\ndef test_one():\n    pass\n",
            "of a program that is missing",
        ),
    ],
)
def test_in_ci_a_skipped_test_is_a_failure(tmp_path, source, what):
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "test_one.py").write_text(source)
    pytest_run = ("pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(tmp_path))
    assert run(*pytest_run, folder=tmp_path, KEXP_CI="1").returncode in (1, 2), what
    # 5: nothing was left to run, which is what skipping a whole module comes to.
    assert run(*pytest_run, folder=tmp_path, KEXP_CI="0").returncode in (0, 5), what


# -- the README -----------------------------------------------------------------------------------


def readme():
    return (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def one_liners():
    """The two commands that the README opens with: the main job, and the tests."""
    found = [block.strip() for block in blocks(readme(), "sh")]
    return found[0], found[1]


def test_the_readme_opens_with_two_commands_of_one_line_each():
    for command in one_liners():
        assert "\n" not in command
        assert command.startswith("python3 -m venv .venv && ")


def test_ci_runs_the_readme_s_test_command():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    steps = [step.replace(".venv/bin/", "").replace("'", "") for step in one_liners()[1].split(" && ")]
    for step in steps[1:]:
        assert step in script.replace('"$venv/bin/', "").replace('"', "").replace("'", ""), step
    assert "KEXP_CI=1" in script
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def tree_of_readme():
    """The paths in the README's tree; a folder's own line stands for its __init__.py."""
    text = next(block for block in blocks(readme(), "text") if block.startswith("pyproject.toml"))
    paths, parents = set(), []
    for line in text.splitlines():
        name = line.strip().split()[0]
        depth = (len(line) - len(line.lstrip())) // 2
        parents[depth:] = [name]
        assert len(line.split()) > 1, f"{name} has no phrase"
        paths.add("".join(parents))
    return paths


def test_the_tree_in_the_readme_is_the_tree():
    told = {path for path in tree_of_readme() if path.startswith("kexp/")}
    files = (path for path in (ROOT / "kexp").rglob("*.py") if "__pycache__" not in path.parts)
    true = {
        f"{path.parent.relative_to(ROOT).as_posix()}/"
        if path.name == "__init__.py"
        else path.relative_to(ROOT).as_posix()
        for path in files
    }
    assert told == true


def test_the_top_level_in_the_readme_exists():
    for path in tree_of_readme():
        if not path.startswith(("kexp/", "runs/", "exported/")):
            assert (ROOT / path).exists(), path


def test_every_command_and_option_of_the_readme_exists():
    from kexp.cli import commands

    known = {name: {option for p in c.params for option in p.opts} for name, c in commands.commands.items()}
    for line in re.findall(r"(?:\$ |&& |`)(?:\.venv/bin/)?kexp ([a-z].*?)(?:$|&&|`)", readme(), flags=re.MULTILINE):
        words = line.split("#")[0].split()
        assert words[0] in known, line
        for word in words[1:]:
            if word.startswith("--"):
                assert word in known[words[0]] | {"--help"}, line


def test_the_readme_shows_every_key_of_an_experiment(tmp_path):
    path = tmp_path / "photos.toml"
    path.write_text(blocks(readme(), "toml")[0], encoding="utf-8")
    shown = experiment.load(path)
    known = {"time" if field.name == "seconds" else field.name for field in dataclasses.fields(shown)}
    assert set(tomllib.loads(path.read_text(encoding="utf-8"))) == known


def test_the_packages_that_are_needed_say_which_file_needs_them():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    for needed in project["dependencies"] + [
        each for extra in project["optional-dependencies"].values() for each in extra
    ]:
        line = next(line for line in text.splitlines() if line.strip().startswith(f'"{needed}"'))
        assert re.search(r"#\s+\S", line), f"{needed}: no comment names the file that needs it"


def test_every_file_of_the_package_is_installed():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    patterns = tomllib.loads(text)["tool"]["setuptools"]["package-data"]["kexp"]
    package = ROOT / "kexp"
    told = {file for pattern in patterns for file in package.glob(pattern) if file.is_file()}
    there = {p for p in package.rglob("*") if p.is_file() and p.suffix != ".py" and "__pycache__" not in p.parts}
    assert there and there <= told, sorted(there - told)


def test_the_licence_and_the_changes_ship():
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert version in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
