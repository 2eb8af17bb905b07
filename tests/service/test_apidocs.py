"""/docs and /openapi.json: true to the application, without scripts, styles or hosts of others."""

import datetime as dt
import json
from collections.abc import AsyncIterator, Iterator
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import jsonschema
import pytest
import schemathesis
from pydantic import SecretStr
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.routing import Route

from hooks import REGISTRY
from service import app as application
from service.desk import Desk
from service.errors import catalogue
from service.knowledge import Knowledge
from service.openapi import describe
from service.pages import page_routes
from service.reload import Reloader
from service.settings import Settings

SETTINGS = Settings(auth=False, log_level="error")
CONFORMANCE = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return Knowledge.load(SETTINGS, dt.datetime.now(dt.UTC).date())


@pytest.fixture
async def desk(knowledge: Knowledge) -> AsyncIterator[Desk]:
    desk = Desk(SETTINGS, knowledge)
    yield desk
    await desk.aclose()


@pytest.fixture
async def client(desk: Desk) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(application.create_app(SETTINGS, desk))
    async with httpx.AsyncClient(transport=transport, base_url="http://tocsin") as client:
        yield client


class Page(HTMLParser):
    """What of a page could load something, run something, or lead nowhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            self.attributes.add(name)
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "src"):
                self.references.append(value or "")


async def test_the_page_keeps_its_strict_policy(client: httpx.AsyncClient) -> None:
    answer = await client.get("/docs")
    page = Page(answer.text)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == (
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    assert not {"script", "style", "iframe", "form"} & set(page.tags)
    assert not [name for name in page.attributes if name.startswith("on") or name == "style"]
    assert len(set(page.ids)) == len(page.ids)


async def test_every_reference_of_the_page_leads_somewhere(client: httpx.AsyncClient) -> None:
    page = Page((await client.get("/docs")).text)
    assert page.references
    for reference in page.references:
        if reference.startswith("#"):
            assert reference[1:] in page.ids
        else:
            assert (await client.get(reference)).status_code == 200


async def test_the_page_lists_routes_errors_and_answers_of_today(
    client: httpx.AsyncClient, desk: Desk
) -> None:
    text = (await client.get("/docs")).text
    for path in describe(desk)["paths"]:
        assert f"{path}</code>" in text
    for row in catalogue():
        assert f'id="error-{row.code}"' in text
    assert "demo-esr" in text
    assert "esr-crp-markedly-raised-persistent-pain" in text
    assert "Authentication is off" in text
    assert (await client.get("/docs")).text == text


async def test_the_page_is_there_when_the_rule_of_its_example_is_off(
    tmp_path: Path, knowledge: Knowledge
) -> None:
    site = tmp_path / "site.yaml"
    off = "".join(f"  {name}: {{mode: off}}\n" for name in knowledge.bundle.programs)
    site.write_text(f"schema_version: 1\nsite: Test\nrules:\n{off}")
    settings = Settings(auth=False, site=site, log_level="error")
    desk = Desk(settings, Knowledge.load(settings, dt.datetime.now(dt.UTC).date()))
    transport = httpx.ASGITransport(application.create_app(settings, desk))
    async with httpx.AsyncClient(transport=transport, base_url="http://tocsin") as client:
        answer = await client.get("/docs")
    await desk.aclose()
    assert answer.status_code == 200
    assert "&#34;cards&#34;: []" in answer.text


async def test_files_of_the_pages_are_served_and_no_others(client: httpx.AsyncClient) -> None:
    sheet = await client.get("/static/tocsin.css")
    assert (sheet.status_code, sheet.headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert sheet.headers["cache-control"] == "public, max-age=3600"
    for file in (files("service") / "static").iterdir():
        served = await client.get(f"/static/{file.name}")
        assert (served.status_code, served.content) == (200, file.read_bytes())
        assert b"http://" not in served.content.replace(b"http://www.w3.org/", b"")
    for name in ("none.css", "%2e%2e%2fapp.py", "..%2fapp.py"):
        assert (await client.get(f"/static/{name}")).status_code == 404


def test_the_description_has_the_routes_of_the_application(desk: Desk) -> None:
    """All but the pages, which are for people; what they offer as data is described."""
    pages = {path for path, _, _ in page_routes() if not path.endswith((".json", ".csv"))}
    routes: dict[str, set[str]] = {}
    for route in application._routes(Reloader(desk, ())):
        if isinstance(route, Route) and route.path not in pages:
            methods = {method.lower() for method in route.methods or ()} - {"head"}
            routes.setdefault(route.path, set()).update(methods)
    paths = describe(desk)["paths"]
    assert {path: members.keys() & {"get", "post"} for path, members in paths.items()} == routes


def test_the_description_names_the_errors_of_the_catalogue(desk: Desk) -> None:
    codes = {row.code for row in catalogue()}
    named = [
        code
        for members in describe(desk)["paths"].values()
        for method in members.keys() & {"get", "post"}
        for code in members[method]["x-errors"]
    ]
    assert set(named) == codes


def test_the_description_asks_for_signatures_where_calls_need_them(knowledge: Knowledge) -> None:
    signed = Settings(auth=True, trust_sandbox=True, public_url="https://cds.example.org")
    document = describe(Desk(signed, knowledge))
    assert document["servers"] == [{"url": "https://cds.example.org"}]
    call = document["paths"]["/cds-services/{service_id}"]["post"]
    assert call["security"] == [{"cdsHooksJwt": []}]
    assert "content" not in call["responses"]["401"]
    assert document["paths"]["/cds-services"]["get"]["security"] == [{}, {"cdsHooksJwt": []}]
    assert "security" not in document["paths"]["/livez"]["get"]
    unsigned = describe(Desk(SETTINGS, knowledge))["paths"]
    assert "security" not in unsigned["/cds-services/{service_id}"]["post"]
    assert unsigned["/admin/switches"]["post"]["security"] == [{"adminToken": []}]


def test_every_hook_is_described(desk: Desk) -> None:
    calls = describe(desk)["components"]["schemas"]["Call"]["oneOf"]
    assert [call["title"] for call in calls] == list(REGISTRY)
    sign = next(call for call in calls if call["title"] == "order-sign")
    assert {"patientId", "draftOrders"} <= set(sign["properties"]["context"]["required"])
    assert "labs" in sign["properties"]["prefetch"]["properties"]


def _schemas(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from ([value["schema"]] if "schema" in value else [])
        for one in value.values():
            yield from _schemas(one)
    elif isinstance(value, list):
        for one in value:
            yield from _schemas(one)


@pytest.fixture(scope="module")
def described(knowledge: Knowledge) -> BaseSchema:
    settings = SETTINGS.model_copy(update={"admin_token": SecretStr("a-token-for-tests")})
    app = application.create_app(settings, Desk(settings, knowledge))
    return schemathesis.openapi.from_asgi("/openapi.json", app)


def test_the_application_keeps_to_its_description(described: BaseSchema) -> None:
    """Status, content type and schema of every answer.

    The service is a tolerant reader, and whether a call is answered depends on its data: so what it takes or
    refuses is not compared with the schema.
    """
    operations = [result.ok() for result in described.get_all_operations() if isinstance(result, Ok)]
    assert len(operations) == 14  # all but the one that gives the description
    for operation in operations:

        @hypothesis.settings(max_examples=15, deadline=None)
        @hypothesis.given(case=operation.as_strategy())
        def keeps(case: schemathesis.Case[Any]) -> None:
            case.call_and_validate(checks=CONFORMANCE, headers={"Authorization": "Bearer a-token-for-tests"})

        keeps()


async def test_the_schemas_are_json_schema(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    found = [*document["components"]["schemas"].values(), *_schemas(document["paths"])]
    assert len(found) > 20
    for schema in found:
        jsonschema.Draft202012Validator.check_schema(schema)
    json.dumps(document)
