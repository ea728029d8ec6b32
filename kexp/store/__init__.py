"""The run folder: what a search leaves behind, and the only package that knows its file names.

    <home>/runs/<name>/journal.sqlite   every ask and every tell, in order; what the run is about
                       weights/7.npz    the weights of trial 7
                       files/7.tflite   what it ships as, where it was converted
                       data/            the Dataset that every step reads
                       features/        what a frozen network makes of it: a speed-up
                       model.keras, evaluation.npz, evaluation.json, report.html, lock
    <home>/runs/.cache/                 decoded pictures: a speed-up, shared by all runs and needed by none

Files appear whole or not at all, and a journal entry is on the disk before the call returns: kill -9 at any
moment leaves a run that can be read and continued.
"""

from __future__ import annotations

from kexp.store.devices import by_device
from kexp.store.files import atomic_write
from kexp.store.journal import Event
from kexp.store.run import RunStore
from kexp.store.runs import cache, clean, exists, fresh, home, latest, list_runs

__all__ = [
    "Event",
    "RunStore",
    "atomic_write",
    "by_device",
    "cache",
    "clean",
    "exists",
    "fresh",
    "home",
    "latest",
    "list_runs",
]
