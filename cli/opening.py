"""What a command opens: the settings, and the store beside a running service."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsError
from sqlmodel import Session

from bot.house import House
from bot.settings import Settings
from cli.say import Trouble
from store import schema
from store.crypto import Vault
from store.opening import file_of, open_store, parsed_url
from store.store import Store

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S", bound=BaseSettings)

_named_file: ContextVar[Path | None] = ContextVar("settings are read from this file too", default=None)
MISSING = "còn thiếu"
NEW_KEY = 'Tạo khóa bằng lệnh: python3 -c "import secrets; print(secrets.token_urlsafe(32))"'


def now() -> datetime:
    return datetime.now(UTC)


def settings(**given: Any) -> Settings:
    """The settings of this machine; what is `given` wins. Raises Trouble that names each missing or wrong one."""
    found = settings_of(Settings, **given)
    try:
        database(found)
        Vault(found.secret_key)
    except ValueError as error:
        raise Trouble(str(error)) from error
    return found


def settings_of(owner: type[S], **given: Any) -> S:
    """Settings of any kind from the environment, `.env` and the file of `loa --env-file`. Raises Trouble."""
    try:
        return owner(_env_file=env_files(), **given)
    except ValidationError as error:
        raise Trouble("Cài đặt chưa đúng (biến môi trường hoặc tệp .env):\n" + in_words(error, owner)) from error
    except SettingsError as error:
        raise Trouble(f"Không đọc được cài đặt: {error}") from error


def env_files() -> tuple[str, ...]:
    """The later one wins."""
    named = _named_file.get()
    return (".env", str(named)) if named else (".env",)


@contextmanager
def reading(file: Path | None) -> Iterator[None]:
    """For one command, settings are read from this file too."""
    before = _named_file.set(file)
    try:
        yield
    finally:
        _named_file.reset(before)


def in_words(error: ValidationError, owner: type[BaseSettings]) -> str:
    """One line a setting, by the name that people write. Never the value: it may be a secret."""
    lines = []
    for problem in error.errors(include_input=False, include_url=False, include_context=False):
        name = variable(owner, str(problem["loc"][0])) if problem["loc"] else ""
        reason = MISSING if problem["type"] == "missing" else problem["msg"].removeprefix("Value error, ")
        lines.append(f"  {name}: {reason}" if name and not reason.startswith(name) else f"  {reason}")
        if name == "LOA_SECRET_KEY" and reason == MISSING:
            lines[-1] += f". {NEW_KEY}"
    return "\n".join(lines)


def variable(owner: type[BaseSettings], field: str) -> str:
    """The environment variable of a field, which pydantic may name by the field or by its alias."""
    known = owner.model_fields.get(field)
    if known is None:
        return field.upper()
    alias = known.validation_alias
    return alias if isinstance(alias, str) else f"{owner.model_config.get('env_prefix', '')}{field}".upper()


def database(found: Settings) -> str:
    """The database's address without a password, for people. Raises ValueError, in words, for one we cannot use."""
    parsed = parsed_url(found.database_url)
    return (
        str(file_of(parsed)) if parsed.get_backend_name() == "sqlite" else parsed.render_as_string(hide_password=True)
    )


def is_made(found: Settings) -> bool:
    """False for an SQLite file that is not there; a command must not make an empty one by looking."""
    parsed = parsed_url(found.database_url)
    return parsed.get_backend_name() != "sqlite" or file_of(parsed).is_file()


def house(found: Settings) -> House:
    """Enough for decisions that send nothing."""
    return House(Vault(found.secret_key), found.residents_url, found.zone, found.approval)


@asynccontextmanager
async def store_beside_service(found: Settings) -> AsyncIterator[Store]:
    """The store for short work, whether the service runs or not. Raises Trouble or SchemaMismatch before any work."""
    if not is_made(found):
        raise Trouble(f"Chưa có cơ sở dữ liệu ở {database(found)}. Hãy chạy `loa migrate` trước.")
    try:
        store = open_store(found.database_url, owner=False)
    except ValueError as error:
        raise Trouble(str(error)) from error
    try:
        await store.read(_check)
        yield store
    finally:
        await store.aclose()


def write(found: Settings, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
    """One transaction beside the service."""

    async def once() -> T:
        async with store_beside_service(found) as store:
            return await store.write(work, *args, **kwargs)

    return asyncio.run(once())


def read(found: Settings, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
    """One look beside the service."""

    async def once() -> T:
        async with store_beside_service(found) as store:
            return await store.read(work, *args, **kwargs)

    return asyncio.run(once())


def _check(session: Session) -> None:
    schema.check(session.connection())
