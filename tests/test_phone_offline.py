"""The page without network, its updates, and what plain http leaves of it."""

from __future__ import annotations

import pytest
from phone_page import CHECKED, exported, headline, page, photograph, served, shown, text

from kexp.phone.bundle import bundle, worker
from kexp.predict import run

pytestmark = pytest.mark.slow

KEPT = "document.querySelector('#device dd:last-of-type').dataset.state === 'ready'"


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
