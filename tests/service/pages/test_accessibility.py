"""Every page by keyboard alone, and under axe-core in light and dark, wide and narrow, with details open."""

from importlib.resources import files
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page

from tests.service.pages.test_playground import ESR, yaml_of
from tests.service.pages.test_site import PAGES

AXE = (files("axe_playwright_python") / "axe.min.js").read_text("utf-8")
EVERY = (*PAGES, "/docs")
# What a colour scheme can change is contrast alone, so that the other rules run once a width.
CONTRAST = {"runOnly": {"type": "rule", "values": ["color-contrast"]}, "resultTypes": ["violations"]}
WHOLE = {"resultTypes": ["violations"]}
SCHEMES: tuple[tuple[Literal["light", "dark"], object], ...] = (("light", WHOLE), ("dark", CONTRAST))
# A long page repeats itself: of its closed parts the first few are opened.
OPENED = 8


def broken(page: Page) -> list[str]:
    """What axe-core finds in light and in dark, a line each. `evaluate` is not held to the page's policy."""
    page.evaluate(
        "(most) => [...document.querySelectorAll('details')].slice(0, most).forEach(d => { d.open = true })",
        OPENED,
    )
    page.evaluate(AXE)
    found = []
    for scheme, options in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        violations = page.evaluate("(options) => axe.run(document, options)", options)["violations"]
        found += [
            f"{page.url}: {scheme}: {one['id']}: {node['html'][:120]}"
            for one in violations
            for node in one["nodes"]
        ]
    return found


@pytest.mark.parametrize("width", [1280, 320])
def test_axe_finds_nothing(chromium: Browser, address: str, width: int) -> None:
    page = chromium.new_page(viewport={"width": width, "height": 900})
    found = []
    for path in EVERY:
        page.goto(address + path)
        found += broken(page)
    page.goto(f"{address}/playground?rule={ESR}&patient=demo-esr")
    page.locator("#text").fill(yaml_of(ESR).replace("labs.esr.value >=", "labs.ers.value >="))
    page.get_by_role("button", name="Try this text").click()
    found += broken(page)
    page.close()
    assert found == []


NOTES = """() => {
    window.stops = [];
    document.addEventListener("focusin", (event) => {
        const one = event.target, style = getComputedStyle(one), box = one.getBoundingClientRect();
        const outline = [style.outlineStyle, parseFloat(style.outlineWidth)];
        window.stops.push([window.all.indexOf(one), ...outline, box.width]);
    });
    const stops = "a[href], button, input, select, textarea, summary, [tabindex='0']";
    window.all = [...document.querySelectorAll(stops)].filter((one) => one.checkVisibility());
    return window.all.length;
}"""


@pytest.mark.parametrize("path", [path for path in EVERY if path != "/source-attributes"])
def test_the_tab_key_reaches_everything_in_order_and_shows_where_it_is(
    chromium: Browser, address: str, path: str
) -> None:
    page = chromium.new_page()
    page.goto(address + path)
    count = page.evaluate(NOTES)
    for _ in range(count):
        page.keyboard.press("Tab")
    stops = page.evaluate("window.stops")
    page.close()
    assert [stop[0] for stop in stops] == list(range(count))
    assert all(style != "none" and outline >= 2 and width > 0 for _, style, outline, width in stops), stops


def test_closed_parts_open_by_keyboard(chromium: Browser, address: str) -> None:
    page = chromium.new_page()
    page.goto(f"{address}/rules/{ESR}")
    summary = page.locator("summary", has_text="All cases")
    summary.focus()
    page.keyboard.press("Enter")
    assert page.get_by_role("columnheader", name="Expected").is_visible()
    page.keyboard.press("Space")
    assert not page.get_by_role("columnheader", name="Expected").is_visible()
    page.close()


def test_enter_in_a_field_runs_and_keeps_the_edited_text(chromium: Browser, address: str) -> None:
    """The button that Enter stands for must not be the one that loads the bundled text again."""
    page = chromium.new_page()
    page.goto(f"{address}/playground?rule={ESR}&patient=demo-esr")
    page.locator("#text").fill(yaml_of(ESR).replace("{value: 50.0,", "{value: 80.0,", 1))
    assert page.evaluate("document.querySelector('.try').querySelector('[type=submit]').textContent") == "Run"
    page.locator("#patient").press("Enter")
    page.get_by_role("button", name="Run").press("Enter")
    assert "value: 80.0" in page.locator("#text").input_value()
    page.close()


def test_a_problem_of_an_edited_rule_is_found_without_script(chromium: Browser, address: str) -> None:
    page = chromium.new_page(java_script_enabled=False)
    page.goto(f"{address}/playground?rule={ESR}&patient=demo-esr")
    page.locator("#text").fill(yaml_of(ESR).replace("labs.esr.value >=", "labs.ers.value >="))
    page.get_by_role("button", name="Try this text").click()
    alert = page.get_by_role("alert")
    assert "did you mean labs.esr.value" in alert.inner_text()
    assert "labs.ers.value >=" in alert.locator(".line").first.inner_text()
    assert page.locator("#text").get_attribute("aria-describedby") == "problems"
    page.close()
