"""What a card rested on, so that a later call can tell whether there is anything new or worse (suppression
S6).

Time alone must not count: a duration grows by a day each day. So of a duration only its event's date is kept,
of a measured value its level among the thresholds of all rules, and of a statement only that it holds. Signs
of the nervous system and of the examination belong to every rule's fingerprint, whether the rule reads them
or not. Source: rules.yaml suppression_codes S6 ("and the fact hash is unchanged").
"""

import datetime as dt
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from rules.engine import Bundle, Fact, FactSet, FactSpec, Rule, Span

__all__ = ["MATERIAL", "SETTLING_DAYS", "Fingerprint", "Watch"]

MATERIAL = 0.10
"""Share by which a value must be worse than when the card was answered; less is within what tests vary by."""

SETTLING_DAYS = 7
"""Days by which the date of the same finding may move, as records are completed, without counting as new."""

# Say nothing about a red flag by themselves: who the patient is, what is ordered, planned or on file.
_SILENT = ("person.", "orders.", "care.", "record.", "fired.")
# An event of these, seen again later, is a new event.
_EVENTS = ("neuro.", "exam.", "fracture.", "imaging.suspicious", "cancer.bone_metastases")
_SIGNS = ("neuro.", "exam.")
_LOWER_IS_WORSE = frozenset({"labs.haemoglobin.value", "labs.wbc.value"})
_NO_EVENT = "neuro.checked_days"

Level = tuple[str, Callable[[list[Any]], bool | None]]


class Fingerprint(msgspec.Struct, frozen=True):
    """`marks`: statements that hold, and levels reached ("labs.crp.value#1f2e3d4c"). `values` of facts that
    reach a level, `days` (ordinals) of events.
    """

    marks: tuple[str, ...] = ()
    values: Mapping[str, float] = {}
    days: Mapping[str, int] = {}

    def encode(self) -> str:
        return _ENCODER.encode(self).decode()

    @classmethod
    def decode(cls, text: str) -> "Fingerprint":
        """Raises msgspec.DecodeError for text that is none."""
        return _DECODER.decode(text)

    def adds_to(self, earlier: "Fingerprint") -> bool:
        """Whether there is anything here that was not there earlier, or is worse than it was."""
        return (
            not set(self.marks) <= set(earlier.marks)
            or any(_worse(name, value, earlier.values.get(name)) for name, value in self.values.items())
            or any(
                name in earlier.days and day > earlier.days[name] + SETTLING_DAYS
                for name, day in self.days.items()
            )
        )


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Fingerprint)


def _worse(name: str, now: float, earlier: float | None) -> bool:
    if earlier is None:
        return True
    change = earlier - now if name in _LOWER_IS_WORSE else now - earlier
    return change >= MATERIAL * abs(earlier)


class Watch:
    """Which facts of a bundle make up the fingerprint of each rule. Made once for a bundle."""

    def __init__(self, bundle: Bundle) -> None:
        self._levels = _levels(bundle)
        signs = [spec.name for spec in bundle.vocabulary if spec.name.startswith(_SIGNS)]
        self._specs: Mapping[str, tuple[FactSpec, ...]] = {
            rule_id: tuple(
                bundle.vocabulary.spec(name)
                for name in dict.fromkeys((*program.facts, *program.rule.show, *signs))
                if not name.startswith(_SILENT) and not name.endswith(".on_file")
            )
            for rule_id, program in bundle.programs.items()
        }

    def fingerprint(self, rule: Rule, facts: FactSet) -> Fingerprint:
        """Of a rule that fires over `facts`."""
        marks: list[str] = []
        values: dict[str, float] = {}
        days: dict[str, int] = {}
        for spec in self._specs[rule.id]:
            value = facts.values[spec.slot]
            if value is None or value is False:
                continue
            if spec.kind == "quantity":
                reached = [mark for mark, leaf in self._levels.get(spec.name, ()) if leaf(facts.values)]
                if reached:
                    marks += reached
                    values[spec.name] = value.mid if isinstance(value, Span) else value
            elif spec.kind != "days":
                marks += _statements(spec, value)
            if spec.name.startswith(_EVENTS) and spec.name != _NO_EVENT:
                days |= _event(facts.get(spec.name))
        return Fingerprint(tuple(sorted(marks)), values, days)


def _statements(spec: FactSpec, value: Any) -> Iterator[str]:
    if value is True:
        yield spec.name
    elif isinstance(value, list | tuple):
        yield from (f"{spec.name}={item}" for item in value if isinstance(item, str))


def _event(fact: Fact) -> dict[str, int]:
    return {fact.name: fact.date.toordinal()} if isinstance(fact.date, dt.date) else {}


def _levels(bundle: Bundle) -> Mapping[str, tuple[Level, ...]]:
    """The thresholds that any rule sets for a measured fact, each under a name that changes with the
    threshold.

    A leaf counts for a fact when it reads nothing else but that fact, its age, and the patient's.
    """
    found: dict[str, dict[str, Callable[[list[Any]], bool | None]]] = {}
    for program in bundle.programs.values():
        params = {name: spec.value for name, spec in program.rule.params.items()}
        for index, expression in program.expressions.items():
            own = [name for name in expression.facts if not name.startswith("person.")]
            stems = {name.rpartition(".")[0] for name in own}
            measured = [name for name in own if bundle.vocabulary.spec(name).kind == "quantity"]
            if len(stems) != 1 or len(measured) != 1:
                continue
            said = f"{expression.cel} {[params[name] for name in expression.params]}"
            mark = f"{measured[0]}#{zlib.crc32(said.encode()):08x}"
            found.setdefault(measured[0], {})[mark] = program.leaves[index]
    return {name: tuple(levels.items()) for name, levels in found.items()}
