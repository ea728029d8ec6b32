"""A worker process: takes jobs from the driver, trains their trials on its one thread, sends back what came out.

It holds no state that a search needs, so the driver can have it ended at any moment. It ends when the driver does.
"""

from __future__ import annotations

import math
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from kexp.errors import KexpError
from kexp.metrics import objective
from kexp.records import EVERY, ClassWeight, Curve, Trial
from kexp.search import convert, sketches


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What every trial of a search shares."""

    home: str
    run: str
    batch_size: int
    objective: str
    class_weight: ClassWeight = "none"


class Job(NamedTuple):
    """Trials to train together, of one seed: for `seconds` at most from when they begin, and not beyond `end`.

    Each continues from `initial_epoch` with the weights of the trial that `parents` names for its id.
    """

    trials: tuple[Trial, ...]
    initial_epoch: int = 0
    parents: Mapping[int, int] = {}
    end: float = math.inf  # of time.monotonic, which all processes of a machine share
    seconds: float = math.inf


class Report(NamedTuple):
    """What a worker says of its job. epoch: still at work; done: trials with their curves; bug, error: the end."""

    kind: str
    payload: Any = None


class Bench:
    """Where jobs are done, one after another: the saved data of a run, opened once, and what trains on them."""

    def __init__(self, setup: Setup) -> None:
        from kexp.data.dataset import Dataset
        from kexp.store import RunStore
        from kexp.train import Trainer

        self._store = RunStore.open(Path(setup.home), setup.run)
        self._objective = setup.objective
        self._trainer = Trainer(
            Dataset.open(self._store.data),
            batch_size=setup.batch_size,
            objective=setup.objective,
            class_weight=setup.class_weight,
            keep=self._store.features,
        )

    def do(self, job: Job, on_epoch: Callable[[int], None] | None = None) -> list[tuple[Trial, Curve | None]]:
        """The trials of `job` as they ended, with their curves; their weights are in the run."""
        store = self._store
        finished = self._trainer.run(
            job.trials,
            initial_epoch=job.initial_epoch,
            weights={t.id: store.load_weights(job.parents[t.id]) for t in job.trials if t.id in job.parents},
            deadline=min(job.end, time.monotonic() + job.seconds),
            on_epoch=on_epoch,
        )
        for trial, fitted in finished:
            if fitted is not None:
                store.save_weights(trial.id, fitted.weights)
        name, _ = objective(self._trainer.spec.task, self._objective)
        return [(t, fit.curve(name, t.fold != EVERY) if fit is not None else None) for t, fit in finished]

    def close(self) -> None:
        """Give the run back."""
        self._store.close()


def serve(connection: Connection, setup: Setup) -> None:
    """Train what arrives until None does."""
    bench = Bench(setup)
    connection.send(Report("ready"))
    while (job := connection.recv()) is not None:
        try:
            done = bench.do(job, lambda epoch: connection.send(Report("epoch", epoch)))
            connection.send(Report("done", done))
        except KexpError as error:
            connection.send(Report("error", error))
        except BrokenPipeError:
            return  # the driver is gone
        except Exception:  # noqa: BLE001 - a bug: its traceback goes to the driver, which stops the search with it
            connection.send(Report("bug", traceback.format_exc()))


def _die_with(parent: int) -> None:
    """End this process soon after its parent, even in the middle of a long epoch."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(0)


def main(connection: int) -> None:
    """A worker's life, once it is a process of its own; `connection` is its end of the socket pair with the driver."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the driver decides
    threading.Thread(target=_die_with, args=(os.getppid(),), daemon=True).start()
    driver = Connection(connection)
    try:
        first = driver.recv()  # it says what the process is for
        if isinstance(first, sketches.Request):
            sketches.serve(driver, first)
        elif isinstance(first, convert.Request):
            convert.serve(driver, first)
        else:
            serve(driver, first)
    except (EOFError, ConnectionResetError, BrokenPipeError):
        return  # the driver is gone
