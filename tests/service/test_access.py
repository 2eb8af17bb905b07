"""FHR-02, FHR-04, FHR-06, FHR-08, REQ-05: what a caller's own words allow."""

import pytest

from hooks.request import FhirAuthorization
from service.access import AccessRefused, Grant, grant
from service.addresses import parse_base
from service.outcomes import WORDS

LISTED = (parse_base("https://ehr.example.org/fhir"), parse_base("http://127.0.0.1:8091/fhir"))


def _grant(
    server: str | None = "https://ehr.example.org/fhir", token: str = "", patient: str | None = None
) -> Grant:
    authorization = (
        FhirAuthorization(token, "Bearer", 300, "patient/*.rs", "tocsin", patient) if token else None
    )
    return grant(server, authorization, allowed=LISTED, patient_id="p1")


def test_a_listed_server_with_its_token() -> None:
    assert _grant(token="abc.def-123") == Grant(LISTED[0], "abc.def-123")
    for patient in ("p1", "Patient/p1", "https://ehr.example.org/fhir/Patient/p1"):
        assert _grant(token="abc", patient=patient) == Grant(LISTED[0], "abc")


@pytest.mark.parametrize(
    "given",
    [FhirAuthorization(), FhirAuthorization("", "Bearer", 300, "s", "c"), FhirAuthorization("t", "mac")],
)
def test_a_token_that_cannot_be_used_is_no_open_server(given: FhirAuthorization) -> None:
    with pytest.raises(AccessRefused) as caught:
        grant("https://ehr.example.org/fhir", given, allowed=LISTED, patient_id="p1")
    assert caught.value.reason == "token-malformed"


def test_a_token_serves_without_the_members_that_only_describe_it() -> None:
    given = FhirAuthorization("abc")
    assert grant("https://ehr.example.org/fhir", given, allowed=LISTED, patient_id="p1") == Grant(
        LISTED[0], "abc"
    )


def test_an_open_server_needs_no_token() -> None:
    assert _grant("http://127.0.0.1:8091/fhir/") == Grant(LISTED[1])


@pytest.mark.parametrize(
    ("server", "token", "patient", "reason"),
    [
        (None, "", None, "no-fhir-server"),
        ("", "", None, "no-fhir-server"),
        ("https://ehr.example.org/fhir/other", "", None, "server-not-listed"),
        ("https://ehr.example.org", "", None, "server-not-listed"),
        ("https://evil.example/fhir", "t", None, "server-not-listed"),
        ("http://ehr.example.org/fhir", "", None, "base-insecure"),
        ("https://ehr.example.org@evil.example/fhir", "", None, "base-malformed"),
        ("https://ehr.example.org/fhir", "a b", None, "token-malformed"),
        ("https://ehr.example.org/fhir", "a\r\nX: y", None, "token-malformed"),
        ("https://ehr.example.org/fhir", "tökén", None, "token-malformed"),
        ("https://ehr.example.org/fhir", "t", "p2", "token-other-patient"),
        ("https://ehr.example.org/fhir", "t", "Patient/p2", "token-other-patient"),
    ],
)
def test_everything_else_is_refused_with_a_reason_in_words(
    server: str | None, token: str, patient: str | None, reason: str
) -> None:
    with pytest.raises(AccessRefused) as caught:
        _grant(server, token, patient)
    assert caught.value.reason == reason
    assert WORDS[reason]


def test_fhr_04_no_form_of_a_grant_shows_the_token() -> None:
    found = _grant(token="secret-token")
    for text in (repr(found), str(found), f"{found}", f"{[found]}"):
        assert "secret-token" not in text
    assert "no token" in repr(_grant())
