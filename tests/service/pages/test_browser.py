"""Every page in a real browser: at two widths, by keyboard, and without script."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page

from hooks import REGISTRY
from tests.service.pages import picture
from tests.service.pages.test_playground import CORD, ESR, record, yaml_of
from tests.service.pages.test_site import PAGES

WIDTHS = (1280, 320)


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    page = chromium.new_page()
    yield page
    page.close()


def paste(page: Page, address: str, data: str) -> None:
    page.goto(f"{address}/playground")
    page.get_by_label("Or paste a hook request").fill(data)
    page.get_by_role("button", name="Run").click()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("path", PAGES)
def test_a_page_fits_calls_nobody_else_and_breaks_nothing(
    page: Page, address: str, path: str, width: int
) -> None:
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(address + path)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert [url for url in asked if not url.startswith(address)] == []
    assert [line for line in said if "404" not in line and "400" not in line] == []


def test_the_policy_is_in_force(page: Page, address: str) -> None:
    page.goto(f"{address}/playground")
    page.evaluate(
        """() => {
            window.stopped = [];
            const note = (event) => window.stopped.push(event.effectiveDirective);
            document.addEventListener("securitypolicyviolation", note);
            const script = document.createElement("script");
            script.textContent = "window.ran = true";
            document.body.append(script);
            const image = document.createElement("img");
            image.src = "https://example.org/a.png";
            document.body.append(image);
        }"""
    )
    page.wait_for_function("window.stopped.length === 2")
    assert set(page.evaluate("window.stopped")) == {"script-src-elem", "img-src"}
    assert page.evaluate("window.ran") is None


def test_a_card_by_keyboard_alone(page: Page, address: str) -> None:
    page.goto(f"{address}/playground")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    for _ in range(4):
        page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert "Conrad Cord" in page.evaluate("document.activeElement.textContent")
    page.keyboard.press("Enter")
    page.wait_for_url("**/playground?patient=demo-cord")
    assert page.get_by_role("article").count() == 1


def test_everything_works_without_script(chromium: Browser, address: str, tmp_path: Path) -> None:
    page = chromium.new_page(java_script_enabled=False)
    paste(page, address, record())
    assert page.get_by_role("article").count() == 1
    page.get_by_label("Shown as in").select_option("narrow")
    page.get_by_role("button", name="Run").click()
    assert page.locator(".p-narrow article").count() == 1
    file = tmp_path / "record.json"
    file.write_text(record(), "utf-8")
    page.goto(f"{address}/playground")
    page.get_by_label("Or upload it").set_input_files(file)
    page.get_by_role("button", name="Run").click()
    assert page.get_by_role("article").count() == 1
    page.goto(f"{address}/rules")
    page.get_by_label("Urgency").select_option("critical")
    page.get_by_role("button", name="Filter").click()
    assert page.get_by_role("heading", level=2).count() == 7
    page.close()


def test_a_rule_is_edited_and_its_problem_found(page: Page, address: str) -> None:
    page.goto(f"{address}/playground?patient=demo-esr&rule={ESR}")
    area = page.locator("#text")
    assert area.input_value().strip() == yaml_of(ESR).strip()
    area.fill(yaml_of(ESR).replace("labs.esr.value >=", "labs.ers.value >="))
    page.get_by_role("button", name="Run").click()
    page.locator("a[data-line]").click()
    chosen = page.evaluate(
        "(() => { const t = document.getElementById('text');"
        " return t.value.slice(t.selectionStart, t.selectionEnd) })()"
    )
    assert "labs.ers.value >=" in chosen
    page.locator("#text").fill(yaml_of(ESR).replace("{value: 50.0,", "{value: 80.0,", 1))
    page.get_by_role("button", name="Run").click()
    assert "Its own cases: 20 of 37 pass" in page.locator(".edited").inner_text()
    assert page.get_by_role("article").count() == 0


def other_rule(page: Page, address: str, text: str = "") -> None:
    """The playground with the text of one rule, changed where `text` is given, and another one chosen."""
    page.goto(f"{address}/playground?patient=demo-esr&rule={ESR}")
    if text:
        page.locator("#text").fill(text)
    page.locator("#rule").select_option(CORD)


def test_the_text_of_a_rule_is_loaded_as_the_rule_is_chosen(page: Page, address: str) -> None:
    other_rule(page, address)
    page.get_by_text(f"The text below is that of {CORD}.").wait_for()
    assert page.locator("#text").input_value().strip() == yaml_of(CORD).strip()
    page.get_by_role("button", name="Try this text").click()
    assert page.get_by_role("alert").count() == 0
    assert page.get_by_role("article").count() == 1


def test_changes_are_loaded_over_only_when_their_author_agrees(page: Page, address: str) -> None:
    text = yaml_of(ESR) + "# mine\n"
    page.once("dialog", lambda dialog: dialog.dismiss())
    other_rule(page, address, text)
    assert page.locator("#rule").input_value() == ESR
    assert page.locator("#text").input_value() == text
    page.once("dialog", lambda dialog: dialog.accept())
    page.locator("#rule").select_option(CORD)
    page.get_by_text(f"The text below is that of {CORD}.").wait_for()
    assert "# mine" not in page.locator("#text").input_value()


def test_without_script_the_text_of_a_rule_is_loaded_by_its_button(chromium: Browser, address: str) -> None:
    page = chromium.new_page(java_script_enabled=False)
    other_rule(page, address)
    page.get_by_role("button", name="Run").click()
    assert page.get_by_role("alert").count() == 0
    assert f"id: {CORD}" in page.locator("#text").input_value()
    other_rule(page, address, yaml_of(ESR) + "# mine\n")
    page.get_by_role("button", name="Run").click()
    assert "Press Load its text" in page.get_by_role("alert").inner_text()
    assert "# mine" in page.locator("#text").input_value()
    page.get_by_role("button", name="Load its text").click()
    assert f"id: {CORD}" in page.locator("#text").input_value()
    assert page.get_by_role("alert").count() == 0
    page.close()


def test_changes_that_a_refusal_kept_run_with_their_own_rule_again(page: Page, address: str) -> None:
    """A page whose text is of another rule than the chosen one, as the refusal without script leaves it."""
    text = yaml_of(ESR) + "# mine\n"
    page.goto(f"{address}/playground?patient=demo-esr&rule={ESR}")
    page.locator("#text").fill(text)
    page.evaluate("rule => { document.getElementById('rule').value = rule }", CORD)
    page.get_by_role("button", name="Run").click()
    assert "Press Load its text" in page.get_by_role("alert").inner_text()
    page.locator("#rule").select_option(ESR)
    assert page.locator("#text").input_value() == text
    page.get_by_role("button", name="Run").click()
    assert f"Run with your text of {ESR}" in page.locator(".edited").inner_text()


@pytest.mark.parametrize("hook", REGISTRY)
def test_every_hook_runs_in_the_page(page: Page, address: str, hook: str) -> None:
    page.goto(f"{address}/playground")
    page.get_by_label("Made-up patient").select_option("demo-cord")
    page.get_by_label("Hook", exact=True).select_option(hook)
    page.get_by_role("button", name="Run").click()
    page.get_by_role("heading", name=f"1 card at {hook}", exact=True).wait_for()


@pytest.mark.parametrize("width", [360, 320])
def test_a_telephone_shows_the_way_to_the_form_first(page: Page, address: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 640})
    page.goto(f"{address}/playground?patient=demo-cord")
    places = page.evaluate("[...document.querySelectorAll('.top li')].map((one) => one.offsetTop)")
    assert len(places) == 5
    assert len(set(places)) == 1, "the navigation takes one line"
    link = page.get_by_role("link", name="Change and run again")
    assert _top(link) < 640
    link.click()
    assert page.get_by_role("heading", name="Change and run again").is_visible()
    assert abs(page.evaluate("document.getElementById('change').getBoundingClientRect().top")) < 40


def test_a_wide_screen_has_the_form_beside_the_result(page: Page, address: str) -> None:
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto(f"{address}/playground?patient=demo-cord")
    assert not page.get_by_role("link", name="Change and run again").is_visible()
    assert _top(page.get_by_role("heading", name="Change and run again")) < 800


def _top(place: Locator) -> float:
    """Where a visible element begins, in pixels from the top of the window."""
    box = place.bounding_box()
    assert box is not None
    return box["y"]


def test_the_picture_of_the_readme_can_be_taken(chromium: Browser, address: str, tmp_path: Path) -> None:
    file = tmp_path / "card.png"
    picture.take(chromium, address, file)
    assert file.read_bytes().startswith(b"\x89PNG")
    assert file.stat().st_size < 150_000
