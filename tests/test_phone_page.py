"""The page that a phone opens, in a real Chromium: it answers as Python does, and notices where it does not."""

from __future__ import annotations

import base64
import csv
import functools
import io
import json
import re
import shutil
import time

import numpy as np
import pytest
import small_models
from chromium import Chromium, Served
from PIL import Image, ImageDraw

from kexp import formats
from kexp.data.columns import encode_row
from kexp.data.pictures import decode, fit
from kexp.errors import ExportError
from kexp.export import card, golden, graph
from kexp.phone.bundle import PAGE, RAW_LOSSY, bundle, worker
from kexp.predict import run
from kexp.records import Column, to_json
from kexp.runtime import open_runtime
from kexp.verify import REPEATS

pytestmark = pytest.mark.slow

CHECKED = """(() => {
  const { running, count } = document.querySelector(".verdict")?.dataset ?? {};
  return running === "false" && Number(count) === document.querySelectorAll(".variant").length;
})()"""
KEPT = "document.querySelector('#device dd:last-of-type').dataset.state === 'ready'"


@pytest.fixture(scope="module")
def browser():
    with Chromium() as chromium:
        yield chromium


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


# -- the bundle -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["digits", "people"])
def test_the_bundle_holds_the_page_the_model_and_the_golden_vectors(name):
    files = page(name)
    static = {path.relative_to(PAGE).as_posix() for path in PAGE.rglob("*") if path.is_file()}
    assert static <= set(files)
    about = json.loads(files["model/about.json"])
    assert about["spec"] == to_json(spec_of(name))
    assert about["results"] is True
    formats = [artifact["format"] for artifact in about["artifacts"]]
    assert "tflite_uint8" not in formats  # its outputs are integers, of which LiteRT.js does not tell the scale
    assert formats == ["tflite_float32", "tflite_float16", "tflite_dynamic", "tflite_int8", "tflite_int16x8"]
    for format, kind in (("tflite_float32", "float"), ("tflite_int8", "quantised")):
        assert about["limits"][format] == {"phone gap": REPEATS[kind], "phone raw gap": REPEATS[kind]}
    assert about["lossy"] == []
    for artifact in about["artifacts"]:
        assert files[f"model/{artifact['path']}"] == exported(name) / artifact["path"]
    inputs = np.frombuffer(files["golden/inputs.bin"], "<f4").reshape(-1, *spec_of(name).shape)
    np.testing.assert_array_equal(inputs, golden.read(exported(name) / "golden", spec_of(name)).astype(np.float32))
    assert files["golden/expected.json"] == exported(name) / "golden" / "expected.json"
    assert b'"@litertjs' not in files["litert/index.js"]
    web = json.loads(files["manifest.webmanifest"])
    assert web["start_url"] == web["scope"] == "./"
    for icon in web["icons"]:
        assert icon["src"] in files
        if icon["sizes"] != "any":
            assert "x".join(map(str, Image.open(files[icon["src"]]).size)) == icon["sizes"]


def test_the_metric_with_its_interval_is_told(tmp_path):
    folder = shutil.copytree(exported("people"), tmp_path / "people")
    document = json.loads((folder / card.MANIFEST).read_text())
    document["evaluation"] = {
        "rows": 60,
        "metrics": {"accuracy": 0.9, "log_loss": 0.3},
        "interval": {"metric": "accuracy", "low": 0.8, "high": 0.95, "level": 0.95},
        "files": {"model_int8.tflite": {"accuracy": 0.88, "log_loss": 0.3}},
    }
    (folder / card.MANIFEST).write_text(json.dumps(document))
    about = json.loads(bundle(folder, results=False)["model/about.json"])
    assert about["results"] is False
    assert about["evaluation"] == {
        "metric": "accuracy",
        "value": 0.9,
        "low": 0.8,
        "high": 0.95,
        "level": 0.95,
        "rows": 60,
        "files": {"model_int8.tflite": 0.88},
    }


def test_a_folder_without_a_tflite_is_refused(tmp_path):
    folder = shutil.copytree(exported("people"), tmp_path / "people")
    document = json.loads((folder / card.MANIFEST).read_text())
    document["artifacts"] = []
    (folder / card.MANIFEST).write_text(json.dumps(document))
    with pytest.raises(ExportError, match=r"no \.tflite.*kexp export NAME --tflite"):
        bundle(folder, results=False)


def test_a_file_that_is_not_what_passed_its_gate_is_refused(tmp_path):
    folder = shutil.copytree(exported("people"), tmp_path / "people")
    with (folder / "model_int8.tflite").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ExportError, match=r"model_int8\.tflite is changed"):
        bundle(folder, results=False)
    (folder / "model_int8.tflite").unlink()
    with pytest.raises(ExportError, match=r"model_int8\.tflite is missing"):
        bundle(folder, results=False)


@pytest.mark.parametrize("name", ["expected.json", "rows.csv"])
def test_golden_vectors_that_were_changed_are_refused(tmp_path, name):
    folder = shutil.copytree(exported("people"), tmp_path / "people")
    path = folder / "golden" / name
    path.write_text(path.read_text().replace("1", "2", 1))
    with pytest.raises(ExportError, match=r"golden was changed: .* Export again"):
        bundle(folder, results=False)


def test_a_runtime_that_is_not_whole_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("kexp.phone.bundle.npm_folder", lambda *_: tmp_path / "cache" / "node_modules")
    with pytest.raises(ExportError, match=rf"index\.js is missing\. Remove {tmp_path}/cache; it is fetched again"):
        bundle(exported("people"), results=False)


