"""The web chat as the house sends through it: every call lands in a room of our own database."""

from collections.abc import Sequence
from urllib.parse import quote

from adapters.contract import (
    BadSignature,
    Can,
    ChatRef,
    Event,
    FileRef,
    Inbound,
    Limits,
    Opening,
    Outbound,
    RawEvent,
    Rejected,
    Sent,
)
from adapters.webchat import incoming

LONGEST = 20_000
"""A notice of several pages is one message; longer texts are cut so that one message never fills a cheap phone."""


class Webchat:
    name = "webchat"
    can = (
        Can.BUTTONS
        | Can.EDIT
        | Can.DELETE
        | Can.FILES
        | Can.ANSWER_PRESS
        | Can.COUNT_MEMBERS
        | Can.TELL_READ
        | Can.SAFE_TO_REPEAT
        | Can.HOSTS_ROOMS
    )
    limits = Limits(text=LONGEST, caption=LONGEST)

    def __init__(self, opening: Opening) -> None:
        self._rooms = opening.rooms
        self._public_url = opening.public_url

    def verify(self, request: Inbound) -> None:
        """Nobody may post events from outside: browsers speak with the chat's page, which keeps their events itself."""
        raise BadSignature("web chat has no webhook")

    def identify(self, request: Inbound) -> Sequence[RawEvent]:
        return incoming.identify(request.body)

    def parse(self, body: bytes) -> Sequence[Event]:
        return incoming.parse(body)

    async def send(self, message: Outbound) -> Sent:
        return Sent(await self._rooms.post(message))

    async def edit(self, message_id: str, message: Outbound) -> None:
        if not await self._rooms.edit(message_id, message):
            raise Rejected("no such message")

    async def delete(self, chat: ChatRef, message_id: str) -> None:
        await self._rooms.delete(chat.id, message_id)

    async def answer(self, press_id: str, text: str, *, alert: bool) -> None:
        if text:  # an empty answer only ends the waiting, and here nobody waits
            await self._rooms.whisper(press_id, text)

    async def count_members(self, chat: ChatRef) -> int:
        return await self._rooms.count_members(chat.id)

    async def fetch(self, file: FileRef, *, limit: int) -> bytes:
        content = await self._rooms.fetch(file.ref)
        if content is None:
            raise Rejected("no such file")
        if len(content) > limit:
            raise Rejected("larger than allowed")
        return content

    def link(self, handle: str, payload: str, *, group: bool) -> str:
        """The list of villages, where the person picks theirs; relative when we have no public address."""
        return f"{self._public_url}/chat?{'startgroup' if group else 'start'}={quote(payload, safe='')}"

    async def aclose(self) -> None:
        """There is nothing to let go of."""
