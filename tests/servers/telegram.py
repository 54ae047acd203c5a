"""A stand-in for Telegram's Bot API, over real HTTP.

    python -m tests.servers.telegram --port 8081
    TELEGRAM_API_BASE_URL=http://127.0.0.1:8081/bot

Takes what bots send (forms, multipart, JSON), keeps what they did, enforces the limits, and fails when told to.
`/_stub/<name>` is for the test: see `Control`.
"""

import argparse
import asyncio
import inspect
import json
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
from aiohttp import web

from tests.servers.telegram_bot import Bot, Call, Refusal, Upload
from tests.servers.telegram_control import Arrival, Control, Fault

TOKEN = "1000001:stub-token"
PAGE = "<html><head><title>502 Bad Gateway</title></head><body><h1>{path}</h1></body></html>"
LARGEST_BODY = 60 << 20
STARTED = time.time() - time.monotonic()


@dataclass
class Stub:
    """A running stand-in: where it is, and the hand on it."""

    url: str
    control: Control
    token: str

    @property
    def base_url(self) -> str:
        """What a bot library wants as its base address."""
        return f"{self.url}/bot"


@asynccontextmanager
async def serving(
    *,
    port: int = 0,
    tokens: Sequence[str] = (TOKEN,),
    limits: bool = True,
    tolerance_ms: float = 0,
    latency_ms: int = 0,
    invents_chats: bool = False,
    any_token: bool = False,
) -> AsyncIterator[Stub]:
    """Serve on 127.0.0.1 until left. `invents_chats`: every chat id exists; `any_token`: so does every token."""

    def made(token: str) -> Bot:
        return Bot(token, tolerance=tolerance_ms / 1000, invents_chats=invents_chats)

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:

        async def deliver(url: str, body: bytes, headers: dict[str, str]) -> int:
            try:
                async with session.post(url, data=body, headers=headers) as answer:
                    await answer.read()
                    return answer.status
            except aiohttp.ClientError:
                return 0

        bots = {token: made(token) for token in tokens}
        control = Control(bots, deliver, limits=limits, latency_ms=latency_ms)
        app = web.Application(client_max_size=LARGEST_BODY)
        edge = Edge(control, made if any_token else None)
        app.router.add_route("*", "/bot{token}/{method}", edge.call)
        app.router.add_get("/file/bot{token}/{path:.+}", edge.file)
        app.router.add_route("*", "/_stub/{name}", edge.steer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", port, backlog=1024)
            await site.start()
            taken = runner.addresses[0][1]
            yield Stub(f"http://127.0.0.1:{taken}", control, tokens[0])
        finally:
            await runner.cleanup()


class Edge:
    """HTTP in, HTTP out."""

    def __init__(self, control: Control, make: Any) -> None:
        self.control = control
        self._make = make

    async def call(self, request: web.Request) -> web.StreamResponse:
        """/bot<token>/<method>"""
        now, control = _now(), self.control
        bot = self._bot(request.match_info["token"])
        if isinstance(bot, Refusal):
            return _answer(bot.status, bot.body)
        call = await _read(request)
        chat = _number(call.parameters.get("chat_id"))
        arrival = Arrival(now, bot.id, call.method, chat)
        control.seen.append(arrival)
        fault = next((one for one in control.faults if one.takes(call.method, chat)), None)
        if fault is not None and fault.cut == "before":
            arrival.outcome = "fault"
            return _cut(request)
        if fault is not None and fault.status:
            arrival.outcome = "fault"
            if fault.record:
                with suppress(Refusal):
                    bot.run(call)
            await _pause(fault.delay_ms)
            return _struck(request, fault)
        try:
            self._hold_to_limits(bot, call, chat, now)
            body: Any = {"ok": True, "result": bot.run(call)}
            status, arrival.outcome = 200, "ok"
        except Refusal as refusal:
            status, body = refusal.status, refusal.body
            arrival.outcome = "throttled" if status == 429 else f"refused {status}"
        await _pause(control.latency_ms + (fault.delay_ms if fault else 0))
        if fault is not None and fault.garbage:
            return web.Response(text='{"ok":tru', content_type="application/json")
        if fault is not None and fault.cut:
            return _cut(request) if fault.cut == "after" else await _half(request)
        return _answer(status, body)

    async def file(self, request: web.Request) -> web.StreamResponse:
        """/file/bot<token>/<path>"""
        bot = self._bot(request.match_info["token"])
        if isinstance(bot, Refusal):
            return _answer(bot.status, bot.body)
        path = request.match_info["path"]
        found = next((stored for stored in bot.files.values() if stored.path == path), None)
        if found is None:
            return _answer(404, Refusal(404, "Not Found").body)
        return web.Response(body=found.upload.content, content_type="application/octet-stream")

    async def steer(self, request: web.Request) -> web.StreamResponse:
        """/_stub/<name>: one of Control's methods."""
        name = request.match_info["name"]
        arguments = await request.json() if request.can_read_body else dict(request.query)
        action = None if name.startswith("_") else getattr(self.control, name, None)
        if action is None or not inspect.iscoroutinefunction(action):
            return _answer(404, {"error": f"no such thing to do: {name}"})
        try:
            return _answer(200, await action(**arguments))
        except (LookupError, TypeError, ValueError, Refusal) as error:
            return _answer(400, {"error": f"{type(error).__name__}: {error}"})

    def _bot(self, token: str) -> Bot | Refusal:
        bot = self.control.bots.get(token)
        if bot is None and self._make is not None and token.partition(":")[0].isdigit():
            bot = self.control.bots[token] = self._make(token)
        if bot is None and ":" not in token:
            return Refusal(404, "Not Found")
        return Refusal(401, "Unauthorized") if bot is None or bot.revoked else bot

    def _hold_to_limits(self, bot: Bot, call: Call, chat: int | None, now: float) -> None:
        if not self.control.limits or chat is None or not call.method.startswith("send"):
            return
        if wait := bot.limiter.admit(chat, is_group=self.control.is_group(bot, chat), now=now):
            raise Refusal(429, f"Too Many Requests: retry after {wait}", retry_after=wait)


def _now() -> float:
    """The time of day, by a clock that nobody sets."""
    return STARTED + time.monotonic()


async def _read(request: web.Request) -> Call:
    """The parameters, wherever they are: address, form, multipart or JSON."""
    method, parameters = request.match_info["method"].lower(), dict(request.query)
    uploads: dict[str, Upload] = {}
    if request.content_type == "multipart/form-data":
        for name, value in (await request.post()).items():
            if isinstance(value, web.FileField):
                with value.file as content:
                    uploads[name] = Upload(value.filename, value.content_type, content.read())
            else:
                parameters[name] = str(value)
    elif request.content_type == "application/json":
        parameters |= await request.json()
    elif body := await request.text():
        parameters |= dict(parse_qsl(body, keep_blank_values=True))
    return Call(method, parameters, uploads)


def _number(value: object) -> int | None:
    try:
        return int(str(value))
    except ValueError:
        return None


async def _pause(milliseconds: int) -> None:
    if milliseconds:
        await asyncio.sleep(milliseconds / 1000)


def _struck(request: web.Request, fault: Fault) -> web.StreamResponse:
    if fault.html:
        page = PAGE.format(path=request.path)
        return web.Response(status=fault.status, text=page, content_type="text/html")
    parameters = {"retry_after": fault.retry_after, "migrate_to_chat_id": fault.migrate_to}
    known = {name: value for name, value in parameters.items() if value is not None}
    return _answer(fault.status, Refusal(fault.status, fault.description or f"Error {fault.status}", **known).body)


def _cut(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _half(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "500"})
    await answer.prepare(request)
    await answer.write(b'{"ok":true,"resu')
    if request.transport is not None:
        request.transport.close()
    return answer


def _answer(status: int, body: object) -> web.Response:
    return web.Response(
        status=status, body=json.dumps(body, ensure_ascii=False).encode(), content_type="application/json"
    )


async def _serve(options: argparse.Namespace) -> None:
    async with serving(
        port=options.port,
        tokens=options.token or (TOKEN,),
        limits=not options.no_limits,
        tolerance_ms=options.tolerance_ms,
        latency_ms=options.latency_ms,
        invents_chats=options.invents_chats,
        any_token=options.any_token,
    ) as stub:
        sys.stdout.write(json.dumps({"url": stub.url, "base_url": stub.base_url, "token": stub.token}) + "\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="A stand-in for Telegram's Bot API.")
    parser.add_argument("--port", type=int, default=0, help="0: any free one; the first line of output names it")
    parser.add_argument("--token", action="append", help="a bot that exists; may be given several times")
    parser.add_argument("--any-token", action="store_true", help="every well-formed token is a bot")
    parser.add_argument("--invents-chats", action="store_true", help="every chat id is a chat that the bot is in")
    parser.add_argument("--no-limits", action="store_true", help="enforce no limit of rate")
    parser.add_argument("--tolerance-ms", type=float, default=0, help="how far below a limit's time a send may come")
    parser.add_argument("--latency-ms", type=int, default=0, help="answer every call so much later")
    try:
        asyncio.run(_serve(parser.parse_args()))
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    main()
