"""The stand-in for Telegram does what Telegram would: limits to the letter, proper updates, honest counts."""

import asyncio
import json
import sys
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup, Update
from telegram.error import BadRequest, ChatMigrated, Forbidden, RetryAfter

import adapters.telegram  # noqa: F401 - sets how the library tells times
from tests.servers.telegram import TOKEN, serving
from tests.servers.telegram_limits import Limiter, busiest


def admitted(limiter, sends):
    return [limiter.admit(chat, is_group=is_group, now=now) for now, chat, is_group in sends]


def test_thirty_in_any_sliding_second_and_not_one_more():
    sends = [(index / 100, index, True) for index in range(31)]
    assert admitted(Limiter(), sends) == [0] * 30 + [1]
    later = [(index * 0.034, index, True) for index in range(90)]
    assert admitted(Limiter(), later) == [0] * 90


def test_one_a_second_to_one_chat():
    assert admitted(Limiter(), [(0.0, 1, False), (0.999, 1, False), (0.999, 2, False), (1.0, 1, False)]) == [0, 1, 0, 0]
    assert admitted(Limiter(tolerance=0.005), [(0.0, 1, False), (0.996, 1, False)]) == [0, 0]


def test_twenty_a_minute_to_one_group_but_not_to_one_person():
    sends = [(index * 1.5, 1, True) for index in range(21)]
    assert admitted(Limiter(), sends)[-1] == 30
    assert admitted(Limiter(), [(at, chat, False) for at, chat, _ in sends]) == [0] * 21


def test_a_refused_send_does_not_count():
    limiter = Limiter()
    assert admitted(limiter, [(0.0, 1, True), (0.5, 1, True), (1.0, 1, True)]) == [0, 1, 0]


def test_the_busiest_second_is_found_wherever_it_lies():
    assert busiest([0.0, 0.9, 1.0, 1.1, 1.85, 3.0]) == 4
    assert busiest([]) == 0


@pytest.fixture
async def stub():
    async with serving() as running:
        yield running


@pytest.fixture
async def library(stub):
    """The library's own client with its own transport: what it sends, the stand-in must take."""
    bot = Bot(TOKEN, base_url=stub.base_url, base_file_url=f"{stub.url}/file/bot")
    async with bot:
        yield bot


@pytest.fixture
async def told():
    """A webhook that remembers what it was told."""
    seen = []

    async def receive(request):
        seen.append((request.headers.get("X-Telegram-Bot-Api-Secret-Token"), await request.json()))
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", receive)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook", seen
    await runner.cleanup()


async def test_the_library_can_do_its_work(stub, library):
    one, two = await stub.control.groups(2, members=12)
    keys = InlineKeyboardMarkup([[InlineKeyboardButton("Đã nắm", callback_data="ack:1")]])
    first = await library.send_message(one, "Thông báo 🏡", reply_markup=keys)
    second = await library.send_document(two, b"%PDF", filename="Công văn.pdf", caption="Kèm theo")
    assert (first.message_id, first.text, first.reply_markup) == (1, "Thông báo 🏡", keys)
    assert second.document.file_name == "Công văn.pdf"
    file = await library.get_file(second.document.file_id)
    assert bytes(await file.download_as_bytearray()) == b"%PDF"
    assert await library.get_chat_member_count(one) == 12
    edited = await library.edit_message_text("Đính chính", one, first.message_id)
    assert edited.reply_markup is None
    with pytest.raises(BadRequest, match="not modified"):
        await library.edit_message_text("Đính chính", one, first.message_id)
    await library.set_my_commands([("baocao", "Báo cáo")], language_code="vi")
    assert (await library.get_my_commands(language_code="vi"))[0].description == "Báo cáo"


async def test_too_fast_is_told_and_counted_as_the_bots_own_fault(stub, library):
    one, two = await stub.control.groups(2)
    await library.send_message(one, "1")
    with pytest.raises(RetryAfter):
        await library.send_message(one, "2")
    await stub.control.fault(chat=two, status=429, retry_after=3)
    with pytest.raises(RetryAfter):
        await library.send_message(two, "1")
    await library.send_message(two, "1")
    stats = await stub.control.stats()
    assert (stats["sent"], stats["throttled_by_client"], stats["max_in_any_second"]) == (2, 1, 4)
    assert stats["sends_per_chat"] == {str(one): 2, str(two): 2}
    assert await stub.control.message_counts() == {str(one): 1, str(two): 1}


