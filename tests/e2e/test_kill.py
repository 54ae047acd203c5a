"""kill -9 in the middle of a broadcast, many times: nothing is lost or sent twice, what is in doubt says so."""

import asyncio
import random
from collections import Counter

import pytest

from tests.e2e.service import tell, until
from tests.e2e.town import Town, a_town
from tests.servers.telegram import _now as time

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

GROUPS = 500
SEED = 20261122
DURING_A_START = 0.4
IN_FLIGHT = 16
LATENCY_MS = 20


@pytest.mark.timeout(300)
@pytest.mark.parametrize("times", [2, pytest.param(20, marks=pytest.mark.long)])
async def test_kills_lose_nothing_and_repeat_nothing(tmp_path, times):
    """The points are random in time: some anywhere in a start, most anywhere in the first second of sending after one.
    Telegram's limits are on.
    """
    chance = random.Random(SEED)

    async def furnish(town: Town) -> None:
        await town.add_groups("ban-1", GROUPS)

    async with a_town(tmp_path, before=furnish, latency_ms=LATENCY_MS) as town:
        token = await town.official()
        start_takes, began = town.service.start_took, time()
        notice = await town.send(token, "Ngày mai cắt điện từ 7 giờ đến 11 giờ.")
        await asyncio.sleep(chance.uniform(0.0, 1.0))
        kills = [await kill(town, notice["code"])]
        while len(kills) < times:
            sends = len(town.stub.control.seen)
            await town.service.launch()
            if chance.random() < DURING_A_START:
                await asyncio.sleep(chance.uniform(0.0, start_takes))
            else:
                await until(lambda: sends_again(town, sends), "sending goes on", within=60, every=0.01)  # noqa: B023
                await asyncio.sleep(chance.uniform(0.0, 1.0))
            kills.append(await kill(town, notice["code"]))
        await town.service.start()
        total = (await town.reached(token, notice["code"], within=60))["total"]

        rows = {chat: state for chat, [state] in (await town.rows(notice["code"])).items()}
        counts = await town.stub.control.message_counts()
        seen = Counter((rows[chat], counts[str(chat)]) for chat in town.groups["ban-1"])
        stats = await town.stub.control.stats()
        unknown = Counter(rows.values())["unknown"]
        tell(f"in `sending` at each kill, and over by then: {kills}")
        tell(f"(state, messages in the group): {dict(seen)}; unknown {unknown / GROUPS:.1%}")
        tell(
            f"429 by us: {stats['throttled_by_client']}; a start takes {start_takes:.1f} s, all {time() - began:.0f} s"
        )
        assert all(over < GROUPS for _, over in kills), "the broadcast was over before the last kill"
        assert len(rows) == GROUPS
        assert set(seen) <= {("sent", 1), ("unknown", 0), ("unknown", 1)}
        assert max(sending for sending, _ in kills) <= IN_FLIGHT
        assert (total["sent"], total["unknown"], total["failed"]) == (GROUPS - unknown, unknown, 0)
        assert unknown <= GROUPS * 5 / 100


@pytest.mark.long
async def test_an_orderly_stop_in_the_middle_leaves_nothing_in_doubt(tmp_path):
    async def furnish(town: Town) -> None:
        await town.add_groups("ban-1", 100)

    async with a_town(tmp_path, before=furnish, latency_ms=200) as town:
        token = await town.official()
        notice = await town.send(token, "Ngày mai cắt điện từ 7 giờ đến 11 giờ.")
        await until(lambda: some_are_sent(town), "the first sends")
        await town.service.stop()
        states = Counter(state for [state] in (await town.rows(notice["code"])).values())
        assert states["sending"] == states["unknown"] == 0
        assert 0 < states["sent"] < 100
        await town.service.start()
        total = (await town.reached(token, notice["code"]))["total"]
        assert (total["sent"], total["unknown"]) == (100, 0)
        assert set((await town.stub.control.message_counts()).values()) == {1}


async def kill(town: Town, code: str) -> tuple[int, int]:
    """Kill it; how many rows were being sent, and how many were over."""
    await town.service.kill()
    states = Counter(state for [state] in (await town.rows(code)).values())
    return states["sending"], states["sent"] + states["unknown"]


async def sends_again(town: Town, seen: int) -> bool:
    return any(one.method.startswith("send") for one in town.stub.control.seen[seen:])


async def some_are_sent(town: Town) -> bool:
    return (await town.stub.control.stats())["sent"] > 10
