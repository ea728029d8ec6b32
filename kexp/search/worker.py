"""A worker process: takes trials from the driver, trains them on its one thread, sends back what came out.

The driver starts `main` with the inherited end of a socket pair (not with `python -m`: what is pickled must name this
module). It holds no state that a search needs, so the driver can kill it at any moment. It ends when the driver does.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from kexp.errors import KexpError
from kexp.records import Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What every trial of a search shares."""

    home: str
    run: str
    batch_size: int
    objective: str


class Job(NamedTuple):
    """A trial to train: for `seconds` at most from when it begins, and not beyond `end`.

    `initial_epoch` and the weights of trial `parent` are where it continues.
    """

    trial: Trial
    initial_epoch: int = 0
    parent: int | None = None
    end: float = math.inf  # of time.monotonic, which all processes of a machine share
    seconds: float = math.inf


class Report(NamedTuple):
    """What a worker says. epoch: still at work; done: the trial is finished; bug, error: the search must stop."""

    kind: str
    trial: int
    payload: Any = None


def serve(connection: Connection) -> None:
    """Train what arrives until None does."""
    from kexp.data.dataset import Dataset
    from kexp.store import RunStore
    from kexp.train import Trainer

    setup: Setup = connection.recv()
    store = RunStore.open(Path(setup.home), setup.run)
    trainer = Trainer(Dataset.open(store.data), batch_size=setup.batch_size, objective=setup.objective)
    connection.send(Report("ready", -1))
    while (job := connection.recv()) is not None:
        trial = job.trial
        try:
            weights = None if job.parent is None else store.load_weights(job.parent)
            done, fitted = trainer.run(
                trial,
                initial_epoch=job.initial_epoch,
                weights=weights,
                deadline=min(job.end, time.monotonic() + job.seconds),
                on_epoch=lambda epoch, metrics, id=trial.id: connection.send(Report("epoch", id, epoch)),  # type: ignore[misc]
            )
            if fitted is not None:
                store.save_weights(trial.id, fitted.weights)
            connection.send(Report("done", trial.id, done))
        except KexpError as error:
            connection.send(Report("error", trial.id, error))
        except BrokenPipeError:
            return  # the driver is gone
        except Exception:  # noqa: BLE001 - a bug: its traceback goes to the driver, which stops the search with it
            connection.send(Report("bug", trial.id, traceback.format_exc()))


def _die_with(parent: int) -> None:
    """End this process soon after its parent, even in the middle of a long epoch."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(0)


def main() -> None:
    """Entry of the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the driver decides
    threading.Thread(target=_die_with, args=(os.getppid(),), daemon=True).start()
    try:
        serve(Connection(int(sys.argv[1])))
    except (EOFError, ConnectionResetError, BrokenPipeError):
        return  # the driver is gone
