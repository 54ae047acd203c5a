"""Messengers as commands meet them: opened for a moment, to ask who we are or to have events sent to us."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from sqlmodel import Session, select

from adapters import registry
from adapters.contract import (
    Adapter,
    AdapterBroken,
    NotSent,
    Opening,
    OutcomeUnknown,
    Rejected,
    SendFailure,
    Throttled,
)
from bot.settings import Settings
from cli import opening
from cli.say import Trouble
from scheduler.channels import MAIN
from store.crypto import Vault, VaultError
from store.store import Store
from store.tables import Channel


@dataclass(frozen=True, slots=True)
class Known:
    """A channel, whether it is a row already or only a word in `ADAPTERS`."""

    id: int | None
    adapter: str
    name: str
    sealed_settings: bytes | None = None
    handle: str = ""
    broken: str = ""

    @property
    def title(self) -> str:
        return f"{self.adapter}:{self.name}"


def known(session: Session, adapters: Sequence[str]) -> list[Known]:
    """Every channel, those of the environment first."""
    rows = session.exec(select(Channel).order_by(Channel.adapter, Channel.name)).all()
    found = {
        (row.adapter, row.name): Known(row.id, row.adapter, row.name, row.sealed_settings, row.handle, row.broken)
        for row in rows
    }
    for adapter in adapters:
        found.setdefault((adapter, MAIN), Known(None, adapter, MAIN))
    return sorted(found.values(), key=lambda channel: (channel.name != MAIN, channel.adapter, channel.name))


def settings_of(found: Settings, channel: Known) -> Any:
    """The channel's own settings. Raises Trouble, in words, for what is missing or wrong."""
    values: Mapping[str, str] | None = None
    if channel.sealed_settings is not None:
        try:
            values = json.loads(Vault(found.secret_key).open_text(channel.sealed_settings))
        except VaultError as error:
            raise Trouble(
                "cài đặt của kênh được mã hoá bằng một LOA_SECRET_KEY khác. Đặt lại khoá cũ, hoặc thêm lại kênh."
            ) from error
    return configured(channel.adapter, values)


def configured(adapter: str, values: Mapping[str, str] | None) -> Any:
    """Raises Trouble."""
    owner = settings_class(adapter)
    try:
        return registry.configure(adapter, values)
    except ValidationError as error:
        raise Trouble(opening.in_words(error, owner).strip()) from error
    except ValueError as error:
        raise Trouble(str(error)) from error


def settings_class(adapter: str) -> Any:
    """What the messenger wants to know. Raises Trouble for a messenger that there is not."""
    if adapter not in registry.names():
        raise Trouble(f"Không có nền tảng nào tên “{adapter}”. Có: {', '.join(registry.names())}.")
    return registry.settings_class(adapter)


@asynccontextmanager
async def opened(found: Settings, store: Store, channel: Known, settings: Any) -> AsyncIterator[Adapter]:
    """The channel's adapter for a moment. Raises Trouble when a setting is missing."""
    from scheduler.hands import HouseHands
    from scheduler.rooms import HouseRooms

    def unheard() -> None:
        """The service looks for itself, every second."""

    house = opening.house(found)
    rooms = HouseRooms(channel.id or 0, store, house.vault, clock=opening.now, changed=unheard)
    hands = HouseHands(channel.id or 0, store, lambda: house, clock=opening.now, handed=unheard)
    try:
        adapter = registry.open_channel(
            channel.adapter,
            settings,
            Opening(channel=channel.name, public_url=found.residents_url, rooms=rooms, hands=hands),
        )
    except ValueError as error:
        raise Trouble(str(error)) from error
    try:
        yield adapter
    finally:
        await adapter.aclose()


def in_words(failure: SendFailure) -> str:
    """What is known of a messenger that did not answer as it should."""
    match failure:
        case AdapterBroken():
            return f"kênh chưa dùng được ({failure.reason})"
        case NotSent():
            return "từ máy này không tới được máy chủ của nền tảng"
        case Throttled():
            return "nền tảng đang bắt chờ vì gọi quá nhiều"
        case Rejected():
            return f"nền tảng từ chối: {failure.reason}"
        case OutcomeUnknown():
            return "nền tảng không trả lời rõ ràng"
        case _:
            return failure.reason or type(failure).__name__
