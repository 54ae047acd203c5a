"""A commune to measure in: villages with registers, groups on Telegram bots, one official."""

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from sqlalchemy import create_engine, insert
from sqlmodel import Session, col, select

from bench.words import HOOK, WORDS, group, token_of
from bot import notices, people
from bot.notices import NewNotice
from bot.permissions import actor_of
from bot.settings import Settings
from scheduler.runtime import Runtime
from store import migrations, places
from store.crypto import Vault
from store.tables import (
    Channel,
    Chat,
    ChatKind,
    IssuerKind,
    Outbox,
    RoleName,
    Standing,
    State,
    Unit,
    UnitKind,
)

SECRET = "a key for measuring, made of enough characters"
LAST = frozenset({State.SENT, State.FAILED, State.UNKNOWN, State.CANCELLED, State.EXPIRED})


@dataclass(frozen=True, slots=True)
class House:
    settings: Settings
    person_id: int
    villages: tuple[int, ...]


def environment(folder: Path) -> dict[str, str]:
    """The same settings for a process of its own."""
    return {"LOA_SECRET_KEY": SECRET, "LOA_DATABASE_URL": f"sqlite:///{folder / 'loa.db'}", "LOA_APPROVAL": ""}


def furnish(
    folder: Path, *, api: str, groups: int, bots: int = 1, villages: int = 8, households: int = 0, counted: bool = True
) -> House:
    """Make the database. `counted`: the groups' members were counted today, so that a send counts nobody."""
    url = f"sqlite:///{folder / 'loa.db'}"
    migrations.upgrade(url)
    settings = Settings(
        secret_key=SecretStr(SECRET), database_url=url, approval=frozenset(), public_url="", adapters=(),
        _env_file=None,
    )  # fmt: skip
    vault, now = Vault(SECRET), datetime.now(UTC)
    engine = create_engine(url)
    with Session(engine) as session:
        units = _places(session, villages, households)
        person = people.add_person(session, "Cán bộ", None, now=now)
        people.grant(session, person, RoleName.OFFICIAL, units[0], by=None, now=now)
        channels = [_channel(session, vault, api, number, now) for number in range(1, bots + 1)]
        rows: list[dict[str, Any]] = [
            {
                "channel_id": channels[number % bots],
                "address_key": vault.fingerprint("chat", str(channels[number % bots]), str(group(number))),
                "sealed_address": vault.seal(str(group(number))),
                "kind": ChatKind.GROUP,
                "title": f"Nhóm {number}",
                "unit_id": units[1 + number % villages].id,
                "standing": Standing.MEMBER,
                "standing_reason": "",
                "members": 40 if counted else None,
                "members_at": now if counted else None,
                "created_at": now,
            }
            for number in range(groups)
        ]
        session.connection().execute(insert(Chat.__table__), rows)  # type: ignore[attr-defined]
        house = House(settings, person.id or 0, tuple(unit.id or 0 for unit in units[1:]))
        session.commit()
    engine.dispose()
    return house


def _places(session: Session, villages: int, households: int) -> list[Unit]:
    connection, today = session.connection(), date(2025, 7, 1)
    commune = places.put_unit(
        connection, code="xa", name="xã Đo Thử", kind=UnitKind.COMMUNE, parent_id=None, today=today
    )
    places.put_issuers(connection, commune, {IssuerKind.COMMUNE: "UBND xã Đo Thử"})
    names = {f"ban-{number}": f"bản {number}" for number in range(1, villages + 1)}
    places.put_villages(connection, commune, names, today=today)
    units = list(session.exec(select(Unit).order_by(col(Unit.id))).all())
    lines = [{"unit_id": unit.id, "number": n} for unit in units[1:] for n in range(1, households + 1)]
    places.put_households(connection, lines, ())
    return units


def _channel(session: Session, vault: Vault, api: str, number: int, now: datetime) -> int:
    values = {"bot_token": token_of(number), "webhook_secret": HOOK, "api_base_url": api}
    channel = Channel(
        adapter="telegram", name=f"b{number}", sealed_settings=vault.seal(json.dumps(values)), created_at=now
    )
    session.add(channel)
    session.flush()
    return channel.id or 0


async def publish(runtime: Runtime, house: House, *, villages: tuple[int, ...] = ()) -> int:
    """A notice to the villages (all), as `POST /api/v1/notices` publishes it; returns its id."""

    def work(session: Session) -> int:
        actor = actor_of(session, house.person_id)
        new = NewNotice(body=WORDS, unit_ids=villages or house.villages)
        notice = notices.draft(session, runtime.house, actor, new, now=runtime.clock(), origin="bench")
        notices.submit(session, runtime.house, actor, notice, now=runtime.clock())
        return notice.id or 0

    notice_id = await runtime.store.write(work)
    runtime.nudge_sender()
    return notice_id


async def sent(runtime: Runtime, notice_id: int) -> None:
    """Wait until nothing of the notice is left to be sent."""
    while await runtime.store.read(open_rows, notice_id):  # noqa: ASYNC110 - nothing tells when it is over
        await asyncio.sleep(0.02)


def open_rows(session: Session, notice_id: int) -> bool:
    """Whether something of the notice is still to be sent."""
    states = [state for state in State if state not in LAST]
    waiting = select(Outbox.id).where(Outbox.notice_id == notice_id, col(Outbox.state).in_(states)).limit(1)
    return session.exec(waiting).first() is not None


def sent_rows(session: Session, notice_id: int) -> int:
    """Posts of the notice that are sent, each under a name of its own."""
    rows = session.exec(
        select(Outbox.message_id).where(Outbox.notice_id == notice_id, Outbox.state == State.SENT)
    ).all()
    assert len(set(rows)) == len(rows), "two rows, one message"
    return len(rows)
