"""Calibration: whether an answer that is given 80 % is right in 80 of 100 cases. numpy only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexp.records import Finding, Task

Array = NDArray[Any]
BINS = 15
DRAWS = 500
SMALL, LARGE = 0.05, 0.15  # errors that are worth a note, and a warning


def sureness(task: Task, y: Array, outputs: Array) -> tuple[Array, Array]:
    """How sure each answer is, (m,), and whether it is right, (m,) of bool; an answer for each label of multilabel."""
    if task == "multiclass":
        return outputs.max(axis=1), outputs.argmax(axis=1) == y
    p, truth = outputs.ravel(), np.asarray(y).reshape(outputs.shape).ravel()
    return np.maximum(p, 1 - p), (p >= 0.5) == (truth == 1)


def ece(confidence: Array, right: Array, bins: int = BINS) -> tuple[float, list[dict[str, float]]]:
    """Expected calibration error of answers (m,), and its bins that have answers.

    ECE = sum over bins of |bin| / m * |share that is right - mean confidence|, 15 bins of equal width: Guo et al. 2017,
    "On Calibration of Modern Neural Networks", equation 3 (after Naeini et al. 2015).
    """
    at = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)  # bins are open below: (a, b]
    count = np.bincount(at, minlength=bins)
    sure = np.bincount(at, weights=confidence, minlength=bins)
    hits = np.bincount(at, weights=right.astype(np.float64), minlength=bins)
    error = float(np.abs(hits - sure).sum() / max(len(confidence), 1))
    table = [
        {
            "from": k / bins, "to": (k + 1) / bins, "answers": int(count[k]), "confidence": float(sure[k] / count[k]),
            "right": float(hits[k] / count[k]),
        }
        for k in range(bins) if count[k]
    ]  # fmt: skip
    return error, table


def by_chance(confidence: Array, seed: int = 0) -> float:
    """The error that a perfectly calibrated network stays below in 95 of 100 sets of as many rows.

    Each answer is right with just its confidence: consistency resampling (Broecker and Smith 2007; Vaicenavicius et
    al. 2019). Few rows make large errors by chance.
    """
    random = np.random.default_rng(seed)
    draws = [ece(confidence, random.random(len(confidence)) < confidence)[0] for _ in range(DRAWS)]
    return float(np.quantile(draws, 0.95))


def calibration(task: Task, y: Array, outputs: Array) -> dict[str, Any] | None:
    """{"ece", "by_chance", "confidence", "right": their means, "answers", "bins"}; None for numbers."""
    if task == "regression":
        return None
    confidence, right = sureness(task, y, outputs)
    error, table = ece(confidence, right)
    return {
        "ece": error, "by_chance": by_chance(confidence), "confidence": float(confidence.mean()),
        "right": float(right.mean()), "answers": len(confidence), "bins": table,
    }  # fmt: skip


def miscalibrated(found: dict[str, Any] | None) -> list[Finding]:
    """A calibration error beyond chance: a note from SMALL on, a warning from LARGE on."""
    if found is None or found["ece"] < SMALL or found["ece"] <= found["by_chance"]:
        return []
    over = found["confidence"] > found["right"]
    advice = (
        "Do not read its probabilities as chances. More rows, more dropout or weight_decay, or fewer epochs make it "
        "less sure."
        if over
        else "It is right more often than it says: it may be read as a lower bound, and may gain by longer training."
    )
    what = (
        f"Answers are {'surer than they are right' if over else 'right more often than they are sure'}: they give "
        f"themselves {found['confidence']:.0%} on average, {found['right']:.0%} are right (ECE {found['ece']:.3f}; "
        f"chance alone stays below {found['by_chance']:.3f})."
    )
    return [
        Finding(
            name="overconfident" if over else "underconfident", what=what, advice=advice,
            severity="warning" if found["ece"] >= LARGE and over else "note",
        )
    ]  # fmt: skip
