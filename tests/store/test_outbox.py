"""The outbox's machine and its statements, on both databases."""

import asyncio
import random
import threading
from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import insert, select, text, update

from store import chats, outbox, reach
from store.opening import open_store
from store.outbox import Failure, Outcome, Step
from store.tables import (
    Account,
    Answer,
    Audience,
    Channel,
    Chat,
    ChatKind,
    Content,
    Grade,
    Household,
    Lane,
    Reach,
    Receipt,
    ReceiptKind,
    Standing,
    State,
)
from tests import postgres
from tests.scheduler.world import NOW, VAULT, Template, World, make_tables, rows_of, table, words

LEASE = timedelta(seconds=30)


@pytest.fixture(scope="session")
def file_template(tmp_path_factory):
    return Template(tmp_path_factory.mktemp("outbox"))


def _prepare(url):
    make_tables(url.replace("postgresql://", "postgresql+psycopg://"))


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
async def world(request, tmp_path):
    if request.param == "sqlite":
        template = request.getfixturevalue("file_template")
        store = open_store(template.copy(tmp_path / "loa.db"), owner=True)
        yield World(store)
        await store.aclose()
        return
    server = postgres.server()
    with server.fresh(server.template("outbox", _prepare)) as url:
        store = open_store(url, owner=True)
        yield World(store)
        await store.aclose()


async def take(world, *, owner="us", alone=False, now=None, channel=0):
    return await world.store.write_core(
        outbox.take_channel,
        world.channels[channel],
        owner=owner,
        now=now or world.now,
        lease=LEASE,
        alone=alone,
    )


async def claim(world, epoch, *, limit=64, channel=0, **more):
    return await world.store.write_core(
        outbox.claim, world.channels[channel], epoch, now=world.now, limit=limit, **more
    )


async def begin(world, works, epoch):
    return await world.store.write_core(outbox.start, [work.id for work in works], epoch)


async def record(world, works, epoch, step=Step.ACCEPTED, **more):
    outcomes = [Outcome(id=w.id, chat_id=w.chat_id, step=step, **more) for w in works]
    await world.store.write_core(outbox.record, outcomes, epoch, now=world.now)


async def figures(world, notice, village=1):
    return await world.one(Reach, (notice, world.villages[village]))


# ---------------------------------------------------------------- the machine

ALLOWED = {
    (State.QUEUED, Step.CLAIM): State.LEASED,
    (State.QUEUED, Step.CANCEL): State.CANCELLED,
    (State.QUEUED, Step.EXPIRE): State.EXPIRED,
    (State.LEASED, Step.GIVE_BACK): State.QUEUED,
    (State.LEASED, Step.START): State.SENDING,
    (State.SENDING, Step.ACCEPTED): State.SENT,
    (State.SENDING, Step.HANDED): State.HANDED,
    (State.SENDING, Step.POSTPONED): State.QUEUED,
    (State.SENDING, Step.LOST): State.UNKNOWN,
    (State.SENDING, Step.REFUSED): State.FAILED,
    (State.HANDED, Step.ACCEPTED): State.SENT,
    (State.HANDED, Step.CANCEL): State.CANCELLED,
    (State.HANDED, Step.EXPIRE): State.EXPIRED,
    (State.UNKNOWN, Step.ACCEPTED): State.SENT,
    (State.UNKNOWN, Step.RESEND): State.QUEUED,
    (State.UNKNOWN, Step.GIVE_UP): State.FAILED,
    (State.FAILED, Step.RESEND): State.QUEUED,
    (State.SENT, Step.RECALL): State.RECALLED,
    (State.SENT, Step.RETRACT): State.HANDED,
}
"""The whole machine, written down a second time: every other pair changes nothing.

RETRACT is a carrier who had said too early that a notice was carried.
"""


@pytest.fixture(scope="module")
def one_row(file_template, tmp_path_factory):
    """A file with one row, opened once: each pair sets the state it begins with."""
    store = open_store(file_template.copy(tmp_path_factory.mktemp("pairs") / "loa.db"), owner=True)
    world = World(store)

    async def fill():
        await world.settle(groups=1)
        await world.publish("Mời họp")

    asyncio.run(fill())
    yield world
    asyncio.run(store.aclose())


@pytest.mark.parametrize("step", list(Step), ids=str)
@pytest.mark.parametrize("state", list(State), ids=str)
async def test_a_step_is_taken_from_exactly_the_states_that_allow_it(one_row, state, step):
    world = one_row

    def set_state(connection):
        connection.execute(update(rows_of).values(state=state, attempts=3, error="x"))

    await world.store.write_core(set_state)
    taken = await world.store.write_core(outbox.advance, 1, step)
    (row,) = await world.rows()
    assert taken is ((state, step) in ALLOWED)
    assert row.state is ALLOWED.get((state, step), state)


