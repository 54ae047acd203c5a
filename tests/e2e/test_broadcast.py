"""The main job: a notice reaches two hundred groups as fast as allowed, once each, and 300 households answer."""

import asyncio
import random
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.service import tell, until, watched_lag
from tests.e2e.town import Town, a_town, buttons, words
from tests.servers.telegram import _now as time
from tests.servers.telegram_limits import busiest

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

VILLAGES = 8
GROUPS_PER_VILLAGE = 25
HOUSEHOLDS = 300
PEOPLE = 500
BY_CARD_NOW = 24
PER_SECOND = 30
AT_ONCE = 24
ROUNDS = 3


@dataclass
class Round:
    """One notice to all groups, as the messenger saw it."""

    code: str
    figures: dict[str, Any]
    from_post: float
    from_publish: float
    """Seconds to the last send, from the call and from its answer."""
    allowed: float
    in_any_second: int
    throttled: int
    lag: float

    @property
    def over(self) -> float:
        """Seconds too many."""
        return self.from_publish - 1.05 * self.allowed - self.allowed * self.lag

    def __str__(self) -> str:
        return (
            f"200 groups: {self.from_publish:.2f} s after publishing ({self.from_post:.2f} s after the call), allowed"
            f" {self.allowed:.2f} s; (200-30)/30 = 5.67 s, 200/30 = 6.67 s; at most {self.in_any_second} in any second;"
            f" 429 by us: {self.throttled}; this process was held up for {self.lag * 1000:.0f} ms at most"
        )


