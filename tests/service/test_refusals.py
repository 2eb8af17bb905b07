"""Why new rules were not taken: a code, a sentence without paths, and since when."""

from rules.engine import ArchiveError, BundleError, Problem
from service.refusals import Refusal, Reloads, refusal_of

AT = 1_795_000_000.0


def test_an_archive_is_named_without_its_folder() -> None:
    refusal = refusal_of(ArchiveError("bundle-unsigned", "It is.", "Sign it."), "rules.tar.gz", AT)
    assert refusal == Refusal("bundle-unsigned", "rules.tar.gz: It is. Sign it.", AT)
    assert str(refusal) == (
        "bundle-unsigned: new rules are refused since 2026-11-18T11:06:40+00:00, those before stay in force. "
        "rules.tar.gz: It is. Sign it."
    )


def test_of_broken_rules_the_first_place_is_told_and_no_content() -> None:
    one = Problem("catalogue/a/rule.yaml", 3, "R002", "secret")
    assert refusal_of(BundleError([one]), "x", AT).says == "catalogue/a/rule.yaml:3: R002."
    two = refusal_of(BundleError([one, Problem("units.yaml", 1, "R001", "secret")]), "x", AT)
    assert (two.code, two.says) == ("rules-broken", "catalogue/a/rule.yaml:3: R002 and 1 more.")


def test_a_fault_of_ours_tells_nothing_of_itself() -> None:
    refusal = refusal_of(ValueError("secret"), "rules.tar.gz", AT)
    assert refusal.code == "rules-fault"
    assert "secret" not in str(refusal)


def test_there_is_a_warning_while_rules_are_refused() -> None:
    assert Reloads().warnings() == []
    refusal = Refusal("a", "b", AT)
    assert Reloads(refusal).warnings() == [str(refusal)]
