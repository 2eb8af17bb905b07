"""`tocsin try`: a FHIR server, a Bundle and a captured request, as a person tries them in a terminal."""

import gzip
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx

from hooks import REGISTRY
from service import demo
from service.queries import plan
from service.workbench import today
from tests.conformance.loopback import loopback
from tests.service.pages.visits import LOCAL, bundled
from tests.service.searches import outcome, searchset
from tests.service.terminal import tocsin

Terminal = pytest.CaptureFixture[str]
URL = "http://127.0.0.1:9/fhir"
ME = "demo-esr"
ESR = "esr-crp-markedly-raised-persistent-pain"
SERVER = ("try", "--fhir-server", URL, "--patient", ME)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr("service.cli_try.local_knowledge", lambda settings: bundled())


def record() -> list[dict[str, Any]]:
    (one,) = (one for one in demo.load() if one.id == ME)
    return demo.resources(one, today(LOCAL))


def bundle_of(*resources: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": one} for one in resources]}


class Fhir:
    """A FHIR server of one bundled patient; `answers` are given instead, by resource type."""

    def __init__(self, router: respx.Router) -> None:
        self.answers: dict[str, httpx.Response] = {}
        self.seen: list[httpx.Request] = []
        router.route(url__startswith=URL).mock(side_effect=self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        kind = request.url.path.removeprefix("/fhir/").partition("/")[0]
        if kind in self.answers or "*" in self.answers:
            return self.answers.get(kind) or self.answers["*"]
        if kind == "metadata":
            stated = {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1"}
            return httpx.Response(200, json={**stated, "software": {"name": "Mock \x1b[2J"}})
        found = [one for one in record() if one["resourceType"] == kind]
        if kind == "Patient":
            known = request.url.path.endswith(f"/{ME}")
            return httpx.Response(200, json=found[0]) if known else httpx.Response(404)
        wanted = "1988-5" in str(request.url) or kind != "Observation"
        return httpx.Response(200, json=searchset(*found) if wanted else searchset())


@pytest.fixture
def fhir() -> Iterator[Fhir]:
    with respx.mock(assert_all_called=False) as router:
        yield Fhir(router)


def flat(text: str) -> str:
    return " ".join(text.split())


# -- a FHIR server -----------------------------------------------------------------------------------


def test_a_patient_of_a_server_gets_cards_reasons_and_a_table(capsys: Terminal, fhir: Fhir) -> None:
    code, out, err = tocsin(capsys, *SERVER)
    assert (code, err) == (0, "")
    assert f"{URL}  FHIR R4 (4.0.1), Mock [2J" in out
    (line,) = [line for line in out.splitlines() if line.startswith("conditions ")]
    assert line.split()[:4] == ["conditions", "Condition?patient=…&_count=500", "answered", "1"]
    labs = next(query for query in plan(bundled().bundle, "patient-view") if query.key == "labs")
    assert f"code=({len(labs.listed)} codes)" in out
    assert "1 card at patient-view" in out
    assert f"FIRED  {ESR}" in out
    assert "did not answer" not in out


def test_json_has_all_of_it_for_programs(capsys: Terminal, fhir: Fhir) -> None:
    code, out, _ = tocsin(capsys, *SERVER, "--json", "--explain")
    told = json.loads(out)
    assert code == 0
    assert (told["fhirServer"], told["fhirVersion"], told["hook"]) == (URL, "R4 (4.0.1)", "patient-view")
    assert {one["key"]: one["status"] for one in told["templates"]}["labs"] == "answered"
    assert told["templates"][0]["query"] == f"Patient/{ME}"
    assert len(told["cards"]) == 1
    assert told["unknown"] == []
    assert told["explanation"]["hook"] == "patient-view"
    assert "error" not in told


@pytest.mark.parametrize("way", ["file", "environment"])
def test_a_token_goes_to_the_fhir_server_only(
    capsys: Terminal, fhir: Fhir, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, way: str
) -> None:
    (tmp_path / "token").write_text("s3cret\n", "ascii")
    if way == "environment":
        monkeypatch.setenv("TOCSIN_TRY_TOKEN", "s3cret")
    more = ("--token-file", str(tmp_path / "token")) if way == "file" else ()
    with respx.mock(assert_all_called=False, assert_all_mocked=False) as elsewhere:
        elsewhere.route(url__startswith=URL).mock(side_effect=fhir._answer)
        code, out, err = tocsin(capsys, *SERVER, *more, "--json", "--explain")
    assert code == 0
    assert {one.headers["authorization"] for one in fhir.seen} == {"Bearer s3cret"}
    assert "s3cret" not in out + err


def test_what_was_not_answered_is_named_with_what_it_makes_unknown(capsys: Terminal, fhir: Fhir) -> None:
    fhir.answers["Observation"] = httpx.Response(503, json=outcome("error", "transient"))
    fhir.answers["ImagingStudy"] = httpx.Response(404)
    code, out, _ = tocsin(capsys, *SERVER)
    assert code == 0
    assert "503 transient" in out
    said = flat(out)
    assert "labs, findings: the FHIR server failed (503 transient)." in said
    assert "facts stay unknown: " in said
    assert "rules lacked one: " in said
    assert "studies: the FHIR server does not have it (404). No fact is lost by that." in said
    _, data, _ = tocsin(capsys, *SERVER, "--json")
    unknown = {one["key"]: one for one in json.loads(data)["unknown"]}
    assert "labs.esr.value" in unknown["labs"]["facts"]
    assert ESR in unknown["labs"]["rules"]
    assert unknown["studies"]["facts"] == []


def test_a_key_that_came_in_part_is_shown_as_such(capsys: Terminal, fhir: Fhir) -> None:
    link = "https://elsewhere.example.org/next"
    pain = next(one for one in record() if one["resourceType"] == "Condition")
    fhir.answers["Condition"] = httpx.Response(200, json=searchset(pain, link=link))
    drug = {"resourceType": "MedicationRequest", "medicationReference": {"reference": "Medication/m1"}}
    fhir.answers["MedicationRequest"] = httpx.Response(200, json=searchset(drug))
    fhir.answers["Medication"] = httpx.Response(403)
    code, out, _ = tocsin(capsys, *SERVER)
    assert code == 0
    assert "in part" in out
    assert "page-elsewhere" in out
    assert "medications: a medicine is only referred to and could not be read." in flat(out)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (httpx.Response(401), "asks for an access token. Give it with --token-file FILE"),
        (httpx.Response(503), "answered none of the templates: the FHIR server failed."),
        (httpx.Response(404), "does not have it. Is this its base URL"),
        (httpx.Response(200, html="<html>"), "cannot be used: the answer is a web page, not FHIR"),
        (httpx.Response(200, content=b'{"a"'), "the FHIR server's answer broke off"),
        (httpx.Response(200, json={"resourceType": "Conformance", "fhirVersion": "1.0.2"}), "DSTU2 (1.0.2)"),
    ],
)
def test_a_server_that_answers_nothing_is_one_line_and_ends_with_1(
    capsys: Terminal, fhir: Fhir, answer: httpx.Response, says: str
) -> None:
    fhir.answers["*"] = answer
    code, _, err = tocsin(capsys, *SERVER)
    assert code == 1
    assert says in err
    assert err.count("\n") == 1
    code, out, _ = tocsin(capsys, *SERVER, "--json")
    assert code == 1
    assert says in json.loads(out)["error"]


def test_a_token_that_is_not_accepted_is_told_as_that(
    capsys: Terminal, fhir: Fhir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOCSIN_TRY_TOKEN", "old")
    fhir.answers["*"] = httpx.Response(401)
    code, out, err = tocsin(capsys, *SERVER)
    assert code == 1
    assert "the FHIR server did not accept the access token" in err
    assert "CapabilityStatement could not be read" in out


def test_a_patient_the_server_does_not_have(capsys: Terminal, fhir: Fhir) -> None:
    code, _, err = tocsin(capsys, "try", "--fhir-server", URL, "--patient", "nobody")
    assert code == 1
    assert "no patient with this id" in err


def test_a_server_where_nothing_listens(capsys: Terminal) -> None:
    code, _, err = tocsin(capsys, *SERVER)
    assert code == 1
    assert "nothing listens there (connection refused)" in err


def test_a_call_that_the_service_refuses_ends_with_1_and_the_table(capsys: Terminal, fhir: Fhir) -> None:
    fhir.answers["*"] = httpx.Response(500)
    fhir.answers["Patient"] = httpx.Response(200, json=record()[0])
    fhir.answers["metadata"] = httpx.Response(500)
    code, out, err = tocsin(capsys, *SERVER)
    assert code == 1
    assert "The service refused the call: 412" in err
    assert [line.split() for line in out.splitlines() if line.split() == ["500"]]


@pytest.mark.parametrize(
    "hook", [hook for hook in REGISTRY if hook not in ("encounter-start", "encounter-discharge")]
)
def test_every_hook_can_be_tried(capsys: Terminal, fhir: Fhir, hook: str) -> None:
    code, out, _ = tocsin(capsys, *SERVER, "--hook", hook, "--json")
    assert code == 0
    assert json.loads(out)["hook"] == hook


def test_an_encounter_hook_takes_the_encounter_named(capsys: Terminal, fhir: Fhir) -> None:
    code, _, err = tocsin(capsys, *SERVER, "--hook", "encounter-start")
    assert code == 2
    assert "Name one" in err
    code, out, _ = tocsin(capsys, *SERVER, "--hook", "encounter-start", "--encounter", "e1", "--json")
    assert (code, json.loads(out)["hook"]) == (0, "encounter-start")


def test_draft_orders_by_name_code_and_file(capsys: Terminal, fhir: Fhir, tmp_path: Path) -> None:
    file = tmp_path / "order.json"
    file.write_text(json.dumps({"resourceType": "ServiceRequest", "code": {"text": "x"}}))
    orders = [word for one in ("mri-lumbar-spine", "30854-4", str(file)) for word in ("--order", one)]
    code, out, _ = tocsin(capsys, *SERVER, *orders, "--json", "--explain")
    told = json.loads(out)
    assert (code, told["hook"]) == (0, "order-select")
    (drafts,) = (fact for fact in told["explanation"]["facts"] if fact["name"] == "orders.draft")
    assert drafts["known"]


def test_a_public_server_has_a_warning(capsys: Terminal, fhir: Fhir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.cli_try.is_public", lambda host: True)
    code, out, err = tocsin(capsys, *SERVER, "--json")
    assert code == 0
    assert err == "Public server: use synthetic data only.\n"
    assert json.loads(out)["cards"]
    monkeypatch.setenv("TOCSIN_TRY_TOKEN", "t")
    code, _, err = tocsin(capsys, *SERVER)
    assert code == 2
    assert "not sent to a public server over plain http" in err


# -- a Bundle and a request --------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True])
def test_a_bundle_of_one_patient(capsys: Terminal, tmp_path: Path, packed: bool) -> None:
    file = tmp_path / "bundle.json"
    data = json.dumps(bundle_of(*record())).encode()
    file.write_bytes(gzip.compress(data) if packed else data)
    code, out, err = tocsin(capsys, "try", "--bundle", str(file), "--explain")
    assert (code, err) == (0, "")
    assert "1 card at patient-view" in out
    assert f"FIRED  {ESR}" in out


def test_a_bundle_of_several_asks_which_one(capsys: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "bundle.json"
    file.write_text(json.dumps(bundle_of(*record(), {"resourceType": "Patient", "id": "other"})))
    code, _, err = tocsin(capsys, "try", "--bundle", str(file))
    assert code == 2
    assert err.splitlines()[1:] == [ME, "other"]
    code, out, _ = tocsin(capsys, "try", "--bundle", str(file), "--patient", "other")
    assert code == 0
    assert "No card is no all-clear" in out
    assert tocsin(capsys, "try", "--bundle", str(file), "--patient", ME)[0] == 0


class Input:
    """Standard input of the process."""

    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)


def test_a_request_from_standard_input(capsys: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    (one,) = (one for one in demo.load() if one.id == ME)
    body = {**demo.to_request(one, today(LOCAL), "i1"), "fhirServer": "https://ehr.example.org"}
    monkeypatch.setattr(sys, "stdin", Input(json.dumps(body).encode()))
    code, out, _ = tocsin(capsys, "try", "--request", "-", "--json")
    told = json.loads(out)
    assert (code, told["hook"], len(told["cards"])) == (0, "patient-view", 1)
    assert "templates" not in told


def test_a_request_without_data_cannot_be_answered(capsys: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_text(
        json.dumps({"hook": "patient-view", "context": {"patientId": "p", "userId": "Patient/p"}})
    )
    code, _, err = tocsin(capsys, "try", "--request", str(file))
    assert code == 1
    assert "The service refused the call: 412" in err


def test_a_service_that_does_not_explain(
    capsys: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "bundle.json"
    file.write_text(json.dumps(bundle_of(*record())))
    with respx.mock() as router:
        router.post("http://tocsin.example.org/cds-services/red-flags").respond(json={"cards": []})
        router.post("http://tocsin.example.org/decisions/explain").respond(404)
        code, out, _ = tocsin(capsys, "try", "--bundle", str(file), "--url", "http://tocsin.example.org")
    assert code == 0
    assert "does not explain its decisions" in out


# -- what was typed wrongly --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "Give one of --fhir-server"),
        (("--bundle", "a.json", "--request", "b.json"), "Give one of"),
        (("--fhir-server", URL), "Say which patient"),
        (("--fhir-server", "ftp://x", "--patient", "p"), "is not https"),
        (("--fhir-server", "https://u:p@x/fhir", "--patient", "p"), "cannot be used"),
        (("--fhir-server", URL, "--patient", "a/b?c"), "not one FHIR knows"),
        (("--bundle", "not-there.json"), "not-there.json cannot be read"),
        ((*SERVER[1:], "--hook", "no-hook"), "There is no hook no-hook"),
        ((*SERVER[1:], "--order", "leeches"), "SYSTEM|CODE"),
        ((*SERVER[1:], "--order", "gone.json"), "gone.json cannot be read"),
        ((*SERVER[1:], "--order", "esr-crp", "--hook", "encounter-start"), "has no draft orders"),
        ((*SERVER[1:], "--token-file", "gone"), "The token file gone cannot be read"),
    ],
)
def test_a_wrong_command_ends_with_2_and_says_why(
    capsys: Terminal, arguments: tuple[str, ...], says: str
) -> None:
    code, _, err = tocsin(capsys, "try", *arguments)
    assert code == 2
    assert says in err


def test_a_file_that_is_neither_is_told(capsys: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text("{")
    code, _, err = tocsin(capsys, "try", "--bundle", str(file))
    assert code == 2
    assert "not JSON" in err


# -- a server nobody here wrote ------------------------------------------------------------------------


def test_a_real_server_with_and_without_its_token(
    capsys: Terminal, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ben = "3cadbd57-92d2-2512-e5dd-6ea69d0201a6"  # breast cancer, chronic low back pain
    data = next((shared / "corpus" / "patients").glob(f"*{ben}*"))
    tokens = json.dumps({"all": {"scope": "patient/*.read", "patient": ben}})
    with loopback(shared, data, tmp_path / "log", FHIR_TOKENS=tokens, FHIR_MAX_PAGE="2") as base:
        command = ("try", "--fhir-server", base.url, "--patient", ben, "--json")
        code, _, err = tocsin(capsys, *command)
        assert code == 1
        assert "asks for an access token" in err
        monkeypatch.setenv("TOCSIN_TRY_TOKEN", "all")
        code, out, _ = tocsin(capsys, *command)
    told = json.loads(out)
    rows = {one["key"]: one for one in told["templates"]}
    assert code == 0
    assert told["cards"][0]["summary"].startswith("New back pain and cancer history")
    assert (rows["conditions"]["resources"], rows["conditions"]["pages"]) == (12, 6)
    assert rows["procedures"]["pages"] == 10
    assert [one["key"] for one in told["unknown"]] == ["procedures"]
