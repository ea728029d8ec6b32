"""The command line: help, usage, messages, exit status, --json; and the whole line once, in real processes."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from kexp import cli, live, screen
from kexp.predict import Prediction
from kexp.records import Artifact, Check, Trial
from kexp.search.events import Event

COMMANDS = list(cli.commands.commands)


# -- help and usage ------------------------------------------------------------------------------


def test_help_lists_the_commands_in_the_order_of_the_work(kexp):
    status, out, _ = kexp("--help")
    assert status == 0
    assert re.findall(r"^  (\w+)  ", out.partition("Commands:")[2], flags=re.MULTILINE) == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(kexp, command):
    status, out, _ = kexp(command, "--help")
    assert status == 0
    assert f"Examples:\n    kexp {command}" in out
    assert not [line for line in out.splitlines() if len(line) > 80]
    for parameter in cli.commands.commands[command].params:
        assert parameter.param_type_name == "argument" or parameter.help, parameter.name


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_speaks_json(command):
    assert "--json" in {option for parameter in cli.commands.commands[command].params for option in parameter.opts}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "option", "module", "table"),
    [
        ("search", "oracle", "kexp.search.oracles", "ORACLES"),
        ("search", "factory", "kexp.models", "FACTORIES"),
    ],
)
def test_help_names_every_row_of_a_table(command, option, module, table):
    told = next(p.help for p in cli.commands.commands[command].params if p.name == option)
    assert set(getattr(importlib.import_module(module), table)) <= set(re.findall(r"\w+", told))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serch"], "No such command 'serch'"),
        (["search"], "Missing argument"),
        (["search", "d", "--trials", "0"], "--trials"),
        (["search", "d", "--trials", "x"], "--trials"),
        (["search", "d", "--time", "soon"], "1h30m"),
        (["search", "d", "--size", "48*64"], "48x64"),
        (["search", "d", "--max-parameters", "0"], "100k"),
        (
            ["search", "d", "--max-parameters", "many"],
            '\'many\': a number such as 100000, "100k" or "1.5M" is expected',
        ),
        (["search", "d", "--max-size", "big"], "'big': a size such as \"150kB\""),
        (["search", "d", "--max-memory", "0"], '"150kB"'),
        (["search", "d", "--max-latency", "5m"], '"5ms"'),
        (["search", "d", "--task", "sorting"], "clustering"),
        (["search", "d", "--oracle", "bayesain"], "Did you mean 'bayesian'?"),
        (["export", "--format", "tflite_int"], "Did you mean 'tflite_int8'?"),
        (["export", "--tolerance", "0.1"], "tflite_int8=0.02"),
        (["export", "--tolerance", "tflite_int8=-1"], "tflite_int8=0.02"),
        (["run", "model.tflite"], "Missing argument"),
        (["run", "model.tflite", "x.png", "--top", "0"], "--top"),
        (["list", "--colour"], "No such option"),
    ],
)
def test_wrong_usage_exits_2_and_says_what_is_right(kexp, home, arguments, said):
    status, out, err = kexp(*arguments)
    assert (status, out) == (2, "")
    assert said in err
    assert "Traceback" not in err


# -- what a person can mend ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["search", "nothing.toml"], "nothing.toml does not exist"),
        (["show", "photos"], "photos"),
        (["evaluate"], "no run"),
        (["export", "photos"], "photos"),
        (["clean", "photos"], "photos"),
        (["verify", "nowhere"], "nowhere"),
        (["run", "nothing.tflite", "x.png"], "nothing.tflite"),
        (["init", "nothing.csv"], "nothing.csv does not exist"),
    ],
)
def test_what_a_person_can_mend_is_one_message_and_exit_1(kexp, home, monkeypatch, arguments, said):
    monkeypatch.chdir(home)
    status, out, err = kexp(*arguments)
    assert (status, out) == (1, "")
    assert err.startswith("error: ")
    assert said in err
    assert "Traceback" not in err


def test_with_json_an_error_is_a_document_too(kexp, home):
    status, out, err = kexp("show", "nosuch", "--json")
    assert status == 1
    assert err.startswith("error: ")
    assert "nosuch" in json.loads(out)["error"]


def test_a_bad_experiment_file_is_named_with_line_and_key(kexp, home):
    path = home / "photos.toml"
    path.write_text('data = "photos"\ntrails = 3\n')
    status, _, err = kexp("search", path)
    assert status == 1
    assert err.startswith(f"error: {path}:2: unknown key 'trails'. Did you mean 'trials'?")


def test_no_runs_are_no_error(kexp, home):
    assert kexp("list")[0] == 0
    status, out, _ = kexp("list", "--json")
    assert (status, json.loads(out)) == (0, {"runs": []})


def test_a_bug_keeps_its_traceback(kexp, home, monkeypatch):
    from kexp import pipeline

    monkeypatch.setattr(pipeline, "runs", lambda home: 1 / 0)
    monkeypatch.setattr(sys, "argv", ["kexp", "list"])
    with pytest.raises(ZeroDivisionError):
        cli.main()


def test_one_damaged_file_is_no_crash(kexp, home):
    (home / "model.tflite").write_bytes(b"\x00" * 200)
    status, _, err = kexp("run", home / "model.tflite", home / "x.png")
    assert status == 1
    assert "model.tflite" in err


# -- json ----------------------------------------------------------------------------------------


def test_json_is_one_line_of_stdout_whatever_else_is_printed(kexp, home, monkeypatch):
    from kexp import pipeline

    def chatty(home):
        print("from Python")
        os.write(1, b"from native code\n")
        subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
        return [{"name": "a", "kind": "table", "task": "binary", "trials": 1, "best": math.nan, "created": "2026"}]

    monkeypatch.setattr(pipeline, "runs", chatty)
    status, out, err = kexp("list", "--json")
    assert status == 0
    assert out.count("\n") == 1
    assert json.loads(out)["runs"][0]["best"] is None
    assert "from Python" in err


def test_a_failed_check_exits_1_and_is_in_the_json(kexp, home, monkeypatch):
    from kexp import pipeline

    bad = Check(name="tflite_int8 gap", value=math.nan, limit=0.1, ok=False, advice="look")
    monkeypatch.setattr(pipeline, "verify_folder", lambda folder: ([], [bad]))
    status, out, _ = kexp("verify", home, "--json")
    assert status == 1
    assert json.loads(out)["checks"] == [
        {"name": "tflite_int8 gap", "value": None, "limit": 0.1, "ok": False, "advice": "look"}
    ]
    monkeypatch.setattr(pipeline, "verify_folder", lambda folder: ([], []))
    assert kexp("verify", home)[0] == 0


# -- search --------------------------------------------------------------------------------------


DOCUMENT = {"run": "photos", "objective": "accuracy", "best": None, "trials": []}


@pytest.fixture
def searched(monkeypatch):
    """What `pipeline.search` is asked, without a search; it ends as "ended" says."""
    from kexp import pipeline

    asked = {"ended": True}

    def search(question, **options):
        asked.update(options, question=question)
        return asked["ended"]

    monkeypatch.setattr(pipeline, "search", search)
    monkeypatch.setattr(pipeline, "show", lambda home, name: {**DOCUMENT, "run": name})
    return asked


def test_search_on_data_derives_the_experiment(kexp, home, searched):
    status, out, _ = kexp(
        *(
            "search",
            "data/adult.csv",
            "--target",
            "income",
            "--target",
            "age",
            "--time",
            "90s",
            "--size",
            "8x9",
        ),
        *("--drop", "id", "--workers", "2", "--fresh", "--objective", "rmse", "--seed", "0"),
    )
    assert status == 0
    assert "kexp export adult --tflite" in out
    question = searched["question"]
    assert (question.name, question.data, question.target) == ("adult", "data/adult.csv", ("income", "age"))
    assert (question.seconds, question.trials, question.size, question.drop) == (90.0, None, (8, 9), ("id",))
    assert (question.objective, question.seed) == ("rmse", 0)
    assert (searched["workers"], searched["fresh"], searched["base"], searched["home"]) == (
        2,
        True,
        Path(),
        home,
    )


def test_search_on_a_file_takes_its_word_but_for_options(kexp, home, searched):
    path = home / "photos.toml"
    path.write_text('data = "photos"\ntrials = 5\nseed = 3\n')
    assert kexp("search", path, "--trials", 9, "--name", "mine")[0] == 0
    question = searched["question"]
    assert (question.name, question.trials, question.seconds, question.seed) == ("mine", 9, None, 3)
    assert searched["base"] == home


@pytest.mark.parametrize(("given", "count"), [("100k", 100_000), ("1.5M", 1_500_000), ("4321", 4321), (None, 500)])
def test_search_takes_a_limit_from_the_command_line_or_the_file(kexp, home, searched, given, count):
    path = home / "photos.toml"
    path.write_text('data = "photos"\nmax_parameters = 500\n')
    options = [] if given is None else ["--max-parameters", given]
    assert kexp("search", path, *options)[0] == 0
    assert searched["question"].max_parameters == count


def test_search_takes_limits_of_what_ships(kexp, home, searched):
    given = ("--max-size", "150kB", "--max-latency", "5ms", "--max-memory", "256kB", "--max-parameters", "100k")
    assert kexp("search", "photos", *given)[0] == 0
    asked = searched["question"]
    found = (asked.max_size, asked.max_latency, asked.max_memory, asked.max_parameters)
    assert found == (150_000, 5.0, 256_000, 100_000)


def test_search_has_a_default_budget(kexp, home, searched):
    kexp("search", "photos")
    assert (searched["question"].trials, searched["question"].seconds) == (40, 600.0)


def test_an_interrupted_search_says_so(kexp, home, searched):
    searched["ended"] = False
    status, out, err = kexp("search", "photos", "--json")
    assert (status, json.loads(out)["run"]) == (0, "photos")
    assert "interrupted" in err


def test_ctrl_c_before_anything_finished_exits_130(kexp, home, monkeypatch):
    from kexp import pipeline

    def stopped(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "search", stopped)
    status, out, err = kexp("search", "photos")
    assert (status, out) == (130, "")
    assert "interrupted" in err


@pytest.mark.parametrize(
    ("options", "formats"),
    [
        ([], []),
        (["--keras"], ["keras"]),
        (["--tflite"], ["tflite", "keras"]),
        (["--format", "tflite_int8", "--saved-model"], ["saved_model", "tflite_int8", "keras"]),
    ],
)
def test_export_asks_for_the_formats_and_always_for_keras(kexp, home, monkeypatch, options, formats):
    from kexp import pipeline
    from kexp.release import Release

    asked = []

    def export(*arguments, pick):
        asked.append((*arguments, pick))
        return Release(home, [], [], {}, True)

    monkeypatch.setattr(pipeline, "export", export)
    assert kexp("export", *options, "--tolerance", "tflite_int8=0.5")[0] == 0
    assert kexp("export", *options, "--pick", "knee")[0] == 0
    (*arguments, progress, pick), (*picked, _, how) = asked
    assert arguments == [home, None, formats, {"tflite_int8": 0.5}] and callable(progress) and pick is None
    assert picked == [home, None, formats, {}] and how == "knee"


# -- what is printed -----------------------------------------------------------------------------


def text(thing, width=80):
    stream = io.StringIO()
    Console(file=stream, width=width, markup=False, highlight=False, emoji=False).print(thing)
    return stream.getvalue()


def test_a_check_of_one_package_takes_no_column_from_the_others():
    names = ["tflite_float32", "tflite_int8", "android"]
    artifacts = [Artifact(format=name, path=f"model_{name}", bytes=1000, sha256="") for name in names]
    checks = [Check(name=f"{name} gap", value=0.5, limit=1.0, ok=True) for name in names]
    fine = Check(name="android golden answers", value=0.0, limit=0.02, ok=True)
    assert "golden answers" not in text(screen.verdicts(artifacts, [*checks, fine], {}))
    bad = Check(name="android golden answers", value=0.5, limit=0.02, ok=False, advice="Export again.")
    shown = text(screen.verdicts(artifacts, [*checks, bad], {}))
    assert "android golden answers" in shown and "Export again." in shown


def trial(id, score=0.5, **options):
    return Trial(
        **{
            "id": id,
            "factory": "dense",
            "values": {"units_0": 16 * (id + 1), "activation": "relu", "learning_rate": 0.00123456},
            "status": "completed",
            "score": score,
            "metrics": {"accuracy": score},
            "seconds": 75.0,
            "parameters": 12345,
            **options,
        }
    )


def test_the_leaderboard_fits_80_columns_and_marks_the_best():
    from kexp.records import to_json

    trials = [trial(4), trial(2), trial(3, None, status="failed", message="out of memory")]
    long = {f"a_rather_long_name_{n}": n for n in range(20)}
    trials.append(trial(5, values=long, stage="confirm", parent=4))
    told = text(screen.leaderboard({"run": "r", "objective": "accuracy", "best": 4, "trials": to_json(trials)}, top=3))
    lines = told.splitlines()
    assert max(map(len, lines)) <= 80
    assert re.match(r"★ +4 +0\.5000 +12,345 +1:15  units_0=80 *$", lines[2])
    assert "failed: out of memory" in told
    assert "3 completed, 1 failed; the first 3 are shown" in told
    assert "best  trial 4, dense: units_0=80 activation=relu learning_rate=0.00123" in told


def test_the_leaderboard_shows_what_was_chosen_wherever_it_stands():
    from kexp.records import to_json

    trials = to_json([trial(id, 0.9 - id / 100) for id in range(6)])
    told = text(screen.leaderboard({"run": "r", "objective": "accuracy", "best": 4, "trials": trials}, top=2))
    ids = re.findall(r"^(★?) +(\d) +0\.", told, re.M)
    assert ids == [("", "0"), ("", "1"), ("★", "4")]


def test_the_leaderboard_tells_the_metric_size_and_milliseconds_of_the_file_that_ranks():
    from kexp.records import to_json

    file = {"variant": "tflite_int8", "shipped": {"accuracy": 0.45}, "bytes": 14_600, "latency_ms": 0.0126}
    trials = to_json([trial(4, **file), trial(2)])
    told = text(screen.leaderboard({"run": "r", "objective": "accuracy", "best": 4, "trials": trials}, top=3))
    head, first, second = told.splitlines()[1:4]
    assert head.split() == ["trial", "accuracy", "int8", "size", "ms", "time", "values"]
    assert first.split()[1:8] == ["4", "0.5000", "0.4500", "14.6", "KB", "0.013", "1:15"]
    assert second.split()[:3] == ["2", "0.5000", "1:15"]  # no file was made of it


def test_the_leaderboard_counts_what_was_too_large_and_lists_none_of_it():
    from kexp.records import to_json

    large = [trial(n, None, status="infeasible", message="has 9,999 parameters") for n in range(5, 8)]
    trials = [trial(4), trial(2, None, status="failed", message="x"), *large, trial(9, stage="confirm", parent=4)]
    document = {"run": "r", "objective": "accuracy", "best": 4, "trials": to_json(trials)}
    told = text(screen.leaderboard({**document, "experiment": {"max_parameters": 1000}}, top=9))
    assert "2 completed, 1 failed\n3 of 5 proposals had more than 1,000 parameters\n" in re.sub(" +\n", "\n", told)
    assert "infeasible" not in told and "9,999" not in told
    limits = {"max_size": 150_000, "max_latency": 5.0, "max_memory": 256_000, "max_parameters": None}
    told = text(screen.leaderboard({**document, "experiment": limits}, top=9))
    assert "3 of 5 proposals had more than 150.0 KB or 5 ms or 256.0 KB of memory" in " ".join(told.split())
    document["trials"] = to_json([trial(4)])
    assert "proposals" not in text(screen.leaderboard(document, top=9))


def test_what_users_wrote_is_not_read_as_markup():
    told = text(screen.facts([("classes", "[red]x[/red] :smile:")], ["[bold]"]))
    assert "[red]x[/red] :smile:" in told
    assert "[bold]" in told


def test_few_classes_are_a_matrix_and_many_a_list_of_confusions():
    document = {"run": "r", "split": "test", "rows": 9, "metrics": {"accuracy": 0.9}, "residuals": None}
    document["interval"] = {"metric": "accuracy", "low": 0.8, "high": 0.95, "level": 0.95}
    few = {"labels": ["cat", "dog"], "matrix": [[5, 1], [0, 3]]}
    told = text(screen.evaluation({**document, "confusion": few}))
    assert re.search(r"0 cat +5 +1", told)
    assert "0.8000 to 0.9500  (95%)" in told
    digits = {"labels": ["0", "1", "a name of more than sixteen"], "matrix": [[5, 0, 0], [0, 3, 0], [0, 0, 1]]}
    told = text(screen.evaluation({**document, "confusion": digits}))
    assert re.search(r"^0 +5 +·", told, re.MULTILINE)  # not "0 0"
    assert re.search(r"^2 a name of more", told, re.MULTILINE)
    labels = [f"class {n}" for n in range(20)]
    matrix = [[7 if (i, j) == (3, 4) else 1 if i == j else 0 for j in range(20)] for i in range(20)]
    told = text(screen.evaluation({**document, "confusion": {"labels": labels, "matrix": matrix}}))
    assert re.search(r"7 +class 3 +class 4", told)


def test_answers_that_stay_are_told():
    document = {"run": "r", "split": "test", "rows": 9, "metrics": {"balanced_accuracy": 0.9}}
    both = {"model.keras": {"same": 0.981, "value": 0.8765}, "model_int8.tflite": {"same": 0.7, "value": 0.5}}
    found = {"rows": 9, "metric": "balanced_accuracy", "changes": {"brightness 15%": both}}
    before = {"model.keras": 0.95, "model_int8.tflite": 0.94}
    told = text(screen.evaluation({**document, "consistency": {**found, "before": before}}))
    assert re.search(r"same answer +balanced_accuracy +int8 same +balanced_accuracy", told)
    assert re.search(r"brightness 15% +98\.1% +0\.8765 +70\.0% +0\.5", told)
    del both["model_int8.tflite"], before["model_int8.tflite"]
    told = text(screen.evaluation({**document, "consistency": {**found, "before": before}}))
    assert "int8" not in told and re.search(r"none +0\.95", told)
    assert "same" not in text(screen.evaluation({**document, "consistency": {**found, "changes": {}}}))


def test_the_metrics_of_each_shipped_file_are_told():
    document = {"run": "r", "split": "test", "rows": 9, "metrics": {"accuracy": 0.9, "log_loss": 0.3}}
    assert "file" not in text(screen.evaluation(document))
    files = {"model_int8.tflite": {"accuracy": 0.8765, "log_loss": 0.3456}}
    told = text(screen.evaluation({**document, "files": files}))
    assert re.search(r"file +accuracy +log_loss", told)
    assert re.search(r"model_int8\.tflite +0\.8765 +0\.3456", told)


@pytest.mark.parametrize(
    ("sources", "shown"),
    [
        (["golden/00.png", "a.csv line 2"], ["golden/00.png", "a.csv line 2"]),
        (["/a/rather/long/folder/somewhere/else/1.png", "2.png"], ["1.png", "2.png"]),
        (
            ["/a/rather/long/folder/somewhere/else/1.png", "1.png"],
            ["/a/rather/long/folder/somewhere/else/1.png", "1.png"],
        ),
    ],
)
def test_of_long_paths_the_name_is_shown_where_it_tells_enough(sources, shown):
    answers = [Prediction(source=source, label="cat", values={"cat": 0.9}, ms=0.1) for source in sources]
    told = text(screen.predictions(answers), width=200)
    assert [line.split("  ")[0].strip() for line in told.splitlines()[1:]] == shown


def test_failed_checks_and_missing_formats_are_told_with_advice():
    artifact = Artifact(format="tflite_int8", path="model_int8.tflite", bytes=33661, sha256="0")
    good = Check(name="tflite_int8 gap", value=0.0123, limit=0.1, ok=True, advice="never shown")
    bad = Check(name="tflite_float16 accuracy drop", value=0.5, limit=0.002, ok=False, advice="Look at it.")
    failures = {"tflite_float16": "as the check says", "tflite_int16x8": "the converter died by SIGSEGV"}
    told = text(screen.verdicts([artifact], [good, bad], failures))
    assert re.search(r"✓  model_int8\.tflite +33\.7 KB  0\.0123", told)
    assert "✗  tflite_float16: not kept" in told
    assert re.search(r"✗  tflite_float16 accuracy drop  0\.5000  0\.0020  Look at it\.", told)
    assert "✗ tflite_int16x8: the converter died by SIGSEGV" in told
    assert "as the check says" not in told
    assert "never shown" not in told
    assert "2 checks, 1 failed" in told


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.97412, "0.9741"), (52431.4, "52,431"), (3.2e-5, "3.2e-05"), (0, "0"), (123.456, "123.5"), (None, "-"),
     (math.nan, "-"), ("built-in", "built-in"), (math.inf, "inf")],
)  # fmt: skip
def test_numbers(value, shown):
    assert screen.number(value) == shown


def test_sizes_and_clocks():
    assert [screen.size(n) for n in (12, 33661, 1_200_000, 3e9)] == ["12 B", "33.7 KB", "1.2 MB", "3.0 GB"]
    assert [screen.clock(n) for n in (-1, 65, 3725)] == ["0:00", "1:05", "1:02:05"]


def events():
    yield Event(kind="data", text="reading", done=3, planned=9)
    yield Event(kind="stage", text="explore")
    yield Event(kind="started", trial=trial(0, None, status="running"), running=1, planned=2)
    yield Event(kind="epoch", text="epoch 1 of 2", trial=trial(0, None, status="running"))
    yield Event(kind="finished", trial=trial(0), done=1, planned=2, best=trial(0), seconds_left=65.0)
    failed = trial(1, None, status="failed", message="out of memory\nwith details")
    yield Event(kind="finished", trial=failed, done=2, planned=2, best=trial(0))


def test_elsewhere_each_finished_trial_is_one_line():
    stream = io.StringIO()
    with contextlib.redirect_stderr(stream), live.SearchView("") as view:
        for event in events():
            view(event)
    assert stream.getvalue().splitlines() == [
        "explore",
        "1/2  trial 0 dense accuracy 0.5000 in 75 s, best 0.5000 (trial 0), 1:05 left",
        "2/2  trial 1 dense failed: out of memory in 75 s, best 0.5000 (trial 0)",
    ]


def test_in_a_terminal_the_view_shows_progress_best_and_time_left():
    now = [0.0]
    view = live.SearchView("", now=lambda: now[0])
    assert "loading" in text(view._picture())
    stages = []
    for event in events():
        view(event)
        now[0] += 5
        stages.append(text(view._picture()))
    assert not any("too large" in stage for stage in stages)
    view(Event(kind="started", trial=trial(2, None, status="running"), running=1, refused=1234, done=2, planned=9))
    assert "2/9 trials, 1 running, 1,234 too large" in text(view._picture())
    assert "reading 3/9" in stages[0]
    assert "0/2 trials, 1 running" in stages[2]
    assert "epoch 1 of 2" in stages[3]
    assert "1/2 trials, 1:00 left" in stages[4]
    assert "best  accuracy 0.5000  trial 0  dense units_0=16" in stages[4]
    assert all(len(line) <= 80 for stage in stages for line in stage.splitlines())


# -- the whole line ------------------------------------------------------------------------------


def real(*arguments, home, status=0):
    """The installed command, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "kexp", *map(str, arguments)],
        env={**os.environ, "KEXP_HOME": str(home)},
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done


