"""Fourteen villages with one group each that no bot may enter: the head gets a kit, carries it, and it is counted."""

import asyncio
import os
import random
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from sqlmodel import Session, col, select

from bot import relays
from bot.chats import address_key, user_key
from bot.permissions import actor_of
from store.tables import (
    Account,
    Chat,
    ChatKind,
    Errand,
    Holder,
    Notice,
    NoticeTarget,
    Outbox,
    RoleName,
    State,
    Unit,
)
from tests.e2e.service import tell, until
from tests.e2e.town import PUBLIC, Town, a_town, buttons, now, words
from tests.servers.telegram import _now as time

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

VILLAGES = 14
WITHIN = 10
"""Seconds from the approval to the last message of the last kit."""
ROUNDS = 3
KIT = ["sendmessage", "sendphoto", "sendmessage"]
"""What is carried, its picture, and what to do with them."""
BODY = "Mai tiêm phòng cho trâu bò lúc 7 giờ tại sân nhà văn hoá. Nhà nào có trâu bò thì dắt ra, nhớ mang sổ tiêm."
MENDED = "Tiêm phòng cho trâu bò dời sang ngày kia, 7 giờ tại sân nhà văn hoá. Nhà nào có trâu bò thì dắt ra."
BROWSER = "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36"
PREVIEW = "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)"
SEED = 20261122


@dataclass
class Relayed:
    """A town whose heads carry: who they are on the messenger, by village."""

    town: Town
    heads: dict[str, int] = field(default_factory=dict)

    async def furnish(self) -> None:
        for code in self.town.villages:
            person = await self.town.add_person(f"Trưởng {code}", RoleName.VILLAGE_HEAD, self.town.villages[code])
            self.heads[code] = user = self.town.new_user()
            await self.town.stub.control.private(user)
            await self.town.store.write(self._link, code, person, user)

    def _link(self, session: Session, code: str, person: int, user: int) -> None:
        """The head has written to the bot some time ago, and carries to a group that exists."""
        town, vault = self.town, self.town.house.vault
        private = Chat(
            channel_id=town.channel,
            address_key=address_key(vault, town.channel, str(user)),
            sealed_address=vault.seal(str(user)),
            kind=ChatKind.PRIVATE,
            created_at=now(),
        )
        session.add(private)
        session.flush()
        session.add(
            Account(
                channel_id=town.channel,
                user_key=user_key(vault, town.channel, str(user)),
                person_id=person,
                private_chat_id=private.id,
                created_at=now(),
            )
        )
        session.flush()
        relays.put(
            session,
            town.house,
            actor_of(session, person),
            session.get_one(Unit, town.villages[code]),
            title=f"Bà con {code}",
            members=80,
            carrier_id=person,
            backup_id=None,
            now=now(),
        )

    # ------------------------------------------------------------ a notice

    async def approved(self, author: str, approver: str) -> tuple[str, float]:
        """A notice that a second official releases; its code, and when that was called."""
        notice = await self.town.send(author, BODY)
        assert notice["state"] == "waiting"
        began = time()
        await self.call(approver, notice["code"], "approve")
        return notice["code"], began

    async def call(self, token: str, code: str, what: str, **body: Any) -> dict[str, Any]:
        url = f"{self.town.service.url}/api/v1/notices/{code}/{what}"
        answer = await self.town.http.post(url, json=body, headers={"authorization": f"Bearer {token}"})
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def settled(self, *, within: float = 30) -> None:
        """Nothing waits to be sent any more."""

        def waits(session: Session) -> int:
            moving = (State.QUEUED, State.LEASED, State.SENDING)
            return len(session.exec(select(Outbox.id).where(col(Outbox.state).in_(moving))).all())

        async def look() -> bool:
            return await self.town.store.read(waits) == 0

        try:
            await until(look, "everything is sent", within=within, every=0.1)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.town.service.last_words()}") from None

    # ------------------------------------------------------------ what is kept

    async def states(self, code: str, *, is_old: bool = False) -> dict[str, str]:
        """By village: the row of the latest words (or of those that they took the place of)."""

        def look(session: Session) -> list[tuple[str, str]]:
            found = (
                select(Unit.code, Outbox.state)
                .join(Outbox, col(Outbox.unit_id) == Unit.id)
                .join(Notice, col(Notice.id) == Outbox.notice_id)
                .where(Notice.code == code, Outbox.is_old == is_old)
            )
            return list(session.exec(found).all())

        rows = await self.town.store.read(look)
        assert len(dict(rows)) == len(rows), "one row a village"
        return {village: str(state) for village, state in rows}

    async def links(self, code: str) -> dict[str, str]:
        """Path of each village's link."""

        def look(session: Session) -> list[tuple[str, str | None]]:
            found = (
                select(Unit.code, NoticeTarget.link_token)
                .join(NoticeTarget, col(NoticeTarget.unit_id) == Unit.id)
                .join(Notice, col(Notice.id) == NoticeTarget.notice_id)
                .where(Notice.code == code)
            )
            return list(session.exec(found).all())

        return {village: f"/t/{token}" for village, token in await self.town.store.read(look)}

    async def kit(self, village: str, *, after: int = 0) -> list[dict[str, Any]]:
        """What the head's chat got after its first `after` messages: method and message."""
        return (await self.town.stub.control.messages(self.heads[village]))[after:]

    def resident(self, agent: str = BROWSER) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.town.service.url, headers={"user-agent": agent}, timeout=30)

    async def is_carried(self, code: str, village: str) -> bool:
        return (await self.states(code))[village] == State.SENT


