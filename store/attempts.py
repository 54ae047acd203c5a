"""Tries are counted, and too many of them wait.

Every count is one statement that the database does whole, so that tries at the same moment are all counted. Where the
try itself takes long, `take` it first and `give_back` a right one: then nobody tries while others are looked at.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, case, delete, func, literal, or_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col, select

from store.tables import Attempt

WINDOW = timedelta(minutes=15)
LONGEST = 4
"""The wait doubles this often at most."""

attempt = Attempt.__table__  # type: ignore[attr-defined]


def may_try(session: Session, key: str, *, now: datetime) -> bool:
    """False while `key` must wait."""
    return not wait(session, [key], now=now)


def wait(session: Session, keys: Iterable[str], *, now: datetime) -> timedelta:
    """How long until all of the keys may try again; zero: now."""
    closed = select(func.max(Attempt.until)).where(col(Attempt.key).in_(list(keys)), col(Attempt.until) > now)
    until: datetime | None = session.exec(closed).one()
    return until - now if until is not None else timedelta(0)


def take(session: Session, keys: Mapping[str, int], *, now: datetime) -> timedelta:
    """Count a try that is about to be made, by each key with the number that it is allowed.

    Returns zero when it may be made, else how long to wait, and then nothing was counted.
    """
    taken: dict[str, int] = {}
    for key, allowed in sorted(keys.items()):  # always in the same order, so that no two wait for each other
        if not _count(session, key, now=now, allowed=allowed, only_open=True):
            give_back(session, taken, now=now)
            return wait(session, keys, now=now)
        taken[key] = allowed
    return timedelta(0)


def give_back(session: Session, keys: Mapping[str, int], *, now: datetime) -> None:
    """A try that was taken was a right one, or was not made: it does not count."""
    for key, allowed in sorted(keys.items()):
        closed = case((attempt.c.count > allowed, literal(now, attempt.c.until.type)), else_=None)
        returned = update(attempt).where(attempt.c.key == key, attempt.c.count > 0)
        session.connection().execute(returned.values(count=attempt.c.count - 1, until=closed))


def failed(session: Session, key: str, *, now: datetime, allowed: int) -> None:
    """One more wrong guess; after `allowed` in a window the next window is closed, longer each time."""
    _count(session, key, now=now, allowed=allowed)


def succeeded(session: Session, key: str) -> None:
    """Forget the wrong ones before it."""
    session.connection().execute(delete(attempt).where(attempt.c.key == key))


def forget(connection: Connection, *, now: datetime) -> None:
    """Take away what a next wrong guess would begin anew."""
    connection.execute(delete(attempt).where(_ended(now)))


def _count(session: Session, key: str, *, now: datetime, allowed: int, only_open: bool = False) -> bool:
    """Count one more. `only_open`: not while the key must wait, and False then."""
    connection = session.connection()
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    anew = _ended(now)
    more = case((anew, 1), else_=attempt.c.count + 1)
    first = insert(attempt).values(key=key, count=1, first_at=now, until=now + WINDOW if allowed <= 1 else None)
    counted = first.on_conflict_do_update(
        index_elements=[attempt.c.key],
        set_={
            "count": more,
            "first_at": case((anew, literal(now, attempt.c.first_at.type)), else_=attempt.c.first_at),
            "until": _until(more, now=now, allowed=allowed),
        },
        where=or_(attempt.c.until.is_(None), attempt.c.until <= now) if only_open else None,
    )
    return connection.execute(counted.returning(attempt.c.key)).first() is not None


def _ended(now: datetime) -> Any:
    """The last window is over: what was counted in it is forgiven."""
    return func.coalesce(attempt.c.until, attempt.c.first_at) <= literal(now - WINDOW, attempt.c.until.type)


def _until(count: Any, *, now: datetime, allowed: int) -> Any:
    """When the next try may be made after so many: the more beyond what is allowed, the later."""
    steps = [
        (count >= allowed + beyond, literal(now + WINDOW * 2**beyond, attempt.c.until.type))
        for beyond in range(LONGEST, -1, -1)
    ]
    return case(*steps, else_=None)
