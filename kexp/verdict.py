"""Was deep learning needed? One sentence, and the numbers behind it: the network beside the best of the simpler models.

Which of these is the best is known from validation rows; the test rows only say by how much the two differ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kexp.metrics import METRICS, classes, sign_of
from kexp.records import DatasetSpec, Task

Array = NDArray[Any]
LEVEL = 0.95
RESAMPLES = 2000
SAME = 1e-9  # of a gain: a rounding error, from one split to the next
MANY = 20_000  # rows: the interval is narrow, and a tenth of the resamples tells it as well
CONSTANT = "constant"  # the baseline that looks at no input
ANSWERS = ("needed", "not needed", "not shown")


class Rival(NamedTuple):
    """A model that is no deep network, and what it answered to the test rows."""

    name: str
    outputs: Array
    of: int = 1  # so many that it was chosen from
    note: str = ""  # what held it back, such as a limit of its rows
    absent: tuple[str, ...] = ()  # others that could not be fitted


def verdict(
    task: Task, metric: str, y: Array, outputs: Array, rival: Rival, *, block: int = 1, seed: int = 0
) -> dict[str, Any] | None:  # fmt: skip
    """{"answer": one of ANSWERS, "sentence", "metric", "network", "rival", "rival_value", "gain", "low", "high",
    "level"}, or None where a value is no number, or there is no rival but a constant answer.

    "gain" is by how much the network is better, below zero worse, in the metric's units; low to high its interval, see
    `paired`. Of shares of right answers, a difference must also pass McNemar's exact test (1947) of the rows that only
    one of the two answers right: a bootstrap of few such rows is too sure. It knows the chance in the test rows, not
    that in training.
    """
    measure, direction, _ = METRICS[metric]
    sign = sign_of(direction)
    ours, theirs = measure(task, y, outputs), measure(task, y, rival.outputs)
    if rival.name == CONSTANT or not (math.isfinite(ours) and math.isfinite(theirs)):
        return None
    low, high = paired(task, metric, y, outputs, rival.outputs, block=block, seed=seed)
    gain = sign * (ours - theirs)
    sure = no_coins(task, metric, y, outputs, rival.outputs)
    answer = "needed" if low > 0 and sure else "not needed" if high < 0 and sure else "not shown"
    return {
        "answer": answer,
        "sentence": _sentence(answer, metric, ours, theirs, rival, len(y), low, high),
        "metric": metric, "network": ours, "rival": rival.name, "rival_value": theirs,
        "gain": gain, "low": low, "high": high, "level": LEVEL,
    }  # fmt: skip


def corrected(gains: Sequence[float], share: float) -> tuple[float, float, float, float]:
    """(mean, low, high, p) of gains on several splits of the same rows: the mean, its LEVEL interval, the two-sided p.

    The corrected resampled t-test, which allows for training rows in common: t = mean / sqrt((1/k + share) variance)
    with k - 1 degrees of freedom; `share` is n_test / n_train (Nadeau and Bengio 2003, "Inference for the
    generalization error"). Of equal gains, of a few small splits no rare chance, the interval is the mean and p is 1:
    they do not say how far gains vary.
    """
    from scipy import stats

    values = np.asarray(gains, np.float64)
    mean, k = float(values.mean()), len(values)
    if np.ptp(values) <= SAME * np.abs(values).max():
        return mean, mean, mean, 1.0
    width = float(np.sqrt((1 / k + share) * values.var(ddof=1)))
    reach = width * float(stats.t.ppf((1 + LEVEL) / 2, k - 1))
    return mean, mean - reach, mean + reach, float(2 * stats.t.sf(abs(mean / width), k - 1))


def of_splits(gains: Sequence[float], share: float, rival: str, metric: str) -> dict[str, Any]:
    """{"rival", "metric", "gains", "mean", "low", "high", "p", "answer": of ANSWERS, "sentence"}; see `corrected`."""
    mean, low, high, p = corrected(gains, share)
    answer = "not shown" if low == high else "needed" if low > 0 else "not needed" if high < 0 else "not shown"
    ends = (low, high) if mean >= 0 else (-high, -low)
    told = f"On {len(gains)} new splits of all rows, both trained anew, the network is "
    told += f"{'better' if mean >= 0 else 'worse'} than {rival} by {_number(abs(mean))} of {metric.replace('_', ' ')} "
    told += "on each" if low == high else f"on average ({LEVEL:.0%}: {_number(ends[0])} to {_number(ends[1])})"
    told += ": deep learning is "
    told += {"needed": "needed here.", "not needed": "not needed here.", "not shown": "not shown to be needed."}[answer]
    return {
        "rival": rival, "metric": metric, "gains": list(gains), "mean": mean, "low": low, "high": high, "p": p,
        "answer": answer, "sentence": told,
    }  # fmt: skip


def paired(
    task: Task, metric: str, y: Array, ours: Array, theirs: Array, *, block: int = 1, seed: int = 0
) -> tuple[float, float]:
    """The LEVEL interval of by how much `ours` (n, outputs) is better than `theirs` on the rows of `y`; see `gains`."""
    found = gains(
        task, metric, y, ours, theirs, RESAMPLES if len(y) <= MANY else RESAMPLES // 10, block=block, seed=seed
    )
    low, high = np.quantile(found, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return float(low), float(high)


def gains(
    task: Task, metric: str, y: Array, ours: Array, theirs: Array, draws: int, *, block: int = 1, seed: int = 0
) -> Array:
    """By how much `ours` is better than `theirs`, (draws,), on rows drawn anew each time, with replacement.

    The percentile bootstrap (Efron 1979), each row drawn for both at once, so that rows which both find hard do not
    blur the difference. Rows that follow each other in time, and have steps in common, are drawn in runs of `block`
    (the moving blocks of Künsch 1989): one by one they would seem to say more than they do.
    """
    measure, direction, _ = METRICS[metric]
    sign = sign_of(direction)
    random, n = np.random.default_rng(seed), len(y)
    block = min(block, max(1, n // 2))
    found = np.empty(draws)
    for draw in range(draws):
        starts = random.integers(0, n - block + 1, -(-n // block))
        rows = (starts[:, None] + np.arange(block)).ravel()[:n]
        found[draw] = sign * (measure(task, y[rows], ours[rows]) - measure(task, y[rows], theirs[rows]))
    return found


def block(spec: DatasetSpec, n: int) -> int:
    """How many of `n` test rows are drawn together: windows of a forecast that follow each other share steps."""
    return max(spec.horizon, *spec.seasons, round(n ** (1 / 3))) if spec.horizon else 1


def no_coins(task: Task, metric: str, y: Array, ours: Array, theirs: Array, level: float = LEVEL) -> bool:
    """Whether shares of right answers differ by more than coins would; of other metrics that is not asked."""
    return metric != "accuracy" or task == "multilabel" or _discordant(task, y, ours, theirs) < 1 - level


def _discordant(task: Task, y: Array, ours: Array, theirs: Array) -> float:
    """The two-sided p of McNemar's exact test: a coin tossed for each row that only one of the two answers right."""
    from scipy.stats import binomtest

    right, other = classes(task, ours) == y, classes(task, theirs) == y
    alone, few = int((right != other).sum()), int(min((right & ~other).sum(), (other & ~right).sum()))
    return float(binomtest(few, alone).pvalue) if alone else 1.0


def _sentence(
    answer: str, metric: str, ours: float, theirs: float, rival: Rival, n: int, low: float, high: float
) -> str:  # fmt: skip
    note = f" ({rival.note})" if rival.note else ""
    both = f"{metric.replace('_', ' ')} {_number(ours)} against {_number(theirs)} of {rival.name}{note}, the best of "
    both += f"{rival.of} simpler models" if rival.of > 1 else "the simpler models"
    rows = f"{n:,} test row{'s' if n > 1 else ''}"
    absent = f" Could not be fitted: {', '.join(rival.absent)}." if rival.absent else ""
    if answer == "needed":
        told = f"Deep learning is needed here: {both}. The network gains {_number(low)} to {_number(high)}"
    elif answer == "not needed":
        told = f"Deep learning is not needed here: {both}. The network loses {_number(-high)} to {_number(-low)}"
    elif low == high == 0:
        return f"Not shown that deep learning is needed here: {both}; on {rows} both answer alike.{absent}"
    else:
        told = (
            f"Not shown that deep learning is needed here: {both}. The network may be worse by up to "
            f"{_number(max(0.0, -low))}, or better by up to {_number(max(0.0, high))}"
        )
    return f"{told}, as far as {rows} can tell ({LEVEL:.0%}).{absent}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}" if abs(value) >= 10 else f"{value:.4f}"
