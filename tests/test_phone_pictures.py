"""Photos and camera frames: read in the browser as Python reads them."""

from __future__ import annotations

import base64
import io
import json
import time

import numpy as np
import pytest
from phone_page import CHECKED, exported, headline, page, photograph, served, shown, spec_of, text
from PIL import Image

from kexp import formats
from kexp.data.pictures import decode, fit
from kexp.phone.bundle import RAW_LOSSY
from kexp.predict import run
from kexp.runtime import open_runtime

pytestmark = pytest.mark.slow


def read_in_page(browser, content, shape):
    """The pixels that the page makes of a file, (height, width, channels)."""
    found = browser.run(
        f"""(async () => {{
          const {{ read }} = await import("./pixels.js");
          const bytes = Uint8Array.from(atob({json.dumps(base64.b64encode(content).decode())}), (c) => c.charCodeAt(0));
          const picture = await read(new Blob([bytes]), {json.dumps(list(shape))});
          return Array.from(picture.data);
        }})()"""
    )
    return np.array(found, np.int64).reshape(shape)


SIZES = [(8, 8), (64, 48), (65, 47), (31, 200), (200, 31), (7, 5), (256, 192), (1000, 801), (333, 1234)]


def test_pictures_are_cut_and_resized_as_pillow_does_bit_for_bit(browser, tmp_path):
    with served("digits") as server:
        browser.phone()
        browser.open(server.url)
        for width, height in SIZES:
            content = photograph(tmp_path / "a.png", width, height).read_bytes()
            for shape in [(8, 8, 1), (48, 64, 3), (64, 48, 3)]:
                expected = decode(content, shape).astype(np.int64)
                np.testing.assert_array_equal(read_in_page(browser, content, shape), expected, f"{width}x{height}")


def test_the_resampling_itself_is_pillow_s(browser):
    """Without a browser's decoder: random pixels, sizes from one pixel up, larger and smaller."""
    random = np.random.default_rng(0)
    cases = []
    for _ in range(60):
        width, height, to_width, to_height = (int(n) for n in random.integers(1, 90, 4))
        pixels = random.integers(0, 256, (height, width, 3), np.uint8)
        fitted = np.asarray(fit(Image.fromarray(pixels), to_height, to_width))
        cases.append(((height, width, to_height, to_width), pixels, fitted))
    with served("digits") as server:
        browser.phone()
        browser.open(server.url)
        asked = [[*sizes, pixels.ravel().tolist()] for sizes, pixels, _ in cases]
        found = browser.run(
            f"""(async () => {{
              const {{ fit }} = await import("./resample.js");
              return {json.dumps(asked)}.map(([height, width, toHeight, toWidth, data]) =>
                Array.from(fit({{ width, height, channels: 3, data: Uint8Array.from(data) }}, toHeight, toWidth).data));
            }})()"""
        )
    for (sizes, _, expected), data in zip(cases, found, strict=True):
        np.testing.assert_array_equal(np.array(data).reshape(expected.shape), expected, str(sizes))


def test_transparent_palette_deep_and_turned_pictures(browser, tmp_path):
    plain = Image.open(photograph(tmp_path / "a.png", 90, 70))
    clear = plain.convert("RGBA")
    clear.putalpha(Image.fromarray(np.tile(np.linspace(0, 255, 90).astype(np.uint8), (70, 1))))
    cases = {
        "half transparent": (clear, "PNG", {}, 1),
        "palette": (plain.quantize(20), "PNG", {}, 0),
        "grey": (plain.convert("L"), "PNG", {}, 0),
        "black and white": (plain.convert("1"), "PNG", {}, 0),
        "16-bit grey": (Image.fromarray(np.asarray(plain.convert("L")).astype(np.uint16) * 257), "PNG", {}, 0),
        "bmp": (plain, "BMP", {}, 0),
        "gif": (plain.quantize(30), "GIF", {}, 0),
    }
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        cases[f"turned {orientation}"] = (plain, "PNG", {"exif": exif}, 1)
    with served("digits") as server:
        browser.phone()
        browser.open(server.url)
        for name, (picture, format, options, levels) in cases.items():
            file = io.BytesIO()
            picture.save(file, format, **options)
            shape = (24, 36, 3)
            expected = decode(file.getvalue(), shape).astype(np.int64)
            found = read_in_page(browser, file.getvalue(), shape)
            assert np.abs(found - expected).max() <= levels, name


