"""The schema of the store: its tables as they are now, and the Alembic migrations that lead there."""

from service.memory.schema.tables import METADATA

__all__ = ["METADATA"]
