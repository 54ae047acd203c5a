"""`loa serve`: the service in one process."""

import contextlib
import signal
import socket
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from filelock import FileLock, Timeout
from sqlmodel import Session

from bot.settings import Settings
from cli import logs, opening
from cli.say import Trouble, reason, say
from cli.stopping import Stopping
from scheduler import channels
from store.opening import file_of, parsed_url

PATIENCE = 3
"""Seconds that slow answers are given when the service stops."""


def serve(
    host: Annotated[str, typer.Option(help="Địa chỉ lắng nghe; giữ 127.0.0.1 khi đứng sau máy chủ web")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Cổng; 0 là cổng trống bất kỳ")] = 8000,
    worker: Annotated[bool, typer.Option("--worker/--no-worker", help="Gửi và nhận tin trong tiến trình này")] = True,
    poll: Annotated[
        str, typer.Option(metavar="ADAPTER:CHANNEL", help="Hỏi tin thay cho webhook (chưa có trong bản này)")
    ] = "",
) -> None:
    """Chạy dịch vụ. (Run the service: web pages, webhooks, sending.)"""
    if poll:
        raise Trouble("Bản này chưa hỏi tin được (--poll). Hãy dùng webhook: `loa channel set-webhook`.")
    found = opening.settings()
    run(found, host, port, work=worker, announce=lambda address: say(f"Loa Bản đang chạy tại {address}"))


def run(found: Settings, host: str, port: int, *, work: bool, announce: Callable[[str], None]) -> None:
    """Serve until told to stop. `announce(address)` is called once, when requests are answered.

    Raises Trouble for what can be told beforehand: no database, another shape of it, another owner, a port in use.
    """
    try:
        channels.check(found.adapters)
    except ValueError as error:
        raise Trouble(str(error)) from error
    opening.read(found, _nothing)
    refuse_second(found)
    with _listening(host, port) as listener:
        bound: tuple[Any, ...] = listener.getsockname()
        shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104 - compared, not bound
        _serve(found, listener, work=work, started=lambda: announce(f"http://{shown}:{bound[1]}"))


def _serve(found: Settings, listener: socket.socket, *, work: bool, started: Callable[[], None]) -> None:
    import uvicorn

    from api.main import create_app

    class Announcing(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started and not self.should_exit:
                started()

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            app.stop()
            await super().shutdown(sockets)

    logs.set_up()
    app = Stopping(create_app(found, work=work))
    config = uvicorn.Config(
        app,
        lifespan="on",
        proxy_headers=True,
        access_log=False,  # addresses of cards and sign-ins hold tokens
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=PATIENCE,
    )
    server = Announcing(config)
    # uvicorn hands the signal on when it is done; a service that was asked to stop has not failed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listener])
    except SystemExit as leaving:
        if leaving.code:
            raise Trouble("Dịch vụ không khởi động được; lý do ở dòng nhật ký phía trên.") from leaving
    if not server.started:
        raise Trouble("Dịch vụ không khởi động được; lý do ở dòng nhật ký phía trên.")


def refuse_second(found: Settings) -> None:
    """Raise Trouble when another process owns the SQLite file. The store looks again when it opens."""
    parsed = parsed_url(found.database_url)
    if parsed.get_backend_name() != "sqlite":
        return
    lock = FileLock(f"{file_of(parsed)}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise Trouble(
            f"Một tiến trình Loa Bản khác đang chạy trên tệp dữ liệu {file_of(parsed)}. "
            "Hãy dùng địa chỉ của tiến trình đó, hoặc dừng nó rồi chạy lại."
        ) from error
    lock.release()


def _listening(host: str, port: int) -> socket.socket:
    """The port, taken before anything is opened. Raises Trouble when it is not to be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named, because asyncio sends small answers at once (TCP_NODELAY) only for what it knows to be TCP.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if sys.platform != "win32":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise Trouble(
            f"Không mở được cổng {port} tại {host}: {reason(error)}. "
            f"Nếu một chương trình khác đang dùng cổng này, hãy chọn cổng khác, ví dụ --port {port + 1}."
        ) from error
    return listener


def _nothing(session: Session) -> None:
    """Looking at the database is enough: its shape is checked on the way."""
