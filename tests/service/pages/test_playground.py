"""The playground: from a patient, a request or a Bundle to the card and every reason; nothing is kept."""

import copy
import datetime as dt
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from hooks import REGISTRY
from rules.engine import bundled_root
from service import demo
from service.app import create_app
from service.desk import Desk
from service.pages.playground import PROFILES
from service.settings import Settings
from tests.service.facts.build import bundle
from tests.service.pages.visits import Seen, bundled, form, visitor

ESR = "esr-crp-markedly-raised-persistent-pain"
CORD = "mscc-cancer-neuro-signs"
CANARY = "Zzyzx-Canary"


def yaml_of(rule_id: str) -> str:
    return (bundled_root() / "catalogue" / rule_id / "rule.yaml").read_text("utf-8")


async def got(path: str, **settings: Any) -> httpx.Response:
    async with visitor(Settings(auth=False, log_level="error", **settings)) as client:
        return await client.get(path)


async def posted(**fields: str) -> httpx.Response:
    async with visitor() as client:
        return await client.post("/playground", **form(**fields))


def resources() -> list[dict[str, Any]]:
    """The record of the bundled patient with a high ESR: person, pain, result."""
    (one,) = (one for one in demo.load() if one.id == "demo-esr")
    return copy.deepcopy(demo.resources(one, dt.datetime.now(dt.UTC).date()))


def record(family: str = "Roe", *more: dict[str, Any]) -> str:
    person, *others = resources()
    person["name"] = [{"family": family}]
    return json.dumps(bundle(person, *others, *more))


async def test_a_bundled_patient_is_one_link_away_from_the_cards() -> None:
    async with visitor() as client:
        start = Seen(await client.get("/playground"))
        for one in demo.load():
            assert f"./playground?patient={one.id}" in start.links
            answer = await client.get(f"/playground?patient={one.id}")
            page = Seen(answer)
            assert answer.status_code == 200
            assert one.story in page.text
            assert page.tags.count("article") == len(one.expect), one.id
            assert ("That is no all-clear" in page.text) == (not one.expect), one.id
            assert {f"./rules/{rule}" for rule in one.expect} <= set(page.links)


async def test_a_result_has_criteria_facts_data_and_times() -> None:
    page = Seen(await got("/playground?patient=demo-cord"))
    for said in (
        "1 card at patient-view",
        "true: Cancer now or before cancer. any : yes (",
        "Condition/demo-cord-0",
        "unknown: Sciatica or radicular pain is current",
        "folded",
        "Would fire if",
        "conditions : given, 3 resources",
        "studies : empty",
        "total ",
        '"hookInstance"',
    ):
        assert said in page.text
    assert {"v-true", "v-false", "v-unknown"} <= set(page.values("li", "class"))


async def test_silence_shows_what_was_nearest() -> None:
    page = Seen(await got("/playground?patient=demo-quiet"))
    assert "No cards at patient-view" in page.text
    assert page.text.index("Nearest to firing") < page.text.index("The other rules")


async def test_who_is_not_covered_is_told_so() -> None:
    page = Seen(await got("/playground?patient=demo-no-pain"))
    assert "No back, hip, pelvic or bone pain is on record. That is no all-clear" in page.text


async def test_a_result_that_cannot_be_read_and_a_malformed_resource_are_named() -> None:
    assert "Could not be read: crp 88" in Seen(await got("/playground?patient=demo-crp-no-unit")).text
    pain = resources()[1]
    malformed, other = (
        {**pain, "id": "bad", "code": 7},
        {**pain, "id": "o1", "subject": {"reference": "Patient/x"}},
    )
    page = Seen(await posted(data=record("Roe", malformed, other)))
    assert "Malformed: Condition in conditions" in page.text
    assert "Of another patient, left out: 1" in page.text


async def test_a_pasted_bundle_and_an_uploaded_one_give_the_same_card() -> None:
    pasted = Seen(await posted(data=record()))
    async with visitor() as client:
        file = {"file": ("r.json", record().encode(), "application/json")}
        uploaded = Seen(await client.post("/playground", data={"data": ""}, files=file))
    assert pasted.tags.count("article") == uploaded.tags.count("article") == 1
    assert "ESR 72 mm/h" in pasted.text
    assert '"hookInstance"' not in pasted.text


@pytest.mark.parametrize("hook", REGISTRY)
async def test_a_patient_can_be_tried_at_every_hook(hook: str) -> None:
    answer = await posted(patient="demo-cord", hook=hook)
    assert answer.status_code == 200
    assert f"1 card at {hook}" in Seen(answer).text


