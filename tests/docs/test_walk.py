"""The steps of the tutorials that are done in a browser."""

import re
from pathlib import Path

from playwright.sync_api import Page

from tests.docs.blocks import prose
from tests.service.pages.browser import browser, served


def run_with(page: Page, number: str) -> None:
    """Change the threshold in the text of the rule and press Run, as the tutorial says."""
    box = page.get_by_label("Its YAML")
    box.fill(re.sub(r"(esr_high: \{value: )[\d.]+", rf"\g<1>{number}", box.input_value()))
    page.get_by_role("button", name="Run", exact=True).click()


def test_a_changed_number_is_seen_in_the_playground(repository: Path) -> None:
    tutorial = prose((repository / "docs/tutorials/first-rule.md").read_text("utf-8"))
    (address,) = re.findall(r"<http://127\.0\.0\.1:8000(/playground\?patient=[^>]*rule=[^>]*)>", tutorial)
    (changed,) = re.findall(r"change `value: 50\.0` to `value: ([\d.]+)`", tutorial)
    (passing, cases) = re.findall(r"(\d+) of the rule's own (\d+) cases pass", tutorial)[0]
    (beyond,) = re.findall(r"Try `([\d.]+)`", tutorial)
    with served() as origin, browser() as chromium:
        page = chromium.new_page()
        page.goto(origin + address)
        assert page.get_by_role("heading", name="1 card at patient-view").is_visible()
        run_with(page, changed)
        assert page.get_by_role("heading", name="No cards at patient-view").is_visible()
        assert f"{passing} of {cases} pass" in page.locator(".edited").inner_text()
        run_with(page, beyond)
        assert re.search(r"Line \d+: esr_high", page.get_by_role("alert").inner_text())
