"""Facts about the person: age, sex, pregnancy, death."""

import datetime as dt

from service.facts.dates import Day
from service.facts.derivation import Derivation, dated

__all__ = ["age_on", "derive"]

_SEXES = frozenset({"male", "female", "other", "unknown"})


def derive(d: Derivation) -> None:
    patient = d.record.patient
    if patient is not None:
        born = d.calendar.parse(patient.birthDate) if patient.birthDate else None
        if born is not None and born.high <= d.calendar.today:
            d.put("person.age", age_on(born, d.calendar.today))
        d.put("person.sex", patient.gender if patient.gender in _SEXES else "unknown")
        d.put("person.deceased", bool(patient.deceasedBoolean or patient.deceasedDateTime))
    elif d.wants("person.sex"):
        d.put("person.sex", "unknown")
    if d.wants("person.pregnant"):
        found = [e for e in d.record.of("pregnancy") if e.present and e.active is not False and e.end is None]
        recent = [e for e in found if d.calendar.within(dated(e), 280)]
        if recent:
            d.put("person.pregnant", True, recent)


def age_on(born: Day, today: int) -> int:
    """Completed years on a day. Of a partial birth date the middle counts, as for every other date."""
    birth, now = dt.date.fromordinal(born.mid), dt.date.fromordinal(today)
    return now.year - birth.year - ((now.month, now.day) < (birth.month, birth.day))
