"""The records that travel between the steps: frozen, no arrays inside, checked when made, each with a JSON form.

Everything a later step must know is in one of these; arrays travel in `data.Dataset` and on disk.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeVar

Kind = Literal["image", "table", "series", "sound", "clip"]
Task = Literal["binary", "multiclass", "multilabel", "regression"]  # of a network
Goal = Literal[Task, "clustering"]  # of a person: clusters are found first, then a network learns them as classes
Part = Literal["train", "validation", "test"]
ColumnKind = Literal["number", "boolean", "category", "date"]
Status = Literal["completed", "failed", "infeasible", "stopped", "running"]
Stage = Literal["explore", "confirm", "refit"]
Severity = Literal["error", "warning", "note"]
ClassWeight = Literal["none", "balanced"]
Regularise = Literal["always", "overfitting"]
Cost = Literal["size", "latency", "memory", "parameters"]  # of an answer: the less the better
Value = int | float | str | bool

R = TypeVar("R")
EVERY = -1
AXES: dict[Kind, tuple[str, ...]] = {  # of one sample
    "image": ("height", "width", "channels"),
    "table": ("columns",),
    "series": ("steps", "channels"),
    "sound": ("samples",),
    "clip": ("frames", "height", "width", "channels"),
}
NOUNS: dict[Kind, str] = {  # what one sample is called
    "image": "picture",
    "table": "row",
    "series": "series",
    "sound": "sound",
    "clip": "clip",
}
PLURALS: dict[Kind, str] = {kind: noun if noun == "series" else f"{noun}s" for kind, noun in NOUNS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One input column of a table, and how its text becomes one number of the input vector.

    number: the number; boolean: 0 or 1 (`choices` = false text, true text); date: days since 1970-01-01;
    category: its position in `choices`. Missing: NaN. A category that is not in `choices`: -1.
    Statistics are of the training rows alone.
    """

    name: str
    kind: ColumnKind
    choices: tuple[str, ...] = ()
    minimum: float = 0.0
    maximum: float = 0.0
    mean: float = 0.0
    std: float = 1.0
    edges: tuple[float, ...] = ()  # strictly increasing quantiles of the training rows, number and date only
    missing: bool = False  # a training row has no value here
    format: str = ""  # of a date, as strptime spells it; empty is ISO 8601


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSpec:
    """What a model must know before it sees a sample.

    `shape` is of one sample without the batch axis: (height, width, channels) of a picture in 0..255, (columns,) of a
    table row, (steps, channels) of a series as it was measured, (samples,) of a sound in -1..1 at `rate`, (frames,
    height, width, channels) of a clip in 0..255. `labels` are the classes in order of their index; for regression and
    multilabel the names of the targets, one per output. `mean` and `std` are per channel, of the training samples, in
    their own units; `target_mean` and `target_std` per output of a regression.

    A forecast is a regression of a series whose `horizon` next values it puts out, for each target in turn. It tells
    how they differ from the naive forecast, the value `seasons[0]` steps earlier; `target_std` is of those differences.
    `forecast` are the channels that are foretold.
    """

    name: str
    kind: Kind
    task: Task
    shape: tuple[int, ...]
    outputs: int  # numbers that the network puts out: 1 for binary, one per class, target or label otherwise
    labels: tuple[str, ...]
    target: str = ""  # the target column or columns, as the user names them
    columns: tuple[Column, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    target_mean: tuple[float, ...] = ()
    target_std: tuple[float, ...] = ()
    rate: float = 0.0  # of a sound, or a series where known, in Hz; of a clip, frames a second
    channels: tuple[str, ...] = ()  # names of a series' channels
    horizon: int = 0
    seasons: tuple[int, ...] = ()
    forecast: tuple[int, ...] = ()

    @property
    def pixels(self) -> bool:
        """Whether samples are bytes 0..255, which become numbers at the last moment."""
        return self.kind in ("image", "clip")

    def __post_init__(self) -> None:
        expected = {"binary": 1}.get(self.task, len(self.labels))
        if self.outputs != expected:
            raise ValueError(f"{self.task} with {len(self.labels)} labels has {expected} outputs, not {self.outputs}")
        if self.kind == "table" and self.shape != (len(self.columns),):
            raise ValueError(f"a table of {len(self.columns)} columns cannot have samples of shape {self.shape}")
        axes = AXES[self.kind]
        if len(self.shape) != len(axes):
            raise ValueError(f"a sample of kind {self.kind} is ({', '.join(axes)}), not {self.shape}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """The question asked: its TOML form is a file in experiments/. Empty or None means: derived from the data."""

    name: str
    data: str  # a path, relative to the TOML's folder or the current one, or "sklearn:digits"
    target: tuple[str, ...] = ()
    task: Goal | None = None
    clusters: int | None = None  # of task = "clustering"; otherwise as many as there seem to be
    drop: tuple[str, ...] = ()  # columns that are no input
    split_column: str = ""  # its values: train, validation (or val), test
    group_column: str = ""  # rows of one group stay in one part
    time_column: str = ""  # oldest rows train, newest rows test
    validation: float = 0.15  # shares of the rows, where the data do not say
    test: float = 0.15  # 0: none, and nothing for kexp evaluate
    kind: Kind | None = None  # where the same file may be read in two ways
    size: tuple[int, ...] = ()  # (height, width) that pictures and clips are brought to
    length: float | None = None  # seconds that sounds are brought to
    rate: int | None = None  # Hz that sounds are brought to
    frames: int | None = None  # of a clip
    steps: int | None = None  # of a series: recordings are brought to it, a long table is cut into windows of it
    stride: int | None = None  # from one window to the next
    horizon: int | None = None  # how many next values a forecast answers
    factory: str = ""  # a row of FACTORIES, or "module:function"
    space: dict[str, Any] = field(
        default_factory=dict
    )  # hyperparameter: value, [choices] or {min, max, step, sampling}
    objective: str = ""  # a row of METRICS: accuracy, f1, auc, log_loss, rmse ...
    class_weight: ClassWeight = "none"  # balanced: in training each class counts as much as any other
    objectives: tuple[Cost, ...] = ()  # what is sought beside it: a front of candidates, not one
    max_parameters: int | None = None  # of a candidate, all weights counted; one with more is not trained
    max_size: int | None = None  # bytes of the file that ships
    max_latency: float | None = None  # milliseconds for one sample, on this machine with one thread
    max_memory: int | None = None  # bytes that one answer needs beside the weights: an estimate
    regularise: Regularise = "always"  # overfitting: dropout, augmentation and the like only once candidates overfit
    oracle: str = "evolution"
    trials: int | None = None  # candidates to explore
    seconds: float | None = None  # wall clock of the whole search
    epochs: int | None = None  # passes over the training rows for one explored candidate
    batch_size: int | None = None
    window: int | None = None  # trial k is asked after trial k - window was told
    finalists: int = 3  # leading candidates that are run again ...
    seeds: int = 2  # ... under so many other seeds each
    folds: int | None = None  # ... or on so many folds of the rows; None: of few rows; 0: never
    seed: int = 0
    formats: tuple[str, ...] = ()
    tolerances: dict[str, float] = field(default_factory=dict)  # of the export gate: format -> largest metric drop

    def __post_init__(self) -> None:
        counts = (
            "trials",
            "max_parameters",
            "max_size",
            "max_memory",
            "epochs",
            "batch_size",
            "window",
            "rate",
            "frames",
            "stride",
            "horizon",
        )
        for name, low in (
            *((count, 1) for count in counts),
            ("seconds", 0),
            ("max_latency", 0),
            ("length", 0),
            ("steps", 2),
            ("clusters", 2),
        ):
            value = getattr(self, name)
            if value is not None and value < low:
                raise ValueError(f"{name} = {value}: at least {low} is expected")
        if self.folds is not None and (self.folds < 0 or self.folds == 1):
            raise ValueError(f"folds = {self.folds}: at least 2, or 0 for none, is expected")
        if self.seed < 0:
            raise ValueError(f"seed = {self.seed}: at least 0 is expected")
        if len(set(self.target)) < len(self.target):
            raise ValueError(f"target = {', '.join(self.target)}: the same column twice, each is expected once")
        if dropped := set(self.target) & set(self.drop):
            raise ValueError(f"drop = {', '.join(sorted(dropped))}: that is the target, which cannot be dropped")
        if not 0 < self.validation < 1 or not 0 <= self.test < 1 or self.validation + self.test >= 1:
            raise ValueError(f"validation = {self.validation}, test = {self.test}: shares, together below 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """One hyperparameter of a space: what it may be, and what it is unless searched."""

    name: str
    kind: Literal["int", "float", "choice", "boolean", "fixed"]
    default: Value
    values: tuple[Value, ...] = ()  # choice: what may be chosen
    minimum: float = 0.0
    maximum: float = 0.0
    step: float | None = None
    sampling: Literal["linear", "log"] = "linear"


def key(values: Mapping[str, Value]) -> tuple[tuple[str, Value], ...]:
    """The identity of a candidate: the values its build reads, floats to nine digits."""
    return tuple(sorted((name, _rounded(value)) for name, value in values.items()))


def _rounded(value: Value) -> Value:
    if isinstance(value, float) and math.isfinite(value) and value:
        return float(f"{value:.9g}")
    return value


class Recipes(NamedTuple):
    """Candidates made by hand, as what differs from the default: for the shortest trainings, and for longer ones."""

    short: tuple[dict[str, Value], ...] = ()
    long: tuple[dict[str, Value], ...] = ()


NO_RECIPES = Recipes()


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What a candidate will cost on a phone, told from its layers before it is trained."""

    parameters: int  # all weights, those of a frozen trunk included
    bytes: int  # of its int8 file, an estimate
    macs: int  # multiplications with their additions, of one sample
    operators: int  # of the file
    memory: int  # bytes of activations that are alive at once in its int8 file, an estimate
    work: int = 0  # macs as vector instructions do them, see export.costs.LANES
    latency_ms: float | None = None  # as this machine's own measurements foretell it, where it was asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One candidate that was, or is being, trained.

    `bytes`, `latency_ms` and `shipped` are of its converted file, once there was one: `variant` is its row of FORMATS,
    `refused` why it cannot ship: the gate would not let it pass, or none can be made; then it does not win.
    """

    id: int
    factory: str
    values: dict[str, Value]
    status: Status
    stage: Stage = "explore"
    # confirm, refit: the explored trial it repeats; explore: the trial whose weights it continues.
    parent: int | None = None
    fold: int = 0  # which rows validate: 0 the validation part, k > 0 the k-th fold; EVERY: all but the test rows train
    same_as: int | None = None  # an equal candidate, which was trained in its place
    seed: int = 0
    epochs: int = 0
    metrics: dict[str, float] = field(default_factory=dict)  # on validation rows
    train: dict[str, float] = field(default_factory=dict)  # the same on (a sample of) training rows, nothing dropped
    score: float | None = None  # the objective, on validation rows
    parameters: int | None = None
    costs: Costs | None = None
    variant: str = ""
    shipped: dict[str, float] = field(default_factory=dict)  # metrics of the file, on validation rows
    floats: dict[str, float] = field(default_factory=dict)  # of the network in floats, on the rows that its file was
    bytes: int | None = None
    latency_ms: float | None = None
    refused: str = ""
    seconds: float = 0.0
    message: str = ""

    @property
    def standing(self) -> dict[str, float]:
        """The metrics that rank it: those of its file where there is one, otherwise of the network in floats."""
        return {**self.metrics, **self.shipped}

    @property
    def source(self) -> int:
        """The trial whose weights are this one's: itself, or the equal one in its place."""
        return self.id if self.same_as is None else self.same_as


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """How one training went, epoch by epoch; None of an epoch after which it was not validated.

    `running_loss` is the mean over the epoch's steps, as the weights were at each: with dropout, augmentation and
    weights of classes in it. Losses are cross entropy, or squared errors of the standardised target.
    """

    epochs: tuple[int, ...]  # from the candidate's very beginning: one that went on does not begin with 1
    running_loss: tuple[float | None, ...]
    validation_loss: tuple[float | None, ...]
    score: tuple[float | None, ...]  # the objective, on validation rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One exported file or folder."""

    format: str
    path: str  # relative to the folder of the export
    bytes: int
    sha256: str
    trial: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One verdict of any gate. `ok` is False for a value that is not a number."""

    name: str
    value: float | str
    limit: float | str
    ok: bool
    advice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that the doctor found in data.

    An error makes training meaningless, a warning may cost quality or make scores look too good, a note is good to
    know: kexp copes. `where` names the first of the `count` files, rows or columns that are meant.
    """

    name: str
    severity: Severity
    what: str
    where: tuple[str, ...] = ()
    count: int = 0
    advice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Teacher:
    """One division of rows into clusters, and how good it is, told without labels (see data.validity)."""

    teacher: str  # a clusterer of scikit-learn
    settings: str
    clusters: int
    score: float | None  # what ranks; none where it had no chance
    thin_borders: float
    agreement: float  # with the best of other teachers
    stability: float | None
    silhouette: float
    noise: float  # share of the rows that it gave to no cluster


@dataclass(frozen=True, slots=True, kw_only=True)
class Clustering:
    """What a network that learns clusters was taught, in the order of DatasetSpec.labels."""

    sizes: tuple[int, ...]  # rows of each cluster
    exemplars: tuple[str, ...]  # the row nearest to the centre of each, as Dataset.ids names it
    features: str  # what the teacher saw, in words
    teachers: tuple[Teacher, ...]  # the one that taught, then all others, best first
    plane: str = ""  # how samples were laid into a plane to be looked at, in words
    places: tuple[tuple[float, float], ...] = ()  # there: the exemplars, then samples taken by chance
    members: tuple[int, ...] = ()  # the cluster of each place


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """How fast a file is on a device, one sample at a time.

    `start_ms` is from opening it to its first answer, libraries loaded; `peak_bytes` an estimate: what the process took
    at most beyond what it had before. `operators` are shares of the time, where the runtime tells.
    """

    artifact: str
    device: str
    runtime: str
    threads: int
    p50_ms: float
    p95_ms: float
    runs: int
    start_ms: float | None = None
    bytes: int | None = None
    peak_bytes: int | None = None
    operators: dict[str, float] = field(default_factory=dict)


def at_most(name: str, value: float, limit: float, advice: str = "") -> Check:
    """The check that `value` is `limit` at most; NaN fails."""
    return Check(name=name, value=value, limit=limit, ok=bool(value <= limit), advice="" if value <= limit else advice)


def to_json(record: Any) -> Any:
    """A record, or a tuple or dict of them, as plain JSON types. NaN and infinities become null."""
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return {f.name: to_json(getattr(record, f.name)) for f in dataclasses.fields(record)}
    if isinstance(record, dict):
        return {str(key): to_json(value) for key, value in record.items()}
    if isinstance(record, list | tuple):
        return [to_json(value) for value in record]
    if isinstance(record, float) and not math.isfinite(record):
        return None
    return record


def from_json(cls: type[R], document: dict[str, Any]) -> R:
    """The record of class `cls` that `to_json` wrote as `document`.

    Raises TypeError for a field that the record does not have.
    """
    hints = _hints(cls)  # type: ignore[arg-type]
    return cls(**{key: _revive(hints.get(key, Any), value) for key, value in document.items()})


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _revive(hint: Any, value: Any) -> Any:
    if isinstance(hint, type) and dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return from_json(hint, value)
    if typing.get_origin(hint) is tuple and value is not None:
        inner = typing.get_args(hint)[0]
        return tuple(_revive(inner, item) for item in value)
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        records = [one for one in typing.get_args(hint) if dataclasses.is_dataclass(one)]
        return _revive(records[0], value) if records and isinstance(value, dict) else value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is float and value is None:
        return math.nan
    return value
