"""Every factory on every task: builds, trains a step, saves, and answers in the task's terms."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from kexp.errors import ExperimentError
from kexp.models.space import HyperParameters, declare
from kexp.records import Column, DatasetSpec, Experiment, key

keras = pytest.importorskip("keras")
from kexp import models  # noqa: E402
from kexp.models.layers import Augment, TableEncoder  # noqa: E402

COLUMNS = (
    Column(
        name="age",
        kind="number",
        mean=40.0,
        std=10.0,
        minimum=10,
        maximum=90,
        edges=(10, 30, 50, 90),
        missing=True,
    ),
    Column(name="job", kind="category", choices=("cook", "nurse", "smith")),
    Column(name="glad", kind="boolean", choices=("no", "yes"), mean=0.5, std=0.5),
)
LABELS = {
    "binary": ("no", "yes"),
    "multiclass": ("a", "b", "c"),
    "multilabel": ("p", "q"),
    "regression": ("u", "v"),
}


def table(task: str) -> DatasetSpec:
    labels = LABELS[task]
    extra = {"target_mean": (100.0, -5.0), "target_std": (20.0, 3.0)} if task == "regression" else {}
    outputs = 1 if task == "binary" else len(labels)
    return DatasetSpec(
        name="t",
        kind="table",
        task=task,
        shape=(3,),
        outputs=outputs,
        labels=labels,
        columns=COLUMNS,
        **extra,
    )


def picture(task: str, shape=(12, 16, 3)) -> DatasetSpec:
    spec = table(task)
    return dataclasses.replace(
        spec, kind="image", shape=shape, columns=(), mean=(120.0,) * shape[2], std=(60.0,) * shape[2]
    )


def raw(spec: DatasetSpec, n: int = 6) -> np.ndarray:
    random = np.random.default_rng(0)
    if spec.kind == "image":
        return random.integers(0, 256, (n, *spec.shape)).astype(np.float32)
    return np.stack(
        [
            random.choice([np.nan, 20.0, 45.0, 88.0], n),
            random.choice([-1.0, 0, 1, 2], n),
            random.choice([0.0, 1.0], n),
        ],
        axis=1,
    ).astype(np.float32)


@pytest.mark.parametrize("task", LABELS)
@pytest.mark.parametrize(("factory", "make"), [("dense", table), ("dense", picture), ("conv", picture)])
def test_every_factory_serves_every_task_of_its_kind(tmp_path, factory, make, task):
    spec = make(task)
    network = models.build(spec, factory, HyperParameters())
    model = models.inference(network)
    x = raw(spec)
    out = model.predict(x, verbose=0)
    assert out.shape == (6, spec.outputs)
    assert np.isfinite(out).all()
    if task == "multiclass":
        np.testing.assert_allclose(out.sum(axis=1), 1.0, rtol=1e-5)
    if task in ("binary", "multilabel"):
        assert ((out >= 0) & (out <= 1)).all()
    np.testing.assert_allclose(out, network.model.predict(x, verbose=0), rtol=1e-5, atol=1e-5)
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras", compile=False)
    np.testing.assert_allclose(out, again.predict(x, verbose=0), rtol=1e-6)


@pytest.mark.parametrize(("factory", "spec"), [("dense", table("binary")), ("conv", picture("multiclass"))])
def test_a_row_of_factories_asks_for_everything_at_its_largest_counts(factory, spec):
    def ask(hp: HyperParameters) -> None:
        models.build(spec, factory, hp)

    quick = {d.name for d in declare(ask, {}, thorough=False)}
    assert quick == {d.name for d in declare(ask, {}, thorough=True)}


@pytest.mark.parametrize("value", ["min", "max"])
def test_the_corners_of_the_space_build_on_small_pictures(value):
    for shape in ((8, 8, 1), (5, 9, 1), (48, 64, 3)):
        spec = picture("multiclass", shape)
        dimensions = models.space(spec, Experiment(name="x", data="y"))
        values = {
            d.name: (
                d.values[0 if value == "min" else -1] if d.values else (d.minimum if value == "min" else d.maximum)
            )
            for d in dimensions
        }
        network = models.build(spec, "conv", HyperParameters(values))
        assert models.inference(network).predict(raw(spec, 2), verbose=0).shape == (2, 3)


def test_the_front_end_of_a_table():
    encoder = TableEncoder(
        [
            {
                "kind": "number",
                "mean": 40.0,
                "std": 10.0,
                "edges": [10, 30, 50, 90],
                "choices": 0,
                "missing": True,
            },
            {"kind": "category", "mean": 0, "std": 1, "edges": [], "choices": 3, "missing": False},
        ]
    )
    out = np.asarray(encoder(np.array([[np.nan, 1], [20, -1], [60, 2], [1e6, 0]], np.float32)))
    np.testing.assert_allclose(out[0], [0, 1, 0.5, 0, 1, 0, 1, 0], atol=1e-6)  # missing: the mean, and said
    np.testing.assert_allclose(out[1], [-2, 0.5, 0, 0, 0, 0, 0, 0], atol=1e-6)  # unknown category: zeros
    np.testing.assert_allclose(out[2], [2, 1, 1, 0.25, 0, 0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(out[3], [10, 1, 1, 1, 0, 1, 0, 0], atol=1e-6)  # far outside: cut off
    assert encoder.compute_output_shape((None, 2)) == (None, 8)


def test_large_units_lose_no_digits_in_the_bins():
    days = [18262.0 + i for i in range(5)]
    column = {"kind": "date", "mean": 18264.0, "std": 1.4, "edges": days, "choices": 0, "missing": False}
    out = np.asarray(TableEncoder([column])(np.array([[18263.5]], np.float32)))
    np.testing.assert_allclose(out[0, 1:], [1, 0.5, 0, 0], atol=1e-4)


def test_augmentation_moves_pixels_in_training_only():
    x = np.random.default_rng(0).uniform(0, 255, (8, 10, 12, 3)).astype(np.float32)
    for name, options in models.conv.__globals__["AUGMENTATIONS"].items():
        layer = Augment(**options, seed=1)
        np.testing.assert_array_equal(layer(x, training=False), x)
        moved = np.asarray(layer(x, training=True))
        assert moved.shape == x.shape
        assert np.array_equal(moved, x) == (name == "none")


def test_augmentation_draws_its_seed_from_the_global_one():
    x = np.random.default_rng(0).uniform(0, 255, (8, 10, 12, 3)).astype(np.float32)

    def moved(seed: int) -> np.ndarray:
        keras.utils.set_random_seed(seed)
        return np.asarray(Augment(flip=True, shift=0.2)(x, training=True))

    np.testing.assert_array_equal(moved(1), moved(1))
    assert not np.array_equal(moved(1), moved(2))
    assert Augment.from_config(Augment(flip=True).get_config()).seed is None


def test_what_is_erased_is_one_rectangle_of_at_most_so_much_of_each_side():
    x = np.ones((500, 20, 12, 3), np.float32)
    layer = Augment(erase=0.5, seed=1)
    np.testing.assert_array_equal(layer(x, training=False), x)
    import tensorflow as tf

    out = np.asarray(tf.function(layer)(x, training=True))  # as in a graph of training
    assert set(np.unique(out)) == {0.0, 1.0}
    gone = out == 0.0
    assert (gone == gone[..., :1]).all()  # in all channels
    gone = gone[..., 0]
    rows, columns = gone.any(axis=2), gone.any(axis=1)
    np.testing.assert_array_equal(gone, rows[:, :, None] & columns[:, None, :])  # a rectangle
    assert all((np.diff(side.astype(int), axis=1) == 1).sum(axis=1).max() == 1 for side in (rows, columns))
    assert (rows.sum(axis=1).max(), columns.sum(axis=1).max()) == (10, 6)  # half of 20 and of 12
    assert 0.05 < gone.mean() < 0.07  # a quarter of a half of a half, less what lies outside
    assert rows[:, 0].sum() == pytest.approx(rows[:, -1].sum(), rel=0.25)  # as often at one border as at the other
    assert rows.any(axis=0).all() and columns.any(axis=0).all()  # anywhere
    assert Augment.from_config(layer.get_config()).erase == 0.5


def test_a_flip_is_a_mirror_image():
    x = np.arange(2 * 4 * 4, dtype=np.float32).reshape(2, 4, 4, 1).repeat(16, axis=0)
    out = np.asarray(Augment(flip=True, seed=3)(x, training=True))
    mirrored = [np.array_equal(o, i[:, ::-1]) for o, i in zip(out, x, strict=True)]
    plain = [np.array_equal(o, i) for o, i in zip(out, x, strict=True)]
    assert all(a or b for a, b in zip(mirrored, plain, strict=True))
    assert any(mirrored)
    assert any(plain)


def test_the_exported_network_has_no_augmentation_and_no_dropout():
    model = models.inference(models.build(picture("binary"), "conv", HyperParameters()))
    names = {type(layer).__name__ for layer in model._flatten_layers()}
    assert not names & {"Augment", "Dropout"}


def test_the_space_takes_the_experiments_limits():
    space = {
        "units_0": [8, 24],
        "activation": "tanh",
        "learning_rate": {"min": 1e-4, "max": 1e-3},
        "hidden_layers": {"max": 2},
    }
    found = {d.name: d for d in models.space(table("binary"), Experiment(name="x", data="y", space=space))}
    assert found["units_0"].values == (8, 24)
    assert found["activation"].default == "tanh"
    assert found["activation"].kind == "fixed"
    assert (found["learning_rate"].minimum, found["learning_rate"].sampling) == (1e-4, "log")
    assert found["hidden_layers"].maximum == 2
    assert "units_2" not in found


@pytest.mark.parametrize(
    ("name", "wanted", "kind", "low", "high", "default"),
    [
        ("units_0", {"min": 16, "max": 256}, "int", 16, 256, 128),
        ("units_0", {"min": 16.0, "max": 64.0}, "int", 16, 64, 64),
        ("dropout", {"min": 0, "max": 0.5}, "float", 0.0, 0.5, 0.1),
        ("dropout", {"min": 0, "max": 1}, "float", 0.0, 1.0, 0.1),
        ("scale", {"min": 1, "max": 3}, "float", 1.0, 3.0, 1.5),
    ],
)
def test_a_range_has_the_kind_of_what_it_replaces(name, wanted, kind, low, high, default):
    def ask(hp: HyperParameters) -> None:
        hp.Choice("units_0", [16, 32, 64, 128, 256], default=128)
        hp.Float("dropout", 0.0, 0.5, default=0.1)
        hp.Choice("scale", [1.5, 2.0])

    found = next(d for d in declare(ask, {name: wanted}) if d.name == name)
    assert (found.kind, found.minimum, found.maximum, found.default) == (kind, low, high, default)
    number = int if kind == "int" else float
    assert {type(value) for value in (found.minimum, found.maximum, found.default)} == {number}
    assert found.values == ()


def test_a_network_is_built_from_any_draw_of_a_range_of_units():
    space = {"units_0": {"min": 16, "max": 256}}
    hp = HyperParameters({"units_0": 37}, space)
    assert models.build(table("binary"), "dense", hp).core.get_layer("dense_0").units == 37


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ({"unit_0": 3}, "units_0"),
        ({"activation": []}, "at least one"),
        ({"learning_rate": {"low": 1}}, "is expected"),
        ({"learning_rate": {"min": 1.0, "max": 0.1}}, "above"),
        ({"learning_rate": {"min": "low"}}, "a number is expected"),
        ({"activation": {"min": 0, "max": 1}}, r"one of \['relu', 'silu', 'elu', 'tanh'\]: list those wanted"),
        ({"batch_normalization": {"min": 0, "max": 1}}, r"one of \[False, True\]"),
        ({"units_0": {"min": 16}}, "needs min and max"),
        ({"units_0": {"min": 0.5, "max": 16}}, "a whole number is expected"),
        ({"hidden_layers": {"max": 2.5}}, "a whole number is expected"),
    ],
)
def test_a_space_that_cannot_be_is_refused(space, words):
    with pytest.raises(ExperimentError, match=words):
        models.space(table("binary"), Experiment(name="x", data="y", space=space))


def test_values_that_are_not_read_do_not_make_another_candidate():
    one, two = (
        HyperParameters({"hidden_layers": 1, "units_3": 16}),
        HyperParameters({"hidden_layers": 1, "units_3": 64}),
    )
    for hp in (one, two):
        models.build(table("binary"), "dense", hp)
    assert key(one.read) == key(two.read)
    assert "units_3" not in one.read


@pytest.mark.parametrize("name", ["convv", "no.such.module:build", "kexp.models:nothing"])
def test_a_factory_that_does_not_exist_is_named(name):
    with pytest.raises(ExperimentError, match=name.split(":")[0].split(".")[0]):
        models.check_factory(name)


def test_conv_refuses_a_table():
    with pytest.raises(ExperimentError, match="pictures"):
        models.build(table("binary"), "conv", HyperParameters())


def test_questions_in_a_conditional_scope_are_asked_where_their_parent_says_so():
    def ask(hp: HyperParameters) -> str:
        if hp.Choice("kind", ["dense", "conv"]) == "conv":
            hp.Int("filters", 4, 8)
        with hp.conditional_scope("kind", ["dense"]):
            units = hp.Int("units", 4, 8, default=6)
            with hp.conditional_scope("kind", "conv"):
                hp.Int("never", 1, 2)
        assert hp.get("kind") in ("dense", "conv")
        return str(units)

    assert [d.name for d in declare(ask, {})] == ["kind", "units", "filters"]
    for kind, answer, read in (("dense", "8", ["kind", "units"]), ("conv", "6", ["kind", "filters"])):
        hp = HyperParameters({"kind": kind, "units": 8, "filters": 4})
        assert ask(hp) == answer and list(hp.read) == read


def test_a_build_function_written_for_keras_tuner(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(
        "import keras\n"
        "def build(hp):\n"
        "    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(hp.Int('units', 4, 16, step=4)),\n"
        "        keras.layers.Dense(1, activation='sigmoid')])\n"
        "    if hp.Boolean('wide'):\n"
        "        hp.Choice('hidden_behind', [1, 2])\n"
        "    model.compile(keras.optimizers.SGD(hp.Float('rate', 1e-3, 1e-1, sampling='log')), 'binary_crossentropy')\n"
        "    return model\n"
        "def wrong(hp):\n"
        "    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(7)])\n"
    )
    monkeypatch.chdir(tmp_path)
    found = models.space(table("binary"), Experiment(name="x", data="y", factory="mine:build"))
    assert {d.name for d in found} == {"units", "wide", "hidden_behind", "rate"}
    network = models.build(table("binary"), "mine:build", HyperParameters({"units": 8, "rate": 0.05}))
    assert network.learning_rate == pytest.approx(0.05)
    assert network.answer is None
    with pytest.raises(ExperimentError, match="these data need"):
        models.build(table("binary"), "mine:wrong", HyperParameters())


def test_the_factories_that_are_known_without_tensorflow_are_those_that_there_are():
    from kexp.search import FACTORY_NAMES

    assert tuple(models.FACTORIES) == FACTORY_NAMES


def test_a_sketch_is_the_network_but_for_its_weights():
    values = {"hidden_layers": 2, "units_0": 32, "batch_normalization": True}
    asked, built = HyperParameters(values), HyperParameters(values)
    sketch, network = models.sketch(table("binary"), "dense", asked), models.build(table("binary"), "dense", built)
    assert asked.read == built.read
    assert sketch.core.count_params() == network.core.count_params()
