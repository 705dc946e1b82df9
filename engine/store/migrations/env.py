"""Runs the revisions on the connection it is handed, within the transaction that is already begun there."""

from alembic import context

from engine.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True
)
context.run_migrations()
