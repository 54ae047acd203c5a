"""The one thread that writes an SQLite file: whatever waits shares a commit, each piece in a savepoint of its own.

Durability then costs almost nothing under load, because the disk is waited for once a group. Nobody is answered before
the commit that holds their work; a piece that fails takes nobody with it.
"""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, cast

from sqlalchemy import Connection, Engine, Insert
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from store.pieces import RUNNING, answer_of, run_orm
from store.store import DiskFailed, PieceRefused, Row, StoreBusy, StoreClosed

logger = logging.getLogger(__name__)

CAP = 256
"""Most jobs in one commit: bounds how long the first of them waits for the last."""
PAUSES = (0.01, 0.02, 0.05, 0.1, 0.25)
"""Seconds between tries for a locked file, on top of SQLite's own busy_timeout; the last one repeats."""

BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
DISK = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_CORRUPT}


@dataclass(slots=True, eq=False)
class Job:
    """Work of one caller, and what became of it."""

    future: asyncio.Future[Any]
    answer: Any = field(default=None, init=False)
    error: BaseException | None = field(default=None, init=False)


@dataclass(slots=True, eq=False)
class Piece(Job):
    work: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    orm: bool


@dataclass(slots=True, eq=False)
class Append(Job):
    statement: Insert
    rows: Sequence[Row]


class _Locked(Exception):
    """Another process holds the file; the group did nothing."""


class _GroupLost(Exception):
    """The transaction is gone with everything in it; `__cause__` says why."""


