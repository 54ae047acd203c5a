"""Inbound events: accepted once, handled once, in the order of their chat."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, bindparam, exists, literal_column, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from store.tables import EventState, InboundEvent

event = InboundEvent.__table__  # type: ignore[attr-defined]

ATTEMPTS = 6
KEEP_ASIDE = timedelta(days=7)
"""How long the body of an event that nobody could handle is kept for a person to look at."""


@dataclass(frozen=True, slots=True)
class Waiting:
    id: int
    channel_id: int
    sealed_body: bytes
    attempts: int


def accept(dialect: str) -> Any:
    """The statement that keeps events (T1); one object a dialect, so that waiting accepts share one `executemany`."""
    return ACCEPT[dialect]


ACCEPT = {
    "sqlite": sqlite.insert(event).on_conflict_do_nothing(index_elements=["channel_id", "event_id"]),
    "postgresql": postgresql.insert(event).on_conflict_do_nothing(index_elements=["channel_id", "event_id"]),
}


def row(channel_id: int, event_id: str, chat_key: str, sealed_body: bytes, *, now: datetime) -> dict[str, Any]:
    """Parameters for `accept`."""
    return {
        "channel_id": channel_id,
        "event_id": event_id,
        "chat_key": chat_key,
        "sealed_body": sealed_body,
        "state": EventState.NEW,
        "attempts": 0,
        "error": "",
        "received_at": now,
    }


def lease(
    connection: Connection, channel_ids: Sequence[int], *, now: datetime, until: datetime, limit: int
) -> list[Waiting]:
    """Take the oldest open event of each chat, at most `limit`; a chat with one under way waits."""
    found = connection.execute(
        READY[connection.dialect.name], {"channels": list(channel_ids), "now": now, "most": limit}
    )
    ids = list(found.scalars())
    if not ids:
        return []
    rows = connection.execute(LEASED, {"ids": ids, "until": until})
    return sorted((Waiting(*row) for row in rows), key=lambda waiting: waiting.id)


def finish(connection: Connection, event_id: int, *, now: datetime) -> bool:
    """Mark the event as handled and forget its body. False: it was handled before, do nothing."""
    done = update(event).where(event.c.id == event_id, event.c.state == EventState.LEASED)
    return connection.execute(done.values(state=EventState.DONE, sealed_body=None, done_at=now, error="")).rowcount == 1


def postpone(connection: Connection, event_id: int, error: str, *, now: datetime, attempts: int) -> None:
    """Handling failed: try again later, or set it aside. `error` names the exception's class, no text of a resident."""
    aside = attempts >= ATTEMPTS
    wait = timedelta(seconds=min(2**attempts, 300))
    connection.execute(
        update(event)
        .where(event.c.id == event_id, event.c.state == EventState.LEASED)
        .values(
            state=EventState.ASIDE if aside else EventState.NEW,
            not_before=None if aside else now + wait,
            done_at=now if aside else None,
            lease_until=None,
            error=error[:200],
        )
    )


def set_aside(connection: Connection, event_id: int, error: str, *, now: datetime) -> None:
    """Nobody can read this event: a person looks at it."""
    postpone(connection, event_id, error, now=now, attempts=ATTEMPTS)


def recover(connection: Connection, *, now: datetime, alone: bool) -> int:
    """Events whose handler died are open again; `alone`: no other handler lives."""
    lapsed = and_(OPEN, event.c.state == EventState.LEASED)
    if not alone:
        lapsed = and_(lapsed, event.c.lease_until < now)
    return connection.execute(update(event).where(lapsed).values(state=EventState.NEW, lease_until=None)).rowcount


def forget_aside(connection: Connection, *, now: datetime) -> int:
    """Drop the bodies of events that were set aside long ago."""
    old = (event.c.state == EventState.ASIDE, event.c.done_at < now - KEEP_ASIDE, event.c.sealed_body.is_not(None))
    return connection.execute(update(event).where(*old).values(sealed_body=None)).rowcount


def is_waiting(connection: Connection, *, now: datetime) -> bool:
    """An event may be handled now."""
    due = or_(event.c.not_before.is_(None), event.c.not_before <= now)
    waiting = select(event.c.id).where(OPEN, event.c.state == EventState.NEW, due).limit(1)
    return connection.execute(waiting).first() is not None


# ---------------------------------------------------------------- statements


def _open(rows: Any) -> Any:
    """Exactly the condition of the partial indexes, written into the statement: SQLite wants it word for word."""
    states = (EventState.NEW, EventState.LEASED)
    return rows.c.state.in_([literal_column(f"'{state.value}'", rows.c.state.type) for state in states])


OPEN = _open(event)


def _ready(*, skip_locked: bool) -> Any:
    before = event.alias("before")
    in_turn = ~exists().where(
        before.c.channel_id == event.c.channel_id,
        before.c.chat_key == event.c.chat_key,
        _open(before),
        before.c.id < event.c.id,
    )
    ready = (
        select(event.c.id)
        .where(
            OPEN,
            event.c.state == EventState.NEW,
            event.c.channel_id.in_(bindparam("channels", expanding=True)),
            or_(event.c.not_before.is_(None), event.c.not_before <= bindparam("now", type_=event.c.not_before.type)),
            or_(event.c.chat_key == "", in_turn),
        )
        .order_by(event.c.id)
        .limit(bindparam("most"))
    )
    return ready.with_for_update(skip_locked=True) if skip_locked else ready


READY = {"sqlite": _ready(skip_locked=False), "postgresql": _ready(skip_locked=True)}
LEASED = (
    update(event)
    .where(event.c.id.in_(bindparam("ids", expanding=True)), event.c.state == EventState.NEW)
    .values(state=EventState.LEASED, lease_until=bindparam("until"), attempts=event.c.attempts + 1)
    .returning(event.c.id, event.c.channel_id, event.c.sealed_body, event.c.attempts)
)
