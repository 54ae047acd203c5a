"""Each promise of the Store, on both databases where both make it."""

import asyncio
import os
import resource
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

import psycopg
import pytest
from sqlalchemy import (
    Column,
    Connection,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    event,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlmodel import Field, Session, SQLModel
from sqlmodel import select as choose

from store.opening import open_store, opened_store
from store.sqlite import SqliteStore
from store.store import DiskFailed, PieceRefused, Store, StoreBusy, StoreClosed, StoreError, StoreInUse, StoreUnsure
from tests.postgres import server

ROOT = Path(__file__).parents[2]
WITHIN = 20.0
"""Seconds after which a test gives up waiting."""

META = MetaData()
LINE = Table(
    "line",
    META,
    Column("id", Integer, primary_key=True),
    Column("word", String(100), nullable=False, unique=True),
    Column("after", ForeignKey("line.id", deferrable=True, initially="DEFERRED")),
)
ADD = insert(LINE)
APPEND = {
    "sqlite": sqlite.insert(LINE).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(LINE).on_conflict_do_nothing(),
}


class Entry(SQLModel, table=True):
    metadata: ClassVar[MetaData] = META
    __tablename__ = "entry"
    id: int | None = Field(default=None, primary_key=True)
    word: str = Field(unique=True)


def add(connection: Connection, word: str) -> str:
    connection.execute(ADD, {"word": word})
    return word


def add_entry(session: Session, word: str) -> Entry:
    entry = Entry(word=word)
    session.add(entry)
    return entry


def words(session: Session) -> set[str]:
    return set(session.scalars(select(LINE.c.word)))


def entries(session: Session) -> set[str]:
    return set(session.exec(choose(Entry.word)))


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "data" / "loa.db"


@pytest.fixture
async def sqlite_store(file) -> AsyncIterator[SqliteStore]:
    store = open_store(f"sqlite:///{file}", owner=True)
    assert isinstance(store, SqliteStore)
    await store.write_core(META.create_all)
    yield store
    await store.aclose()


@pytest.fixture
def database() -> Iterator[str]:
    with server().fresh() as url:
        yield url


@pytest.fixture
async def postgres_store(database) -> AsyncIterator[Store]:
    async with opened_store(database, owner=True) as store:
        await store.write_core(META.create_all)
        yield store


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store(request) -> Store:
    return request.getfixturevalue(f"{request.param}_store")


# ---------------------------------------------------------------- pieces


async def test_a_thousand_writers_at_once_share_few_commits(sqlite_store):
    before = sqlite_store.commits
    answers = await asyncio.gather(*(sqlite_store.write_core(add, f"w{n}") for n in range(1000)))
    assert answers == [f"w{n}" for n in range(1000)]
    assert len(await sqlite_store.read(words)) == 1000
    assert 0 < sqlite_store.commits - before < 1000 / 4


async def test_every_one_of_many_writers_is_kept(store):
    await asyncio.gather(*(store.write(add_entry, f"w{n}") for n in range(100)))
    assert await store.read(entries) == {f"w{n}" for n in range(100)}


async def test_a_failing_piece_harms_no_neighbour(store):
    def fail(connection, word):
        add(connection, word)
        raise LookupError(word)

    def twice(session, word):
        session.add(Entry(word=word))
        session.add(Entry(word=word))

    await store.write_core(add, "taken")
    pieces = []
    for n in range(0, 120, 6):
        pieces += [
            store.write_core(add, f"w{n}"),
            store.write_core(fail, f"w{n + 1}"),
            store.write(add_entry, f"w{n + 2}"),
            store.write_core(add, "taken"),
            store.write(twice, f"w{n + 4}"),
            store.write_core(add, f"w{n + 5}"),
        ]
    outcomes = await asyncio.gather(*pieces, return_exceptions=True)
    expected = [str, LookupError, Entry, IntegrityError, IntegrityError, str] * 20
    assert [type(outcome) for outcome in outcomes] == expected
    assert await store.read(words) == {"taken"} | {f"w{n + k}" for n in range(0, 120, 6) for k in (0, 5)}
    assert await store.read(entries) == {f"w{n + 2}" for n in range(0, 120, 6)}


async def test_a_caller_is_answered_only_after_the_commit_on_sqlite(sqlite_store, file):
    other = sqlite3.connect(file)
    for n in range(50):
        await asyncio.gather(sqlite_store.write_core(add, f"w{n}"), sqlite_store.write(add_entry, f"w{n}"))
        assert other.execute("SELECT count(*) FROM line").fetchone() == (n + 1,)
        assert other.execute("SELECT count(*) FROM entry").fetchone() == (n + 1,)
    other.close()


@pytest.mark.postgres
async def test_a_caller_is_answered_only_after_the_commit_on_postgres(postgres_store, database):
    with psycopg.connect(database, autocommit=True) as other:
        for n in range(20):
            await asyncio.gather(postgres_store.write_core(add, f"w{n}"), postgres_store.write(add_entry, f"w{n}"))
            assert other.execute("SELECT count(*) FROM line").fetchone() == (n + 1,)
            assert other.execute("SELECT count(*) FROM entry").fetchone() == (n + 1,)


async def test_a_commit_that_fails_is_nobodys_success_and_fails_only_its_cause(store):
    def orphan(connection, word):
        connection.execute(ADD, {"word": word, "after": 999_999})  # checked at COMMIT only

    outcomes = await asyncio.gather(
        *(store.write_core(add, f"w{n}") for n in range(20)),
        store.write_core(orphan, "orphan"),
        *(store.write_core(add, f"w{n}") for n in range(20, 40)),
        return_exceptions=True,
    )
    assert isinstance(outcomes.pop(20), IntegrityError)
    assert outcomes == [f"w{n}" for n in range(40)]
    assert await store.read(words) == set(outcomes)


async def test_a_piece_may_give_up_a_part_of_its_work(store):
    def most(connection):
        add(connection, "kept")
        try:
            with connection.begin_nested():
                add(connection, "lost")
                add(connection, "kept")
        except IntegrityError:
            add(connection, "also kept")

    def most_entries(session):
        session.add(Entry(word="kept"))
        session.flush()
        try:
            with session.begin_nested():
                session.add(Entry(word="kept"))
        except IntegrityError:
            session.add(Entry(word="also kept"))

    await asyncio.gather(store.write_core(most), store.write(most_entries))
    assert await store.read(words) == {"kept", "also kept"}
    assert await store.read(entries) == {"kept", "also kept"}


def session_commits(session: Session) -> None:
    session.add(Entry(word="bad"))
    session.commit()


def session_rolls_back(session: Session) -> None:
    session.add(Entry(word="bad"))
    session.rollback()


def its_connection_commits(session: Session) -> None:
    session.add(Entry(word="bad"))
    session.flush()
    session.connection().commit()


def session_hides_a_failure(session: Session) -> None:
    session.add(Entry(word="bad"))
    session.add(Entry(word="bad"))
    try:
        session.flush()
    except IntegrityError:
        return


def session_leaves_a_savepoint_open(session: Session) -> None:
    session.begin_nested()
    session.add(Entry(word="bad"))


def connection_commits(connection: Connection) -> None:
    add(connection, "bad")
    connection.commit()


def connection_rolls_back(connection: Connection) -> None:
    add(connection, "bad")
    connection.rollback()


def connection_starts_again(connection: Connection) -> None:
    add(connection, "bad")
    connection.rollback()
    add(connection, "bad")


def connection_leaves_a_savepoint_open(connection: Connection) -> None:
    connection.begin_nested()
    add(connection, "bad")


def returns_an_open_result(connection: Connection) -> object:
    add(connection, "bad")
    return connection.execute(select(LINE))


@pytest.mark.parametrize(
    "piece",
    [
        session_commits,
        session_rolls_back,
        its_connection_commits,
        session_hides_a_failure,
        session_leaves_a_savepoint_open,
        connection_commits,
        connection_rolls_back,
        connection_starts_again,
        connection_leaves_a_savepoint_open,
        returns_an_open_result,
    ],
)
async def test_a_piece_that_meddles_with_its_transaction_fails_alone(store, piece):
    run = store.write if "session" in piece.__code__.co_varnames else store.write_core
    outcomes = await asyncio.gather(
        *(store.write_core(add, f"w{n}") for n in range(10)),
        run(piece),
        *(store.write(add_entry, f"w{n}") for n in range(10)),
        return_exceptions=True,
    )
    refused = outcomes.pop(10)
    assert isinstance(refused, PieceRefused), refused
    assert str(refused)
    assert not [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert await store.read(words) == {f"w{n}" for n in range(10)}
    assert await store.read(entries) == {f"w{n}" for n in range(10)}


async def test_an_object_can_be_used_after_its_piece(store):
    entry = await store.write(add_entry, "xin chào")
    assert entry.id is not None
    assert entry.word == "xin chào"
    assert (await store.read(lambda session: session.get(Entry, entry.id))).word == "xin chào"


async def test_keyword_arguments_reach_the_piece(store):
    assert await store.write_core(add, word="a") == "a"
    assert (await store.write(add_entry, word="a")).word == "a"
    assert await store.read(lambda session, *, factor: len(words(session)) * factor, factor=3) == 3


async def test_even_the_error_that_futures_refuse_reaches_the_caller(store):
    def empty(_given):
        return next(iter([]))

    for run in (store.write, store.write_core, store.read):
        with pytest.raises(RuntimeError, match="StopIteration"):
            await run(empty)


async def test_callers_that_leave_break_nothing(store):
    tasks = [asyncio.create_task(store.write_core(add, f"w{n}")) for n in range(200)]
    tasks += [asyncio.create_task(store.append(APPEND[store.dialect], [{"word": f"a{n}"}])) for n in range(200)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert not [o for o in outcomes if isinstance(o, BaseException) and not isinstance(o, asyncio.CancelledError)]
    stayed = {f"w{n}" for n in range(1, 200, 2)} | {f"a{n}" for n in range(1, 200, 2)}
    assert await store.read(words) >= stayed
    assert await store.write_core(add, "after") == "after"


async def test_closing_finishes_what_waits_and_takes_no_more(store):
    tasks = [asyncio.create_task(store.write_core(add, f"w{n}")) for n in range(100)]
    tasks += [asyncio.create_task(store.append(APPEND[store.dialect], [{"word": f"a{n}"}])) for n in range(100)]
    await asyncio.sleep(0)
    await store.aclose()
    await asyncio.gather(*tasks)
    for late in (store.write_core(add, "late"), store.append(ADD, [{"word": "late"}]), store.read(words)):
        with pytest.raises(StoreClosed):
            await late


# ---------------------------------------------------------------- appends


async def test_equal_appends_are_inserted_together_and_repeats_ignored(store):
    statement, before = APPEND[store.dialect], store.commits
    await asyncio.gather(*(store.append(statement, [{"word": f"w{n % 50}"}, {"word": f"v{n}"}]) for n in range(500)))
    await store.append(statement, [])
    assert await store.read(words) == {f"w{n}" for n in range(50)} | {f"v{n}" for n in range(500)}
    assert store.commits - before < 500 / 4


async def test_waiting_appends_are_one_statement(sqlite_store):
    calls = []

    def listen(connection):
        event.listen(connection, "before_cursor_execute", lambda *seen: calls.append(len(seen[3]) if seen[5] else 1))

    statement = APPEND["sqlite"]
    await asyncio.gather(
        sqlite_store.write_core(listen), *(sqlite_store.append(statement, [{"word": f"w{n}"}]) for n in range(100))
    )
    # The writer may wake with the first of them alone; the rest waits meanwhile.
    assert sum(calls) == 100
    assert len(calls) < 10


async def test_a_bad_append_fails_alone(store):
    statement = APPEND[store.dialect]
    outcomes = await asyncio.gather(
        *(store.append(statement, [{"word": f"w{n}"}]) for n in range(10)),
        store.append(statement, [{"word": "half"}, {"word": None}]),
        *(store.append(statement, [{"word": f"w{n}", "after": None}]) for n in range(10, 20)),
        return_exceptions=True,
    )
    assert isinstance(outcomes.pop(10), IntegrityError)
    assert outcomes == [None] * 20
    assert await store.read(words) == {f"w{n}" for n in range(20)}


# ---------------------------------------------------------------- reading


async def test_a_read_sees_one_moment(store):
    began, go_on = threading.Event(), threading.Event()

    def look_twice(session):
        first = words(session)
        began.set()
        assert go_on.wait(WITHIN)
        return first, words(session)

    await store.write_core(add, "before")
    reading = asyncio.create_task(store.read(look_twice))
    assert await asyncio.to_thread(began.wait, WITHIN)
    await store.write_core(add, "meanwhile")
    go_on.set()
    assert await reading == ({"before"}, {"before"})
    assert await store.read(words) == {"before", "meanwhile"}


@pytest.mark.parametrize(
    "piece",
    [
        pytest.param(lambda session: session.add(Entry(word="no")), id="an object"),
        pytest.param(lambda session: session.connection().execute(ADD, {"word": "no"}) and None, id="a statement"),
        pytest.param(lambda session: session.commit(), id="a commit"),
    ],
)
async def test_a_read_cannot_write(store, piece):
    with pytest.raises(PieceRefused):
        await store.read(piece)
    assert await store.read(words) | await store.read(entries) == set()
    assert await store.write_core(add, "yes") == "yes"


async def test_readers_do_not_wait_for_each_other(store):
    together = threading.Barrier(4, timeout=WITHIN)
    assert len(await asyncio.gather(*(store.read(lambda _session: together.wait()) for _ in range(4)))) == 4


# ---------------------------------------------------------------- SQLite: other processes


def program(code: str, *arguments: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def line_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline()


HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
connection.execute("COMMIT")
"""


@contextmanager
def held(file: Path) -> Iterator["subprocess.Popen[str]"]:
    with program(HOLD, file) as holder:
        assert line_of(holder) == "held\n"
        try:
            yield holder
        finally:
            holder.kill()


async def test_a_group_waits_while_another_process_holds_the_file(sqlite_store, file):
    with held(file) as holder:
        writing = [asyncio.create_task(sqlite_store.write_core(add, f"w{n}")) for n in range(20)]
        done, _ = await asyncio.wait(writing, timeout=2)
        assert not done
        holder.communicate("go on\n")
        await asyncio.wait_for(asyncio.gather(*writing), WITHIN)
    assert len(await sqlite_store.read(words)) == 20


async def test_patience_ends_in_words_and_writes_nothing(file):
    store = SqliteStore(file, owner=True, patience=timedelta(milliseconds=200))
    await store.write_core(META.create_all)
    with held(file):
        outcomes = await asyncio.gather(*(store.write_core(add, f"w{n}") for n in range(5)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [StoreBusy] * 5
    assert "chưa ghi được gì" in str(outcomes[0])
    assert await store.read(words) == set()
    assert await store.write_core(add, "after") == "after"
    await store.aclose()


OWN = """
import asyncio, sys
from store.opening import opened_store
from store.store import StoreInUse
async def main():
    async with opened_store("sqlite:///" + sys.argv[1], owner=True):
        print("opened")
try:
    asyncio.run(main())
except StoreInUse as error:
    sys.exit(str(error))
"""


async def test_a_second_owner_is_refused_in_words(file):
    async with opened_store(f"sqlite:///{file}", owner=True):
        with program(OWN, file) as second:
            _, words_said = second.communicate(timeout=WITHIN)
        assert second.returncode == 1
        assert "đang chạy trên tệp dữ liệu" in words_said
        assert "hãy dừng chương trình kia" in words_said
        assert str(file) in words_said
        with pytest.raises(StoreInUse):
            open_store(f"sqlite:///{file}", owner=True)
    with program(OWN, file) as next_one:
        out, _ = next_one.communicate(timeout=WITHIN)
    assert (next_one.returncode, out) == (0, "opened\n")


async def test_a_command_may_write_beside_the_running_service(sqlite_store, file):
    async with opened_store(f"sqlite:///{file}", owner=False) as command:
        await asyncio.gather(
            *(command.write_core(add, f"c{n}") for n in range(50)),
            *(sqlite_store.write_core(add, f"s{n}") for n in range(50)),
        )
    assert len(await sqlite_store.read(words)) == 100


WRITE_FOR_EVER = """
import asyncio, sys
from itertools import count
from sqlalchemy import text
from store.opening import opened_store
ADD = text("INSERT INTO line (word) VALUES (:word)")
async def main():
    numbers = count()
    async with opened_store("sqlite:///" + sys.argv[1], owner=True) as store:
        async def one():
            for number in numbers:
                word = f"{sys.argv[2]}-{number}"
                await store.write_core(lambda connection: connection.execute(ADD, {"word": word}) and None)
                print(word, flush=True)
        await asyncio.gather(*(one() for _ in range(20)))
asyncio.run(main())
"""


async def test_what_was_answered_survives_kill_9(file):
    async with opened_store(f"sqlite:///{file}", owner=True) as store:
        await store.write_core(META.create_all)
    answered = set()
    for turn, lines in enumerate((1, 137, 400, 900)):
        with program(WRITE_FOR_EVER, file, turn) as writer:
            answered |= {line_of(writer).strip() for _ in range(lines)}
            writer.kill()
            # The last line may be cut short.
            answered |= {line.strip() for line in iter(lambda: line_of(writer), "") if line.endswith("\n")}
    async with opened_store(f"sqlite:///{file}", owner=True) as store:
        kept = await store.read(words)
    assert len(answered) >= 1438
    assert answered <= kept
    # At most what was under way at each kill was written without an answer.
    assert len(kept - answered) <= 4 * 20


# ---------------------------------------------------------------- SQLite: the disk


async def test_a_full_disk_is_said_clearly_and_leaves_who_still_fits(sqlite_store):
    def limit(connection, pages):
        room = connection.exec_driver_sql("PRAGMA page_count").scalar_one() + pages
        return connection.exec_driver_sql(f"PRAGMA max_page_count={room}").scalar_one()

    def add_much(connection, word):
        add(connection, word)
        for n in range(100):
            add(connection, f"{word} {n} {'x' * 5000}")

    await sqlite_store.write_core(limit, 3)
    outcomes = await asyncio.gather(
        *(sqlite_store.write_core(add, f"w{n}") for n in range(5)),
        sqlite_store.write_core(add_much, "much"),
        *(sqlite_store.write_core(add, f"w{n}") for n in range(5, 10)),
        return_exceptions=True,
    )
    failed = outcomes.pop(5)
    assert isinstance(failed, DiskFailed)
    assert "Đĩa đầy" in str(failed)
    assert outcomes == [f"w{n}" for n in range(10)]
    assert await sqlite_store.read(words) == set(outcomes)

    await sqlite_store.write_core(limit, 10_000)
    await sqlite_store.write_core(add_much, "much")
    assert len(await sqlite_store.read(words)) == 10 + 101


@contextmanager
def files_no_longer_than(size: int) -> Iterator[None]:
    """Writing beyond `size` fails, as on a failing disk. (Python ignores the signal that goes with it.)"""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_disk_that_refuses_to_write_loses_nothing_that_was_answered(sqlite_store, file):
    answered = {await sqlite_store.write_core(add, "before")}
    with files_no_longer_than(os.stat(f"{file}-wal").st_size + 20_000):  # noqa: PTH116 - a path in a coroutine is ASYNC240
        outcomes = []
        for n in range(0, 60, 20):
            outcomes += await asyncio.gather(
                *(sqlite_store.write_core(add, f"w{k}") for k in range(n, n + 20)), return_exceptions=True
            )
    assert {type(outcome) for outcome in outcomes} == {str, DiskFailed}
    answered |= {outcome for outcome in outcomes if isinstance(outcome, str)}
    answered.add(await sqlite_store.write_core(add, "after"))
    assert await sqlite_store.read(words) == answered


async def test_a_piece_cannot_go_on_when_the_database_gave_up_the_transaction(sqlite_store):
    def go_on(connection):
        add(connection, "first")
        connection.exec_driver_sql("ROLLBACK")  # as SQLite does by itself on some failures of the disk
        add(connection, "would commit by itself")

    outcomes = await asyncio.gather(
        sqlite_store.write_core(add, "a"),
        sqlite_store.write_core(go_on),
        sqlite_store.write(add_entry, "b"),
        return_exceptions=True,
    )
    assert isinstance(outcomes[1], PieceRefused)
    assert await sqlite_store.read(words) == {"a"}
    assert await sqlite_store.read(entries) == {"b"}


# ---------------------------------------------------------------- PostgreSQL


def other_way_round(first: str, second: str, meeting: threading.Barrier, tries: list[str]):
    """Locks two rows; at the first try it waits in between until both sides hold one."""

    def piece(connection):
        tries.append(first)
        connection.execute(update(LINE).where(LINE.c.word == first).values(after=None))
        if tries.count(first) == 1:
            meeting.wait()
        connection.execute(update(LINE).where(LINE.c.word == second).values(after=None))
        return first

    return piece


@pytest.mark.postgres
@pytest.mark.postgres
async def test_two_who_make_the_same_thing_get_the_one_thing(postgres_store):
    together = threading.Barrier(2, timeout=WITHIN)
    looks = []

    def found_or_made(session, word):
        known = session.exec(choose(Entry.id).where(Entry.word == word)).first()
        looks.append(known)
        if len(looks) <= 2:
            together.wait()  # both have looked, and found nothing
        if known is not None:
            return known
        entry = add_entry(session, word)
        session.flush()
        return entry.id

    one, other = await asyncio.gather(*(postgres_store.write(found_or_made, "một") for _ in range(2)))
    assert one == other
    assert len(looks) == 3


@pytest.mark.postgres
async def test_what_is_there_already_is_said_after_few_tries(postgres_store):
    tries = []

    def insist(connection):
        tries.append(1)
        add(connection, "one")

    await postgres_store.write_core(add, "one")
    with pytest.raises(IntegrityError):
        await postgres_store.write_core(insist)
    assert len(tries) == 3


async def test_a_deadlock_is_tried_again(postgres_store):
    for word in ("a", "b"):
        await postgres_store.write_core(add, word)
    meeting, tries = threading.Barrier(2, timeout=WITHIN), list[str]()
    answers = await asyncio.gather(
        postgres_store.write_core(other_way_round("a", "b", meeting, tries)),
        postgres_store.write_core(other_way_round("b", "a", meeting, tries)),
    )
    assert list(answers) == ["a", "b"]
    assert len(tries) >= 3


@pytest.mark.postgres
async def test_collisions_are_tried_a_bounded_number_of_times(postgres_store):
    tries = []

    def collide(connection):
        tries.append(1)
        connection.execute(text("DO $$ BEGIN RAISE serialization_failure; END $$"))

    with pytest.raises(StoreBusy):
        await postgres_store.write_core(collide)
    assert 1 < len(tries) < 20


@pytest.mark.postgres
async def test_a_swallowed_failure_is_not_reported_as_success(postgres_store):
    def swallow(connection):
        add(connection, "a")
        try:
            add(connection, "a")
        except IntegrityError:
            return "all well"

    def swallow_in_session(session):
        return swallow(session.connection())

    for run, piece in ((postgres_store.write_core, swallow), (postgres_store.write, swallow_in_session)):
        with pytest.raises(PieceRefused, match="swallowed"):
            await run(piece)
    assert await postgres_store.read(words) == set()


def backend(connection: Connection) -> int:
    return connection.execute(select(func.pg_backend_pid())).scalar_one()


def terminate(database: str, pid: int | None = None) -> None:
    """Cut one connection to the database, or all, and wait until the server knows it."""
    with psycopg.connect(database, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() AND pid = coalesce(%s, pid)",
            [pid],
        )


@pytest.mark.postgres
async def test_connections_cut_while_idle_are_not_noticed_by_anyone(postgres_store, database):
    await asyncio.gather(*(postgres_store.write_core(add, f"w{n}") for n in range(30)))
    terminate(database)
    await asyncio.gather(*(postgres_store.write_core(add, f"v{n}") for n in range(30)))
    terminate(database)
    await asyncio.gather(*(postgres_store.append(APPEND["postgresql"], [{"word": f"u{n}"}]) for n in range(30)))
    terminate(database)
    assert len(await postgres_store.read(words)) == 90


@pytest.mark.postgres
@pytest.mark.parametrize("orm", [False, True], ids=["core", "orm"])
async def test_a_connection_cut_in_mid_piece_is_replaced_once(postgres_store, database, orm):
    tries = []

    def cut(connection):
        tries.append(1)
        add(connection, "a")
        if len(tries) == 1:
            terminate(database, backend(connection))
        return add(connection, "b")

    def cut_session(session):
        return cut(session.connection())

    assert await (postgres_store.write(cut_session) if orm else postgres_store.write_core(cut)) == "b"
    assert len(tries) == 2
    assert await postgres_store.read(words) == {"a", "b"}


@pytest.mark.postgres
async def test_a_connection_cut_in_mid_read_is_replaced_once(postgres_store, database):
    tries = []

    def cut(session):
        tries.append(1)
        if len(tries) == 1:
            terminate(database, backend(session.connection()))
        return words(session)

    await postgres_store.write_core(add, "a")
    assert await postgres_store.read(cut) == {"a"}
    assert len(tries) == 2


@pytest.mark.postgres
async def test_a_connection_cut_again_and_again_is_an_error_in_words(postgres_store, database):
    def cut(connection):
        terminate(database, backend(connection))
        add(connection, "a")

    with pytest.raises(StoreBusy, match="Không kết nối được"):
        await postgres_store.write_core(cut)
    assert await postgres_store.read(words) == set()


@pytest.mark.postgres
async def test_a_connection_cut_before_the_answer_to_commit_leaves_the_caller_unsure(postgres_store, database):
    def cut(connection):
        add(connection, "a")
        terminate(database, backend(connection))

    with pytest.raises(StoreUnsure):
        await postgres_store.write_core(cut)
    assert await postgres_store.write_core(add, "b") == "b"


async def test_a_server_that_is_not_there_is_an_error_in_words():
    async with opened_store("postgresql://nobody@127.0.0.1:1/none", owner=True) as store:
        for attempt in (store.write_core(add, "a"), store.read(words), store.append(ADD, [{"word": "a"}])):
            with pytest.raises(StoreBusy, match="Không kết nối được"):
                await attempt


# ---------------------------------------------------------------- opening


@pytest.mark.parametrize(
    ("url", "why"),
    [
        pytest.param("sqlite://", "tệp trên đĩa", id="in memory, short"),
        pytest.param("sqlite:///:memory:", "tệp trên đĩa", id="in memory"),
        pytest.param("sqlite:///file:x?mode=memory&uri=true", "tệp trên đĩa", id="in memory, as URI"),
        pytest.param("mysql://somewhere/db", "mysql", id="another database"),
        pytest.param("sqlite+aiosqlite:///x.db", "aiosqlite", id="another driver"),
        pytest.param("x.db", "sqlite:///", id="no URL"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_in_words(url, why):
    with pytest.raises(ValueError, match="LOA_DATABASE_URL") as refused:
        open_store(url, owner=True)
    assert why in str(refused.value)


def test_an_address_that_cannot_be_read_is_not_repeated():
    with pytest.raises(ValueError, match="LOA_DATABASE_URL") as refused:
        open_store("postgresql:/me:geheim@host/db", owner=True)
    assert "geheim" not in str(refused.value)


async def test_a_file_that_is_no_database_is_refused_in_words(file):
    file.parent.mkdir()
    file.write_text("Đây không phải cơ sở dữ liệu. " * 100)
    for _ in range(2):  # and the lock is let go
        with pytest.raises(StoreError, match="Không mở được tệp dữ liệu") as refused:
            open_store(f"sqlite:///{file}", owner=True)
        assert not isinstance(refused.value, StoreInUse)


async def test_the_file_is_opened_for_durable_shared_use(sqlite_store):
    def settings(connection):
        return {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }

    assert await sqlite_store.write_core(settings) == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
