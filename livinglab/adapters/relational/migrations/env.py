"""Alembic runs this; the connection comes from `migrations.upgrade`, transaction included."""

from alembic import context

from livinglab.adapters.relational.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
