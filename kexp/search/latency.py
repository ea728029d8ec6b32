"""How long a file takes for one sample on this machine, foretold from what a candidate costs.

    milliseconds = start + work / rate + bytes / bandwidth + operators * overhead + memory / bandwidth

The five are at least 0, and fitted to a few candidates that were converted and measured here. Measured times differ by
factors, so it is relative errors that are least. It foretells the order of candidates and the scale of their times, no
more: kernels are not equally fast (benchmarks/costs.py says how far it is off).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from kexp.records import Costs

UNITS = (1.0, 1e-6, 1e-6, 1e-3, 1e-6)  # of what is counted, so that coefficients are of like size
FLOOR_MS = 1e-3  # a clock tells no less apart


class LatencyModel(NamedTuple):
    """Milliseconds: a constant, and for each million of work, megabyte, thousand operators and megabyte of memory.

    Activations that are large take time, whatever is done to them: late fusion of clips was told 4 times too short.
    """

    start: float
    work: float
    bytes: float
    operators: float
    memory: float = 0.0
    error: float = 0.0  # the largest factor by which it was off where it was fitted, less 1
    measured: int = 0  # candidates that it was fitted to

    def __call__(self, costs: Costs) -> float:
        """Milliseconds for one sample."""
        return max(FLOOR_MS, sum(a * b for a, b in zip(self[:5], _features(costs), strict=True)))

    @classmethod
    def fitted(cls, measured: Sequence[tuple[Costs, float]]) -> LatencyModel | None:
        """The model of candidates and their milliseconds; None where there is none."""
        import numpy as np

        pairs = [(costs, max(ms, FLOOR_MS)) for costs, ms in measured]
        if not pairs:
            return None
        scaled = np.array([[feature / ms for feature in _features(costs)] for costs, ms in pairs])
        start, work, size, operators, memory = map(float, nonnegative(scaled, np.ones(len(pairs))))
        found = cls(start, work, size, operators, memory)
        factors = [max(found(costs) / ms, ms / found(costs)) for costs, ms in pairs]
        return found._replace(error=round(max(factors) - 1, 4), measured=len(pairs))

    @classmethod
    def read(cls, document: Any) -> LatencyModel | None:
        """What `document` wrote; None of None, and of what another version of kexp wrote."""
        return None if document is None or set(document) != set(cls._fields) else cls(**document)

    def document(self) -> dict[str, float]:
        """As JSON."""
        return self._asdict()


def _features(costs: Costs) -> tuple[float, ...]:
    counts = (1, costs.work, costs.bytes, costs.operators, costs.memory)
    return tuple(count * unit for count, unit in zip(counts, UNITS, strict=True))


def nonnegative(a: Any, b: Any) -> Any:
    """x >= 0 of least |a x - b|, (n, k) and (n,) -> (k,): the best of all choices of columns, k being small."""
    import itertools

    import numpy as np

    k, best, least = a.shape[1], np.zeros(a.shape[1]), float(np.sum(b**2))
    for count in range(1, k + 1):
        for columns in itertools.combinations(range(k), count):
            x, *_ = np.linalg.lstsq(a[:, columns], b, rcond=None)
            error = float(np.sum((a[:, columns] @ x - b) ** 2))
            if (x >= 0).all() and error < least * (1 - 1e-9):
                best, least = np.zeros(k), error
                best[list(columns)] = x
    return best