def test_other_content_makes_another_worker(tmp_path):
    one, other = bundle(exported("people"), results=False), bundle(exported("people"), results=True)
    assert one["sw.js"] != other["sw.js"]
    assert one["sw.js"] == bundle(exported("people"), results=False)["sw.js"]


# -- answers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["digits", "people"])
def test_the_page_answers_and_checks_itself_as_python_does(browser, name):
    folder = exported(name)
    inputs = golden.read(folder / "golden", spec_of(name))
    told = {entry["path"]: entry for entry in json.loads(page(name)["model/about.json"])["artifacts"]}
    with served(name, formats=[entry["format"] for entry in told.values()]) as server:
        browser.phone()
        browser.open(server.url)
        for file in ("model_float32.tflite", "model_int8.tflite"):
            found = browser.run(
                f"""(async () => {{
                  const {{ open }} = await import("./runtime.js");
                  const bytes = async (url) => (await fetch(url)).arrayBuffer();
                  const model = await open(new Uint8Array(await bytes("model/{file}")));
                  const flat = new Float32Array(await bytes("golden/inputs.bin"));
                  const size = flat.length / {len(inputs)};
                  const outputs = [];
                  for (let i = 0; i < {len(inputs)}; i++) {{
                    outputs.push(Array.from((await model.run(flat.subarray(i * size, (i + 1) * size))).outputs));
                  }}
                  await model.delete();
                  return outputs;
                }})()"""
            )
            np.testing.assert_allclose(found, open_runtime(folder / file).predict(inputs), atol=1e-5)
        browser.until(CHECKED)
        assert text(browser, ".verdict") == "This phone answers as the computer did"
        browser.until("document.querySelector('.foot').innerText.includes('Sent to the computer.')")
        assert browser.errors() == []
        assert [url for url in browser.requests() if " http" in url and f" {server.url}" not in url] == []
    path, sent = server.posted[-1]
    assert path == "/results"
    assert "Android" in sent["userAgent"]
    assert sent["device"]
    assert {entry["artifact"] for entry in sent["artifacts"]} == set(told)
    for entry in sent["artifacts"]:
        assert entry["sha256"] == told[entry["artifact"]]["sha256"]
        assert entry["runtime"].startswith("LiteRT.js ")
        assert entry["threads"] == 1
        assert 0 < entry["p50_ms"] <= entry["p95_ms"]
        assert entry["runs"] >= 3
        format = told[entry["artifact"]]["format"]
        checks = {check["name"]: check for check in entry["checks"]}
        assert set(checks) == {f"{format} phone {what}" for what in ("gap", "raw gap", "sha256")}
        for name_of, check in checks.items():
            assert check["ok"], check
            assert set(check) == {"name", "value", "limit", "ok", "advice"}
            if "sha256" not in name_of:  # PNGs and cells are read exactly as in Python
                assert check["value"] <= 1e-5, check


def broken(folder, format):
    """The model with its largest constant zeroed."""
    model = graph.read((folder / f"model_{format}.tflite").read_bytes())
    largest = max((b for b in model.buffers if b.data is not None), key=lambda b: len(b.data))
    largest.data = np.zeros(len(largest.data), np.uint8)
    return bytes(graph.write(model))


@pytest.mark.parametrize("what", ["model", "expected", "inputs", "rows"])
def test_the_check_fails_where_something_was_tampered_with(browser, what):
    folder = exported("people")
    changed, failing = {}, set()
    if what == "model":
        changed = {"model/model_int8.tflite": broken(folder, "int8")}
        failing = {"tflite_int8 phone gap", "tflite_int8 phone raw gap", "tflite_int8 phone sha256"}
    elif what == "expected":
        document = json.loads((folder / "golden" / "expected.json").read_text())
        document["outputs"]["tflite_float32"][3][0] += 0.001
        changed = {"golden/expected.json": json.dumps(document).encode()}
        failing = {"tflite_float32 phone gap", "tflite_float32 phone raw gap"}
    elif what == "inputs":  # each sample in the place of the next one
        values = np.frombuffer(page("people")["golden/inputs.bin"], "<f4").reshape(-1, 5)
        changed = {"golden/inputs.bin": np.roll(values, 1, axis=0).tobytes()}
        failing = {"tflite_float32 phone gap", "tflite_int8 phone gap"}
    else:
        header, *rows = (folder / "golden" / "rows.csv").read_text().splitlines()
        changed = {"golden/rows.csv": "\n".join([header, *rows[1:], rows[0]]).encode()}
        failing = {"tflite_float32 phone raw gap", "tflite_int8 phone raw gap"}
    with served("people", changed=changed) as server:
        browser.phone()
        browser.open(server.url)
        browser.until(CHECKED)
        assert text(browser, ".verdict") == "This phone does not answer as the computer did"
    checks = [check for entry in server.posted[-1][1]["artifacts"] for check in entry["checks"]]
    bad = {check["name"] for check in checks if not check["ok"]}
    assert bad == failing
    assert all(check["advice"] for check in checks if not check["ok"])


