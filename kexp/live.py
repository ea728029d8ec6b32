"""What a person sees while kexp works, on stderr: a bar, and the search as it goes."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from kexp.records import Trial
from kexp.screen import clock, console, dim, number, telling, values

if TYPE_CHECKING:
    from kexp.search.events import Event


class Steps:
    """A bar on stderr for work of known length: told how many steps of how many are done, and what comes next."""

    def __init__(self) -> None:
        self._console = console(stderr=True)
        self._done, self._total, self._text = 0, 1, ""
        self._live = Live(get_renderable=self._picture, console=self._console, refresh_per_second=4, transient=True)

    def __enter__(self) -> Steps:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def __call__(self, done: int, total: int, text: str) -> None:
        """Show that `done` of `total` steps are over, and that `text` is next."""
        self._done, self._total, self._text = done, total, text

    def _picture(self) -> RenderableType:
        row = Table.grid(padding=(0, 2, 0, 0))
        row.add_row(ProgressBar(total=self._total, completed=self._done, width=28), self._text)
        return row


class SearchView:
    """A listener of `pipeline.search`, and a context manager around it.

    In a terminal a few lines that change, elsewhere one line per finished trial.
    """

    def __init__(self, objective: str, now: Callable[[], float] = time.monotonic) -> None:
        self._objective = objective
        self._now = now
        self._console = console(stderr=True)
        self._event: Event | None = None
        self._heard = now()
        self._trials: list[Trial] = []
        self._passing = "loading"  # what is soon over: an epoch, a picture read
        self._live = Live(get_renderable=self._picture, console=self._console, refresh_per_second=4, transient=True)

    def __enter__(self) -> SearchView:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def __call__(self, event: Event) -> None:
        """Take in one event of the search."""
        if event.kind in ("epoch", "data"):
            self._passing = (
                f"{event.text} {event.done}/{event.planned}" if event.kind == "data" and event.planned else event.text
            )
            return
        self._event, self._heard, self._passing = event, self._now(), ""
        if event.kind == "finished" and event.trial is not None:
            self._trials.append(event.trial)
            if not self._console.is_terminal:
                self._console.print(self._line(event, event.trial), soft_wrap=True)
        elif event.text:
            self._console.print(dim(event.text), soft_wrap=True)

    def _score(self, trial: Trial) -> str:
        """The name of what is ranked: the one asked for, or the metric that the score is."""
        return self._objective or next((name for name, v in trial.metrics.items() if v == trial.score), "score")

    def _line(self, event: Event, trial: Trial) -> str:
        planned = f"/{event.planned}" if event.planned else ""
        if trial.status == "completed":
            told = f"{self._score(trial)} {number(trial.score)}"
        else:
            told = f"{trial.status}: {trial.message}".splitlines()[0][:100]
        best = f", best {number(event.best.score)} (trial {event.best.id})" if event.best else ""
        left = f", {clock(event.seconds_left)} left" if event.seconds_left is not None else ""
        head = f"{event.done}{planned}  trial {trial.id} {trial.factory}"
        digits = 0 if trial.seconds >= 10 else 1  # of networks that train together each has a part of a second
        return f"{head} {told} in {trial.seconds:.{digits}f} s{best}{left}"

    def _picture(self) -> RenderableType:
        event = self._event
        if event is None:
            return dim(self._passing)
        told = f"{event.done}" + (f"/{event.planned}" if event.planned else "") + " trials"
        if event.running:
            told += f", {event.running} running"
        if event.refused:
            told += f", {event.refused:,} too large"
        if event.seconds_left is not None:
            told += f", {clock(event.seconds_left - (self._now() - self._heard))} left"
        row = Table.grid(padding=(0, 2, 0, 0))
        bar = ProgressBar(total=event.planned, completed=event.done, width=28, pulse=not event.planned)
        row.add_row(bar, told)
        if event.best is None:
            return Group(row, dim(self._passing or "nothing finished yet"))
        differing = telling({"values": trial.values} for trial in self._trials)
        best = Text.assemble(
            "best  ",
            (f"{self._score(event.best)} {number(event.best.score)}", "bold green"),
            f"  trial {event.best.id}  ",
            (f"{event.best.factory} {values(event.best.values, differing[:4])}", "dim"),
        )
        best.truncate(self._console.width, overflow="ellipsis")
        return Group(row, best, dim(self._passing)) if self._passing else Group(row, best)
