"""Bad days of a messenger: slow, cut off, throttling, out of reach, with a token that is no longer good."""

from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlmodel import Session, select

from store import rooms
from store.tables import Channel, Outbox, Unit
from tests.e2e.line import line_to
from tests.e2e.service import tell, until
from tests.e2e.town import Town, a_town, now, words
from tests.servers import telegram

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.long]

GROUPS = 48
NO_ANSWER = 40_000
"""Milliseconds: longer than the service waits for an answer."""
FAULTS: dict[str, dict[str, Any]] = {
    "never answered": {"delay_ms": NO_ANSWER},
    "cut before it was done": {"cut": "before"},
    "cut after it was done": {"cut": "after"},
    "cut through the answer": {"cut": "half"},
    "a gateway's page, and it was done": {"status": 502, "html": True, "record": True},
    "an answer that is no JSON": {"garbage": True},
}


async def test_what_nobody_can_know_is_unknown_is_shown_and_is_sent_again_by_a_person_alone(tmp_path):
    async def furnish(town: Town) -> None:
        await town.add_groups("ban-1", GROUPS)
        await town.add_residents(await town.add_households("ban-1", 1), "ban-1")

    async with a_town(tmp_path, before=furnish) as town:
        token, resident, groups = await town.official(), town.users, town.groups["ban-1"]
        # Seven apart: three lost in a row would rightly count as a line that is down.
        troubled = dict(zip(FAULTS, groups[1::7], strict=False))
        for name, group in troubled.items():
            await town.stub.control.fault(method="send", chat=group, **FAULTS[name])
        rejected, waits = groups[4], groups[11]
        await town.stub.control.fault(method="send", chat=rejected, status=400, description="Bad Request: WRONG_THING")
        await town.stub.control.fault(
            method="send", chat=waits, status=429, retry_after=5, description="Too Many Requests"
        )

        notice = await town.send(token, "Lịch cắt điện tuần sau.")
        figures = await town.reached(token, notice["code"], within=60)
        total, [village] = figures["total"], figures["villages"]
        assert (total["unknown"], total["failed"], total["sent"]) == (len(FAULTS), 1, GROUPS - len(FAULTS) - 1)
        reasons = {(one["state"], one["error"]) for one in village["failures"]}
        assert reasons == {("unknown", "no_answer"), ("failed", "rejected")}
        rows = await town.rows(notice["code"])
        assert {name: rows[group] for name, group in troubled.items()} == {name: ["unknown"] for name in troubled}
        starts = await town.starts()
        assert {group: count for group, count in starts.items() if count != 1} == {waits: 2}

        calls = await town.stub.control.arrivals("send")
        first, second = [call["at"] for call in calls if call["chat"] == waits]
        assert 5.0 <= second - first <= 7.0
        others = [call["at"] for call in calls if call["chat"] != waits]
        spread = max(others) - min(others)
        tell(f"told to wait 5 s: tried again after {second - first:.2f} s; all others began within {spread:.2f} s")
        assert spread < 3

        # Somebody presses in a group of which nobody knew: the notice did arrive.
        arrived = troubled["cut after it was done"]
        await town.presses(resident, arrived, 1, "Đã nắm")
        total = (await town.reach(token, notice["code"]))["total"]
        assert (total["unknown"], total["acknowledged_households"]) == (len(FAULTS) - 1, 1)

        # A person decides; only what is still in doubt goes again.
        resent = await town.http.post(
            f"{town.service.url}/api/v1/notices/{notice['code']}/resend",
            json={"states": ["unknown"]},
            headers={"authorization": f"Bearer {token}"},
        )
        assert resent.json()["resent"] == len(FAULTS) - 1
        total = (await town.reached(token, notice["code"]))["total"]
        assert (total["sent"], total["unknown"], total["failed"]) == (GROUPS - 1, 0, 1)
        starts = await town.starts()
        assert {group for group, count in starts.items() if count == 2} == {waits, *troubled.values()} - {arrived}
        assert (await town.stub.control.stats())["throttled_by_client"] == 0
        assert town.service.errors() == []


async def test_a_first_upload_that_is_not_answered_does_not_hold_the_other_groups_up(tmp_path):
    """The picture of a notice is uploaded once and then sent by its name; that name may be long in coming."""

    async def furnish(town: Town) -> None:
        await town.add_groups("ban-1", 10)

    async with a_town(tmp_path, before=furnish) as town:
        token = await town.official()
        first = town.groups["ban-1"][0]
        await town.stub.control.fault(method="send", chat=first, delay_ms=12_000)
        notice = await town.send(token, "Lịch cắt điện tuần sau.")
        await until(lambda: has_sent(town, token, notice["code"], 9), "nine groups have it", within=8)
        total = (await town.reached(token, notice["code"]))["total"]
        assert (total["sent"], total["unknown"]) == (10, 0)
        assert set((await town.stub.control.message_counts()).values()) == {1}