def test_a_variant_that_cannot_be_opened_fails_and_stops_no_other(browser):
    with served("people", changed={"model/model_float32.tflite": b"no model"}) as server:
        browser.phone()
        browser.open(server.url)
        browser.until(CHECKED)
        assert "The check could not run" in text(browser, ".verdict")
        assert browser.run("document.querySelector('.verdict').dataset.state") == "failed"
        assert browser.run("document.querySelectorAll('#check td .icon').length") == 2
        browser.until("document.querySelector('.foot').innerText.includes('Sent to the computer.')")
    float32, int8 = sorted(server.posted[-1][1]["artifacts"], key=lambda entry: entry["artifact"])
    assert set(float32) == {"artifact", "sha256", "error"}
    assert float32["error"]
    assert all(check["ok"] for check in int8["checks"])


def test_it_has_passed_when_every_variant_has(browser):
    """Another verdict than `passed` is seen after each but the last."""
    watch = """addEventListener("DOMContentLoaded", () => {
      globalThis.seen = new Set();
      const look = () => {
        const { state, count } = document.querySelector(".verdict")?.dataset ?? {};
        if (state) seen.add(`${state} ${count}: ${document.querySelector(".verdict").innerText}`);
      };
      new MutationObserver(look).observe(document, { subtree: true, childList: true, attributes: true });
    });"""
    with served("people") as server:
        browser.phone(init=watch)
        browser.open(server.url)
        browser.until(CHECKED)
        told = browser.run("Array.from(seen).sort()")
    assert "waiting 1: Replaying known samples … 1 of 2" in told
    assert [state for state in told if state.startswith("passed")] == [
        "passed 2: This phone answers as the computer did"
    ]


def test_a_runtime_that_failed_to_load_is_tried_again(browser):
    fake = """let calls = 0;
    const loadLiteRt = async () => { if (!calls++) throw new Error("no network"); return "loaded"; };"""
    module = re.sub(r"import .*;", fake, (PAGE / "runtime.js").read_text(encoding="utf-8"), count=1)
    assert fake in module
    module = module.replace("import.meta.url", "'http://kexp.test/'").replace("export ", "")
    with served("people") as server:
        browser.phone()
        browser.open(server.url)
        found = browser.run(
            f"""(async () => {{ {module}
              return [await start().catch((error) => error.message), await start(), await start(), calls];
            }})()"""
        )
    assert found == ["no network", "loaded", "loaded", 2]


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [(400, b'{"error": "sha256: load the page again"}', "load the page again"), (404, b"", "status 404")],
)
def test_a_refusal_is_told_as_the_computer_told_it(browser, status, error, said):
    with served("people") as server:
        server.refusal = (status, error)
        browser.phone()
        browser.open(server.url)
        browser.until(CHECKED)
        browser.until("document.querySelector('.foot').innerText.includes('Not taken by the computer: ')")
        assert said in text(browser, ".foot")


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        ("Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 Chrome/156.0.0.0 Mobile", r"Android phone [0-9a-f]{4}"),
        ("Mozilla/5.0 (Linux; Android 14; Pixel 7) AppleWebKit/537.36 Chrome/120.0.0.0", r"Pixel 7, Android 14"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) Safari/604.1", r"iPhone [0-9a-f]{4}, 18\.5"),
    ],
)
def test_phones_that_tell_no_model_are_told_apart(browser, agent, name):
    names = []
    with served("people") as server:
        for _ in range(2):
            browser.phone(userAgent=agent)
            browser.open(server.insecure)
            names += [browser.run("import('./device.js').then(({ name }) => name())") for _ in range(2)]
    assert all(re.fullmatch(name, found) for found in names), names
    assert names[0] == names[1]
    assert (names[0] == names[2]) == ("Pixel" in name)


def test_a_variant_that_is_gone_leaves_the_one_before(browser):
    """As after Ctrl-C on the computer, on plain http; and where another export lies at the same address."""
    with served("people") as server:
        browser.phone()
        browser.open(server.insecure)
        browser.until(CHECKED)
        (first, *_) = run(exported("people") / "model_int8.tflite", [exported("people") / "golden" / "rows.csv"], top=2)
        shown(browser, first)
        kept = server.files.pop("model/model_float32.tflite")
        for url, content in ((server.insecure, None), (server.url, broken(exported("people"), "float32"))):
            if content is not None:
                server.files["model/model_float32.tflite"] = content
                browser.phone()
                browser.open(url)
                browser.until(CHECKED)
            browser.click(".variant:has([value='model_float32.tflite'])")
            browser.until("!document.querySelector('.problem').hidden")
            assert "the one before stays" in text(browser, ".problem")
            assert browser.run("document.querySelector('.variant :checked').value") == "model_int8.tflite"
            browser.click(".arrow:last-child")
            browser.click(".arrow:first-child")
            shown(browser, first)
        server.files["model/model_float32.tflite"] = kept
        browser.phone()
        browser.open(server.insecure)
        browser.click(".variant:has([value='model_float32.tflite'])")
        browser.until("document.querySelector('.problem').hidden")


def test_a_sample_that_is_gone_is_not_marked_as_shown(browser):
    with served("digits") as server:
        browser.phone()
        browser.open(server.insecure)
        browser.until(CHECKED)
        before = headline(browser)
        del server.files["golden/03.png"]
        browser.click(".thumbnail:nth-child(4)")
        browser.until("document.querySelector('.note').innerText.includes('cannot be fetched')")
        assert browser.run("document.querySelector('.thumbnail[aria-pressed=true] img').src").endswith("/00.png")
        assert headline(browser) == before
        browser.click(".thumbnail:nth-child(3)")
        browser.until("document.querySelector('.note').hidden")


