"""Channels as the service holds them open. One that cannot be opened is marked as broken and stops no other."""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError
from sqlalchemy import Connection, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session

from adapters import registry
from adapters.contract import Adapter, Can, Opening
from store.crypto import Vault, VaultError
from store.store import Store
from store.tables import Channel

logger = logging.getLogger(__name__)

MAIN = "main"
"""The channel whose settings come from the environment."""

channel_table = Channel.__table__  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class OpenChannel:
    """One account of ours on one messenger."""

    id: int
    adapter_name: str
    name: str
    adapter: Adapter


@dataclass(frozen=True, slots=True)
class ChannelRow:
    """A channel as it is kept."""

    id: int
    adapter: str
    name: str
    sealed_settings: bytes | None
    handle: str


def check(adapters: Sequence[str]) -> None:
    """Raise ValueError in words for a messenger that there is not: a typing error that must not go unnoticed."""
    known = registry.names()
    if unknown := [name for name in adapters if name not in known]:
        raise ValueError(f"ADAPTERS: không có nền tảng {', '.join(unknown)}. Đang có: {', '.join(known)}")


def ensure(session: Session, adapters: Sequence[str], *, now: datetime) -> list[ChannelRow]:
    """The channels to open: `main` of each messenger that is switched on, made when missing, and those kept as rows."""
    connection = session.connection()
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    for adapter in adapters:
        fresh = {"adapter": adapter, "name": MAIN, "created_at": now} | _EMPTY
        connection.execute(insert(channel_table).values(fresh).on_conflict_do_nothing())
    c = channel_table.c
    wanted = or_(c.sealed_settings.is_not(None), (c.name == MAIN) & c.adapter.in_(list(adapters)))
    rows = connection.execute(select(c.id, c.adapter, c.name, c.sealed_settings, c.handle).where(wanted).order_by(c.id))
    return [ChannelRow(*row) for row in rows]


_EMPTY = {
    "identity": "",
    "handle": "",
    "tells_read": False,
    "hands_over": False,
    "repeats": False,
    "broken": "",
    "lease_owner": "",
    "lease_epoch": 0,
}


async def open_all(
    store: Store,
    vault: Vault,
    rows: Sequence[ChannelRow],
    opening: Callable[[int, str], Opening],
    *,
    mend: bool,
) -> list[OpenChannel]:
    """Open what can be opened. `mend`: we are the ones who send, so what opens now is broken no longer."""
    opened = []
    for row in rows:
        try:
            adapter = open_one(vault, row, opening(row.id, row.name))
        except (ValueError, VaultError) as error:
            reason = _words(error)
            logger.error("a channel cannot be opened", extra={"adapter": row.adapter, "name_": row.name, "why": reason})
            if mend:
                await store.write_core(_mark, row.id, {"broken": reason[:300] or "broken"})
            continue
        if mend:
            await store.write_core(_mark, row.id, {"broken": "", **_declared(adapter.can)})
        opened.append(OpenChannel(row.id, row.adapter, row.name, adapter))
    return opened


def _declared(can: Can) -> dict[str, bool]:
    """What figures and recovery ask of a channel, also while it is closed."""
    return {
        "tells_read": Can.TELL_READ in can,
        "hands_over": Can.HANDS_OVER in can,
        "repeats": Can.SAFE_TO_REPEAT in can,
    }


def open_one(vault: Vault, row: ChannelRow, opening: Opening) -> Adapter:
    """Raises ValueError or VaultError when its settings are missing, wrong, or sealed with another key."""
    values = None if row.sealed_settings is None else json.loads(vault.open(row.sealed_settings))
    return registry.open_channel(row.adapter, registry.configure(row.adapter, values), opening)


def _words(error: Exception) -> str:
    """What is wrong, without the value that is."""
    if isinstance(error, ValidationError):
        return "; ".join(found["msg"] for found in error.errors(include_input=False, include_url=False))
    return str(error)


def _mark(connection: Connection, channel_id: int, values: dict[str, object]) -> None:
    connection.execute(update(channel_table).where(channel_table.c.id == channel_id).values(values))
