"""A picture file without what it tells beside its pixels: place, time, camera, comments, thumbnails, a film behind it.

Golden samples are a user's own files, and an export is made to be given away. The compressed pixels stay as they are,
byte for byte, with what decoding them needs (palette, transparency, colour profile). Of EXIF the orientation stays, in
an EXIF block of its own, for without it the picture would lie on its side.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

ORIENTATION = 0x0112  # the EXIF tag, 1 to 8; 1 is upright

# PNG 3rd edition, 11: what is critical, and of the rest what says how pixels are meant.
_PNG_KEPT = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT", b"bKGD", b"cICP"}
_WEBP_KEPT = {b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF", b"ICCP"}
_WEBP_EXIF, _WEBP_XMP = 0x08, 0x04  # flags of VP8X
_JPEG_ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a segment: TEM, RST0 to RST7, SOI


def orientation(picture: Image.Image) -> int:
    """The EXIF orientation of an open picture, 1 to 8; 1 where there is none that can be read."""
    try:
        found = picture.getexif().get(ORIENTATION, 1)
    except (SyntaxError, ValueError, struct.error):
        return 1
    return int(found) if found in range(1, 9) else 1


def bare(path: Path) -> bytes:
    """The content of the picture `path` without metadata. Raises ValueError where its parts are not as expected,
    and for other formats than JPEG, PNG, WebP and BMP.
    """
    content = path.read_bytes()
    try:
        with Image.open(path) as picture:
            turned = orientation(picture)
        exif = _exif(turned) if turned > 1 else b""
        if content.startswith(b"\xff\xd8\xff"):
            return b"".join(_jpeg(content, exif))
        if content.startswith(b"\x89PNG"):
            return b"".join(_png(content, exif))
        if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
            return _webp(content, exif)
        if content.startswith(b"BM"):
            return content  # a BMP holds pixels alone
    except (IndexError, struct.error, OSError) as error:
        raise ValueError(f"{path} is damaged, or ends too early: {error}") from error
    raise ValueError(f"{path} is no JPEG, PNG, WebP or BMP")


def _exif(turned: int) -> bytes:
    """An EXIF block with the orientation alone: a TIFF of one directory with one entry."""
    return struct.pack("<2sHI H HHIHH I", b"II", 42, 8, 1, ORIENTATION, 3, 1, turned, 0, 0)


def _jpeg(content: bytes, exif: bytes) -> Iterator[bytes]:
    """Up to the end of the image (a phone may have put a film behind it), without APPn but those that colours need."""
    yield content[:2]
    if exif:
        yield b"\xff\xe1" + struct.pack(">H", len(exif) + 8) + b"Exif\0\0" + exif
    at = 2
    while True:
        if content[at] != 0xFF:
            raise ValueError("a marker of JPEG is expected")
        marker = content[at + 1]
        if marker == 0xFF:  # fill
            at += 1
            continue
        if marker == 0xD9:  # end of image
            yield content[at : at + 2]
            return
        end = at + 2 + (0 if marker in _JPEG_ALONE else struct.unpack_from(">H", content, at + 2)[0])
        segment = content[at:end]
        if marker == 0xDA:  # start of scan: compressed pixels follow, in which FF is followed by 00 or RSTn
            while content[end] != 0xFF or content[end + 1] == 0 or 0xD0 <= content[end + 1] <= 0xD7:
                end += 1
            segment = content[at:end]
        told = 0xE0 <= marker <= 0xEF or marker == 0xFE
        needed = segment[4:].startswith((b"JFIF\0", b"Adobe", b"ICC_PROFILE\0"))  # what decides on colours
        if not told or needed:
            yield segment
        at = end


def _png(content: bytes, exif: bytes) -> Iterator[bytes]:
    yield content[:8]
    at = 8
    while True:
        length, kind = struct.unpack_from(">I4s", content, at)
        end = at + 12 + length
        if end > len(content):
            raise ValueError("a chunk of PNG ends too early")
        if kind in _PNG_KEPT:
            yield content[at:end]
        if kind == b"IHDR" and exif:
            yield struct.pack(">I", len(exif)) + b"eXIf" + exif + struct.pack(">I", zlib.crc32(b"eXIf" + exif))
        if kind == b"IEND":
            return
        at = end


def _webp(content: bytes, exif: bytes) -> bytes:
    kept = []
    at, last = 12, 8 + struct.unpack_from("<I", content, 4)[0]
    while at < last:
        kind, length = struct.unpack_from("<4sI", content, at)
        end = at + 8 + length
        body = content[at + 8 : end]
        if len(body) < length:
            raise ValueError("a chunk of WebP ends too early")
        if kind == b"VP8X":
            flags = body[0] & ~(_WEBP_EXIF | _WEBP_XMP) | (_WEBP_EXIF if exif else 0)
            body = bytes([flags]) + body[1:]
        if kind in _WEBP_KEPT:
            kept.append(struct.pack("<4sI", kind, length) + body + b"\0" * (length % 2))
        at = end + length % 2
    if exif:
        kept.append(struct.pack("<4sI", b"EXIF", len(exif)) + exif + b"\0" * (len(exif) % 2))
    whole = b"WEBP" + b"".join(kept)
    return b"RIFF" + struct.pack("<I", len(whole)) + whole