def test_a_variant_that_answers_no_number_fails(browser):
    with served("people") as server:
        browser.phone()
        browser.open(server.url)
        script = """(async () => {
          const { gap } = await import("./golden.js");
          return [gap([[NaN]], [[0]], [1]), gap([[0]], [[0], [0]], [1]), gap([[0, 1]], [[0]], [1]), gap([], [], [1]),
            gap([[0]], undefined, [1])].map(Number.isNaN).concat([gap([[3], [1]], [[1], [1]], [2]) === 1]);
        })()"""
        assert browser.run(script) == [True] * 6


def test_another_variant_answers_the_same_sample(browser):
    with served("people") as server:
        browser.phone()
        browser.open(server.url)
        assert browser.run("document.querySelector('.variant :checked').value") == "model_int8.tflite"
        for file in ("model_float32.tflite", "model_int8.tflite"):
            browser.click(f".variant:has([value='{file}'])")
            (first, *_) = run(exported("people") / file, [exported("people") / "golden" / "rows.csv"], top=2)
            shown(browser, first)
        browser.until(CHECKED)
        assert " ms" in text(browser, ".variant:has([value='model_float32.tflite']) .time")
        assert browser.errors() == []


# -- without network, and what a secure context gives ------------------------------------------------


def test_after_one_visit_it_works_when_the_server_is_gone(browser):
    with served("digits") as server:
        browser.phone()
        browser.open(server.url)
        browser.until(KEPT)
        assert browser.installable() == []
        before = headline(browser)
    browser.reload()
    assert headline(browser) == before
    browser.click(".thumbnail:nth-child(4)")
    samples = sorted((exported("digits") / "golden").glob("*.png"))
    shown(browser, run(exported("digits") / "model_int8.tflite", [samples[3]])[0])
    browser.until("document.querySelector('.foot').innerText.includes('Not sent')")
    browser.until(CHECKED)
    assert text(browser, ".verdict") == "This phone answers as the computer did"


def test_a_new_export_replaces_what_was_kept(browser):
    with served("people") as server:
        browser.phone()
        browser.open(server.url)
        browser.until(KEPT)
        server.files = {**bundle(exported("people"), results=False)}
        browser.reload()
        browser.until("!document.getElementById('newer').hidden")
        browser.run("window.before = true")
        browser.run("document.querySelector('#newer button').click()")
        # Nothing is fetched while this waits: a worker that answers is not replaced.
        browser.until("window.before === undefined && document.body.dataset.ready")
    assert (
        browser.run("fetch('model/about.json').then((answer) => answer.json()).then((about) => about.results)") is False
    )
    browser.reload()  # from what is kept: the server is gone
    assert browser.run("document.getElementById('newer').hidden")
    assert browser.errors() == []


def another_runtime(files):
    """The page with the WebAssembly of another version: the same, and a section of no meaning."""
    changed = {
        url: content.read_bytes() + b"\0\5\4kexp" for url, content in files.items() if url.endswith("_internal.wasm")
    }
    assert len(changed) == 2
    files = {**files, **changed}
    return {**files, "sw.js": worker(files)}


def test_an_update_brings_its_own_runtime(browser):
    with served("people") as server:
        browser.phone()
        browser.open(server.url)
        browser.until(KEPT)
        server.files = another_runtime(server.files)
        browser.reload()
        browser.until("!document.getElementById('newer').hidden")
        server.stop()  # the network is lost: what was installed must do
        browser.run("window.before = true")
        browser.run("document.querySelector('#newer button').click()")
        browser.until("window.before === undefined && document.body.dataset.ready")
    size = browser.run(
        """(async () => {
          const names = performance.getEntriesByType("resource").map((entry) => entry.name);
          const name = names.find((each) => each.endsWith("_internal.wasm"));
          return [name.split("/").at(-1), (await (await fetch(name)).arrayBuffer()).byteLength];
        })()"""
    )
    assert size[1] == len(server.files[f"litert/{size[0]}"])


def test_every_tab_takes_an_update(browser):
    with served("people") as server:
        browser.phone()
        browser.open(server.url)
        browser.until(KEPT)
        browser.reload()
        browser.run("void (window.other = window.open('./'))")
        browser.until("other.document.body.dataset.ready")
        server.files = {**bundle(exported("people"), results=False)}
        browser.run("other.location.reload()")
        browser.until("other.document.querySelector('#newer:not([hidden]) button')")
        browser.until("other.document.body.dataset.ready")
        for tab in ("document", "other.document"):  # a worker that still answers is not replaced
            browser.until(KEPT.replace("document", tab))
        browser.run("window.before = other.before = true")
        browser.run("void other.document.querySelector('#newer button').click()")
        browser.until("window.before === undefined && document.body.dataset.ready")


def test_sessions_share_the_runtime_and_leave_no_heap_behind(browser):
    def session(name):
        """Open the page at an address of its own, while those of earlier sessions are gone."""
        files = {**page("people"), "manifest.webmanifest": name.encode()}  # something of its own
        files["sw.js"] = worker(files)
        server.files = {f"{name}/{url}": content for url, content in files.items()}
        server.asked.clear()
        browser.open(f"{server.url}{name}/")
        browser.until(KEPT)
        return [url for url in server.asked if url.startswith(f"{name}/") and url.endswith((".wasm", ".tflite"))]

    def caches():
        return browser.run("caches.keys().then((names) => names.map((name) => name.split('/').at(-2) ?? name))")

    def contents():
        script = "caches.open('kexp-content').then((cache) => cache.keys()).then((keys) => keys.length)"
        return browser.run(script)

    with served("people") as server:
        browser.phone()
        assert len(set(session("one"))) == 6  # five models, one WebAssembly
        first = contents()
        for name in ("two", "three", "four", "five"):
            assert session(name) == []
        browser.until("caches.keys().then((names) => names.length < 5)")
        assert caches() == ["kexp-content", "three", "four", "five"]
        browser.until(
            f"caches.open('kexp-content').then((cache) => cache.keys()).then((keys) => keys.length === {first + 2})"
        )
        url = server.url
    browser.open(f"{url}four/")  # without network


