"""What a person sees in the end: tables. With kexp.live, what shows work under way, the only one that knows rich.

Functions take plain documents and records and return something to print; `show` prints it. Text of users is
never read as markup. Everything fits 80 columns. Each command has its functions in the module of what it shows: data,
trials, what was judged, what is shipped.
"""

from __future__ import annotations

from kexp.screen.basics import console, dim, following, show, warning
from kexp.screen.data import brief, facts, findings
from kexp.screen.judged import diagnosis, evaluation
from kexp.screen.shipped import devices, invitation, measurements, predictions, qr_code, received, verdicts
from kexp.screen.trials import baselines, comparison, front, leaderboard, runs, study, teachers
from kexp.wording import clock, number, size, telling, values

__all__ = [
    "baselines",
    "brief",
    "clock",
    "comparison",
    "console",
    "devices",
    "diagnosis",
    "dim",
    "evaluation",
    "facts",
    "findings",
    "following",
    "front",
    "invitation",
    "leaderboard",
    "measurements",
    "number",
    "predictions",
    "qr_code",
    "received",
    "runs",
    "show",
    "size",
    "study",
    "teachers",
    "telling",
    "values",
    "verdicts",
    "warning",
]
