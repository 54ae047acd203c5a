"""One message of progress in the author's chat, edited as groups are reached."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import select as sa_select
from sqlmodel import Session, col, func, select

from adapters.contract import Button
from adapters.text import plain
from bot import texts
from bot.house import House
from bot.later import later
from bot.messages import Message, to_payload
from store import outbox
from store.tables import Action, Lane, Notice, Outbox, Reach

EVERY = timedelta(seconds=2)
REPORT = "m:r"
"""Token of a button that asks for the figures (`bot.reports`)."""
EVERY_CARRIED = timedelta(seconds=30)
"""While only people are waited for, who carry it by hand."""
PATIENCE = timedelta(minutes=30)
"""After that the figures are asked for with /baocao."""


def origin(chat_id: int) -> str:
    """How a notice remembers the chat in which it was written."""
    return f"chat:{chat_id}"


def begin(session: Session, notice: Notice, *, now: datetime) -> None:
    """Start the message, for a notice that was written in a chat."""
    word, _, chat_id = notice.origin.partition(":")
    if word == "chat":
        totals = _totals(session, notice)
        outbox.post(
            session.connection(),
            chat_id=int(chat_id),
            key=_key(notice),
            payloads=[_payload(notice, totals, done=False)],
            lane=Lane.REPLY,
            now=now,
        )
        later(session, "progress", str(notice.id), now + EVERY, notice=notice.id, until=(now + PATIENCE).isoformat())


def show(session: Session, house: House, payload: dict[str, Any], now: datetime) -> None:
    """Bring the message up to date, and look again soon until all is done."""
    notice = session.get_one(Notice, payload["notice"])
    totals = _totals(session, notice)
    done = totals.sent + totals.failed + totals.unknown + totals.handed >= totals.chats
    post = session.exec(select(Outbox.id).where(Outbox.key == _key(notice), Outbox.action == Action.POST)).first()
    if post is not None:
        new = _payload(notice, totals, done=done)
        if new != payload.get("shown"):
            outbox.put_edit(session.connection(), post, new, now=now, lane=Lane.REPLY)
    if (totals.handed or not done) and now < datetime.fromisoformat(payload["until"]):
        shown, again = _payload(notice, totals, done=done), now + (EVERY_CARRIED if done else EVERY)
        later(session, "progress", str(notice.id), again, notice=notice.id, until=payload["until"], shown=shown)


class Totals(NamedTuple):
    """Of the notice's villages together."""

    chats: int
    sent: int
    failed: int
    unknown: int
    handed: int
    by_hand: int
    given: int
    carried: int


def _totals(session: Session, notice: Notice) -> Totals:
    figures = [getattr(Reach, name) for name in Totals._fields]
    sums = sa_select(*(func.coalesce(func.sum(figure), 0) for figure in figures))
    row = session.connection().execute(sums.where(col(Reach.notice_id) == notice.id)).one()
    return Totals(*(int(figure) for figure in row))


def _payload(notice: Notice, totals: Totals, *, done: bool) -> str:
    if not totals.chats:
        return to_payload(Message(plain(f"{notice.code}: {texts.NO_GROUPS}")))
    words = texts.progress(
        notice.code,
        totals.sent - totals.carried,
        totals.chats - totals.by_hand,
        totals.failed,
        totals.unknown,
        by_hand=totals.by_hand,
        given=totals.given,
        carried=totals.carried,
        done=done,
    )
    return to_payload(Message(plain(words), ((Button(texts.SEE_REPORT, f"{REPORT}:{notice.code}"),),) if done else ()))


def _key(notice: Notice) -> str:
    return f"progress:{notice.id}"
