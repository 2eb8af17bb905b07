"""What a kill switch may name."""

import re
from pathlib import Path

import pytest

from service.errors import answer
from service.memory.targets import SwitchTargetUnknown, Targets
from tests.service.calls import bundled_knowledge

TARGETS = Targets(
    frozenset(map("rule-{}".format, range(9))), frozenset(("critical", "standard")), frozenset()
)


@pytest.mark.parametrize(
    ("kind", "target", "known"),
    [
        ("service", "", True),
        ("rule", "rule-1", True),
        ("rule", "critical", False),
        ("rule", "Rule-1", False),
        ("module", "critical", True),
        ("client", "any", False),
    ],
)
def test_names_are_known_by_kind(kind: str, target: str, known: bool) -> None:
    assert TARGETS.knows(kind, target) is known


@pytest.mark.parametrize(
    ("kind", "target", "near"),
    [
        ("rule", "rule_1", 3),
        ("rule", "nothing like it", 0),
        ("module", "nothing like it", 2),
        ("client", "any", 0),
    ],
)
def test_names_like_it_are_few(kind: str, target: str, near: int) -> None:
    assert len(TARGETS.near(kind, target)) == near


def test_the_rules_in_force_and_their_modules_are_known() -> None:
    bundle = bundled_knowledge().bundle
    known = Targets.of(bundle, ["north"])
    assert known.rule == set(bundle.programs)
    assert known.module == {"critical", "standard"}
    assert known.client == {"north"}


def test_the_guide_names_every_module(repository: Path) -> None:
    guide = (repository / "docs/how-to/stop-cards.md").read_text("utf-8")
    (row,) = (line for line in guide.splitlines() if line.startswith("| `module` |"))
    rules = bundled_knowledge().bundle.rules.values()
    assert set(re.findall(r"`([a-z]+)`", row)) - {"module"} == {rule.module for rule in rules}
    assert {rule.module for rule in rules if rule.urgency == "critical"} == {"critical"}
    assert "critical" not in {rule.urgency for rule in rules if rule.module != "critical"}


def test_the_refusal_names_what_may_have_been_meant_and_repeats_nothing() -> None:
    told = answer(SwitchTargetUnknown(["rule-1", "rule-2"]))
    assert (told.code, told.status) == ("switch-target-unknown", 422)
    assert b"Names like it: rule-1, rule-2." in told.body
    assert b"Names like it" not in answer(SwitchTargetUnknown()).body
