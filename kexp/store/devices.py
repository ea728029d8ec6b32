"""What phones measured, device by device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def by_device(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One document for each device, the latest last: device, when, measurements, checks, sha256 by artifact.

    Of entries of the same device and artifact the last counts.
    """
    latest = {(entry["device"], entry["artifact"]): entry for entry in entries}
    devices: dict[str, dict[str, Any]] = {}
    for entry in sorted(latest.values(), key=lambda entry: (entry["when"], entry["artifact"])):
        blank = {"device": entry["device"], "when": "", "measurements": [], "checks": [], "sha256": {}}
        found = devices.setdefault(entry["device"], blank)
        found["when"] = entry["when"]
        if entry["measurement"] is not None:  # None: it could not run there, as its check says
            found["measurements"].append(entry["measurement"])
        found["checks"] += entry["checks"]
        found["sha256"][entry["artifact"]] = entry["sha256"]
    return sorted(devices.values(), key=lambda device: device["when"])
