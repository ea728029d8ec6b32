"""What the rows of a table are: samples, steps of series side by side, or steps of one long series."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from kexp.data import columns, series, tables, windows
from kexp.data.dataset import Raw
from kexp.errors import ExperimentError
from kexp.records import Experiment


def read(path: Path, experiment: Experiment) -> Raw:
    """The table at `path` as a table, or as the series that the experiment or its columns say it is.

    A date and a number in every row are a forecast, unless the experiment names a target or a kind; columns such as x0,
    y0, x1, y1 are the steps of series,
    unless rows are to be clustered and no kind is named. Raises DataError for what `tables.read` refuses.
    """
    if experiment.kind == "table" or (experiment.task == "clustering" and not (experiment.kind or experiment.steps)):
        _refuse(experiment)
        return tables.read(path, experiment)
    if experiment.horizon or _continues(path, experiment):
        return _forecast(path, experiment)
    raw = tables.read(path, experiment)
    if experiment.steps and not series.numbered(list(raw.x.columns)):  # type: ignore[union-attr]
        return windows.cut(raw, experiment)
    if experiment.kind == "series" or series.numbered(list(raw.x.columns)):  # type: ignore[union-attr]
        return series.from_table(raw, experiment)
    return raw


def _refuse(experiment: Experiment) -> None:
    for name in ("horizon", "steps", "stride"):
        if getattr(experiment, name):
            raise ExperimentError(f'kind = "table" has no {name}: that is of series. Remove one of the two.')


def _continues(path: Path, experiment: Experiment) -> bool:
    """Whether the table is a date and a number in every row, and nothing else is asked of it."""
    if experiment.target or experiment.task or experiment.drop or experiment.kind not in (None, "series"):
        return False
    files = tables.find(path)
    if list(files) != ["all"]:
        return False
    table = tables.read_file(files["all"])
    return windows.is_plain(list(table.columns), table.columns)


def _forecast(path: Path, experiment: Experiment) -> Raw:
    """The table at `path` as windows and what follows them."""
    files = tables.find(path)
    table = tables.read_file(next(iter(files.values())))
    time = experiment.time_column or next(
        (name for name, cells in table.columns.items() if columns.date_format(columns.count(cells)) is not None), ""
    )
    special = {time, experiment.group_column, experiment.split_column, *experiment.drop}
    numbers = [
        name for name, cells in table.columns.items() if name not in special and columns.floats(cells) is not None
    ]
    targets = experiment.target or tuple(numbers[-1:])
    asked = dataclasses.replace(experiment, target=targets, time_column=time)
    raw = tables.read(path, asked)
    frame: Any = raw.x.copy()
    for k, name in enumerate(targets):  # what is foretold is also what is looked back on
        frame[name] = raw.y[:, k]
    frame = frame[[name for name in table.columns if name in frame.columns]]
    raw = dataclasses.replace(raw, x=frame, notices=[one for one in raw.notices if "order of" not in one])
    return windows.forecasts(raw, experiment, targets=targets, times=raw.times)
