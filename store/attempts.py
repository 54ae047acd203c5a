"""Guesses are counted, and too many of them wait."""

from datetime import datetime, timedelta

from sqlmodel import Session, col, delete

from store.tables import Attempt

WINDOW = timedelta(minutes=15)


def may_try(session: Session, key: str, *, now: datetime) -> bool:
    """False while `key` must wait."""
    attempt = session.get(Attempt, key)
    return attempt is None or attempt.until is None or attempt.until <= now


def failed(session: Session, key: str, *, now: datetime, allowed: int) -> None:
    """One more wrong guess; after `allowed` in a window the next window is closed, longer each time."""
    attempt = session.get(Attempt, key)
    if attempt is None or (attempt.until or attempt.first_at) + WINDOW <= now:
        if attempt is None:
            attempt = Attempt(key=key, first_at=now)
        attempt.count, attempt.first_at, attempt.until = 0, now, None
    attempt.count += 1
    if attempt.count >= allowed:
        attempt.until = now + WINDOW * 2 ** min(attempt.count - allowed, 4)
    session.add(attempt)
    session.flush()


def succeeded(session: Session, key: str) -> None:
    session.exec(delete(Attempt).where(col(Attempt.key) == key))
