"""The picture of the README: a card and the reasons behind it, as the playground shows them.

`python -m tests.service.pages.picture docs/images/card.png` takes it anew.
"""

import sys
from pathlib import Path

from playwright.sync_api import Browser

from tests.service.pages.browser import browser, served

__all__ = ["take"]

WIDTH, HEIGHT = 880, 1180
_LEAVE_OUT = ".top, .skip, .try, footer, h1, h1 + p, .card details { display: none !important }"


def take(chromium: Browser, address: str, file: Path) -> None:
    """Write the picture of one bundled patient's card and first trace."""
    page = chromium.new_page(viewport={"width": WIDTH, "height": HEIGHT}, bypass_csp=True)
    page.goto(f"{address}/playground?patient=demo-cord")
    page.add_style_tag(content=_LEAVE_OUT)
    page.screenshot(path=file)
    page.close()


if __name__ == "__main__":
    with served() as address, browser() as chromium:
        take(chromium, address, Path(sys.argv[1]))
