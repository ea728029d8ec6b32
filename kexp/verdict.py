"""Was deep learning needed? One sentence, and the numbers behind it: the network beside the best of the simpler models.

Which of these is the best is known from validation rows; the test rows only say by how much the two differ.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kexp.metrics import METRICS
from kexp.records import Task

Array = NDArray[Any]
LEVEL = 0.95
RESAMPLES = 2000
MANY = 20_000  # rows: the interval is narrow, and a tenth of the resamples tells it as well
ANSWERS = ("needed", "not needed", "not shown")


class Rival(NamedTuple):
    """A model that is no deep network, and what it answered to the test rows."""

    name: str
    outputs: Array
    of: int = 1  # so many that it was chosen from


def verdict(task: Task, metric: str, y: Array, outputs: Array, rival: Rival, *, seed: int = 0) -> dict[str, Any]:
    """{"answer": one of ANSWERS, "sentence", "metric", "network", "rival", "rival_value", "gain", "low", "high",
    "level"}.

    "gain" is by how much the network is better, below zero worse, in the metric's units; low to high its interval: the
    percentile bootstrap (Efron 1979) over rows, each drawn for both models at once, so that rows which both find hard
    do not blur it. It knows the chance in the test rows, not that in training.
    """
    measure, direction, _ = METRICS[metric]
    sign = 1.0 if direction == "max" else -1.0
    ours, theirs = measure(task, y, outputs), measure(task, y, rival.outputs)
    low, high = paired(task, metric, y, outputs, rival.outputs, seed=seed)
    gain = sign * (ours - theirs)
    answer = "needed" if low > 0 else "not needed" if high < 0 else "not shown"
    return {
        "answer": answer,
        "sentence": _sentence(answer, metric, ours, theirs, rival, len(y), low, high),
        "metric": metric, "network": ours, "rival": rival.name, "rival_value": theirs,
        "gain": gain, "low": low, "high": high, "level": LEVEL,
    }  # fmt: skip


def paired(task: Task, metric: str, y: Array, ours: Array, theirs: Array, *, seed: int = 0) -> tuple[float, float]:
    """The LEVEL interval of by how much `ours` (n, outputs) is better than `theirs` on the rows of `y`."""
    measure, direction, _ = METRICS[metric]
    sign = 1.0 if direction == "max" else -1.0
    random = np.random.default_rng(seed)
    gains = []
    for _ in range(RESAMPLES if len(y) <= MANY else RESAMPLES // 10):
        rows = random.integers(0, len(y), len(y))
        gains.append(sign * (measure(task, y[rows], ours[rows]) - measure(task, y[rows], theirs[rows])))
    low, high = np.quantile(gains, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return float(low), float(high)


def _sentence(
    answer: str, metric: str, ours: float, theirs: float, rival: Rival, n: int, low: float, high: float
) -> str:  # fmt: skip
    both = f"{metric.replace('_', ' ')} {_number(ours)} against {_number(theirs)} of {rival.name}, the best of "
    both += f"{rival.of} simpler models" if rival.of > 1 else "the simpler models"
    of = f"as far as {n:,} test rows can tell ({LEVEL:.0%})"
    if answer == "needed":
        return f"Deep learning is needed here: {both}. The network gains {_number(low)} to {_number(high)}, {of}."
    if answer == "not needed":
        return f"Deep learning is not needed here: {both}. The network loses {_number(-high)} to {_number(-low)}, {of}."
    span = f"may lose {_number(-low)} by it, gain {_number(high)}, or anything between"
    return f"Not shown that deep learning is needed here: {both}. One {span}, {of}."


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}" if abs(value) >= 10 else f"{value:.4f}"
