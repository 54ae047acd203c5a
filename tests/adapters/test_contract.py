"""What the house may rely on, held for every messenger that there is a folder of.

A folder brings `tests/adapters/<name>/cases.py`: how to open it against a server of the test, and shapes that it does
not know. Its own tests say which failure is which; these say that nothing else ever comes.
"""

import asyncio
import json
from collections.abc import Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest

from adapters import registry
from adapters.contract import (
    AnswersPresses,
    BadSignature,
    Can,
    ChatKind,
    ChatRef,
    CountsMembers,
    Deletes,
    Edits,
    FetchesFiles,
    FileKind,
    FileRef,
    HandsOver,
    Inbound,
    Outbound,
    OutFile,
    Pins,
    RegistersItself,
    SendFailure,
)
from adapters.text import plain

MESSENGERS = registry.names()
CASES: dict[str, Any] = {name: import_module(f"tests.adapters.{name}.cases") for name in MESSENGERS}
REMOTE = [name for name in MESSENGERS if CASES[name].IS_REMOTE]
NOWHERE = "http://127.0.0.1:9"
POWERS = {
    Can.EDIT: Edits,
    Can.DELETE: Deletes,
    Can.PIN: Pins,
    Can.ANSWER_PRESS: AnswersPresses,
    Can.COUNT_MEMBERS: CountsMembers,
    Can.HANDS_OVER: HandsOver,
}
UNREADABLE = (
    b"",
    b"null",
    b"7",
    b'"a"',
    b"[]",
    b"{}",
    b'{"a": 1}',
    b"\xff\xfe",
    b"{",
    b"[" * 100_000,
    b"<html></html>",
)


@asynccontextmanager
async def opened(name: str, address: str = NOWHERE):
    adapter = CASES[name].an_adapter(address)
    try:
        yield adapter
    finally:
        await adapter.aclose()


@pytest.fixture(params=MESSENGERS)
async def adapter(request):
    async with opened(request.param) as adapter:
        assert adapter.name == request.param
        yield adapter


# ---------------------------------------------------------------- what it declares


async def test_what_it_can_is_what_it_has_a_method_for(adapter):
    declared = {power for flag, power in POWERS.items() if flag in adapter.can}
    assert declared == {power for power in POWERS.values() if isinstance(adapter, power)}


async def test_its_limits_can_be_kept(adapter):
    limits = adapter.limits
    assert limits.text >= 200
    assert 0 <= limits.caption <= limits.text
    assert 1 <= limits.in_flight <= 64
    assert limits.per_second is None or limits.per_second >= 1
    assert timedelta(0) <= limits.chat_gap <= timedelta(minutes=1)
    assert limits.group_per_minute is None or limits.group_per_minute >= 1
    assert 1 << 12 <= limits.body <= 64 << 20


# ---------------------------------------------------------------- what comes in


async def test_who_signs_nothing_is_refused(adapter):
    for headers in ({}, {"content-type": "application/json"}):
        with pytest.raises(BadSignature):
            adapter.verify(Inbound(headers, b"{}"))


BODIES = [(name, body) for name in MESSENGERS for body in (*UNREADABLE, *CASES[name].UNKNOWN)]


@pytest.mark.parametrize(("name", "body"), BODIES, ids=[f"{name} {body[:50]!r}" for name, body in BODIES])
async def test_what_nobody_knows_is_no_event_and_no_disaster(name, body):
    async with opened(name) as adapter:
        for raw in adapter.identify(Inbound({}, body)):
            assert raw.event_id
        try:
            events = adapter.parse(body)
        except ValueError:
            return
        assert list(events) == []


# ---------------------------------------------------------------- what goes out


def answer(status: int, body: bytes, media_type: str = "application/json") -> bytes:
    head = f"HTTP/1.1 {status} Whatever\r\nContent-Type: {media_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def refusals() -> dict[str, bytes | None]:
    """What a server may say, by name; None is silence."""
    found: dict[str, bytes | None] = {"silence": None, "hang up": b"", "half an answer": answer(200, b"{}" * 9)[:-5]}
    for status in (302, 400, 401, 403, 404, 409, 413, 429, 500, 502, 503):
        words = {"ok": False, "error_code": status, "description": "No", "error": status, "message": "No"}
        found[f"{status} in its own words"] = answer(status, json.dumps(words).encode())
        found[f"{status} of something in between"] = answer(status, b"<html>No</html>", "text/html")
    for body in UNREADABLE:
        found[f"200 {body[:20]!r}"] = answer(200, body)
    return found | {"no HTTP": b"SSH-2.0-OpenSSH\r\n"}


REFUSALS = refusals()


@asynccontextmanager
async def a_server_that_says(reply: bytes | None):
    leave = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1 << 16)
        if reply is None:
            await leave.wait()
        else:
            writer.write(reply)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"http://{host}:{port}"
    finally:
        leave.set()
        server.close()
        await server.wait_closed()


def calls(adapter: Any) -> dict[str, Callable[[], Coroutine[Any, Any, Any]]]:
    """Everything that the house may ask of it, over the network."""
    chat = ChatRef("-5", ChatKind.GROUP)
    words = Outbound(chat=chat, key="n:1", text=plain("Mai họp bản"))
    file = OutFile(kind=FileKind.DOCUMENT, name="giấy mời.pdf", media_type="application/pdf", content=b"%PDF")
    found: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
        "send": lambda: adapter.send(words),
        "send a file": lambda: adapter.send(Outbound(chat=chat, key="n:2", file=file)),
    }
    known: dict[Any, tuple[str, Callable[[], Coroutine[Any, Any, Any]]]] = {
        Edits: ("edit", lambda: adapter.edit("1", words)),
        Deletes: ("delete", lambda: adapter.delete(chat, "1")),
        Pins: ("pin", lambda: adapter.pin(chat, "1")),
        AnswersPresses: ("answer", lambda: adapter.answer("1", "Đã ghi nhận", alert=False)),
        CountsMembers: ("count members", lambda: adapter.count_members(chat)),
        FetchesFiles: ("fetch", lambda: adapter.fetch(FileRef("1", FileKind.PHOTO), limit=1 << 20)),
        RegistersItself: ("identity", lambda: adapter.identity()),
    }
    return found | {name: call for power, (name, call) in known.items() if isinstance(adapter, power)}


@pytest.mark.parametrize("name", REMOTE)
@pytest.mark.parametrize("refusal", REFUSALS)
async def test_whatever_a_server_says_a_send_fails_in_our_words_alone(name, refusal):
    async with a_server_that_says(REFUSALS[refusal]) as address, opened(name, address) as adapter:
        for call in ("send", "send a file"):
            with pytest.raises(SendFailure):
                await calls(adapter)[call]()


@pytest.mark.parametrize("name", REMOTE)
@pytest.mark.parametrize("refusal", REFUSALS)
async def test_whatever_a_server_says_other_calls_fail_in_our_words_or_not_at_all(name, refusal):
    async with a_server_that_says(REFUSALS[refusal]) as address, opened(name, address) as adapter:
        outcomes = await asyncio.gather(*(call() for call in calls(adapter).values()), return_exceptions=True)
    assert [each for each in outcomes if isinstance(each, BaseException) and not isinstance(each, SendFailure)] == []


@pytest.mark.parametrize("name", REMOTE)
async def test_where_nobody_listens_everything_fails_in_our_words(name):
    async with opened(name) as adapter:
        for call in calls(adapter).values():
            with pytest.raises(SendFailure):
                await call()
