"""What all tests share. Under KEXP_CI=1 a skipped test is a failure: what did not run proves nothing."""

from __future__ import annotations

import os
import shutil
import sys
from importlib.util import find_spec

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before any test imports TensorFlow


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty folder that runs/ and exported/ go to."""
    monkeypatch.setenv("KEXP_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def kexp(monkeypatch, capfd):
    """Run a command in this process: (exit status, stdout, stderr)."""
    from kexp import cli

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["kexp", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capfd.readouterr()
        return end.value.code or 0, out, err

    return call


@pytest.fixture(scope="module")
def browser():
    """A real Chromium, shared by the tests of a module."""
    from chromium import Chromium

    with Chromium() as chromium:
        yield chromium


PACKAGES = {
    "node": "nodejs",
    "qemu-aarch64-static": "qemu-user-static",
    "java": "default-jre-headless",
}  # Debian's, where it is not called the same


def pytest_runtest_setup(item):
    """`@pytest.mark.needs("node")`: a test of what kexp does with another program, which not every machine has."""
    for mark in item.iter_markers("needs"):
        missing = [program for program in mark.args if shutil.which(program) is None]
        if missing:
            packages = " ".join(PACKAGES.get(program, program) for program in missing)
            pytest.skip(f"{', '.join(missing)} not installed: apt-get install {packages}")

    for mark in item.iter_markers("extra"):
        missing = _without(mark)
        if missing:
            packages = " ".join(PACKAGES.get(program, program) for program in mark.args[1:])
            wanted = f"pip install 'kexp[{mark.args[0]}]'" + (f", apt-get install {packages}" if packages else "")
            pytest.skip(f"{', '.join(missing)} not installed: {wanted}")


def _without(mark):
    """What is missing of `extra(module, program, ...)`."""
    module, *programs = mark.args
    return [module] * (find_spec(module) is None) + [one for one in programs if shutil.which(one) is None]


def pytest_collection_modifyitems(config, items):
    """`@pytest.mark.extra("h2o", "java")`: of what `.[dev]` does not bring. In CI, where it is missing, such a test is
    left out and counted as that: it is known that CI does not prove it. Elsewhere it is skipped and says what it needs.
    """
    if os.environ.get("KEXP_CI") != "1":
        return
    out = [item for item in items if any(_without(mark) for mark in item.iter_markers("extra"))]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in out]


def _refuse_skips(report):
    if os.environ.get("KEXP_CI") == "1" and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped under KEXP_CI=1: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    return _refuse_skips((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    return _refuse_skips((yield))
