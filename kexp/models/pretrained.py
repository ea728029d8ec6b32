"""Networks that were trained before, as trunks: raw pixels to the last feature maps, dense layers left out.

keras.applications    NETWORKS, with random weights or those of ImageNet, which are downloaded once per user
a .keras file         one that kexp trained (runs/NAME/model.keras), or another: what it does up to its last maps

What either does to its pixels first is part of it, so a trunk takes pictures of the size that the data have: Grey,
Concatenate and Resizing bring them to the channels and the size that it was made for.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import hashlib
import json
import os
import re
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import keras

from kexp.errors import ExperimentError, nearest
from kexp.experiment import NO_FILES
from kexp.models.layers import Grey

RANDOM, IMAGENET = NO_FILES  # weights that are no path
SMALLEST = 32  # pixels of a side that the networks of keras.applications take
TIMEOUT = 30.0  # seconds without a byte, after which a download has failed
PIECE = 1 << 18  # bytes
MOMENTUM = 0.9  # of batch normalisations that train from nothing: 0.999, as Keras has it, needs thousands of steps

Progress = Callable[[int, int, str], None]


class Row(NamedTuple):
    """A network of keras.applications: its name there, and where its weights of ImageNet lie."""

    name: str
    url: str


_GOOGLE = "https://storage.googleapis.com"
_V3 = f"{_GOOGLE}/tensorflow/keras-applications/mobilenet_v3/weights_mobilenet_v3"
NETWORKS: dict[str, Row] = {
    "mobilenet_v3_small": Row("MobileNetV3Small", f"{_V3}_small_224_1.0_float_no_top_v2.h5"),
    "mobilenet_v3_large": Row("MobileNetV3Large", f"{_V3}_large_224_1.0_float_no_top_v2.h5"),
    "efficientnet_b0": Row("EfficientNetB0", f"{_GOOGLE}/keras-applications/efficientnetb0_notop.h5"),
}

_bare: contextvars.ContextVar[bool] = contextvars.ContextVar("bare", default=False)
_digests: dict[tuple[str, int, int], str] = {}  # by path, time and size of a file


@contextlib.contextmanager
def without_weights() -> Iterator[None]:
    """Trunks that are made meanwhile are to be looked at alone: their weights are not loaded, and may be missing."""
    token = _bare.set(True)
    try:
        yield
    finally:
        _bare.reset(token)


def bare() -> bool:
    """Whether trunks are made without their weights."""
    return _bare.get()


def is_file(weights: str) -> bool:
    """Whether `weights` names a file."""
    return weights not in NO_FILES


def digest(path: str) -> str:
    """The first 12 digits of the SHA-256 of a .keras file. Raises ExperimentError where there is none."""
    try:
        status = Path(path).stat()
        known = path, status.st_mtime_ns, status.st_size
        if known not in _digests:
            _digests[known] = hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12]
    except OSError as error:
        raise ExperimentError(
            f"[space] weights = {path!r} cannot be read: {error.strerror}. The path of a .keras file is expected, such "
            f"as runs/NAME/model.keras, or {IMAGENET!r} or {RANDOM!r}."
        ) from error
    return _digests[known]


def trunk(network: str, weights: str, shape: tuple[int, ...]) -> keras.Model:
    """A new keras.Model of pictures (n, *shape), 0..255, to feature maps (n, h, w, channels).

    `network` is a row of NETWORKS; it does not matter where `weights` name a file. Raises ExperimentError for a network
    that is not known, and for weights that are not there or have no feature maps.
    """
    if bare():
        return _bare_trunk(network, weights, digest(weights) if is_file(weights) else "", shape)
    return _trunk(network, weights, shape)


@functools.lru_cache(maxsize=4)
def _bare_trunk(network: str, weights: str, digest: str, shape: tuple[int, ...]) -> keras.Model:
    """One to be looked at, which many networks may have in common."""
    return _trunk(network, weights, shape)


def _trunk(network: str, weights: str, shape: tuple[int, ...]) -> keras.Model:
    body = _opened(weights) if is_file(weights) else _application(network, weights, shape)
    height, width, channels = (own or given for own, given in zip(body.input_shape[1:], shape, strict=True))
    if channels not in (1, 3):
        raise ExperimentError(f"[space] weights = {weights!r} takes {channels} channels; pictures have 1 or 3.")
    inputs = keras.Input(shape, name="pixels")
    x = inputs
    if channels < shape[2]:
        x = Grey(name="grey")(x)
    if (height, width) != shape[:2]:
        x = keras.layers.Resizing(height, width, name="resized")(x)
    if channels > shape[2]:
        x = keras.layers.Concatenate(name="coloured")([x] * channels)
    return keras.Model(inputs, body(x), name="backbone")


def leaves(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """The layers of `model` in order, those of models inside it in their place."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from leaves(layer)
        else:
            yield layer


