from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from kexp import experiment, quantities
from kexp.errors import ExperimentError
from kexp.records import Experiment

ROOT = Path(__file__).parents[1]


def write(folder: Path, text: str, name: str = "photos.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


FULL = """
name = "all"
data = "../photos"
target = ["a", "b"]
task = "regression"
drop = "id"
time = "1h30m"
trials = 7
size = "48x64"
validation = 0.2
seed = 3

[space]
units_0 = [16, 32]
batch_norm = true
learning_rate = {min = 1e-4, max = 0.01, sampling = "log"}

[tolerances]
tflite_int8 = 0.02
"""


def test_every_kind_of_value_is_read(tmp_path):
    read = experiment.load(write(tmp_path, FULL))
    assert read == Experiment(
        name="all",
        data="../photos",
        target=("a", "b"),
        task="regression",
        drop=("id",),
        seconds=5400.0,
        trials=7,
        size=(48, 64),
        validation=0.2,
        seed=3,
        space={
            "units_0": [16, 32],
            "batch_norm": True,
            "learning_rate": {"min": 1e-4, "max": 0.01, "sampling": "log"},
        },
        tolerances={"tflite_int8": 0.02},
    )


def test_what_is_dumped_is_read_back(tmp_path):
    asked = experiment.load(write(tmp_path, FULL))
    text = experiment.dump(asked, "kexp search experiments/all.toml\nacc 0.97")
    assert text.startswith("# kexp search experiments/all.toml\n# acc 0.97\n\nname = ")
    assert experiment.load(write(tmp_path, text, "again.toml")) == asked


@pytest.mark.parametrize("value", ['a "quoted" \\ path', "new\nline\ttab\x7f\x01", "dîner 写真", "C:\\data"])
def test_awkward_text_survives_the_round_trip(tmp_path, value):
    asked = Experiment(name="x", data=value, target=(value,), space={value: [value]})
    assert experiment.load(write(tmp_path, experiment.dump(asked))) == asked


def test_a_dump_holds_only_what_differs_from_the_defaults():
    assert experiment.dump(Experiment(name="x", data="d")) == 'name = "x"\ndata = "d"\n'
    assert experiment.dump(Experiment(name="x", data="d", seconds=90.0)).endswith('time = "1m30s"\n')


def test_the_name_is_the_file_s_unless_given(tmp_path):
    assert experiment.load(write(tmp_path, 'data = "d"', "my photos.toml")).name == "my-photos"
    assert experiment.load(write(tmp_path, 'data = "d"\nname = "z"')).name == "z"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('data = "d"\ntrails = 3', ["photos.toml:2", "unknown key 'trails'", "'trials'"]),
        ('data = "d"\nseconds = 3', ["photos.toml:2", "unknown key 'seconds'", "'time'"]),
        ('data = "d"\n[spase]\na = 1', ["photos.toml:2", "unknown key 'spase'", "'space'"]),
        ('data = "d"\ntrials = "many"', ["photos.toml:2", 'trials = "many"', "whole number", "text"]),
        ('data = "d"\ntrials = 2.5', ["trials = 2.5", "whole number"]),
        ('data = "d"\ntrials = true', ["trials = true", "whole number", "true or false"]),
        ('data = "d"\ntrials = 0', ["photos.toml", "trials = 0", "at least 1"]),
        ("data = 3", ["data = 3", "text is expected"]),
        ('data = "d"\nname = "../up"', ['name = "../up"', "folders are named after it"]),
        ('data = "d"\ntarget = [1, 2]', ["target = [1, 2]", "list of texts"]),
        ('data = "d"\ntask = "sorting"', ["task", "binary", "clustering"]),
        ('data = "d"\nclass_weight = "equal"', ["class_weight", "none, balanced"]),
        ('data = "d"\ntime = "soon"', ['time = "soon"', "1h30m"]),
        ('data = "d"\ntime = 0', ["time = 0", "1h30m"]),
        ('data = "d"\ntime = true', ["time = true", "a number is expected"]),
        ('data = "d"\nmax_parameters = "many"', ["photos.toml:2", 'max_parameters = "many"', '"100k" or "1.5M"']),
        ('data = "d"\nmax_parameters = 0', ["photos.toml:2", "max_parameters = 0", '"100k"']),
        ('data = "d"\nmax_parameters = 2.5', ["max_parameters = 2.5", '"100k"']),
        ('data = "d"\nmax_size = "big"', ["photos.toml:2", 'max_size = "big"', '"150kB"']),
        ('data = "d"\nmax_latency = "10m"', ["photos.toml:2", 'max_latency = "10m"', '"5ms"']),
        ('data = "d"\nmax_memory = -1', ["photos.toml:2", "max_memory = -1", '"150kB"']),
        ('data = "d"\nmax_parameter = 5', ["unknown key 'max_parameter'", "'max_parameters'"]),
        ('data = "d"\nsize = "48*64"', ["size", "48x64"]),
        ('data = "d"\nsize = [1, 2, 3]', ["size", "one or two sides"]),
        ('data = "d"\nvalidation = "x"', ["validation", "a number is expected"]),
        ('data = "d"\ntest = 0.9', ["test = 0.9", "below 1"]),
        ('data = "d"\nspace = 3', ["space = 3", "a table is expected"]),
        ('data = "d"\n[space]\nunits = {min = 1}', ["photos.toml:2", "units", "{min, max}"]),
        ('data = "d"\n[space]\nunits = {min = 1, max = 2, log = true}', ["units", "sampling"]),
        ('data = "d"\n[space]\nunits = []', ["units", "list of values"]),
        ('data = "d"\n[tolerances]\ntflite_int8 = "x"', ["tflite_int8", "a number is expected"]),
        ('data = "d"\n[tolerances]\ntflite_int8 = -1', ["tflite_int8", "at least 0"]),
        ('name = "x"', ["photos.toml", 'the key "data" is missing']),
        ('data = "d"\ntrials = = 3', ["photos.toml", "not valid TOML", "line 2"]),
        ('data = "d"\ndata = "e"', ["not valid TOML"]),
    ],
)
def test_what_cannot_be_right_is_refused_with_file_key_and_remedy(tmp_path, text, expected):
    with pytest.raises(ExperimentError) as refusal:
        experiment.load(write(tmp_path, text))
    for part in expected:
        assert part in str(refusal.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    write(tmp_path, 'data = "d"')
    with pytest.raises(ExperimentError, match=r"photo\.toml does not exist.*Did you mean 'photos\.toml'"):
        experiment.load(tmp_path / "photo.toml")
    (tmp_path / "latin.toml").write_bytes('data = "é"'.encode("latin-1"))
    with pytest.raises(ExperimentError, match=r"not UTF-8 at byte 8"):
        experiment.load(tmp_path / "latin.toml")
    with pytest.raises(ExperimentError, match="cannot be read"):
        experiment.load(tmp_path)


def test_an_experiment_is_named_after_its_data(tmp_path):
    (tmp_path / "My Photos v1.2").mkdir()
    assert experiment.from_data(str(tmp_path / "My Photos v1.2")).name == "My-Photos-v1.2"
    assert experiment.from_data("somewhere/adult.csv").name == "adult"
    assert experiment.from_data("train-idx3-ubyte.gz").name == "train-idx3-ubyte"
    assert experiment.from_data("sklearn:digits") == Experiment(name="digits", data="sklearn:digits")
    assert experiment.from_data("generated:tones") == Experiment(name="tones", data="generated:tones")
    assert experiment.from_data("/").name == "data"


def test_options_are_checked_as_a_file_is():
    made = experiment.from_data("adult.csv", target=("income",), time="10m", size="48x64", trials=None, drop=())
    assert made == Experiment(name="adult", data="adult.csv", target=("income",), seconds=600.0, size=(48, 64))
    assert experiment.from_data("adult.csv", name="mine").name == "mine"
    with pytest.raises(ExperimentError, match=r"unknown key 'trails'\. Did you mean 'trials'"):
        experiment.from_data("adult.csv", trails=3)
    with pytest.raises(ExperimentError, match=r"trials = 0"):
        experiment.from_data("adult.csv", trials=0)


def test_only_given_options_override():
    asked = Experiment(name="x", data="d", trials=5, seed=3)
    assert experiment.override(asked) == asked
    assert experiment.override(asked, trials=9, seed=0, time=None, target=()) == dataclasses.replace(
        asked, trials=9, seed=0
    )
    with pytest.raises(ExperimentError, match="epochs = -1"):
        experiment.override(asked, epochs=-1)


def test_the_default_budget_is_for_those_who_give_none():
    asked = Experiment(name="x", data="d")
    assert experiment.with_budget(asked).trials == experiment.DEFAULT_TRIALS
    assert experiment.with_budget(asked).seconds == experiment.DEFAULT_SECONDS
    for budget in ({"trials": 3}, {"seconds": 5.0}):
        given = dataclasses.replace(asked, **budget)
        assert experiment.with_budget(given) == given


def test_data_lie_beside_the_toml_otherwise_in_the_current_folder(tmp_path, monkeypatch):
    beside, current = tmp_path / "experiments", tmp_path / "current"
    for folder in (beside, current):
        (folder / "both").mkdir(parents=True)
    (current / "one").mkdir()
    monkeypatch.chdir(current)
    assert experiment.locate("both", beside) == str(beside / "both")
    assert experiment.locate("one", beside) == "one"
    assert experiment.locate("none", beside) == str(beside / "none")
    assert experiment.locate("sklearn:digits", beside) == "sklearn:digits"
    assert experiment.locate("generated:tones", beside) == experiment.seen_from(beside, "generated:tones")
    assert experiment.locate(str(current), beside) == str(current)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("1.5h", 5400), ("1m5s", 65), ("250ms", 0.25)],
)
def test_durations(text, seconds):
    assert quantities.parse_duration(text) == seconds
    assert quantities.parse_duration(quantities.format_duration(seconds)) == seconds


