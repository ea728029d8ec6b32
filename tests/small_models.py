"""Small trained networks, exported once per test process, for the tests of runtime, export, verify and predict."""

from __future__ import annotations

import dataclasses
import functools
import json
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kexp import data, forecasts, models, verify
from kexp.data.dataset import Dataset
from kexp.export import graph
from kexp.records import Experiment, Trial
from kexp.release import Release, release

_keep = tempfile.TemporaryDirectory(prefix="kexp-tests-")  # removed when the process ends


class Exported(NamedTuple):
    dataset: Dataset
    model: Path
    release: Release


def folder(name):
    path = Path(_keep.name) / name
    path.mkdir(parents=True, exist_ok=True)
    return path


def train(dataset, factory, values, path, *, epochs, rate=0.01):
    """Fit a network for a moment and save it as the search does."""
    import keras

    keras.utils.set_random_seed(0)
    network = models.build(dataset.spec, factory, models.replay(values))
    loss = "sparse_categorical_crossentropy" if dataset.spec.task == "multiclass" else "binary_crossentropy"
    x, y = dataset.take("train")
    if dataset.spec.task == "regression":  # the core answers in deviations, the answer layer in units
        encoded = np.asarray(network.frontend(x.astype(np.float32)))
        network.core.compile(keras.optimizers.Adam(rate), "mse")
        if dataset.spec.horizon:
            y = y - forecasts.base(dataset.spec, x)
        y = (y - np.array(dataset.spec.target_mean)) / np.array(dataset.spec.target_std)
        network.core.fit(encoded, y, epochs=epochs, batch_size=32, verbose=0)
    else:
        network.model.compile(keras.optimizers.Adam(rate), loss)
        network.model.fit(x.astype(np.float32), y, epochs=epochs, batch_size=32, verbose=0)
    models.inference(network).save(path)


class Trained(NamedTuple):
    dataset: Dataset
    model: Path


@functools.cache
def digits_net():
    """Pictures, ten classes, not exported."""
    place = folder("digits")
    dataset = data.load(Experiment(name="digits", data="sklearn:digits"), cache=place / "cache")
    train(dataset, "conv", {}, place / "trained.keras", epochs=4)
    return Trained(dataset, place / "trained.keras")


def references(net, rows=None):
    """Raw samples of a Trained net, and what it answers."""
    import keras

    x = np.asarray(net.dataset.x[:rows])
    model = keras.saving.load_model(net.model, compile=False)
    return x, np.asarray(model(x.astype(np.float32), training=False))


def impostor(net, path):
    """Write `net` with all weights a tenth larger: a network that answers otherwise, though often the same label."""
    import keras

    model = keras.saving.load_model(net.model, compile=False)
    model.set_weights([weight * np.float32(1.1) for weight in model.get_weights()])
    model.save(path)
    return path


def with_weights(path, change, dtype=np.float32):
    """The .tflite in `path`, without what it says of itself, with its largest constant, one of `dtype`, changed."""
    model = graph.read(path.read_bytes())
    largest = max(model.buffers, key=lambda buffer: 0 if buffer.data is None else len(buffer.data))
    weights = np.frombuffer(bytes(bytearray(largest.data)), dtype).copy()
    largest.data = np.frombuffer(change(weights).astype(dtype).tobytes(), np.uint8)
    return graph.write(model)


def relabelled(spec):
    """`spec` with its labels in the wrong order."""
    return dataclasses.replace(spec, labels=spec.labels[::-1])


def resign(exported):
    """Make the checksums in export.json right, so that another check must find what is wrong."""
    document = json.loads((exported / "export.json").read_text())
    for item in document["artifacts"]:
        item["sha256"] = verify.digest(exported / item["path"])
    (exported / "export.json").write_text(json.dumps(document))


@functools.cache
def digits():
    """Pictures, ten classes, every format that is usual."""
    dataset, model = digits_net()
    return Exported(dataset, model, release(model, dataset, [], model.parent / "exported"))


ROWS = 400