def test_the_table_is_the_one_that_is_written_down_here():
    machine = {(state, step): to for step, (states, to) in outbox.TRANSITIONS.items() for state in states}
    assert machine == ALLOWED


# ---------------------------------------------------------------- putting rows in


async def test_publishing_twice_queues_once(world):
    await world.settle(groups=4)
    notice = await world.publish("một", "hai")
    assert await world.states() == {State.QUEUED: 8}

    def again(session):
        from store.tables import Notice

        outbox.fan_out(
            session.connection(),
            session.get(Notice, notice),
            channel_ids=world.channels,
            payloads=[words("một"), words("hai")],
            lane=Lane.NOTICE,
            now=world.now,
            is_silent=False,
        )

    await world.store.write(again)
    assert await world.states() == {State.QUEUED: 8}


async def test_a_group_that_is_gone_was_meant_and_was_not_reached(world):
    await world.settle(groups=4)
    await world.change(Chat, world.chats[0], standing=Standing.GONE)
    notice = await world.publish("một")
    assert await world.states() == {State.QUEUED: 3, State.FAILED: 1}
    (row,) = await world.rows(rows_of.c.state == State.FAILED)
    assert (row.chat_id, row.error) == (world.chats[0], Failure.CHAT_GONE)
    assert (await figures(world, notice)).failed == 1


async def test_a_notice_goes_to_the_groups_of_its_audience_and_villages_only(world):
    await world.settle(villages=3, groups=6)
    await world.put(Audience, unit_id=1, name="Chi hội")
    await world.change(Chat, world.chats[0], audience_id=1)
    await world.change(Chat, world.chats[1], kind=ChatKind.PRIVATE)
    await world.change(Chat, world.chats[2], unit_id=None)
    notice = await world.publish("một", villages=world.villages[1:])
    rows = await world.rows()
    assert {row.chat_id for row in rows} == {world.chats[3], world.chats[4]}
    assert {row.notice_id for row in rows} == {notice}


async def test_the_same_reply_is_queued_once(world):
    await world.settle(groups=1)
    for _ in range(3):
        await world.say(0, "một", "hai", key="event:7")
    rows = await world.rows()
    assert [(row.part, row.parts) for row in rows] == [(1, 2), (2, 2)]


async def test_edits_that_wait_are_one_with_the_newest_words_the_earliest_time_and_the_best_lane(world):
    await world.settle(groups=1)
    await world.say(0, "0")
    (post,) = await world.rows()
    later = world.now + timedelta(seconds=30)
    for number, (lane, at) in enumerate([(Lane.COSMETIC, later), (Lane.REPLY, None), (Lane.COSMETIC, later)]):
        await world.store.write_core(
            outbox.put_edit, post.id, words(str(number)), now=world.now, not_before=at, lane=lane
        )
    (edit,) = await world.rows(rows_of.c.action == "edit")
    assert (edit.lane, edit.not_before) == (Lane.REPLY, None)
    assert (await world.one(Content, edit.content_id)).payload == words("2")


async def test_an_edit_begun_meanwhile_does_not_swallow_the_next_one(world):
    await world.settle(groups=1)
    await world.say(0, "0")
    epoch = await take(world)
    works = await claim(world, epoch)
    await begin(world, works, epoch)
    await record(world, works, epoch, message_id="m")
    await world.store.write_core(outbox.put_edit, works[0].id, words("1"), now=world.now)
    (first,) = await claim(world, epoch)
    await world.store.write_core(outbox.put_edit, works[0].id, words("2"), now=world.now)
    assert (first.payload, first.target_message, first.target_id) == (words("1"), "m", works[0].id)
    assert await claim(world, epoch) == []  # one row in flight a chat
    await begin(world, [first], epoch)
    await record(world, [first], epoch)
    (second,) = await claim(world, epoch)
    assert (second.payload, second.revision) == (words("2"), 2)


# ---------------------------------------------------------------- claiming


async def test_a_hundred_claims_at_once_give_each_row_to_one(world):
    await world.settle(groups=200)
    await world.publish("một")
    epoch = await take(world)
    claimed = await asyncio.gather(*(claim(world, epoch, limit=5) for _ in range(100)))
    ids = Counter(work.id for works in claimed for work in works)
    assert set(ids.values()) == {1}
    rest = []
    while more := await claim(world, epoch, limit=50):
        rest += more
    assert len(ids) + len(rest) == 200


