"""TOML <-> Experiment: the question asked, as a file that a person writes and reads.

Keys are the fields of `records.Experiment`, flat, but for `seconds`, which is written `time = "10m"`; [space]
and [tolerances] are tables. What is read is checked against the record's own annotations, so that no list of
keys is kept twice. The same checks serve a file, the command line and Python keywords.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import tomllib
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kexp.errors import ExperimentError, nearest
from kexp.quantities import (
    format_duration,
    parse_bytes,
    parse_count,
    parse_duration,
    parse_milliseconds,
    parse_size,
)
from kexp.records import ClassWeight, Cost, Experiment, Goal, Kind, Regularise

# What a search may spend where nobody says: whichever is reached first.
DEFAULT_TRIALS = 40
DEFAULT_SECONDS = 600.0

NO_FILES = ("none", "imagenet")  # weights that a backbone may begin with, besides those in a file
COSTS = typing.get_args(Cost)
MEMORY = "memory:"  # samples that a program handed in
BUNDLED = ("sklearn:", "generated:", MEMORY)  # data = "sklearn:digits" is a set that comes along, not a path


def load(path: Path | str) -> Experiment:
    """The experiment written in the TOML file at `path`; its name is the file's, unless it gives one.

    Raises ExperimentError for a file that cannot be read, for bad TOML (with its line), for an unknown key
    (with the nearest known one), and for a value of the wrong type or out of range.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        hint = nearest(path.name, [other.name for other in path.parent.glob("*.toml")])
        raise ExperimentError(f"{path} does not exist; an experiment file is expected.{hint}") from None
    except UnicodeDecodeError as error:
        raise ExperimentError(f"{path} is not UTF-8 at byte {error.start}. Save it as UTF-8 text.") from error
    except OSError as error:
        raise ExperimentError(f"{path} cannot be read: {error.strerror}. An experiment file is expected.") from error
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ExperimentError(f"{path} is not valid TOML: {error}.") from error
    if "data" not in document:
        raise ExperimentError(f'{path}: the key "data" is missing. Write data = "a path", or data = "sklearn:digits".')
    document.setdefault("name", sanitised(path.stem))
    return _made(Experiment, document, lambda key: f"{path}{_line(text, key)}")


def from_data(source: str, **options: Any) -> Experiment:
    """The experiment on the data at `source` with all else derived, but for `options` (see `override`).

    `source` is a path or a bundled set ("sklearn:digits"); the experiment is named after it, unless `options` give a
    name.
    """
    document = {"name": _name_of(source), "data": source, **_given(options)}
    return _made(Experiment, document, lambda _: "option")


def override(experiment: Experiment, **options: Any) -> Experiment:
    """`experiment` with `options` instead of what it says; None and empty options change nothing.

    Options are named as the keys of a TOML, and checked alike: `time="10m"`, `size="48x64"`.
    """

    def replace(**fields: Any) -> Experiment:
        return dataclasses.replace(experiment, **fields)

    return _made(replace, _given(options), lambda _: "option")


def asked(source: str, **options: Any) -> tuple[Experiment, Path]:
    """What `kexp search SOURCE` asks, and the folder that its data are relative to.

    `source` is an experiment file, of which `options` overrule what they say, or data, of which all else is derived.
    It has a budget, the default one if it names none. Raises ExperimentError as `load` and `override` do.
    """
    if source.endswith(".toml"):
        return with_budget(override(load(source), **options)), Path(source).parent
    return with_budget(from_data(source, **options)), Path()


def with_budget(experiment: Experiment) -> Experiment:
    """`experiment` with the default budget, if it has neither a number of trials nor a time."""
    if experiment.trials is not None or experiment.seconds is not None:
        return experiment
    return dataclasses.replace(experiment, trials=DEFAULT_TRIALS, seconds=DEFAULT_SECONDS)


def locate(data: str, base: Path) -> str:
    """Where `data` of an experiment lies: in `base`, the folder of its TOML, otherwise in the current folder.

    Returns a path, which need not exist, or the name of a bundled set as it is.
    """
    if data.startswith(BUNDLED):
        return data
    path = Path(data).expanduser()
    beside = base / path
    return str(path if path.exists() and not beside.exists() else beside)


