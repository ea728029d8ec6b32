"""A picture of the phone's page, for documents: python tests/shoot.py exported/digits page.png [--dark] ...

The page is opened in Chromium as a phone of 412 x 915, and photographed when it has checked itself.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from chromium import Chromium, Served

from kexp.phone.bundle import bundle

CHECKED = "Number(document.querySelector('.verdict').dataset.count) === document.querySelectorAll('.variant').length"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("exported", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--whole", action="store_true", help="the whole page, not the screen")
    parser.add_argument("--locale", default="en-US")
    parser.add_argument("--size", default="412x915")
    parser.add_argument("--scale", type=float, default=2.0)
    given = parser.parse_args()
    width, height = map(int, given.size.split("x"))
    with Chromium() as browser, Served(bundle(given.exported, results=False)) as server:
        browser.phone(
            locale=given.locale,
            colorScheme="dark" if given.dark else "light",
            viewport={"width": width, "height": height},
            deviceScaleFactor=given.scale,
        )
        browser.open(server.url)
        browser.until(CHECKED)
        browser.shot(given.picture.absolute(), whole=given.whole)
    print(given.picture)


if __name__ == "__main__":
    main()
