"""Web chat: a messenger of our own, for residents without an account, in any browser."""

from adapters.contract import Adapter, Opening
from adapters.webchat.messenger import Webchat
from adapters.webchat.settings import Settings

__all__ = ["Settings", "build"]


def build(settings: Settings, opening: Opening) -> Adapter:
    """The channel's adapter. It needs nothing but the house's rooms."""
    return Webchat(opening)
