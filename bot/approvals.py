"""A second person's word: asked in the approvers' private chats, by a button."""

from collections.abc import Sequence
from datetime import datetime

from sqlmodel import Session, col, select

from adapters.contract import Button
from adapters.text import plain
from bot import people, texts
from bot.face import Preview
from bot.house import House
from bot.messages import Message, to_payload
from bot.permissions import Actor, Duty, holders
from store import outbox
from store.tables import Action, Chat, ChatKind, Lane, Notice, NoticeTarget, Outbox, State, Unit

DECIDE = "v"
"""First word of a decision button's token: `v:{code}:{yes|no}`."""


def approvers(session: Session, notice: Notice) -> list[int]:
    """Persons who may release this notice: everybody with the duty over its place, but for the author."""
    place = session.get_one(Unit, notice.unit_id)
    return [person for person in holders(session, place, Duty.APPROVE) if person != notice.author_id]


def ask(
    session: Session,
    house: House,
    notice: Notice,
    author: Actor,
    asked: Sequence[int],
    previews: Sequence[Preview],
    *,
    now: datetime,
) -> None:
    """Show the notice and two buttons to each approver whose private chat we know; the console asks the others."""
    connection = session.connection()
    targets = session.exec(select(NoticeTarget.unit_id).where(NoticeTarget.notice_id == notice.id)).all()
    chats = session.exec(select(Chat.id).where(col(Chat.unit_id).in_(targets), Chat.kind == ChatKind.GROUP)).all()
    question = Message(
        plain(texts.approval_ask(notice.code, author.name, len(targets), len(chats), urgent=notice.is_urgent)),
        (
            (
                Button(texts.APPROVE, f"{DECIDE}:{notice.code}:yes"),
                Button(texts.SEND_BACK, f"{DECIDE}:{notice.code}:no"),
            ),
        ),
    )
    shown = previews[0].messages if previews else ()
    lane = Lane.URGENT if notice.is_urgent else Lane.REPLY
    # A notice that was returned is asked for again: the time tells the askings apart.
    key = f"ask:{notice.id}:{now.timestamp():.0f}"
    for person_id in asked:
        for chat_id in people.private_chats(session, person_id):
            pictures = [to_payload(message) for message in shown]
            outbox.post(connection, chat_id=chat_id, key=f"{key}:preview", payloads=pictures, lane=lane, now=now)
            outbox.post(connection, chat_id=chat_id, key=key, payloads=[to_payload(question)], lane=lane, now=now)


def decided(session: Session, house: House, notice: Notice, by: Actor, *, now: datetime, reason: str | None) -> None:
    """Tell everybody who was asked, and the author. `reason` None: it was approved."""
    if reason is None:
        words = texts.approved(notice.code, by.name, house.local(now))
    else:
        words = texts.returned(notice.code, by.name, reason)
    _close(session, notice, words, now=now)
    for chat_id in people.private_chats(session, notice.author_id):
        key = f"decided:{notice.id}:{now.timestamp()}"
        outbox.post(
            session.connection(),
            chat_id=chat_id,
            key=key,
            payloads=[to_payload(Message(plain(words)))],
            lane=Lane.REPLY,
            now=now,
        )


def withdrawn(session: Session, notice: Notice, *, now: datetime) -> None:
    """The author dropped it: the question goes."""
    _close(session, notice, texts.stopped(notice.code), now=now)


def _close(session: Session, notice: Notice, words: str, *, now: datetime) -> None:
    asked = select(Outbox.id).where(
        col(Outbox.key).startswith(f"ask:{notice.id}:", autoescape=True),
        Outbox.action == Action.POST,
        ~col(Outbox.key).endswith(":preview"),
        col(Outbox.state).in_([State.SENT, State.UNKNOWN, State.QUEUED, State.LEASED, State.SENDING]),
    )
    payload = to_payload(Message(plain(words)))
    for row_id in session.exec(asked).all():
        outbox.put_edit(session.connection(), row_id or 0, payload, now=now, lane=Lane.REPLY)
