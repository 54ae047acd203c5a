"""A service that stops need not wait for streams that never end: they are told that their browser left."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class Stopping:
    """ASGI: once `stop` was called, whoever listens for the end of a connection hears it.

    Only after the whole request has come in: ordinary requests are answered as ever, and a page asks again by itself.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        self._stopped.set()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_whole = False

        async def heard() -> Message:
            nonlocal is_whole
            if is_whole:
                return await self._first(receive)
            message = await receive()
            is_whole = message["type"] != "http.request" or not message.get("more_body", False)
            return message

        is_open = False

        async def said(message: Message) -> None:
            nonlocal is_open
            is_open = message["type"] == "http.response.start" or message.get("more_body", False)
            await send(message)

        await self._app(scope, heard, said)
        if is_open and self._stopped.is_set():
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _first(self, receive: Receive) -> Message:
        leaving = asyncio.ensure_future(receive())
        stopping = asyncio.ensure_future(self._stopped.wait())
        try:
            await asyncio.wait({leaving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            return leaving.result() if leaving.done() else {"type": "http.disconnect"}
        finally:
            leaving.cancel()
            stopping.cancel()