def test_half_an_update_is_not_kept(browser):
    with served("people") as server:
        browser.phone()
        server.files["form.js"] = server.files["form.js"].read_bytes() + b"// of another export\n"
        browser.open(server.url)
        browser.until("document.querySelector('#device dd:last-of-type').dataset.state === 'failed' || " + KEPT)
        assert "not kept" in text(browser, "#device dd:last-of-type")


def test_on_plain_http_photos_work_and_the_page_says_how_to_get_more(browser, tmp_path):
    photo = photograph(tmp_path / "photo.png", 40, 30)
    with served("digits") as server:
        browser.phone()
        browser.open(server.insecure)
        assert browser.run("isSecureContext") is False
        assert browser.run("document.getElementById('camera')") is None
        said = text(browser, "#device")
        assert all(way in said for way in ("kexp phone --https", "kexp phone --adb", "kexp export --phone"))
        browser.upload("#file-photo", photo)
        shown(browser, run(exported("digits") / "model_int8.tflite", [photo])[0])
        browser.until(CHECKED)
        assert text(browser, ".verdict") == "This phone answers as the computer did"


# -- pictures -------------------------------------------------------------------------------------


def photograph(path, width, height, **options):
    """A picture with edges, colours and texture, so that a wrong filter or a swapped channel shows."""
    random = np.random.default_rng(width * 1000 + height)
    pixels = np.linspace(0, 255, width)[None, :, None] * np.ones((height, 1, 3)) * [1, 0.6, 0.3]
    picture = Image.fromarray((pixels + random.normal(0, 12, pixels.shape)).clip(0, 255).astype(np.uint8))
    ImageDraw.Draw(picture).ellipse((width * 0.2, height * 0.1, width * 0.7, height * 0.8), fill=(20, 90, 220))
    picture.save(path, **options)
    return path


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


# -- tables ---------------------------------------------------------------------------------------

NUMBERS = [
    *[
        "1",
        " 5 ",
        "1e3",
        "-2.5E-3",
        ".5",
        "5.",
        "+7",
        "1_000",
        "1,5",
        "abc",
        "0x10",
        "1e400",
        "-1e39",
        "3.4e38",
        "1e-50",
    ],
    *[
        "",
        "NA",
        "n/a",
        "?",
        "NaN",
        "-nan",
        "null",
        "None",
        "inf",
        "-Infinity",
        "++1",
        "1 2",
        "e5",
        ".",
        "-",
        "\u00a05\u3000",
    ],
    *["\u0661\u0662.\u0665", "\u0967", "\uff11", "\u00b2", "1\u066b5", "\x1c3\x85", "\ufeff4", "16777217", "0.1"],
]
DATES = [
    *[
        "2020-02-29",
        "2021-02-29",
        "20200229",
        "2020-02-29T12:30",
        "2020-02-29 12:30:15.5",
        "2020-02-29T12:30:15,123456789",
    ],
    *[
        "2020-W09-6",
        "2020W096",
        "2020-W53",
        "2021-W53",
        "2020-W01",
        "2020-02-29T12",
        "2020-02-29T1230",
        "2020-02-29T12:3",
    ],
    *[
        "2020-02-29T12:30Z",
        "2020-02-29T12:30+02:00",
        "2020-02-29T12:30-0530",
        "2020-02-29T24:00",
        "2020-02",
        "0001-01-01",
    ],
    *["9999-12-31", "2020-13-01", "2020-1-1", "", "NA", "today", "1969-12-31T23:59:59.999999", "2020-02-29_07:00"],
    *[
        "2020-02-29T",
        "2020-02-29T12:30:15+01:00:30",
        "2020-02-29T12:3015",
        "20200229T123015",
        "2020-060",
        "2020-02-29T1",
    ],
]
FORMATS = {
    "%d.%m.%Y": ["29.02.2020", "1.2.2020", "31.4.2020", " 5.6.2020", "29.02.20", "29/02/2020", "29.02.2020 "],
    "%m/%d/%y": ["02/29/20", "2/9/68", "2/9/69", "13/01/20", "02/29/2020"],
    "%d %b %Y": ["29 Feb 2020", "1 sep 1999", "29  FEB  2020", "29 February 2020", "31 Jun 2020"],
    "%B %d, %Y": ["February 29, 2020", "may 1, 2020", "Feb 29, 2020"],
    "%Y/%m/%d %H:%M:%S": ["2020/02/29 07:08:09", "2020/2/9 7:8:9", "2020/02/29 25:00:00", "2020/02/29 07:08:60"],
    "%d-%b-%y": ["29-Feb-20", "1-Jan-70"],
    "%Y-%m": ["2020-02", "2020-13", "2020-2"],
}
BOOLEANS = ["yes", "no", "YES", " No ", "1", "0", "true", "false", "y", "t", "maybe", "", "NA"]
CATEGORIES = ["Bonn", "bonn", " Bonn ", "Köln", "Paris", "", "?", "None", "<b>Trier</b>", "Trier"]


