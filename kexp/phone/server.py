"""The web server that a phone opens: given files under a path that only the invited know, and one place to post to.

    GET, HEAD  http://HOST:PORT/TOKEN/NAME      a file of the mapping, under exactly that name; "" is index.html
    POST       http://HOST:PORT/TOKEN/results   JSON for `receive`

Everything else is one and the same 404: a wrong token, an unknown name, a name of another host (a page of the web
that points its own name at this address would otherwise read with the visitor's browser). With a TLS context the same
port answers plain http too, with files of its own: whoever does not trust the certificate yet needs some. Those lie
under another word, DOOR, for what plain http carries is no secret: anybody in the network can read it.
"""

from __future__ import annotations

import contextlib
import hmac
import io
import json
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any, cast

from kexp.phone.site import SiteFile, site

LARGEST_POST = 64 * 1024  # bytes; a dozen files with their checks are a tenth of it
REQUEST_SECONDS = 20.0  # until a whole request must have come, the wait for its first byte included
SEND_SECONDS = 180.0  # for one answer: 10 MB over a weak Wi-Fi
CONNECTIONS = 64  # at a time, each a thread; a browser opens six
DRAINED = 1024 * 1024  # bytes of a refused request that are read, so that its sender gets to read the answer
DRAIN_SECONDS = 2.0
HANDSHAKE = b"\x16"  # the first byte of TLS (RFC 8446, 5.1: a handshake record)


class PhoneServer(ThreadingHTTPServer):
    """Serves `files` under /`token`/ on `host`:`port` and nowhere else; `receive` gets what is posted.

    `receive(body)` returns the JSON document to answer with; it raises ValueError with the reason of a refusal.
    `names` are the names, beside `host`, by which a browser may call this server. `context` makes it https;
    `untrusted` is what plain http gets then, under /`door`/. Raises OSError where the address cannot be had.

    `url` is the address of the page; `open` the one to go to first, where a certificate is to be trusted: the token is
    in its fragment, which browsers do not send.
    """

    daemon_threads = True
    block_on_close = False  # a phone that keeps its connection open must not hold the command
    request_queue_size = 32

    def __init__(
        self,
        files: Mapping[str, bytes | Path],
        receive: Callable[[bytes], dict[str, Any]],
        *,
        token: str,
        host: str,
        port: int,
        address: str | None = None,
        names: Iterable[str] = (),
        context: ssl.SSLContext | None = None,
        door: str = "",
        untrusted: Mapping[str, bytes | Path] | None = None,
    ) -> None:
        self.site, self.untrusted = site(files), site(untrusted or {})
        self.receive, self.token, self.door, self.context = receive, token, door, context
        self._free = threading.BoundedSemaphore(CONNECTIONS)
        self._answers, self._quiet = 0, threading.Condition()
        bound = address or host
        self.address_family = socket.AF_INET6 if ":" in bound else socket.AF_INET
        super().__init__((bound, port), _Handler)
        self.port: int = self.server_address[1]
        self.scheme = "https" if context else "http"
        self.hosts = {f"{_in_url(name)}:{self.port}".lower() for name in (host, *names)}
        if self.port == (443 if context else 80):  # which browsers leave out
            self.hosts |= {_in_url(name).lower() for name in (host, *names)}
        self.url = f"{self.scheme}://{_in_url(host)}:{self.port}/{token}/"
        self.open = f"http://{_in_url(host)}:{self.port}/{door}/#{token}" if context else self.url

    def server_bind(self) -> None:
        """Bind, without asking a name server for the name of the address, as the parent does."""
        TCPServer.server_bind(self)

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """Around what `drain` waits for: whoever got what was posted may end this server before it is answered."""
        with self._quiet:
            self._answers += 1
        try:
            yield
        finally:
            with self._quiet:
                self._answers -= 1
                self._quiet.notify_all()

    def drain(self, seconds: float = DRAIN_SECONDS) -> None:
        """Wait until no post waits for its answer, for `seconds` at most."""
        with self._quiet:
            self._quiet.wait_for(lambda: not self._answers, seconds)

    def process_request(self, request: Any, client_address: Any) -> None:
        """A thread for the connection, or none where too many are open."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # the machine has no thread left
            self._free.release()
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """The whole life of a connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections end as they like; anything else is a bug and keeps its traceback."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


