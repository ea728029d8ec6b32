"""A process that makes the file of a trial that would ship, and measures it: the converter, warm.

It holds no state that a search needs. TensorFlow's converter leaks, and on some networks kills the process it runs in:
the driver (`kexp.search.converters`) then starts another.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import tempfile
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kexp.data.dataset import Dataset
from kexp.export.source import CARES, NO_CARE, Care, Source
from kexp.formats import FORMATS
from kexp.metrics import metrics
from kexp.records import Trial, Value
from kexp.store import RunStore, atomic_write

ROWS = 10  # samples that a file is timed on, in turn
RUNS = 200  # of one sample, for its median time; fewer where they would take longer than
SECONDS = 0.3
FEW = 8  # samples that calibrate an untrained network


class Request(NamedTuple):
    """The first message to a process that is to convert: of which run, and to which row of FORMATS."""

    home: str
    run: str
    variant: str
    modules: tuple[str, ...]  # that register the layers of the networks
    ships: bool = True  # or it ranks alone, and nothing is refused for it

    def unmade(self, trial: Trial, why: str) -> Trial:
        """`trial`, of which no file can be made."""
        text = f"{self.variant} cannot be made: {why}"
        return dataclasses.replace(trial, variant=self.variant, message=text, refused=text if self.ships else "")


class Task(NamedTuple):
    """One thing to do: a method of `Converter`, and what it is told."""

    verb: str  # "convert", "time" or "probe"
    argument: Any


class Converter:
    """Makes files of trials of one run, in this process."""

    def __init__(self, request: Request) -> None:
        self._store = RunStore.open(Path(request.home), request.run)
        self._dataset = Dataset.open(self._store.data)
        self._request, self._variant = request, request.variant

    def convert(self, trial: Trial) -> Trial:
        """`trial` with its file, kept in the run: its bytes, and its metrics on validation rows, those of its fold.

        `floats` are those of the network on the same rows.
        Converted as `kexp export` does it: with more care where the gate would refuse it. What no care mends, or what
        cannot be made, is `refused`, unless the experiment's formats leave that file out: then it ranks alone.
        """
        from kexp import release, verify
        from kexp.export import rows
        from kexp.runtime import open_runtime

        dataset, spec = self._dataset, self._dataset.spec
        judging = rows.judging(dataset, trial.fold)
        x, y = np.asarray(dataset.x[judging]), dataset.y[judging]
        weights = self._store.load_weights(trial.source)
        tolerances = self._store.experiment.tolerances
        allowed = release.tolerated(spec, [self._variant], tolerances)[self._variant]
        ships = self._request.ships
        file = self._store.file(trial.id)
        file.parent.mkdir(exist_ok=True)
        with self._made(trial.factory, trial.values, weights, trial.fold) as make:
            try:
                with contextlib.closing(open_runtime(make("tflite_float32", NO_CARE))) as runtime:
                    reference = runtime.predict(x)
                for care in (NO_CARE, *(CARES if self._variant in release.CAREFUL else ())):
                    path = make(self._variant, care)
                    with contextlib.closing(open_runtime(path)) as runtime:
                        outputs = runtime.predict(x)
                    refused = verify.wrong(verify.gate(self._variant, reference, outputs, y, spec, path, allowed))
                    if not (refused and ships):
                        break
            except Exception as error:  # noqa: BLE001 - a converter may raise anything; the search goes on without it
                why = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
                return self._request.unmade(trial, why)
            content = path.read_bytes()
            atomic_write(file, content)
        return dataclasses.replace(
            trial, variant=self._variant, shipped=metrics(spec.task, y, outputs), bytes=len(content),
            floats=metrics(spec.task, y, reference), refused=refused if ships else "",
        )  # fmt: skip

    def time(self, trial: Trial) -> Trial:
        """`trial` with the median milliseconds of its file for one sample, with one thread."""
        path = self._store.file(trial.id)
        return dataclasses.replace(trial, latency_ms=self._p50(path)) if path.exists() else trial

    def probe(self, asked: tuple[str, dict[str, Value]]) -> tuple[int, float] | None:
        """Bytes and median milliseconds of an untrained candidate of (factory, values); None where none can be made."""
        with self._made(*asked) as make:
            try:
                path = make(self._variant, NO_CARE)
                return path.stat().st_size, self._p50(path)
            except Exception:  # noqa: BLE001 - what cannot be converted foretells nothing
                return None

    def _p50(self, path: Path) -> float:
        from kexp.benchmark import settled
        from kexp.runtime import open_runtime

        rows = self._dataset.rows("train")[:ROWS]
        x = np.asarray(self._dataset.x[rows])
        with contextlib.closing(open_runtime(path)) as runtime:
            return float(np.median(settled(runtime, x, SECONDS, RUNS)))

    @contextlib.contextmanager
    def _made(
        self, factory: str, values: dict[str, Value], weights: list[Any] | None = None, fold: int = 0
    ) -> Iterator[Callable[[str, Care], Path]]:
        """Within it, the candidate's file in any format: as an export from its .keras file makes it."""
        from kexp import export, models
        from kexp.export import rows, tflite

        spec = self._dataset.spec
        network = models.build(spec, factory, models.replay(values))
        if weights is not None:
            network.core.set_weights(weights)
        calibrating = rows.calibrating(self._dataset, fold)
        if weights is None:
            calibrating = calibrating[:FEW]  # how fast it is does not depend on its ranges
        calibration = np.asarray(self._dataset.x[calibrating])
        with tempfile.TemporaryDirectory(prefix="kexp-convert-") as name:
            folder = Path(name)
            models.inference(network).save(folder / "model.keras")
            sources: dict[Care, Source] = {}  # those of one care share a float file

            def make(format: str, care: Care) -> Path:
                if care not in sources:
                    scratch = folder / str(len(sources))
                    scratch.mkdir()
                    sources[care] = Source(
                        path=folder / "model.keras", spec=spec, calibration=calibration, scratch=scratch,
                        modules=self._request.modules, care=care,
                    )  # fmt: skip
                path = folder / FORMATS[format].file
                export.write(format, sources[care], path)
                return path

            try:
                yield make
            finally:
                tflite.forget()
                models.forget()


def serve(connection: Connection, request: Request) -> None:
    """Do what arrives until None does, or the driver is gone."""
    converter = Converter(request)
    verbs: dict[str, Callable[[Any], Any]] = {
        "convert": converter.convert, "time": converter.time, "probe": converter.probe,
    }  # fmt: skip
    frozen = False
    while (task := connection.recv()) is not None:
        connection.send(verbs[task.verb](task.argument))
        if not frozen:
            gc.collect()
            gc.freeze()  # the collection after every file need not search the libraries: a fifth of a second
            frozen = True
