"""A bot against the stand-in, over real HTTP."""

import json
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from adapters.contract import ChatKind, ChatRef, Inbound, Opening, Outbound
from adapters.telegram import Settings
from adapters.telegram.client import TelegramAdapter
from adapters.telegram.request import AiohttpRequest
from adapters.text import plain
from tests.servers.telegram import TOKEN, serving

SECRET = "made-up-secret"
PRESSED_AT = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
NOWHERE = "http://127.0.0.1:9/bot"
UPDATES = Path(__file__).parent / "updates"


def update(name: str) -> bytes:
    """One recorded shape of update."""
    return (UPDATES / f"{name}.json").read_bytes()


def updates() -> list[str]:
    return sorted(path.stem for path in UPDATES.glob("*.json"))


def inbound(body: bytes, secret: str | None = SECRET) -> Inbound:
    headers = {"content-type": "application/json"}
    return Inbound(headers if secret is None else headers | {"x-telegram-bot-api-secret-token": secret}, body)


def settings(**values: Any) -> Settings:
    """As a channel names them: plain text."""
    return Settings(**values)


def opening(*, limits_off: bool = False) -> Opening:
    rooms: Any = None  # none of a messenger's business
    return Opening(channel="main", public_url="", rooms=rooms, hands=rooms, limits_off=limits_off)


def group(chat: int) -> ChatRef:
    return ChatRef(str(chat), ChatKind.GROUP)


def a_notice(chat: int, **changes) -> Outbound:
    known: dict[str, Any] = {"chat": group(chat), "key": "n1", "text": plain("Thông báo cắt điện")}
    return Outbound(**(known | changes))


@pytest.fixture
async def stub():
    async with serving(limits=False) as running:
        yield running


@pytest.fixture
async def bots():
    """Opens bots against an address, and closes them after the test."""
    async with AsyncExitStack() as stack:

        def opened(base_url: str = NOWHERE, *, limits_off: bool = False, proxy: str = "", **of_request):
            known = settings(bot_token=TOKEN, webhook_secret=SECRET, api_base_url=base_url, proxy=proxy)
            request = AiohttpRequest(secret=known.token(), proxy=proxy, **of_request)
            bot = TelegramAdapter(known, opening(limits_off=limits_off), request, clock=lambda: PRESSED_AT)
            stack.push_async_callback(bot.aclose)
            return bot

        yield opened


@pytest.fixture
async def bot(stub, bots):
    return bots(stub.base_url)


@pytest.fixture
async def named_bot(stub, bots):
    """A bot that knows its handle: @loaban_bot."""
    stub.control.bot().username = "loaban_bot"
    bot = bots(stub.base_url)
    await bot.identity()
    return bot


def parsed(bot, name: str):
    return list(bot.parse(update(name)))


def changed(name: str, **content) -> bytes:
    """A recorded update with other content in its message."""
    raw = json.loads(update(name))
    raw["message"] |= content
    return json.dumps(raw).encode()
