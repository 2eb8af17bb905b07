"""SEC-07, FBK-09: the audience is the URL that was called, under its public name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.trust.audience import Endpoint, Fit, Kind, audience_fit
from service.trust.clients import Audience

BASE = "https://cds.example.org"
STRICT = Audience()
TOLERANT = Audience(tolerant=True, reason="a vendor record that cannot be changed")


def _fit(named: str, path: str, rule: Audience, kind: Kind = "service") -> Fit:
    return audience_fit((named,), Endpoint(kind, path), BASE, rule)


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("discovery", "/cds-services"),
        ("service", "/cds-services/red-flags"),
        ("feedback", "/cds-services/red-flags/feedback"),
    ],
)
def test_sec_07_the_url_called_is_the_audience(kind: Kind, path: str) -> None:
    assert _fit(BASE + path, path, STRICT, kind) == "exact"


def test_sec_07_one_of_several_audiences_is_enough() -> None:
    named = ("https://other.example", f"{BASE}/cds-services")
    assert audience_fit(named, Endpoint("discovery", "/cds-services"), BASE, STRICT) == "exact"


@pytest.mark.parametrize(
    "named",
    [
        BASE,
        f"{BASE}/",
        f"{BASE}/cds-services",
        f"{BASE}/cds-services/",
        f"{BASE}//cds-services//red-flags",
        f"{BASE}/cds-services/red-flags/",
        "https://CDS.example.org/cds-services/red-flags",
        "https://cds.example.org:443/cds-services/red-flags",
    ],
)
def test_sec_07_other_spellings_and_urls_above_need_a_tolerant_client(named: str) -> None:
    assert _fit(named, "/cds-services/red-flags", STRICT) == "wrong"
    assert _fit(named, "/cds-services/red-flags", TOLERANT) == "tolerated"


@pytest.mark.parametrize(
    "named",
    [
        "",
        "not a url",
        "http://cds.example.org/cds-services/red-flags",
        "https://cds.example.org:8443/cds-services/red-flags",
        "https://cds.example.org:99999/cds-services/red-flags",
        "https://cds.example.org.evil.example/cds-services/red-flags",
        "https://user@cds.example.org/cds-services/red-flags",
        "https://cds.example.org/cds-services/other",
        "https://cds.example.org/cds-services/red-flags/feedback",
        "https://cds.example.org/cds-services/red-flags?x=1",
        "https://cds.example.org/cds-services/red-flags#x",
    ],
)
def test_sec_07_no_client_may_name_another_url(named: str) -> None:
    assert _fit(named, "/cds-services/red-flags", STRICT) == "wrong"
    assert _fit(named, "/cds-services/red-flags", TOLERANT) == "wrong"


def test_sec_07_doubled_slashes_in_the_path_called_change_nothing() -> None:
    assert _fit(f"{BASE}/cds-services/red-flags", "//cds-services//red-flags/", STRICT) == "exact"


def test_sec_07_a_client_may_know_the_service_under_a_name_of_its_own() -> None:
    rule = Audience(bases=("https://gateway.example/tocsin",))
    assert _fit("https://gateway.example/tocsin/cds-services", "/cds-services", rule, "discovery") == "exact"
    assert _fit(f"{BASE}/cds-services", "/cds-services", rule, "discovery") == "wrong"


def test_an_audience_written_down_for_the_client_is_taken_word_for_word() -> None:
    rule = Audience(bases=(BASE,), named=(BASE,))
    assert _fit(BASE, "/cds-services/red-flags", rule) == "exact"
    assert _fit(f"{BASE}/cds-services/red-flags", "/cds-services/red-flags", rule) == "exact"
    assert _fit(f"{BASE}/", "/cds-services/red-flags", rule) == "wrong"


def test_fbk_09_feedback_takes_its_own_url_and_the_services() -> None:
    path = "/cds-services/red-flags/feedback"
    assert _fit(f"{BASE}/cds-services/red-flags", path, STRICT, "feedback") == "exact"
    assert _fit(f"{BASE}/cds-services/other", path, STRICT, "feedback") == "wrong"


def test_fbk_09_the_services_url_can_be_refused_per_client() -> None:
    rule = Audience(service_url_at_feedback=False)
    path = "/cds-services/red-flags/feedback"
    assert _fit(f"{BASE}/cds-services/red-flags", path, rule, "feedback") == "wrong"
    assert _fit(BASE + path, path, rule, "feedback") == "exact"


@given(st.text(max_size=60))
def test_any_text_as_audience_is_judged_without_an_error(named: str) -> None:
    assert _fit(named, "/cds-services/red-flags", TOLERANT) == "wrong"
    assert _fit(f"https://{named}", "/cds-services/red-flags", TOLERANT) == "wrong"
