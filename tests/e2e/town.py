"""A commune to send through: villages, groups, households and people in a database, Telegram's stand-in beside it, and
the real service between them.

People and groups that a test only needs are written straight into the tables before the service starts; what a test is
about happens through the service.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import httpx
from sqlalchemy import insert
from sqlmodel import Session, col, select

from api.auth import new_token
from bot import households as bot_households
from bot import people
from bot.chats import address_key, user_key
from bot.house import House
from bot.permissions import actor_of
from scheduler import channels
from store import migrations, places
from store.crypto import Vault
from store.opening import opened_store
from store.store import Store
from store.tables import (
    Account,
    Chat,
    ChatKind,
    Grade,
    Household,
    IssuerKind,
    Notice,
    Outbox,
    Person,
    RoleName,
    Standing,
    Unit,
    UnitKind,
)
from tests.e2e.service import Service, serving, until
from tests.servers import telegram

SECRET = "a secret of the tests, long enough for all of them"
WEBHOOK_SECRET = "secret-of-the-webhook"
PUBLIC = "http://loa.xa.example"
"""Residents could reach it, so notices carry a link and a QR code; it is no https, so no webhook is set by it."""


@dataclass
class Town:
    service: Service
    stub: telegram.Stub
    store: Store
    house: House
    villages: dict[str, int]
    """Unit ids by code."""
    commune: int
    channel: int
    http: httpx.AsyncClient
    groups: dict[str, list[int]] = field(default_factory=dict)
    """The messenger's chat ids by village."""
    users: int = 7000

    # ------------------------------------------------------------ what is there beforehand

    async def add_groups(self, village: str, count: int, *, type: str = "supergroup") -> list[int]:
        """Groups of the village in which the bot is already."""
        chats = await self.stub.control.groups(count, title=village, type=type)

        def keep(session: Session) -> None:
            session.connection().execute(insert(Chat), [self._chat(chat, village) for chat in chats])

        await self.store.write(keep)
        self.groups.setdefault(village, []).extend(chats)
        return chats

    def _chat(self, chat: int, village: str) -> dict[str, Any]:
        return {
            "channel_id": self.channel,
            "address_key": address_key(self.house.vault, self.channel, str(chat)),
            "sealed_address": self.house.vault.seal(str(chat)),
            "kind": ChatKind.GROUP,
            "title": f"Nhóm {village}",
            "unit_id": self.villages[village],
            "standing": Standing.MEMBER,
            "standing_reason": "",
            "created_at": now(),
        }

    async def add_households(self, village: str, count: int) -> list[int]:
        """A register of 1 to `count`; returns ids in the order of numbers."""

        def put(session: Session) -> list[int]:
            unit_id = self.villages[village]
            rows = [{"unit_id": unit_id, "number": number} for number in range(1, count + 1)]
            places.put_households(session.connection(), rows, ())
            found = select(Household.id).where(Household.unit_id == unit_id).order_by(col(Household.number))
            return [household_id or 0 for household_id in session.exec(found)]

        return await self.store.write(put)

    async def add_residents(self, households: Sequence[int], village: str) -> list[int]:
        """Accounts that joined these households by their cards some time ago; returns their users."""
        users = [self.new_user() for _ in households]
        rows = [
            {
                "channel_id": self.channel,
                "user_key": user_key(self.house.vault, self.channel, str(user)),
                "household_id": household,
                "grade": Grade.CARD,
                "unit_id": self.villages[village],
                "created_at": now(),
            }
            for user, household in zip(users, households, strict=True)
        ]

        def keep(session: Session) -> None:
            session.connection().execute(insert(Account), rows)

        await self.store.write(keep)
        return users

    async def card(self, household_id: int) -> str:
        """What is printed on a household's card."""
        return await self.store.read(
            lambda session: bot_households.card_token(self.house, session.get_one(Household, household_id))
        )

    async def add_person(self, name: str, role: RoleName, place: int) -> int:
        def put(session: Session) -> int:
            person = people.add_person(session, name, None, now=now())
            people.grant(session, person, role, session.get_one(Unit, place), by=None, now=now())
            return person.id or 0

        return await self.store.write(put)

    async def official(self, name: str = "Cán bộ văn hoá") -> str:
        """A bearer token of an official of the commune."""
        return await self.token(await self.add_person(name, RoleName.OFFICIAL, self.commune))

    async def token(self, person: int) -> str:
        return await self.store.write(lambda session: new_token(session, self.house.vault, person, "e2e", now=now())[0])

    async def link_code(self, person: int) -> str:
        return await self.store.write(
            lambda session: people.new_link_code(session, self.house, session.get_one(Person, person), now=now())
        )

    async def bind_code(self, person: int, village: str) -> str:
        def make(session: Session) -> str:
            unit = session.get_one(Unit, self.villages[village])
            return people.new_bind_code(session, self.house, actor_of(session, person), unit, now=now())

        return await self.store.write(make)

    def new_user(self) -> int:
        self.users += 1
        return self.users

    async def listen(self) -> None:
        """The messenger tells the service what happens. By the service's own address: the public one leads nowhere."""
        await self.stub.control.webhook(f"{self.service.url}/webhooks/telegram/main", WEBHOOK_SECRET)

    # ------------------------------------------------------------ over REST

    async def send(self, token: str, body: str, villages: Sequence[str] | str = "all", **more: Any) -> dict[str, Any]:
        """A notice through POST /api/v1/notices."""
        answer = await self.http.post(
            f"{self.service.url}/api/v1/notices",
            json={"body": body, "villages": villages, **more},
            headers={"authorization": f"Bearer {token}", "idempotency-key": str(uuid4())},
        )
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def reach(self, token: str, code: str) -> dict[str, Any]:
        answer = await self.http.get(
            f"{self.service.url}/api/v1/notices/{code}/reach", headers={"authorization": f"Bearer {token}"}
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def reached(self, token: str, code: str, *, within: float = 20) -> dict[str, Any]:
        """The figures, once nothing of the notice waits any more."""

        async def look() -> dict[str, Any] | None:
            found = await self.reach(token, code)
            total = found["total"]
            return found if total["sent"] + total["failed"] + total["unknown"] == total["chats"] else None

        return await until(look, f"{code} is through", within=within, every=0.2)

    # ------------------------------------------------------------ in chats

    async def posts(self, chat: int) -> list[dict[str, Any]]:
        """What the bot wrote there, oldest first, as it stands now."""
        return [logged["message"] for logged in await self.stub.control.messages(chat) if not logged["deleted"]]

    async def texts(self, chat: int) -> list[str]:
        return [words(message) for message in await self.posts(chat)]

    async def says(self, user: int, text: str, *, chat: int | None = None, hears: str = "") -> dict[str, Any]:
        """Somebody writes in private, or in a group; returns the bot's next message that holds `hears`."""
        where = chat if chat is not None else await self.stub.control.private(user)
        before = len(await self.posts(where))
        told = await self.stub.control.say(where, text, user=user)
        assert told["statuses"] == {"200": 1}
        return await self.heard(where, hears, after=before)

    async def heard(self, chat: int, hears: str, *, after: int = 0, within: float = 20) -> dict[str, Any]:
        """The bot's first message after the first `after` that holds `hears`."""

        async def look() -> dict[str, Any] | None:
            messages = await self.posts(chat)
            return next((message for message in messages[after:] if hears in words(message)), None)

        try:
            return await until(look, f"a message with {hears!r} in {chat}", within=within)
        except AssertionError as error:
            heard = "\n---\n".join(await self.texts(chat))
            raise AssertionError(f"{error}\nThe chat:\n{heard}\nThe log:\n{self.service.last_words()}") from None

    async def presses(self, user: int, chat: int, message_id: int, label: str = "", *, within: float = 20) -> str:
        """Somebody presses the button that holds `label`; returns what the presser alone is told."""
        data = next(
            button["callback_data"]
            for message in await self.posts(chat)
            if message["message_id"] == message_id
            for row in message["reply_markup"]["inline_keyboard"]
            for button in row
            if label in button["text"]
        )
        told = await self.stub.control.press(chat, message_id, user=user, data=data)
        assert told["statuses"] == {"200": 1}

        async def look() -> dict[str, Any] | None:
            press: dict[str, Any] = (await self.stub.control.presses())[told["press_id"]]
            return press.get("answer")

        answer = await until(look, f"an answer to the press of {label!r}", within=within)
        return str(answer["text"])

    # ------------------------------------------------------------ rows and posts, side by side

    async def rows(self, code: str) -> dict[int, list[str]]:
        """The states of a notice's rows, by the messenger's chat id."""

        def look(session: Session) -> list[tuple[bytes, str]]:
            found = (
                select(Chat.sealed_address, Outbox.state)
                .join(Outbox, col(Outbox.chat_id) == Chat.id)
                .join(Notice, col(Notice.id) == Outbox.notice_id)
                .where(Notice.code == code)
                .order_by(col(Outbox.part))
            )
            return [(sealed, str(state)) for sealed, state in session.exec(found)]

        states: dict[int, list[str]] = {}
        for sealed, state in await self.store.read(look):
            states.setdefault(int(self.house.vault.open_text(sealed)), []).append(state)
        return states

    async def count(self, look: Callable[[Session], int]) -> int:
        return await self.store.read(look)

    async def starts(self) -> Counter[int]:
        """How many sends began at the messenger, by chat: what was refused or cut off included."""
        return Counter(one["chat"] for one in await self.stub.control.arrivals("send"))


@asynccontextmanager
async def a_town(
    folder: Path,
    *,
    villages: int = 1,
    environment: Mapping[str, str] = {},
    adapters: str = "telegram",
    before: Callable[[Town], Any] | None = None,
    listens: bool = True,
    messenger: telegram.Stub | None = None,
    **stub: Any,
) -> AsyncIterator[Town]:
    """A commune whose service runs. `before` furnishes it while the service is still down. `stub`: its limits and so
    on, or bring a `messenger` that serves already. `listens=False`: the service hears nothing before `Town.listen`.
    """
    database = f"sqlite:///{folder / 'loa.db'}"
    migrations.upgrade(database)
    async with nullcontext(messenger) if messenger else telegram.serving(**stub) as messenger:
        settings = {
            "LOA_DATABASE_URL": database,
            "LOA_SECRET_KEY": SECRET,
            "LOA_PUBLIC_URL": PUBLIC,
            "LOA_APPROVAL": "",
            "ADAPTERS": adapters,
            "TELEGRAM_BOT_TOKEN": messenger.token,
            "TELEGRAM_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "TELEGRAM_API_BASE_URL": messenger.base_url,
            **environment,
        }
        house = House(
            Vault(SECRET), settings["LOA_PUBLIC_URL"], ZoneInfo("Asia/Ho_Chi_Minh"), frozenset(settings["LOA_APPROVAL"])
        )
        service = Service(folder, settings)
        async with opened_store(database, owner=False) as store, httpx.AsyncClient(timeout=30) as http:
            commune, ids, channel = await store.write(_furnish, villages, adapters.split(","))
            town = Town(service, messenger, store, house, ids, commune, channel, http)
            if before is not None:
                await before(town)
            async with serving(service):
                if listens:
                    await town.listen()
                yield town


def _furnish(session: Session, villages: int, adapters: Sequence[str]) -> tuple[int, dict[str, int], int]:
    connection, today = session.connection(), now().date()
    province = places.put_unit(
        connection, code="tinh", name="Tỉnh", kind=UnitKind.PROVINCE, parent_id=None, today=today
    )
    commune = places.put_unit(
        connection, code="xa-mau", name="Xã Mẫu", kind=UnitKind.COMMUNE, parent_id=province, today=today
    )
    places.put_issuers(connection, commune, {IssuerKind.COMMUNE: "UBND xã Mẫu"})
    places.put_villages(connection, commune, {f"ban-{n}": f"Bản {n}" for n in range(1, villages + 1)}, today=today)
    rows = channels.ensure(session, adapters, now=now())
    units = session.exec(select(Unit).where(Unit.kind == UnitKind.VILLAGE).order_by(col(Unit.id)))
    channel = next(row.id for row in rows if row.adapter == "telegram")
    return commune, {unit.code: unit.id or 0 for unit in units}, channel


def words(message: Mapping[str, Any]) -> str:
    """A message's text or caption."""
    return str(message.get("text") or message.get("caption") or "")


def buttons(message: Mapping[str, Any]) -> list[str]:
    """The labels below a message."""
    rows = message.get("reply_markup", {}).get("inline_keyboard", [])
    return [button["text"] for row in rows for button in row]


def now() -> datetime:
    return datetime.now(UTC)
