"""A messenger that lives in the test's own process: it keeps what is said, and does what a script says."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from adapters.contract import (
    Can,
    ChatRef,
    Event,
    FileRef,
    Inbound,
    Limits,
    Outbound,
    RawEvent,
    Sent,
)
from adapters.text import joined

ALL = Can.BUTTONS | Can.EDIT | Can.DELETE | Can.PIN | Can.FILES | Can.ANSWER_PRESS | Can.COUNT_MEMBERS | Can.TELL_READ
UNLIMITED = Limits(text=4096, caption=1024)


@dataclass
class Call:
    """What reached the messenger."""

    what: str
    chat: str
    text: str = ""
    message: Any = None
    """The `Outbound`, where there is one."""
    message_id: str = ""
    at: float = 0.0


@dataclass
class Messenger:
    """`script(call)` runs before a call takes effect: it may raise, or wait. `after(call)` when it has taken effect."""

    name: str = "stand-in"
    can: Can = ALL
    limits: Limits = UNLIMITED
    script: Callable[[Call], object] | None = None
    after: Callable[[Call], object] | None = None
    calls: list[Call] = field(default_factory=list)
    shown: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    """What each chat shows: message id → text."""
    members: int = 40
    events: dict[bytes, Sequence[Event]] = field(default_factory=dict)
    files: dict[str, bytes | Exception] = field(default_factory=dict)
    answers: list[tuple[str, str, bool]] = field(default_factory=list)
    counts: int = 0
    most_in_flight: int = 0
    is_closed: bool = False
    _number: int = 0
    _in_flight: int = 0

    # ------------------------------------------------------------ what comes in

    def verify(self, request: Inbound) -> None:
        """Everything is genuine."""

    def identify(self, request: Inbound) -> Sequence[RawEvent]:
        return [RawEvent(request.body.decode(), "", request.body)]

    def parse(self, body: bytes) -> Sequence[Event]:
        if body not in self.events:
            raise ValueError("an event that nobody can read")
        return self.events[body]

    async def fetch(self, file: FileRef, *, limit: int) -> bytes:
        content = self.files[file.ref]
        if isinstance(content, Exception):
            raise content
        return content

    async def answer(self, press_id: str, text: str, *, alert: bool) -> None:
        self.answers.append((press_id, text, alert))

    # ------------------------------------------------------------ what goes out

    async def send(self, message: Outbound) -> Sent:
        call = Call("post", message.chat.id, joined(message.text), message)
        await self._arrive(call)
        self._number += 1
        call.message_id = str(self._number)
        self.shown[message.chat.id][call.message_id] = call.text
        await self._leave(call)
        file_ref = f"ref of {message.file.name}" if message.file else ""
        return Sent(call.message_id, file_ref)

    async def edit(self, message_id: str, message: Outbound) -> None:
        call = Call("edit", message.chat.id, joined(message.text), message, message_id)
        await self._arrive(call)
        self.shown[message.chat.id][message_id] = call.text
        await self._leave(call)

    async def delete(self, chat: ChatRef, message_id: str) -> None:
        call = Call("delete", chat.id, message_id=message_id)
        await self._arrive(call)
        self.shown[chat.id].pop(message_id, None)
        await self._leave(call)

    async def pin(self, chat: ChatRef, message_id: str) -> None:
        await self._leave(await self._arrive(Call("pin", chat.id, message_id=message_id)))

    async def count_members(self, chat: ChatRef) -> int:
        self.counts += 1
        return self.members

    async def aclose(self) -> None:
        self.is_closed = True

    # ------------------------------------------------------------ what a test asks

    def texts(self, chat: str) -> list[str]:
        """What the chat shows, oldest first."""
        return list(self.shown[chat].values())

    def posts(self) -> list[Call]:
        return [call for call in self.calls if call.what == "post"]

    # ------------------------------------------------------------ inside

    async def _arrive(self, call: Call) -> Call:
        call.at = asyncio.get_running_loop().time()
        self.calls.append(call)
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            await _done(self.script, call)
        except BaseException:
            self._in_flight -= 1
            raise
        return call

    async def _leave(self, call: Call) -> None:
        self._in_flight -= 1
        await _done(self.after, call)


async def _done(script: Callable[[Call], object] | None, call: Call) -> None:
    if script is not None:
        found = script(call)
        if asyncio.iscoroutine(found):
            await found
    else:
        await asyncio.sleep(0)
