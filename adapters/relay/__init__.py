"""Relay: groups that no account of ours may enter. A person of the village carries each notice in by hand."""

from adapters.contract import Adapter, Opening
from adapters.relay.messenger import Relay
from adapters.relay.settings import Settings

__all__ = ["Settings", "build"]


def build(settings: Settings, opening: Opening) -> Adapter:
    """The channel's adapter. It needs nothing but the people whom the house knows."""
    return Relay(opening.hands)