async def test_lanes_go_best_first_and_a_chat_has_one_row_in_flight(world):
    await world.settle(groups=3)
    await world.publish("thường")
    await world.say(1, "trả lời")
    await world.publish("khẩn", urgent=True)
    epoch = await take(world)
    first = await claim(world, epoch)
    assert [(work.lane, work.chat_id) for work in first] == [(Lane.URGENT, chat) for chat in world.chats]
    assert await claim(world, epoch) == []
    await begin(world, first, epoch)
    await record(world, first, epoch)
    second = await claim(world, epoch)
    assert [work.lane for work in second] == [Lane.REPLY, Lane.NOTICE, Lane.NOTICE]


async def test_a_better_lane_takes_the_chat_from_a_row_that_is_not_begun(world):
    await world.settle(groups=3)
    await world.publish("thường")
    epoch = await take(world)
    held = await claim(world, epoch)
    await begin(world, held[:1], epoch)
    await world.publish("khẩn", urgent=True)
    urgent = await claim(world, epoch, lane=Lane.REPLY, overtake=True)
    assert {work.chat_id for work in urgent} == {work.chat_id for work in held[1:]}
    states = {row.id: row.state for row in await world.rows()}
    assert [states[work.id] for work in held] == [State.SENDING, State.QUEUED, State.QUEUED]


async def test_parts_go_in_order_and_wait_for_a_failed_one(world):
    await world.settle(groups=1)
    await world.publish("một", "hai", "ba")
    epoch = await take(world)
    (first,) = await claim(world, epoch)
    assert first.part == 1
    await begin(world, [first], epoch)
    await record(world, [first], epoch, Step.REFUSED, error=Failure.REJECTED)
    assert await claim(world, epoch) == []
    assert await world.store.write_core(outbox.advance, first.id, Step.RESEND)
    (again,) = await claim(world, epoch)
    assert (again.id, again.attempts) == (first.id, 0)


async def test_an_edit_waits_until_its_post_is_sent(world):
    await world.settle(groups=1)
    await world.say(0, "0")
    (post,) = await world.rows()
    await world.store.write_core(outbox.put_edit, post.id, words("1"), now=world.now, lane=Lane.URGENT)
    epoch = await take(world)
    (work,) = await claim(world, epoch)
    assert work.id == post.id


@pytest.mark.parametrize(
    ("model", "values"),
    [
        pytest.param("row", {"not_before": NOW + timedelta(seconds=1)}, id="not before"),
        pytest.param("row", {"expires_at": NOW}, id="expired"),
        pytest.param("chat", {"paused_until": NOW + timedelta(seconds=1)}, id="paused chat"),
    ],
)
async def test_what_may_not_go_now_is_not_claimed(world, model, values):
    await world.settle(groups=2)
    await world.publish("một")
    rows, key = (rows_of, rows_of.c.chat_id) if model == "row" else (table(Chat), table(Chat).c.id)
    await world.store.write_core(
        lambda c: c.execute(update(rows).where(key == world.chats[0]).values(**values)) and None
    )
    epoch = await take(world)
    assert [work.chat_id for work in await claim(world, epoch)] == [world.chats[1]]


async def test_when_the_next_row_may_go_is_known(world):
    await world.settle(groups=2)
    await world.publish("một")
    await world.store.write_core(
        lambda c: c.execute(update(rows_of).values(not_before=NOW + timedelta(seconds=9))) and None
    )
    await world.change(Chat, world.chats[0], paused_until=NOW + timedelta(seconds=5))
    await world.change(Chat, world.chats[1], paused_until=NOW + timedelta(seconds=12))
    due = await world.store.write_core(outbox.next_due, world.channels[0], now=world.now)
    assert due == NOW + timedelta(seconds=9)
    assert await world.store.write_core(outbox.next_due, world.channels[0], now=NOW + timedelta(minutes=1)) is None


# ---------------------------------------------------------------- leases


async def test_a_channel_has_one_owner_until_its_lease_lapses(world):
    await world.settle()
    first = await take(world, owner="one")
    assert await take(world, owner="two") is None
    assert await take(world, owner="one") == first + 1
    assert await world.store.write_core(outbox.renew, world.channels[0], first + 1, now=world.now + LEASE, lease=LEASE)
    assert await take(world, owner="two", now=world.now + LEASE * 1.5) is None
    assert await take(world, owner="two", now=world.now + LEASE * 3) == first + 2
    assert not await world.store.write_core(outbox.renew, world.channels[0], first + 1, now=world.now, lease=LEASE)
    assert not await world.store.write_core(outbox.holds, world.channels[0], first + 1)
    assert await world.store.write_core(outbox.holds, world.channels[0], first + 2)


async def test_many_owners_at_once_and_one_gets_the_channel(world):
    await world.settle()
    epochs = await asyncio.gather(*(take(world, owner=f"o{n}") for n in range(30)))
    assert [epoch for epoch in epochs if epoch is not None] == [1]


