"""The house's side of its own messenger: what the web chat sends lands in rooms of our database."""

from collections.abc import Callable
from datetime import datetime

from sqlmodel import Session

from adapters.contract import ChatGone, Outbound
from adapters.text import plain
from bot.messages import FileUse, Message, to_payload
from store import files, rooms
from store.crypto import Vault
from store.store import Store


class HouseRooms:
    """Rooms of one channel. `changed` is called after each change is committed."""

    def __init__(
        self,
        channel_id: int,
        store: Store,
        vault: Vault,
        *,
        clock: Callable[[], datetime],
        changed: Callable[[], None],
    ) -> None:
        self._channel_id = channel_id
        self._store = store
        self._vault = vault
        self._clock = clock
        self._changed = changed

    async def post(self, message: Outbound) -> str:
        posted = await self._store.write(self._post, message)
        self._changed()
        return str(posted)

    async def edit(self, message_id: str, message: Outbound) -> bool:
        edited = await self._store.write(self._edit, message_id, message)
        self._changed()
        return edited

    async def delete(self, room: str, message_id: str) -> bool:
        deleted = await self._store.write(self._delete, room, message_id)
        self._changed()
        return deleted

    async def count_members(self, room: str) -> int:
        return await self._store.read(self._count, room)

    async def whisper(self, press_id: str, text: str) -> None:
        payload = to_payload(Message(plain(text)))
        await self._store.write(rooms.whisper, self._vault, press_id, payload, now=self._clock())
        self._changed()

    async def fetch(self, ref: str) -> bytes | None:
        return await self._store.read(rooms.fetch, ref)

    # ------------------------------------------------------------ pieces of a transaction

    def _post(self, session: Session, message: Outbound) -> int:
        payload, file_id = self._payload(session, message)
        return rooms.post(
            session,
            self._vault,
            self._room(session, message.chat.id),
            key=message.key,
            payload=payload,
            now=self._clock(),
            file_id=file_id,
            reply_to=message.reply_to,
        )

    def _edit(self, session: Session, message_id: str, message: Outbound) -> bool:
        payload, file_id = self._payload(session, message)
        room = self._room(session, message.chat.id)
        return rooms.edit(session, self._vault, room, message_id, payload=payload, file_id=file_id)

    def _delete(self, session: Session, room: str, message_id: str) -> bool:
        return rooms.delete(session, self._room(session, room), message_id)

    def _count(self, session: Session, room: str) -> int:
        return rooms.count_members(session, self._room(session, room))

    def _room(self, session: Session, address: str) -> int:
        chat = rooms.find(session, self._vault, self._channel_id, address)
        if chat is None or chat.id is None:
            raise ChatGone("no such room")
        return chat.id

    def _payload(self, session: Session, message: Outbound) -> tuple[str, int | None]:
        """What is kept. An edit names its file without the bytes: the room keeps the one that it has."""
        file = message.file
        if file is None or not file.content:
            return to_payload(Message(message.text, message.buttons)), None
        file_id = files.keep(session, file.content, file.media_type, now=self._clock())
        use = FileUse(file_id, file.kind, file.name, file.media_type)
        return to_payload(Message(message.text, message.buttons, use)), file_id
