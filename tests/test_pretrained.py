"""Trunks: what is taken from files and from keras.applications, and what is said where they cannot be had."""

from __future__ import annotations

import io
import urllib.error
import urllib.request

import keras
import numpy as np
import pytest
from few_pictures import FIRST, SECOND, maps_of, pictures, source
from PIL import Image

from kexp.errors import ExperimentError
from kexp.models import pretrained
from kexp.models.layers import Grey

NETWORK = "mobilenet_v3_small"


@pytest.fixture
def keras_home(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    return tmp_path


def of(path, shape):
    return pretrained.trunk("", str(path), shape)


def test_a_trunk_of_a_run_computes_what_its_model_does_up_to_the_dense_layers():
    path = source().model
    x, _ = pictures(SECOND, 4)
    found = np.asarray(of(path, (24, 24, 3))(x.astype(np.float32), training=False))
    assert found.std() > 0.1
    np.testing.assert_allclose(found, maps_of(path, x), rtol=1e-5, atol=1e-5)


def test_other_sizes_and_grey_pictures_are_brought_to_what_it_was_made_for():
    path = source().model
    x, _ = pictures(SECOND, 2, shape=(40, 30, 1))
    found = np.asarray(of(path, (40, 30, 1))(x.astype(np.float32), training=False))
    resized = keras.layers.Resizing(24, 24)(np.repeat(x, 3, axis=3).astype(np.float32))
    np.testing.assert_allclose(found, maps_of(path, np.asarray(resized)), rtol=1e-4, atol=1e-4)


def test_colour_becomes_grey_as_pillow_does_it(tmp_path):
    inputs = keras.Input((24, 24, 1))
    keras.Model(inputs, keras.layers.Conv2D(4, 3)(inputs)).save(tmp_path / "grey.keras")
    x, _ = pictures(FIRST, 2)
    trunk = of(tmp_path / "grey.keras", (24, 24, 3))
    assert trunk.output_shape == (None, 22, 22, 4)
    wanted = np.stack([np.asarray(Image.fromarray(one).convert("L")) for one in x])[..., None]
    assert np.abs(np.asarray(Grey()(x.astype(np.float32))) - wanted).max() <= 1.0


def test_a_model_inside_a_sequential_is_laid_open(tmp_path):
    inner = keras.Sequential([keras.Input((24, 24, 3)), keras.layers.Conv2D(4, 3), keras.layers.Conv2D(5, 3)])
    layers = [keras.Input((24, 24, 3)), keras.layers.Rescaling(1 / 255), inner, keras.layers.Flatten()]
    model = keras.Sequential([*layers, keras.layers.Dense(2)])
    model.save(tmp_path / "m.keras")
    x, _ = pictures(FIRST, 2)
    found = of(tmp_path / "m.keras", (24, 24, 3))(x.astype(np.float32))
    np.testing.assert_allclose(found, inner(x.astype(np.float32) / 255), rtol=1e-4, atol=1e-4)


def test_the_architecture_alone_needs_no_weights():
    file = source().model  # trained by the first test that asks: not within
    with pretrained.without_weights(), keras.StatelessScope(initialize_variables=False):
        looked = of(file, (24, 24, 3))
        other = pretrained.trunk(NETWORK, "imagenet", (48, 64, 3))
    assert looked.count_params() == of(file, (24, 24, 3)).count_params() > 0
    assert other.output_shape == (None, 2, 2, 576)


def test_small_pictures_are_enlarged_for_keras_applications():
    assert pretrained.trunk(NETWORK, "none", (20, 28, 1)).output_shape == (None, 2, 2, 576)


@pytest.mark.parametrize("wrong", ["nowhere.keras", "text.keras", "dense.keras", "table.keras"])
def test_a_file_that_cannot_serve_says_why(tmp_path, wrong):
    (tmp_path / "text.keras").write_text("no archive")
    flat = [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)]
    keras.Sequential(flat).save(tmp_path / "dense.keras")
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save(tmp_path / "table.keras")
    why = {
        "nowhere.keras": "cannot be read: No such file",
        "text.keras": "cannot be opened by Keras",
        "dense.keras": "no convolutions",
        "table.keras": "a network of pictures is expected",
    }[wrong]
    with pytest.raises(ExperimentError, match=why):
        pretrained.check({"weights": str(tmp_path / wrong)})


def test_the_last_blocks_train_and_no_batch_normalisation():
    def trained(trunk):
        return [layer.name for layer in pretrained.leaves(trunk) if layer.trainable_weights]

    trunk = pretrained.trunk(NETWORK, "none", (32, 32, 3))
    pretrained.train_last(trunk, 2)
    names = trained(trunk)
    assert names[-1] == "conv_1" and names[0] == "expanded_conv_10_expand"
    assert not [name for name in names if name.endswith("_bn")]
    pretrained.train_last(trunk, 0)
    assert trained(trunk) == []
    own = of(source().model, (24, 24, 3))
    pretrained.train_last(own, 1)
    assert trained(own) == ["conv_1_0"]
    pretrained.train_last(own, 99)
    assert trained(own) == ["conv_0_0", "conv_1_0"]


def test_imagenet_without_a_network_says_what_was_tried_and_what_to_do(keras_home, monkeypatch):
    def unreachable(url, timeout):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    with pytest.raises(ExperimentError) as caught:
        pretrained.check({"backbone": NETWORK})
    text = str(caught.value)
    row = pretrained.NETWORKS[NETWORK]
    for part in (row.url, "no route to host", str(pretrained.cached(NETWORK)), "model.keras", "'none'"):
        assert part in text
    assert list((keras_home / "models").iterdir()) == []


def test_a_file_that_keras_finds_damaged_and_cannot_replace_says_the_same(keras_home, monkeypatch):
    def failing(**options):
        raise Exception("URL fetch failure")  # what Keras raises

    monkeypatch.setattr(keras.applications, "MobileNetV3Small", failing)
    with pytest.raises(ExperimentError, match="URL fetch failure"):
        pretrained.trunk(NETWORK, "imagenet", (32, 32, 3))


class Reply(io.BytesIO):
    headers = {"Content-Length": "600000"}  # noqa: RUF012


def test_weights_are_downloaded_once_and_progress_is_told(keras_home, monkeypatch):
    asked, told = [], []
    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: asked.append(url) or Reply(bytes(600_000)))
    for _ in range(2):
        pretrained.download(NETWORK, lambda *news: told.append(news))
    assert asked == [pretrained.NETWORKS[NETWORK].url]
    assert pretrained.cached(NETWORK).stat().st_size == 600_000
    assert told[0][:2] == (0, 600_000) and told[-1][:2] == (600_000, 600_000) and len(told) > 2


def test_half_a_download_is_none(keras_home, monkeypatch):
    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: Reply(bytes(1000)))
    with pytest.raises(ExperimentError, match="ended after 1,000 of 600,000 bytes"):
        pretrained.download(NETWORK)
    assert list((keras_home / "models").iterdir()) == []


@pytest.mark.parametrize(
    ("space", "why"),
    [
        ({"backbone": "mobilenet_v3_smal", "weights": "none"}, "Did you mean 'mobilenet_v3_small'"),
        ({"weights": "none", "trained_blocks": 0}, "trains as a whole"),
        ({"weights": ["none", "imagenet"], "trained_blocks": [0, 2]}, "trains as a whole"),
    ],
)
def test_a_space_that_cannot_be_is_refused(space, why):
    with pytest.raises(ExperimentError, match=why):
        pretrained.check(space)
