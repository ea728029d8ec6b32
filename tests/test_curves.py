"""What learning curves tell, on curves made by hand."""

from __future__ import annotations

import dataclasses

from kexp.curves import Turn, curve_of, kept, turned
from kexp.records import Curve, Trial


def curve(first, running, validation, score=None):
    epochs = tuple(range(first, first + len(running)))
    return Curve(
        epochs=epochs, running_loss=tuple(running), validation_loss=tuple(validation),
        score=tuple(score or [None if one is None else 1 - one for one in validation]),
    )  # fmt: skip


def trial(id, **extra):
    return Trial(id=id, factory="dense", values={}, status="completed", score=0.5, **extra)


def test_a_candidate_that_trained_on_has_one_course():
    trials = {
        one.id: one for one in (trial(0), trial(1, parent=0), trial(2, parent=1), trial(3, stage="confirm", parent=0))
    }
    curves = {
        0: curve(1, [0.9, 0.8], [0.9, 0.8]),
        1: curve(3, [0.7], [0.7]),
        2: curve(4, [0.6, 0.5], [None, 0.5]),
        3: curve(1, [0.4], [0.4]),
    }
    whole = curve_of(trials[2], trials, curves)
    assert whole.epochs == (1, 2, 3, 4, 5) and whole.running_loss == (0.9, 0.8, 0.7, 0.6, 0.5)
    assert whole.validation_loss == (0.9, 0.8, 0.7, None, 0.5)
    assert curve_of(trials[3], trials, curves) == curves[3]  # it began anew
    assert curve_of(trials[2], trials, {2: curves[2]}) == curves[2]  # what is not known is not made up
    assert curve_of(trials[1], trials, {}) is None
    assert curve_of(dataclasses.replace(trials[0], id=9, same_as=0), trials, curves) == curves[0]
    anew = {**curves, 2: curve(1, [0.6, 0.5], [None, 0.5])}  # its parent's weights were cleaned away
    assert curve_of(trials[2], trials, anew) == anew[2]


def test_the_kept_epoch_is_the_best_and_of_equal_ones_the_surest():
    found = curve(1, [1] * 4, [None, 0.5, 0.4, 0.6], [None, 0.9, 0.9, 0.8])
    assert kept(found, "max") == 2
    assert kept(found, "min") == 3
    assert kept(curve(1, [1.0], [None]), "max") is None


def test_validation_loss_that_rises_while_training_loss_falls_is_told():
    falling = [1 / n for n in range(1, 13)]
    rising = [0.9, 0.7, 0.5, 0.4, 0.45, 0.5, 0.6, 0.6, 0.7, 0.7, 0.7, 0.7]
    found = turned(curve(1, falling, rising))
    assert isinstance(found, Turn) and (found.epoch, found.lowest) == (4, 0.4) and abs(found.end - 0.7) < 1e-9
    assert turned(curve(1, falling, falling)) is None
    assert turned(curve(1, [*falling[:4], *[0.5] * 8], rising)) is None  # both rise: it diverges, that is another ill
    assert turned(curve(1, falling, [*rising[:4], *[0.41] * 8])) is None  # a wobble
    assert turned(curve(1, falling[:4], rising[:4])) is None
