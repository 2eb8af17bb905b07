"""The first page and the status."""

from pathlib import Path

import pytest

from service.settings import Settings
from tests.service.pages.visits import LOCAL, Seen, bundled, visitor

CLIENTS = """\
clients:
  - id: north-hospital
    issuer: https://ehr.example.org
    jku: https://ehr.example.org/jwks.json
"""


async def test_the_start_page_counts_the_rules_and_leads_on() -> None:
    async with visitor() as client:
        page = Seen(await client.get("/"))
    assert "40 rules are loaded: 7 critical , 26 warning , 7 info ." in page.text
    assert {"./playground", "./rules", "./source-attributes", "./status", "./docs"} <= set(page.links)
    assert "Authentication is off." in page.text


async def test_the_status_says_what_readyz_says() -> None:
    async with visitor() as client:
        page = Seen(await client.get("/status"))
        ready = (await client.get("/readyz")).json()
    assert ready["bundle"]["digest"] in page.text
    assert ready["warnings"]
    assert all(line in page.text for line in ready["warnings"])
    assert "All rules are live." in page.text
    assert "none listed" in page.text


@pytest.mark.parametrize(("profile", "named"), [("sandbox", True), ("production", False)])
async def test_clients_are_named_outside_production_only(tmp_path: Path, profile: str, named: bool) -> None:
    file = tmp_path / "clients.yaml"
    file.write_text(CLIENTS, "utf-8")
    given = {"profile": profile, "clients": file, "log_level": "error", "state_dir": tmp_path}
    async with visitor(
        Settings.model_validate({**LOCAL.model_dump(), **given, "auth": True}), bundled()
    ) as client:
        page = Seen(await client.get("/status"))
    assert ("north-hospital" in page.text) == named
    assert "Clients 1" in page.text or named
    assert "authentication on" in page.text