@pytest.mark.parametrize("subsampling", [0, 2], ids=["4:4:4", "4:2:0"])
def test_jpegs_give_nearly_the_same_pixels(browser, tmp_path, subsampling):
    with served("digits") as server:
        browser.phone()
        browser.open(server.url)
        for width, height, levels in [(70, 60, 0), (256, 192, 8), (1000, 801, 8)]:
            options = {"quality": 90, "subsampling": subsampling}
            content = photograph(tmp_path / "a.jpg", width, height, **options).read_bytes()
            shape = (48, 64, 3)
            apart = np.abs(read_in_page(browser, content, shape) - decode(content, shape))
            assert apart.max() <= levels, (width, height)
            assert apart.mean() <= 0.5, (width, height)


def allowed(format):
    """How far from Python's answers those on pictures that the browser decoded may be."""
    return RAW_LOSSY["float" if formats.FORMATS[format].exact else "quantised"]


def test_golden_jpegs_are_held_to_the_limit_of_jpegs(browser, tmp_path):
    """A release whose golden samples are photos: what kexp run answers of them is expected; swapped colours fail."""
    folder = exported("digits")
    names, rows, files = [], [], {}
    for index, width in enumerate((120, 300, 64)):
        names.append(f"{index:02}.jpg")
        path = photograph(tmp_path / names[-1], width, width * 3 // 4, quality=92)
        files[f"golden/{names[-1]}"] = path
        rows.append(decode(path, spec_of("digits").shape))
    inputs = np.stack(rows).astype(np.float32)
    files["golden/inputs.bin"] = inputs.astype("<f4").tobytes()
    artifacts = json.loads(page("digits")["model/about.json"])["artifacts"]
    outputs = {a["format"]: open_runtime(folder / a["path"]).predict(inputs).tolist() for a in artifacts}
    files["golden/expected.json"] = json.dumps({"samples": names, "reference": [], "outputs": outputs}).encode()
    about = json.loads(page("digits")["model/about.json"])
    about["lossy"] = names
    for format, limits in about["limits"].items():
        del limits["phone raw gap"]
        limits["phone raw gap lossy"] = allowed(format)
    files["model/about.json"] = json.dumps(about).encode()
    with served("digits", changed=files) as server:
        browser.phone()
        browser.open(server.url)
        browser.until(CHECKED)
        assert text(browser, ".verdict") == "This phone answers as the computer did"
        first = server.posted[-1][1]["artifacts"][0]["checks"]
        limits = {check["name"].partition(" ")[2]: check["limit"] for check in first}
        assert limits["phone raw gap lossy"] == allowed(first[0]["name"].partition(" ")[0])
        assert "phone raw gap" not in limits
    pixels = page("digits")["pixels.js"].read_text().replace("data[to] = rgba[from];", "data[to] = rgba[from + 2];")
    assert pixels != page("digits")["pixels.js"].read_text()  # red is blue
    with served("digits", changed={**files, "pixels.js": pixels.encode()}) as server:
        browser.phone()
        browser.open(server.url)
        browser.until(CHECKED)
        assert text(browser, ".verdict") == "This phone does not answer as the computer did"


def test_one_jpeg_among_the_samples_does_not_loosen_what_others_are_held_to(browser, tmp_path):
    about = json.loads(page("digits")["model/about.json"])
    expected = json.loads(page("digits")["golden/expected.json"].read_text())
    names = expected["samples"]
    about["lossy"] = names[:1]
    for format, limits in about["limits"].items():
        limits["phone raw gap lossy"] = allowed(format)
    picture = np.asarray(Image.open(exported("digits") / "golden" / names[1])).copy()
    picture[3:5, 3:5] ^= 8  # hardly seen
    Image.fromarray(picture).save(tmp_path / "a.png")
    changed = {"model/about.json": json.dumps(about).encode(), f"golden/{names[1]}": tmp_path / "a.png"}
    with served("digits", changed=changed) as server:
        browser.phone()
        browser.open(server.url)
        browser.until(CHECKED)
        assert text(browser, ".verdict") == "This phone does not answer as the computer did"
    entries = server.posted[-1][1]["artifacts"]
    checks = {check["name"]: check for entry in entries for check in entry["checks"]}
    assert checks["tflite_float32 phone raw gap lossy"]["ok"]
    bad = checks["tflite_float32 phone raw gap"]
    assert not bad["ok"]
    assert bad["limit"] < bad["value"] < allowed("tflite_float32"), "it would have passed as a JPEG"


def seen(browser):
    """The pixels that the page says the model sees, (8, 8, 1)."""
    data = browser.run(
        "Array.from(document.querySelector('.seen canvas').getContext('2d').getImageData(0, 0, 8, 8).data)"
    )
    return np.array(data, np.float32).reshape(8, 8, 4)[None, :, :, :1]


def answered(browser, runtime):
    """Whether the answer that is shown is the network's to the pixels that are shown."""
    outputs = runtime.predict(seen(browser))[0]
    label, share = headline(browser)
    return label == spec_of("digits").labels[int(outputs.argmax())] and abs(share - 100 * outputs.max()) < 0.06


def eventually(held, what):
    """Wait until `held()`; a page that shares its cores with other tests may take seconds."""
    end = time.monotonic() + 60
    while not held():
        assert time.monotonic() < end, f"not within a minute: {what}"
        time.sleep(0.05)


def test_camera_frames_and_uploaded_photos_are_classified(browser, tmp_path):
    model = exported("digits") / "model_int8.tflite"
    runtime = open_runtime(model)
    with served("digits") as server:
        browser.phone()
        browser.open(server.url)
        for turns in range(2):
            browser.click("#camera")
            browser.until("document.querySelector('video').videoWidth > 0 && !document.querySelector('video').hidden")
            if turns:
                browser.click("#turn")
                browser.until("document.querySelector('video').dataset.mirrored === 'true'")
                browser.until("document.querySelector('video').srcObject?.active")
            before = seen(browser)
            eventually(lambda before=before: (seen(browser) != before).any(), "a frame of the camera is seen")
            browser.click("#camera")
            browser.until("document.querySelector('video').hidden")
            assert seen(browser).std() > 5, "the fake camera's picture is not one grey"
            eventually(lambda: answered(browser, runtime), "the frame that stays is the one that was answered")
        exif = Image.Exif()
        exif[0x0112] = 6
        for path in (
            photograph(tmp_path / "wide.png", 300, 200),
            photograph(tmp_path / "turned.png", 300, 200, exif=exif),
            photograph(tmp_path / "small.jpg", 16, 15),
        ):
            browser.upload("#file-choose", path)
            pixels = decode(path, (8, 8, 1))  # waited for: a frame of the camera may have the same answer to a percent
            eventually(lambda pixels=pixels: np.abs(seen(browser) - pixels).max() <= 1, f"{path.name} is seen")
            eventually(lambda: answered(browser, runtime), "its answer is shown")
            shown(browser, run(model, [path])[0], apart=0.5)  # a turned picture is resized in the other order
        (tmp_path / "no.png").write_bytes(b"no picture")
        browser.upload("#file-choose", tmp_path / "no.png")
        browser.until("document.querySelector('.note').innerText.includes('no picture')")
        assert browser.errors() == []


SLOW_CAMERA = """
  globalThis.asked = 0;
  navigator.mediaDevices.getUserMedia = () => new Promise((resolve) => {
    asked++;
    globalThis.give = () => resolve((globalThis.given = document.createElement("canvas").captureStream()));
  });"""


def test_a_camera_that_comes_too_late_is_switched_off(browser):
    with served("digits") as server:
        browser.phone(init=SLOW_CAMERA)
        browser.open(server.url)
        browser.click("#camera")
        browser.click(".thumbnail:nth-child(2)")
        browser.until("document.querySelector('.thumbnail:nth-child(2)').ariaPressed === 'true'")
        browser.run("give()")
        browser.until("given.getTracks()[0].readyState === 'ended'")
        assert text(browser, "#camera") == "Camera"
        browser.click("#camera")
        assert browser.run("asked") == 2
        assert browser.errors() == []


def test_a_camera_that_is_stopped_before_its_first_frame_leaves_the_picture(browser):
    with served("digits") as server:
        browser.phone(init=SLOW_CAMERA)
        browser.open(server.url)
        before = browser.run("document.querySelector('.stage > img').src")
        browser.click("#camera")
        browser.run("give()")
        browser.until("document.querySelector('video').srcObject === given")
        browser.run("document.getElementById('camera').click()")
        browser.until("given.getTracks()[0].readyState === 'ended'")
        browser.run("new Promise((resolve) => setTimeout(resolve, 200))")
        assert browser.run("document.querySelector('.stage > img').src") == before
        assert browser.run(
            "[document.querySelector('.stage > img').hidden, document.querySelector('video').hidden]"
        ) == [
            False,
            True,
        ]


def test_a_camera_that_is_refused_is_explained(browser):
    with served("digits") as server:
        browser.phone(
            init="navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', 'NotAllowedError'));"
        )
        browser.open(server.url)
        browser.click("#camera")
        browser.until("document.querySelector('.note').innerText.includes('not allowed')")
        assert text(browser, "#camera") == "Camera"
