"""Rows on the page: cells and files are read as Python reads them, and a form answers at every touch."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from phone_page import exported, served, spec_of, text

from kexp.data.columns import encode_row
from kexp.export import golden
from kexp.records import Column, to_json
from kexp.runtime import open_runtime

pytestmark = pytest.mark.slow

NUMBERS = [
    "1", " 5 ", "1e3", "-2.5E-3", ".5", "5.", "+7", "1_000", "1,5", "abc", "0x10", "1e400", "-1e39", "3.4e38",
    "1e-50", "", "NA", "n/a", "?", "NaN", "-nan", "null", "None", "inf", "-Infinity", "++1", "1 2", "e5", ".", "-",
    "\u00a05\u3000", "\u0661\u0662.\u0665", "\u0967", "\uff11", "\u00b2", "1\u066b5", "\x1c3\x85", "\ufeff4",
    "16777217", "0.1",
]  # fmt: skip
DATES = [
    "2020-02-29", "2021-02-29", "20200229", "2020-02-29T12:30", "2020-02-29 12:30:15.5",
    "2020-02-29T12:30:15,123456789", "2020-W09-6", "2020W096", "2020-W53", "2021-W53", "2020-W01", "2020-02-29T12",
    "2020-02-29T1230", "2020-02-29T12:3", "2020-02-29T12:30Z", "2020-02-29T12:30+02:00", "2020-02-29T12:30-0530",
    "2020-02-29T24:00", "2020-02", "0001-01-01", "9999-12-31", "2020-13-01", "2020-1-1", "", "NA", "today",
    "1969-12-31T23:59:59.999999", "2020-02-29_07:00", "2020-02-29T", "2020-02-29T12:30:15+01:00:30",
    "2020-02-29T12:3015", "20200229T123015", "2020-060", "2020-02-29T1",
]  # fmt: skip
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
