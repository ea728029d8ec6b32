"""Series, sounds and clips on the phone's page: read as Python reads them, drawn, and answered alike."""

from __future__ import annotations

import base64
import json
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.signal
import small_models
import soundfile
from phone_page import CHECKED, exported, headline, page, served, shown, text

from kexp.data import clips, samples
from kexp.data.sounds import decode
from kexp.errors import DataError
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


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
@pytest.mark.parametrize("strange", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_refused_as_in_python(opened, tmp_path, subtype, strange):
    path = tmp_path / "a.wav"
    x = np.random.default_rng(1).uniform(-0.9, 0.9, 500)
    x[100] = strange
    soundfile.write(path, x, 8000, subtype=subtype)
    with pytest.raises(DataError, match="values that are no numbers"):
        decode(path, 8000, 500)
    script = f"""async (content, spec) => (await import("./wav.js")).read({BLOB}, spec)"""
    with pytest.raises(AssertionError, match="values that are no numbers"):
        in_page(opened, script, encoded(path), {"rate": 8000, "shape": [500]})


@pytest.mark.parametrize("subtype", ["ULAW", "ALAW"])
@pytest.mark.parametrize("rate", [8000, 11025])
def test_wavs_of_telephones_are_decoded_at_their_own_rate(opened, tmp_path, subtype, rate):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.random.default_rng(1).uniform(-0.5, 0.5, 4000), rate, subtype=subtype)
    script = f"""async (content, spec) =>
      Array.from(await (await import("./wav.js")).read({BLOB}, spec))"""
    found = np.array(in_page(opened, script, encoded(path), {"rate": 8000, "shape": [2000]}))
    assert np.abs(found - decode(path, 8000, 2000)).max() < 1e-4


@pytest.mark.parametrize("suffix", ["flac", "ogg", "mp3"])
@pytest.mark.parametrize(("rate", "channels"), [(16000, 1), (8000, 1), (22050, 2)])
def test_compressed_sounds_are_decoded_at_their_own_rate(opened, tmp_path, suffix, rate, channels):
    """The browser would resample them by itself, and leaves out the end of an Ogg: the middle would move."""
    path = tmp_path / f"a.{suffix}"
    t = np.arange(int(1.3 * rate))[:, None] / rate
    waves = np.sin(2 * np.pi * t * np.array([310.0, 1000.0, 2700.0]))
    soundfile.write(path, waves @ np.full((3, channels), 0.2) * np.linspace(0.2, 1, len(t))[:, None], rate)
    script = f"""async (content, spec) =>
      Array.from(await (await import("./wav.js")).read({BLOB}, spec))"""
    found = np.array(in_page(opened, script, encoded(path), {"rate": 8000, "shape": [6000]}))
    assert np.abs(found - decode(path, 8000, 6000)).max() < 5e-5  # FLAC: Chromium divides 16 bits by 32,767


