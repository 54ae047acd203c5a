"""One client in a process of its own: sends, then prints one line of JSON.   MODE API BOTS MESSAGES FOLDER"""

import asyncio
import json
import resource
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

from bench.words import WORDS, group, token_of

MODES = ("ptb", "ptb+aiohttp", "aiogram", "ours", "ours+count")
IN_FLIGHT = 16
WARM = 4 * IN_FLIGHT
TEXT = f"📢 UBND XÃ ĐO THỬ\n\n{WORDS}\n\n— UBND xã Đo Thử · Mã TB-0000"

Send = Callable[[], Awaitable[Any]]


class Meter:
    """Wall and CPU time of a stretch, threads included."""

    def __init__(self) -> None:
        self._cpu, self._at = _cpu(), time.perf_counter()

    def read(self, messages: int, commits: int = 0) -> dict[str, float]:
        wall, cpu = time.perf_counter() - self._at, _cpu() - self._cpu
        return {
            "rate": messages / wall,
            "cpu_us": cpu / messages * 1e6,
            "per_commit": messages / commits if commits else 0,
            "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def loop(senders: Sequence[Send], messages: int) -> dict[str, float]:
    """A plain loop of sends, IN_FLIGHT at a time on each bot."""

    async def bot(send: Send, count: int) -> None:
        left = count

        async def one() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                await send()

        await asyncio.gather(*[one() for _ in range(IN_FLIGHT)])

    async def all_of_them(count: int) -> None:
        await asyncio.gather(*[bot(send, count // len(senders)) for send in senders])

    await all_of_them(WARM)
    meter = Meter()
    await all_of_them(messages)
    return meter.read(messages)


async def ptb(api: str, bots: int, messages: int, *, stock: bool) -> dict[str, float]:
    from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup
    from telegram.request import BaseRequest, HTTPXRequest

    from adapters.telegram.request import AiohttpRequest

    markup = InlineKeyboardMarkup([[InlineKeyboardButton("✅ Đã nắm", callback_data="a:TB-0000:got_it~1")]])

    def request(token: str) -> BaseRequest:
        if not stock:
            return AiohttpRequest(secret=token)
        return HTTPXRequest(connection_pool_size=IN_FLIGHT, pool_timeout=60, read_timeout=60, connect_timeout=60)

    async with AsyncExitStack() as stack:
        senders: list[Send] = []
        for number in range(1, bots + 1):
            token = token_of(number)
            bot = Bot(token, base_url=api, request=request(token), get_updates_request=request(token))
            await stack.enter_async_context(bot)
            senders.append(partial(bot.send_message, group(0), TEXT, reply_markup=markup))
        return await loop(senders, messages)


async def aiogram(api: str, bots: int, messages: int) -> dict[str, float]:
    from aiogram import Bot  # type: ignore[import-not-found] # measured only where somebody installed it
    from aiogram.client.session.aiohttp import AiohttpSession  # type: ignore[import-not-found]
    from aiogram.client.telegram import TelegramAPIServer  # type: ignore[import-not-found]
    from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup  # type: ignore[import-not-found]

    server = TelegramAPIServer.from_base(api.removesuffix("/bot"))
    markup = InlineKeyboardMarkup(inline_keyboard=[[InlineKeyboardButton(text="✅ Đã nắm", callback_data="a")]])
    opened = [
        Bot(token_of(number), session=AiohttpSession(api=server, limit=IN_FLIGHT)) for number in range(1, bots + 1)
    ]
    try:
        senders = [partial(bot.send_message, group(0), TEXT, reply_markup=markup) for bot in opened]
        return await loop(senders, messages)
    finally:
        for bot in opened:
            await bot.session.close()


async def ours(api: str, bots: int, messages: int, folder: Path, *, counted: bool) -> dict[str, float]:
    """From the transaction that publishes to the last row that is written down as sent."""
    from bench import house
    from scheduler.runtime import open_runtime

    found = house.furnish(folder, api=api, groups=messages, bots=bots, counted=counted)
    async with open_runtime(found.settings, limits_off=True) as runtime:
        # One village first: connections are then open and statements compiled, as they are in a service that runs.
        await house.sent(runtime, await house.publish(runtime, found, villages=found.villages[:1]))
        commits, meter = runtime.store.commits, Meter()
        notice = await house.publish(runtime, found)
        await house.sent(runtime, notice)
        figures = meter.read(messages, runtime.store.commits - commits)
        assert await runtime.store.read(house.sent_rows, notice) == messages
        return figures


async def measured(mode: str, api: str, bots: int, messages: int, folder: Path) -> dict[str, float]:
    match mode:
        case "ptb" | "ptb+aiohttp":
            return await ptb(api, bots, messages, stock=mode == "ptb")
        case "aiogram":
            return await aiogram(api, bots, messages)
        case _:
            return await ours(api, bots, messages, folder, counted=mode == "ours")


if __name__ == "__main__":
    mode, api, bots, messages, folder = sys.argv[1:]
    print(json.dumps(asyncio.run(measured(mode, api, int(bots), int(messages), Path(folder)))))
