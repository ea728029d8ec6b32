"""https by an authority of one's own: trusted it works, untrusted it is refused, for public names it cannot speak."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import http.client
import ipaddress
import json
import os
import queue
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import threading
import time
import urllib.request
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor

import phone_site
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from phone_site import DOOR, FILES, TOKEN, ask, serving

from kexp.errors import PhoneError
from kexp.phone import certificates, serve, trust
from kexp.phone import server as web

HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("data") / "ca"


@pytest.fixture(scope="module")
def held(place):
    return certificates.credentials(HOST, place)


@pytest.fixture(scope="module")
def server(held):
    page = trust.site(held.authority, held.fingerprint)
    with serving(context=held.context, untrusted=page, names=["localhost"]) as running:
        yield running


def trusting(authority):
    return ssl.create_default_context(cadata=authority)


def get(server, path="", context=None, host=HOST):
    connection = http.client.HTTPSConnection(host, server.port, timeout=30, context=context)
    with contextlib.closing(connection):
        connection.request("GET", f"/{TOKEN}/{path}")
        answer = connection.getresponse()
        return answer.status, answer.read()


# -- the server -----------------------------------------------------------------------------------


@pytest.mark.parametrize("host", [HOST, "localhost"])
def test_whoever_trusts_the_authority_is_served(server, held, host):
    assert server.url == f"https://127.0.0.1:{server.port}/{TOKEN}/"
    assert get(server, "app.js", trusting(held.authority), host) == (200, FILES["app.js"])
    assert get(server, "missing", trusting(held.authority), host)[0] == 404


def test_whoever_does_not_trust_it_refuses(server, tmp_path):
    another = certificates.credentials(HOST, tmp_path / "another")
    for context in (ssl.create_default_context(), trusting(another.authority)):
        with pytest.raises(ssl.SSLCertVerificationError):
            get(server, "app.js", context)


def test_results_come_by_https_alone(held):
    received = []
    with serving(lambda body: {"received": not received.append(body)}, context=held.context) as server:
        headers = {"Content-Type": "application/json", "Origin": server.url.rpartition(f"/{TOKEN}")[0]}
        request = urllib.request.Request(f"{server.url}results", b"{}", headers)
        with urllib.request.urlopen(request, timeout=30, context=trusting(held.authority)) as answer:
            assert json.load(answer) == {"received": True}
        for word in (TOKEN, DOOR):
            assert ask(server, "POST", f"/{word}/results", b"{}", Content_Type="application/json")[0] == 404
    assert received == [b"{}"]


def test_plain_http_on_the_same_port_gives_the_certificate_and_nothing_of_the_site(server, held):
    status, headers, body = ask(server, target=f"/{DOOR}/{trust.CERTIFICATE}")
    assert (status, headers["Content-Type"], body) == (200, "application/x-x509-ca-cert", held.authority)
    page = ask(server, target=f"/{DOOR}/")[2].decode()
    assert held.fingerprint in page.replace("<wbr>", "")
    assert 'lang="ar" dir="rtl"' in page
    assert page.count(f'href="{trust.CERTIFICATE}"') == 2
    for name in ("app.js", "wasm/litert.wasm", "results"):
        assert ask(server, target=f"/{DOOR}/{name}")[0] == 404
    assert ask(server, target=f"/{DOOR}")[1]["Location"] == f"/{DOOR}/"
    assert ask(server, target="/wrong/")[0] == 404


def test_the_token_is_worth_nothing_on_plain_http_and_its_door_nothing_on_https(server, held):
    for target in (f"/{TOKEN}/", f"/{TOKEN}", f"/{TOKEN}/{trust.CERTIFICATE}"):
        status, headers, body = ask(server, target=target)
        assert (status, body) == (404, b"")
        assert TOKEN not in str(headers)
    assert server.open == f"http://127.0.0.1:{server.port}/{DOOR}/#{TOKEN}"
    assert TOKEN.encode() not in ask(server, target=f"/{DOOR}/")[2]
    connection = http.client.HTTPSConnection(HOST, server.port, timeout=30, context=trusting(held.authority))
    with contextlib.closing(connection):
        connection.request("GET", f"/{DOOR}/")
        assert connection.getresponse().status == 404


def test_the_fingerprint_is_that_of_the_certificate(held):
    digest = hashlib.sha256(held.authority).hexdigest().upper()
    assert held.fingerprint == ":".join(digest[i : i + 2] for i in range(0, 64, 2))


def test_old_versions_of_tls_are_refused(server, held):
    old = trusting(held.authority)
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        get(server, "app.js", old)


def test_one_that_dawdles_over_its_handshake_holds_nobody_up(server, held):
    with (
        socket.create_connection((HOST, server.port), 30) as silent,
        socket.create_connection((HOST, server.port), 30) as half,
    ):
        half.sendall(b"\x16\x03\x01")
        assert get(server, "app.js", trusting(held.authority))[0] == 200
        silent.close()


@pytest.mark.parametrize("start", [b"", b"\x16\x03\x01\x02"])
def test_a_handshake_that_does_not_come_is_cut_off(held, monkeypatch, start):
    monkeypatch.setattr(web, "REQUEST_SECONDS", 0.2)
    with serving(context=held.context) as server, socket.create_connection((HOST, server.port), 30) as slow:
        slow.sendall(start)
        with contextlib.suppress(ConnectionError):
            while slow.recv(100):
                pass


# -- the authority --------------------------------------------------------------------------------


def load(place, name):
    return x509.load_pem_x509_certificate((place / f"{name}.pem").read_bytes())


def test_keys_are_for_this_user_alone(held, place):
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    for name in ("authority.pem", "server.pem"):
        assert stat.S_IMODE((place / name).stat().st_mode) == 0o600
    assert sorted(path.name for path in place.iterdir()) == ["authority.pem", "lock", "server.pem"]


def test_it_lies_in_the_user_s_data_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert certificates.folder() == tmp_path / "kexp" / "ca"
    for value in ("", "relative"):  # the XDG specification: a relative path is to be ignored
        monkeypatch.setenv("XDG_DATA_HOME", value)
        monkeypatch.setenv("HOME", str(tmp_path))
        assert certificates.folder() == tmp_path / ".local" / "share" / "kexp" / "ca"


def test_the_authority_stays_and_the_server_certificate_follows_the_address(tmp_path):
    first = certificates.credentials("192.168.1.20", tmp_path)
    leaf = load(tmp_path, "server")
    again = certificates.credentials("192.168.1.20", tmp_path)
    assert (first.made, again.made) == (True, False)
    assert load(tmp_path, "server") == leaf
    moved = certificates.credentials("10.0.0.7", tmp_path)
    assert moved.authority == again.authority == first.authority
    names = load(tmp_path, "server").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address(a) for a in ("10.0.0.7", HOST)]
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]


def test_certificates_are_renewed_before_they_end(tmp_path, monkeypatch):
    monkeypatch.setattr(certificates, "SERVER_DAYS", 20)
    certificates.credentials(HOST, tmp_path)
    leaf = load(tmp_path, "server")
    monkeypatch.undo()
    kept = certificates.credentials(HOST, tmp_path)
    renewed = load(tmp_path, "server")
    assert renewed != leaf
    assert 30 <= (renewed.not_valid_after_utc - renewed.not_valid_before_utc).days <= 397
    assert not kept.made
    shutil.rmtree(tmp_path)
    monkeypatch.setattr(certificates, "AUTHORITY_DAYS", 20)
    old = certificates.credentials(HOST, tmp_path)
    monkeypatch.undo()
    new = certificates.credentials(HOST, tmp_path)
    assert new.made
    assert new.authority != old.authority
    load(tmp_path, "server").verify_directly_issued_by(load(tmp_path, "authority"))


def test_two_that_start_at_once_make_one_authority(tmp_path):
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: certificates.credentials(HOST, tmp_path), range(4)))
    assert len({one.authority for one in made}) == 1
    assert sum(one.made for one in made) == 1


def test_a_key_that_others_can_read_is_refused(tmp_path):
    certificates.credentials(HOST, tmp_path)
    (tmp_path / "authority.pem").chmod(0o640)
    with pytest.raises(PhoneError, match="can be read by others"):
        certificates.credentials(HOST, tmp_path)


def test_damaged_files_are_told(tmp_path):
    certificates.credentials(HOST, tmp_path)
    whole = (tmp_path / "authority.pem").read_bytes()
    other = certificates._authority()
    foreign_key = other.pem().partition(b"-----BEGIN CERTIFICATE")[0] + whole[whole.index(b"-----BEGIN CERTIFICATE") :]
    for content in (b"", whole[:200], whole.partition(b"-----BEGIN CERTIFICATE")[0], foreign_key):
        (tmp_path / "authority.pem").write_bytes(content)
        with pytest.raises(PhoneError, match="is damaged"):
            certificates.credentials(HOST, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(PhoneError, match="XDG_DATA_HOME"):
        certificates.credentials(HOST, tmp_path / "file")


def test_a_name_beyond_ascii_is_refused(tmp_path):
    with pytest.raises(PhoneError, match=r"--host münchen\.local has letters beyond a to z"):
        certificates.credentials("münchen.local", tmp_path)


def test_a_server_certificate_that_openssl_refuses_is_told(tmp_path, monkeypatch):
    def load_cert_chain(self, path):
        raise ssl.SSLError("ee key too small")

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", load_cert_chain)
    with pytest.raises(PhoneError, match="ee key too small"):
        certificates.credentials(HOST, tmp_path)


@pytest.mark.parametrize("host", ["8.8.8.8", "example.com", "local.example.com", "notlocal", "2001:4860:4860::8888"])
def test_it_certifies_local_addresses_only(tmp_path, host):
    with pytest.raises(PhoneError, match="not in a local network"):
        certificates.credentials(host, tmp_path)


def verified(place, host):
    """Whether OpenSSL takes a certificate for `host` that the authority in `place` signed."""
    authority = certificates._load(place / "authority.pem")
    forged = certificates._server(authority, host)
    (place / "forged.pem").write_bytes(forged.pem())
    serving_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving_context.load_cert_chain(place / "forged.pem")
    one, other = socket.socketpair()

    def answer():
        with contextlib.suppress(OSError), serving_context.wrap_socket(one, server_side=True) as tls:
            tls.recv(1)

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        client = trusting(authority.certificate.public_bytes(serialization.Encoding.DER))
        with client.wrap_socket(other, server_hostname=host) as tls:
            tls.sendall(b"x")
            return True
    except ssl.SSLCertVerificationError as error:
        assert "permitted subtree violation" in str(error)
        return False
    finally:
        other.close()
        thread.join()


@pytest.mark.parametrize(
    ("host", "believed"),
    [
        ("192.168.1.20", True), ("10.1.2.3", True), ("mybox.local", True), ("fd00::1", True), ("localhost", True),
        ("example.com", False), ("8.8.8.8", False), ("2001:4860:4860::8888", False), ("local.example.com", False),
    ],
)  # fmt: skip
def test_a_stolen_key_cannot_speak_for_the_public_web(tmp_path, host, believed):
    certificates.credentials(HOST, tmp_path)
    assert verified(tmp_path, host) is believed


def test_serve_offers_the_way_to_trust_first(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    files = phone_site.exported(tmp_path)
    with serve(files, {**phone_site.PAGE, **FILES}, bool, way="https", host=HOST, port=0) as session:
        to = session.invitation
        door, _, token = to.open.partition("#")
        assert door.startswith("http:")
        assert to.url.startswith("https:")
        assert to.url.endswith(f"/{token}/")
        assert token not in door
        assert len(to.notices) == 1
        with urllib.request.urlopen(f"{door}{trust.CERTIFICATE}", timeout=30) as answer:
            authority = answer.read()
        with urllib.request.urlopen(to.url, timeout=30, context=trusting(authority)) as answer:
            assert answer.read() == FILES["index.html"]
    with serve(files, {**phone_site.PAGE, **FILES}, bool, way="https", host=HOST, port=0) as session:
        assert session.invitation.notices == ()


# -- a real browser -------------------------------------------------------------------------------

PROBE = b"""<!doctype html><meta charset="utf-8"><script type="module">
const found = { secure: isSecureContext, camera: !!navigator.mediaDevices, worker: 'serviceWorker' in navigator }
if (found.worker) {
  try { await navigator.serviceWorker.register('worker.js'); found.registered = 'yes' }
  catch (error) { found.registered = error.name + ': ' + error.message }
}
const headers = { 'Content-Type': 'application/json' }
const post = await fetch('results', { method: 'POST', headers, body: JSON.stringify(found) })
document.title = post.status
</script>"""
SITE = {"index.html": PROBE, "worker.js": b"self.addEventListener('fetch', () => {})"}


class Tab:
    """A tab of a Chromium of its own, driven through a pipe (Chrome DevTools Protocol, messages that end in NUL)."""

    def __init__(self, read, write):
        self.read, self.write, self.heard, self.number, self.session = read, write, b"", 0, {}
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = {"sessionId": self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}

    def call(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters, **self.session}
        os.write(self.write, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self.heard:
                more = os.read(self.read, 65536)
                assert more, "Chromium has ended"
                self.heard += more
            told, _, self.heard = self.heard.partition(b"\0")
            document = json.loads(told)
            if document.get("id") == self.number:
                return document["result"]

    def text(self):
        return self.call("Runtime.evaluate", expression="document.body.innerText")["result"].get("value", "")


@contextlib.contextmanager
def chromium(folder, *options):
    names = ("chromium", "chromium-browser", "google-chrome")
    browser = next((path for name in names if (path := shutil.which(name))), None)
    assert browser, "Chromium is needed by this test (Debian: apt install chromium)"
    (its_read, our_write), (our_read, its_write) = os.pipe(), os.pipe()

    def its_ends():  # it reads descriptor 3 and writes 4; ours may have those very numbers
        spare = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (its_read, its_write)]
        os.dup2(spare[0], 3)
        os.dup2(spare[1], 4)

    process = subprocess.Popen(
        [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={folder}", "--remote-debugging-pipe", *options,
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        pass_fds=(3, 4), preexec_fn=its_ends,
    )  # fmt: skip
    os.close(its_read)
    os.close(its_write)
    try:
        yield Tab(our_read, our_write)
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # its children too
        process.wait()
        os.close(our_read)
        os.close(our_write)


def wait_for(tab, text):
    for _ in range(1000):
        if text in tab.text():
            return
        time.sleep(0.05)
    pytest.fail(f"{text!r} did not come, but {tab.text()!r}")


def probed(folder, *options, host=HOST, anyway=False, **server):
    """What the page that comes from `host` finds in Chromium; `anyway`: a warning comes first, and is passed over."""
    found = queue.Queue()

    def receive(body):
        found.put(json.loads(body))
        return {}

    with serving(receive, SITE, host=host, **server) as running:
        # As if it were the address of this machine in a network: the name of the origin decides, not the route.
        route = f"--host-resolver-rules=MAP {host} 127.0.0.1"
        with chromium(folder, route, *options) as tab:
            tab.call("Page.navigate", url=running.url)
            if anyway:
                wait_for(tab, "ERR_CERT_AUTHORITY_INVALID")
                assert found.empty()
                for letter in "thisisunsafe":  # what the page of the warning listens for
                    tab.call("Input.dispatchKeyEvent", type="char", text=letter, key=letter, unmodifiedText=letter)
            return found.get(timeout=120)


LAN = "192.168.7.7"


@pytest.mark.slow
@pytest.mark.needs("chromium")
def test_by_plain_http_from_the_network_a_browser_gives_no_camera(tmp_path):
    assert probed(tmp_path, host=LAN) == {"secure": False, "camera": False, "worker": False}


@pytest.mark.slow
@pytest.mark.needs("chromium")
def test_by_localhost_as_over_the_cable_a_browser_gives_all(tmp_path):
    assert probed(tmp_path, host="localhost") == {"secure": True, "camera": True, "worker": True, "registered": "yes"}


@pytest.mark.slow
@pytest.mark.needs("chromium")
def test_a_certificate_that_is_not_trusted_gives_no_offline_use_even_if_its_warning_is_passed_over(tmp_path):
    held = certificates.credentials(LAN, tmp_path / "ca")
    found = probed(tmp_path / "browser", host=LAN, context=held.context, anyway=True)
    # It ends "An SSL certificate error occurred ..." or, on a busy machine, "An unknown error occurred ...".
    assert found.pop("registered").startswith("SecurityError: Failed to register a ServiceWorker")
    assert found == {"secure": True, "camera": True, "worker": True}


def pinned(place):
    """Chromium takes the certificate of the server as if it trusted it."""
    kind = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    public = load(place, "server").public_key().public_bytes(*kind)
    return f"--ignore-certificate-errors-spki-list={b64encode(hashlib.sha256(public).digest()).decode()}"


@pytest.mark.slow
@pytest.mark.needs("chromium")
def test_a_certificate_that_is_accepted_gives_all(tmp_path):
    held = certificates.credentials(LAN, tmp_path / "ca")
    found = probed(tmp_path / "browser", pinned(tmp_path / "ca"), host=LAN, context=held.context)
    assert found == {"secure": True, "camera": True, "worker": True, "registered": "yes"}


@pytest.mark.slow
@pytest.mark.needs("chromium")
@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize("language", ["en", "ar"])
def test_the_page_with_the_certificate_sees_whether_it_is_trusted(tmp_path, trusted, language):
    held = certificates.credentials(LAN, tmp_path / "ca")
    options = [f"--host-resolver-rules=MAP {LAN} 127.0.0.1", f"--accept-lang={language}", f"--lang={language}"]
    options += [pinned(tmp_path / "ca")] if trusted else []
    page = trust.site(held.authority, held.fingerprint)
    words = trust._TEXTS[language]
    with (
        serving(files=FILES, host=LAN, context=held.context, untrusted=page) as server,
        chromium(tmp_path / "browser", *options) as tab,
    ):
        screen = {"width": 360, "height": 800, "deviceScaleFactor": 2, "mobile": True}
        tab.call("Emulation.setDeviceMetricsOverride", **screen)
        tab.call("Page.navigate", url=server.open)
        wait_for(tab, words["trusted" if trusted else "waiting"])
        told = tab.text()
        assert (words["go"] in told) == trusted
        assert held.fingerprint in told
        assert ("English" in told, words["title"] in told, told.count("iPhone, iPad")) == (True, True, 1)
        wide = tab.call("Runtime.evaluate", expression="document.documentElement.scrollWidth")["result"]["value"]
        assert wide == 360
        if trusted:
            tab.call("Runtime.evaluate", expression="document.querySelector('.go').click()")
            wait_for(tab, "the page")
