"""A small house with villages and groups on channels of stand-in messengers, and what a test asks of it."""

import asyncio
import shutil
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, NullPool, create_engine, func, insert, select
from sqlmodel import Session

from adapters.text import plain
from bot.messages import Message, to_payload
from scheduler.files import FileBytes
from scheduler.sender import Drain
from scheduler.turn import Terms
from store import outbox, reach
from store.crypto import Vault
from store.opening import open_store
from store.store import Store
from store.tables import (
    Channel,
    Chat,
    ChatKind,
    Issuer,
    IssuerKind,
    Lane,
    Notice,
    NoticeState,
    NoticeTarget,
    Outbox,
    Person,
    State,
    Table,
    Unit,
    UnitKind,
)

VAULT = Vault("a secret of the tests, long enough to be one")
NOW = datetime(2026, 11, 21, 8, tzinfo=UTC)
WITHIN = 20.0


def table(model: Any) -> Any:
    """The Core table of a model."""
    return model.__table__


rows_of = table(Outbox)


async def until(condition: Callable[[], Any], *, within: float = WITHIN) -> Any:
    """Wait for what `condition` says (it may be a coroutine); fail when it does not come about."""
    deadline = asyncio.get_running_loop().time() + within
    while True:
        found = condition()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        assert asyncio.get_running_loop().time() < deadline, "it did not come about in time"
        await asyncio.sleep(0.005)


def make_tables(url: str) -> None:
    engine = create_engine(url, poolclass=NullPool)
    Table.metadata.create_all(engine)
    engine.dispose()


def key(row: Any) -> int:
    """The id of a row that has one by now."""
    found: int = row.id
    return found


