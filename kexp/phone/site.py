"""The files of a site by the name that a request has to spell, each with its type, its ETag, and once compressed.

A name is looked up as it was sent, never decoded and never on the disk, so no spelling of ".." leads anywhere.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
import threading
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from urllib.parse import quote

TYPES = {  # the operating system's table differs from machine to machine, and a wrong type stops a page
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".wasm": "application/wasm",
    ".svg": "image/svg+xml",
    ".crt": "application/x-x509-ca-cert",
    ".tflite": "application/octet-stream",
}
SMALLER_WITH_GZIP = ("text/", "application/json", "application/manifest", "application/wasm", "image/svg")


_UNQUOTED = ("/!~*'()", "/!~*'();,:@&=+$")  # by JavaScript's encodeURIComponent (/ aside), and by encodeURI


class SiteFile:
    """One file of a site: what is sent, and what identifies it. Compressed once, when first asked for."""

    def __init__(self, name: str, body: bytes) -> None:
        ending = PurePosixPath(name).suffix.lower()
        self.type = TYPES.get(ending) or mimetypes.guess_type(name)[0] or "application/octet-stream"
        self._hash = hashlib.sha256(body).hexdigest()[:32]
        self._body = body
        self._packed: bytes | None = None
        self._lock = threading.Lock()

    def variant(self, *, packed: bool) -> tuple[bytes, str, bool]:
        """(body, ETag, whether it is gzip); `packed` where the client takes gzip, and it is worth it."""
        if packed and self.type.startswith(SMALLER_WITH_GZIP) and len(self._body) > 1000:
            with self._lock:
                if self._packed is None:
                    self._packed = gzip.compress(self._body, 6, mtime=0)
            return self._packed, f'"{self._hash}-gzip"', True
        return self._body, f'"{self._hash}"', False


def site(files: Mapping[str, bytes | Path]) -> dict[str, SiteFile]:
    """The files by the name that a request has to spell.

    All are read now: an export that is made anew meanwhile must not mix with the one that is on the phone.
    """
    made: dict[str, SiteFile] = {}
    for name, content in files.items():
        body = content if isinstance(content, bytes) else content.read_bytes()
        made |= dict.fromkeys({quote(name, safe=kept) for kept in _UNQUOTED}, SiteFile(name, body))
    if "index.html" in made:
        made[""] = made["index.html"]
    return made
