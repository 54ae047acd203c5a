"""The one place where everything is put together: opened in order, closed in reverse.

Many machines will need no other code here: a drain takes a channel by its lease, and learns that somebody else has it.
"""

import asyncio
import logging
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from os import getpid
from typing import Any

from sqlalchemy import Connection, update

from adapters.contract import AdapterBroken, Can, LinksToEnrol, Opening, RegistersItself, SendFailure
from bot import inbox as decisions
from bot import tasks as bot_tasks
from bot.commands import COMMANDS
from bot.house import House, LinkMaker, Messenger
from bot.settings import Settings
from scheduler import channels, hosting
from scheduler.channels import OpenChannel
from scheduler.files import FileBytes
from scheduler.hands import HouseHands
from scheduler.inbox import Decisions, Inbox
from scheduler.rooms import HouseRooms
from scheduler.sender import Drain
from scheduler.tasks import Tasks
from scheduler.turn import Clock, Terms
from store import events, outbox, schema, types
from store.crypto import Vault
from store.opening import opened_store
from store.store import Store
from store.tables import Channel

logger = logging.getLogger(__name__)

SWEEP = timedelta(seconds=1)
"""How long a lost wake-up, or a row written by another program, waits at most."""
RECOVER_EVERY = 10
"""Sweeps between two looks for events whose handler died."""
ROOMS_EVERY = 60
"""Sweeps between two looks for villages without a room: another program may have imported some."""
GRACE = timedelta(seconds=10)
"""What is under way at the end may take so long."""
LONGEST_PAUSE = 300.0

channel_table = Channel.__table__  # type: ignore[attr-defined]

__all__ = ["OpenChannel", "Runtime", "open_runtime"]


class Runtime:
    """The open service, as pages and commands see it. Made by `open_runtime`."""

    def __init__(
        self, settings: Settings, store: Store, vault: Vault, house: House, *, clock: Callable[[], datetime]
    ) -> None:
        self.settings = settings
        self.store = store
        self.vault = vault
        self.house = house
        """What decisions may know: replaced as a whole when a channel learns who it is."""
        self.clock = clock
        self.channels: Mapping[tuple[str, str], OpenChannel] = {}
        self._work: _Work | None = None
        self._rooms_changed = 0
        self._rooms_wake = asyncio.Event()

    def nudge_sender(self, channel_id: int | None = None) -> None:
        """Rows were committed to the outbox. Forgetting to say so costs at most a second."""
        if self._work is not None:
            self._work.nudge_sender(channel_id)

    def nudge_inbox(self) -> None:
        """Events were committed."""
        if self._work is not None:
            self._work.inbox.nudge()

    def nudge_rooms(self) -> None:
        """A room of the web chat changed."""
        self._rooms_changed += 1
        self._rooms_wake.set()
        self._rooms_wake = asyncio.Event()

    async def wait_rooms(self, seen: int, timeout: timedelta) -> int:  # noqa: ASYNC109 - not an error, but an answer
        """Wait until a room changes after `seen`, an earlier answer (0 at first), or `timeout` is over."""
        if self._rooms_changed <= seen:
            try:
                async with asyncio.timeout(timeout.total_seconds()):
                    await self._rooms_wake.wait()
            except TimeoutError:
                pass
        return self._rooms_changed


@asynccontextmanager
async def open_runtime(
    settings: Settings,
    *,
    work: bool = True,
    owner: bool = True,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    limits_off: bool = False,
) -> AsyncIterator[Runtime]:
    """Open the store and every channel, and send, handle and sweep in the background until the block ends.

    `work=False`: pages only. `owner=False`: a command's short writes beside the running service, which does the work.
    `limits_off` is for measuring. Raises ValueError, StoreError or SchemaMismatch in words.
    """
    channels.check(settings.adapters)
    vault = Vault(settings.secret_key)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(opened_store(settings.database_url, owner=owner))
        await store.read(lambda session: schema.check(session.connection()))
        house = House(vault, settings.residents_url, settings.zone, settings.approval)
        runtime = Runtime(settings, store, vault, house, clock=clock)

        def opening(channel_id: int, name: str) -> Opening:
            rooms = HouseRooms(channel_id, store, vault, clock=clock, changed=runtime.nudge_rooms)
            hands = HouseHands(
                channel_id, store, lambda: runtime.house, clock=clock, handed=lambda: runtime.nudge_sender()
            )
            return Opening(
                channel=name, public_url=settings.public_url, rooms=rooms, hands=hands, limits_off=limits_off
            )

        rows = await store.write(channels.ensure, settings.adapters, now=clock())
        opened = await channels.open_all(store, vault, rows, opening, mend=work)
        for channel in opened:
            stack.push_async_callback(channel.adapter.aclose)
        runtime.channels = {(channel.adapter_name, channel.name): channel for channel in opened}
        handles = {row.id: row.handle for row in rows}
        runtime.house = replace(house, messengers={c.id: messenger_of(c, handles[c.id]) for c in opened})
        if work:
            alone = owner and store.dialect == "sqlite"
            runtime._work = await stack.enter_async_context(_working(runtime, alone=alone))
        yield runtime


