"""Which shape the database has, and which this program needs. Cheap: asked at every start, without Alembic."""

from sqlalchemy import Connection, inspect, text

HEAD = "0002"
"""The newest migration in `store/migrations/versions`; a test holds the two together."""


class SchemaMismatch(Exception):
    """The database has another shape than this program needs; the text says in words what to do."""


def version(connection: Connection) -> str | None:
    """The migration that the database is at; None when it was never migrated."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all()
    return found[0] if found else None


def check(connection: Connection) -> None:
    """Raise SchemaMismatch unless the database is at HEAD."""
    found = version(connection)
    if found == HEAD:
        return
    if found is None:
        raise SchemaMismatch("Cơ sở dữ liệu còn trống. Hãy chạy `loa migrate` trước.")
    if found < HEAD:
        raise SchemaMismatch(
            f"Cơ sở dữ liệu ở phiên bản {found}, chương trình cần {HEAD}. Hãy sao lưu, rồi chạy `loa migrate`."
        )
    raise SchemaMismatch(
        f"Cơ sở dữ liệu ở phiên bản {found}, mới hơn chương trình này ({HEAD}). Hãy cài bản Loa Bản mới hơn."
    )