def write_people(path):
    """A CSV with every kind of column, missing cells, and a target that depends on all of them."""
    random = np.random.default_rng(0)
    age = random.normal(40, 12, ROWS).round(1)
    city = random.choice(["Bonn", "Köln", "Trier"], ROWS, p=[0.5, 0.3, 0.2])
    member = random.choice(["yes", "no"], ROWS)
    day = random.integers(18000, 19000, ROWS)
    income = 1000 * np.exp(random.normal(0, 1, ROWS)).round(3)
    score = (age - 40) / 12 + (city == "Bonn") - (member == "no") + np.log(income / 1000) + (day - 18500) / 500
    lines = ["age,city,member,joined,income,buys"]
    for i in range(ROWS):
        cells = [str(age[i]), city[i], member[i], str(np.datetime64(int(day[i]), "D")), str(income[i])]
        if i % 9 == 0:
            cells[0] = ""
        lines.append(",".join([*cells, "yes" if score[i] > 0 else "no"]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@functools.cache
def table_net(target):
    """Rows with every kind of column and missing cells, not exported: "city" is one of three, "income" a number."""
    place = folder(f"table_{target}")
    write_people(place / "people.csv")
    question = Experiment(name=target, data=str(place / "people.csv"), target=(target,))
    dataset = data.load(question, cache=place / "cache")
    train(dataset, "dense", {"hidden_layers": 2}, place / "trained.keras", epochs=5)
    return Trained(dataset, place / "trained.keras")


@functools.cache
def people():
    """Table rows, two classes."""
    place = folder("people")
    write_people(place / "people.csv")
    experiment = Experiment(name="people", data=str(place / "people.csv"), target=("buys",))
    dataset = data.load(experiment, cache=place / "cache")
    train(dataset, "dense", {}, place / "trained.keras", epochs=10)
    made = release(place / "trained.keras", dataset, ["tflite"], place / "exported")
    return Exported(dataset, place / "trained.keras", made)


@functools.cache
def diabetes():
    """Table rows, one number, whose units overflow float16."""
    place = folder("diabetes")
    dataset = data.load(Experiment(name="diabetes", data="sklearn:diabetes"), cache=place / "cache")
    spec = dataset.spec
    factor = np.float32(1e4)
    dataset.spec = dataclasses.replace(
        spec,
        target_mean=tuple(m * float(factor) for m in spec.target_mean),
        target_std=tuple(s * float(factor) for s in spec.target_std),
    )
    dataset.y = dataset.y * factor
    train(dataset, "dense", {"hidden_layers": 2}, place / "trained.keras", epochs=10)
    made = release(place / "trained.keras", dataset, ["tflite"], place / "exported")
    return Exported(dataset, place / "trained.keras", made)


def signal_classes(n, shape, random):
    """Samples (n, *shape) of three classes, which a network learns in moments, and the class of each."""
    y = np.arange(n) % 3
    steps = np.linspace(0, 1, shape[0])[None, :]
    phase = random.uniform(0, 6, (n, 1))
    x = np.sin(2 * np.pi * (2 + 3 * y[:, None]) * steps + phase) + random.normal(0, 0.1, (n, shape[0]))
    return x, y


def _exported(name, experiment, factory, values, formats=("tflite",), **options):
    place = folder(name)
    dataset = data.load(experiment, cache=place / "cache")
    train(dataset, factory, values, place / "trained.keras", **options)
    return Exported(
        dataset, place / "trained.keras", release(place / "trained.keras", dataset, formats, place / "exported")
    )


@functools.cache
def motions():
    """Series of three channels, three classes."""
    random = np.random.default_rng(0)
    x, y = signal_classes(240, (48,), random)
    x = np.stack([x, random.normal(0, 1, x.shape), 9.8 + 2 * x], axis=2).astype(np.float32)
    path = folder("motions") / "motions.npz"
    np.savez(path, x=x, y=np.array(["walk", "run", "rest"])[y])
    (path.parent / "channels.txt").write_text("acc_x\nacc_y\nacc_z\n")
    question = Experiment(name="motions", data=str(path))
    return _exported("motions", question, "conv1d", {"stages": 2, "filters": 8}, epochs=6)


@functools.cache
def sales():
    """A forecast of the next three values of one series."""
    days = np.arange(400)
    random = np.random.default_rng(0)
    values = 100 + days / 8 + 20 * np.sin(days * 2 * np.pi / 7) + random.normal(0, 2, 400)
    dates = np.datetime64("2024-01-01") + days
    path = folder("sales") / "sales.csv"
    path.write_text("date,sold\n" + "".join(f"{d},{v:.2f}\n" for d, v in zip(dates, values, strict=True)))
    question = Experiment(name="sales", data=str(path), horizon=3)
    return _exported("sales", question, "dense", {"hidden_layers": 1}, epochs=10)


@functools.cache
def tones():
    """Sounds of unequal lengths and loudness, three classes."""
    import soundfile

    random = np.random.default_rng(0)
    root = folder("tones") / "sounds"
    for label, pitch in (("low", 300), ("middle", 900), ("high", 2000)):
        (root / label).mkdir(parents=True, exist_ok=True)
        for i in range(30):
            t = np.arange(int(8000 * random.uniform(0.2, 0.3))) / 8000
            x = random.uniform(0.1, 0.8) * np.sin(2 * np.pi * pitch * random.uniform(0.9, 1.1) * t)
            soundfile.write(root / label / f"{i:02}.wav", x + random.normal(0, 0.01, len(x)), 8000)
    question = Experiment(name="tones", data=str(root))
    return _exported("tones", question, "conv_sound", {"stages": 2, "filters": 8}, epochs=6)


@functools.cache
def moves():
    """Clips of a bright square that moves, three classes."""
    from PIL import Image

    random = np.random.default_rng(0)
    root = folder("moves") / "clips"
    for label, (down, right) in (("down", (1, 0)), ("right", (0, 1)), ("still", (0, 0))):
        (root / label).mkdir(parents=True, exist_ok=True)
        for i in range(24):
            y, x = random.integers(0, 8, 2)
            frames = []
            for k in range(6):
                frame = random.integers(0, 60, (16, 16), np.uint8)
                frame[y + down * k : y + down * k + 4, x + right * k : x + right * k + 4] = 230
                frames.append(Image.fromarray(frame).resize((32, 32), Image.Resampling.NEAREST))
            frames[0].save(root / label / f"{i:02}.gif", save_all=True, append_images=frames[1:], duration=100)
    question = Experiment(name="moves", data=str(root), frames=6, size=(16, 16))
    return _exported("moves", question, "conv_clip", {"stages": 2, "filters": 8, "augmentation": "none"}, epochs=8)


@functools.cache
def generated_net(name, factory="", **values):
    """A generated set ("tones", "motions" ...), trained as a search trains, not exported; and what the trial says."""
    from kexp.train import Trainer

    place = folder(f"{name}_{factory}_{'_'.join(map(str, values.values()))}")
    options = {"horizon": 3} if name == "sales" else {}
    dataset = data.load(Experiment(name=name, data=f"generated:{name}", **options), cache=place / "cache")
    factory = factory or models.default_factory(dataset.spec)
    trial = Trial(id=0, factory=factory, values=values, status="running", epochs=4)
    ((done, fitted),) = Trainer(dataset, batch_size=32).run([trial])
    network = models.build(dataset.spec, factory, models.replay(values))
    network.core.set_weights(fitted.weights)
    models.inference(network).save(place / "trained.keras")
    return Trained(dataset, place / "trained.keras"), done