async def test_while_the_messenger_is_out_of_reach_everything_waits_and_then_goes_out_once(tmp_path):
    async def furnish(town: Town) -> None:
        await town.add_groups("ban-1", GROUPS)

    async with telegram.serving() as messenger, line_to(urlsplit(messenger.url).port or 0) as line:
        environment = {"TELEGRAM_API_BASE_URL": f"http://127.0.0.1:{line.port}/bot"}
        async with a_town(tmp_path, before=furnish, environment=environment, messenger=messenger) as town:
            token = await town.official()
            await until(lambda: knows_itself(town), "the service has spoken to the messenger")
            await line.cut()
            notice = await town.send(token, "Nước lên, chuẩn bị di dời.")
            await until(lambda: was_tried(town), "the service has met the cut line")
            total = (await town.reach(token, notice["code"]))["total"]
            assert (total["sent"], total["failed"], total["unknown"]) == (0, 0, 0)
            await line.mend()
            total = (await town.reached(token, notice["code"], within=60))["total"]
            assert (total["sent"], total["failed"], total["unknown"]) == (GROUPS, 0, 0)
            counts = await town.stub.control.message_counts()
            assert {counts[str(group)] for group in town.groups["ban-1"]} == {1}
            ready = await town.http.get(f"{town.service.url}/readyz")
            assert ready.json() == {"ok": True, "database": "ok", "channels": {}}


async def test_a_token_that_is_no_longer_good_stops_that_channel_alone_loses_nothing_and_is_told(tmp_path):
    async def furnish(town: Town) -> None:
        await town.add_groups("ban-1", GROUPS)
        await town.store.write(web_chat_group, town)

    async with a_town(tmp_path, before=furnish, adapters="telegram,webchat") as town:
        token = await town.official()
        ready = await town.http.get(f"{town.service.url}/readyz")
        assert ready.json()["channels"] == {}
        notice = await town.send(token, "Nhận giống ngô tại kho xã.")
        await until(lambda: are_sent(town, 5), "the first sends")
        await town.stub.control.configure(revoked=True)
        await until(lambda: is_broken(town), "/readyz names the channel")
        ready = await town.http.get(f"{town.service.url}/readyz")
        assert ready.json()["channels"] == {"telegram/main": "broken"}
        assert ready.status_code == 200  # the web chat works
        total = (await town.reach(token, notice["code"]))["total"]
        assert (total["failed"], total["unknown"]) == (0, 0)
        assert 5 <= total["sent"] < GROUPS

        # The web chat goes on, and a start with the wrong token is no harm either.
        await town.service.stop()
        await town.service.start()
        await until(lambda: is_broken(town), "/readyz names the channel")
        second = await town.send(token, "Nhận giống ngô, ngày cuối.")
        await until(lambda: has_sent(town, token, second["code"], 1), "the web chat's group has it")
        page = await town.http.get(f"{town.service.url}/chat/ban-1")
        assert page.status_code == 200

        # Mended: what waited goes out, once.
        await town.stub.control.configure(revoked=False)
        await town.service.stop()
        await town.service.start()
        for code in (notice["code"], second["code"]):
            total = (await town.reached(token, code, within=60))["total"]
            assert (total["sent"], total["failed"], total["unknown"]) == (GROUPS + 1, 0, 0)
        for group in town.groups["ban-1"]:
            texts = [words(post) for post in await town.posts(group)]
            assert len(texts) == 2
            assert "ngày cuối" in texts[1]
        ready = await town.http.get(f"{town.service.url}/readyz")
        assert (ready.status_code, ready.json()["channels"]) == (200, {})


def web_chat_group(session: Session, town: Town) -> None:
    channel = session.exec(select(Channel.id).where(Channel.adapter == "webchat")).one()
    village = session.get_one(Unit, town.villages["ban-1"])
    rooms.ensure_group(session, town.house.vault, channel or 0, village, now=now())


async def knows_itself(town: Town) -> bool:
    return len((await town.stub.control.bot_state())["commands"]) == 4


async def was_tried(town: Town) -> bool:
    """A row was taken up and came back."""
    tried = select(Outbox.id).where(Outbox.error == "not_sent")
    return await town.count(lambda session: len(session.exec(tried).all())) > 0


async def are_sent(town: Town, number: int) -> bool:
    return (await town.stub.control.stats())["sent"] >= number


async def is_broken(town: Town) -> bool:
    ready = await town.http.get(f"{town.service.url}/readyz")
    return bool(ready.json()["channels"])


async def has_sent(town: Town, token: str, code: str, number: int) -> bool:
    return (await town.reach(token, code))["total"]["sent"] >= number
