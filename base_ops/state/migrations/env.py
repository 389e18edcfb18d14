"""Alembic's environment: runs on the connection that the store hands over, or on `sqlalchemy.url` (developers)."""

from alembic import context
from sqlalchemy import create_engine

from base_ops.state.models import Base


def run(connection: object) -> None:
    context.configure(connection=connection, target_metadata=Base.metadata)  # type: ignore[arg-type]
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    with create_engine(context.config.get_main_option("sqlalchemy.url") or "").connect() as own:
        run(own)