@pytest.mark.parametrize("seconds", [90.5, 16000 / 44100, 1234567.5, 1e-5])
def test_a_duration_that_is_written_is_read_as_it_was(seconds):
    assert quantities.parse_duration(quantities.format_duration(seconds)) == seconds


@pytest.mark.parametrize("text", ["", "0", "0m", "m", "10 minutes", "-5", "1m1h", "1s5ms", "nan", float("nan"), -1, 0])
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match="1h30m"):
        quantities.parse_duration(text)


@pytest.mark.parametrize(("value", "size"), [("48x64", (48, 64)), ("32", (32, 32)), (28, (28, 28)), ([8, 9], (8, 9))])
def test_sizes(value, size):
    assert quantities.parse_size(value) == size


@pytest.mark.parametrize("value", ["48x", "x", "0x3", "²x3", "axb", "1x2x3", [], True, [1.5, 2], None, -3])
def test_what_is_no_size(value):
    with pytest.raises(ValueError, match=r"(is|are) expected"):
        quantities.parse_size(value)


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (100_000, 100_000),
        ("100000", 100_000),
        ("100k", 100_000),
        ("1.5M", 1_500_000),
        ("1.1m", 1_100_000),
        ("2 K", 2000),
    ],
)
def test_counts(tmp_path, value, count):
    assert quantities.parse_count(value) == count
    text = f'"{value}"' if isinstance(value, str) else value
    asked = experiment.load(write(tmp_path, f'data = "d"\nmax_parameters = {text}'))
    assert asked.max_parameters == count
    assert experiment.load(write(tmp_path, experiment.dump(asked))) == asked
    assert experiment.override(asked, max_parameters="3k").max_parameters == 3000


