"""Events are handled once and in order, and a poison one stops nobody."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from adapters.contract import (
    ChatKind,
    ChatRef,
    FileKind,
    FileRef,
    MessageReceived,
    NotSent,
    Rejected,
    Sender,
)
from bot.house import House
from bot.house import Messenger as HouseMessenger
from scheduler.channels import OpenChannel
from scheduler.inbox import Decisions, Inbox
from store import events, outbox
from store.tables import EventState, InboundEvent, Lane
from tests.scheduler.messenger import Messenger
from tests.scheduler.world import NOW, VAULT, World, table, until, words

event_rows = table(InboundEvent)


@dataclass
class Said:
    """A press's answer."""

    press_id: str
    text: str
    alert: bool = False


@dataclass
class Desk:
    """The inbox with decisions of the test's own: it answers what it is told, and keeps what it saw."""

    world: World
    messenger: Messenger = field(default_factory=Messenger)
    seen: list[tuple[str, str]] = field(default_factory=list)
    files: list[dict] = field(default_factory=list)
    handled: int = 0
    fails: dict[str, Exception] = field(default_factory=dict)
    wants_files: bool = False
    now: datetime = NOW

    def handle(self, session, house, messenger, event, *, now, files):
        assert messenger.channel_id == self.world.channels[0]
        if error := self.fails.get(event.text):
            raise error
        outbox.post(
            session.connection(),
            chat_id=self.world.chats[0],
            key=f"event:{event.event_id}",
            payloads=[words(event.text)],
            lane=Lane.REPLY,
            now=now,
        )
        self.seen.append((event.chat.id, event.text))
        self.files.append(dict(files))
        return [Said(event.event_id, f"Đã nhận {event.text}")]

    def files_wanted(self, session, house, messenger, event, *, now):
        return event.files if self.wants_files else ()

    async def arrive(self, *texts, chat="nhóm", files=(), body=None):
        rows = []
        for text in texts:
            body = f"{chat}:{text}".encode()
            self.messenger.events[body] = [
                MessageReceived(
                    event_id=f"{chat}:{text}",
                    chat=ChatRef(chat, ChatKind.GROUP),
                    sender=Sender("u"),
                    message_id="1",
                    text=text,
                    at=NOW,
                    files=tuple(files),
                )
            ]
            rows.append(self.row(f"{chat}:{text}", chat, body))
        await self.world.store.append(events.accept("sqlite"), rows)

    def row(self, event_id, chat, body):
        return events.row(self.world.channels[0], event_id, chat, VAULT.seal(body), now=NOW)

    @asynccontextmanager
    async def open(self):
        channel = OpenChannel(self.world.channels[0], "stand-in", "main", self.messenger)
        known = HouseMessenger(channel.id, "stand-in", "main", self.messenger.can, self.messenger.limits)
        house = House(VAULT, "", ZoneInfo("Asia/Ho_Chi_Minh"), frozenset(), {channel.id: known})

        def note():
            self.handled += 1

        inbox = Inbox(
            self.world.store,
            VAULT,
            Decisions(self.handle, self.files_wanted),
            channels=lambda: {channel.id: channel},
            house=lambda: house,
            clock=lambda: self.now,
            handled=note,
            alone=True,
        )
        task = asyncio.create_task(inbox.run())
        try:
            yield inbox
        finally:
            inbox.stop()
            await asyncio.wait_for(task, 20)

    async def states(self):
        return await self.world.do(lambda c: dict(c.execute(select(event_rows.c.event_id, event_rows.c.state)).all()))

    async def is_done(self, count):
        return list((await self.states()).values()).count(EventState.DONE) == count


@pytest.fixture
async def desk(world):
    await world.settle(groups=1)
    return Desk(world)


async def test_an_event_has_one_effect_and_its_body_is_forgotten(desk):
    for _ in range(50):
        await desk.arrive("một")
    async with desk.open():
        await until(lambda: desk.is_done(1))
        await until(lambda: desk.messenger.answers)
    assert desk.seen == [("nhóm", "một")]
    assert desk.messenger.answers == [("nhóm:một", "Đã nhận một", False)]
    assert len(await desk.world.rows()) == 1
    (row,) = await desk.world.do(lambda c: c.execute(event_rows.select()).all())
    assert row.sealed_body is None
    assert desk.handled == 1


async def test_events_of_a_chat_keep_their_order_and_chats_do_not_wait_for_each_other(desk):
    for number in range(20):
        for chat in ("a", "b", "c"):
            await desk.arrive(f"{number:02}", chat=chat)
    async with desk.open():
        await until(lambda: desk.is_done(60))
    for chat in ("a", "b", "c"):
        assert [text for where, text in desk.seen if where == chat] == [f"{number:02}" for number in range(20)]


async def test_an_event_that_nobody_can_read_is_set_aside_at_once(desk):
    await desk.world.store.append(events.accept("sqlite"), [desk.row("?", "nhóm", b"not known")])
    await desk.arrive("một")
    async with desk.open():
        await until(lambda: desk.is_done(1))
    assert (await desk.states())["?"] is EventState.ASIDE


async def test_an_event_that_fails_is_tried_again_and_set_aside_in_the_end(desk, caplog):
    desk.fails["độc"] = ZeroDivisionError("with the words of a resident")
    await desk.arrive("độc")
    await desk.arrive("lành", chat="nhóm khác")
    async with desk.open() as inbox:
        await until(lambda: desk.is_done(1))
        for _ in range(events.ATTEMPTS):
            desk.now += timedelta(minutes=10)
            inbox.nudge()
            await until(lambda: not inbox._under_way and not inbox._more)
    assert (await desk.states())["nhóm:độc"] is EventState.ASIDE
    assert "an event failed" in caplog.text
    rows = await desk.world.do(lambda c: c.execute(event_rows.select()).all())
    assert next(row for row in rows if row.state is EventState.ASIDE).error == "ZeroDivisionError"


async def test_a_postponed_event_holds_back_its_own_chat_only(desk):
    desk.fails["một"] = NotSent()
    await desk.arrive("một", "hai")
    await desk.arrive("ba", chat="khác")
    async with desk.open() as inbox:
        await until(lambda: desk.is_done(1))
        del desk.fails["một"]
        desk.now += timedelta(minutes=1)
        inbox.nudge()
        await until(lambda: desk.is_done(3))
    assert desk.seen == [("khác", "ba"), ("nhóm", "một"), ("nhóm", "hai")]


async def test_what_a_dead_handler_left_is_handled(desk):
    await desk.arrive("một")
    leased = await desk.world.store.write_core(
        events.lease, desk.world.channels, now=NOW, until=NOW + timedelta(minutes=2), limit=5
    )
    assert len(leased) == 1
    async with desk.open():
        await until(lambda: desk.is_done(1))
    assert desk.seen == [("nhóm", "một")]


async def test_files_are_fetched_before_the_decision_and_a_missing_one_is_left_out(desk):
    desk.wants_files = True
    desk.messenger.files = {"f1": b"giay", "f2": Rejected("larger than allowed")}
    await desk.arrive("một", files=[FileRef("f1", FileKind.PHOTO), FileRef("f2", FileKind.PHOTO)])
    async with desk.open():
        await until(lambda: desk.is_done(1))
    assert desk.files == [{"f1": b"giay"}]


async def test_an_answer_that_does_not_arrive_harms_nothing(desk):
    async def refuse(press_id, text, *, alert):
        raise Rejected("query is too old")

    desk.messenger.answer = refuse
    await desk.arrive("một", "hai")
    async with desk.open():
        await until(lambda: desk.is_done(2))
