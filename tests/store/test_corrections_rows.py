"""Rows whose words are changed, replaced or taken back, on both databases."""

from datetime import timedelta

import pytest
from sqlmodel import select

from store import outbox, reach
from store.opening import open_store
from store.outbox import Outcome, Step
from store.tables import Action, Content, Lane, Notice, Reach, State
from tests import postgres
from tests.scheduler.world import Template, World, make_tables, rows_of, words

LEASE = timedelta(seconds=30)


@pytest.fixture(scope="session")
def corrections_template(tmp_path_factory):
    return Template(tmp_path_factory.mktemp("corrections"))


def _prepare(url):
    make_tables(url.replace("postgresql://", "postgresql+psycopg://"))


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
async def world(request, tmp_path):
    if request.param == "sqlite":
        url = request.getfixturevalue("corrections_template").copy(tmp_path / "loa.db")
        store = open_store(url, owner=True)
        yield World(store)
        await store.aclose()
        return
    server = postgres.server()
    with server.fresh(server.template("corrections", _prepare)) as url:
        store = open_store(url, owner=True)
        yield World(store)
        await store.aclose()


async def take(world):
    return await world.store.write_core(
        outbox.take_channel, world.channels[0], owner="us", now=world.now, lease=LEASE, alone=False
    )


async def claim(world, epoch):
    return await world.store.write_core(outbox.claim, world.channels[0], epoch, now=world.now, limit=64)


async def begin(world, epoch):
    works = await claim(world, epoch)
    await world.store.write_core(outbox.start, [work.id for work in works], epoch)
    return works


async def end(world, works, epoch, step, **more):
    outcomes = [
        Outcome(id=w.id, chat_id=w.chat_id, step=step, message_id=f"m{w.id}" if step is Step.ACCEPTED else None, **more)
        for w in works
    ]
    await world.store.write_core(outbox.record, outcomes, epoch, now=world.now)


async def reword(world, ids, text):
    await world.store.write_core(outbox.reword, ids, words(text), now=world.now, lane=Lane.NOTICE)


async def payload_of(world, row):
    return (await world.one(Content, row.content_id)).payload


async def posts(world):
    return await world.rows(rows_of.c.action == Action.POST)


async def test_what_waits_or_is_claimed_goes_out_with_the_new_words(world):
    await world.settle(groups=2)
    await world.publish("cũ")
    epoch = await take(world)
    claimed = await claim(world, epoch)
    assert len(claimed) == 2
    await reword(world, [work.id for work in claimed], "mới")
    assert await world.store.write_core(outbox.start, [work.id for work in claimed], epoch) == set()
    again = await claim(world, epoch)
    assert {work.payload for work in again} == {words("mới")}
    assert len(await world.rows()) == 2, "no edit of what never left"


async def test_the_edit_of_what_is_being_sent_waits_until_it_is_there(world):
    await world.settle(groups=1)
    await world.publish("cũ")
    epoch = await take(world)
    works = await begin(world, epoch)
    await reword(world, [works[0].id], "mới")
    assert await claim(world, epoch) == []
    await end(world, works, epoch, Step.ACCEPTED)
    (edit,) = await claim(world, epoch)
    assert (edit.action, edit.target_message, edit.payload) == (Action.EDIT, f"m{works[0].id}", words("mới"))
    (post,) = await posts(world)
    assert await payload_of(world, post) == words("mới"), "so that running figures stand below the new words"


async def test_a_replaced_post_is_never_sent_again_whatever_became_of_it(world):
    await world.settle(groups=3)
    notice_id = await world.publish("cũ", urgent=True)
    epoch = await take(world)
    postponed, lost, refused = await begin(world, epoch)
    held = await world.store.write_core(outbox.supersede, notice_id, world.chats, now=world.now)
    assert sorted(held) == sorted(world.chats)
    await end(world, [postponed], epoch, Step.POSTPONED)
    await end(world, [lost], epoch, Step.LOST)
    await end(world, [refused], epoch, Step.REFUSED)
    for row in (lost, refused):
        assert not await world.store.write_core(outbox.advance, row.id, Step.RESEND)
    world.now += timedelta(minutes=1)
    assert await claim(world, epoch) == []
    await world.store.write_core(outbox.expire, now=world.now)
    states = {row.id: row.state for row in await posts(world)}
    assert states == {postponed.id: State.EXPIRED, lost.id: State.UNKNOWN, refused.id: State.FAILED}


async def test_the_next_revision_replies_to_the_old_post_and_is_the_one_that_counts(world):
    await world.settle(groups=2, villages=1)
    notice_id = await world.publish("cũ")
    epoch = await take(world)
    works = await begin(world, epoch)
    await end(world, works, epoch, Step.ACCEPTED)

    def revise(session):
        notice = session.get_one(Notice, notice_id)
        notice.revision = 2
        session.add(notice)
        session.flush()
        connection = session.connection()
        outbox.supersede(connection, notice_id, world.chats, now=world.now)
        replies = {work.chat_id: f"m{work.id}" for work in works}
        for _ in range(2):  # the same again changes nothing
            outbox.put_revision(
                connection,
                notice,
                replies,
                [words("mới 1"), words("mới 2")],
                lane=Lane.NOTICE,
                now=world.now,
                is_silent=True,
            )
        reach.recount(connection, [(notice_id, world.villages[0])])
        return session.exec(select(Reach)).one().model_dump()

    figures = await world.store.write(revise)
    assert (figures["chats"], figures["sent"]) == (2, 0)
    new = [row for row in await posts(world) if row.revision == 2]
    assert [(row.part, row.reply_to is not None) for row in new] == [(1, True), (2, False)] * 2
    for _ in range(2):
        await end(world, await begin(world, epoch), epoch, Step.ACCEPTED)
    figures = await world.one(Reach, (notice_id, world.villages[0]))
    assert (figures.chats, figures.sent) == (2, 2)


@pytest.mark.parametrize("step", [Step.ACCEPTED, Step.POSTPONED])
async def test_a_post_is_taken_away_once_it_is_there_and_is_not_sent_after_that_was_asked(world, step):
    await world.settle(groups=1)
    notice_id = await world.publish("cũ")
    epoch = await take(world)
    works = await begin(world, epoch)
    await world.store.write_core(outbox.put_edit, works[0].id, words("1"), now=world.now)
    for _ in range(2):
        await world.store.write_core(outbox.put_delete, [works[0].id], now=world.now, lane=Lane.NOTICE)
    await end(world, works, epoch, step)
    world.now += timedelta(seconds=1)
    found = await begin(world, epoch)
    if step is Step.POSTPONED:
        assert found == []
        await world.store.write_core(outbox.expire, now=world.now)
        await world.store.write_core(outbox.cancel_stranded)
        assert set(await world.states()) == {State.EXPIRED, State.CANCELLED}
        return
    (delete,) = found
    assert (delete.action, delete.target_message) == (Action.DELETE, f"m{works[0].id}")
    await end(world, found, epoch, Step.ACCEPTED, recalls=works[0].id)
    (post,) = await posts(world)
    assert post.state is State.RECALLED
    assert await world.states(rows_of.c.action == Action.EDIT) == {State.CANCELLED: 1}
    assert await world.states(rows_of.c.notice_id == notice_id) == {State.RECALLED: 1}