SPEC = {"kind": "series", "shape": (3, 2), "channels": ("a", "b"), "horizon": 0}
CSVS = {
    "in order": ("x,y\n1,2\n3,4\n5,6\n", [[1, 2], [3, 4], [5, 6]]),
    "by name": ("b,t,a\n1,0,2\n3,1,4\n5,2,6\n", [[2, 1], [4, 3], [6, 5]]),
    "dates beside": ("date,a,b\n2024-01-01,1,2\n2024-01-02,3,4\n2024-01-03,5,6\n", [[1, 2], [3, 4], [5, 6]]),
    "times beside": ("Time (s),x,y\n0,1,2\n.1,3,4\n.2,5,6\n", [[1, 2], [3, 4], [5, 6]]),
    "an index beside": (",x,y\n0,1,2\n1,3,4\n2,5,6\n", [[1, 2], [3, 4], [5, 6]]),
    "without a header": ("1.5,2\n3,4\n5,6\n", [[1.5, 2], [3, 4], [5, 6]]),
    "without a header, missing": (",2\n3,4\n5,6\n", [[3, 2], [3, 4], [5, 6]]),
    "numbered columns": ("1,2\n1,2\n3,4\n5,6\n", [[1, 2], [3, 4], [5, 6]]),
    "steps aside": (
        "a_1,a_2,a_3,a_4,a_5,b1,b2,b3,b5,b4,label\n0,1,3,5,0,0,2,4,0,6,up\n" + "9," * 10 + "down\n",
        [[1, 2], [3, 4], [5, 6]],
    ),
    "semicolons": ("a;b\n1;2\n3;4\n5;6\n", [[1, 2], [3, 4], [5, 6]]),
    "bars": ("a|b\n1|2\n3|4\n5|6\n", [[1, 2], [3, 4], [5, 6]]),
    "quotes": ('"x, y","say ""z"""\n"1",2\n3,4\n5,6\n', [[1, 2], [3, 4], [5, 6]]),
    "returns": ("a,b\r1,2\r3,4\r5,6\r", [[1, 2], [3, 4], [5, 6]]),
    "empty lines": ("\n\na,b\n1,2\n\n3,4\n5,6\n\n", [[1, 2], [3, 4], [5, 6]]),
    "digits": ("a,b\n١,2.\n3,.4e1\n5,6\n", [[1, 2], [3, 4], [5, 6]]),
    "missing": ("a,b\n1,\n,4\n5,NA\n", [[1, 4], [3, 4], [5, 4]]),
    "longer": ("a,b\n0,0\n1,1\n2,2\n3,3\n4,4\n", [[1, 1], [2, 2], [3, 3]]),
    "shorter": ("a,b\n1,2\n", [[1, 2], [1, 2], [1, 2]]),
}
READ = """async (content, spec) =>
  Array.from((await import("./recording.js")).read(content, spec))"""


@pytest.mark.parametrize("name", CSVS)
def test_csv_files_are_read_as_in_python(opened, tmp_path, name):
    content, expected = CSVS[name]
    assert np.reshape(in_page(opened, READ, content, SPEC), (3, 2)).tolist() == expected
    path = tmp_path / "a.csv"
    path.write_bytes(content.encode())
    assert next(samples.read(path, SimpleNamespace(**SPEC))).x.tolist() == expected


NO_SERIES = {
    "few columns": ("a\n1\n2\n3\n", "has 1 columns, the model takes 2: a, b"),
    "many columns": ("x,y,z\n1,2,3\n", "has 3 columns"),
    "words": ("a,b\n1,2\n1,x\n", "line 3: x is no number"),
    "hexadecimal": ("a,b\n0x10,2\n", "line 2: 0x10"),
    "infinite": ("a,b\n1,inf\n", "line 2: inf"),
    "beyond float32": ("a,b\n1e39,1\n", "line 2: 1e39"),
    "decimal commas": ("a;b\n1,5;2\n", "line 2: 1,5"),
    "no values": ("a,b\n1,\n2,\n", "the column b has no values"),
    "short row": ("a,b\n1,2\n3\n", "line 3 has 1 cells, the first has 2"),
    "long row": ("a,b\n1,2,3\n", "line 2 has 3 cells"),
    "twice": ("a,a\n1,2\n", "names the column a twice"),
    "header": ("a,b\n", "no rows"),
    "nothing": ("", "no rows"),
}


@pytest.mark.parametrize("name", NO_SERIES)
def test_a_csv_that_is_no_such_series_says_why_and_python_takes_it_neither(opened, tmp_path, name):
    content, said = NO_SERIES[name]
    with pytest.raises(AssertionError, match=said):
        in_page(opened, READ, content, SPEC)
    path = tmp_path / "a.csv"
    path.write_text(content)
    with pytest.raises(DataError):
        list(samples.read(path, SimpleNamespace(**SPEC)))


@pytest.mark.parametrize(
    "content", ["c,a\n1,2\n3,4\n5,6\n", "time,b\n1,2\n2,4\n3,6\n", "time,c\n1,2\n2,4\n3,6\n", "x,y,b\n1,2,3\n"]
)
def test_a_channel_that_is_not_there_is_not_taken_from_a_column_of_another_name(opened, tmp_path, content):
    """One name is known, so the columns are not in the order of the channels."""
    with pytest.raises(AssertionError, match=r"has no column|has 3 columns"):
        in_page(opened, READ, content, SPEC)
    path = tmp_path / "a.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=r"has no column|has 3 columns"):
        list(samples.read(path, SimpleNamespace(**SPEC)))


