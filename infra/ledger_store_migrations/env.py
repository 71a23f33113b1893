"""How Alembic runs a migration here: on the connection it is handed, in one transaction. Alembic executes this file; it
knows no table."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
