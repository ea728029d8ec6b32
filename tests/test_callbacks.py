"""Keras's callbacks around a training, and a model that brings its own optimiser, schedule and loss."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_train import run, table, trial

from kexp.models import Network
from kexp.train import Trainer, epoch, feed

RATE = 0.01


def trained(*callbacks, epochs=12, network=None):
    """What came of a training that `callbacks` watched, and the logs that they were given."""
    logs = []
    seen = keras.callbacks.LambdaCallback(on_epoch_end=lambda e, given: logs.append({"epoch": e, **given}))
    dataset = table()
    network = network or own()
    rows = [feed.samples(dataset.spec, network, dataset, part) for part in ("train", "validation")]
    options = {"epochs": epochs, "batch_size": 16, "seed": 1}
    return epoch.fit(dataset.spec, network, *rows, **options, callbacks=[*callbacks, seen]), logs


def own(optimizer=None, *, rate=RATE, loss=None):
    """A user's whole model of two numbers and one probability."""
    keras.utils.set_random_seed(7)
    entry = keras.Input((2,))
    hidden = keras.layers.Dense(8, "relu")(entry)
    core = keras.Model(entry, keras.layers.Dense(1, "sigmoid")(hidden))
    return Network(core=core, learning_rate=rate, optimizer=optimizer or keras.optimizers.Adam(RATE), loss=loss)


def test_they_hear_of_every_epoch():
    fitted, logs = trained()
    assert [one["epoch"] for one in logs] == list(range(len(fitted.history)))
    for told, kept in zip(logs, fitted.history, strict=True):
        assert told["loss"] == kept["loss"] and told["val_accuracy"] == kept["accuracy"]


def test_early_stopping_stops():
    fitted, logs = trained(keras.callbacks.EarlyStopping("val_accuracy", mode="max", min_delta=1.0, patience=2))
    assert len(logs) == len(fitted.history) == 3
    assert len(trained()[1]) > 3


def test_a_learning_rate_that_a_callback_sets_is_used():
    halted, _ = trained(keras.callbacks.LearningRateScheduler(lambda e, rate: rate if e < 1 else 0.0), epochs=5)
    losses = [one["accuracy"] for one in halted.history]
    assert len(losses) == 5 and len(set(losses[1:])) == 1  # nothing is learnt after the first epoch
    free, _ = trained(epochs=5)
    assert free.history[0]["loss"] == pytest.approx(halted.history[0]["loss"])
    assert len({one["log_loss"] for one in free.history}) == 5


def test_a_plateau_lowers_the_peak_not_the_rate_of_the_moment():
    seen = []
    keep = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda e, _: seen.append(float(network.optimizer.learning_rate))
    )
    network = own()
    lower = keras.callbacks.ReduceLROnPlateau("val_accuracy", mode="max", factor=0.5, patience=1, min_delta=1.0)
    trained(lower, keep, epochs=4, network=network)
    assert seen == pytest.approx([RATE, RATE, RATE / 2, RATE / 4])


def test_tensorboard_has_the_curves(tmp_path):
    trained(keras.callbacks.TensorBoard(str(tmp_path), write_graph=False), epochs=3)
    found = {}
    for file in tmp_path.rglob("events.out*"):
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            for value in event.summary.value:
                found.setdefault(value.tag, []).append(event.step)
    assert found["epoch_loss"] == [0, 1, 2]
    assert found["epoch_accuracy"] == [0, 1, 2]


def test_a_trainer_gives_every_trial_its_own():
    heard = {}
    trainer = Trainer(
        table(),
        batch_size=16,
        callbacks=lambda trial: [keras.callbacks.LambdaCallback(on_train_end=lambda _: heard.setdefault(trial.id, 1))],
    )
    first = trial(epochs=2)
    both = [first, dataclasses.replace(first, id=1, values={"hidden_layers": 1, "units_0": 16})]
    done = trainer.run(both)
    assert heard == {0: 1, 1: 1}
    alone, _ = run(Trainer(table(), batch_size=16), both[0])
    assert done[0][0].metrics == pytest.approx(alone.metrics, abs=1e-4)


@pytest.mark.parametrize("schedule", [None, keras.optimizers.schedules.ExponentialDecay(0.02, 20, 0.5)])
def test_its_own_optimiser_schedule_and_loss_do_what_fit_does(schedule):
    """Keras's fit on the same rows in the same order; without a schedule, at the rate of kexp's cycle."""
    dataset = table()
    loss = keras.losses.BinaryFocalCrossentropy()
    ours, theirs = (own(keras.optimizers.SGD(schedule or RATE, momentum=0.9), loss=loss) for _ in range(2))
    if schedule:
        ours = own(ours.optimizer, rate=None, loss=loss)
    rows = [feed.samples(dataset.spec, ours, dataset, part) for part in ("train", "validation")]
    fitted = epoch.fit(dataset.spec, ours, *rows, epochs=2, batch_size=16, seed=3)
    theirs.core.compile(theirs.optimizer, loss)
    steps, step, kept = len(rows[0].y) // 16, 0, []
    for e in range(2):
        for picked in epoch.permutation(3, e, len(rows[0].y), steps, 16):
            if not schedule:
                theirs.optimizer.learning_rate.assign(RATE * epoch.cycle(tf.constant(float(step)), 2.0 * steps))
            x, y = (tf.gather(values, picked) for values in (rows[0].features, rows[0].targets))
            theirs.core.fit(x, y, batch_size=16, verbose=0)
            step += 1
        kept.append(theirs.core.get_weights())
    for a, b in zip(fitted.weights, kept[fitted.epochs - 1], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