FORECASTS = {
    "last rows": ("a,b\n1,2\n3,4\n5,6\n7,8\n", [[3, 4], [5, 6], [7, 8]]),
    "unordered": ("b,a,day\n4,3,2/1/2024\n2,1,1/1/2024\n8,7,14/1/2024\n6,5,3/1/2024\n", [[3, 4], [5, 6], [7, 8]]),
    "by months": ("month,a,b\n2024-03,5,6\n2024-02,3,4\n2024-01,1,2\n", [[1, 2], [3, 4], [5, 6]]),
    "missing": ("a,b\n1,2\n3,\n,\n7,8\n", [[3, 2], [3, 2], [7, 8]]),
}


@pytest.mark.parametrize("name", FORECASTS)
def test_a_forecast_looks_at_the_last_rows_as_in_python(opened, tmp_path, name):
    content, expected = FORECASTS[name]
    spec = {**SPEC, "horizon": 1}
    assert np.reshape(in_page(opened, READ, content, spec), (3, 2)).tolist() == expected
    path = tmp_path / "a.csv"
    path.write_text(content)
    assert next(samples.read(path, SimpleNamespace(**spec))).x.tolist() == expected


def test_a_forecast_refuses_fewer_rows_and_dates_that_are_none(opened):
    spec = {**SPEC, "horizon": 1}
    with pytest.raises(AssertionError, match="it has 2 rows, the model looks back on 3"):
        in_page(opened, READ, "a,b\n1,2\n3,4\n", spec)
    rows = "".join(f"2024-01-{day:02},1,2\n" for day in range(1, 31))
    with pytest.raises(AssertionError, match="line 32: soon is no date"):
        in_page(opened, READ, f"day,a,b\n{rows}soon,1,2\n", spec)


FILM = f"""async (content, spec) =>
  Array.from(await (await import("./film.js")).film({BLOB}, spec))"""


@pytest.mark.parametrize(("rate", "count", "frames"), [(30, 60, 6), (30, 60, 16), (10, 12, 6), (10, 4, 9)])
def test_the_frames_of_a_video_are_those_of_python(opened, tmp_path, rate, count, frames):
    """Where the middle of a span is the beginning of a frame too."""
    path = tmp_path / "a.webm"
    write_video(path, rate, count)
    found = np.array(in_page(opened, FILM, encoded(path), {"shape": [frames, 16, 16, 3]}))
    expected = clips.decode(path, (frames, 16, 16, 3)).astype(float).ravel()
    assert np.abs(found - expected).max() <= 2  # YUV to RGB


@pytest.mark.parametrize(("count", "frames"), [(6, 6), (5, 16), (13, 4), (1, 3)])
def test_the_frames_of_an_animation_are_those_of_python(opened, tmp_path, count, frames):
    from PIL import Image

    path = tmp_path / "a.gif"
    noise = np.random.default_rng(3).integers(0, 255, (count, 8, 8), np.uint8)
    first, *others = [Image.fromarray(each).resize((40, 32), Image.Resampling.NEAREST) for each in noise]
    first.save(path, save_all=True, append_images=others, duration=70)
    found = np.array(in_page(opened, FILM, encoded(path), {"shape": [frames, 16, 16, 1]}))
    assert found.tolist() == clips.decode(path, (frames, 16, 16, 1)).astype(float).ravel().tolist()


def test_what_is_no_video_says_so(opened):
    with pytest.raises(AssertionError, match=r"page.evaluate: Error: its frames cannot be read. Most browsers"):
        in_page(opened, FILM, base64.b64encode(b"no video at all").decode(), {"shape": [2, 8, 8, 1]})


