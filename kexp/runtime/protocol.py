"""What every runtime is: raw samples in, outputs out."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexp.errors import DataError

Array = NDArray[Any]


class AbstractRuntime(ABC):
    """An opened model. `shape` is of one raw sample, `dtype` what the file takes.

    `threads` is how many it uses, `note` what a person should know of how it computes; `in_process` whether its memory
    is this process's.
    `texts` are what kexp wrote inside the file, by name (`kexp.export.metadata.texts`); none where the format has no
    place for them, or another program wrote it.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    threads: int = 1
    note: str = ""
    in_process: bool = True
    texts: Mapping[str, str] = MappingProxyType({})

    @abstractmethod
    def predict(self, x: Array) -> NDArray[np.float32]:
        """Outputs (n, outputs) of raw samples (n, *shape)."""

    def close(self) -> None:  # noqa: B027 - most runtimes hold nothing that must be let go
        """End what the runtime holds: a process, a folder. It cannot predict afterwards."""

    def latency(self, x: Array, runs: int) -> list[float]:
        """Milliseconds of each of `runs` predictions of one sample, taken from `x` (n, *shape) in turn."""
        self.predict(x[:1])  # the first one allocates
        times = []
        for run in range(runs):
            sample = x[run % len(x)][None]
            start = time.perf_counter()
            self.predict(sample)
            times.append((time.perf_counter() - start) * 1000)
        return times


def brief(error: Exception) -> str:
    """What an error says, in one line of at most 300 letters."""
    return " ".join(str(error).split())[:300].rstrip(".") or type(error).__name__


def starts(x: Array, step: int) -> range:
    """Where batches of `step` rows of `x` begin; one batch where there are no rows."""
    return range(0, max(len(x), 1), step)


def check_shape(x: Array, shape: tuple[int, ...]) -> None:
    """Raise DataError unless `x` is (n, *shape)."""
    if x.shape[1:] != shape:
        raise DataError(f"samples are of shape {x.shape[1:]}, the model takes {shape}. Give one array (n, {shape}).")
