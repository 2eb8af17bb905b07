"""No text of a record or an address runs in a browser: not on our pages, not on a card as an EHR shows it.

Each naughty string stands in every field that can reach a page or a card, and own probes beside them, which
set `window.ran` when they run.
"""

import copy
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from markdown_it import MarkdownIt
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page

from hooks import Card, encode
from hooks.cards import Response
from service.dialects import adapt
from service.pages.playground import PROFILES
from service.trust import Client
from tests.service.calls import decided_on
from tests.service.facts.build import PATIENT
from tests.service.pages.test_playground import resources

Json = dict[str, Any]
PROBES = (
    "<img src=x onerror='window.ran=1'>",
    "<svg onload=window.ran=2>",
    '"><script>window.ran=3</script>',
    "</textarea></code></pre><script>window.ran=4</script>",
    "[click](javascript:window.ran=5)",
    "![x](x onerror=window.ran=6)",
    "<iframe srcdoc='<script>parent.ran=7</script>'>",
    "*a*</p><details open ontoggle=window.ran=8>",
    "`</code><style>*{display:none}</style>`",
    "{{ 7 * 7 }}{% raw %}<b onclick=1>",
)
"""What a browser, a Markdown reader or a template could take for something to run."""

MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable("table")


@pytest.fixture(scope="module")
def strings(shared: Path) -> list[str]:
    blns = json.loads((shared / "corpus/hostile/naughty-strings/blns.json").read_text("utf-8"))
    return [*blns, *PROBES]


