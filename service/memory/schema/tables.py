"""The tables as SQLAlchemy Core sees them: what `tocsin db check` compares a store with.

What the columns mean is said in service.memory.rows. Calls never go through SQLAlchemy: it costs ten times
what the drivers do (stack.md 4).
"""

import sqlalchemy as sa

__all__ = ["METADATA", "NUMBER"]

METADATA = sa.MetaData()

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""A number the store counts up itself. SQLite does that only for INTEGER."""


def _text(name: str, *, key: bool = False) -> "sa.Column[str]":
    return sa.Column(name, sa.Text, primary_key=key, nullable=False)


def _time(name: str = "at", *, optional: bool = False) -> "sa.Column[float]":
    return sa.Column(name, sa.Double, nullable=optional)


def _count(name: str, default: str | None = None) -> "sa.Column[int]":
    return sa.Column(name, sa.Integer, nullable=False, server_default=default)


def _number() -> "sa.Column[int]":
    return sa.Column("id", NUMBER, sa.Identity(always=False), primary_key=True)


sa.Table("layout", METADATA, _count("level"), _count("oldest"))

sa.Table("bundles", METADATA, _text("digest", key=True), _text("version"), _text("rules"), _time())

sa.Table(
    "calls",
    METADATA,
    _number(),
    _time(),
    *map(_text, ("instance", "hook", "client", "bundle", "patient", "clinician", "encounter")),
    _count("cards"),
    *map(_text, ("outcomes", "moved", "facts", "missing", "cut", "spent")),
    sa.Column("total_ms", sa.Double, nullable=False),
    sa.Index("calls_at", "at"),
    sa.Index("calls_instance", "instance"),
)

sa.Table(
    "cards",
    METADATA,
    _text("card", key=True),
    _text("rule", key=True),
    _text("patient", key=True),
    _time(),
    *map(_text, ("instance", "hook", "client", "bundle", "clinician", "encounter")),
    *map(_text, ("version", "urgency", "role", "mode", "fingerprint")),
    sa.Index("cards_at", "at"),
    sa.Index("cards_instance", "instance"),
    sa.Index("cards_clinician", "clinician", "at"),
    sa.Index("cards_encounter", "encounter"),
)

sa.Table(
    "feedback",
    METADATA,
    _text("id", key=True),
    _text("card"),
    _time(),
    *map(_text, ("client", "outcome", "reason_system", "reason")),
    _count("accepted"),
    _count("commented"),
    _time("sent", optional=True),
    _text("state"),
    _count("repeats", "0"),
    sa.Index("feedback_at", "at"),
    sa.Index("feedback_card", "card"),
    sa.Index("feedback_state", "state", "at"),
)

sa.Table(
    "answers",
    METADATA,
    _text("card", key=True),
    _text("rule", key=True),
    _text("outcome", key=True),
    _text("patient"),
    _time(),
    *map(_text, ("urgency", "clinician", "fingerprint")),
    sa.Index("answers_patient", "patient", "at"),
    sa.Index("answers_at", "at"),
)

sa.Table(
    "switches",
    METADATA,
    _number(),
    _time(),
    *map(_text, ("kind", "target")),
    _count("off"),
    *map(_text, ("who", "why")),
)

sa.Table(
    "unmapped",
    METADATA,
    sa.Column("at", sa.Double, primary_key=True, nullable=False),
    _text("system", key=True),
    _text("code", key=True),
    _count("seen"),
)