@dataclass
class World:
    store: Store
    now: datetime = NOW
    channels: list[int] = field(default_factory=list)
    villages: list[int] = field(default_factory=list)
    chats: list[int] = field(default_factory=list)

    # ------------------------------------------------------------ building

    async def settle(self, *, villages: int = 2, groups: int = 4, channels: int = 1) -> None:
        """`groups` village groups, spread evenly over villages and channels; addressed "chat 1", "chat 2", …"""

        def build(session: Session) -> None:
            commune = Unit(
                kind=UnitKind.COMMUNE, path="/1/", name="Xã", folded="xa", code="xa", valid_from=date(2025, 7, 1)
            )
            session.add(commune)
            session.flush()
            for number in range(1, villages + 1):
                village = Unit(
                    parent_id=commune.id,
                    kind=UnitKind.VILLAGE,
                    path=f"/1/{number + 1}/",
                    name=f"Bản {number}",
                    folded=f"ban {number}",
                    code=f"ban-{number}",
                    valid_from=date(2025, 7, 1),
                )
                session.add(village)
                session.flush()
                self.villages.append(key(village))
            for number in range(1, channels + 1):
                channel = Channel(adapter="stand-in", name=f"c{number}", created_at=self.now)
                session.add(channel)
                session.flush()
                self.channels.append(key(channel))
            session.add(Person(name="Cán bộ", created_at=self.now))
            session.add(Issuer(unit_id=key(commune), kind=IssuerKind.COMMUNE, name="UBND xã"))
            session.flush()
            for number in range(1, groups + 1):
                chat = Chat(
                    channel_id=self.channels[number % channels],
                    address_key=f"key {number}",
                    sealed_address=VAULT.seal(f"chat {number}"),
                    kind=ChatKind.GROUP,
                    unit_id=self.villages[number % villages],
                    created_at=self.now,
                )
                session.add(chat)
                session.flush()
                self.chats.append(key(chat))

        await self.store.write(build)

    async def publish(
        self,
        *texts: str,
        urgent: bool = False,
        payloads: Sequence[str] = (),
        villages: Sequence[int] | None = None,
        life: timedelta | None = None,
    ) -> int:
        """A notice of these parts to every group; returns its id."""

        def work(session: Session) -> int:
            notice = Notice(
                code=f"TB-{session.connection().execute(select(func.count()).select_from(Notice)).scalar()}",
                unit_id=1,
                issuer_id=1,
                issuer_name="UBND xã",
                state=NoticeState.PUBLISHED,
                author_id=1,
                is_urgent=urgent,
                created_at=self.now,
                published_at=self.now,
                expires_at=None if life is None else self.now + life,
            )
            session.add(notice)
            session.flush()
            for village in self.villages if villages is None else villages:
                session.add(NoticeTarget(notice_id=key(notice), unit_id=village))
            session.flush()
            outbox.fan_out(
                session.connection(),
                notice,
                channel_ids=self.channels,
                payloads=payloads or [words(text) for text in texts],
                lane=Lane.URGENT if urgent else Lane.NOTICE,
                now=self.now,
                is_silent=False,
            )
            reach.open_notice(session.connection(), key(notice))
            return key(notice)

        return await self.store.write(work)

    async def say(self, chat: int, *texts: str, key: str = "", lane: Lane = Lane.REPLY, **more: Any) -> None:
        await self.store.write_core(
            outbox.post,
            chat_id=self.chats[chat],
            key=key or f"say:{texts[0]}",
            payloads=[words(text) for text in texts],
            lane=lane,
            now=self.now,
            **more,
        )

    # ------------------------------------------------------------ asking

    async def rows(self, *where: Any) -> list[Any]:
        return await self.do(
            lambda connection: connection.execute(select(rows_of).where(*where).order_by(rows_of.c.id)).all()
        )

    async def states(self, *where: Any) -> dict[State, int]:
        counted = select(rows_of.c.state, func.count()).where(*where).group_by(rows_of.c.state)
        return await self.do(lambda connection: dict(map(tuple, connection.execute(counted).all())))

    async def one(self, model: Any, key: Any) -> Any:
        return await self.store.read(lambda session: session.get(model, key))

    async def do(self, work: Callable[[Connection], Any]) -> Any:
        """Read, on the connection."""
        return await self.store.read(lambda session: work(session.connection()))

    async def change(self, model: Any, key: Any, **values: Any) -> None:
        def work(session: Session) -> None:
            found = session.get(model, key)
            for name, value in values.items():
                setattr(found, name, value)

        await self.store.write(work)

    async def put(self, model: Any, **values: Any) -> None:
        await self.store.write_core(
            lambda connection: connection.execute(insert(table(model)).values(**values)) and None
        )

    # ------------------------------------------------------------ sending

    @asynccontextmanager
    async def draining(self, messenger: Any, *, channel: int = 0, owner: str = "us", alone: bool = True, **more: Any):
        """The channel's sender at work; stopped at the end of the block."""
        drain = self.drain(messenger, channel=channel, owner=owner, alone=alone, **more)
        task = asyncio.create_task(drain.run())
        try:
            yield drain
        finally:
            drain.stop()
            done, _ = await asyncio.wait({task}, timeout=WITHIN)
            task.cancel()
            assert done, "the sender did not stop"
            task.result()

    def drain(
        self,
        messenger: Any,
        *,
        channel: int = 0,
        owner: str = "us",
        alone: bool = True,
        chance: float = 0.0,
        lease: timedelta = timedelta(seconds=30),
    ) -> Drain:
        terms = Terms(self.channels[channel], owner, alone, lambda _: self.now, lease)
        return Drain(messenger, terms, self.store, VAULT, FileBytes(self.store), chance=lambda: chance)


def words(text: str) -> str:
    """A message without buttons, as it is kept."""
    return to_payload(Message(plain(text)))


class Template:
    """One prepared SQLite file, copied for each test: making the tables costs more than a test."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "template.db"
        make_tables(f"sqlite:///{self._file}")

    def copy(self, path: Path) -> str:
        shutil.copy(self._file, path)
        return f"sqlite:///{path}"


def opened(url: str) -> Store:
    return open_store(url, owner=True)
