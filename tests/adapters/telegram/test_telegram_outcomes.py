"""What each answer, and each kind of silence, says about a send."""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from adapters.contract import (
    AdapterBroken,
    ChatGone,
    ChatMoved,
    NoRightToWrite,
    NotSent,
    OutcomeUnknown,
    Rejected,
    SendFailure,
    Sent,
    Throttled,
)
from tests.adapters.telegram.conftest import a_notice, group
from tests.servers.telegram import TOKEN


def answers(status, description="", **more):
    return {"status": status, "description": description, **more}


FAILURES = [
    pytest.param(answers(429, "Too Many Requests: retry after 7", retry_after=7), Throttled, id="flood limit"),
    pytest.param(answers(429, "Too Many Requests"), Throttled, id="flood limit that names no time"),
    pytest.param(answers(429, html=True), Throttled, id="flood limit of a gateway"),
    pytest.param(answers(403, "Forbidden: bot was blocked by the user"), ChatGone, id="blocked"),
    pytest.param(answers(403, "Forbidden: bot was kicked from the supergroup chat"), ChatGone, id="kicked"),
    pytest.param(answers(403, "Forbidden: user is deactivated"), ChatGone, id="account deleted"),
    pytest.param(answers(403, "Forbidden: bot is not a member of the supergroup chat"), ChatGone, id="not a member"),
    pytest.param(answers(400, "Bad Request: chat not found"), ChatGone, id="chat not found"),
    pytest.param(answers(400, "Bad Request: group chat was deactivated"), ChatGone, id="group deactivated"),
    pytest.param(answers(400, "Bad Request: PEER_ID_INVALID"), ChatGone, id="no such peer"),
    pytest.param(
        answers(400, "Bad Request: not enough rights to send text messages to the chat"), NoRightToWrite, id="muted"
    ),
    pytest.param(answers(400, "Bad Request: have no rights to send a message"), NoRightToWrite, id="no rights"),
    pytest.param(answers(400, "Bad Request: CHAT_WRITE_FORBIDDEN"), NoRightToWrite, id="write forbidden"),
    pytest.param(answers(403, "Forbidden: CHAT_WRITE_FORBIDDEN"), NoRightToWrite, id="write forbidden, as a 403"),
    pytest.param(answers(400, "Bad Request: CHAT_SEND_PHOTOS_FORBIDDEN"), NoRightToWrite, id="photos forbidden"),
    pytest.param(answers(400, "Bad Request: TOPIC_CLOSED"), NoRightToWrite, id="topic closed"),
    pytest.param(answers(400, "Bad Request: message thread not found"), Rejected, id="no such topic"),
    pytest.param(answers(400, "Bad Request: can't parse entities: bad offset"), Rejected, id="entities"),
    pytest.param(answers(400, "Bad Request: message is too long"), Rejected, id="too long"),
    pytest.param(answers(400, "Bad Request: BUTTON_URL_INVALID"), Rejected, id="bad button"),
    pytest.param(answers(413, "Request Entity Too Large"), Rejected, id="too large"),
    pytest.param(
        answers(400, "Bad Request: group chat was upgraded to a supergroup chat", migrate_to=-1001000000009),
        ChatMoved,
        id="moved",
    ),
    pytest.param(answers(401, "Unauthorized"), AdapterBroken, id="wrong token"),
    pytest.param(answers(404, "Not Found"), AdapterBroken, id="malformed token or wrong address"),
    pytest.param(answers(404, html=True), NotSent, id="not found by a web server that is not the Bot API"),
    pytest.param(answers(401, html=True), NotSent, id="a proxy that wants to know who asks"),
    pytest.param(answers(409, "Conflict: terminated by other getUpdates request"), NotSent, id="conflict"),
    pytest.param(answers(403, html=True), NotSent, id="refused by something in between"),
    pytest.param(answers(400, html=True), NotSent, id="not understood by something in between"),
    pytest.param(answers(500, "Internal Server Error"), OutcomeUnknown, id="server error"),
    pytest.param(answers(500, "Internal Server Error", record=True), OutcomeUnknown, id="server error after sending"),
    pytest.param(answers(502, html=True), OutcomeUnknown, id="bad gateway"),
    pytest.param(answers(503, html=True, record=True), OutcomeUnknown, id="unavailable after sending"),
    pytest.param({"garbage": True}, OutcomeUnknown, id="sent, and an answer that nobody can read"),
    pytest.param({"cut": "before"}, OutcomeUnknown, id="hung up before"),
    pytest.param({"cut": "after"}, OutcomeUnknown, id="hung up after"),
    pytest.param({"cut": "half"}, OutcomeUnknown, id="hung up in the middle of the answer"),
    pytest.param({"delay_ms": 3000}, OutcomeUnknown, id="no answer in time"),
]