class Writer:
    """Lives from construction to `aclose`. `engine` must begin with BEGIN IMMEDIATE."""

    def __init__(self, engine: Engine, *, patience: timedelta) -> None:
        self.commits = 0
        self._engine = engine
        self._patience = patience.total_seconds()
        self._connection: Connection | None = engine.connect()
        self._waiting: SimpleQueue[Job | None] = SimpleQueue()
        self._gate = Lock()
        self._closed = False
        # A daemon: a program that ends without closing must not hang on it, and what was answered is on disk.
        self._thread = Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        with self._gate:
            if self._closed:
                raise StoreClosed("the store is closed")
            self._waiting.put(job)

    async def aclose(self) -> None:
        with self._gate:
            if not self._closed:
                self._closed = True
                self._waiting.put(None)
        await asyncio.to_thread(self._thread.join)

    # ------------------------------------------------------------ in the thread

    def _run(self) -> None:
        while group := self._next_group():
            try:
                self._settle(group)
            except BaseException as error:  # whatever it is, no caller may wait for ever and the thread must live
                logger.exception("write group failed")
                for job in group:
                    job.answer, job.error = None, error
            _answer(group)
        if self._connection is not None:
            self._connection.close()

    def _next_group(self) -> list[Job]:
        """Whatever waits, at most CAP; sleeps while nothing does. Empty once the store is closing and drained."""
        job = self._waiting.get()
        group: list[Job] = []
        while job is not None:
            group.append(job)
            if len(group) == CAP or self._waiting.empty():  # only this thread takes, so what is there stays there
                return group
            job = self._waiting.get()
        if group:
            self._waiting.put(None)  # for the next turn: nothing can come after it
        return group

    def _settle(self, group: list[Job]) -> None:
        """Commit the group, or write down for each job why not."""
        deadline = time.monotonic() + self._patience
        for pause in _pauses():
            try:
                return self._attempt(group)
            except _Locked as locked:
                if time.monotonic() + pause > deadline:
                    return _fail(group, locked)
                time.sleep(pause)
            except _GroupLost as lost:
                if len(group) == 1:
                    group[0].answer, group[0].error = None, _explained(lost.__cause__ or lost)
                    return None
                logger.warning("write group lost, running it piece by piece", extra={"jobs": len(group)})
                for job in group:
                    self._settle([job])
                return None
        return None

    def _attempt(self, group: list[Job]) -> None:
        """Run and commit. Raises _Locked or _GroupLost with nothing written."""
        try:
            connection = self._connection = self._connection or self._engine.connect()
            driver = driver_of(connection)
            transaction = connection.begin()
            connection.info[RUNNING] = True
            for jobs in _together(group):
                self._run_jobs(connection, driver, jobs)
                if not (driver.in_transaction and transaction.is_active):
                    raise _GroupLost from jobs[-1].error or PieceRefused("a piece ended the transaction")
            connection.info[RUNNING] = False
            transaction.commit()
        except BaseException as error:
            self._clear()
            if isinstance(error, _GroupLost):
                raise
            raise (_Locked if _code(error) in BUSY else _GroupLost) from error
        self.commits += 1

    def _run_jobs(self, connection: Connection, driver: sqlite3.Connection, jobs: list[Job]) -> None:
        """One piece, or equal appends, in a savepoint. A failure is written down and undone, unless all is lost."""
        first = jobs[0]
        try:
            if isinstance(first, Append):
                rows = [row for job in jobs if isinstance(job, Append) for row in job.rows]
                _run_core(connection, driver, _insert, (first.statement, rows), {})
            elif isinstance(first, Piece):
                run = _run_nested if first.orm else _run_core
                first.answer = run(connection, driver, first.work, first.args, first.kwargs)
                first.error = None
        except BaseException as error:
            if _code(error) in BUSY:
                raise
            if len(jobs) > 1 and driver.in_transaction:
                for job in jobs:
                    self._run_jobs(connection, driver, [job])
            else:
                for job in jobs:
                    job.answer, job.error = None, _explained(error)
        else:
            for job in jobs:
                job.error = None

    def _clear(self) -> None:
        """Leave no transaction behind, or no connection."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            connection.info[RUNNING] = False
            connection.rollback()
            driver = driver_of(connection)
            if driver.in_transaction:
                driver.rollback()
        except (SQLAlchemyError, sqlite3.Error):
            connection.invalidate()
            connection.close()
        else:
            self._connection = connection


def _run_core(
    connection: Connection,
    driver: sqlite3.Connection,
    work: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    # On the driver: a savepoint of SQLAlchemy's costs more than the piece itself.
    driver.execute("SAVEPOINT piece")
    try:
        answer = answer_of(work, connection, args, kwargs)
        if connection.in_nested_transaction():
            raise PieceRefused("a piece left its begin_nested() open")
        if driver.in_transaction:
            driver.execute("RELEASE piece")
    except BaseException:
        if driver.in_transaction:
            while nested := connection.get_nested_transaction():
                nested.rollback()
            driver.execute("ROLLBACK TO piece")
            driver.execute("RELEASE piece")
        raise
    return answer


def _run_nested(
    connection: Connection,
    driver: sqlite3.Connection,
    work: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    # SQLAlchemy's own savepoint: a session whose flush fails rolls back the innermost transaction that SQLAlchemy
    # knows of, and that must be the piece's, not the group's.
    nested = connection.begin_nested()
    try:
        answer = run_orm(connection, work, args, kwargs)
        if driver.in_transaction:
            nested.commit()
    except BaseException:
        if driver.in_transaction and nested.is_active:
            nested.rollback()
        raise
    return answer


def _insert(connection: Connection, statement: Insert, rows: Sequence[Row]) -> None:
    connection.execute(statement, rows)


def _together(group: Iterable[Job]) -> Iterable[list[Job]]:
    """Equal appends as one list at the place of the first, everything else alone."""
    lists: dict[Any, list[Job]] = {}
    for job in group:
        # With the keys: SQLAlchemy reads them from the first row and drops further ones of the rest in silence.
        key = (id(job.statement), *job.rows[0]) if isinstance(job, Append) else job
        lists.setdefault(key, []).append(job)
    return lists.values()


def _answer(group: Iterable[Job]) -> None:
    """Tell every caller, one wake-up for each event loop."""
    loops: dict[asyncio.AbstractEventLoop, list[Job]] = {}
    for job in group:
        loops.setdefault(job.future.get_loop(), []).append(job)
    for loop, jobs in loops.items():
        try:
            loop.call_soon_threadsafe(_resolve, jobs)
        except RuntimeError:  # closed: nobody waits there any more
            logger.info("callers left before their answer", extra={"jobs": len(jobs)})


def _resolve(jobs: Iterable[Job]) -> None:
    for job in jobs:
        if job.future.done():  # cancelled
            continue
        if job.error is None:
            job.future.set_result(job.answer)
        else:
            job.future.set_exception(job.error)


def _fail(group: Iterable[Job], locked: _Locked) -> None:
    for job in group:
        job.answer, job.error = (
            None,
            StoreBusy(
                "Tệp dữ liệu đang bị một chương trình khác giữ quá lâu nên chưa ghi được gì. "
                "Hãy đóng chương trình đó rồi làm lại."
            ),
        )
        job.error.__cause__ = locked.__cause__


def _explained(error: BaseException) -> BaseException:
    """`error`, or what it means for people when the disk is at fault."""
    if _code(error) not in DISK:
        return error
    explained = DiskFailed(
        "Đĩa đầy hoặc hỏng nên chưa ghi được gì. Hãy giải phóng chỗ trống trên đĩa rồi làm lại; "
        "chạy `loa doctor` để kiểm tra."
    )
    explained.__cause__ = error
    return explained


def _code(error: BaseException) -> int | None:
    """SQLite's primary result code behind `error`, if there is one."""
    origin = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(origin, "sqlite_errorcode", None) if isinstance(origin, sqlite3.Error) else None
    return None if code is None else code & 0xFF


def driver_of(connection: Connection) -> sqlite3.Connection:
    return cast(sqlite3.Connection, connection.connection.dbapi_connection)


def _pauses() -> Iterator[float]:
    yield from PAUSES
    while True:
        yield PAUSES[-1]
