"""The override reasons offered on every card."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hooks.override_reasons import NON_ADHERENCE, OVERRIDE_REASONS, TOCSIN


def codes(concepts: list[dict[str, Any]]) -> Iterator[str]:
    for concept in concepts:
        yield concept["code"]
        yield from codes(concept.get("concept", []))


def test_the_eight_reasons_each_have_their_own_code_and_wording() -> None:
    assert len(OVERRIDE_REASONS) == 8
    assert len({(reason.system, reason.code) for reason in OVERRIDE_REASONS}) == 8
    assert len({reason.display for reason in OVERRIDE_REASONS}) == 8
    assert {reason.system for reason in OVERRIDE_REASONS} == {NON_ADHERENCE, TOCSIN}


def test_codes_of_hl7_exist_and_ours_do_not_look_like_them(protocol: Path) -> None:
    path = protocol / "upstream" / "hl7-cds-hooks" / "CodeSystem-non-adherence-reason-codes.json"
    system = json.loads(path.read_text("utf-8"))
    known = set(codes(system["concept"]))
    assert system["url"] == NON_ADHERENCE
    for reason in OVERRIDE_REASONS:
        assert (reason.code in known) is (reason.system == NON_ADHERENCE)
