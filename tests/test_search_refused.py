"""What cannot ship does not win: files that the gate refuses, or that cannot be made, in choice, search and screen."""

from __future__ import annotations

import dataclasses
import io
import re
from types import SimpleNamespace

import pytest
from rich.console import Console
from test_search import prepared
from test_search_choose import JUDGE, trial
from test_search_files import REQUEST, FakeConverters, looped, refused, shipped
from test_search_loop import SPEC

from kexp import export, leaderboard, pipeline, screen, verify
from kexp.data.dataset import Dataset
from kexp.experiment import asked
from kexp.export.source import CARES
from kexp.front import Aim, front, shippable
from kexp.records import EVERY, Costs, Experiment
from kexp.search import search
from kexp.search.confirm import NO_FOLDS, Confirming
from kexp.search.convert import Converter, Request
from kexp.search.files import Files
from kexp.search.keep import keep_best
from kexp.store import RunStore


def test_a_file_that_the_gate_refuses_does_not_win():
    best, second = shipped(trial(0, 0.97), 0.97), shipped(trial(1, 0.93, units=8), 0.93)
    assert JUDGE.choose([best, second], [])[0].id == 0
    chosen, why = JUDGE.choose([refused(best), second], [])
    assert (chosen.id, why.partition("; ")[2]) == (1, "of 1 other candidate(s) no file can ship")
    again = [shipped(trial(2, 0.97, parent=0), 0.97), shipped(trial(3, 0.93, parent=1, units=8), 0.93)]
    assert JUDGE.choose([refused(best), second], again)[0].id == 2  # under another seed it passes
    assert JUDGE.choose([refused(best), second], [refused(again[0]), again[1]])[0].parent == 1
    chosen, why = JUDGE.choose([refused(best), refused(second)], [refused(again[0]), again[1]])
    assert (chosen.id, why.startswith("candidate 1: mean validation accuracy 0.93 over 2 run(s)")) == (3, True)
    chosen, why = JUDGE.choose([refused(best), refused(second)], [])
    assert (chosen.id, why.partition(";")[0]) == (0, "the gate refuses every file that was made")
    assert shippable([refused(best), second]) == [second]
    assert shippable([refused(best), refused(second)]) == [refused(best), refused(second)]


def test_a_candidate_stands_with_all_its_runs_not_with_those_that_pass():
    files = [shipped(trial(0, 0.96), 0.96), shipped(trial(1, 0.96, units=8), 0.96)]
    scores = {0: (0.90, 0.95, 0.99, 0.94, 0.92), 1: (0.96, 0.97, 0.95, 0.96, 0.96)}
    again = [
        dataclasses.replace(shipped(trial(10 * id + k, score, parent=id, units=8 * id), score), fold=k)
        for id, some in scores.items()
        for k, score in enumerate(some, 1)
    ]
    again = [one if one.shipped["accuracy"] == 0.99 or one.parent else refused(one) for one in again]
    judge = dataclasses.replace(JUDGE, folded=500)
    chosen, why = judge.choose(files, again)
    assert chosen.parent == 1
    assert "0.96 over 5 fold(s)" in why
    lone = [one for one in again if one.parent == 0]
    chosen, why = judge.choose(files, lone)
    assert chosen.shipped["accuracy"] == 0.99  # of those that pass
    assert "0.94 over 5 fold(s), 0.9 to 0.99" in why


def test_what_has_no_file_is_a_way_out_of_a_refusal_unless_it_is_far_behind():
    best = refused(shipped(trial(0, 0.97), 0.97))
    assert JUDGE.choose([best, trial(4, 0.96, units=8)], [])[0].id == 4
    assert JUDGE.choose([refused(shipped(trial(0, 1.0), 1.0)), trial(4, 0.997)], [])[0].id == 4
    few = [
        refused(dataclasses.replace(shipped(trial(k, s, parent=0, units=0), s), fold=k)) for k, s in ((1, 0.9), (2, 1))
    ]
    judge = dataclasses.replace(JUDGE, rows=30, folded=60)
    assert judge.choose([refused(shipped(trial(0, 0.967), 0.967)), trial(4, 0.96, units=8)], few)[0].id == 4
    chosen, why = JUDGE.choose([best, trial(4, 0.90, units=8)], [])
    assert (chosen.id, why.startswith("the gate refuses every file")) == (0, True)
    again = refused(shipped(trial(7, 0.99, parent=0, units=0, epochs=9), 0.99))  # of these the longer tells how far
    assert JUDGE.choose([best, trial(4, 0.96, units=8)], [again])[1].startswith("the gate refuses every file")
    none = REQUEST.unmade(trial(5, 0.96, units=8), "no such operator")
    assert JUDGE.choose([best, none], [])[0].id == 0
    assert JUDGE.choose([none, shipped(trial(6, 0.90), 0.90)], [])[0].id == 6
    assert JUDGE.choose([none], [])[1].startswith("no file that was tried can be made; ")
    limited = dataclasses.replace(JUDGE, max_size=900)
    chosen, why = limited.choose([shipped(trial(0, 0.97), 0.97, 1100), none], [])
    assert (chosen.id, why.startswith("no file is within the limits; trial 0 is the nearest, 1.22 times")) == (0, True)
    chosen, why = limited.choose([best, shipped(trial(6, 0.90), 0.90, 950)], [])
    assert (chosen.id, why.startswith("no file is within the limits; trial 6")) == (6, True)  # it is no more than large
    alone = REQUEST._replace(ships=False).unmade(trial(5, 0.96, units=8), "no such operator")
    assert JUDGE.choose([alone, trial(6, 0.95)], [])[0].id == 5  # nothing is lost: it was not to ship


