"""Handles what messengers told us: each event once, those of a chat in their order, chats beside each other.

T2 of ARCHITECTURE §6. Files are fetched first; then one transaction decides, writes and marks the event as handled.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Connection
from sqlmodel import Session

from adapters.contract import AnswersPresses, Event, FetchesFiles, FileRef, SendFailure
from bot.house import House, Messenger
from scheduler.channels import OpenChannel
from store import events
from store.crypto import Vault
from store.events import Waiting
from store.store import Store

logger = logging.getLogger(__name__)

AT_ONCE = 16
"""Chats handled beside each other."""
LEASE = timedelta(minutes=2)
"""Longer than the files of an event take: a lapsed lease lets somebody else handle it again."""
LARGEST_FILE = 20 << 20
AFTER_FAULT = 1.0


class Answer(Protocol):
    """What a presser alone is told, at once (`bot.turn.PressAnswer`)."""

    @property
    def press_id(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def alert(self) -> bool: ...


class Decisions(NamedTuple):
    """What to do with an event: `bot.inbox`, or a stand-in of a test."""

    handle: Callable[..., Sequence[Answer]]
    """(session, house, messenger, event, *, now, files)"""
    files_wanted: Callable[..., Sequence[FileRef]]
    """(session, house, messenger, event, *, now)"""


class Inbox:
    """Lives from `run` to `stop`."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        decisions: Decisions,
        *,
        channels: Callable[[], Mapping[int, OpenChannel]],
        house: Callable[[], House],
        clock: Callable[[], datetime],
        handled: Callable[[], None],
        alone: bool,
    ) -> None:
        """`channels` by id. `handled` is called after each commit: rows may wait to be sent. `alone`: as in Terms."""
        self._store = store
        self._vault = vault
        self._decisions = decisions
        self._channels = channels
        self._house = house
        self._clock = clock
        self._handled = handled
        self._alone = alone
        self._more = True
        self._stopping = False
        self._wake = asyncio.Event()
        self._under_way: set[asyncio.Task[None]] = set()

    def nudge(self) -> None:
        """Something came in."""
        self._more = True
        self._wake.set()

    def stop(self) -> None:
        """Begin nothing more; `run` ends when what is under way has ended."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Handle events until stopped."""
        try:
            await self._surviving(self._recover)
            while not self._stopping:
                if self._more and len(self._under_way) < AT_ONCE:
                    self._more = False
                    await self._surviving(self._lease)
                else:
                    await self._wake.wait()
                    self._wake.clear()
            if self._under_way:
                await asyncio.wait(self._under_way)
        finally:
            for task in self._under_way:
                task.cancel()

    async def recover(self) -> None:
        """Open again what a handler left that died; called by the sweep."""
        if await self._store.write_core(events.recover, now=self._clock(), alone=False):
            self.nudge()

    # ------------------------------------------------------------ inside

    async def _recover(self) -> None:
        await self._store.write_core(events.recover, now=self._clock(), alone=self._alone)

    async def _surviving(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Exception:  # this loop must survive: a lost database comes back
            logger.exception("the inbox could not be read")
            await asyncio.sleep(AFTER_FAULT)
            self._more = True

    async def _lease(self) -> None:
        channels = self._channels()
        if not channels:
            return
        now, room = self._clock(), AT_ONCE - len(self._under_way)
        leased = await self._store.write_core(events.lease, sorted(channels), now=now, until=now + LEASE, limit=room)
        self._more |= len(leased) == room
        for event in leased:
            task = asyncio.create_task(self._take(event, channels[event.channel_id]))
            self._under_way.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self.nudge()  # the next event of its chat may go now

    async def _take(self, waiting: Waiting, channel: OpenChannel) -> None:
        """Handle one event, whatever happens."""
        try:
            try:
                parsed = channel.adapter.parse(self._vault.open(waiting.sealed_body))
            except ValueError as error:
                logger.warning("an event cannot be read", extra={"event": waiting.id, "channel": channel.id})
                await self._put_off(events.set_aside, waiting, error)
                return
            await self._handle(waiting, channel, parsed)
        except Exception as error:  # a poison event stops nobody
            logger.exception("an event failed", extra={"event": waiting.id, "attempt": waiting.attempts})
            with suppress(Exception):  # then its lease lapses
                await self._put_off(events.postpone, waiting, error, attempts=waiting.attempts)

    async def _put_off(self, how: Callable[..., None], waiting: Waiting, error: Exception, **more: Any) -> None:
        await self._store.write_core(how, waiting.id, type(error).__name__, now=self._clock(), **more)

    async def _handle(self, waiting: Waiting, channel: OpenChannel, parsed: Sequence[Event]) -> None:
        house = self._house()
        messenger = house.messengers[channel.id]
        fetched = await self._fetch(channel, house, messenger, parsed)
        answers = await self._store.write(
            decide, self._decisions.handle, house, messenger, waiting.id, parsed, now=self._clock(), files=fetched
        )
        self._handled()
        await self._answer(channel, answers)

    async def _fetch(
        self, channel: OpenChannel, house: House, messenger: Messenger, parsed: Sequence[Event]
    ) -> dict[str, bytes]:
        """The files that the decision wants; one that does not come is left out, and the decision says so."""
        fetched: dict[str, bytes] = {}
        if not isinstance(channel.adapter, FetchesFiles) or not any(getattr(event, "files", ()) for event in parsed):
            return fetched
        for event in parsed:
            wanted = await self._store.read(self._decisions.files_wanted, house, messenger, event, now=self._clock())
            for file in wanted:
                try:
                    fetched[file.ref] = await channel.adapter.fetch(file, limit=LARGEST_FILE)
                except SendFailure as failure:
                    logger.warning(
                        "a file did not come", extra={"channel": channel.id, "failure": type(failure).__name__}
                    )
        return fetched

    async def _answer(self, channel: OpenChannel, answers: Sequence[Answer]) -> None:
        if not isinstance(channel.adapter, AnswersPresses):
            return
        for answer in answers:
            try:
                await channel.adapter.answer(answer.press_id, answer.text, alert=answer.alert)
            except SendFailure as failure:
                logger.info("a press was not answered", extra={"channel": channel.id, "why": type(failure).__name__})


def decide(
    session: Session,
    handle: Callable[..., Sequence[Answer]],
    house: House,
    messenger: Messenger,
    event_id: int,
    parsed: Sequence[Event],
    *,
    now: datetime,
    files: Mapping[str, bytes],
) -> list[Answer]:
    """One transaction: the event is handled, and all that follows from it. Nothing when it was handled before."""
    connection: Connection = session.connection()
    if not events.finish(connection, event_id, now=now):
        return []
    return [answer for event in parsed for answer in handle(session, house, messenger, event, now=now, files=files)]
