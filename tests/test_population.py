"""Networks that train together: each comes out as it would alone, in its own widths, with its own end."""

from __future__ import annotations

import math
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_train import pictures, table

from kexp import layouts, models
from kexp.metrics import metrics
from kexp.records import Trial
from kexp.train import Trainer, epoch, feed, kind_of, population, stack
from kexp.train.population import Member, Population

CANDIDATES = [
    {"units_0": 32, "units_1": 16, "activation": "relu", "learning_rate": 0.01, "dropout": 0.0},
    {"units_0": 16, "units_1": 64, "activation": "tanh", "learning_rate": 0.003, "weight_decay": 0.1, "dropout": 0.3},
    {"units_0": 64, "units_1": 32, "activation": "silu", "learning_rate": 0.005, "dropout": 0.1},
    {"units_0": 16, "units_1": 16, "activation": "elu", "learning_rate": 0.002, "dropout": 0.0},
]


def network(dataset, values, **more):
    keras.utils.set_random_seed(1)
    return models.build(dataset.spec, "dense", models.replay({"hidden_layers": 2, **values, **more}))


def member(built):
    return Member(built, stack.layout(built.core))


def data(dataset, built):
    return [feed.samples(dataset.spec, built, dataset, part) for part in ("train", "validation")]


def together(dataset, candidates, epochs=3, **more):
    built = [network(dataset, values, **more) for values in candidates]
    rows = data(dataset, built[0])
    return Population(dataset.spec).fit([member(one) for one in built], *rows, epochs=epochs, batch_size=16, seed=1)


