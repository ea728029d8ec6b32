"""An ARM64 Python with LiteRT under qemu, put together from Debian's and PyPI's own packages; no root, no container.

    python tests/arm64.py            sets it up and says where it is and how long it took
    python tests/arm64.py FILE.py    runs a program with it

It lies in $XDG_CACHE_HOME/kexp-tests (about 200 MB) and is made once for each version of LiteRT. Needed are a Debian
with apt (its own sources are used, for another architecture, in a root of their own) and the package qemu-user-static.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from importlib.metadata import version
from pathlib import Path

QEMU = "qemu-aarch64-static"
CPU = "cortex-a76"
# What LiteRT's cpuinfo reads to know the processor: that of CPU. With this computer's own it crashes, and features that
# qemu's processor lacks end in an illegal instruction.
CPUINFO = """processor\t: 0
BogoMIPS\t: 48.00
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x3
CPU part\t: 0xd0b
CPU revision\t: 1
"""
SYS_CPU = {
    "possible": "0",
    "present": "0",
    "online": "0",
    "kernel_max": "0",
    "cpu0/cpufreq/cpuinfo_max_freq": "2000000",
}
PACKAGES = ("python3-minimal", "libpython3-stdlib", "libstdc++6")
WHEELS = ("ai-edge-litert", "numpy")
PLATFORMS = [f"manylinux_2_{minor}_aarch64" for minor in range(17, 29)] + ["manylinux2014_aarch64"]


class MissingError(RuntimeError):
    """Something that is needed is not here; the message says how to get it."""


def run(script: Path, *arguments: object) -> str:
    """What `script`, run by the ARM64 Python, prints. Its modules are those of LiteRT, NumPy and this repository."""
    home = ready()
    (python,) = (home / "root" / "usr" / "bin").glob("python3.[0-9]*")
    environment = {
        **os.environ,
        "QEMU_CPU": CPU,
        "PYTHONPATH": f"{home / 'site'}:{Path(__file__).parents[1]}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHOME": str(home / "root" / "usr"),
        "OPENBLAS_NUM_THREADS": "1",
    }
    command = [QEMU, "-L", home / "root", python, script, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the ARM64 program ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"[-3000:])
    return done.stdout


def ready() -> Path:
    """The folder of the set-up: made if it is not there. Raises MissingError."""
    for tool, package in ((QEMU, "qemu-user-static"), ("apt-get", "apt"), ("dpkg-deb", "dpkg")):
        if not shutil.which(tool):
            raise MissingError(
                f"{tool} is not installed, and ARM64 files cannot be run without: apt-get install {package}"
            )
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kexp-tests"
    home = cache / f"arm64-litert-{version('ai-edge-litert')}-numpy-{version('numpy')}"
    if not home.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="arm64-", dir=cache) as name:
            made = Path(name) / "made"
            _debian(made / "root", Path(name) / "apt")
            _wheels(made, Path(name) / "wheels")
            _processor(made / "root")
            try:
                made.rename(home)
            except OSError:
                if not home.exists():  # where it does, another test process was faster
                    raise
    return home


def _debian(root: Path, apt: Path) -> None:
    """Python for ARM64 and what it links to, unpacked into `root`; `apt` is the private root of apt."""
    etc, state, cache = apt / "etc", apt / "state", apt / "cache"
    for folder in (etc / "sources.list.d", etc / "preferences.d", state / "lists/partial", cache / "archives/partial"):
        folder.mkdir(parents=True)
    (state / "status").touch()  # nothing is installed
    for name, text in sources().items():
        (etc / "sources.list.d" / name).write_text(text)
    options = {
        "Dir::Etc": etc,
        "Dir::Etc::SourceList": "/dev/null",
        "Dir::Etc::SourceParts": etc / "sources.list.d",
        "Dir::Etc::PreferencesParts": etc / "preferences.d",
        "Dir::Etc::Trusted": "/etc/apt/trusted.gpg",
        "Dir::Etc::TrustedParts": "/etc/apt/trusted.gpg.d",
        "Dir::State": state,
        "Dir::State::status": state / "status",
        "Dir::Cache": cache,
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
    }
    given = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
    root.mkdir(parents=True)
    _command(["apt-get", "-q", *given, "update"])
    _command(["apt-get", "-q", "-y", *given, "install", "--download-only", "--no-install-recommends", *PACKAGES])
    for package in sorted((cache / "archives").glob("*.deb")):
        _command(["dpkg-deb", "-x", str(package), str(root)])
    if not (root / "lib").exists():  # a Debian whose packages know /usr alone
        for name in ("lib", "bin"):
            (root / name).symlink_to(f"usr/{name}")


def sources() -> dict[str, str]:
    """This computer's own apt sources by file name, those of its distribution alone, for any architecture."""
    found: dict[str, str] = {}
    place = Path("/etc/apt")
    for file in [place / "sources.list", *sorted((place / "sources.list.d").glob("*"))]:
        if not file.is_file() or file.suffix not in (".list", ".sources"):
            continue
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".sources":
            stanzas = [s for s in re.split(r"\n\s*\n", text) if re.search(r"^Components:.*\bmain\b", s, re.MULTILINE)]
            kept = "\n\n".join(re.sub(r"^Architectures:.*\n?", "", s, flags=re.MULTILINE) for s in stanzas)
        else:
            lines = (line for line in text.splitlines() if re.match(r"deb\s.*\bmain\b", line))
            kept = "\n".join(re.sub(r"\barch=\S+?(?=[\s\]])", "", line).replace("[]", "") for line in lines)
        if kept.strip():
            found[file.name] = kept + "\n"
    if not found:
        raise MissingError("no apt source with a component main is in /etc/apt: a Debian is needed for the ARM64 test")
    return found


def _wheels(made: Path, folder: Path) -> None:
    """LiteRT and NumPy for ARM64, unpacked into made/site."""
    (python,) = (made / "root" / "usr" / "bin").glob("python3.[0-9]*")
    number = python.name.removeprefix("python")
    command = [
        sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "-d", str(folder),
        "--python-version", number, "--implementation", "cp", "--abi", f"cp{number.replace('.', '')}",
        *(part for platform in PLATFORMS for part in ("--platform", platform)),
        *(f"{name}=={version(name)}" for name in WHEELS),
    ]  # fmt: skip
    _command(command)
    for wheel in folder.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(made / "site")


def _processor(root: Path) -> None:
    """What LiteRT reads of the processor, where qemu looks for it before the computer's own."""
    files = {"proc/cpuinfo": CPUINFO, **{f"sys/devices/system/cpu/{name}": text for name, text in SYS_CPU.items()}}
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def _command(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingError(f"{' '.join(command[:4])} ... failed:\n{(done.stdout + done.stderr)[-2000:]}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(run(Path(sys.argv[1]), *sys.argv[2:]), end="")
    else:
        begun = time.monotonic()
        print(f"{ready()} ready after {time.monotonic() - begun:.1f} s")
