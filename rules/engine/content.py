"""What a rule may point to: the surroundings every check needs."""

from __future__ import annotations

import datetime
from collections.abc import Mapping

import msgspec

from rules.engine.documents import Document
from rules.engine.overlay import Overlay
from rules.engine.registers import Evidence, OrderTemplate
from rules.engine.vocabulary import Vocabulary

__all__ = ["Content"]


class Content(msgspec.Struct, frozen=True):
    """The content around the rules. `sets` and `analytes` are empty when their tables cannot be read, and are
    then not checked against. `now` is None when nobody asks whether a review is due.
    """

    vocabulary: Vocabulary
    evidence: Mapping[str, Evidence]
    orders: Mapping[str, OrderTemplate]
    orders_document: Document
    sets: frozenset[str]
    analytes: frozenset[str]
    overlay: Overlay
    now: datetime.date | None
