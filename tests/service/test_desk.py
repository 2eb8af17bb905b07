"""What a process holds for its calls: discovery, one call from bytes to an answer, feedback, its standing."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
import pytest_asyncio

from hooks import REGISTRY
from hooks.epic import TRIGGER_ACTION
from hooks.errors import FeedbackInvalid, HookError, HookMismatch
from service.desk import SERVICE_ID, Desk
from service.errors import BadJson, DataUnavailable, FhirVersionRefused, MemberInvalid, UnknownService
from service.settings import Settings
from service.trust import Caller, Client
from tests.service.calls import INSTANCE, bundled_knowledge, call_body, knowledge_of
from tests.service.facts import codes
from tests.service.facts.build import NOW, Json, bundle, condition, lab, patient

pytestmark = pytest.mark.asyncio(loop_scope="module")
ANYONE = Caller(Client(id="anyone"))
EMPTY = dict.fromkeys(
    [
        "encounters",
        "labs",
        "findings",
        "procedures",
        "medications",
        "imaging",
        "studies",
        "orders",
        "questionnaires",
    ]
)
SURVIVOR = {
    **EMPTY,
    "patient": patient(),
    "conditions": bundle(
        condition(codes.LOW_BACK_PAIN, onset=21),
        condition("http://hl7.org/fhir/sid/icd-10-cm|Z85.038", onset=2200),
    ),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk() -> AsyncIterator[Desk]:
    opened = Desk(Settings(auth=False), bundled_knowledge())
    yield opened
    await opened.aclose()


def body(prefetch: Json, **members: Any) -> bytes:
    return orjson.dumps(call_body(prefetch, **members))


def leads(cards: Any) -> list[str]:
    return [card.extension["org.tocsin.findings"][0]["rule"] for card in cards]


# -- discovery ---------------------------------------------------------------------------------------


async def test_discovery_offers_every_hook_under_one_id_with_templates(desk: Desk) -> None:
    found = orjson.loads(desk.discover(None))
    services = found["services"]
    assert [service["hook"] for service in services] == list(REGISTRY)
    assert {service["id"] for service in services} == {SERVICE_ID}
    for service in services:
        assert service["prefetch"]["patient"] == "Patient/{{context.patientId}}"
        assert "conditions" in service["prefetch"]
        assert "412" in service["usageRequirements"]
    assert desk.discover(None) is desk.discover(None)


async def test_a_page_that_keeps_one_service_a_url_gets_an_id_for_each_hook(desk: Desk) -> None:
    together, apart = (orjson.loads(desk.discover(None, apart=one))["services"] for one in (False, True))
    assert [service["id"] for service in apart] == [f"{SERVICE_ID}-{hook}" for hook in REGISTRY]
    assert [{**service, "id": SERVICE_ID} for service in apart] == together


async def test_the_id_of_a_hook_serves_that_hook_alone(desk: Desk) -> None:
    hooks = desk.hooks_of(f"{SERVICE_ID}-order-sign")
    assert list(hooks) == ["order-sign"]
    with pytest.raises(HookMismatch):
        await desk.answer(body(SURVIVOR), ANYONE, NOW, hooks)
    with pytest.raises(UnknownService):
        desk.hooks_of(f"{SERVICE_ID}-medication-prescribe")


async def test_a_client_of_the_ballot_gets_the_version_member(desk: Desk) -> None:
    later = msgspec.structs.replace(ANYONE, client=Client(id="later", hooks_version="3.0"))
    found = orjson.loads(desk.discover(later))["services"]
    assert {service["version"] for service in found} == {"3.0.0"}
    assert not any("version" in service for service in orjson.loads(desk.discover(ANYONE))["services"])


async def test_discovery_says_that_critical_rules_are_off(tmp_path: Path) -> None:
    site = "modules: {critical: {mode: off, reason: not yet licensed here}}\n".replace("off,", '"off",')
    off = Desk(Settings(auth=False), knowledge_of(tmp_path, site))
    usage = orjson.loads(off.discover(None))["services"][0]["usageRequirements"]
    assert "The critical rules are off here: not yet licensed here." in usage
    await off.aclose()


async def test_only_the_id_of_the_service_is_known(desk: Desk) -> None:
    assert list(desk.hooks_of(SERVICE_ID)) == list(REGISTRY)
    with pytest.raises(UnknownService):
        desk.hooks_of("pain")


# -- a call ------------------------------------------------------------------------------------------


async def test_bytes_become_cards_and_an_explanation(desk: Desk) -> None:
    answered = await desk.answer(body(SURVIVOR), ANYONE, NOW)
    assert leads(answered.cards) == ["cancer-history-new-back-pain"]
    sent = orjson.loads(desk.encoded(answered))
    assert [card["uuid"] for card in sent["cards"]] == [answered.cards[0].uuid]
    told = orjson.loads(desk.explained(answered))
    assert told["hookInstance"] == INSTANCE
    assert {key: one["state"] for key, one in told["data"]["prefetch"].items()} == {
        **dict.fromkeys(EMPTY, "empty"),
        "patient": "given",
        "conditions": "given",
    }
    assert answered.milliseconds.keys() >= {"decode", "fetch", "facts", "rules", "cards", "total"}


@pytest.mark.parametrize("person", [patient(), None])
async def test_silence_is_an_empty_list_and_null_is_an_answer(desk: Desk, person: Json | None) -> None:
    prefetch = {**EMPTY, "patient": person, "conditions": None}
    answered = await desk.answer(body(prefetch), ANYONE, NOW)
    assert desk.encoded(answered) == b'{"cards":[]}'
    assert answered.coverage.code == "no-pain-recorded"


async def test_cards_link_to_their_basis_only_under_a_public_https_url(desk: Desk) -> None:
    assert not (await desk.answer(body(SURVIVOR), ANYONE, NOW)).cards[0].links
    settings = Settings(auth=False, public_url="https://cds.example.org")
    public = Desk(settings, bundled_knowledge())
    (link,) = (await public.answer(body(SURVIVOR), ANYONE, NOW)).cards[0].links
    assert link.url.startswith("https://cds.example.org/")
    await public.aclose()


async def test_an_epic_trigger_runs_the_rules_of_its_moment(desk: Desk) -> None:
    members = {"extension": {TRIGGER_ACTION: "23"}}
    answered = await desk.answer(body(SURVIVOR, **members), ANYONE, NOW)
    assert answered.call.hook == "order-sign"
    signing = {rule.id for rule in bundled_knowledge().bundle.rules.values() if "order-sign" in rule.hooks}
    assert answered.decision.outcomes.keys() == signing


async def test_one_malformed_resource_costs_only_itself(desk: Desk) -> None:
    bad = {**condition(codes.FEVER), "code": "fever"}
    prefetch = {
        **SURVIVOR,
        "labs": bundle(lab(codes.CRP, 5, "mg/L"), {**lab(codes.ESR, 5, "mm/h"), "code": 7}),
    }
    drafts = call_body(prefetch, hook="order-select", drafts=[])
    drafts["context"]["draftOrders"] = bundle(bad)
    answered = await desk.answer(orjson.dumps(drafts), ANYONE, NOW)
    assert leads(answered.cards) == ["cancer-history-new-back-pain"]
    assert [(one.key, one.type, one.index) for one in answered.problems] == [
        ("labs", "Observation", 1),
        ("context", "Condition", -1),
    ]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", BadJson),
        (b"[]", BadJson),
        (b'{"hook": 7}', MemberInvalid),
        (b'{"hook": 7, "hookInstance": "\xe9"}', MemberInvalid),
        (body({}), DataUnavailable),
        (body({"patient": patient()}), DataUnavailable),
        (body(SURVIVOR, hook="medication-prescribe"), HookError),
        (body(SURVIVOR, context=None), HookError),
        (body(SURVIVOR, context={"patientId": "a b"}), HookError),
        (
            body(SURVIVOR, extension={"com.epic.cdshooks.request.fhir-version": "DSTU2"}),
            FhirVersionRefused,
        ),
    ],
)
async def test_what_cannot_be_answered_is_an_error_of_its_kind(
    desk: Desk, content: bytes, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await desk.answer(content, ANYONE, NOW)


async def test_another_set_of_rules_shares_all_but_the_rules(desk: Desk, tmp_path: Path) -> None:
    other = desk.with_knowledge(
        knowledge_of(tmp_path, 'rules: {cancer-history-new-back-pain: {mode: "off"}}\n')
    )
    assert (other.memory, other.gate) == (desk.memory, desk.gate)
    assert (await other.answer(body(SURVIVOR), ANYONE, NOW)).cards == ()
    assert leads((await desk.answer(body(SURVIVOR), ANYONE, NOW)).cards) == ["cancer-history-new-back-pain"]


# -- feedback and standing ---------------------------------------------------------------------------


async def test_feedback_is_read_and_what_is_malformed_counted(desk: Desk) -> None:
    good = {"card": INSTANCE, "outcome": "overridden", "outcomeTimestamp": "2026-11-25T10:00:00Z"}
    batch = await desk.feedback(orjson.dumps({"feedback": [good, {"card": 7}]}), ANYONE, NOW)
    assert (len(batch.entries), len(batch.problems)) == (1, 1)
    nothing = await desk.feedback(b'{"feedback": []}', ANYONE, NOW)
    assert nothing.entries == ()
    with pytest.raises(FeedbackInvalid):
        await desk.feedback(b'"card"', ANYONE, NOW)


async def test_the_standing_names_the_rules_in_force(desk: Desk) -> None:
    standing = desk.standing()
    bundle_ = desk.knowledge.bundle
    assert standing["status"] == "ready"
    assert standing["bundle"]["digest"] == bundle_.digest
    assert standing["bundle"]["rules"] == len(bundle_.programs)
    assert orjson.loads(orjson.dumps(standing))["bundle"]["version"] == bundle_.version


async def test_origins_are_those_of_the_settings_while_calls_are_unsigned() -> None:
    origin = "https://sandbox.example.org"
    open_desk = Desk(Settings(auth=False, cors_origins=(origin,)), bundled_knowledge())
    assert open_desk.origins == {origin}
    await open_desk.aclose()


async def test_origins_of_signed_clients_are_added(tmp_path: Path) -> None:
    clients = tmp_path / "clients.yaml"
    clients.write_text(
        "clients:\n- {id: ehr, issuer: 'https://ehr.example', jku: 'https://ehr.example/jwks.json',"
        " cors_origins: ['https://app.example.org']}\n",
        encoding="utf-8",
    )
    settings = Settings(
        clients=clients, public_url="https://cds.example.org",
        cors_origins=("https://tools.example.org",),
    )  # fmt: skip
    signed = Desk(settings, bundled_knowledge())
    assert signed.origins == {"https://app.example.org", "https://tools.example.org"}
    await signed.aclose()
