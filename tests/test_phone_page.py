"""What the page says and what it looks like: the answer of every task, two languages, small screens."""

from __future__ import annotations

import json

import pytest
from chromium import Served
from phone_page import page, served, text

from kexp.phone.bundle import PAGE

pytestmark = pytest.mark.slow


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
