"""How python-telegram-bot reaches the network here: over aiohttp, telling for sure whether a request left us.

The library's own transport needs 7.6 times the CPU at 30 calls in flight and cannot say which time-out it was
without its second library (measured).
"""

import json
from io import BytesIO
from typing import Any
from urllib.parse import urlencode

import aiohttp
from aiohttp.connector import Connection
from telegram.error import BadRequest, NetworkError, TelegramError, TimedOut
from telegram.request import BaseRequest, RequestData

from adapters.http import NeverLeft, redact, tls

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
CHUNK = 1 << 16


class Dialler(aiohttp.TCPConnector):
    """Whatever goes wrong before there is a connection is NeverLeft: name, route, TLS, proxy, or no connection free.

    The place decides and not the class of the error: a proxy that hangs up looks like a server that hangs up.
    """

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Any],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109
    ) -> Connection:
        try:
            return await super().connect(req, traces, timeout)
        except (aiohttp.ClientError, OSError) as error:
            reason = f"no connection: {type(error).__name__}"
        # Raised out here, so that the original, which names the address and in it the token, is not even its context.
        raise NeverLeft(reason)


class TooLarge(Exception):
    """The file is larger than the caller wants."""


class AiohttpRequest(BaseRequest):
    """One bot's way to the network. Opens itself at the first call, so that a bot need not be initialised."""

    __slots__ = ("_closed", "_proxy", "_read", "_secret", "_session", "_size", "_timeout")

    def __init__(
        self,
        *,
        secret: str,
        proxy: str = "",
        connections: int = 32,
        connect_timeout: float = 10,
        read_timeout: float = 30,
        write_timeout: float = 60,
    ) -> None:
        """`read_timeout` is long because a lost answer costs a person's decision, and the rate is the limit anyway."""
        self._secret = secret
        self._proxy = proxy or None
        self._size = connections
        self._read = read_timeout
        # `total` is longer than all waiting for a connection, so it can only end a request that left.
        self._timeout = aiohttp.ClientTimeout(
            total=connect_timeout + 1 + write_timeout + read_timeout, connect=connect_timeout, sock_read=read_timeout
        )
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    @property
    def read_timeout(self) -> float | None:
        return self._read

    async def initialize(self) -> None:
        self._opened()

    async def shutdown(self) -> None:
        self._closed = True
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._closed:
            raise NeverLeft("closed")
        if self._session is None:
            # Idle connections are given up before a server does it (nginx: 75 s), as a send on a connection that is
            # just being closed has an unknown outcome.
            dialler = Dialler(limit=self._size, ssl=tls(), keepalive_timeout=20)
            self._session = aiohttp.ClientSession(
                connector=dialler, timeout=self._timeout, cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session

    async def do_request(
        self,
        url: str,
        method: str,
        request_data: RequestData | None = None,
        read_timeout: object = BaseRequest.DEFAULT_NONE,
        write_timeout: object = BaseRequest.DEFAULT_NONE,
        connect_timeout: object = BaseRequest.DEFAULT_NONE,
        pool_timeout: object = BaseRequest.DEFAULT_NONE,
    ) -> tuple[int, bytes]:
        """The answer's status and body. The time-outs are ours alone: those of a call are not looked at."""
        data, headers = _body(request_data)
        failure: TelegramError
        try:
            async with self._opened().request(
                method, url, data=data, headers=headers, proxy=self._proxy, allow_redirects=False
            ) as answer:
                payload = await answer.read()
                return answer.status, payload if answer.status < 300 else self._redacted(payload)
        except NeverLeft as error:
            failure, failure.__cause__ = NetworkError(str(error)), error
        except TimeoutError:
            failure = TimedOut("no answer in time")
        except (aiohttp.ClientError, OSError) as error:
            failure = NetworkError(f"no answer: {type(error).__name__}")
        # Out here for the same reason as in Dialler.
        raise failure

    async def download(self, url: str, *, limit: int) -> tuple[int, bytes]:
        """Status and content of a file. Raises TooLarge, or NetworkError as `do_request` does."""
        failure: NetworkError
        try:
            async with self._opened().get(url, proxy=self._proxy, allow_redirects=False) as answer:
                content = bytearray()
                async for chunk in answer.content.iter_chunked(CHUNK):
                    content += chunk
                    if len(content) > limit:
                        raise TooLarge
                return answer.status, bytes(content)
        except NeverLeft as error:
            failure, failure.__cause__ = NetworkError(str(error)), error
        except (aiohttp.ClientError, OSError) as error:
            failure = NetworkError(f"no answer: {type(error).__name__}")
        raise failure

    @staticmethod
    def parse_json_payload(payload: bytes) -> dict[str, Any]:
        """As the library's own, which logs a body that it cannot read; ours logs nothing."""
        try:
            data = json.loads(payload)
        except (ValueError, RecursionError):
            data = None
        if not isinstance(data, dict):
            raise TelegramError("Invalid server response")
        return data

    def _redacted(self, payload: bytes) -> bytes:
        """An error page may repeat the address that was asked for, and the library repeats the page."""
        return redact(payload.decode(errors="replace"), self._secret).encode()


def _body(request_data: RequestData | None) -> tuple[bytes | aiohttp.FormData | None, dict[str, str] | None]:
    """A form, or with a file a multipart form; raises BadRequest for what cannot be encoded."""
    if request_data is None:
        return None, None
    parameters = request_data.json_parameters
    try:
        if not request_data.contains_files:
            return urlencode(parameters).encode(), FORM
        # Not quoted: Telegram takes a file name as it stands and would show %C3%A0 for à.
        form = aiohttp.FormData(quote_fields=False, default_to_multipart=True)
        for name, value in parameters.items():
            value.encode()  # aiohttp would find out while sending
            form.add_field(name, value)
        for name, (filename, content, media_type) in request_data.multipart_data.items():
            # As a stream: aiohttp would write bytes in one go, and nothing else would run meanwhile.
            form.add_field(
                name,
                BytesIO(content) if isinstance(content, bytes) else content,
                filename=filename,
                content_type=media_type,
            )
    except UnicodeEncodeError as error:
        raise BadRequest("text that is no text") from error
    return form, None
