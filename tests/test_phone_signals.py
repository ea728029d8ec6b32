"""Series, sounds and clips on the phone's page: read as Python reads them, drawn, and answered alike."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest
import scipy.signal
import small_models
import soundfile
from phone_page import CHECKED, exported, headline, page, served, shown, text

from kexp.data import recordings, series
from kexp.data.sounds import decode
from kexp.predict import run

pytestmark = pytest.mark.slow
MOTION = ["accelerometer", "gyroscope"]
KINDS = ["motions", "sales", "tones", "moves"]


def in_page(browser, script, *values):
    """The value of an async function in the page, (...values) => ..."""
    return browser.run(f"({script})(...{json.dumps(values)})")


def encoded(path):
    return base64.b64encode(path.read_bytes()).decode()


BLOB = "new Blob([Uint8Array.from(atob(content), (c) => c.charCodeAt(0))])"


@pytest.fixture(scope="module")
def opened(browser):
    with served("motions") as server:
        browser.phone()
        browser.open(server.url)
        yield browser


@pytest.mark.parametrize("rates", [(8000, 16000), (44100, 16000), (48000, 8000), (22050, 8000), (8000, 8000), (3, 7)])
def test_resampling_is_scipys(opened, rates):
    x = np.random.default_rng(0).normal(0, 0.3, 700).astype(np.float32)
    script = """async (x, from, to) =>
      Array.from((await import("./rate.js")).resample(Float32Array.from(x), from, to))"""
    found = np.array(in_page(opened, script, x.tolist(), *rates))
    expected = scipy.signal.resample_poly(x.astype(np.float64), rates[1], rates[0])
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 2e-6


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("channels", [1, 2])
def test_wav_files_are_read_to_the_last_bit(opened, tmp_path, subtype, channels):
    path = tmp_path / "a.wav"
    x = np.random.default_rng(1).uniform(-0.9, 0.9, (500, channels))
    soundfile.write(path, x, 8000, subtype=subtype)
    script = f"""async (content) => {{
      const {{ parse }} = await import("./wav.js");
      const found = parse(await {BLOB}.arrayBuffer());
      return {{ rate: found.rate, samples: Array.from(found.samples) }};
    }}"""
    found = in_page(opened, script, encoded(path))
    expected = decode(path, 8000, 500)
    assert found["rate"] == 8000
    assert np.abs(np.array(found["samples"], np.float32) - expected).max() <= (0 if channels == 1 else 6e-8)


@pytest.mark.parametrize(("rate", "length"), [(8000, 900), (8000, 100), (44100, 5000), (16000, 200)])
def test_sounds_are_brought_to_rate_and_length_as_in_python(opened, tmp_path, rate, length):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.random.default_rng(2).uniform(-0.5, 0.5, length), rate, subtype="FLOAT")
    script = f"""async (content, spec) =>
      Array.from(await (await import("./wav.js")).read({BLOB}, spec))"""
    found = np.array(in_page(opened, script, encoded(path), {"rate": 8000, "shape": [400]}))
    assert np.abs(found - decode(path, 8000, 400)).max() < 2e-6


def test_what_is_no_wav_is_left_to_the_browser(opened):
    script = """async () => {
      const { parse, read } = await import("./wav.js");
      const words = new Blob(["RIFF and words, which are no sound at all, but long enough to be one"]);
      const said = await read(words, { rate: 8000, shape: [10] }).catch((error) => error.name);
      return [parse(await words.arrayBuffer()), said];
    }"""
    none, said = in_page(opened, script)
    assert none is None
    assert "Error" in said


CSVS = {
    "in order": ("a,b\n1,2\n3,4\n5,6\n", [[1, 2], [3, 4], [5, 6]]),
    "by name": ("b,t,a\n1,0,2\n3,1,4\n5,2,6\n", [[2, 1], [4, 3], [6, 5]]),
    "without a header": ("1.5,2\n3,4\n5,6\n", [[1.5, 2], [3, 4], [5, 6]]),
    "numbered columns": ("1,2\n1,2\n3,4\n5,6\n", [[1, 2], [3, 4], [5, 6]]),
    "semicolons": ("a;b\n1;2\n3;4\n5;6\n", [[1, 2], [3, 4], [5, 6]]),
    "missing": ("a,b\n1,\n,4\n5,NA\n", [[1, 4], [3, 4], [5, 4]]),
    "longer": ("a,b\n0,0\n1,1\n2,2\n3,3\n4,4\n", [[1, 1], [2, 2], [3, 3]]),
    "shorter": ("a,b\n1,2\n", [[1, 2], [1, 2], [1, 2]]),
}


@pytest.mark.parametrize("name", CSVS)
def test_csv_files_are_read_as_in_python(opened, tmp_path, name):
    content, expected = CSVS[name]
    script = """async (content, spec) =>
      Array.from((await import("./recording.js")).read(content, spec))"""
    found = in_page(opened, script, content, {"shape": [3, 2], "channels": ["a", "b"], "horizon": 0})
    assert np.array(found).reshape(3, 2).tolist() == expected
    (tmp_path / "a.csv").write_text(content)
    names, values = recordings.recording(tmp_path / "a.csv")
    values = values[:, [names.index(each) for each in ("a", "b")]] if "a" in names else values
    assert series.fit(series.filled(values)[0], 3).tolist() == expected


@pytest.mark.parametrize(
    ("content", "said"),
    [("a\n1\n2\n3\n", "1 columns, 2 are expected"), ("a,b\n1,x\n", "row 1: x"), ("a,b\n1,\n", "2 has no")],
)
def test_a_csv_that_is_no_such_series_says_why(opened, content, said):
    script = """async (content, spec) =>
      (await import("./recording.js")).read(content, spec)"""
    with pytest.raises(AssertionError, match=said):
        in_page(opened, script, content, {"shape": [3, 2], "channels": ["a", "b"], "horizon": 0})


def test_a_forecast_looks_at_the_last_rows_and_refuses_fewer(opened):
    script = """async (content, spec) =>
      Array.from((await import("./recording.js")).read(content, spec))"""
    spec = {"shape": [2, 1], "channels": ["a"], "horizon": 1}
    assert in_page(opened, script, "a\n1\n2\n3\n", spec) == [2, 3]
    with pytest.raises(AssertionError, match="1 rows, 2 are expected"):
        in_page(opened, script, "a\n1\n", spec)


@pytest.mark.parametrize("name", KINDS)
def test_every_variant_answers_as_python_does(browser, name):
    formats = [artifact["format"] for artifact in json.loads(page(name)["model/about.json"])["artifacts"]]
    assert {"tflite_float32", "tflite_int8"} <= set(formats)
    with served(name, formats=formats) as server:
        browser.phone()
        browser.open(server.url)
        browser.until(CHECKED)
        assert browser.run("document.querySelector('.verdict').dataset.state") == "passed"
    assert not browser.errors()


@pytest.mark.parametrize("name", KINDS)
def test_a_changed_sample_fails_the_check(browser, name):
    folder = exported(name) / "golden"
    expected = json.loads((folder / "expected.json").read_text())
    first, *others = zip(expected["samples"], np.array(expected["reference"]), strict=True)
    other = max(others, key=lambda pair: np.abs(pair[1] - first[1]).max())
    changed = {f"golden/{first[0]}": (folder / other[0]).read_bytes()}
    with served(name, changed=changed) as server:
        browser.phone()
        browser.open(server.url)
        browser.until(CHECKED)
        assert browser.run("document.querySelector('.verdict').dataset.state") == "failed"


@pytest.mark.parametrize("name", ["motions", "tones"])
def test_a_file_of_the_user_is_answered_as_kexp_run_does(browser, tmp_path, name):
    if name == "motions":
        path = tmp_path / "mine.csv"
        rows = small_models.motions().dataset.x[5].tolist()
        path.write_text("acc_z,acc_y,acc_x\n" + "".join(f"{z},{y},{x}\n" for x, y, z in rows))
    else:
        path = tmp_path / "mine.wav"
        t = np.arange(30_000) / 44_100
        soundfile.write(path, 0.3 * np.sin(2 * np.pi * 900 * t), 44_100)
    (prediction,) = run(exported(name) / "model_int8.tflite", [path])
    with served(name) as server:
        browser.phone()
        browser.open(server.url)
        browser.upload("#file-choose", path)
        shown(browser, prediction)


def test_a_video_of_the_user_is_answered(browser, tmp_path):
    import av
    from PIL import Image

    path = tmp_path / "mine.webm"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for k in range(12):
            frame = np.full((64, 64, 3), 30, np.uint8)
            frame[8 + 3 * k : 24 + 3 * k, 20:36] = 230
            for packet in stream.encode(av.VideoFrame.from_image(Image.fromarray(frame))):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    (prediction,) = run(exported("moves") / "model_int8.tflite", [path])
    with served("moves") as server:
        browser.phone()
        browser.open(server.url)
        browser.upload("#file-choose", path)
        shown(browser, prediction, apart=15)


def test_the_samples_are_shown_in_turn(browser):
    folder = exported("motions") / "golden"
    answers = run(exported("motions") / "model_int8.tflite", sorted(folder.glob("*.csv")))
    with served("motions") as server:
        browser.phone()
        browser.open(server.url)
        shown(browser, answers[0])
        browser.click("#next")
        shown(browser, answers[1])
        browser.click("#previous")
        browser.click("#previous")
        shown(browser, answers[-1])
        assert text(browser, ".turns .place") == f"Sample {len(answers)} of {len(answers)}"


def test_a_forecast_is_drawn_on(browser):
    with served("sales") as server:
        browser.phone()
        browser.open(server.url)
        browser.until("document.querySelectorAll('.plot .next').length === 1")
        labels = browser.run("Array.from(document.querySelectorAll('.bars .name'), (each) => each.innerText)")
        assert labels == ["sold +1", "sold +2", "sold +3"]


def test_the_microphone_is_listened_to(browser):
    """Chromium's fake microphone beeps; the beeps are answered, and listening ends when it is told to."""
    with served("tones") as server:
        browser.phone(permissions=["microphone"])
        browser.open(server.url)
        browser.click("#microphone")
        browser.until("!document.querySelector('.level').hidden")
        before = browser.run("document.querySelector('.plot polygon').getAttribute('points')")
        browser.until(f"document.querySelector('.plot polygon').getAttribute('points') !== {json.dumps(before)}")
        assert headline(browser)[0] in ("low", "middle", "high")
        browser.click("#microphone")
        browser.until("document.querySelector('.level').hidden")
    assert not browser.errors()


