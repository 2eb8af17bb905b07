"""What a record is indexed into: evidence, medicines, orders and imaging, each with its source."""

from typing import Any

import msgspec

from rules.engine.facts import Source
from service.facts.dates import Day

__all__ = ["Evidence", "Imaging", "Medicine", "Order"]


class Evidence(msgspec.Struct, gc=False):
    """One coded statement about the patient.

    `present` is False when the record states the absence and None when it only says that the question was
    put; `start` is the onset (or the day of the statement), `seen` the last day it was recorded, `end` its
    abatement. `active` is the clinical status, None when none is given. `kind` is one of problem,
    encounter-diagnosis, observation, visit, procedure, request, answer, plan, flag, appointment.
    """

    kind: str
    source: Source
    sets: frozenset[str]
    codes: tuple[tuple[str, str], ...]
    present: bool | None = True
    start: Day | None = None
    seen: Day | None = None
    end: Day | None = None
    active: bool | None = None
    suspected: bool = False
    sides: frozenset[str] = frozenset()
    encounter: str = ""
    status: str = ""


class Medicine(msgspec.Struct, gc=False):
    """A prescription or statement of a medicine: days it covers and the value sets its product is in."""

    source: Source
    sets: frozenset[str]
    code: str
    start: Day | None
    end: Day | None
    active: bool


class Order(msgspec.Struct, gc=False):
    """A ServiceRequest or draft order: its value sets, status and date."""

    source: Source
    sets: frozenset[str]
    status: str
    day: Day | None
    reasons: frozenset[str] = frozenset()
    code: str = ""
    resource: Any = None


class Imaging(msgspec.Struct, gc=False):
    """An imaging report, study or procedure: value sets of what was done, and of each thing it concluded.

    `pending` is a report that is not final; a study or procedure is neither.
    """

    source: Source
    sets: frozenset[str]
    day: Day
    final: bool
    pending: bool
    conclusions: tuple[frozenset[str], ...]
    coded: bool
    encounter: str
