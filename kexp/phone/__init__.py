"""An exported network on a phone: the page that it opens, the server behind it, and what it measures.

    serve(exported, files, keep) -> Session -> the address to open, then what phones post, one after the other

Three ways to a phone: the local network by plain http (photos, no live camera), by https with a certificate that
the phone is told to trust (--https), or a USB cable (--adb).
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import queue
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from kexp.phone import adb, address
from kexp.phone.results import ABOUT, Received, Result, parse
from kexp.phone.server import PhoneServer
from kexp.records import Artifact
from kexp.store import by_device

Way = Literal["http", "https", "adb"]

TOKEN_BYTES = 16  # 128 bits: not to be guessed
DOOR_BYTES = 6  # no secret, for plain http carries it: keeps scanners out, and the address short enough to type
WAITING_RESULTS = 64  # that were posted and not yet taken; more are refused


# None is the end. A SimpleQueue, for a signal's handler may put into it whatever the main thread is doing.
Posted = queue.SimpleQueue[Received | None]


class Invitation(NamedTuple):
    """What a person must know to open the page.

    `open` is the address to type or to scan, `url` that of the page itself: they differ where a certificate is to be
    trusted first. The secret of `url` is in the fragment of `open`, which is not sent over plain http.
    """

    open: str
    url: str
    way: Way
    alone: bool = False  # no network: only this computer can open it
    phone: str = ""  # its model, where it is on a cable
    fingerprint: str = ""  # SHA-256 of the authority's certificate
    notices: tuple[str, ...] = ()


class Session:
    """A server that runs. `results` yields what phones post; `keep` is told first, and answers whether it was kept.

    `wanted` are the files that the page measures.
    """

    def __init__(
        self,
        invitation: Invitation,
        posted: Posted,
        keep: Callable[[list[dict[str, Any]]], bool],
        wanted: Iterable[str],
    ) -> None:
        self.invitation = invitation
        self._posted, self._keep, self._wanted = posted, keep, set(wanted)
        self._known: dict[tuple[str, str], Result] = {}  # by device and file
        self._entries: list[dict[str, Any]] = []

    def results(self, *, once: bool = False, seconds: float | None = None) -> Iterator[tuple[Received, bool]]:
        """What is new in each post when it comes, and whether it was kept.

        Until one phone has measured every file if `once`, for `seconds` at most, or until Ctrl-C or `kill`; what had
        come before is still yielded.
        """
        until = None if seconds is None else time.monotonic() + seconds
        with contextlib.suppress(queue.Empty):
            while received := self._posted.get(timeout=None if until is None else max(until - time.monotonic(), 0)):
                yield from self._take(received)
                if once and self._wanted <= {file for device, file in self._known if device == received.device}:
                    return
            while received := self._posted.get_nowait():
                yield from self._take(received)

    def _take(self, received: Received) -> Iterator[tuple[Received, bool]]:
        """The page posts all that it has after each file: what was told before is left out."""
        known = {(received.device, result.artifact): result for result in received.results}
        fresh = [result for key, result in known.items() if self._known.get(key) != result]
        self._known |= known
        if fresh:
            received = received._replace(results=fresh)
            entries = received.entries()
            self._entries += entries
            yield received, self._keep(entries)

    def document(self) -> dict[str, Any]:
        """The address, and what came so far, as `kexp show` has it."""
        return {"url": self.invitation.url, "devices": by_device(self._entries)}


@contextlib.contextmanager
def _ended_by_signals(end: Callable[[], None]) -> Iterator[None]:
    """While this lasts Ctrl-C and `kill` call `end` instead of breaking off whatever is being kept or shown.

    A second one breaks off. A signal that is ignored stays so, as for what a shell runs in the background.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    asked = False

    def handler(number: int, frame: Any) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        end()

    if threading.current_thread() is not threading.main_thread():
        yield  # signals come to the main thread alone
        return
    for number, was in before.items():
        if was != signal.SIG_IGN:
            signal.signal(number, handler)
    try:
        yield
    finally:
        for number, was in before.items():
            signal.signal(number, was)


@contextlib.contextmanager
def serve(
    exported: Sequence[Artifact],
    files: Mapping[str, bytes | Path],
    keep: Callable[[list[dict[str, Any]]], bool],
    *,
    way: Way = "http",
    host: str | None = None,
    port: int | None = None,
) -> Iterator[Session]:
    """Serve `files`, the page and all it loads, while this lasts; posts must be about the artifacts in `exported`,
    which lie at model/ of `files`, and are judged by the limits in model/about.json.

    `keep` gets them as `RunStore.add_devices` takes them. `host` is this computer's address in the local network
    unless given (of no use by adb), `port` is 8765, or a free one where that is in use. The path has a token that is
    new each time: an address that somebody has seen is worth nothing after the end. Raises PhoneError.
    """
    phone = adb.need_device() if way == "adb" else ""
    name = "localhost" if way == "adb" else host or address.local()
    bound = address.LOOPBACK if way == "adb" else address.resolve(name)
    alone = way != "adb" and ipaddress.ip_address(bound).is_loopback
    token, door = secrets.token_urlsafe(TOKEN_BYTES), secrets.token_urlsafe(DOOR_BYTES)
    posted: Posted = queue.SimpleQueue()
    about = files[ABOUT]
    limits = json.loads(about if isinstance(about, bytes) else about.read_bytes())["limits"]

    def receive(body: bytes) -> dict[str, Any]:
        received = parse(body, exported, limits)
        if posted.qsize() >= WAITING_RESULTS:
            raise ValueError("too many results are waiting: try again in a moment")
        posted.put(received)
        return {"received": True}

    notices, trusted = [], None
    if way == "https":
        from kexp.phone import certificates, trust  # loads cryptography, which nothing else needs

        trusted = certificates.credentials(name)
        if trusted.made:
            notices.append("a new certificate authority was made: each phone has to trust it once")

    def make(number: int) -> PhoneServer:
        return PhoneServer(
            files, receive, token=token, host=name, port=number, address=bound,
            names=("localhost", address.LOOPBACK) if ipaddress.ip_address(bound).is_loopback else (),
            context=trusted.context if trusted else None, door=door,
            untrusted=trust.site(trusted.authority, trusted.fingerprint) if trusted else None,
        )  # fmt: skip

    with contextlib.ExitStack() as stack:
        server = address.bind(make, name, port)
        stack.callback(server.server_close)
        stack.callback(server.drain)
        stack.enter_context(_ended_by_signals(lambda: posted.put(None)))
        if port is None and server.port != address.PORT:
            notices.append(f"port {address.PORT} is in use, this is {server.port}: the phone asks for its camera again")
        threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
        stack.callback(server.shutdown)
        if way == "adb":
            stack.enter_context(adb.reverse(server.port))
        invitation = Invitation(
            open=server.open, url=server.url, way=way, alone=alone, phone=phone,
            fingerprint=trusted.fingerprint if trusted else "", notices=tuple(notices),
        )  # fmt: skip
        yield Session(invitation, posted, keep, (item.path for item in exported if f"model/{item.path}" in files))
