"""JavaScript packages for the page that a phone opens, and for tests in a browser: installed once per user by npm.

A package.json with exact versions is the question, a node_modules in the user's cache the answer; its folder is named
after the question, so a new version never meets an old installation.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kexp.errors import ExportError

TIMEOUT_S = 600.0  # of one installation: seconds on a good line, minutes on a bad one
EXACT = re.compile(r"\d+\.\d+\.\d+(-[\w.]+)?")
_INSTALL = "Install Node.js 18 or newer, which brings npm (https://nodejs.org, or apt install nodejs npm)."


def npm_folder(package_json: Path, notice: Callable[[str], None] | None = None) -> Path:
    """The node_modules folder with the dependencies of `package_json`, in the user's cache.

    It is made by `npm install` the first time, without running the packages' scripts, under XDG_CACHE_HOME or ~/.cache;
    `notice` is told before that, as it takes seconds and the network. It appears whole or not at all; two processes
    may ask at once. Raises ExportError for a version that is not exact, and where npm is missing or fails.
    """
    wanted = _dependencies(package_json)
    folder = cache() / hashlib.sha256(package_json.read_bytes()).hexdigest()[:16]
    modules = folder / "node_modules"
    if modules.is_dir():
        return modules
    npm = shutil.which("npm")
    named = ", ".join(f"{name} {version}" for name, version in wanted.items())
    if npm is None:
        raise ExportError(f"npm is needed once, to fetch {named}, and is not on the PATH. {_INSTALL}")
    if notice is not None:
        notice(f"Fetching {named} by npm, once ...")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".install-", dir=folder.parent) as scratch:
        staging = Path(scratch) / folder.name
        staging.mkdir()
        shutil.copyfile(package_json, staging / "package.json")
        _install(npm, staging, named)
        missing = [name for name in wanted if not (staging / "node_modules" / name / "package.json").is_file()]
        if missing:
            raise ExportError(f"npm ended well and did not install {', '.join(missing)}. Try again.")
        try:
            staging.rename(folder)
        except OSError:
            if not modules.is_dir():  # otherwise another process was first, with the same content
                raise
    return modules


def cache() -> Path:
    """Where the installations lie: kexp/npm under XDG_CACHE_HOME or ~/.cache."""
    root = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(root) if root else Path.home() / ".cache") / "kexp" / "npm"


def _dependencies(package_json: Path) -> dict[str, str]:
    try:
        document: dict[str, Any] = json.loads(package_json.read_text(encoding="utf-8"))
        wanted = {str(name): str(version) for name, version in document["dependencies"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ExportError(f"{package_json} names no dependencies: {error}. Install kexp again.") from error
    for name, version in wanted.items():
        if not EXACT.fullmatch(version):
            raise ExportError(f"{package_json}: {name} {version!r} is no exact version, as 1.2.3 is. Correct it.")
    return wanted


def _install(npm: str, staging: Path, named: str) -> None:
    """Run npm in `staging`. Raises ExportError with what npm said."""
    options = ["--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
    command = [npm, "install", *options, "--loglevel=error"]
    try:
        done = subprocess.run(
            command,
            cwd=staging,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ExportError(
            f"npm did not finish fetching {named} in {TIMEOUT_S:g} s. Try again on a better network connection."
        ) from error
    except OSError as error:
        raise ExportError(f"npm cannot be run: {error}. {_INSTALL}") from error
    if done.returncode != 0:
        said = " | ".join(line.strip() for line in done.stderr.strip().splitlines()[:4])[:400]
        raise ExportError(
            f"npm could not fetch {named} (exit status {done.returncode}): {said or 'it said nothing'}. "
            "The network is needed once; a registry of your own is set by npm config set registry."
        )
