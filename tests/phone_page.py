"""The page of a real export in a real Chromium: for the tests of what the page does."""

from __future__ import annotations

import functools
import json

import numpy as np
import small_models
from chromium import Served
from PIL import Image, ImageDraw

from kexp.export import card
from kexp.phone.bundle import bundle, worker

CHECKED = """(() => {
  const { running, count } = document.querySelector(".verdict")?.dataset ?? {};
  return running === "false" && Number(count) === document.querySelectorAll(".variant").length;
})()"""


def exported(name):
    return getattr(small_models, name)().release.folder


@functools.cache
def spec_of(name):
    return card.manifest(exported(name))[1]


@functools.cache
def page(name, results=True):
    return bundle(exported(name), results=results)


def served(name, *, formats=("tflite_float32", "tflite_int8"), changed=None):
    """A server of the page with these variants; `changed` are files that are not as they were bundled."""
    files = {**page(name), **(changed or {})}
    about = json.loads(files["model/about.json"])
    about["artifacts"] = [artifact for artifact in about["artifacts"] if artifact["format"] in formats]
    files["model/about.json"] = json.dumps(about).encode()
    return Served({**files, "sw.js": worker(files)})


def text(browser, on):
    return browser.run(f"document.querySelector({json.dumps(on)}).innerText.trim()")


def headline(browser):
    """(label, share in percent) of the answer that is shown."""
    label, share = (text(browser, f".headline .{name}") for name in ("label", "share"))
    return label, float(share.rstrip("%"))


def shown(browser, prediction, apart=0.11):
    """Wait until the page shows what `kexp run` answered, to `apart` percent."""
    label, share = prediction.label, f"{100 * max(prediction.values.values()):.1f}%"
    browser.until(
        f"document.querySelector('.headline .label')?.innerText === {json.dumps(label)} && "
        f"Math.abs(parseFloat(document.querySelector('.headline .share').innerText) - {share[:-1]}) < {apart}"
    )


def photograph(path, width, height, **options):
    """A picture with edges, colours and texture, so that a wrong filter or a swapped channel shows."""
    random = np.random.default_rng(width * 1000 + height)
    pixels = np.linspace(0, 255, width)[None, :, None] * np.ones((height, 1, 3)) * [1, 0.6, 0.3]
    picture = Image.fromarray((pixels + random.normal(0, 12, pixels.shape)).clip(0, 255).astype(np.uint8))
    ImageDraw.Draw(picture).ellipse((width * 0.2, height * 0.1, width * 0.7, height * 0.8), fill=(20, 90, 220))
    picture.save(path, **options)
    return path
