"""Errors that a person can mend. Anything else is a bug and keeps its traceback.

KexpError               what happened, what was expected, what to do; the command line prints it and exits 1
+-- DataError           a file, a row or a column that cannot be used
|   +-- SamplesError    ... of arrays in a program: a ValueError too, as scikit-learn expects
+-- ExperimentError     a TOML or an option that cannot be right
+-- RunError            a run that is missing, locked or of another experiment
+-- SearchError         a search that ended with nothing to show
+-- ExportError         a file that could not be made, or did not pass its gate
+-- PhoneError          an address, a certificate or a cable by which no phone can be reached
FailedTrial             one candidate is bad (memory, divergence): recorded, the search goes on
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class KexpError(Exception):
    """What happened, what was expected, what to do. Exit status 1, no traceback."""


class DataError(KexpError):
    """A file, a row or a column that cannot be used."""


class SamplesError(DataError, ValueError):
    """Arrays of a program that cannot be used; a ValueError too, which those who use scikit-learn expect."""


class ExperimentError(KexpError):
    """An experiment file or an option that cannot be right."""


class RunError(KexpError):
    """A run that is missing, locked by another process, or of another experiment."""


class SearchError(KexpError):
    """A search that ended without one finished trial."""


class ExportError(KexpError):
    """A file that could not be made, or that did not pass its gate."""


class PhoneError(KexpError):
    """An address, a certificate or a cable by which no phone can be reached."""


class FailedTrial(Exception):  # noqa: N818 - an outcome of a trial, never shown to a person as an error
    """This candidate cannot be trained (out of memory, diverged); the search goes on."""


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint for a mistyped `word`: " Did you mean 'x'?", or the known names, never an action."""
    names = list(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    if close:
        return f" Did you mean {close[0]!r}?"
    return f" Known: {', '.join(sorted(names))}." if names else ""
