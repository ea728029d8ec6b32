"""The folder exported/<name>: what an earlier export left in it, and how a new one takes its place."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from kexp.errors import ExportError
from kexp.export import card, golden, scatter
from kexp.formats import FORMATS
from kexp.records import Artifact, Check, DatasetSpec, from_json
from kexp.verify import digest


class Earlier(NamedTuple):
    """A file that an earlier export of the same model left, and what was found of it."""

    artifact: Artifact
    checks: list[Check]
    limits: Sequence[float]
    outputs: Any  # (n, outputs), of the golden samples
    intact: bool  # nothing of it was changed, and this kexp would make it alike


def earlier(folder: Path, identity: str, spec: DatasetSpec) -> dict[str, Earlier]:
    """What `folder` holds of the model called `identity`, by format."""
    if not (folder / card.MANIFEST).exists():
        return {}
    try:
        document, described = card.manifest(folder)
        if document.get("model") != identity:
            return {}
        _, outputs = golden.load_expected(folder / "golden")
        checks = [from_json(Check, item) for item in document["checks"]]
        alike = described == spec and document["kexp"] == version("kexp")
        alike = alike and document["golden"] == digest(folder / "golden")
        return {
            one.format: Earlier(
                artifact=one,
                checks=[check for check in checks if check.name.split()[0] == one.format],
                limits=document["limits"][one.format],
                outputs=outputs[one.format],
                intact=alike and (folder / one.path).exists() and digest(folder / one.path) == one.sha256,
            )
            for one in (from_json(Artifact, item) for item in document["artifacts"])
            if one.format in FORMATS
        }
    except (ExportError, KeyError, TypeError):  # damaged: it is replaced
        return {}


def stays(earlier: Mapping[str, Earlier], asked: Sequence[str], before: Path, now: Path) -> list[str]:
    """Earlier formats that need not be made again: intact, not asked for, of parts that stay, and of the same samples.

    So a machine that lacks what one of them needs does not lose it. `before` and `now` are the golden folders.
    """

    def content(folder: Path) -> dict[str, str]:
        return {file.name: digest(file) for file in folder.iterdir() if file.name != golden.EXPECTED}

    if not earlier or content(before) != content(now):
        return []
    left = [name for name, one in earlier.items() if one.intact and name not in asked]
    return [name for name in left if all(part in left for part in FORMATS[name].parts)]


def carry_over(folder: Path, staging: Path) -> None:
    """Copy what somebody else put into `folder`: notes, a licence."""
    ours = {card.MANIFEST, "README.md", "labels.txt", scatter.NAME, "golden", *(row.file for row in FORMATS.values())}
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name not in ours:
            copy(path, staging / path.name)


def copy(source: Path, target: Path) -> None:
    """Copy a file or a folder; a link stays a link, wherever it leads."""
    if source.is_dir() and not source.is_symlink():
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copy2(source, target, follow_symlinks=False)


def replace(staging: Path | None, folder: Path) -> None:
    """Put `staging` in the place of `folder`, which may exist; None removes it."""
    old = None
    if folder.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent))
        folder.rename(old / folder.name)
    if staging is not None:
        staging.chmod(0o755)  # mkdtemp makes it private
        staging.rename(folder)
    if old is not None:
        shutil.rmtree(old)
