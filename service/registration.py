"""The registration sheet: everything the people of an EHR type in, and what is needed back from them.

Nothing is written down twice: services and prefetch are those of the discovery document, scopes come from the
templates, codes and links from the rules and from what writes cards. Source: users-and-ops.md 1.2, F07.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import orjson
from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from hooks import OVERRIDE_REASONS, REGISTRY
from rules.engine import Bundle, severity
from service.addresses import parse_base
from service.cards import TOPIC_SYSTEM, basis_url
from service.desk import SERVICE_ID, Desk
from service.registration_steps import EHRS, Ehr, EhrFacts
from service.tables import markdown_table
from service.trust import Client, TimeRules
from service.trust.clients import DEFAULT_ALGORITHMS

__all__ = ["Sheet", "as_html", "as_markdown", "links_of", "scopes_of"]

_TYPE = re.compile(r"[A-Z][A-Za-z]+")
_URL = re.compile(r"https?://[^\s()<>\"]+")
# Prescriptions that only refer to their medicine are read one by one (service.references).
_READ_ONLY = ("Medication", "Patient")


class Sheet(msgspec.Struct, frozen=True):
    """What a sheet is made from. `client` is its entry in the client list, if there is one already;
    `services` are the entries of the discovery document.
    """

    ehr: EhrFacts
    base_url: str
    bundle: Bundle
    services: Sequence[Mapping[str, Any]]
    client: Client | None = None

    @classmethod
    def of(cls, desk: Desk, ehr: Ehr, base_url: str, client: Client | None = None) -> "Sheet":
        """The sheet for a kind of EHR and the URL it is to call. Raises InvalidBase for the URL."""
        facts = EHRS[ehr]
        entries: list[dict[str, Any]] = orjson.loads(desk.discover(None))["services"]
        kept = [entry for entry in entries if not facts.hooks or entry["hook"] in facts.hooks]
        return cls(facts, parse_base(base_url).url, desk.knowledge.bundle, kept, client)


def scopes_of(templates: Iterable[str]) -> list[tuple[str, str, str]]:
    """Resource type, SMART v1 scope and SMART v2 scope of all that the prefetch templates ask for."""
    named = (_TYPE.match(template) for template in templates)
    types = {match.group() for match in named if match}
    if "MedicationRequest" in types:
        types.add("Medication")
    return [
        (kind, f"patient/{kind}.read", f"patient/{kind}.{'r' if kind in _READ_ONLY else 'rs'}")
        for kind in sorted(types)
    ]


def links_of(bundle: Bundle, base_url: str) -> list[str]:
    """Every URL that a card can hold: the basis of each rule, and what a site's words bring along."""
    found = [basis_url(base_url, rule_id) for rule_id in sorted(bundle.rules)]
    for rule in bundle.rules.values():
        for card in rule.card.values():
            found += (match.group() for text in card.texts for match in _URL.finditer(text))
    return list(dict.fromkeys(url for url in found if url.startswith("https:")))


def as_markdown(sheet: Sheet) -> str:
    """The sheet as GitHub Flavored Markdown. In code blocks a line is to be copied as it stands."""
    parts = [
        f"# Registration of Tocsin with {sheet.ehr.name}",
        f"For {sheet.base_url}, rules {sheet.bundle.version}. {sheet.ehr.standing}",
        "Enter what stands in code blocks letter by letter. Print the sheet again after each upgrade of the "
        "rules, because the codes in the prefetch may have changed.",
        _numbered("Steps", sheet.ehr.steps),
        _services(sheet),
        *_prefetch(sheet),
        _scopes(sheet),
        _token(sheet),
        _links(sheet),
        _network(sheet),
        _topics(sheet.bundle),
        _reasons(sheet.ehr),
        _needed(sheet.ehr),
    ]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def as_html(sheet: Sheet) -> str:
    """The same as one page that needs nothing else and prints well."""
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    environment = Environment(loader=PackageLoader("service"), autoescape=True, undefined=StrictUndefined)
    return environment.get_template("registration.html").render(
        title=f"Registration of Tocsin with {sheet.ehr.name}", body=Markup(reader.render(as_markdown(sheet)))
    )


# -- what they enter ---------------------------------------------------------------------------------


def _services(sheet: Sheet) -> str:
    base = f"{sheet.base_url}/cds-services"
    rows = [
        (f"`{entry['hook']}`", REGISTRY[entry["hook"]].version, f"`{base}/{entry['id']}`")
        for entry in sheet.services
    ]
    # One id and URL for all hooks tells a client that a later card replaces an earlier one.
    return "\n\n".join(
        [
            "## Services",
            f"Title: {sheet.services[0]['title']}. The URL is the same for every hook.",
            markdown_table(("Hook", "Hook version", "URL (POST)"), rows),
            markdown_table(
                ("Other endpoint", "URL"),
                (
                    ("discovery (GET)", f"`{base}`"),
                    ("feedback (POST)", f"`{base}/{SERVICE_ID}/feedback`"),
                ),
            ),
        ]
    )


def _prefetch(sheet: Sheet) -> Iterator[str]:
    """Hooks that ask for the same are told together. A line is `key = template`."""
    yield "## Prefetch\n\nEach line is a key, ` = `, and its template. Enter both as they stand."
    groups: dict[str, list[str]] = {}
    for entry in sheet.services:
        lines = "\n".join(f"{key} = {query}" for key, query in entry["prefetch"].items())
        groups.setdefault(lines, []).append(entry["hook"])
    for lines, names in groups.items():
        yield f"### Prefetch for {', '.join(names)}\n\n```text\n{lines}\n```"


