"""The server that a phone opens: it serves what it was given to whoever knows the address, and nothing else."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from phone_site import FILES, TOKEN, ask, serving

from kexp.errors import PhoneError
from kexp.phone import address, site
from kexp.phone import server as web


@pytest.fixture(scope="module")
def server():
    with serving() as running:
        yield running


# -- what it serves -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("", "text/html; charset=utf-8"),
        ("index.html", "text/html; charset=utf-8"),
        ("app.js", "text/javascript; charset=utf-8"),
        ("manifest.webmanifest", "application/manifest+json"),
        ("wasm/litert.wasm", "application/wasm"),
        ("model/model_int8.tflite", "application/octet-stream"),
        ("golden/00.png", "image/png"),
        ("golden/two%20words.csv", "text/csv; charset=utf-8"),
        ("app.js?version=2", "text/javascript; charset=utf-8"),
    ],
)
def test_a_file_is_served_under_its_name(server, name, kind):
    status, headers, body = ask(server, target=f"/{TOKEN}/{name}")
    file = name.partition("?")[0].replace("%20", " ") or "index.html"
    assert (status, body, headers["Content-Type"]) == (200, FILES[file], kind)
    assert headers["Content-Length"] == str(len(body))
    assert headers["Cache-Control"] == "no-cache"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "Server" not in headers
    status, told, nothing = ask(server, "HEAD", f"/{TOKEN}/{name}")
    assert (status, nothing, told.items()) == (200, b"", headers.items())


def test_one_connection_carries_many_requests(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.connect()
    first = connection.sock
    for _ in range(3):
        connection.request("GET", f"/{TOKEN}/app.js")
        assert connection.getresponse().read() == FILES["app.js"]
    assert connection.sock is first
    connection.close()


def test_a_path_on_the_disk_is_read_once(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"first")
    with serving(files={"model.tflite": path}) as server:
        path.write_bytes(b"second")
        assert ask(server, target=f"/{TOKEN}/model.tflite")[2] == b"first"


def test_the_address_without_its_last_slash_leads_to_it(server):
    status, headers, _ = ask(server, target=f"/{TOKEN}")
    assert (status, headers["Location"]) == (301, f"/{TOKEN}/")


# -- what it refuses ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "//",
        "",
        "index.html",
        "/index.html",
        "/favicon.ico",
        f"/{TOKEN[:-1]}/",
        f"/{TOKEN}x/",
        f"/{TOKEN.upper()}/",
        "/wrong/app.js",
        "/wrong",
        "/tökén/",
        f"//{TOKEN}/",
        f"/x/{TOKEN}/app.js",
        f"/{TOKEN}//app.js",
        f"/{TOKEN}/app.js/",
        f"/{TOKEN}/wasm",
        f"/{TOKEN}/wasm/",
        f"/{TOKEN}/golden/",
        f"/{TOKEN}/results",
        f"/{TOKEN}/unknown.js",
        f"/{TOKEN}/../{TOKEN}/app.js",
        f"/{TOKEN}/../../../../etc/passwd",
        f"/{TOKEN}/%2e%2e/%2e%2e/etc/passwd",
        f"/{TOKEN}/..%2f..%2fetc%2fpasswd",
        f"/{TOKEN}/wasm%2flitert.wasm",
        f"/{TOKEN}/..\\..\\etc\\passwd",
        f"/{TOKEN}/wasm\\litert.wasm",
        f"/{TOKEN}//etc/passwd",
        f"/{TOKEN}/%00",
        f"/{TOKEN}/app.js%00.html",
        f"/{TOKEN}/%61pp.js",
        f"http://127.0.0.1/{TOKEN}/",
        "*",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_anything_else_is_the_same_nothing(server, method, target):
    if (method, target) == ("POST", f"/{TOKEN}/results"):
        target = "/results"  # there is a place to post to, with the token
    status, headers, body = ask(server, method, target or "x y", Content_Length="0")
    assert (status, body) == (404, b"")
    told = {*headers} - {"Connection"}
    assert told == {"Content-Length", "Cache-Control", "X-Content-Type-Options", "Referrer-Policy"}


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PROPFIND", "get"])
def test_other_methods_are_nothing_too(server, method):
    assert ask(server, method)[::2] == (404, b"")


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1",
        "127.0.0.1:1",
        "localhost:{port}",
        ("{own}", "{own}"),
    ],
)
def test_a_name_of_another_host_is_refused(server, host):
    # A page of evil.example whose name was pointed at this address: the browser says evil.example here.
    def fill(text):
        return text.format(port=server.port, own=f"127.0.0.1:{server.port}")

    given = host if host is None else fill(host) if isinstance(host, str) else [fill(each) for each in host]
    for method, target in (("GET", f"/{TOKEN}/"), ("GET", f"/{TOKEN}"), ("POST", f"/{TOKEN}/results")):
        kind = {"Content_Type": "application/json", "Content_Length": "2"} if method == "POST" else {}
        assert ask(server, method, target, b"{}" if kind else b"", Host=given, **kind)[::2] == (404, b"")


def test_the_names_that_are_ours_are_taken():
    with serving(host="kexp.local", names=["localhost"]) as server:
        for host in ("kexp.local", "localhost", "LocalHost"):
            assert ask(server, Host=f"{host}:{server.port}")[0] == 200
        assert ask(server)[0] == 404
        assert server.url == f"http://kexp.local:{server.port}/{TOKEN}/"


@pytest.mark.parametrize(
    "garbage", [b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\r\n\r\n", b"A" * 70000]
)
def test_garbage_gets_nothing_and_harms_nobody(server, garbage):
    with socket.create_connection(("127.0.0.1", server.port), 30) as connection:
        connection.sendall(garbage)
        connection.shutdown(socket.SHUT_WR)
        said = b"".join(iter(lambda: connection.recv(4096), b""))
    assert b"Python" not in said
    assert b"Error" not in said
    assert ask(server)[0] == 200


def test_it_listens_on_its_own_address_alone(server):
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", server.port), 5)


# -- caching and compression ----------------------------------------------------------------------


def test_what_the_browser_has_is_not_sent_again(server):
    tag = ask(server, target=f"/{TOKEN}/app.js")[1]["ETag"]
    for held in (tag, f'"other", W/{tag}', "*"):
        status, headers, body = ask(server, target=f"/{TOKEN}/app.js", If_None_Match=held)
        assert (status, body, headers["ETag"]) == (304, b"", tag)
    assert ask(server, target=f"/{TOKEN}/app.js", If_None_Match='"other"')[0] == 200
    assert ask(server, target=f"/{TOKEN}/index.html")[1]["ETag"] != tag


@pytest.mark.parametrize("accept", ["gzip", "deflate, gzip;q=0.5, br", "*", "br;q=0, GZIP"])
@pytest.mark.parametrize("name", ["app.js", "wasm/litert.wasm"])
def test_text_and_wasm_are_sent_compressed(server, name, accept):
    plain = ask(server, target=f"/{TOKEN}/{name}")[1]
    status, headers, body = ask(server, target=f"/{TOKEN}/{name}", Accept_Encoding=accept)
    assert (status, headers["Content-Encoding"], headers["Vary"]) == (200, "gzip", "Accept-Encoding")
    assert gzip.decompress(body) == FILES[name]
    assert len(body) == int(headers["Content-Length"]) < len(FILES[name]) / 2
    assert headers["ETag"] != plain["ETag"]
    assert ask(server, target=f"/{TOKEN}/{name}", Accept_Encoding=accept, If_None_Match=headers["ETag"])[0] == 304


@pytest.mark.parametrize(
    ("name", "accept"),
    [
        ("app.js", ""),
        ("app.js", "br"),
        ("app.js", "gzip;q=0"),
        ("app.js", "gzip; q=0.0, *"),
        ("app.js", "xgzip"),
        ("golden/00.png", "gzip"),  # is compressed already
        ("model/model_int8.tflite", "gzip"),  # hardly gets smaller
        ("manifest.webmanifest", "gzip"),  # would get larger
    ],
)
def test_the_rest_is_sent_as_it_is(server, name, accept):
    status, headers, body = ask(server, target=f"/{TOKEN}/{name}", Accept_Encoding=accept)
    assert (status, body, headers["Content-Encoding"]) == (200, FILES[name], None)


def test_a_file_is_compressed_once(monkeypatch):
    done = []
    compress = gzip.compress

    def counting(body, *level, **options):
        done.append(len(body))
        time.sleep(0.05)  # the others come meanwhile
        return compress(body, *level, **options)

    monkeypatch.setattr(site.gzip, "compress", counting)
    with serving() as server, ThreadPoolExecutor(8) as pool:
        bodies = pool.map(lambda _: ask(server, target=f"/{TOKEN}/app.js", Accept_Encoding="gzip")[2], range(8))
        assert {gzip.decompress(body) for body in bodies} == {FILES["app.js"]}
    assert done == [len(FILES["app.js"])]


# -- many and slow clients ------------------------------------------------------------------------


def test_many_at_once_get_whole_files(server):
    names = [name for name in FILES if " " not in name] * 10
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda name: ask(server, target=f"/{TOKEN}/{name}")[2], names))
    assert answers == [FILES[name] for name in names]


def test_one_that_dawdles_holds_nobody_up(server):
    with socket.create_connection(("127.0.0.1", server.port), 30) as silent:
        silent.sendall(b"GET /")
        assert ask(server)[0] == 200


@pytest.mark.parametrize(
    "start",
    [
        b"GET /",
        b"",
        (
            f"POST /{TOKEN}/results HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nContent-Type: application/json\r\n"
            "Content-Length: 60000\r\n\r\n"
        ).encode(),
    ],
    ids=["head", "nothing", "body"],
)
def test_one_that_drips_is_cut_off(monkeypatch, start):
    monkeypatch.setattr(web, "REQUEST_SECONDS", 0.3)
    received = []
    with serving(received.append) as server, socket.create_connection(("127.0.0.1", server.port), 30) as dripping:
        dripping.sendall(start.replace(b"PORT", str(server.port).encode()))
        dripping.settimeout(0.02)
        for _ in range(1000):  # a byte each 20 ms, so never silent for long
            try:
                if dripping.recv(1) == b"":
                    break
            except TimeoutError:
                if start:
                    dripping.sendall(b"x")
            except ConnectionError:
                break
        else:
            pytest.fail("the connection is still open")
    assert received == []


def test_more_connections_than_allowed_are_closed(monkeypatch):
    monkeypatch.setattr(web, "CONNECTIONS", 2)
    with serving() as server:
        held = [socket.create_connection(("127.0.0.1", server.port), 30) for _ in range(2)]
        with socket.create_connection(("127.0.0.1", server.port), 30) as third:
            assert third.recv(1) == b""
        for connection in held:
            connection.close()
        for _ in range(500):  # their threads end in a moment
            try:
                assert ask(server)[0] == 200
                break
            except (ConnectionError, http.client.HTTPException):
                time.sleep(0.02)
        else:
            pytest.fail("places are not given back")


def test_a_bug_keeps_its_traceback(capfd):
    with serving(lambda body: 1 / 0) as server, pytest.raises((ConnectionError, http.client.HTTPException)):
        ask(server, "POST", f"/{TOKEN}/results", b"{}", Content_Type="application/json")
    assert "ZeroDivisionError" in capfd.readouterr().err


# -- posting --------------------------------------------------------------------------------------


@pytest.fixture
def taking():
    """A server and what it received."""
    received = []

    def receive(body):
        if body == b"bad":
            raise ValueError("that is bad")
        received.append(body)
        return {"received": True}

    with serving(receive) as server:
        yield server, received


def send(server, body=b"{}", target=f"/{TOKEN}/results", **headers):
    return ask(server, "POST", target, body, **{"Content_Type": "application/json", **headers})


def test_results_are_taken(taking):
    server, received = taking
    for headers in (
        {},
        {"Origin": f"http://127.0.0.1:{server.port}"},
        {"Content_Type": "application/json; charset=utf-8"},
    ):
        status, told, body = send(server, **headers)
        assert (status, told["Content-Type"], json.loads(body)) == (200, "application/json", {"received": True})
    assert send(server, b" " * web.LARGEST_POST)[0] == 200
    assert received == [b"{}"] * 3 + [b" " * web.LARGEST_POST]


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (400, b"bad", {}),
        (403, b"{}", {"Origin": "http://evil.example"}),
        (403, b"{}", {"Origin": "https://127.0.0.1:{port}"}),
        (403, b"{}", {"Origin": "http://127.0.0.1"}),
        (403, b"{}", {"Origin": "null"}),
        (413, b" " * (web.LARGEST_POST + 1), {}),
        (413, b"{}", {"Content_Length": "9" * 30}),
        (411, b"{}", {"Content_Length": None}),
        (411, b"{}", {"Content_Length": "-2"}),
        (411, b"{}", {"Content_Length": "+2"}),
        (411, b"{}", {"Content_Length": "\u0662"}),
        (411, b"{}", {"Content_Length": ("2", "2")}),
        (411, b"2\r\n{}\r\n0\r\n\r\n", {"Transfer_Encoding": "chunked"}),
        (411, b"{}", {"Transfer_Encoding": "chunked", "Content_Length": "2"}),
        (415, b"{}", {"Content_Type": "text/plain"}),  # what a form of another site can send without asking
        (415, b"{}", {"Content_Type": None}),
    ],
)
def test_a_bad_post_is_refused_with_the_reason(taking, status, body, headers):
    server, received = taking
    filled = {name: v.format(port=server.port) if isinstance(v, str) else v for name, v in headers.items()}
    got, told, answer = send(server, body, **filled)
    assert (got, told["Connection"]) == (status, "close")
    assert json.loads(answer)["error"]
    assert received == []


def test_a_large_refused_post_gets_to_read_why(taking):
    server, received = taking
    assert send(server, b" " * 900_000)[0] == 413
    assert received == []


def test_a_post_that_breaks_off_is_nothing(taking):
    server, received = taking
    with socket.create_connection(("127.0.0.1", server.port), 30) as connection:
        head = f"POST /{TOKEN}/results HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: 20\r\n\r\n{{}}".encode())
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100) == b""
    assert received == []


@pytest.mark.parametrize(
    "target", [f"/{TOKEN}/", f"/{TOKEN}/app.js", "/wrong/results", "/results", f"/{TOKEN}/results/"]
)
def test_there_is_one_place_to_post_to(taking, target):
    server, received = taking
    assert send(server, target=target)[::2] == (404, b"")
    assert received == []


def test_posts_come_one_by_one_from_many(taking):
    server, received = taking
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda i: send(server, f"{i}".encode())[0], range(24))) == {200}
    assert sorted(received, key=int) == [f"{i}".encode() for i in range(24)]


# -- addresses and ports --------------------------------------------------------------------------


def test_the_local_address_is_found_without_sending_anything(monkeypatch):
    kinds = []

    class Probe(socket.socket):
        def __init__(self, family, kind):
            kinds.append(kind)
            super().__init__(family, kind)

        def send(self, *anything):
            raise AssertionError("nothing is to be sent")

        sendto = sendall = send

    monkeypatch.setattr(address.socket, "socket", Probe)
    found = address.local()
    assert socket.inet_aton(found)
    assert set(kinds) == {socket.SOCK_DGRAM}


def test_without_a_network_the_address_is_the_loopback(monkeypatch):
    class Unreachable(socket.socket):
        def connect(self, target):
            raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(address.socket, "socket", Unreachable)
    assert address.local() == "127.0.0.1"


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("0.0.0.0", "every network"),
        ("::", "every network"),
        ("no.such.host.invalid", "no address"),
        ("", "no address"),
    ],
)
def test_a_host_that_is_not_one_address_is_refused(monkeypatch, host, said):
    if host.endswith(".invalid"):  # no name server is to be asked by a test
        monkeypatch.setattr(
            address.socket, "getaddrinfo", lambda *_, **__: (_ for _ in ()).throw(socket.gaierror(-2, "no"))
        )
    with pytest.raises(PhoneError, match=said):
        address.resolve(host)


def test_a_port_in_use_is_refused_if_asked_for_and_replaced_if_not(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        def make(number):
            return socket.create_server(("127.0.0.1", number))

        with pytest.raises(PhoneError, match=f"port {port} of 127.0.0.1 is in use"):
            address.bind(make, "127.0.0.1", port)
        monkeypatch.setattr(address, "PORT", port)
        with address.bind(make, "127.0.0.1", None) as other:
            assert other.getsockname()[1] not in (0, port)


def test_an_address_of_another_machine_is_refused():
    # 192.0.2.0/24 is for documentation; .254 of it is nobody's.
    with pytest.raises(PhoneError, match=r"192\.0\.2\.254 is not an address of this computer"):
        address.bind(lambda port: socket.create_server(("192.0.2.254", port)), "192.0.2.254", 0)


def test_what_was_posted_is_answered_before_the_server_ends():
    got, go = threading.Event(), threading.Event()

    def receive(body):
        got.set()
        go.wait(10)
        return {"received": True}

    answers = []
    with serving(receive) as server:
        asking = threading.Thread(target=lambda: answers.append(send(server)))
        asking.start()
        assert got.wait(10)
        server.drain(0.05)  # no longer than it is told
        assert not answers
        threading.Timer(0.2, go.set).start()
        server.drain()
        asking.join(10)
        assert answers[0][0] == 200
