"""Codes in no value set that came beside codes that are in some."""

import sqlalchemy as sa
from alembic import op

__all__ = ["downgrade", "upgrade"]

revision = "0002"
down_revision = "0001"
# The version before neither reads nor writes the new table, so it may go on.
_LEVEL, _OLDEST = 2, 1


def upgrade() -> None:
    op.create_table(
        "unmapped",
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("system", sa.Text, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("seen", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("at", "system", "code"),
    )
    op.execute(f"UPDATE layout SET level = {_LEVEL}, oldest = {_OLDEST}")


def downgrade() -> None:
    op.drop_table("unmapped")
    op.execute(f"UPDATE layout SET level = {_OLDEST}, oldest = {_OLDEST}")
