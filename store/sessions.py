"""Sign-ins of the console, linked phones, bearer tokens of REST. All are kept as keyed fingerprints only."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, update
from sqlmodel import Session, and_, col, not_, or_, select

from store.tables import ApiToken, Person, WebSession

LONGEST = timedelta(days=7)
IDLE = timedelta(hours=12)
PHONE_LONGEST = timedelta(days=400)
"""As long as browsers keep a cookie at most (RFC 6265bis, 5.5): a village head is linked once, not every week."""
PHONE_IDLE = timedelta(days=120)
SEEN_EVERY = timedelta(minutes=5)
"""How exact "last seen" is: a write for every page would be a waste."""


@dataclass(frozen=True, slots=True)
class Held:
    """A session or token that is good now."""

    id: int
    person_id: int
    is_stale: bool
    """Its "last seen" wants to be written anew."""


def open_session(session: Session, token_key: str, person_id: int, *, now: datetime, is_phone: bool = False) -> None:
    """Keep a sign-in, and sweep this person's sign-ins that have lapsed."""
    session.connection().execute(delete(WebSession).where(col(WebSession.person_id) == person_id, not_(lives(now))))
    session.add(
        WebSession(
            token_key=token_key,
            person_id=person_id,
            is_phone=is_phone,
            created_at=now,
            seen_at=now,
            expires_at=now + (PHONE_LONGEST if is_phone else LONGEST),
        )
    )


def session_of(session: Session, token_key: str, *, now: datetime, is_phone: bool = False) -> Held | None:
    """The sign-in behind a cookie; None when it lapsed, was ended, is of the other kind, or its person left.

    A linked phone never opens the console: it stays signed in for more than a year.
    """
    found = session.exec(
        select(WebSession)
        .join(Person, col(Person.id) == WebSession.person_id)
        .where(
            WebSession.token_key == token_key,
            col(WebSession.is_phone).is_(is_phone),
            lives(now),
            col(Person.is_active),
        )
    ).first()
    return None if found is None else Held(found.id or 0, found.person_id, found.seen_at <= now - SEEN_EVERY)


def touch_session(session: Session, session_id: int, *, now: datetime) -> None:
    session.connection().execute(update(WebSession).where(col(WebSession.id) == session_id).values(seen_at=now))


def sessions_of(session: Session, person_id: int, *, now: datetime) -> list[WebSession]:
    """Where the person is signed in, linked phones too, the latest first."""
    of_person = select(WebSession).where(WebSession.person_id == person_id, lives(now))
    return list(session.exec(of_person.order_by(col(WebSession.seen_at).desc())).all())


def is_signed_in(session: Session, person_id: int, *, now: datetime, is_phone: bool | None = None) -> bool:
    """Whether any sign-in of the person has not lapsed; `is_phone`: of one kind alone."""
    found = select(WebSession.id).where(WebSession.person_id == person_id, lives(now))
    if is_phone is not None:
        found = found.where(col(WebSession.is_phone).is_(is_phone))
    return session.exec(found.limit(1)).first() is not None


def end_session(session: Session, session_id: int, person_id: int) -> bool:
    """Sign out there. False: it is not the person's, or is over."""
    ended = delete(WebSession).where(col(WebSession.id) == session_id, col(WebSession.person_id) == person_id)
    return session.connection().execute(ended).rowcount == 1


def end_by_keys(session: Session, token_keys: Sequence[str]) -> None:
    """Sign out there, whosever it is: the machine is given away."""
    session.connection().execute(delete(WebSession).where(col(WebSession.token_key).in_(token_keys)))


def end_sessions(session: Session, person_id: int, *, but: int | None = None) -> None:
    """Sign out everywhere, but for one session."""
    everywhere = delete(WebSession).where(col(WebSession.person_id) == person_id)
    session.connection().execute(everywhere if but is None else everywhere.where(col(WebSession.id) != but))


def lives(now: datetime) -> ColumnElement[bool]:
    """The sign-in has not lapsed: each kind by its own patience."""
    seen, is_phone = col(WebSession.seen_at), col(WebSession.is_phone)
    used_lately = or_(
        and_(is_phone.is_(False), seen > now - IDLE),
        and_(is_phone.is_(True), seen > now - PHONE_IDLE),
    )
    return and_(col(WebSession.expires_at) > now, used_lately)


# ---------------------------------------------------------------- bearer tokens


def keep_token(session: Session, token_key: str, person_id: int, name: str, *, now: datetime) -> ApiToken:
    token = ApiToken(token_key=token_key, person_id=person_id, name=name, created_at=now)
    session.add(token)
    session.flush()
    return token


def token_of(session: Session, token_key: str, *, now: datetime) -> Held | None:
    """Who a bearer token speaks for; None when it was revoked or its person left."""
    found = session.exec(
        select(ApiToken)
        .join(Person, col(Person.id) == ApiToken.person_id)
        .where(ApiToken.token_key == token_key, col(ApiToken.revoked_at).is_(None), col(Person.is_active))
    ).first()
    if found is None:
        return None
    return Held(found.id or 0, found.person_id, found.used_at is None or found.used_at <= now - SEEN_EVERY)


def touch_token(session: Session, token_id: int, *, now: datetime) -> None:
    session.connection().execute(update(ApiToken).where(col(ApiToken.id) == token_id).values(used_at=now))


def tokens_of(session: Session, person_id: int) -> list[ApiToken]:
    """The person's tokens that still open something."""
    live = select(ApiToken).where(ApiToken.person_id == person_id, col(ApiToken.revoked_at).is_(None))
    return list(session.exec(live.order_by(col(ApiToken.id))).all())


def revoke_token(session: Session, token_id: int, person_id: int, *, now: datetime) -> bool:
    """False: it is not the person's, or was revoked before."""
    live = (col(ApiToken.id) == token_id, col(ApiToken.person_id) == person_id, col(ApiToken.revoked_at).is_(None))
    revoked = update(ApiToken).where(*live).values(revoked_at=now)
    return session.connection().execute(revoked).rowcount == 1