def cells_and_columns():
    yield from ((cell, Column(name="n", kind="number", minimum=0, maximum=10)) for cell in NUMBERS)
    yield from ((cell, Column(name="d", kind="date", minimum=0, maximum=20000)) for cell in DATES)
    for format, cells in FORMATS.items():
        yield from ((cell, Column(name="d", kind="date", format=format, maximum=1e6)) for cell in cells)
    for choices in (("no", "yes"), ("0", "1"), ("FALSE", "TRUE"), ("N", "Y")):
        yield from ((cell, Column(name="b", kind="boolean", choices=choices)) for cell in BOOLEANS)
    places = ("Bonn", "Köln", "None", "<b>Trier</b>", "\u0130zmir")
    yield from ((cell, Column(name="c", kind="category", choices=places, missing=True)) for cell in CATEGORIES)


def test_cells_are_encoded_as_python_encodes_them(browser):
    cases = list(cells_and_columns())
    with served("people") as server:
        browser.phone()
        browser.open(server.url)
        found = browser.run(
            f"""(async () => {{
              const {{ encodeRow }} = await import("./cells.js");
              return {json.dumps([[cell, to_json(column)] for cell, column in cases])}.map(([cell, column]) => {{
                const {{ values, unusual }} = encodeRow(new Map([[column.name, cell]]), [column]);
                return [Number.isNaN(values[0]) ? "nan" : values[0], unusual.length];
              }});
            }})()"""
        )
    wrong = []
    for (cell, column), (value, unusual) in zip(cases, found, strict=True):
        (expected,), warnings = encode_row({column.name: cell}, [column])
        same = value == "nan" if np.isnan(expected) else value == float(expected)
        if not same or unusual != len(warnings):
            wrong.append((cell, column.kind, column.format, float(expected), warnings, value, unusual))
    assert wrong == []


def test_a_table_file_is_read_as_python_reads_it(browser):
    rows = [["a", "b, c", 'say "x"'], ["1", "two\nlines", ""], ["", "", ""], ["ä", ' "', "\u0661"]]
    file = io.StringIO()
    csv.writer(file).writerows(rows)
    with served("people") as server:
        browser.phone()
        browser.open(server.url)
        for content in (file.getvalue(), "\ufeff" + file.getvalue(), file.getvalue().rstrip("\r\n")):
            found = browser.run(
                f"""import("./cells.js").then(({{ parseCsv }}) =>
                  parseCsv({json.dumps(content)}).map((row) => Array.from(row.entries())))"""
            )
            assert [[name for name, _ in row] for row in found] == [rows[0]] * 3
            assert [[cell for _, cell in row] for row in found] == rows[1:]


def test_a_column_alone_is_read_as_python_reads_it(browser):
    rows = [["a"], ["1"], [""], ["2"]]
    file = io.StringIO()
    csv.writer(file).writerows(rows)
    with served("people") as server:
        browser.phone()
        browser.open(server.url)
        for content in (file.getvalue(), file.getvalue() + "\r\n", '"a"\n"1"\n\n""\n"2"'):
            assert [row for row in csv.reader(io.StringIO(content)) if row] == rows
            found = browser.run(
                f"""import("./cells.js").then(({{ parseCsv }}) =>
                  parseCsv({json.dumps(content)}).map((row) => Array.from(row.values())))"""
            )
            assert [["a"], *found] == rows


def test_a_comma_is_a_decimal_point_unless_it_may_part_thousands(browser):
    with served("people") as server:
        browser.phone()
        browser.open(server.url)
        typed = [
            "2,5",
            "0,500",
            "1234,567",
            "1,23",
            "5,000",
            "-12,345",
            "1,234,567",
            "\u0665,\u0660\u0660\u0660",
            "1.5",
        ]
        found = browser.run(f"import('./form.js').then(({{ plain }}) => {json.dumps(typed)}.map(plain))")
        assert found == ["2.5", "0.500", "1234.567", "1.23", *typed[4:]]
        browser.fill(f"{field('income')} input[type=text]", "5,000")
        browser.until("document.querySelector('[data-warning=true] .hint').innerText.includes('Not readable')")


def field(name):
    return f".field:has(.title:text-is('{name}'))"


def test_the_form_answers_at_every_touch_and_warns(browser):
    model = open_runtime(exported("people") / "model_int8.tflite")
    spec = spec_of("people")

    def expected(**cells):
        """Wait for the answer of these cells."""
        outputs = model.predict(encode_row(cells, spec.columns)[0][None])[0]
        share = max(outputs[0], 1 - outputs[0])
        label = spec.labels[int(outputs[0] >= 0.5)]
        browser.until(
            f"document.querySelector('.headline .label').innerText === '{label}' && "
            f"Math.abs(parseFloat(document.querySelector('.headline .share').innerText) - {100 * share}) < 0.06"
        )

    with served("people") as server:
        browser.phone()
        browser.open(server.url)
        row = {"age": "55", "city": "Bonn", "member": "yes", "joined": "2021-06-01", "income": "2000.5"}
        browser.fill(f"{field('age')} input[type=text]", row["age"])
        browser.choose(f"{field('city')} select", row["city"])
        browser.click(f"{field('member')} label:has-text('yes')")
        browser.fill(f"{field('joined')} input", row["joined"])
        browser.fill(f"{field('income')} input[type=text]", "2000,5")  # as a German keypad writes it
        expected(**row)
        warned = "Array.from(document.querySelectorAll('[data-warning=true] .title'), (node) => node.innerText)"
        assert browser.run(warned) == []
        assert browser.run("document.querySelector('input[type=range]').ariaValueText") == "55"
        browser.fill(f"{field('age')} input[type=text]", "150")
        expected(**{**row, "age": "150"})
        assert browser.run(warned) == ["age"]
        assert "a guess" in text(browser, "[data-warning=true] .hint")
        browser.fill(f"{field('age')} input[type=text]", "old")
        assert "Not readable" in text(browser, "[data-warning=true] .hint")
        browser.fill(f"{field('age')} input[type=text]", "")  # some training rows have none
        expected(**{**row, "age": ""})
        browser.choose(f"{field('city')} select", "\u0000other")
        browser.fill(f"{field('joined')} input", "1999-01-01")
        browser.click(f"{field('member')} label:has-text('unknown')")
        expected(age="", city="Paris", member="", joined="1999-01-01", income="2000.5")
        assert browser.run(warned) == ["city", "member", "joined"]
        for share in (0, 1):  # the ends of a slider are the ends of the training rows
            browser.run(
                f"""(() => {{
                  const slider = document.querySelectorAll("input[type=range]")[1];
                  slider.value = {1000 * share};
                  slider.dispatchEvent(new Event("input"));
                }})()"""
            )
            assert "income" not in browser.run(warned)
        assert browser.errors() == []


