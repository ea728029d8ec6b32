"""From Python: what `import kexp` offers. The pipeline's steps, with defaults for a notebook, and runs as objects."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kexp import experiment, notebook, pipeline, store
from kexp.errors import ExperimentError
from kexp.records import Artifact, Check, Trial, to_json
from kexp.runtime import import_modules, modules
from kexp.store import RunStore

if TYPE_CHECKING:
    import keras
    import pandas as pd

    from kexp.release import Release


@dataclass(frozen=True, kw_only=True)
class Run:
    """A search that is over, by name; everything it found is on disk."""

    home: Path
    name: str
    interrupted: bool = False

    def leaderboard(self) -> pd.DataFrame:
        """The trials, best first: a row each, metrics and hyperparameters as columns.

        `shipped_accuracy` and the like are of a trial's file, where the search made one: those rank then. On the same
        rows the network in floats has `floats_accuracy`.
        """
        import pandas as pd

        rows = []
        for trial in pipeline.show(self.home, self.name)["trials"]:
            values, metrics = trial.pop("values"), trial.pop("metrics")
            files = {f"{of}_{name}": one for of in ("shipped", "floats") for name, one in trial.pop(of).items()}
            rows.append({**trial, **metrics, **files, **values})
        return pd.DataFrame(rows)

    def _repr_html_(self) -> str:
        """What a notebook shows of a run: its best trials."""
        return notebook.html(pipeline.show(self.home, self.name))

    @property
    def best(self) -> Trial:
        """The trial whose weights are the model."""
        with RunStore.open(self.home, self.name) as run:
            run.need_model()
            id = run.get("best_trial")
            return next(trial for trial in run.trials() if trial.id == id)

    def model(self) -> keras.Model:
        """The best network, from raw samples to answers."""
        import keras

        with RunStore.open(self.home, self.name) as run:
            path = run.need_model()
            import_modules(modules(run.experiment))
            return keras.models.load_model(path, compile=False)

    def baselines(self) -> pd.DataFrame:
        """What simpler models reach on the same rows, best first: a row each. See `pipeline.fit_baselines`."""
        import pandas as pd

        told = ("factory", "status", "score", "bytes", "latency_ms", "seconds", "message")
        found = pipeline.fit_baselines(self.home, self.name)["baselines"]
        return pd.DataFrame([{name: one[name] for name in told} | one["metrics"] | one["values"] for one in found])

    def evaluate(self, *, splits: int = 0) -> dict[str, Any]:
        """See `pipeline.evaluate`."""
        return pipeline.evaluate(self.home, self.name, splits=splits)

    def diagnose(self, *, try_variants: bool | None = None) -> dict[str, Any]:
        """What is wrong with the best network, and why. See `pipeline.diagnose`."""
        return pipeline.diagnose(self.home, self.name, try_variants=try_variants)

    def export(self, *formats: str | Iterable[str], tolerances: dict[str, float] | None = None) -> Release:
        """See `pipeline.export`; formats one by one or as a list; without any, keras, saved_model and tflite."""
        names = [name for one in formats for name in ([one] if isinstance(one, str) else one)]
        return pipeline.export(self.home, self.name, names, tolerances)

    def bench(self, *threads: int) -> pd.DataFrame:
        """How fast each exported file is: a row each, on this machine and on phones. See `pipeline.bench`."""
        import pandas as pd

        found, _ = pipeline.bench(self.home, self.name, threads=threads or (1,))
        return pd.DataFrame([to_json(one) for one in found])

    def report(self, out: str | Path | None = None) -> Path:
        """Write all about the run as one HTML file, to `out` or into the run; where it is."""
        return pipeline.report(self.home, self.name, out=None if out is None else Path(out))[0]

    def tensorboard(self, folder: str | Path) -> Path:
        """Write the trials as event files for TensorBoard, into `folder`; where they are."""
        return pipeline.tensorboard(self.home, Path(folder), self.name)[0]


def init(path: str | Path, *, home: str | Path | None = None, **options: Any) -> pipeline.Initial:
    """Look at data and write an experiment file; options as of `pipeline.init`."""
    return pipeline.init(str(path), home=store.home(home), **options)


def search(
    source: str | Path, *, home: str | Path | None = None, workers: int | None = None, fresh: bool = False,
    **options: Any,
) -> Run:  # fmt: skip
    """Search on data or on an experiment file, as `kexp search` does: `kexp.search("photos/", time="10m")`."""
    if not isinstance(source, str | os.PathLike):
        raise ExperimentError(
            f"kexp.search was given a {type(source).__name__}: a path of data or of an experiment file is expected. "
            "For arrays and DataFrames there are kexp.KexpClassifier and kexp.KexpRegressor."
        )
    question, base = experiment.asked(str(source), **options)
    where = store.home(home)
    ended = pipeline.search(question, home=where, base=base, workers=workers, fresh=fresh)
    return Run(home=where, name=question.name, interrupted=not ended)


def load(name: str | None = None, home: str | Path | None = None) -> Run:
    """The run `name`, or the latest finished one. Raises RunError where there is none."""
    where = store.home(home)
    with RunStore.open(where, name or store.latest(where)) as run:
        return Run(home=where, name=run.name)


def runs(home: str | Path | None = None) -> list[dict[str, Any]]:
    """See `pipeline.runs`."""
    return pipeline.runs(store.home(home))


def compare(*names: str, home: str | Path | None = None) -> dict[str, Any]:
    """What differs between runs, and whether one is shown to be better. See `compare.compare`."""
    return pipeline.compare(store.home(home), names)


def verify(folder: str | Path) -> tuple[list[Artifact], list[Check]]:
    """See `pipeline.verify_folder`."""
    return pipeline.verify_folder(Path(folder))
