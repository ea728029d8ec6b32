"""An exported network on a phone: the page that it opens, the server behind it, and what it measures.

    serve(exported, files, keep) -> Session -> the address to open, then what phones post, one after the other

Three ways to a phone: the local network by plain http (photos, no live camera), by https with a certificate that
the phone is told to trust (--https), or a USB cable (--adb).
"""

from __future__ import annotations

import contextlib
import ipaddress
import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from kexp.phone import adb, address
from kexp.phone.results import Received, parse
from kexp.phone.server import PhoneServer
from kexp.records import Artifact
from kexp.store import by_device

Way = Literal["http", "https", "adb"]

TOKEN_BYTES = 16  # 128 bits: not to be guessed
WAITING_RESULTS = 64  # that were posted and not yet taken; more are refused


class Invitation(NamedTuple):
    """What a person must know to open the page.

    `open` is the address to type or to scan, `url` that of the page itself: they differ where a certificate is to be
    trusted first.
    """

    open: str
    url: str
    way: Way
    alone: bool = False  # no network: only this computer can open it
    phone: str = ""  # its model, where it is on a cable
    fingerprint: str = ""  # SHA-256 of the authority's certificate
    notices: tuple[str, ...] = ()


class Session:
    """A server that runs. `results` yields what phones post; `keep` is told first, and answers whether it was kept."""

    def __init__(
        self, invitation: Invitation, posted: queue.Queue[Received], keep: Callable[[list[dict[str, Any]]], bool]
    ) -> None:
        self.invitation = invitation
        self._posted, self._keep = posted, keep
        self._entries: list[dict[str, Any]] = []

    def results(self, *, once: bool = False, seconds: float | None = None) -> Iterator[tuple[Received, bool]]:
        """Each post when it comes, and whether it was kept.

        Until the first one if `once`, for `seconds` at most, or until Ctrl-C; what had come before is still yielded.
        """
        until = None if seconds is None else time.monotonic() + seconds
        with contextlib.suppress(KeyboardInterrupt, queue.Empty):
            while True:
                left = None if until is None else max(until - time.monotonic(), 0)
                yield self._take(self._posted.get(timeout=left))
                if once:
                    return
        with contextlib.suppress(queue.Empty):
            while True:
                yield self._take(self._posted.get_nowait())

    def _take(self, received: Received) -> tuple[Received, bool]:
        entries = received.entries()
        self._entries += entries
        return received, self._keep(entries)

    def document(self) -> dict[str, Any]:
        """The address, and what came so far, as `kexp show` has it."""
        return {"url": self.invitation.url, "devices": by_device(self._entries)}


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
    """Serve `files`, the page and all it loads, while this lasts; posts must be about the artifacts in `exported`.

    `keep` gets them as `RunStore.add_devices` takes them. `host` is this computer's address in the local network
    unless given (of no use by adb), `port` is 8765, or a free one where that is in use. The path has a token that is
    new each time: an address that somebody has seen is worth nothing after the end. Raises PhoneError.
    """
    phone = adb.need_device() if way == "adb" else ""
    name = "localhost" if way == "adb" else host or address.local()
    bound = address.LOOPBACK if way == "adb" else address.resolve(name)
    alone = way != "adb" and ipaddress.ip_address(bound).is_loopback
    token = secrets.token_urlsafe(TOKEN_BYTES)
    posted: queue.Queue[Received] = queue.Queue(WAITING_RESULTS)

    def receive(body: bytes) -> dict[str, Any]:
        try:
            posted.put_nowait(parse(body, exported))
        except queue.Full:
            raise ValueError("too many results are waiting: try again in a moment") from None
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
            context=trusted.context if trusted else None,
            untrusted=trust.site(trusted.authority, trusted.fingerprint) if trusted else None,
        )  # fmt: skip

    with contextlib.ExitStack() as stack:
        server = address.bind(make, name, port)
        stack.callback(server.server_close)
        if port is None and server.port != address.PORT:
            notices.append(f"port {address.PORT} is in use, this is {server.port}: the phone asks for its camera again")
        threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
        stack.callback(server.shutdown)
        if way == "adb":
            stack.enter_context(adb.reverse(server.port))
        invitation = Invitation(
            open=server.url.replace("https:", "http:", 1), url=server.url, way=way, alone=alone, phone=phone,
            fingerprint=trusted.fingerprint if trusted else "", notices=tuple(notices),
        )  # fmt: skip
        yield Session(invitation, posted, keep)
