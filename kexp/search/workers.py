"""Where trials run: WORKERS. Stateless workers under one driver; a crashed or hung one is replaced.

What a worker that died was at is tried once more, each trial alone, then failed with the reason. A bug (any exception
that is not a matter of resources) stops the search with the worker's traceback.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import gc
import os
import random
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kexp.errors import SearchError
from kexp.records import Curve, DatasetSpec, Experiment, Trial
from kexp.search.convert import Request
from kexp.search.converters import Converters
from kexp.search.forks import Forks
from kexp.search.sketches import AbstractSketches, RemoteSketches, Sketches
from kexp.search.worker import Bench, Job, Report, Setup

# Jobs after which a worker is replaced, since TensorFlow gives little memory back. A network that trains alone counts
# for more: its graphs are its own, and few others use them. At 24 a worker has grown by a tenth; another is there in a
# moment.
RECYCLE = 60
ALONE = 2.5
SILENCE_SECONDS = 1800.0  # without a word (a word comes every epoch) a worker counts as hung
TRIES = 2
ENVIRONMENT = {  # one trial per core beats two threads per trial; read before TensorFlow is imported
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "-1",
    # A third less time to compile a graph, and none lost when it runs (benchmarks/README.md).
    "XLA_FLAGS": "--xla_backend_optimization_level=1",
    # TensorFlow takes oneDNN by itself only with AVX512 or AMX; with AVX2 alone its convolutions are twice as fast.
    "TF_ENABLE_ONEDNN_OPTS": "1",
}
YIELDING = ("XLA_FLAGS", "TF_ENABLE_ONEDNN_OPTS")  # to what the user has set


class Outcome(NamedTuple):
    """What became of a job: a trial that is over, with its curve, or (with `epoch`) one that is still at work."""

    trial: Trial
    epoch: int | None = None
    curve: Curve | None = None


class AbstractWorkers(ABC):
    """Runs jobs somewhere. Made as soon as it is sure that there will be some: what they need loads meanwhile."""

    size: int  # so many at the same time

    @abstractmethod
    def begin(self, setup: Setup, size: int, log: Path) -> None:
        """Have `size` workers on the saved data of a run; what they print goes to `log`."""

    def sketches(self, spec: DatasetSpec, experiment: Experiment) -> AbstractSketches:
        """What builds networks to look at them: this process, where there is none that has TensorFlow loaded.

        To be asked for after `begin`.
        """
        return Sketches(spec, experiment)

    def converters(self, request: Request) -> Converters | None:
        """What makes files of trials; None where nothing can. To be asked for after `begin`, and closed before this."""
        return None

    @abstractmethod
    def submit(self, job: Job) -> None:
        """Start, or queue, a job."""

    @abstractmethod
    def poll(self, timeout: float) -> list[Outcome]:
        """What happened within `timeout` seconds; empty if nothing did."""

    @abstractmethod
    def close(self) -> None:
        """End all workers at once; jobs that are not over are lost. Closing again does nothing."""


class _Process:
    """One worker process and the job that it is at."""

    def __init__(self, forks: Forks, setup: Setup, log: Path) -> None:
        self._forks, self._log = forks, log
        self._number, self.connection = forks.fork(log)
        with contextlib.suppress(OSError):  # it is gone already: whoever listens hears of it
            self.connection.send(setup)
        self.job: Job | None = None
        self.heard = time.monotonic()
        self.worn = 0.0  # in jobs
        self.ready = False  # it has opened the data

    def start(self, job: Job) -> None:
        self.job, self.heard = job, time.monotonic()
        self.worn += ALONE if len(job.trials) == 1 else 1
        self.connection.send(job)

    def end(self, patience: float = 0.0) -> int | None:
        self.connection.close()
        return self._forks.end(self._number, self._log, patience)


class Processes(AbstractWorkers):
    """Local processes, each pinned to one thread."""

    def __init__(self) -> None:
        self._forks = self._new_forks()
        self._pool: list[_Process] = []

    def begin(self, setup: Setup, size: int, log: Path) -> None:
        """See AbstractWorkers."""
        self.size = size
        self._setup, self._log = setup, log
        self._queue: collections.deque[Job] = collections.deque()
        self._tries: collections.Counter[int] = collections.Counter()
        self._pool = [self._new() for _ in range(size)]
        self._lost: list[Outcome] = []
        self._fatal: Exception | None = None
        self._starts = 0  # of workers that died before they were ready, in a row

    def _new(self) -> _Process:
        return _Process(self._living(), self._setup, self._log)

    def _living(self) -> Forks:
        if not self._forks.alive:
            self._forks.close()
            self._forks = self._new_forks()
        return self._forks

    @staticmethod
    def _new_forks() -> Forks:
        return Forks({**ENVIRONMENT, **{name: os.environ[name] for name in YIELDING if name in os.environ}})

    def sketches(self, spec: DatasetSpec, experiment: Experiment) -> AbstractSketches:
        """See AbstractWorkers."""
        _, connection = self._forks.fork(self._log)
        return RemoteSketches(connection, spec, experiment)

    def converters(self, request: Request) -> Converters:
        """See AbstractWorkers."""

        def start() -> tuple[Connection, Callable[[], object]]:
            forks = self._living()
            number, connection = forks.fork(self._log)
            return connection, lambda: forks.end(number, self._log)

        return Converters(start, request, self.size)

    def submit(self, job: Job) -> None:
        """See AbstractWorkers."""
        self._queue.append(job)
        self._feed()

    def poll(self, timeout: float) -> list[Outcome]:
        """See AbstractWorkers."""
        if self._fatal is not None:
            raise self._fatal
        outcomes, self._lost = self._lost, []
        if outcomes:
            return outcomes
        ready = wait([w.connection for w in self._pool], timeout)
        for worker in list(self._pool):
            if worker.connection in ready:
                try:
                    outcomes += self._heard(worker, worker.connection.recv())
                except (EOFError, OSError):
                    self._replace(worker, self._how_it_ended(worker))
            elif worker.job is not None and time.monotonic() - worker.heard > SILENCE_SECONDS:
                worker.end()
                self._replace(worker, f"the worker said nothing for {SILENCE_SECONDS:.0f} s and was ended")
        self._feed()
        outcomes += self._lost
        self._lost = []
        return outcomes

    def close(self) -> None:
        """See AbstractWorkers."""
        for worker in self._pool:
            worker.connection.close()
        self._pool.clear()
        self._forks.close()

    def _feed(self) -> None:
        for worker in self._pool:
            if worker.job is None and self._queue:
                job = self._queue.popleft()
                try:
                    worker.start(job)
                except OSError:
                    self._replace(worker, self._how_it_ended(worker))

    def _heard(self, worker: _Process, report: Report) -> list[Outcome]:
        worker.heard = time.monotonic()
        if report.kind == "epoch" and worker.job is not None:
            return [Outcome(worker.job.trials[0], report.payload)]  # all of them are at that epoch
        if report.kind == "ready":
            worker.ready, self._starts = True, 0
        # What stops the search is raised by the next poll: what others finished in this one is taken in first.
        if report.kind == "error":
            self._fatal = report.payload
        if report.kind == "bug":
            text = f"{_named(worker.job)} hit a bug; what had finished is kept.\n\n{report.payload}"
            self._fatal = RuntimeError(text)
        if report.kind != "done":
            return []
        worker.job = None
        if worker.worn >= RECYCLE:
            worker.end()
            self._replace(worker, "")
        return [Outcome(trial, curve=curve) for trial, curve in report.payload]

    def _how_it_ended(self, worker: _Process) -> str:
        code = worker.end(5.0)
        if code is None:
            return f"the process that starts workers ended; see {self._log}"
        why = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        return f"the worker process ended ({why}); see {self._log}"

    def _replace(self, worker: _Process, reason: str) -> None:
        """Put a new process in the place of `worker`, which has ended; its job is tried again, or failed."""
        job = worker.job
        if not worker.ready and reason:
            self._starts += 1
            if self._starts > len(self._pool):
                raise SearchError(f"Workers cannot start: {reason}. Expected a working TensorFlow; the log tells why.")
        self._pool[self._pool.index(worker)] = self._new()
        if job is None:
            return
        for trial in reversed(job.trials):
            self._tries[trial.id] += 1
            if self._tries[trial.id] < TRIES:
                self._queue.appendleft(job._replace(trials=(trial,)))
            else:
                failed = dataclasses.replace(trial, status="failed", message=f"{reason} (tried {TRIES} times)")
                self._lost.append(Outcome(failed))


def _named(job: Job | None) -> str:
    ids = [] if job is None else [str(trial.id) for trial in job.trials]
    return f"trial{'s' if len(ids) > 1 else ''} {', '.join(ids)}"


class Here(AbstractWorkers):
    """This process alone, one job after another: for short searches in a program that has TensorFlow loaded.

    No other process has to start, and none is there to be killed: what runs out of memory ends the program, and an
    epoch without end is waited for. No files are made of trials, which takes a process of its own.
    """

    def __init__(self) -> None:
        self._bench: Bench | None = None

    def begin(self, setup: Setup, size: int, log: Path) -> None:
        """See AbstractWorkers; `size` is 1, whatever is asked for, and there is no log."""
        self.size = 1
        self._queue: collections.deque[Job] = collections.deque()
        self._setup = setup

    def submit(self, job: Job) -> None:
        """See AbstractWorkers."""
        self._queue.append(job)

    def poll(self, timeout: float) -> list[Outcome]:
        """See AbstractWorkers: the next job to its end, however long that takes. Bugs pass through as they are."""
        if not self._queue:
            return []
        drawn = random.getstate(), np.random.get_state()  # a training seeds both, which are the program's
        try:
            self._bench = self._bench or Bench(self._setup)
            return [Outcome(trial, curve=curve) for trial, curve in self._bench.do(self._queue.popleft())]
        finally:
            random.setstate(drawn[0])
            np.random.set_state(drawn[1])

    def close(self) -> None:
        """See AbstractWorkers."""
        if self._bench is not None:
            self._bench.close()
            self._bench = None
            gc.unfreeze()  # see train.Trainer


WORKERS: dict[str, Callable[[], AbstractWorkers]] = {"processes": Processes, "here": Here}