async def test_who_is_alone_on_the_file_takes_the_leases_of_the_dead_at_once(world):
    await world.settle()
    await take(world, owner="dead")
    assert await take(world, owner="new", alone=True) == 2


async def test_a_broken_channel_is_nobodys(world):
    await world.settle(groups=3)
    await world.publish("một")
    epoch = await take(world)
    await claim(world, epoch)
    await world.store.write_core(outbox.break_channel, world.channels[0], "Unauthorized")
    assert await take(world, alone=True) is None
    assert await world.states() == {State.QUEUED: 3}
    assert await world.store.write_core(outbox.waiting_channels, now=world.now) == []


async def test_what_an_owner_left_is_queued_again_or_unknown(world):
    await world.settle(groups=6)
    notice = await world.publish("một")
    epoch = await take(world, owner="dead")
    works = await claim(world, epoch, limit=4)
    await begin(world, works[:2], epoch)
    assert await take(world, owner="new", alone=True) == epoch + 1
    assert await world.states() == {State.UNKNOWN: 2, State.QUEUED: 4}
    lost = await world.rows(rows_of.c.state == State.UNKNOWN)
    assert {row.error for row in lost} == {Failure.CRASHED}
    lines = [await figures(world, notice, village) for village in (0, 1)]
    assert sum(line.unknown for line in lines) == 2


async def test_an_urgent_post_that_a_crash_left_in_doubt_is_repeated_once(world):
    await world.settle(groups=2)
    await world.publish("khẩn", urgent=True)
    epoch = await take(world, owner="dead")
    await begin(world, await claim(world, epoch), epoch)
    epoch = await take(world, owner="new", alone=True)
    assert await claim(world, epoch) == []  # not at once
    world.now += outbox.REPEAT_AFTER
    works = await claim(world, epoch)
    assert [work.is_repeat for work in works] == [True, True]
    await begin(world, works, epoch)
    await record(world, works, epoch, Step.LOST, error=Failure.NO_ANSWER)
    assert await world.states() == {State.UNKNOWN: 2}


async def test_an_old_owner_may_tell_what_it_knows_but_moves_nothing_back(world):
    await world.settle(groups=2)
    await world.publish("một")
    old = await take(world, owner="old")
    works = await claim(world, old)
    await begin(world, works, old)
    await take(world, owner="new", alone=True)
    await record(world, works[:1], old, message_id="7")
    await record(world, works[1:], old, Step.POSTPONED)
    assert await world.states() == {State.SENT: 1, State.UNKNOWN: 1}
    assert await begin(world, works, old) == set()


async def test_letting_go_gives_back_what_was_not_begun(world):
    await world.settle(groups=3)
    await world.publish("một")
    epoch = await take(world)
    works = await claim(world, epoch)
    await begin(world, works[:1], epoch)
    await world.store.write_core(outbox.release, world.channels[0], epoch)
    assert await world.states() == {State.SENDING: 1, State.QUEUED: 2}
    assert await take(world, owner="other") == epoch + 1


async def test_channels_with_work_and_nobody_at_it_are_found(world):
    await world.settle(groups=8, channels=4)
    await world.publish("một")
    c = world.channels
    await world.change(Channel, c[1], broken="x")
    await world.change(Channel, c[2], paused_until=NOW + timedelta(seconds=5))
    await world.store.write_core(
        lambda connection: (
            connection.execute(
                update(rows_of).where(rows_of.c.channel_id == c[3]).values(not_before=NOW + timedelta(seconds=5))
            )
            and None
        )
    )
    assert await world.store.write_core(outbox.waiting_channels, now=NOW) == [c[0]]
    assert await world.store.write_core(outbox.waiting_channels, now=NOW + timedelta(seconds=6)) == [c[0], c[2], c[3]]
    epoch = await take(world, owner="dead")
    await begin(world, await claim(world, epoch), epoch)
    assert await world.store.write_core(outbox.waiting_channels, now=NOW) == []
    assert c[0] in await world.store.write_core(outbox.waiting_channels, now=NOW + LEASE * 2)


# ---------------------------------------------------------------- outcomes


