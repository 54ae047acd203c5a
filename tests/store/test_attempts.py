"""Tries are counted, whoever counts at the same moment."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, event
from sqlmodel import Session, select

from store import attempts
from store.tables import Attempt, Table
from tests.postgres import server

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
NONE = timedelta(0)
W = attempts.WINDOW


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "sqlite":
        made = create_engine(f"sqlite:///{tmp_path / 'loa.db'}", connect_args={"isolation_level": None})
        event.listen(made, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        yield from _with_table(made)
    else:
        with server().fresh() as url:
            yield from _with_table(create_engine(url.replace("postgresql:", "postgresql+psycopg:")))


def _with_table(engine: Engine) -> Iterator[Engine]:
    Table.metadata.create_all(engine, tables=[Attempt.__table__])  # type: ignore[attr-defined]
    yield engine
    engine.dispose()


def test_forty_tries_at_once_are_five(engine: Engine) -> None:
    def one(_: int) -> bool:
        with Session(engine) as session:
            may = attempts.take(session, {"name": 60, "name here": 5}, now=NOW) == NONE
            session.commit()
            return may

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(one, range(40))) == 5
    with Session(engine) as session:
        counts = dict(session.exec(select(Attempt.key, Attempt.count)).all())
        assert counts == {"name here": 5, "name": 5}, "what was refused was not counted"
        assert attempts.wait(session, ["name", "name here"], now=NOW) == W
        assert attempts.wait(session, ["name"], now=NOW) == NONE


def test_the_wait_doubles_and_a_window_without_a_wrong_one_forgives(engine: Engine) -> None:
    with Session(engine) as session:
        now, waits = NOW, []
        for _ in range(8):
            assert attempts.take(session, {"k": 2}, now=now) == NONE
            waits.append(attempts.wait(session, ["k"], now=now) / W)
            now += attempts.wait(session, ["k"], now=now)
        assert waits == [0, 1, 2, 4, 8, 16, 16, 16]
        now += W
        assert attempts.take(session, {"k": 2}, now=now) == NONE
        assert attempts.may_try(session, "k", now=now)


def test_a_right_one_is_given_back_and_opens_what_it_closed(engine: Engine) -> None:
    with Session(engine) as session:
        for _ in range(3):
            assert attempts.take(session, {"k": 1}, now=NOW) == NONE
            assert not attempts.may_try(session, "k", now=NOW)
            attempts.give_back(session, {"k": 1}, now=NOW)
            assert attempts.may_try(session, "k", now=NOW)
        attempts.take(session, {"k": 1}, now=NOW)
        later = NOW + W
        attempts.take(session, {"k": 1}, now=later)
        assert attempts.wait(session, ["k"], now=later) == 2 * W
        attempts.give_back(session, {"k": 1}, now=later)
        assert attempts.may_try(session, "k", now=later)


def test_wrong_guesses_counted_afterwards_close_too_and_are_forgotten_when_asked(engine: Engine) -> None:
    with Session(engine) as session:
        for _ in range(3):
            attempts.failed(session, "k", now=NOW, allowed=3)
        assert not attempts.may_try(session, "k", now=NOW)
        attempts.succeeded(session, "k")
        assert attempts.may_try(session, "k", now=NOW)


def test_old_counts_are_taken_away_and_open_waits_stay(engine: Engine) -> None:
    with Session(engine) as session:
        attempts.failed(session, "old", now=NOW - 2 * W, allowed=5)
        attempts.failed(session, "new", now=NOW, allowed=5)
        attempts.failed(session, "waits", now=NOW - 2 * W, allowed=1)
        attempts.failed(session, "waits", now=NOW - W, allowed=1)
        attempts.forget(session.connection(), now=NOW)
        assert set(session.exec(select(Attempt.key)).all()) == {"new", "waits"}