def messenger_of(channel: OpenChannel, handle: str) -> Messenger:
    """The channel as decisions see it."""
    adapter = channel.adapter
    return Messenger(
        channel.id, channel.adapter_name, channel.name, adapter.can, adapter.limits, handle, _link(channel, handle)
    )


def _link(channel: OpenChannel, handle: str) -> LinkMaker | None:
    """None while we do not know our own name there: a link to nobody helps nobody."""
    adapter = channel.adapter
    if not isinstance(adapter, LinksToEnrol) or (isinstance(adapter, RegistersItself) and not handle):
        return None
    return lambda payload, group: adapter.link(handle, payload, group=group)


# ---------------------------------------------------------------- in the background


@asynccontextmanager
async def _working(runtime: Runtime, *, alone: bool) -> AsyncIterator["_Work"]:
    work = _Work(runtime, alone=alone)
    work.begin()
    try:
        yield work
    finally:
        await work.end()


class _Work:
    """The drains of all channels, the inbox and the sweep."""

    def __init__(self, runtime: Runtime, *, alone: bool) -> None:
        self._runtime = runtime
        self._alone = alone
        self._owner = f"{socket.gethostname()}:{getpid()}:{secrets.token_hex(4)}"
        self._by_id = {channel.id: channel for channel in runtime.channels.values()}
        self._contents = FileBytes(runtime.store)
        self._drains: dict[int, tuple[Drain, asyncio.Task[None]]] = {}
        self._look = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._sweeps = 0
        self.inbox = Inbox(
            runtime.store,
            runtime.vault,
            Decisions(decisions.handle, decisions.files_wanted),
            channels=lambda: self._by_id,
            house=lambda: runtime.house,
            clock=runtime.clock,
            handled=self.nudge_sender,
            alone=alone,
        )
        self._due = Tasks(runtime.store, bot_tasks.run, house=lambda: runtime.house, handled=self.nudge_sender)

    def nudge_sender(self, channel_id: int | None = None) -> None:
        if channel_id is None:
            self._look.set()
        elif channel_id in self._drains:
            self._drains[channel_id][0].nudge()

    def begin(self) -> None:
        for channel in self._by_id.values():
            self._drain(channel)
            if isinstance(channel.adapter, RegistersItself):
                self._run(f"register {channel.id}", self._register(channel, channel.adapter))
        self._run("inbox", self.inbox.run())
        self._run("look for waiting channels", self._look_for_channels())
        self._run("sweep", self._sweep_each_second())

    async def end(self) -> None:
        """Let what is under way end, within GRACE; the rest is what a restart finds as unknown."""
        drains, tasks = [task for _, task in self._drains.values()], self._tasks
        inbox = next(task for task in tasks if task.get_name() == "inbox")
        for task in tasks:
            if task is not inbox:
                task.cancel()
        self.inbox.stop()
        for drain, _ in self._drains.values():
            drain.stop()
        ending = {inbox, *drains}
        _, late = await asyncio.wait(ending, timeout=GRACE.total_seconds())
        if late:
            logger.warning("work was cut off at the end", extra={"tasks": len(late)})
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, *drains, return_exceptions=True)

    def _run(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(work, name=name))

    # ------------------------------------------------------------ channels

    def _drain(self, channel: OpenChannel) -> None:
        runtime = self._runtime
        terms = Terms(channel.id, self._owner, self._alone, _clock(runtime))
        drain = Drain(channel.adapter, terms, runtime.store, runtime.vault, self._contents)
        self._drains[channel.id] = drain, asyncio.create_task(drain.run(), name=f"drain {channel.id}")

    async def _look_for_channels(self) -> None:
        """Wake the drains of channels where something waits: when told, and once a second whatever was told."""
        while True:
            self._look.clear()
            try:
                for channel_id in await self._runtime.store.read(_waiting, self._runtime.clock()):
                    self._wake(channel_id)
            except Exception:  # this loop must survive: a lost database comes back
                logger.exception("waiting channels could not be looked for")
            try:
                async with asyncio.timeout(SWEEP.total_seconds()):
                    await self._look.wait()
            except TimeoutError:
                pass

    def _wake(self, channel_id: int) -> None:
        if channel_id not in self._drains:
            return
        drain, task = self._drains[channel_id]
        if task.done():  # it was broken, and somebody has mended it
            self._drain(self._by_id[channel_id])
        else:
            drain.nudge()

    async def _register(self, channel: OpenChannel, adapter: RegistersItself) -> None:
        """Learn who we are on the messenger and tell it where to reach us. Nothing waits for that."""
        pause = 1.0
        while True:
            try:
                await self._learn_identity(channel, adapter)
                await adapter.register(self._webhook(channel), COMMANDS)
            except AdapterBroken as error:
                known = self._runtime.house.messengers[channel.id].handle
                logger.error(
                    "a channel could not be registered",
                    extra={"channel": channel.id, "reason": error.reason, "known": bool(known)},
                )
                return
            except SendFailure as error:
                logger.info("a channel is not registered yet", extra={"channel": channel.id, "reason": error.reason})
            except Exception:  # the messenger works without it; try again
                logger.exception("registering a channel failed", extra={"channel": channel.id})
            else:
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _learn_identity(self, channel: OpenChannel, adapter: RegistersItself) -> None:
        runtime = self._runtime
        try:
            found = await adapter.identity()
        except AdapterBroken as error:
            # Only who we are decides whether the token is good: a missing webhook secret stops no sending.
            await runtime.store.write_core(outbox.break_channel, channel.id, error.reason)
            raise
        await runtime.store.write_core(_keep_identity, channel.id, found.id, found.handle)
        messengers = {**runtime.house.messengers, channel.id: messenger_of(channel, found.handle)}
        runtime.house = replace(runtime.house, messengers=messengers)

    def _webhook(self, channel: OpenChannel) -> str:
        """'' when there is no address that a messenger could reach: then it keeps what it has."""
        address = self._runtime.settings.public_url
        if not address.startswith("https://"):
            return ""
        return f"{address}/webhooks/{channel.adapter_name}/{channel.name}"

    # ------------------------------------------------------------ the sweep

    async def _sweep_each_second(self) -> None:
        while True:
            try:
                await self._sweep()
            except Exception:  # this loop must survive: a lost database comes back
                logger.exception("a sweep failed")
            await asyncio.sleep(SWEEP.total_seconds())

    async def _sweep(self) -> None:
        runtime, now = self._runtime, self._runtime.clock()
        await self._due.sweep(now)
        if await runtime.store.read(lambda session: events.is_waiting(session.connection(), now=now)):
            self.inbox.nudge()
        if self._sweeps % ROOMS_EVERY == 0:
            hosts = [channel.id for channel in self._by_id.values() if Can.HOSTS_ROOMS in channel.adapter.can]
            await hosting.keep_rooms(runtime.store, runtime.vault, hosts, now=now)
        self._sweeps += 1
        if self._sweeps % RECOVER_EVERY == 0:
            await self.inbox.recover()


def _clock(runtime: Runtime) -> Clock:
    """The database's clock: on SQLite it is this machine's, elsewhere several machines must agree."""
    if runtime.store.dialect == "sqlite":
        return lambda _connection: runtime.clock()
    return types.now


def _waiting(session: Any, now: datetime) -> list[int]:
    return outbox.waiting_channels(session.connection(), now=now)


def _keep_identity(connection: Connection, channel_id: int, identity: str, handle: str) -> None:
    row = update(channel_table).where(channel_table.c.id == channel_id)
    connection.execute(row.values(identity=identity, handle=handle))