@pytest.mark.parametrize(("fault", "expected"), FAILURES)
async def test_a_failed_send_says_what_to_do_next(stub, bots, fault, expected):
    [chat] = await stub.control.groups()
    bot = bots(stub.base_url, read_timeout=0.3)
    await stub.control.fault(method="sendMessage", **fault)
    with pytest.raises(expected) as failed:
        await bot.send(a_notice(chat))
    assert type(failed.value) is expected
    sent = await bot.send(a_notice(chat))
    arrived = await stub.control.messages(chat)
    assert str(arrived[-1]["message"]["message_id"]) == sent.message_id


@pytest.mark.parametrize(
    ("fault", "wait"),
    [
        pytest.param(answers(429, "Too Many Requests: retry after 7", retry_after=7), timedelta(seconds=7), id="named"),
        pytest.param(answers(429, "Too Many Requests"), None, id="not named"),
        pytest.param(answers(429, "Too Many Requests: retry after 0", retry_after=0), None, id="zero names nothing"),
    ],
)
async def test_throttling_tells_how_long_to_wait(stub, bot, fault, wait):
    [chat] = await stub.control.groups()
    await stub.control.fault(**fault)
    with pytest.raises(Throttled) as failed:
        await bot.send(a_notice(chat))
    assert failed.value.retry_after == wait


async def test_a_moved_chat_tells_its_new_id(stub, bot):
    [chat] = await stub.control.groups(type="group")
    new = (await stub.control.migrate(chat, announce=[]))["new_id"]
    with pytest.raises(ChatMoved) as failed:
        await bot.send(a_notice(chat))
    assert failed.value.new_id == str(new)
    assert (await bot.send(a_notice(new))).message_id == "2"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(b"null", OutcomeUnknown, id="null"),
        pytest.param(b"[]", OutcomeUnknown, id="a list"),
        pytest.param(b'{"ok":true}', OutcomeUnknown, id="no result"),
        pytest.param(b'{"ok":true,"result":true}', OutcomeUnknown, id="no message"),
        pytest.param(b'{"ok":true,"result":{}}', OutcomeUnknown, id="no message id"),
        pytest.param(b"\xff\xfe\x00", OutcomeUnknown, id="bytes"),
        pytest.param(b"[" * 100_000, OutcomeUnknown, id="deeply nested"),
    ],
)
async def test_a_strange_success_is_no_proof(bots, body, expected):
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)) as base_url:
        with pytest.raises(expected):
            await bots(base_url).send(a_notice(-5))


# What never left.


async def test_a_refused_connection_is_not_sent(bots):
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    await is_not_sent(bots(f"http://127.0.0.1:{port}/bot"))


async def test_a_connection_that_takes_too_long_is_not_sent(bots):
    async with answering(b"") as base_url:  # accepts, and says nothing to a TLS greeting
        await is_not_sent(bots(base_url.replace("http:", "https:"), connect_timeout=0.2))


async def test_broken_tls_is_not_sent(bots):
    async with answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as base_url:
        await is_not_sent(bots(base_url.replace("http:", "https:")))


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", id="wants a password"),
        pytest.param(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", id="cannot reach it"),
        pytest.param(None, id="hangs up"),
    ],
)
async def test_a_proxy_that_makes_no_way_is_not_sent(bots, reply):
    async with answering(reply) as base_url:
        bot = bots("https://127.0.0.1:9/bot", proxy=base_url.removesuffix("/bot"))
        await is_not_sent(bot)


async def test_a_proxy_that_is_not_there_is_not_sent(bots):
    await is_not_sent(bots("https://127.0.0.1:9/bot", proxy="http://127.0.0.1:9"))


