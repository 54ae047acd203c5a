"""The Store on one SQLite file: a writer thread with group commit, a few readers on snapshots, one owner.

sqlite3 opens transactions by itself and would commit behind our back: `isolation_level=None` turns that off, and the
engine's `begin` event says BEGIN. The writer begins IMMEDIATE, because a transaction that reads first and writes later
fails with "locked" when somebody wrote in between; readers must not, so there are two engines.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, Concatenate

from filelock import FileLock, Timeout
from sqlalchemy import Connection, Engine, Insert, NullPool, QueuePool, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlmodel import Session

from store.pieces import guard, run_orm
from store.store import P, PieceRefused, Row, StoreClosed, StoreError, StoreInUse, T
from store.writer import Append, Job, Piece, Writer, driver_of

READERS = 4
PATIENCE = timedelta(seconds=30)
"""How long a group waits for another process that holds the file."""
BUSY_TIMEOUT = timedelta(seconds=1)
"""SQLite's own waiting, in C; the writer then tries again until its patience ends."""


class SqliteStore:
    dialect = "sqlite"

    def __init__(self, path: Path, *, owner: bool, patience: timedelta = PATIENCE) -> None:
        """Open the file, made when missing with its folder.

        Raises StoreInUse when `owner` and somebody else is, StoreError when the file cannot be opened.
        """
        # Held by the process, not by the thread that opened the store.
        self._lock = FileLock(f"{path}.lock", thread_local=False)
        self._write_engine = _writing(path, patience)
        self._read_engine = _reading(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if owner:
                _own(self._lock, path)
            self._writer = Writer(self._write_engine, patience=patience)
        except (OSError, SQLAlchemyError, sqlite3.Error) as error:
            self._lock.release()
            raise StoreError(
                f"Không mở được tệp dữ liệu {path}. Hãy kiểm tra LOA_DATABASE_URL, quyền ghi vào thư mục "
                "và chỗ trống trên đĩa."
            ) from error
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")

    @property
    def commits(self) -> int:
        return self._writer.commits

    async def write(self, work: Callable[Concatenate[Session, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        answer: T = await self._submitted(Piece(_future(), work, args, kwargs, orm=True))
        return answer

    async def write_core(
        self, work: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        answer: T = await self._submitted(Piece(_future(), work, args, kwargs, orm=False))
        return answer

    async def append(self, statement: Insert, rows: Sequence[Row]) -> None:
        if rows:
            await self._submitted(Append(_future(), statement, rows))

    async def read(self, work: Callable[Concatenate[Session, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            running = asyncio.get_running_loop().run_in_executor(self._readers, self._read, work, args, kwargs)
        except RuntimeError as error:
            raise StoreClosed("the store is closed") from error
        answer: T = await running
        return answer

    async def aclose(self) -> None:
        await self._writer.aclose()
        await asyncio.to_thread(self._readers.shutdown)
        self._read_engine.dispose()
        self._write_engine.dispose()
        self._lock.release()

    async def _submitted(self, job: Job) -> Any:
        self._writer.submit(job)
        return await job.future

    def _read(self, work: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with self._read_engine.connect() as connection:  # which rolls back
            try:
                return run_orm(connection, work, args, kwargs)
            except DBAPIError as error:
                if getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_READONLY:
                    raise PieceRefused("a read does not write: use store.write") from error
                raise


def _future() -> asyncio.Future[Any]:
    return asyncio.get_running_loop().create_future()


def _own(lock: FileLock, path: Path) -> None:
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise StoreInUse(
            f"Một chương trình Loa Bản khác đang chạy trên tệp dữ liệu {path}. Mỗi tệp chỉ một chương trình được dùng: "
            "hãy dừng chương trình kia rồi chạy lại, hoặc đặt LOA_DATABASE_URL sang một tệp khác."
        ) from error


def _writing(path: Path, patience: timedelta) -> Engine:
    # Parameters are hidden: they are people's, and an error that is logged must not quote them.
    engine = create_engine(_url(path), poolclass=NullPool, connect_args=_connect_args(patience), hide_parameters=True)

    guard(engine)

    @event.listens_for(engine, "connect")
    def prepare(driver: sqlite3.Connection, _record: Any) -> None:
        # FULL: what was answered survives a power cut. Measured: with group commit it costs nothing visible.
        driver.execute("PRAGMA synchronous=FULL").close()
        driver.execute("PRAGMA foreign_keys=ON").close()
        if driver.execute("PRAGMA journal_mode=WAL").fetchone() != ("wal",):  # some network file systems
            raise sqlite3.OperationalError("this file system cannot do WAL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        driver_of(connection).execute("BEGIN IMMEDIATE").close()

    @event.listens_for(engine, "before_cursor_execute")
    def stay_inside(_connection: Connection, cursor: sqlite3.Cursor, *_: Any) -> None:
        # A full disk can end the transaction in mid-piece; each further statement would then commit by itself.
        if not cursor.connection.in_transaction:
            raise PieceRefused("the database gave up the transaction, and the piece went on")

    return engine


def _reading(path: Path) -> Engine:
    engine = create_engine(
        _url(path),
        poolclass=QueuePool,
        pool_size=READERS,
        max_overflow=0,
        connect_args=_connect_args(BUSY_TIMEOUT),
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def prepare(driver: sqlite3.Connection, _record: Any) -> None:
        driver.execute("PRAGMA query_only=ON").close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        driver_of(connection).execute("BEGIN").close()

    return engine


def _url(path: Path) -> URL:
    return URL.create("sqlite", database=str(path))


def _connect_args(patience: timedelta) -> dict[str, Any]:
    """`timeout` is SQLite's busy_timeout. Connections move between threads, never used by two at once."""
    return {
        "isolation_level": None,
        "timeout": min(BUSY_TIMEOUT, patience).total_seconds(),
        "check_same_thread": False,
    }
