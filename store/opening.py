"""Opening the Store that LOA_DATABASE_URL names."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from store.sqlite import SqliteStore
from store.store import Store


def open_store(url: str, *, owner: bool) -> Store:
    """Open the database that `url` names. Raises StoreInUse, or ValueError in words for an address we cannot use.

    The service is the owner of an SQLite file, exactly one at a time. `owner=False` is for short writes of a command
    beside the running service. On PostgreSQL both are the same.
    """
    parsed = parsed_url(url)
    if parsed.get_backend_name() == "sqlite":
        return SqliteStore(file_of(parsed), owner=owner)
    try:
        from store.postgres import PostgresStore
    except ImportError as error:  # the driver is an extra: most communes never need it
        raise ValueError(
            "LOA_DATABASE_URL trỏ tới PostgreSQL: hãy cài thêm bằng make install EXTRAS=postgres"
        ) from error
    return PostgresStore(parsed)


@asynccontextmanager
async def opened_store(url: str, *, owner: bool) -> AsyncIterator[Store]:
    """`open_store` for the length of a block."""
    store = open_store(url, owner=owner)
    try:
        yield store
    finally:
        await store.aclose()


def parsed_url(url: str) -> URL:
    """The address with the driver that we use. Raises ValueError in words."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        # Without the address itself: it may hold a password.
        raise ValueError("LOA_DATABASE_URL không đọc được. Ví dụ: sqlite:///data/loa.db") from error
    match parsed.drivername:
        case "sqlite" | "sqlite+pysqlite":
            return parsed.set(drivername="sqlite")
        case "postgresql" | "postgres" | "postgresql+psycopg":
            return parsed.set(drivername="postgresql+psycopg")
        case other:
            raise ValueError(
                f"LOA_DATABASE_URL phải bắt đầu bằng sqlite:/// hoặc postgresql://, không dùng được {other}://"
            )


def file_of(url: URL) -> Path:
    """The file of an SQLite address. Raises ValueError in words for one that is not a file."""
    name = url.database or ""
    if name in {"", ":memory:"} or name.startswith("file:") or url.query:
        raise ValueError(
            "LOA_DATABASE_URL phải trỏ tới một tệp trên đĩa, ví dụ sqlite:///data/loa.db: "
            "dữ liệu chỉ nằm trong bộ nhớ sẽ mất khi máy tắt"
        )
    return Path(name)
