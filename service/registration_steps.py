"""What differs between EHRs when a CDS Hooks service is registered, in our own words.

Sources: users-and-ops.md 1.2 and 4.1; conformance notes 4.2. Epic: its public CDS Hooks page with features up
to February 2024. Oracle Health: a beta text of 2021 for Cerner Millennium that was never merged. Neither was
tried against a running system, and steps that rest on less are marked.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

__all__ = ["EHRS", "Ehr", "EhrFacts"]

Ehr = Literal["epic", "oracle", "generic"]

_UNVERIFIED = "(unverified)"


class EhrFacts(msgspec.Struct, frozen=True):
    """One kind of EHR. `hooks` are those it calls, empty for any; `needed` is what we ask its people for;
    `standing` says how far all this was checked.
    """

    name: str
    standing: str
    hooks: tuple[str, ...]
    scopes: str
    steps: tuple[str, ...]
    needed: tuple[tuple[str, str], ...]


_NEEDED = (
    ("FHIR base URL, R4", "fhir_servers"),
    ("`iss` of its tokens, letter by letter", "issuer"),
    ("address of its key set (`jku`), or the keys", "jku, jwks or jwks_file"),
    ("algorithm it signs with", "algorithms"),
    ("tenants that may call, if `iss` is shared", "tenants"),
    ("a sample token, for `tocsin doctor --token-file`", "-"),
    ("network addresses it calls from", "your firewall"),
    ("test patients, and who looks at the cards", "-"),
)

EHRS: Mapping[Ehr, EhrFacts] = {
    "epic": EhrFacts(
        name="Epic",
        standing="From Epic's public page with features up to February 2024; not tried against an Epic.",
        hooks=("patient-view", "order-select", "order-sign"),
        scopes="Epic grants APIs by name, not SMART scopes: select read and search of each resource below.",
        steps=(
            "Register a backend app on Epic on FHIR with FHIR version R4: it decides URL and resources.",
            "Select the APIs of all resources below. A prefetch query that is not in scope is not filled.",
            "For draft orders select the APIs of unsigned orders too; without them `draftOrders` is empty.",
            "Enter each service URL exactly as below: a call to another spelling arrives without content.",
            "Enter the prefetch into the advisory record of each customer. Discovery is never read.",
            "Enter `iss`, `aud` and `sub` by hand; `aud` is the service URL.",
            "Narrow the advisory to adults with a problem of back or hip pain: Epic advises against a call "
            "at each opening of a chart.",
            "Map the indicators, the override reasons and the suggested orders to those of the customer. "
            "Labels of suggestions and links are not shown.",
            "Register the links below. One part of the page says reference links need none, another that "
            f"links are on a list {_UNVERIFIED}.",
            "Set `profile: epic` for this client of Tocsin.",
            f"Request a new app record when the app is ready for production {_UNVERIFIED}.",
        ),
        needed=(*_NEEDED, ("a time limit for answers; none is published", "TOCSIN_BUDGET_MS")),
    ),
    "oracle": EhrFacts(
        name="Oracle Health",
        standing="From a beta text of 2021 that was never merged: unverified. Ask for the current guide.",
        hooks=("patient-view",),
        scopes="Scopes are registered by hand.",
        steps=(
            f"Send Oracle hook, title, service URL, FHIR server, scopes, links and tenants {_UNVERIFIED}.",
            f"Name the condition that triggers the call: adults, say, with back or hip pain {_UNVERIFIED}.",
            f"Register the links below: others are removed from cards {_UNVERIFIED}.",
            f"Expect one `iss` for all customers, so list the tenants that may call {_UNVERIFIED}.",
            f"Confirm that the `jku` of a sample token is on the published list of Oracle {_UNVERIFIED}.",
            "Agree with the clinical owner on critical cards: they pop up, others stand in a narrow panel "
            f"{_UNVERIFIED}.",
            "Set `profile: oracle` for this client of Tocsin: plain text, short first line, no SMART links.",
        ),
        needed=(*_NEEDED, ("which of suggestions, override reasons and feedback it supports", "-")),
    ),
    "generic": EhrFacts(
        name="your EHR",
        standing="From CDS Hooks 2.0.1 and the 3.0 ballot.",
        hooks=(),
        scopes="The token that comes with a call (`fhirAuthorization`) needs these scopes.",
        steps=(
            "Give it the discovery URL, or enter the services and the prefetch below by hand.",
            "Let it sign each call, and let `aud` be exactly the URL that is called.",
            "Let it send `fhirServer` and `fhirAuthorization`, so that prefetch it cannot fill is read.",
            "Put the service and the links below on its lists of what is allowed.",
            "Switch feedback on, to the feedback URL below.",
        ),
        needed=_NEEDED,
    ),
}