def assert_same(fits, others, tolerance=1e-4):
    for one, other in zip(fits, others, strict=True):
        assert one.epochs == other.epochs
        assert len(one.history) == len(other.history)
        for a, b in zip(one.weights, other.weights, strict=True):
            np.testing.assert_allclose(a, b, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(
    ("task", "normalised"),
    [("binary", False), ("binary", True), ("multiclass", True), ("multilabel", False), ("regression", True)],
)
def test_each_is_what_keras_trains_alone(monkeypatch, task, normalised, compiled):
    monkeypatch.setattr(population, "COMPILE_FROM", 0 if compiled else math.inf)
    dataset = table(task)
    more = {"batch_normalization": normalised, "dropout": 0.0}
    fits = together(dataset, CANDIDATES, **more)
    alone = []
    for values in CANDIDATES:
        built = network(dataset, values, **more)
        alone.append(epoch.fit(dataset.spec, built, *data(dataset, built), epochs=3, batch_size=16, seed=1))
    assert_same(fits, alone)
    assert_same_losses(fits, alone)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
def test_classes_weigh_as_they_do_alone(monkeypatch, task, compiled):
    monkeypatch.setattr(population, "COMPILE_FROM", 0 if compiled else math.inf)
    dataset = table(task)
    weights = np.array([1.0, 2.0, 5.0], np.float32) if task == "multiclass" else np.array([[0.5, 4.0], [2.0, 0.7]])
    weights = weights[:1] if task == "binary" else weights
    weights = weights.astype(np.float32)
    built = [network(dataset, {**values, "dropout": 0.0}) for values in CANDIDATES]
    rows = data(dataset, built[0])
    options = {"epochs": 2, "batch_size": 16, "seed": 1}
    fits = Population(dataset.spec, weights).fit([member(one) for one in built], *rows, **options)
    alone = [epoch.fit(dataset.spec, one, *rows, **options, weights=weights) for one in built]
    assert_same(fits, alone)
    assert_same_losses(fits, alone)
    free = Population(dataset.spec).fit([member(one) for one in built], *rows, **options)
    assert free[0].history[0]["loss"] != pytest.approx(fits[0].history[0]["loss"], rel=0.05)


def assert_same_losses(fits, alone):
    for one, other in zip(fits, alone, strict=True):
        np.testing.assert_allclose([h["loss"] for h in one.history], [h["loss"] for h in other.history], rtol=1e-4)


@pytest.mark.parametrize("compiled", [True, False])
def test_with_dropout_each_is_what_it_is_in_a_population_of_its_own(monkeypatch, compiled):
    monkeypatch.setattr(population, "COMPILE_FROM", 0 if compiled else math.inf)
    dataset = table()
    fits = together(dataset, CANDIDATES, batch_normalization=True)
    assert_same(fits, [together(dataset, [values], batch_normalization=True)[0] for values in CANDIDATES])


def test_the_weights_are_those_of_the_keras_model():
    dataset = table("multiclass")
    fits = together(dataset, CANDIDATES, batch_normalization=True)
    x, y = dataset.take("validation")
    for values, fitted in zip(CANDIDATES, fits, strict=True):
        built = network(dataset, values, batch_normalization=True)
        built.core.set_weights(fitted.weights)
        found = metrics("multiclass", y, models.inference(built).predict(x, verbose=0))
        assert found == pytest.approx(fitted.metrics, abs=1e-5)


def test_a_linear_model_and_pictures_train_together_too():
    dataset = pictures()
    built = [network(dataset, {"hidden_layers": 0, "learning_rate": rate}) for rate in (0.001, 0.01)]
    rows = data(dataset, built[0])
    fits = Population(dataset.spec).fit([member(one) for one in built], *rows, epochs=8, batch_size=16, seed=1)
    alone = [epoch.fit(dataset.spec, one, *rows, epochs=8, batch_size=16, seed=1) for one in built]
    assert_same(fits, alone)
    assert fits[1].metrics["accuracy"] > 0.9


def test_one_that_diverges_fails_and_harms_no_other():
    dataset = table("regression")
    bad = {**CANDIDATES[0], "learning_rate": 1e30}
    fits = together(dataset, [CANDIDATES[2], bad, CANDIDATES[3]])
    assert fits[1].startswith("diverged in epoch")
    assert "1e+30" in fits[1]
    assert_same([fits[0], fits[2]], together(dataset, [CANDIDATES[2], CANDIDATES[3]]))


def test_those_that_ended_leave_and_the_others_do_not_notice(monkeypatch):
    dataset = table(rows=80)
    monkeypatch.setattr("kexp.train.epoch.patience_of", lambda epochs: 2)
    hurried = [{**values, "learning_rate": 0.1 * 2**i} for i, values in enumerate(CANDIDATES)]
    graphs = []
    without = population._State.without

    def counted(self, places):
        graphs.append(len(places))
        return without(self, places)

    monkeypatch.setattr(population._State, "without", counted)
    monkeypatch.setattr(population, "GRAPH_SECONDS", math.inf)
    stayed = together(dataset, hurried, epochs=40)
    assert not graphs
    monkeypatch.setattr(population, "GRAPH_SECONDS", 0.0)
    left = together(dataset, hurried, epochs=40)
    assert max(graphs) > 0
    assert len({len(one.history) for one in stayed}) > 1
    assert_same(left, stayed, tolerance=1e-3)


def test_the_deadline_stops_all_with_what_they_have():
    trials = [
        Trial(id=i, factory="dense", values={"hidden_layers": 2, **values}, status="running", epochs=500)
        for i, values in enumerate(CANDIDATES)
    ]
    heard = []
    done = Trainer(table(), batch_size=16).run(trials, deadline=time.monotonic(), on_epoch=heard.append)
    assert heard == [1]
    assert [(trial.id, trial.status) for trial, _ in done] == [(i, "stopped") for i in range(4)]
    assert all(math.isfinite(trial.score) for trial, _ in done)


def test_the_seconds_of_a_graph_are_divided_by_arithmetic():
    values = [{"hidden_layers": 1, "units_0": units} for units in (16, 256)]
    trials = [Trial(id=i, factory="dense", values=v, status="running", epochs=2) for i, v in enumerate(values)]
    (small, _), (large, _) = Trainer(table(), batch_size=16).run(trials)
    assert large.seconds == pytest.approx(16 * small.seconds, abs=0.05)


def test_a_trainer_trains_each_of_a_job_as_it_would_alone_each_from_its_own_parent():
    trainer = Trainer(table("regression"), batch_size=16)
    trials = [
        Trial(id=i, factory="dense", values={"hidden_layers": 2, **v}, status="running", epochs=2, seed=4)
        for i, v in enumerate(CANDIDATES)
    ]
    assert_same([fitted for _, fitted in trainer.run(trials)], [trainer.run([t])[0][1] for t in trials])
    weights = {t.id: [w + 0.1 * t.id for w in f.weights] for t, f in trainer.run(trials)}
    further = [fitted for _, fitted in trainer.run(trials, initial_epoch=1, weights=weights)]
    assert_same(further, [trainer.run([t], initial_epoch=1, weights=weights)[0][1] for t in trials])


def test_validation_rows_in_many_chunks_are_the_same_rows(monkeypatch):
    dataset = table(rows=1000)  # 250 to validate
    whole = together(dataset, CANDIDATES[:2])
    monkeypatch.setattr(population, "VALIDATION_BYTES", 1)  # 64 rows, the least
    assert_same(together(dataset, CANDIDATES[:2]), whole)
    assert together(dataset, CANDIDATES[:2])[0].metrics == pytest.approx(whole[0].metrics, abs=1e-5)


def test_without_xla_the_graph_runs_uncompiled(monkeypatch):
    monkeypatch.setattr(population, "COMPILE_FROM", 0)
    compiled = together(table(), CANDIDATES[:2])
    monkeypatch.setattr(population, "_can_compile", lambda: False)
    assert_same(together(table(), CANDIDATES[:2]), compiled)


def test_a_network_too_large_for_memory_fails_alone(monkeypatch):
    fit = Population.fit

    def full(self, members, *args, **options):
        if any(one.layout.widths[1] == 64 for one in members):
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")
        return fit(self, members, *args, **options)

    monkeypatch.setattr(Population, "fit", full)
    trials = [
        Trial(id=i, factory="dense", values={"hidden_layers": 2, **values}, status="running", epochs=1)
        for i, values in enumerate(CANDIDATES)
    ]
    done = [trial for trial, _ in Trainer(table(), batch_size=16).run(trials)]
    assert [trial.status for trial in done] == ["completed", "completed", "failed", "completed"]
    assert done[2].message.startswith("out of memory")


def test_noise_is_even_and_depends_on_its_place_alone():
    seed, step = tf.constant(3, tf.uint32), tf.constant(7.0)
    wide = population._noise(seed, step, 1, (5, 64, 256)).numpy()[0] / 2**population.KEEP_BITS
    assert abs(wide.mean() - 0.5) < 0.01
    assert np.abs(np.histogram(wide, 8, (0, 1))[0] / wide.size - 1 / 8).max() < 0.01
    assert abs(np.corrcoef(wide[:-1].ravel(), wide[1:].ravel())[0, 1]) < 0.03
    assert abs(np.corrcoef(wide[:, :-1].ravel(), wide[:, 1:].ravel())[0, 1]) < 0.03
    narrow = population._noise(seed, step, 1, (2, 32, 16)).numpy()[0] / 2**population.KEEP_BITS
    np.testing.assert_array_equal(narrow, wide[:32, :16])
    for other in (
        population._noise(seed, step + 1, 1, (5, 64, 256)),
        population._noise(seed, step, 2, (5, 64, 256)),
        population._noise(seed + tf.constant(1, tf.uint32), step, 1, (5, 64, 256)),
    ):
        assert abs(np.corrcoef(wide.ravel(), other.numpy().ravel())[0, 1]) < 0.03


# -- who trains with whom -------------------------------------------------------------------------


def test_the_layout_of_every_dense_candidate_is_read():
    dataset = table()
    for values in ({"hidden_layers": 0}, {"hidden_layers": 4, "batch_normalization": True, "dropout": 0.2}):
        kind = kind_of(dataset.spec, models.sketch(dataset.spec, "dense", models.replay(values)))
        assert len(kind.layout.widths) == values["hidden_layers"] + 2
        assert kind.layout.dropouts == (values.get("dropout", 0.1),) * values["hidden_layers"]


def test_the_features_of_another_front_end_are_another_kind():
    dataset = table()
    columns = tuple(c.__class__(name=c.name, kind="number", edges=(-1.0, 0.0, 1.0)) for c in dataset.spec.columns)
    spec = type(dataset.spec)(**{f: getattr(dataset.spec, f) for f in dataset.spec.__slots__} | {"columns": columns})
    kinds = [
        kind_of(spec, models.sketch(spec, "dense", models.replay({"numeric_encoding": name})))
        for name in ("piecewise", "standard")
    ]
    assert kinds[0].key != kinds[1].key


L = keras.layers


@pytest.mark.parametrize(
    "layers",
    [
        [L.Dense(4, activation="sigmoid"), L.Dense(1)],  # puts out .5 for nothing
        [L.Dense(4, kernel_regularizer="l2"), L.Dense(1)],
        [L.Dense(4, kernel_constraint="max_norm"), L.Dense(1)],
        [L.Dense(4, trainable=False), L.Dense(1)],
        [L.Dense(4), L.LayerNormalization(), L.Dense(1)],
        [L.Dropout(0.5), L.Dense(1)],
        [L.Dense(4), L.Dropout(0.5, noise_shape=(1, 4)), L.Dense(1)],
        [L.Dense(4), L.BatchNormalization(center=False), L.Dense(1)],
        [L.Dense(4, dtype="mixed_bfloat16"), L.Dense(1)],
        [L.Dense(1, activation="relu")],
        [L.Dense(4, activation=lambda x: x * 2), L.Dense(1)],
        [L.Dense(4, activation=L.LeakyReLU(0.3)), L.Dense(1)],
        [L.Dense(4), L.Activation(keras.ops.sin), L.Dense(1)],
    ],
)
def test_what_cannot_be_stacked_trains_alone(layers):
    entry = keras.Input((3,))
    x = entry
    for layer in layers:
        x = layer(x)
    assert stack.layout(keras.Model(entry, x)) is None


@pytest.mark.parametrize("late", [L.Flatten(), L.Flatten("channels_first")])
def test_pictures_are_flattened_before_anything_else_or_train_alone(late):
    entry = keras.Input((2, 2, 3))
    assert stack.layout(keras.Model(entry, L.Dense(1)(L.Flatten()(entry)))).widths == (12, 1)
    assert stack.layout(keras.Model(entry, L.Dense(1)(late(L.Dense(4)(entry))))) is None
    assert stack.layout(keras.Model(entry, L.Dense(1)(L.Flatten("channels_first")(entry)))) is None
    assert stack.layout(keras.Model(entry, L.Dense(1)(entry))) is None


def test_a_branch_trains_alone():
    entry = keras.Input((3,))
    x = L.Dense(3)(entry)
    assert stack.layout(keras.Model(entry, L.Dense(1)(L.Add()([x, entry])))) is None
    shared = L.Dense(3)
    assert stack.layout(keras.Model(entry, L.Dense(1)(shared(shared(entry))))) is None


def kinds(*widths, features=""):
    made = {}
    for i, hidden in enumerate(widths):
        n = len(hidden)
        layout = layouts.Layout((10, *hidden, 1), (True,) * (n + 1), (None,) * n, ("relu",) * n, (0.0,) * n)
        made[i] = layouts.Kind(features, layout)
    return made


def test_equal_shapes_and_cheap_ones_share_a_graph():
    assert layouts.together(kinds((32,), (32,), (16,)), examples=1000) == [[0, 1, 2]]


def test_a_narrow_network_is_not_filled_up_where_that_costs_more_than_a_graph():
    groups = layouts.together(kinds((4096, 4096), (16, 16), (16, 32)), examples=10_000_000)
    assert sorted(map(sorted, groups)) == [[0], [1, 2]]


def test_no_group_takes_too_long_or_too_much_memory():
    slow = layouts.together(kinds(*[(64,)] * 8), examples=int(layouts.RATE * layouts.MOST_SECONDS / (6 * 704 * 3)))
    assert sorted(map(len, slow)) == [2, 3, 3]
    large = layouts.together(kinds(*[(layouts.MOST_WEIGHTS // 30,)] * 8), examples=1)
    assert sorted(map(len, large)) == [2, 2, 2, 2]


def test_other_depths_do_not_share_and_graphs_have_their_limit():
    groups = layouts.together(kinds((16,), (16, 16), *[(16,)] * 40), examples=1)
    assert [1] in groups
    assert max(map(len, groups)) <= layouts.MOST
    assert sorted(id for group in groups for id in group) == list(range(42))
