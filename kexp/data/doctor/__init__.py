"""The doctor: what is wrong with data, by file and row, how bad it is, and what to do.

`examine` finds all at once, where a reader stops at the first thing that it cannot use. CHECKS has what is looked for
by kind of data.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from kexp import data
from kexp.data import columns, tables
from kexp.data.class_folders import FEWEST
from kexp.data.dataset import Dataset, Raw
from kexp.data.doctor import cells, clips, files, kept, leaks, lines, pictures, samples, series, sounds
from kexp.data.doctor.case import Case, Progress, counted, finding, silent
from kexp.errors import DataError
from kexp.experiment import BUNDLED, locate
from kexp.records import Experiment, Finding, Kind

__all__ = ["CHECKS", "Case", "Progress", "examine"]

Check = Callable[[Case], list[Finding]]
ORDER = ("error", "warning", "note")


def examine(
    question: Experiment,
    *,
    base: Path = Path(),
    cache: Path,
    raw: Raw | None = None,
    dataset: Dataset | None = None,
    progress: Progress = silent,
) -> list[Finding]:
    """What is wrong with the data of `question`, worst first.

    `raw` and `dataset` are what `data.read` and `data.prepared` made of it, where they did already: then what was found
    in the same data before is not looked for again. Raises DataError where there is nothing at all.
    """
    named = question.data.startswith(BUNDLED)
    path = Path(locate(question.data, base))
    found: list[Finding] = []
    known = dataset is not None
    if raw is None:
        if not named and not path.exists():
            data.read(question, base=base, cache=cache)  # which says what is there instead
        progress(0, 1, "reading")
        raw, found = _read(question, path, base, cache, progress)
    if raw is not None and dataset is None:
        raw, dataset, more = _prepared(raw, question)
        found += more
    kind = raw.kind if raw is not None else "table" if named else files.kind_at(path)
    case = Case(
        path=path, question=question, kind=kind, raw=raw, dataset=dataset, cache=cache, progress=progress,
        files=[] if named else files.samples(path, kind),
    )  # fmt: skip
    if raw is not None and raw.files and not case.files:
        case.files = [Path(file) for file in raw.files]
    place = kept.key(dataset, question, [] if named else files.behind(path)) if dataset is not None else ""
    before = kept.lookup(cache, place) if known else None
    if before is not None:
        return before
    checks = CHECKS[kind]
    for at, (check, text) in enumerate(checks.items()):
        progress(at, len(checks), text)
        found += check(case)
    found += _said_by_reader(case)
    found.sort(key=lambda one: ORDER.index(one.severity))
    if place:
        kept.keep(cache, place, found)
    return found


# -- reading what can be read --------------------------------------------------------------------


def _read(
    question: Experiment, path: Path, base: Path, cache: Path, progress: Progress
) -> tuple[Raw | None, list[Finding]]:
    """The samples at `path`, without what is broken, and the errors in the way."""

    def told(done: int, total: int) -> None:
        progress(done, total, f"reading {done:,}/{total:,}")

    try:
        return data.read(question, base=base, cache=cache, progress=told), []
    except DataError as error:
        refusal = str(error)
    found: list[Finding] = []
    with tempfile.TemporaryDirectory(prefix="kexp-doctor-") as folder:
        if not question.data.startswith(BUNDLED) and files.kind_at(path) == "table" and _is_table(path):
            found, copy = lines.mend(path, Path(folder))
            attempts = [dataclasses.replace(question, data=str(copy))]
            special = {question.split_column, question.group_column, question.time_column} - {""}
            if special:  # one of them may be what is refused
                without = dataclasses.replace(question, split_column="", group_column="", time_column="")
                attempts.append(dataclasses.replace(without, data=str(copy), drop=(*question.drop, *special)))
            for attempt in attempts:
                try:
                    raw = data.read(attempt, cache=cache)
                except DataError as error:
                    again = str(error).replace(folder, str(path.parent if path.is_file() else path))
                    if attempt is attempts[0]:  # what a search would say, not what it would say of another question
                        refusal = again
                    continue
                if attempt is not attempts[0]:
                    found.append(_refused(refusal))
                return raw, found
    return None, [*found, _refused(refusal)]


def _is_table(path: Path) -> bool:
    try:
        return bool(tables.find(path))
    except DataError:
        return False


def _refused(message: str) -> Finding:
    """The error that a reader ended with: what a search would say."""
    what, _, advice = message.partition("\n")
    return finding("refused", "error", what, advice=advice.strip())


def _prepared(raw: Raw, question: Experiment) -> tuple[Raw, Dataset | None, list[Finding]]:
    """The data set of `raw` without what stands in the way, which is told; and `raw` without the rows taken out.

    Cells that are infinite stay in `raw`, where their check finds them.
    """
    found: list[Finding] = []
    small = _small_classes(raw, question)
    if small:
        sizes = ", ".join(f"{name} ({count})" for name, count in small.items())
        what = f"{counted(len(small), 'class has', 'classes have')} fewer than {FEWEST} samples: {sizes}."
        names = raw.y.reshape(-1)
        where = [raw.ids[row] for row in range(len(names)) if columns.text(names[row]) in small]
        advice = "One each for training, validation and test are expected. Add samples, or merge or remove the class."
        found.append(finding("tiny_classes", "error", what, where, advice))
        raw = _only(raw, np.array([columns.text(name) not in small for name in names]))
    usable = raw
    if not isinstance(raw.x, np.ndarray):
        frame = raw.x.copy()
        for name in frame.columns:
            texts = frame[name].tolist()
            bad = set(cells.infinite_rows(texts))
            if bad:
                frame[name] = ["" if row in bad else text for row, text in enumerate(texts)]
        usable = dataclasses.replace(raw, x=frame)
    try:
        return raw, data.prepared(usable, question), found
    except DataError as error:
        return raw, None, [*found, _refused(str(error))]


def _small_classes(raw: Raw, question: Experiment) -> dict[str, int]:
    """Classes with fewer than FEWEST samples and how many they have, where others have enough."""
    if raw.y.dtype.kind not in "UO" or (raw.y.ndim == 2 and raw.y.shape[1] > 1) or question.task == "regression":
        return {}
    counts = Counter(columns.text(word) for word in raw.y.reshape(-1).tolist())
    if question.task is None and raw.y.ndim == 2 and all(columns.number(word) is not None for word in counts):
        return {}
    small = {word: count for word, count in counts.items() if count < FEWEST}
    if len(counts) - len(small) < 2 or sum(small.values()) > 0.2 * len(raw.y):
        return {}
    return small


def _only(raw: Raw, kept: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Raw:
    """The rows of `raw` that are `kept`, (n,)."""
    left = raw.take(np.flatnonzero(kept))
    there = set(left.y.reshape(-1).tolist())
    return dataclasses.replace(left, labels=tuple(label for label in raw.labels if label in there))


def _said_by_reader(case: Case) -> list[Finding]:
    """Rows without a target, which the reader left out; of a long table what it met in times and values."""
    notices = case.raw.notices if case.raw is not None else []
    windows = case.question.steps or (case.dataset is not None and case.dataset.spec.horizon)  # asked for, or guessed
    told = {
        "moments_twice": (
            "there twice, such as",
            "Keep one of each, or name a group column, if they are of several series.",
        ),
        "gaps_in_time": (
            "further behind the row before",
            "Add rows that are missing, with empty cells; of days when nothing is measured, as of weekends, none are.",
        ),
        "missing_steps": ("missing values were", "Fill them in, if you know better."),
    }
    found = [
        finding(name, "note", notice, advice=advice)  # a clock that is put back makes moments that are there twice
        for notice in notices
        for name, (words, advice) in told.items()
        if words in notice and case.kind == "series" and windows
    ]
    return found + [
        finding("no_target", "note", notice, advice="Fill in the target, or remove these rows.")
        for notice in notices
        if " no target and " in notice
    ]


# -- what is looked for --------------------------------------------------------------------------


def _pictures(case: Case) -> list[Finding]:
    if not case.files:
        return pictures.nearly_same(case, None)
    looks = pictures.look_at(case.files, case.cache, case.progress)
    return pictures.of_files(case, looks) + pictures.nearly_same(case, looks)


_SAMPLES: dict[Check, str] = {
    samples.twins: "comparing samples",
    samples.contradictions: "comparing labels",
    samples.across_parts: "comparing parts",
    samples.groups_across_parts: "comparing groups",
    samples.time_order: "comparing times",
    samples.class_sizes: "counting classes",
    samples.capped: "looking at the target",
}
_FILES: dict[Check, str] = {
    files.absent: "looking for files",
    files.others: "looking for files",
    files.same: "comparing",
}
CHECKS: dict[Kind, dict[Check, str]] = {  # what is looked for, and what is said meanwhile
    "table": {
        cells.infinite: "reading cells",
        cells.unreadable: "reading cells",
        cells.missing: "counting cells",
        cells.written_otherwise: "looking at columns",
        cells.useless: "looking at columns",
        cells.codes: "looking at columns",
        cells.spellings: "looking at texts",
        cells.groups: "looking at columns",
        leaks.columns_of_table: "looking for leaks",
        leaks.twin_columns: "comparing columns",
        **_SAMPLES,
    },
    "image": {**_FILES, _pictures: "looking at pictures", **_SAMPLES},
    "series": {series.check: "reading recordings", files.same: "comparing", **_SAMPLES},
    "sound": {**_FILES, sounds.check: "listening", **_SAMPLES},
    "clip": {**_FILES, clips.check: "watching", **_SAMPLES},
}
