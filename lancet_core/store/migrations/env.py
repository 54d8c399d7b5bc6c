"""Read by Alembic: runs the steps on the connection, and inside the transaction, that `store.database` opened."""

from alembic import context

from lancet_core.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