def test_of_runs_that_were_not_tried_and_one_that_passes_the_latter_ships():
    again = [shipped(trial(1, 0.94, parent=0), 0.94), trial(2, 0.95, parent=0)]
    assert JUDGE.choose([trial(0, 0.9, epochs=1)], again)[0].id == 1


def test_the_best_is_trained_on_all_rows_unless_that_file_cannot_ship():
    explored = shipped(trial(0, 0.95), 0.95, 900)
    fold = dataclasses.replace(shipped(trial(1, 0.95, parent=0, units=0), 0.95, 900), fold=1)
    refit = dataclasses.replace(shipped(trial(2, 0.95, parent=0, units=0), 0.95, 900), fold=EVERY, stage="refit")
    best, why = JUDGE.choose([explored], [fold, refit])
    assert (best.id, why.endswith("trained once more on all rows but the test rows")) == (2, True)
    assert JUDGE.choose([explored], [fold, refused(refit)])[0].id == 1
    large = dataclasses.replace(refit, bytes=1100)
    assert dataclasses.replace(JUDGE, max_size=1000).choose([explored], [fold, large])[0].id == 1
    assert JUDGE.choose([refused(explored)], [refused(fold), refused(refit)])[0].id == 2
    other = shipped(trial(3, 0.9, units=8), 0.9, 900)
    best, why = JUDGE.choose([refused(explored), other], [refused(fold), refit])  # it passes: so does its candidate
    assert (best.id, why.startswith("candidate 0: mean"), "no file can ship" in why) == (2, True, False)


def test_what_learnt_all_rows_ships_whichever_candidate_its_files_make_the_better_one():
    explored, again = [shipped(trial(id, 0.95), 0.95) for id in (0, 1)], []
    for id, file in ((0, 0.94), (1, 0.95)):
        runs = [shipped(trial(10 * id + k, 0.95, parent=id, units=id), file) for k in (2, 3)]
        again += [dataclasses.replace(run, fold=k) for k, run in enumerate(runs, 1)]
    assert JUDGE.choose(explored, again)[0].parent == 1
    refit = dataclasses.replace(shipped(trial(30, 0.94, parent=0, units=0), 0.94), fold=EVERY, stage="refit")
    assert JUDGE.choose(explored, [*again, refit])[0].id == 30
    assert JUDGE.choose(explored, [*again, refused(refit)])[0].parent == 1
    short = dataclasses.replace(refit, status="stopped", epochs=1)  # stands with the scores of its folds all the same
    assert JUDGE.choose(explored, [*again, short])[0].parent == 1
    assert shippable([*explored, *again, short]) == explored


def test_an_equal_candidate_is_no_way_out():
    best, twin = refused(shipped(trial(0, 0.95), 0.95)), dataclasses.replace(trial(1, 0.95, units=0), same_as=0)
    assert JUDGE.choose([best, twin, trial(2, 0.94)], [])[0].id == 2


def test_a_refit_that_is_refused_is_neither_the_front_nor_the_best(tmp_path):
    explored = shipped(trial(0, 0.95), 0.95, 900)
    fold = dataclasses.replace(shipped(trial(1, 0.95, parent=0), 0.95, 900), fold=1)
    refit = dataclasses.replace(shipped(trial(2, 0.95, parent=0), 0.95, 900), fold=EVERY, stage="refit")
    assert shippable([explored, fold, refit]) == [refit]
    assert shippable([explored, fold, refused(refit)]) == [explored]
    with prepared(tmp_path, trials=1, epochs=1, finalists=0) as run:
        run.set("task", "multiclass")
        run.set("chosen", 1)
        for one in (explored, fold, refused(refit)):
            run.record_ask(one)
            run.record_tell(one)
        found = leaderboard.fronted(run)
    assert (sorted(t.id for t in found.trials), found.picks["best"].id) == ([0, 1], 1)


