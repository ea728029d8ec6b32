"""The report: what each plot is made of, on records made by hand; and the whole page, in a real browser."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil

import numpy as np
import pytest
import small_models

from kexp import cli, evaluate, leaderboard, pipeline
from kexp.data.dataset import Dataset
from kexp.errors import RunError
from kexp.export.card import manifest
from kexp.front import Aim
from kexp.records import Clustering, Column, Curve, DatasetSpec, Experiment, Teacher, Trial
from kexp.report import (
    activations,
    classes,
    diagnosed,
    examples,
    front,
    history,
    importance,
    learning,
    markup,
    material,
    pictures,
    plot,
    report,
    residuals,
    samples,
    shipped,
    studied,
    summary,
    tested,
)
from kexp.store import RunStore
from kexp.verify import digest

random = np.random.default_rng(0)


def trial(id, score, **extra) -> Trial:
    metrics = {} if score is None else {"accuracy": score, "log_loss": 1 - score}
    plain = {"factory": "conv", "values": {"filters": 8}, "status": "completed", "metrics": metrics, "score": score}
    return Trial(**{"id": id, **plain, **extra})


# -- what plots are made of ----------------------------------------------------------------------


def test_the_best_so_far_is_of_explored_trials_in_the_order_of_their_ends():
    trials = [
        trial(3, 0.9, stage="confirm", parent=1),
        trial(0, 0.5),
        trial(1, 0.8),
        trial(2, 0.6),
        trial(4, None, status="failed"),
    ]
    found = history.data(trials, {0: 30.0, 1: 10.0, 2: 20.0, 3: 40.0}, upward=True)
    assert [one.trial for one in found.points] == [1, 2, 0, 3]
    assert found.best == (0.8, 0.8, 0.8, 0.8)
    assert history.data(trials, {0: 30.0, 1: 10.0, 2: 20.0, 3: 40.0}, upward=False).best == (0.8, 0.6, 0.5, 0.5)
    assert history.data([trial(4, None)], {}, upward=True) == history.History((), ())
    drawn = history.draw(found, "accuracy", True, {3})
    assert drawn.count('class="point"') == 1 and 'href="#trial-3"' in drawn and "a leading candidate again" in drawn


def test_candidates_that_were_trained_on_are_followed_from_their_first_epochs():
    trials = [
        trial(0, 0.5, epochs=2),
        trial(1, 0.7, epochs=6, parent=0),
        trial(2, 0.8, epochs=18, parent=1),
        trial(3, 0.4, epochs=2),
        trial(4, 0.9, epochs=18, parent=2, stage="confirm"),  # begins anew
    ]
    assert history.growth(trials) == [history.Growth((0, 1, 2), (2, 6, 18), (0.5, 0.7, 0.8))]
    assert history.growth(trials[:1]) == []
    assert "after 18 epochs" in history.draw_growth(history.growth(trials), "accuracy", {2})


def course(first, running, validation):
    epochs = tuple(range(first, first + len(running)))
    score = tuple(None if one is None else 1 - one for one in validation)
    return Curve(epochs=epochs, running_loss=tuple(running), validation_loss=tuple(validation), score=score)


def test_learning_curves_are_of_the_model_first_and_of_those_that_were_run_again():
    other = {"filters": 16}
    trials = [
        trial(5, 0.95, values={"filters": 32}),  # never run again
        trial(3, 0.9, stage="confirm", parent=0, epochs=3),
        trial(0, 0.9, epochs=3),
        trial(4, 0.85, stage="confirm", parent=0, epochs=3),
        trial(1, 0.8, values=other),
        trial(2, 0.7, values=other, stage="confirm", parent=1),
        trial(6, 0.6, values={"filters": 64}),  # of an earlier kexp: its training was not kept
        trial(7, None, values={"filters": 65}, status="failed"),
    ]
    curves = {id: course(1, [0.9, 0.5, 0.25], [None, 0.5, 0.75]) for id in range(6)}
    best = trials[1]
    found = learning.data(trials, curves, best, "max")
    assert [one.trial.id for one in found] == [3, 1, 5]
    assert [len(one.again) for one in found] == [1, 1, 0] and found[0].kept == 1
    assert min(learning.losses(found)) == 0.25 and max(learning.losses(found)) == 0.9
    assert learning.data(trials, {}, best, "max") == []
    drawn = learning.draw(found[0], learning.losses(found), "accuracy", {3})
    assert drawn.count('class="line"') == 2 and drawn.count('class="line thin"') == 1  # one is the legend's
    assert "trial 3: kept after epoch 2, validation loss 0.5000, accuracy 0.5000" in drawn and "#trial-3" in drawn
    gaps = course(1, [0.9, 0.5, 0.25, 0.2, 0.2], [0.5, None, 0.4, 0.3, None])
    lines = learning.draw(found[0]._replace(curve=gaps, kept=3, again=()), [0.1, 1], "accuracy", {})
    assert lines.count('class="line"') == 2 and lines.count('class="dot soft"') == 1  # no line where nothing is known
    assert learning.draw(found[0], [-1.0, 1.0], "accuracy", {})  # a loss of a user's own below zero


def test_the_front_is_what_no_smaller_network_equals():
    trials = [
        trial(0, 0.9, parameters=100),
        trial(1, 0.8, parameters=50),
        trial(2, 0.8, parameters=60),
        trial(3, 0.9, parameters=100),
        trial(4, 0.95, parameters=40, stage="confirm", parent=0, fold=1),
        trial(5, None, parameters=10, status="failed"),
    ]
    sought = Aim("accuracy", "max", ("parameters",))
    found = front.data(trials, sought)
    assert [(one.trial, one.leads) for one in found] == [(1, True), (2, False), (0, True), (3, True)]
    drawn = front.draw(found, sought, {0, 1}, best=0)
    assert "filters=8" in drawn and drawn.count('class="point"') == 4 and "chosen" in drawn
    assert re.findall(r'href="#trial-(.)"', drawn) == ["1", "0"]
    many = front.data([trial(n, n / 2000, parameters=1000 - n // 2) for n in range(1000)], sought)
    assert front.draw(many, sought, range(1000)).count('class="point"') <= front.MOST


def test_what_has_a_file_leads_and_what_has_none_is_foretold():
    file = {"shipped": {"accuracy": 0.85}, "variant": "tflite_int8", "bytes": 900, "latency_ms": 0.02}
    trials = [trial(0, 0.9, parameters=100), trial(1, 0.86, parameters=200, **file)]
    found = front.data(trials, Aim("accuracy", "max", ("size",)))
    assert [(one.trial, one.score, one.cost, one.leads, one.made) for one in found] == [
        (0, 0.9, 100.0, False, False),
        (1, 0.85, 900.0, True, True),
    ]
    assert "0.8500 as a file of 900 B, 0.02 ms (0.8600 in floats)" in found[1].told
    assert "dot again" in front.draw(found, Aim("accuracy", "max", ("size",)), set())


def test_what_the_score_hangs_on_is_found_and_what_it_does_not_is_not():
    trials = []
    for id in range(60):
        rate, words = float(10 ** random.uniform(-4, -2)), str(random.choice(["relu", "tanh"]))
        values = {"learning_rate": rate, "activation": words, "same": 3, **({"late": 1.0} if id % 2 else {})}
        trials.append(trial(id, -((np.log10(rate) + 3) ** 2), values=values, metrics={}, epochs=5))
    found = importance.data(trials, upward=True)
    assert found is not None
    assert found.names[0] == "learning_rate" and found.shares[0] > 0.8
    assert set(found.names) == {"learning_rate", "activation", "late"}  # what is the same everywhere tells nothing
    assert sum(found.shares) == pytest.approx(1) and found.fit > 0.5 and found.trials == 60
    assert importance.data(trials[:7], upward=True) is None
    assert importance.data([dataclasses.replace(one, score=0.5) for one in trials], upward=True) is None
    rate, words = importance.slices(trials, ["learning_rate", "late", "activation"])  # "late", where it is, is always 1
    assert len(rate.values) == 60
    assert "relu" in importance.draw_slice(words, "accuracy", True)
    assert "0.001" in importance.draw_slice(rate, "accuracy", True)
    assert "learning_rate" in importance.draw(found)


def test_longer_trainings_are_no_merit_of_the_values():
    trials = []
    for id in range(80):
        epochs = 30 if id % 2 else 3
        values = {"filters": int(random.integers(1, 9)), "learning_rate": float(random.uniform(1e-4, 1e-2))}
        trials.append(trial(id, epochs / 40 + float(random.normal(0, 0.01)), values=values, epochs=epochs))
    found = importance.data(trials, upward=True)
    assert found is not None and found.names[0] == importance.EPOCHS


def test_scores_by_class_have_wilsons_intervals():
    first, second, never = classes.data(["a", "b", "c"], [[8, 2, 0], [1, 9, 0], [0, 0, 0]])
    assert (first.recall.value, first.precision.value) == (0.8, 8 / 9)
    assert (first.recall.low, first.recall.high) == pytest.approx(evaluate.wilson(0.8, 10))
    assert second.precision.n == 11
    assert (never.recall.low, never.recall.high) == (0.0, 1.0) and never.recall.value != never.recall.value
    assert "never" in classes.draw([first, never])
    y, outputs = np.array([[1, 0], [1, 1], [0, 1]]), np.array([[0.9, 0.2], [0.2, 0.5], [0.6, 0.7]])
    one, two = classes.flags(("x", "y"), y, outputs)
    assert (one.recall.hits, one.recall.n, one.precision.n) == (1, 2, 2)
    assert (two.recall.hits, two.recall.n, two.precision.n) == (2, 2, 2)


def test_classes_without_a_test_row_are_not_among_those_found_least():
    counts = np.diag([4, 0, 0, *[4] * 43])  # the second and third class have no rows at all
    counts[10, 10:12] = 1, 3
    counts[44, 44:] = 2, 2
    page = tested._scores(classes.data([f"class {k:02}" for k in range(46)], counts))
    assert page.index("class 10") < page.index("class 44") < page.index("class 00")
    assert "class 01" not in page and "class 02" not in page


def test_the_confusion_matrix_is_shaded_by_share_of_the_true_class():
    found = classes.confusion(["cat", "dog"], [[3, 1], [0, 4]])
    assert found.shares == ((0.75, 0.25), (0.0, 1.0))
    assert found.pairs == [(1, "cat", "dog")]
    assert "--share:0.750" in classes.draw_confusion(found)
    many = classes.confusion([f"c{n}" for n in range(40)], np.roll(np.eye(40, dtype=int), 1, axis=1).tolist())
    assert "<td>c0</td>" in classes.draw_confusion(many) and "confusion" not in classes.draw_confusion(many)


def test_residuals_are_counted_up_to_their_last_hundredth():
    y = np.linspace(0, 1, 5000)[:, None]
    outputs = y + random.normal(0, 0.1, y.shape)
    outputs[0] = 1e6  # one that is far off must not flatten the rest
    (found,) = residuals.data(("price",), y, outputs)
    assert found.rows == sum(found.counts) == 5000
    assert len(found.true) == len(found.said) <= residuals.POINTS
    assert found.edges[-1] < 1 and max(found.counts) < 1500
    assert "true price" in residuals.draw(found) and "rows" in residuals.draw_histogram(found)


def spec(task="multiclass", labels=("a", "b", "c"), kind="image", shape=(8, 8, 1), **extra) -> DatasetSpec:
    outputs = 1 if task == "binary" else len(labels)
    return DatasetSpec(name="s", kind=kind, task=task, shape=shape, outputs=outputs, labels=labels, **extra)


def test_the_worst_examples_are_wrong_ones_first_then_the_least_sure():
    rows = np.array([10, 20, 30, 40])
    y = np.array([0, 1, 2, 0], np.int32)
    outputs = np.array([[0.9, 0.05, 0.05], [0.8, 0.1, 0.1], [0.3, 0.3, 0.4], [0.45, 0.55, 0.0]])
    found = examples.data(spec(), rows, y, outputs)
    assert [(one.row, one.true, one.wrong) for one in found] == [
        (20, "b", True), (40, "a", True), (30, "c", False), (10, "a", False),
    ]  # fmt: skip
    assert found[0].answer == "a (80.0%)"
    two = examples.data(spec("binary", ("no", "yes")), rows[:2], np.array([1, 0]), np.array([[0.6], [0.9]]))
    assert [(one.row, one.answer) for one in two] == [(20, "yes (90.0%)"), (10, "yes (60.0%)")]
    flags = examples.data(spec("multilabel"), rows[:1], np.array([[1, 0, 1]]), np.array([[0.9, 0.8, 0.1]]))
    assert (flags[0].true, flags[0].answer, flags[0].wrong) == ("a, c", "a, b", True)
    numbers = spec("regression", ("p", "q"), target_mean=(0.0, 0.0), target_std=(1.0, 100.0))
    off = examples.data(numbers, rows[:2], np.array([[0.0, 0.0], [0.0, 0.0]]), np.array([[0.5, 1.0], [0.0, 90.0]]))
    assert [(one.row, one.answer) for one in off] == [(20, "90"), (10, "0.5000")]


def test_dead_units_are_those_that_never_change():
    out = np.maximum(random.normal(0, 1, (50, 4, 4, 3)), 0)
    out[..., 1] = 0.0
    found = activations.describe("relu_0", "relu", out)
    assert (found.units, found.dead) == (3, 1)
    assert found.zeros == pytest.approx((out == 0).mean())
    assert sum(found.counts) == (out > 0).sum()
    assert activations.describe("tanh", "tanh", np.full((5, 2), 0.3)).dead == 2
    assert "1 of 3 (33%)" in activations.draw([found])


# -- samples and pieces --------------------------------------------------------------------------


def test_every_kind_of_sample_can_be_drawn():
    grey = random.integers(0, 255, (8, 8, 1)).astype(np.uint8)
    assert "data:image/png;base64" in samples.picture(grey, spec(), "one")
    clip = random.integers(0, 255, (6, 8, 8, 3)).astype(np.uint8)
    assert 'width="32" height="8"' in samples.clip(clip, spec(kind="clip", shape=(6, 8, 8, 3)), "one")
    heard = spec(kind="sound", shape=(4000,), rate=8000.0)
    assert "waveform" in samples.sound(np.sin(np.arange(4000)).astype(np.float32), heard, "one")
    assert samples.sound(np.zeros(4000, np.float32), heard, "silence")
    wave = random.normal(0, 1, (30, 2)).astype(np.float32)
    assert samples.series(wave, spec(kind="series", shape=(30, 2)), "one").count("<path") == 2
    next_one = spec(
        "regression", ("t+1", "t+2"), "series", (30, 2), horizon=2, seasons=(1,), forecast=(1,),
        target_mean=(0.0, 0.0), target_std=(1.0, 1.0),
    )  # fmt: skip
    drawn = samples.forecast(wave, next_one, np.array([1.0, 2.0]), np.array([1.5, 2.5]))
    assert drawn.count("<path") == 2 and "trace answer" in drawn
    assert (
        summary.described(next_one)
        == "Series of 30 steps of 2 channels, each with the 2 values that come next: t+1, t+2"
    )


def test_a_pure_tone_is_one_bright_line_at_its_frequency():
    tone = np.sin(2 * np.pi * 1000 * np.arange(8000) / 8000)
    loud = samples.spectrogram(tone, 8000.0).sum(axis=(1, 2))
    assert 1 - loud.argmax() / (len(loud) - 1) == pytest.approx(1000 / 4000, abs=0.02)  # low frequencies lie below


def test_a_large_picture_is_made_small():
    whole = pictures.png(np.zeros((400, 200, 3), np.uint8), "one")
    assert 'width="64" height="128"' in whole
    assert (pictures.heat(np.array([[0.0, 1.0]]))[0, 1] > pictures.heat(np.array([[0.0, 1.0]]))[0, 0]).all()


@pytest.mark.parametrize("values", [[0.91, 0.97], [0.0], [3, 3], [1e-5, 1e-1], [-40, 1e6], [float("nan"), 1.0], []])
@pytest.mark.parametrize("log", [False, True])
def test_axes_hold_their_values_and_have_round_ticks(values, log):
    axis = plot.axis("x", values, log=log)
    assert all(0 <= axis.place(value) <= 1 for value in values if value == value)
    found = plot.ticks(axis)
    assert 2 <= len(found) <= 9 and found == sorted(found)
    assert all(axis.low <= tick <= axis.high * (1 + 1e-9) for tick in found)
    assert all(len(plot.label(tick)) <= 8 for tick in found)


def test_labels_of_a_narrow_chart_do_not_touch():
    axes = plot.axis("learning_rate", [0.0004, 0.0101], log=True), plot.axis("accuracy", [0.1, 0.9])
    for width, told in ((420.0, ["0.0005", "0.002", "0.005", "0.01"]), (720.0, ["0.0005", "0.001", "0.002", "0.005"])):
        drawn = plot.Frame(*axes, 260.0, width).svg([], "a chart")
        assert re.findall(r'tick middle"[^>]*>([^<]*)', drawn)[:4] == told
    names = {0.001: "a long name", 0.0011: "another one"}
    assert all(name in plot.Frame(*axes).svg([], "a chart", names) for name in names.values())  # words all stay


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([0.99991, 0.99999], ["0.99992", "0.99994", "0.99996", "0.99998"]),
        ([2021.2, 2021.9], ["2,021.2", "2,021.4", "2,021.6", "2,021.8"]),
        ([20231, 20239], ["20.232k", "20.234k", "20.236k", "20.238k"]),
        ([1234500, 1234900], ["1.2345M", "1.2346M", "1.2347M", "1.2348M", "1.2349M"]),
        ([3.2e12, 3.9e12], ["3.2T", "3.4T", "3.6T", "3.8T"]),
        ([1e15, 2.1e16], ["5e15", "1e16", "1.5e16", "2e16"]),
        ([-3e-14, 6e-14], ["-2e-14", "0", "2e-14", "4e-14", "6e-14"]),
        ([0, 1e-14], ["0", "5e-15", "1e-14"]),
    ],
)
def test_no_two_ticks_bear_the_same_words(values, told):
    found = list(plot.labels(plot.axis("x", values)).values())
    assert found[: len(told)] == told and len({*found}) == len(found)
    drawn = plot.Frame(plot.axis("x", values), plot.axis("y" * 80, values)).svg([], "a chart")
    assert all(drawn.count(f">{label}</text>") == 2 for label in told)
    assert f">{'y' * 45}…</text>" in drawn  # a longer title would leave the page


def test_the_worst_tenth_does_not_flatten_the_rest():
    assert plot.ends([0.5, 0.9, 0.7], upward=True) == [0.5, 0.9]
    assert plot.ends([*np.linspace(0.8, 0.9, 19), 0.1], upward=True)[0] > 0.79
    assert plot.ends([*np.linspace(10, 20, 19), 1e9], upward=False) == [pytest.approx(19.44, abs=0.1), 10.0]


def test_text_is_escaped_wherever_it_stands():
    nasty = '<script>alert("&")</script>'
    assert markup.text(nasty) == "&lt;script&gt;alert(&quot;&amp;&quot;)&lt;/script&gt;"
    assert markup.text("قط <b>") == "<bdi>قط &lt;b&gt;</bdi>"
    assert markup.plain(markup.paragraph(nasty)) == nasty
    matrix = classes.draw_confusion(classes.confusion([nasty, '"><img src=x>'], [[1, 1], [0, 2]]))
    table = markup.table([nasty], [[nasty]], ids=[nasty])
    point = plot.dot((0, 0), told=nasty, link=nasty)
    words = importance.draw(importance.Importance((nasty,), (1.0,), 0.5, 9))
    layer = activations.draw([activations.describe(nasty, nasty, np.ones((2, 2)))])
    picture = pictures.png(np.zeros((2, 2, 1), np.uint8), f"{nasty} قط")
    axis = plot.Frame(plot.axis(nasty, [0, 1]), plot.axis(nasty, [0, 1])).svg([], nasty, {0.0: nasty})
    for made in (matrix, table, point, words, layer, picture, axis, classes.draw(classes.data([nasty], [[1]]))):
        assert not re.search(r"<(script|img src=x)", made) and "alert(&quot;" in made
        assert not re.search(r'="[^"]*<', made)  # nothing in an attribute looks like a tag, or ends it


# -- the whole page ------------------------------------------------------------------------------

LABELS = ("<script>alert(1)</script>", "a & b", "عربي", '"quoted"', *map(str, range(4, 10)))
OPENED = "document.readyState === 'complete'"


def made(home, name, dataset, model, *, trials=(), question=None, curves=None):
    """A run as a search leaves it, of a network that is there."""
    question, curves = question or Experiment(name=name, data="sklearn:digits", epochs=4), curves or {}
    with RunStore.create(home, name, question) as run:
        dataset.save(run.data)
        run.set("task", dataset.spec.task)
        run.set("kind", dataset.spec.kind)
        shutil.copy(model, run.model)
        with run.lock():
            for one in trials:
                run.record_ask(dataclasses.replace(one, status="running", score=None, metrics={}))
                run.record_tell(one, curves.get(one.id))
        run.set("best_trial", trials[0].id if trials else None)
        run.set("reason", "the best of <all>")
        run.finish()
    return home


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A run of pictures with unusual labels, evaluated and exported, whose phone has measured."""
    small = small_models.digits()
    home = tmp_path_factory.mktemp("report")
    spec = dataclasses.replace(small.dataset.spec, labels=LABELS)
    ids = ["<img src=x onerror=alert(1)>" if at % 7 == 0 else id for at, id in enumerate(small.dataset.ids)]
    dataset = dataclasses.replace(small.dataset, spec=spec, ids=ids)
    trials = [
        trial(
            id, 0.9 + id / 100, epochs=4, parameters=1000 + 137 * id, seconds=2.0, train={"accuracy": 0.99},
            values={"filters": 8 * (id % 3 + 1), "learning_rate": 10.0 ** -(2 + id / 5), "activation": "relu"},
        )
        for id in (8, 0, 1, 2, 3, 4, 5, 6, 7)
    ]  # fmt: skip
    trials.append(trial(9, None, status="failed", message="<b>diverged</b>"))
    rising = course(1, [1 / n for n in range(1, 13)], [0.9, 0.7, 0.5, 0.4, *[0.8] * 8])
    curves = {8: rising, 0: course(1, [0.5] * 4, [None, None, 0.5, 0.4])}
    made(home, "digits", dataset, small.model, trials=trials, curves=curves)
    exported = home / "exported" / "digits"
    shutil.copytree(small.model.parent / "exported", exported)
    document = json.loads((exported / "export.json").read_text())
    with RunStore.open(home, "digits") as run:
        document["model"] = digest(run.model)
        (exported / "export.json").write_text(json.dumps(document))
        evaluate.evaluate(run, exported)
        first = document["artifacts"][1]
        measured = {"artifact": first["path"], "device": "a <phone>", "runtime": "LiteRT", "threads": 1,
                    "p50_ms": 0.5, "p95_ms": 0.9, "runs": 100}  # fmt: skip
        check = {"name": f"{first['path']} golden", "value": 0.0, "limit": 1.0, "ok": True, "advice": ""}
        entry = {"artifact": first["path"], "device": "a <phone>", "sha256": first["sha256"],
                 "when": "2026-11-27T00:00:00", "measurement": measured, "checks": [check]}  # fmt: skip
        assert run.add_devices(document["model"], [entry])
    path, found = pipeline.report(home, "digits")
    return home, path, found


