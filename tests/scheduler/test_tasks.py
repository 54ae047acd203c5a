"""What is due is done once; what fails comes back."""

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from bot.house import House
from bot.later import later
from scheduler.tasks import ATTEMPTS, Tasks
from store.tables import Attempt, Dialog, InboundEvent, OneTimeCode, Outbox, State, Task, WebSession
from tests.scheduler.world import NOW, VAULT, rows_of, table

task_rows = table(Task)


class Doer:
    """Does what tasks say, as `bot.tasks.run` would."""

    def __init__(self, world):
        self.world = world
        self.done = []
        self.fails = set()
        self.handled = 0
        self.again = {}

    def run(self, session, house, task, *, now):
        if task.kind in self.fails:
            raise ZeroDivisionError
        self.done.append((task.key, task.payload))
        if task.kind in self.again:
            later(session, task.kind, "1", now + self.again[task.kind])

    def noted(self):
        self.handled += 1

    def tasks(self):
        house = House(VAULT, "", ZoneInfo("Asia/Ho_Chi_Minh"), frozenset())
        return Tasks(self.world.store, self.run, house=lambda: house, handled=self.noted)


@pytest.fixture
async def doer(world):
    await world.settle(groups=1)
    return Doer(world)


async def ask(world, kind, key, at, **payload):
    await world.store.write(later, kind, key, at, **payload)


async def left(world):
    return await world.do(lambda c: {row.key: row for row in c.execute(select(task_rows)).all()})


async def test_a_task_is_done_when_it_is_due_and_once(world, doer):
    await ask(world, "count", "1", NOW + timedelta(seconds=5), notice=7)
    await ask(world, "count", "1", NOW + timedelta(seconds=1), notice=8)  # asking again changes nothing
    tasks = doer.tasks()
    await tasks.sweep(NOW)
    assert doer.done == []
    await tasks.sweep(NOW + timedelta(seconds=5))
    await tasks.sweep(NOW + timedelta(seconds=6))
    assert doer.done == [("count:1", '{"notice": 7}')]
    assert doer.handled == 1


async def test_a_task_may_ask_for_itself_again(world, doer):
    doer.again["progress"] = timedelta(seconds=3)
    await ask(world, "progress", "1", NOW)
    tasks = doer.tasks()
    for seconds in range(7):
        await tasks.sweep(NOW + timedelta(seconds=seconds))
    assert len(doer.done) == 3


async def test_a_task_that_fails_comes_back_and_holds_nobody_up(world, doer):
    doer.fails.add("bad")
    await ask(world, "bad", "1", NOW - timedelta(seconds=1))
    await ask(world, "good", "1", NOW)
    tasks = doer.tasks()
    await tasks.sweep(NOW)
    assert [key for key, _ in doer.done] == ["good:1"]
    row = (await left(world))["bad:1"]
    assert (row.attempts, row.error, row.due_at) == (1, "ZeroDivisionError", NOW + timedelta(seconds=2))
    doer.fails.clear()
    await tasks.sweep(NOW + timedelta(seconds=2))
    assert [key for key, _ in doer.done] == ["good:1", "bad:1"]


async def test_a_task_that_never_succeeds_is_given_up(world, doer):
    doer.fails.add("bad")
    await ask(world, "bad", "1", NOW)
    tasks = doer.tasks()
    for hours in range(ATTEMPTS):
        await tasks.sweep(NOW + timedelta(hours=hours))
    assert await left(world) == {}


async def test_the_house_is_kept(world, doer):
    old, fresh = NOW - timedelta(days=8), NOW + timedelta(hours=1)
    await world.put(WebSession, token_key="old", person_id=1, created_at=old, seen_at=old, expires_at=old)
    await world.put(WebSession, token_key="new", person_id=1, created_at=old, seen_at=old, expires_at=fresh)
    for name, at in (("old", old), ("new", NOW - timedelta(hours=1))):
        await world.put(OneTimeCode, code_key=name, purpose="link_person", person_id=1, expires_at=at)
    await world.put(
        InboundEvent,
        channel_id=world.channels[0],
        event_id="1",
        chat_key="",
        sealed_body=b"x",
        state="aside",
        attempts=6,
        error="",
        received_at=old,
        done_at=old,
    )
    for name, at in (("old", old), ("new", NOW)):
        await world.put(Attempt, key=name, count=1, first_at=at)
    await world.publish("một", life=timedelta(minutes=-1))
    world.now = NOW - timedelta(days=31)
    await world.say(0, "rất cũ", "phần hai")
    world.now = NOW
    await world.say(0, "được", "lạc")
    (lost,) = await world.rows(rows_of.c.key == "say:được", rows_of.c.part == 1)
    await world.change(Outbox, lost.id, state=State.FAILED)
    tasks = doer.tasks()
    await tasks.sweep(NOW)
    states = [(row.notice_id is None, row.state) for row in await world.rows()]
    assert states == [(False, State.EXPIRED), (True, State.FAILED), (True, State.CANCELLED)]
    kept = await world.do(
        lambda c: (
            c.execute(select(table(WebSession).c.token_key)).scalars().all(),
            c.execute(select(table(OneTimeCode).c.code_key)).scalars().all(),
            c.execute(select(table(InboundEvent).c.sealed_body)).scalars().all(),
            c.execute(select(table(Dialog))).all(),
            c.execute(select(table(Attempt).c.key)).scalars().all(),
        )
    )
    assert kept == (["new"], ["new"], [None], [], ["new"])
