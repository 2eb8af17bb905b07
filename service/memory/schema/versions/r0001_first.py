"""The first schema: calls, cards, feedback, answers, bundles, kill switches."""

import sqlalchemy as sa
from alembic import op

__all__ = ["downgrade", "upgrade"]

revision = "0001"
down_revision = None
_LEVEL, _OLDEST = 1, 1


def upgrade() -> None:
    _layout()
    _decisions()
    _feedback()
    op.create_table(
        "switches", _number(), _real("at"), *_texts("kind target"), _int("off"), *_texts("who why")
    )


def downgrade() -> None:
    for table in ("switches", "answers", "feedback", "cards", "calls", "bundles", "layout"):
        op.drop_table(table)


def _layout() -> None:
    layout = op.create_table("layout", _int("level"), _int("oldest"))
    op.bulk_insert(layout, [{"level": _LEVEL, "oldest": _OLDEST}])


def _decisions() -> None:
    op.create_table(
        "bundles", *_texts("digest version rules"), _real("at"), sa.PrimaryKeyConstraint("digest")
    )
    op.create_table(
        "calls",
        _number(),
        _real("at"),
        *_texts("instance hook client bundle patient clinician encounter"),
        _int("cards"),
        *_texts("outcomes moved facts missing cut spent"),
        _real("total_ms"),
    )
    op.create_index("calls_at", "calls", ["at"])
    op.create_index("calls_instance", "calls", ["instance"])
    op.create_table(
        "cards",
        *_texts("card rule patient"),
        _real("at"),
        *_texts("instance hook client bundle clinician encounter version urgency role mode fingerprint"),
        sa.PrimaryKeyConstraint("card", "rule", "patient"),
    )
    op.create_index("cards_at", "cards", ["at"])
    op.create_index("cards_instance", "cards", ["instance"])
    op.create_index("cards_clinician", "cards", ["clinician", "at"])
    op.create_index("cards_encounter", "cards", ["encounter"])


def _feedback() -> None:
    op.create_table(
        "feedback",
        *_texts("id card"),
        _real("at"),
        *_texts("client outcome reason_system reason"),
        _int("accepted"),
        _int("commented"),
        _real("sent", nullable=True),
        *_texts("state"),
        sa.Column("repeats", sa.Integer, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("feedback_at", "feedback", ["at"])
    op.create_index("feedback_card", "feedback", ["card"])
    op.create_index("feedback_state", "feedback", ["state", "at"])
    op.create_table(
        "answers",
        *_texts("card rule outcome patient"),
        _real("at"),
        *_texts("urgency clinician fingerprint"),
        sa.PrimaryKeyConstraint("card", "rule", "outcome"),
    )
    op.create_index("answers_patient", "answers", ["patient", "at"])
    op.create_index("answers_at", "answers", ["at"])


def _texts(names: str) -> "list[sa.Column[str]]":
    return [sa.Column(name, sa.Text, nullable=False) for name in names.split()]


def _real(name: str, *, nullable: bool = False) -> "sa.Column[float]":
    return sa.Column(name, sa.Double, nullable=nullable)


def _int(name: str) -> "sa.Column[int]":
    return sa.Column(name, sa.Integer, nullable=False)


def _number() -> "sa.Column[int]":
    kind = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column("id", kind, sa.Identity(always=False), primary_key=True)
