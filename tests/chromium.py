"""A real Chromium for tests, driven by playwright-core in one node process, and a server for what it opens.

Chromium is KEXP_CHROMIUM, or the first of NAMES on the PATH; playwright-core comes by npm into the user's cache.
"""

from __future__ import annotations

import contextlib
import json
import mimetypes
import os
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

from kexp.npm import npm_folder

HERE = Path(__file__).parent / "browser"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def find():
    """The path of a Chromium."""
    named = os.environ.get("KEXP_CHROMIUM", "")
    path = shutil.which(named) if named else next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        raise AssertionError(
            f"no Chromium: {named or ', '.join(NAMES)} is not there. Install it (apt install chromium), "
            "or set KEXP_CHROMIUM to its path."
        )
    return path


class Chromium:
    """One browser; `phone()` gives it a fresh profile. Every method raises AssertionError with what the page said."""

    def __init__(self):
        node = shutil.which("node")
        if node is None:
            raise AssertionError("node is not on the PATH: install Node.js 18 or newer (apt install nodejs npm).")
        modules = npm_folder(HERE / "package.json")
        command = [node, str(HERE / "drive.mjs"), str(modules), find()]
        self._node = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._node.stdin.close()
        try:
            self._node.wait(20)
        except subprocess.TimeoutExpired:
            self._node.kill()

    def _do(self, name, **arguments):
        self._node.stdin.write(json.dumps({"do": name, **arguments}) + "\n")
        self._node.stdin.flush()
        line = self._node.stdout.readline()
        assert line, f"the browser ended with status {self._node.wait(20)} at {name}"
        answer = json.loads(line)
        assert "error" not in answer, f"{name} {arguments}: {answer.get('error')}"
        return answer["ok"]

    def phone(self, init="", **options):
        """A Pixel 7 with nothing stored. `options` are playwright's: locale, colorScheme, viewport ..."""
        self._do("phone", options=options, init=init)

    def open(self, url, until="document.body.dataset.ready"):
        """Open `url` and wait until the page says that it is ready."""
        self._do("open", url=url)
        self.until(until)

    def reload(self, until="document.body.dataset.ready"):
        self._do("reload")
        self.until(until)

    def until(self, script):
        try:
            self._do("until", script=script)
        except AssertionError as error:
            said = self.run("document.body ? document.body.innerText.slice(0, 1500) : ''")
            raise AssertionError(f"not: {script}\n{error}\n{said}\n{self.errors()}") from None

    def run(self, script):
        """The value of a JavaScript expression in the page, awaited."""
        return self._do("run", script=script)

    def click(self, on):
        self._do("click", on=on)

    def fill(self, on, text):
        self._do("fill", on=on, text=text)

    def choose(self, on, value):
        self._do("choose", on=on, value=value)

    def upload(self, on, *files):
        self._do("upload", on=on, files=[str(file) for file in files])

    def shot(self, path, whole=False):
        self._do("shot", path=str(path), whole=whole)

    def size(self, width, height):
        self._do("size", width=width, height=height)

    def installable(self):
        """Why Chromium would not offer to install the page as an app."""
        return self._do("installable")

    def requests(self):
        """ "GET https://..." of every request since `phone()`."""
        return self._do("requests")

    def errors(self):
        """Errors of the page and its console since `phone()`. Asked while its server is there: it may still read."""
        return self._do("errors")


class Served:
    """A mapping of relative URLs to bytes or files, at http://127.0.0.1, a secure context; POSTs are kept."""

    def __init__(self, files):
        self.files = files
        self.asked = []  # paths of GETs
        self.posted = []
        self.refusal = None  # (status, body) of the answer to POSTs
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"  # a connection ends with its answer, so that stop() leaves none

            def do_GET(self):
                url = unquote(self.path.split("?")[0]).lstrip("/")
                outer.asked.append(url)
                if not url or url.endswith("/"):
                    url += "index.html"
                content = outer.files.get(url)
                if content is None:
                    self.send_error(404)
                    return
                content = content.read_bytes() if isinstance(content, Path) else content
                self.send_response(200)
                kind = "application/wasm" if url.endswith(".wasm") else mimetypes.guess_type(url)[0]
                self.send_header("Content-Type", kind or "application/octet-stream")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                with contextlib.suppress(ConnectionError):  # the page was left meanwhile
                    self.wfile.write(content)

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.posted.append((self.path, json.loads(body)))
                status, said = outer.refusal or (204, b"")
                self.send_response(status)
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64  # a page asks for its files all at once; what finds no place is reset

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        self.insecure = f"http://phone.test:{self._server.server_port}/"  # the same, as a phone in the LAN has it
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
