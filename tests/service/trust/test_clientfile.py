"""The client list: everything that can be written in it, and every problem at its line."""

import json
from pathlib import Path
from textwrap import dedent

import jsonschema
import pytest

from service.addresses import parse_base
from service.smart import Registration
from service.trust.clientfile import ClientsError, clients_schema, read_clients
from service.trust.clients import ALGORITHMS, Audience, CallLimits, Clients
from service.trust.keys import KeySet
from tests.service.trust.signing import ec_key, jwks


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a key set `keys.json`, a private key `private.json` and broken ones."""
    (tmp_path / "keys.json").write_text(json.dumps(jwks(ec_key())))
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "private.json").write_text(json.dumps(ec_key().as_dict(private=True)))
    (tmp_path / "public.json").write_text(json.dumps(ec_key().as_dict()))
    return tmp_path


def _read(folder: Path, text: str) -> Clients:
    (folder / "clients.yaml").write_text(dedent(text))
    return read_clients(folder / "clients.yaml")[0]


def _problems(folder: Path, text: str) -> list[tuple[int, str]]:
    with pytest.raises(ClientsError) as caught:
        _read(folder, text)
    assert all(str(problem).startswith("clients.yaml:") for problem in caught.value.problems)
    assert str(caught.value) == "\n".join(map(str, caught.value.problems))
    return [(problem.line, problem.code) for problem in caught.value.problems if problem.severity == "error"]


def test_everything_a_client_may_say_is_read(folder: Path) -> None:
    (found,) = _read(
        folder,
        """
        clients:
          - id: st-elsewhere
            issuer: https://fhir.ehr.example/r4
            jku: https://fhir.ehr.example/jwks.json
            jwks: keys.json
            tenants: [north, south]
            audience:
              bases: [https://gateway.example/tocsin/]
              service_url_at_feedback: false
            algorithms: [ES384]
            mtls_subject: cn=ehr, o=St Elsewhere
            fhir_servers: [https://fhir.ehr.example/r4/]
            fhir_version: R4B
            cors_origins: [https://pages.ehr.example]
            profile: epic
            hooks_version: "3.0"
            selection_behavior: at-most-one
            limits: {per_minute: 60, burst: 5, concurrent: 2}
            smart:
              token_url: https://fhir.ehr.example/token
              client_id: tocsin
              key_file: private.json
              scopes: [system/Condition.rs, system/Observation.rs]
        """,
    )
    assert (found.id, found.issuer) == ("st-elsewhere", "https://fhir.ehr.example/r4")
    assert (found.jku, found.jwks) == ("https://fhir.ehr.example/jwks.json", folder / "keys.json")
    assert found.tenants == {"north", "south"}
    assert found.audience == Audience(
        bases=("https://gateway.example/tocsin",), service_url_at_feedback=False
    )
    assert found.algorithms == ("ES384",)
    assert found.mtls_subject == "CN=ehr,O=St Elsewhere"
    assert found.fhir_servers == (parse_base("https://fhir.ehr.example/r4"),)
    assert found.cors_origins == {"https://pages.ehr.example"}
    assert (found.fhir_version, found.profile, found.hooks_version) == ("R4B", "epic", "3.0")
    assert found.selection_behavior == "at-most-one"
    assert found.limits == CallLimits(per_minute=60, burst=5, concurrent=2)
    assert isinstance(found.smart, Registration)
    assert found.smart.scope == "system/Condition.rs system/Observation.rs"


def test_the_least_a_client_must_say(folder: Path) -> None:
    (found,) = _read(folder, "clients: [{id: a, issuer: i, jku: https://a.example/jwks}]")
    assert found.jwks is None
    assert found.algorithms == ("RS384", "ES384")
    assert (found.profile, found.hooks_version, found.limits) == ("generic", "2.0.1", CallLimits())


@pytest.mark.parametrize(
    "text",
    [
        "clients: [{id: EHR_1, issuer: 'https://a.example', jwks_file: keys.json, audience: 'https://t.example'}]",
        "[{id: EHR_1, issuer: 'https://a.example', jwks: keys.json, audience: ['https://t.example']}]",
        "clients: {EHR_1: {issuer: 'https://a.example', jwks: keys.json, audience: 'https://t.example'}}",
    ],
)
def test_short_forms_say_the_same(folder: Path, text: str) -> None:
    (found,) = _read(folder, text)
    assert (found.id, found.issuer, found.jwks) == ("EHR_1", "https://a.example", folder / "keys.json")
    assert found.audience == Audience(bases=("https://t.example",), named=("https://t.example",))


def test_one_server_needs_no_list_and_none_may_be_said(folder: Path) -> None:
    (found,) = _read(
        folder,
        """
        - id: a
          issuer: https://a.example
          jwks: keys.json
          audience: https://t.example/x/cds-services/red-flags
          fhir_servers: https://a.example/r4
          cors_origins: []
        """,
    )
    assert [base.url for base in found.fhir_servers] == ["https://a.example/r4"]
    assert found.cors_origins == frozenset()
    assert found.audience.bases == ("https://t.example/x",)


def test_keys_may_stand_in_the_list_itself(folder: Path) -> None:
    (found,) = _read(folder, json.dumps({"clients": [{"id": "a", "issuer": "i", "jwks": jwks(ec_key())}]}))
    assert isinstance(found.jwks, KeySet)
    assert found.jwks.find("ec-1", "ES384") is not None


def test_sec_16_a_client_may_be_known_by_its_certificate_alone(folder: Path) -> None:
    clients = _read(folder, "clients: [{id: a, mtls_subject: 'CN=a'}, {id: b, mtls_subject: 'CN=b'}]")
    found = clients.by_certificate("CN=b")
    assert found is not None
    assert found.id == "b"


def test_a_tolerant_audience_is_a_warning_with_its_reason(folder: Path) -> None:
    (folder / "clients.yaml").write_text(
        dedent(
            """\
            clients:
              - id: a
                issuer: i
                jku: https://a.example/jwks
                audience:
                  tolerant: true
                  reason: the vendor's record holds the discovery URL
            """
        )
    )
    clients, warnings = read_clients(folder / "clients.yaml")
    assert next(iter(clients)).audience.tolerant
    assert [(problem.line, problem.code, problem.severity) for problem in warnings] == [
        (6, "C008", "warning")
    ]
    assert "the vendor's record holds the discovery URL" in str(warnings[0])


def test_a_tolerant_audience_without_reason_is_refused(folder: Path) -> None:
    text = "clients:\n- {id: a, issuer: i, jku: 'https://a.example/jwks',\n   audience: {tolerant: true}}"
    assert _problems(folder, text) == [(3, "C008")]


def test_all_problems_are_reported_together_each_at_its_line(folder: Path) -> None:
    text = """\
        clients:
          - id: a
            issuer: i
            jwks: none.json
            fhir_servers: [https://ok.example, ftp://x.example]
          - id: a
            issuer: i2
            jku: http://insecure.example/jwks
          - id: c
            profile: generic
          - id: d
            issuer: i3
          - id: e
            mtls_subject: CN=e
            jku: https://e.example/jwks
            cors_origins: [https://e.example/path]
        """
    assert _problems(folder, text) == [
        (4, "C007"),
        (5, "C005"),
        (6, "C003"),
        (8, "C005"),
        (9, "C004"),
        (11, "C004"),
        (13, "C004"),
        (16, "C005"),
    ]


@pytest.mark.parametrize(
    ("client", "line"),
    [
        ("id: a\n  isuer: i", 3),
        ("id: a\n  issuer: ''", 3),
        ("id: A b", 2),
        ("issuer: i", 2),
        ("id: a\n  algorithms: [HS256]", 3),
        ("id: a\n  algorithms: [none]", 3),
        ("id: a\n  algorithms: []", 3),
        ("id: a\n  hooks_version: 3.0", 3),
        ("id: a\n  profile: cerner", 3),
        ("id: a\n  tenants: [t, t]", 3),
        ("id: a\n  limits:\n    per_minute: 0", 4),
        ("id: a\n  limits:\n    per_hour: 9", 4),
        ("id: a\n  audience:\n    tolerant: 1", 4),
        ("id: a\n  smart:\n    client_id: x", 3),
        ("id: a\n  jwks: 5", 3),
        ("id: a\n  jwks: {}", 3),
    ],
)
def test_what_is_not_of_the_published_form_is_refused_at_its_line(
    folder: Path, client: str, line: int
) -> None:
    problems = _problems(folder, f"clients:\n- {client}\n")
    assert (line, "C002") in problems
    assert {code for _, code in problems} == {"C002"}


@pytest.mark.parametrize("text", ["", "clients: []", "clients: {}", "clients: {a: b}", "client: []", "- a"])
def test_a_file_without_clients_is_refused(folder: Path, text: str) -> None:
    assert "C002" in {code for _, code in _problems(folder, text)}


@pytest.mark.parametrize("text", ["clients: [", "clients: []\nclients: []", "a: \t- b"])
def test_a_file_that_is_not_yaml_is_refused(folder: Path, text: str) -> None:
    assert "C001" in {code for _, code in _problems(folder, text)}


def test_a_file_that_is_absent_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClientsError) as caught:
        read_clients(tmp_path / "none.yaml")
    assert [problem.code for problem in caught.value.problems] == ["C001"]


@pytest.mark.parametrize(
    "jwks_text",
    ["broken.json", "none.json", "{keys: []}", "{keys: [{kty: oct, k: c2VjcmV0, kid: x}]}"],
)
def test_keys_that_cannot_be_used_are_refused_and_not_shown(folder: Path, jwks_text: str) -> None:
    with pytest.raises(ClientsError) as caught:
        _read(folder, f"clients:\n- id: a\n  issuer: i\n  jwks: {jwks_text}\n")
    assert [(problem.line, problem.code) for problem in caught.value.problems] == [(4, "C007")]
    assert "c2VjcmV0" not in str(caught.value)


def test_keys_for_none_of_the_clients_algorithms_are_refused(folder: Path) -> None:
    text = "clients:\n- {id: a, issuer: i, algorithms: [RS384],\n   jwks: keys.json}\n"
    assert _problems(folder, text) == [(3, "C007")]


@pytest.mark.parametrize(
    ("token_url", "key_file", "expected"),
    [
        ("https://a.example/token", "none.json", (7, "C007")),
        ("https://a.example/token", "public.json", (7, "C007")),
        ("https://a.example/token", "broken.json", (7, "C007")),
        ("http://a.example/token", "private.json", (5, "C005")),
    ],
)
def test_a_smart_registration_that_cannot_work_is_refused(
    folder: Path, token_url: str, key_file: str, expected: tuple[int, str]
) -> None:
    text = f"""\
        clients:
        - {{id: a, issuer: i, jku: 'https://a.example/jwks',
          # our registration
           smart: {{
            token_url: {token_url},
            client_id: x,
            key_file: {key_file},
            scopes: [s]}}}}
        """
    assert _problems(folder, text) == [expected]


@pytest.mark.parametrize(
    ("one", "other", "told_apart"),
    [
        ("jku: https://a.example/k", "jku: https://a.example/k", False),
        ("jku: https://a.example/k", "jku: https://b.example/k", True),
        ("jku: https://a.example/k", "jwks: keys.json", False),
        ("jwks: keys.json, tenants: [n]", "jwks: keys.json, tenants: [s]", True),
        ("jwks: keys.json, tenants: [n]", "jwks: keys.json, tenants: [n, s]", False),
        ("jwks: keys.json, tenants: [n]", "jwks: keys.json", False),
    ],
)
def test_clients_of_one_issuer_must_be_told_apart(
    folder: Path, one: str, other: str, told_apart: bool
) -> None:
    text = f"clients:\n- {{id: a, issuer: i, {one}}}\n- {{id: b, issuer: i, {other}}}\n"
    if told_apart:
        assert len(_read(folder, text)) == 2
    else:
        assert _problems(folder, text) == [(3, "C006")]


def test_clients_known_by_certificate_must_be_told_apart(folder: Path) -> None:
    text = "clients:\n- {id: a, mtls_subject: 'CN=x, O=y'}\n- {id: b, mtls_subject: 'cn=x,o=y'}\n"
    assert _problems(folder, text) == [(3, "C006")]


def test_the_published_schema_is_sound_and_lists_every_algorithm() -> None:
    schema = clients_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    listed = schema["$defs"]["client"]["properties"]["algorithms"]["items"]["enum"]
    assert tuple(listed) == ALGORITHMS


def test_a_canary_reads_no_server(folder: Path) -> None:
    (found,) = _read(folder, "- {id: canary, issuer: https://canary.example, jwks: keys.json, canary: true}")
    assert found.canary
    assert found.is_canary("tocsin-canary-cord")
    assert not found.is_canary("real-1")
    text = """
        clients:
          - id: canary
            issuer: https://canary.example
            jwks: keys.json
            canary: true
            fhir_servers: https://fhir.ehr.example/r4
            cors_origins: https://pages.ehr.example
        """
    assert _problems(folder, text) == [(7, "C009"), (8, "C009")]


def test_an_ehr_cannot_call_itself_a_canary_by_a_patient(folder: Path) -> None:
    (found,) = _read(folder, "- {id: ehr, issuer: https://ehr.example, jwks: keys.json}")
    assert not found.is_canary("tocsin-canary-cord")
