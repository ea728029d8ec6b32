"""Trials as event files, which TensorBoard shows: scalars by epoch, and in HPARAMS values beside what they reached.

    DIR/RUN/trial-0007/events.out.tfevents.0.kexp

Written with TensorBoard's own protocol buffers and record format: TensorFlow is not loaded.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from tensorboard.compat.proto import event_pb2, summary_pb2, types_pb2
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
from tensorboard.plugins.scalar import metadata as scalars
from tensorboard.summary.writer.record_writer import RecordWriter
from tensorboard.util import tensor_util

from kexp.curves import curve_of
from kexp.errors import RunError
from kexp.leaderboard import ranked
from kexp.metrics import objective
from kexp.records import Curve, Status, Trial
from kexp.store import RunStore, atomic_write

FILE = "events.out.tfevents.0.kexp"  # always the same: what is written again takes the place of what was there
STATUS: dict[Status, int] = {
    "completed": api_pb2.STATUS_SUCCESS,
    "stopped": api_pb2.STATUS_SUCCESS,
    "failed": api_pb2.STATUS_FAILURE,
    "running": api_pb2.STATUS_RUNNING,
}


def write(run: RunStore, folder: Path) -> tuple[Path, int]:
    """Write the trials of `run` that were trained, in `folder`; returns the folder of the run there, and how many.

    What it wrote there of an earlier state is replaced. Raises RunError where nothing can be written.
    """
    task = run.get("task")
    metric = objective(task, run.experiment.objective)[0] if task else ""
    trials = {trial.id: trial for trial in ranked(run)}
    curves, told_at = run.curves(), run.told_at()
    began = datetime.fromisoformat(run.get("created")).timestamp()
    root = folder / run.name
    made = set()
    try:
        for trial in trials.values():
            if trial.status == "infeasible" or not (trial.metrics or trial.status in ("failed", "running")):
                continue
            end = began + told_at.get(trial.id, 0.0)  # seconds of search, not of the clock where it was interrupted
            events = _events(run.name, trial, curve_of(trial, trials, curves), metric, end)
            path = root / f"trial-{trial.id:04}" / FILE
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(path, _records(events))
            made.add(path)
    except (NotADirectoryError, FileExistsError, PermissionError) as error:
        why = f"{error.filename or root} cannot be written: {error.strerror}"
        raise RunError(f"{why}. A folder is expected, there or new. Change --tensorboard.") from error
    for old in set(root.glob(f"trial-*/{FILE}")) - made:
        old.unlink()
        with contextlib.suppress(OSError):  # something else is in it
            old.parent.rmdir()
    return root, len(made)


def _records(events: Iterable[event_pb2.Event]) -> bytes:
    file = io.BytesIO()
    writer = RecordWriter(file)
    for event in events:
        writer.write(event.SerializeToString())
    return file.getvalue()


def _events(name: str, trial: Trial, curve: Curve | None, metric: str, end: float) -> Iterator[event_pb2.Event]:
    start = end - trial.seconds
    yield event_pb2.Event(wall_time=start, file_version="brain.Event:2")
    chosen = {"factory": trial.factory, **trial.values, "epochs": trial.epochs, "stage": trial.stage}
    begin = plugin_data_pb2.SessionStartInfo(group_name=f"{name} trial {trial.id}", start_time_secs=start)
    for name, value in chosen.items():
        if isinstance(value, bool):
            begin.hparams[name].bool_value = value
        elif isinstance(value, str):
            begin.hparams[name].string_value = value
        else:
            begin.hparams[name].number_value = value
    yield _hparams(metadata.SESSION_START_INFO_TAG, start, session_start_info=begin)
    if curve is not None:
        columns = (
            ("running_loss", curve.running_loss),
            ("validation_loss", curve.validation_loss),
            (metric, curve.score),
        )
        for at, epoch in enumerate(curve.epochs):
            when = start + trial.seconds * (at + 1) / len(curve.epochs)
            for tag, each in columns:
                if (known := each[at]) is not None:
                    yield _scalar(f"epoch/{tag}", epoch, known, when)
    for tag, came_to in reached(trial, metric).items():
        yield _scalar(f"end/{tag}", trial.epochs, came_to, end)
    over = plugin_data_pb2.SessionEndInfo(status=STATUS[trial.status], end_time_secs=end)
    yield _hparams(metadata.SESSION_END_INFO_TAG, end, session_end_info=over)


def reached(trial: Trial, metric: str) -> dict[str, float]:
    """What a trial came to: metrics on validation rows; the objective on training rows, and of its file; costs."""
    metrics = dict(sorted(trial.metrics.items(), key=lambda one: one[0] != metric))
    costs: dict[str, float | None] = {"bytes": trial.bytes, "latency_ms": trial.latency_ms}
    if trial.costs is not None:  # before it was trained; what was measured says more
        costs |= {"bytes_estimate": trial.costs.bytes, "latency_ms_estimate": trial.costs.latency_ms}
        costs |= {"macs": trial.costs.macs, "memory_estimate": trial.costs.memory}
    sides = {f"train_{metric}": trial.train.get(metric), f"file_{metric}": trial.shipped.get(metric)}
    found: dict[str, float | None] = {
        **metrics,
        **sides,
        "parameters": trial.parameters,
        "seconds": trial.seconds,
        **costs,
    }
    return {name: float(value) for name, value in found.items() if value is not None}


def _scalar(tag: str, step: int, value: float, when: float) -> event_pb2.Event:
    tensor = tensor_util.make_tensor_proto(value, types_pb2.DT_FLOAT)
    kind = scalars.create_summary_metadata("", "")
    summary = summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=tag, tensor=tensor, metadata=kind)])
    return event_pb2.Event(wall_time=when, step=step, summary=summary)


def _hparams(tag: str, when: float, **content: Any) -> event_pb2.Event:
    kind = metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(**content))
    value = summary_pb2.Summary.Value(tag=tag, tensor=metadata.NULL_TENSOR, metadata=kind)
    return event_pb2.Event(wall_time=when, summary=summary_pb2.Summary(value=[value]))
