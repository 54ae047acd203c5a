"""Read receipts of messengers that have them. They only ever add: seen stays seen."""

from datetime import datetime

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, select

from adapters.contract import ReceiptArrived
from adapters.contract import ReceiptKind as Told
from bot import chats
from bot.house import House, Messenger
from store import outbox, reach
from store.tables import Account, Action, Outbox, Receipt, ReceiptKind

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
    is_new = add(connection, post, account, KINDS[event.kind], at=event.at)
    if is_new and post.unit_id is not None:
        reach.recount(connection, [(post.notice_id, post.unit_id)])
    outbox.prove(connection, post.id or 0, chat.id, event.message_id, now=now)


def add(connection: Connection, post: Outbox, account: Account, kind: ReceiptKind, *, at: datetime) -> bool:
    """Keep that the account's screen showed this post. False: it was known."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    added = connection.execute(
        insert(Receipt.__table__)  # type: ignore[attr-defined]
        .values(
            notice_id=post.notice_id,
            kind=kind,
            who=f"a:{account.id}",
            account_id=account.id,
            unit_id=post.unit_id,
            chat_id=post.chat_id,
            first_at=at,
            at=at,
        )
        .on_conflict_do_nothing()
    )
    return bool(added.rowcount)
