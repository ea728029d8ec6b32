"""Factories of series, sounds and clips: they build at the ends of their spaces, which are declared whole."""

from __future__ import annotations

import numpy as np
import pytest

from kexp.errors import ExperimentError
from kexp.models.space import HyperParameters, declare
from kexp.records import DatasetSpec, Experiment

keras = pytest.importorskip("keras")
from kexp import models  # noqa: E402
from kexp.models.layers import Augmentation, FromLast, LogMel, Naive  # noqa: E402

LABELS = ("a", "b", "c")


def series(steps, channels, **extra) -> DatasetSpec:
    names = tuple(f"x{i}" for i in range(channels))
    standard = {"mean": (1.0,) * channels, "std": (2.0,) * channels, "channels": names}
    task = {"task": "multiclass", "outputs": 3, "labels": LABELS}
    return DatasetSpec(**{"name": "s", "kind": "series", "shape": (steps, channels), **standard, **task, **extra})


def forecast(steps, channels) -> DatasetSpec:
    labels = ("y +1", "y +2")
    wanted = {"task": "regression", "outputs": 2, "labels": labels, "target_mean": (0.5, 1.0), "target_std": (2.0, 3.0)}
    return series(steps, channels, **wanted, horizon=2, seasons=(min(7, steps), 1), forecast=(channels - 1,))


def sound(samples, rate=8000.0) -> DatasetSpec:
    return DatasetSpec(name="s", kind="sound", task="multiclass", shape=(samples,), outputs=3, labels=LABELS, rate=rate)


def clip(frames, height, width, channels) -> DatasetSpec:
    return DatasetSpec(
        name="c", kind="clip", task="multiclass", shape=(frames, height, width, channels), outputs=3, labels=LABELS,
        mean=(120.0,) * channels, std=(60.0,) * channels,
    )  # fmt: skip


def raw(spec: DatasetSpec, n: int) -> np.ndarray:
    random = np.random.default_rng(0)
    if spec.pixels:
        return random.integers(0, 256, (n, *spec.shape)).astype(np.float32)
    return random.normal(size=(n, *spec.shape)).astype(np.float32)


TINY = [
    series(2, 1), series(4, 1), series(7, 12), series(2, 12), forecast(2, 1), forecast(9, 3),
    sound(100), sound(1, 16_000.0), sound(700, 22_050.0), sound(4000),
    clip(1, 8, 8, 1), clip(2, 5, 9, 3), clip(3, 24, 24, 1), clip(16, 12, 12, 1),
]  # fmt: skip
LARGE = [series(1000, 1), series(1000, 12), sound(160_000, 16_000.0), sound(44_100, 44_100.0), clip(16, 96, 96, 3)]


def name_of(spec: DatasetSpec) -> str:
    return f"{'forecast' if spec.horizon else spec.kind}-{'x'.join(map(str, spec.shape))}"


def factories(spec: DatasetSpec) -> list[str]:
    """Those that suit the kind of data: its own, and dense."""
    return ["dense", models.USUAL[spec.kind]]


def corners(spec: DatasetSpec, factory: str):
    """The default, all at its lowest and all at its highest, each at every choice that names a way."""
    dimensions = models.space(spec, Experiment(name="x", data="y", factory=factory))
    ends = [
        {},
        {d.name: d.values[0] if d.values else d.minimum for d in dimensions},
        {d.name: d.values[-1] if d.values else d.maximum for d in dimensions},
    ]
    ways = [
        {d.name: value}
        for d in dimensions
        if d.name in ("fusion", "block", "augmentation", "reduction", "padding", "pooling")
        for value in d.values
    ]
    return [*ends, *({**ends[2], **way} for way in ways)]


@pytest.mark.parametrize("spec", TINY, ids=name_of)
def test_the_smallest_samples_build_and_answer_at_the_ends_of_the_space(spec):
    x = raw(spec, 2)
    for factory in factories(spec):
        for i, corner in enumerate(corners(spec, factory)):
            if i < 3:
                model = models.inference(models.build(spec, factory, HyperParameters(corner)))
                out = np.asarray(model(x, training=False))
                assert out.shape == (2, spec.outputs) and np.isfinite(out).all(), corner
                assert not any(isinstance(one, Augmentation) for one in model._flatten_layers())
            else:
                models.sketch(spec, factory, HyperParameters(corner))
        models.forget()


@pytest.mark.parametrize("spec", LARGE, ids=name_of)
def test_the_largest_samples_build_at_the_ends_of_the_space(spec):
    for factory in factories(spec):
        for corner in corners(spec, factory):
            network = models.sketch(spec, factory, HyperParameters(corner))
            assert network.core.output_shape == (None, 3)
            assert network.core.count_params() > 0
        models.forget()


@pytest.mark.parametrize(
    ("factory", "spec"),
    [
        ("conv1d", series(64, 3)),
        ("conv1d", series(2, 1)),
        ("conv1d", forecast(24, 1)),
        ("conv_sound", sound(4000)),
        ("conv_clip", clip(6, 24, 24, 1)),
        ("conv_clip", clip(2, 8, 8, 3)),
        ("dense", clip(2, 8, 8, 3)),
    ],
    ids=lambda one: one if isinstance(one, str) else name_of(one),
)
def test_a_space_is_declared_whole_without_trying_every_choice(factory, spec):
    def ask(hp: HyperParameters) -> None:
        models.sketch(spec, factory, hp)

    quick = {d.name for d in models.space(spec, Experiment(name="x", data="y", factory=factory))}
    assert quick == {d.name for d in declare(ask, {}, thorough=True)}


