"""What must happen later: tasks that are due, and the housekeeping of the house.

APScheduler's place, once there are schedules of people's own: it will decide only when, and write a task.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, insert, select
from sqlmodel import Session

from bot.house import House
from store import attempts, events, outbox, rooms
from store.store import Store
from store.tables import Dialog, OneTimeCode, Task, WebSession

logger = logging.getLogger(__name__)

AT_ONCE = 64
"""Tasks looked at in one sweep."""
ATTEMPTS = 10
LONGEST_WAIT = timedelta(minutes=30)
EXPIRE_EVERY = timedelta(minutes=1)
TIDY_EVERY = timedelta(days=1)
FORGET_CODES = timedelta(days=1)
"""How long a one-time code outlives itself: long enough to say "expired" rather than "unknown"."""

KEEP_REPLIES = timedelta(days=30)
"""How long what was said to a person or among staff is kept; notices stay."""
FORGET_AT_ONCE = 500
"""Rows forgotten in one transaction: others write beside it."""

task_table = Task.__table__  # type: ignore[attr-defined]

Run = Callable[..., None]
"""`bot.tasks.run(session, house, task, *, now)`."""


class Tasks:
    """Called once a second with the time."""

    def __init__(self, store: Store, run: Run, *, house: Callable[[], House], handled: Callable[[], None]) -> None:
        """`handled` is called when something may wait to be sent."""
        self._store = store
        self._run = run
        self._house = house
        self._handled = handled
        self._expired_at: datetime | None = None
        self._tidied_at: datetime | None = None

    async def sweep(self, now: datetime) -> None:
        """Run what is due. A task that fails comes back later and holds nobody up."""
        due = await self._store.read(due_keys, now)
        for key in due:
            try:
                await self._store.write(run_task, key, self._run, self._house(), now)
            except Exception as error:  # one bad task must not stop the others
                logger.exception("a task failed", extra={"kind": key.partition(":")[0]})
                await self._store.write_core(postpone, key, type(error).__name__, now)
        if due:
            self._handled()
        await self._keep_house(now)

    async def _keep_house(self, now: datetime) -> None:
        if self._expired_at is None or now - self._expired_at >= EXPIRE_EVERY:
            self._expired_at = now
            if expired := await self._store.write_core(outbox.expire, now=now):
                logger.warning("messages expired before they could be sent", extra={"rows": expired})
            if stranded := await self._store.write_core(outbox.cancel_stranded):
                logger.info("messages waited for one that did not arrive", extra={"rows": stranded})
        if self._tidied_at is None or now - self._tidied_at >= TIDY_EVERY:
            self._tidied_at = now
            await self._store.write_core(tidy, now)
            await self._store.write(rooms.forget_old, now=now)
            before = now - KEEP_REPLIES
            while await self._store.write_core(outbox.forget_replies, before=before, limit=FORGET_AT_ONCE):
                pass


def due_keys(session: Session, now: datetime) -> list[str]:
    due = select(task_table.c.key).where(task_table.c.due_at <= now).order_by(task_table.c.due_at).limit(AT_ONCE)
    return list(session.connection().execute(due).scalars())


def run_task(session: Session, key: str, run: Run, house: House, now: datetime) -> bool:
    """Take the task away and do it, in one transaction. False: somebody else was first."""
    row = _taken(session.connection(), key, now)
    if row is None:
        return False
    run(session, house, Task(**row), now=now)
    return True


def postpone(connection: Connection, key: str, error: str, now: datetime) -> None:
    """Try again later, ever more rarely; in the end give up. `error` names the exception's class."""
    row = _taken(connection, key, now)
    if row is None:
        return
    attempts = row["attempts"] + 1
    if attempts >= ATTEMPTS:
        logger.error("a task was given up", extra={"kind": row["kind"], "error": error})
        return
    wait = min(timedelta(seconds=2**attempts), LONGEST_WAIT)
    connection.execute(insert(task_table).values({**row, "attempts": attempts, "error": error, "due_at": now + wait}))


def tidy(connection: Connection, now: datetime) -> None:
    """Forget what has had its day."""
    events.forget_aside(connection, now=now)
    attempts.forget(connection, now=now)
    ended: list[tuple[Any, datetime]] = [(Dialog, now), (WebSession, now), (OneTimeCode, now - FORGET_CODES)]
    for model, before in ended:
        table = model.__table__
        connection.execute(delete(table).where(table.c.expires_at < before))


def _taken(connection: Connection, key: str, now: datetime) -> Mapping[str, Any] | None:
    due = (task_table.c.key == key, task_table.c.due_at <= now)
    row = connection.execute(delete(task_table).where(*due).returning(*task_table.c)).mappings().one_or_none()
    return None if row is None else dict(row)
