"""What a phone posts, checked into records. It comes from outside: nothing in it is believed that can be told here.

    {"device": "Pixel 7", "userAgent": "Mozilla/5.0 ...", "artifacts": [
      {"artifact": "model_int8.tflite", "sha256": "...", "runtime": "LiteRT.js 2.5.3", "threads": 1,
       "p50_ms": 0.41, "p95_ms": 0.5, "runs": 100,
       "checks": [{"name": "phone gap", "value": 0.0039, "limit": 0.02, "ok": true, "advice": ""}, ...]},
      {"artifact": "model_float16.tflite", "sha256": "...", "error": "why it could not run there"}]}

The limits are ours, and each of them needs its check; `limit` and `ok` of a post are what the page showed. A value of
null or of text, where a number is expected, is a number that was none (JSON has no NaN): the check fails.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from kexp.records import Artifact, Check, Measurement, at_most, to_json

DEVICE_LETTERS = 60
LETTERS = 200  # of any other text
AGENT_LETTERS = 600
MOST = 32  # artifacts of a post, checks of an artifact
LARGEST = 1e9  # of a count or of milliseconds
ABOUT = "model/about.json"  # of the page: what it is told of the model, with the limits
SHA256, AS_EXPORTED = "phone sha256", "as exported"  # a check that a phone can make on secure connections alone

Limits = Mapping[str, Mapping[str, float]]  # by format, then by the name of the check


class Result(NamedTuple):
    """What one device found out about one file of the export; no measurement where it could not run."""

    artifact: str
    sha256: str
    measurement: Measurement | None
    checks: list[Check]


class Received(NamedTuple):
    """One post. `when` is ISO 8601, of this machine's clock."""

    device: str
    user_agent: str
    when: str
    results: list[Result]

    def entries(self) -> list[dict[str, Any]]:
        """As JSON, one for each file: what `RunStore.add_devices` keeps."""
        return [
            {
                "device": self.device,
                "userAgent": self.user_agent,
                "when": self.when,
                "artifact": result.artifact,
                "sha256": result.sha256,
                "measurement": to_json(result.measurement),
                "checks": to_json(result.checks),
            }
            for result in self.results
        ]


def parse(body: bytes, exported: Sequence[Artifact], limits: Limits) -> Received:
    """The post in `body`, about files that are in `exported`, judged by `limits`.

    Raises ValueError saying what is wrong with it.
    """
    try:
        document = json.loads(body, parse_constant=_no_number, object_pairs_hook=_once)
    except RecursionError as error:
        raise ValueError("too many brackets inside each other") from error
    except UnicodeDecodeError as error:
        raise ValueError("UTF-8 is expected") from error
    _keys(document, "the post", {"device", "userAgent", "artifacts"})
    device = _printable(_text(document, "device", AGENT_LETTERS, any_letters=True))[:DEVICE_LETTERS].strip()
    agent = _printable(_text(document, "userAgent", AGENT_LETTERS, any_letters=True))
    known = {artifact.path: artifact for artifact in exported}
    results = [_result(item, device or "unnamed", known, limits) for item in _list(document, "artifacts")]
    if not results:
        raise ValueError("artifacts: at least one is expected")
    if len({result.artifact for result in results}) < len(results):
        raise ValueError("artifacts: each is expected once")
    return Received(device or "unnamed", agent, datetime.now(UTC).isoformat(timespec="seconds"), results)


