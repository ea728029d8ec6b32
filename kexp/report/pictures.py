"""Arrays as small PNGs inside the page, and in which colours."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexp.report.markup import Html, text

Array = NDArray[Any]
SIDE = 128  # pixels: a larger picture is shown no larger
# From nothing to most, in the colours of the page: dark to light, evenly, so that it is read without its hue.
RAMP = np.array([(11, 20, 19), (11, 72, 66), (11, 110, 99), (95, 207, 189), (245, 250, 240)], np.float64)


def png(picture: Array, said: str, *, largest: int = SIDE, kind: str = "picture", dotted: bool = True) -> Html:
    """(height, width, 1 or 3) uint8 as an <img> that holds its bytes; `said` is what it is in words.

    A picture whose sides are longer than `largest` is made smaller; a small one is shown with its pixels, if `dotted`.
    """
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(picture[:, :, 0] if picture.shape[2] == 1 else picture))
    if max(image.size) > largest:
        scale = largest / max(image.size)
        image = image.resize(
            (max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.LANCZOS
        )
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    source = base64.b64encode(file.getvalue()).decode("ascii")
    kind += " dotted" if dotted and max(image.size) < 100 else ""
    shape = f'width="{image.width}" height="{image.height}"'
    return Html(f'<img class="{kind}" {shape} alt="{_quoted(said)}" src="data:image/png;base64,{source}">')


def heat(values: Array, low: float | None = None, high: float | None = None) -> NDArray[np.uint8]:
    """(height, width) numbers -> (height, width, 3) uint8 in the colours of RAMP, from `low` to `high`."""
    finite = values[np.isfinite(values)]
    low = (float(finite.min()) if finite.size else 0.0) if low is None else low
    high = (float(finite.max()) if finite.size else 1.0) if high is None else high
    share = np.clip((np.nan_to_num(values, nan=low) - low) / ((high - low) or 1.0), 0, 1)
    at = share * (len(RAMP) - 1)
    return np.stack([np.interp(at, range(len(RAMP)), RAMP[:, i]) for i in range(3)], axis=-1).round().astype(np.uint8)


def tiles(found: Array, *, across: int, gap: int = 1) -> Array:
    """(k, height, width) numbers -> one array of them in rows of `across`, NaN between."""
    k, height, width = found.shape
    rows = -(-k // across)
    sheet = np.full((rows * (height + gap) - gap, across * (width + gap) - gap), np.nan)
    for i, one in enumerate(found):
        top, left = (i // across) * (height + gap), (i % across) * (width + gap)
        sheet[top : top + height, left : left + width] = one
    return sheet


def _quoted(said: str) -> str:
    return text(said).replace("<bdi>", "").replace("</bdi>", "")
