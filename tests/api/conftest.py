"""The real app over its real store: a commune of three villages, its people, and browsers that keep their cookies."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest
import regex
from argon2 import PasswordHasher
from fastapi import FastAPI
from sqlalchemy import create_engine
from sqlmodel import Session, select

from api.auth import new_token
from api.main import create_app
from bot import people
from bot.chats import address_key
from bot.settings import Settings
from store import migrations
from store.crypto import Vault
from store.tables import (
    Channel,
    Chat,
    ChatKind,
    Household,
    Issuer,
    IssuerKind,
    Person,
    RoleName,
    Standing,
    Unit,
    UnitKind,
)

SECRET = "a secret of the tests, long enough for all of them"
PASSWORD = "mật khẩu để thử"
PUBLIC = "https://loa.xa.example"
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
"""The tests sign in often; what is kept says itself how it was made."""
HERE = "http://127.0.0.1:8000"
HOUSEHOLDS = 4

PEOPLE: dict[str, tuple[str, RoleName, str]] = {
    "quantri": ("Quản trị", RoleName.ADMIN, "xa-mau"),
    "canbo": ("Cán bộ văn hoá", RoleName.OFFICIAL, "xa-mau"),
    "chutich": ("Cán bộ duyệt", RoleName.OFFICIAL, "xa-mau"),
    "congan": ("Công an xã", RoleName.POLICE, "xa-mau"),
    "xem": ("Người xem", RoleName.VIEWER, "xa-mau"),
    "truong1": ("Trưởng bản Một", RoleName.VILLAGE_HEAD, "ban-1"),
    "truong2": ("Trưởng bản Hai", RoleName.VILLAGE_HEAD, "ban-2"),
    "tohelp": ("Tổ công nghệ số", RoleName.HELPER, "ban-1"),
    "xakhac": ("Cán bộ xã khác", RoleName.OFFICIAL, "xa-khac"),
    "qtkhac": ("Quản trị xã khác", RoleName.ADMIN, "xa-khac"),
}


class Browser(httpx.AsyncClient):
    """Follows no redirect by itself, keeps cookies, and fills in the token of the page's forms."""

    async def post_form(self, page: str, action: str, **fields: object) -> httpx.Response:
        """Open `page`, then send its form to `action`, as a person does."""
        return await self.post(action, data={"csrf": csrf_in(await self.get(page)), **fields})

    async def sign_in(self, username: str, password: str = PASSWORD) -> httpx.Response:
        return await self.post_form("/console/login", "/console/login", username=username, password=password)


def found(pattern: str, text: str, group: int = 1) -> str:
    match = regex.search(pattern, text)
    assert match, pattern
    return match[group]


def csrf_in(response: httpx.Response) -> str:
    found = regex.search(r'name="csrf" value="([0-9a-f]+)"', response.text)
    assert found, f"no form on this page ({response.status_code})"
    return found[1]


@dataclass
class House:
    app: FastAPI
    clients: list[Browser] = field(default_factory=list)

    @property
    def runtime(self):
        return self.app.state.runtime

    async def write(self, work: Callable, *args, **kwargs):
        return await self.runtime.store.write(work, *args, **kwargs)

    async def read(self, work: Callable, *args, **kwargs):
        return await self.runtime.store.read(work, *args, **kwargs)

    def browser(self, *, address: str = "198.51.100.7", base: str = HERE) -> Browser:
        transport = httpx.ASGITransport(self.app, client=(address, 50000), raise_app_exceptions=False)
        client = Browser(transport=transport, base_url=base)
        self.clients.append(client)
        return client

    async def signed_in(self, username: str) -> Browser:
        browser = self.browser()
        assert (await browser.sign_in(username)).status_code == 303
        return browser

    async def rest(self, username: str) -> Browser:
        def make(session: Session) -> str:
            person = session.exec(select(Person).where(Person.username == username)).one()
            return new_token(session, self.runtime.vault, person.id or 0, "test", now=datetime.now(UTC))[0]

        browser = self.browser()
        browser.headers["authorization"] = f"Bearer {await self.write(make)}"
        return browser

    async def person_id(self, username: str) -> int:
        return await self.read(lambda s: s.exec(select(Person.id).where(Person.username == username)).one())

    async def village_ids(self) -> dict[str, int]:
        def look(session: Session) -> dict[str, int]:
            villages = session.exec(select(Unit).where(Unit.kind == UnitKind.VILLAGE)).all()
            return {village.code: village.id or 0 for village in villages}

        return await self.read(look)

    async def notice(self, username: str = "canbo", **changes: object) -> dict:
        """A notice over REST, to two of the three villages unless said otherwise."""
        body = {"body": "Mai họp bản lúc 8 giờ.", "villages": ["ban-1", "ban-2"], **changes}
        key = f"{username}-{datetime.now(UTC).timestamp()}"
        answer = await (await self.rest(username)).post("/api/v1/notices", json=body, headers={"idempotency-key": key})
        assert answer.status_code == 201, answer.text
        return answer.json()