def relayed(tmp_path, **more: Any):
    """A town of relay villages, its service running, and approval by a second person as it is in a commune."""
    held: list[Relayed] = []

    async def furnish(town: Town) -> None:
        held.append(Relayed(town))
        await held[0].furnish()

    environment = {"LOA_APPROVAL": "commune"}
    adapters = "telegram,relay"
    return held, a_town(tmp_path, villages=VILLAGES, before=furnish, adapters=adapters, environment=environment, **more)


def is_whole(kit: list[dict[str, Any]], *, link: str, code: str, group: str) -> bool:
    """The words, complete and short enough to be forwarded; their picture; and, apart, what to do."""
    assert [logged["method"] for logged in kit] == KIT
    text, picture, do = (logged["message"] for logged in kit)
    assert BODY in words(text)
    assert words(text).splitlines()[-1] == f"{PUBLIC}{link} · Mã {code}"
    assert len(words(text)) <= 900
    assert not buttons(text)
    assert picture["photo"]
    assert "Chuyển 2 tin trên" in words(do)
    assert group in words(do)
    assert buttons(do) == ["✅ Đã chuyển"]
    return True


# ---------------------------------------------------------------- the fourteen


@pytest.mark.timeout(240)
async def test_fourteen_heads_have_their_kits_ten_seconds_after_the_approval_and_carry_them(tmp_path):
    """Telegram's limits are on: 42 messages at 30 a second, one a second in each chat, so that 2 s is the least. When
    it takes too long the notice is stopped and another one sent, three at most: a machine may be busy with other tests.
    """
    held, town_of_relays = relayed(tmp_path)
    async with town_of_relays as town:
        here = held[0]
        tokens = await town.official("Người soạn"), await town.official("Người duyệt")
        code, took = await a_notice_in_hand(here, *tokens)
        for _ in range(1, ROUNDS):
            if took > WITHIN:
                await here.call(tokens[0], code, "cancel")
                code, took = await a_notice_in_hand(here, *tokens)
        assert took <= WITHIN
        links = await here.links(code)
        assert len(set(links.values())) == VILLAGES
        await it_is_carried(here, code, links)
        await it_is_corrected(here, code, links)
        assert town.service.errors() == []
        await town.service.stop()


async def a_notice_in_hand(here: Relayed, author: str, approver: str) -> tuple[str, float]:
    """A notice of which every head has the whole kit, and nobody anything else; seconds that it took."""
    await here.settled()
    control = here.town.stub.control
    since, before = len(control.seen), {village: len(await here.kit(village)) for village in here.heads}
    code, began = await here.approved(author, approver)
    await here.settled()
    calls = await control.arrivals("send", since=since)
    took, stats = max(call["at"] for call in calls) - began, await control.stats()
    tell(
        f"{VILLAGES} kits {took:.2f} s after the call that approves; the limits allow 2 s;"
        f" 429 by us: {stats['throttled_by_client']}; at most {stats['max_in_any_second']} in any second;"
        f" load {os.getloadavg()[0]:.1f}"
    )
    links = await here.links(code)
    for village, after in before.items():
        kit = await here.kit(village, after=after)
        assert is_whole(kit, link=links[village], code=code, group=f"Bà con {village}")
    assert len(calls) == VILLAGES * len(KIT), "nobody else is written to"
    assert set((await here.states(code)).values()) == {State.HANDED}
    assert stats["throttled_by_client"] == 0
    return code, took


async def it_is_carried(here: Relayed, code: str, links: dict[str, str]) -> None:
    """By a head who says so, by one who presses, by residents who open the link; by nobody who only looks ahead."""
    told, pressed, opened, *waiting = here.heads
    await here.town.says(here.heads[told], "1")
    await until(lambda: here.is_carried(code, told), "it is carried where the head said so")
    do = (await here.kit(pressed))[-1]["message"]["message_id"]
    await here.town.presses(here.heads[pressed], here.heads[pressed], do, "Đã chuyển")
    await until(lambda: here.is_carried(code, pressed), "it is carried where the head pressed")

    async with here.resident(PREVIEW) as preview, here.resident("Go-http-client/1.1") as unknown:
        for agent in (preview, unknown):
            assert BODY in (await agent.get(links[waiting[0]])).text
        await preview.get(f"{links[waiting[0]]}/o.gif")
    for _ in range(2):  # the head has no phone at /truong that we would know: the first could be the head's own
        async with here.resident() as resident:
            page = await resident.get(links[opened])
            picture = re.search(r'<img src="(/t/[^"]+)"', page.text)
            assert picture
            assert (await resident.get(picture[1])).headers["cache-control"] == "no-store"
    await until(lambda: here.is_carried(code, opened), "it is carried where residents opened it")

    expected = dict.fromkeys(waiting, "handed") | dict.fromkeys((told, pressed, opened), "sent")
    assert await here.states(code) == expected
    figures = await here.town.reach(await here.town.official("Người xem số"), code)
    by_name = {line["code"]: line for line in figures["villages"]}
    assert {village for village, line in by_name.items() if line["sent"]} == {told, pressed, opened}
    assert {village for village, line in by_name.items() if line["opens"]} == {opened}
    await here.settled()