def write_video(path, rate, count):
    """A bar that moves over a ground that brightens: each frame is unlike the one before."""
    import av
    from PIL import Image

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for k in range(count):
            frame = np.full((64, 64, 3), 40 + 3 * k % 200, np.uint8)
            frame[8:24, 7 * k % 48 : 7 * k % 48 + 12] = 250
            for packet in stream.encode(av.VideoFrame.from_image(Image.fromarray(frame))):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


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


@pytest.mark.parametrize("name", ["motions", "tones", "flac", "moves"])
def test_a_file_of_the_user_is_answered_as_kexp_run_does(browser, tmp_path, name):
    if name == "motions":
        path = tmp_path / "mine.csv"
        rows = small_models.motions().dataset.x[5].tolist()
        path.write_text("acc_z,acc_y,acc_x\n" + "".join(f"{z},{y},{x}\n" for x, y, z in rows))
    elif name == "moves":
        small_models.moves()
        path = sorted(small_models.folder("moves").glob("clips/right/*.gif"))[3]
    else:
        path = tmp_path / ("mine.wav" if name == "tones" else "mine.flac")
        name = "tones"
        t = np.arange(30_000) / 44_100
        soundfile.write(path, 0.3 * np.sin(2 * np.pi * 900 * t), 44_100)
    (prediction,) = run(exported(name) / "model_int8.tflite", [path])
    with served(name) as server:
        browser.phone()
        browser.open(server.url)
        browser.upload("#file-choose", path)
        shown(browser, prediction)
        assert not browser.errors()


def test_a_table_of_the_user_is_forecast_as_kexp_run_does(browser, tmp_path):
    """With its dates, as the model was trained on it; from its last rows."""
    path = tmp_path / "sales.csv"
    small_models.sales()
    lines = (small_models.folder("sales") / "sales.csv").read_text().splitlines()
    path.write_text("\n".join(lines[:200]) + "\n")
    (prediction,) = run(exported("sales") / "model_int8.tflite", [path])
    expected = [f"{value:.4g}" for value in prediction.values.values()]
    with served("sales") as server:
        browser.phone()
        browser.open(server.url)
        browser.upload("#file-choose", path)
        values = "Array.from(document.querySelectorAll('.bars .value'), (each) => each.innerText)"
        browser.until(f"JSON.stringify({values}) === {json.dumps(json.dumps(expected, separators=(',', ':')))}")
        path.write_text("\n".join(lines[:9]) + "\n")
        browser.upload("#file-choose", path)
        browser.until(
            "document.querySelector('.note')?.innerText.includes('it has 8 rows, the model looks back on 24')"
        )


def test_a_longer_file_says_what_was_done_to_it(browser, tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("acc_x,acc_y,acc_z\n" + "1,0,9.8\n2,,9.8\n" * 40)
    with served("motions") as server:
        browser.phone()
        browser.open(server.url)
        browser.upload("#file-choose", path)
        browser.until("document.querySelector('.drawn p').innerText.startsWith('80 rows were cut around their middle')")
        assert "Missing values" in text(browser, ".drawn p")
        browser.click("#next")
        browser.until("document.querySelector('.drawn p').innerText === ''")


def test_a_video_of_the_user_is_answered(browser, tmp_path):
    path = tmp_path / "mine.webm"
    write_video(path, 10, 12)
    (prediction,) = run(exported("moves") / "model_int8.tflite", [path])
    with served("moves") as server:
        browser.phone()
        browser.open(server.url)
        browser.upload("#file-choose", path)
        shown(browser, prediction, apart=3)  # colours are rounded elsewhere: a level of 255 here and there


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


def test_gravity_is_turned_where_it_counts_downwards(opened):
    """Flat on a table, pushed upwards with 1 m/s2: 10.8 on z of an Android phone, -8.8 of an iPhone."""
    script = """async (event, source, downwards) =>
      (await import("./sensors.js")).told(event, source, "z", downwards)"""
    android = {"acceleration": {"z": 1}, "accelerationIncludingGravity": {"z": 10.8}, "rotationRate": {"alpha": 5}}
    iphone = {**android, "accelerationIncludingGravity": {"z": -8.8}}
    assert in_page(opened, script, android, "gravity", False) == 10.8
    assert in_page(opened, script, iphone, "gravity", True) == pytest.approx(10.8)
    assert in_page(opened, script, {"accelerationIncludingGravity": {"z": -9.8}}, "gravity", True) == 9.8
    for downwards in (False, True):
        assert in_page(opened, script, iphone, "linear", downwards) == 1
        assert in_page(opened, script, iphone, "rotation", downwards) == 5


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["x", "y", "z"], ["gravity x", "gravity y", "gravity z"]),
        (["a", "b", "c", "d", "e", "f"], [f"{s} {a}" for s in ("gravity", "rotation") for a in "xyz"]),
        (list("abcdefghi"), [f"{s} {a}" for s in ("linear", "rotation", "gravity") for a in "xyz"]),
        (["gyro_y", "body_acc_z", "total_acc_x"], ["rotation y", "linear z", "gravity x"]),
    ],
)
def test_sensors_are_guessed_by_name_and_number(opened, names, expected):
    script = """async (names) => (await import("./sensors.js")).guess(names).map((each) => each.join(" "))"""
    assert in_page(opened, script, names) == expected