@pytest.mark.parametrize(
    "value",
    ["", "k", "0", "0k", "-5", "1.5", "1.0005k", "100,000", "1e5", "5G", "many", 0, -3, 2.5, 1e5, True, None, []],
)
def test_what_is_no_count(value):
    with pytest.raises(ValueError, match=r'"100k" or "1.5M"'):
        quantities.parse_count(value)


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (150_000, 150_000), ("150000", 150_000), ("150kB", 150_000), ("150 KB", 150_000), ("1.5MB", 1_500_000),
        ("64KiB", 65_536), ("1.5MiB", 1_572_864), ("2GB", 2_000_000_000), ("200k", 200_000), ("12B", 12),
    ],
)  # fmt: skip
def test_bytes(tmp_path, value, size):
    assert quantities.parse_bytes(value) == size
    text = f'"{value}"' if isinstance(value, str) else value
    asked = experiment.load(write(tmp_path, f'data = "d"\nmax_size = {text}\nmax_memory = {text}'))
    assert (asked.max_size, asked.max_memory) == (size, size)
    assert experiment.load(write(tmp_path, experiment.dump(asked))) == asked
    assert experiment.override(asked, max_size="3kB").max_size == 3000


@pytest.mark.parametrize(
    "value",
    ["", "kB", "0", "0kB", "-5", "1.5", "1.0005k", "150 kilobytes", "1e5", "5T", "5iB", 0, -3, 2.5, True, None, []],
)
def test_what_is_no_size_of_a_file(value):
    with pytest.raises(ValueError, match=r'"150kB", "1.5MB" or 150000'):
        quantities.parse_bytes(value)


@pytest.mark.parametrize(
    ("value", "ms"),
    [(5, 5.0), (0.5, 0.5), ("5", 5.0), ("5ms", 5.0), ("0.5 ms", 0.5), ("2s", 2000.0), ("800us", 0.8), ("800µs", 0.8)],
)
def test_milliseconds(tmp_path, value, ms):
    assert quantities.parse_milliseconds(value) == pytest.approx(ms)
    text = f'"{value}"' if isinstance(value, str) else value
    asked = experiment.load(write(tmp_path, f'data = "d"\nmax_latency = {text}'))
    assert asked.max_latency == pytest.approx(ms)
    assert experiment.load(write(tmp_path, experiment.dump(asked))) == asked
    assert experiment.override(asked, max_latency="3ms").max_latency == 3.0


@pytest.mark.parametrize(
    "value", ["", "ms", "0", "0ms", "-5ms", "5m", "1h", "fast", "1e5", "inf", 0, -1, float("nan"), True, None, []]
)
def test_what_is_no_time_of_a_sample(value):
    with pytest.raises(ValueError, match=r'"5ms", "0.5ms" or 5'):
        quantities.parse_milliseconds(value)


@pytest.mark.parametrize("path", sorted((ROOT / "experiments").glob("*.toml")), ids=lambda path: path.stem)
def test_the_experiments_that_ship_are_valid(path):
    assert experiment.load(path).name == path.stem
    assert path.read_text(encoding="utf-8").startswith("# ")
