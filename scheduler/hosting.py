"""Villages get a room on each messenger of our own, without anybody asking for one."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import exists, true
from sqlmodel import Session, col, select

from store import rooms
from store.crypto import Vault
from store.store import Store
from store.tables import Channel, Chat, ChatKind, Unit, UnitKind

AT_ONCE = 200
"""Rooms made in one transaction: others write beside it."""

Wanted = tuple[int, int]
"""A channel's id and a village's."""


async def keep_rooms(store: Store, vault: Vault, channel_ids: Collection[int], *, now: datetime) -> int:
    """Make the rooms that are missing; returns how many."""
    if not channel_ids:
        return 0
    wanted = await store.read(missing, channel_ids)
    for start in range(0, len(wanted), AT_ONCE):
        await store.write(make, vault, wanted[start : start + AT_ONCE], now=now)
    return len(wanted)


def missing(session: Session, channel_ids: Collection[int]) -> list[Wanted]:
    """Which of today's villages have no room of their own on which of these channels."""
    has_room = exists().where(
        col(Chat.channel_id) == Channel.id,
        col(Chat.unit_id) == Unit.id,
        col(Chat.kind) == ChatKind.GROUP,
        col(Chat.audience_id).is_(None),
    )
    found = session.exec(
        select(Channel.id, Unit.id)
        .join(Unit, true())
        .where(
            col(Channel.id).in_(channel_ids),
            Unit.kind == UnitKind.VILLAGE,
            col(Unit.valid_to).is_(None),
            ~has_room,
        )
        .order_by(col(Channel.id), col(Unit.id))
    )
    return [(channel_id or 0, unit_id or 0) for channel_id, unit_id in found]


def make(session: Session, vault: Vault, wanted: Sequence[Wanted], *, now: datetime) -> None:
    for channel_id, unit_id in wanted:
        rooms.ensure_group(session, vault, channel_id, session.get_one(Unit, unit_id), now=now)