async def test_an_outcome_is_kept_with_what_it_tells_about_the_chat(world):
    await world.settle(groups=3)
    await world.publish("một")
    epoch = await take(world)
    works = await claim(world, epoch)
    await begin(world, works, epoch)
    await record(world, works[:1], epoch, message_id="7", members=58)
    gone = {"error": Failure.CHAT_GONE, "detail": "kicked", "standing": Standing.GONE}
    await record(world, works[1:2], epoch, Step.REFUSED, **gone)
    await record(
        world,
        works[2:],
        epoch,
        Step.POSTPONED,
        error=Failure.THROTTLED,
        wait=timedelta(seconds=7),
        attempt_counts=False,
        pause_chat=True,
    )
    sent, failed, postponed = await world.rows()
    assert (sent.state, sent.message_id, sent.sent_at, sent.members) == (State.SENT, "7", NOW, 58)
    assert (failed.state, failed.error, failed.error_detail) == (State.FAILED, "chat_gone", "kicked")
    later = NOW + timedelta(seconds=7)
    assert (postponed.state, postponed.not_before, postponed.attempts) == (State.QUEUED, later, 0)
    kept = [await world.one(Chat, chat) for chat in world.chats]
    assert (kept[0].members, kept[0].members_at) == (58, NOW)
    assert (kept[1].standing, kept[1].standing_reason) == (Standing.GONE, "kicked")
    assert [chat.paused_until for chat in kept] == [None, None, later]


async def test_what_was_said_of_the_members_earlier_stands_when_nobody_counted_now(world):
    await world.settle(groups=1)
    await world.change(Chat, world.chats[0], members=44, members_at=NOW)
    await world.publish("một")
    epoch = await take(world)
    works = await claim(world, epoch)
    await begin(world, works, epoch)
    await record(world, works, epoch)
    assert (await world.rows())[0].members == 44


async def test_a_press_proves_what_nobody_knew(world):
    await world.settle(groups=2)
    notice = await world.publish("một")
    epoch = await take(world)
    works = await claim(world, epoch)
    await begin(world, works, epoch)
    await record(world, works, epoch, Step.LOST, error=Failure.NO_ANSWER)
    prove = (outbox.prove, works[0].id, works[0].chat_id, "77")
    await world.store.write_core(*prove, now=NOW)
    await world.store.write_core(outbox.prove, works[1].id, works[0].chat_id, "78", now=NOW)  # another chat's row
    rows = await world.rows()
    assert [(row.state, row.message_id) for row in rows] == [(State.SENT, "77"), (State.UNKNOWN, None)]
    assert (await figures(world, notice)).sent == 1


async def test_a_reply_and_an_edit_have_a_life_of_their_own(world):
    await world.settle(groups=2)
    await world.publish("một", life=timedelta(hours=1))
    epoch = await take(world)
    works = await claim(world, epoch)
    await begin(world, works, epoch)
    await record(world, works, epoch)
    await world.say(0, "trả lời")
    world.now += timedelta(hours=2)  # the notice would not be sent any more, its buttons are there to be pressed
    await world.store.write_core(outbox.put_edit, works[1].id, words("1"), now=world.now)
    assert await world.store.write_core(outbox.expire, now=world.now) == 0
    assert [work.payload for work in await claim(world, epoch)] == [words("trả lời"), words("1")]
    await world.store.write_core(outbox.release, world.channels[0], epoch)
    assert await world.store.write_core(outbox.expire, now=world.now + outbox.LIFE) == 2


async def test_an_edit_that_waits_lives_as_long_as_its_newest_words(world):
    await world.settle(groups=1)
    await world.say(0, "0")
    (post,) = await world.rows()
    for hours in (0, 23):
        at = NOW + timedelta(hours=hours)
        await world.store.write_core(outbox.put_edit, post.id, words(str(hours)), now=at)
    (edit,) = await world.rows(rows_of.c.action == "edit")
    assert edit.expires_at == NOW + timedelta(hours=23) + outbox.LIFE


@pytest.mark.parametrize("fate", [Step.REFUSED, Step.LOST])
async def test_what_waits_for_a_lost_reply_is_cancelled_and_keeps_no_channel_awake(world, fate):
    await world.settle(groups=3)
    await world.say(0, "một", "hai")
    await world.say(1, "được", "tiếp")
    (lost, *_) = await world.rows()
    await world.store.write_core(outbox.put_edit, lost.id, words("1"), now=world.now)
    epoch = await take(world)
    works = await claim(world, epoch)
    await begin(world, works, epoch)
    await record(world, works[:1], epoch, fate, error=Failure.REJECTED)
    await world.store.write_core(outbox.release, world.channels[0], epoch)
    assert await world.store.write_core(outbox.waiting_channels, now=world.now) == []  # all of it waits for something
    await record(world, works[1:], epoch)
    assert await world.store.write_core(outbox.waiting_channels, now=world.now) == world.channels
    assert await world.store.write_core(outbox.cancel_stranded) == 2
    states = [(row.chat_id, row.state) for row in await world.rows(rows_of.c.state == State.CANCELLED)]
    assert states == [(lost.chat_id, State.CANCELLED)] * 2


