"""A second person's word: asked in the approvers' private chats, by a button."""

from collections.abc import Callable, Sequence
from datetime import datetime

from sqlmodel import Session, col, select

from adapters.contract import Button
from adapters.text import plain
from bot import people, texts
from bot.house import House
from bot.messages import Message, to_payload
from bot.permissions import Actor
from bot.relays import Split
from store import outbox
from store.tables import Action, Chat, Lane, Notice, Outbox, State

DECIDE = "v"
"""First word of a decision button's token: `v:{code}:{yes|no}`."""


def ask(
    session: Session,
    notice: Notice,
    author: Actor,
    asked: Sequence[int],
    preview: Callable[[int], Sequence[Message]],
    *,
    villages: int,
    ways: Split,
    now: datetime,
) -> None:
    """Show the notice, then two buttons, to each approver whose private chat we know; the console asks the others.

    `preview` shows the notice as the channel of a chat can. One message of several parts: nobody decides unseen.
    `ways`: how its groups are reached.
    """
    connection = session.connection()
    words = texts.approval_ask(
        notice.code,
        author.name,
        villages,
        ways.posted,
        by_hand=ways.by_hand,
        carriers=ways.carriers,
        urgent=notice.is_urgent,
    )
    question = Message(
        plain(words),
        (
            (
                Button(texts.APPROVE, f"{DECIDE}:{notice.code}:yes"),
                Button(texts.SEND_BACK, f"{DECIDE}:{notice.code}:no"),
            ),
        ),
    )
    lane = Lane.URGENT if notice.is_urgent else Lane.REPLY
    # A notice that was returned is asked for again: the time tells the askings apart.
    key = f"ask:{notice.id}:{now.timestamp():.0f}"
    for person_id in asked:
        for chat_id in people.private_chats(session, person_id):
            shown = preview(session.get_one(Chat, chat_id).channel_id)
            payloads = [to_payload(message) for message in (*shown, question)]
            outbox.post(connection, chat_id=chat_id, key=key, payloads=payloads, lane=lane, now=now)


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
        Outbox.part == Outbox.parts,
        col(Outbox.state).in_([State.SENT, State.UNKNOWN, State.QUEUED, State.LEASED, State.SENDING]),
    )
    payload = to_payload(Message(plain(words)))
    for row_id in session.exec(asked).all():
        outbox.put_edit(session.connection(), row_id or 0, payload, now=now, lane=Lane.REPLY)
