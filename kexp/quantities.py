"""Durations, sizes, counts and bytes as people write them: "10m", "48x64", "100k", "150kB", "5ms"."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any


def parse_duration(value: str | float) -> float:
    """Seconds in 90, "90s", "10m", "1h30m" or "250ms". Raises ValueError for anything else, zero included."""
    if isinstance(value, str):
        match = re.fullmatch(
            r"(?:(?P<h>\d+(?:\.\d+)?)h)?(?:(?P<m>\d+(?:\.\d+)?)m)?(?:(?P<s>\d+(?:\.\d+)?)s?)?|(?P<ms>\d+(?:\.\d+)?)ms",
            value.replace(" ", ""),
        )
        parts = match.groupdict(default="0") if match else dict.fromkeys(("h", "m", "s", "ms"), "0")
        seconds = 3600 * float(parts["h"]) + 60 * float(parts["m"]) + float(parts["s"]) + float(parts["ms"]) / 1000
    else:
        seconds = float(value)
    if not (math.isfinite(seconds) and seconds > 0):
        raise ValueError('a time such as "90s", "10m", "1h30m" or "250ms" is expected')
    return seconds


def format_duration(seconds: float) -> str:
    """`seconds` as `parse_duration` reads it: "1h30m", "10m", "90.5s"."""
    if seconds != int(seconds):
        return f"{Decimal(repr(float(seconds))):f}s"  # never 1e-05, and no digit less: a file must say what was asked
    hours, rest = divmod(int(seconds), 3600)
    minutes, rest = divmod(rest, 60)
    text = "".join(f"{count}{unit}" for count, unit in ((hours, "h"), (minutes, "m"), (rest, "s")) if count)
    return text or "0s"


def parse_size(value: Any) -> tuple[int, int]:
    """(height, width) in "48x64", [48, 64], or 48 for a square. Raises ValueError for anything else."""
    if isinstance(value, str):
        value = [int(part) if part.strip().isdecimal() else 0 for part in value.lower().split("x")]
    sides = [value] if type(value) is int else value
    if not isinstance(sides, list | tuple) or not all(type(side) is int and side > 0 for side in sides):
        raise ValueError('a size such as "48x64" (height x width), or [48, 64], is expected')
    if len(sides) not in (1, 2):
        raise ValueError(f"one or two sides are expected, not {len(sides)}")
    return sides[0], sides[-1]


def parse_count(value: Any) -> int:
    """A whole number, 100000 or "100000", of thousands, "100k", or of millions, "1.5M". Raises ValueError otherwise."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kKmM]?)", value if isinstance(value, str) else "")
    count = Decimal(match[1]) * {"": 1, "k": 1_000, "m": 1_000_000}[match[2].lower()] if match else value
    if isinstance(count, bool) or not isinstance(count, int | Decimal) or count < 1 or count != int(count):
        raise ValueError('a number such as 100000, "100k" or "1.5M" is expected')
    return int(count)


def parse_bytes(value: Any) -> int:
    """Bytes: 150000, "150kB", "1.5MB", "64KiB"; 1 kB is 1,000 bytes, 1 KiB 1,024. Raises ValueError for anything else.

    As in "150k", the B may be missing.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?(?:([kmg])?(i)?b?)", value.lower() if isinstance(value, str) else "")
    size = value
    if match and (match[2] or not match[3]):
        size = Decimal(match[1]) * (1024 if match[3] else 1000) ** (" kmg".index(match[2] or " "))
    if isinstance(size, bool) or not isinstance(size, int | Decimal) or size < 1 or size != int(size):
        raise ValueError('a size such as "150kB", "1.5MB" or 150000 (bytes) is expected')
    return int(size)


def parse_milliseconds(value: Any) -> float:
    """Milliseconds: 5, "5ms", "0.5 ms", "800us", "2s". Raises ValueError for anything else, zero included."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?(us|µs|ms|s)?", value if isinstance(value, str) else "")
    if match:
        value = float(match[1]) * {"us": 1e-3, "µs": 1e-3, "s": 1e3}.get(match[2], 1.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError('a time such as "5ms", "0.5ms" or 5 (milliseconds) is expected')
    return float(value)
