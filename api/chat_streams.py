"""Live rooms: one watcher asks the database for all open rooms together, and every open page is told of its own."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from scheduler.runtime import Runtime
from store import rooms
from store.rooms import Shown
from store.store import StoreError

logger = logging.getLogger(__name__)

IDLE_POLL = timedelta(seconds=2)
"""Rooms that another process wrote to are looked at this often; our own process nudges."""
GAP = timedelta(milliseconds=100)
"""A burst of changes is read together."""
KEPT = 200
MOST_PAGES = 5_000
"""Pages that one process keeps up to date."""


@dataclass(slots=True)
class Feed:
    """What changed lately in one room."""

    version: int
    floor: int
    recent: list[Shown] = field(default_factory=list)
    pages: set[asyncio.Event] = field(default_factory=set)
    members: int = 0
    html: dict[int, str] = field(default_factory=dict)
    """By change: the fragment as everybody but its author sees it, made once for all pages."""

    @property
    def is_known(self) -> bool:
        """The watcher has looked where the room is."""
        return self.floor >= 0

    def add(self, changes: Sequence[Shown]) -> None:
        self.recent += changes
        self.version = changes[-1].change
        if len(self.recent) > KEPT:
            self.floor = self.recent[-KEPT - 1].change
            self.recent = self.recent[-KEPT:]
            self.html = {change: html for change, html in self.html.items() if change > self.floor}
        for page in self.pages:
            page.set()


class Watcher:
    """Lives while a page is open."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._feeds: dict[int, Feed] = {}
        self._task: asyncio.Task[None] | None = None
        self.pages = 0

    @property
    def is_full(self) -> bool:
        return self.pages >= MOST_PAGES

    @asynccontextmanager
    async def watching(self, *chat_ids: int) -> AsyncIterator[asyncio.Event]:
        """An event that is set whenever one of these rooms changed."""
        page = asyncio.Event()
        self.pages += 1
        for chat_id in chat_ids:
            # From 0: the watcher's first look fills in what the room is at, and wakes the page once.
            self._feeds.setdefault(chat_id, Feed(-1, -1)).pages.add(page)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._watch(), name="webchat rooms")
        self._runtime.nudge_rooms()
        try:
            yield page
        finally:
            self.pages -= 1
            for chat_id in chat_ids:
                self._feeds[chat_id].pages.discard(page)
                if not self._feeds[chat_id].pages:
                    del self._feeds[chat_id]
            if not self._feeds and self._task is not None:
                self._task.cancel()
                self._task = None

    def feed(self, chat_id: int) -> Feed:
        """The feed of a room that is being watched."""
        return self._feeds[chat_id]

    async def changes(self, chat_id: int, since: int) -> list[Shown]:
        """What changed after `since`; from memory where possible."""
        feed = self._feeds[chat_id]
        if feed.is_known and since >= feed.floor:
            return [shown for shown in feed.recent if shown.change > since]
        return await self._runtime.store.read(rooms.changes_since, self._runtime.vault, chat_id, since)

    async def _watch(self) -> None:
        seen = 0
        while True:
            seen = await self._runtime.wait_rooms(seen, IDLE_POLL)
            try:
                await self._look()
            except StoreError as error:
                logger.warning("rooms could not be read", extra={"kind": type(error).__name__})
            await asyncio.sleep(GAP.total_seconds())

    async def _look(self) -> None:
        versions = await self._runtime.store.read(rooms.versions, list(self._feeds))
        for chat_id, version in versions.items():
            feed = self._feeds.get(chat_id)
            if feed is None:
                continue
            if feed.version != version:
                feed.members = await self._runtime.store.read(rooms.count_members, chat_id)
            if not feed.is_known:
                feed.version = feed.floor = version
                for page in feed.pages:
                    page.set()
            while feed.version < version:
                changes = await self._runtime.store.read(
                    rooms.changes_since, self._runtime.vault, chat_id, feed.version
                )
                if not changes:
                    break
                feed.add(changes)
