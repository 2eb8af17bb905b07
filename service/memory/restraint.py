"""What keeps a card back although its rule fires: kill switches, earlier answers (S6), pilots, rate caps.

It comes between the suppressions that the data decides and the folding into cards. Only a call on which
something fires asks the store, and a store that does not answer keeps nothing back. No cap and no repetition
holds back a critical rule.
"""

import datetime as dt
from collections.abc import Sequence
from functools import partial

import msgspec

from rules.engine import Decision, Reason
from service.answering import Call, Considered
from service.memory.answered import silence_answered
from service.memory.fingerprint import Fingerprint, Watch
from service.memory.killswitch import silence_switched_off
from service.memory.memory import Memory
from service.memory.modes import Origin, silence_pilots
from service.memory.places import places
from service.memory.rows import AnswerRow
from service.memory.store import Store

__all__ = ["Caps", "Restraint"]

_ENCOUNTER_START = "encounter-start"
_DAY = dt.timedelta(days=1)


class Caps(msgspec.Struct, frozen=True):
    """Most cards, critical ones not counted out: for a clinician in 24 hours, and for an encounter. 0 is no
    cap.
    """

    per_clinician_day: int = 0
    per_encounter: int = 0


class _Past(msgspec.Struct, frozen=True):
    """What the store says about a patient: answers, what the start of this encounter showed (rule ->
    fingerprint), and cards shown to the clinician and in the encounter.
    """

    answers: Sequence[AnswerRow] = ()
    repeated: dict[str, str] = {}
    to_clinician: int = 0
    in_encounter: int = 0


def _origin(considered: Considered, client: str) -> Origin:
    context = considered.call.context
    resources = (resource for _, resource in considered.gathered.resources)
    at = places(context.encounter_id, considered.record, resources)
    return Origin(client, context.patient_id, context.user_id or "", at)


class Restraint:
    """Applies them to one call after another."""

    def __init__(
        self, memory: Memory, watch: Watch, *, per_clinician: bool = False, caps: Caps | None = None
    ) -> None:
        """With `per_clinician` only the same clinician's answers keep a card quiet."""
        self._memory = memory
        self._watch = watch
        self._per_clinician = per_clinician
        self._caps = caps or Caps()

    async def apply(self, considered: Considered, client: str, *, remembers: bool = True) -> None:
        """Suppress what is kept back. Without `remembers` nothing earlier counts, as for a canary's call."""
        decision, call = considered.decision, considered.call
        context = call.context
        switches = self._memory.switches
        if switches.any():
            silence_switched_off(decision, switches, client)
        silence_pilots(decision, partial(_origin, considered, client))
        if not remembers or not decision.fired():
            return
        past = await self._past(call, client, dt.timedelta(days=decision.bundle.overlay.longest_quiet))
        if past.answers:
            clinician = self._hash(client, context.user_id) if self._per_clinician else ""
            silence_answered(decision, past.answers, self._watch, call.now, clinician)
        self._silence_repeated(decision, past)
        self._hold_caps(decision, past)

    async def _past(self, call: Call, client: str, longest: dt.timedelta) -> _Past:
        context, caps = call.context, self._caps
        patients = self._memory.pseudonyms.every(client, context.patient_id)
        clinician = self._hash(client, context.user_id) if caps.per_clinician_day and context.user_id else ""
        starts = call.hook == _ENCOUNTER_START and context.encounter_id is not None
        encounter = ""
        if starts or caps.per_encounter:
            encounter = self._memory.pseudonyms.of_encounter(client, context.patient_id, context.encounter_id)
        now = call.now.timestamp()

        def read(store: Store) -> _Past:
            return _Past(
                store.answers(patients, now - longest.total_seconds()),
                store.shown_at(call.hook, encounter, now - _DAY.total_seconds()) if starts else {},
                store.shown_to(clinician, now - _DAY.total_seconds()) if clinician else 0,
                store.shown_in(encounter) if encounter and caps.per_encounter else 0,
            )

        return await self._memory.read(read) or _Past()

    def _hash(self, client: str, identifier: str | None) -> str:
        return self._memory.pseudonyms.of(client, identifier) if identifier else "nobody"

    def _silence_repeated(self, decision: Decision, past: _Past) -> None:
        """EHRs fire encounter-start again when a chart is opened again: the same card is not sent twice a
        day.
        """
        for outcome in decision.fired() if past.repeated else ():
            rule = decision.bundle.programs[outcome.rule].rule
            shown = past.repeated.get(rule.id)
            if shown is None or outcome.urgency == "critical":
                continue
            try:
                earlier = Fingerprint.decode(shown)
            except msgspec.DecodeError:
                continue
            if not self._watch.fingerprint(rule, decision.facts).adds_to(earlier):
                decision.suppress(rule.id, Reason("REPEAT", "Sent before at the start of this encounter"))

    def _hold_caps(self, decision: Decision, past: _Past) -> None:
        caps = self._caps
        over = (caps.per_clinician_day and past.to_clinician >= caps.per_clinician_day) or (
            caps.per_encounter and past.in_encounter >= caps.per_encounter
        )
        for outcome in decision.fired() if over else ():
            if outcome.urgency != "critical":
                decision.suppress(
                    outcome.rule, Reason("CAP", "The most cards for one clinician or encounter are sent")
                )
