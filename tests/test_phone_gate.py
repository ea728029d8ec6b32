"""The page checks itself against what Python answered, and notices where it does not."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from phone_page import CHECKED, exported, headline, page, served, shown, spec_of, text

from kexp.export import golden, graph
from kexp.phone.bundle import PAGE
from kexp.predict import run
from kexp.runtime import open_runtime

pytestmark = pytest.mark.slow


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