async def test_a_draft_order_is_ordered() -> None:
    page = Seen(await posted(patient="demo-cord", order="mri-whole-spine-stat"))
    assert "at order-select" in page.text
    assert "orders.draft" in page.text


@pytest.mark.parametrize("profile", PROFILES)
async def test_a_card_is_shown_as_the_ehr_shows_it(profile: str) -> None:
    page = Seen(await posted(patient="demo-cord", profile=profile))
    assert f"cards p-{profile}" in page.values("div", "class")
    assert "Now: this may be spinal cord compression" in page.text
    assert "<p>" not in page.text
    assert ("Reason: Possible metastatic" in page.text) == (profile == "epic")
    assert "**" not in page.text


async def test_an_unknown_profile_is_the_generic_one() -> None:
    assert "cards p-generic" in Seen(await posted(patient="demo-cord", profile="abacus")).values(
        "div", "class"
    )


@pytest.mark.parametrize(
    ("fields", "says", "code"),
    [
        ({"data": "{"}, "The text is not JSON", ""),
        ({"data": "{}"}, "neither a hook request", ""),
        ({"data": '{"hook": "x", "context": {}}'}, "hook", "hook-unknown"),
        (
            {"data": '{"hook": "patient-view", "context": {"patientId": "p"}}'},
            "neither sent",
            "data-unavailable",
        ),
        ({"data": "[" * 2000}, "not JSON", ""),
    ],
)
async def test_what_cannot_be_answered_is_told_and_kept_in_the_form(
    fields: dict[str, str], says: str, code: str
) -> None:
    answer = await posted(**fields)
    page = Seen(answer)
    assert answer.status_code in (400, 412)
    assert says in page.text
    assert page.values("div", "role") == ["alert"]
    assert code in page.text
    assert fields["data"] in page.text


async def test_an_empty_form_is_the_page_itself() -> None:
    answer = await posted()
    assert answer.status_code == 200
    assert "Made-up patients" in Seen(answer).text


# -- a rule with other text --------------------------------------------------------------------------


async def test_a_rules_text_is_loaded() -> None:
    page = Seen(await got(f"/playground?patient=demo-esr&rule={ESR}"))
    assert f"id: {ESR}" in page.text
    assert "Run with your text" not in page.text
    unchanged = Seen(await posted(patient="demo-esr", rule=ESR, text=yaml_of(ESR).replace("\n", "\r\n")))
    assert "Run with your text" not in unchanged.text
    assert unchanged.tags.count("article") == 1
    loaded = Seen(await posted(rule=ESR, load="1", text="of another rule"))
    assert f"id: {ESR}" in loaded.text


async def test_the_unchanged_text_of_another_rule_gives_way() -> None:
    """Without script a rule is chosen and run, and the text of the one before still stands there."""
    answer = await posted(patient="demo-esr", rule=CORD, text=yaml_of(ESR).replace("\n", "\r\n"))
    page = Seen(answer)
    assert answer.status_code == 200
    assert page.tags.count("article") == 1
    assert f"id: {CORD}" in page.text
    assert f"id: {ESR}" not in page.text
    assert "data-changed" not in answer.text


async def test_the_changed_text_of_another_rule_is_kept_and_told() -> None:
    text = yaml_of(ESR).replace("{value: 50.0,", "{value: 80.0,", 1)
    answer = await posted(patient="demo-esr", rule=CORD, text=text)
    page = Seen(answer)
    assert answer.status_code == 400
    assert page.values("div", "role") == ["alert"]
    assert (
        f"The text is that of {ESR}, with your changes. Press Load its text for that of {CORD}" in page.text
    )
    assert "is not the folder's name" not in page.text
    assert "value: 80.0" in page.text
    assert "data-changed" in answer.text


async def test_an_edited_rule_runs_and_its_cases_with_it() -> None:
    text = yaml_of(ESR).replace("{value: 50.0,", "{value: 80.0,", 1)
    assert text != yaml_of(ESR)
    page = Seen(await posted(patient="demo-esr", rule=ESR, text=text))
    assert f"Run with your text of {ESR}" in page.text
    assert "Its own cases: 20 of 37 pass." in page.text
    assert "ESR exactly 50: expected fired, got not-fired" in page.text
    assert "article" not in page.tags
    assert "ESR of 80 mm/h or more within 90 days" in page.text
    assert "ESR of 50 mm/h or more within 90 days" in Seen(await got(f"/rules/{ESR}")).text


