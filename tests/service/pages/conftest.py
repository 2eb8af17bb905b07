"""One service and one Chromium for the tests of a module that look at pages in it."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.service.pages import browser


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    browser.chromium()
    with browser.served() as found:
        yield found


@pytest.fixture(scope="module")
def chromium(address: str) -> Iterator[Browser]:
    with browser.browser() as found:
        yield found
