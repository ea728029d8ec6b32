"""Event files, read back by TensorBoard's own readers."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from kexp import pipeline
from kexp.errors import RunError
from kexp.records import Curve, Experiment, Trial
from kexp.report import tensorboard
from kexp.store import RunStore

CURVE = Curve(
    epochs=(1, 2, 3), running_loss=(0.9, 0.5, None), validation_loss=(None, 0.75, 0.5), score=(None, 0.5, 0.875)
)


@pytest.fixture
def run(home):
    values = {"units_0": 16, "batch_normalization": True, "activation": "relu", "learning_rate": 0.25}
    metrics = {"log_loss": 0.5, "accuracy": 0.875}
    trials = [
        Trial(
            id=0, factory="dense", values=values, status="completed", metrics=metrics, score=0.875, epochs=3,
            bytes=1234, shipped={"accuracy": 0.75},
            train={"accuracy": 0.9375, "log_loss": 0.1}, parameters=77, seconds=6.0, latency_ms=0.5,
        ),
        Trial(id=1, factory="dense", values=values, status="failed", message="diverged", epochs=3),
        Trial(id=2, factory="dense", values=values, status="infeasible", message="too large"),
    ]  # fmt: skip
    with RunStore.create(home, "digits", Experiment(name="digits", data="sklearn:digits")) as made, made.lock():
        made.set("task", "multiclass")
        for one in trials:
            made.record_ask(one)
        made.record_tell(trials[0], CURVE)
        made.record_tell(trials[1])
    return home


def read(folder):
    accumulator = EventAccumulator(str(folder))
    accumulator.Reload()
    return accumulator


def scalars(accumulator, tag):
    return [(event.step, event.tensor_proto.float_val[0]) for event in accumulator.Tensors(tag)]


def test_scalars_by_epoch_and_what_was_reached_are_read_back(run):
    folder, count = pipeline.tensorboard(run, run / "logs", "digits")
    assert (folder, count) == (run / "logs" / "digits", 2)
    assert sorted(path.name for path in folder.iterdir()) == ["trial-0000", "trial-0001"]  # what was not trained is not
    found = read(folder / "trial-0000")
    assert scalars(found, "epoch/running_loss") == [(1, pytest.approx(0.9)), (2, 0.5)]
    assert scalars(found, "epoch/validation_loss") == [(2, 0.75), (3, 0.5)]
    assert scalars(found, "epoch/accuracy") == [(2, 0.5), (3, 0.875)]
    for tag, value in (
        ("accuracy", 0.875),
        ("train_accuracy", 0.9375),
        ("file_accuracy", 0.75),
        ("bytes", 1234),
        ("latency_ms", 0.5),
    ):
        assert scalars(found, f"end/{tag}") == [(3, value)]
    assert found.SummaryMetadata("end/bytes").plugin_data.plugin_name == "scalars"
    first, last = (found.Tensors(tag)[0].wall_time for tag in ("epoch/running_loss", "end/accuracy"))
    assert last - first == pytest.approx(4.0, abs=0.01)


def test_the_hparams_plugin_finds_values_and_how_it_ended(run):
    folder, _ = pipeline.tensorboard(run, run / "logs", "digits")
    found = read(folder / "trial-0000")
    content = found.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    begin = metadata.parse_session_start_info_plugin_data(content)
    assert begin.hparams["units_0"].number_value == 16 and begin.hparams["activation"].string_value == "relu"
    assert begin.hparams["batch_normalization"].WhichOneof("kind") == "bool_value"
    ends = []
    for name in ("trial-0000", "trial-0001"):
        content = read(folder / name).SummaryMetadata(metadata.SESSION_END_INFO_TAG).plugin_data.content
        ends.append(metadata.parse_session_end_info_plugin_data(content).status)
    assert ends == [tensorboard.STATUS["completed"], tensorboard.STATUS["failed"]]


def test_tensorboard_itself_groups_the_sessions(run):
    """The plugin's own back end, as the HPARAMS tab asks it."""
    pipeline.tensorboard(run, run / "logs", "digits")
    code = """
import json, sys
from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2, backend_context, get_experiment, list_session_groups
multiplexer = plugin_event_multiplexer.EventMultiplexer()
multiplexer.AddRunsFromDirectory(sys.argv[1])
multiplexer.Reload()
provider = data_provider.MultiplexerDataProvider(multiplexer, sys.argv[1])
context = backend_context.Context(base_plugin.TBContext(data_provider=provider))
request, ctx = api_pb2.ListSessionGroupsRequest(start_index=0, slice_size=9), RequestContext()
request.allowed_statuses.extend([1, 2, 3, 0])
experiment = get_experiment.Handler(ctx, context, "", api_pb2.GetExperimentRequest()).run()
for info in experiment.metric_infos:
    request.col_params.add(metric=info.name)
groups = list_session_groups.Handler(ctx, context, "", request).run().session_groups
rows = [[g.name, g.hparams["units_0"].number_value, {m.name.tag: m.value for m in g.metric_values}] for g in groups]
print(json.dumps(rows))
"""
    done = subprocess.run([sys.executable, "-c", code, str(run / "logs")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    groups = {name: (units, metrics) for name, units, metrics in json.loads(done.stdout.splitlines()[-1])}
    units, metrics = groups["digits trial 0"]
    assert units == 16 and metrics["end/accuracy"] == 0.875 and metrics["end/bytes"] == 1234
    assert set(groups) == {"digits trial 0", "digits trial 1"}


def test_writing_again_replaces_what_was_there_and_nothing_else(run):
    folder, _ = pipeline.tensorboard(run, run / "logs", "digits")
    stale = folder / "trial-0009" / tensorboard.FILE
    stale.parent.mkdir()
    stale.write_bytes((folder / "trial-0000" / tensorboard.FILE).read_bytes())
    (folder / "mine.txt").write_text("kept")
    pipeline.tensorboard(run, run / "logs", "digits")
    assert sorted(path.name for path in folder.iterdir()) == ["mine.txt", "trial-0000", "trial-0001"]
    assert len(list((folder / "trial-0000").iterdir())) == 1
    assert len(scalars(read(folder / "trial-0000"), "epoch/accuracy")) == 2


def test_a_file_in_the_way_is_told_and_tensorflow_is_not_loaded(run, kexp):
    (run / "file").write_text("")
    with pytest.raises(RunError, match="--tensorboard"):
        pipeline.tensorboard(run, run / "file", "digits")
    assert kexp("report", "digits", "--tensorboard", run / "logs", "--out", run / "x.html")[0] == 2
    status, out, _ = kexp("report", "digits", "--tensorboard", run / "logs", "--json")
    assert status == 0 and json.loads(out.splitlines()[-1]) == {"folder": str(run / "logs" / "digits"), "trials": 2}
    code = "import sys, kexp.report.tensorboard; print(*{'tensorflow', 'keras'}.intersection(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == []
