"""How Alembic sees our tables. Runs on the connection that `store.migrations` hands over, never on one of its own."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import Enum
from sqlmodel import AutoString

from store.tables import Table
from store.types import Utc


def plainly(kind: str, thing: Any, _context: AutogenContext) -> str | Literal[False]:
    """Migrations name plain SQLAlchemy types: they must still run when our own types have changed."""
    if kind != "type":
        return False
    match thing:
        case Utc():
            return "sa.DateTime(timezone=True)"
        case Enum():
            return f"sa.String(length={thing.length})"
        case AutoString():
            return f"sa.String(length={thing.length})" if thing.length else "sa.String()"
        case _:
            return False


connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Table.metadata,
    render_as_batch=True,  # SQLite changes a table by making a new one
    transactional_ddl=True,
    compare_server_default=True,
    render_item=plainly,
    user_module_prefix="",
)
context.run_migrations()
