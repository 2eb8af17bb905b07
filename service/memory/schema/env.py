"""What Alembic runs to migrate: on the connection it is given, without a transaction of its own."""

from alembic import context

from service.memory.schema.tables import METADATA

__all__: list[str] = []

context.configure(
    connection=context.config.attributes["connection"], target_metadata=METADATA, transactional_ddl=False
)
context.run_migrations()
