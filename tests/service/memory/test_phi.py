"""PHI canary: distinctive strings planted wherever a person's data can be are found nowhere that is kept or
shown.
"""

import io
import sqlite3
from pathlib import Path
from typing import Any

import orjson
import pytest

from service.logs import configure
from tests.service.facts.build import Json
from tests.service.memory.http import HOOK, prefetch, site
from tests.service.memory.samples import record
from tests.service.terminal import tocsin

MARK = "ZQXCANARY"
TOKEN = "t" * 20
JSON = {"Content-Type": "application/json"}


def planted() -> dict[str, Any]:
    """A call with a canary in every place that may hold a person's data or a secret."""
    resources: list[Json] = []
    for resource in record():
        given = orjson.loads(orjson.dumps(resource).replace(b'"p1"', b'"%s-p"' % MARK.encode()))
        given = orjson.loads(orjson.dumps(given).replace(b"Patient/p1", b"Patient/%s-p" % MARK.encode()))
        given["id"] = f"{MARK}-p" if given["resourceType"] == "Patient" else f"{MARK}-{given['id']}"
        given["text"] = {"status": "generated", "div": f"<div>{MARK}</div>"}
        given["identifier"] = [{"value": MARK}]
        if "code" in given:
            given["code"]["text"] = MARK
            given["code"]["coding"] += [
                {"system": f"http://{MARK}.example", "code": MARK, "display": MARK},
                {"system": "http://snomed.info/sct", "code": MARK, "display": MARK},
            ]
            given["note"] = [{"text": MARK}]
        resources.append(given)
    resources[0]["name"] = [{"family": MARK, "given": [MARK]}]
    resources[0]["telecom"] = [{"value": MARK}]
    return {
        "hook": "patient-view",
        "hookInstance": f"{MARK}-instance",
        "fhirServer": f"https://{MARK}.example.org/fhir",
        "fhirAuthorization": {
            "access_token": MARK,
            "token_type": "Bearer",
            "expires_in": 300,
            "scope": MARK,
            "subject": MARK,
        },
        "context": {"userId": f"Practitioner/{MARK}", "patientId": f"{MARK}-p", "encounterId": f"{MARK}-e"},
        "prefetch": dict(prefetch(tuple(resources))),
    }


def feedback(card: str) -> bytes:
    entry = {
        "card": card,
        "outcome": "overridden",
        "overrideReason": {"reason": {"code": f"{MARK} said", "system": f"{MARK} list"}, "userComment": MARK},
        "outcomeTimestamp": MARK,
    }
    return orjson.dumps({"feedback": [entry, {**entry, "card": f"{MARK}-card"}, {"card": MARK}]})


async def test_canaries_are_found_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown: list[str] = []
    log = io.BytesIO()
    async with site(monkeypatch, state_dir=tmp_path, admin_token=TOKEN) as worker:
        configure("debug", log)
        reply = await worker.client.post(HOOK, json=planted(), headers={"Authorization": f"Bearer {MARK}"})
        (card,) = reply.json()["cards"]
        taken = await worker.client.post(f"{HOOK}/feedback", content=feedback(card["uuid"]), headers=JSON)
        assert taken.status_code == 200
        for body in (orjson.dumps({**planted(), "context": {MARK: MARK}}), MARK.encode(), b'{"hook": 1}'):
            refused = await worker.client.post(HOOK, content=body, headers=JSON)
            assert refused.status_code >= 400
            shown.append(refused.text)
        for path in ("/metrics", "/readyz", f"/decisions/{MARK}-instance"):
            found = await worker.client.get(path, headers={"Authorization": f"Bearer {TOKEN}"})
            assert found.status_code == 200
            shown.append(found.text)
        configure("error")
    monkeypatch.setenv("TOCSIN_STATE_DIR", str(tmp_path))
    span = ("--since", "2026-11-01", "--until", "2026-12-01")
    for command in (
        ("decisions", "list", *span),
        ("decisions", "show", f"{MARK}-instance"),
        ("decisions", "export", *span),
        ("decisions", "export", *span, "--format", "csv"),
        ("decisions", "feedback", *span),
        ("report", *span, "--format", "json"),
        ("report", *span, "--format", "html"),
    ):
        code, said, wrong = tocsin(capsys, *command)
        assert code == 0, wrong
        shown += [said, wrong]
    assert log.getvalue().count(b"\n") >= 4
    assert MARK not in log.getvalue().decode()
    assert MARK.lower() not in "\n".join(shown).lower()
    with sqlite3.connect(tmp_path / "tocsin.sqlite") as connection:
        assert MARK.lower() not in "\n".join(connection.iterdump()).lower()
    connection.close()