def test_samples_fill_the_form(browser):
    rows = golden.read(exported("people") / "golden", spec_of("people"))
    model = open_runtime(exported("people") / "model_int8.tflite")
    with served("people") as server:
        browser.phone()
        browser.open(server.url)
        for index in range(len(rows)):
            outputs = model.predict(rows[index : index + 1])[0]
            share = 100 * max(outputs[0], 1 - outputs[0])
            browser.until(
                f"Math.abs(parseFloat(document.querySelector('.headline .share').innerText) - {share}) < 0.06"
            )
            browser.click(".arrow:last-child")
        assert text(browser, ".place") == f"Sample 1 of {len(rows)}"


# -- answers of every task, words, and what they look like -------------------------------------------


def answer(browser, spec, outputs):
    """What the page shows for these outputs: (headline, [label value] of each bar)."""
    return browser.run(
        f"""(async () => {{
          const {{ Answer }} = await import("./answer.js");
          const place = document.createElement("section");
          document.body.append(place);
          new Answer(place, {json.dumps(spec)}).show(Float32Array.from({json.dumps(outputs)}), 1);
          const texts = (on) => Array.from(place.querySelectorAll(on), (node) => node.textContent);
          const found = [texts(".headline > *"), texts(".bars li").map((row) => row.trim())];
          place.remove();
          return found;
        }})()"""
    )


def test_every_task_has_its_answer(browser):
    with served("people") as server:
        browser.phone()
        browser.open(server.url)
        many = {"task": "multiclass", "labels": list("abcdefg")}
        assert answer(browser, many, [0.1, 0.3, 0.02, 0.3, 0.2, 0.05, 0.03]) == [
            ["b", "30.0%"],
            ["b30.0%", "d30.0%", "e20.0%", "a10.0%", "f5.0%"],
        ]
        some = {"task": "multilabel", "labels": ["red", "round", "soft"]}
        assert answer(browser, some, [0.9, 0.2, 0.5]) == [["red, soft"], ["red90.0%", "soft50.0%", "round20.0%"]]
        assert answer(browser, some, [0.1, 0.2, 0.4])[0] == ["none of the labels"]
        two = {"task": "binary", "labels": ["no", "yes"]}
        assert answer(browser, two, [0.5])[0] == ["yes", "50.0%"]
        assert answer(browser, two, [0.25])[0] == ["no", "75.0%"]
        one = {"task": "regression", "labels": ["price"], "target_mean": [100], "target_std": [10]}
        assert answer(browser, one, [123.456]) == [["123.5", "price"], ["training mean 100"]]
        more = {"task": "regression", "labels": ["x", "y"], "target_mean": [0, 0], "target_std": [1, 1]}
        assert answer(browser, more, [1.5, -2])[1] == ["x1.5", "y-2"]


def test_times_below_the_clock_are_those_of_the_replay(browser):
    with served("people") as server:
        browser.phone()
        browser.open(server.url)
        script = """(async () => {
          const { Answer } = await import("./answer.js");
          const place = document.createElement("section");
          document.body.append(place);
          const answer = new Answer(place, { task: "binary", labels: ["no", "yes"] });
          const found = [place.innerText.includes("Fetching the runtime")];
          answer.restart("a");
          const look = () => found.push(place.querySelector(".speed").innerText);
          answer.show([1], 0); look();
          const other = { artifact: "b", p50_ms: 1, p95_ms: 1 };
          answer.replayed([{ artifact: "a", p50_ms: 0.021, p95_ms: 0.034 }, other]); look();
          answer.restart("b"); answer.show([1], 5); look();
          found.push(place.innerText.includes("Fetching the runtime"));
          place.remove();
          return found;
        })()"""
        waiting, clock, replayed, own, still = browser.run(script)
        assert (waiting, still) == (True, False)
        assert clock.startswith("< 0.10 ms a run")
        assert replayed == "0.02 ms a run, 95 % within 0.03 ms"
        assert own.startswith("5.0 ms a run")


def test_a_page_without_a_computer_behind_it_says_that_the_samples_are_shared(browser):
    for results in (True, False):
        with Served(page("people", results)) as server:
            browser.phone()
            browser.open(server.url)
            assert ("samples are from the data" in text(browser, "#device")) != results


