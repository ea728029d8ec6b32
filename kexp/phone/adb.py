"""A phone on a USB cable: its own port PORT leads to this computer's, so that it can open http://localhost:PORT/.

A browser trusts localhost as it trusts https: camera, microphone and offline use work, with no certificate.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator

from kexp.errors import PhoneError

SECONDS = 30  # adb starts a server of its own when first called


def need_device() -> str:
    """The model of the attached phone. Raises PhoneError where adb is missing, or not exactly one phone is ready."""
    lines = [line.split() for line in _adb("devices", "-l").splitlines()[1:] if line.strip()]
    ready = [words for words in lines if words[1:2] == ["device"]]
    waiting = [words for words in lines if words[1:2] == ["unauthorized"]]
    if not ready and waiting:
        raise PhoneError(
            "a phone is attached, but it does not trust this computer yet. Unlock it and allow USB debugging in the "
            "question that it shows; then try again."
        )
    if not ready and any(words[1:3] == ["no", "permissions"] for words in lines):
        raise PhoneError(
            "a phone is attached, but this user may not open its USB device. Install Android's udev rules (the package "
            "android-sdk-platform-tools-common on Debian and Ubuntu), add yourself to the group plugdev, attach the "
            "phone again, and try again."
        )
    if not ready:
        raise PhoneError(
            "adb sees no phone. On the phone: Settings, About phone, tap Build number seven times; then Developer "
            "options, USB debugging. Attach it by a cable that carries data, and try again. "
            "Or leave --adb out and use the network."
        )
    chosen = [words for words in ready if words[0] == os.environ.get("ANDROID_SERIAL")]  # adb itself heeds it too
    ready = chosen or ready
    if len(ready) > 1:
        names = ", ".join(words[0] for words in ready)
        raise PhoneError(f"adb sees several phones: {names}. Set ANDROID_SERIAL to the one that is meant.")
    told = dict(word.partition(":")[::2] for word in ready[0][2:])
    return told.get("model", ready[0][0]).replace("_", " ")


@contextlib.contextmanager
def reverse(port: int) -> Iterator[None]:
    """While this lasts the phone's localhost:`port` is this computer's."""
    _adb("reverse", f"tcp:{port}", f"tcp:{port}")
    try:
        yield
    finally:
        with contextlib.suppress(PhoneError):  # the cable may be out by now, which ends it too
            _adb("reverse", "--remove", f"tcp:{port}")


def _adb(*arguments: str) -> str:
    """What adb prints. Raises PhoneError where it is missing, fails or does not answer."""
    command = " ".join(("adb", *arguments))
    try:
        done = subprocess.run(
            ["adb", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=SECONDS, check=False,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise PhoneError(
            "adb is not installed, or not on the PATH. It is in the package adb of Linux distributions and in the "
            "platform-tools of Android's SDK. Or leave --adb out and use the network."
        ) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PhoneError(f"{command} did not work: {error}. Try `adb kill-server`, then again.") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip() or f"exit status {done.returncode}"
        raise PhoneError(f"{command} failed: {said}. Attach the phone again, or choose another --port.")
    return done.stdout