@pytest.mark.slow
def test_the_whole_line_from_digits_to_answers(tmp_path):
    def answer(*arguments):
        return json.loads(real(*arguments, "--json", home=tmp_path).stdout)

    found = answer("search", "sklearn:digits", "--trials", "2", "--epochs", "3", "--workers", "1")
    assert found["run"] == "digits"
    runs = answer("list")["runs"]
    assert [(run["name"], run["kind"], run["task"]) for run in runs] == [("digits", "image", "multiclass")]
    board = answer("show", "digits")
    keys = {"id", "status", "factory", "values", "metrics", "seconds", "message"}
    assert all(keys <= set(trial) for trial in board["trials"])
    assert board["best"] in {trial["id"] for trial in board["trials"] if trial["status"] == "completed"}
    measured = answer("evaluate")
    assert measured["split"] == "test"
    assert 0.5 < measured["consistency"]["changes"]["shift 8%"]["model.keras"]["same"] <= 1
    assert 0.5 < measured["metrics"]["accuracy"] <= 1
    assert measured["interval"]["low"] <= measured["metrics"]["accuracy"] <= measured["interval"]["high"]

    exported = answer("export", "--tflite")
    assert exported["ok"]
    assert {"keras", "tflite_float32", "tflite_int8", "tflite_uint8"} <= {a["format"] for a in exported["artifacts"]}
    folder = tmp_path / "exported" / "digits"
    assert all(check["ok"] for check in answer("verify", folder)["checks"])

    pictures = sorted((folder / "golden").glob("*.png"))
    seen = answer("run", folder / "model_int8.tflite", *pictures, "--repeat", "3")["predictions"]
    assert [prediction["source"] for prediction in seen] == [str(path) for path in pictures]
    assert all(prediction["p50_ms"] > 0 and len(prediction["values"]) == 3 for prediction in seen)
    assert (
        "golden/00.png"
        in real("run", folder / "model_int8.tflite", "exported/digits/golden/00.png", home=tmp_path).stdout
    )

    with (folder / "model_int8.tflite").open("r+b") as file:
        file.seek(-100, os.SEEK_END)
        file.write(b"\xff" * 50)
    assert "✗" in real("verify", folder, home=tmp_path, status=1).stdout
    assert answer("clean")["bytes"] >= 0


