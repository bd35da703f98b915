"""What Alembic executes for each command: the connection is handed in by `services.storage.migrate`."""

from alembic import context

from services.storage.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
connection.commit()
