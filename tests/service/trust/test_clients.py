"""SEC-10, SEC-13: which client a token belongs to."""

import pytest

from service.addresses import parse_base
from service.errors import Unauthorised
from service.trust.clients import ALGORITHMS, Client, Clients, anonymous
from tests.service.trust.signing import ISSUER, JKU, client

ORACLE = "https://cds-hooks.vendor.example"


def _refusal(clients: Clients, issuer: str, jku: str = "", tenant: str = "") -> str:
    with pytest.raises(Unauthorised) as caught:
        clients.choose(issuer, jku, tenant)
    return caught.value.reason


def test_sec_10_an_issuer_and_jku_on_the_list_name_their_client() -> None:
    ehr = client()
    assert Clients([ehr]).choose(ISSUER, JKU, "") is ehr
    assert Clients([ehr]).choose(ISSUER, "", "any-tenant") is ehr


@pytest.mark.parametrize("issuer", ["https://evil.example", ISSUER + "/", ISSUER.upper(), ""])
def test_sec_10_an_issuer_off_the_list_is_refused(issuer: str) -> None:
    certificate_only = client(id="gateway", issuer="", jku="", jwks=None, mtls_subject="CN=gateway")
    assert _refusal(Clients([client(), certificate_only]), issuer) == "issuer-not-listed"


@pytest.mark.parametrize("jku", ["https://evil.example/jwks.json", JKU + "?x", JKU + "/", JKU.upper()])
def test_sec_10_a_jku_off_the_list_is_refused(jku: str) -> None:
    assert _refusal(Clients([client()]), ISSUER, jku) == "jku-not-listed"


def test_sec_10_a_client_without_jku_takes_no_token_that_names_one() -> None:
    assert _refusal(Clients([client(jku="")]), ISSUER, JKU) == "jku-not-listed"


def test_sec_13_only_listed_tenants_are_taken() -> None:
    clients = Clients([client(tenants=frozenset({"t-1", "t-2"}))])
    assert clients.choose(ISSUER, JKU, "t-2").id == "ehr"
    assert _refusal(clients, ISSUER, JKU, "t-3") == "tenant-not-listed"
    assert _refusal(clients, ISSUER, JKU, "") == "tenant-not-listed"


def test_one_issuer_may_sign_for_several_clients_told_apart_by_tenant() -> None:
    north = client(id="north", issuer=ORACLE, tenants=frozenset({"n"}))
    south = client(id="south", issuer=ORACLE, tenants=frozenset({"s"}))
    clients = Clients([north, south])
    assert clients.choose(ORACLE, JKU, "s") is south
    assert clients.choose(ORACLE, JKU, "n") is north


def test_a_token_without_jku_that_fits_two_clients_is_refused() -> None:
    clients = Clients([client(id="a"), client(id="b", jku=JKU + "2")])
    assert clients.choose(ISSUER, JKU, "").id == "a"
    assert _refusal(clients, ISSUER) == "client-ambiguous"


def test_sec_16_a_certificate_alone_names_only_clients_without_issuer() -> None:
    alone = client(id="gateway", issuer="", jku="", jwks=None, mtls_subject="CN=gateway")
    both = client(mtls_subject="CN=ehr")
    clients = Clients([alone, both])
    assert clients.by_certificate("CN=gateway") is alone
    assert clients.by_certificate("CN=ehr") is None
    assert clients.by_certificate("") is None


def test_sec_17_the_origins_of_all_clients_are_taken_together() -> None:
    one = client(cors_origins=frozenset({"https://a.example"}))
    clients = Clients([one, client(id="b", cors_origins=frozenset({"https://b.example"}))])
    assert clients.origins() == {"https://a.example", "https://b.example"}
    assert (len(clients), next(iter(clients))) == (2, one)
    assert Clients([]).origins() == frozenset()


def test_sec_09_the_default_algorithms_are_the_recommended_ones() -> None:
    assert Client(id="x").algorithms == ("RS384", "ES384")
    assert not [name for name in ALGORITHMS if name.startswith("HS") or name.lower() == "none"]


def test_unsigned_calls_get_what_the_settings_allow() -> None:
    base = parse_base("https://fhir.example.org/r4")
    caller = anonymous([base], ["https://page.example"])
    assert (caller.id, caller.fhir_servers) == ("anonymous", (base,))
    assert caller.cors_origins == {"https://page.example"}
