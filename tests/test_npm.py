"""npm installations in the user's cache, with an npm that is a script: what is asked of it, and how it may fail."""

from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kexp import npm
from kexp.errors import ExportError

ROOT = Path(__file__).parents[1]
GOOD = 'mkdir -p node_modules/left && echo "{}" > node_modules/left/package.json && echo "$@" > node_modules/asked\n'


@pytest.fixture
def question(tmp_path):
    path = tmp_path / "package.json"
    path.write_text(json.dumps({"dependencies": {"left": "1.2.3"}}))
    return path


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """A function that puts a script in the place of npm."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def put(script):
        program = tmp_path / "bin" / "npm"
        program.parent.mkdir(exist_ok=True)
        program.write_text("#!/bin/sh\nset -e\n" + script)
        program.chmod(program.stat().st_mode | stat.S_IEXEC)
        monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")

    return put


def test_it_installs_once_and_says_so(question, fake, tmp_path):
    fake(GOOD)
    said = []
    first = npm.npm_folder(question, said.append)
    assert first.is_relative_to(tmp_path / "cache" / "kexp" / "npm")
    assert (first / "left" / "package.json").is_file()
    asked = (first / "asked").read_text()
    assert "--ignore-scripts" in asked and "--no-package-lock" in asked
    fake("exit 1\n")
    assert npm.npm_folder(question, said.append) == first
    assert said == ["Fetching left 1.2.3 by npm, once ..."]
    assert [path.name for path in first.parent.parent.iterdir()] == [first.parent.name], "scratch is left"


def test_another_version_is_another_folder(question, fake):
    fake(GOOD)
    first = npm.npm_folder(question)
    question.write_text(json.dumps({"dependencies": {"left": "1.2.4"}}))
    assert npm.npm_folder(question) != first


def test_several_at_once_get_the_same_whole_folder(question, fake):
    fake("sleep 0.2\n" + GOOD)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: npm.npm_folder(question), range(4)))
    assert len(set(found)) == 1
    assert [path.name for path in found[0].parent.parent.iterdir()] == [found[0].parent.name]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo E404 not found >&2; exit 3\n", r"exit status 3\): E404 not found.*network"),
        ("exit 0\n", "did not install left"),
    ],
)
def test_a_failure_leaves_nothing_and_says_what_npm_said(question, fake, script, message):
    fake(script)
    with pytest.raises(ExportError, match=message):
        npm.npm_folder(question)
    assert list(npm.cache().iterdir()) == []


def test_a_missing_npm_is_named_with_what_to_install(question, fake, monkeypatch, tmp_path):
    fake(GOOD)
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    with pytest.raises(ExportError, match=r"left 1\.2\.3, and is not on the PATH\. Install Node"):
        npm.npm_folder(question)


def test_a_slow_npm_is_stopped(question, fake, monkeypatch):
    fake("exec sleep 30\n")
    monkeypatch.setattr(npm, "TIMEOUT_S", 0.3)
    with pytest.raises(ExportError, match=r"did not finish fetching left 1\.2\.3 in 0\.3 s"):
        npm.npm_folder(question)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"dependencies": {"left": "^1.2.3"}}', "no exact version"),
        ('{"dependencies": {"left": "latest"}}', "no exact version"),
        ("{}", "names no dependencies"),
        ("{", "names no dependencies"),
    ],
)
def test_a_question_without_exact_versions_is_refused(question, fake, text, message):
    fake(GOOD)
    question.write_text(text)
    with pytest.raises(ExportError, match=message):
        npm.npm_folder(question)


@pytest.mark.parametrize("path", ["kexp/phone/package.json", "tests/browser/package.json"])
def test_our_own_versions_are_exact(path):
    assert npm._dependencies(ROOT / path)
