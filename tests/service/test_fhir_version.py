"""VER-01: setting, then /metadata, then shape."""

import asyncio

import httpx
import pytest
import respx

from service.addresses import parse_base
from service.errors import FhirVersionRefused
from service.fhir_version import FhirVersion, ServerVersions, resolve_version, shape, version_named
from service.resources import OTHERS, Condition
from service.wire import Wire

BASE = parse_base("https://ehr.example.org/fhir")
BY_NAME = {kind.__name__: kind for kind in OTHERS}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("R4", FhirVersion.R4),
        ("r4b", FhirVersion.R4B),
        (" STU3 ", FhirVersion.STU3),
        ("4.0.1", FhirVersion.R4),
        ("4.0", FhirVersion.R4),
        ("4", FhirVersion.R4),
        ("4.1.0", FhirVersion.R4B),
        ("4.3.0", FhirVersion.R4B),
        ("4.3.0-snapshot1", FhirVersion.R4B),
        ("5.0.0", FhirVersion.R5),
        ("3.0.2", FhirVersion.STU3),
        ("1.0.2", FhirVersion.DSTU2),
        ("0.0.82", FhirVersion.DSTU2),
        ("6.0.0", None),
        ("latest", None),
        ("", None),
        (None, None),
    ],
)
def test_a_version_is_known_by_name_and_number(text: str | None, expected: FhirVersion | None) -> None:
    assert version_named(text) is expected


def test_a_type_that_later_versions_dropped_betrays_the_version() -> None:
    assert shape([Condition]) is None
    assert shape([Condition, BY_NAME["ProcedureRequest"]]) is FhirVersion.STU3
    assert shape([BY_NAME["ReferralRequest"]]) is FhirVersion.STU3
    assert shape([BY_NAME["ProcedureRequest"], BY_NAME["MedicationOrder"]]) is FhirVersion.DSTU2
    assert shape([BY_NAME["DiagnosticOrder"]]) is FhirVersion.DSTU2


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ((FhirVersion.R4, FhirVersion.STU3, FhirVersion.DSTU2), FhirVersion.R4),
        ((None, FhirVersion.R5, FhirVersion.STU3), FhirVersion.R5),
        ((None, None, None), None),
    ],
)
def test_the_first_source_that_knows_decides(
    sources: tuple[FhirVersion | None, FhirVersion | None, FhirVersion | None], expected: FhirVersion | None
) -> None:
    assert resolve_version(*sources) is expected


@pytest.mark.parametrize(
    "sources",
    [
        (FhirVersion.STU3, FhirVersion.R4, None),
        (None, FhirVersion.DSTU2, None),
        (None, None, FhirVersion.STU3),
    ],
)
def test_dstu2_and_stu3_are_refused_whichever_source_says_so(
    sources: tuple[FhirVersion | None, FhirVersion | None, FhirVersion | None],
) -> None:
    with pytest.raises(FhirVersionRefused):
        resolve_version(*sources)


async def _settle() -> None:
    await asyncio.sleep(0.05)


@respx.mock
async def test_the_server_is_asked_once_and_without_a_token() -> None:
    route = respx.get(f"{BASE.url}/metadata").respond(
        json={"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1"}
    )
    versions = ServerVersions(Wire())
    assert versions.known(BASE) is None
    versions.learn(BASE)
    versions.learn(BASE)
    await _settle()
    versions.learn(BASE)
    assert versions.known(BASE) is FhirVersion.R4
    assert route.call_count == 1
    assert "authorization" not in route.calls.last.request.headers
    await versions.aclose()


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(403),
        httpx.Response(200, content=b"{"),
        httpx.Response(200, content=b"\xff"),
        httpx.Response(200, json={"fhirVersion": 4}),
        httpx.Response(200, json={"resourceType": "CapabilityStatement"}),
        httpx.Response(200, json={"fhirVersion": "9.9"}),
    ],
)
@respx.mock
async def test_a_server_that_does_not_say_is_not_asked_again_at_once(answer: httpx.Response) -> None:
    route = respx.get(f"{BASE.url}/metadata").mock(answer)
    versions = ServerVersions(Wire())
    versions.learn(BASE)
    await _settle()
    assert versions.known(BASE) is None
    versions.learn(BASE)
    await _settle()
    assert route.call_count == 1