def test_the_report_is_one_small_file_with_all_sections(digits):
    _, path, found = digits
    assert path.name == "report.html" and path.stat().st_size < 5e6
    assert found.sections == [
        "Test rows", "Where it errs", "Worst examples", "Steadiness", "Leaderboard", "Search history",
        "Learning curves", "Score against size", "What mattered", "First filters", "What answers hang on", "Units",
        "Exported files", "On phones", "How it was made",
    ]  # fmt: skip
    assert found.missing == [
        "Simpler models were not measured beside it: kexp evaluate digits.",
        "How many layers and units are enough was not asked yet: kexp study digits.",
        "The network was not looked into yet: kexp diagnose digits.",
    ]
    page = path.read_text(encoding="utf-8")
    assert page.count("<script") == 1 and "<img src=x" not in page and "<b>diverged" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page and "a &amp; b" in page and "a &lt;phone&gt;" in page
    assert not re.search(r'(?:src|href)="(?!data:image/png|#)', page)
    assert not re.search(r"url\(|@import", page)
    links, ids = set(re.findall(r'href="#([^"]+)"', page)), re.findall(r' id="([^"]+)"', page)
    assert links <= set(ids) and len(ids) == len(set(ids))
    assert "kexp search digits.toml" in page
    assert "was lowest after epoch 4 (0.4000) and ends at 0.8000" in page and "How far training rows are ahead" in page
    assert re.search(r"<td[^>]*>8</td><td[^>]*>12</td><td[^>]*>0.9900</td><td[^>]*>0.9800</td><td[^>]*>0.0100", page)


