"""A certificate authority of this user's own, and certificates for this computer's address in the local network.

Browsers give camera and offline use to https alone, and no public authority certifies 192.168.1.20. So one is made
here, once, and trusted by hand on the phone:

    $XDG_DATA_HOME/kexp/ca/authority.pem   its key and certificate (mode 0600)
                           server.pem      key and certificate of the latest address (0600), made anew as needed

Whoever steals the authority's key could pose as a web site to the phones that trust it. Its certificate therefore
says for which names it may speak: addresses of local networks, .local and localhost (name constraints, RFC 5280,
4.2.1.10). A certificate from it for the public web is worth nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import os
import secrets
import socket
import ssl
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kexp.errors import PhoneError

AUTHORITY_DAYS = 1826  # trusting it anew on each phone is the tedious part
SERVER_DAYS = 397  # browsers refuse longer ones (CA/Browser Forum ballot SC31, 2020)
RENEWED_DAYS = 30  # before its end a certificate is replaced
BACKDATED = timedelta(days=1)  # the phone's clock may be behind

NETWORKS = tuple(  # that are no part of the public internet: IANA's special-purpose registries
    ipaddress.ip_network(text)
    for text in (
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",  # private, RFC 1918
        "100.64.0.0/10",  # behind a carrier, and what some VPNs hand out, RFC 6598
        "127.0.0.0/8", "169.254.0.0/16", "192.0.2.0/24",  # loopback, link-local, documentation (containers use it)
        "::1/128", "fc00::/7", "fe80::/10",
    )
)  # fmt: skip
NAMES = ("localhost", "local")

Key = ec.EllipticCurvePrivateKey


class Pair(NamedTuple):
    """A certificate and its private key."""

    key: Key
    certificate: x509.Certificate

    def pem(self) -> bytes:
        """Both, the certificate last."""
        private = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return private + self.certificate.public_bytes(Encoding.PEM)


class Credentials(NamedTuple):
    """What a server needs: its TLS context, and the authority to be trusted as a .crt file (DER)."""

    context: ssl.SSLContext
    authority: bytes
    fingerprint: str
    made: bool  # whether the authority is new: phones that trusted an earlier one do not know it


def folder() -> Path:
    """Where the authority is kept: no run's business, and shared by all homes of this user."""
    base = os.environ.get("XDG_DATA_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".local" / "share") / "kexp" / "ca"


def credentials(host: str, place: Path | None = None) -> Credentials:
    """For a server that is called `host`, an address or a name, beside localhost.

    The authority is made where there is none in `place` (`folder()` unless given), or where its end is near. Raises
    PhoneError for a host that it may not speak for, and for files that are damaged or that others can read.
    """
    place = place or folder()
    _need_local(host)
    try:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _alone(place):
            authority = _load(place / "authority.pem")
            made = authority is None or _ends_soon(authority)
            if authority is None or made:
                authority = _authority()
                _save(place / "authority.pem", authority)
            server = _load(place / "server.pem")
            if server is None or _ends_soon(server) or not _fits(server, authority, host):
                server = _server(authority, host)
                _save(place / "server.pem", server)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(place / "server.pem")  # under the lock: another command may want another address
    except OSError as error:  # which ssl.SSLError is
        raise PhoneError(f"{place} cannot be used for kexp's certificates: {error}. XDG_DATA_HOME moves it.") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return Credentials(
        context,
        authority.certificate.public_bytes(Encoding.DER),
        authority.certificate.fingerprint(hashes.SHA256()).hex(":").upper(),
        made,
    )


# -- what is certified --------------------------------------------------------------------------------


def _need_local(host: str) -> None:
    if not host.isascii():  # a certificate spells it in another way, and so may a browser
        raise PhoneError(f"--host {host} has letters beyond a to z. Give the address, such as 192.168.1.20.")
    address = _address(host)
    if address is None:
        local = any(host == name or host.endswith(f".{name}") for name in NAMES)
    else:
        local = any(address in network for network in NETWORKS)
    if not local:
        raise PhoneError(
            f"{host} is not in a local network, and kexp's certificates are for those alone. Choose another --host, "
            "such as an address that begins with 192.168. or 10., or use --adb."
        )


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _alternatives(host: str) -> x509.SubjectAlternativeName:
    """Every name by which a browser may call the server."""
    address = _address(host)
    names: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    own: x509.GeneralName = x509.DNSName(host) if address is None else x509.IPAddress(address)
    return x509.SubjectAlternativeName([own, *(name for name in names if name != own)])


def _builder(subject: str, issuer: x509.Name | None, key: Key, days: int) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "kexp"),
            x509.NameAttribute(NameOID.COMMON_NAME, subject[:64]),  # 64: RFC 5280, ub-common-name
        ]
    )
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer or name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now - BACKDATED + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates, key_cert_sign=signs_certificates, crl_sign=signs_certificates,
        content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _authority() -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    # The computer's name tells people whose it is; the rest tells two of the same computer apart.
    subject = f"kexp CA {secrets.token_hex(3)} on {socket.gethostname()}"
    permitted: list[x509.GeneralName] = [*map(x509.DNSName, NAMES), *map(x509.IPAddress, NETWORKS)]
    certificate = (
        _builder(subject, None, key, AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.NameConstraints(permitted_subtrees=permitted, excluded_subtrees=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Pair(key, certificate)


def _server(authority: Pair, host: str) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(f"kexp phone on {host}", authority.certificate.subject, key, SERVER_DAYS)
        .add_extension(_alternatives(host), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return Pair(key, certificate)


def _fits(server: Pair, authority: Pair, host: str) -> bool:
    """Whether a certificate that is there serves `host`, and is of this authority."""
    try:
        server.certificate.verify_directly_issued_by(authority.certificate)
        names = server.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except Exception:  # noqa: BLE001 - whatever is wrong with it, it is replaced
        return False
    return names == _alternatives(host)


def _ends_soon(pair: Pair) -> bool:
    return pair.certificate.not_valid_after_utc - datetime.now(UTC) < timedelta(days=RENEWED_DAYS)


# -- on the disk ----------------------------------------------------------------------------------------


def _load(path: Path) -> Pair | None:
    """The pair in `path`, None where there is none."""
    if not path.exists():
        return None
    if path.stat().st_mode & 0o077:
        raise PhoneError(
            f"{path} holds a private key and can be read by others (mode {path.stat().st_mode & 0o777:o}, 600 is "
            f"expected), who may have copied it. Remove {path.parent} and, on each phone, the old kexp CA; "
            "the next --https makes new ones."
        )
    try:
        content = path.read_bytes()
        key = load_pem_private_key(content, None)
        certificate = x509.load_pem_x509_certificate(content)
        if not isinstance(key, Key) or key.public_key() != certificate.public_key():
            raise ValueError("key and certificate do not belong together")
    except (ValueError, TypeError) as error:
        raise PhoneError(f"{path} is damaged ({error}). Remove it; the next --https makes a new one.") from error
    return Pair(key, certificate)


def _save(path: Path, pair: Pair) -> None:
    """Whole or not at all, and never readable by others, not for a moment either."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pair.pem())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Two commands that start at once must not make two authorities."""
    with (place / "lock").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