def test_text_of_the_data_is_never_html(browser):
    about = json.loads(page("digits")["model/about.json"])
    evil = "<img src=x onerror='document.body.dataset.evil=1'>"
    about["name"] = about["spec"]["name"] = evil
    about["spec"]["labels"] = [evil] * 10
    with served("digits", changed={"model/about.json": json.dumps(about).encode()}) as server:
        browser.phone()
        browser.open(server.url)
        assert text(browser, ".headline .label") == evil
        assert text(browser, "h1") == evil
        assert browser.run("document.body.dataset.evil") is None
        assert browser.errors() == []


def test_a_page_that_cannot_start_says_why(browser):
    with served("people", changed={"model/model_int8.tflite": b"no model"}) as server:
        browser.phone()
        browser.open(server.url, until="document.body.dataset.state === 'failed'")
        assert "could not start" in text(browser, "#answer")


def test_arabic_is_written_from_right_to_left(browser):
    with served("people") as server:
        browser.phone(locale="ar-EG")
        browser.open(server.url)
        assert browser.run("[document.documentElement.lang, document.dir]") == ["ar", "rtl"]
        assert text(browser, "#model h2") == "النموذج"
        left, right = browser.run(
            "['.headline .share', '.headline .label'].map((on) => document.querySelector(on).getBoundingClientRect().x)"
        )
        assert left < right
        assert set(text(browser, ".headline .share")) & set(
            "\u0660\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0669"
        )
        button = "['lang', 'aria-label'].map((name) => document.getElementById('language').getAttribute(name))"
        assert browser.run(button) == ["en", "Switch to English"]
        assert browser.run("document.getElementById('actions').ariaLabel") == "المُدخل"
        assert browser.run("import('./text.js').then(({ t }) => t('outside', { low: -2, high: 3 }))").startswith(
            "خارج المدى من \u2068-2\u2069 إلى \u20683\u2069"
        )
        browser.click("#language")
        assert browser.run(button) == ["ar", "التبديل إلى العربية"]
        assert browser.run("[document.documentElement.lang, document.dir]") == ["en", "ltr"]
        assert text(browser, "#model h2") == "Model"
        browser.reload()
        assert browser.run("document.documentElement.lang") == "en", "the choice is kept"


def test_days_are_of_the_calendar_of_the_date_field(browser):
    with served("people") as server:
        browser.phone(locale="ar-SA")
        browser.open(server.url)
        day = browser.run("import('./text.js').then(({ dayNumber }) => dayNumber(18628))")
        assert "\u0662\u0660\u0662\u0661" in day or "2021" in day, day


def test_both_languages_say_everything(browser):
    source = (PAGE / "text.js").read_text(encoding="utf-8")
    words = source[source.index("const WORDS = ") + len("const WORDS = ") : source.index("\n};\n") + 2]
    with served("people") as server:
        browser.phone()
        browser.open(server.url)
        found = browser.run(f"({words})")
    assert list(found["en"]) == list(found["ar"])
    for key, phrase in found["en"].items():
        holes = {part.split("}")[0] for part in phrase.split("{")[1:]}
        assert holes == {part.split("}")[0] for part in found["ar"][key].split("{")[1:]}, key


LOOK = """(() => {
  const seen = (node) => node.getClientRects().length && getComputedStyle(node).visibility !== "hidden";
  const wide = document.documentElement.scrollWidth - innerWidth;
  const label = (node) => node.getAttribute("aria-label") || node.innerText || node.labels?.[0]?.innerText;
  const named = (node) => (label(node) ?? "").trim();
  const controls = Array.from(document.querySelectorAll("button, input, select, summary")).filter(seen);
  const nameless = controls.filter((node) => !named(node)).map((node) => node.outerHTML);
  const targets = controls.map((node) => node.closest("label") ?? node).filter((node) => !node.matches(".unseen"));
  const small = targets.filter((node) => node.getBoundingClientRect().height < 28).map((node) => node.outerHTML);
  return [wide > 0 ? wide : 0, nameless, small];
})()"""


@pytest.mark.parametrize("locale", ["en-US", "ar-EG"])
@pytest.mark.parametrize("name", ["digits", "people"])
def test_nothing_is_cut_off_nameless_or_too_small_to_touch(browser, name, locale):
    with served(name) as server:
        browser.phone(locale=locale)
        browser.open(server.url)
        for width, height in ((360, 800), (412, 915), (800, 360)):
            browser.size(width, height)
            assert browser.run(LOOK) == [0, [], []], (width, height)


CONTRAST = """(() => {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => {
    const hex = style.getPropertyValue(`--${name}`).trim();
    return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255);
  };
  const light = (name) => {
    const [r, g, b] = colour(name).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (one, other) => {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const text = ["ink", "muted", "accent", "good", "bad", "warn"].flatMap((ink) =>
    ["ground", "surface"].map((paper) => [ink, paper, 4.5]));
  const parts = [["field", "surface", 3], ["accent", "line", 3], ["on-accent", "accent", 4.5],
    ["ink", "tint", 4.5], ["muted", "tint", 4.5], ["accent", "tint", 4.5]];
  return [...text, ...parts].filter(([a, b, least]) => !(ratio(a, b) >= least)).map(([a, b]) => [a, b, ratio(a, b)]);
})()"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_is_that_of_wcag_aa_in_both_themes(browser, scheme):
    with served("people") as server:
        browser.phone(colorScheme=scheme)
        browser.open(server.url)
        assert browser.run(CONTRAST) == []
