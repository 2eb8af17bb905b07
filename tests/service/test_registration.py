"""The registration sheet: equal to discovery, complete in links and codes, and as it was last seen."""

import asyncio
import json
import re
import uuid
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import httpx
import orjson
import pytest

from hooks import OVERRIDE_REASONS, REGISTRY
from hooks.prefetch import PrefetchTemplate, lint
from service.desk import Desk
from service.registration import links_of, scopes_of
from service.registration_steps import EHRS, Ehr
from service.settings import Settings
from tests.contract.corpus import SERVICE, Json, client, keys_of, resources_of, vignette, vignettes
from tests.contract.test_vignettes import as_templated
from tests.service.calls import bundled_knowledge, knowledge_of
from tests.service.registrations import BASE, PREFETCH, file_of, kept
from tests.service.terminal import tocsin
from tests.service.trust.signing import ISSUER, JKU, jwks

Terminal = pytest.CaptureFixture[str]
SECTION = re.compile(r"^## (.+)$", re.MULTILINE)


@pytest.fixture(autouse=True)
def _loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading the rules takes a second; the command line itself does so."""
    monkeypatch.setattr("service.cli_registration.local_knowledge", lambda settings: bundled_knowledge())


def printed(capsys: Terminal, *options: str) -> str:
    code, out, err = tocsin(capsys, "registration", "--base-url", BASE, *options)
    assert (code, err) == (0, "")
    return out


def sections(text: str) -> dict[str, str]:
    _, *parts = SECTION.split(text)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def prefetch_of(text: str) -> dict[str, dict[str, str]]:
    """Prefetch by hook, as somebody would copy it out of the sheet."""
    found: dict[str, dict[str, str]] = {}
    for names, lines in PREFETCH.findall(text):
        for name in names.split(", "):
            found[name] = dict(line.split(" = ", 1) for line in lines.splitlines())
    return found


@pytest.fixture(scope="module")
def discovery() -> dict[str, dict[str, str]]:
    """What a running service answers to discovery, by hook."""
    return asyncio.run(_discovery())


async def _discovery() -> dict[str, dict[str, str]]:
    desk = Desk(Settings(auth=False), bundled_knowledge())
    try:
        entries = orjson.loads(desk.discover(None))["services"]
    finally:
        await desk.aclose()
    return {entry["hook"]: entry["prefetch"] for entry in entries}


# -- equal to what is served -------------------------------------------------------------------------


@pytest.mark.parametrize("ehr", get_args(Ehr))
def test_every_prefetch_line_parses_and_equals_discovery(
    capsys: Terminal, discovery: dict[str, dict[str, str]], ehr: Ehr
) -> None:
    found = prefetch_of(printed(capsys, "--ehr", ehr))
    wanted = EHRS[ehr].hooks or tuple(REGISTRY)
    assert found == {hook: discovery[hook] for hook in wanted}
    for hook, templates in found.items():
        for key, query in templates.items():
            assert lint(PrefetchTemplate(key, query), REGISTRY[hook]) == []


def test_the_scopes_are_those_of_the_templates(
    capsys: Terminal, discovery: dict[str, dict[str, str]]
) -> None:
    text = sections(printed(capsys))["Scopes"]
    types = {re.split(r"[?/]", query)[0] for keys in discovery.values() for query in keys.values()}
    assert set(re.findall(r"patient/(\w+)\.read", text)) == types | {"Medication"}
    assert scopes_of(["Patient/{{context.patientId}}", "Condition?patient=1"]) == [
        ("Condition", "patient/Condition.read", "patient/Condition.rs"),
        ("Patient", "patient/Patient.read", "patient/Patient.r"),
    ]


def test_topics_and_override_reasons_are_complete(capsys: Terminal) -> None:
    found = sections(printed(capsys))
    for rule in bundled_knowledge().bundle.rules.values():
        assert f"| `{rule.topic}` | {rule.title} | {rule.urgency} |" in found["Topics of cards"]
    for reason in OVERRIDE_REASONS:
        assert f"| `{reason.code}` | `{reason.system}` | {reason.display} |" in found["Override reasons"]


async def test_every_link_of_every_card_of_the_vignettes_is_listed(shared: Path) -> None:
    listed = set(links_of(bundled_knowledge().bundle, BASE))
    seen = 0
    async with client(public_url=BASE) as caller:
        services = (await caller.get("/cds-services")).json()["services"]
        templates = {one["hook"]: one["prefetch"] for one in services}
        for written in vignettes(shared).values():
            seen += await _links_seen(caller, vignette(shared, written), templates, listed)
    assert seen > 25


async def _links_seen(caller: httpx.AsyncClient, built: Json, templates: Json, listed: set[str]) -> int:
    """How many links the cards of a vignette hold; every one is listed."""
    keys = keys_of(templates[built["hook"]], list(resources_of(built["bundle"])), built["patient_id"])
    body = {
        "hook": built["hook"],
        "hookInstance": str(uuid.uuid4()),
        "context": built["context"],
        "prefetch": as_templated(keys),
    }
    answer = (await caller.post(SERVICE, json=body)).text
    found = set(re.findall(r"https://cds\.example\.org[^\s\"\\)<]*", answer))
    found |= {link["url"] for card in json.loads(answer)["cards"] for link in card.get("links", ())}
    assert found <= listed
    return len(found)


def test_links_in_a_site_s_words_are_listed(tmp_path: Path) -> None:
    site = """\