async def test_what_lint_says_stands_at_its_line() -> None:
    text = yaml_of(ESR).replace("labs.esr.value >=", "labs.ers.value >=")
    answer = await posted(patient="demo-esr", rule=ESR, text=text)
    page = Seen(answer)
    (line,) = (number for number, one in enumerate(text.split("\n"), 1) if "labs.ers.value" in one)
    assert answer.status_code == 400
    assert page.values("a", "data-line") == [str(line)]
    assert "did you mean labs.esr.value?" in page.text
    assert "article" not in page.tags


async def test_text_without_a_rule_is_not_run() -> None:
    page = Seen(await posted(patient="demo-esr", text="id: x", rule="no-such-rule"))
    assert "Run with your text" not in page.text
    assert page.tags.count("article") == 1


# -- privacy -----------------------------------------------------------------------------------------


async def test_nothing_that_is_put_in_is_logged_counted_or_stored(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with visitor(Settings(auth=False, log_level="debug")) as client:
        before = (await client.get("/readyz")).json()["memory"]
        for data in (record(family=CANARY), f'{{"{CANARY}": ', json.dumps({"hook": CANARY, "context": {}})):
            assert CANARY in data
            await client.post("/playground", **form(data=data, rule=ESR, text=f"# {CANARY}\n["))
            await client.post("/playground", **form(data=data))
        metrics = (await client.get("/metrics")).text
        assert (await client.get("/readyz")).json()["memory"] == before
        page = Seen(await client.post("/playground", **form(data=record(family=CANARY))))
    assert "1 card" in page.text
    out, err = capsys.readouterr()
    assert CANARY not in out + err + metrics


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        ({"profile": "production"}, 404),
        ({"profile": "production", "explain": "on"}, 404),
        ({"explain": "off"}, 404),
        ({"explain": "on"}, 200),
    ],
)
async def test_it_is_there_where_decisions_may_be_explained(settings: dict[str, Any], status: int) -> None:
    async with visitor(Settings(auth=False, log_level="error", **settings)) as client:
        answers = [
            await client.get("/playground"),
            await client.post("/playground", **form(patient="demo-esr")),
        ]
        start = Seen(await client.get("/"))
    assert [answer.status_code for answer in answers] == [status, status]
    assert ("./playground" in start.links) == (status == 200)
    if status == 404:
        assert "explain-disabled" in Seen(answers[0]).text


# -- hostile text ------------------------------------------------------------------------------------


def hostile(text: str) -> str:
    """A record with the text in every place that is free."""
    person, pain, esr = resources()
    person["name"] = [{"text": text}]
    pain["code"]["text"] = text
    unread = {**copy.deepcopy(esr), "id": text, "valueQuantity": {"value": 70, "unit": text, "code": text}}
    esr["note"] = [{"text": text}]
    esr["code"]["text"] = text
    return json.dumps(bundle(person, pain, esr, unread, {"resourceType": text, "id": text}))


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{7*7}}"])
async def test_hostile_text_is_shown_as_text(text: str) -> None:
    async with visitor() as client:
        for data in (hostile(text), json.dumps({"hook": text, "context": {"patientId": text}})):
            fields = dict.fromkeys(("patient", "hook", "order", "rule", "profile"), text)
            for more in ({}, {"text": text, "rule": ESR}, fields):
                page = Seen(await client.post("/playground", **form(data=data, **more)))
                assert page.tags.count("script") == 1
                assert "img" not in page.tags
                assert "49" not in page.values("textarea", "name")
                assert not [name for _, name, _ in page.attributes if name.startswith("on")]
        for path in ("/playground", "/rules"):
            page = Seen(await client.get(path, params=dict.fromkeys(("patient", "rule", "q", "hook"), text)))
            assert "img" not in page.tags
            assert page.tags.count("script") == (path == "/playground")


async def test_every_captured_request_is_answered_or_told_why_not(shared: Path) -> None:
    files = sorted((shared / "corpus/cds-requests").glob("*.json"))
    assert files
    async with visitor() as client:
        for file in files:
            sent = {"file": (file.name, file.read_bytes(), "application/json")}
            answer = await client.post("/playground", data={"data": ""}, files=sent)
            assert answer.status_code in (200, 400, 412), file.name
            told = Seen(answer).values("div", "role") == ["alert"]
            assert told == (answer.status_code != 200), file.name


# -- a patient of a FHIR server ------------------------------------------------------------------------


