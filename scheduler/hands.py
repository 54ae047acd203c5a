"""The house's side of the relay: what is handed over becomes somebody's errand, with a kit in the carrier's chats."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, select

from adapters.contract import ChatGone, NobodyCarries, Outbound, Rejected
from bot import chats, errands
from bot.house import House
from pictures import NoticeWords, notice_png
from store.store import Store
from store.tables import Action, Chat, Outbox, RelayGroup

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Given:
    """The row behind a message, and what its picture shows."""

    row_id: int
    words: NoticeWords | None


class HouseHands:
    """Carriers of one channel. `handed` is called when their kits wait to be sent."""

    def __init__(
        self,
        channel_id: int,
        store: Store,
        house: Callable[[], House],
        *,
        clock: Callable[[], datetime],
        handed: Callable[[], None],
        draw: Callable[[NoticeWords], bytes] = notice_png,
    ) -> None:
        self._channel_id = channel_id
        self._store = store
        self._house = house
        self._clock = clock
        self._handed = handed
        self._draw = draw

    async def give(self, message: Outbound) -> None:
        """Look, draw, and give, in this order: no transaction is open while the picture is drawn."""
        house, now = self._house(), self._clock()
        given = await self._store.read(_look, house, self._channel_id, message.chat.id, message.key, now)
        picture = None if given.words is None else await self._drawn(given.words)
        await self._store.write(_hand, house, given.row_id, picture, now)
        self._handed()

    async def _drawn(self, words: NoticeWords) -> bytes | None:
        """The picture; None when it cannot be drawn: the words must not wait for it."""
        try:
            return await asyncio.to_thread(self._draw, words)
        except Exception as error:  # whatever a drawing stumbles over, the notice is carried without it
            # Without the error's own words, which may quote the notice.
            why = type(error).__name__
            logger.error("a notice's picture could not be drawn", extra={"code": words.code, "why": why})
            return None


def _look(session: Session, house: House, channel_id: int, address: str, name: str, now: datetime) -> _Given:
    """Find the row by the name of its send. Raises ChatGone, NobodyCarries, or Rejected for what is no notice."""
    key = chats.address_key(house.vault, channel_id, address)
    chat = session.exec(select(Chat).where(Chat.channel_id == channel_id, Chat.address_key == key)).first()
    if chat is None or chat.unit_id is None:
        raise ChatGone("the group is served no longer")
    group = session.get(RelayGroup, chat.id)
    if group is None or (group.carrier_id is None and group.backup_id is None):
        raise NobodyCarries("no carrier")
    row_key, revision, part = name.rsplit("/", 2)
    row = session.exec(
        select(Outbox).where(
            Outbox.chat_id == chat.id,
            Outbox.key == row_key,
            Outbox.revision == int(revision),
            Outbox.part == int(part),
            Outbox.action == Action.POST,
        )
    ).first()
    if row is None or row.id is None or row.notice_id is None:
        raise Rejected("only notices are carried by hand")
    return _Given(row.id, errands.sheet(session, house, row, now=now))


def _hand(session: Session, house: House, row_id: int, picture: bytes | None, now: datetime) -> None:
    errands.hand(session, house, session.get_one(Outbox, row_id), picture, now=now)
