"""Alembic's entry: runs the migrations inside the transaction that `catalogue.database` opened and locked."""

from alembic import context

from recordings.catalogue.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,  # SQLite's DDL is transactional too: a migration happens whole or not at all
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
