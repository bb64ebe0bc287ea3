"""What alembic runs: the migrations on the connection that `runner` was given, in its transaction."""

from __future__ import annotations

from alembic import context

from memsdk.records.schema import metadata

connection = context.config.attributes.get("connection")
if connection is None:
    raise RuntimeError(
        "memsdk's migrations run through memsdk.migrations.runner, which brings the connection"
    )
context.configure(
    connection=connection, target_metadata=metadata, transaction_per_migration=True, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
