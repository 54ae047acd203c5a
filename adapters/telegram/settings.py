"""What a Telegram channel needs to know."""

import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BeforeValidator, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

OFFICIAL = "https://api.telegram.org/bot"
SECRET_ALPHABET = re.compile(r"[A-Za-z0-9_-]{0,256}")
"""https://core.telegram.org/bots/api#setwebhook (2026-11-21)."""


def _trimmed(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


Secret = Annotated[SecretStr, BeforeValidator(_trimmed)]


class Settings(BaseSettings):
    """Read from the environment and `.env` for the channel `main`; a channel kept in the database names its own values.

    A value that is not named comes from the environment, so that proxy and address hold for every channel of a machine.
    """

    model_config = SettingsConfigDict(
        env_prefix="TELEGRAM_", env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    bot_token: Secret = SecretStr("")
    webhook_secret: Secret = SecretStr("")
    """Telegram repeats it with every event. Empty: no event is accepted."""
    proxy: Secret = SecretStr("")
    """`http://` or `https://`, perhaps with a name and a password; empty: none."""
    api_base_url: str = OFFICIAL
    """What stands before `<token>/method`."""

    @field_validator("bot_token")
    @classmethod
    def _fits_into_an_address(cls, value: SecretStr) -> SecretStr:
        if re.search(r"[^A-Za-z0-9:_-]", value.get_secret_value()):
            raise ValueError("TELEGRAM_BOT_TOKEN has characters that no token has; copy it again from @BotFather")
        return value

    @field_validator("webhook_secret")
    @classmethod
    def _is_allowed_by_telegram(cls, value: SecretStr) -> SecretStr:
        if not SECRET_ALPHABET.fullmatch(value.get_secret_value()):
            raise ValueError("TELEGRAM_WEBHOOK_SECRET may hold up to 256 of A-Z, a-z, 0-9, _ and - only")
        return value

    @field_validator("proxy")
    @classmethod
    def _is_an_http_proxy(cls, value: SecretStr) -> SecretStr:
        scheme = urlsplit(value.get_secret_value()).scheme
        if scheme.startswith("socks"):
            raise ValueError("TELEGRAM_PROXY: SOCKS is not supported, name an http:// or https:// proxy")
        if value.get_secret_value() and scheme not in {"http", "https"}:
            raise ValueError("TELEGRAM_PROXY must begin with http:// or https://")
        return value

    @field_validator("api_base_url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        value = value.strip() or OFFICIAL
        parts = urlsplit(value)  # raises ValueError itself for half an IPv6 address
        if parts.scheme not in {"http", "https"} or not parts.hostname or re.search(r"\s", value):
            raise ValueError("TELEGRAM_API_BASE_URL must begin with http:// or https:// and name a server")
        return value

    @property
    def file_base_url(self) -> str:
        """Where files lie: `/file` goes before the last part of the path (https://core.telegram.org/bots/api#getfile)."""
        server, _, last = self.api_base_url.rpartition("/")
        return f"{server}/file/{last}"

    def token(self) -> str:
        """The bot's token. Raises ValueError by name when it is missing."""
        if not (token := self.bot_token.get_secret_value()):
            raise ValueError("TELEGRAM_BOT_TOKEN is missing: ask @BotFather for a bot, then set its token")
        return token
