"""Webhooks: what the messenger says is kept once and whole, what somebody else says is not kept at all."""

import asyncio
import json

import pytest
from sqlmodel import col, func, select

from store.store import StoreBusy
from store.tables import EventState, InboundEvent
from tests.api.conftest import opened

SECRET = "a-webhook-secret"
PATH = "/webhooks/telegram/main"
HEADERS = {"x-telegram-bot-api-secret-token": SECRET, "content-type": "application/json"}


def update(number: int = 1, text: str = "/trogiup") -> bytes:
    message = {
        "message_id": number,
        "date": 1_780_000_000,
        "chat": {"id": 500 + number % 7, "type": "private", "first_name": "A"},
        "from": {"id": 500 + number % 7, "is_bot": False, "first_name": "A"},
        "text": text,
    }
    return json.dumps({"update_id": number, "message": message}, ensure_ascii=False).encode()


@pytest.fixture
async def house(tmp_path, monkeypatch):
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", "123456:" + "A" * 35)
    monkeypatch.setenv("TELEGRAM_WEBHOOK_SECRET", SECRET)
    async with opened(tmp_path, adapters=("webchat", "telegram")) as running:
        yield running


async def events(house) -> list[InboundEvent]:
    return await house.read(lambda s: list(s.exec(select(InboundEvent).order_by(col(InboundEvent.id))).all()))


async def test_an_event_is_kept_sealed_before_it_is_thanked_for(house):
    answer = await house.browser().post(PATH, content=update(7, "xin chào"), headers=HEADERS)
    assert answer.status_code == 200
    (event,) = await events(house)
    assert (event.state, event.event_id) == (EventState.NEW, "7")
    assert event.chat_key
    assert event.sealed_body
    assert "xin chào".encode() not in event.sealed_body
    assert house.runtime.vault.open(event.sealed_body) == update(7, "xin chào")


async def deliver(app, body: bytes) -> int:
    """Post to the app itself: a client of its own would take most of the time."""
    headers = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
    scope = {
        "type": "http",
        "method": "POST",
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": b"",
        "scheme": "http",
    }
    scope |= {"headers": headers, "server": ("127.0.0.1", 80), "client": ("192.0.2.1", 1), "http_version": "1.1"}
    answered = []

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        answered.append(message)

    await app(scope, receive, send)
    return answered[0]["status"]


@pytest.mark.slow
async def test_ten_thousand_replays_and_fifty_copies_at_once_are_one_event(house):
    for _ in range(201):
        assert set(await asyncio.gather(*(deliver(house.app, update()) for _ in range(50)))) == {200}
    assert len(await events(house)) == 1


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="missing"),
        pytest.param({"x-telegram-bot-api-secret-token": "wrong"}, id="wrong"),
        pytest.param({"x-telegram-bot-api-secret-token": SECRET + "x"}, id="longer"),
        pytest.param({"x-telegram-bot-api-secret-token": ""}, id="empty"),
        pytest.param({"x-telegram-bot-api-secret-token": "é".encode()}, id="other letters"),
    ],
)
async def test_without_the_secret_nothing_is_stored(house, headers):
    answer = await house.browser().post(PATH, content=update(), headers=headers)
    assert answer.status_code == 403
    assert await events(house) == []


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"{not json", id="broken JSON"),
        pytest.param(b"\xff\xfe\x00", id="not text"),
        pytest.param(b"[" * 200_000, id="nested without end"),
        pytest.param(b'{"update_id": "x"}', id="wrong types"),
        pytest.param(b'{"update_id": 9' + b"9" * 5000 + b"}", id="a number without end"),
        pytest.param(b"", id="empty"),
    ],
)
async def test_a_body_that_nobody_understands_is_thanked_for_and_stops_nothing(house, body):
    browser = house.browser()
    assert (await browser.post(PATH, content=body, headers=HEADERS)).status_code == 200
    assert (await browser.post(PATH, content=update(2), headers=HEADERS)).status_code == 200
    kept = await events(house)
    assert kept[-1].event_id == "2"
    assert all(house.runtime.vault.open(event.sealed_body) == body for event in kept[:-1])


async def test_a_body_beyond_the_limit_is_refused_whatever_it_says_of_its_length(house):
    limit = house.runtime.channels["telegram", "main"].adapter.limits.body

    async def endless():
        for _ in range(limit // 65536 + 2):
            yield b" " * 65536

    browser = house.browser()
    assert (await browser.post(PATH, content=b" " * (limit + 1), headers=HEADERS)).status_code == 413
    assert (await browser.post(PATH, content=endless(), headers=HEADERS)).status_code == 413
    assert await events(house) == []


@pytest.mark.parametrize("path", ["/webhooks/telegram/khac", "/webhooks/zalo/main", "/webhooks/telegram"])
async def test_a_channel_that_we_do_not_have_is_not_found(house, path):
    assert (await house.browser().post(path, content=update(), headers=HEADERS)).status_code == 404


async def test_the_messenger_comes_again_while_the_database_takes_nothing(house):
    class Busy:
        dialect = house.runtime.store.dialect

        async def append(self, *_):
            raise StoreBusy("locked")

    store, house.runtime.store = house.runtime.store, Busy()
    answer = await house.browser().post(PATH, content=update(), headers=HEADERS)
    house.runtime.store = store
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert await house.read(lambda s: s.exec(select(func.count()).select_from(InboundEvent)).one()) == 0


async def test_nobody_posts_as_the_web_chat_from_outside(house):
    answer = await house.browser().post("/webhooks/webchat/main", content=b"{}")
    assert answer.status_code == 403
    assert await events(house) == []
