"""The real service with two village rooms, where nobody answers by itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from fastapi import FastAPI
from pydantic import SecretStr
from sqlmodel import Session, col, select

from adapters.contract import Button
from adapters.text import bold, plain
from api.main import create_app
from bot.messages import FileUse, Message, to_payload
from bot.settings import Settings
from scheduler.runtime import Runtime
from store import files, migrations, rooms
from store.crypto import Vault
from store.store import Store
from store.tables import Chat, InboundEvent, Unit, UnitKind

SECRET = "a secret of the tests, long enough to be one"


@dataclass
class House:
    """The open service without its background work: what the bot says, a test says."""

    runtime: Runtime
    app: FastAPI
    address: str = ""
    """Where a real server serves it, if one does."""

    @property
    def store(self) -> Store:
        return self.runtime.store

    @property
    def vault(self) -> Vault:
        return self.runtime.vault

    # ------------------------------------------------------------ the other side of the chat

    @property
    def channel_id(self) -> int:
        return self.runtime.channels["webchat", "main"].id

    async def post(self, text: str, *, room: str = "g:ban-a", key: str = "", buttons=(), only=None, file=None) -> int:
        """Say something as the bot does."""

        def work(session: Session) -> int:
            chat = rooms.find(session, self.vault, self.channel_id, room)
            assert chat is not None
            assert chat.id is not None
            use = None
            if file is not None:
                kind, name, media_type, content = file
                use = FileUse(files.keep(session, content, media_type, now=datetime.now(UTC)), kind, name, media_type)
            payload = to_payload(Message((bold("THÔNG BÁO"), *plain("\n\n" + text)), buttons, use))
            now = datetime.now(UTC)
            return rooms.post(
                session, self.vault, chat.id, key=key or text, payload=payload, now=now, only_account_id=only
            )

        posted = await self.store.write(work)
        self.runtime.nudge_rooms()
        return posted

    async def whisper(self, press_id: str, text: str) -> None:
        payload = to_payload(Message(plain(text)))
        await self.store.write(rooms.whisper, self.vault, press_id, payload, now=datetime.now(UTC))
        self.runtime.nudge_rooms()

    async def events(self) -> list:
        """Everything that was accepted, understood by the adapter, oldest first."""

        def work(session: Session) -> list[bytes]:
            kept = session.exec(select(InboundEvent).order_by(col(InboundEvent.id))).all()
            return [self.vault.open(event.sealed_body) for event in kept if event.sealed_body]

        adapter = self.runtime.channels["webchat", "main"].adapter
        return [event for body in await self.store.read(work) for event in adapter.parse(body)]


ACK = ((Button("✅ Đã nắm", "a:TB-4K7Q:got_it~1f"),),)


@asynccontextmanager
async def opened(folder: Path, *, work: bool = False, url: str = "") -> AsyncIterator[House]:
    """Two villages, "ban-a" and "ban-b", each with its room. `work`: the bot answers by itself."""
    url = url or f"sqlite:///{folder}/loa.db"
    await asyncio.to_thread(migrations.upgrade, url)
    settings = Settings(secret_key=SecretStr(SECRET), database_url=url, _env_file=None)
    app = create_app(settings, work=work)
    async with app.router.lifespan_context(app):
        runtime = app.state.runtime
        channel_id = runtime.channels["webchat", "main"].id
        await runtime.store.write(_furnish, runtime.vault, channel_id)
        yield House(runtime, app)


def _furnish(session: Session, vault: Vault, channel_id: int) -> None:
    now = datetime.now(UTC)
    commune = Unit(
        kind=UnitKind.COMMUNE, path="/1/", name="Xã Mẫu", folded="xa mau", code="xa-mau", valid_from=date(2025, 7, 1)
    )
    session.add(commune)
    session.flush()
    for letter in "ab":
        village = Unit(
            parent_id=commune.id,
            kind=UnitKind.VILLAGE,
            path="",
            name=f"Bản {letter.upper()}",
            folded=f"ban {letter}",
            code=f"ban-{letter}",
            valid_from=date(2025, 7, 1),
        )
        session.add(village)
        session.flush()
        village.path = f"/{commune.id}/{village.id}/"
        rooms.ensure_group(session, vault, channel_id, village, now=now)


async def group_of(house: House, room: str = "g:ban-a") -> Chat:
    chat = await house.store.read(rooms.find, house.vault, house.channel_id, room)
    assert chat is not None
    return chat