class _Patient(io.RawIOBase):
    """What a socket receives, until a deadline that a byte now and then does not move."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.deadline = 0.0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request took too long")
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    # -- a connection, then request by request ---------------------------------------------------

    @property
    def _phone_server(self) -> PhoneServer:
        return cast(PhoneServer, self.server)

    def setup(self) -> None:
        server = self._phone_server
        self._secure = False
        if server.context is not None:
            # Here, in the connection's own thread: one that dawdles over its handshake holds nobody else up.
            self.request.settimeout(REQUEST_SECONDS)
            if self.request.recv(1, socket.MSG_PEEK) == HANDSHAKE:
                self.request = server.context.wrap_socket(self.request, server_side=True)
                self._secure = True
        super().setup()
        self._patient = _Patient(self.connection)
        self.rfile = io.BufferedReader(self._patient)

    def finish(self) -> None:
        super().finish()
        if self._secure:  # the server closes the socket that it accepted, which TLS has taken over
            try:
                self.connection.shutdown(socket.SHUT_WR)
            except OSError:
                return
            finally:
                self.connection.close()

    def handle_one_request(self) -> None:
        self._patient.deadline = time.monotonic() + REQUEST_SECONDS
        super().handle_one_request()

    # -- the methods -----------------------------------------------------------------------------

    def do_GET(self) -> None:
        """A file, if it is asked for by its right name."""
        server = self._phone_server
        files = server.site if self._secure or server.context is None else server.untrusted
        name = self._asked()
        if name is None and self._host() is not None and self._known(self._path().removeprefix("/")):
            self._reply(HTTPStatus.MOVED_PERMANENTLY, headers={"Location": f"/{self._word()}/"})
        elif name is None or name not in files:
            self._nothing()
        else:
            self._file(files[name])

    def do_HEAD(self) -> None:
        """What GET would send, without the body."""
        self.do_GET()

    def do_POST(self) -> None:
        """Measurements of a phone."""
        server = self._phone_server
        host = self._host()
        if self._asked() != "results" or (server.context is not None and not self._secure):
            self._nothing()
            return
        origins = self.headers.get_all("Origin", [])
        if any(origin.lower() != f"{server.scheme}://{host}" for origin in origins):
            self._refuse(HTTPStatus.FORBIDDEN, "another site's page cannot post here")
            return
        if self.headers.get_content_type() != "application/json":
            self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Content-Type: application/json is expected")
            return
        lengths = self.headers.get_all("Content-Length", [])
        if (
            len(lengths) != 1
            or not (lengths[0].isascii() and lengths[0].isdigit())
            or "Transfer-Encoding" in self.headers
        ):
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "one Content-Length is expected")
            return
        if len(lengths[0]) > 9 or int(lengths[0]) > LARGEST_POST:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {LARGEST_POST} bytes are taken")
            return
        body = self.rfile.read(int(lengths[0]))
        if len(body) < int(lengths[0]):
            self.close_connection = True
            return
        with server.answering():
            try:
                answer = server.receive(body)
            except ValueError as error:
                self._refuse(HTTPStatus.BAD_REQUEST, str(error))
                return
            self._reply(HTTPStatus.OK, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    # -- what a request is ------------------------------------------------------------------------

    def _host(self) -> str | None:
        """The Host header if it is one of ours."""
        hosts = self.headers.get_all("Host", [])
        return hosts[0].lower() if len(hosts) == 1 and hosts[0].lower() in self._phone_server.hosts else None

    def _path(self) -> str:
        """As it was sent; `path` has lost its first slashes to the parent's care."""
        words = self.requestline.split()
        return words[1].partition("?")[0] if len(words) > 1 else ""

    def _word(self) -> str:
        """The first part of a path that is ours: the token, on a connection that nobody else can read."""
        server = self._phone_server
        return server.token if self._secure or server.context is None else server.door

    def _known(self, word: str) -> bool:
        ours = self._word()
        return bool(ours) and hmac.compare_digest(word.encode(), ours.encode())

    def _asked(self) -> str | None:
        """What comes after /TOKEN/, or None for a request that is none of ours."""
        parts = self._path().split("/", 2)
        ours = len(parts) == 3 and not parts[0] and self._known(parts[1]) and self._host() is not None
        return parts[2] if ours else None

    # -- answers ------------------------------------------------------------------------------------

    def _file(self, file: SiteFile) -> None:
        body, tag, packed = file.variant(packed=_takes_gzip(self.headers.get("Accept-Encoding", "")))
        headers = {"ETag": tag, "Vary": "Accept-Encoding"}
        held = [one.strip().removeprefix("W/") for one in self.headers.get("If-None-Match", "").split(",")]
        if tag in held or "*" in held:
            self._reply(HTTPStatus.NOT_MODIFIED, headers=headers)
            return
        if packed:
            headers["Content-Encoding"] = "gzip"
        self._reply(HTTPStatus.OK, body, {"Content-Type": file.type, **headers})

    def _nothing(self) -> None:
        self._reply(HTTPStatus.NOT_FOUND, last=self.command not in ("GET", "HEAD"))

    def _refuse(self, status: HTTPStatus, reason: str) -> None:
        body = json.dumps({"error": reason}).encode()
        self._reply(status, body, {"Content-Type": "application/json"}, last=True)

    def _reply(
        self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None, *, last: bool = False
    ) -> None:
        self.send_response_only(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != HTTPStatus.NOT_MODIFIED:
            self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-cache")  # ask each time; the ETag makes that cheap
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")  # the address is the secret
        if last:
            self.send_header("Connection", "close")  # closes after this answer: the parent looks at this header
        self.connection.settimeout(SEND_SECONDS)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        if last:
            self._drain()

    def _drain(self) -> None:
        """Read what a refused request still sends: closing with bytes unread would take the answer away from it."""
        try:
            self.connection.shutdown(socket.SHUT_WR) if not self._secure else None
            left = DRAINED
            while left > 0 and (got := self.rfile.read1(min(left, 65536))):
                left -= len(got)
        except OSError:
            return

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the parent cannot parse, or has no method for: the same nothing as anything else."""
        self.command = self.command or ""
        self._reply(HTTPStatus.NOT_FOUND, last=True)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: what matters is told by whoever receives the results."""


def _takes_gzip(accept: str) -> bool:
    """Whether an Accept-Encoding header allows gzip (RFC 9110, 12.5.3)."""
    weights = {}
    for part in accept.lower().split(","):
        coding, _, weight = part.replace(" ", "").partition(";q=")
        weights[coding] = weight.strip("0.") != "" if weight else True
    return weights.get("gzip", weights.get("*", False))