async def it_is_corrected(here: Relayed, code: str, links: dict[str, str]) -> None:
    """A new kit for every head; the link says at once what is so now, whether anybody carried the new words or not."""
    before = {village: len(await here.kit(village)) for village in here.heads}
    await here.call(await here.town.official("Người sửa"), code, "correct", body=MENDED)
    async with here.resident() as resident:
        page = (await resident.get(next(iter(links.values())))).text
    assert re.search(r'<p class="note bad" role="alert"><b>Thông báo này đã được sửa', page)
    assert MENDED in page
    assert BODY not in page
    await here.settled()
    assert await here.links(code) == links
    for village in here.heads:
        kit = await here.kit(village, after=before[village])
        assert [logged["method"] for logged in kit] == KIT, village
        text, _, do = (logged["message"] for logged in kit)
        assert words(text).startswith("🔴 ĐÍNH CHÍNH")
        assert MENDED in words(text)
        assert words(text).splitlines()[-1] == f"{PUBLIC}{links[village]} · Mã {code}"
        assert buttons(do) == ["✅ Đã chuyển"]
        old_do = (await here.kit(village))[before[village] - 1]["message"]
        assert "✅ Đã chuyển" not in buttons(old_do), "what was replaced is not to be carried"
    assert set((await here.states(code)).values()) == {State.HANDED}


# ---------------------------------------------------------------- kill -9


@pytest.mark.timeout(300)
@pytest.mark.long
@pytest.mark.parametrize("times", [2, 10])
async def test_kills_while_kits_are_handed_over_lose_none_and_repeat_none(tmp_path, times):
    """Each message of each kit once; where Telegram's own answer was lost with us, it is marked and not repeated."""
    chance = random.Random(SEED)
    held, town_of_relays = relayed(tmp_path, latency_ms=50)
    async with town_of_relays as town:
        here = held[0]
        code, _ = await here.approved(await town.official("Người soạn"), await town.official("Người duyệt"))
        seen = []
        for number in range(times):
            if number:
                await town.service.start()
            wanted = number * VILLAGES * len(KIT) // times
            await until(lambda: some_are_under_way(here, wanted), "kits are handed over", within=60, every=0.005)  # noqa: B023
            await asyncio.sleep(chance.uniform(0.0, 0.5))
            await town.service.kill()
            seen.append(len(await town.stub.control.arrivals("send")))
        await town.service.start()
        await here.settled(within=60)

        rows = await town.store.read(kit_rows)
        tell(f"messages begun at each kill: {seen} of {VILLAGES * len(KIT)}; rows {dict(Counter(rows.values()))}")
        assert len(rows) == VILLAGES * len(KIT)
        assert set(rows.values()) <= {State.SENT, State.UNKNOWN}
        for village, user in here.heads.items():
            got = [logged["method"] for logged in await here.kit(village)]
            key = user_key(town.house.vault, town.channel, str(user))
            doubtful = sum(state == State.UNKNOWN for (head, _), state in rows.items() if head == key)
            assert not Counter(got) - Counter(KIT), f"{village} got something twice"
            assert len(got) >= len(KIT) - doubtful, f"{village} lost something"
            assert got == [method for method in KIT if method in got] or doubtful
        assert set((await here.states(code)).values()) == {State.HANDED}
        assert await town.store.read(errands) == Counter({Holder.CARRIER: VILLAGES})
        await town.service.stop()


async def some_are_under_way(here: Relayed, wanted: int) -> bool:
    """So many messages have begun; at first: a kit is being made."""
    if wanted:
        return len(await here.town.stub.control.arrivals("send")) >= wanted

    def begun(session: Session) -> bool:
        states = (State.SENDING, State.HANDED)
        return session.exec(select(Outbox.id).where(col(Outbox.state).in_(states)).limit(1)).first() is not None

    return await here.town.store.read(begun)


def kit_rows(session: Session) -> dict[tuple[str, int], str]:
    """The state of what was written to heads, by whom (their key) and row."""
    rows = session.exec(
        select(Account.user_key, Outbox.id, Outbox.state)
        .join(Chat, col(Chat.id) == Outbox.chat_id)
        .join(Account, col(Account.private_chat_id) == Chat.id)
    ).all()
    return {(key, row or 0): state for key, row, state in rows}


def errands(session: Session) -> Counter[str]:
    return Counter(session.exec(select(Errand.holder)).all())
