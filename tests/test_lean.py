"""Keras without its scikit-learn wrappers: in kexp's own processes alone, and scikit-learn is there all the same."""

from __future__ import annotations

import subprocess
import sys

import pytest


def loaded(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize(("ours", "wrappers"), [(True, "False"), (False, "True")])
def test_a_process_of_kexp_does_not_load_them(ours, wrappers):
    code = f"import sys; from kexp import lean; lean.ours = {ours}; lean.keras(); import keras; "
    code += "statistics = 'scipy.stats' in sys.modules; import sklearn; print(statistics, sklearn.__name__)"
    assert loaded(code) == f"{wrappers} sklearn"


def test_what_is_there_already_stays():
    code = "import sys, sklearn; from kexp import lean; lean.ours = True; lean.keras(); print('keras' in sys.modules)"
    assert loaded(code) == "False"


def test_the_command_line_is_a_process_of_kexp():
    code = "import atexit, sys; from kexp import cli, lean; sys.argv = ['kexp', '--version']; "
    code += "atexit.register(lambda: print(lean.ours)); cli.main()"
    assert loaded(code).endswith("True")