async def test_parts_of_a_notice_wait_for_a_persons_decision_and_wake_nobody(world):
    await world.settle(groups=1)
    await world.publish("một", "hai")
    epoch = await take(world)
    works = await claim(world, epoch)
    await begin(world, works, epoch)
    await record(world, works, epoch, Step.REFUSED, error=Failure.REJECTED)
    assert await world.store.write_core(outbox.cancel_stranded) == 0
    assert await world.store.write_core(outbox.waiting_channels, now=world.now) == []
    await world.store.write_core(outbox.advance, works[0].id, Step.RESEND)
    assert await world.store.write_core(outbox.waiting_channels, now=world.now) == world.channels


async def test_old_replies_are_forgotten_with_their_words_and_notices_stay(world):
    await world.settle(groups=2)
    await world.publish("thông báo")
    await world.say(0, "cũ", "phần hai")
    await world.say(1, "còn chờ", not_before=NOW + timedelta(days=60))
    (post,) = await world.rows(rows_of.c.notice_id.is_(None), rows_of.c.part == 1, rows_of.c.chat_id == world.chats[0])
    await world.store.write_core(outbox.put_edit, post.id, words("sửa"), now=NOW)
    epoch = await take(world)
    while works := await claim(world, epoch):
        await begin(world, works, epoch)
        await record(world, works, epoch)
    fresh = NOW + timedelta(days=31)
    world.now = fresh
    await world.say(0, "mới")
    forget = {"before": fresh - timedelta(days=30), "limit": 2}
    dropped = []
    while count := await world.store.write_core(outbox.forget_replies, **forget):
        dropped.append(count)
    assert sum(dropped) == 3
    said = await world.do(lambda c: c.execute(select(table(Content).c.payload)).scalars().all())
    assert sorted(said) == sorted([words("thông báo"), words("còn chờ"), words("mới"), "{}", "{}", "{}"])
    # The message is still there to be pressed.
    await world.store.write_core(outbox.put_edit, post.id, words("nữa"), now=fresh)
    assert await world.rows(rows_of.c.target_id == post.id) == []


async def test_what_outlived_its_notice_expires(world):
    await world.settle(groups=3)
    notice = await world.publish("một", life=timedelta(hours=1))
    epoch = await take(world)
    await claim(world, epoch, limit=1)
    assert await world.store.write_core(outbox.expire, now=NOW) == 0
    assert await world.store.write_core(outbox.expire, now=NOW + timedelta(hours=2)) == 2
    assert await world.states() == {State.EXPIRED: 2, State.LEASED: 1}
    assert sum([(await figures(world, notice, v)).failed for v in (0, 1)]) == 2


async def test_stopping_a_notice_stops_what_is_claimed_but_not_what_has_left(world):
    await world.settle(groups=4)
    notice = await world.publish("một")
    await world.say(0, "khác")
    epoch = await take(world)
    works = await claim(world, epoch, lane=Lane.NOTICE, limit=3)
    notices = [work for work in works if work.notice_id == notice]
    await begin(world, notices[:1], epoch)
    assert await world.store.write_core(outbox.cancel_notice, notice) == 3
    assert await begin(world, notices[1:], epoch) == set()
    states = await world.states(rows_of.c.notice_id == notice)
    assert states == {State.CANCELLED: 3, State.SENDING: 1}


# ---------------------------------------------------------------- chats that move


@pytest.mark.parametrize("order", ["send first", "new chat first", "told twice"])
async def test_a_chat_that_moved_is_one_chat_in_every_order(world, order):
    await world.settle(groups=2)
    old, new_key = world.chats[0], "key of the new address"
    await world.publish("một")
    if order == "new chat first":
        await world.put(
            Chat,
            channel_id=world.channels[0],
            address_key=new_key,
            sealed_address=VAULT.seal("new"),
            kind=ChatKind.GROUP,
            title="",
            standing=Standing.ADMIN,
            standing_reason="",
            created_at=NOW,
        )
        (stranger,) = await _chats(world, table(Chat).c.address_key == new_key)
        world.chats.append(stranger.id)
        await world.say(2, "Chào nhóm")
    for _ in range(1 if order == "send first" else 2):
        assert await world.store.write_core(chats.moved, old, new_key, VAULT.seal("new")) == old
    (found,) = await _chats(world, table(Chat).c.address_key == new_key)
    assert (found.id, found.unit_id) == (old, world.villages[1])
    assert VAULT.open_text(found.sealed_address) == "new"
    epoch = await take(world)
    while works := await claim(world, epoch):
        await begin(world, works, epoch)
        await record(world, works, epoch)
    said = await world.rows(rows_of.c.chat_id == old)
    assert [row.state for row in said] == [State.SENT] * (2 if order == "new chat first" else 1)
    assert len(await _chats(world, table(Chat).c.unit_id == world.villages[1])) == 1


