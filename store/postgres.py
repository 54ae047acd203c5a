"""The Store on PostgreSQL: one piece is one transaction, on a small pool of threads.

PostgreSQL groups the disk waits of concurrent commits by itself; only equal appends are put together here, because
each transaction costs several round trips.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Concatenate, cast

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, Insert, QueuePool, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

from store.pieces import RUNNING, answer_of, guard, run_orm
from store.store import DiskFailed, P, PieceRefused, Row, StoreBusy, StoreClosed, StoreUnsure, T

logger = logging.getLogger(__name__)

WRITERS = 8
READERS = 4
CAP = 256
"""Most appends in one transaction."""
CONNECT_SECONDS = 10
TRIES = 6
"""For a deadlock or a serialisation failure: each time somebody else did get through."""
TWICE = "23505"
"""A unique row is there already. Perhaps since a moment ago: a piece that looks again finds it."""
TRIES_TWICE = 3
PAUSE = 0.02
"""Seconds before the second try, doubled each time, and a random part of it, so that two do not meet again."""

# https://www.postgresql.org/docs/18/errcodes-appendix.html
COLLIDED = {"40001", "40P01"}
SHUT_DOWN = {"57P01", "57P02", "57P03"}
READ_ONLY = "25006"
DISK = {"53100", "58030"}

Run = Callable[[Connection, Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]


class _Lost(Exception):
    """The connection broke, or was never made, before COMMIT was sent: nothing was written."""


@dataclass(slots=True, eq=False)
class _Append:
    future: asyncio.Future[None]
    statement: Insert
    rows: Sequence[Row]


class PostgresStore:
    dialect = "postgresql"

    def __init__(self, url: URL) -> None:
        """Connects with the first piece of work."""
        self.commits = 0
        self._engine = create_engine(
            url,
            poolclass=QueuePool,
            pool_size=WRITERS + READERS,
            max_overflow=0,
            hide_parameters=True,  # values are people's: an error that is logged must not quote them
            connect_args={"connect_timeout": CONNECT_SECONDS, "application_name": "loa"} | dict(url.query),
        )
        self._snapshots = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        guard(self._engine)
        self._writers = ThreadPoolExecutor(WRITERS, thread_name_prefix="store-writer")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")
        self._waiting: dict[Any, list[_Append]] = {}
        self._appending: set[asyncio.Task[None]] = set()
        self._closed = False

    async def write(self, work: Callable[Concatenate[Session, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        answer: T = await self._written(run_orm, work, args, kwargs)
        return answer

    async def write_core(
        self, work: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        answer: T = await self._written(_run_core, work, args, kwargs)
        return answer

    async def append(self, statement: Insert, rows: Sequence[Row]) -> None:
        if not rows:
            return
        self._open()
        job = _Append(asyncio.get_running_loop().create_future(), statement, rows)
        # With the keys: SQLAlchemy reads them from the first row and drops further ones of the rest in silence.
        key = (id(statement), *rows[0])
        if (waiting := self._waiting.get(key)) is not None:
            waiting.append(job)
        else:
            self._waiting[key] = [job]
            task = asyncio.create_task(self._append_all(key))
            self._appending.add(task)
            task.add_done_callback(self._appending.discard)
        await job.future

    async def read(self, work: Callable[Concatenate[Session, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        self._open()
        running = asyncio.get_running_loop().run_in_executor(self._readers, self._read, work, args, kwargs)
        answer: T = await running
        return answer

    async def aclose(self) -> None:
        self._closed = True
        while self._appending:
            await asyncio.wait(self._appending)
        await asyncio.to_thread(self._writers.shutdown)
        await asyncio.to_thread(self._readers.shutdown)
        self._engine.dispose()

    def _open(self) -> None:
        if self._closed:
            raise StoreClosed("the store is closed")

    async def _written(self, run: Run, work: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self._open()
        return await self._in_thread(run, work, args, kwargs)

    async def _in_thread(
        self, run: Run, work: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        answer = await asyncio.get_running_loop().run_in_executor(self._writers, self._write, run, work, args, kwargs)
        self.commits += 1
        return answer

    async def _append_all(self, key: Any) -> None:
        """Insert what waits under `key`, and what comes meanwhile, a transaction at a time."""
        while jobs := self._waiting[key][:CAP]:
            self._waiting[key] = self._waiting[key][CAP:]
            rows = [row for job in jobs for row in job.rows]
            try:
                await self._in_thread(_run_core, _insert, (jobs[0].statement, rows), {})
            except (StoreBusy, StoreUnsure, DiskFailed) as error:
                for job in jobs:  # a fresh one each: many raise it
                    _resolve(job, type(error)(*error.args))
            except Exception as error:
                await self._append_alone(jobs, error)
            else:
                for job in jobs:
                    _resolve(job, None)
        del self._waiting[key]

    async def _append_alone(self, jobs: list[_Append], error: Exception) -> None:
        """One of `jobs` is at fault: find out which, so that the others pass."""
        if len(jobs) == 1:
            return _resolve(jobs[0], error)
        for job in jobs:
            try:
                await self._in_thread(_run_core, _insert, (job.statement, job.rows), {})
            except Exception as own:  # belongs to that caller
                _resolve(job, own)
            else:
                _resolve(job, None)
        return None

    # ------------------------------------------------------------ in a thread

    def _write(self, run: Run, work: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        collisions = losses = 0
        while True:
            try:
                return self._transaction(run, work, args, kwargs)
            except _Lost as lost:
                losses += 1
                if losses > 1:
                    raise StoreBusy("Không kết nối được cơ sở dữ liệu nên chưa ghi được gì.") from lost.__cause__
                logger.info("database connection lost, trying again")
            except DBAPIError as error:
                collisions += 1
                match _state(error):
                    case state if state in DISK:
                        raise DiskFailed("Đĩa của cơ sở dữ liệu đầy hoặc hỏng nên chưa ghi được gì.") from error
                    case state if state == TWICE and collisions == TRIES_TWICE:
                        raise
                    case state if state not in {*COLLIDED, TWICE}:
                        raise
                    case _ if collisions == TRIES:
                        raise StoreBusy("Cơ sở dữ liệu đang quá tải nên chưa ghi được gì.") from error
                time.sleep(PAUSE * 2**collisions * random.random())  # noqa: S311 - spreads tries, guards nothing

    def _transaction(self, run: Run, work: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """One try. Raises _Lost, or what went wrong, with nothing written; StoreUnsure when that is not known."""
        try:
            connection = self._engine.connect()
        except DBAPIError as error:
            raise _Lost from error
        with connection:
            try:
                transaction = connection.begin()
                connection.info[RUNNING] = True
                try:
                    answer = run(connection, work, args, kwargs)
                finally:
                    if not connection.invalidated:
                        connection.info[RUNNING] = False
                if not transaction.is_active or connection.in_nested_transaction():
                    raise PieceRefused("a piece ended its transaction or left a begin_nested() open")
                # Sent in an aborted transaction, COMMIT is a ROLLBACK that reports success.
                if _driver(connection).info.transaction_status not in {
                    TransactionStatus.INTRANS,
                    TransactionStatus.IDLE,
                }:
                    raise PieceRefused("a piece swallowed a failure of its transaction")
            except BaseException as error:
                if _is_lost(connection, error):
                    raise _Lost from error
                with suppress(psycopg.Error):  # then the connection is broken, which its next user will find
                    # Here, because SQLAlchemy sends none for a transaction that it takes for ended.
                    _driver(connection).rollback()
                raise
            try:
                transaction.commit()
            except DBAPIError as error:
                if _is_lost(connection, error):
                    raise StoreUnsure(
                        "Mất kết nối cơ sở dữ liệu đúng lúc ghi: chưa biết đã ghi được hay chưa."
                    ) from error
                raise
            return answer

    def _read(self, work: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        for last in (False, True):
            try:
                return self._snapshot(work, args, kwargs)
            except _Lost as lost:
                if last:
                    raise StoreBusy("Không kết nối được cơ sở dữ liệu.") from lost.__cause__
        return None

    def _snapshot(self, work: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            connection = self._snapshots.connect()
        except DBAPIError as error:
            raise _Lost from error
        with connection:  # which rolls back
            try:
                return run_orm(connection, work, args, kwargs)
            except BaseException as error:
                if _is_lost(connection, error):
                    raise _Lost from error
                if isinstance(error, DBAPIError) and _state(error) == READ_ONLY:
                    raise PieceRefused("a read does not write: use store.write") from error
                raise


def _run_core(connection: Connection, work: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return answer_of(work, connection, args, kwargs)


def _insert(connection: Connection, statement: Insert, rows: Sequence[Row]) -> None:
    connection.execute(statement, rows)


def _resolve(job: _Append, error: BaseException | None) -> None:
    if job.future.done():  # cancelled
        return
    if error is None:
        job.future.set_result(None)
    else:
        job.future.set_exception(error)


def _driver(connection: Connection) -> psycopg.Connection[Any]:
    return cast(psycopg.Connection[Any], connection.connection.dbapi_connection)


def _state(error: DBAPIError) -> str | None:
    return error.orig.sqlstate if isinstance(error.orig, psycopg.Error) else None


def _is_lost(connection: Connection, error: BaseException) -> bool:
    """The server is gone, whatever the piece made of that."""
    if isinstance(error, DBAPIError) and (error.connection_invalidated or _state(error) in SHUT_DOWN):
        return True
    return connection.invalidated or _driver(connection).broken
