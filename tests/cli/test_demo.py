"""The invented commune, as `loa demo` loads it."""

from asyncio import to_thread as on_a_thread
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlmodel import select

from bot import relays
from bot.settings import Settings
from cli import opening
from cli.demo import BACKUP, RELAY, load_once
from store import migrations
from store.tables import Chat, Person, RelayGroup, Unit
from tests.cli.conftest import KEY


@pytest.fixture
def demo(loa):
    """Settings of a demo with these messengers, over one database."""

    def of(*adapters):
        values: dict[str, Any] = {
            "secret_key": KEY,
            "database_url": f"sqlite:///{loa.folder}/loa.db",
            "ADAPTERS": adapters,
        }
        return Settings(**values, demo=True, _env_file=None)

    migrations.upgrade(of("webchat").database_url)
    return of


def groups(found):
    def look(session):
        village = session.exec(select(Unit).where(Unit.code == RELAY)).one()
        return relays.of_village(session, village, now=datetime.now(UTC))

    return opening.read(found, look)


async def load(found):
    return await load_once(found, "mật khẩu để thử")


async def test_one_village_keeps_to_its_own_group_and_its_people_are_reached(demo):
    found = demo("webchat", "relay")
    assert await load(found)
    [line] = await on_a_thread(groups, found)
    assert (line.title, line.members, line.carrier, line.backup) == (
        "Bản Khe Vầu mình",
        64,
        "Trưởng bản Khe Vầu",
        BACKUP[0],
    )
    assert line.reachable


async def test_a_demo_of_an_earlier_release_gets_the_village_once(demo):
    assert await load(demo("webchat"))
    found = demo("webchat", "relay")
    assert await on_a_thread(groups, found) == []
    for _ in range(2):
        assert not await load(found)
        assert len(await on_a_thread(groups, found)) == 1


async def test_what_was_closed_by_hand_stays_closed(demo):
    found = demo("webchat", "relay")
    await load(found)

    def close(session):
        group = session.exec(select(RelayGroup)).one()
        relays.close(session, None, session.get_one(Chat, group.chat_id), now=datetime.now(UTC))

    await on_a_thread(opening.write, found, close)
    await load(found)
    assert await on_a_thread(groups, found) == []


async def test_nobody_of_the_demo_has_a_telephone_number(demo):
    found = demo("webchat", "relay")
    await load(found)
    kept = await on_a_thread(opening.read, found, lambda session: session.exec(select(Person.sealed_phone)).all())
    assert set(kept) == {None}