async def test_a_message_meant_for_both_addresses_goes_once(world):
    await world.settle(groups=2)
    old, twin = world.chats
    await world.change(Chat, twin, unit_id=world.villages[1])
    notice = await world.publish("một", "hai")
    twin_key = (await world.one(Chat, twin)).address_key
    await world.store.write_core(chats.moved, old, twin_key, VAULT.seal("new"))
    states = await world.states()
    assert states == {State.QUEUED: 2, State.CANCELLED: 2}
    assert {row.chat_id for row in await world.rows(rows_of.c.state == State.QUEUED)} == {old}
    again = await world.publish("ba")
    assert (await figures(world, again)).chats == 1
    assert notice != again


async def _chats(world, *where):
    return await world.do(lambda c: c.execute(select(table(Chat)).where(*where)).all())


# ---------------------------------------------------------------- figures


async def enrol(world, *, households):
    """A register of `households` in the first group's village, and three accounts in each of its groups."""
    village = world.villages[1]

    def build(connection):
        connection.execute(
            insert(table(Household)),
            [
                {
                    "unit_id": village,
                    "number": number,
                    "address_code": "",
                    "language": "",
                    "no_smartphone": False,
                    "card_version": 1,
                }
                for number in range(1, households + 1)
            ],
        )
        connection.execute(
            insert(table(Account)),
            [{"channel_id": world.channels[0], "user_key": f"u{number}", "created_at": NOW} for number in range(1, 7)],
        )

    await world.store.write_core(build)
    return village


async def answer(world, notice, village, *, account=None, household=None, grade=None, said=Answer.GOT_IT, at=0, chat=0):
    who = f"a:{account}" if account else f"h:{household}:{grade}"

    def write(connection):
        connection.execute(
            insert(table(Receipt)).values(
                notice_id=notice,
                kind=ReceiptKind.ACKNOWLEDGED,
                who=who,
                account_id=account,
                household_id=household,
                unit_id=village,
                chat_id=world.chats[chat],
                grade=grade,
                answer=said,
                first_at=NOW,
                at=NOW + timedelta(seconds=at),
            )
        )
        reach.recount(connection, [(notice, village)])

    await world.store.write_core(write)


async def test_households_are_counted_once_over_all_chats_by_their_best_grade(world):
    await world.settle(villages=2, groups=4)
    village = await enrol(world, households=5)
    notice = await world.publish("một")
    line = await figures(world, notice)
    assert (line.chats, line.households, line.sent, line.card) == (2, 5, 0, 0)
    await answer(world, notice, village, account=1, household=1, grade=Grade.NUMBER, said=Answer.JOIN, at=1)
    await answer(world, notice, village, account=2, household=1, grade=Grade.CARD, said=Answer.ABSENT, at=2, chat=2)
    await answer(world, notice, village, household=2, grade=Grade.HEAD)
    await answer(world, notice, village, household=3, grade=Grade.VISIT)
    await answer(world, notice, village, account=3, said=Answer.HELP)
    line = await figures(world, notice)
    assert (line.card, line.number, line.head, line.visit) == (1, 0, 1, 1)
    assert (line.unlinked, line.join, line.absent, line.help) == (1, 0, 1, 1)
    assert (await figures(world, notice, 0)).unlinked == 0


async def test_erased_accounts_are_still_so_many(world):
    await world.settle(villages=2, groups=2)
    village = await enrol(world, households=5)
    notice = await world.publish("một")
    receipts = table(Receipt)
    for account in (1, 2, 3):
        await answer(world, notice, village, account=account, said=Answer.JOIN)

    def erase(connection):
        for account in (1, 2):
            gone = update(receipts).where(receipts.c.account_id == account)
            connection.execute(gone.values(account_id=None, who=f"x:{account}"))
        reach.recount(connection, [(notice, village)])

    await world.store.write_core(erase)
    line = await figures(world, notice)
    assert (line.unlinked, line.join) == (3, 3)


@pytest.fixture
async def on_postgres():
    server = postgres.server()
    with server.fresh(server.template("outbox", _prepare)) as url:
        store = open_store(url, owner=True)
        yield World(store)
        await store.aclose()


