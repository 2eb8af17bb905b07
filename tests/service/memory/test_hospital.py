"""A simulated month through the real desk: what the report says of it, and how its page looks."""

import asyncio
from pathlib import Path

import pytest

from service.cli_report import as_html
from tests.service.memory.hospital import CLIENTS, DAYS, DOUBTED, LOST_RULE, picture, simulate
from tests.service.pages.browser import browser

LARGEST = 200_000


async def test_the_report_finds_what_is_broken_and_nothing_else() -> None:
    found = await simulate()
    assert (len(found.days), {row.client for row in found.clients}) == (DAYS + 1, set(CLIENTS))
    silent = [line for line in found.concerns if "has gone silent" in line]
    assert [line.partition(" ")[0] for line in silent] == [LOST_RULE]
    assert [line for line in found.concerns if line.startswith(f"{DOUBTED}: ") and "people said" in line]
    less = [line for line in found.concerns if "can tell less" in line]
    assert len(found.concerns) == len(silent) + len(less) + 1
    assert found.missing
    row = next(row for row in found.rules if row.rule == DOUBTED)
    assert row.accepted + row.overridden + row.ignored == row.cards
    assert row.reasons["record-wrong"] >= 2
    assert {"S3", "S6", "SUPERSEDED"} <= set(row.held_back)


async def test_the_same_month_comes_each_time() -> None:
    assert await simulate(days=2) == await simulate(days=2)


def test_the_page_fits_a_telephone() -> None:
    page = as_html(asyncio.run(simulate(days=8)))
    with browser() as chromium:
        tab = chromium.new_page(viewport={"width": 320, "height": 800})
        tab.set_content(page)
        wider = (
            "[...document.querySelectorAll('body > *')].filter(e => e.getBoundingClientRect().right > 321)"
        )
        assert tab.evaluate(f"{wider}.map(e => e.outerHTML.slice(0, 80))") == []
        assert tab.evaluate("document.documentElement.scrollWidth") <= 320


@pytest.mark.parametrize("dark", [False, True])
def test_the_picture_is_small(tmp_path: Path, dark: bool) -> None:
    file = tmp_path / "report.png"
    picture(as_html(asyncio.run(simulate(days=8))), file, width=1280, height=800, dark=dark)
    assert 20_000 < file.stat().st_size < LARGEST
