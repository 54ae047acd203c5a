"""Column types and the clock mean the same on both databases."""

from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, create_engine, insert, select, text
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import Session

from store.types import Utc, by_value, now
from tests.postgres import server

HANOI = timezone(timedelta(hours=7))


class Colour(StrEnum):
    RED = "đỏ"
    BLUE = "xanh"


META = MetaData()
THING = Table(
    "thing",
    META,
    Column("id", Integer, primary_key=True),
    Column("at", Utc),
    Column("colour", by_value(Colour)),
)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def connection(request, tmp_path):
    if request.param == "sqlite":
        yield from connected(f"sqlite:///{tmp_path / 'types.db'}")
    else:
        with server().fresh() as url:
            yield from connected(url.replace("postgresql:", "postgresql+psycopg:"))


def connected(url):
    engine = create_engine(url)
    with engine.connect() as connection:
        META.create_all(connection)
        yield connection
    engine.dispose()


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        pytest.param(datetime(2026, 11, 22, 6, 0, tzinfo=HANOI), datetime(2026, 11, 21, 23, 0, tzinfo=UTC), id="local"),
        pytest.param(datetime(2026, 11, 22, 6, 0), datetime(2026, 11, 22, 6, 0, tzinfo=UTC), id="naive"),  # noqa: DTZ001
        pytest.param(
            datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=UTC),
            datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=UTC),
            id="microseconds",
        ),
        pytest.param(None, None, id="none"),
    ],
)
def test_moments_come_back_aware_and_in_utc(connection, given, kept):
    connection.execute(insert(THING), {"at": given})
    (at,) = connection.scalars(select(THING.c.at))
    assert at == kept
    assert at is None or at.tzinfo is UTC


def test_moments_are_compared_as_moments(connection):
    early, late = datetime(2026, 11, 22, 6, tzinfo=HANOI), datetime(2026, 11, 22, 0, tzinfo=UTC)
    connection.execute(insert(THING), [{"at": late}, {"at": early}])
    assert list(connection.scalars(select(THING.c.at).order_by(THING.c.at))) == [early, late]
    assert list(connection.scalars(select(THING.c.at).where(THING.c.at < late.astimezone(HANOI)))) == [early]


def test_enums_are_stored_by_value(connection):
    connection.execute(insert(THING), {"colour": Colour.RED})
    assert connection.scalar(text("SELECT colour FROM thing")) == "đỏ"
    assert connection.scalar(select(THING.c.colour)) is Colour.RED
    assert connection.scalar(select(THING.c.id).where(THING.c.colour == Colour.RED)) is not None


def test_other_words_are_refused(connection):
    with pytest.raises(StatementError):
        connection.execute(insert(THING), {"colour": "tím"})


def test_a_new_member_needs_no_migration(connection):
    connection.execute(text("INSERT INTO thing (colour) VALUES ('tím')"))  # no CHECK stands in the way
    assert connection.scalar(text("SELECT colour FROM thing")) == "tím"


def test_the_clock_is_the_databases_aware_and_runs_on(connection):
    first = now(connection)
    assert first.tzinfo is UTC
    assert abs(first - datetime.now(UTC)) < timedelta(seconds=5)
    with Session(connection) as session:
        while now(session) == first:
            pass
        assert now(session) > first
