"""A simulated month in a store: three rules at two clients, of which one breaks and one can tell less."""

import random
from collections.abc import Iterator

from service.memory.rows import BundleRow, CallRow, CardRow, FeedbackRow
from service.memory.store import Batch, Store
from tests.service.memory.samples import call_row, card_row, feedback_row

__all__ = ["END", "START", "fill_month"]

START = 1_795_564_800.0 - 28 * 86_400
"""Midnight UTC, 28 days before 25 November 2026."""
END = START + 28 * 86_400
_DAY_S = 86_400
_RULES = '[["steady","1.0.0"],["breaks","1.0.0"],["blind","2.0.0"]]'


def fill_month(store: Store, calls_a_day: int = 60) -> None:
    """On each day: "steady" fires on every fourth call and is suppressed on every twelfth; "breaks" fires on
    every tenth until the last week; "blind" cannot tell on a tenth of the calls, in the last week on half of
    them.
    """
    store.write(Batch(bundles=[BundleRow("sha256:b", "2026.11.0", _RULES, START)]))
    chance = random.Random(4)
    for day in range(28):
        batch = Batch()
        for number in range(calls_a_day):
            call, cards, answers = _call(chance, day, number)
            batch.calls.append(call)
            batch.cards += cards
            batch.feedback += answers
        store.write(batch)


def _call(chance: random.Random, day: int, number: int) -> tuple[CallRow, list[CardRow], list[FeedbackRow]]:
    at = START + day * _DAY_S + number * 60
    last_week = day >= 21
    instance = f"{day}-{number}"
    fires = {"steady": number % 4 == 0, "breaks": number % 10 == 0 and not last_week}
    quiet = number % 12 == 0
    cannot = number % 2 == 0 if last_week else number % 10 == 0
    letters = ("s" if quiet else "F") if fires["steady"] else "n"
    letters += ("F" if fires["breaks"] else "n") + ("u" if cannot else "x")
    members = {"at": at, "instance": instance, "patient": f"k.p{number}", "client": f"ward-{number % 2}"}
    shown = [rule for rule, fired in fires.items() if fired and not (rule == "steady" and quiet)]
    call = call_row(
        **members,
        cards=len(shown),
        outcomes=letters,
        moved='{"steady":"S6"}' if fires["steady"] and quiet else "{}",
        missing='["cancer.any","neuro.any_new"]' if cannot else "[]",
        total_ms=float(1 + number),
    )
    cards = [
        card_row(**members, card=f"{rule}-{instance}", rule=rule, clinician=f"k.u{number % 3}")
        for rule in shown
    ]
    return call, cards, list(_answers(chance, cards, at))


def _answers(chance: random.Random, cards: list[CardRow], at: float) -> Iterator[FeedbackRow]:
    for card in cards:
        if chance.random() < 0.7:
            reason = chance.choice(("patient-refuses", "action-completed", "record-wrong"))
            outcome = chance.choice(("accepted", "overridden"))
            yield feedback_row(
                id=card.card,
                card=card.card,
                client=card.client,
                at=at + 30,
                outcome=outcome,
                reason=reason if outcome == "overridden" else "",
            )