@pytest.mark.timeout(300)
async def test_two_hundred_groups_get_a_notice_once_and_three_hundred_households_answer_it(tmp_path):
    """Time: from the answer of the POST, which follows the commit, to the last send. Telegram allows 30 in any second,
    so that of 200 sends the last is allowed 6.0 s after the first (199 // 30 whole windows); that is stricter than
    200 / 30 = 6.7 s, and we hold ourselves to it. When it takes longer, another notice is sent, three at most, and
    what held the stand-in's own process up is allowed for once in each whole window; on a quiet machine it is nothing.
    """
    residents: list[tuple[int, str]] = []
    cards: dict[int, str] = {}

    async def furnish(town: Town) -> None:
        share = {code: HOUSEHOLDS // VILLAGES + (i < HOUSEHOLDS % VILLAGES) for i, code in enumerate(town.villages)}
        ids = []
        for code, answering in share.items():
            await town.add_groups(code, GROUPS_PER_VILLAGE)
            ids += [(one, code) for one in (await town.add_households(code, answering + 3))[:answering]]
        assert len(ids) == HOUSEHOLDS
        # Everybody once, then second people of the first houses; a few join by their card only now.
        for household, code in ids[:BY_CARD_NOW]:
            user = town.new_user()
            cards[user] = await town.card(household)
            residents.append((user, code))
        linked = (ids + ids)[BY_CARD_NOW:PEOPLE]
        for code in town.villages:
            users = await town.add_residents([one for one, where in linked if where == code], code)
            residents.extend((user, code) for user in users)
        assert len(residents) == PEOPLE

    async with a_town(tmp_path, villages=VILLAGES, before=furnish) as town:
        token = await town.official()
        await asyncio.gather(
            *[town.says(user, f"/start h_{card}", hears="Đã gắn tài khoản này") for user, card in cards.items()]
        )
        rounds: list[Round] = []
        while not any(one.from_publish <= 1.05 * one.allowed for one in rounds) and len(rounds) < ROUNDS:
            rounds.append(await broadcast(town, token))
            tell(str(rounds[-1]))
            counts = await town.stub.control.message_counts()
            assert {counts[str(chat)] for chats in town.groups.values() for chat in chats} == {len(rounds)}
            total = rounds[-1].figures["total"]
            assert (total["chats"], total["sent"], total["members"]) == (200, 200, 200 * 29)
        assert max(one.in_any_second for one in rounds) <= PER_SECOND
        assert sum(one.throttled for one in rounds) == 0
        assert min(one.over for one in rounds) <= 0

        began = time()
        await everybody_presses(town, residents, post=len(rounds))
        pressed_for = time() - began
        await until(lambda: all_are_answered(town), "an answer to every press", within=60, every=0.1)
        tell(
            f"1,500 presses in {pressed_for:.1f} s ({1500 / pressed_for:.0f}/s), answered after {time() - began:.1f} s"
        )
        figures = await town.reach(token, rounds[-1].code)
        assert figures["total"]["acknowledged_households"] == HOUSEHOLDS
        assert figures["total"]["grades"]["card"] == HOUSEHOLDS
        assert figures["total"]["unlinked_accounts"] == 0
        await until(lambda: every_button_shows_its_village(town, figures), "the running figures", within=60, every=0.2)
        settled = time() - began
        edits = [
            len((await town.stub.control.messages(chat))[-1]["edits"])
            for chats in town.groups.values()
            for chat in chats
        ]
        tell(f"{sum(edits)} edits for 1,500 presses in {settled:.0f} s, at most {max(edits)} in one group")
        assert max(edits) <= settled / 6 + 1
        assert (await town.stub.control.stats())["throttled_by_client"] == 0
        assert town.service.errors() == []
        await town.service.stop()


async def broadcast(town: Town, token: str) -> Round:
    await town_is_quiet(town)
    seen = len(town.stub.control.seen)
    async with watched_lag() as lag:
        called = time()
        notice = await town.send(token, "Mai họp bản lúc 8 giờ tại nhà văn hoá. Mời mỗi hộ một người.")
        assert notice["state"] == "published"
        published = time()
        await until(lambda: all_are_sent(town, seen), "200 sends", within=30)
    calls = await town.stub.control.arrivals("send", since=seen)
    last = max(call["at"] for call in calls)
    return Round(
        notice["code"],
        await town.reached(token, notice["code"]),
        from_post=last - called,
        from_publish=last - published,
        allowed=(200 - 1) // PER_SECOND,
        in_any_second=busiest(call["at"] for call in calls),
        throttled=sum(call["outcome"] == "throttled" for call in calls),
        lag=lag.most,
    )


async def all_are_sent(town: Town, seen: int) -> bool:
    return sum(one.outcome == "ok" and one.method.startswith("send") for one in town.stub.control.seen[seen:]) >= 200


async def town_is_quiet(town: Town) -> None:
    """Replies of what went before must not count against the notice's second."""
    loop = asyncio.get_running_loop()
    last, since = -1, loop.time()

    async def quiet() -> bool:
        nonlocal last, since
        count = len(town.stub.control.seen)
        if count != last:
            last, since = count, loop.time()
        return loop.time() - since > 1.2

    await until(quiet, "nothing is sent")


async def everybody_presses(town: Town, residents: list[tuple[int, str]], *, post: int) -> None:
    """Each three times: in a group of the village; every third also in another, every tenth in another village's."""
    chance = random.Random(20261121)
    presses = []
    for place, (user, code) in enumerate(residents):
        home = chance.choice(town.groups[code])
        others = [home, home]
        if place % 3 == 0:
            others[0] = chance.choice(town.groups[code])
        if place % 10 == 0:
            others[1] = chance.choice(town.groups[chance.choice(list(town.groups))])
        presses += [(user, chat) for chat in (home, *others)]
    chance.shuffle(presses)
    gate = asyncio.Semaphore(AT_ONCE)

    async def press(user: int, chat: int) -> None:
        async with gate:
            told = await town.stub.control.press(chat, post, user=user)
            assert told["statuses"] == {"200": 1}

    await asyncio.gather(*[press(user, chat) for user, chat in presses])


async def all_are_answered(town: Town) -> bool:
    presses = (await town.stub.control.presses()).values()
    return len(presses) == 3 * PEOPLE and all(press.get("answer", {}).get("text") for press in presses)


async def every_button_shows_its_village(town: Town, figures) -> bool:
    for village in figures["villages"]:
        wanted = f"✅ Đã nắm · {village['acknowledged_households']}/{village['households']} hộ"
        for chat in town.groups[village["code"]]:
            message = (await town.posts(chat))[-1]
            assert words(message)
            if buttons(message)[0] != wanted:
                return False
    return True