@pytest.mark.parametrize(
    ("announce", "services"),
    [
        pytest.param(("to", "from"), ["migrate_to_chat_id", "migrate_from_chat_id"], id="old chat first"),
        pytest.param(("from", "to"), ["migrate_from_chat_id", "migrate_to_chat_id"], id="new chat first"),
        pytest.param((), [], id="found out by a send"),
    ],
)
async def test_a_group_migrates_in_three_orders(stub, library, told, announce, services):
    url, seen = told
    await stub.control.webhook(url)
    [old] = await stub.control.groups(type="group")
    new = (await stub.control.migrate(old, announce=announce))["new_id"]
    assert [next(key for key in body["message"] if key.startswith("migrate")) for _, body in seen] == services
    with pytest.raises(ChatMigrated) as moved:
        await library.send_message(old, "x")
    assert moved.value.new_chat_id == new
    await library.send_message(new, "x")


async def test_a_bot_that_was_removed_is_refused_until_it_is_back(stub, library):
    await stub.control.configure(limits=False)
    [chat] = await stub.control.groups()
    await stub.control.stand(chat, "kicked")
    with pytest.raises(Forbidden):
        await library.send_message(chat, "x")
    await stub.control.stand(chat, "restricted", can_write=False)
    with pytest.raises(BadRequest, match="rights to send"):
        await library.send_message(chat, "x")
    await stub.control.stand(chat, "member")
    await library.send_message(chat, "x")


async def test_updates_reach_the_webhook_with_its_secret_and_can_be_repeated(stub, library, told):
    url, seen = told
    await library.set_webhook(url, secret_token="s3", allowed_updates=["message", "callback_query"])
    [chat] = await stub.control.groups()
    person = await stub.control.private(5001)
    keys = InlineKeyboardMarkup([[InlineKeyboardButton("Đã nắm", callback_data="ack:1")]])
    sent = await library.send_message(chat, "x", reply_markup=keys)
    said = await stub.control.say(person, "/start abc")
    pressed = await stub.control.press(chat, sent.message_id, user=5002, times=3)
    assert (await stub.control.stand(chat, "administrator"))["statuses"] == {}
    assert pressed["statuses"] == {"200": 3}
    assert await stub.control.replay(said["update_id"], times=20, concurrency=5) == {"200": 20}
    assert {secret for secret, _ in seen} == {"s3"}
    parsed = [Update.de_json(body, library) for _, body in seen]
    assert len({update.update_id for update in parsed}) == 2
    query: Any = parsed[1].callback_query
    assert query.message.reply_markup == keys
    await query.answer("Đã ghi")
    assert (await stub.control.presses())[pressed["press_id"]]["answer"]["text"] == "Đã ghi"


async def test_the_hand_on_it_works_from_another_process(stub):
    async with aiohttp.ClientSession() as session:

        async def steer(name, **arguments):
            async with session.post(f"{stub.url}/_stub/{name}", json=arguments) as answer:
                return answer.status, await answer.json()

        status, [chat] = await steer("groups", members=9)
        assert status == 200
        body = {"chat_id": chat, "text": "x", "reply_markup": {"inline_keyboard": []}}
        async with session.post(f"{stub.base_url}{TOKEN}/SendMessage", json=body) as answer:
            assert (await answer.json())["result"]["chat"]["id"] == chat
        assert (await steer("messages", chat=chat))[1][0]["message"]["text"] == "x"
        assert (await steer("stats"))[1]["sent"] == 1
        assert (await steer("fault", method="sendMessage", status=403))[0] == 200
        assert (await steer("messages", chat=1))[0] == 400
        assert (await steer("bot"))[0] == 404
        assert (await steer("_tell"))[0] == 404


async def test_it_runs_as_a_process_of_its_own():
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.servers.telegram",
        "--invents-chats",
        "--token",
        "7:x",
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        where = json.loads(await process.stdout.readline())
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{where['base_url']}7:x/sendMessage", data={"chat_id": "-5", "text": "x"}) as answer,
        ):
            assert (await answer.json())["result"]["chat"]["type"] == "group"
    finally:
        process.terminate()
        await process.wait()