def train_last(model: keras.Model, blocks: int) -> None:
    """Have the last `blocks` blocks of a trunk train, and nothing else of it.

    A block is what shares the beginning of its name: an inverted residual, the convolutions of one stage; any other
    layer is one by itself. Batch normalisations stay as they are, in inference mode: few pictures have no statistics.
    """
    layers = [layer for layer in leaves(model) if layer.weights]
    norms = (keras.layers.BatchNormalization, keras.layers.Normalization)
    names = dict.fromkeys(_block(layer.name) for layer in layers if not isinstance(layer, norms))
    chosen = set(list(names)[-blocks:]) if blocks else set()
    for layer in layers:
        layer.trainable = not isinstance(layer, norms) and _block(layer.name) in chosen


def _block(name: str) -> str:
    found = re.match(r"expanded_conv(_\d+)?(?=_[a-z])|block\d+[a-z]*(?=_)|conv_\d+(?=_\d)", name)
    return found[0] if found else name


# -- networks of keras.applications ---------------------------------------------------------------


def _application(network: str, weights: str, shape: tuple[int, ...]) -> keras.Model:
    row = _row(network)
    times = -(-SMALLEST // min(shape[:2]))
    loaded = "imagenet" if weights == IMAGENET and not bare() else None
    try:
        model = getattr(keras.applications, row.name)(
            include_top=False, weights=loaded, input_shape=(shape[0] * times, shape[1] * times, 3)
        )
    except Exception as error:  # Keras downloads what is not there, or not whole; how that fails has no name
        if loaded is None:
            raise
        raise ExperimentError(_missing(network, str(error).splitlines()[0])) from error
    for layer in model.layers if weights == RANDOM else ():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = MOMENTUM
    return model


def _row(network: str) -> Row:
    if network not in NETWORKS:
        raise ExperimentError(f"[space] backbone = {network!r} does not exist.{nearest(network, NETWORKS)}")
    return NETWORKS[network]


def cached(network: str) -> Path:
    """Where Keras looks for the weights of ImageNet."""
    home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
    return Path(home) / "models" / NETWORKS[network].url.rsplit("/", 1)[1]


def download(network: str, progress: Progress = lambda done, total, text: None) -> None:
    """Have the weights of ImageNet on this machine; `progress` is told bytes. Raises ExperimentError if it cannot be.

    Keras would do so too, in each worker and where nobody sees it; it checks what lies there by its digest.
    """
    url, path = _row(network).url, cached(network)
    if path.exists():
        return
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    text = f"weights of {network}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(url, timeout=TIMEOUT) as reply, partial.open("wb") as file:
            total, done = int(reply.headers.get("Content-Length") or 0), 0
            progress(0, total, text)
            while piece := reply.read(PIECE):
                file.write(piece)
                done += len(piece)
                progress(done, max(total, done), text)
        if done < total:
            raise OSError(f"the connection ended after {done:,} of {total:,} bytes")
        partial.replace(path)
    except OSError as error:  # URLError is one
        raise ExperimentError(_missing(network, str(error))) from error
    finally:
        partial.unlink(missing_ok=True)


def _missing(network: str, why: str) -> str:
    row, path = NETWORKS[network], cached(network)
    return (
        f"[space] weights = {IMAGENET!r}: {path} is not there, or not whole, and could not be downloaded from "
        f"{row.url}: {why}. On a machine with a network fetch that address, and put the file there; or give the path "
        f"of a .keras file as weights: runs/NAME/model.keras of another run, or what keras.applications.{row.name}"
        f"(include_top=False).save('{network}.keras') writes on such a machine. weights = {RANDOM!r} trains all anew."
    )


# -- .keras files ---------------------------------------------------------------------------------


def _opened(path: str) -> keras.Model:
    """What the model in a .keras file does up to its last feature maps, its weights loaded unless `bare`."""
    digest(path)  # says what is wrong with a path that cannot be read
    try:
        if bare():
            with zipfile.ZipFile(path) as archive:
                model = keras.saving.deserialize_keras_object(json.loads(archive.read("config.json")))
        else:
            model = keras.saving.load_model(path, compile=False)
    except (ValueError, OSError, TypeError, KeyError, ImportError, zipfile.BadZipFile) as error:
        raise ExperimentError(
            f"[space] weights = {path!r} cannot be opened by Keras: {str(error).splitlines()[0]}. A .keras file "
            "made of Keras's own layers and kexp's is expected."
        ) from error
    inputs = getattr(model, "inputs", None) or []
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        shapes = [tuple(one.shape[1:]) for one in inputs]
        raise ExperimentError(f"[space] weights = {path!r} takes {shapes}; a network of pictures is expected.")
    outputs: list[Any] = []
    entry = keras.Input(inputs[0].shape[1:], name="input")
    _walk(model, entry, outputs)
    maps = [one for one in outputs if len(one.shape) == 4]
    if not any(isinstance(layer, keras.layers.Conv2D) for layer in leaves(model)) or not maps:
        raise ExperimentError(
            f"[space] weights = {path!r} has no convolutions, so that nothing of it serves other pictures. Give a run "
            "of the factory 'conv' or 'backbone'."
        )
    return keras.Model(entry, maps[-1], name="pretrained")


def _walk(model: Any, x: Any, outputs: list[Any]) -> Any:
    """Call `model` on `x` layer by layer, those of models inside it too; what each puts out is added to `outputs`."""
    if isinstance(model, keras.Sequential):
        for layer in model.layers:
            x = _walk(layer, x, outputs)
        return x
    if not isinstance(model, keras.Model) or not hasattr(model, "operations"):
        outputs.append(model(x))
        return outputs[-1]
    found: list[Any] = []

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(layer, keras.Model):
            return _walk(layer, args[0], found)
        found.append(layer(*args, **kwargs))
        return found[-1]

    given = [x] if isinstance(model.input, list) else x
    keras.models.clone_model(model, input_tensors=given, call_function=call, clone_function=lambda layer: layer)
    outputs += found
    return found[-1]


# -- before a search ------------------------------------------------------------------------------


def check(space: Mapping[str, Any], progress: Progress = lambda done, total, text: None) -> None:
    """Raise ExperimentError for a [space] of the factory 'backbone' whose networks or weights cannot be had.

    Weights of ImageNet are downloaded where they are missing.
    """
    weights = _listed(space.get("weights", IMAGENET))
    networks = _listed(space.get("backbone", next(iter(NETWORKS))))
    for network in networks:
        _row(network)
    if "trained_blocks" in space and RANDOM in weights:
        raise ExperimentError(
            f"[space] trained_blocks = {space['trained_blocks']}, weights = {RANDOM!r}: a network that begins with "
            "random weights trains as a whole. Leave trained_blocks out, or give other weights."
        )
    for one in weights:
        if is_file(one):
            with without_weights():
                _opened(one)
    for network in networks if IMAGENET in weights else ():
        download(network, progress)


def _listed(given: Any) -> list[str]:
    return [str(one) for one in (given if isinstance(given, list | tuple) else [given])]
