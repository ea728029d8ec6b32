"""What all tests share. Under KEXP_CI=1 a skipped test is a failure: what did not run proves nothing."""

from __future__ import annotations

import os

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before any test imports TensorFlow


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty folder that runs/ and exported/ go to."""
    monkeypatch.setenv("KEXP_HOME", str(tmp_path))
    return tmp_path


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
