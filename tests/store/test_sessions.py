"""Sign-ins of the console are short, linked phones stay for long, and neither opens what is the other's."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine
from sqlmodel import Session, select

from store import sessions
from store.tables import Person, Table, WebSession
from tests.postgres import server

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
TABLES = [Person.__table__, WebSession.__table__]  # type: ignore[attr-defined]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "sqlite":
        yield from _with_tables(create_engine(f"sqlite:///{tmp_path / 'loa.db'}"))
    else:
        with server().fresh() as url:
            yield from _with_tables(create_engine(url.replace("postgresql:", "postgresql+psycopg:")))


def _with_tables(engine: Engine) -> Iterator[Engine]:
    Table.metadata.create_all(engine, tables=TABLES)
    yield engine
    engine.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with Session(engine) as session:
        session.add(Person(id=1, name="Trưởng bản", created_at=NOW))
        session.flush()
        sessions.open_session(session, "console", 1, now=NOW)
        sessions.open_session(session, "phone", 1, now=NOW, is_phone=True)
        session.commit()
        yield session


@pytest.mark.parametrize(
    ("key", "is_phone", "opens"),
    [
        pytest.param("console", False, True, id="the console's own"),
        pytest.param("phone", False, False, id="a phone does not open the console"),
        pytest.param("phone", True, True, id="the phone's own"),
        pytest.param("console", True, False, id="a console sign-in is no phone"),
        pytest.param("unknown", True, False, id="nobody's"),
    ],
)
def test_each_kind_opens_its_own(session: Session, key: str, is_phone: bool, opens: bool) -> None:
    assert (sessions.session_of(session, key, now=NOW, is_phone=is_phone) is not None) is opens


@pytest.mark.parametrize(
    ("key", "is_phone", "used_every", "lives"),
    [
        pytest.param("console", False, timedelta(hours=6), timedelta(days=7), id="console in use"),
        pytest.param("console", False, None, timedelta(hours=12), id="console left alone"),
        pytest.param("phone", True, timedelta(days=60), timedelta(days=400), id="phone in use"),
        pytest.param("phone", True, None, timedelta(days=120), id="phone left alone"),
    ],
)
def test_each_kind_lapses_in_its_own_time(
    session: Session, key: str, is_phone: bool, used_every: timedelta | None, lives: timedelta
) -> None:
    now = NOW
    while used_every is not None and now + used_every < NOW + lives:
        now += used_every
        held = sessions.session_of(session, key, now=now, is_phone=is_phone)
        assert held is not None
        sessions.touch_session(session, held.id, now=now)
    just_before, then = NOW + lives - timedelta(seconds=1), NOW + lives
    assert sessions.session_of(session, key, now=just_before, is_phone=is_phone) is not None
    assert sessions.session_of(session, key, now=then, is_phone=is_phone) is None


def test_a_new_sign_in_sweeps_what_lapsed_and_leaves_the_phone(session: Session) -> None:
    later = NOW + timedelta(days=2)
    sessions.open_session(session, "console again", 1, now=later)
    kept = {row.token_key for row in session.exec(select(WebSession)).all()}
    assert kept == {"console again", "phone"}
    assert [row.token_key for row in sessions.sessions_of(session, 1, now=later)] == ["console again", "phone"]


def test_a_machine_that_is_given_away_is_signed_out_by_its_cookies(session: Session) -> None:
    sessions.end_by_keys(session, ["console", "phone", "never known"])
    assert sessions.sessions_of(session, 1, now=NOW) == []
    sessions.end_by_keys(session, [])