def test_the_motion_sensors_are_read(browser):
    """Events as a phone sends them: gravity on z, a swing on x."""
    push = """(async () => {
      for (let i = 0; i < 400; i++) {
        const at = i / 50;
        dispatchEvent(new DeviceMotionEvent("devicemotion", {
          accelerationIncludingGravity: { x: Math.sin(at * 12), y: 0, z: 9.8 + 2 * Math.sin(at * 12) },
          interval: 20,
        }));
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    })()"""
    with served("motions") as server:
        browser.phone(permissions=MOTION)
        browser.open(server.url)
        before = browser.run("document.querySelector('.plot polyline').getAttribute('points')")
        browser.click("#motion")
        browser.run(push)
        browser.until(f"document.querySelector('.plot polyline').getAttribute('points') !== {json.dumps(before)}")
        chosen = browser.run("Array.from(document.querySelectorAll('.setting select'), (each) => each.value)")
        assert chosen[:3] == ["gravity x", "gravity y", "gravity z"]
        browser.click("#motion")
    assert not browser.errors()


def test_a_phone_without_sensors_says_so(browser):
    with served("motions") as server:
        browser.phone(permissions=MOTION)
        browser.open(server.url)
        browser.click("#motion")
        browser.until("document.querySelector('.note')?.innerText.includes('no motion')")
        browser.phone(permissions=[])
        browser.open(server.url)
        browser.click("#motion")
        browser.until("document.querySelector('.note')?.innerText.includes('not allowed')")


def test_the_camera_records_a_clip(browser):
    with served("moves") as server:
        browser.phone()
        browser.open(server.url)
        browser.until(CHECKED)
        asked = "globalThis.answers = 0; new MutationObserver(() => answers++).observe("
        browser.run(
            asked + "document.querySelector('.speed'), { childList: true, characterData: true, subtree: true })"
        )
        browser.click("#record")
        browser.until("!document.querySelector('.clip video').hidden")
        browser.until("document.querySelector('.clip video').hidden && answers > 0")
        assert headline(browser)[0] in ("down", "right", "still")
    assert not browser.errors()
