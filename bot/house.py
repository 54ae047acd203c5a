"""What a decision may know beside the database: the same for all of them, opened once, passed as an argument."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from adapters.contract import Can, Limits
from store.crypto import Vault

LinkMaker = Callable[[str, bool], str]
"""(payload, for a group?) → an address that opens a chat with us and says `/start payload` there."""


@dataclass(frozen=True, slots=True)
class Messenger:
    """An open channel as the decisions see it."""

    channel_id: int
    adapter: str
    name: str
    can: Can
    limits: Limits
    handle: str = ""
    link: LinkMaker | None = None


@dataclass(frozen=True, slots=True)
class House:
    vault: Vault
    public_url: str
    """An address that residents can reach, or ''."""
    zone: ZoneInfo
    approval: frozenset[str]
    messengers: Mapping[int, Messenger] = field(default_factory=dict)
    """By channel id."""

    def local(self, at: datetime) -> datetime:
        return at.astimezone(self.zone)
