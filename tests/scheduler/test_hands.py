"""What is handed over, with the whole engine at work: kits drawn and delivered, and reminded of across restarts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from time import monotonic
from typing import Any

import pytest
from pydantic import SecretStr
from sqlmodel import Session, col, func, select

from adapters.contract import ChatGone, ChatKind, ChatRef, NobodyCarries, Outbound, Rejected
from bot import errands, notices, people, relays
from bot.later import later
from bot.messages import of_payload
from bot.notices import NewNotice
from bot.permissions import actor_of
from bot.settings import Settings
from pictures import NoticeWords
from scheduler.hands import HouseHands
from scheduler.runtime import Runtime, open_runtime
from store import files, migrations, outbox, rooms
from store.tables import (
    Account,
    Channel,
    Chat,
    Content,
    Errand,
    Holder,
    Issuer,
    IssuerKind,
    Notice,
    Outbox,
    Person,
    Role,
    RoleName,
    State,
    Task,
    Unit,
    UnitKind,
)
from tests.scheduler.world import until

SECRET = "a secret of the tests, long enough to be one"
MORNING = datetime(2026, 11, 21, 1, 0, tzinfo=UTC)
"""8:00 in the village."""
HEAD, BACKUP, OFFICIAL = "head", "backup", "official"
W = errands.PATIENCE


class House:
    """A commune on one file, opened as often as a test wants; its clock is the test's."""

    def __init__(self, url: str) -> None:
        self.settings = Settings(
            database_url=url, secret_key=SecretStr(SECRET), public_url="https://loa.xa.example", approval=frozenset()
        )
        self.now = MORNING

    @asynccontextmanager
    async def open(self, *, work: bool = True) -> AsyncIterator[Runtime]:
        async with open_runtime(self.settings, work=work, clock=lambda: self.now) as runtime:
            yield runtime


