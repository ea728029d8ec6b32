"""Convolutional networks in training: fused normalisation is Keras's, bfloat16 learns as well, and both stay away."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_train import pictures, run, trial

from kexp import models
from kexp.records import DatasetSpec
from kexp.train import Trainer, arithmetic, epoch, feed

VALUES = {"stages": 2, "filters": 8, "augmentation": "none", "dropout": 0.0, "dense_layers": 0}


def network(values, seed=1):
    keras.utils.set_random_seed(seed)
    return models.build(pictures().spec, "conv", models.replay({**VALUES, **values}))


@pytest.mark.parametrize("values", [{}, {"separable": True}, {"convolutions": 2}])
def test_a_training_is_what_keras_fit_makes_of_it(monkeypatch, values):
    """The same rows in the same order, the same rate in every step: the weights of `fit` to float tolerance."""
    monkeypatch.setattr(arithmetic, "has_bfloat16", lambda: False)
    dataset, ours, theirs = pictures(), network(values), network(values)
    rows = [feed.samples(dataset.spec, ours, dataset, part) for part in ("train", "validation")]
    fitted = epoch.fit(dataset.spec, ours, *rows, epochs=2, batch_size=16, seed=3)
    steps = len(rows[0].y) // 16
    total = float(2 * steps)
    optimizer = keras.optimizers.AdamW(theirs.learning_rate, weight_decay=theirs.weight_decay)
    theirs.core.compile(optimizer, keras.losses.BinaryCrossentropy(from_logits=True))
    step, best = 0, []
    for e in range(2):
        for picked in epoch.permutation(3, e, len(rows[0].y), steps, 16):
            optimizer.learning_rate.assign(theirs.learning_rate * epoch.cycle(tf.constant(float(step)), total))
            x = epoch.prepare(dataset.spec, theirs, tf.gather(rows[0].features, picked))
            theirs.core.fit(x, tf.gather(rows[0].targets, picked), batch_size=16, verbose=0)
            step += 1
        best.append(theirs.core.get_weights())
    for a, b in zip(ours.core.get_weights(), best[fitted.epochs - 1], strict=True):
        np.testing.assert_allclose(a, b, atol=2e-4, rtol=2e-3)


def test_all_layers_of_a_network_are_those_that_it_trains_with():
    core = network({}).core
    fused = arithmetic.in_training(core)
    assert fused is not core
    kinds = [type(layer) for layer in fused.layers]
    assert arithmetic.FusedNormalization in kinds and keras.layers.BatchNormalization not in kinds
    assert {id(v) for v in fused.trainable_variables} == {id(v) for v in core.trainable_variables}


@pytest.mark.parametrize("change", [
    {"trainable": False}, {"scale": False}, {"center": False}, {"gamma_regularizer": "l2"}, {"axis": 1},
])  # fmt: skip
def test_a_normalisation_that_computes_something_else_is_left_alone(change):
    trainable = change.pop("trainable", True)
    inputs = keras.Input((8, 8, 4))
    norm = keras.layers.BatchNormalization(**change)
    core = keras.Model(inputs, keras.layers.Flatten()(norm(inputs)))
    norm.trainable = trainable
    assert arithmetic.in_training(core) is core


def test_a_model_with_a_call_of_its_own_is_left_alone():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.norm = keras.layers.BatchNormalization()

        def call(self, x, training=False):
            return self.norm(x, training=training)

    own = Own()
    own(np.zeros((1, 4, 4, 2), np.float32))
    assert arithmetic.in_training(own) is own


def test_bfloat16_learns_what_float32_does_in_other_digits(monkeypatch):
    """Where the processor cannot, TensorFlow computes in float32 all the same: then the digits are the same too."""
    seen = {}
    can = arithmetic.has_bfloat16()
    for half in (True, False):
        monkeypatch.setattr(arithmetic, "has_bfloat16", lambda half=half: half)
        done, fitted = run(Trainer(pictures(), batch_size=16), trial(factory="conv", values=VALUES, epochs=6))
        assert done.metrics["accuracy"] > 0.95
        assert all(weights.dtype == np.float32 for weights in fitted.weights)
        seen[half] = fitted.history[0]["loss"]
    assert (seen[True] != seen[False]) == can
    assert seen[True] == pytest.approx(seen[False], rel=0.1)


def test_bfloat16_is_for_the_classes_of_pictures(monkeypatch):
    monkeypatch.setattr(arithmetic, "has_bfloat16", lambda: True)
    option = "auto_mixed_precision_onednn_bfloat16"

    def within(spec, core):
        with arithmetic.precision(spec, core):
            return tf.config.optimizer.get_experimental_options().get(option, False)

    pictured, core = pictures().spec, network({}).core
    assert within(pictured, core)
    assert not tf.config.optimizer.get_experimental_options().get(option, False)
    number = DatasetSpec(
        name="p", kind="image", task="regression", shape=(8, 8, 1), outputs=1, labels=("y",), mean=(0.0,), std=(1.0,)
    )
    assert not within(number, core)
    dense = models.build(pictured, "dense", models.replay({"hidden_layers": 1})).core
    assert not within(pictured, dense)


@pytest.mark.parametrize(("flags", "found"), [("fpu avx512_bf16", True), ("fpu amx_bf16", True), ("fpu avx2", False)])
def test_what_a_processor_can_is_read_from_what_it_says(tmp_path, monkeypatch, flags, found):
    (tmp_path / "cpuinfo").write_text(f"flags\t: {flags}\n")
    monkeypatch.setattr(arithmetic, "Path", lambda _: tmp_path / "cpuinfo")
    assert arithmetic.has_bfloat16.__wrapped__() is found
    monkeypatch.setattr(arithmetic, "Path", lambda _: tmp_path / "none")
    assert arithmetic.has_bfloat16.__wrapped__() is False


def test_rows_in_chunks_are_all_there():
    for n, size in ((1, 64), (64, 64), (65, 64), (1000, 64)):
        found = feed.chunks(tf.range(1, n + 1)[:, None], size)
        assert found.shape[1] <= size
        flat = tf.reshape(found, [-1]).numpy()
        np.testing.assert_array_equal(flat[:n], np.arange(1, n + 1))
        assert not flat[n:].any()


def test_validation_is_of_every_row_in_its_order():
    dataset, built = pictures(), network({})
    part = feed.samples(dataset.spec, built, dataset, "validation")
    expected = built.model.predict(dataset.take("validation")[0].astype(np.float32), verbose=0)
    found = epoch._answers(dataset.spec, built)(part)
    np.testing.assert_allclose(found, expected, atol=1e-5)
