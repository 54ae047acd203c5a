"""Read receipts of messengers that have them. They only ever add: seen stays seen."""

from datetime import datetime

from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, select

from adapters.contract import ReceiptArrived
from adapters.contract import ReceiptKind as Told
from bot import chats
from bot.house import House, Messenger
from store import outbox, reach
from store.tables import Action, Outbox, Receipt, ReceiptKind

KINDS = {Told.READ: ReceiptKind.SEEN, Told.DELIVERED: ReceiptKind.DELIVERED}


def arrived(session: Session, house: House, messenger: Messenger, event: ReceiptArrived, *, now: datetime) -> None:
    """Somebody's screen showed one of our notices."""
    chat = chats.find(session, house, messenger, event.chat)
    if chat is None or chat.id is None or event.sender is None:
        return
    post = session.exec(
        select(Outbox).where(
            Outbox.chat_id == chat.id, Outbox.message_id == event.message_id, Outbox.action == Action.POST
        )
    ).first()
    if post is None or post.notice_id is None:
        return
    account = chats.account(session, house, messenger, event.sender.id, now=now)
    connection = session.connection()
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    added = connection.execute(
        insert(Receipt.__table__)  # type: ignore[attr-defined]
        .values(
            notice_id=post.notice_id,
            kind=KINDS[event.kind],
            who=f"a:{account.id}",
            account_id=account.id,
            unit_id=post.unit_id,
            chat_id=chat.id,
            first_at=event.at,
            at=event.at,
        )
        .on_conflict_do_nothing()
    )
    if added.rowcount and post.unit_id is not None:
        reach.recount(connection, [(post.notice_id, post.unit_id)])
    outbox.prove(connection, post.id or 0, chat.id, event.message_id, now=now)