def test_what_hangs_on_a_branch_is_declared_where_the_branch_may_be_taken_alone():
    def names(factory, spec, **space):
        return {d.name for d in models.space(spec, Experiment(name="x", data="y", factory=factory, space=space))}

    assert {"time_filters", "time_layers"} <= names("conv_clip", clip(6, 24, 24, 1))
    assert "time_filters" in names("conv_clip", clip(6, 24, 24, 1), fusion="late")
    assert "time_filters" not in names("conv_clip", clip(6, 24, 24, 1), fusion="early")
    assert names("conv_clip", clip(6, 24, 24, 1), fusion="early", time_filters=32)  # out of use, which does no harm
    assert "dilation" in names("conv1d", series(64, 3))
    assert "dilation" not in names("conv1d", series(64, 3), block=["plain"])


@pytest.mark.parametrize("fusion", ["early", "late"])
def test_a_count_means_the_same_in_both_fusions(fusion):
    spec = clip(4, 96, 96, 1)
    found = {d.name: d for d in models.space(spec, Experiment(name="x", data="y", space={"fusion": fusion}))}
    assert found["stages"].maximum == 5
    network = models.sketch(spec, "conv_clip", HyperParameters({"fusion": fusion, "stages": 5, "filters": 8}))
    assert sum(layer.name.startswith("conv_") for layer in network.core.layers) == 5


@pytest.mark.parametrize(
    ("factory", "spec", "words"),
    [
        ("conv1d", sound(4000), "takes series"),
        ("conv_sound", series(20, 3), "takes spectrograms"),
        ("conv_clip", sound(4000), "takes clips"),
        ("conv", clip(4, 8, 8, 1), "takes pictures"),
    ],
)
def test_a_factory_of_another_kind_is_refused(factory, spec, words):
    with pytest.raises(ExperimentError, match=words):
        models.build(spec, factory, HyperParameters())


@pytest.mark.parametrize("spec", [series(20, 3), sound(4000), clip(4, 12, 12, 1), forecast(24, 2)], ids=name_of)
def test_a_saved_network_answers_as_before(tmp_path, spec):
    factory = models.default_factory(spec)
    assert factory == ("dense" if spec.horizon else models.USUAL[spec.kind])
    network = models.build(spec, factory, HyperParameters())
    x = raw(spec, 5)
    out = models.inference(network).predict(x, verbose=0)
    np.testing.assert_allclose(out, network.model.predict(x, verbose=0), atol=1e-5)
    models.inference(network).save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras", compile=False)
    np.testing.assert_allclose(again.predict(x, verbose=0), out, atol=1e-6)
    for part in (x[:1], x[:3]):  # an answer does not depend on what is asked beside it
        np.testing.assert_allclose(again.predict(part, verbose=0), out[: len(part)], atol=1e-5)


# -- front ends ----------------------------------------------------------------------------------


def test_channels_of_a_series_are_standardised_each():
    spec = series(5, 2, mean=(1.0, -3.0), std=(2.0, 0.0))
    layer = models.front_end(spec, HyperParameters())
    out = np.asarray(layer(np.array([[[1, -3], [3, -2], [5, -3], [1, -3], [1, -3]]], np.float32)))
    np.testing.assert_allclose(out[0, :3], [[0, 0], [1, 1], [2, 0]], atol=1e-6)  # no deviation: as measured


def test_a_forecast_is_seen_from_its_last_step_and_counts_from_the_naive_one():
    spec = forecast(9, 3)
    layer = models.front_end(spec, HyperParameters())
    assert isinstance(layer, FromLast) and layer.scale == [2.0, 2.0, 2.0]
    base = models.base_layer(spec)
    assert isinstance(base, Naive) and (base.horizon, base.season, base.channels) == (2, 7, [2])
    assert models.base_layer(series(9, 3)) is None
    network = models.build(spec, "dense", HyperParameters({"hidden_layers": 0}))
    network.core.set_weights([0 * weight for weight in network.core.get_weights()])
    x = raw(spec, 4)
    expected = x[:, [2, 3], 2] + np.array(spec.target_mean)  # logits of 0: the mean of what the naive one is off
    np.testing.assert_allclose(models.inference(network).predict(x, verbose=0), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("samples", "rate", "frames"),
    [(4000, 8000.0, 30), (100, 8000.0, 1), (160_000, 16_000.0, 256), (22_050, 22_050.0, 61)],
)
def test_a_spectrogram_has_a_width_that_a_network_can_take(samples, rate, frames):
    layer = models.front_end(sound(samples, rate), HyperParameters())
    assert isinstance(layer, LogMel) and layer.window == max(32, round(rate * 0.032))
    assert layer.compute_output_shape((None, samples)) == (None, frames, 48, 1)
    assert layer(np.zeros((1, samples), np.float32)).shape == (1, frames, 48, 1)
