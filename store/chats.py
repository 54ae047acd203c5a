"""A chat that a messenger moved to a new address: three messages tell us, in any order, and all end in one row."""

from sqlalchemy import Connection, exists, select, update

from store.outbox import Step, advance
from store.tables import Account, Chat, Outbox, Receipt, Standing, State

chat = Chat.__table__  # type: ignore[attr-defined]
outbox = Outbox.__table__  # type: ignore[attr-defined]
account = Account.__table__  # type: ignore[attr-defined]
receipt = Receipt.__table__  # type: ignore[attr-defined]

BINDING = ("unit_id", "audience_id", "bound_by_id", "bound_at")


def moved(connection: Connection, chat_id: int, new_address_key: str, sealed_new: bytes) -> int:
    """The chat has a new address; returns the row that stands for it from now on.

    It is the same row as before, with its village, its history and what waits for it. Somebody may have spoken to us
    at the new address before we knew: then there are two rows; the one that is tied to a village stays, and takes over
    what the other had. Telling twice changes nothing.
    """
    old = connection.execute(select(chat).where(chat.c.id == chat_id).with_for_update()).one()
    if old.address_key == new_address_key:
        return chat_id
    there = connection.execute(
        select(chat).where(chat.c.channel_id == old.channel_id, chat.c.address_key == new_address_key).with_for_update()
    ).one_or_none()
    if there is not None and there.unit_id is not None and old.unit_id is None:
        _bring_over(connection, chat_id, there.id)
        _close(connection, chat_id, old.address_key)
        return int(there.id)
    values = {"address_key": new_address_key, "sealed_address": sealed_new, "paused_until": None}
    if there is not None:
        _bring_over(connection, there.id, chat_id)
        _close(connection, there.id, f"moved:{there.id}")  # its address is ours now
        values |= {"standing": there.standing, "standing_reason": there.standing_reason}
    elif old.standing is Standing.GONE:
        values |= {"standing": Standing.MEMBER, "standing_reason": ""}
    connection.execute(update(chat).where(chat.c.id == chat_id).values(**values))
    return chat_id


def _close(connection: Connection, chat_id: int, address_key: str) -> None:
    """The row stands for no chat any more."""
    closed = {"address_key": address_key, "standing": Standing.GONE, "standing_reason": "moved"}
    connection.execute(update(chat).where(chat.c.id == chat_id).values(**closed, **dict.fromkeys(BINDING)))


def _bring_over(connection: Connection, source_id: int, chat_id: int) -> None:
    """Rows of the chat `source_id` become rows of `chat_id`; a message that both were to get goes once."""
    same = outbox.alias("same")
    twice = exists().where(
        same.c.chat_id == chat_id,
        same.c.key == outbox.c.key,
        same.c.revision == outbox.c.revision,
        same.c.part == outbox.c.part,
    )
    waiting = (outbox.c.chat_id == source_id, outbox.c.state.in_([State.QUEUED, State.LEASED]), twice)
    for row_id in connection.execute(select(outbox.c.id).where(*waiting)).scalars().all():
        advance(connection, row_id, Step.GIVE_BACK)
        advance(connection, row_id, Step.CANCEL)
    connection.execute(update(outbox).where(outbox.c.chat_id == source_id, ~twice).values(chat_id=chat_id))
    connection.execute(update(receipt).where(receipt.c.chat_id == source_id).values(chat_id=chat_id))
    connection.execute(update(account).where(account.c.private_chat_id == source_id).values(private_chat_id=chat_id))
