"""A group that people carry to, and a notice in somebody's hand: what the relay's own worker makes of an approval."""

from datetime import UTC, datetime
from itertools import count
from struct import pack
from zlib import compress, crc32

from sqlmodel import Session, col, select

from bot import errands, kits, people, relays
from bot.permissions import actor_of
from store import outbox, sessions
from store.outbox import Step
from store.tables import Channel, Chat, Lane, Notice, Outbox, Person, Unit

numbers = count(1)


def png(side: int = 60) -> bytes:
    """A real picture; each call makes another one."""
    shade = bytes([0, *[next(numbers) % 256] * side])
    parts = (
        (b"IHDR", pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)),
        (b"IDAT", compress(shade * side)),
        (b"IEND", b""),
    )
    chunks = [pack(">I", len(data)) + name + data + pack(">I", crc32(name + data)) for name, data in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _person(session: Session, username: str | None) -> int | None:
    if username is None:
        return None
    return session.exec(select(Person.id).where(Person.username == username)).one()


async def relay_group(house, *, village="ban-1", carrier="truong1", backup=None, title="Bà con Bản Một") -> int:
    """Note the village's existing group, as an official does; returns the chat's id."""

    def work(session: Session) -> int:
        now = datetime.now(UTC)
        channel = session.exec(select(Channel).where(Channel.adapter == "relay")).first()
        channel = channel or Channel(adapter="relay", name="main", created_at=now)
        channel.hands_over = channel.repeats = True  # as the adapter declares when it is opened
        session.add(channel)
        session.flush()
        place = session.exec(select(Unit).where(Unit.code == village)).one()
        # Whom nothing reaches is passed over: a phone was linked once.
        for username in {carrier, backup} - {None}:
            key = f"phone of {username} {next(numbers)}"
            sessions.open_session(session, key, _person(session, username) or 0, now=now, is_phone=True)
        official = actor_of(session, _person(session, "canbo") or 0)
        chat = relays.put(
            session,
            house.runtime.house,
            official,
            place,
            title=title,
            members=62,
            carrier_id=_person(session, carrier),
            backup_id=_person(session, backup),
            now=now,
        )
        return chat.id or 0

    return await house.write(work)


async def handed(house, chat_id: int, *, picture: bytes | None = None, **notice: object) -> int:
    """Publish a notice and hand its kit for this group to its carrier; returns the errand's outbox id."""
    village = await house.read(lambda s: s.get_one(Unit, s.get_one(Chat, chat_id).unit_id).code)
    code = (await house.notice(**{"villages": [village], "username": "canbo", **notice}))["code"]
    return await hand(house, chat_id, code, picture=picture)


async def hand(house, chat_id: int, code: str, *, picture: bytes | None = None) -> int:
    def work(session: Session) -> int:
        now = datetime.now(UTC)
        found = session.exec(select(Notice).where(Notice.code == code)).one()
        chat = session.get_one(Chat, chat_id)
        kits.queue(session, house.runtime.house, found, [chat], lane=Lane.NOTICE, now=now)
        row = session.exec(
            select(Outbox)
            .where(Outbox.notice_id == found.id, Outbox.chat_id == chat_id)
            .order_by(col(Outbox.id).desc())
        ).first()
        assert row is not None
        connection = session.connection()
        for step in (Step.CLAIM, Step.START):
            outbox.advance(connection, row.id or 0, step)
        errands.hand(session, house.runtime.house, row, picture, now=now)
        outbox.advance(connection, row.id or 0, Step.HANDED, sent_at=now)
        return row.id or 0

    return await house.write(work)


async def link_code(house, username: str) -> str:
    """The code that an official hands out, as for /lienket."""

    def work(session: Session) -> str:
        person = session.exec(select(Person).where(Person.username == username)).one()
        return people.new_link_code(session, house.runtime.house, person, now=datetime.now(UTC))

    return await house.write(work)


async def row_of(house, outbox_id: int) -> Outbox:
    return await house.read(lambda session: session.get_one(Outbox, outbox_id))