@pytest.mark.slow
@pytest.mark.needs("node")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_in_a_browser_alone_and_fits_a_phone(digits, browser, scheme):
    _, path, _ = digits
    browser.phone(colorScheme=scheme, viewport={"width": 390, "height": 844})
    browser.open(path.as_uri(), until=OPENED)
    assert browser.errors() == []
    assert [one for one in browser.requests() if not one.startswith((f"GET {path.as_uri()}", "GET data:"))] == []
    assert browser.run("document.documentElement.scrollWidth") <= 390
    assert browser.run("window.alerted === undefined && document.querySelectorAll('script').length") == 1
    ground = browser.run("getComputedStyle(document.documentElement).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground)[:3])) > 600) == (scheme == "light")
    # A point that is tapped says what it is, and does not leave its place.
    browser.run("document.querySelector('#score-against-size figure').scrollIntoView()")
    browser.click("#score-against-size .point:nth-of-type(1) .finger")
    told = browser.run("document.querySelector('#score-against-size .told').textContent")
    assert re.search(r"trial \d: accuracy 0\.9\d+, 1,\d+ weights\nfilters=", told)
    assert browser.run("location.hash") == ""
    browser.size(1280, 900)
    assert browser.run("document.documentElement.scrollWidth") <= 1280
    assert browser.run("document.querySelector('main').offsetWidth") <= 960


def test_what_is_missing_is_said_with_the_command(tmp_path):
    net = small_models.digits_net()
    made(tmp_path, "bare", net.dataset, net.model, trials=[trial(0, 0.9, epochs=4)])
    path, found = pipeline.report(tmp_path, "bare", out=tmp_path / "here.html")
    page = path.read_text(encoding="utf-8")
    assert path == tmp_path / "here.html"
    assert [one.rpartition(": ")[2] for one in found.missing] == [
        "kexp evaluate bare.", "kexp export bare --tflite.", "kexp study bare.", "kexp diagnose bare.",
    ]  # fmt: skip
    assert "Where it errs" not in found.sections and "On phones" not in found.sections
    assert "This run has not been evaluated." in page and "This run is not exported." in page
    assert "Nothing was measured on test rows yet" in page
    assert "what mattered cannot be told" in page.replace("\n", " ")
    with RunStore.open(tmp_path, "bare") as run:  # what was found of an earlier model is not told of this one
        run.evaluation.write_text(json.dumps({"model": "another", "metrics": {"accuracy": 0.1234}}))
        again = report(run, leaderboard.document(run), tmp_path / "exported" / "bare")
    assert "0.1234" not in again.html and "was of an earlier model" in again.missing[0]


def test_test_rows_are_never_predicted_on(digits, monkeypatch):
    home, _, _ = digits
    with RunStore.open(home, "digits") as run:
        dataset = Dataset.open(run.data)
        taken = []

        def take(self, part):
            taken.append(part)
            raise AssertionError(part)

        monkeypatch.setattr(Dataset, "take", take)
        rows = Dataset.rows
        monkeypatch.setattr(Dataset, "rows", lambda self, part, fold=0: taken.append(part) or rows(self, part, fold))
        report(run, leaderboard.document(run), home / "exported" / "digits")
    assert dataset.rows("validation").size
    assert "test" not in taken


def test_a_verdict_and_simpler_models_stand_where_they_are_known(digits):
    home, _, _ = digits
    exported = home / "exported" / "digits"
    with RunStore.open(home, "digits") as run:
        kept = run.evaluation.read_text()
        document = {**json.loads(kept), "baselines": {"forest": {"accuracy": 0.8123}}}
        sentence = "Deep learning is not needed here: <so>."
        document["verdict"] = {"answer": "not needed", "sentence": sentence}
        run.evaluation.write_text(json.dumps(document))
        board = leaderboard.document(run)
        simple = {"factory": "forest", "score": 0.8, "bytes": 12345, "latency_ms": 0.25, "seconds": 1.0,
                  "message": "mean of 5 folds"}  # fmt: skip
        absent = {"factory": "pairs", "score": None, "seconds": 0.0, "message": "105 inputs: it takes 60 at most"}
        board |= {"baselines": [simple, absent], "turned": "in floats trial 3 leads"}
        found = report(run, board, exported)
        run.evaluation.write_text(kept)
    assert '<div class="verdict bad"><p>Deep learning is not needed here: &lt;so&gt;.</p>' in found.html
    assert re.search(r"forest</td><td[^>]*>0.8000</td><td[^>]*>0.8123</td><td[^>]*>12.3 KB", found.html)
    assert "pairs: 105 inputs: it takes 60 at most." in found.html and "forest: " not in found.html
    assert "In floats trial 3 leads." in found.html


def table_run(home):
    """A regression of a table, evaluated."""
    columns = tuple(Column(name=name, kind="number", mean=0.0, std=1.0) for name in ("x <1>", "y"))
    x = random.normal(0, 1, (60, 2)).astype(np.float32)
    wanted = spec(
        "regression", ("price",), "table", (2,), columns=columns, target="price", target_mean=(0.0,), target_std=(1.0,)
    )
    part = np.repeat(np.array([0, 1, 2], np.int8), 20)
    dataset = Dataset(
        spec=wanted, x=x, y=x[:, :1] * 2, part=part, ids=[f"a.csv row {n}" for n in range(60)], fingerprint="f" * 20
    )
    model = home / "made.keras"
    small_models.train(dataset, "dense", {"hidden_layers": 1}, model, epochs=2)
    one = Trial(id=0, factory="dense", values={"units_0": 8}, status="completed", metrics={"rmse": 1.0, "mae": 1.0},
                score=1.0, parameters=9)  # fmt: skip
    made(home, "table", dataset, model, trials=[one], question=Experiment(name="table", data="a.csv", seconds=60.0))
    return dataset


def test_a_table_of_numbers_has_residuals_and_rows_as_they_were(tmp_path):
    table_run(tmp_path)
    pipeline.evaluate(tmp_path, "table")
    path, found = pipeline.report(tmp_path, "table")
    page = path.read_text(encoding="utf-8")
    assert "First filters" not in found.sections and "What answers hang on" not in found.sections
    assert "true price" in page and "x &lt;1&gt;" in page and "a.csv row 4" in page
    assert "a faster machine gets further" in page and "seen from the folder of that file" in page


def test_clusters_have_their_picture_and_their_teachers(tmp_path):
    net = small_models.digits_net()
    teacher = Teacher(teacher="KMeans", settings="clusters=10", clusters=10, score=0.5, thin_borders=0.4,
                      agreement=0.9, stability=None, silhouette=0.3, noise=0.0)  # fmt: skip
    found = Clustering(
        sizes=tuple(range(1, 11)), exemplars=tuple(f"picture <{n}>" for n in range(10)), features="pixels",
        teachers=(teacher,), plane="t-SNE", places=tuple((float(n), float(n % 3)) for n in range(20)),
        members=tuple(n % 10 for n in range(20)),
    )  # fmt: skip
    dataset = dataclasses.replace(net.dataset, clustering=found)
    made(tmp_path, "clusters", dataset, net.model, trials=[trial(0, 0.9)])
    path, told = pipeline.report(tmp_path, "clusters")
    page = path.read_text(encoding="utf-8")
    assert "Clusters" in told.sections
    assert "Nobody named these classes: KMeans" in page and "picture &lt;3&gt;" in page and "<svg" in page


def test_a_study_is_told_with_its_sentences(digits):
    home, _, _ = digits
    rows = [{"value": value, "mean": 0.8 + value / 100, "scores": [0.8, 0.8 + value / 50], "parameters": 9 * value}
            for value in (3, 1, 2)]  # fmt: skip
    knob = {"name": "layers", "winner": 3, "rows": rows, "best": 3, "enough": 2, "matters": True, "sentence": "2 <do>."}
    found = studied.data(knob)
    assert found.values == (1, 2, 3) and found.marks == ("", "enough", "now")
    words = {**knob, "winner": "relu", "rows": [{**row, "value": word} for row, word in zip(rows, "cab", strict=True)]}
    assert studied.data(words).values == ("c", "a", "b") and not studied.data(words).numeric
    document = {
        "metric": "accuracy", "seeds": 2, "epochs": 4, "winner": {"trial": 0}, "knobs": [knob],
        "unmeasured": ["filters"],
        "samples": {"rows": [{"rows": n, "mean": 0.9, "scores": [0.9]} for n in (10, 100)], "sentence": "More helps."},
        "columns": [{"name": "<age>", "drop": 0.1, "spread": 0.01}, {"name": "sex", "drop": -0.1, "spread": 0.01}],
    }  # fmt: skip
    with RunStore.open(home, "digits") as run:
        run.study.write_text(json.dumps(document))
        gathered = material.gather(run, leaderboard.document(run), home)
        run.study.unlink()
    told = studied.study(gathered)
    assert told is not None and "2 &lt;do&gt;." in told and "More helps." in told and "&lt;age&gt;" in told
    assert "inline-size:0.0%" in told and "No time was left for filters" in told
    assert "The present model is of another trial" in told  # the best is trial 8
    late = {**document, "partly": ["units"], "interrupted": True, "samples": None, "too_few": True}
    told = studied.study(dataclasses.replace(gathered, study=late))
    assert told is not None and "It was interrupted before filters, some values of units." in told
    assert "lack a class" in told and "No time" not in told


def test_long_names_and_numbers_fit_their_boxes(digits):
    home, _, _ = digits
    bars = importance.bars([("a_column_" * 9, 1.0, "1.0"), ("age", 0.5, "0.5")])
    assert bars.count('class="long"') == 1 and bars.index("a_column_") < bars.index("age")
    with RunStore.open(home, "digits") as run:
        gathered = material.gather(run, leaderboard.document(run), home)
    evaluation = gathered.evaluation
    assert evaluation is not None
    assert 'class="long"' not in summary.tiles(gathered)
    huge = {**evaluation, "metrics": {**evaluation["metrics"], evaluation["interval"]["metric"]: 188_646_083.0}}
    assert '<b class="long">188,646,083</b>' in summary.tiles(dataclasses.replace(gathered, evaluation=huge))


def test_what_a_diagnosis_found_is_told(digits):
    home, _, _ = digits
    document = {
        "trial": {"id": 8}, "variants": [],
        "findings": [{"severity": "error", "what": "<dead> units", "advice": "Another activation."}],
        "fit": {"train": {"accuracy": 0.9}, "validation": {"accuracy": 0.8}, "constant": {"accuracy": 0.1}},
        "layers": [
            {"layer": "dense_0", "shape": [16], "units": 0, "dead": 0, "gradient": 0.5, "gradient_new": None},
            {"layer": "relu_0", "shape": [16], "units": 16, "dead": 4, "gradient": None},
        ],
        "calibration": {
            "ece": 0.04, "by_chance": 0.02, "confidence": 0.9, "right": 0.86,
            "bins": [
                {"confidence": 0.7, "right": 0.6, "answers": 9}, {"confidence": 0.99, "right": 0.97, "answers": 81},
            ],
        },
    }  # fmt: skip
    with RunStore.open(home, "digits") as run:
        assert diagnosed.diagnosis(material.gather(run, leaderboard.document(run), home)) is None
        run.diagnosis.write_text(json.dumps(document))
        gathered = material.gather(run, leaderboard.document(run), home)
        run.diagnosis.unlink()
    told = diagnosed.diagnosis(gathered)
    assert told is not None and "&lt;dead&gt; units" in told and "Another activation." in told
    assert "25%" in told and "90.0% on average" in told and "error is 0.040" in told
    found = diagnosed.diagnosis(dataclasses.replace(gathered, diagnosis={**document, "findings": []}))
    assert "Nothing was found that ails it" in found and "constant answer" in found
    naive = {**document, "fit": {**document["fit"], "naive": True}}
    found = diagnosed.diagnosis(dataclasses.replace(gathered, diagnosis=naive))
    assert "naive forecast" in found and "constant answer" not in found


def test_a_check_that_failed_is_told_with_its_advice(digits):
    home, _, _ = digits
    with RunStore.open(home, "digits") as run:
        gathered = material.gather(run, leaderboard.document(run), home / "exported" / "digits")
    document, _ = manifest(home / "exported" / "digits")
    bad = {"name": "tflite_int8 gap", "value": 0.5, "limit": 0.1, "ok": False, "advice": "Look <here>."}
    broken = {**document, "checks": [*document["checks"], bad]}
    told = shipped.gate(dataclasses.replace(gathered, export=broken))
    assert "1 failed" in told and "Look &lt;here&gt;." in told and "✗" in told
    assert "1 failed" not in shipped.gate(gathered)


def test_where_it_goes_must_be_a_file(digits):
    home, _, _ = digits
    for out in (home, home / "nowhere" / "report.html"):
        with pytest.raises(RunError, match="--out"):
            pipeline.report(home, "digits", out=out)


def test_the_command_writes_it_and_says_where(digits, monkeypatch, capfd):
    home, path, found = digits
    monkeypatch.setattr("sys.argv", ["kexp", "report", "digits", "--home", str(home), "--json"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    document = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert document == {
        "file": str(path), "bytes": path.stat().st_size, "sections": found.sections, "missing": found.missing,
    }  # fmt: skip
