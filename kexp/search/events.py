"""What a search tells whoever watches it: the command line's live view, a notebook, a test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from kexp.records import Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened. `done` and `planned` count trials of the present stage."""

    kind: Literal["data", "plan", "stage", "started", "epoch", "finished", "notice"]
    text: str = ""
    trial: Trial | None = None
    done: int = 0
    running: int = 0
    refused: int = 0  # proposals of the present stage that are over a limit
    planned: int | None = None  # None: as many as the time allows
    best: Trial | None = None
    seconds_left: float | None = None


Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """A listener that does nothing."""
