"""Kill switches: what they silence, where they are thrown, and that trouble changes nothing."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.memory.killswitch import REFRESH_S, Switches, silence_switched_off
from service.memory.rows import SwitchRow
from service.memory.sqlite import SqliteStore
from service.memory.store import StoreFailed
from service.memory.targets import Targets
from tests.service.decisions import BACK, decided, facts
from tests.service.memory.http import site
from tests.service.memory.samples import AT, CLIENT, NEW_BACK, record

CAUDA = "cauda-equina-red-flags"
ENTRY = "- {kind: %s, target: '%s', who: J. Smith, why: false alarms}\n"


@pytest.fixture
def store() -> Iterator[SqliteStore]:
    made = SqliteStore(None)
    made.open()
    yield made
    made.close()


def thrown(store: SqliteStore, kind: str, target: str = "", off: int = 1) -> None:
    store.add_switch(SwitchRow(AT, kind, target, off, "J. Smith", "false alarms"))


def states(switches: Switches) -> list[str]:
    decision = decided([NEW_BACK, CAUDA], facts(BACK))
    silence_switched_off(decision, switches, CLIENT)
    return [decision[rule].outcome for rule in (NEW_BACK, CAUDA)]


@pytest.mark.parametrize(
    ("kind", "target", "expected"),
    [
        ("service", "", ["suppressed", "suppressed"]),
        ("client", CLIENT, ["suppressed", "suppressed"]),
        ("client", "another", ["fired", "fired"]),
        ("module", "critical", ["fired", "suppressed"]),
        ("rule", NEW_BACK, ["suppressed", "fired"]),
    ],
)
def test_what_a_switch_silences(store: SqliteStore, kind: str, target: str, expected: list[str]) -> None:
    thrown(store, kind, target)
    switches = Switches(store, None)
    switches.refresh()
    assert switches.any()
    assert states(switches) == expected


def test_a_switch_that_is_taken_back_is_off_no_more(store: SqliteStore) -> None:
    switches = Switches(store, None)
    thrown(store, "service")
    switches.refresh()
    thrown(store, "service", off=0)
    switches.refresh()
    assert not switches.any()
    assert states(switches) == ["fired", "fired"]


def test_the_file_is_read_when_it_changes_and_forgotten_when_it_goes(
    store: SqliteStore, tmp_path: Path
) -> None:
    file = tmp_path / "killswitch.yaml"
    switches = Switches(store, file)
    switches.refresh()
    assert not switches.any()
    file.write_text(ENTRY % ("rule", NEW_BACK))
    switches.refresh()
    (row,) = switches.thrown()
    assert (row.kind, row.target, row.who, row.why) == ("rule", NEW_BACK, "J. Smith", "false alarms")
    file.write_text(ENTRY % ("service", ""))
    switches.refresh()
    assert states(switches) == ["suppressed", "suppressed"]
    file.unlink()
    switches.refresh()
    assert not switches.any()


@pytest.mark.parametrize(
    "text",
    [
        "just text",
        "- {kind: rule, target: r1, who: J}",
        "- {kind: planet, target: r1, who: J, why: x}",
        "- {kind: rule, who: J, why: x}",
        "- {kind: service, target: r1, who: J, why: x}",
        "- {kind: rule, target: r1, who: '  ', why: x}",
        "- {kind: rule, target: r1, who: J, why: ' '}",
        "- {kind: rule, target: ' ', who: J, why: x}",
        "- just text",
        "{kind: service, who: J, why: x}",
        "- [",
        "[" * 5000,
    ],
)
def test_a_file_that_is_wrong_changes_nothing_and_is_told(
    store: SqliteStore, tmp_path: Path, text: str
) -> None:
    file = tmp_path / "killswitch.yaml"
    file.write_text(ENTRY % ("rule", NEW_BACK))
    switches = Switches(store, file)
    switches.refresh()
    file.write_text(text)
    switches.refresh()
    assert states(switches) == ["suppressed", "fired"]
    assert "what was off stays off" in switches.problem
    file.write_text("")
    switches.refresh()
    assert (switches.problem, switches.any()) == ("", False)


def test_an_entry_that_cannot_be_used_costs_no_other(store: SqliteStore, tmp_path: Path) -> None:
    file = tmp_path / "killswitch.yaml"
    file.write_text("- {kind: rule, who: J, why: x}\n" + ENTRY % ("rule", NEW_BACK) + "- text\n")
    switches = Switches(store, file)
    switches.refresh()
    assert states(switches) == ["suppressed", "fired"]
    assert "in entry 1, 3; what was off stays off, and the others count" in switches.problem


def test_who_and_why_are_kept_without_the_blanks_around_them(store: SqliteStore, tmp_path: Path) -> None:
    file = tmp_path / "killswitch.yaml"
    file.write_text(f"- {{kind: rule, target: ' {NEW_BACK} ', who: ' J. Smith ', why: ' x '}}")
    switches = Switches(store, file)
    switches.refresh()
    (row,) = switches.thrown()
    assert (row.target, row.who, row.why) == (NEW_BACK, "J. Smith", "x")


def test_a_switch_for_what_is_not_known_is_told_and_waits_for_it(store: SqliteStore, tmp_path: Path) -> None:
    file = tmp_path / "killswitch.yaml"
    typo = CAUDA[:-1]
    file.write_text(
        ENTRY % ("rule", NEW_BACK)
        + ENTRY % ("rule", typo)
        + ENTRY % ("module", "surgical")
        + ENTRY % ("client", "elsewhere")
    )
    switches = Switches(store, file)
    switches.targets = Targets(frozenset((NEW_BACK, CAUDA)), frozenset(("critical",)), frozenset((CLIENT,)))
    switches.refresh()
    assert states(switches) == ["suppressed", "fired"]
    unknown = "Switched off, but not known here, so nothing is silenced:"
    assert switches.warnings() == [
        f"Switched off: rule {NEW_BACK}.",
        f"{unknown} rule {typo} (is it {CAUDA}?).",
        f"{unknown} module surgical (is it critical?).",
        # Who calls is not for everyone who may ask /readyz.
        f"{unknown} client elsewhere.",
    ]
    switches.targets = Targets(frozenset((NEW_BACK, typo)), frozenset(("surgical",)), frozenset())
    assert f"Switched off: rule {typo}." in switches.warnings()


def test_a_file_that_cannot_be_looked_at_changes_nothing(store: SqliteStore, tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.write_text("a file where a folder should be")
    switches = Switches(store, folder / "killswitch.yaml")
    switches.refresh()
    assert switches.problem == "killswitch.yaml cannot be read (Not a directory); what was off stays off."


def test_a_file_is_read_as_soon_as_it_may_be(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Permissions are not part of what is compared. A test that runs as root is denied nothing, so opening
    is made to fail.
    """
    file = tmp_path / "killswitch.yaml"
    file.write_text(ENTRY % ("service", ""))
    switches = Switches(store, file)
    may_read = Path.open

    def denied(path: Path, *arguments: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    switches.refresh()
    assert not switches.any()
    assert switches.problem == "killswitch.yaml cannot be read (Permission denied); what was off stays off."
    monkeypatch.setattr(Path, "open", may_read)
    switches.refresh()
    assert (switches.off("service") is not None, switches.problem) == (True, "")


def test_a_folder_that_opens_again_ends_the_warning(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "killswitch.yaml"
    file.write_text(ENTRY % ("service", ""))
    switches = Switches(store, file)
    switches.refresh()
    may_look = Path.stat

    def denied(path: Path, *arguments: Any, **options: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", denied)
    switches.refresh()
    assert "Permission denied" in switches.problem
    assert switches.any()
    monkeypatch.setattr(Path, "stat", may_look)
    switches.refresh()
    assert (switches.any(), switches.problem) == (True, "")


def test_while_the_store_fails_what_was_off_stays_off(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    thrown(store, "service")
    switches = Switches(store, None)
    switches.refresh()

    def broken(*_: Any) -> None:
        raise StoreFailed("gone")

    monkeypatch.setattr(store, "switches", broken)
    switches.refresh()
    assert states(switches) == ["suppressed", "suppressed"]


def test_it_is_time_to_look_again_well_within_five_seconds(store: SqliteStore) -> None:
    switches = Switches(store, None)
    assert switches.due()
    switches.refresh()
    assert not switches.due()
    assert REFRESH_S < 4


async def test_a_file_silences_a_running_service_and_readyz_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(monkeypatch, state_dir=tmp_path) as worker:
        assert await worker.call(*record())
        (tmp_path / "killswitch.yaml").write_text(ENTRY % ("rule", NEW_BACK))
        os.utime(tmp_path / "killswitch.yaml", (1, 1))
        monkeypatch.setattr(worker.desk.memory.switches, "_next", 0.0)
        await worker.desk.memory.settle()
        assert await worker.call(*record()) == []
        warnings = (await worker.client.get("/readyz")).json()["warnings"]
        assert f"Switched off: rule {NEW_BACK}." in warnings
        text = (await worker.client.get("/metrics")).text
        assert f'tocsin_cards_suppressed_total{{reason="SWITCH",rule_id="{NEW_BACK}"}} 1.0' in text