@pytest.mark.postgres
@pytest.mark.parametrize("line", ["there", "not there yet"])
async def test_two_who_count_at_once_miss_nothing_of_each_other(on_postgres, line):
    world = on_postgres
    await world.settle(villages=1, groups=2, channels=2)
    village = world.villages[0]
    notice = await world.publish("một")
    works, epochs = [], []
    for channel in (0, 1):
        epochs.append(await take(world, channel=channel))
        (work,) = await claim(world, epochs[-1], channel=channel)
        await begin(world, [work], epochs[-1])
        works.append(work)
    if line == "not there yet":
        await world.store.write_core(lambda connection: connection.execute(text("DELETE FROM reach")) and None)
    together = threading.Barrier(2, timeout=20)

    def press_and_send(connection, number):
        """Both have written what they count before either counts."""
        seen = {"notice_id": notice, "kind": ReceiptKind.ACKNOWLEDGED, "unit_id": village, "first_at": NOW, "at": NOW}
        connection.execute(insert(table(Receipt)).values(**seen, who=f"a:{number}", answer=Answer.GOT_IT))
        sent = update(rows_of).where(rows_of.c.id == works[number].id).values(state=State.SENT)
        connection.execute(sent)
        together.wait()
        reach.recount(connection, [(notice, village)])
        reach.recount_rows(connection, [works[number].id])

    await asyncio.gather(*(world.store.write_core(press_and_send, number) for number in (0, 1)))
    found = await figures(world, notice, 0)
    assert (found.unlinked, found.sent, found.chats) == (2, 2, 2)


async def test_a_changed_register_changes_the_figures(world):
    await world.settle(villages=2, groups=2)
    village = await enrol(world, households=5)
    notice = await world.publish("một")
    await world.change(Household, 1, closed_at=NOW)
    await world.store.write_core(reach.recount_village, village)
    line = await figures(world, notice)
    assert (line.households, line.chats) == (4, 1)


async def test_seen_is_measured_only_where_a_messenger_tells(world):
    await world.settle(villages=2, groups=2, channels=2)
    await world.change(Channel, world.channels[1], tells_read=True)
    notice = await world.publish("một")
    rows = await world.rows()
    told, untold = sorted(rows, key=lambda row: row.channel_id == world.channels[0])
    seen = {
        "notice_id": notice,
        "kind": ReceiptKind.SEEN,
        "who": "a:1",
        "unit_id": told.unit_id,
        "first_at": NOW,
        "at": NOW,
    }

    def see(connection):
        connection.execute(insert(table(Receipt)).values(**seen))
        reach.recount(connection, [(notice, told.unit_id), (notice, untold.unit_id)])

    await world.store.write_core(see)
    assert (await world.one(Reach, (notice, told.unit_id))).seen == 1
    assert (await world.one(Reach, (notice, untold.unit_id))).seen is None


async def test_a_chat_is_sent_when_all_its_parts_are(world):
    await world.settle(villages=1, groups=2)
    notice = await world.publish("một", "hai")
    epoch = await take(world)
    for expected in (0, 2):
        works = await claim(world, epoch)
        await begin(world, works, epoch)
        await record(world, works, epoch, members=20)
        line = await figures(world, notice, 0)
        assert (line.chats, line.sent) == (2, expected)
    assert line.members == 40


async def test_figures_kept_step_by_step_are_those_of_a_full_count(world):
    chance = random.Random(7)
    await world.settle(villages=5, groups=60)
    notices = [await world.publish("một", "hai") for _ in range(3)]
    epoch = await take(world)
    steps = [Step.ACCEPTED] * 6 + [Step.REFUSED, Step.LOST, Step.POSTPONED, Step.HANDED]
    for _ in range(12):
        works = await claim(world, epoch, limit=40)
        await begin(world, works, epoch)
        for work in works:
            await record(world, [work], epoch, chance.choice(steps))
    kept = {(n, v): await world.one(Reach, (n, v)) for n in notices for v in world.villages}

    def anew(connection):
        connection.execute(text("DELETE FROM reach"))
        reach.recount(connection, kept)

    await world.store.write_core(anew)
    for pair, line in kept.items():
        assert (await world.one(Reach, pair)).model_dump() == line.model_dump()


# ---------------------------------------------------------------- plans of the database


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        pytest.param(outbox.CLAIM["sqlite", False], "ix_outbox_claim", id="claim"),
        pytest.param(outbox.CLAIM["sqlite", False], "ix_outbox_open", id="one in flight a chat"),
        pytest.param(outbox.CLAIM["sqlite", True], "ix_outbox_open", id="overtake"),
        pytest.param(
            select(rows_of.c.id).where(outbox.OPEN, rows_of.c.channel_id == 1), "ix_outbox_open", id="recover"
        ),
        pytest.param(
            select(rows_of.c.id).where(
                rows_of.c.state.in_([outbox.literal_state(s) for s in (State.HANDED, State.QUEUED)]),
                rows_of.c.expires_at <= NOW,
            ),
            "ix_outbox_life",
            id="expire",
        ),
    ],
)
async def test_sqlite_uses_the_partial_indexes(one_row, statement, index):
    def plan(connection):
        # Any values will do: only the plan is wanted.
        written = str(statement.compile(connection)).replace("?", "1")
        return [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {written}")]

    lines = await one_row.do(plan)
    assert any(index in line for line in lines), lines