def _scopes(sheet: Sheet) -> str:
    templates = [query for entry in sheet.services for query in entry["prefetch"].values()]
    rows = [(kind, f"`{one}`", f"`{two}`") for kind, one, two in scopes_of(templates)]
    return (
        f"## Scopes\n\n{sheet.ehr.scopes} Nothing is ever written.\n\n"
        f"{markdown_table(('Resource', 'SMART v1', 'SMART v2'), rows)}"
    )


def _token(sheet: Sheet) -> str:
    """The JWT of a call: what is looked at, and what it has to be."""
    client, times = sheet.client, TimeRules()
    algorithms = client.algorithms if client else DEFAULT_ALGORITHMS
    bases = (client.audience.bases if client else ()) or (sheet.base_url,)
    path = f"/cds-services/{SERVICE_ID}"
    rows = [
        ("`alg`", f"{', '.join(algorithms)}; never `none` or HS*"),
        ("`kid`", "names a key of the key set"),
        ("`typ`", "`JWT`"),
        ("`jku`", f"`{client.jku}`" if client and client.jku else "may be left out; else the one agreed"),
        ("`iss`", f"`{client.issuer}`" if client and client.issuer else "the one agreed, letter by letter"),
        ("`aud`", f"exactly the URL called: {', '.join(f'`{base}{path}`' for base in bases)}"),
        ("`aud` of feedback", f"`{bases[0]}{path}/feedback`, or that of the service"),
        ("`sub`", "not looked at"),
        (
            "`exp`, `iat`",
            f"at most {times.max_lifetime / 60:.0f} minutes apart; clocks within {times.leeway:.0f} s",
        ),
        ("`nbf`", "if there, in the past"),
        ("`jti`", "new in each token: one that was used is refused"),
        ("`tenant`", _tenants(client)),
    ]
    named = f" of client `{client.id}`" if client else ""
    refused = "Anything else is answered 401 without a reason; our log has it."
    return f"## Token of a call{named}\n\n{markdown_table(('Member', 'Must be'), rows)}\n{refused}"


def _tenants(client: Client | None) -> str:
    if client is not None and client.tenants:
        return f"one of {', '.join(f'`{tenant}`' for tenant in sorted(client.tenants))}"
    return "may be left out, unless `iss` is shared by several customers"


def _links(sheet: Sheet) -> str:
    found = links_of(sheet.bundle, sheet.base_url)
    if not found:
        return "## Links\n\nCards hold no links, because the base URL is not https."
    return (
        "## Links\n\nEvery link that a card can hold. All lie below "
        f"`{sheet.base_url}/rules/` unless the site file has others; the browser of the clinician must reach "
        "them. No SMART app is launched.\n\n```text\n" + "\n".join(found) + "\n```"
    )


def _network(sheet: Sheet) -> str:
    base, client = parse_base(sheet.base_url), sheet.client
    servers = ", ".join(f"`{server.url}`" for server in client.fhir_servers) if client else ""
    origins = ", ".join(f"`{origin}`" for origin in sorted(client.cors_origins)) if client else ""
    keys = f"`{client.jku}`" if client and client.jku and client.jwks is None else ""
    rows = [
        (
            "into Tocsin",
            f"`{base.host}`, TCP {base.port}, TLS 1.2 or later",
            "servers of the EHR, browsers for links",
        ),
        ("out of Tocsin", servers or "the FHIR base URL", "reads what prefetch lacks"),
        (
            "out of Tocsin",
            keys or "the `jku`, if keys are not given by hand",
            "keys, every ten minutes at most",
        ),
        ("web origins (CORS)", origins or "none", "only for EHRs that call from a browser"),
    ]
    return f"## Network\n\n{markdown_table(('Way', 'Address', 'For'), rows)}"


def _topics(bundle: Bundle) -> str:
    rules = sorted(bundle.rules.values(), key=lambda rule: (severity(rule.urgency), rule.id))
    rows = [(f"`{rule.topic}`", rule.title, rule.urgency, ", ".join(rule.hooks)) for rule in rules]
    return (
        f"## Topics of cards\n\n`source.topic`, system `{TOPIC_SYSTEM}`. A code never changes and is never "
        "used again, so overrides can be remembered by it. A site or the record may lower the urgency.\n\n"
        f"{markdown_table(('Code', 'Title', 'Urgency', 'Hooks'), rows)}"
    )


def _reasons(ehr: EhrFacts) -> str:
    rows = [(f"`{one.code}`", f"`{one.system}`", one.display, "") for one in OVERRIDE_REASONS]
    head = ("Code", "System", "Display", f"Code in {ehr.name}")
    return (
        "## Override reasons\n\nEvery card offers these. Map each to a reason of the EHR.\n\n"
        f"{markdown_table(head, rows)}"
    )


# -- what we need ------------------------------------------------------------------------------------


def _needed(ehr: EhrFacts) -> str:
    rows = [(what, f"`{where}`" if where != "-" else "", "") for what, where in ehr.needed]
    return f"## Needed back\n\n{markdown_table(('What', 'Goes to', 'Answer'), rows)}"


def _numbered(title: str, lines: Iterable[str]) -> str:
    return f"## {title}\n\n" + "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1))