rules:
  failed-conservative-care:
    card:
      info: {lead: "See https://intranet.example/back-pain."}
"""
    bundle = knowledge_of(tmp_path, site).bundle
    assert "https://intranet.example/back-pain." in links_of(bundle, BASE)


# -- a client of the list ----------------------------------------------------------------------------


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ehr = {
        "id": "hospital",
        "issuer": ISSUER,
        "jku": JKU,
        "algorithms": ["ES384"],
        "tenants": ["b", "a"],
        "audience": {"bases": ["https://other.example"]},
        "fhir_servers": ["https://fhir.ehr.example/r4"],
        "cors_origins": ["https://pages.example"],
    }
    named = {"id": "other", "issuer": "https://b.example", "jwks": jwks()}
    file = tmp_path / "clients.yaml"
    file.write_text(json.dumps([ehr, named]))
    monkeypatch.setenv("TOCSIN_CLIENTS", str(file))


@pytest.mark.usefixtures("listed")
def test_what_is_known_of_a_client_is_filled_in(capsys: Terminal) -> None:
    found = sections(printed(capsys, "--client", "hospital"))
    token = found["Token of a call of client `hospital`"]
    for part in (ISSUER, JKU, "ES384;", "one of `a`, `b`", "https://other.example/cds-services/red-flags"):
        assert part in token
    assert "`https://fhir.ehr.example/r4`" in found["Network"]
    assert "`https://pages.example`" in found["Network"]


@pytest.mark.usefixtures("listed")
def test_a_client_with_keys_of_its_own_needs_no_way_out(capsys: Terminal) -> None:
    found = sections(printed(capsys, "--client", "other"))
    assert "the `jku`, if keys are not given by hand" in found["Network"]


@pytest.mark.usefixtures("listed")
def test_an_unknown_client_is_refused_with_the_names(capsys: Terminal) -> None:
    code, out, err = tocsin(capsys, "registration", "--base-url", BASE, "--client", "x")
    assert (code, out) == (2, "")
    assert "has no client x. It has: hospital, other." in err


def test_a_client_needs_the_list(capsys: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    code, _, err = tocsin(capsys, "registration", "--base-url", BASE, "--client", "x")
    assert (code, err) == (2, "--client needs the client list: set TOCSIN_CLIENTS.\n")
    monkeypatch.setenv("TOCSIN_CLIENTS", "/nowhere")
    code, _, err = tocsin(capsys, "registration", "--base-url", BASE, "--client", "x")
    assert code == 2
    assert err.startswith("TOCSIN_CLIENTS: There is no file at the path.")


# -- the command -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "why"), [("http://cds.example.org", "https is needed"), ("cds.example.org?x", "give a plain URL")]
)
def test_a_base_url_that_cannot_be_used(capsys: Terminal, url: str, why: str) -> None:
    code, out, err = tocsin(capsys, "registration", "--base-url", url)
    assert (code, out) == (2, "")
    assert why in err


def test_without_https_cards_hold_no_links(capsys: Terminal) -> None:
    _, out, _ = tocsin(capsys, "registration", "--base-url", "http://127.0.0.1:8000")
    assert "Cards hold no links" in sections(out)["Links"]


class Page(HTMLParser):
    """Tags of a page, the addresses its attributes name, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_needs_nothing_else_and_holds_the_same(capsys: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "sheet.html"
    assert printed(capsys, "--format", "html", "--output", str(file)) == f"{file} written\n"
    page = Page(file.read_text("utf-8"))
    assert page.addresses == []
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert page.tags.count("h2") == len(sections(printed(capsys)))
    assert "@media print" in page.text
    for templates in prefetch_of(printed(capsys)).values():
        assert all(f"{key} = {query}" in page.text for key, query in templates.items())


def test_a_file_that_cannot_be_written(capsys: Terminal, tmp_path: Path) -> None:
    code, _, err = tocsin(capsys, "registration", "--base-url", BASE, "--output", str(tmp_path))
    assert code == 1
    assert "cannot be written (IsADirectoryError)" in err


@pytest.mark.parametrize("ehr", get_args(Ehr))
def test_the_sheet_is_as_it_was_last_looked_at(ehr: Ehr) -> None:
    """After a change that is meant, run `python -m tests.service.registrations` and read the difference."""
    assert kept(ehr) == file_of(ehr).read_text(encoding="utf-8")