class Fhir:
    """A FHIR server of the bundled patient with a high ESR; `status` is what it answers with."""

    base = "https://fhir.example.org/r4"

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.seen: list[httpx.Request] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        kind, _, name = request.url.path.removeprefix("/r4/").partition("/")
        found = [one for one in resources() if one["resourceType"] == kind]
        if self.status != 200 or kind == "metadata":
            return httpx.Response(self.status if kind != "metadata" else 404)
        if kind == "Patient":
            return httpx.Response(200, json=found[0]) if name == "demo-esr" else httpx.Response(404)
        return httpx.Response(200, json=bundle(*found))


@asynccontextmanager
async def reading(fhir: Fhir, *allowed: str) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(
        auth=False,
        log_level="debug",
        fhir_allow=allowed or (fhir.base,),
        fetch_budget_ms=10_000,
        budget_ms=10_000,
    )
    desk = Desk(settings, bundled(), transport=httpx.MockTransport(fhir.answer))
    transport = httpx.ASGITransport(create_app(settings, desk))
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://tocsin") as client:
            yield client
    finally:
        await desk.aclose()


async def fetched(fhir: Fhir, *allowed: str, **fields: str) -> tuple[httpx.Response, Seen]:
    async with reading(fhir, *allowed) as client:
        answer = await client.post(
            "/playground", **form(**{"server": fhir.base, "person": "demo-esr", **fields})
        )
        return answer, Seen(answer)


async def test_a_patient_of_a_listed_server_is_read_as_for_a_call() -> None:
    fhir = Fhir()
    answer, page = await fetched(
        fhir, patient="demo-cord", hook="order-sign", order="esr-crp", profile="epic"
    )
    assert answer.status_code == 200
    assert "at order-sign" in page.text
    assert "orders.draft" in page.text
    assert "fetched, 1 resource" in page.text
    assert fhir.base in page.values("input", "value")
    assert not any("authorization" in one.headers for one in fhir.seen)


@pytest.mark.parametrize("hook", REGISTRY)
async def test_a_patient_of_a_server_can_be_tried_at_every_hook(hook: str) -> None:
    answer, page = await fetched(Fhir(), hook=hook)
    assert answer.status_code == 200
    assert f" at {hook}" in page.text


async def test_a_listed_server_is_offered_and_without_one_the_page_says_how() -> None:
    async with reading(Fhir()) as client:
        page = Seen(await client.get("/playground"))
    assert page.values("option", "value").count(Fhir.base) == 1
    assert {"server", "person"} <= set(page.values("input", "name"))
    page = Seen(await got("/playground"))
    assert "TOCSIN_FHIR_ALLOW" in page.text
    assert "server" not in page.values("input", "name")


@pytest.mark.parametrize(
    ("status", "fields", "says", "code"),
    [
        (200, {"server": "https://elsewhere.example.org"}, "not on the list", "data-unavailable"),
        (200, {"server": "https://u:p@x@y"}, "not an absolute http or https URL", "fhir-server-invalid"),
        (200, {"server": "http://fhir.example.org/r4"}, "URL is not https", "data-unavailable"),
        (200, {"server": ""}, "No FHIR server is named", ""),
        (200, {"person": ""}, "No patient is named", ""),
        (200, {"person": "a/../b?c"}, "patientId", "context-field-invalid"),
        (200, {"person": "nobody"}, "no patient with this id", ""),
        (401, {}, "asks for an access token. This page sends none; `tocsin try", "data-unavailable"),
        (503, {}, "the FHIR server failed", "data-unavailable"),
    ],
)
async def test_why_a_server_gave_nothing_is_told_in_words_at_the_form(
    status: int, fields: dict[str, str], says: str, code: str
) -> None:
    answer, page = await fetched(Fhir(status), **fields)
    assert answer.status_code in (400, 412)
    assert page.values("div", "role") == ["alert"]
    assert says in page.text
    assert code in page.text
    for value in filter(None, {"server": Fhir.base, "person": "demo-esr", **fields}.values()):
        assert value in page.values("input", "value")


async def test_a_server_that_is_not_listed_is_never_called() -> None:
    fhir = Fhir()
    await fetched(fhir, "https://other.example.org/fhir")
    assert fhir.seen == []


async def test_a_patient_of_a_server_is_in_no_address_log_or_metric(
    capsys: pytest.CaptureFixture[str],
) -> None:
    fhir = Fhir(503)
    async with reading(fhir) as client:
        for _ in range(2):
            await client.post("/playground", **form(server=fhir.base, person=CANARY))
            fhir.status = 200
        page = Seen(await client.get(f"/playground?server={fhir.base}&person={CANARY}"))
        metrics = (await client.get("/metrics")).text
    assert "Made-up patients" in page.text
    assert CANARY not in page.text
    out, err = capsys.readouterr()
    assert CANARY not in out + err + metrics