class Watched:
    """A page, and everything that may not happen on it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.alarms: list[str] = []
        page.on("dialog", self._asked)
        page.on("pageerror", lambda error: self.alarms.append(str(error)))
        page.on("console", self._told)

    def _asked(self, dialog: Dialog) -> None:
        self.alarms.append(dialog.message)
        dialog.dismiss()

    def _told(self, message: ConsoleMessage) -> None:
        if "Policy" in message.text:
            self.alarms.append(message.text)

    def assert_quiet(self, scripts: str = "script:not([src='./static/playground.js'])") -> None:
        page = self.page
        assert page.evaluate("window.ran") is None
        assert page.locator(f"{scripts}, img, iframe, object, embed, svg, math, base, style").count() == 0
        handlers = "[...document.querySelectorAll('*')].flatMap(e => e.getAttributeNames())"
        assert page.evaluate(f"{handlers}.filter(n => n.startsWith('on') || n === 'style')") == []
        assert page.evaluate("[...document.links].filter(a => !/^https?:/.test(a.href)).length") == 0
        assert self.alarms == []


@pytest.fixture
def watched(chromium: Browser) -> Iterator[Watched]:
    page = chromium.new_page()
    yield Watched(page)
    page.close()


def said(text: str, number: int) -> list[Json]:
    """One string in each field of a record that a person can type into, or a system can fill."""
    _, pain, esr = resources()
    about = {"subject": copy.deepcopy(pain["subject"])}
    coded = {"coding": [{"system": text, "code": text, "display": text, "version": text}], "text": text}
    answered = [{"linkId": text, "text": text, "answer": [{"valueString": text}]}]
    typed = {"status": "completed", "questionnaire": text, "item": answered}
    names = ("ServiceRequest", "MedicationRequest", "Procedure", "AllergyIntolerance")
    return [
        {**pain, "id": f"c{number}", "code": {**pain["code"], "text": text}, "note": [{"text": text}]},
        {**pain, "id": f"d{number}", "code": coded, "onsetString": text, "bodySite": [coded]},
        {**pain, "id": text, "code": {"coding": [{**pain["code"]["coding"][0], "display": text}]}},
        {**esr, "id": f"u{number}", "valueQuantity": {"value": number, "unit": text, "code": text}},
        {**_without(esr, "valueQuantity"), "id": f"v{number}", "valueString": text, "method": coded},
        {**esr, "id": f"r{number}", "referenceRange": [{"text": text}], "status": text},
        {"resourceType": "DiagnosticReport", "id": f"p{number}", **about, "status": "final", "code": coded,
         "conclusion": text, "conclusionCode": [coded]},
        {"resourceType": "QuestionnaireResponse", "id": f"q{number}", **about, **typed},
        *({"resourceType": name, "id": f"{name}{number}", **about, "status": "active", "code": coded,
           "medicationCodeableConcept": coded} for name in names),
    ]  # fmt: skip


def _without(resource: Mapping[str, Any], name: str) -> Json:
    return {key: value for key, value in resource.items() if key != name}


def as_file(strings: list[str]) -> Any:
    """A Bundle with all of them, as a file to upload."""
    person, pain, esr = resources()
    person["name"] = [{"text": one, "family": one, "given": [one]} for one in strings]
    person["identifier"] = [{"system": one, "value": one} for one in strings]
    found = [person, pain, esr, *(one for i, text in enumerate(strings) for one in said(text, i))]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": one} for one in found]}
    return {"name": "record.json", "mimeType": "application/json", "buffer": orjson.dumps(bundle)}


@pytest.mark.parametrize("profile", PROFILES)
def test_nothing_of_a_record_runs_in_the_playground(
    watched: Watched, address: str, strings: list[str], profile: str
) -> None:
    page = watched.page
    page.goto(f"{address}/playground")
    page.get_by_label("Or upload it").set_input_files(as_file(strings))
    page.get_by_label("Shown as in").select_option(profile)
    page.get_by_role("button", name="Run").click()
    assert page.locator(f".p-{profile} article").count() >= 1
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    watched.assert_quiet()


def test_nothing_of_a_form_or_an_address_runs(watched: Watched, address: str, strings: list[str]) -> None:
    """Each string in the path and in every member of a query. The answers hold it at most as text."""
    page = watched.page
    page.goto(address)
    ran = page.evaluate(
        """async (strings) => {
            const wrong = [];
            const look = async (way) => {
                const answer = await fetch(way), kind = answer.headers.get("content-type");
                if (kind === "application/fhir+json") return;
                const shown = new DOMParser().parseFromString(await answer.text(), "text/html");
                const odd = "script:not([src$='static/playground.js']), img, iframe, svg, style, b, i, u";
                const names = [...shown.querySelectorAll("*")].flatMap((one) => one.getAttributeNames());
                const bad = shown.querySelector(odd) || names.some((name) => name.startsWith("on"));
                if (bad || !kind.startsWith("text/html")) wrong.push(way);
            };
            const inQuery = (path, names, value) => `${path}?${names.map((n) => `${n}=${value}`).join("&")}`;
            const inForm = ["patient", "rule", "hook", "order", "profile", "server", "person"];
            for (let first = 0; first < strings.length; first += 15) {
                const some = strings.slice(first, first + 15).map((text) => text.toWellFormed());
                const all = encodeURIComponent(some.join(" "));
                await Promise.all([
                    ...some.map((text) => look(`/rules/${encodeURIComponent(text)}`)),
                    ...some.map((text) => look(`/value-sets/${encodeURIComponent(text)}`)),
                    look(inQuery("/rules", ["q", "category", "urgency", "hook"], all)),
                    look(inQuery("/playground", inForm, all)),
                ]);
            }
            return wrong;
        }""",
        strings,
    )
    assert ran == []
    page.goto(f"{address}/playground?rule=esr-crp-markedly-raised-persistent-pain&patient=demo-esr")
    for text in ("\n".join(strings), "\n".join(f"x{i}: {json.dumps(one)}" for i, one in enumerate(strings))):
        page.locator("#text").fill(text)
        page.get_by_role("button", name="Try this text").click()
        assert page.get_by_role("alert").count() == 1
        watched.assert_quiet()


@pytest.fixture(scope="module")
def all_cards(strings: list[str]) -> list[tuple[Card, ...]]:
    """The cards of a record with one string in all its fields, for each string."""
    found = []
    for number, text in enumerate(strings):
        _, pain, esr = resources()
        about = {"subject": {"reference": f"Patient/{PATIENT}"}}
        record = [{**one, **about} if "subject" in one else one for one in (pain, esr, *said(text, number))]
        found.append(decided_on(*record).cards)
    assert all(found)
    return found


@pytest.mark.parametrize("profile", PROFILES)
def test_nothing_of_a_record_runs_on_a_card_shown_without_care(
    watched: Watched, all_cards: list[tuple[Card, ...]], profile: Any
) -> None:
    """An EHR that renders what it gets, Markdown with HTML in it, and has no policy for its page."""
    client = Client(id="ehr", profile=profile)
    shown = []
    for written in all_cards:
        for card in orjson.loads(encode(Response(adapt(written, client))))["cards"]:
            parts = [card["summary"], card.get("detail", ""), card["source"]["label"]]
            parts += [one["label"] for one in card.get("suggestions", [])]
            parts += [act["description"] for one in card.get("suggestions", []) for act in one["actions"]]
            shown += parts if profile == "epic" else [MARKDOWN.render(part) for part in parts]
    assert len(shown) > len(all_cards)
    watched.page.set_content(f"<!doctype html><title>EHR</title>{'<hr>'.join(shown)}")
    watched.page.wait_for_timeout(50)
    watched.assert_quiet(scripts="script")
