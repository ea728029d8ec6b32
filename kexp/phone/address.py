"""Which address of this computer a phone can reach, and where a server can be bound."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Callable
from typing import TypeVar

from kexp.errors import PhoneError

LOOPBACK = "127.0.0.1"
# Fixed, for a browser's permissions and what a page keeps belong to scheme, host and port: with another port each time
# the phone would ask for its camera each time, and fetch the runtime again, which the page of an earlier session has
# kept. Registered for nothing that runs on a developer's machine (IANA, ultraseek-http).
PORT = 8765
_TRIED = ("10.254.254.254", "172.31.254.254", "192.168.254.254", "169.254.254.254")

S = TypeVar("S")


def local() -> str:
    """This computer's address in the local network; LOOPBACK where there is none.

    Connecting a datagram socket sends nothing: the system only decides which of its addresses would be used.
    """
    for target in _TRIED:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((target, 9))
                found = str(probe.getsockname()[0])
            except OSError:
                continue
        if not ipaddress.ip_address(found).is_loopback and found != "0.0.0.0":
            return found
    return LOOPBACK


def resolve(host: str) -> str:
    """The address to bind for `host`, an address or a name of this computer. Raises PhoneError."""
    try:
        address = str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except (OSError, UnicodeError) as error:
        raise PhoneError(
            f"--host {host} is no address and no name that is known here. Without --host it is {local()}."
        ) from error
    if ipaddress.ip_address(address.partition("%")[0]).is_unspecified:
        raise PhoneError(
            f"--host {host} means every network that this computer is in. One address is expected, such as {local()}."
        )
    return address


def bind(make: Callable[[int], S], host: str, port: int | None) -> S:
    """What `make` makes for `port`; for None, for PORT, or for a free one where PORT is in use. Raises PhoneError."""
    try:
        return make(PORT if port is None else port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE and port is None:
            return bind(make, host, 0)
        if error.errno == errno.EADDRINUSE:
            raise PhoneError(
                f"port {port} of {host} is in use by another program. Choose another --port; without it "
                f"{PORT}, or else a free one, is taken."
            ) from error
        if error.errno == errno.EADDRNOTAVAIL:
            raise PhoneError(
                f"--host {host} is not an address of this computer. Without --host it is {local()}."
            ) from error
        raise PhoneError(
            f"{host}, port {port}, cannot be used: {error.strerror}. Choose another --host or --port."
        ) from error
