"""The real service as a process of its own: started, stopped, killed and started again over the same database."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

import aiohttp

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)")
STARTS_WITHIN = 40
STOPS_WITHIN = 20
POLL = 0.03
LAST_LINES = 40


def tell(line: str) -> None:
    """A figure, for whoever runs this with `-s`."""
    sys.stdout.write(f"{line}\n")


async def until(look: Callable[[], Awaitable[T | None]], what: str, *, within: float = 20, every: float = POLL) -> T:
    """The first answer of `look` that is true. Fails in words when there is none in time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    while not (found := await look()):
        assert loop.time() < deadline, f"not within {within} s: {what}; last seen: {found!r}"
        await asyncio.sleep(every)
    return found


class Lag:
    """How long this process was held up, at most: what comes in meanwhile is seen late and all at once."""

    def __init__(self) -> None:
        self.most = 0.0

    async def watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(0.01)
            self.most = max(self.most, loop.time() - before - 0.01)


@asynccontextmanager
async def watched_lag() -> AsyncIterator[Lag]:
    lag = Lag()
    watching = asyncio.create_task(lag.watch())
    try:
        yield lag
    finally:
        watching.cancel()


class Service:
    """`loa serve` with an environment of its own. The port is a free one at the first start and kept from then on."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.log = folder / "service.log"
        self._folder = folder
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TZ") if name in os.environ}
        # A folder of its own, where no .env of the checkout is read; the code is found by its path.
        self._environment = {
            **inherited,
            "PYTHONPATH": str(ROOT),
            "PYTHONUTF8": "1",
            "PYTHONUNBUFFERED": "1",
            **environment,
        }
        self._process: asyncio.subprocess.Process | None = None
        self._port = 0
        self.start_took = 0.0
        """Seconds of the last start that was waited for."""

    @property
    def url(self) -> str:
        assert self._port, "the service has not been started yet"
        return f"http://127.0.0.1:{self._port}"

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def launch(self) -> None:
        """Begin to start it, without waiting."""
        assert not self.is_running
        command = [sys.executable, "-m", "cli", "serve", "--port", str(self._port)]
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command, cwd=self._folder, env=self._environment, stdout=log, stderr=log
            )

    async def start(self) -> None:
        """Start it and wait until it answers, with its database open."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        await self.launch()
        await self.ready()
        self.start_took = loop.time() - began

    async def ready(self) -> None:
        """Wait for the end of a start."""
        deadline = asyncio.get_running_loop().time() + STARTS_WITHIN
        while True:
            assert self.is_running, f"the service did not start:\n{self.last_words()}"
            assert asyncio.get_running_loop().time() < deadline, f"the service does not answer:\n{self.last_words()}"
            addresses = ADDRESS.findall(self.log.read_text("utf-8")) if not self._port else [self._port]
            if addresses:
                self._port = int(addresses[-1])
                if await self._answers():
                    return
            await asyncio.sleep(POLL)

    async def _answers(self) -> bool:
        async with aiohttp.ClientSession() as session:
            with suppress(aiohttp.ClientError, OSError):
                async with session.get(f"{self.url}/readyz") as answer:
                    return answer.status in (200, 503)
        return False

    async def stop(self) -> None:
        """Ask it to end, as an operator does, and wait."""
        if self._process is None:
            return
        if self.is_running:
            self._process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(STOPS_WITHIN):
            await self._process.wait()
        assert self._process.returncode == 0, f"it ended with {self._process.returncode}:\n{self.last_words()}"

    async def kill(self) -> None:
        """kill -9: it is not asked."""
        assert self._process is not None
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    def last_words(self) -> str:
        """The end of its log, for a failure's report."""
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-LAST_LINES:])

    def errors(self) -> list[str]:
        """Lines of its log that want somebody to act, and tracebacks."""
        lines = self.log.read_text("utf-8", "replace").splitlines()
        return [line for line in lines if re.match(r"\S+ (error|critical) |Traceback", line)]


@asynccontextmanager
async def serving(service: Service) -> AsyncIterator[None]:
    """The service runs; killed at the end when the test has not ended it itself."""
    try:
        await service.start()
        yield
    finally:
        if service.is_running:
            await service.kill()
