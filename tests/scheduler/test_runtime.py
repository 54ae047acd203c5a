"""The whole engine, opened as the service opens it, with the web chat as its messenger."""

import asyncio
import json
from datetime import UTC, date, datetime, timedelta

import pytest
from pydantic import SecretStr
from sqlalchemy import create_engine, text
from sqlmodel import Session, col, select

from adapters.contract import Inbound
from bot.settings import Settings
from scheduler import hosting
from scheduler.runtime import open_runtime
from store import events, migrations, outbox, rooms
from store.schema import SchemaMismatch
from store.store import StoreInUse
from store.tables import (
    Channel,
    Chat,
    ChatKind,
    EventState,
    InboundEvent,
    Lane,
    Outbox,
    Reach,
    State,
    Unit,
    UnitKind,
)
from tests import postgres
from tests.scheduler.messenger import Messenger
from tests.scheduler.world import World, until, words

SECRET = "a secret of the tests, long enough to be one"


@pytest.fixture
def url(tmp_path):
    address = f"sqlite:///{tmp_path}/loa.db"
    migrations.upgrade(address)
    return address


@pytest.fixture
def settings(url, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # away from any .env
    monkeypatch.delenv("TELEGRAM_BOT_TOKEN", raising=False)

    def build(*adapters: str, **more):
        return Settings(database_url=url, secret_key=SecretStr(SECRET), ADAPTERS=adapters or ("webchat",), **more)

    return build


async def with_group(runtime):
    """A village with its web chat group; returns the chat's id."""

    def build(session: Session) -> int | None:
        unit = Unit(
            kind=UnitKind.VILLAGE, path="/1/", name="Bản", folded="ban", code="ban", valid_from=date(2025, 7, 1)
        )
        session.add(unit)
        session.flush()
        channel = runtime.channels["webchat", "main"].id
        return rooms.ensure_group(session, runtime.vault, channel, unit, now=runtime.clock()).id

    return await runtime.store.write(build)


async def say(runtime, chat, text, **more):
    await runtime.store.write_core(
        outbox.post,
        chat_id=chat,
        key=text,
        payloads=[words(text)],
        lane=Lane.REPLY,
        now=runtime.clock(),
        **more,
    )


async def is_sent(runtime):
    states = await runtime.store.read(lambda session: session.exec(select(Outbox.state)).all())
    return states == [State.SENT]


async def shown(runtime, chat):
    return [message.payload for message in await runtime.store.read(rooms.history, runtime.vault, chat, None)]


async def test_what_is_queued_is_shown_in_the_room_and_the_browsers_are_told(settings):
    async with open_runtime(settings()) as runtime:
        chat = await with_group(runtime)
        told = asyncio.create_task(runtime.wait_rooms(0, timedelta(seconds=20)))
        await say(runtime, chat, "Chào bà con")
        runtime.nudge_sender()
        assert await told >= 1
        assert await shown(runtime, chat) == [words("Chào bà con")]


async def test_rows_of_another_program_are_sent_without_a_nudge(settings):
    async with open_runtime(settings()) as runtime:
        chat = await with_group(runtime)
        await say(runtime, chat, "Từ chương trình khác")
        await until(lambda: shown(runtime, chat))


async def test_waiting_for_rooms_ends_with_its_time(settings):
    async with open_runtime(settings(), work=False) as runtime:
        assert await runtime.wait_rooms(0, timedelta(seconds=0.01)) == 0
        runtime.nudge_rooms()
        assert await runtime.wait_rooms(0, timedelta(seconds=20)) == 1


async def test_a_command_beside_the_service_writes_and_the_service_sends(settings):
    async with open_runtime(settings()) as service:
        chat = await with_group(service)
        async with open_runtime(settings(), work=False, owner=False) as command:
            await say(command, chat, "Từ lệnh")
            command.nudge_sender()
        await until(lambda: shown(service, chat))


async def test_a_second_service_on_the_same_file_refuses_to_start(settings):
    async with open_runtime(settings()):
        with pytest.raises(StoreInUse):
            async with open_runtime(settings()):
                pass


async def test_a_database_that_is_not_migrated_refuses_to_start(settings, url):
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    engine.dispose()
    with pytest.raises(SchemaMismatch, match="loa migrate"):
        async with open_runtime(settings()):
            pass


async def test_a_channel_that_cannot_be_opened_stops_no_other(settings, caplog):
    async with open_runtime(settings("telegram", "webchat")) as runtime:
        assert set(runtime.channels) == {("webchat", "main")}
        (broken,) = await runtime.store.read(
            lambda session: session.exec(select(Channel.broken).where(Channel.adapter == "telegram")).all()
        )
        assert "TELEGRAM_BOT_TOKEN" in broken
        chat = await with_group(runtime)
        await say(runtime, chat, "Vẫn gửi")
        runtime.nudge_sender()
        await until(lambda: shown(runtime, chat))
    assert "a channel cannot be opened" in caplog.text


async def test_an_unknown_messenger_stops_the_start_by_its_name(settings):
    with pytest.raises(ValueError, match="viber"):
        async with open_runtime(settings("viber", "webchat")):
            pass


async def test_what_a_messenger_declares_is_kept_and_the_house_knows_it(settings):
    async with open_runtime(settings(public_url="https://loa.example.gov.vn")) as runtime:
        channel = runtime.channels["webchat", "main"]
        messenger = runtime.house.messengers[channel.id]
        assert (messenger.adapter, messenger.name) == ("webchat", "main")
        assert messenger.link is not None
        assert messenger.link("abc", False).startswith("https://loa.example.gov.vn/")
        kept = await runtime.store.read(lambda session: session.get_one(Channel, channel.id))
        assert kept.tells_read is True


async def test_after_the_end_nothing_is_left_open(settings):
    before = asyncio.all_tasks()
    async with open_runtime(settings()) as runtime:
        chat = await with_group(runtime)
        await say(runtime, chat, "một")
    assert asyncio.all_tasks() == before
    async with open_runtime(settings()) as runtime:
        await until(lambda: is_sent(runtime))
        assert await shown(runtime, chat) == [words("một")]


async def test_a_channel_kept_as_a_row_is_opened_with_its_own_settings(settings):
    async with open_runtime(settings()) as runtime:

        def add(session):
            session.add(
                Channel(
                    adapter="webchat",
                    name="xa-khac",
                    sealed_settings=runtime.vault.seal("{}"),
                    created_at=datetime.now(UTC),
                )
            )
            session.add(
                Channel(adapter="webchat", name="hong", sealed_settings=b"not ours", created_at=datetime.now(UTC))
            )

        await runtime.store.write(add)
    async with open_runtime(settings()) as runtime:
        assert set(runtime.channels) == {("webchat", "main"), ("webchat", "xa-khac")}


async def test_every_village_of_today_gets_its_room_without_being_asked(settings):
    async with open_runtime(settings(), work=False) as runtime:
        first, closed = await a_village(runtime, "ban-1"), await a_village(runtime, "ban-cu", valid_to=date(2026, 1, 1))
    async with open_runtime(settings()) as runtime:
        await until(lambda: rooms_of(runtime))
        hosts = [runtime.channels["webchat", "main"].id]
        second = await a_village(runtime, "ban-2")
        assert await hosting.keep_rooms(runtime.store, runtime.vault, hosts, now=runtime.clock()) == 1
        assert await hosting.keep_rooms(runtime.store, runtime.vault, hosts, now=runtime.clock()) == 0
        assert await rooms_of(runtime) == [first, second]
        assert closed not in await rooms_of(runtime)
        assert [group.code for group in await runtime.store.read(rooms.groups, hosts[0])] == ["ban-1", "ban-2"]


async def a_village(runtime, code, **more):
    def build(session: Session) -> int | None:
        unit = Unit(
            kind=UnitKind.VILLAGE, path="/1/", name=code, folded=code, code=code, valid_from=date(2025, 7, 1), **more
        )
        session.add(unit)
        session.flush()
        return unit.id

    return await runtime.store.write(build)


async def rooms_of(runtime):
    """The villages that have one."""
    return await runtime.store.read(
        lambda session: list(
            session.exec(select(Chat.unit_id).where(Chat.kind == ChatKind.GROUP).order_by(col(Chat.unit_id))).all()
        )
    )


# ---------------------------------------------------------------- on PostgreSQL


@pytest.fixture
def on_postgres(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    server = postgres.server()
    with server.fresh(server.template("migrated", lambda url: migrations.upgrade(url) and None)) as url:
        yield Settings(database_url=url, secret_key=SecretStr(SECRET), ADAPTERS=("webchat",))


@pytest.mark.postgres
async def test_the_engine_sends_and_handles_on_postgresql(on_postgres, caplog):
    messenger = Messenger()
    async with open_runtime(on_postgres) as runtime:
        world = World(runtime.store)
        await world.settle(villages=2, groups=6)
        channel = world.channels[0]
        (chat, *_) = world.chats
        notice = await world.publish("Mời họp", "Phần hai")
        async with world.draining(messenger, alone=False):
            await until(lambda: all_sent(world, 12))
        reached = [await world.one(Reach, (notice, village)) for village in world.villages]
        assert [(line.chats, line.sent) for line in reached] == [(3, 3), (3, 3)]
        assert messenger.texts("chat 1") == ["Mời họp", "Phần hai"]
        assert await until(lambda: rooms_of_channel(runtime, "webchat")) == world.villages

        # The web chat's own: a resident writes to us in private, and is answered.
        assert channel != runtime.channels["webchat", "main"].id
        hello = {
            "id": "1",
            "room": "p:someone",
            "kind": "message",
            "message": "1",
            "from": "someone",
            "title": "",
            "at": "2026-11-21T08:00:00+07:00",
            "text": "/trogiup",
        }
        here = runtime.channels["webchat", "main"]
        body = json.dumps(hello).encode()
        (raw,) = here.adapter.identify(Inbound({}, body))
        await runtime.store.write(rooms.ensure_account, runtime.vault, here.id, "someone", now=runtime.clock())
        row = events.row(here.id, raw.event_id, "key", runtime.vault.seal(raw.body), now=runtime.clock())
        await runtime.store.append(events.accept(runtime.store.dialect), [row])
        runtime.nudge_inbox()
        await until(lambda: is_answered(runtime))
        assert chat not in await answered_chats(runtime)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def all_sent(world, count):
    return await world.states() == {State.SENT: count}


async def rooms_of_channel(runtime, adapter):
    return await runtime.store.read(
        lambda session: list(
            session.exec(
                select(Chat.unit_id)
                .join(Channel, col(Channel.id) == Chat.channel_id)
                .where(Channel.adapter == adapter, Chat.kind == ChatKind.GROUP)
                .order_by(col(Chat.unit_id))
            ).all()
        )
    )


async def is_answered(runtime):
    states = await runtime.store.read(
        lambda session: (
            session.exec(select(InboundEvent.state)).all()
            + session.exec(select(Outbox.state).where(Outbox.lane == Lane.REPLY)).all()
        )
    )
    return len(states) >= 2 and set(states) == {EventState.DONE, State.SENT}


async def answered_chats(runtime):
    return await runtime.store.read(
        lambda session: session.exec(select(Outbox.chat_id).where(Outbox.lane == Lane.REPLY)).all()
    )
