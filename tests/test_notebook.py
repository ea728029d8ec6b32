"""A run as a notebook shows it."""

from __future__ import annotations

import re

from kexp.notebook import SHOWN, html
from kexp.records import Trial, to_json


def trial(id, **more):
    values = {"activation": "relu", "units": 8 * (id + 1)}
    given = {"values": values, "score": 0.9, "parameters": 1234, "seconds": 65.0, "status": "completed", "seed": 0}
    return to_json(Trial(**{"id": id, "factory": "dense", **given, "epochs": 3, **more}))


def shown(*trials, best=0, **more):
    document = {"run": "photos", "objective": "accuracy", "best": best, "reason": "why", "trials": list(trials), **more}
    return html(document)


def cells(page):
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", page)]


def test_the_best_trials_with_what_differs_between_them():
    page = shown(trial(1), trial(0, bytes=2500, latency_ms=0.0123), best=1)
    assert cells(page) == [
        ["", "trial", "accuracy", "weights", "size", "ms", "time", "factory", "values"],
        ["★", "1", "0.9000", "1,234", "", "", "1:05", "dense", "units=16"],
        ["", "0", "0.9000", "1,234", "2.5 KB", "0.0123", "1:05", "dense", "units=8"],
    ]
    assert "<b>photos</b>, best trial: 1" in page and "activation=relu units=16" in page and "<p>why</p>" in page


def test_the_metric_of_the_file_is_shown_where_it_ranks():
    file = {"variant": "tflite_int8", "shipped": {"accuracy": 0.875}}
    rows = cells(shown(trial(1, **file), trial(0), best=1))
    assert [row[2:4] for row in rows] == [["accuracy", "int8"], ["0.9000", "0.8750"], ["0.9000", ""]]


def test_no_column_of_files_where_there_are_none():
    assert cells(shown(trial(0)))[0] == ["", "trial", "accuracy", "weights", "time", "factory", "values"]


def test_trials_that_repeat_failed_or_were_refused():
    again = trial(2, stage="confirm", parent=0)
    failed = trial(1, status="failed", score=None, message="out of memory")
    rows = cells(shown(trial(0), again, failed, trial(3, status="infeasible", score=None)))
    assert [row[-1] for row in rows[1:]] == ["units=8", "as trial 0, again", "failed: out of memory"]


def test_what_users_wrote_is_text():
    page = shown(trial(0, factory="<b>", values={"name": '"><script>'}), reason="<i>", turned="<s>", run="<u>")
    assert not re.search(r"<script>|<i>|<s>|<u>|<td[^>]*><b>", page)
    assert "<p>&lt;s&gt;</p>" in page


def test_many_trials_are_counted():
    page = shown(*map(trial, range(SHOWN + 2)))
    assert len(cells(page)) == SHOWN + 1 and f"{SHOWN + 2} trials; the first {SHOWN} are shown." in page


def test_a_run_without_a_model_says_so():
    assert "best trial: none yet" in shown(best=None, reason="")
