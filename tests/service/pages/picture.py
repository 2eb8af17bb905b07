"""The picture of the README: a card and the reasons behind it, as the playground shows them.

`python -m tests.service.pages.picture docs/images/card.png` takes it anew.
"""

import sys
from pathlib import Path

from playwright.sync_api import Browser

from tests.service.pages.browser import browser, served

__all__ = ["take"]

WIDTH, HEIGHT = 960, 600
# Card and reasons side by side, without the form and what else is on the page.
_LAYOUT = """
.top, .skip, .try, footer, h1, h1 + p { display: none !important }
.card details, .result > details:not(.rule) { display: none !important }
html { font-size: 11px }
.site { max-width: none }
.bench { display: block !important }
.result { columns: 2; column-gap: 2.5rem; padding-top: 1rem }
.result > p:first-child { margin-top: 0 }
.result > h2 { margin-top: 0.5rem }
.cards ~ h2 { break-before: column; margin-top: 0 }
"""


def take(chromium: Browser, address: str, file: Path) -> None:
    """Write the picture of one bundled patient's card and first trace."""
    page = chromium.new_page(viewport={"width": WIDTH, "height": HEIGHT}, bypass_csp=True)
    page.goto(f"{address}/playground?patient=demo-cord")
    page.add_style_tag(content=_LAYOUT)
    page.screenshot(path=file)
    page.close()


if __name__ == "__main__":
    with served() as address, browser() as chromium:
        take(chromium, address, Path(sys.argv[1]))