def _result(item: Any, device: str, known: Mapping[str, Artifact], limits: Limits) -> Result:
    failed = isinstance(item, dict) and "error" in item
    told = {"error"} if failed else {"runtime", "threads", "p50_ms", "p95_ms", "runs", "checks"}
    _keys(item, "an artifact", {"artifact", "sha256"} | told)
    name = _text(item, "artifact")
    if name not in known:
        raise ValueError(f"artifact: {name!r} is not in this export, which has {', '.join(known)}")
    if _text(item, "sha256") != known[name].sha256:
        raise ValueError(f"sha256: {name} was measured as it is not in this export: load the page again")
    if failed:
        why = _printable(_text(item, "error", AGENT_LETTERS, any_letters=True))[:LETTERS] or "no reason was told"
        advice = "This browser cannot run the file: use another variant, and report phone and browser."
        check = Check(name=f"{name} phone runs", value=why, limit="runs", ok=False, advice=advice)
        return Result(name, known[name].sha256, None, [check])
    measurement = Measurement(
        artifact=name,
        device=device,
        runtime=_text(item, "runtime"),
        threads=_count(item, "threads"),
        p50_ms=_number(item, "p50_ms"),
        p95_ms=_number(item, "p95_ms"),
        runs=_count(item, "runs"),
    )
    if not 0 <= measurement.p50_ms <= measurement.p95_ms <= LARGEST:
        raise ValueError("p50_ms, p95_ms: from 0 up, and the second not below the first, is expected")
    held = limits.get(known[name].format, {})
    checks = [_check(one, known[name], held) for one in _list(item, "checks")]
    found = [check.name.removeprefix(f"{name} ") for check in checks]
    if missing := held.keys() - found:
        raise ValueError(f"checks: {min(missing)} of {name} is missing")
    if len(set(found)) < len(found):
        raise ValueError("checks: each is expected once")
    return Result(name, known[name].sha256, measurement, checks)


def _check(item: Any, artifact: Artifact, limits: Mapping[str, float]) -> Check:
    """With its verdict passed here, and the file that it is of in its name: `model_int8.tflite phone gap`."""
    _keys(item, "a check", {"name", "value", "limit", "ok", "advice"})
    if not isinstance(item["ok"], bool):
        raise ValueError("ok: true or false is expected")
    name, advice = _text(item, "name"), _text(item, "advice", empty=True)
    for start in (artifact.path, artifact.format):
        name = name.removeprefix(f"{start} ")
    if name != SHA256 and name not in limits:
        raise ValueError(f"name: {name!r} is no check of {artifact.path}")
    limit = AS_EXPORTED if name == SHA256 else limits[name]
    name = f"{artifact.path} {name}"
    if isinstance(item["value"], str) or isinstance(limit, str):
        told = _text(item, "value")
        same = told == limit
        return Check(name=name, value=told, limit=limit, ok=same, advice="" if same else advice)
    value = math.nan if item["value"] is None else _number(item, "value")
    return at_most(name, value, limit, advice)


# -- one field each: its value, or what is wrong with it ----------------------------------------------


def _keys(document: Any, what: str, wanted: set[str]) -> None:
    if not isinstance(document, dict):
        raise ValueError(f"{what}: an object is expected")
    if unknown := document.keys() - wanted:
        raise ValueError(f"{what}: unknown key {min(unknown)[:LETTERS]!r}; known are {', '.join(sorted(wanted))}")
    if missing := wanted - document.keys():
        raise ValueError(f"{what}: {min(missing)} is missing")


def _list(document: Mapping[str, Any], key: str) -> list[Any]:
    value = document[key]
    if not isinstance(value, list) or len(value) > MOST:
        raise ValueError(f"{key}: a list of at most {MOST} is expected")
    return value


def _text(
    document: Mapping[str, Any], key: str, most: int = LETTERS, *, empty: bool = False, any_letters: bool = False
) -> str:
    value = document[key]
    if not isinstance(value, str) or len(value) > most:
        raise ValueError(f"{key}: text of at most {most} letters is expected")
    if any_letters:
        return value
    if not value.isprintable() or not (value.strip() or empty):
        raise ValueError(f"{key}: printable text is expected")
    return value


def _number(document: Mapping[str, Any], key: str) -> float:
    value = document[key]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{key}: a number is expected")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):  # 1e999 is read as infinity
        raise ValueError(f"{key}: a number is expected that is finite")
    return number


def _count(document: Mapping[str, Any], key: str) -> int:
    value = document[key]
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LARGEST:
        raise ValueError(f"{key}: a whole number from 1 up is expected")
    return value


def _printable(text: str) -> str:
    """`text` without what moves a terminal's cursor or turns its direction; blanks become one space."""
    return "".join(letter for letter in " ".join(text.split()) if letter.isprintable())


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise ValueError("a key that is there twice")
    return document