OWN = """
import keras

@keras.saving.register_keras_serializable("own")
class Twice(keras.layers.Layer):
    def call(self, x):
        return 2 * x

def build(hp):
    inputs = keras.Input((4,))
    hidden = Twice()(keras.layers.Dense(hp.Choice("units", [8, 16]), activation="relu")(inputs))
    return keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(hidden))
"""


@pytest.mark.slow
def test_a_module_of_ones_own_is_found_in_the_current_folder_by_every_command(tmp_path):
    (tmp_path / "mine.py").write_text(OWN)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def command(*arguments, cwd=tmp_path):
        return subprocess.run(
            [Path(sys.executable).with_name("kexp"), *arguments, "--json"],
            env={**environment, "KEXP_HOME": str(tmp_path)}, cwd=cwd, capture_output=True, text=True, check=False,
        )  # fmt: skip

    for arguments in (
        ("search", "sklearn:iris", "--factory", "mine:build", "--trials", "1", "--epochs", "1", "--workers", "1"),
        ("evaluate",),
        ("export", "--format", "tflite_float32"),
        ("verify", "exported/iris"),
    ):
        done = command(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        assert json.loads(done.stdout)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for arguments in (("evaluate",), ("export", "--tflite"), ("verify", "../exported/iris")):
        done = command(*arguments, cwd=elsewhere)
        assert done.returncode == 1
        assert "'mine'" in json.loads(done.stdout)["error"]
        assert "'mine'" in done.stderr
        assert str(elsewhere) in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_running_a_file_or_listing_runs_loads_no_tensorflow(tmp_path):
    code = (
        "import sys, atexit; sys.argv = ['kexp', *sys.argv[1:]]; from kexp.cli import main;"
        "atexit.register(lambda: print({'tensorflow', 'keras'} & set(sys.modules), file=sys.stderr)); main()"
    )
    for arguments in (["list"], ["run", "nothing.tflite", "x.png"], ["show"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env={**os.environ, "KEXP_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stderr.splitlines()[-1] == "set()", done.stderr
