"""The database of a commune that upgrades is the same as a new one, on both databases."""

from contextlib import contextmanager

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from filelock import FileLock
from sqlalchemy import NullPool, create_engine, text

from store import migrations, schema
from store.opening import parsed_url
from store.store import StoreInUse
from store.tables import Table
from tests import postgres


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request, tmp_path):
    """The address of an empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/new folder/100%.db"
    else:
        with postgres.server().fresh() as address:
            yield address


@contextmanager
def connected(url):
    engine = create_engine(parsed_url(url), poolclass=NullPool)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def test_an_empty_database_becomes_what_the_tables_say(url):
    assert migrations.upgrade(url) == (None, schema.HEAD)
    with connected(url) as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, Table.metadata) == []
        schema.check(connection)


def test_upgrading_again_changes_nothing(url):
    migrations.upgrade(url)
    assert migrations.upgrade(url) == (schema.HEAD, schema.HEAD)


def test_an_upgrade_that_fails_leaves_nothing_behind(url, tmp_path):
    if url.startswith("sqlite"):
        (tmp_path / "new folder").mkdir()
    with connected(url) as connection, connection.begin():
        connection.execute(text("CREATE TABLE web_session (odd INTEGER)"))  # some table that a migration makes
    with pytest.raises(Exception, match="web_session"):
        migrations.upgrade(url)
    with connected(url) as connection:
        assert schema.version(connection) is None
        assert not connection.dialect.has_table(connection, "unit")


@pytest.mark.parametrize(
    ("found", "words"),
    [
        pytest.param(None, "còn trống", id="never migrated"),
        pytest.param("0000", "sao lưu", id="older"),
        pytest.param("9999", "mới hơn", id="newer"),
    ],
)
def test_another_shape_of_the_database_is_refused_in_words(url, found, words):
    migrations.upgrade(url)
    with connected(url) as connection, connection.begin():
        if found is None:
            connection.execute(text("DROP TABLE alembic_version"))
        else:
            connection.execute(text("UPDATE alembic_version SET version_num = :found"), {"found": found})
    with connected(url) as connection, pytest.raises(schema.SchemaMismatch, match=words):
        schema.check(connection)


def test_a_database_of_a_newer_program_is_left_alone(url):
    migrations.upgrade(url)
    with connected(url) as connection, connection.begin():
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(schema.SchemaMismatch, match="mới hơn"):
        migrations.upgrade(url)


def test_a_file_that_a_service_runs_on_is_left_alone(tmp_path):
    with FileLock(tmp_path / "loa.db.lock"), pytest.raises(StoreInUse, match="đang chạy"):
        migrations.upgrade(f"sqlite:///{tmp_path}/loa.db")


def test_the_service_and_the_migrations_agree_on_the_newest():
    assert ScriptDirectory.from_config(migrations.config()).get_current_head() == schema.HEAD
