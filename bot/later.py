"""Asking for something to happen later. What happens then is in `bot.tasks`."""

import json
from datetime import datetime
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session

from store.tables import Task


def later(session: Session, kind: str, key: str, due_at: datetime, **payload: Any) -> None:
    """Ask for `kind` at `due_at`. While a task of this key waits, asking again changes nothing."""
    connection = session.connection()
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    connection.execute(
        insert(Task.__table__)  # type: ignore[attr-defined]
        .values(key=f"{kind}:{key}", kind=kind, due_at=due_at, payload=json.dumps(payload), attempts=0, error="")
        .on_conflict_do_nothing()
    )
