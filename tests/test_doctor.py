"""The doctor: clean data are left in peace, what was found is kept, and the command line tells it."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest
import small_models
from doctor_cases import (
    ROWS,
    clips_in,
    constant,
    copied,
    examine,
    photos,
    sounds_in,
    spelt,
    table,
    walks,
    write,
    write_npz,
)
from rich.console import Console

from kexp import cli, screen
from kexp.data import doctor
from kexp.data.doctor import case, leaks
from kexp.experiment import from_data
from kexp.records import DatasetSpec, Experiment, Finding, from_json, to_json
from kexp.store import RunStore
from kexp.suspects import contradicted

# -- the negative: clean data ----------------------------------------------------------------------


def test_clean_data_of_every_kind_have_no_finding(tmp_path):
    sets = {
        "table": write(tmp_path / "clean.csv", table()),
        "image": photos(tmp_path / "photos"),
        "sound": sounds_in(tmp_path / "sounds"),
        "clip": clips_in(tmp_path / "clips"),
        "series": write_npz(tmp_path / "walks.npz", *walks()),
    }
    assert set(sets) == set(doctor.CHECKS)
    for kind, path in sets.items():
        found = [one for one in examine(path, tmp_path) if one.name != "few_samples"]  # the sets are tiny
        assert found == [], kind


def test_clean_numbers_to_predict_have_no_finding(tmp_path):
    columns = table()
    columns["price"] = (columns["size"] * columns["weight"] + np.arange(ROWS) % 7).round(2)
    del columns["answer"]
    assert examine(write(tmp_path / "prices.csv", columns), tmp_path, target=["price"]) == []


@pytest.mark.parametrize("name", ["wine", "breast_cancer", "diabetes", "digits"])
def test_sets_that_are_clean_have_no_finding(tmp_path, name):
    assert examine(f"sklearn:{name}", tmp_path) == []


# -- labels that a model contradicts ---------------------------------------------------------------


def spec(task, outputs):
    labels = ("no", "yes") if task == "binary" else tuple("abc")[:outputs]
    return DatasetSpec(
        name="s", kind="series", task=task, shape=(4, 1), outputs=outputs, labels=labels,
    )  # fmt: skip


def test_only_labels_that_are_contradicted_with_confidence_are_suspects():
    y = np.array([0, 0, 1, 1, 2, 2])
    outputs = np.array(
        [[0.97, 0.02, 0.01], [0.01, 0.98, 0.01], [0.1, 0.8, 0.1], [0.6, 0.4, 0], [0, 0.01, 0.99], [0.95, 0.0, 0.05]]
    )
    assert [row for row, _ in contradicted(spec("multiclass", 3), y, outputs)] == [1, 5]
    assert contradicted(spec("multiclass", 3), y, outputs)[0][1] == "labelled a, the model says b (0.980)"
    binary = np.array([[0.02], [0.04], [0.98], [0.99], [0.97]])
    assert [row for row, _ in contradicted(spec("binary", 1), np.array([0, 1, 1, 1, 0]), binary)] == [4, 1]


def test_suspects_of_numbers_and_of_several_labels():
    random = np.random.default_rng(0)
    y = random.normal(0, 1, (200, 1))
    outputs = y + random.normal(0, 0.1, (200, 1))
    y[17] += 5
    assert [row for row, _ in contradicted(spec("regression", 1), y, outputs)] == [17]
    flags = np.array([[1, 0, 0], [0, 1, 1.0]])
    said = np.array([[0.9, 0.1, 0.01], [0.1, 0.99, 0.02]])
    assert contradicted(spec("multilabel", 3), flags, said) == [(1, "labelled c, the model gives it 0.020")]


@pytest.mark.slow
def test_of_a_run_the_validation_rows_with_wrong_labels_are_named_and_no_test_rows(tmp_path, kexp):
    net = small_models.digits_net()
    random = np.random.default_rng(0)
    y = net.dataset.y.copy()
    wrong = {part: random.permutation(net.dataset.rows(part))[:5] for part in ("validation", "test")}
    for rows in wrong.values():
        y[rows] = (y[rows] + 3) % 10
    with RunStore.create(tmp_path, "digits", Experiment(name="digits", data="sklearn:digits")) as run:
        dataclasses.replace(net.dataset, y=y).save(run.data)
        shutil.copy(net.model, run.model)
    status, out, _ = kexp("doctor", "digits", "--home", tmp_path, "--json")
    document = json.loads(out)
    (one,) = document["findings"]
    rows = {int(place.split(":")[0].rsplit(" ", 1)[1]) for place in one["where"]}
    assert status == 0
    assert document["of"] == "the validation rows of the run digits"
    assert len(rows & set(wrong["validation"].tolist())) >= 3  # the net is a small one, and not always sure
    assert not rows & set(wrong["test"].tolist())


def test_a_search_says_what_is_grave_in_a_line_each(tmp_path):
    from kexp import data, pipeline

    columns = table() | {"unit": ["kg"] * ROWS}
    copied(columns)
    question = from_data(str(write(tmp_path / "copy.csv", columns)), target=["answer"])
    raw = data.read(question, cache=tmp_path)
    dataset = data.prepared(raw, question)
    heard = []
    pipeline._warn(question, raw, dataset, tmp_path, tmp_path, heard.append)
    told = [event.text for event in heard if event.kind == "notice"]
    assert len(told) == 2
    assert told[0].startswith("error: Column 'verdict' is the target")
    assert told[1] == f"kexp doctor {tmp_path / 'copy.csv'} says more"


def test_the_doctor_that_is_named_looks_at_the_same_question(kexp, tmp_path, monkeypatch):
    """Without the options that say what the data are it would find other things, or nothing."""
    from kexp import data, pipeline
    from kexp.errors import RunError

    columns = table() | {"unit": ["kg"] * ROWS}
    copied(columns)
    write(tmp_path / "my copy.csv", columns)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    out = kexp("init", "my copy.csv", "--target", "answer", "--name", "one", "--home", "elsewhere")[1]
    assert "kexp doctor elsewhere/experiments/one.toml says more" in " ".join(out.split())

    asked, heard = [], []

    def search(question, *, base, doctor, **_):
        asked.append(doctor)
        raw = data.read(question, base=base, cache=tmp_path)
        pipeline._warn(question, raw, data.prepared(raw, question), tmp_path, base, heard.append)
        raise RunError("far enough")

    monkeypatch.setattr(pipeline, "search", search)
    kexp(
        "search", "my copy.csv", "--target", "answer", "--drop", "unit", "--trials", 2, "--home", "elsewhere", "--json"
    )
    kexp("search", "elsewhere/experiments/one.toml")
    assert asked == [
        "kexp doctor 'my copy.csv' --target answer --drop unit", "kexp doctor elsewhere/experiments/one.toml"
    ]  # fmt: skip
    assert heard[-1].text == "kexp doctor 'my copy.csv' says more"  # from Python: where they lie as seen from here


def test_init_tells_paths_with_blanks_in_quotes(tmp_path, kexp, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    home = tmp_path / "my home"
    columns = table() | {"unit": ["kg"] * ROWS}
    copied(columns)
    file = write(tmp_path / "my data.csv", columns)
    status, out, _ = kexp("init", file, "--target", "answer", "--home", home)
    assert status == 0
    assert f"kexp doctor '{home / 'experiments' / 'my-data.toml'}' says more" in out
    assert f"kexp search '{home / 'experiments' / 'my-data.toml'}' --home '{home}'" in out


def test_the_next_command_names_the_home_that_was_typed_and_no_other(tmp_path, kexp, monkeypatch):
    """Without it the search that init ends in would write its run into the current folder."""
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.chdir(tmp_path)
    file = write(tmp_path / "data.csv", table())
    assert "kexp search other/experiments/data.toml --home other  " in kexp("init", file, "--home", "other")[1]
    monkeypatch.setenv("KEXP_HOME", "other")
    assert "--home" not in kexp("init", file, "--force")[1]
    monkeypatch.delenv("KEXP_HOME")
    assert "--home" not in kexp("init", file)[1]


def test_a_column_that_decides_the_clusters_is_no_leak(tmp_path):
    """Clusters are made of the columns; an error there would end kexp doctor with 1 on clean data."""
    random = np.random.default_rng(0)
    which = random.integers(0, 3, ROWS)
    columns = {"a": (10 * which + random.normal(size=ROWS)).round(3), "b": random.normal(size=ROWS).round(3)}
    columns["colour"] = np.array(["red", "green", "blue"])[which]
    found = examine(write(tmp_path / "flowers.csv", columns), tmp_path, task="clustering")
    assert {one.severity for one in found if one.name != "few_samples"} <= {"note"}
    assert "deciding_column" in {one.name for one in found}


# -- the record, what is kept, and the command line ------------------------------------------------


def test_a_finding_survives_json():
    one = case.finding("twins", "note", "two rows", ["row 1", "row 2"] * 4, "remove one")
    assert (one.count, len(one.where)) == (8, case.SHOWN)
    assert from_json(Finding, json.loads(json.dumps(to_json(one)))) == one


def test_what_was_found_is_kept_for_the_same_data_and_not_for_others(tmp_path, monkeypatch):
    from kexp import data

    path = write(tmp_path / "kept.csv", table() | {"unit": ["kg"] * ROWS})
    question = from_data(str(path), target=["answer"])

    def again():
        raw = data.read(question, cache=tmp_path / "cache")
        dataset = data.prepared(raw, question)
        return doctor.examine(question, cache=tmp_path / "cache", raw=raw, dataset=dataset)

    first = again()
    assert [one.name for one in first] == ["constant_column"]
    with monkeypatch.context() as patch:
        patch.setattr(doctor, "CHECKS", {"table": {}})
        assert again() == first
        write(path, table())
        assert again() == []


def test_a_leak_needs_rows_that_were_not_fitted():
    random = np.random.default_rng(0)
    y = random.integers(0, 2, 200)
    assert leaks._score(np.arange(200.0), y, numbers=False) < 0.7  # by heart it would be 1
    assert leaks._score(y + random.normal(0, 0.01, 200), y, numbers=False) == 1


def test_the_command_exits_1_for_an_error_alone(tmp_path, kexp):
    columns = table()
    path = write(tmp_path / "clean.csv", columns)
    status, out, _ = kexp("doctor", path, "--target", "answer", "--home", tmp_path)
    assert status == 0
    assert "nothing found" in " ".join(out.split())
    spelt(columns)
    status, out, _ = kexp("doctor", write(path, columns), "--target", "answer", "--home", tmp_path)
    assert status == 0
    assert "spellings" in out
    copied(columns)
    status, out, _ = kexp("doctor", write(path, columns), "--target", "answer", "--home", tmp_path)
    assert status == 1
    assert "target_copy" in out
    status, out, _ = kexp("doctor", path, "--target", "answer", "--drop", "verdict", "--home", tmp_path)
    assert status == 0


def test_the_command_speaks_json(tmp_path, kexp):
    columns = table()
    copied(columns)
    path = write(tmp_path / "copy.csv", columns)
    status, out, _ = kexp("doctor", path, "--target", "answer", "--home", tmp_path, "--json")
    document = json.loads(out)
    assert (status, document["ok"], document["of"]) == (1, False, str(path))
    assert document["findings"][0]["name"] == "target_copy"
    assert document["findings"][0]["where"] == ["verdict"]


def test_nothing_there_is_one_message(tmp_path, kexp):
    status, out, err = kexp("doctor", tmp_path / "nothing.csv", "--home", tmp_path)
    assert (status, out) == (1, "")
    assert "does not exist" in err


def test_init_tells_what_is_grave_and_where_more_is_said(tmp_path, kexp):
    columns = table()
    copied(columns)
    constant(columns)
    path = write(tmp_path / "copy.csv", columns)
    status, out, _ = kexp("init", path, "--target", "answer", "--home", tmp_path)
    assert status == 0
    assert "✗ Column 'verdict' is the target" in out
    assert "kexp doctor" in out
    toml = (tmp_path / "experiments" / "copy.toml").read_text()
    assert "# doctor: Column 'verdict'" in toml
    status, out, _ = kexp("doctor", tmp_path / "experiments" / "copy.toml", "--home", tmp_path)
    assert status == 1


def test_findings_fit_80_columns():
    long = case.finding(
        "twins", "error", "rows " * 40, [f"a very long name of a file {i}.csv row {i}" for i in range(9)], "x " * 90
    )
    console = Console(width=80, markup=False)
    with console.capture() as shown:
        console.print(screen.findings([long], "data"))
        console.print(*screen.brief([long], "data"), sep="\n")
    lines = shown.get().splitlines()
    assert max(map(len, lines)) <= 80
    assert "4 more" in shown.get()


def test_the_help_of_the_command_names_what_it_is_for(kexp):
    status, out, _ = kexp("doctor", "--help")
    assert status == 0
    assert "EXPERIMENT.toml|DATA|RUN" in out
    assert "doctor" in cli.commands.commands