def test_what_the_gate_refused_is_not_run_again():
    board = SimpleNamespace(experiment=Experiment(name="on", data="d", finalists=2), judge=JUDGE, now=list)
    confirming = Confirming(board, SPEC, NO_FOLDS, together=False)
    trials = [
        refused(shipped(trial(0, 0.97, units=1), 0.97)), shipped(trial(1, 0.96, units=2), 0.96),
        trial(2, 0.955, units=1), trial(3, 0.95, units=3),
    ]  # fmt: skip
    assert [t.id for t in confirming.leaders(trials)] == [1, 3]  # 2 is 0 on another rung
    passing = shipped(trial(4, 0.97, units=1, epochs=9), 0.97)  # and that passes
    assert [t.id for t in confirming.leaders([*trials, passing])] == [4, 1, 3]
    assert [t.id for t in confirming.leaders(trials[:1])] == [0]


@pytest.mark.parametrize("objectives", [(), ("size",)])
def test_a_search_looks_beyond_what_the_gate_refuses(tmp_path, monkeypatch, objectives):
    plain, _ = looped(tmp_path, "plain", objectives=objectives)
    spoilt = plain[max((t for t in plain if t.shipped), key=lambda t: t.shipped["accuracy"]).id].values
    convert = FakeConverters.convert
    monkeypatch.setattr(
        FakeConverters, "convert",
        lambda self, *args: (refused(one) if one.values == spoilt else one for one in convert(self, *args)),
    )  # fmt: skip
    trials, made = looped(tmp_path, "refused", objectives=objectives)
    assert any(t.refused for t in trials)
    assert not any(t.values == spoilt for t in trials if t.stage == "confirm")
    passing = [t for t in trials if t.shipped and not t.refused]
    assert JUDGE.choose([t for t in trials if t.stage == "explore"], [t for t in trials if t.parent])[0] in passing
    assert {t.id for t in front(shippable(trials), Aim("accuracy", "max", ("size",)))} <= set(made)


def test_what_only_a_refused_file_is_better_than_has_a_file(monkeypatch):
    best = refused(shipped(trial(0, 0.97), 0.97, 100))
    costs = Costs(parameters=1, bytes=900, macs=1, operators=1, memory=1)
    second, third = (dataclasses.replace(trial(id, score), costs=costs) for id, score in ((1, 0.96), (2, 0.95)))
    board = SimpleNamespace(
        experiment=Experiment(name="on", data="d", objectives=("size",)), judge=JUDGE, again=None, timed=False,
        aim=Aim("accuracy", "max", ("size",)), known={t.id: t for t in (best, second, third)},
    )  # fmt: skip
    made = []
    files = Files(board, FakeConverters())
    monkeypatch.setattr(files, "make", lambda trials, *_, **__: made.extend(t.id for t in trials))
    files.ship(best)
    assert made == [0, 1]


def test_settling_ends_when_every_file_is_refused(tmp_path, monkeypatch):
    convert = FakeConverters.convert
    monkeypatch.setattr(FakeConverters, "convert", lambda self, *args: map(refused, convert(self, *args)))
    trials, made = looped(tmp_path, "refused", trials=30, finalists=0)
    assert 1 <= len(made) < 30
    chosen, why = JUDGE.choose(trials, [])
    assert (chosen.id in made) == why.startswith("the gate refuses every file")


def test_a_file_that_is_refused_says_why(tmp_path, monkeypatch):
    with prepared(tmp_path, trials=2, epochs=1, finalists=0) as run, run.lock():
        dataset = Dataset.open(run.data)
        search(run.experiment, dataset, run, workers=1)
        converter = Converter(Request(str(tmp_path), run.name, "tflite_int8", ("kexp.models.layers",)))
        with monkeypatch.context() as patch:
            patch.setattr(verify, "QUANTISED", verify.Limits(1e-9, 0.5))
            for one in run.trials():
                run.record_file(converter.convert(one))
        assert all(re.fullmatch("tflite_int8 gap .*, limit 1e-09", one.refused) for one in run.trials())
        keep_best(run, dataset, run.experiment)
        document = leaderboard.document(run)
    assert document["reason"].startswith("the gate refuses every file")
    shown = io.StringIO()
    Console(file=shown, width=160).print(screen.leaderboard(document, 9))
    assert shown.getvalue().count("the gate refuses tflite_int8 gap") == 2


