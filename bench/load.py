"""A load generator: bare protocols on connections that stay open, each request with an id of its own."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Run:
    """What is asked for, and what came of it."""

    left: int
    make: Callable[[], bytes]
    done: asyncio.Future[None]
    took: list[float] = field(default_factory=list)
    refused: int = 0
    open: int = 0


@dataclass(frozen=True)
class Figures:
    rate: float
    p50_ms: float
    p99_ms: float


class Connection(asyncio.Protocol):
    def __init__(self, run: Run) -> None:
        self._run = run
        self._held = b""
        self._transport: asyncio.Transport
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def ask(self) -> None:
        run = self._run
        if run.left > 0:
            run.left -= 1
            run.open += 1
            self._began = time.perf_counter()
            self._transport.write(run.make())
        elif not run.open and not run.done.done():
            run.done.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._held += data
        head, ends, body = self._held.partition(b"\r\n\r\n")
        if not ends:
            return
        size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0] or 0)
        if len(body) < size:
            return
        self._held = b""
        run = self._run
        run.took.append(time.perf_counter() - self._began)
        run.refused += b" 200 " not in head.split(b"\r\n", 1)[0]
        run.open -= 1
        self.ask()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._run.done.done():
            self._run.done.set_exception(ConnectionError("the server hung up"))


async def run(url: str, make: Callable[[], bytes], *, requests: int, connections: int) -> Figures:
    """Ask `requests` times; `make` gives the bytes of each request. Fails when one is not answered with 200."""
    address, loop = urlsplit(url), asyncio.get_running_loop()
    assert address.hostname is not None
    assert address.port is not None
    asked = Run(requests, make, loop.create_future())
    opened = [
        (await loop.create_connection(lambda: Connection(asked), address.hostname, address.port))
        for _ in range(connections)
    ]
    began = time.perf_counter()
    for _, connection in opened:
        connection.ask()
    await asyncio.wait_for(asked.done, 120)
    wall = time.perf_counter() - began
    for transport, _ in opened:
        transport.abort()
    assert asked.refused == 0, f"{asked.refused} of {requests} requests were refused"
    took = sorted(asked.took)
    return Figures(requests / wall, took[len(took) // 2] * 1e3, took[int(len(took) * 0.99)] * 1e3)


def post(url: str, body: bytes, headers: dict[str, str]) -> bytes:
    address = urlsplit(url)
    lines = [f"POST {address.path} HTTP/1.1", f"Host: {address.netloc}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
