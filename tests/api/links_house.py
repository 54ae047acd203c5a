"""A notice of the tests' commune that is carried by hand into groups of its villages, with the link of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import regex
from sqlmodel import Session, col, select, update

from bot import errands, kits
from store import outbox, reach, sessions
from store.tables import (
    Account,
    Action,
    Channel,
    Chat,
    ChatKind,
    Lane,
    Notice,
    NoticeTarget,
    Outbox,
    Person,
    Reach,
    Receipt,
    RelayGroup,
    State,
    Unit,
)

ZALO = (
    "Mozilla/5.0 (Linux; Android 12; SM-A525F Build/SP1A.210812.016; wv) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Version/4.0 Chrome/120.0.6099.230 Mobile Safari/537.36 Zalo android/12100625 ZaloTheme/light ZaloLanguage/vi"
)
"""Zalo's own browser on a telephone."""


@dataclass
class Link:
    code: str
    notice_id: int
    unit_id: int
    token: str

    @property
    def path(self) -> str:
        return f"/t/{self.token}"


async def linked(
    house, *, villages: Sequence[str] = ("ban-1", "ban-2"), carrier: str = "truong1", **notice
) -> list[Link]:
    """A notice to these villages, each with one group that `carrier` has it for; the links in that order."""
    await house.write(_groups, villages, carrier)
    code = (await house.notice(villages=list(villages), **notice))["code"]
    return await house.write(_hand, house.runtime.house, code, villages)


def _groups(session: Session, villages: Sequence[str], carrier: str) -> None:
    """One relay group for each village that has none."""
    now = datetime.now(UTC)
    channel = session.exec(select(Channel).where(Channel.adapter == "relay")).first()
    if channel is None:
        channel = Channel(adapter="relay", name="main", hands_over=True, created_at=now)
        session.add(channel)
    channel.hands_over = True  # as its adapter says, once somebody works
    session.flush()
    person_id = session.exec(select(Person.id).where(Person.username == carrier)).one()
    for code in villages:
        unit = session.exec(select(Unit).where(Unit.code == code)).one()
        known = select(Chat.id).where(Chat.channel_id == channel.id, Chat.unit_id == unit.id)
        if session.exec(known).first() is not None:
            continue
        chat = Chat(
            channel_id=channel.id or 0,
            address_key=f"r:{code}",
            sealed_address=b"",
            kind=ChatKind.GROUP,
            title=f"Zalo {unit.name}",
            unit_id=unit.id,
            created_at=now,
        )
        session.add(chat)
        session.flush()
        session.add(RelayGroup(chat_id=chat.id or 0, carrier_id=person_id))


def _hand(session: Session, house, code: str, villages: Sequence[str]) -> list[Link]:
    """Queue what publishing has not, and give it to the carriers."""
    now = datetime.now(UTC)
    notice = session.exec(select(Notice).where(Notice.code == code)).one()
    by_hand = select(Chat).join(Channel, col(Channel.id) == Chat.channel_id).where(Channel.hands_over)
    units = {unit.code: unit.id or 0 for unit in session.exec(select(Unit))}
    chats = [chat for chat in session.exec(by_hand) if chat.unit_id in {units[village] for village in villages}]
    kits.queue(session, house, notice, chats, lane=Lane.NOTICE, now=now)
    mine = (col(Outbox.notice_id) == notice.id, col(Outbox.chat_id).in_([chat.id for chat in chats]))
    session.exec(update(Outbox).where(*mine).values(state=State.HANDED, sent_at=now))
    for row in session.exec(select(Outbox).where(*mine)):
        errands.hand(session, house, row, None, now=now)
    pairs = [(notice.id or 0, units[village]) for village in villages]
    reach.recount(session.connection(), pairs)
    targets = {unit_id: session.get_one(NoticeTarget, (notice_id, unit_id)) for notice_id, unit_id in pairs}
    return [Link(code, notice_id, unit_id, targets[unit_id].link_token or "") for notice_id, unit_id in pairs]


