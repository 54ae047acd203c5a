"""Column types that mean the same on both databases, and the database's own clock."""

from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import Connection, DateTime, Dialect, Enum, TextClause, text
from sqlalchemy.orm import Session
from sqlalchemy.types import TypeDecorator

ENUM_LENGTH = 24

CLOCKS: dict[str, TextClause] = {
    "sqlite": text("SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')"),
    # now() would be the start of the transaction: a lease compared with it would live longer than it should.
    "postgresql": text("SELECT clock_timestamp()"),
}


class Utc(TypeDecorator[datetime]):
    """A moment. Comes back aware and in UTC; a naive value is taken as UTC, because forms of the console make such."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        value = _utc(value)
        # SQLite keeps text without a zone; one zone for all rows, so that text order is time order.
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else _utc(value)


def by_value(kind: type[StrEnum]) -> Enum:
    """A text column that holds the values of `kind`. Any other value is refused, in both directions.

    No CHECK and no database type: a new member needs no migration.
    """
    return Enum(
        kind,
        values_callable=lambda members: [member.value for member in members],
        native_enum=False,
        create_constraint=False,
        validate_strings=True,
        length=ENUM_LENGTH,
    )


def now(connection: Connection | Session) -> datetime:
    """The database's clock: aware, UTC, running on inside a transaction. On SQLite exact to the millisecond."""
    connection = connection.connection() if isinstance(connection, Session) else connection
    told = connection.execute(CLOCKS[connection.dialect.name]).scalar_one()
    return _utc(datetime.fromisoformat(told) if isinstance(told, str) else told)


def _utc(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
