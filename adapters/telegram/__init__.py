"""Telegram, through the official Bot API and python-telegram-bot."""

import logging
import os

# The library reads this at each use: times become timedelta, and it stops warning that they will. The one place that
# sets it, and before the library is imported.
os.environ.setdefault("PTB_TIMEDELTA", "true")
# Its debug lines hold the token and the text of messages.
logging.getLogger("telegram").setLevel(logging.WARNING)

from adapters.contract import Opening  # noqa: E402
from adapters.telegram.client import TelegramAdapter  # noqa: E402
from adapters.telegram.request import AiohttpRequest  # noqa: E402
from adapters.telegram.settings import Settings  # noqa: E402

__all__ = ["Settings", "build"]


def build(settings: Settings, opening: Opening) -> TelegramAdapter:
    """Open one bot; it speaks to nobody yet. Raises ValueError by name when the token is missing."""
    request = AiohttpRequest(secret=settings.token(), proxy=settings.proxy.get_secret_value())
    return TelegramAdapter(settings, opening, request)
