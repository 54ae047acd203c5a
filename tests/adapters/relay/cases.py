"""What the contract's tests cannot know of this messenger."""

from typing import Any

from adapters.contract import Adapter, Opening
from adapters.relay import Settings, build

IS_REMOTE = False
"""It speaks with a server of somebody else."""
UNKNOWN = (b'{"kind": "message"}',)
"""Bodies of shapes that mean nothing to us, beside those that any messenger may get: nothing means anything here."""


def an_adapter(address: str) -> Adapter:
    nobody: Any = None
    return build(Settings(), Opening(channel="main", public_url=address, rooms=nobody, hands=nobody))
