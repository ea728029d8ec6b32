"""What a reader hands over (`Raw`), and what every later step reads (`Dataset`): arrays on disk, memory-mapped."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kexp.errors import RunError
from kexp.records import EVERY, Clustering, ColumnKind, DatasetSpec, Kind, Part, from_json, to_json
from kexp.store import atomic_write

if TYPE_CHECKING:
    import pandas as pd

PARTS: dict[Part, int] = {"train": 0, "validation": 1, "test": 2}
PART_NAMES: dict[str, Part] = {  # as folders, files, arrays and cells are named, in lower case
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
}


@dataclass(kw_only=True)
class Raw:
    """What a reader found, before targets are encoded and rows are split.

    `x` is (n, *shape) as in records.DatasetSpec, uint8 for pictures and clips, float32 otherwise, memory-mapped when
    large; of tables a DataFrame of the input columns as the user wrote them. `y` is (n,) of str for classes, (n, k)
    float64 for numbers, (n, k) bool for multilabel, or (n, k) of str: cells as the user wrote them, whose task
    `targets.encode` finds out.
    """

    kind: Kind
    x: NDArray[Any] | pd.DataFrame
    y: NDArray[Any]
    targets: tuple[str, ...] = ()  # names of the target columns, in the order of y's columns
    parts: NDArray[np.int8] | None = None  # PARTS of each row where the data say so, -1 where they do not
    ids: list[str] = field(default_factory=list)  # of each row, for messages: a file, or "adult.csv row 17"
    files: list[str] | None = None  # absolute path of each sample, where there is one file for each
    groups: NDArray[Any] | None = None  # (n,), equal values stay in one part
    times: NDArray[Any] | None = None  # (n,), sortable: oldest train, newest test
    labels: tuple[str, ...] = ()  # class names in the order wanted, where the data say so
    notices: list[str] = field(default_factory=list)  # what a person should know about how this was read
    rate: float = 0.0  # as in records.DatasetSpec, and so are these
    channels: tuple[str, ...] = ()
    horizon: int = 0
    seasons: tuple[int, ...] = ()
    forecast: tuple[int, ...] = ()
    kinds: dict[str, ColumnKind] = field(default_factory=dict)  # of a table's columns, as far as the data say it

    def take(self, rows: NDArray[np.integer]) -> Raw:
        """The rows `rows` (m,), in this order."""
        return replace(
            self,
            x=self.x[rows] if isinstance(self.x, np.ndarray) else self.x.iloc[rows].reset_index(drop=True),
            y=self.y[rows],
            parts=None if self.parts is None else self.parts[rows],
            ids=[self.ids[row] for row in rows],
            files=None if self.files is None else [self.files[row] for row in rows],
            groups=None if self.groups is None else self.groups[rows],
            times=None if self.times is None else self.times[rows],
        )


@dataclass(kw_only=True)
class Dataset:
    """Samples, targets and the part (train, validation, test) of each row.

    `x` is (n, *spec.shape): uint8 for pictures and clips, float32 otherwise (records.Column for a table's encoding).
    `y` is (n,) int32 class indices for binary and multiclass, (n, outputs) float32 otherwise.
    """

    spec: DatasetSpec
    x: NDArray[Any]
    y: NDArray[Any]
    part: NDArray[np.int8]
    ids: list[str]
    files: list[str] | None = None
    raw: pd.DataFrame | None = None  # tables: input and target cells as the user wrote them (str), for golden vectors
    notices: list[str] = field(default_factory=list)
    fold: NDArray[np.int8] | None = None  # of each row, from 1 (0: a test row), where leading candidates run on folds
    fingerprint: str = ""  # of samples, targets and parts: the same rows give the same value
    clustering: Clustering | None = None  # where `y` are clusters that were found, not classes that were given
    truth: NDArray[np.int32] | None = None  # then: the class of each row, (n,), where the data have some; -1 unknown

    @property
    def folds(self) -> int:
        """How many folds there are; 0 where there are none."""
        return 0 if self.fold is None else int(self.fold.max())

    def rows(self, part: Part, fold: int = 0) -> NDArray[np.int64]:
        """Indices of the rows of `part`, ascending.

        Where the fold k > 0 validates, the other folds train; of EVERY fold all rows train but the test rows.
        """
        if not fold or self.fold is None or part == "test" or (fold == EVERY and part == "validation"):
            return np.flatnonzero(self.part == PARTS[part])
        if part == "validation":
            return np.flatnonzero(self.fold == fold)
        return np.flatnonzero((self.fold > 0) & (self.fold != fold))

    def take(self, part: Part) -> tuple[NDArray[Any], NDArray[Any]]:
        """Samples (m, *shape) and targets of `part`. Only `evaluate` asks for the test part."""
        rows = self.rows(part)
        return self.x[rows], self.y[rows]

    def save(self, folder: Path) -> None:
        """Write everything under `folder`; the description last and whole, so that a cut-off save is seen."""
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "x.npy", self.x)
        np.save(folder / "y.npy", self.y)
        np.save(folder / "part.npy", self.part)
        if self.fold is not None:
            np.save(folder / "fold.npy", self.fold)
        if self.truth is not None:
            np.save(folder / "truth.npy", self.truth)
        if self.raw is not None:
            self.raw.to_parquet(folder / "raw.parquet")
        document = {
            "spec": to_json(self.spec),
            "ids": self.ids,
            "files": self.files,
            "notices": self.notices,
            "fingerprint": self.fingerprint,
            "clustering": to_json(self.clustering),
        }
        for path in folder.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        atomic_write(folder / "dataset.json", json.dumps(document).encode())

    @staticmethod
    def saved(folder: Path) -> bool:
        """Whether a `save` to `folder` came to its end."""
        return (folder / "dataset.json").exists()

    @classmethod
    def open(cls, folder: Path) -> Dataset:
        """The data set saved under `folder`; samples stay on disk until they are read.

        Raises RunError where `save` did not end.
        """
        try:
            document = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{folder} holds no complete data set. Start the search again with --fresh.") from error
        raw = None
        if (folder / "raw.parquet").exists():
            import pandas as pd

            raw = pd.read_parquet(folder / "raw.parquet")
        return cls(
            spec=from_json(DatasetSpec, document["spec"]),
            x=np.load(folder / "x.npy", mmap_mode="r"),
            y=np.load(folder / "y.npy"),
            part=np.load(folder / "part.npy"),
            fold=np.load(folder / "fold.npy") if (folder / "fold.npy").exists() else None,
            ids=document["ids"],
            files=document["files"],
            raw=raw,
            notices=document["notices"],
            fingerprint=document["fingerprint"],
            clustering=from_json(Clustering, document["clustering"]) if document.get("clustering") else None,
            truth=np.load(folder / "truth.npy") if (folder / "truth.npy").exists() else None,
        )
