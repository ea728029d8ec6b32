"""What learning curves tell: the whole course of a candidate that went on, the epoch that was kept, over-fitting."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

from kexp.metrics import Direction, sign_of
from kexp.records import Curve, Trial

RISE = 0.1  # of the lowest validation loss: so much higher at the end is no wobble
SETTLED = 3  # epochs at the end whose mean is meant


class Turn(NamedTuple):
    """Where validation loss was lowest, and what it is at the end, while the running loss went on falling."""

    epoch: int
    lowest: float
    end: float


def curve_of(trial: Trial, trials: Mapping[int, Trial], curves: Mapping[int, Curve]) -> Curve | None:
    """The course of `trial` from its very beginning: with that of each trial whose weights it went on from.

    Of an equal trial that stood in for it, where it was not trained itself. None where it is not known.
    """
    found: Curve | None = None
    seen: set[int] = set()
    at: Trial | None = trial
    while at is not None and at.id not in seen:
        seen.add(at.id)
        own = curves.get(at.id if at.same_as is None else at.same_as)
        if own is None:
            break
        found = own if found is None else _before(own, found)
        goes_on = at.stage == "explore" and at.parent is not None and found.epochs[0] > 1
        at = trials.get(at.parent) if goes_on and at.parent is not None else None
    return found


def _before(first: Curve, then: Curve) -> Curve:
    """`then` with what of `first` lies before it."""
    count = sum(epoch < then.epochs[0] for epoch in first.epochs)
    names = [field.name for field in dataclasses.fields(Curve)]
    return Curve(**{name: getattr(first, name)[:count] + getattr(then, name) for name in names})


def kept(curve: Curve, direction: Direction) -> int | None:
    """The place of the epoch whose weights were kept: the best score, and of equal ones the lowest loss."""
    sign = sign_of(direction)
    known = [
        (sign * score, -loss, -at)
        for at, (score, loss) in enumerate(zip(curve.score, curve.validation_loss, strict=True))
        if score is not None and loss is not None
    ]
    return -max(known)[2] if known else None


def turned(curve: Curve) -> Turn | None:
    """Whether validation loss rose again while the running loss fell: then training rows were learnt by heart."""
    known = [
        (loss, epoch, running)
        for epoch, loss, running in zip(curve.epochs, curve.validation_loss, curve.running_loss, strict=True)
        if loss is not None and running is not None
    ]
    if len(known) < 2 * SETTLED:
        return None
    at = min(range(len(known)), key=lambda i: known[i][0])
    lowest, epoch, then = known[at]
    last = known[max(at + 1, len(known) - SETTLED) :]
    if not last:
        return None
    end, running = (sum(one[part] for one in last) / len(last) for part in (0, 2))
    return Turn(epoch, lowest, end) if end > (1 + RISE) * lowest and running < then else None