def test_the_rate_says_how_long_the_model_looks(browser):
    with served("motions") as server:
        browser.phone(permissions=MOTION)
        browser.open(server.url)
        browser.click(".settings summary")
        assert text(browser, ".settings p") == "The model looks at the last 0.96 seconds."
        browser.fill(".settings input[type=number]", "10")
        browser.run("document.activeElement.blur()")
        browser.until("document.querySelector('.settings p').innerText.includes('last 4.8 seconds')")
        assert not browser.run("document.querySelector('.settings input[type=checkbox]').checked")  # no iPhone
        shown_units = "Array.from(document.querySelectorAll('.setting > span')).filter((each) => each.offsetParent)"
        units = browser.run(f"{shown_units}.map((each) => each.innerText)")
        assert "Acceleration with gravity" in units
        assert "Rotation" not in units


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


def test_the_camera_is_watched_live(browser):
    with served("moves") as server:
        browser.phone()
        browser.open(server.url)
        browser.until(CHECKED)
        script = """(() => {
          globalThis.answers = 0;
          const place = document.querySelector(".speed");
          new MutationObserver(() => answers++).observe(place, { childList: true, characterData: true, subtree: true });
        })()"""
        browser.run(script)
        browser.click("#camera")
        browser.until("!document.querySelector('.clip video').hidden && answers > 1")
        assert text(browser, "#camera") == "Stop"
        browser.click("#turn")
        browser.until("document.querySelector('.clip video').dataset.mirrored === 'true'")
        browser.until("!document.querySelector('.clip video').hidden")
        browser.click("#camera")
        browser.until("document.querySelector('.clip video').hidden")
        assert text(browser, "#camera") == "Live"
        assert not browser.errors()


@pytest.mark.parametrize(
    ("name", "missing", "said"),
    [
        ("motions", None, "Motion sensors"),
        ("tones", "#microphone", "The microphone"),
        ("moves", "#record", "The camera"),
    ],
)
def test_without_a_secure_connection_the_page_says_what_is_missing(browser, name, missing, said):
    with served(name) as server:
        browser.phone()
        browser.open(server.insecure)
        assert f"{said} and use without network need a secure connection" in text(browser, "#device")
        assert missing is None or browser.run(f"document.querySelector('{missing}') === null")


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("locale", ["en-US", "ar"])
def test_a_small_screen_is_wide_enough(browser, name, locale):
    with served(name) as server:
        browser.phone(locale=locale, viewport={"width": 360, "height": 740})
        browser.open(server.url)
        browser.run("document.querySelector('.settings')?.setAttribute('open', '')")
        assert browser.run("document.documentElement.scrollWidth") == 360
        wrapped = "Array.from(document.querySelectorAll('.turns .place, .turns button'), (each) => each.clientHeight)"
        assert max(browser.run(wrapped)) < 60
