"""What all tests share. Under KEXP_CI=1 a skipped test is a failure: what did not run proves nothing."""

from __future__ import annotations

import os
import shutil
import sys

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


PACKAGES = {"node": "nodejs", "qemu-aarch64-static": "qemu-user-static"}  # Debian's, where it is not called the same


def pytest_runtest_setup(item):
    """`@pytest.mark.needs("node")`: a test of what kexp does with another program, which not every machine has."""
    for mark in item.iter_markers("needs"):
        missing = [program for program in mark.args if shutil.which(program) is None]
        if missing:
            packages = " ".join(PACKAGES.get(program, program) for program in missing)
            pytest.skip(f"{', '.join(missing)} not installed: apt-get install {packages}")


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
