"""The files of candidates, made and measured in child processes that stay warm (`kexp.search.convert`)."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from kexp.records import Trial, Value
from kexp.search.convert import Request, Task

WORN = 40  # conversions after which a process is replaced: TensorFlow's converter leaks
SILENCE_SECONDS = 300.0  # without an answer it counts as hung
Start = Callable[[], tuple[Connection, Callable[[], object]]]  # begins a process: what ends it is the second


class _Child:
    """One process."""

    def __init__(self, start: Start, request: Request) -> None:
        self.connection, self._end = start()
        self._send(request)
        self.done = 0
        self.begun = 0.0

    def ask(self, task: Task) -> None:
        """Have it do `task`."""
        self.begun = time.monotonic()
        self.done += task.verb != "time"
        self._send(task)

    def end(self) -> None:
        """End it at once."""
        self.connection.close()
        self._end()

    def _send(self, message: object) -> None:
        with contextlib.suppress(OSError):  # it is gone: waiting for its answer will tell
            self.connection.send(message)


class Converters:
    """At most `size` processes that `start` begins, each when there is something for it to do."""

    def __init__(self, start: Start, request: Request, size: int) -> None:
        self._start, self._request, self._size = start, request, size
        self._free: list[_Child] = []
        self._busy: dict[_Child, Trial] = {}

    def convert(self, trials: Sequence[Trial], until: float) -> Iterator[Trial]:
        """Each of `trials` with its file, as they are done; none is begun after `until` (of time.monotonic).

        One whose converter died, or hung, has no file, and its message says so.
        """
        waiting = deque(trials)
        while True:
            while waiting and len(self._busy) < self._size and time.monotonic() < until:
                child = self._taken()
                self._busy[child] = waiting.popleft()
                child.ask(Task("convert", self._busy[child]))
            if not self._busy:
                return
            ready = wait([child.connection for child in self._busy], 1.0)
            for child, trial in list(self._busy.items()):
                if child.connection in ready:
                    del self._busy[child]
                    yield self._answer(child) or self._request.unmade(trial, "the converter died")
                elif time.monotonic() - child.begun > SILENCE_SECONDS:
                    del self._busy[child]
                    child.end()
                    yield self._request.unmade(trial, f"no answer for {SILENCE_SECONDS:.0f} s")

    def timed(self, trials: Sequence[Trial]) -> Iterator[Trial]:
        """Each of `trials` with the median time of its file, one after another: nothing else may run meanwhile."""
        for trial in trials:
            yield self._asked(Task("time", trial)) or trial

    def probe(self, factory: str, values: dict[str, Value]) -> tuple[int, float] | None:
        """Bytes and milliseconds of an untrained candidate; None where it cannot be converted."""
        found: tuple[int, float] | None = self._asked(Task("probe", (factory, values)))
        return found

    def close(self) -> None:
        """End all processes."""
        for child in [*self._free, *self._busy]:
            child.end()
        self._free.clear()
        self._busy.clear()

    def _taken(self) -> _Child:
        return self._free.pop() if self._free else _Child(self._start, self._request)

    def _asked(self, task: Task) -> Any:
        child = self._taken()
        child.ask(task)
        return self._answer(child)

    def _answer(self, child: _Child) -> Any:
        """What it answers; None where it died. It is free then, or ended."""
        try:
            answer = child.connection.recv()
        except (EOFError, OSError):
            child.end()
            return None
        if child.done < WORN:
            self._free.append(child)
        else:
            child.end()
        return answer
