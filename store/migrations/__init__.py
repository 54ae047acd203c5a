"""Brings a database to the shape that this program needs. Alembic is imported only when that is asked for."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout
from sqlalchemy import Connection, Engine, NullPool, create_engine, event, text

from store.opening import file_of, parsed_url
from store.schema import HEAD, SchemaMismatch, version
from store.store import StoreInUse

if TYPE_CHECKING:
    from alembic.config import Config

HERE = Path(__file__).parent
ONE_AT_A_TIME = 4_117_203_846
"""Number of the PostgreSQL advisory lock that keeps two migrations apart; any fixed number does."""


def config(connection: Connection | None = None) -> "Config":
    """Alembic's settings; there is no alembic.ini. Paths may hold %, which its format would read as a variable."""
    from alembic.config import Config

    settings = Config()
    settings.set_main_option("script_location", str(HERE).replace("%", "%%"))
    settings.set_main_option("path_separator", "os")
    settings.attributes["connection"] = connection
    return settings


def upgrade(url: str) -> tuple[str | None, str]:
    """Bring the database at `url` to HEAD: whole, or not at all. Returns the version before and after.

    Raises StoreInUse when a service runs on the SQLite file, SchemaMismatch for a database of a newer program.
    """
    from alembic import command

    with _alone(url) as engine, engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": ONE_AT_A_TIME})
        before = version(connection)
        if before is not None and before > HEAD:
            raise SchemaMismatch(
                f"Cơ sở dữ liệu ở phiên bản {before}, mới hơn chương trình này ({HEAD}). Hãy cài bản Loa Bản mới hơn."
            )
        if before != HEAD:
            command.upgrade(config(connection), "head")
            _refuse_orphans(connection)
        return before, HEAD


@contextmanager
def _alone(url: str) -> Iterator[Engine]:
    parsed = parsed_url(url)
    if parsed.get_backend_name() != "sqlite":
        engine = create_engine(parsed, poolclass=NullPool)
        try:
            yield engine
        finally:
            engine.dispose()
        return
    file = file_of(parsed)
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{file}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise StoreInUse(
            f"Dịch vụ Loa Bản đang chạy trên tệp dữ liệu {file}. Hãy dừng dịch vụ, chạy lại lệnh này, rồi bật dịch vụ."
        ) from error
    engine = _sqlite(file)
    try:
        yield engine
    finally:
        engine.dispose()
        lock.release()


def _sqlite(file: Path) -> Engine:
    """Says BEGIN itself, so that changing tables is undone with everything else; sqlite3 alone would commit each step.

    Foreign keys stay unenforced (SQLite's default) while tables are rebuilt; they are looked over before the commit.
    """
    engine = create_engine(f"sqlite:///{file}", poolclass=NullPool, connect_args={"isolation_level": None})

    @event.listens_for(engine, "connect")
    def prepare(driver: Any, _record: Any) -> None:
        driver.execute("PRAGMA journal_mode=WAL").close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _refuse_orphans(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        if broken:
            tables = ", ".join(sorted({row[0] for row in broken}))
            raise SchemaMismatch(
                f"Dữ liệu không khớp giữa các bảng ({tables}); chưa thay đổi gì. Hãy báo người bảo trì."
            )