def test_each_file_is_made_with_the_care_of_an_export(tmp_path, monkeypatch):
    question, _ = asked("sklearn:digits", trials=1, epochs=1, finalists=0, formats=("tflite_uint8",), folds=0)
    pipeline.search(question, home=tmp_path, workers=1)
    seen, write = [], export.write
    monkeypatch.setattr(verify, "QUANTISED", verify.Limits(1e-9, 0.5))
    monkeypatch.setattr(
        export, "write", lambda name, source, path: seen.append(source.care) or write(name, source, path)
    )
    with RunStore.open(tmp_path, "digits") as run:
        converter = Converter(Request(str(tmp_path), run.name, "tflite_uint8", ("kexp.models.layers",)))
        assert converter.convert(run.trials()[0]).refused
    assert set(CARES) <= set(seen)


def test_no_file_is_refused_that_is_not_to_ship(tmp_path, monkeypatch):
    with prepared(tmp_path, trials=1, epochs=1, finalists=0, formats=("keras",)) as run, run.lock():
        search(run.experiment, Dataset.open(run.data), run, workers=1)
        monkeypatch.setattr(verify, "QUANTISED", verify.Limits(1e-9, 0.5))
        converter = Converter(Request(str(tmp_path), run.name, "tflite_int8", ("kexp.models.layers",), ships=False))
        assert (found := converter.convert(run.trials()[0])).shipped
        assert not found.refused


def test_a_search_that_goes_on_with_other_tolerances_judges_its_files_anew(tmp_path):
    with prepared(tmp_path, trials=2, epochs=1, finalists=0) as run, run.lock():
        dataset = Dataset.open(run.data)
        search(run.experiment, dataset, run, workers=1)
        assert any(t.shipped for t in run.trials())
        for one in run.trials():
            run.record_file(refused(one))
        search(run.experiment, dataset, run, workers=1)
        assert all(t.refused for t in run.trials())
        question = dataclasses.replace(run.experiment, tolerances={"tflite": 0.9})
        run.remember(question, run.fingerprint)
        search(question, dataset, run, workers=1)
        assert not any(t.refused for t in run.trials())
        assert any(t.shipped for t in run.trials())


def test_what_is_chosen_has_weights(tmp_path):
    with prepared(tmp_path, trials=3, epochs=1, finalists=0) as run, run.lock():
        dataset = Dataset.open(run.data)
        search(run.experiment, dataset, run, workers=1)
        best = keep_best(run, dataset, run.experiment)
        run.weights(best.id).unlink()
        assert keep_best(run, dataset, run.experiment).id != best.id
    scores = {0: (0.90, 0.90, 0.99), 1: (0.96, 0.96, 0.96)}
    again = [
        dataclasses.replace(shipped(trial(10 * id + k, score, parent=id, units=id), score), fold=k)
        for id, some in scores.items()
        for k, score in enumerate(some, 1)
    ]
    explored = [shipped(trial(0, 0.95), 0.95), shipped(trial(1, 0.95), 0.95)]
    left = (3, 12)
    assert JUDGE.choose(explored, again, lambda t: t.id in left)[0].id == 12  # by the mean of all
    assert JUDGE.choose(explored, again, lambda t: t.id == 3)[0].id == 3
    assert JUDGE.choose(explored, again, lambda t: False)[0].parent == 1


@pytest.mark.parametrize("allowed", [{}, {"tflite": 0.6}, {"tflite": 0.6, "tflite_int8": 0.4}])
def test_a_search_allows_the_drop_that_the_experiment_allows(tmp_path, monkeypatch, allowed):
    with prepared(tmp_path, trials=1, epochs=1, finalists=0, tolerances=allowed) as run, run.lock():
        search(run.experiment, Dataset.open(run.data), run, workers=1)
        (done,) = run.trials()
        converter = Converter(Request(str(tmp_path), run.name, "tflite_int8", ("kexp.models.layers",)))
        monkeypatch.setattr(verify, "drop", lambda *_: 0.5)
        assert bool(converter.convert(done).refused) == (allowed != {"tflite": 0.6})


def test_what_cannot_be_converted_says_why_and_the_search_goes_on(tmp_path, monkeypatch):
    with prepared(tmp_path, trials=1, epochs=1, finalists=0) as run, run.lock():
        search(run.experiment, Dataset.open(run.data), run, workers=1)
        (done,) = run.trials()
        assert done.shipped

        def refuse(*_):
            raise ValueError("no such operator")

        converter = Converter(Request(str(tmp_path), run.name, "tflite_int8", ("kexp.models.layers",)))
        monkeypatch.setattr("kexp.export.write", refuse)
        refused = converter.convert(dataclasses.replace(done, shipped={}, bytes=None))
        assert not refused.shipped
        assert refused.message == "tflite_int8 cannot be made: ValueError: no such operator"
        assert converter.probe((done.factory, done.values)) is None
