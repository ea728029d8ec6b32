"""What the rows of a table are: samples, steps of series side by side, or steps of one long series."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from kexp.data import columns, horizons, series, tables, windows
from kexp.data.dataset import Raw
from kexp.errors import ExperimentError
from kexp.records import Experiment

FIRST = 20  # rows whose dates say the format


def read(path: Path, experiment: Experiment) -> Raw:
    """The table at `path` as a table, or as the series that the experiment or its columns say it is.

    A date and a number in every row are a forecast, unless the experiment names a target or a kind; columns such as x0,
    y0, x1, y1 are the steps of series, unless rows are to be clustered and no kind is named. Raises DataError
    for what `tables.read` refuses.
    """
    if experiment.kind == "table" or (experiment.task == "clustering" and not (experiment.kind or experiment.steps)):
        _refuse(experiment)
        return tables.read(path, experiment)
    if experiment.horizon or _continues(path, experiment):
        return horizons.read(path, experiment)
    raw = tables.read(path, experiment)
    frame: Any = raw.x
    side_by_side = series.numbered(list(frame.columns))
    asked = experiment.kind == "series"
    if experiment.steps and not side_by_side and not (asked and series.numbered(list(frame.columns), fewest=1)):
        return windows.cut(raw, experiment)
    if asked or (side_by_side and all(columns.readable(frame[name].tolist()) is not None for name in frame.columns)):
        return series.from_table(raw, experiment)
    if not experiment.time_column and raw.parts is None:
        raw.notices += _in_time(frame)
    return raw


def _in_time(frame: Any) -> list[str]:
    """What may be asked of a table whose rows are one behind the other in time, by a column of dates."""
    for name in frame.columns:
        cells = frame[name].tolist()
        format = columns.date_format(columns.count(cells[:FIRST]), share=1.0)
        if format is None or len(cells) < 3:
            continue
        days = [columns.date(cell, format) for cell in cells]
        known = [day for day in days if day is not None]
        steps = [b - a for a, b in itertools.pairwise(known)]
        if len(known) == len(days) and (all(step > 0 for step in steps) or all(step < 0 for step in steps)):
            return [
                f"Rows are in the order of {name!r}: --time-column {name} tests on the newest, --horizon N foretells "
                "the next N values instead."
            ]
    return []


def _refuse(experiment: Experiment) -> None:
    for name in ("horizon", "steps", "stride"):
        if getattr(experiment, name):
            raise ExperimentError(f'kind = "table" has no {name}: that is of series. Remove one of the two.')


def _continues(path: Path, experiment: Experiment) -> bool:
    """Whether the table is a date and a number in every row, and nothing else is asked of it."""
    if experiment.target or experiment.task or experiment.drop or experiment.kind not in (None, "series"):
        return False
    files = tables.find(path)
    if list(files) != ["all"] or tables.width(files["all"]) != 2:
        return False
    return horizons.is_plain(tables.read_file(files["all"]).columns)
