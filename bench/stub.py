"""A Bot API that answers as fast as Python can, so that the client is what is measured.

    python -m bench.stub --latency-ms 80

Says what Telegram would say of a send (a whole Message), checks nothing, limits nothing. Its port is its first line.
"""

import argparse
import asyncio
import itertools
import json
import sys
import time

NUMBERS = itertools.count(1)
BOT = {
    "id": 1, "is_bot": True, "first_name": "Loa", "username": "loa_bench_bot", "can_join_groups": True,
    "can_read_all_group_messages": False, "supports_inline_queries": False,
}  # fmt: skip
CHAT = {"id": -1001000000001, "title": "Nhóm bản", "type": "supergroup"}
BUTTON = {"text": "✅ Đã nắm", "callback_data": "a"}
MESSAGE = {"from": BOT, "chat": CHAT, "text": "Thông báo. " * 27, "reply_markup": {"inline_keyboard": [[BUTTON]]}}
BEHIND = json.dumps(MESSAGE, ensure_ascii=False)[1:].encode()
GET_ME = json.dumps({"ok": True, "result": BOT}).encode()
COUNT = b'{"ok":true,"result":42}'
TRUE = b'{"ok":true,"result":true}'


class Connection(asyncio.Protocol):
    latency = 0.0

    def __init__(self) -> None:
        self._held = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._held += data
        while (end := self._held.find(b"\r\n\r\n")) >= 0:
            head = self._held[:end].lower()
            size = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0] or 0)
            if len(self._held) < end + 4 + size:
                return
            self._held = self._held[end + 4 + size :]
            body = answer(head.split(b" ", 2)[1])
            out = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
                len(body),
                body,
            )
            if self.latency:
                asyncio.get_running_loop().call_later(self.latency, self._write, out)
            else:
                self._write(out)

    def _write(self, out: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(out)


def answer(path: bytes) -> bytes:
    """By the method's name, in lower case."""
    method = path.rpartition(b"/")[2]
    if method.startswith(b"send"):
        head = b'{"ok":true,"result":{"message_id":%d,"date":%d,' % (next(NUMBERS), int(time.time()))
        return head + BEHIND + b"}"
    return {b"getme": GET_ME, b"getchatmembercount": COUNT}.get(method, TRUE)


async def serve(latency_ms: float) -> None:
    Connection.latency = latency_ms / 1000
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--latency-ms", type=float, default=0)
    try:
        asyncio.run(serve(parser.parse_args().latency_ms))
    except KeyboardInterrupt:
        sys.exit(0)
