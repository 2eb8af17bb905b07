"""The first page."""

from tests.service.pages.visits import Seen, visitor


async def test_the_start_page_counts_the_rules_and_leads_on() -> None:
    async with visitor() as client:
        page = Seen(await client.get("/"))
    assert "40 rules are loaded: 7 critical , 26 warning , 7 info ." in page.text
    assert {"./playground", "./rules", "./source-attributes", "./status", "./docs"} <= set(page.links)
    assert "Authentication is off." in page.text
