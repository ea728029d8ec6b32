"""kexp init: the experiment file asks what a search on the data alone, with the same options, would ask."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from doctor_cases import ROWS, clips_in, photos, sounds_in, table, walks, write, write_npz

from kexp import data, experiment, pipeline
from kexp.errors import ExperimentError

MONTHS = [f"{year}-{month:02}-01" for year in range(1990, 2010) for month in range(1, 13)]
SALES = np.round(100 + np.arange(ROWS) + 20 * np.sin(np.arange(ROWS) / 2), 1)


def plain(folder):
    return write(folder / "people.csv", table())


def numbers(folder):
    columns = table()
    return write(folder / "sizes.csv", {"weight": columns["weight"], "size": columns["size"]})


def in_parts(folder):
    for part in ("train", "test"):
        write(folder / "people" / f"{part}.csv", table())
    return folder / "people"


def months(folder):
    return write(folder / "sales.csv", {"month": MONTHS, "sold": SALES})


def shops(folder):
    return write(folder / "shops.csv", {"month": MONTHS, "north": SALES, "south": SALES[::-1], "rain": SALES % 7})


def watch(folder):
    person = np.repeat(np.arange(6), ROWS // 6)
    columns = {"x": np.sin(SALES), "y": np.cos(SALES), "person": person, "does": np.where(person % 2, "run", "walk")}
    return write(folder / "watch.csv", columns)


def numbered(folder):
    x, y = walks()
    columns = {f"x{step}": x[:, step, 0] for step in range(x.shape[1])}
    return write(folder / "walks.csv", {**columns, "label": np.where(y, "a", "b")})


def arrays(folder):
    return write_npz(folder / "walks.npz", *walks())


def recordings(folder):
    x, y = walks(count=12)
    for at, (one, label) in enumerate(zip(x, y, strict=True)):
        write(folder / "moves" / "ab"[label] / f"{at}.csv", dict(zip("xyz", one.T, strict=True)))
    return folder / "moves"


def listed(folder):
    paths = sorted(path.relative_to(folder) for path in sounds_in(folder / "sounds").rglob("*.wav"))
    loud = np.linspace(0, 1, len(paths))
    return write(folder / "list.csv", {"path": paths, "label": [path.parts[1] for path in paths], "loud": loud})


@pytest.mark.parametrize(
    ("made", "options"),
    [
        (plain, {}),
        (plain, {"target": ("answer",), "drop": ("colour",)}),
        (plain, {"target": ("size", "weight")}),
        (plain, {"task": "clustering", "target": ("answer",)}),
        (numbers, {}),
        (in_parts, {}),
        (months, {}),
        (months, {"horizon": 3, "steps": 12}),
        (months, {"time_column": "month"}),
        (months, {"kind": "table"}),
        (shops, {"horizon": 2, "target": ("north", "south")}),
        (watch, {"steps": 10, "stride": 5, "target": ("does",), "group_column": "person"}),
        (numbered, {}),
        (arrays, {}),
        (recordings, {}),
        (recordings, {"steps": 20}),
        (listed, {}),
        (listed, {"target": ("loud",), "length": "0.25s", "rate": 4000}),
        (lambda folder: photos(folder / "photos"), {"size": "24x32"}),
        (lambda folder: sounds_in(folder / "tones"), {}),
        (lambda folder: clips_in(folder / "clips"), {"frames": 4, "size": "16x16"}),
        *((lambda _, name=name: f"generated:{name}", {}) for name in ("tones", "motions", "clips", "sales")),
        *((lambda _, name=name: f"sklearn:{name}", {}) for name in ("iris", "diabetes", "digits")),
    ],
)  # fmt: skip
def test_the_file_asks_what_the_data_alone_ask(tmp_path, monkeypatch, made, options):
    monkeypatch.chdir(tmp_path)
    source = str(made(tmp_path))
    found = pipeline.init(source, home=tmp_path, name="asked", **options)
    cache = tmp_path / "cache"
    alone = data.load(experiment.from_data(source, name="asked", **options), cache=cache)
    asked = data.load(experiment.load(found.toml), base=found.toml.parent, cache=cache)
    assert asked.spec == alone.spec
    np.testing.assert_array_equal(asked.part, alone.part)
    np.testing.assert_array_equal(asked.x, alone.x)
    np.testing.assert_array_equal(asked.y, alone.y)


def test_options_are_written_down(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = pipeline.init("generated:sales", home=tmp_path, horizon=3, steps=10, name="soon")
    assert experiment.load(found.toml) == dataclasses.replace(found.experiment, data="generated:sales")
    assert (found.experiment.horizon, found.experiment.steps) == (3, 10)
    assert dict(found.lines)["size"].startswith("10 steps")
    with pytest.raises(ExperimentError, match="horizon"):
        pipeline.init("generated:sales", home=tmp_path, horizon=-1)
