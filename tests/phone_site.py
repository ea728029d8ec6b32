"""A small server for phones, an export made of stand-in files, and raw requests: for the tests of kexp.phone."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import socket
import threading

from kexp.export import card
from kexp.phone.server import PhoneServer
from kexp.records import Artifact, DatasetSpec, Experiment
from kexp.store import RunStore

TOKEN = "a-token-that-nobody-guesses"
DOOR = "door"  # of plain http beside https
FILES = {
    "index.html": b"<!doctype html><title>kexp</title>the page",
    "app.js": b"export const answer = 42 // and more of it\n" * 100,
    "manifest.webmanifest": b"{}",
    "wasm/litert.wasm": b"\0asm" * 5000,
    "model/model_int8.tflite": bytes(range(256)) * 20,
    "golden/00.png": b"\x89PNG" * 400,
    "golden/two words.csv": b"a,b\n1,2\n",
}


@contextlib.contextmanager
def serving(receive=lambda body: {"received": len(body)}, files=FILES, host="127.0.0.1", **options):
    """A running PhoneServer."""
    server = PhoneServer(files, receive, token=TOKEN, door=DOOR, host=host, port=0, address="127.0.0.1", **options)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def ask(server, method="GET", target=f"/{TOKEN}/", body=b"", connection=None, **headers):
    """One request as it is spelled here: (status, headers, body). None for a header leaves it out."""
    told = {"Host": f"127.0.0.1:{server.port}", **{name.replace("_", "-"): value for name, value in headers.items()}}
    if body and "Content-Length" not in told and "Transfer-Encoding" not in told:
        told["Content-Length"] = str(len(body))
    lines = [
        f"{name}: {each}" for name, v in told.items() if v is not None for each in ([v] if isinstance(v, str) else v)
    ]
    head = "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""])
    with connection or socket.create_connection(("127.0.0.1", server.port), 30) as open_connection:
        open_connection.sendall(head.encode("utf-8") + body)
        response = http.client.HTTPResponse(open_connection, method=method)
        response.begin()
        return response.status, response.headers, response.read()


KERAS = b"the network"  # stands for model.keras: only its SHA-256 matters here


def exported(home, name="digits", formats=("float32", "int8")):
    """exported/NAME with stand-in files; the artifacts."""
    folder = home / "exported" / name
    folder.mkdir(parents=True)
    artifacts = []
    for format in formats:
        path = folder / f"model_{format}.tflite"
        path.write_bytes(format.encode() * 50)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        artifacts.append(Artifact(format=f"tflite_{format}", path=path.name, bytes=path.stat().st_size, sha256=digest))
    spec = DatasetSpec(name="data", kind="image", task="multiclass", shape=(8, 8, 1), outputs=2, labels=("0", "1"))
    rows = {"train": 1, "validation": 1}
    card.write(folder, spec, artifacts, [], {}, rows=rows, model=hashlib.sha256(KERAS).hexdigest())
    return artifacts


def searched(home, name="digits", model=KERAS):
    """A finished run whose model is `model`."""
    with RunStore.create(home, name, Experiment(name=name, data="sklearn:digits")) as run:
        run.model.write_bytes(model)
        run.finish()


LIMITS = {f"tflite_{name}": {"phone gap": 0.02, "phone raw gap": 0.02} for name in ("float32", "int8")}
PAGE = {"index.html": b"the page", "model/about.json": json.dumps({"limits": LIMITS}).encode()}  # in place of a bundle


def check(**changes):
    return {"name": "phone gap", "value": 0.0039, "limit": 0.02, "ok": True, "advice": "look", **changes}


def checks(**changes):
    """All that a phone must tell; `changes` of the first."""
    return [check(**changes), check(name="phone raw gap")]


def measured(artifact, /, **changes):
    return {
        "artifact": artifact.path, "sha256": artifact.sha256, "runtime": "LiteRT.js 2.5.3", "threads": 1,
        "p50_ms": 0.41, "p95_ms": 0.5, "runs": 100, "checks": checks(), **changes,
    }  # fmt: skip


def post(*artifacts, device="Pixel 7", **changes):
    return {"device": device, "userAgent": "Mozilla/5.0", "artifacts": list(artifacts), **changes}


def packed(document):
    return json.dumps(document).encode()
