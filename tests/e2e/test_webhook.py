"""What a messenger tells us has its effect once, and what only pretends to come from it has none."""

import json

import pytest
from sqlmodel import Session, col, func, select

from store.tables import EventState, InboundEvent, Outbox, Receipt
from tests.e2e.service import tell, until
from tests.e2e.town import WEBHOOK_SECRET, Town, a_town

pytestmark = pytest.mark.e2e

COPIES = 50
POISON = (
    "this is no JSON",
    "",
    "[]",
    "null",
    '"update_id"',
    "{}",
    '{"update_id": "1"}',
    '{"update_id": 1, "message": 5}',
    '{"update_id": 2, "message": {"message_id": 1}}',
    '{"update_id": 3, "message": {"message_id": 1, "date": "today", "chat": {"id": 5, "type": "private"}, "text": ""}}',
    '{"update_id": 4, "callback_query": {"id": "1", "data": "a:b"}}',
    '{"update_id": 5, "my_chat_member": {"chat": {"id": 7, "type": "group"}}}',
    '{"update_id": 6, "message": {"message_id": 1, "date": 1, "chat": {"id": 1e400, "type": "private"}}}',
    "[" * 100_000,
    '{"update_id": 7, "message": ' + '{"reply_to_message":' * 20_000 + "1" + "}" * 20_001,
    "\x00\x01\x02",
)
TOO_LARGE = json.dumps({"update_id": 8, "message": {"text": "x" * (2 << 20)}})


@pytest.mark.slow
@pytest.mark.parametrize("replays", [500, pytest.param(10_000, marks=pytest.mark.long)])
async def test_replays_and_fifty_copies_at_once_of_a_press_have_one_effect(tmp_path, replays):
    async with a_town(tmp_path, before=furnish) as town:
        group, resident = town.groups["ban-1"][0], town.users
        token = await town.official()
        notice = await town.send(token, "Tiêm phòng cho trâu bò sáng thứ Bảy.")
        await town.reached(token, notice["code"])
        calls_before = len(town.stub.control.seen)

        hook, town.stub.control.bot().webhook = town.stub.control.bot().webhook, {"url": ""}
        pressed = await town.stub.control.press(group, 1, user=resident)  # not told yet
        town.stub.control.bot().webhook = hook
        at_once = await town.stub.control.replay(pressed["update_id"], times=COPIES, concurrency=COPIES)
        assert at_once == {"200": COPIES}
        await until(lambda: answered(town, pressed["press_id"]), "an answer to the press")
        again = await town.stub.control.replay(pressed["update_id"], times=replays, concurrency=COPIES)
        assert again == {"200": replays}

        figures = await town.reach(token, notice["code"])
        assert figures["total"]["acknowledged_households"] == 1
        assert await town.count(lambda session: count(session, InboundEvent)) == 1
        assert await town.count(lambda session: count(session, Receipt)) == 1
        await until(lambda: nothing_waits(town), "the running figure is shown")
        calls = [one.method for one in town.stub.control.seen[calls_before:]]
        assert sorted(calls) == ["answercallbackquery", "editmessagecaption"]


async def test_a_wrong_or_missing_secret_is_refused_and_nothing_is_stored(tmp_path):
    async with a_town(tmp_path, before=furnish) as town:
        update = {
            "update_id": 9,
            "message": {
                "message_id": 1,
                "date": 1,
                "chat": {"id": 5, "type": "private"},
                "from": {"id": 5, "is_bot": False, "first_name": "x"},
                "text": "/start",
            },
        }
        for secret in ("", "wrong", "secret-of-the-webhoo", "bí mật".encode().decode("latin-1")):
            assert await town.stub.control.update(update, secret=secret) == {"403": 1}, secret
        for body in POISON:
            assert await town.stub.control.update(body, secret="wrong") == {"403": 1}
        assert await town.count(lambda session: count(session, InboundEvent)) == 0
        # The same, with the right one: what was refused above was refused for its secret.
        assert await town.stub.control.update(update) == {"200": 1}
        assert await town.count(lambda session: count(session, InboundEvent)) == 1


async def test_bodies_that_nobody_can_read_are_thanked_for_and_set_aside_and_the_others_go_on(tmp_path):
    async with a_town(tmp_path, before=furnish) as town:
        user = town.new_user()
        for body in POISON:
            assert await town.stub.control.update(body) == {"200": 1}, body[:60]
        too_large = await town.http.post(
            f"{town.service.url}/webhooks/telegram/main",
            content=TOO_LARGE,
            headers={"x-telegram-bot-api-secret-token": WEBHOOK_SECRET},
        )
        assert too_large.status_code == 413
        await town.says(user, "/start", hears="Chào bác")
        await until(lambda: nothing_is_open(town), "everything is handled or set aside")
        states = await town.store.read(states_of_events)
        assert states.pop(EventState.DONE) >= 1
        assert set(states) == {EventState.ASIDE}
        metrics = (await town.http.get(f"{town.service.url}/metrics")).text
        assert f"loa_events_aside {states[EventState.ASIDE]}\n" in metrics
        tell(f"{len(POISON)} poison bodies: {states[EventState.ASIDE]} set aside")
        assert await town.stub.control.update(POISON[0]) == {"200": 1}
        assert (await town.store.read(states_of_events))[EventState.ASIDE] == states[EventState.ASIDE]


async def test_it_says_that_it_lives_and_that_it_is_ready(tmp_path):
    async with a_town(tmp_path) as town:
        lives = await town.http.get(f"{town.service.url}/healthz")
        ready = await town.http.get(f"{town.service.url}/readyz")
        assert (lives.status_code, lives.json()["ok"]) == (200, True)
        assert (ready.status_code, ready.json()) == (200, {"ok": True, "database": "ok", "channels": {}})
        second = await town.http.get(f"{town.service.url}/webhooks/telegram/other")
        assert second.status_code in (404, 405)
        await town.service.stop()


async def furnish(town: Town) -> None:
    await town.add_groups("ban-1", 1)
    await town.add_residents(await town.add_households("ban-1", 3), "ban-1")


async def answered(town: Town, press_id: str) -> bool:
    return "answer" in (await town.stub.control.presses())[press_id]


async def nothing_waits(town: Town) -> bool:
    """No row waits, and the edit with the figure has been made."""

    def look(session: Session) -> list[str]:
        return [str(state) for state in session.exec(select(Outbox.state).order_by(col(Outbox.id)))]

    return await town.store.read(look) == ["sent", "sent"]


async def nothing_is_open(town: Town) -> bool:
    states = await town.store.read(states_of_events)
    return not (states.get(EventState.NEW) or states.get(EventState.LEASED))


def states_of_events(session: Session) -> dict[EventState, int]:
    counted = select(InboundEvent.state, func.count()).group_by(col(InboundEvent.state))
    return {EventState(state): number for state, number in session.exec(counted)}


def count(session: Session, table: type) -> int:
    return session.exec(select(func.count()).select_from(table)).one()