@asynccontextmanager
async def opened(folder: Path, *, hasher: PasswordHasher | None = CHEAP, **changes: object) -> AsyncIterator[House]:
    """The app, alive for the length of the block; nothing is drained."""
    values: dict[str, Any] = {
        "secret_key": SECRET,
        "database_url": f"sqlite:///{folder}/loa.db",
        "public_url": PUBLIC,
        **changes,
    }
    settings = Settings(**values, _env_file=None)
    (folder / "loa.db").write_bytes(_furnished())
    app = create_app(settings, work=False, hasher=hasher)
    async with app.router.lifespan_context(app):
        house = House(app)
        try:
            yield house
        finally:
            for client in house.clients:
                await client.aclose()


@cache
def _furnished() -> bytes:
    """The database of the commune, made once and copied for each test."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "loa.db"
        migrations.upgrade(f"sqlite:///{file}")
        engine = create_engine(f"sqlite:///{file}")
        with Session(engine) as session:
            _furnish(session, Vault(SECRET))
            session.commit()
        engine.dispose()
        return file.read_bytes()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with opened(tmp_path) as running:
        yield running


def _furnish(session: Session, vault: Vault) -> None:
    now = datetime.now(UTC)
    channel = Channel(adapter="webchat", name="main", tells_read=True, created_at=now)
    session.add(channel)
    session.flush()
    units: dict[str, Unit] = {}
    for code, name, kind, above in (
        ("xa-mau", "Xã Mẫu", UnitKind.COMMUNE, None),
        ("xa-khac", "Xã Khác", UnitKind.COMMUNE, None),
        ("ban-1", "Bản Một", UnitKind.VILLAGE, "xa-mau"),
        ("ban-2", "Bản Hai", UnitKind.VILLAGE, "xa-mau"),
        ("ban-3", "Bản Ba", UnitKind.VILLAGE, "xa-mau"),
        ("ban-khac", "Bản Khác", UnitKind.VILLAGE, "xa-khac"),
    ):
        parent = units[above] if above else None
        unit = Unit(
            parent_id=parent.id if parent else None,
            kind=kind,
            path="",
            name=name,
            folded=name.lower(),
            code=code,
            valid_from=date(2025, 7, 1),
        )
        session.add(unit)
        session.flush()
        unit.path = f"{parent.path if parent else '/'}{unit.id}/"
        units[code] = unit
        kind_of_issuer = IssuerKind.COMMUNE if kind is UnitKind.COMMUNE else IssuerKind.VILLAGE
        session.add(Issuer(unit_id=unit.id or 0, kind=kind_of_issuer, name=f"Ban của {name}"))
        if kind is UnitKind.VILLAGE:
            session.add(
                Chat(
                    channel_id=channel.id or 0,
                    address_key=address_key(vault, channel.id or 0, f"g:{code}"),
                    sealed_address=vault.seal(f"g:{code}"),
                    kind=ChatKind.GROUP,
                    title=f"Nhóm {name}",
                    unit_id=unit.id,
                    standing=Standing.MEMBER,
                    created_at=now,
                )
            )
    session.add(Issuer(unit_id=units["xa-mau"].id or 0, kind=IssuerKind.POLICE, name="Công an xã Mẫu"))
    session.add_all(Household(unit_id=units["ban-1"].id or 0, number=n) for n in range(1, HOUSEHOLDS + 1))
    password_hash = CHEAP.hash(PASSWORD)
    for username, (name, role, place) in PEOPLE.items():
        person = people.add_person(session, name, username, now=now)
        person.password_hash = password_hash
        people.grant(session, person, role, units[place], by=None, now=now)