class Resident:
    """Somebody's browser before a link: keeps its cookie, and loads the page's picture unless told not to."""

    def __init__(self, house, link: Link, *, address: str = "198.51.100.7", agent: str = ZALO) -> None:
        self.http = house.browser(address=address)
        self.http.headers["user-agent"] = agent
        self.link = link
        self.form_token = ""

    async def open(self, *, pictures: bool = True, path: str = ""):
        page = await self.http.get(path or self.link.path, headers={"sec-fetch-site": "cross-site"})
        if found := regex.search(r'name="form_token" value="(\w+)"', page.text):
            self.form_token = found[1]
        if pictures:
            for picture in regex.findall(r'<img src="([^"]+)"', page.text):
                dot = await self.http.get(picture, headers={"sec-fetch-site": "same-origin"})
                assert dot.headers["content-type"] == "image/gif"
        return page

    async def post(self, what: str = "", headers=None, **fields):
        told = {"sec-fetch-site": "same-origin"} | (headers or {})
        data = {"form_token": self.form_token, **fields}
        return await self.http.post(f"{self.link.path}{what}", data=data, headers=told)

    async def answer(self, word: str = "got_it", **changes):
        return await self.post(answer=word, **changes)

    async def number(self, number: object):
        return await self.post("/household", number=str(number))


async def ask(
    house, method: str, path: str, headers: dict[str, str], body: str = ""
) -> tuple[int, dict[str, str], str]:
    """One request of a browser at the address that the whole village shares, without a client's own work."""
    told: list[dict] = []

    async def receive() -> dict:
        return {"type": "http.request", "body": body.encode(), "more_body": False}

    async def send(message: dict) -> None:
        told.append(message)

    sent = {"host": "127.0.0.1:8000", "user-agent": ZALO, "content-length": str(len(body)), **headers}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
        "client": ("198.51.100.7", 9),
        "server": ("127.0.0.1", 8000),
    }
    await house.app(scope, receive, send)
    answered = {name.decode(): value.decode() for name, value in told[0]["headers"]}
    return told[0]["status"], answered, b"".join(part.get("body", b"") for part in told[1:]).decode(errors="replace")


async def figures(house, link: Link) -> Reach:
    return await house.read(lambda session: session.get_one(Reach, (link.notice_id, link.unit_id)))


async def opens(house, link: Link) -> int | None:
    return (await figures(house, link)).opens


async def count(house, table) -> int:
    return len(await house.read(lambda session: session.exec(select(table)).all()))


async def untouched(house) -> bool:
    """Nobody has opened or answered anything, and nobody is known."""
    return not await count(house, Account) and not await count(house, Receipt)


async def state_of(house, link: Link) -> State:
    """Of what is to be carried into the village's group, the latest of it."""

    def look(session: Session) -> State:
        rows = (
            select(Outbox.state)
            .join(Channel, col(Channel.id) == Outbox.channel_id)
            .where(
                Outbox.notice_id == link.notice_id,
                Outbox.unit_id == link.unit_id,
                Channel.hands_over,
                Outbox.action == Action.POST,
            )
            .order_by(col(Outbox.id).desc())
        )
        return State(session.exec(rows).first() or "")

    return await house.read(look)


async def signed_in(house, person: str = "truong1") -> None:
    """The carrier's phone at /truong is known, so that an open by it would be recognised."""

    def work(session: Session) -> None:
        person_id = session.exec(select(Person.id).where(Person.username == person)).one() or 0
        sessions.open_session(session, f"phone of {person}", person_id, now=datetime.now(UTC), is_phone=True)

    await house.write(work)


async def carried(house, link: Link) -> None:
    """The carrier says so."""

    def work(session: Session) -> None:
        rows = select(Outbox.id).where(
            Outbox.notice_id == link.notice_id, Outbox.unit_id == link.unit_id, Outbox.state == State.HANDED
        )
        for row_id in session.exec(rows).all():
            outbox.advance(session.connection(), row_id or 0, outbox.Step.ACCEPTED)

    await house.write(work)