def with_weights(experiment: Experiment, base: Path) -> Experiment:
    """`experiment` with the files of weights in its [space] as whole paths: its workers do not know `base`."""
    given = experiment.space.get("weights")
    if experiment.factory != "backbone" or given is None:
        return experiment

    def whole(one: Any) -> Any:
        return str(Path(locate(one, base)).resolve()) if isinstance(one, str) and one not in NO_FILES else one

    found = [whole(one) for one in given] if isinstance(given, list | tuple) else whole(given)
    return dataclasses.replace(experiment, space={**experiment.space, "weights": found})


def seen_from(folder: Path, data: str) -> str:
    """`data`, a path seen from the current folder, as a TOML in `folder` writes it; a bundled set as it is."""
    return data if data.startswith(BUNDLED) else os.path.relpath(Path(data).expanduser().resolve(), folder.resolve())


def dump(experiment: Experiment, comment: str = "") -> str:
    """The TOML of `experiment`: `comment` on top, then name, data, and what differs from the defaults."""
    lines = [f"# {line}".rstrip() for line in comment.splitlines()] + [""] * bool(comment)
    tables: list[str] = []
    for spec in dataclasses.fields(Experiment):
        value = getattr(experiment, spec.name)
        if spec.name not in ("name", "data") and value == _default(spec):
            continue
        if spec.name == "seconds":
            lines.append(f"time = {_toml(format_duration(value))}")
        elif isinstance(value, dict):
            tables += [
                "",
                f"[{spec.name}]",
                *(f"{_toml_key(key)} = {_toml(item)}" for key, item in value.items()),
            ]
        else:
            lines.append(f"{spec.name} = {_toml(value)}")
    return "\n".join(lines + tables) + "\n"


# -- reading --------------------------------------------------------------------------------


def _made(make: Callable[..., Experiment], document: Mapping[str, Any], where: Callable[[str], str]) -> Experiment:
    """`make` of the checked fields in `document`; `where` says of a key where a person wrote it."""
    fields: dict[str, Any] = {}
    for key, value in document.items():
        if key not in _READERS:
            hint = " Did you mean 'time'?" if key == "seconds" else nearest(key, _READERS)
            raise ExperimentError(f"{where(key)}: unknown key {key!r}.{hint}")
        try:
            read = _READERS[key](value)
            fields |= read if key == "objective" else {"seconds" if key == "time" else key: read}
        except ValueError as error:
            raise ExperimentError(f"{where(key)}: {key} = {_shown(value)}: {error}.") from error
    try:
        return make(**fields)
    except ValueError as error:
        raise ExperimentError(f"{where('')}: {error}.") from error


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    given = {key: _plain(value) for key, value in options.items()}
    return {key: value for key, value in given.items() if value is not None and value not in ((), [], {}, "")}


