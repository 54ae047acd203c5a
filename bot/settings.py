"""Settings of the service itself. Each messenger has its own beside its adapter."""

from typing import Annotated
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

LOOPBACK = ("localhost", "127.", "0.", "[::1]", "::1")


class Settings(BaseSettings):
    """Read once at start and passed on. A missing or wrong one stops the start by its name."""

    model_config = SettingsConfigDict(env_prefix="LOA_", env_file=".env", extra="ignore", frozen=True)

    database_url: str = "sqlite:///data/loa.db"
    public_url: str = ""
    """Where residents reach us, without a slash at the end; '' when there is no such address."""
    secret_key: SecretStr
    timezone: str = "Asia/Ho_Chi_Minh"
    adapters: Annotated[tuple[str, ...], NoDecode] = Field(default=("webchat", "relay"), validation_alias="ADAPTERS")
    """Messengers whose channel `main` comes from the environment."""
    approval: Annotated[frozenset[str], NoDecode] = frozenset({"commune", "urgent"})
    """When a second person must approve: `commune` (a notice to every village of a commune), `urgent`. Empty: never."""

    demo: bool = False
    """The demo commune: the front page is a tour with sign-ins by one press. Never with real people."""

    @field_validator("adapters", mode="before")
    @classmethod
    def _names(cls, value: object) -> object:
        return tuple(_words(value)) if isinstance(value, str) else value

    @field_validator("approval", mode="before")
    @classmethod
    def _rules(cls, value: object) -> object:
        rules = frozenset(_words(value)) if isinstance(value, str) else value
        if isinstance(rules, frozenset) and (unknown := rules - {"commune", "urgent"}):
            raise ValueError(f"LOA_APPROVAL knows 'commune' and 'urgent', not {', '.join(sorted(unknown))}")
        return rules

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"LOA_TIMEZONE: no such time zone: {value}") from error
        return value

    @field_validator("public_url")
    @classmethod
    def _address(cls, value: str) -> str:
        value = value.strip().rstrip("/")
        if value and urlsplit(value).scheme not in ("http", "https"):
            raise ValueError("LOA_PUBLIC_URL must begin with http:// or https://")
        return value

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @property
    def residents_url(self) -> str:
        """The public address when residents can reach it, else '': a link to this very machine helps nobody."""
        host = urlsplit(self.public_url).hostname or ""
        return "" if host.startswith(LOOPBACK) or not host else self.public_url


def _words(value: str) -> list[str]:
    return [word.strip() for word in value.split(",") if word.strip()]
