"""What the phone's page says of an export when it has checked itself in Chromium: python tests/page_verdict.py FOLDER.

Prints "passed" or "failed", after the largest difference of each variant.
"""

from __future__ import annotations

import sys
from pathlib import Path

from chromium import Chromium, Served

from kexp.phone.bundle import bundle

CHECKED = """(() => {
  const { running, count } = document.querySelector(".verdict")?.dataset ?? {};
  return running === "false" && Number(count) === document.querySelectorAll(".variant").length;
})()"""


def main():
    with Chromium() as browser, Served(bundle(Path(sys.argv[1]), results=False)) as server:
        browser.phone()
        browser.open(server.url)
        browser.until(CHECKED)
        print(browser.run("document.querySelector('#check').innerText"))
        print(browser.run("document.querySelector('.verdict').dataset.state"))


if __name__ == "__main__":
    main()