async def test_no_connection_free_in_time_is_not_sent(stub, bots):
    [chat] = await stub.control.groups()
    bot = bots(stub.base_url, connections=1, connect_timeout=0.2)
    await stub.control.fault(delay_ms=600)
    outcomes = await asyncio.gather(*[bot.send(a_notice(chat)) for _ in range(2)], return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Sent, NotSent]
    assert len(await stub.control.messages(chat)) == 1


async def test_a_closed_bot_sends_nothing(bots):
    bot = bots()
    await bot.aclose()
    await is_not_sent(bot)


async def test_a_proxy_with_a_password_is_used(stub, bots):
    [chat] = await stub.control.groups()
    seen: list[bytes] = []
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", seen) as base_url:
        proxy = base_url.removesuffix("/bot").replace("//", "//loa:mat-khau@")
        with pytest.raises(OutcomeUnknown):
            await bots(stub.base_url, proxy=proxy).send(a_notice(chat))
    assert b"Proxy-Authorization: Basic bG9hOm1hdC1raGF1" in seen[0]
    assert seen[0].startswith(b"POST http://127.0.0.1")


# Calls that may be repeated, and what already is as wanted.


async def test_an_edit_that_changes_nothing_is_success(stub, bot):
    [chat] = await stub.control.groups()
    sent = await bot.send(a_notice(chat))
    await bot.edit(sent.message_id, a_notice(chat))


async def test_an_edit_of_a_message_that_is_gone_is_rejected(stub, bot):
    [chat] = await stub.control.groups()
    with pytest.raises(Rejected):
        await bot.edit("99", a_notice(chat))


async def test_deleting_twice_is_success(stub, bot):
    [chat] = await stub.control.groups()
    sent = await bot.send(a_notice(chat))
    await bot.delete(group(chat), sent.message_id)
    await bot.delete(group(chat), sent.message_id)
    assert [one["deleted"] for one in await stub.control.messages(chat)] == [True]


async def test_lacking_the_right_to_pin_does_not_mean_muted(stub, bot):
    [chat] = await stub.control.groups()
    sent = await bot.send(a_notice(chat))
    with pytest.raises(Rejected):
        await bot.pin(group(chat), sent.message_id)
    stub.control.bot().chats[chat].standing = "administrator"
    await bot.pin(group(chat), sent.message_id)
    assert (await stub.control.messages(chat))[0]["pinned"]


async def test_the_doctor_can_tell_an_unreachable_telegram_from_a_wrong_token(stub, bots):
    await stub.control.configure(revoked=True)
    with pytest.raises(AdapterBroken):
        await bots(stub.base_url).identity()
    with pytest.raises(NotSent):
        await bots("http://127.0.0.1:9/bot").identity()


# What is never told.


@pytest.mark.parametrize(
    ("base_url", "of_request"),
    [
        pytest.param("{stub}", {}, id="page that repeats the address"),
        pytest.param("http://127.0.0.1:9/bot", {}, id="refused"),
        pytest.param("https://127.0.0.1:9/bot", {"proxy": "http://name:password@127.0.0.1:9"}, id="proxy"),
        pytest.param("{stub}", {"read_timeout": 0.1}, id="time-out"),
    ],
)
async def test_the_token_is_in_no_failure_and_in_no_log(stub, bots, caplog, base_url, of_request):
    caplog.set_level("DEBUG")
    [chat] = await stub.control.groups()
    await stub.control.fault(status=502, html=True, times=-1, delay_ms=300 if "read_timeout" in of_request else 0)
    with pytest.raises(SendFailure) as failed:
        await bots(base_url.format(stub=stub.base_url), **of_request).send(a_notice(chat))
    told = [caplog.text]
    error: BaseException | None = failed.value
    while error is not None:
        told += [str(error), repr(error), repr(error.args)]
        error = error.__cause__ or error.__context__
    assert not [text for text in told if "stub-token" in text or TOKEN in text or "password" in text]


async def is_not_sent(bot):
    with pytest.raises(NotSent):
        await bot.send(a_notice(-5))


@asynccontextmanager
async def answering(reply, seen=None):
    """A server that gives one reply to whatever comes: b"" is silence, None hangs up."""
    let_go = asyncio.Event()

    async def serve(reader, writer):
        said = await reader.read(1 << 16)
        if seen is not None:
            seen.append(said)
        if reply:
            writer.write(reply)
            await writer.drain()
        if reply == b"":
            await let_go.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/bot"
    finally:
        let_go.set()
        server.close()
        await server.wait_closed()
