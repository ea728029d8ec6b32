"""How numbers, sizes, times and hyperparameters are written: on the screen and in the report alike."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

TOO_FEW = (
    "Whether more training rows would help cannot be told: half of them are too few, or lack a class that has next to "
    "none."
)


def number(value: Any) -> str:
    """Four telling digits, of large numbers all: 0.9741, 52,431, 3.2e-05; text as it is; a dash for what is not known.

    From 1e15 on, where a float no longer knows all digits, four again: 1.3e+30.
    """
    if value is None or value != value:
        return "-"
    if isinstance(value, bool | str) or value == float("inf"):
        return str(value)
    if abs(value) >= 1e15:
        return f"{value:.4g}"
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4f}" if 0.001 <= abs(value) < 10 else f"{value:.4g}"


def size(count: float) -> str:
    """Bytes for people: 812 B, 38.6 KB, 1.2 MB (1 KB = 1,000 B)."""
    for unit in ("B", "KB", "MB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def typed(path: object) -> str:
    """A path as it is typed into a shell: in quotes where it holds blanks or what a shell takes for its own."""
    text = str(path)
    return shlex.quote(text) if re.search(r"[^\w@%+=:,./~-]", text) else text


def clock(seconds: float) -> str:
    """4:05, or 1:04:05."""
    minutes, rest = divmod(int(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def values(chosen: Mapping[str, Any], telling: Iterable[str] | None = None) -> str:
    """Hyperparameters in one line; only those in `telling`, if given."""
    kept = chosen if telling is None else {name: chosen[name] for name in telling if name in chosen}
    return " ".join(f"{name}={short(value)}" for name, value in kept.items())


def telling(trials: Iterable[Mapping[str, Any]]) -> list[str]:
    """Names of the hyperparameters that differ between trials; all, where there is nothing to compare."""
    seen: dict[str, set[Any]] = {}
    each = [trial["values"] for trial in trials]
    for chosen in each:
        for name, value in chosen.items():
            seen.setdefault(name, set()).add(value)
    return [name for name, found in seen.items() if len(found) > 1] if len(each) > 1 else list(seen)


def refusal(refused: str, made: bool) -> str:
    """Why a trial does not ship: its `refused` (records.Trial), after who refuses it where its file was `made`."""
    return f"the gate refuses {refused}" if made else refused


def short_name(variant: str) -> str:
    """What a row of FORMATS is called at the head of a column: "int8" of tflite_int8."""
    return variant.rpartition("_")[2]


def short(value: Any) -> str:
    """A hyperparameter in a few letters: yes, 0.00288, relu."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
