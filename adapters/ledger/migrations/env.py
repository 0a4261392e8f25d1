"""Alembic's way in. It runs within the transaction of whoever opened the ledger, so a half-done step leaves nothing."""

from alembic import context

from adapters.ledger.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