@pytest.fixture
def house(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # away from any .env
    url = f"sqlite:///{tmp_path}/loa.db"
    migrations.upgrade(url)
    return House(url)


def settle(session: Session, runtime: Runtime, *, villages: int = 1, named: bool = True) -> None:
    """A commune with an official; each village with a head and a helper who carry to its group. All have chats."""
    now = runtime.clock()
    commune = unit(session, "Xã", UnitKind.COMMUNE, None)
    session.add(Issuer(unit_id=commune.id or 0, kind=IssuerKind.COMMUNE, name="UBND xã Nà Mẫu"))
    official = person(session, runtime, OFFICIAL, RoleName.OFFICIAL, commune)
    for number in range(villages):
        village = unit(session, f"Bản {number + 1}", UnitKind.VILLAGE, commune)
        head = person(session, runtime, f"{HEAD}{number or ''}", RoleName.VILLAGE_HEAD, village)
        backup = person(session, runtime, f"{BACKUP}{number or ''}", RoleName.HELPER, village)
        relays.put(
            session,
            runtime.house,
            actor_of(session, official.id or 0),
            village,
            title=f"Nhóm {village.name}",
            members=90,
            carrier_id=head.id if named else None,
            backup_id=backup.id if named else None,
            now=now,
        )


def unit(session: Session, name: str, kind: UnitKind, parent: Unit | None) -> Unit:
    made = Unit(
        parent_id=parent.id if parent else None,
        kind=kind,
        path="",
        name=name,
        folded=name.lower(),
        code=name.lower().replace(" ", "-").replace("ả", "a").replace("ã", "a"),
        valid_from=date(2025, 7, 1),
    )
    session.add(made)
    session.flush()
    made.path = f"{parent.path if parent else '/'}{made.id}/"
    session.flush()
    return made


def person(session: Session, runtime: Runtime, name: str, role: RoleName, place: Unit) -> Person:
    """Somebody with this duty, who opened the web chat and linked it."""
    made = people.add_person(session, name, None, now=runtime.clock())
    people.grant(session, made, role, place, by=None, now=runtime.clock())
    channel = runtime.channels["webchat", "main"].id
    account = rooms.ensure_account(session, runtime.vault, channel, name, now=runtime.clock())
    account.person_id = made.id
    session.flush()
    return made


def publish(session: Session, runtime: Runtime) -> int:
    official = session.exec(select(Role.person_id).where(Role.role == RoleName.OFFICIAL)).one()
    unit_ids = tuple(id_ or 0 for id_ in session.exec(select(Unit.id).where(Unit.kind == UnitKind.VILLAGE)))
    actor = actor_of(session, official)
    new = NewNotice(body="Sáng mai tiêm chủng lúc 8 giờ ở trạm y tế.", unit_ids=unit_ids)
    notice = notices.draft(session, runtime.house, actor, new, now=runtime.clock(), origin="test")
    notices.submit(session, runtime.house, actor, notice, now=runtime.clock())
    return notice.id or 0


async def kit(runtime: Runtime, name: str) -> list[str]:
    """Keys of what the person's private chat was sent, in order."""

    def look(session: Session) -> list[str]:
        of_person = (
            select(Outbox.key)
            .join(Account, col(Account.private_chat_id) == Outbox.chat_id)
            .join(Person, col(Person.id) == Account.person_id)
            .where(Person.name == name, Outbox.state == State.SENT, Outbox.action == "post")
        )
        return [key.rpartition(":")[2] for key in session.exec(of_person.order_by(col(Outbox.id)))]

    return await runtime.store.read(look)


async def holder(runtime: Runtime) -> Holder:
    def look(session: Session) -> Holder:
        return Holder(session.exec(select(Errand.holder)).one())

    return await runtime.store.read(look)


async def has(runtime: Runtime, name: str, what: list[str]) -> None:
    async def there() -> bool:
        return await kit(runtime, name) == what

    await until(there)


# ---------------------------------------------------------------- the kit


async def test_a_published_notice_reaches_its_carrier_with_a_picture_that_was_drawn(house):
    async with house.open() as runtime:
        await runtime.store.write(settle, runtime)
        await runtime.store.write(publish, runtime)
        runtime.nudge_sender()
        await has(runtime, HEAD, ["text", "file0", "do"])

        def picture(session: Session) -> bytes:
            kept = files.load(session, session.exec(select(Errand.picture_id)).one() or 0)
            return kept.content if kept else b""

        assert (await runtime.store.read(picture)).startswith(b"\x89PNG")
        row = await runtime.store.read(lambda session: session.exec(select(Outbox.state).where(notice_row())).one())
        assert row is State.HANDED
        assert await kit(runtime, BACKUP) == []


def notice_row():
    return col(Outbox.notice_id).is_not(None)


async def test_a_picture_that_cannot_be_drawn_holds_nothing_back(house):
    def broken(words: NoticeWords) -> bytes:
        raise RuntimeError("no font")

    async with house.open(work=False) as runtime:
        await runtime.store.write(settle, runtime)
        notice = await runtime.store.write(publish, runtime)
        group = ChatRef(await runtime.store.read(lambda session: address(session, runtime)), ChatKind.GROUP)
        await hands_of(runtime, draw=broken).give(Outbound(chat=group, key=f"notice:{notice}/1/1"))
        keys = await runtime.store.read(
            lambda session: session.exec(
                select(Outbox.key).where(col(Outbox.key).like("kit:%")).order_by(col(Outbox.id))
            ).all()
        )
        assert [key.rpartition(":")[2] for key in keys] == ["text", "do"]


async def test_what_was_stopped_while_it_was_under_way_is_given_to_nobody(house):
    async with house.open(work=False) as runtime:
        await runtime.store.write(settle, runtime)
        notice = await runtime.store.write(publish, runtime)
        group = ChatRef(await runtime.store.read(lambda session: address(session, runtime)), ChatKind.GROUP)

        def stop(session: Session) -> None:
            # As whoever drains the channel notes when it begins.
            session.get_one(Channel, runtime.channels["relay", "main"].id).hands_over = True
            session.flush()
            session.connection().exec_driver_sql("UPDATE outbox SET state = 'sending' WHERE notice_id IS NOT NULL")
            found = session.get_one(Notice, notice)
            notices.cancel(session, runtime.house, actor_of(session, found.author_id), found, now=runtime.clock())

        await runtime.store.write(stop)
        await hands_of(runtime).give(Outbound(chat=group, key=f"notice:{notice}/1/1"))
        errands_ = await runtime.store.read(lambda session: session.exec(select(Errand)).all())
        assert errands_ == []


async def test_a_group_without_a_carrier_fails_and_says_why(house):
    async with house.open() as runtime:
        await runtime.store.write(lambda session: settle(session, runtime, named=False))
        await runtime.store.write(publish, runtime)

        async def failed() -> list[str]:
            wanted = select(Outbox.error).where(Outbox.state == State.FAILED)
            return list(await runtime.store.read(lambda session: session.exec(wanted).all()))

        assert await until(failed) == [outbox.Failure.NO_CARRIER]


async def test_fourteen_villages_have_their_kits_within_ten_seconds(house):
    async with house.open() as runtime:
        await runtime.store.write(lambda session: settle(session, runtime, villages=14))
        began = monotonic()
        await runtime.store.write(publish, runtime)
        runtime.nudge_sender()

        async def all_there() -> bool:
            told = select(func.count()).where(col(Outbox.key).like("kit:%:do"), Outbox.state == State.SENT)
            return await runtime.store.read(lambda session: session.exec(told).one()) == 14

        await until(all_there, within=60)
        took = monotonic() - began
        links = await runtime.store.read(_links)
        assert len(links) == 14
        assert took <= 10, "approval to the last kit"


def _links(session: Session) -> set[str]:
    words = session.exec(select(Content.payload).join(Outbox, col(Outbox.content_id) == Content.id).where(notice_row()))
    return {
        line.text.split("/t/")[1][:12] for payload in words for line in of_payload(payload).text if "/t/" in line.text
    }


# ---------------------------------------------------------------- across restarts


async def test_reminder_backup_and_communes_list_come_at_their_times_across_restarts(house):
    async with house.open() as runtime:
        await runtime.store.write(settle, runtime)
        await runtime.store.write(publish, runtime)
        await has(runtime, HEAD, ["text", "file0", "do"])

    house.now = MORNING + W - timedelta(seconds=1)
    async with house.open() as runtime:
        await swept(runtime)
        assert "remind" not in await kit(runtime, HEAD)
        house.now = MORNING + W
        await has(runtime, HEAD, ["text", "file0", "do", "remind"])

    house.now = MORNING + 2 * W
    async with house.open() as runtime:
        await has(runtime, BACKUP, ["text", "file0", "do"])
        assert await holder(runtime) is Holder.BACKUP

    house.now = MORNING + 3 * W
    async with house.open() as runtime:

        async def is_the_communes() -> bool:
            return await holder(runtime) is Holder.COMMUNE

        await until(is_the_communes)

    house.now = MORNING + 3 * W + errands.BUNDLE
    async with house.open() as runtime:
        await until(lambda: _told(runtime))
        assert await kit(runtime, HEAD) == ["text", "file0", "do", "remind"], "nothing twice"

    house.now += timedelta(hours=1)
    async with house.open() as runtime:
        await swept(runtime)
        assert await _told(runtime) == 1, "the commune hears of it once"


async def swept(runtime: Runtime) -> None:
    """Wait until whatever is due has been done: a task of no errand goes with it."""
    await runtime.store.write(lambda session: later(session, "carry", "0", runtime.clock(), outbox=0))

    async def is_gone() -> bool:
        return await runtime.store.read(lambda session: session.get(Task, "carry:0")) is None

    await until(is_gone)


async def _told(runtime: Runtime) -> int:
    calls = select(func.count()).where(col(Outbox.key).like("errands:%"), Outbox.state == State.SENT)
    return await runtime.store.read(lambda session: session.exec(calls).one())


async def test_a_row_that_was_under_way_at_a_crash_is_handed_over_once(house):
    async with house.open() as runtime:
        await runtime.store.write(settle, runtime)
        await runtime.store.write(publish, runtime)
        await has(runtime, HEAD, ["text", "file0", "do"])

        def crash(session: Session) -> None:
            session.connection().exec_driver_sql("UPDATE outbox SET state = 'sending' WHERE notice_id IS NOT NULL")

        await runtime.store.write(crash)
    async with house.open() as runtime:

        async def handed() -> bool:
            wanted = select(Outbox.state).where(notice_row())
            return await runtime.store.read(lambda session: session.exec(wanted).one()) is State.HANDED

        await until(handed)
        assert await kit(runtime, HEAD) == ["text", "file0", "do"]


def hands_of(runtime: Runtime, **more: Any) -> HouseHands:
    channel = runtime.channels["relay", "main"].id
    return HouseHands(channel, runtime.store, lambda: runtime.house, clock=runtime.clock, handed=lambda: None, **more)


def address(session: Session, runtime: Runtime) -> str:
    """Of the one group that is carried to."""
    channel = runtime.channels["relay", "main"].id
    chat = session.exec(select(Chat).where(Chat.channel_id == channel)).one()
    return runtime.vault.open_text(chat.sealed_address)


# ---------------------------------------------------------------- what is refused


async def test_what_is_no_notice_or_no_group_is_refused(house):
    async with house.open() as runtime:
        await runtime.store.write(settle, runtime)
        house_hands = hands_of(runtime)
        known = await runtime.store.read(lambda session: address(session, runtime))
        with pytest.raises(ChatGone):
            await house_hands.give(Outbound(chat=ChatRef("r:nowhere", ChatKind.GROUP), key="notice:1/1/1"))
        with pytest.raises(Rejected) as refused:
            await house_hands.give(Outbound(chat=ChatRef(known, ChatKind.GROUP), key="notice:77/1/1"))
        assert not isinstance(refused.value, NobodyCarries)
        assert await runtime.store.read(lambda session: session.exec(select(func.count(col(Notice.id)))).one()) == 0
