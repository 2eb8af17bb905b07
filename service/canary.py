"""Made-up patients posted through the real endpoint of a running service, and whether the answers are right.

Rules that stop firing are hard to notice, since no card is the usual answer. A canary patient must have its
card, the exact one, in time; another must have none. Source: users-and-ops.md 3.2, malfunction watch.
"""

import datetime as dt
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from service.cards import FINDINGS
from service.demo import load, to_request
from service.desk import SERVICE_ID
from service.smart import signing_key
from service.trust import CANARY_PATIENTS

__all__ = ["PROBES", "Probe", "Sighting", "Signature", "probe_all", "series", "warnings_of", "write_metrics"]

_PATH = f"/cds-services/{SERVICE_ID}"
_LIFE_S = 120
_PATIENCE_S = 10.0


class Probe(msgspec.Struct, frozen=True):
    """A bundled patient, the cards it must get as (lead rule, indicator), and what that shows."""

    patient: str
    cards: tuple[tuple[str, str], ...]
    shows: str


PROBES: tuple[Probe, ...] = (
    Probe("cord", (("mscc-cancer-neuro-signs", "critical"),), "a critical card comes"),
    Probe("cauda", (("cauda-equina-red-flags", "critical"),), "a critical card comes without cancer"),
    Probe("esr", (("esr-crp-markedly-raised-persistent-pain", "warning"),), "laboratory results are read"),
    Probe("crp-no-unit", (("missing-baseline-bloods", "info"),), "a number without a unit cannot tell"),
    Probe("mri-done", (), "what is being looked into stays quiet"),
    Probe("quiet", (), "plain back pain stays quiet"),
)


class Sighting(msgspec.Struct, frozen=True):
    """How one probe ended. `problem` is empty, or unreachable, refused, not-hooks, wrong-cards or too-slow;
    `said` is a sentence about it. `seconds` is the time of the whole exchange.
    """

    patient: str
    problem: str
    said: str
    seconds: float
    cards: tuple[tuple[str, str], ...] = ()


class Signature:
    """Signs calls as a client of TOCSIN_CLIENTS does. `audience` is the public URL of the service.

    Raises InvalidKey for a key that is no private JWK of RSA, or of EC on P-384.
    """

    def __init__(self, key: bytes, issuer: str, audience: str, tenant: str = "") -> None:
        self._key: RSAKey | ECKey
        self._key, self._algorithm = signing_key(key)
        self._claims = {"iss": issuer, "aud": audience.rstrip("/") + _PATH}
        if tenant:
            self._claims["tenant"] = tenant

    def headers(self) -> dict[str, str]:
        """The header of one call: a token is taken only once."""
        now = int(time.time())
        header = {"alg": self._algorithm, "kid": self._key.kid or self._key.thumbprint(), "typ": "JWT"}
        claims = {**self._claims, "iat": now, "exp": now + _LIFE_S, "jti": str(uuid.uuid4())}
        token = jwt.encode(header, claims, self._key, algorithms=[self._algorithm])
        return {"Authorization": f"Bearer {token}"}


def probe_all(
    client: httpx.Client,
    probes: Sequence[Probe],
    *,
    today: dt.date,
    budget_s: float,
    signature: Signature | None = None,
    silent: bool = False,
) -> list[Sighting]:
    """Post the patients one after another. `client` has the URL of the service as its base.

    `silent`: every rule runs in silent mode, so that nobody may get a card.
    """
    return [
        _probe(
            client, msgspec.structs.replace(probe, cards=()) if silent else probe, today, budget_s, signature
        )
        for probe in probes
    ]


def warnings_of(client: httpx.Client) -> list[str]:
    """What /readyz warns of, such as kill switches; nothing when it cannot be read."""
    try:
        found = client.get("/readyz", timeout=_PATIENCE_S).json()["warnings"]
    except (httpx.HTTPError, ValueError, LookupError, TypeError):
        return []
    texts = [text for text in found if isinstance(text, str)] if isinstance(found, list) else []
    # What the site file lacks keeps no card back.
    return [text for text in texts if ": warning: " not in text]


def series(sightings: Sequence[Sighting], at: float) -> CollectorRegistry:
    """The round as metrics; `at` is its time in seconds since 1970."""
    registry = CollectorRegistry()
    success = Gauge("tocsin_canary_success", "Whether the answer was right", ["patient"], registry=registry)
    duration = Gauge(
        "tocsin_canary_duration_seconds", "Time of the whole exchange", ["patient"], registry=registry
    )
    for one in sightings:
        success.labels(one.patient).set(not one.problem)
        duration.labels(one.patient).set(one.seconds)
    Gauge("tocsin_canary_last_run_timestamp_seconds", "When the last round ended", registry=registry).set(at)
    return registry


def write_metrics(file: Path, sightings: Sequence[Sighting], at: float) -> None:
    """Put the round into a file for node_exporter's textfile collector, at once. Raises OSError."""
    write_to_textfile(str(file), series(sightings, at))


def _probe(
    client: httpx.Client, probe: Probe, today: dt.date, budget_s: float, signature: Signature | None
) -> Sighting:
    body = _body(probe, today)
    began = time.perf_counter()
    try:
        headers = signature.headers() if signature is not None else {}
        answer = client.post(_PATH, json=body, headers=headers, timeout=_PATIENCE_S)
    except httpx.HTTPError as error:
        spent = time.perf_counter() - began
        return Sighting(probe.patient, "unreachable", f"No answer ({type(error).__name__}).", spent)
    spent = time.perf_counter() - began
    if answer.status_code != 200:
        return Sighting(probe.patient, "refused", f"HTTP {answer.status_code}{_code(answer)}.", spent)
    try:
        cards = _cards(answer.json())
    except (ValueError, LookupError, TypeError, AttributeError):
        return Sighting(probe.patient, "not-hooks", "The answer is none of this service.", spent)
    if sorted(cards) != sorted(probe.cards):
        said = f"{_listed(cards)} instead of {_listed(probe.cards)}."
        return Sighting(probe.patient, "wrong-cards", said, spent, cards)
    if spent > budget_s:
        said = f"It took longer than {1000 * budget_s:.0f} ms."
        return Sighting(probe.patient, "too-slow", said, spent, cards)
    return Sighting(probe.patient, "", probe.shows[0].upper() + probe.shows[1:] + ".", spent, cards)


def _body(probe: Probe, today: dt.date) -> dict[str, Any]:
    patient = next(one for one in load() if one.id == f"demo-{probe.patient}")
    named = msgspec.structs.replace(patient, id=f"{CANARY_PATIENTS}{probe.patient}")
    return to_request(named, today, str(uuid.uuid4()))


def _cards(answer: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """(lead rule, indicator) of each card. Raises LookupError, TypeError or AttributeError for other JSON."""
    found = []
    for card in answer["cards"]:
        (lead,) = (one["rule"] for one in card["extension"][FINDINGS] if one["role"] == "lead")
        found.append((str(lead), str(card["indicator"])))
    return tuple(found)


def _listed(cards: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"{rule} ({indicator})" for rule, indicator in cards) or "no card"


def _code(answer: httpx.Response) -> str:
    """The stable code of a refusal; a 401 has none."""
    try:
        code = answer.json()["issue"][0]["details"]["coding"][0]["code"]
    except (ValueError, LookupError, TypeError):
        return ""
    return f" {code}" if isinstance(code, str) and len(code) <= 64 else ""
