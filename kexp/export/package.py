"""What a package is made of: files that passed their gate, with the samples that prove it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kexp.records import Artifact, DatasetSpec


@dataclass(frozen=True, kw_only=True)
class Package:
    """`folder` holds the files of `artifacts`, golden/ with the answers of each, labels.txt and export.json."""

    folder: Path
    spec: DatasetSpec
    artifacts: tuple[Artifact, ...]