def _plain(value: Any) -> Any:
    """`value` with Python's own numbers, lists and dicts in the place of numpy's, which a grid of parameters holds."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_plain, value))
    return value.tolist() if hasattr(value, "tolist") else value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"text is expected, not {_type(value)}")
    return value


def _name(value: Any) -> str:
    if not re.fullmatch(r"\w[\w.-]*", _text(value)):
        raise ValueError("letters, digits, '-', '_' and '.' are expected: folders are named after it")
    return str(value)


def _texts(value: Any) -> tuple[str, ...]:
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
        raise ValueError(f"text, or a list of texts, is expected, not {_type(value)}")
    return tuple(items)


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"a whole number is expected, not {_type(value)}")
    return value


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError(f"a number is expected, not {_type(value)}")
    return float(value)


def _duration(value: Any) -> float:
    return parse_duration(value if isinstance(value, str) else _number(value))


def _one_of(literal: Any) -> Callable[[Any], str]:
    """Reads a value of `literal`, a typing.Literal of texts."""
    known = typing.get_args(literal)

    def read(value: Any) -> str:
        if value not in known:
            raise ValueError(f"one of {', '.join(known)} is expected")
        return str(value)

    return read


def _objective(value: Any) -> dict[str, Any]:
    """Of "accuracy", or ["accuracy", "size"]: the metric, if one is named, and what is sought beside it."""
    names = _texts(value)
    metrics = [name for name in names if name not in COSTS]
    if len(metrics) > 1:
        raise ValueError(f"one metric is expected, and any of {', '.join(COSTS)}; not {' and '.join(metrics)}")
    costs = _costs([name for name in names if name in COSTS])
    return {"objective": "".join(metrics)} | ({"objectives": costs} if costs else {})


def _costs(value: Any) -> tuple[str, ...]:
    read = _one_of(Cost)
    return tuple(dict.fromkeys(read(one) for one in _texts(value)))


def _space(value: Any) -> dict[str, Any]:
    for name, item in _table(value).items():
        choices = item if isinstance(item, list | tuple) else [item]
        if isinstance(item, dict):
            unknown = set(item) - {"min", "max", "step", "sampling"}
            if unknown or not {"min", "max"} <= set(item):
                raise ValueError(f"{name} is {{min, max}}, with step and sampling if wanted, not {_shown(item)}")
        elif not choices or not all(isinstance(choice, int | float | str | bool) for choice in choices):
            raise ValueError(f"{name} is a value, a list of values, or {{min, max}}, not {_shown(item)}")
    return dict(value)


def _drops(value: Any) -> dict[str, float]:
    result = {}
    for name, item in _table(value).items():
        try:
            result[name] = _number(item)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        if not result[name] >= 0:
            raise ValueError(f"{name}: at least 0 is expected, not {item}")
    return result


def _table(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"a table is expected, not {_type(value)}")
    return value


def _type(value: Any) -> str:
    names = {bool: "true or false", str: "text", int: "a whole number", float: "a number", list: "a list"}
    return names.get(type(value), "a table" if isinstance(value, dict) else f"a {type(value).__name__}")


def _shown(value: Any) -> str:
    text = _toml(value) if isinstance(value, str | int | float | list | tuple | dict) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


# A record's field is read as its annotation says; these few say less than a person may write.
_BY_KEY: dict[str, Callable[[Any], Any]] = {
    "name": _name,
    "objective": _objective,
    "size": parse_size,
    "max_parameters": parse_count,
    "max_size": parse_bytes,
    "max_latency": parse_milliseconds,
    "max_memory": parse_bytes,
    "space": _space,
    "tolerances": _drops,
}
_BY_TYPE: dict[str, Callable[[Any], Any]] = {
    "str": _text,
    "tuple[str, ...]": _texts,
    "int": _whole,
    "int | None": _whole,
    "float": _number,
    "float | None": _duration,
    "Goal | None": _one_of(Goal),
    "Kind | None": _one_of(Kind),
    "ClassWeight": _one_of(ClassWeight),
    "Regularise": _one_of(Regularise),
    "tuple[Cost, ...]": _costs,
}
_READERS: dict[str, Callable[[Any], Any]] = {
    "time" if spec.name == "seconds" else spec.name: _BY_KEY.get(spec.name) or _BY_TYPE[str(spec.type)]
    for spec in dataclasses.fields(Experiment)
}


def _line(text: str, key: str) -> str:
    """ ":7" for the line of `text` that sets `key` or opens its table; nothing if it cannot be told."""
    for number, line in enumerate(text.splitlines(), 1):
        if key and re.match(rf"\s*(\[\s*)?[\"']?{re.escape(key)}[\"']?\s*[=.\]]", line):
            return f":{number}"
    return ""


def _name_of(source: str) -> str:
    if source.startswith(BUNDLED):
        return sanitised(source.partition(":")[2])
    path = Path(source).expanduser().resolve()
    return sanitised(path.name if path.is_dir() else Path(path.name.removesuffix(".gz")).stem)


def sanitised(name: str) -> str:
    """`name` as a run can be called: letters, digits and . _ -"""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "data"


# -- writing --------------------------------------------------------------------------------


def _default(spec: dataclasses.Field[Any]) -> Any:
    if spec.default_factory is not dataclasses.MISSING:
        return spec.default_factory()
    return spec.default


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_toml_key(key)} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # A basic string of TOML is a string of JSON, but for one control character that JSON lets through.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)


def _toml_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _toml(key)
